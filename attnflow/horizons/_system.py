"""Attention on circle and sphere with its forces in logarithms: how tokens move, and how fast by the log."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

# Forces that cancel to this part of the largest one are rounding and have no direction.
BALANCED = 1e-13


class System(eqx.Module):
    r"""Weighted tokens with $P = \beta I$, $U = I$: angles on the circle, unit vectors on a sphere.

    `masses` sum to one; those that are not `alive` have been merged into others and neither move nor
    act. `log_rate` is the logarithm of what multiplies $e^{\beta(\cos - 1)}$ (exponential kernel), or of the
    sum of a row (softmax).
    """

    masses: Float[Array, " tokens"]
    alive: Bool[Array, " tokens"]
    beta: Float[Array, ""]
    log_rate: Float[Array, ""]
    softmax: bool = eqx.field(static=True)

    @property
    def pairs(self) -> Bool[Array, "tokens tokens"]:
        """Pairs of two tokens that are alive."""
        return self.alive[:, None] & self.alive[None, :] & ~jnp.eye(self.alive.size, dtype=bool)

    def velocity(self, x: Array) -> tuple[Array, Array, Array]:
        r"""$v = \dot x / \max_{ij}\alpha_{ij}$; its length, $\sqrt{\sum_i m_i |v_i|^2}$; the log of that of $\dot x$.

        $e^{-300}$ times a distance is a force as good as any: the largest logarithm is taken out of all
        before the exponential.
        """
        half, tangent = _towards(x)
        logs = -self.beta * 2 * half**2 + jnp.log(jnp.where(self.alive, self.masses, 1.0))[None, :]
        logs = jnp.where(self.alive[None, :], logs, -jnp.inf)
        if self.softmax:
            logs = logs - jax.nn.logsumexp(logs, axis=1, keepdims=True)
        logs = jnp.where(self.pairs, logs, -jnp.inf)
        largest = jax.lax.stop_gradient(jnp.max(logs))
        forces = jnp.exp(logs - jnp.where(jnp.isfinite(largest), largest, 0.0))
        if x.ndim == 1:
            v = jnp.sum(forces * tangent, axis=1)
            squares = v**2
        else:
            v = jnp.sum(forces[..., None] * tangent, axis=1)
            squares = jnp.sum(v**2, axis=1)
        total = jnp.sum(self.masses * squares)
        size = jnp.where(total > 0, jnp.sqrt(jnp.where(total > 0, total, 1.0)), 0.0)
        log_speed = largest + self.log_rate + jnp.log(jnp.maximum(size, 1e-300))
        return v, size, log_speed

    def gap(self, x: Array) -> Float[Array, ""]:
        r"""$(\sum_{i<j} |x_i - x_j|^{-2})^{-1/2}$: the smallest distance, smoothly, or a little less."""
        square = jnp.where(self.pairs, 4 * _towards(x)[0] ** 2, jnp.inf)
        return (jnp.sum(1 / jnp.maximum(square, 1e-40)) / 2) ** -0.5

    def energy(self, x: Array) -> Float[Array, ""]:
        r"""$\sum_{ij} m_i m_j e^{\beta(\cos\angle(x_i, x_j) - 1)}$."""
        half, _ = _towards(x)
        m = self.masses  # zero for those that have been merged
        return jnp.sum(m[:, None] * m[None, :] * jnp.exp(-self.beta * 2 * half**2))


def chords(x: Array) -> Float[Array, "tokens tokens"]:
    """The straight distances of tokens."""
    return 2 * _towards(x)[0]


def _towards(x: Array) -> tuple[Array, Array]:
    """Half the chord of each pair, and the part of $x_j$ that is tangent at $x_i$."""
    if x.ndim == 1:
        angle = x[None, :] - x[:, None]
        return jnp.abs(jnp.sin(angle / 2)), jnp.sin(angle)
    x = x / jnp.linalg.norm(x, axis=1, keepdims=True)  # lengths drift by the error of steps
    gap = x[None, :, :] - x[:, None, :]
    square = jnp.sum(gap**2, axis=-1)
    half = jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1.0)) / 2, 0.0)
    # x_i'(x_j - x_i) = -|x_j - x_i|² / 2, without what cancels
    return half, gap + x[:, None, :] * (square / 2)[..., None]
