"""The clock of a long run: in which its end and saves are given, and each step is told."""

import math
from typing import Any

import numpy as np
from jaxtyping import ArrayLike, Real

from ..core.arguments import numbers, shown
from ..core.checks import choose
from ._history import Saved

CLOCKS = ("log_t", "t", "length")
_MOST = math.log(np.finfo(np.float64).max)  # ln t of the largest float
_SAME = 1e-9  # by so much (in ln t, or as a share of a length) a stop may be missed


class ClockStops:
    """Where a run stops on its way, in the order in which it comes there: its saves, and last its end."""

    def __init__(
        self,
        clock: str,
        end: float | None,
        saves: Real[ArrayLike, " saves"] | None,
        log_t1: float,
    ):
        self.clock = choose("clock", clock, CLOCKS)
        last = _the_end("log_t1", log_t1)  # ln t here, or a length
        if end is not None:
            if last < math.inf:
                raise ValueError(
                    f"`end` and `log_t1` both say where the run ends; got {end} and {log_t1}. Give one."
                )
            last = _the_end("end", end)
            if clock != "log_t" and not last > 0:
                raise ValueError(f"`end` must be positive for clock={clock!r}; got {end}.")
            last = float(_inner(clock, np.array(last)))
        elif last < math.inf and clock == "length":
            raise ValueError(
                f'`log_t1` is a time; with clock="length" give `end`, a length; got {log_t1}.'
            )
        if clock == "t" and _MOST < last < math.inf:
            raise ValueError(_beyond(f"ln t = {last:g} was asked for"))
        self.end = last
        self.at = _saves(saves, clock)
        self.values = _inner(clock, self.at)
        if (self.values > last).any():
            raise ValueError(
                f"`saves` must not be beyond the end of the run; got {self.at[-1]:g} as the last."
            )
        self.next = 0
        self._taken: list[tuple[float, float, float, np.ndarray]] = []

    @property
    def stop(self) -> float:
        """The next stop: ln t, or a length."""
        if self.next < len(self.values):
            return float(self.values[self.next])
        return min(self.end, _MOST) if self.clock == "t" else self.end

    def limits(self, length: float) -> tuple[float, float]:
        """The next stop as ln t, and as a length from here, where the path has this one."""
        return (math.inf, self.stop - length) if self.clock == "length" else (self.stop, math.inf)

    def passed(self, log_t: float, length: float) -> bool:
        """Whether a run that is here has come to the next stop."""
        if self.clock == "length":
            return length >= self.stop * (1 - _SAME)
        return log_t >= self.stop - _SAME * max(1.0, abs(self.stop))

    def ahead(self, log_t: float, length: float, log_speed: float) -> float:
        """How long the path is from here to the next stop, at the speed of now."""
        if self.clock == "length":
            return self.stop - length
        if not math.isfinite(self.stop):
            return math.inf
        log_dt = self.stop + math.log1p(-math.exp(min(log_t - self.stop, -1e-16)))
        return math.exp(min(log_speed + log_dt, 700.0))

    def take(self, log_t: float, length: float, energy: float, ys: np.ndarray) -> bool:
        """Keep what there is at a save; or tell that this is the end."""
        if self.next == len(self.values):
            if self.clock == "t" and self.end > _MOST:
                raise ValueError(_beyond("the run goes on"))
            return True
        self._taken.append((log_t, length, energy, ys))
        self.next += 1
        return False

    def rest(self, ended: str, length: float, energy: float, ys: np.ndarray) -> None:
        """What there is at the saves that are left, when tokens rest for ever or go nobody knows where."""
        if ended in ("log_t1", "t", "length"):  # it came to its end, and so to all of them before
            return
        wanted = self.stop
        if self.clock == "length" and math.isfinite(wanted):
            raise ValueError(
                f'`clock` "length" does not fit: the path is {length:.6g} long when the run ends '
                f"({ended}), and {wanted:g} was asked for; ask for less, or take another clock."
            )
        known = ended == "one cluster"
        for log_t in self.values[self.next :]:
            kept = (float(log_t), length, energy, ys)
            self._taken.append(kept if known else (math.nan, math.nan, math.nan, np.nan * ys))
        self.next = len(self.values)

    def saved(self, shape: tuple[int, ...]) -> Saved:
        """All that was kept."""
        log_t, length, energy, ys = (
            zip(*self._taken, strict=True) if self._taken else ((), (), (), ())
        )
        return Saved(
            at=self.at[: len(self._taken)],
            log_t=np.array(log_t, np.float64),
            lengths=np.array(length, np.float64),
            energies=np.array(energy, np.float64),
            ys=np.array(ys, np.float64).reshape(-1, *shape),
        )


def _the_end(name: str, value: float) -> float:
    """A number that may be infinite."""
    end = numbers(name, value)
    if end.ndim or np.isnan(end):
        what = "the logarithm of a time" if name == "log_t1" else "on the clock chosen"
        raise ValueError(f"`{name}` must be one number, {what}; got {value}.")
    return float(end)


def _beyond(what: str) -> str:
    return (
        f'`clock` "t" does not fit: {what}, and the largest float is ln t = {_MOST:.1f}; take '
        'clock="log_t", or an earlier `end`.'
    )


def _saves(saves: Any, clock: str) -> np.ndarray:
    if saves is None:
        return np.zeros(0)
    at = np.asarray(numbers("saves", saves), np.float64)
    if at.ndim != 1 or not np.isfinite(at).all() or (np.diff(at) <= 0).any():
        raise ValueError(f"`saves` must be a list of finite numbers that grow; got {shown(saves)}.")
    if clock != "log_t" and (at < 0).any():
        raise ValueError(f"`saves` must not be negative for clock={clock!r}; got {at[0]:g}.")
    return at


def _inner(clock: str, at: np.ndarray) -> np.ndarray:
    """ln t, or a length."""
    if clock != "t":
        return at
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(at))
