"""Factorisations of matrices, one at a time however many there are.

On the CPU jaxlib splits a *batch* of factorisations among the threads of XLA's pool and waits for them,
in one of those threads. Programs that run side by side, as those of an ensemble do, then wait for one
another for ever once each thread of the pool holds such a call. A call for one matrix never
waits; so under `vmap` these go through a loop. Derivatives are those of the plain functions.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.custom_batching
import jax.numpy as jnp
import jax.scipy.linalg as jsl
from jaxtyping import Array, Float


def one_at_a_time(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` of arrays, which `vmap` turns into a loop; differentiated as `function` is."""

    @jax.custom_batching.custom_vmap
    def alone(*args):
        return function(*args)

    @alone.def_vmap
    def _(size: int, batched: Any, *args: Any):
        def each(rows):
            given = iter(rows)
            return alone(*(next(given) if b else a for a, b in zip(args, batched, strict=True)))

        rows = [a for a, b in zip(args, batched, strict=True) if b]
        out = jax.lax.map(each, rows)
        return out, jax.tree.map(lambda _: True, out)

    # Outside the rule for vmap, which has no reverse mode of its own.
    @jax.custom_jvp
    def differentiable(*args):
        return alone(*args)

    @differentiable.defjvp
    def _(primals, tangents):
        return differentiable(*primals), jax.jvp(function, primals, tangents)[1]

    return differentiable


_cholesky = one_at_a_time(jnp.linalg.cholesky)
_svdvals = one_at_a_time(lambda a: jnp.linalg.svd(a, compute_uv=False))
_qr = one_at_a_time(lambda a: tuple(jnp.linalg.qr(a)))
_eigh = one_at_a_time(lambda a: tuple(jnp.linalg.eigh(a)))
_lower = one_at_a_time(lambda a, b: jsl.solve_triangular(a, b, lower=True))
_lower_transposed = one_at_a_time(lambda a, b: jsl.solve_triangular(a, b, lower=True, trans=1))
_upper = one_at_a_time(lambda a, b: jsl.solve_triangular(a, b))
_inv = one_at_a_time(jnp.linalg.inv)


def cholesky(a: Float[Array, "n n"]) -> Float[Array, "n n"]:
    """The lower factor of a positive definite matrix; NaN where it is not."""
    return _cholesky(a)


def svdvals(a: Float[Array, "m n"]) -> Float[Array, " k"]:
    """Singular values, the largest first."""
    return _svdvals(a)


def qr(a: Float[Array, "m n"]) -> tuple[Float[Array, "m k"], Float[Array, "k n"]]:
    """The reduced QR factorisation."""
    return _qr(a)


def eigh(
    a: Float[Array, "*batch n n"],
) -> tuple[Float[Array, "*batch n"], Float[Array, "*batch n n"]]:
    """Eigenvalues, ascending, and eigenvectors of symmetric matrices."""
    if a.ndim > 2:
        return jax.vmap(eigh)(a)
    return _eigh(a)


@jax.custom_jvp
def inverse(a: Float[Array, "*batch n n"]) -> Float[Array, "*batch n n"]:
    """The inverse of square matrices; its derivatives are products, without a factorisation."""
    if a.ndim > 2:
        return jax.vmap(inverse)(a)
    return _inv(a)


@inverse.defjvp
def _(primals, tangents):
    x = inverse(*primals)
    return x, -jnp.matmul(jnp.matmul(x, tangents[0]), x)


def solve_lower(
    a: Float[Array, "n n"], b: Float[Array, "n k"], *, transposed: bool = False
) -> Float[Array, "n k"]:
    """The solution of `a x = b`, or of `a' x = b`, for a lower triangle `a`."""
    return _lower_transposed(a, b) if transposed else _lower(a, b)


def solve_upper(a: Float[Array, "n n"], b: Float[Array, " n"]) -> Float[Array, " n"]:
    """The solution of `a x = b` for an upper triangle `a`."""
    return _upper(a, b)
