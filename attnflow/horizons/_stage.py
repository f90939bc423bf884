"""The flow by its own clock from one event to the next: two clusters near, two tokens to be merged, the end."""

from typing import Any, NamedTuple

import diffrax
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from ..core.compiled import compiled
from ..flow.events import TimeBisection
from ._system import BALANCED, System, chords

STEPS = 8192  # of one stage; the whole staircase of five tokens takes some hundreds


class Limits(NamedTuple):
    """Where a stage ends."""

    near: Float[Array, ""]
    merge: Float[Array, ""]
    log_t1: Float[Array, ""]
    length: Float[Array, ""]  # of the path, from where the stage begins
    apart: Bool[Array, "tokens tokens"]  # pairs of tokens that are in two clusters as yet


class Stage(NamedTuple):
    """What a stage went through: its steps (those not taken are NaN), and where it ended."""

    log_t: Float[Array, " steps"]
    lengths: Float[Array, " steps"]
    energy: Float[Array, " steps"]
    x: Float[Array, "..."]
    x1: Float[Array, "..."]
    log_t1: Float[Array, ""]
    length: Float[Array, ""]
    steps: Int[Array, ""]
    failed: Bool[Array, ""]


@compiled
def stage(
    system: System,
    x0: Array,
    log_t0: Array,
    limits: Limits,
    solver: diffrax.AbstractSolver[Any],
    rtol: Array,
    atol: Array,
) -> Stage:
    r"""One stage.

    Tokens move at the speed of the smallest gap $g$ however weak the forces are, $dx/d\tau = g v/|v|$: two that meet
    come closer as $e^{-\tau}$ does, smoothly, whatever solver takes them there. Time is $dt/d\tau = g/|v|$, of which
    the state holds the multiple $u$ that begins with slope one, and the length of the path is $\int g\, d\tau$.
    """
    solution, log_t, on_sphere = _solved(
        system, x0, log_t0, limits, solver, rtol, atol, diffrax.RecursiveCheckpointAdjoint(), True
    )
    ys: Any = solution.ys
    (logs, lengths, energies, xs), (x1, u1, length) = ys
    ended = solution.result == diffrax.RESULTS.event_occurred
    return Stage(
        logs,
        lengths,
        energies,
        jax.vmap(on_sphere)(xs),
        on_sphere(x1[0]),
        log_t(u1[0]),
        length[0],
        solution.stats["num_steps"],
        ~ended,
    )


class Slopes(NamedTuple):
    """Derivatives along directions, which come first: of tokens, of ln t, of beta, of the logarithm of the rate."""

    x: Float[Array, "directions ..."]
    log_t: Float[Array, " directions"]
    beta: Float[Array, " directions"]
    log_rate: Float[Array, " directions"]


@compiled
def slopes(
    system: System,
    x0: Array,
    log_t0: Array,
    limits: Limits,
    solver: diffrax.AbstractSolver[Any],
    rtol: Array,
    atol: Array,
    before: Slopes,
) -> Slopes:
    """The derivatives after a stage, of those `before` it: its end moves with them."""

    def end(x0: Array, log_t0: Array, beta: Array, log_rate: Array) -> tuple[Array, Array]:
        moved = System(system.masses, system.alive, beta, log_rate, system.softmax)
        how = (limits, solver, rtol, atol, diffrax.ForwardMode(), False)
        solution, log_t, on_sphere = _solved(moved, x0, log_t0, *how)
        x1, u1, _ = solution.ys
        return on_sphere(x1[0]), log_t(u1[0])

    at = (x0, log_t0, system.beta, system.log_rate)
    x, log_t = jax.vmap(lambda *along: jax.jvp(end, at, along)[1])(*before)
    return Slopes(x, log_t, before.beta, before.log_rate)


def _solved(
    system: System,
    x0: Array,
    log_t0: Array,
    limits: Limits,
    solver: diffrax.AbstractSolver[Any],
    rtol: Array,
    atol: Array,
    adjoint: diffrax.AbstractAdjoint,
    every: bool,
) -> tuple[Any, Any, Any]:
    """The solution to the next event, `every` step or its end; ln t of its clock; tokens put on the sphere."""
    start = system.velocity(x0)[2] - jnp.log(system.gap(x0))

    def field(tau, state, args):
        v, size, log_speed = system.velocity(state[0])
        gap = system.gap(state[0])
        slowness = jnp.exp(jnp.minimum(start - log_speed + jnp.log(gap), 600.0))
        return gap * v / jnp.maximum(size, 1e-300), slowness, gap

    def log_t(u):
        return jnp.logaddexp(log_t0, jnp.log(jnp.maximum(u, 1e-300)) - start)

    def least(x, pairs):
        return jnp.min(jnp.where(pairs, chords(x), 3.0))

    def first_of(t, y, args, **_):
        # Positive until two clusters are near, two tokens to be merged, the clock has run, or all forces balanced.
        return jnp.minimum(
            jnp.minimum(
                least(y[0], limits.apart & system.pairs) - limits.near,
                least(y[0], system.pairs) - limits.merge,
            ),
            jnp.minimum(
                jnp.minimum(limits.log_t1 - log_t(y[1]), limits.length - y[2]),
                system.velocity(y[0])[1] - BALANCED,
            ),
        )

    def looked_at(t, state, args):
        return log_t(state[1]), state[2], system.energy(state[0]), state[0]

    def on_sphere(x):
        return x if x.ndim == 1 else x / jnp.linalg.norm(x, axis=1, keepdims=True)

    solution = diffrax.diffeqsolve(
        diffrax.ODETerm(field),
        solver,
        t0=0.0,
        t1=1e30,  # an event comes first
        dt0=1e-3,
        y0=(x0, jnp.zeros_like(log_t0), jnp.zeros_like(log_t0)),
        saveat=diffrax.SaveAt(
            subs=[diffrax.SubSaveAt(steps=True, fn=looked_at), diffrax.SubSaveAt(t1=True)]
        )
        if every
        else diffrax.SaveAt(t1=True),
        stepsize_controller=diffrax.PIDController(rtol, atol),
        event=diffrax.Event(first_of, TimeBisection(rtol=0.0, atol=1e-18, flip=True)),
        max_steps=STEPS,
        adjoint=adjoint,
        throw=False,
    )
    return solution, log_t, on_sphere
