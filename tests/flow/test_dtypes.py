"""What is observed keeps its dtype to the last bit, in either engine and precision."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import attnflow as af
from tests.systems import run_both

SPHERE = af.Sphere(4)
WIDE = {"uint32": 2**32 - 1, "int32": -(2**31) + 5, "uint64": 2**64 - 3, "int64": -(2**63) + 7}


def signs(y):
    """The signs of 32 coordinates as the bits of one number."""
    bits = (y.ravel() > 0).astype(jnp.uint32)
    return jnp.sum(bits << jnp.arange(32, dtype=jnp.uint32), dtype=jnp.uint32)


def observers():
    result = {"signs": signs, "narrow": lambda y: jnp.asarray(200, jnp.uint8)}
    for name, value in WIDE.items():
        result[name] = lambda y, v=value, d=name: jnp.full(3, v, d)
    result["flags"] = lambda y: y[:, 0] > 0
    result["half"] = lambda y: y[0].astype(jnp.float16)
    result["double"] = lambda t, y: jnp.asarray(1 / 3, jnp.float64)
    return result


def early(t, y):
    return t - 0.5


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_observed_integers_keep_every_bit(dtype):
    y0 = SPHERE.random(jax.random.key(3), (8,), dtype=dtype)
    field = af.AttentionField(SPHERE, P=jnp.eye(4), mask="causal")
    ts = jnp.array([0.0, 0.3, 0.9])
    sol, many = run_both(
        field, y0, t1=1.0, ts=ts, observe=observers(), event=early, same=1e-5, rtol=1e-5
    )
    assert int(sol.saved.sum()) == 2
    assert sol.ys["signs"].dtype == np.uint32
    expected = int(sum(1 << k for k, bit in enumerate(np.asarray(y0).ravel() > 0) if bit))
    assert int(sol.ys["signs"][0]) == expected == int(many.ys["signs"][0, 0])
    for name, value in WIDE.items():
        assert sol.ys[name].dtype == many.ys[name].dtype == np.dtype(name)
        absent = -1 if name.startswith("int") else np.iinfo(name).max
        np.testing.assert_array_equal(many.ys[name][0, :, 0].astype(object), [value, value, absent])
    assert sol.ys["flags"].dtype == np.bool_
    assert not np.asarray(sol.ys["flags"])[2].any()
    np.testing.assert_array_equal(np.asarray(sol.ys["flags"])[0], np.asarray(y0)[:, 0] > 0)
    assert sol.ys["half"].dtype == np.float16
    assert sol.ys["double"][0] == 1 / 3
