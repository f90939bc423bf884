"""One explicit step of all lanes gone through backwards: from cotangents behind it to those before it."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ..flow import Problem, ProjectedSolver, inner_solver
from ._stages import Stepper, limits


class StepBack:
    """One explicit step of all lanes, gone through backwards."""

    def __init__(
        self,
        of: Callable[[Any], Stepper],
        asked: Any,
        t: Array,
        tnext: Array,
        y: Array,
        k: Array,
        who: Array,
        jumped: Array | None,
    ):
        self.of, self.asked, self.t, self.tnext, self.y = of, asked, t, tnext, y
        self.jumped = jumped
        self.stepper = of(asked)
        self.last = self.stepper.lanes_last
        self.tableau = tableau = inner_solver(self.stepper.problem.solver).tableau
        self.count = count = tableau.num_stages
        A = np.zeros((count, count))
        for i, row in enumerate(tableau.a_lower):
            A[i + 1, : len(row)] = row
        self.A = jnp.asarray(A, y.dtype)
        self.b = jnp.asarray(tableau.b_sol, y.dtype)
        self.c = jnp.asarray(np.concatenate([[0.0], np.asarray(tableau.c, float)]), y.dtype)
        self.h = tnext - t
        self.timed = any(
            tree is not None and (tree.options.t0 is not None or tree.options.t1 is not None)
            for tree in asked
        )
        self.k = k if self.last else jnp.moveaxis(k, 1, 0)
        self.k = jnp.where(self.wide(who)[None], self.k, 0)
        self.x = self.enter(y)
        self.moved = self.leave(self.x + _combine(self.b, self.k))
        self.y1 = self.project(asked, self.moved)

    def enter(self, x: Array) -> Array:
        return jnp.moveaxis(x, 0, -1) if self.last else x

    def leave(self, x: Array) -> Array:
        return jnp.moveaxis(x, -1, 0) if self.last else x

    def dense(self, y: Array, moved: Array, k: Array) -> dict[str, Array]:
        """What interpolation inside the step needs, as a step forwards gives it."""
        return {"y0": y, "y1": moved, "k": k if self.last else jnp.moveaxis(k, 0, 1)}

    def wide(self, x: Array) -> Array:
        return x[None, None, :] if self.last else x[:, None, None]

    def narrow(self, x: Array) -> Array:
        return jnp.sum(x, axis=(0, 1) if self.last else (1, 2))

    def time(self, t: Array, tnext: Array, i: Any) -> Array:
        low, high = self.stepper.over_lanes(limits, t, tnext)
        return jnp.clip(t + self.c[i] * (tnext - t), low, high)

    def slope_before(self, asked: Any, t: Array, x: Array) -> Array:
        """The slope at the step's own beginning, on its side of a break there."""
        return self.slope_at(asked, self.stepper.over_lanes(limits, t, self.tnext)[0], x)

    def slope_at(self, asked: Any, t: Array, x: Array) -> Array:
        return self.of(asked).slope(t, x)

    def project(self, asked: Any, moved: Array) -> Array:
        stepper = self.of(asked)
        if not isinstance(stepper.problem.solver, ProjectedSolver):
            return moved
        return stepper.over_lanes(_projected, moved)

    def pull(
        self, inside: Any, ybar: Array, slope_bar: Array, who: Array
    ) -> tuple[Any, Array, Array]:
        """Cotangents of asked leaves, tokens and slope before the step, from those behind it."""
        asked_bar, tbar, tnext_bar, start, moved, kbar = inside
        y1bar = jnp.where(wide(who, ybar), ybar, 0)
        _, project = jax.vjp(self.project, self.asked, self.moved)
        more, at_moved = project(y1bar)
        asked_bar = jax.tree.map(jnp.add, asked_bar, more)
        at_moved = self.enter(moved + at_moved)
        xbar = self.enter(start) + at_moved
        kbar = kbar + self.b.reshape(-1, 1, 1, 1) * at_moved[None]
        fsal, last_stage = self.tableau.fsal, self.count - 1
        behind = self.enter(jnp.where(wide(who, slope_bar), slope_bar, 0))
        h = self.wide(self.h)

        def stage(j, carry):
            asked_bar, xbar, kbar, times = carry
            i = last_stage - j
            fbar = h * kbar[i]
            if fsal:
                fbar = fbar + jnp.where(j == 0, behind, 0)
            value = self.x + _combine(self.A[i], self.k)
            if self.timed:

                def slope(asked, t, tnext, value):
                    return self.slope_at(asked, self.time(t, tnext, i), value)

                f, back = jax.vjp(slope, self.asked, self.t, self.tnext, value)
                more, t_more, tnext_more, vbar = back(fbar)
                length = self.narrow(f * kbar[i])
                times = (times[0] + t_more - length, times[1] + tnext_more + length)
            else:
                time = self.time(self.t, self.tnext, i)
                _, back = jax.vjp(lambda a, x: self.slope_at(a, time, x), self.asked, value)
                more, vbar = back(fbar)
            kbar = kbar + self.A[i].reshape(-1, 1, 1, 1) * vbar[None]
            asked_bar = jax.tree.map(jnp.add, asked_bar, more)
            return asked_bar, xbar + vbar, kbar, times

        carry = (asked_bar, xbar, kbar, (tbar, tnext_bar))
        asked_bar, xbar, kbar, times = jax.lax.fori_loop(0, last_stage, stage, carry)
        fbar = h * kbar[0]

        def first(asked_bar, xbar, tbar, fbar, mask):
            # The slope at the start of a run and behind a jump; of every step where it is no last stage.
            _, back = jax.vjp(self.slope_before, self.asked, self.t, self.x)
            more, t_more, more_x = back(jnp.where(self.wide(mask), fbar, 0))
            asked_bar = jax.tree.map(jnp.add, asked_bar, more)
            return asked_bar, xbar + more_x, tbar + t_more

        tbar, tnext_bar = times
        begins = who & (self.t == self.stepper.problem.options.t0)
        if fsal:
            fresh = begins if self.jumped is None else begins | (who & self.jumped)
            asked_bar, xbar, tbar = jax.lax.cond(
                jnp.any(fresh),
                lambda a, x, t, f: first(a, x, t, f, fresh),
                lambda a, x, t, _: (a, x, t),
                asked_bar,
                xbar,
                tbar,
                fbar,
            )
            slope_bar = jnp.where(self.wide(fresh), 0, fbar)
        else:
            asked_bar, xbar, tbar = first(asked_bar, xbar, tbar, fbar, who)
            slope_bar = jnp.zeros_like(fbar)
        if self.timed:
            safe = jnp.where(self.h > 0, self.h, 1)
            length = self.narrow(self.k[0] * kbar[0]) / safe
            asked_bar = self._of_times(asked_bar, begins, tbar - length, tnext_bar + length, who)
        return asked_bar, self.leave(xbar), self.leave(slope_bar)

    def _of_times(self, asked_bar, begins, tbar, tnext_bar, who) -> Any:
        """Cotangents of where a run begins and ends; all times between are constants."""
        t1 = self.stepper.problem.options.t1
        ends = who & (self.tnext == t1)
        for name, bar in (
            ("t0", jnp.where(begins, tbar, 0)),
            ("t1", jnp.where(ends, tnext_bar, 0)),
        ):
            for k, total in ((0, jnp.sum(bar)), (1, bar)):
                place = lambda tree, name=name: getattr(tree.options, name)  # noqa: E731
                old = None if asked_bar[k] is None else place(asked_bar[k])
                if old is not None:
                    new = eqx.tree_at(place, asked_bar[k], old + total)
                    asked_bar = (new, asked_bar[1]) if k == 0 else (asked_bar[0], new)
        return asked_bar


def _projected(p: Problem, x: Array) -> Array:
    solver: Any = p.solver
    return solver.manifold.project(x)


def _combine(weights: Array, stages: Array) -> Array:
    return jnp.sum(weights.reshape(-1, *(1,) * (stages.ndim - 1)) * stages, axis=0)


def wide(flags: Array, like: Array) -> Array:
    """`flags` with further axes of one, as many as `like` has more."""
    return flags.reshape(flags.shape + (1,) * (like.ndim - flags.ndim))
