"""What every manifold of tokens has: a projection, its tangent map, a metric, random points, a whitening."""

import abc
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, ArrayLike, Bool, Float, Key, Real

from ..core.checks import check, floating, is_concrete, random_key, real, shaped, sizes
from ..core.eager import one_program
from ..core.types import Numbers


def safe_norm(squared: Array) -> Array:
    """Square root with derivative zero, not infinite, where its argument is zero; NaN stays NaN."""
    positive = ~(squared <= 0)
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, squared, 1)), 0)


def moderate(x: Array) -> tuple[Array, Array | None]:
    """`x` times a power of two, one a token, and that power: 1 unless squares overflow.

    In half precision nothing is done, and the power is `None`. A power of two rounds nothing, and
    times one nothing is changed: ordinary tokens keep their bits.
    """
    if x.dtype not in (jnp.float32, jnp.float64):
        return x, None
    edge, shift = (2.0**400, 2.0**700) if x.dtype == jnp.float64 else (2.0**40, 2.0**88)
    size = jax.lax.stop_gradient(jnp.max(jnp.abs(x), axis=-1, keepdims=True))
    power = jnp.where(size > edge, 1 / shift, jnp.where(size < 1 / edge, shift, 1.0))
    power = power.astype(x.dtype)
    return x * power, power


def rows_of_length(x: np.ndarray) -> np.ndarray:
    """The Euclidean length of each row, in NumPy, whatever the entries' size."""
    size = np.max(np.abs(x), axis=1, keepdims=True)
    with np.errstate(all="ignore"):
        return size[:, 0] * np.linalg.norm(x / np.where(size > 0, size, 1), axis=1)


