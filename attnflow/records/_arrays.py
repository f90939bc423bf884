"""Arrays as the bytes of a file, with checksums; and back, if it is whole."""

import io
import zipfile
from collections.abc import Mapping

import numpy as np


def packed_arrays(arrays: Mapping[str, np.ndarray]) -> bytes:
    """An .npz file of them; objects are refused."""
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **arrays)
    return file.getvalue()


def opened_arrays(content: bytes | None) -> dict[str, np.ndarray] | None:
    """What a file holds, its checksums read; `None` where it is not there or not whole."""
    if content is None:
        return None
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            return dict(arrays)
    except (ValueError, EOFError, OSError, zipfile.BadZipFile):
        return None
