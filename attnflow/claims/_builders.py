"""Fields and starts that free numbers stand for, by the kind of claim."""

import math

import jax
import jax.numpy as jnp

from ..core.lapack import eigh
from ..geometry import Ellipsoid, Sphere
from ..model import AttentionField
from ..schedules import Fourier
from . import _constraints as onto
from ._sampling import one_or_many, scores

_LOWEST = 0.2  # eigenvalue of an ellipsoid's W


def _manifold(x):
    """The unit sphere; an ellipsoid where there are numbers `W`."""
    if "W" not in x:
        return Sphere(x["y"].shape[1])
    A = onto.in_ball(x["W"], 3.0)
    return Ellipsoid(onto.symmetric(A @ A.T) + _LOWEST * jnp.eye(A.shape[0], dtype=A.dtype))


def _field(x, P, U=None, mask=None, manifold=None):
    manifold = Sphere(x["y"].shape[1]) if manifold is None else manifold
    return AttentionField(manifold, P=P, U=U, mask=mask, scale=1.0)


def identity(mask=None, *, cap: bool = False, P=scores):
    """U = I; tokens anywhere, or in the cap of the first axis."""

    def build(x):
        manifold, y = _manifold(x), onto.on_sphere(x["y"])
        if cap:
            y = onto.in_cap(x["y"], jnp.eye(y.shape[1], dtype=y.dtype)[0])
        return _field(x, P(x), mask=mask, manifold=manifold), manifold.project(y)

    return build


def symmetric(mask=None, *, cap: bool = False, P=scores, values=None):
    """Symmetric values whose sum has a positive top; tokens anywhere, or in the cap of its eigenvector."""

    def build(x):
        U = (own_values if values is None else values)(x)
        manifold, y = _manifold(x), onto.on_sphere(x["y"])
        if cap:
            heads = x["P"].shape[0] if U.shape[0] == 1 else 1
            v = jax.lax.stop_gradient(eigh(heads * jnp.sum(U, axis=0))[1][:, -1])
            y = onto.in_cap(x["y"], v)
        field = _field(x, P(x), one_or_many(U), mask, manifold)
        return field, manifold.project(y)

    return build


def own_values(x):
    """Symmetric, one a head, of any sign; the sum's top eigenvalue is positive."""
    return onto.with_top(x["U"], jax.nn.softplus(x["height"]))


def positive_values(x):
    """Positive semidefinite, one a head."""
    return onto.symmetric(x["U"] @ jnp.swapaxes(x["U"], -1, -2))


def values_with_one_top(x):
    """Symmetric, one a head, block by block: the first axis is the top eigenvector of each."""
    S = onto.symmetric(x["U"])
    S = S.at[:, 0, 1:].set(0).at[:, 1:, 0].set(0)
    rest = jnp.stack([eigh(R)[0][-1] for R in S[:, 1:, 1:]])
    height = jax.nn.softplus(x["height"]) + jax.nn.softplus(jnp.diagonal(S, axis1=1, axis2=2)[:, 0])
    return S.at[:, 0, 0].set(jax.nn.relu(rest) + 0.01 + height)


def values_sharing_top(x):
    """Symmetric, one a head, block by block: the first axis is an eigenvector of each, and the sum's top."""
    S = onto.symmetric(x["U"])
    S = S.at[:, 0, 1:].set(0).at[:, 1:, 0].set(0)
    rest = eigh(jnp.sum(S[:, 1:, 1:], axis=0))[0][-1]
    target = jax.nn.relu(rest) + jax.nn.softplus(x["height"])
    return S.at[:, 0, 0].add((target - jnp.sum(S[:, 0, 0])) / S.shape[0])


def double_top(x):
    """Symmetric, one head: the top eigenvalue is positive and double, the others smaller."""
    return _double(x, jax.nn.softplus(x["height"]))


def negative_double_top(x):
    """Symmetric, one head, negative definite: the top eigenvalue is double, the others smaller."""
    return _double(x, -0.05 - jax.nn.softplus(x["height"]))


def _double(x, top):
    basis = jax.lax.stop_gradient(eigh(onto.symmetric(x["U"][0]))[1])
    rest = top - 0.1 - jax.nn.softplus(jnp.diagonal(x["U"][0]))
    values = jnp.where(jnp.arange(len(rest)) < len(rest) - 2, rest, top)
    return onto.symmetric((basis * values[None]) @ basis.T)[None]


def negative_top(x):
    """Symmetric, one head, negative definite."""
    return onto.with_top(x["U"], -0.05 - jax.nn.softplus(x["height"]))


def block_triangular(x):
    """Not symmetric, one head: the first axis is an eigenvector, of the largest real part.

    A matrix's eigenvalues lie left of the largest one of its symmetric part.
    """
    U = x["U"][0]
    rest = U[1:, 1:]
    left = rest - eigh(onto.symmetric(rest))[0][-1] * jnp.eye(rest.shape[0], dtype=U.dtype)
    top = jax.nn.softplus(x["height"])
    below = left + (top - 0.1 - jax.nn.softplus(U[0, 0])) * jnp.eye(rest.shape[0], dtype=U.dtype)
    return jnp.zeros_like(U).at[0, 0].set(top).at[0, 1:].set(U[0, 1:]).at[1:, 1:].set(below)[None]


def opposite_heads(x):
    """Two heads with U and -U."""
    S = onto.symmetric(x["U"][0])
    return _field(x, scores(x), jnp.stack([S, -S])), onto.on_sphere(x["y"])


def turning_values(x):
    r"""U(t): a symmetric matrix whose top eigenvector turns in the first plane, its spectrum at rest.

    $a I + b(\cos\omega t\,\sigma_z + \sin\omega t\,\sigma_x)$ there, smaller eigenvalues elsewhere.
    """
    dim = x["y"].shape[1]
    gap, top = jax.nn.softplus(x["gap"]) + 0.05, jax.nn.softplus(x["height"]) + 0.05
    omega = jnp.exp(onto.between(x["turn"], math.log(0.01), math.log(20.0)))
    flat = jnp.zeros((dim, dim), x["y"].dtype)
    below = top - gap - 0.05 - jax.nn.softplus(x["below"])
    rest = jnp.where(jnp.arange(dim) < 2, top - gap / 2, below)
    cosine = flat.at[0, 0].set(gap / 2).at[1, 1].set(-gap / 2)
    sine = flat.at[0, 1].set(gap / 2).at[1, 0].set(gap / 2)
    U = Fourier(jnp.diag(rest), cosine[None], sine[None], omega)
    y = onto.in_cap(x["y"], jnp.eye(dim, dtype=flat.dtype)[0])
    return _field(x, scores(x), U, "causal"), y


def circle(low: float, high: float):
    """Exponential kernel on the circle, P = beta I, low < beta < high."""

    def build(x):
        beta = onto.between(x["height"], low, high)
        y = onto.on_sphere(x["y"])
        return AttentionField(Sphere(2), P=beta * jnp.eye(2), kernel="exp", scale=1.0), y

    return build


def positive_definite_scores(x):
    """P with a symmetric part that is positive definite."""
    dim = x["y"].shape[1]
    A = onto.in_ball(x["P"], (12.0 * dim**0.5) ** 0.5)
    turn = onto.in_ball(x["skew"], 12.0)
    return one_or_many(onto.positive_definite(A) + (turn - jnp.swapaxes(turn, -1, -2)) / 2)


def symmetric_positive_scores(x):
    """P symmetric positive definite."""
    dim = x["y"].shape[1]
    return one_or_many(onto.positive_definite(onto.in_ball(x["P"], (12.0 * dim**0.5) ** 0.5)))
