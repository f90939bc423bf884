"""How many random tokens share a hemisphere: K16, by the library's own hemisphere test."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import linprog

import attnflow as af
from tests.systems import generator, wendel


def feasible(points) -> bool:
    """Some v with v.y >= 1 for every y: linear programming."""
    tokens, dim = points.shape
    run = linprog(np.zeros(dim), A_ub=-points, b_ub=-np.ones(tokens), bounds=(None, None))
    return run.status == 0


@pytest.mark.parametrize(
    ("tokens", "dim", "value", "draws"),
    [
        pytest.param(32, 16, 0.5, 400, marks=pytest.mark.slow),
        pytest.param(32, 20, 0.9251936078, 400, marks=pytest.mark.slow),
        (6, 2, 0.1875, 4000),
        (10, 3, 0.08984375, 4000),
    ],
)
def test_k16_wendel_by_monte_carlo(tokens, dim, value, draws):
    """Wendel 1962: 2^(1-l) sum_{k<m} C(l-1, k), within four standard errors."""
    assert wendel(tokens, dim) == pytest.approx(value, abs=5e-11)
    points = generator("k16", tokens, dim).normal(size=(draws, tokens, dim))
    points /= np.linalg.norm(points, axis=-1, keepdims=True)
    margin, v = jax.jit(jax.vmap(af.hemisphere_margin))(jnp.asarray(points))
    within = np.asarray(margin) > 0
    assert abs(within.mean() - value) < 4 * np.sqrt(value * (1 - value) / draws)
    # Draw by draw: the axis proves a yes, linear programming confirms the first of either.
    heights = np.einsum("nla,na->nl", points, np.asarray(v)).min(axis=1)
    assert np.all(heights[within] > 0)
    np.testing.assert_allclose(heights[within], np.asarray(margin)[within], rtol=1e-9)
    for k in range(50):
        assert within[k] == feasible(points[k])
