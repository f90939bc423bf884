"""What a figure of the gallery is: numbers by name, claims beside measurements, and the picture."""

import json
import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from ..records import atomic_write, provenance, writable_folder

_WIDTHS = (22, 44, 44, 11)
_HEADS = ("figure", "what is claimed", "measured", "holds")


@dataclass(frozen=True)
class GalleryClaim:
    """One statement of a paper, or of the field, and what was measured.

    **Attributes:**

    - `source`: the arXiv number, and where in the paper.
    - `claim`: the statement.
    - `measured`: what was measured, with numbers.
    - `holds`: whether the measurement agrees. With `contradicts`: whether it agrees with the correction.
    - `contradicts`: the number of a paper or its code that the measurement speaks against; `None` for none.
    """

    source: str
    claim: str
    measured: str
    holds: bool
    contradicts: str | None = None

    @property
    def verdict(self) -> str:
        """`"yes"`, `"contradicts"` (a published number, which is named), or `"NO"`."""
        if not self.holds:
            return "NO"
        return "yes" if self.contradicts is None else "contradicts"


@dataclass(frozen=True)
class Measured:
    """The numbers behind a figure, by name, and the claims they bear on: what a figure's first function returns."""

    arrays: Mapping[str, np.ndarray]
    claims: tuple[GalleryClaim, ...]

    def __getitem__(self, name: str) -> np.ndarray:
        return self.arrays[name]


@dataclass(frozen=True)
class GalleryFigure:
    """A figure of the gallery as [`draw`][attnflow.gallery.draw] returns it.

    **Attributes:**

    - `name`, `paper`, `shows`: as in [`catalogue`][attnflow.gallery.catalogue].
    - `size`, `seed`: as asked for.
    - `data`: the arrays by name.
    - `claims`: a [`GalleryClaim`][] for each line of its table.
    - `figure`: the picture, of matplotlib.
    - `seconds`: how long it took.
    """

    name: str
    paper: str
    shows: str
    size: str
    seed: int
    data: Mapping[str, np.ndarray] = field(repr=False)
    claims: tuple[GalleryClaim, ...] = field(repr=False)
    figure: Figure = field(repr=False)
    seconds: float

    def __getitem__(self, name: str) -> np.ndarray:
        return self.data[name]

    @property
    def holds(self) -> bool:
        """Whether no line of the table failed."""
        return all(claim.holds for claim in self.claims)

    def table(self) -> str:
        """The claims as plain text, aligned, at most 130 columns wide."""
        return table([self])

    def __str__(self) -> str:
        return self.table()

    def save(self, folder: str | Path) -> tuple[Path, ...]:
        """Writes `name.png`, the arrays as `name.npz` and the account as `name.json`, each whole or not at all.

        **Arguments:**

        - `folder`: made when it is not there.

        **Returns:**

        The three files.

        **Raises:**

        - `OSError`: a folder that cannot be made or written.
        """
        out = writable_folder(folder)
        png, npz, account = (out / f"{self.name}.{kind}" for kind in ("png", "npz", "json"))
        with atomic_write(npz) as file:
            np.savez_compressed(file, allow_pickle=False, **dict(self.data))
        with atomic_write(png) as file:
            self.figure.savefig(file, format="png")
        record = {
            "figure": self.name,
            "paper": f"arXiv:{self.paper}",
            "shows": self.shows,
            "size": self.size,
            "seed": self.seed,
            "seconds": round(self.seconds, 3),
            "arrays": {name: list(np.shape(value)) for name, value in self.data.items()},
            "claims": [
                {
                    "source": claim.source,
                    "claim": claim.claim,
                    "measured": claim.measured,
                    "verdict": claim.verdict,
                    "contradicts": claim.contradicts,
                }
                for claim in self.claims
            ],
            "provenance": provenance(),
        }
        with atomic_write(account) as file:
            file.write(json.dumps(record, indent=1, allow_nan=False).encode())
        return png, npz, account


@dataclass(frozen=True)
class GalleryReport:
    """What [`exhibit`][attnflow.gallery.exhibit] measured and wrote.

    **Attributes:**

    - `figures`: a [`GalleryFigure`][] each, in the order asked for; their pictures are in the files.
    - `files`: the files written.
    """

    figures: tuple[GalleryFigure, ...]
    files: tuple[Path, ...]

    @property
    def claims(self) -> tuple[GalleryClaim, ...]:
        """The claims of all figures."""
        return tuple(claim for figure in self.figures for claim in figure.claims)

    @property
    def holds(self) -> bool:
        """Whether no line failed: each holds, or names the published number that it contradicts."""
        return all(figure.holds for figure in self.figures)

    def table(self) -> str:
        """The claims of all figures as plain text."""
        return table(self.figures)

    def __str__(self) -> str:
        return self.table()


def table(figures: Sequence[GalleryFigure]) -> str:
    """The claims of some figures as plain text, and a line that counts them."""
    lines = [_row(_HEADS), "  ".join("-" * width for width in _WIDTHS)]
    for figure in figures:
        label = f"{figure.name} ({figure.paper})"
        for claim in figure.claims:
            said = f"{claim.source}: {claim.claim}"
            found = claim.measured
            if claim.contradicts is not None:
                found += f" [contradicts {claim.contradicts}]"
            lines.append(_row((label, said, found, claim.verdict)))
            label = ""
    verdicts = [claim.verdict for figure in figures for claim in figure.claims]
    held, against = verdicts.count("yes"), verdicts.count("contradicts")
    text = f"{held} of {len(verdicts)} hold"
    if against:
        text += f", {against} contradict{'s' if against == 1 else ''} a published number"
    if (failed := len(verdicts) - held - against) > 0:
        text += f", {failed} FAILED"
    return "\n".join([*lines, "", f"{text}."])


def _row(cells: Sequence[str]) -> str:
    wrapped = [
        textwrap.wrap(cell, width) or [""] for cell, width in zip(cells, _WIDTHS, strict=True)
    ]
    height = max(map(len, wrapped))
    padded = [lines + [""] * (height - len(lines)) for lines in wrapped]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, _WIDTHS, strict=True)).rstrip()
        for row in zip(*padded, strict=True)
    )


def slope(x: np.ndarray, y: np.ndarray) -> float:
    """The slope of the straight line through points, by least squares."""
    return float(np.polyfit(x, y, 1)[0])


def worst(values: np.ndarray | float) -> float:
    """The largest size among values; infinite where one is not a number."""
    largest = float(np.max(np.abs(values)))
    return math.inf if math.isnan(largest) else largest
