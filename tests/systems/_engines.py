"""One start run by `simulate` and by an ensemble, compared outcome by outcome; one program for awkward runs."""

from typing import Any

import diffrax
import jax
import jax.numpy as jnp
import numpy as np

import attnflow as af
from attnflow.ensemble import Outcome

_ENDS = (
    (diffrax.RESULTS.event_occurred, Outcome.REACHED),
    (diffrax.RESULTS.successful, Outcome.TIME_UP),
    (diffrax.RESULTS.dt_min_reached, Outcome.NOT_FINITE),
    (diffrax.RESULTS.max_steps_reached, Outcome.STEP_LIMIT),
    (diffrax.RESULTS.nonfinite, Outcome.NOT_FINITE),
)


def outcome_of(solution) -> Outcome:
    """How a run of `simulate` ended, in an ensemble's words."""
    if any(bool(flag) for flag in jax.tree.leaves(solution.undefined)):
        return Outcome.EVENT_NAN
    return next((o for r, o in _ENDS if solution.result == r), Outcome.SOLVER_FAILED)


def assert_same_run(solution, many, row: int, atol: float = 1e-12) -> None:
    """One run of `simulate` and a row of an ensemble: ending, times, steps, events, saves, dtypes."""
    assert Outcome(many.outcome[row]) == outcome_of(solution)
    np.testing.assert_allclose(many.t1[row], solution.t1, rtol=1e-9, atol=atol)
    assert many.t1.dtype == solution.t1.dtype
    assert int(many.stats["num_steps"][row]) == int(solution.stats["num_steps"])
    assert int(many.saved[row]) == int(np.sum(solution.saved))
    ours, theirs = jax.tree.leaves(many.event), jax.tree.leaves(solution.event)
    assert [bool(flag[row]) for flag in ours] == [bool(flag) for flag in theirs]
    ours, theirs = jax.tree.leaves(many.ys), jax.tree.leaves(solution.ys)
    for mine, other in zip(ours, theirs, strict=True):
        assert mine.dtype == other.dtype
        if np.issubdtype(mine.dtype, np.inexact):
            np.testing.assert_allclose(mine[row], other, rtol=0, atol=atol)
        else:
            np.testing.assert_array_equal(mine[row], other)


def run_both(field, y0, **options):
    """The run by `simulate` and the ensemble of it alone, held equal. `event` goes by `until` there."""
    atol = options.pop("same", 1e-12)
    solution = af.simulate(field, y0, throw=False, **options)
    options["until"] = options.pop("event", None)
    many = af.ensemble.run(field, np.asarray(y0)[None], progress=False, **options)
    assert_same_run(solution, many, 0, atol)
    return solution, many


# === one program of either engine for many awkward runs: jumps, events and saves are its numbers

NEVER = 100.0
START = np.array([[1.0, 0.0], [0.1, np.sqrt(0.99)], [-0.6, 0.8]])
WIDE = {"uint32": 2**32 - 1, "int32": -(2**31) + 5, "uint64": 2**64 - 3, "int64": -(2**63) + 7}


def jumping(times, values, dtype=float) -> af.AttentionField:
    """Causal tokens on the circle, P = 0 and U = c(t) I, c with jumps: at most four and five values."""
    never = 4 - len(times)
    times = [*times, *(2 * NEVER + np.arange(never))]
    values = [*values, *never * [values[-1]]]
    c = af.Piecewise(jnp.asarray(times, dtype), jnp.asarray(values, dtype))
    U, P = af.ScaledIdentity(c, 2), jnp.zeros((2, 2), dtype)
    return af.AttentionField(af.Sphere(2), P, U=U, mask="causal", scale=1.0)


def signs(y):
    """The signs of six coordinates as bits of one number, the first and the last among them."""
    bits = (y.ravel() > 0).astype(jnp.uint32)
    places = jnp.asarray([0, 7, 13, 19, 25, 31], jnp.uint32)
    return jnp.sum(bits << places, dtype=jnp.uint32)


def number(t, y):
    return jnp.asarray(2**40 + 1, jnp.int64) + (10**6 * t).astype(jnp.int64)


OBSERVE: dict[str, Any] = {
    "y": lambda y: y,
    "signs": signs,
    "n": number,
    "up": lambda y: y[:, 1] > 0.5,
    "narrow": lambda y: jnp.asarray(200, jnp.uint8),
    "half": lambda y: y[0].astype(jnp.float16),
    "double": lambda t, y: jnp.asarray(1 / 3, jnp.float64),
} | {name: lambda y, v=value, d=name: jnp.full(3, v, d) for name, value in WIDE.items()}


def nan(t, y, args):
    return jnp.where(t >= args["nan"], jnp.nan, 1.0)


def real(t, y, args):
    return args["real"] - t


def true(t, y, args):
    return t >= args["true"]


EVENTS = {"nan": nan, "real": real, "true": true}


def awkward(ts, *, t0=0.0, t1=2.0, rtol=1e-7, dtype=float, **when) -> dict[str, Any]:
    """Options of a run of `jumping` tokens that saves three times; `when` events happen, or never."""
    times = dict.fromkeys(EVENTS, NEVER) | when
    return {
        "t0": t0,
        "t1": t1,
        "ts": jnp.clip(jnp.asarray(ts, dtype), t0, t1),
        "args": {name: jnp.asarray(times[name], dtype) for name in EVENTS},
        "observe": OBSERVE,
        "event": EVENTS,
        "rtol": rtol,
        "max_steps": 400,
    }
