"""What `branch` returns: curves of equilibria, and the points on them where something happens."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Complex, Float, Int

from ._orbits import Orbit


@dataclass(frozen=True, eq=False)
class Trace:
    """One curve of equilibria, in the order in which it is walked; the value may turn back.

    **Attributes:**

    - `value`: the parameter, `(n,)`.
    - `y`: the equilibria, `(n, tokens, dim)`.
    - `eigenvalues`: complex, `(n, tokens (dim - 1))`, as in [`spectrum`][attnflow.theory.spectrum].
    - `unstable`: how many are right of zero by more than the margin, `(n,)`, outside the family of symmetries.
    - `verdicts`: `"stable"`, `"unstable"` or `"undecided"`, one a point.
    - `origin`: the index of the special point that it leaves from; `None` for the curve through the start.
    - `ends`: why it ends where it does, at the first and at the last point.
    """

    value: Float[np.ndarray, " n"]
    y: Float[np.ndarray, "n tokens dim"]
    eigenvalues: Complex[np.ndarray, "n m"]
    unstable: Int[np.ndarray, " n"]
    verdicts: tuple[str, ...]
    origin: int | None
    ends: tuple[str, str]


@dataclass(frozen=True, eq=False)
class SpecialPoint:
    """A point at which an eigenvalue outside the family of symmetries is on the imaginary axis.

    **Attributes:**

    - `kind`: `"fold"`, `"pitchfork"`, `"transcritical"` or `"hopf"`.
    - `value`: the parameter there, and `width`, how far it may be off by rounding.
    - `y`: the equilibrium, `(tokens, dim)`.
    - `eigenvalue`: complex, with the imaginary part of the pair at a Hopf point.
    - `multiplicity`: how many eigenvalues vanish at once; 2 for a pair.
    - `curve`: the index of the curve on which it was met.
    - `branches`: the indices of the curves that were followed from it.
    - `orbits`: closed orbits that leave a Hopf point, the smallest first.
    """

    kind: Literal["fold", "pitchfork", "transcritical", "hopf"]
    value: float
    width: float
    y: Float[np.ndarray, "tokens dim"]
    eigenvalue: complex
    multiplicity: int
    curve: int
    branches: tuple[int, ...] = ()
    orbits: tuple[Orbit, ...] = ()

    def __str__(self) -> str:
        words = [f"{self.kind:<13} at {self.value:.12g} +- {self.width:.1g}, curve {self.curve}"]
        if self.multiplicity > 1 + (self.kind == "hopf"):
            words.append(f"{self.multiplicity} eigenvalues")
        if self.kind == "hopf":
            words.append(f"frequency {self.eigenvalue.imag:.6g}, {len(self.orbits)} orbits")
        if self.branches:
            words.append("to curve " + " and ".join(map(str, self.branches)))
        return ", ".join(words)


@dataclass(frozen=True, eq=False)
class Branches:
    """All curves, the one through the start first, and all special points; printed, a list of both.

    **Attributes:**

    - `curves`: a [`Trace`][attnflow.attractors.Trace] each.
    - `special`: a [`SpecialPoint`][attnflow.attractors.SpecialPoint] each, in the order in which they
      were met. The object itself goes through these.
    """

    curves: tuple[Trace, ...]
    special: tuple[SpecialPoint, ...]

    def __iter__(self) -> Iterator[SpecialPoint]:
        return iter(self.special)

    def __len__(self) -> int:
        return len(self.special)

    def __getitem__(self, index: int | np.integer) -> SpecialPoint:
        return self.special[index]

    @property
    def special_points(self) -> tuple[SpecialPoint, ...]:
        """`special`, under its full name."""
        return self.special

    def __str__(self) -> str:
        lines = [f"{len(self.curves)} curves, {len(self.special)} special points"]
        for k, curve in enumerate(self.curves):
            stable = sum(verdict == "stable" for verdict in curve.verdicts)
            line = f"curve {k}: {len(curve.value)} points, {curve.value.min():.6g} to {curve.value.max():.6g}, "
            lines.append(line + f"{stable} stable; ends: {curve.ends[0]}, {curve.ends[1]}")
        return "\n".join([*lines, *map(str, self.special)])
