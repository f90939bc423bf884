"""What a search over schedules came to: the schedule, its history, its settings, a summary."""

import dataclasses
from typing import Any, ClassVar

import numpy as np

from ..core.lazy import renamed_attribute
from ..model import AttentionField
from ._objectives import AbstractObjective
from ._trainable import Searched

_KINDS = {"loss": float, "norm": float, "least": float, "failed": int, "skipped": bool}


class History:
    """One row a step, one column a restart.

    **Attributes:**

    - `loss`: what was made small (minus the objective where that is maximised), on the step's starts.
    - `norm`: of its gradient.
    - `least`: the least so far on the starts that say which is best.
    - `failed`: how many runs were left out. `skipped`: whether the step changed nothing.
    - `seconds`: taken by earlier runs of the same search.
    """

    loss: np.ndarray
    norm: np.ndarray
    least: np.ndarray
    failed: np.ndarray
    skipped: np.ndarray

    def __init__(self, restarts: int):
        self.restarts: int = restarts
        self.seconds: float = 0.0
        for name, kind in _KINDS.items():
            setattr(self, name, np.zeros((0, restarts), kind))

    def __len__(self) -> int:
        return len(self.loss)

    def add(self, **row: Any) -> None:
        """A step's numbers, each `(restarts,)`."""
        for name, kind in _KINDS.items():
            new = np.asarray(row[name], kind)[None]
            setattr(self, name, np.concatenate([getattr(self, name), new]))

    def plain(self, steps: int | None = None) -> dict[str, Any]:
        """As arrays by name, of so many steps."""
        return {name: getattr(self, name)[:steps] for name in _KINDS} | {"seconds": self.seconds}

    def restore(self, stored: dict[str, Any]) -> None:
        """What `plain` gave."""
        for name in _KINDS:
            setattr(self, name, np.asarray(stored[name]))
        self.seconds = float(stored["seconds"])

    def stalled(self, patience: int | None) -> bool:
        """Whether no restart had a new best within `patience` steps."""
        if patience is None or len(self) <= patience:
            return False
        return not bool((self.least[-1] < self.least[-1 - patience]).any())

    def stuck(self, most: int) -> bool:
        """Whether the last `most` steps changed nothing."""
        return len(self) >= most and bool(self.skipped[-most:].all())

    def now(self, sign: float) -> dict[str, Any]:
        """The last step in a few numbers, of the restart that is best so far."""
        at = int(np.argmin(self.least[-1]))
        return {
            "step": len(self),
            "objective": sign * float(self.loss[-1, at]),
            "gradient": float(self.norm[-1, at]),
            "best": sign * float(self.least[-1, at]),
            "failed": int(self.failed.sum()),
            "skipped": int(self.skipped.sum()),
        }


@dataclasses.dataclass
class Optimised:
    """What [`optimise`][attnflow.search.optimise] found; `print` shows a summary.

    **Attributes:**

    - `schedule`: the best found, within its bounds: a schedule, or what `schedule=` was.
    - `field`: the [`AttentionField`][] with it.
    - `value`: the objective of it, on the search's own starts. `values`: that of each restart's best.
    - `initial`: the (first) schedule that the search began with, within its bounds.
    - `objective`, `goal`, `optimiser`, `settings`: what was asked; `optimiser` is `None` for Adam.
    - `history`: [`History`][attnflow.search.History], by step.
    - `reason`: why the search ended. `seconds`: taken, over all runs.
    - `rerun`: `optimise` with the same arguments but those it is given; nothing is stored.
    """

    schedule: Searched
    field: AttentionField
    value: float
    values: np.ndarray
    initial: Searched
    objective: AbstractObjective
    goal: str
    history: History
    reason: str
    seconds: float
    settings: dict[str, Any]
    task: Any = dataclasses.field(repr=False)
    rerun: Any = dataclasses.field(repr=False)
    optimiser: object = dataclasses.field(default=None, repr=False)

    again: ClassVar[property] = renamed_attribute("again", "rerun")

    @property
    def sign(self) -> float:
        """1 where the objective is made small, -1 where it is made large."""
        return 1.0 if self.goal == "minimise" else -1.0

    def record(self) -> dict[str, Any]:
        """Everything but the schedules, as plain JSON values."""
        rows = {
            name: values.tolist()
            for name, values in self.history.plain().items()
            if name != "seconds"
        }
        return {
            "settings": self.settings,
            "value": self.value,
            "values": self.values.tolist(),
            "steps taken": len(self.history),
            "failed runs left out": int(self.history.failed.sum()),
            "steps skipped": int(self.history.skipped.sum()),
            "ended": self.reason,
            "seconds": self.seconds,
            "history": rows,
        }

    def __str__(self) -> str:
        s, h = self.settings, self.history
        first = self.sign * float(h.loss[0].min()) if len(h) else self.value
        lines = [
            f"{self.goal} {s['objective']}, {s['risk']} over {s['starts']} starts of {s['tokens'][0]} tokens "
            f"in R^{s['tokens'][1]}, t1 = {s['t1']:g}",
            f"  free numbers  {s['free numbers']}, bounds {s['bounds']}, {s['dtype']}",
            f"  optimiser     {s['optimiser']}, {len(h)} of {s['steps']} steps, restarts {s['restarts']}",
            f"  objective     {first:.6g} at the first step, {self.value:.6g} at the best",
            f"  left out      {int(h.failed.sum())} failed runs, {int(h.skipped.sum())} steps skipped",
            f"  ended         {self.reason}, after {self.seconds:.3g} s",
        ]
        return "\n".join(lines)
