"""The field a block of rows at a time: the same numbers and derivatives, in less memory."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import attnflow as af
from attnflow.model import blocks

SPHERE = af.Sphere(3)
N = 20
Y = SPHERE.random(jr.key(0), (N,))
P = jr.normal(jr.key(1), (2, 3, 3))
WEIGHTS = jnp.arange(N) / N  # the first has no mass

CASES = {
    "plain": {},
    "masked, weighted, valued": {
        "mask": af.model.ALiBi(N, (0.5, 0.25)),
        "weights": WEIGHTS,
        "U": jr.normal(jr.key(2), (2, 3, 3)),
        "frozen": jnp.arange(N) == 4,
    },
    "causal exp with a drift": {
        "mask": "causal",
        "kernel": "exp",
        "drift": lambda t, y: jnp.sin(t) * y[::-1],
    },
    "hardmax, peri": {"kernel": "hardmax", "normalisation": "peri", "weights": WEIGHTS},
}


@pytest.mark.parametrize("name", CASES)
def test_blocks_of_rows_are_the_whole(name, monkeypatch):
    # Blocks of eight at most: three of seven, the last filled up.
    monkeypatch.setattr(blocks, "_ENTRIES", 1)
    t = jnp.asarray(0.3)

    def both(P, y):
        field = af.AttentionField(SPHERE, P=P, **CASES[name])
        return field(t, y), blocks.in_blocks(field, t, y)

    @jax.jit
    def derivatives(P, y):
        (whole, parts), pull = jax.vjp(both, P, y)
        like = jnp.cos(jnp.arange(y.size)).reshape(y.shape).astype(y.dtype)
        zero = jnp.zeros_like(y)
        return whole, parts, pull((like, zero)), pull((zero, like))

    whole, parts, ours, theirs = derivatives(P, Y)
    np.testing.assert_allclose(parts, whole, atol=1e-14)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-13)


def test_memory_of_a_derivative_at_2000_tokens_is_a_part_of_one_matrix_of_weights():
    tokens, like = (jax.ShapeDtypeStruct((2000, 3), jnp.float64) for _ in range(2))
    field = af.AttentionField(SPHERE, P=P)
    assert blocks.fits_blocks(field, 2000)
    assert not blocks.fits_blocks(field, 64)

    def derivative(y, like):
        return jax.vjp(lambda y: blocks.in_blocks(field, jnp.zeros(()), y), y)[1](like)

    memory = jax.jit(derivative).lower(tokens, like).compile().memory_analysis()
    assert memory.temp_size_in_bytes < 2000 * 2000 * 8 / 4
