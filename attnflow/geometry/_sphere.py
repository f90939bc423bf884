"""The unit sphere, W = I."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..core.checks import room, whole
from ._manifold import AbstractManifold, rows_of_length


class Sphere(AbstractManifold):
    r"""The unit sphere $S^{d-1} = \{x \in \mathbb{R}^d : |x| = 1\}$, that is $E_W$ with $W = I$.

    `Sphere(3)` is $S^2 \subset \mathbb{R}^3$. It holds no arrays.

    **Arguments:**

    - `dim`: $d$, the dimension of the space around the sphere; at least 1.

    ```python
    sphere = af.Sphere(3)
    tokens = sphere.random(jax.random.key(0), (10,))        # (10, 3)
    ```
    """

    dim: int = eqx.field(static=True)

    def __init__(self, dim: int):
        self.dim = whole("dim", dim)

    @property
    def W(self) -> Float[Array, "dim dim"]:
        room("dim", (self.dim, self.dim), what="a matrix W")
        return jnp.eye(self.dim)

    def _norms(self, y: np.ndarray) -> np.ndarray:
        return rows_of_length(y)

    def lower(self, x: Float[Array, "*batch dim"]) -> Float[Array, "*batch dim"]:
        return self._vectors("x", x)

    def whiten(self, y: Float[Array, "*batch dim"]) -> Float[Array, "*batch dim"]:
        return self._vectors("y", y)

    def unwhiten(self, x: Float[Array, "*batch dim"]) -> Float[Array, "*batch dim"]:
        return self._vectors("x", x)
