"""What an ensemble returns: a result for each trajectory, in the order of starts, and summaries."""

import enum
from typing import Any

import numpy as np

from ..core.types import PyTree


class Outcome(enum.IntEnum):
    """How a trajectory ended.

    - `REACHED`: an event of `until` happened.
    - `TIME_UP`: it came to `t1`.
    - `NOT_FINITE`: the field or the tokens stopped being finite.
    - `STEP_LIMIT`: `max_steps` was not enough.
    - `BAD_START`: its start was off the manifold, zero or not finite.
    - `SOLVER_FAILED`: the solver said so.
    - `EVENT_NAN`: an event of `until` became NaN before any had happened ([`simulate`][] says which).
    """

    REACHED = 1
    TIME_UP = 2
    NOT_FINITE = 3
    STEP_LIMIT = 4
    BAD_START = 5
    SOLVER_FAILED = 6
    EVENT_NAN = 7

    @property
    def words(self) -> str:
        """The same as the end of a sentence: "... came to t1"."""
        return _WORDS[self]

    @property
    def failed(self) -> bool:
        """Whether the trajectory has no end that means anything."""
        return self > Outcome.TIME_UP


_WORDS = {
    Outcome.REACHED: "reached an event",
    Outcome.TIME_UP: "came to t1",
    Outcome.NOT_FINITE: "stopped being finite",
    Outcome.STEP_LIMIT: "ran out of steps (max_steps)",
    Outcome.BAD_START: "had a start off the manifold, zero or not finite",
    Outcome.SOLVER_FAILED: "failed in the solver",
    Outcome.EVENT_NAN: "had an event that was NaN",
}


class Records:
    """Results of some trajectories; NumPy arrays with a leading axis of trajectories.

    **Attributes:**

    - `number`: of each trajectory in `starts`.
    - `ts`: the times asked for, shape `(n,)`; `None` where the end alone is observed.
    - `ys`: observed values, a pytree like `observe`, shape `(trajectories, n, ...)`, `n = 1` without
      `ts`. Saves that did not happen are NaN (-1 for integers, the largest
      for unsigned ones, False for Booleans). Values keep their dtype to the last bit.
    - `saved`: how many saves happened.
    - `t1`: when each ended.
    - `outcome`: an [`Outcome`][] each, as small integers.
    - `event`: which event ended it, a pytree of Booleans like `until`; `None` without.
    - `stats`: `num_steps`, `num_accepted_steps`, `num_rejected_steps`.
    """

    def __init__(
        self,
        *,
        number: np.ndarray,
        ts: np.ndarray | None,
        ys: PyTree[np.ndarray],
        saved: np.ndarray,
        t1: np.ndarray,
        outcome: np.ndarray,
        event: PyTree[np.ndarray] | None,
        stats: dict[str, np.ndarray],
    ):
        self.number = number
        self.ts = ts
        self.ys = ys
        self.saved = saved
        self.t1 = t1
        self.outcome = outcome
        self.event = event
        self.stats = stats

    def __len__(self) -> int:
        return len(self.number)

    @property
    def reached(self) -> np.ndarray:
        """Which trajectories an event ended."""
        return self.outcome == Outcome.REACHED

    @property
    def failed(self) -> np.ndarray:
        """Which trajectories failed; `outcome` says why."""
        return self.outcome > Outcome.TIME_UP


class Ensemble:
    """The result of [`run`][attnflow.ensemble.run]; printed, a summary.

    **Attributes:**

    - `records`: a [`Records`][] of all trajectories in the order of starts, or `None` with `keep=False`.
      Its attributes are the ensemble's too: `result.ys`, `result.t1`, `result.outcome`, ...
    - `summaries`: what each of `summaries=` gives, by name.
    - `outcomes`: how many trajectories ended in which way, by [`Outcome`][].
    - `trajectories`: how many were run here.
    - `reduction`: `"span"`, `"whitening"` or `"none"`.
    - `work`: `lanes` and `crews`; `rounds` of steps of all lanes of a crew, `refills`; and
      `field_evaluations` made, beside those `alone` that the trajectories would have taken one by one
      (`None` for solvers whose evaluations are not fixed); whether a `kernel` did it, whose rounds are of a
      tile of lanes, and whose refills are launches.
    """

    def __init__(
        self,
        *,
        records: Records | None,
        summaries: dict[str, Any],
        outcomes: dict[Outcome, int],
        reduction: str,
        work: dict[str, Any],
    ):
        self.records = records
        self.summaries = summaries
        self.outcomes = outcomes
        self.reduction = reduction
        self.work = work
        self.trajectories: int = sum(outcomes.values())

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or (not hasattr(Records, name) and name not in _KEPT):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        if self.records is None:
            raise AttributeError(
                f"{name!r} is not kept with keep=False; see .summaries and .outcomes."
            )
        return getattr(self.records, name)

    def __str__(self) -> str:
        lines = [f"{self.trajectories} trajectories"]
        lines += [f"  {count:>10}  {how.words}" for how, count in self.outcomes.items() if count]
        if self.records is not None and len(self.records):
            steps = self.records.stats["num_steps"]
            lines.append(
                f"  steps       {steps.mean():.1f} on average, {steps.min()} to {steps.max()}"
            )
        lines.append(f"  reduction   {self.reduction}")
        lines += [f"  {name:<11} {value}" for name, value in self.summaries.items()]
        return "\n".join(lines)


_KEPT = ("number", "ts", "ys", "saved", "t1", "outcome", "event", "stats")
