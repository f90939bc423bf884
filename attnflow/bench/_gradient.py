"""W4: the gradient of E(T) beside the forward run and beside plain diffrax with its default adjoint."""

from collections.abc import Callable, Sequence
from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from ..flow import simulate
from ..observables import misalignment
from ._cases import Workload
from ._compare import at_errors, table
from ._jax import diffrax_run
from ._measure import Point, clock

ERRORS = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5)


class Gradients(eqx.Module):
    """Rows by tolerance, the compiled gradient's temporary memory, and a table at equal error.

    **Attributes:**

    - `rows`: by library, one a tolerance: seconds forward and backward, and the gradient's error.
    - `points`: the same as [`Point`][]s of the gradient.
    - `temporary_mb`: by library.
    """

    rows: dict[str, list[dict[str, float]]]
    points: dict[str, list[Point]]
    temporary_mb: dict[str, float]

    def __str__(self) -> str:
        return table(self.points, ERRORS)

    def record(self) -> dict[str, Any]:
        """What goes into a JSON file."""
        return {
            "runs": self.rows,
            "temporary MB": self.temporary_mb,
            "milliseconds at error of the gradient": at_errors(self.points, ERRORS),
        }


def gradients(
    case: Workload,
    place: Callable[..., Array],
    rtols: Sequence[float],
    *,
    tight: float,
    solver: diffrax.AbstractSolver[Any] | None = None,
) -> Gradients:
    """The gradient of E(T) of the case's first start in P', by attnflow and by plain diffrax.

    **Arguments:**

    - `place`: where P' is in the case's field.
    - `rtols`: the tolerances to try.
    - `tight`, `solver`: of the run whose gradient is the reference.
    """
    y0, matrix = jnp.asarray(case.starts(1)[0]), jnp.asarray(case.matrix)

    def ours(matrix, rtol, solver=None):
        field = eqx.tree_at(place, case.field, matrix)
        sol = simulate(field, y0, t1=case.t1, rtol=rtol, atol=0.0, solver=solver)
        return misalignment(sol.y1)

    # As it comes: the default adjoint, whose checkpoints follow from the default number of steps.
    run = diffrax_run(case, diffrax.Tsit5(), max_steps=4096)

    def plain(matrix, rtol):
        return misalignment(run(y0, matrix, rtol)[-1])

    reference = jax.jit(jax.grad(lambda m: ours(m, tight, solver)))(matrix)
    size = float(jnp.max(jnp.abs(reference)))
    out = Gradients({}, {}, {})
    for label, function in (("attnflow", ours), ("plain diffrax", plain)):
        forward, backward = jax.jit(function), jax.jit(jax.grad(function))
        compiled = backward.lower(matrix, 1e-6).compile()
        memory: Any = compiled.memory_analysis()
        out.temporary_mb[label] = memory.temp_size_in_bytes / 2**20
        out.points[label], out.rows[label] = [], []
        for rtol in rtols:
            ahead = clock(lambda f=forward, r=rtol: f(matrix, r), 5).later
            back = clock(lambda g=backward, r=rtol: g(matrix, r), 5).later
            error = float(jnp.max(jnp.abs(backward(matrix, rtol) - reference))) / size
            out.points[label].append(Point(rtol, error, back))
            row = {"rtol": rtol, "forward, seconds": ahead, "gradient, seconds": back}
            out.rows[label].append(
                {**row, "gradient / forward": back / ahead, "relative error of the gradient": error}
            )
    return out
