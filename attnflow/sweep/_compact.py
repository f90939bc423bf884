"""Compacting: all shards of a complete store in one dataset, which is then what is opened."""

import contextlib
import hashlib
import json
import shutil
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import xarray as xr

from ..core.words import loads
from ..records import atomic_write
from ..records.folders import SCRATCH, Address, LocalFolder
from ._dataset import from_shards
from ._pack import COMPRESSED, add_entry
from ._plan import Plan
from ._store import Damaged, Store

_CHUNK = 2**24  # bytes, of a compacted dataset


def compact(store: Address) -> str:
    """Put all shards of a complete store into one dataset, which `open` reads from then on.

    The shards stay: they are what a study is extended from and checked by. The file can be read
    without attnflow: `xarray.open_zarr(zarr.storage.ZipStore(path))`. Memory is needed for one variable at
    a time.

    **Arguments:**

    - `store`: its folder or address.

    **Returns:**

    The file's name in the store.

    **Raises:**

    `ValueError` when shards are missing or damaged.
    """
    home = Store(store)
    plan = home.plan()
    missing = plan.shard_count - len(home.present(plan))
    if missing:
        raise ValueError(
            f"`{home.address}` lacks {missing} shards; run the sweep to its end, then compact it."
        )
    state = _state(home, plan)
    compacted = _record(home)
    if compacted is not None and compacted["shards"] == state and is_whole(home, compacted["file"]):
        return compacted["file"]
    with tempfile.TemporaryDirectory(dir=_scratch(home), prefix=SCRATCH) as folder:
        packed = Path(folder) / "dataset.zip"
        _write_zarr(from_shards(home, plan), Path(folder) / "zarr", packed)
        digest = _digest(packed)
        file = f"dataset.{digest[:32]}.zarr.zip"
        _put(home, file, packed)
    record = {"file": file, "shards": state}
    home.folder.write("dataset.json", json.dumps(record, sort_keys=True).encode() + b"\n")
    for name in home.folder.names(""):
        if name.startswith("dataset.") and name.endswith(".zarr.zip") and name != file:
            home.folder.remove(name)
    return file


def _state(home: Store, plan: Plan) -> str | None:
    """All that the dataset follows from: its shards' names hold their checksums. `None`: not all are there."""
    there = home.present(plan)
    if len(there) < plan.shard_count:
        return None
    return hashlib.sha256("\n".join(file for _, file in there).encode()).hexdigest()


def _record(home: Store) -> dict[str, Any] | None:
    with contextlib.suppress(FileNotFoundError, ValueError, KeyError, TypeError):
        record = loads(home.folder.read("dataset.json"))
        file, shards = record["file"], record["shards"]
        if isinstance(file, str) and isinstance(shards, str) and "/" not in file:
            return {"file": file, "shards": shards}
    return None


def read_compact(home: Store, plan: Plan) -> xr.Dataset | None:
    """The compacted dataset where it is that of the shards at hand; verified."""
    from zarr.storage import ZipStore

    record = _record(home)
    if (
        record is None
        or not isinstance(home.folder, LocalFolder)
        or record["shards"] != _state(home, plan)
    ):
        return None
    whole = is_whole(home, record["file"])
    if whole is None:
        return None
    if not whole:
        raise Damaged(
            f"`{home.address}`: {record['file']} is damaged (its SHA-256 is not the one in its name); "
            "attnflow sweep compact, or the sweep run again, repairs it."
        )
    path = home.folder.path / record["file"]
    return xr.open_zarr(ZipStore(path, mode="r"), chunks=None, consolidated=True)


def damaged_dataset(home: Store) -> list[str]:
    """The compacted dataset's name, where it is not what was written."""
    record = _record(home)
    return (
        [record["file"]] if record is not None and is_whole(home, record["file"]) is False else []
    )


def is_whole(home: Store, file: str) -> bool | None:
    """Whether a compacted dataset has the checksum in its name; `None` where there is none."""
    try:
        if isinstance(home.folder, LocalFolder):
            digest = _digest(home.folder.path / file)
        else:
            digest = hashlib.sha256(home.folder.read(file)).hexdigest()
    except FileNotFoundError:
        return None
    return digest[:32] == file.split(".")[1]


def _write_zarr(data: xr.Dataset, folder: Path, packed: Path) -> None:
    encoding = {}
    for name, array in data.variables.items():
        # Chunks along the trials, whole along the rest unless that is much.
        chunks, room = [], max(1, _CHUNK // array.dtype.itemsize)
        for size in reversed(array.shape):
            chunks.insert(0, max(1, min(size, room)))
            room //= chunks[0]
        if array.ndim:
            encoding[name] = {"chunks": tuple(chunks), **COMPRESSED}
    data.to_zarr(folder, mode="w", zarr_format=2, consolidated=True, encoding=encoding)
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            add_entry(archive, path.relative_to(folder).as_posix(), path.read_bytes())


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _scratch(home: Store) -> Path | None:
    return home.folder.path if isinstance(home.folder, LocalFolder) else None


def _put(home: Store, name: str, path: Path) -> None:
    if isinstance(home.folder, LocalFolder):
        with atomic_write(home.folder.path / name) as file, open(path, "rb") as source:
            shutil.copyfileobj(source, file)
    else:
        home.folder.write(name, path.read_bytes())
