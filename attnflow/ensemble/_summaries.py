"""Summaries of an ensemble made as it runs: mean, quantiles, histogram, survival, in bounded memory."""

import abc
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from ..core.checks import shown
from ._result import Outcome, Records

# What a summary of some trajectories is until it is finished: each class has its own, the same at every step.
State: TypeAlias = Any
Sums: TypeAlias = tuple[int, np.ndarray | np.float64, np.ndarray | np.float64]
Counts: TypeAlias = dict[int, int]


class Summary(abc.ABC):
    """Something made of many trajectories that needs none of them kept.

    A summary of a chunk of trajectories, `summarise`, and the `merge` of two, in order; `finish` turns
    the last state into what the user sees. Failed trajectories are left out and counted.

    **Arguments:**

    - `of`: a function of [`Records`][] giving one number a trajectory, such as
      `lambda r: r.ys["E"][:, -1]`; for a [`Mean`][] an array of any shape for each.
    """

    of: Callable[[Records], ArrayLike]

    @abc.abstractmethod
    def summarise(self, records: Records) -> State:
        """The state of one chunk."""

    @abc.abstractmethod
    def merge(self, before: State, after: State) -> State:
        """The state of two neighbouring chunks."""

    @abc.abstractmethod
    def finish(self, state: State) -> object:
        """What the user sees."""

    def values(self, records: Records) -> np.ndarray:
        """`of` the trajectories that did not fail."""
        values = np.asarray(self.of(records), dtype=np.float64)
        if values.shape[:1] != (len(records),):
            raise ValueError(
                f"`of` must give one value for each of {len(records)} trajectories; "
                f"got shape {values.shape}."
            )
        return values[~records.failed]


def _function(of: Callable[[Records], ArrayLike]) -> Callable[[Records], ArrayLike]:
    if not callable(of):
        raise ValueError(f"`of` must be a function of the records; got {shown(of)}.")
    return of


def _numbers(name: str, values: Any) -> np.ndarray:
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"`{name}` must be numbers; got {type(values).__name__}.") from None
    if np.isnan(array).any():
        raise ValueError(f"`{name}` must be numbers; got NaN.")
    return array


class MeanResult(NamedTuple):
    """Mean, standard deviation and standard error of the mean; how many values."""

    mean: np.ndarray | float
    std: np.ndarray | float
    error: np.ndarray | float
    count: int

    def __str__(self) -> str:
        if np.ndim(self.mean):
            return f"mean of {self.count}, shape {np.shape(self.mean)}"
        return f"{self.mean:.6g} ± {self.error:.2g} (mean of {self.count})"


class Mean(Summary):
    """The mean with its standard error; `of` may give an array for each trajectory.

    Of values with an infinity it is infinite, without a standard error.

    ```python
    af.ensemble.Mean(lambda r: r.ys["E"])                    # E(t) averaged, where ts is given
    ```
    """

    def __init__(self, of: Callable[[Records], ArrayLike]):
        self.of: Callable[[Records], ArrayLike] = _function(of)

    def summarise(self, records: Records) -> Sums:
        values = self.values(records)
        count = len(values)
        with np.errstate(invalid="ignore"):
            mean = values.sum(axis=0) / max(count, 1)
            return count, mean, ((values - mean) ** 2).sum(axis=0)

    def merge(self, before: Sums, after: Sums) -> Sums:
        (n, mean, squares), (m, other, more) = before, after
        if n + m == 0:
            return before
        with np.errstate(invalid="ignore"):
            step = other - mean
            moved = np.where(np.isfinite(step), mean + step * (m / (n + m)), mean + other)[()]
            return n + m, moved, squares + more + step**2 * (n * m / (n + m))

    def finish(self, state: Sums) -> MeanResult:
        count, mean, squares = state
        if count == 0:
            mean = np.full_like(mean, np.nan)
        std = np.sqrt(squares / (count - 1)) if count > 1 else np.full_like(mean, np.nan)
        std = np.where(np.isfinite(mean), std, np.nan)[()]
        return MeanResult(mean, std, std / np.sqrt(max(count, 1)), count)


class Histogram(Summary):
    """How many values fall between neighbouring edges (the last bin closed); others are not counted.

    Edges may be infinite: their bin then counts infinite values too.

    **Arguments:**

    - `of`: one number a trajectory.
    - `edges`: increasing.
    """

    def __init__(self, of: Callable[[Records], ArrayLike], edges: ArrayLike):
        self.of: Callable[[Records], ArrayLike] = _function(of)
        self.edges: np.ndarray = _numbers("edges", edges)
        if self.edges.ndim != 1 or len(self.edges) < 2 or not np.all(np.diff(self.edges) > 0):
            raise ValueError("`edges` must be at least two increasing numbers; got others.")

    def summarise(self, records: Records) -> np.ndarray:
        values = self.values(records)
        return np.histogram(values[~np.isnan(values)], self.edges)[0]

    def merge(self, before: np.ndarray, after: np.ndarray) -> np.ndarray:
        return before + after

    def finish(self, state: np.ndarray) -> np.ndarray:
        return state


