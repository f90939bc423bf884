"""A store: its studies, one immutable file for each shard, and what is known about their making.

```
studies/000.json          the study, sizes of its shards, versions; a later one extends those before
shards/000-000017.<checksum>.zarr.zip     the data: bytes that follow from plan and versions alone
provenance/000-000017.json                when, where and in what time it was made
dataset.json, dataset.<checksum>.zarr.zip all shards in one, once all are there
damaged/                                  files that did not verify, put aside
```
"""

import contextlib
import json
import math
import re
from collections.abc import Iterator
from typing import Any

import msgspec

from ..core.checks import shown
from ..core.words import loads
from ..records import versions
from ..records.folders import Address, Folder, open_folder
from ._pack import checksum
from ._plan import Plan, Shard, is_shard_name
from ._study import Study, from_builtins

_FORMAT, _VERSION = "attnflow sweep", 1
_FILE = re.compile(r"([0-9]{3}-[0-9]{6,18})\.([0-9a-f]{32})\.zarr\.zip")


class Damaged(ValueError):
    """A file of a store that is not what was written."""


def _known(record: dict[str, Any]) -> bool:
    """Whether a record has the parts of one, each of its kind; sizes are whole numbers from 1 on."""
    kinds = {"format": str, "version": int, "sizes": dict, "probe": dict, "versions": dict}
    if "study" not in record or not all(isinstance(record.get(n), k) for n, k in kinds.items()):
        return False
    numbers = [n for one in record["probe"].values() for n in _measured(one)]
    return all(type(size) is int and size > 0 for size in record["sizes"].values()) and all(
        type(n) in (int, float) and 0 <= n < math.inf for n in numbers
    )


def _measured(one: Any) -> list[Any]:
    """The numbers of a probe; `None` among them where there are none."""
    return [one.get(n) if isinstance(one, dict) else None for n in ("seconds", "first", "bytes")]


class Store:
    """A store at an address; nothing is kept in memory, so that what is there counts."""

    def __init__(self, address: Address):
        self.folder: Folder = open_folder(address)
        self.address: str = self.folder.address

    def clean(self) -> None:
        """Takes away what writers that were killed have begun, unless a driver is at work."""
        with contextlib.suppress(ValueError, OSError), self.folder.lock():
            self.folder.clean()

    # === studies

    def plan(self) -> Plan:
        """The plan that the store holds; a `ValueError` where there is none, or it is altered."""
        history, sizes, probed = [], [], set()
        names = self.folder.names("studies")
        if not names:
            raise ValueError(
                f"`{self.address}` holds no sweep; attnflow sweep SPEC --out begins one."
            )
        for k, name in enumerate(names):
            record = self._record(name, f"{k:03d}.json")
            history.append(from_builtins(record["study"]))
            sizes.append(record["sizes"])
            probed |= set(record["probe"])
        plan = Plan(history, sizes)
        for blocks, known in zip(plan.blocks, sizes, strict=True):
            if any(block.key not in known or block.key not in probed for block in blocks):
                raise Damaged(
                    f"`{self.address}`: its studies and the sizes of its shards disagree."
                )
        return plan

    def _record(self, name: str, expected: str) -> dict[str, Any]:
        try:
            record = loads(self.folder.read(f"studies/{name}"))
            whole = record.pop("sha256") == checksum(_line(record))
        except (ValueError, KeyError, TypeError, AttributeError):
            whole, record = False, {}
        if not whole or name != expected or not _known(record):
            raise Damaged(
                f"`{self.address}`: studies/{name} is not what was written; restore it from a copy, or "
                "begin in another place."
            )
        if record["format"] != _FORMAT or record["version"] != _VERSION:
            raise ValueError(
                f"`{self.address}` was written by attnflow {shown(record['versions'].get('attnflow'))} in another "
                "format; read it with that version."
            )
        return record

    def made_with(self) -> dict[str, str]:
        """The versions of packages that the store was begun with."""
        return self._record("000.json", "000.json")["versions"]

    def begun(self) -> bool:
        """Whether there is a study."""
        return bool(self.folder.names("studies"))

    def add_study(self, study: Study, sizes: dict[str, int], probe: dict[str, Any]) -> None:
        """Freeze one more study with the sizes of its shards."""
        record = {
            "format": _FORMAT,
            "version": _VERSION,
            "study": msgspec.to_builtins(study),
            "sizes": sizes,
            "probe": probe,
            "versions": versions(),
        }
        record["sha256"] = checksum(_line(record))
        number = len(self.folder.names("studies"))
        self.folder.write(f"studies/{number:03d}.json", _line(record))

    def probe(self) -> dict[str, Any]:
        """What the probes measured, by key of blocks."""
        probe: dict[str, Any] = {}
        for name in self.folder.names("studies"):
            probe |= self._record(name, name)["probe"]
        return probe

    # === shards

    def files(self) -> dict[str, str]:
        """The file of each shard that is there, by the shard's name; nothing is read.

        **Raises:**

        `Damaged` when a shard has two files: the same numbers computed twice came out different.
        """
        files: dict[str, str] = {}
        for file in self.folder.names("shards"):
            match = _FILE.fullmatch(file)
            if match is None:
                continue
            name = match[1]
            if name in files:
                raise Damaged(
                    f"`{self.address}`: shard {name} has two results, {files[name]} and {file}; "
                    "remove the one that is wrong and run again."
                )
            files[name] = file
        return files

    def read(self, file: str) -> bytes:
        """The bytes of a shard's file, verified.

        **Raises:**

        `Damaged` where they are not those that its name states.
        """
        match = _FILE.fullmatch(file)
        content = self.folder.read(f"shards/{file}")
        if match is None or checksum(content) != match[2]:
            raise Damaged(
                f"`{self.address}`: shards/{file} is damaged (its SHA-256 is not the one in its name); "
                "run the sweep again to repair it."
            )
        return content

    def write(self, shard: str, content: bytes, provenance: dict[str, Any]) -> str:
        """Put a shard's file in its place; the provenance first, so that none is without."""
        assert is_shard_name(shard)
        file = f"{shard}.{checksum(content)}.zarr.zip"
        self.folder.write(f"provenance/{shard}.json", _line(provenance))
        self.folder.write(f"shards/{file}", content)
        return file

    def verified(self, put_aside: bool = False) -> Iterator[tuple[str, bool]]:
        """Name of each shard that is there, and whether it is what was written.

        **Arguments:**

        - `put_aside`: move those that are not to `damaged/`.
        """
        for name, file in self.files().items():
            try:
                self.read(file)
            except Damaged:
                if put_aside:
                    self.folder.write(f"damaged/{file}", self.folder.read(f"shards/{file}"))
                    self.folder.remove(f"shards/{file}")
                yield name, False
            else:
                yield name, True

    def provenance(self, shard: str) -> dict[str, Any] | None:
        """How a shard was made, where that is still known."""
        with contextlib.suppress(FileNotFoundError, ValueError):
            contents = loads(self.folder.read(f"provenance/{shard}.json"))
            return contents if isinstance(contents, dict) else None
        return None

    def present(self, plan: Plan) -> list[tuple[Shard, str]]:
        """The shards of a plan that have a file, in order, and the files; what else there is is left out."""
        named = [(plan.shard(name), file) for name, file in self.files().items()]
        there = [(shard, file) for shard, file in named if shard is not None]
        return sorted(there, key=lambda one: tuple(map(int, one[0].name.split("-"))))


def _line(record: dict[str, Any]) -> bytes:
    return json.dumps(record).encode() + b"\n"