class AbstractManifold(eqx.Module):
    r"""An ellipsoid $E_W = \{x \in \mathbb{R}^d : x^\top W x = 1\}$, on which tokens live.

    Everything acts on the last axis and takes any leading axes. Three manifolds exist:
    [`Sphere`][] ($W = I$), [`Ellipsoid`][] (any symmetric positive definite $W$), and [`Euclidean`][], all of the
    space, where nothing is projected.
    """

    dim: eqx.AbstractVar[int]

    # Whether it is all of the space, so that there is nothing to project.
    flat: ClassVar[bool] = False

    @property
    @abc.abstractmethod
    def W(self) -> Float[Array, "dim dim"]:
        """The matrix of the quadratic form."""

    @abc.abstractmethod
    def lower(self, x: Float[Array, "*batch dim"]) -> Float[Array, "*batch dim"]:
        r"""$Wx$: the covector whose pairing with $y$ is $\langle x, y\rangle_W$."""

    @abc.abstractmethod
    def whiten(self, y: Float[Array, "*batch dim"]) -> Float[Array, "*batch dim"]:
        r"""$x = L^\top y$ with $W = LL^\top$: carries $E_W$ to the unit sphere."""

    @abc.abstractmethod
    def unwhiten(self, x: Float[Array, "*batch dim"]) -> Float[Array, "*batch dim"]:
        r"""$y = L^{-\top} x$, the inverse of `whiten`."""

    @one_program
    def inner(
        self, x: Real[ArrayLike, "*#batch dim"], y: Real[ArrayLike, "*#batch dim"]
    ) -> Float[Array, "*out"]:
        r"""$\langle x, y\rangle_W = x^\top W y$."""
        x, y = self._pair("x", x, "y", y)
        return jnp.sum(x * self.lower(y), axis=-1)

    @one_program
    def norm(self, x: Real[ArrayLike, "*batch dim"]) -> Float[Array, "*batch"]:
        r"""$|x|_W = \sqrt{x^\top W x}$; its derivative at zero is taken as zero."""
        x, power = moderate(self._vectors("x", x))
        norm = safe_norm(self.inner(x, x))
        return norm if power is None else norm / power[..., 0]

    @one_program
    def project(self, x: Real[ArrayLike, "*batch dim"]) -> Float[Array, "*batch dim"]:
        r"""$\pi_W(x) = x/|x|_W$ (paper, section 2.2). A zero vector gives NaN."""
        x, _ = moderate(self._vectors("x", x))
        return x / safe_norm(self.inner(x, x))[..., None]

    def _vectors(self, name: str, x: Real[ArrayLike, "*batch dim"]) -> Float[Array, "*batch dim"]:
        # Any leading axes; a last one of another length would be broadcast, or fail deep inside.
        x = floating(name, x)
        if x.ndim == 0 or x.shape[-1] != self.dim:
            raise ValueError(
                f"`{name}` must have {self.dim} coordinates on its last axis; got shape {x.shape}."
            )
        return x

    def _pair(self, first: str, a, second: str, b) -> tuple[Array, Array]:
        a, b = self._vectors(first, a), self._vectors(second, b)
        try:
            jnp.broadcast_shapes(a.shape, b.shape)
        except ValueError:
            raise ValueError(
                f"`{first}` and `{second}` must broadcast to one shape; got {a.shape} and {b.shape}."
            ) from None
        return a, b

    @one_program
    def to_tangent(
        self, y: Real[ArrayLike, "*#batch dim"], v: Real[ArrayLike, "*#batch dim"]
    ) -> Float[Array, "*out dim"]:
        r"""$T_y\pi_W \cdot v = |y|_W^{-1}\,(I - y y^\top W/|y|_W^2)\,v$ (paper, eq. 3).

        The formula in full, at any $y \ne 0$ and not only on the manifold. Its shorthand
        $I - yy^\top W$ agrees on $E_W$ alone and makes $E_W$ *repel* wherever
        $\langle y, v\rangle_W < 0$; with the full formula $|y|_W$ is conserved exactly.
        """
        y, v = self._pair("y", y, "v", v)
        covector = self.lower(y)
        square = jnp.sum(y * covector, axis=-1, keepdims=True)
        along = jnp.sum(covector * v, axis=-1, keepdims=True)
        return (v - y * (along / square)) / jnp.sqrt(square)

    @one_program
    def distance(
        self, x: Real[ArrayLike, "*#batch dim"], y: Real[ArrayLike, "*#batch dim"]
    ) -> Float[Array, "*out"]:
        r"""The angle between $x$ and $y$ in the inner product of $W$, in radians, in $[0, \pi]$.

        It is the length of the shortest path between $\pi_W(x)$ and $\pi_W(y)$ measured by $W$,
        computed as $2\,\mathrm{atan2}(|\hat x-\hat y|_W, |\hat x+\hat y|_W)$: no cancellation at
        either end.
        """
        x, y = self._pair("x", x, "y", y)
        x, y = self.project(x), self.project(y)
        return 2 * jnp.arctan2(self.norm(x - y), self.norm(x + y))

    @one_program
    def residual(self, y: Real[ArrayLike, "*batch dim"]) -> Float[Array, "*batch"]:
        r"""How far from the manifold: $\big||y|_W - 1\big|$, for each token."""
        return jnp.abs(self.norm(y) - 1)

    def random(
        self, key: Key[Array, ""], shape: tuple[int, ...] = (), *, dtype: DTypeLike | None = None
    ) -> Float[Array, "*shape dim"]:
        r"""Independent random tokens, shape `(*shape, dim)`.

        Law: uniform on the sphere. On an ellipsoid it is the image of that law under
        $y = L^{-\top}x$: uniform for the surface measure of the metric $W$ (the one in which
        $E_W$ is a round sphere), not for Euclidean area.
        """
        dtype = float_dtype(dtype)
        shape = sizes("shape", shape, self.dim * dtype.itemsize)
        return _uniform(self, random_key("key", key), shape, dtype)

    def random_hemisphere(
        self,
        key: Key[Array, ""],
        shape: tuple[int, ...] = (),
        *,
        v: Float[Array, " dim"] | None = None,
        dtype: DTypeLike | None = None,
    ) -> Float[Array, "*shape dim"]:
        r"""Independent random tokens of the open hemisphere $v^\top y > 0$, shape `(*shape, dim)`.

        Law: `random`, conditioned on $v^\top y > 0$ (Euclidean pairing, as in Theorem 3.2).
        `v` defaults to the first axis.
        """
        tokens = self.random(key, shape, dtype=dtype)
        if v is None:
            v = np.eye(1, self.dim, dtype=tokens.dtype)[0]
        v = floating("v", v)
        shaped("v", v.shape, (self.dim,))
        v = check(v, lambda v: ~(v != 0).any(), "`v` must not be zero; got a zero vector.")
        v = check(
            v, lambda v: ~(abs(v) < jnp.inf), "`v` must be finite; got NaN or an infinite entry."
        )
        return _above(self, tokens, v)

    def check_tokens(
        self, name: str, y: Numbers, *, tolerance: float = 1e-4
    ) -> Float[Array, "tokens dim"]:
        """`y` as tokens on this manifold, projected if off it by rounding, refused if by more.

        **Arguments:**

        - `name`: the argument's name, for messages.
        - `y`: tokens, shape `(tokens, dim)`.
        - `tolerance`: rows with $||y|_W - 1|$ up to this are projected; beyond it they are refused.

        **Raises:**

        `ValueError` on a wrong rank or dimension, a zero, infinite or NaN row, a row off the
        manifold (NaN where `y` is traced by `jit`: see [`attnflow.raise_under_jit`][]).
        """
        return self.project(self.refuse_tokens(name, y, tolerance=tolerance))

    def refuse_tokens(
        self, name: str, y: Numbers, *, tolerance: float = 1e-4
    ) -> Float[Array, "tokens dim"]:
        """`y` as it is, refused where `check_tokens` refuses it."""
        y = self.check_rows(name, y)
        where = "a token off it"
        if is_concrete(self, y):  # in NumPy: nothing is compiled
            norm = self._norms(np.asarray(y))
            off: Any = np.abs(norm - 1)
            row = int(np.argmax(off))
            where = f"token {row} with |y|_W = {float(norm[row]):.6g}"
        else:
            off = jnp.abs(self.norm(y) - 1)
        return check(
            y,
            off > tolerance,
            f"`{name}` must lie on the manifold to {tolerance:g} (closer rows are projected); "
            f"got {where}. Project it first: manifold.project({name}).",
        )

    def _norms(self, y: np.ndarray) -> np.ndarray:
        """`norm` of rows whose values are known; in NumPy where that can be done."""
        return np.asarray(self.norm(y))

    def check_rows(self, name: str, y: Numbers) -> Float[Array, "tokens dim"]:
        """`y` as non-zero finite rows of this dimension, anywhere in space; else a `ValueError`."""
        y = check_array(self, name, y)
        rows: Any = np.asarray(y) if is_concrete(y) else y
        bad = ~((abs(rows) < jnp.inf).all(axis=1) & (rows != 0).any(axis=1))
        which = f"row {int(np.argmax(bad))}" if is_concrete(bad) else "a row"
        return check(
            y,
            bad,
            f"`{name}` must have finite, non-zero rows; got {which} that is zero or not finite.",
        )

    def are_places(self, y: Float[Array, "tokens dim"]) -> Bool[Array, ""]:
        """Whether all rows are what `check_rows` lets pass, of tokens whose values are not known."""
        return jnp.all(jnp.isfinite(y)) & jnp.all(jnp.any(y != 0, axis=1))


