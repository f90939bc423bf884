"""Factorisations one at a time: the same numbers and derivatives, and no two programs in wait."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import jax.scipy.linalg as jsl
import pytest
from jax.test_util import check_grads

from attnflow.core import lapack as _lapack


def _spd(key, batch, n):
    A = jax.random.normal(key, (batch, n, n))
    return A @ jnp.swapaxes(A, 1, 2) + n * jnp.eye(n)[None]


CASES = {
    "cholesky": (_lapack.cholesky, jnp.linalg.cholesky, ()),
    "svdvals": (_lapack.svdvals, lambda a: jnp.linalg.svd(a, compute_uv=False), ()),
    "qr": (lambda a: _lapack.qr(a)[1], lambda a: jnp.linalg.qr(a)[1], ()),
    "eigh": (lambda a: _lapack.eigh(a)[0], lambda a: jnp.linalg.eigh(a)[0], ()),
    "inverse": (_lapack.inverse, jnp.linalg.inv, ()),
    "lower": (_lapack.solve_lower, lambda a, b: jsl.solve_triangular(a, b, lower=True), (4, 2)),
    "lower'": (
        lambda a, b: _lapack.solve_lower(a, b, transposed=True),
        lambda a, b: jsl.solve_triangular(a, b, lower=True, trans=1),
        (4, 2),
    ),
    "upper": (_lapack.solve_upper, jsl.solve_triangular, (4,)),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_values_and_derivatives_are_those_of_the_plain_function(name, getkey):
    ours, plain, shape = CASES[name]
    a = _spd(getkey(), 3, 4)
    others = (jax.random.normal(getkey(), (3, *shape)),) if shape else ()
    assert jnp.allclose(jax.vmap(ours)(a, *others), jax.vmap(plain)(a, *others), atol=1e-13)
    one = (a[0], *(b[0] for b in others))
    assert jnp.allclose(ours(*one), plain(*one), atol=1e-13)

    def total(f):
        return lambda *args: jnp.sum(jnp.sin(jax.vmap(f)(*args)))

    for take in (jax.grad, jax.jacfwd):
        mine, theirs = (take(total(f))(a, *others) for f in (ours, plain))
        assert jnp.allclose(mine, theirs, atol=1e-12)
    check_grads(total(ours), (a, *others), order=2, modes=["fwd", "rev"], atol=1e-5, rtol=1e-5)


def test_one_argument_may_be_shared(getkey):
    L = jnp.linalg.cholesky(_spd(getkey(), 1, 4)[0])
    b = jax.random.normal(getkey(), (5, 4, 2))
    solution = jax.vmap(_lapack.solve_lower, (None, 0))(L, b)
    assert jnp.allclose(L[None] @ solution, b)


def test_a_loop_calls_for_one_matrix_at_a_time(getkey):
    a = _spd(getkey(), 3, 4)
    text = jax.jit(jax.vmap(_lapack.cholesky)).lower(a).as_text()
    (call,) = [line for line in text.splitlines() if "potrf" in line]
    assert "3x4x4" not in call


def test_derivatives_of_an_inverse_need_no_batch_of_factorisations(getkey):
    a = _spd(getkey(), 3, 4)
    gradient = jax.vmap(jax.grad(lambda a: jnp.sum(jnp.sin(_lapack.inverse(a)))))
    text = jax.jit(gradient).lower(a).as_text()
    calls = [line for line in text.splitlines() if "getrf" in line or "trsm" in line]
    assert calls
    assert not any("3x4x4" in line for line in calls)


@pytest.mark.slow
def test_crews_do_not_wait_for_one_another():
    # On two cores this hung for ever: batches of triangular systems, split among XLA's threads.
    code = """
import jax
jax.config.update("jax_enable_x64", True)
import attnflow as af
sphere = af.Sphere(512)
field = af.AttentionField(sphere, P=af.ScaledIdentity(2.0, 512), scale=1.0)
starts = jax.random.normal(jax.random.key(0), (60, 32, 512))
result = af.ensemble.run(
    field, sphere.project(starts), t1=2.0, rtol=1e-5, atol=1e-8,
    observe={"E": af.misalignment, "rank": af.effective_rank},
)
assert result.reduction == "span" and not result.failed.any()
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)
