"""Counterexamples become small and stay counterexamples."""

import dataclasses

import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import attnflow as af
from attnflow import search
from attnflow.claims._exact import shortened
from attnflow.claims._shrink import _simpler

CLAIM = search.CLAIMS["no hemisphere"]


@pytest.mark.slow
def test_a_case_gives_back_the_same_field_and_start_to_the_last_bit(getkey):
    for name in ("3.2", "3.2 with jumps", "several heads, own U", "U that turns", "circle"):
        claim = search.CLAIMS[name]
        field, y0 = claim.build(claim.draw(getkey(), *claim.sizes[0]))
        case = search.case_of(field, y0, title="exact")
        repeated, start, _ = case.build()
        assert case.title == "exact"
        np.testing.assert_allclose(start, y0, atol=1e-15)  # put on the manifold once more
        for t in (0.0, 0.7, 9.0):
            np.testing.assert_array_equal(repeated.P(t), field.P(t))
            if field.U is not None:
                np.testing.assert_array_equal(repeated.U(t), field.U(t))
        np.testing.assert_array_equal(repeated.manifold.W, field.manifold.W)
        assert (repeated.mask, repeated.kernel) == (field.mask, field.kernel)
        assert float(repeated.scale) == float(field.scale)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"mask": jnp.eye(2, dtype=bool)}, "full or causal mask"),
        ({"normalisation": "pre"}, "normalisation 'post'"),
        ({"frozen": jnp.array([True, False])}, "no frozen tokens"),
        ({"P": af.Function(lambda t: t * jnp.eye(2))}, "`P` must be constant, piecewise"),
    ],
)
def test_what_plain_numbers_do_not_hold_is_refused(options, says):
    field = af.AttentionField(af.Sphere(2), **{"P": jnp.eye(2), **options})
    with pytest.raises(ValueError, match=says):
        search.case_of(field, jnp.eye(2))


def test_decimals_are_cut_in_one_part_or_in_all():
    W = jnp.array([[2.0, 0.123456], [0.123456, 1.0]])
    P = af.Piecewise(jnp.array([1.26]), jnp.array([[[1.26, 0.0], [0.0, -0.04]]] * 2))
    field = af.AttentionField(af.Ellipsoid(W), P=P, U=jnp.diag(jnp.array([0.66, 0.0])))
    case = search.case_of(field, field.manifold.project(jnp.eye(2)))
    whole = shortened(case, 1)
    assert whole.attention.P.values[0] == [[1.3, 0.0], [0.0, 0.0]]
    assert whole.attention.P.times == [1.3]
    assert str(whole.attention.P.values[0][1][1]) == "0.0"  # no -0.0
    assert whole.attention.U == [[0.7, 0.0], [0.0, 0.0]]
    assert whole.manifold.W == [[2.0, 0.1], [0.1, 1.0]]
    only = shortened(case, 0, "U")
    assert only.attention.U == [[1.0, 0.0], [0.0, 0.0]]
    assert only.attention.P == case.attention.P
    assert only.manifold == case.manifold


def test_simpler_matrices_come_simplest_first_and_end_where_nothing_is_left_to_simplify():
    M = jnp.array([[1.0, 2.0], [0.0, 3.0]])
    steps = [np.asarray(x).tolist() for x in _simpler(af.Constant(M), zero=True)]
    assert steps == [
        [[0.0, 0.0], [0.0, 0.0]],
        [[2.0, 0.0], [0.0, 2.0]],
        [[1.0, 0.0], [0.0, 3.0]],
        [[1.0, 1.0], [1.0, 3.0]],
    ]
    assert len(list(_simpler(af.Constant(2 * jnp.eye(2)), zero=True))) == 1
    assert list(_simpler(None, zero=True)) == []


@pytest.mark.slow
def test_a_simplex_in_space_comes_down_to_the_circle_in_short_decimals(getkey):
    """Four tokens in R^3 where the plane suffices, with all digits."""
    field = af.AttentionField(af.Sphere(3), P=-7.654321 * jnp.eye(3), scale=1.0)
    y0 = af.Sphere(3).project(af.theory.simplex(4, dim=3) + 0.01 * jr.normal(getkey(), (4, 3)))
    first = search.verify(CLAIM, field, y0, key=jr.key(0))
    assert first.status == "open"
    case, evidence = search.shrink(CLAIM, field, y0, first, key=jr.key(0))
    assert evidence.status == "open"
    assert np.asarray(case.tokens.rows).shape[1] == 2
    assert np.asarray(case.attention.P).shape == (2, 2)
    digits = [len(str(abs(float(x)))) for x in np.ravel(case.attention.P)]
    assert max(digits) <= 4
    # It is the evidence of the case itself.
    small, start, _ = case.build()
    repeated = search.verify(CLAIM, small, small.manifold.project(start), key=jr.key(0))
    assert repeated.plain() == evidence.plain()


@pytest.mark.slow
def test_on_a_null_set_all_is_short_but_the_token_that_is_shot(getkey):
    claim = search.CLAIMS["4.2 as printed"]
    P = 0.7 * jr.normal(getkey(), (2, 2))
    field = af.AttentionField(af.Sphere(2), P=P, mask="causal", scale=1.0)
    start = af.theory.exceptional_start(field, af.Sphere(2).random(getkey(), (2,)))
    first = search.verify_null(claim, field, start)
    assert first.status == "null set"
    case, evidence = search.shrink(claim, field, start, first, key=jr.key(0))
    assert evidence.status == "null set"
    assert np.all(np.asarray(case.attention.P) == 0)
    assert all(x == round(x, 1) for row in case.tokens.rows[:2] for x in row)
    assert any(x != round(x, 8) for x in case.tokens.rows[2])


@pytest.mark.slow
def test_one_token_less_is_taken_where_the_claim_stays_broken():
    """Beside two tokens that U holds at opposite ends a third changes nothing."""
    claim = dataclasses.replace(search.CLAIMS["symmetric U, causal, no hemisphere"])
    U = jnp.diag(jnp.array([1.0, -1.0]))
    field = af.AttentionField(af.Sphere(2), P=jnp.zeros((2, 2)), U=U, mask="causal", scale=1.0)
    y0 = jnp.array([[0.8, 0.6], [-0.6, 0.8], [-0.96, 0.28]])
    first = search.verify(claim, field, y0, key=jr.key(0))
    assert first.status == "open"
    case, evidence = search.shrink(claim, field, y0, first, key=jr.key(0))
    assert len(case.tokens.rows) == 2
    assert evidence.status == "open"
    assert case.attention.U == [[1.0, 0.0], [0.0, -1.0]]
    assert case.attention.P == [[0.0, 0.0], [0.0, 0.0]]
