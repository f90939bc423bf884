"""What a figure holds: numbers, and the paper's claims beside what was measured."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

_WIDTHS = (3, 46, 47, 5)
_HEADS = ("fig", "claim of the paper", "measured", "holds")


@dataclass(frozen=True)
class PaperClaim:
    """One line of the paper and what was measured.

    **Attributes:**

    - `figure`: the number of the figure it belongs to.
    - `claim`: the claim, with its source; an erratum says so.
    - `measured`: what was measured, with numbers.
    - `holds`: whether the measurement agrees with the claim (for an erratum: with the correction).
    """

    figure: int
    claim: str
    measured: str
    holds: bool


@dataclass(frozen=True)
class FigureData:
    """The numbers behind a figure, by name, and the claims they bear on."""

    arrays: Mapping[str, np.ndarray]
    claims: tuple[PaperClaim, ...]

    def __getitem__(self, name: str) -> np.ndarray:
        return self.arrays[name]


@dataclass(frozen=True)
class PaperReport:
    """What [`reproduce`][] measured and wrote.

    **Attributes:**

    - `claims`: a [`PaperClaim`][] for each line of the table.
    - `files`: the files written.
    """

    claims: tuple[PaperClaim, ...]
    files: tuple[Path, ...]

    @property
    def holds(self) -> bool:
        """Whether every claim holds."""
        return all(claim.holds for claim in self.claims)

    def table(self) -> str:
        """The claims as plain text, aligned, at most 110 columns wide."""
        lines = [_row(_HEADS), "  ".join("-" * width for width in _WIDTHS)]
        previous = None
        for claim in self.claims:
            figure = "" if claim.figure == previous else str(claim.figure)
            previous = claim.figure
            lines.append(
                _row((figure, claim.claim, claim.measured, "yes" if claim.holds else "NO"))
            )
        held = sum(claim.holds for claim in self.claims)
        lines += ["", f"{held} of {len(self.claims)} hold."]
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.table()


def _row(cells: Sequence[str]) -> str:
    wrapped = [
        textwrap.wrap(cell, width) or [""] for cell, width in zip(cells, _WIDTHS, strict=True)
    ]
    height = max(map(len, wrapped))
    padded = [lines + [""] * (height - len(lines)) for lines in wrapped]
    rows = zip(*padded, strict=True)
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, _WIDTHS, strict=True)).rstrip()
        for row in rows
    )
