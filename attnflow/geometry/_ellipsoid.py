"""The ellipsoid of a symmetric positive definite matrix."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Real

from ..core.checks import check, is_concrete, real, shaped
from ..core.lapack import cholesky, eigh, solve_lower
from ._manifold import AbstractManifold, rows_of_length


class Ellipsoid(AbstractManifold):
    r"""The ellipsoid $E_W = \{x : x^\top W x = 1\}$ of a symmetric positive definite $W$.

    Kept is one leaf, the lower Cholesky factor $L$ of $W = LL^\top$: an optimiser that moves it
    cannot leave the positive semidefinite matrices, nor separate $W$ from its root. `W` and
    `symmetric_root` are computed from it.

    **Arguments:**

    - `W`: shape `(dim, dim)`, symmetric to rounding and positive definite.

    **Raises:**

    `ValueError` when `W` is not a square matrix, not symmetric or not positive definite (at run
    time where `W` is traced).

    ```python
    ellipsoid = af.Ellipsoid(jnp.diag(jnp.array([1.0, 2.0, 4.0])))
    ellipsoid.project(jnp.ones(3))
    ```
    """

    L: Float[Array, "dim dim"]

    def __init__(self, W: Real[ArrayLike, "dim dim"]):
        W = real("W", W)
        shaped("W", W.shape, ("dim", "dim"))
        W = check(
            W, lambda W: ~(abs(W) < jnp.inf), "`W` must be finite; got an infinite or NaN entry."
        )
        size = jnp.max(jnp.abs(W))
        gap = jnp.max(jnp.abs(W - W.T))
        tolerance = 64 * jnp.finfo(W.dtype).eps * size
        shown = f"max |W - W'| = {float(gap):.3g}" if is_concrete(gap) else "W different from W'"
        W = check(
            W,
            gap > tolerance,
            f"`W` must be symmetric; got {shown}. Pass (W + W.T) / 2 if that is what you mean.",
        )
        W = (W + W.T) / 2
        L = cholesky(W)
        indefinite = ~jnp.all(jnp.isfinite(L))
        if is_concrete(W) and bool(indefinite):
            smallest = float(jnp.linalg.eigvalsh(W)[0])
            got = f"smallest eigenvalue {smallest:.3g}"
        else:
            got = "a matrix without a Cholesky factor"
        self.L = check(L, indefinite, f"`W` must be positive definite; got {got}.")

    @property
    def dim(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.L.shape[-1]

    @property
    def factor(self) -> Float[Array, "dim dim"]:
        """The lower triangle of the stored leaf."""
        return jnp.tril(self.L)

    @property
    def W(self) -> Float[Array, "dim dim"]:
        L = self.factor
        return L @ L.T

    @property
    def symmetric_root(self) -> Float[Array, "dim dim"]:
        r"""$W^{1/2}$, symmetric. (Whitening uses $L$: any root serves, and $L$ differentiates.)"""
        values, vectors = eigh(self.W)
        return (vectors * jnp.sqrt(values)[None, :]) @ vectors.T

    def _norms(self, y: np.ndarray) -> np.ndarray:
        return rows_of_length(y @ np.tril(np.asarray(self.L)))

    def _factor_for(self, x: Array) -> Array:
        return self.factor.astype(x.dtype)

    def lower(self, x: Float[Array, "*batch dim"]) -> Float[Array, "*batch dim"]:
        x = self._vectors("x", x)
        factor = self._factor_for(x)
        return (x @ factor) @ factor.T

    def whiten(self, y: Float[Array, "*batch dim"]) -> Float[Array, "*batch dim"]:
        y = self._vectors("y", y)
        return y @ self._factor_for(y)

    def unwhiten(self, x: Float[Array, "*batch dim"]) -> Float[Array, "*batch dim"]:
        x = self._vectors("x", x)
        rows = x.reshape(-1, x.shape[-1])
        factor = self._factor_for(x)
        return solve_lower(factor, rows.T, transposed=True).T.reshape(x.shape)
