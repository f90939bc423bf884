"""What became of a candidate, and the numbers that say so."""

from dataclasses import dataclass, fields
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..core.checks import shown

LEAST = 1e-3  # a margin below it is no violation
CHECK_SEED = (
    0  # of the starts beside a counterexample, when it is made small and when its file is checked
)

STATUSES = {
    "open": "a violation with an open basin: a stable equilibrium or cycle, or a rate that is not zero",
    "no rest": "a violation with an open basin by tokens that never come to rest",
    "null set": "a start that converges to an unstable equilibrium, starts beside it do not",
    "outside the domain": "a hypothesis of the claim does not hold",
    "transient": "the margin falls when the run goes on",
    "metastable": "slow: an unstable equilibrium, or tokens that creep",
    "rounding": "a sign that lies within its rounding error",
    "undecided": "checks disagree, or one could not be made",
}
_BREAKING = ("open", "no rest", "null set")
_WORDS = ("status", "why")
_ARRAYS = ("equilibrium", "after")


@dataclass(frozen=True)
class Evidence:
    r"""What became of a candidate.

    **Attributes:**

    - `status`: `"open"` (a stable equilibrium or cycle, and a basin around the start), `"no rest"`
      (tokens that move for ever, likewise) and `"null set"` (a start that an unstable equilibrium draws
      in) are counterexamples, the last to claims on every start. `"outside the domain"`, `"transient"`,
      `"metastable"`, `"rounding"` and `"undecided"` are not.
    - `why`: in a sentence, with the number that decides.
    - `margin`: of the conclusion: of the equilibrium, the least on the cycle, or at the end.
    - `time`, `other`: how long it was run, and the margin by another solver at a tight tolerance; on a
      null set that of the starts beside it.
    - `after`: the tokens by that solver after a unit of time, $1/(h\cdot$`scale`$)$ (a short time for a
      rate): every digit of the case has a part in them.
    - `equilibrium`, `moved`, `speed`: the tokens it was polished to, how far that was (radians), and
      the speed that is left.
    - `rightmost`, `error`, `family`: the largest real part of the spectrum outside the family of
      equilibria through it, its rounding error, and the dimension of that family, which a symmetry makes
      or which was gone along. For a cycle the largest modulus of its multipliers, less 1.
    - `period`: of the cycle; `None` for an equilibrium.
    - `basin`: the part of starts beside it that violate the claim too.
    """

    status: str
    why: str
    margin: float = 0.0
    time: float = 0.0
    other: float | None = None
    after: Float[Array, "tokens dim"] | None = None
    equilibrium: Float[Array, "tokens dim"] | None = None
    moved: float | None = None
    speed: float | None = None
    rightmost: float | None = None
    error: float | None = None
    family: int | None = None
    period: float | None = None
    basin: float | None = None

    @property
    def breaks(self) -> bool:
        """Whether a claim on every start is broken; one on almost every start is by all but `"null set"`."""
        return self.status in _BREAKING

    def plain(self) -> dict[str, Any]:
        """As numbers, lists and strings."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        return {n: np.asarray(x).tolist() if hasattr(x, "shape") else x for n, x in values.items()}

    @classmethod
    def of(cls, plain: dict[str, Any]) -> "Evidence":
        """From what `plain` gives; a `ValueError` where a part is missing or of another kind."""
        names = {item.name for item in fields(cls)}
        if (
            not isinstance(plain, dict)
            or set(plain) != names
            or not all(isinstance(plain[n], str) for n in _WORDS)
        ):
            raise ValueError(f"evidence must have the parts {', '.join(sorted(names))}")
        parts: dict[str, Any] = dict(plain)
        for name in names - {*_WORDS, *_ARRAYS}:
            known = plain[name] is not None or name in ("margin", "time")
            if known and (
                isinstance(plain[name], bool) or not isinstance(plain[name], int | float)
            ):
                raise ValueError(f"{name} must be a number; got {shown(plain[name])}")
        for name in _ARRAYS:
            if plain[name] is None:
                continue
            try:
                parts[name] = jnp.asarray(plain[name], float)
            except (ValueError, TypeError, OverflowError) as error:
                raise ValueError(f"{name} must be rows of numbers") from error
        return cls(**parts)

    def __str__(self) -> str:
        lines = [f"{self.status}: {self.why}"]
        lines.append(
            f"margin {self.margin:.6g} (a violation from {LEAST:g} on), run to t = {self.time:g}"
        )
        if self.other is not None:
            alone = self.status == "null set"
            whose = "of starts beside it" if alone else "by another solver"
            lines[-1] += f"; {whose} {self.other:.6g}"
        if self.rightmost is not None:
            what = "rightmost eigenvalue" if self.period is None else "largest multiplier, less 1,"
            lines.append(f"{what} {self.rightmost:.4g}, known to {self.error or 0.0:.1g}")
            if self.family:
                lines[-1] += f", outside a family of dimension {self.family}"
        if self.basin is not None:
            lines.append(f"{self.basin:.0%} of the starts beside it violate the claim too")
        return "\n".join(lines)
