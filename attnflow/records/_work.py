"""Long work on disk, to go on from: what was asked for, how far it came, and units that are done."""

import hashlib
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ..core.checks import shown
from ..core.words import loads
from ._modules import load, save
from ._provenance import provenance
from .folders import Address, Folder, LocalFolder, open_folder

_EVERY = 5.0  # seconds between writes of an account that changes all the time
_MOST_BYTES, _MOST_NESTED = 2**24, 64  # of an account


class WorkStore:
    """An account of long work, with the digest of what was asked for, and beside it units that are done by name.

    Every file is written whole or not at all. Work without units, of a few numbers, has how far it came in
    the account itself.

    **Arguments:**

    - `folder`: made when it is not there, or an address with `://`.
    - `account`: the name of the account's file, such as `loop.json`.
    - `format`: words that say which kind of work it is, and which version of the files.
    - `asked`: what was asked for: plain JSON values by name, or sections of such; a store of work with others is
      refused by the name of what differs. Or, where that is arrays and functions, its digest
      ([`digest_of`][]): the account may then hold arrays, as [`save`][attnflow.save] writes them, on this
      machine alone. Or `None`, to read what is there whatever it is of.
    - `work`: what the work is called in errors, such as `"a run"`; `argument`, what the store is.

    **Raises:**

    - `ValueError`: an address that cannot be opened, or one with `://` for an account with arrays.
    """

    def __init__(
        self,
        folder: Address,
        account: str,
        format: str,
        asked: Mapping[str, object] | str | None,
        work: str,
        argument: str = "store",
    ):
        self.folder: Folder = open_folder(folder)
        self.account: str = account
        self.format: str = format
        self.work: str = work
        self.argument: str = argument
        self.asked: Mapping[str, object] = asked if isinstance(asked, Mapping) else {}
        self.digest: str | None = digest_of(asked) if isinstance(asked, Mapping) else asked
        self._arrays = isinstance(asked, str)
        if self._arrays and not isinstance(self.folder, LocalFolder):
            raise ValueError(
                f"`{argument}` {self.address} is an address, but what {work} writes is kept on this machine: "
                "give the path of a file."
            )
        self.written: float = time.monotonic()

    @classmethod
    def of_file(
        cls,
        path: str | os.PathLike[str],
        format: str,
        asked: Mapping[str, object] | str | None,
        work: str,
        argument: str = "store",
    ) -> "WorkStore":
        """One whose account is the file `path`, a path or an address with `://`, in the folder where it is.

        **Raises:**

        - `ValueError`: as for the class; an address without a folder.
        """
        path = os.fspath(path)
        folder, name = os.path.split(path)
        if "://" in path and "://" not in folder:
            raise ValueError(
                f"`{argument}` {path!r} names no file in a folder, such as s3://bucket/{name}."
            )
        return cls(folder or ".", name, format, asked, work, argument)

    @property
    def address(self) -> str:
        """Where the account is."""
        return f"{self.folder.address}/{self.account}"

    # === the account

    def read(self) -> dict[str, Any] | None:
        """The account: what was asked for, and what [`record`][attnflow.records.WorkStore.record] was given last.

        `None` where there is none.

        **Raises:**

        - `ValueError`: it cannot be read, or is of something else, or of work that was asked for with another value.
        """
        contents = self._read_arrays() if self._arrays else self._read_plain()
        if contents is not None:
            self._check(contents)
        return contents

    def record(self, contents: Mapping[str, object] | None = None) -> None:
        """Write the account, with these numbers, texts and, where `asked` is a digest, arrays.

        **Raises:**

        - `OSError`: it cannot be written.
        """
        head = {"format": self.format, "digest": self.digest, **self.asked}
        whole = head | dict(contents or {})
        if self._arrays:
            save(self._path, whole)
        else:
            whole |= {"provenance": provenance()}
            self.folder.write(self.account, (json.dumps(whole, indent=1) + "\n").encode())
        self.written = time.monotonic()

    @property
    def due(self) -> bool:
        """Whether the last write was some seconds ago, so that another costs little of the work's time."""
        return time.monotonic() - self.written >= _EVERY

    @property
    def _path(self) -> Path:
        return Path(self.folder.address) / self.account

    def _read_arrays(self) -> dict[str, Any] | None:
        return self._of_format(load(self._path)) if self._path.exists() else None

    def _read_plain(self) -> dict[str, Any] | None:
        try:
            content = self.folder.read(self.account)
            if len(content) > _MOST_BYTES:
                raise ValueError(f"it has more than {_MOST_BYTES:,} bytes")
            contents = loads(content, most=_MOST_NESTED, finite=True)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise ValueError(
                f"{self.address} is not the account of {self.work}: {error}."
            ) from None
        return self._of_format(contents)

    def _of_format(self, contents: object) -> dict[str, Any]:
        if not isinstance(contents, dict):
            raise ValueError(f"{self.address} is not the account of {self.work}: no table.")
        if contents.get("format") != self.format:
            raise ValueError(
                f"{self.address} is not the account of {self.work} (its format is "
                f"{shown(contents.get('format'))}); give another `{self.argument}`."
            )
        return contents

    def _check(self, contents: Mapping[str, object]) -> None:
        """Refuse work that was asked for with another value; accounts of 0.9 have the values and no digest."""
        for name, value in self.asked.items():
            if isinstance(value, Mapping):
                section = contents.get(name)
                for key, part in value.items():
                    self._check_value(
                        key, section.get(key) if isinstance(section, dict) else None, part
                    )
            else:
                self._check_value(name, contents.get(name), value)
        stored = contents.get("digest", None if self._arrays else self.digest)
        if self.digest is not None and stored != self.digest:
            raise ValueError(
                f"`{self.argument}` {self.address} is of {self.work} with other arguments; give those, or "
                f"another `{self.argument}`."
            )

    def _check_value(self, name: str, stored: object, asked: object) -> None:
        if stored != asked:
            raise ValueError(
                f"`{self.argument}` {self.address} is of {self.work} with another {name!r} ({_short(stored)}; "
                f"asked for {_short(asked)}): ask for that one, or give another `{self.argument}`."
            )

    # === units

    def names(self) -> list[str]:
        """The files that are there, sorted; temporary ones left out."""
        return self.folder.names("")

    def unit(self, name: str) -> bytes | None:
        """A unit that was written; `None` where there is none."""
        try:
            return self.folder.read(name)
        except FileNotFoundError:
            return None

    def write(self, name: str, content: bytes) -> None:
        """A unit that is done."""
        self.folder.write(name, content)

    def remove(self, name: str) -> None:
        """Remove a unit that is no longer needed; nothing where there is none."""
        self.folder.remove(name)


def digest_of(*parts: object) -> str:
    """SHA-256 of the arrays of pytrees, where they are in them, and of everything else as text."""
    digest = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_flatten_with_path(parts)[0]:
        digest.update(jax.tree_util.keystr(path).encode())
        if isinstance(leaf, np.ndarray | jax.Array):
            array = np.asarray(leaf)
            digest.update(f"{array.dtype}{array.shape}".encode())
            digest.update(array.tobytes())
        elif isinstance(leaf, str | int | float | bool):
            digest.update(repr(leaf).encode())
    return digest.hexdigest()


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) < 40 else f"{text[:36]}..."
