"""Peers in JAX, the field as one writes it without attnflow: vmapped diffrax, jax.experimental.ode."""

from collections.abc import Callable
from typing import Any

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ..core.types import PyTree
from ._cases import Workload


def velocity(case: Workload) -> Callable[..., Any]:
    """Eq. (6) of one system `(tokens, dim)`; `args` is P'."""
    amplitude, omega, phase = (jnp.asarray(x) for x in (case.amplitude, case.omega, case.phase))
    below = jnp.tril(jnp.ones((case.tokens, case.tokens), bool))

    def field(t, y, matrix):
        D = amplitude * jnp.sin(omega * t + phase)
        if case.rectified:
            D = jnp.abs(D)
        logits = jnp.einsum("id,hd,hde,je->hij", y, D, matrix, y)
        if case.causal:
            logits = jnp.where(below[None], logits, -jnp.inf)
        A = case.scale * jnp.sum(jax.nn.softmax(logits, axis=-1), axis=0) @ y
        square = jnp.sum(y * y, axis=-1, keepdims=True)
        return (A - y * jnp.sum(y * A, axis=-1, keepdims=True) / square) / jnp.sqrt(square)

    return field


def diffrax_run(
    case: Workload, solver: diffrax.AbstractSolver[Any], **options: object
) -> Callable[..., PyTree[Array]]:
    """`diffeqsolve` of one start as a function of `(y0, matrix, rtol)`; tokens at the case's times."""
    field = velocity(case)

    def run(y0, matrix, rtol):
        return diffrax.diffeqsolve(
            diffrax.ODETerm(field),  # pyright: ignore[reportArgumentType]
            solver,
            0.0,
            case.t1,
            None,
            y0,
            matrix,
            saveat=diffrax.SaveAt(ts=jnp.asarray(case.ts)),
            stepsize_controller=diffrax.PIDController(rtol=rtol, atol=rtol * case.dim**-0.5),
            **{"max_steps": 2**20, **options},  # pyright: ignore[reportArgumentType]
        ).ys

    return run


def vmapped(
    solver: type[diffrax.AbstractSolver[Any]],
) -> Callable[[Workload, np.ndarray, float], np.ndarray]:
    """`jax.jit(jax.vmap(...))` of `diffrax.diffeqsolve`."""
    compiled: dict[str, Any] = {}

    def solve(case: Workload, starts: np.ndarray, rtol: float) -> np.ndarray:
        if case.title not in compiled:
            many = jax.vmap(diffrax_run(case, solver()), in_axes=(0, None, None))
            compiled[case.title] = jax.jit(many)
        return np.asarray(compiled[case.title](starts, case.matrix, rtol))

    return solve


def odeint() -> Callable[[Workload, np.ndarray, float], np.ndarray]:
    """`jax.experimental.ode.odeint` (Dormand-Prince), vmapped; its tolerances are compiled in."""
    from jax.experimental.ode import odeint

    compiled: dict[tuple[str, float], Any] = {}

    def solve(case: Workload, starts: np.ndarray, rtol: float) -> np.ndarray:
        which = (case.title, rtol)
        if which not in compiled:
            field, ts = velocity(case), jnp.append(0.0, jnp.asarray(case.ts))

            def one(y0, matrix):
                flow = lambda y, t: field(t, y, matrix)  # noqa: E731
                return odeint(flow, y0, ts, rtol=rtol, atol=rtol * case.dim**-0.5)[1:]

            compiled[which] = jax.jit(jax.vmap(one, in_axes=(0, None)))
        return np.asarray(compiled[which](starts, case.matrix))

    return solve
