"""Tokens in known positions: polygons, simplices, cross-polytopes, antipodal pairs, consensus.

With `P = βI` and `U = I` on the sphere each of them is an equilibrium of full attention.
"""

import operator

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Real

from ..core.checks import check, floating, instance, room, shaped, shown
from ..geometry import AbstractManifold


def polygon(
    tokens: int, *, dim: int = 2, manifold: AbstractManifold | None = None
) -> Float[Array, "tokens dim"]:
    r"""The regular polygon $x_k = (\cos 2\pi k/\ell, \sin 2\pi k/\ell, 0, \ldots)$.

    **Arguments:**

    - `tokens`: $\ell$, at least 1.
    - `dim`: $d$, at least 2; the polygon lies in the plane of the first two axes.
    - `manifold`: carries the tokens there from the sphere, by `manifold.unwhiten`.

    **Returns:** tokens, shape `(tokens, dim)`, in the default float.

    **Raises:**

    - `ValueError`: a number of tokens or a dimension that is too small, or another dimension than
      the manifold's.

    ```python
    af.theory.polygon(3)                                 # an equilateral triangle on the circle
    ```
    """
    tokens, dim = _whole("tokens", tokens, 1), _whole("dim", dim, 2)
    room("tokens", (tokens, dim))
    # Quarter turns are made exact: antipodal tokens then are so to the last bit.
    angle = 2 * np.pi * np.arange(tokens) / tokens
    x = np.zeros((tokens, dim))
    x[:, 0], x[:, 1] = np.cos(angle), np.sin(angle)
    quarter = 4 * np.arange(tokens) % tokens == 0
    x[quarter] = np.round(x[quarter])
    return _carry(x, manifold)


def simplex(
    tokens: int, *, dim: int | None = None, manifold: AbstractManifold | None = None
) -> Float[Array, "tokens dim"]:
    r"""The regular simplex: $\langle x_i, x_j\rangle = -1/(\ell-1)$; `simplex(4)` is the tetrahedron.

    **Arguments:**

    - `tokens`: $\ell$, at least 2.
    - `dim`: $d$, at least $\ell - 1$, which it is by default.
    - `manifold`: carries the tokens there from the sphere, by `manifold.unwhiten`.

    **Returns:** tokens, shape `(tokens, dim)`, in the default float.

    **Raises:**

    - `ValueError`: a number of tokens or a dimension that is too small, or another dimension than
      the manifold's.

    ```python
    af.theory.simplex(4)                                 # (4, 3)
    ```
    """
    tokens = _whole("tokens", tokens, 2)
    dim = _whole("dim", max(2, tokens - 1) if dim is None else dim, max(2, tokens - 1))
    room("tokens", (tokens, dim))
    x = np.zeros((tokens, dim))
    for k in range(1, tokens):  # Helmert's basis of the vectors whose entries add up to zero
        x[:k, k - 1] = 1 / np.sqrt(k * (k + 1))
        x[k, k - 1] = -k / np.sqrt(k * (k + 1))
    return _carry(x / np.linalg.norm(x, axis=1, keepdims=True), manifold)


def cross_polytope(
    dim: int, *, manifold: AbstractManifold | None = None
) -> Float[Array, "tokens dim"]:
    r"""The vertices $\pm e_1, \ldots, \pm e_d$; `cross_polytope(3)` is the octahedron.

    **Arguments:**

    - `dim`: $d$, at least 2; there are $2d$ tokens.
    - `manifold`: carries the tokens there from the sphere, by `manifold.unwhiten`.

    **Returns:** tokens, shape `(2 dim, dim)`, in the default float.

    **Raises:**

    - `ValueError`: `dim` below 2, or other than the manifold's.

    ```python
    af.theory.cross_polytope(3)                          # (6, 3)
    ```
    """
    dim = _whole("dim", dim, 2)
    room("dim", (2 * dim, dim))
    eye = np.eye(dim)
    return _carry(np.concatenate([eye, -eye]), manifold)


def split(
    plus: int, minus: int, v: Real[Array, " dim"], *, manifold: AbstractManifold | None = None
) -> Float[Array, "tokens dim"]:
    r"""`plus` tokens at $\pi(v)$, followed by `minus` tokens at $-\pi(v)$.

    An equilibrium of any field with $U = I$, whatever $P$, mask and kernel; with symmetric $U$ (in
    the inner product of $W$) where $v$ is an eigenvector.

    **Arguments:**

    - `plus`, `minus`: numbers of tokens, zero or more, not both zero.
    - `v`: a direction, shape `(dim,)`, in the coordinates of the tokens; of any length but zero.
    - `manifold`: the tokens are $\pm v/|v|_W$ there; on the unit sphere by default.

    **Returns:** tokens, shape `(plus + minus, dim)`.

    **Raises:**

    - `ValueError`: numbers of tokens or a direction other than said above.

    ```python
    af.theory.split(2, 2, jnp.array([1.0, 0.0]))
    ```
    """
    plus, minus = _whole("plus", plus, 0), _whole("minus", minus, 0)
    if plus + minus == 0:
        raise ValueError("`plus` and `minus` must not both be zero; got no token at all.")
    v = floating("v", v)
    room("plus", (plus + minus, *v.shape))
    if v.ndim != 1 or v.shape[0] < 2:
        raise ValueError(f"`v` must have shape (dim,), dim at least 2; got {v.shape}.")
    bad = lambda v: ~((abs(v) < jnp.inf).all() & (v != 0).any())  # noqa: E731
    v = check(v, bad, "`v` must be finite and not zero; got another vector.")
    if manifold is not None:
        instance("manifold", manifold, AbstractManifold, "a manifold, such as Sphere(3)")
        shaped("v", v.shape, (manifold.dim,))
    v = v / jnp.linalg.norm(v) if manifold is None else manifold.project(v)
    signs = np.repeat([1.0, -1.0], [plus, minus])
    return jnp.asarray(signs, v.dtype)[:, None] * v[None, :]


def consensus_state(
    tokens: int, v: Real[Array, " dim"], *, manifold: AbstractManifold | None = None
) -> Float[Array, "tokens dim"]:
    r"""All tokens at $\pi(v)$.

    An equilibrium of any field with $U = I$; with a row-normalised kernel (softmax) also where $v$
    is an eigenvector of $\sum_\eta U_\eta$.

    **Arguments:** `tokens`, at least 1; `v` and `manifold` as for [`split`][].

    **Returns:** tokens, shape `(tokens, dim)`.

    **Raises:**

    - `ValueError`: a number of tokens or a direction other than said above.

    ```python
    af.theory.consensus_state(8, jnp.array([0.0, 0.0, 1.0]))
    ```
    """
    return split(_whole("tokens", tokens, 1), 0, v, manifold=manifold)


def _whole(name: str, value, least: int) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or number < least or isinstance(value, bool):
        raise ValueError(f"`{name}` must be an integer from {least} on; got {shown(value)}.")
    return number


def _carry(x: np.ndarray, manifold: AbstractManifold | None) -> Array:
    tokens = jnp.asarray(x, jnp.result_type(float))
    if manifold is None:
        return tokens
    instance("manifold", manifold, AbstractManifold, "a manifold, such as Sphere(3)")
    if manifold.dim != x.shape[1]:
        raise ValueError(
            f"`manifold` must have the dimension of the tokens, {x.shape[1]}; got {manifold.dim}. "
            "Polygons and simplices take dim= to lie in more dimensions."
        )
    return manifold.unwhiten(tokens)
