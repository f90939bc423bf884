"""Layers as maps: flips, cycles of two and exponents of a token beside a held one, in closed form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import attnflow as af

CIRCLE = af.Sphere(2)
APART = jnp.array([[1.0, 0.0], [-1.0, 0.0]])


def steps(tau):
    """The second of two causal tokens, the first held: y <- pi((1 + tau/2) y + tau/2 e)."""
    field = af.AttentionField(
        CIRCLE, P=jnp.zeros((2, 2)), mask="causal", frozen=[True, False], scale=1.0
    )
    return af.AttentionLayers(field, step=tau)


def at(angle):
    return jnp.array([[1.0, 0.0], [-np.cos(angle), np.sin(angle)]])


def derivative(tau, angle):
    """Of the angle to the antipode, by the complex numbers that the circle is made of."""

    def after(psi):
        a, b = 1 + tau / 2, tau / 2
        return jnp.arctan2(a * jnp.sin(psi), a * jnp.cos(psi) - b)

    return float(jax.grad(after)(angle))


@pytest.mark.parametrize("tau", [-3.0, -4.0, -5.0])
def test_the_antipode_flips_at_a_step_of_minus_four(tau):
    got = af.attractors.layer_cycle(steps(tau), at(0.02))
    assert got.period == 1
    np.testing.assert_allclose(got.points[0], APART, atol=1e-9)
    beside = min(got.multipliers, key=lambda m: abs(m - (1 + tau / 2)))
    assert beside == pytest.approx(1 + tau / 2, abs=1e-9)
    assert got.stable == (tau > -4)


def test_beyond_the_flip_a_cycle_of_two_layers_is_born():
    """cos(psi) = tau/(4 + 2 tau), on either side of the antipode by turns."""
    tau = -5.0
    psi = np.arccos(tau / (4 + 2 * tau))
    got = af.attractors.layer_cycle(steps(tau), at(psi + 0.05), period=2)
    assert got.period == 2
    np.testing.assert_allclose(got.points, [at(psi), at(-psi)], atol=1e-12)
    both = derivative(tau, psi) * derivative(tau, -psi)
    beside = min(got.multipliers, key=lambda m: abs(m - both))
    assert beside == pytest.approx(both, abs=1e-10)
    assert got.stable
    # Half of it is found as what it is: a fixed point comes back after two layers as well.
    assert af.attractors.layer_cycle(steps(-3.0), at(0.02), period=2).period == 1


def test_exponents_next_to_a_cycle_are_logarithms_of_its_multipliers():
    tau = -5.0
    psi = np.arccos(tau / (4 + 2 * tau))
    got = af.attractors.layer_exponents(steps(tau), at(1.0), depth=320)
    both = abs(derivative(tau, psi) * derivative(tau, -psi))
    assert got.values == pytest.approx([0.0, np.log(both) / 2], abs=1e-6)
    assert got.errors.max() < 1e-5


def test_wrong_layers_are_refused():
    normed = af.AttentionLayers(steps(1.0).field, norm=af.LayerNorm(jnp.ones(2)))
    with pytest.raises(ValueError, match="`layers` must have the projection"):
        af.attractors.layer_cycle(normed, APART)
    with pytest.raises(RuntimeError, match="come back after 3 layers"):
        af.attractors.layer_cycle(steps(-5.0), at(2.0), period=3)
    with pytest.raises(ValueError, match="`depth` must"):
        af.attractors.layer_exponents(steps(1.0), APART, depth=3)
