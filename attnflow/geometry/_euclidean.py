"""All of R^d: tokens without a sphere."""

from typing import ClassVar, NoReturn

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, ArrayLike, Bool, Float, Key, Real

from ..core.arguments import number
from ..core.checks import check, choose, is_concrete, random_key, room, sizes, whole
from ..core.types import Numbers
from ._manifold import AbstractManifold, check_array, float_dtype

LAWS = ("normal", "cube", "ball")


class Euclidean(AbstractManifold):
    r"""All of $\mathbb{R}^d$: no normalisation, $\dot y_i = \sum_j a_{ij} U y_j$ (arXiv:2305.05465).

    Projection and tangent map are the identity, every point is on it, zero included. `norm` and `inner` are those of
    $\mathbb{R}^d$, and `distance` is $|x - y|$ instead of an angle. Observables of directions (misalignment, cosines,
    clusters by a cosine) look at tokens from the origin. Tolerances of a run are per token and relative to
    its length, which may grow like $e^{t}$; [`rescaled`][attnflow.model.rescaled] takes that growth off.
    Theorems, closed forms and proofs of this library are about spheres and ellipsoids, and refuse it.

    **Arguments:**

    - `dim`: $d$, at least 1.

    **Raises:**

    `ValueError` when `dim` is no positive integer.

    ```python
    space = af.Euclidean(2)
    field = af.AttentionField(space, P=jnp.eye(2), scale=1.0)
    y0 = space.random(jax.random.key(0), (40,), law="cube", size=5.0)   # uniform in [-5, 5]^2
    sol = af.simulate(field, y0, t1=3.0)
    ```
    """

    dim: int = eqx.field(static=True)
    flat: ClassVar[bool] = True

    def __init__(self, dim: int):
        self.dim = whole("dim", dim)

    @property
    def W(self) -> Float[Array, "dim dim"]:
        """The identity: the inner product is the Euclidean one."""
        room("dim", (self.dim, self.dim), what="a matrix W")
        return jnp.eye(self.dim)

    def lower(self, x: Float[Array, "*batch dim"]) -> Float[Array, "*batch dim"]:
        return self._vectors("x", x)

    def whiten(self, y: Float[Array, "*batch dim"]) -> Float[Array, "*batch dim"]:
        return self._vectors("y", y)

    def unwhiten(self, x: Float[Array, "*batch dim"]) -> Float[Array, "*batch dim"]:
        return self._vectors("x", x)

    def project(self, x: Real[ArrayLike, "*batch dim"]) -> Float[Array, "*batch dim"]:
        """The point itself: all of them are in the space."""
        return self._vectors("x", x)

    def to_tangent(
        self, y: Real[ArrayLike, "*#batch dim"], v: Real[ArrayLike, "*#batch dim"]
    ) -> Float[Array, "*out dim"]:
        """The vector itself: all of them are tangent."""
        y, v = self._pair("y", y, "v", v)
        return jnp.broadcast_to(v, jnp.broadcast_shapes(y.shape, v.shape))

    def distance(
        self, x: Real[ArrayLike, "*#batch dim"], y: Real[ArrayLike, "*#batch dim"]
    ) -> Float[Array, "*out"]:
        """$|x - y|$."""
        x, y = self._pair("x", x, "y", y)
        return self.norm(x - y)

    def residual(self, y: Real[ArrayLike, "*batch dim"]) -> Float[Array, "*batch"]:
        """Zero: every point is in the space."""
        return jnp.zeros_like(self._vectors("y", y)[..., 0])

    def random(
        self,
        key: Key[Array, ""],
        shape: tuple[int, ...] = (),
        *,
        law: str = "normal",
        size: float | Real[Array, ""] = 1.0,
        dtype: DTypeLike | None = None,
    ) -> Float[Array, "*shape dim"]:
        r"""Independent random tokens, shape `(*shape, dim)`.

        **Arguments:**

        - `key`, `shape`: as of any manifold.
        - `law`: `"normal"`; `"cube"`, uniform in $]-s, s[^d$; `"ball"`, uniform in the ball of radius $s$.
        - `size`: $s$, positive; the standard deviation of a coordinate for `"normal"`.
        - `dtype`: float32 or float64; JAX's default unless given.

        **Raises:**

        `ValueError` on another law, or a size that is not positive.
        """
        kind = float_dtype(dtype)
        shape = sizes("shape", shape, self.dim * kind.itemsize)
        choose("law", law, LAWS)
        size = number("size", size, above=0.0) if is_concrete(size) else size
        key = random_key("key", key)
        s = jnp.asarray(size, kind)
        if law == "cube":
            return jr.uniform(key, (*shape, self.dim), kind, minval=-s, maxval=s)
        if law == "ball":
            return s * jr.ball(key, self.dim, shape=shape, dtype=kind)
        return s * jr.normal(key, (*shape, self.dim), kind)

    def random_hemisphere(
        self,
        key: Key[Array, ""],
        shape: tuple[int, ...] = (),
        *,
        v: Float[Array, " dim"] | None = None,
        dtype: DTypeLike | None = None,
    ) -> NoReturn:
        """Refused: a hemisphere is part of a sphere."""
        raise ValueError(
            "`random_hemisphere` needs a Sphere or an Ellipsoid; Euclidean has no hemispheres. Use random(...), and "
            "turn tokens with v'y < 0 around for those of a half-space."
        )

    def refuse_tokens(
        self, name: str, y: Numbers, *, tolerance: float = 1e-4
    ) -> Float[Array, "tokens dim"]:
        """`y` as it is: refused where it is not `(tokens, dim)`, or not finite."""
        return self.check_rows(name, y)

    def check_rows(self, name: str, y: Numbers) -> Float[Array, "tokens dim"]:
        """`y` as finite rows of this dimension; else a `ValueError`."""
        y = check_array(self, name, y)
        bad = ~(abs(np.asarray(y) if is_concrete(y) else y) < jnp.inf).all(axis=1)
        which = f"row {int(np.argmax(bad))}" if is_concrete(bad) else "a row"
        return check(y, bad, f"`{name}` must have finite rows; got {which} that is not finite.")

    def are_places(self, y: Float[Array, "tokens dim"]) -> Bool[Array, ""]:
        return jnp.all(jnp.isfinite(y))
