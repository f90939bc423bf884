"""A candidate verified: run far longer, by another solver, polished, its spectrum, its basin."""

import math
from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Key

from .. import attractors, ensemble
from ..core.checks import number, random_key
from ..flow import simulate
from ..model import AttentionField
from ..theory import equilibrium, spectrum
from ._claim import Claim, check_candidate
from ._conclusions import AbstractRate, Margin
from ._cycle import PeriodicOrbit, Recurrence, cycle, rest_of
from ._evidence import LEAST, Evidence
from ._families import family_through

_BESIDE = 1e-3  # radians, of the perturbed starts
_NEIGHBOURS = 32
_RTOL, _ATOL = 1e-12, 1e-14  # of the other solver
_WINDOWS, _POINTS = 8, 128


def verify(
    claim: Claim,
    field: AttentionField,
    y0: Float[Array, "tokens dim"],
    *,
    key: Key[Array, ""],
    horizon: float = 200.0,
) -> Evidence:
    """What a candidate is worth: [`Evidence`][].

    It has to lie in the domain; its margin has to stay when the run goes on, four horizons long, and
    by Dormand and Prince's method of order 8 at a tight tolerance; its limit has to be a stable
    equilibrium or cycle that violates the claim, or shown to be none; and starts 1e-3 beside it have to
    violate the claim as well.

    **Arguments:**

    - `claim`: what it is a candidate against.
    - `field`, `y0`: the candidate.
    - `key`: of the starts beside it.
    - `horizon`: of the first run, in units of $1/(h\\cdot$`scale`$)$.
    """
    check_candidate(claim, field)
    key, horizon = random_key("key", key), number("horizon", horizon, above=0.0)
    y0 = field.manifold.check_rows("y0", y0)
    outside = claim.outside(field, y0)
    if outside:
        return Evidence("outside the domain", "; ".join(str(h) for h in outside))
    if isinstance(claim.conclusion, AbstractRate):
        return _at_once(claim.conclusion, field, y0, key)

    # === far longer, and by another solver
    rest = rest_of(field)
    unit = 1 / (field.heads * float(field.scale))
    time = horizon * unit
    if rest.period:  # whole periods
        time = rest.period * math.ceil(time / rest.period)
    first, last = rest.since + time, rest.since + 4 * time
    measured = Margin(field, claim.conclusion)
    observe = {"m": measured, "y": _tokens}
    run = simulate(field, y0, t1=last, ts=jnp.asarray([first, last]), observe=observe, throw=False)
    at, later = (float(m) for m in run.ys["m"])
    if not np.isfinite([at, later]).all():
        return Evidence("undecided", f"the run came to no end: {run.result}")
    if not later >= LEAST:
        why = f"the margin falls to {later:.2g} at t = {last:g}"
        return Evidence("transient", why, later, last)
    ts = jnp.asarray([unit, first])
    solver = diffrax.Dopri8()
    tight = simulate(
        field,
        y0,
        t1=first,
        ts=ts,
        observe=observe,
        solver=solver,
        throw=False,
        rtol=_RTOL,
        atol=_ATOL,
    )
    other = float(tight.ys["m"][1])
    after = tight.ys["y"][0]
    seen: dict[str, Any] = {"margin": later, "time": last, "other": other, "after": after}
    agree = abs(other - at) <= 1e-3 * max(at, LEAST) + LEAST

    # === its limit
    if rest.period is None:
        return Evidence("undecided", "P and U have no common period", **seen)
    if rest.period:
        for turns in (1, 2):  # some tokens may come to their antipodes first
            doubled = rest._replace(period=turns * rest.period)
            near = cycle(field, run.y1, doubled)
            verdict, more = _on_a_cycle(field, near, doubled, measured, time)
            if verdict[0] != "undecided":
                break
    else:
        fixed = equilibrium(field, run.y1, rest.since, throw=False)
        seen |= {"equilibrium": fixed.y, "moved": fixed.moved, "speed": fixed.speed}
        if not fixed.converged or fixed.moved > 0.1:
            return _moving(claim, field, y0, run.y1, rest.since, time, key, seen)
        verdict, more = _at_rest(field, fixed.y, rest, measured)
    seen |= more
    status, why = verdict
    if status != "open":
        return Evidence(status, why, **seen)
    if not agree:
        why = f"another solver has the margin {other:.4g} where the first has {at:.4g}"
        return Evidence("undecided", why, **seen)

    # === its basin
    return _with_basin(claim, field, y0, first, key, seen, status, why)


