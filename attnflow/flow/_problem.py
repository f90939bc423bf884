"""One flow problem assembled: reduction, controller, solver, events, observers; the one place for it."""

from typing import Any, cast

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..model import AttentionField
from ..model.reductions import AbstractLift
from ._control import adaptive, with_breaks
from ._driven import noisy_solver
from ._observe import AllTokens, Lifted, mark_missing
from ._options import Options
from ._projected import ProjectedSolver
from ._quiet import without_callbacks
from ._sides import SidedSolver, breaks_of
from ._solution import NONFINITE, Dense, Solution
from ._wrapped import OnceTraced, with_forward_stages, with_tolerances
from .events import FirstOf, build_event, how_ended


class Problem(eqx.Module):
    """A flow ready to be integrated, in the coordinates in which that is cheapest."""

    field: AttentionField
    y0: Float[Array, "tokens reduced"]
    lift: AbstractLift
    solver: diffrax.AbstractSolver[Any]
    controller: diffrax.AbstractStepSizeController[Any, Any]
    saves: Lifted
    end: Lifted
    event: diffrax.Event | None
    options: Options

    @property
    def backsolve(self) -> bool:
        """Whether the adjoint restricts what may be saved to plain tokens at given times."""
        return isinstance(self.options.adjoint, diffrax.BacksolveAdjoint)

    def saveat(self) -> diffrax.SaveAt:
        """What diffrax is asked to save: the observers at `ts` (or the end), and the end itself."""
        o = self.options
        if self.backsolve:
            return diffrax.SaveAt(ts=jnp.append(self.times, o.t1), dense=o.dense)
        times: dict[str, Any] = {"t1": True} if o.ts is None else {"ts": o.ts}
        subs = {
            "saves": diffrax.SubSaveAt(fn=self.saves, **times),
            "end": diffrax.SubSaveAt(fn=self.end, t1=True),
        }
        return diffrax.SaveAt(subs=subs, dense=o.dense)

    @property
    def times(self) -> Float[Array, " n"]:
        """The times asked for: `ts`, or the end alone."""
        o = self.options
        return o.t1[None] if o.ts is None else o.ts

    def integrate(self) -> diffrax.Solution:
        """The diffrax solution in reduced coordinates; never raises for a run that fails."""
        o = self.options
        # A start that is no number, as one refused inside a program is, has nowhere to go. Beside others under `vmap`
        # it would step until there are no more steps.
        t1 = jnp.where(jnp.all(jnp.isfinite(self.y0)), o.t1, o.t0)
        with without_callbacks():
            return diffrax.diffeqsolve(
                diffrax.ODETerm(self.field),
                self.solver if self.backsolve else OnceTraced(self.solver),
                o.t0,
                t1,
                o.dt0,
                self.y0,
                o.args,
                saveat=self.saveat(),
                stepsize_controller=self.controller,
                adjoint=o.adjoint,
                event=self.event,
                max_steps=o.max_steps,
                throw=False,
            )

    def solution(self, sol: diffrax.Solution) -> Solution:
        """The user's solution: tokens and observed values, missing saves marked."""
        o = self.options
        ys: Any = sol.ys
        if self.backsolve:
            every = jnp.append(self.times, o.t1)
            values = jax.vmap(lambda t, x: self.saves(t, x, o.args))(every[:-1], ys[:-1])
            times: Any = sol.ts
            ts, t1, y1 = times[:-1], times[-1], self.lift(ys[-1])
        else:
            times = sol.ts
            ts, values = times["saves"], ys["saves"]
            t1, y1 = times["end"][0], ys["end"][0]
        saved = jnp.isfinite(ts)
        first = None if self.event is None else self.event.cond_fn
        if isinstance(first, FirstOf):
            holds, y0 = first.ends_at_start, self.lift(self.y0)
            # An event that holds at the start ends the run there.
            t1, y1 = jnp.where(holds, o.t0, t1), jnp.where(holds, y0, y1)
            start = self.saves(o.t0, self.y0, o.args)
            values = jax.tree.map(
                lambda many, one: jnp.where(holds, one[None], many), values, start
            )
            early = o.t0[None] if o.ts is None else o.ts
            ts, saved = jnp.where(holds, early, ts), jnp.where(holds, early <= o.t0, saved)
        result = sol.result
        ended = result == diffrax.RESULTS.event_occurred
        fine = jnp.all(jnp.isfinite(y1)) | ~(ended | (result == diffrax.RESULTS.successful))
        mask = undefined = None
        if self.event is not None:
            mask, undefined = how_ended(self.event, sol.event_mask, t1, y1, o.args, ended & fine)
            fine &= ~jnp.any(jnp.stack(jax.tree.leaves(undefined)))
        result = diffrax.RESULTS.where(fine, result, NONFINITE)
        like = jax.eval_shape(lambda x: self.saves.values(o.t0, x, o.args), self.y0)
        dense = None
        if o.dense:
            dense = Dense(sol.interpolation, self.lift)  # pyright: ignore
        names = ("num_steps", "num_accepted_steps", "num_rejected_steps")
        stats = {name: jnp.asarray(sol.stats[name]) for name in names}
        if isinstance(first, FirstOf):
            stats = {name: jnp.where(first.ends_at_start, 0, n) for name, n in stats.items()}
        return Solution(
            ts=jnp.where(saved, ts, jnp.nan),
            ys=mark_missing(values, saved, like),
            saved=saved,
            t0=o.t0,
            t1=t1,
            y1=y1,
            result=result,
            stats=stats,
            event=mask,
            undefined=undefined,
            dense=dense,
            reduction=self.lift.name,
        )


def assemble(field: AttentionField, y0: Float[Array, "tokens dim"], options: Options) -> Problem:
    """A field, a start that was looked at, and options as a `Problem`. Traceable: for `jit` and `vmap`."""
    o = options
    if field.normalisation.starts_on_manifold:
        y0 = field.manifold.project(y0)
    whole = field
    reduced, x0, lift = field.reduce(y0, how=o.reduce)
    field = cast(AttentionField, reduced)  # of the kind that it was
    if o.controller is None:
        controller: Any = adaptive(field, o.rtol, o.atol, o.t0, o.t1, seen=whole, solver=o.solver)
    else:
        controller = with_breaks(o.controller, field, o.t0)
    solver: Any = o.solver
    breaks = breaks_of(field, o.t0.dtype)
    if o.noise is not None:
        assert o.dt0 is not None  # steps of noise are constant
        solver = noisy_solver(solver, field, o.noise, x0, o.t0, o.t1, o.dt0)
    if breaks is not None:
        solver = SidedSolver(solver, breaks)
    if field.projected and not field.manifold.flat:
        solver = ProjectedSolver(solver, field.manifold)
    solver = with_forward_stages(with_tolerances(solver, controller), o.adjoint)
    if isinstance(o.adjoint, diffrax.BacksolveAdjoint):
        # It differentiates the continuous flow, through the field alone: that steps are projected,
        # and how long they are, adds nothing to its gradient.
        solver, controller = _stop_gradient((solver, controller))
    event = None
    if o.events is not None:
        event = build_event(o.events, lift, o.t0, x0, o.args)
    return Problem(
        field=field,
        y0=x0,
        lift=lift,
        solver=solver,
        controller=controller,
        saves=Lifted(o.observers, lift),
        end=Lifted(AllTokens(), lift),
        event=event,
        options=o,
    )


def _stop_gradient(tree: Any) -> Any:
    arrays, rest = eqx.partition(tree, eqx.is_inexact_array)
    return eqx.combine(jax.lax.stop_gradient(arrays), rest)
