"""Cases read from files, and ready ones by name; every error is one line with its place."""

import os
from importlib.resources import files
from pathlib import Path

import msgspec

from ..core.words import check_nesting, loads
from ..records import atomic_write
from ._case import Case
from .tables import with_place

_READY = files("attnflow.spec") / "cases"


def names() -> tuple[str, ...]:
    """The names of the ready cases, such as `"figure2"`.

    !!! example

        ```python
        for name in af.spec.names():
            print(name, af.spec.read(name).title)
        ```
    """
    return tuple(sorted(entry.name.removesuffix(".toml") for entry in _READY.iterdir()))


def read(source: str | os.PathLike[str]) -> Case:
    """A case from a `.toml` or `.json` file, or a ready one by name.

    **Arguments:**

    - `source`: a path, or one of `names()` (which comes first).

    **Returns:**

    The `Case`.

    **Raises:**

    `ValueError` of one line, `file: $.table.key: what is wrong`, for an unknown key, a wrong type,
    a missing key or a syntax error, and for a name that is not known; `OSError` when the file
    cannot be read.

    !!! example

        ```python
        case = af.spec.read("figure2")
        field, y0, options = case.build()
        ```
    """
    name = os.fspath(source)
    path = Path(name)
    if name in names():
        return _decode((_READY / f"{name}.toml").read_bytes(), f"{name}.toml")
    if path.suffix not in (".toml", ".json"):
        raise ValueError(
            f"`{name}` is neither a .toml or .json file nor one of the ready cases "
            f"{', '.join(names())}."
        )
    return _decode(path.read_bytes(), name)


def write(path: str | os.PathLike[str], case: Case) -> None:
    """Write a case to a `.toml` or `.json` file that `read` gives back equal.

    **Raises:**

    `ValueError` for another ending; `OSError` when the file cannot be written.
    """
    suffix = Path(path).suffix
    if suffix not in (".toml", ".json"):
        raise ValueError(f"`path` must end in .toml or .json; got {os.fspath(path)!r}.")
    encode = msgspec.toml.encode if suffix == ".toml" else msgspec.json.encode
    with atomic_write(path) as file:
        file.write(encode(case))


def _decode(text: bytes, name: str) -> Case:
    decode = msgspec.json.decode if name.endswith(".json") else msgspec.toml.decode
    try:
        check_nesting(text, 24)
        case = decode(text, type=Case)
        if name.endswith(".json"):
            loads(text)  # for keys that are there twice, of which msgspec takes the last
        return case
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{name}: {with_place(str(error))}") from error
