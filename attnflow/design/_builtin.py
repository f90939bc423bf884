"""The briefs that come with the library, as files; JAX is not needed to read them."""

import tomllib
from importlib.resources import files

_FOLDER = files("attnflow.design") / "briefs"


def names() -> tuple[str, ...]:
    """The names of the ready briefs, such as `"accelerate"`."""
    return tuple(sorted(entry.name.removesuffix(".toml") for entry in _FOLDER.iterdir()))


def text(name: str) -> str:
    """The file of a ready brief, comments and all; a `ValueError` for a name that is not one."""
    if name not in names():
        raise ValueError(f"`{name}` is not one of the ready briefs {', '.join(names())}.")
    return (_FOLDER / f"{name}.toml").read_text()


def brief_titles() -> dict[str, str]:
    """The title of every ready brief, by the name that [`Brief.read`][attnflow.search.Brief] takes."""
    return {name: tomllib.loads(text(name)).get("title", "") for name in names()}
