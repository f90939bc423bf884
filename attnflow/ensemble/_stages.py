"""One step of every lane: explicit Runge-Kutta stages for all lanes at once, or any diffrax solver."""

from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ..flow import Problem, ProjectedSolver, SidedSolver, inner_solver
from ..model import AttentionField
from ..model.blocks import fits_blocks, in_blocks
from ..model.many import columns, fits_columns
from ._held import Held, first_held, held_at, slope_of


def limits(problem: Problem, t: Array, tnext: Array) -> tuple[Array, Array]:
    """The first and last time at which a step may look at the field: see `SidedSolver`.

    The step's own ends where the field has no breaks.
    """
    solver = problem.solver
    while isinstance(solver, ProjectedSolver):
        solver = solver.solver
    return solver.breaks.limits(t, tnext) if isinstance(solver, SidedSolver) else (t, tnext)


def is_explicit(solver: Any) -> bool:
    """Whether the stages of a solver are those of one explicit tableau."""
    inner = inner_solver(solver)
    tableau = getattr(inner, "tableau", None)
    return (
        isinstance(inner, diffrax.AbstractERK)
        and isinstance(tableau, diffrax.ButcherTableau)
        and not tableau.implicit
    )


def keeps_matrices(problem: Problem) -> bool:
    """Whether a lane by itself keeps its matrices: scores make them anew, and the solver looks at a time twice."""
    field, tokens = problem.field, problem.y0.shape[0]
    return (
        type(field) is AttentionField
        and is_explicit(problem.solver)
        and _looks_twice(inner_solver(problem.solver).tableau)
        and not fits_blocks(field, tokens)
        and field.P.forms_matrix(tokens)
    )


def _looks_twice(tableau: diffrax.ButcherTableau) -> bool:
    times = [float(c) for c in tableau.c]  # of the stages after the first
    return len(set(times)) < len(times) or (not tableau.fsal and times[-1] == 1.0)


