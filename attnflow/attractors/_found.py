"""What `find` returns: a row for each attractor, and the table of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from ..linearisation import Spectrum
from ._kinds import Shape, described

Kind = Literal["consensus", "polarised", "clusters", "polygon", "cycle", "no rest", "slow"]


@dataclass(frozen=True, eq=False)
class Attractor:
    r"""One place where starts end, up to the symmetries of the field.

    **Attributes:**

    - `kind`: an equilibrium that is stable by its spectrum, modulo the family of its symmetries, is
      `"consensus"`, `"polarised"` (two opposite points), `"polygon"` (regular, of equal masses) or
      `"clusters"` (all others); `"cycle"` is a closed orbit that attracts (consensus that turns is one);
      `"slow"` is where starts stay until the end and that is no attractor as far as its spectrum tells (an
      eigenvalue is right of the margin, or zero without a symmetry that says why), or where they creep on
      with no equilibrium near; `"no rest"` is the remainder.
    - `shape`: the name of its configuration, whatever its kind: a polarised saddle is `"slow"` by kind.
    - `masses`: tokens in each cluster, the largest first.
    - `count`, `share`: how many starts ended there, and their part of all.
    - `low`, `high`: Wilson's 95 % interval of the share.
    - `state`: tokens, `(tokens, dim)`: polished, where there is an equilibrium; a point of the cycle; or where
      a start ended.
    - `spectrum`: the [`Spectrum`][attnflow.theory.Spectrum] there, by the exact Jacobian; of a cycle, that of
      this one point.
    - `start`: the first start that ended there, `(tokens, dim)`, and `number`, which one it was.
    - `period`: of a cycle, else `None`.
    - `multipliers`: of a cycle, complex, the largest first, the 1 of its own direction among them; else `None`.
    """

    kind: Kind
    shape: str
    masses: tuple[int, ...]
    count: int
    share: float
    low: float
    high: float
    state: Float[np.ndarray, "tokens dim"]
    spectrum: Spectrum
    start: Float[np.ndarray, "tokens dim"]
    number: int
    period: float | None = None
    multipliers: np.ndarray | None = None

    @property
    def detail(self) -> str:
        """The masses, and what is not said by the kind."""
        words = described(Shape(self.shape, self.masses))
        return words if self.kind == self.shape else f"{self.shape} {words}"

    def __str__(self) -> str:
        lines = [
            f"{self.kind} ({self.detail}): share {self.share:.4g}, 95 % {self.low:.4g} to {self.high:.4g}"
        ]
        if self.period is not None:
            lines.append(f"period {self.period:.8g}")
        return "\n".join([*lines, str(self.spectrum)])


@dataclass(frozen=True, eq=False)
class Attractors:
    """All rows, the largest share first; printed, a table.

    **Attributes:**

    - `rows`: an [`Attractor`][attnflow.attractors.Attractor] each; the object itself goes through
      them: `found[0]`, `for row in found`.
    - `labels`: the row of each start, -1 for a run that failed.
    - `number`: of starts. Shares are parts of all of them.
    - `failed`: how many runs failed.
    - `t1`: where runs ended; those that were not decided then went on, to five times that.
    """

    rows: tuple[Attractor, ...]
    labels: Int[np.ndarray, " starts"]
    number: int
    failed: int
    t1: float

    def __iter__(self) -> Iterator[Attractor]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int | np.integer) -> Attractor:
        return self.rows[index]

    def share(self, kind: str) -> float:
        """The share of all rows of one kind together."""
        return sum(row.count for row in self.rows if row.kind == kind) / self.number

    def __str__(self) -> str:
        lines = [f"{self.number} starts, {len(self.rows)} rows"]
        lines.append(
            f"{'kind':<10} {'':<18} {'share':>9}   {'95 %':<19} {'rightmost':>11}  verdict"
        )
        for row in self.rows:
            outside = row.spectrum.outside
            rightmost = f"{outside[0].real:11.4g}" if len(outside) else f"{'-':>11}"
            interval = f"{row.low:.4g} to {row.high:.4g}"
            verdict = f"period {row.period:.6g}" if row.period else row.spectrum.verdict
            lines.append(
                f"{row.kind:<10} {row.detail:<18} {row.share:9.4g}   {interval:<19} {rightmost}  {verdict}"
            )
        if self.failed:
            lines.append(f"{self.failed} runs failed and are in no row")
        return "\n".join(lines)
