"""A dataset as one file: Zarr in a zip archive whose bytes follow from the data alone."""

import hashlib
import io
import zipfile
from typing import Any

import xarray as xr
from numcodecs import Zstd
from zarr.storage import MemoryStore

# The least a zip entry can say; the time of writing is no part of the data.
_DATE = (1980, 1, 1, 0, 0, 0)

# In one thread, whose bytes do not depend on how many there are.
COMPRESSED: dict[str, Any] = {"compressors": (Zstd(level=1),)}


def pack(data: xr.Dataset) -> bytes:
    """The dataset as an archive that `xarray.open_zarr(zarr.storage.ZipStore(path))` reads."""
    store: dict[str, Any] = {}
    encoding = {n: {"chunks": v.shape, **COMPRESSED} for n, v in data.variables.items() if v.ndim}
    data.to_zarr(MemoryStore(store), mode="w", zarr_format=2, consolidated=True, encoding=encoding)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(store):
            add_entry(archive, name, store[name].to_bytes())
    return out.getvalue()


def add_entry(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    """One entry, with nothing in it but its name and content."""
    entry = zipfile.ZipInfo(name, _DATE)
    entry.create_system, entry.external_attr = 3, 0o644 << 16
    archive.writestr(entry, content)


def unpack(packed: bytes) -> xr.Dataset:
    """What `pack` was given, in memory; the archive's own checksums are checked on the way."""
    from zarr.core.buffer import default_buffer_prototype

    buffer = default_buffer_prototype().buffer
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        store = {name: buffer.from_bytes(archive.read(name)) for name in archive.namelist()}
    return xr.open_zarr(MemoryStore(store), chunks=None, consolidated=True)


def checksum(packed: bytes) -> str:
    """The first 32 hexadecimal digits of the SHA-256."""
    return hashlib.sha256(packed).hexdigest()[:32]
