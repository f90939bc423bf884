"""`draw` one figure, or `exhibit` many with their files."""

import time
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from os import PathLike
from pathlib import Path

import jax.numpy as jnp
import jax.random as jr

from ..core.checks import choose, shown, whole
from ..records import atomic_write, progress, writable_folder
from ._catalogue import ENTRIES, GalleryEntry
from ._claims import GalleryFigure, GalleryReport

SIZES = ("tiny", "small", "full")


def figure_names() -> tuple[str, ...]:
    """The names of all figures, by paper.

    ```python
    af.gallery.figure_names()
    ```
    """
    return tuple(ENTRIES)


def catalogue() -> Mapping[str, GalleryEntry]:
    """All figures by name, each a [`GalleryEntry`][] with its paper and what it shows.

    ```python
    af.gallery.catalogue()["staircase"].paper                # "2410.06833"
    ```
    """
    return ENTRIES


def draw(name: str, *, size: str = "small", seed: int = 0) -> GalleryFigure:
    """A figure of the field's papers: the picture, the numbers behind it, and its claims beside measurements.

    Computed and drawn anew, by this library alone. Where a paper draws at random, so does this, by `seed`: pictures
    are like the published ones, and statements are what is compared.

    **Arguments:**

    - `name`: one of [`figure_names`][attnflow.gallery.figure_names].
    - `size`: `"small"` (seconds to a minute each), `"full"` (more tokens, finer maps or more draws,
      up to some minutes each), or `"tiny"`, which is for tests.
    - `seed`: of random starts and matrices.

    **Returns:**

    A [`GalleryFigure`][]: `.figure`, `.data`, `.claims`, `.table()`, `.save(folder)`.

    **Raises:**

    - `ValueError`: a figure that is not there, another size, a seed that is not a whole number from 0 on.
    - `RuntimeError`: 64-bit numbers are off.

    ```python
    shown = af.gallery.draw("staircase")
    print(shown.table())
    shown.figure.savefig("staircase.png")
    ```
    """
    (entry,) = chosen([name])
    size, seed = _how(size, seed)
    return _drawn(entry, size, seed)


def exhibit(
    names: Iterable[str] | None = None,
    *,
    out: str | PathLike[str],
    size: str = "small",
    seed: int = 0,
) -> GalleryReport:
    """Many figures, their pictures, numbers and accounts written to a folder.

    Of each figure `name.png`, `name.npz` and `name.json`, and of all of them `claims.txt`. A figure's numbers depend on
    its name, `size` and `seed`, not on which others are drawn.

    **Arguments:**

    - `names`: which figures; all unless given.
    - `out`: a folder, made when it is not there.
    - `size`, `seed`: as in [`draw`][attnflow.gallery.draw].

    **Returns:**

    A [`GalleryReport`][]: `.figures`, `.table()`, `.holds`, `.files`.

    **Raises:**

    As [`draw`][attnflow.gallery.draw], and `OSError` for a folder that cannot be written, before any work is done.

    ```python
    report = af.gallery.exhibit(["polytope", "hyperplanes"], out="gallery")
    ```
    """
    entries = chosen(ENTRIES if names is None else names)
    size, seed = _how(size, seed)
    folder = writable_folder(out)
    figures: list[GalleryFigure] = []
    files: list[Path] = []
    with progress(total=len(entries), unit="figure") as bar:
        for entry in entries:
            bar.set_description(entry.name)
            figures.append(_drawn(entry, size, seed))
            files += figures[-1].save(folder)
            bar.update()
    report = GalleryReport(tuple(figures), (*files, folder / "claims.txt"))
    with atomic_write(folder / "claims.txt") as file:
        file.write((report.table() + "\n").encode())
    return report


def chosen(names: Iterable[str]) -> tuple[GalleryEntry, ...]:
    """The figures of these names, each once; a `ValueError` for none, and for one that is not there."""
    if isinstance(names, str):
        raise ValueError(f"`names` must be a list of names; got {shown(names)}. Use [{names!r}].")
    found: dict[str, GalleryEntry] = {}
    for name in names:
        if not isinstance(name, str) or name not in ENTRIES:
            near = get_close_matches(str(name), ENTRIES, 1)
            hint = f"did you mean {near[0]}?" if near else "attnflow gallery --list names them."
            raise ValueError(f"`name` must be a figure of the gallery; got {shown(name)}: {hint}")
        found[name] = ENTRIES[name]
    if not found:
        raise ValueError("`names` must name at least one figure; got none. Use None for all.")
    return tuple(found.values())


def _how(size: str, seed: int) -> tuple[str, int]:
    size, seed = choose("size", size, SIZES), whole("seed", seed, least=0)
    if jnp.zeros(()).dtype != jnp.float64:
        raise RuntimeError(
            "The gallery needs 64-bit numbers; call jax.config.update('jax_enable_x64', True) first."
        )
    return size, seed


def _drawn(entry: GalleryEntry, size: str, seed: int) -> GalleryFigure:
    begun = time.perf_counter()
    # Of the seed and the name: other figures change nothing.
    key = jr.fold_in(jr.key(seed), int.from_bytes(entry.name.encode()[:3]))
    data = entry.measure(key, size)
    figure = entry.picture(data)
    return GalleryFigure(
        name=entry.name, paper=entry.paper, shows=entry.shows, size=size, seed=seed,
        data=data.arrays, claims=data.claims, figure=figure, seconds=time.perf_counter() - begun,
    )  # fmt: skip
