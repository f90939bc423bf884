"""`monitor`: what theorems predict, watched along a run; the first violation is found."""

from dataclasses import dataclass

import equinox as eqx
import numpy as np
from jaxtyping import ArrayLike, Real

from ..core.checks import instance
from ..core.lazy import renamed_argument
from ..core.types import Scalar
from ..flow import Solution
from ..model import AttentionField
from ..observables import Misalignment
from ._quantities import Quantity
from ._verdict import Verdicts
from ._verdicts import verdicts


@dataclass(frozen=True)
class Check:
    """One quantity, as a run has it.

    - `theorem`, `quantity`, `claim`: of what, which, and what is to hold.
    - `holds`: whether it did, within `tolerance`.
    - `time`: when it first did not; `None` where it held.
    - `excess`: by how much it was broken at most (negative or zero: not at all).
    """

    theorem: str
    quantity: str
    claim: str
    holds: bool
    time: float | None
    excess: float
    tolerance: float

    def __str__(self) -> str:
        name = f"{self.theorem}: {self.quantity} {self.claim}"
        if self.holds:
            return f"{name}: holds"
        return f"{name}: VIOLATED from t = {self.time:.6g} on, by up to {self.excess:.3g}"


@dataclass(frozen=True)
class Report:
    """What a run says of the predictions.

    - `checks`: one [`Check`][attnflow.theory.Check] a quantity.
    - `distances`: by theorem that names a limit, the largest distance of a token from it at the end.
    """

    checks: tuple[Check, ...]
    distances: dict[str, float]

    @property
    def holds(self) -> bool:
        """Whether every quantity did as it was said to."""
        return all(check.holds for check in self.checks)

    @property
    def first(self) -> Check | None:
        """The check that fails first in time, `None` where none does."""
        failed = [check for check in self.checks if check.time is not None]
        return min(failed, key=lambda check: check.time or 0.0, default=None)

    def __str__(self) -> str:
        lines = [str(check) for check in self.checks]
        lines += [
            f"{name}: at the end {d:.3g} from the limit" for name, d in self.distances.items()
        ]
        return "\n".join(lines) or "no theorem that applies says anything of a run"


class Monitor:
    """The observables that theorems speak of, for one field and start.

    `observe` goes to `simulate`; `check` judges its solution.
    """

    def __init__(self, known: Verdicts):
        self.verdicts = known
        self._watched: dict[str, tuple[str, Quantity]] = {}
        for key, verdict in known.items():
            if verdict.applies is not False and verdict.prediction is not None:
                for quantity in verdict.prediction.quantities:
                    self._watched[f"{key}: {quantity.name}"] = (key, quantity)

    @property
    def observe(self) -> dict[str, eqx.Module]:
        """Observers by name, for `simulate(..., observe=monitor.observe)`; misalignment among them."""
        watched = {name: quantity.observer for name, (_, quantity) in self._watched.items()}
        return {"E": Misalignment(), **watched}

    def check(self, solution: Solution, *, tolerance: float | None = None) -> Report:
        """What `solution`, a run with these observers, says of the predictions.

        **Arguments:**

        - `solution`: of `simulate` with `observe` and some times `ts`; more observers may be there.
        - `tolerance`: how much a quantity may miss its claim beside its own size (at least one);
          1e-7 for runs in float64, 1e-3 in float32. It has to be above the error of the run.

        **Raises:**

        - `ValueError`: the solution lacks an observer.
        """
        ys = solution.ys
        if not isinstance(ys, dict) or any(name not in ys for name in self._watched):
            raise ValueError(
                "`solution` must hold this monitor's observables; run simulate with "
                "observe=monitor.observe, more added if you like."
            )
        if tolerance is None:
            tolerance = 1e-7 if solution.y1.dtype == np.float64 else 1e-3
        saved = np.asarray(solution.saved)
        ts = np.asarray(solution.ts, np.float64)[saved]
        checks = []
        for name, (key, quantity) in self._watched.items():
            values = np.asarray(ys[name], np.float64)[saved]
            checks.append(_check(key, quantity, ts, values, tolerance))
        end = np.asarray(solution.y1, np.float64)
        distances = {}
        for key, verdict in self.verdicts.items():
            limit = None if verdict.prediction is None else verdict.prediction.limit
            if verdict.applies is True and limit is not None and key != "local":
                tokens = end[:1] if key == "Oja" else end
                distances[key] = float(np.linalg.norm(tokens - limit[None], axis=1).max())
        return Report(tuple(checks), distances)


def _check(
    key: str, quantity: Quantity, ts: np.ndarray, values: np.ndarray, tolerance: float
) -> Check:
    predicted = ts <= quantity.until
    excess = np.where(predicted, quantity.excess(ts, values), -np.inf)
    size = max(1.0, float(np.abs(values).max(initial=0)))
    bad = np.flatnonzero(~(excess <= tolerance * size))
    worst = float(np.max(excess, initial=-np.inf))
    time = float(ts[bad[0]]) if len(bad) else None
    return Check(key, quantity.name, quantity.claim, not len(bad), time, worst, tolerance * size)


@renamed_argument("found", "known")
def monitor(
    field: AttentionField,
    y0: Real[ArrayLike, "tokens dim"],
    *,
    t0: Scalar = 0.0,
    known: Verdicts | None = None,
) -> Monitor:
    """The predictions for a field and a start as observables, and a judge of the run.

    Watched is what follows from every theorem that applies, or cannot be decided: then a violation
    is a hint that it does not apply.

    **Arguments:**

    - `field`, `y0`, `t0`: as those of [`verdicts`][attnflow.theory.verdicts].
    - `known`: verdicts that are there already; they are worked out otherwise.

    **Returns:**

    A [`Monitor`][attnflow.theory.Monitor]: `.observe` for `simulate`, `.check(solution)` for a
    [`Report`][attnflow.theory.Report] with the first violation, `.verdicts`.

    ```python
    watch = af.theory.monitor(field, y0)
    sol = af.simulate(field, y0, t1=20.0, ts=jnp.linspace(0, 20, 201), observe=watch.observe)
    print(watch.check(sol))
    ```
    """
    if known is not None:
        instance("known", known, Verdicts, "what verdicts gives")
    return Monitor(verdicts(field, y0, t0=t0) if known is None else known)
