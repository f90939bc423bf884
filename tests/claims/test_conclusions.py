"""Margins are zero where the conclusion holds, positive where it does not, and smooth."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import attnflow as af
from attnflow import search

PLANE = af.AttentionField(af.Sphere(2), P=jnp.zeros((2, 2)), U=jnp.diag(jnp.array([2.0, -1.0])))
E1, E2 = jnp.array([1.0, 0.0]), jnp.array([0.0, 1.0])


def rows(*tokens):
    return jnp.stack(tokens)


@pytest.mark.parametrize(
    ("conclusion", "tokens", "margin"),
    [
        (search.ToConsensus(), rows(E2, E2, E2), 0.0),
        (search.ToConsensus(), rows(E1, -E1), 1.0),  # the mean of 0, 2, 2, 0
        (search.ToConsensus(), rows(E1, E2), 0.5),
        (search.ToTheFirst(), rows(E2, E2), 0.0),
        (search.ToTheFirst(), rows(E1, -E1), 1.0),
        (search.ToTheTop(), rows(-E1, -E1), 0.0),  # on the first token's side
        (search.ToTheTop(), rows(E1, E2), 0.5),
        (search.Polarisation(), rows(E2, -E2, E2), 0.0),
        (search.Polarisation(), rows(E1, E2), 0.5),
        (search.AroundTop(), rows(E1, E1), -0.5),
        (search.AroundTop(), rows(E2, E2), 0.5),
        (search.AroundTop(dimension=2), rows(E1, E2), 0.0),
    ],
)
def test_margins_at_hand_made_tokens(conclusion, tokens, margin):
    assert float(conclusion.margin(PLANE, 0.0, tokens)) == pytest.approx(margin, abs=1e-15)
    assert conclusion.says


def test_on_an_ellipsoid_consensus_is_of_directions():
    W = jnp.diag(jnp.array([4.0, 1.0]))
    field = af.AttentionField(af.Ellipsoid(W), P=jnp.zeros((2, 2)))
    opposite = field.manifold.project(rows(E1, -E1))
    assert float(search.ToConsensus().margin(field, 0.0, opposite)) == pytest.approx(1.0)
    top = af.AttentionField(field.manifold, P=jnp.zeros((2, 2)), U=jnp.diag(jnp.array([2.0, 1.0])))
    here = field.manifold.project(rows(E1, E1))  # of length 1/2, in the direction of v
    assert float(search.ToTheTop().margin(top, 0.0, here)) == pytest.approx(0.0, abs=1e-15)


@pytest.mark.slow
@pytest.mark.parametrize("top", [False, True])
def test_the_rate_of_v_is_the_slope_of_v_in_a_run(getkey, top):
    sphere = af.Sphere(3)
    U = jax.random.normal(getkey(), (3, 3))
    P = 2 * jax.random.normal(getkey(), (3, 3))
    field = af.AttentionField(sphere, P=P, U=U + U.T, mask="causal", scale=1.0)
    y = sphere.random(getkey(), (4,))
    conclusion = search.Falls(top=top)
    dt = 1e-6
    after = af.simulate(field, y, t1=dt, rtol=1e-12, atol=1e-14).y1
    slope = (conclusion.value(field, 0.0, after) - conclusion.value(field, 0.0, y)) / dt
    assert float(conclusion.margin(field, 0.0, y)) == pytest.approx(float(slope), rel=1e-4)


def test_margins_are_differentiable_by_tokens_and_values(getkey):
    y = af.Sphere(3).random(getkey(), (4,))
    U = jax.random.normal(getkey(), (2, 3, 3))
    P = jax.random.normal(getkey(), (2, 3, 3))
    directions = (jax.random.normal(getkey(), U.shape), jax.random.normal(getkey(), y.shape))
    conclusions = [search.ToConsensus(), search.ToTheFirst(), search.ToTheTop()]
    conclusions += [search.Polarisation(), search.AroundTop(), search.Falls(top=True)]

    @jax.jit
    def margins(U, y):
        S = search.symmetric(U)
        field = af.AttentionField(af.Sphere(3), P=P, U=S, scale=1.0)
        return jnp.stack([c.margin(field, 0.0, y) for c in conclusions])

    _, slope = jax.jvp(margins, (U, y), directions)
    h = 1e-6
    ahead, behind = (margins(U + s * h * directions[0], y + s * h * directions[1]) for s in (1, -1))
    np.testing.assert_allclose(slope, (ahead - behind) / (2 * h), rtol=1e-6, atol=1e-7)