def _with_basin(claim, field, y0, time, key, seen, status: str, why: str) -> Evidence:
    basin = _basin(claim, field, y0, time, key)
    if basin < 0.9:
        status, why = "undecided", f"only {basin:.0%} of starts {_BESIDE:g} beside it do the same"
    return Evidence(status, why, basin=basin, **seen)


def _at_rest(
    field, y, rest: Recurrence, measured: Margin
) -> tuple[tuple[str, str], dict[str, Any]]:
    """What an equilibrium says."""
    margin = float(measured(jnp.asarray(rest.since), y))
    local = spectrum(field, rest.since, y)
    rightmost = float(np.real(local.outside[0])) if len(local.outside) else None
    seen = {"margin": margin, "rightmost": rightmost, "error": local.margin, "family": local.family}
    if margin < LEAST:
        return ("transient", f"the equilibrium near the end has the margin {margin:.2g}"), seen
    if local.verdict == "unstable" and rightmost is not None:
        return (
            "metastable",
            f"the equilibrium is unstable, {rightmost:.3g}: tokens leave it in a time of {1 / rightmost:.3g}",
        ), seen
    if local.verdict != "stable":
        family = family_through(field, rest.since, y, local)
        if family is None:
            why = f"the rightmost eigenvalue {rightmost:.2g} is within its error {local.margin:.1g}"
            return ("rounding", why), seen
        others = np.sort(np.real(local.eigenvalues))[:-family]
        seen |= {"rightmost": float(others[-1]) if len(others) else None, "family": family}
        why = f"a stable family of equilibria of dimension {family}, margin {margin:.4g}; "
        why += (
            f"other eigenvalues up to {others[-1]:.4g}" if len(others) else "nothing moves nearby"
        )
        return ("open", why), seen
    if rightmost is None:
        return ("open", f"equilibria all around, margin {margin:.4g}"), seen
    why = f"a stable equilibrium, rightmost eigenvalue {rightmost:.4g}, margin {margin:.4g}"
    return ("open", why), seen


def _on_a_cycle(field, near: PeriodicOrbit, rest: Recurrence, measured: Margin, time: float):
    """What a cycle says."""
    assert rest.period
    error = 1e-6
    largest = float(np.abs(near.multipliers[0])) - 1
    ts = rest.since + jnp.linspace(0.0, rest.period, _POINTS)
    round_ = simulate(field, near.y, t0=rest.since, t1=ts[-1], ts=ts, observe=measured, throw=False)
    margin = float(jnp.min(round_.ys))
    seen = {"margin": margin, "rightmost": largest, "error": error, "period": rest.period}
    seen |= {"equilibrium": near.y, "speed": near.miss}
    way = near.drift * time / rest.period
    if not near.miss <= 1e-8 and way < 2 * np.pi:
        why = f"slow, and not back after a period: tokens drift by {way:.2g} in the time {time:g}"
        return ("metastable", why), seen
    if not (near.miss <= 1e-8 and np.isfinite(margin)):
        return ("undecided", f"no cycle of period {rest.period:.4g} was found near the end"), seen
    if margin < LEAST:
        return ("transient", f"the cycle near the end has the margin {margin:.2g}"), seen
    if largest > error:
        return ("metastable", f"the cycle is unstable: a multiplier of {1 + largest:.6g}"), seen
    if largest > -error:
        return ("rounding", f"the largest multiplier is 1 to within {error:g}"), seen
    why = (
        f"a stable cycle of period {rest.period:.4g}, largest multiplier {1 + largest:.4g}, "
        f"margin at least {margin:.4g}"
    )
    return ("open", why), seen


