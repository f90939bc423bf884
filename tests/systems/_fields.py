"""The same case for the library: the one room here that imports attnflow."""

import jax.numpy as jnp
import numpy as np

import attnflow as af

from ._inputs import carry_p, carry_u, generator, random_spd, unwhiten


class Place:
    """The sphere, or an ellipsoid whose W is drawn from `names`: where a case of the sphere is run.

    `manifold` is the library's and `W` the matrix in NumPy; `general` is the same place as an
    `Ellipsoid` whatever W is, so that sphere and ellipsoid share one compiled run. `P`, `U` and
    `tokens` carry a matrix or tokens of the sphere there (as JAX arrays); `back` brings tokens home
    (in NumPy).
    """

    def __init__(self, kind: str, dim: int, *names):
        self.kind = kind
        if kind == "sphere":
            self.W = np.eye(dim)
            self.manifold: af.Sphere | af.Ellipsoid = af.Sphere(dim)
        else:
            self.W = random_spd(generator("place", dim, *names), dim)
            self.manifold = af.Ellipsoid(jnp.asarray(self.W))

    @property
    def general(self):
        return af.Ellipsoid(jnp.asarray(self.W))

    def P(self, P):
        return jnp.asarray(carry_p(P, self.W))

    def U(self, U):
        return jnp.asarray(carry_u(U, self.W))

    def tokens(self, x):
        return jnp.asarray(unwhiten(x, self.W))

    def back(self, y):
        return np.asarray(y) @ np.linalg.cholesky(self.W)


PLACES = ("sphere", "ellipsoid")
