"""One start run by `simulate` and by an ensemble, compared outcome by outcome."""

import diffrax
import jax
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
