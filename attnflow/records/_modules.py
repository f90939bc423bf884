"""`save` and `load`: one line of JSON that says what a module is, then its arrays.

The first line can be read by eye (`head -n 1`) and by any JSON reader; each array after it is a
plain `.npy`. Nothing is pickled, so a file from elsewhere cannot run code when it is opened.
"""

import hashlib
import json
import math
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO

import jax.numpy as jnp
import numpy as np

from ..core.checks import shown
from ..core.types import PyTree
from ..core.words import loads
from ._atomic import atomic_write
from ._decode import decode, restore
from ._encode import encode
from ._names import Finder
from ._provenance import versions

_FORMAT = "attnflow module"
_VERSION = 1
_LONGEST_LINE = 1 << 28


def save(path: str | os.PathLike[str], module: PyTree) -> None:
    """Write a field, schedule, solution, or any tree of modules to a file that `load` reads back.

    The file is one line of JSON (the classes, their fields, the versions, a SHA-256), then the
    arrays. It appears at `path` only once it is complete.

    **Arguments:**

    - `path`: the file to write; an older one is replaced.
    - `module`: an `equinox.Module`, or tuples, lists and dictionaries of them, holding arrays (of
      any type, random keys included), numbers, strings, `None`, and functions of attnflow, diffrax,
      equinox, optimistix, lineax and `jax.numpy`, `jax.nn`, `jax.lax`. Classes of your own are kept
      by name.

    **Raises:**

    `ValueError` that names the field, when something has no name that a reader could find (a
    lambda, say); `OSError` when the file cannot be written.

    !!! example

        ```python
        af.save("field.af", field)
        assert eqx.tree_equal(af.load("field.af"), field)
        ```
    """
    encoded = encode(module, "module")
    body = {"leaves": encoded.specs, "tree": encoded.tree}
    digest = _started(body)
    for leaf in encoded.leaves:
        np.lib.format.write_array(_Hashing(digest), leaf, allow_pickle=False)
    head = {
        "format": _FORMAT,
        "version": _VERSION,
        "versions": {k: v for k, v in versions().items() if k not in ("matplotlib", "optax")},
        "sha256": digest.hexdigest(),
    }
    with atomic_write(path) as file:
        file.write(_line(head | body))
        for leaf in encoded.leaves:
            np.lib.format.write_array(file, leaf, allow_pickle=False)


def load(path: str | os.PathLike[str], *, classes: Iterable[type] = ()) -> PyTree:
    """What `save` wrote, equal to it in structure, types and bits; no template is needed.

    Classes are looked up by name in attnflow, diffrax, equinox, optimistix and lineax, and among
    `classes`; no other package is imported, no `__init__` runs, and nothing is unpickled.

    **Arguments:**

    - `path`: a file that `save` wrote.
    - `classes`: classes of your own that the file may hold.

    **Returns:**

    The module. `equinox.tree_equal(load(path), saved)` holds, and compiled functions that took the
    saved module take the loaded one without compiling again.

    **Raises:**

    `ValueError` when the file is not one of these, is truncated or altered, names a class that is
    not known here, or holds 64-bit arrays while JAX has 64 bits turned off; `OSError` when it
    cannot be read.

    !!! example

        ```python
        field = af.load("field.af", classes=[MyDrift])
        ```
    """
    path = Path(path)
    finder = Finder(classes)
    with open(path, "rb") as file:
        head = _read_line(file, path)
        start = file.tell()
        try:
            _check_whole(file, head, path)
            file.seek(start)
            _check_precision(head["leaves"], path)
            leaves = [restore(_read_array(file), spec) for spec in head["leaves"]]
            return decode(head["tree"], leaves, finder)
        except ValueError as error:
            message = " ".join(str(error).split())
            raise ValueError(message if str(path) in message else f"`{path}`: {message}") from error
        except (AttributeError, IndexError, KeyError, TypeError, RecursionError) as error:
            raise ValueError(
                f"`{path}` is malformed: its first line says what attnflow.save does not write."
            ) from error


class _Hashing:
    """A file that is only hashed."""

    def __init__(self, digest: Any):
        self.write = digest.update


def _line(head: dict) -> bytes:
    return json.dumps(head, ensure_ascii=True, allow_nan=False).encode() + b"\n"


def _started(body: dict) -> Any:
    return hashlib.sha256(_line(body))


def _read_array(file: BinaryIO) -> np.ndarray:
    """The next array, whose header is read first: it may ask for more than the file has, or than memory."""
    start = file.tell()
    header = np.lib.format
    version = header.read_magic(file)
    read = {(1, 0): header.read_array_header_1_0, (2, 0): header.read_array_header_2_0}.get(version)
    if read is None:
        raise ValueError(f"an array of the unknown version {version}")
    shape, _, dtype = read(file)
    left = os.fstat(file.fileno()).st_size - file.tell()
    if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize > left:
        raise ValueError(f"an array of shape {shape}, for which the file has {left} bytes")
    file.seek(start)
    return header.read_array(file, allow_pickle=False)


def _read_line(file: BinaryIO, path: Path) -> dict:
    line = file.readline(_LONGEST_LINE)
    try:
        head = loads(line)
    except ValueError:
        head = None
    if not isinstance(head, dict) or head.get("format") != _FORMAT:
        raise ValueError(f"`{path}` is not a file that attnflow.save wrote.")
    if head.get("version") != _VERSION:
        versions = head.get("versions")
        written = versions.get("attnflow") if isinstance(versions, dict) else None
        written = written if isinstance(written, str) else "another version"
        raise ValueError(
            f"`{path}` has format version {shown(head.get('version'))}, and this attnflow reads "
            f"{_VERSION}: it was written by attnflow {written}."
        )
    if not line.endswith(b"\n") or not {"sha256", "leaves", "tree"} <= set(head):
        raise ValueError(f"`{path}` is truncated or altered: its first line is not whole.")
    return head


def _check_whole(file: BinaryIO, head: dict, path: Path) -> None:
    digest = _started({"leaves": head["leaves"], "tree": head["tree"]})
    while chunk := file.read(1 << 20):
        digest.update(chunk)
    if digest.hexdigest() != head["sha256"]:
        raise ValueError(
            f"`{path}` is truncated or altered: its SHA-256 is not the one in its first line."
        )


def _check_precision(specs: list[dict], path: Path) -> None:
    for spec in specs:
        if spec["kind"] == "jax":
            dtype = np.dtype(spec["dtype"])
            if jnp.asarray(np.zeros((), dtype)).dtype != dtype:
                raise ValueError(
                    f"`{path}` holds {dtype} arrays and JAX has 64 bits turned off, so that they "
                    f'would be rounded: call jax.config.update("jax_enable_x64", True) first.'
                )
