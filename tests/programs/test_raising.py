"""Wrong values under a `jit` of one's own, where it is asked that they raise.

Alone in one module: to ask for it, and to ask no more, lets go of all that the process has compiled.
"""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import attnflow as af

FIELD = af.AttentionField(af.Sphere(3), P=jnp.eye(3))
GOOD = jnp.asarray(np.random.default_rng(0).standard_normal((4, 3)))
GOOD /= jnp.linalg.norm(GOOD, axis=1, keepdims=True)


def end(y0, t1):
    return af.simulate(FIELD, y0, t1=t1).y1


@pytest.fixture(scope="module", autouse=True)
def expected() -> Iterator[jax.Array]:
    """Where the run ends, worked before it is asked for."""
    found = end(GOOD, 0.5)
    af.raise_under_jit()
    yield found
    af.raise_under_jit(False)


@pytest.fixture(scope="module")
def call():
    return jax.jit(end)


def test_what_is_right_runs(expected, call):
    np.testing.assert_allclose(call(GOOD, 0.5), expected, atol=1e-13)


@pytest.mark.parametrize(
    ("y0", "t1", "message"),
    [
        (2 * GOOD, 0.5, "`y0` must lie on the manifold"),
        (GOOD, -1.0, "`t1` must be finite and later"),
    ],
)
def test_a_bad_start_and_a_bad_time_are_refused(as_user, call, y0, t1, message):
    with pytest.raises(Exception, match=message):
        jax.block_until_ready(call(y0, t1))


def test_a_run_that_fails_says_so():
    run = jax.jit(lambda y: af.simulate(FIELD, y, t1=4.0, max_steps=3).y1)
    with pytest.raises(Exception, match="`max_steps` was not enough"):
        jax.block_until_ready(run(GOOD))


def test_a_bad_w_is_refused(as_user):
    build = jax.jit(lambda W: af.Ellipsoid(W).L)
    with pytest.raises(Exception, match="`W` must be positive definite"):
        jax.block_until_ready(build(-jnp.eye(2)))
