"""A folder that long work goes on from: an account of what was asked for, and units of it that are done."""

import json
from collections.abc import Mapping
from typing import Any

from ..core.words import loads
from ._provenance import provenance
from .folders import Address, Folder, open_folder


class WorkFolder:
    """Units of work by name, each written whole or not at all, beside an account of what was asked for.

    **Arguments:**

    - `address`: a folder, made when it is not there, or an address with `://`.
    - `account`: the name of the account's file, such as `loop.json`.
    - `format`: words that say which kind of work it is, and which version of the files.
    - `asked`: what was asked for, plain JSON values in sections by name: a folder with others is refused.
    - `work`: what the work is called in errors, such as `"a run"`; `argument`, what the address is.

    **Raises:**

    - `ValueError`: the folder holds something else, or work that was asked for with another value.
    - `OSError`: it cannot be written to.
    """

    def __init__(
        self,
        address: Address,
        account: str,
        format: str,
        asked: Mapping[str, Mapping[str, object]],
        work: str,
        argument: str = "store",
    ):
        self.folder: Folder = open_folder(address)
        self.address: str = self.folder.address
        contents = read_account(address, account, format, work)
        if contents is None:
            sections = {name: dict(section) for name, section in asked.items()}
            contents = {"format": format, **sections, "provenance": provenance()}
            self.write(account, json.dumps(contents, indent=1).encode())
            return
        for name, section in asked.items():
            stored = contents.get(name)
            stored = stored if isinstance(stored, dict) else {}
            for key, value in section.items():
                if stored.get(key) != value:
                    raise ValueError(
                        f"`{argument}` {self.address} is of {work} with another {key!r} "
                        f"({_short(stored.get(key))}; asked for {_short(value)}): ask for that "
                        "one, or choose another folder."
                    )

    def names(self) -> list[str]:
        """The files that are there, sorted; temporary ones left out."""
        return self.folder.names("")

    def read(self, name: str) -> bytes | None:
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


def read_account(address: Address, account: str, format: str, work: str) -> dict[str, Any] | None:
    """What a folder's work was begun with; `None` where there is no account.

    **Raises:**

    `ValueError` where the file cannot be read, or is an account of something else.
    """
    folder = open_folder(address)
    where = f"{folder.address}/{account}"
    try:
        contents = loads(folder.read(account))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ValueError(f"{where} cannot be read: {error}.") from None
    if not isinstance(contents, dict) or contents.get("format") != format:
        raise ValueError(f"{where} is no account of {work}; choose another folder.")
    return contents


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) < 40 else f"{text[:36]}..."
