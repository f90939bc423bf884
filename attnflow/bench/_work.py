"""Work against precision of diffrax solvers in `simulate`: a ladder of tolerances, or of steps."""

from collections.abc import Sequence
from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import ArrayLike, Real

from ..flow import simulate
from ..model import AttentionField
from ._measure import Point, clock, distance


def solver_points(
    field: AttentionField,
    starts: Real[ArrayLike, "starts tokens dim"],
    numbers: Sequence[float],
    *,
    t1: float,
    solver: diffrax.AbstractSolver[Any],
    reference: tuple[diffrax.AbstractSolver[Any], float] | np.ndarray,
    constant: bool = False,
    repeats: int = 3,
    patience: float = 5.0,
) -> tuple[list[Point], list[float], np.ndarray]:
    """One solver on all starts, one after the other, at each of `numbers`, errors at four times.

    **Arguments:**

    - `starts`: `(trajectories, tokens, dim)`.
    - `numbers`: tolerances; with `constant`, steps.
    - `reference`: a solver and a tolerance to take as the truth, or what an earlier call returned.
    - `repeats`: of each timing; the median is taken. 0: the run that is compared is the one timed.
    - `patience`: seconds; what took longer is the last point.

    **Returns:**

    The points (their `rtol` is the step, with `constant`), mean steps, and the reference's tokens.
    """
    ts = jnp.linspace(0, t1, 5)[1:]
    starts = jnp.asarray(starts)

    def run(solver, number, constant):
        return _run(field, starts, ts, solver, number, constant)

    if not isinstance(reference, np.ndarray):
        reference = np.asarray(run(reference[0], jnp.asarray(reference[1]), False)[0])
    points, steps = [], []
    run(solver, jnp.asarray(numbers[0], float), constant)  # compiles
    for number in numbers:
        last: list = [None]

        def run_once(number=number, last=last):
            last[0] = run(solver, jnp.asarray(number, float), constant)
            return last[0]

        seconds = clock(run_once, repeats).later
        ys, taken = last[0]
        points.append(
            Point(float(number), distance(np.asarray(ys), reference), seconds / len(starts))
        )
        steps.append(float(np.mean(taken)))
        if seconds > patience:
            break
    return points, steps, reference


@eqx.filter_jit
def _run(field: Any, starts: Any, ts: Any, solver: Any, number: Any, constant: bool) -> Any:
    def one(y0):
        if constant:
            how = {"controller": diffrax.ConstantStepSize(), "dt0": number}
        else:
            how = {"rtol": number, "atol": 0.0}
        sol = simulate(field, y0, t1=ts[-1], ts=ts, solver=solver, throw=False, **how)
        return sol.ys, sol.stats["num_steps"]

    return jax.lax.map(one, starts)
