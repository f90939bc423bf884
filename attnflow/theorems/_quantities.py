"""Quantities that a theorem says something of along a run: observers, and what is to hold of them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Int, Real

from ..core.lapack import eigh
from ..geometry import AbstractManifold
from ..observables import lyapunov_each
from ..observables.directions import directions
from ..schedules import AbstractSchedule


@dataclass(frozen=True)
class Quantity:
    """A number along a run, and what a theorem says of it.

    - `name`: what it is.
    - `observer`: gives it, `observer(t, y)`.
    - `rule`: `"falls"` (never rises), `"grows"` (never falls), `"zero"`, `"above"` or `"below"`
      `bound`, or `"equals"` `expected`.
    - `bound`: of `"above"` and `"below"`.
    - `expected`: of `"equals"`, a function of the times in NumPy.
    - `until`: the time up to which the theorem speaks.
    """

    name: str
    observer: eqx.Module
    rule: Literal["falls", "grows", "zero", "above", "below", "equals"]
    bound: float = 0.0
    expected: Callable[[np.ndarray], ArrayLike] | None = None
    until: float = np.inf

    def excess(self, ts: np.ndarray, values: np.ndarray) -> np.ndarray:
        """By how much the rule is broken at each time: positive where it is.

        Falls and grows compare with the best value so far, so that a slow rise is not lost between
        saves.
        """
        if self.rule == "falls":
            return values - np.minimum.accumulate(values)
        if self.rule == "grows":
            return np.maximum.accumulate(values) - values
        if self.rule == "zero":
            return np.abs(values)
        if self.rule == "above":
            return self.bound - values
        if self.rule == "below":
            return values - self.bound
        assert self.expected is not None
        return np.abs(values - self.expected(ts))

    @property
    def claim(self) -> str:
        """The rule in words."""
        words = {
            "falls": "never rises",
            "grows": "never falls",
            "zero": "stays zero",
            "above": f"stays above {self.bound:.4g}",
            "below": f"stays below {self.bound:.4g}",
            "equals": "follows its closed form",
        }
        until = "" if np.isinf(self.until) else f" until t = {self.until:.4g}"
        return words[self.rule] + until


class OneLyapunov(eqx.Module):
    r"""$V_i = 1 - v^\top y_i$ of one token (paper, Fig. 6)."""

    v: Float[Array, " dim"]
    token: int = eqx.field(static=True)

    def __call__(self, t: Real[ArrayLike, ""], y: Float[Array, "tokens dim"]) -> Float[Array, ""]:
        return lyapunov_each(y, self.v.astype(y.dtype))[self.token]


class Height(eqx.Module):
    r"""$\min_i v^\top y_i$: positive while the tokens share the open hemisphere of $v$."""

    v: Float[Array, " dim"]

    def __call__(self, t: Real[ArrayLike, ""], y: Float[Array, "tokens dim"]) -> Float[Array, ""]:
        return jnp.min(y @ self.v.astype(y.dtype))


class Moved(eqx.Module):
    """How far the first token is from a point."""

    point: Float[Array, " dim"]

    def __call__(self, t: Real[ArrayLike, ""], y: Float[Array, "tokens dim"]) -> Float[Array, ""]:
        return jnp.linalg.norm(y[0] - self.point.astype(y.dtype))


class Spread(eqx.Module):
    """The largest less the smallest cosine of two tokens, in the product of a manifold."""

    manifold: AbstractManifold

    def __call__(self, t: Real[ArrayLike, ""], y: Float[Array, "tokens dim"]) -> Float[Array, ""]:
        gaps = _gaps(y, self.manifold)
        return jnp.max(gaps) - jnp.min(gaps)


class Gap(eqx.Module):
    """1 - cosine of the first two tokens, in the product of a manifold, with its digits."""

    manifold: AbstractManifold

    def __call__(self, t: Real[ArrayLike, ""], y: Float[Array, "tokens dim"]) -> Float[Array, ""]:
        return _gaps(y[:2], self.manifold)[0]


def _gaps(y: Array, manifold: AbstractManifold) -> Array:
    x = directions(y, manifold)
    i, j = np.triu_indices(y.shape[0], 1)
    return jnp.sum((x[i] - x[j]) ** 2, axis=1) / 2


class InCaps(eqx.Module):
    r"""$\min_i \langle w_{q(i)}, x_i\rangle$: how deep the tokens are in the caps given to them."""

    centres: Float[Array, "caps dim"]
    labels: Int[Array, " tokens"]
    manifold: AbstractManifold

    def __call__(self, t: Real[ArrayLike, ""], y: Float[Array, "tokens dim"]) -> Float[Array, ""]:
        x = directions(y, self.manifold)
        return jnp.min(jnp.sum(x * self.centres.astype(x.dtype)[self.labels], axis=1))


class AngleToTop(eqx.Module):
    r"""The angle of the first token to $\pm v(t)$, the top eigenvector of $U(t)$, in radians."""

    U: AbstractSchedule

    def __call__(self, t: Real[ArrayLike, ""], y: Float[Array, "tokens dim"]) -> Float[Array, ""]:
        U = self.U(t).astype(y.dtype).reshape(y.shape[1], y.shape[1])
        v = eigh((U + U.T) / 2)[1][:, -1]
        v = v * jnp.where(jnp.dot(v, y[0]) < 0, -1, 1).astype(y.dtype)
        return 2 * jnp.arctan2(jnp.linalg.norm(y[0] - v), jnp.linalg.norm(y[0] + v))