def _moving(claim, field, y0, y1, since, time: float, key, seen: dict[str, Any]) -> Evidence:
    """Tokens that come to no rest: the claim is broken if they move on and on, and the margin does not fall."""
    speed = float(jnp.max(field.manifold.norm(field(since, y1))))
    seen = seen | {"equilibrium": None, "moved": None, "speed": speed}
    if speed * time < 2 * np.pi:
        why = f"slow, and not at rest: tokens move by {speed * time:.2g} in the time {time:g}"
        return Evidence("metastable", why, **seen)
    measured = Margin(field, claim.conclusion)
    ts = since + jnp.linspace(0.0, 16 * time, _WINDOWS * _POINTS)
    observe = {"m": measured, "v": FastestToken(field)}
    far = simulate(field, y1, t0=since, t1=ts[-1], ts=ts, observe=observe, throw=False)
    margins = np.asarray(far.ys["m"]).reshape(_WINDOWS, _POINTS)
    slowest = float(np.median(np.asarray(far.ys["v"])[-_POINTS:]))
    seen |= {"margin": float(margins.min()), "time": seen["time"] + 16 * time, "speed": slowest}
    least = margins.min(axis=1)
    if not np.isfinite(margins).all():
        return Evidence("undecided", f"the run came to no end: {far.result}", **seen)
    if not margins.min() >= LEAST:
        why = f"the margin falls to {margins.min():.2g} when the run goes on"
        return Evidence("transient", why, **seen)
    if least[-1] < 0.9 * least[0] or slowest * time < 2 * np.pi:
        why = f"slow: the least margin goes from {least[0]:.4g} to {least[-1]:.4g}, at speed {slowest:.2g}"
        return Evidence("metastable", why, **seen)
    orbit = attractors.cycle(field, far.y1, longest=time, t=since) if field.projected else None
    if orbit is not None and orbit.attracts:
        margin = float(jax.vmap(lambda y: measured(jnp.asarray(since), y))(orbit.points).min())
        beside = np.abs(orbit.multipliers[np.abs(orbit.multipliers - 1) > 1e-4])
        largest = float(beside.max(initial=0)) - 1
        seen |= {
            "equilibrium": jnp.asarray(orbit.points[0]),
            "period": orbit.period,
            "margin": margin,
        }
        seen |= {"rightmost": largest, "error": 1e-6}
        if margin >= LEAST:
            why = (
                f"a stable cycle of period {orbit.period:.4g}, largest multiplier {1 + largest:.4g} but for "
                f"those that are 1, margin at least {margin:.4g}"
            )
            return _with_basin(claim, field, y0, since + time, key, seen, "open", why)
    why = f"tokens go on at the speed {slowest:.2g}, and the margin stays above {margins.min():.4g}"
    return _with_basin(claim, field, y0, since + time, key, seen, "no rest", why)


def _at_once(conclusion: AbstractRate, field, y0, key) -> Evidence:
    """A conclusion about each moment: the rate at the start, by a run, and of starts beside it."""
    measured = Margin(field, conclusion)
    rate = float(measured(jnp.zeros(()), y0))
    if not rate >= LEAST:
        return Evidence("transient", f"at the start the margin is {rate:.2g}", rate)
    starts = _beside(field, y0, key)
    around = jax.vmap(lambda y: measured(jnp.zeros(()), y))(starts)
    basin = float(np.mean(np.asarray(around) >= LEAST / 2))
    dt = 1e-4  # a short run: the margin is the slope of what should not grow
    run = simulate(field, y0, t1=dt, solver=diffrax.Dopri8(), rtol=_RTOL, atol=_ATOL)
    grown = conclusion.value(field, jnp.asarray(dt), run.y1) - conclusion.value(
        field, jnp.zeros(()), y0
    )
    other = float(grown) / dt
    seen = {"margin": rate, "other": other, "time": dt, "basin": basin, "after": run.y1}
    if abs(other - rate) > 0.05 * rate or basin < 0.9:
        return Evidence("undecided", f"a run has the rate {other:.4g}, not {rate:.4g}", **seen)
    return Evidence("open", f"at the start it grows at the rate {rate:.4g}", **seen)


def _tokens(t, y):
    return y


class FastestToken(eqx.Module):
    """The speed of the fastest token, as an observer."""

    field: AttentionField

    def __call__(self, t, y):
        return jnp.max(self.field.manifold.norm(self.field(t, y)))


def _beside(field: AttentionField, y0, key):
    noise = jr.normal(key, (_NEIGHBOURS, *y0.shape), y0.dtype) * (_BESIDE / y0.shape[1] ** 0.5)
    return jax.vmap(field.manifold.project)(y0[None] + noise)


def _basin(claim: Claim, field: AttentionField, y0: Any, time: float, key) -> float:
    """The part of perturbed starts whose runs violate the claim too."""
    starts = _beside(field, y0, key)
    measured = Margin(field, claim.conclusion)
    ends = ensemble.run(field, starts, t1=time, observe=measured, progress=False)
    margins = np.asarray(ends.ys)[:, -1]
    return float(np.mean(np.isfinite(margins) & (margins >= LEAST)))
