"""Fast forcings of slow tokens: two causal tokens on a circle, whose errors of each period add up."""

from typing import Any

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..flow import simulate
from ..geometry import Sphere
from ..model import AttentionField
from ..schedules import Constant, Scaled, ScaledIdentity, Sinusoid

T1 = 40.0
ANGLE = 2.0  # between the two tokens at the start


def forcings(number: int, seed: int = 5) -> np.ndarray:
    r"""Rows of $A, \omega, \varphi, u, v$.

    $P = A\sin(\omega t+\varphi)$ times a quarter turn and $U = (u + v \sin(\omega t+\varphi)) I$.
    $A$ is from 0.3 to 32, $\omega$ from 5 to 26; $U$ is 0.02, or 0.05 times the sine.
    """
    rng = np.random.default_rng(seed)
    even = np.arange(number) % 2 == 0
    return np.stack(
        [
            np.exp(rng.uniform(np.log(0.3), np.log(32), number)),
            rng.uniform(5, 26, number),
            rng.uniform(0, 2 * np.pi, number),
            np.where(even, 0.02, 0.0),
            np.where(even, 0.0, 0.05),
        ],
        axis=1,
    )


def forced_field(row: Float[Array, " 5"]) -> AttentionField:
    """The field of a row of [`forcings`][]."""
    A, omega, phase, u, v = row
    turn = jnp.array([[0.0, -1.0], [1.0, 0.0]])
    P = Scaled(Sinusoid(A, omega, phase), turn)
    U = ScaledIdentity(Sinusoid(v, omega, phase) + Constant(u), 2)
    return AttentionField(Sphere(2), P, U=U, mask="causal")


def start() -> Float[Array, "2 2"]:
    """Two tokens, the first of which never moves."""
    return jnp.array([[1.0, 0.0], [np.cos(ANGLE), np.sin(ANGLE)]])


@jax.jit
def reference(rows: Float[Array, "cases 5"]) -> Float[Array, "cases 2"]:
    r"""The second token at the end, from the equation of its angle, in 60 000 equal steps of Dopri8.

    $\dot\theta = -2^{-1/2} U(t)\, \sigma(A \sin(\omega t + \varphi) \sin\theta) \sin\theta$.
    """
    tableau, steps = diffrax.Dopri8.tableau, 60_000
    A, omega, phase, u, v = rows.T
    h = T1 / steps

    def slope(t, angle):
        wave, height = jnp.sin(omega * t + phase), jnp.sin(angle)
        return -(0.5**0.5) * (u + v * wave) * jax.nn.sigmoid(A * wave * height) * height

    def step(n, angle):
        k = []
        for c, row in zip([0.0, *tableau.c], [[], *tableau.a_lower], strict=True):
            moved = sum((float(a) * x for a, x in zip(row, k, strict=True)), jnp.zeros_like(angle))
            k.append(h * slope((n + float(c)) * h, angle + moved))
        return angle + sum(float(b) * x for b, x in zip(tableau.b_sol, k, strict=True))

    angle = jax.lax.fori_loop(0, steps, step, jnp.full_like(A, ANGLE))
    return jnp.stack([jnp.cos(angle), jnp.sin(angle)], axis=1)


def forced_runs(rows: Float[Array, "cases 5"], solver: Any, rtols: Any) -> list[dict[str, Any]]:
    """For each tolerance the errors at the end in tolerances, and the steps, of all rows."""

    @jax.jit
    def every(rows, rtol):
        def one(row):
            field = forced_field(row)
            sol = simulate(field, start(), t1=T1, rtol=rtol, atol=0.0, solver=solver, throw=False)
            return sol.y1[1], sol.stats["num_steps"]

        return jax.vmap(one)(rows)

    exact = np.asarray(reference(rows))
    runs = []
    for rtol in rtols:
        y, steps = (np.asarray(x) for x in every(rows, jnp.asarray(rtol)))
        errors = np.abs(y - exact).max(axis=1) / rtol
        runs.append({"rtol": rtol, "errors": errors, "steps": steps})
    return runs
