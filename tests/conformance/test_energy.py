"""The interaction energy and its growth along the flow: K7."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest

import attnflow as af
from tests.systems import PLACES, Place, generator, random_rows


@pytest.mark.parametrize("kind", PLACES)
@pytest.mark.parametrize("kernel", ["softmax", "exp"])
def test_k7_energy_and_its_growth(kernel, kind):
    """E = sum_ij e^(beta <x_i,x_j>)/(2 beta l^2); dE/dt = mean of Z_i |x_i'|^2 (SA), |x_i'|^2 (USA)."""
    rng = generator("k7", kernel, kind)
    place = Place(kind, 3)
    both = eqx.filter_jit(
        lambda f, t, y: (af.energy(f, t, y), af.energy_dissipation(f, t, y), f(t, y))
    )
    for beta in (-3.0, 0.5, 4.0):
        x = random_rows(rng, 8, np.eye(3))
        field = af.AttentionField(
            place.manifold, place.P(beta * np.eye(3)), kernel=kernel, scale=1.0
        )
        energy, growth, velocity = both(field, jnp.asarray(0.0), place.tokens(x))
        pairs = np.exp(beta * x @ x.T)
        np.testing.assert_allclose(energy, pairs.sum() / (2 * beta * 64), rtol=1e-12)

        v = place.back(velocity)
        Z = pairs.mean(axis=1) if kernel == "softmax" else np.ones(8)
        expected = np.mean(Z * np.sum(v**2, axis=1))
        np.testing.assert_allclose(growth, expected, rtol=1e-11)
        # and by a difference quotient of the sum itself along the flow
        h = 1e-5
        ahead, behind = (
            np.exp(beta * z @ z.T).sum() / (2 * beta * 64) for z in (x + h * v, x - h * v)
        )
        np.testing.assert_allclose(growth, (ahead - behind) / (2 * h), rtol=1e-7)


def test_k7_the_flow_climbs_the_energy():
    """Along a run the energy rises by the time integral of its dissipation."""
    rng = generator("k7 run")
    place = Place("ellipsoid", 3)
    field = af.AttentionField(place.manifold, place.P(2 * np.eye(3)), scale=1.0)
    ts = np.linspace(0, 3, 201)
    sol = af.simulate(
        field,
        place.tokens(random_rows(rng, 8, np.eye(3))),
        t1=3.0,
        ts=jnp.asarray(ts),
        rtol=1e-10,
        atol=1e-12,
        observe={
            "energy": af.Energy(field),
            "growth": lambda t, y: af.energy_dissipation(field, t, y),
        },
    )
    energy, growth = (np.asarray(sol.ys[k]) for k in ("energy", "growth"))
    assert np.all(np.diff(energy) > 0)
    simpson = ts[1] / 3 * (growth[0:-1:2] + 4 * growth[1::2] + growth[2::2])
    np.testing.assert_allclose(np.diff(energy[::2]), simpson, rtol=1e-5, atol=1e-9)
