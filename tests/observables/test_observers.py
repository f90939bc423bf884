"""The module form of every observable, in one run."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import attnflow as af
from attnflow import observables


@pytest.mark.parametrize(
    "manifold", [pytest.param("sphere", marks=pytest.mark.slow), "ellipsoid"], indirect=True
)
def test_observers_save_what_the_functions_give_of_the_tokens(getkey, manifold):
    field = af.AttentionField(manifold, P=manifold.W, scale=1.0)
    v = jnp.array([0.0, 0.0, 1.0])
    observe = {
        "tokens": lambda y: y,
        "misalignment": af.Misalignment(manifold),
        "lyapunov": af.Lyapunov(v),
        "energy": af.Energy(field),
        "dissipation": observables.Dissipation(field),
        "order": observables.OrderParameter(manifold),
        "rank": observables.EffectiveRank(),
        "labels": observables.Clusters(0.9, manifold),
        "count": observables.ClusterCount(0.9, manifold),
        "pairs": observables.AlignedPairs(0.9, manifold),
        "margin": af.HemisphereMargin(),
        "residual": observables.Residual(manifold),
    }
    ts = jnp.linspace(0.0, 2.0, 5)
    sol = af.simulate(field, manifold.random(getkey(), (8,)), t1=2.0, ts=ts, observe=observe)
    expected = {
        "misalignment": lambda t, y: af.misalignment(y, manifold),
        "lyapunov": lambda t, y: af.lyapunov(y, v),
        "energy": lambda t, y: af.energy(field, t, y),
        "dissipation": lambda t, y: af.energy_dissipation(field, t, y),
        "order": lambda t, y: af.order_parameter(y, manifold),
        "rank": lambda t, y: af.effective_rank(y),
        "labels": lambda t, y: af.clusters(y, 0.9, manifold),
        "pairs": lambda t, y: af.aligned_pairs(y, 0.9, manifold),
        "count": lambda t, y: observables.cluster_count(y, 0.9, manifold),
        "margin": lambda t, y: af.hemisphere_margin(y)[0],
        "residual": lambda t, y: jnp.max(manifold.residual(y)),
    }
    values = jax.jit(jax.vmap(lambda t, y: {name: f(t, y) for name, f in expected.items()}))(
        ts, sol.ys["tokens"]
    )
    for name, value in values.items():
        assert sol.ys[name].dtype == value.dtype, name
        np.testing.assert_allclose(sol.ys[name], value, rtol=1e-9, atol=1e-13, err_msg=name)
    assert bool(jnp.all(jnp.diff(sol.ys["energy"]) > 0))
    assert bool(jnp.all(sol.ys["dissipation"] > 0))