class Quantiles(Summary):
    """Quantiles, each within 1 part in 200 of a value of that rank, in memory that does not grow.

    Values are counted in bins whose edges are powers of 1.01 (the idea of DDSketch, Masson, Rim and
    Lee, VLDB 2019): counts add up to the same whatever the order. Values within 1e-300 of zero
    count as zero. Infinite values (times of what never happened) are values: their quantile is infinite.

    **Arguments:**

    - `of`: one number a trajectory.
    - `levels`: in [0, 1].
    """

    def __init__(
        self, of: Callable[[Records], ArrayLike], levels: ArrayLike = (0.05, 0.25, 0.5, 0.75, 0.95)
    ):
        self.of: Callable[[Records], ArrayLike] = _function(of)
        self.levels: np.ndarray = np.atleast_1d(_numbers("levels", levels))
        if not np.all((self.levels >= 0) & (self.levels <= 1)):
            raise ValueError(f"`levels` must lie between 0 and 1; got {shown(levels)}.")

    _BASE, _SHIFT, _INFINITE = np.log(1.01), 200_000, 400_000

    def summarise(self, records: Records) -> Counts:
        values = self.values(records)
        values = values[~np.isnan(values)]
        size = np.clip(np.abs(values), 1e-300, np.finfo(np.float64).max)
        bins = np.round(np.log(size) / self._BASE).astype(np.int64) + self._SHIFT
        bins = np.where(np.isinf(values), self._INFINITE, bins)
        bins = np.where(np.abs(values) <= 1e-300, 0, np.sign(values).astype(np.int64) * bins)
        return dict(zip(*(a.tolist() for a in np.unique(bins, return_counts=True)), strict=True))

    def merge(self, before: Counts, after: Counts) -> Counts:
        return {k: before.get(k, 0) + after.get(k, 0) for k in before.keys() | after.keys()}

    def finish(self, state: Counts) -> np.ndarray:
        bins = np.array(sorted(state), dtype=np.int64)
        if len(bins) == 0:
            return np.full(self.levels.shape, np.nan)
        upto = np.cumsum([state[k] for k in bins.tolist()])
        rank = np.maximum(np.ceil(self.levels * upto[-1]), 1)
        chosen = bins[np.searchsorted(upto, rank)]
        largest = np.log(np.finfo(np.float64).max)
        size = np.exp(np.minimum((np.abs(chosen) - self._SHIFT) * self._BASE, largest))
        size = np.where(np.abs(chosen) == self._INFINITE, np.inf, size)
        return np.where(chosen == 0, 0.0, np.sign(chosen) * size)


class Survival(Summary):
    r"""The part of trajectories that no event has ended by each of `times` (Kaplan and Meier, 1958).

    Trajectories that came to `t1`, or failed, leave the count when they end and are no event. Where
    none ends otherwise before a time, this is the plain part of those still under way.

    **Arguments:**

    - `times`: increasing.

    ```python
    result = af.ensemble.run(
        field, starts, t1=100.0, until=af.consensus(1e-4), keep=False,
        summaries={"time": af.ensemble.Survival(jnp.linspace(0, 100, 101))},
    )
    ```
    """

    def __init__(self, times: ArrayLike):
        self.of: Callable[[Records], ArrayLike] = lambda r: r.t1
        self.times: np.ndarray = _numbers("times", times)
        if self.times.ndim != 1 or len(self.times) < 1 or not np.all(np.diff(self.times) > 0):
            raise ValueError("`times` must be increasing numbers; got others.")

    def summarise(self, records: Records) -> np.ndarray:
        good = records.outcome != Outcome.BAD_START
        ended = good & records.reached
        bins = len(self.times) + 1
        # Bin k holds times in (times[k - 1], times[k]].
        place = np.searchsorted(self.times, np.asarray(records.t1, np.float64), side="left")
        events = np.bincount(place[ended], minlength=bins)
        others = np.bincount(place[good & ~ended], minlength=bins)
        return np.stack([events, others])

    def merge(self, before: np.ndarray, after: np.ndarray) -> np.ndarray:
        return before + after

    def finish(self, state: np.ndarray) -> np.ndarray:
        events, others = state[:, :-1]
        gone = np.cumsum(events + others) - (events + others)
        at_risk = state.sum() - gone
        part = np.where(at_risk > 0, 1 - events / np.maximum(at_risk, 1), 1.0)
        return np.cumprod(part)
