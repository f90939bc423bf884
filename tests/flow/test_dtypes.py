"""What is observed keeps its dtype to the last bit, in either engine and precision."""

import jax.numpy as jnp
import numpy as np
import pytest

from tests.systems import START, WIDE, awkward, jumping, run_both


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_observed_integers_keep_every_bit(dtype):
    field = jumping([], [0.5], dtype)
    options = awkward([0.0, 0.3, 0.9], t1=1.0, real=0.5, rtol=1e-5, dtype=dtype)
    sol, many = run_both(field, jnp.asarray(START, dtype), same=1e-5, **options)
    assert int(sol.saved.sum()) == 2
    assert sol.ys["y"].dtype == many.ys["y"].dtype == np.dtype(dtype)
    assert sol.ys["signs"].dtype == np.uint32
    places = [p for p, up in zip((0, 7, 13, 19, 25, 31), START.ravel() > 0, strict=True) if up]
    expected = sum(2**p for p in places)
    assert expected > 2**31
    assert int(sol.ys["signs"][0]) == expected == int(many.ys["signs"][0, 0])
    for name, value in WIDE.items():
        assert sol.ys[name].dtype == many.ys[name].dtype == np.dtype(name)
        absent = -1 if name.startswith("int") else np.iinfo(name).max
        np.testing.assert_array_equal(many.ys[name][0, :, 0].astype(object), [value, value, absent])
    assert sol.ys["narrow"].dtype == np.uint8
    assert sol.ys["up"].dtype == np.bool_
    assert not np.asarray(sol.ys["up"])[2].any()
    np.testing.assert_array_equal(np.asarray(sol.ys["up"])[0], START[:, 1] > 0.5)
    assert sol.ys["half"].dtype == np.float16
    assert sol.ys["double"][0] == 1 / 3