class Stepper(eqx.Module):
    """Steps all lanes of a crew.

    Lanes keep a leading axis. Where the field `fits_columns` the stages work with the lanes as the
    last axis, and where there is one lane they work without any.

    **Attributes:**

    - `problem`: its leaves marked 0 in `axes` have a leading axis of lanes.
    - `axes`: a pytree like the problem's arrays.
    - `holds`: whether the one lane keeps its matrices from stage to stage, see [`Held`][].
    """

    problem: Problem
    axes: Any = eqx.field(static=True)
    holds: bool = eqx.field(static=True, default=False)

    def over_lanes(
        self, function: Any, *values: Any, axes: tuple[int, ...] | None = None, out: int = 0
    ) -> Any:
        """`function(problem, *values)` for each lane; `axes` and `out`: where lanes are, 0 or -1."""
        axes = (0,) * len(values) if axes is None else axes
        lanes = jax.tree.leaves(values[0])[0].shape[axes[0]]
        arrays, rest = eqx.partition(self.problem, eqx.is_array)
        if lanes == 1:
            # No batch axis of one inside: products of matrices stay what they are.
            first = jax.tree.map(lambda a, axis: a if axis is None else a[0], arrays, self.axes)
            one = [
                jax.tree.map(lambda x, axis=axis: x[0] if axis == 0 else x[..., 0], value)
                for axis, value in zip(axes, values, strict=True)
            ]
            result = function(eqx.combine(first, rest), *one)
            return jax.tree.map(lambda x: jnp.expand_dims(jnp.asarray(x), out), result)

        def each(arrays, *values):
            return function(eqx.combine(arrays, rest), *values)

        return jax.vmap(each, in_axes=(self.axes, *axes), out_axes=out)(arrays, *values)

    @property
    def explicit(self) -> bool:
        """Whether the stages are worked here; other solvers step each lane by themselves."""
        return is_explicit(self.problem.solver)

    @property
    def evaluations(self) -> int | None:
        """Field evaluations a step takes; `None` where that is not fixed."""
        if not self.explicit:
            return None
        tableau = inner_solver(self.problem.solver).tableau
        return tableau.num_stages - (1 if tableau.fsal else 0)

    def begin(self, solver_state: Any, t: Array, y: Array) -> Any:
        """The state a lane's solver starts from: the first slope, where stages are worked here."""
        if not self.explicit:
            return solver_state

        def slope(p, t, y):
            t = limits(p, t, p.options.t1)[0]
            return first_held(p, t, y) if self.holds else _of_lane(p, t, y)

        return self.over_lanes(slope, t, y)

    def __call__(
        self, t: Array, tnext: Array, y: Array, state: Any, jumped: Array | None
    ) -> tuple[Array, Array | None, Any, Any, Array]:
        """`y` at `tnext`, its error, what interpolation needs, the solver's state, whether it worked.

        The first two have their lanes where `lanes_axis` says.
        """
        if self.explicit:
            return self._stages(t, tnext, y, state, jumped)
        jumped = jnp.zeros(t.shape, bool) if jumped is None else jumped

        def one(p, t, tnext, y, state, jumped):
            terms = diffrax.ODETerm(p.field)
            out = p.solver.step(terms, t, tnext, y, p.options.args, state, jumped)
            y1, error, dense, state, result = out
            dense = {name: value for name, value in dense.items() if name != "manifold"}
            return y1, error, dense, state, result == diffrax.RESULTS.successful

        return self.over_lanes(one, t, tnext, y, state, jumped)

    def interpolate(self, t: Array, tnext: Array, dense: Any, at: Array) -> Array:
        """Tokens inside the step from `t` to `tnext`."""

        def one(p, t, tnext, dense, at):
            extra = {}
            if isinstance(p.solver, ProjectedSolver):
                extra = {"manifold": p.solver.manifold}
            return p.solver.interpolation_cls(t0=t, t1=tnext, **dense, **extra).evaluate(at)

        return self.over_lanes(one, t, tnext, self._lanes_first(dense), at)

    # === explicit stages

    @property
    def lanes_last(self) -> bool:
        """Whether stages have the lanes as their last axis."""
        p = self.problem
        return p.y0.shape[0] > 1 and fits_columns(p.field, p.y0.shape[1])

    @property
    def lanes_axis(self) -> int:
        """Where what a step gives has its lanes: last as in the stages, so that what follows vectorises too."""
        return -1 if self.explicit and self.lanes_last else 0

    def _lanes_first(self, dense: Any) -> Any:
        if self.lanes_axis == 0:
            return dense
        return {**dense, "k": jnp.moveaxis(dense["k"], -1, 0)}

    def slope(self, t: Array, y: Array) -> Array:
        """The field, for tokens whose lanes are the last axis where `lanes_last` says so."""
        p = self.problem
        if self.lanes_last:
            return columns(p.field, self.axes.field, t, y)
        return self.over_lanes(_of_lane, t, y)

    def _slope(self, t: Array, y: Array, held: Held | None) -> tuple[Array, Held | None]:
        """The same, by the matrices held where they are of this time."""
        if held is None:
            return self.slope(t, y), None
        held = self.over_lanes(held_at, t, held)
        return self.over_lanes(slope_of, t, y, held), held

    def _stages(self, t, tnext, y, state, jumped):
        tableau = inner_solver(self.problem.solver).tableau
        last = self.lanes_last
        h = tnext - t
        wide = h[None, None, :] if last else h[:, None, None]
        enter = (lambda x: jnp.moveaxis(x, 0, -1)) if last else (lambda x: x)
        leave = (lambda x: jnp.moveaxis(x, -1, 0)) if last else (lambda x: x)
        low, high = self.over_lanes(limits, t, tnext)
        dtype, count = y.dtype, tableau.num_stages
        A = np.zeros((count, count))
        for i, row in enumerate(tableau.a_lower):
            A[i + 1, : len(row)] = row
        A = jnp.asarray(A, dtype)
        c = jnp.asarray(np.concatenate([[0.0], np.asarray(tableau.c, float)]), dtype)
        x = enter(y)
        held = state if self.holds else None
        slope = state.slope if self.holds else state
        if not tableau.fsal:
            f, held = self._slope(low, x, held)
        elif jumped is None:
            f = enter(slope)
        else:
            fresh = jumped[None, None, :] if last else jumped[:, None, None]
            f = jax.lax.cond(
                jnp.any(jumped),
                lambda: jnp.where(fresh, self.slope(low, x), enter(slope)),
                lambda: enter(slope),
            )
        # Stages times the step, stage first: unused ones are zero.
        k = jnp.zeros((count, *x.shape), dtype).at[0].set(wide * f)

        def stage(i, carry):
            k, _, held = carry
            value = x + _combine(A[i], k)
            f, held = self._slope(jnp.clip(t + c[i] * h, low, high), value, held)
            return k.at[i].set(wide * f), f, held

        k, f, held = jax.lax.fori_loop(1, count, stage, (k, f, held))
        place = self.lanes_axis
        moved = x + _combine(jnp.asarray(tableau.b_sol, dtype), k)
        error = _combine(jnp.asarray(tableau.b_error, dtype), k)
        dense = {"y0": y, "y1": leave(moved), "k": k if last else jnp.moveaxis(k, 1, 0)}
        if isinstance(self.problem.solver, ProjectedSolver):
            y1 = self.over_lanes(
                lambda p, x: p.solver.manifold.project(x), moved, axes=(place,), out=place
            )
        else:
            y1 = moved
        state = leave(f) if held is None else Held(f, held.t, held.matrices)
        return y1, error, dense, state, jnp.ones(t.shape, bool)


def _of_lane(p: Problem, t: Array, y: Array) -> Array:
    """The field of one lane."""
    if fits_blocks(p.field, y.shape[0]):
        return in_blocks(p.field, t, y, p.options.args)
    return p.field(t, y, p.options.args)


def _combine(weights: Array, stages: Array) -> Array:
    return jnp.sum(weights.reshape(-1, *(1,) * (stages.ndim - 1)) * stages, axis=0)