def check_array(manifold: AbstractManifold, name: str, y: Numbers) -> Float[Array, "tokens dim"]:
    """`y` as an array of one row or more of the manifold's dimension; else a `ValueError`."""
    y = real(name, y)
    many = "" if y.ndim == 2 else "Many starts at once are a vmap over simulate."
    shaped(name, y.shape, ("tokens", manifold.dim), remedy=many)
    return y


@one_program
def _uniform(manifold: AbstractManifold, key: Array, shape: tuple[int, ...], dtype: Any) -> Array:
    normal = jr.normal(key, (*shape, manifold.dim), dtype=dtype)
    return manifold.unwhiten(normal / jnp.linalg.norm(normal, axis=-1, keepdims=True))


@one_program
def _above(manifold: AbstractManifold, tokens: Array, v: Array) -> Array:
    """Tokens reflected to the side of `v`."""
    # By a power of two, which rounds nothing, so that no product overflows in the tokens' dtype.
    v = jnp.ldexp(v, -jnp.frexp(jnp.max(jnp.abs(v)))[1]).astype(tokens.dtype)
    height = tokens @ v
    # The law is symmetric under y -> -y, so a reflection conditions it exactly.
    tokens = jnp.where(height[..., None] < 0, -tokens, tokens)
    # A height that rounds to zero (probability zero in exact arithmetic) is lifted.
    nudge = jnp.finfo(tokens.dtype).eps * v / jnp.max(jnp.abs(v))
    nudged = manifold.project(tokens + jnp.broadcast_to(nudge, tokens.shape))
    return jnp.where(height[..., None] == 0, nudged, tokens)


def float_dtype(dtype) -> jnp.dtype:
    """The dtype of random tokens: JAX's default float unless given, else one of its two."""
    try:
        kind = jnp.dtype(jnp.result_type(float) if dtype is None else dtype)
    except TypeError:
        kind = None
    if kind not in (jnp.float32, jnp.float64):
        raise ValueError(f"`dtype` must be float32 or float64; got {kind or type(dtype).__name__}.")
    return jnp.dtype(kind)
