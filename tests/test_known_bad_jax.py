"""The installed JAX computes a norm of many tokens rightly under jit.

jax 0.10.2 and 0.11.0 do not, on the CPU: a batched matrix-vector product followed by a square and
a sum is compiled to wrong numbers, without a word, from about 2^14 rows on in float64 and 2^15 in
float32 (jax issue #39103). It is `|x|_W` of a batch of tokens, so a release that does it is
excluded in pyproject.toml; this is what notices the next one.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import attnflow as af
from attnflow.core.compiled import known
from tests.systems import generator, random_spd

# As a user's own programs are compiled, whatever the flags of this process.
jit = functools.partial(
    jax.jit,
    compiler_options=known(
        {
            "xla_backend_optimization_level": 3,
            "xla_cpu_parallel_codegen_split_count": 32,
            "xla_cpu_use_fusion_emitters": True,
        }
    ),
)
SIZES = [2**14 - 1, 2**14, 2**14 + 1, 2**15 - 1, 2**15, 2**15 + 1]


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
@pytest.mark.parametrize("size", SIZES)
def test_square_and_sum_of_a_batched_matrix_vector_product(size, dtype):
    rng = generator("batch", size)
    rows = rng.integers(-50, 51, size=(size, 3))
    matrix = rng.integers(-3, 4, size=(3, 3))
    exact = np.sum((rows @ matrix.T) ** 2, axis=1)  # integers: no rounding anywhere
    x, M = jnp.asarray(rows, dtype), jnp.asarray(matrix, dtype)

    def squares(x, M=M):
        return jax.vmap(lambda row: jnp.sum((M @ row) ** 2))(x)

    np.testing.assert_array_equal(squares(x), exact)
    np.testing.assert_array_equal(jit(squares)(x), exact)  # the matrix a constant
    np.testing.assert_array_equal(jit(squares)(x, M), exact)  # the matrix an argument
    np.testing.assert_array_equal(jit(jax.vmap(squares, (0, None)))(x[None], M)[0], exact)


@pytest.mark.parametrize("size", SIZES)
def test_norm_and_projection_on_an_ellipsoid_under_jit(size):
    rng = generator("norms", size)
    W = random_spd(rng, 3)
    x = rng.normal(size=(size, 3))
    r = np.sqrt(np.einsum("ia,ab,ib->i", x, W, x))
    ellipsoid = af.Ellipsoid(jnp.asarray(W))
    norm, project = jit(lambda x: (jax.vmap(ellipsoid.norm)(x), jax.vmap(ellipsoid.project)(x)))(
        jnp.asarray(x)
    )
    np.testing.assert_allclose(norm, r, rtol=1e-13)
    np.testing.assert_allclose(project, x / r[:, None], rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(jit(lambda x: ellipsoid.norm(x))(jnp.asarray(x)), r, rtol=1e-13)
