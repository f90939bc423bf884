"""The claims of the library: what is built lies inside, what breaks a hypothesis outside."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import attnflow as af
from attnflow import search
from attnflow.claims._library import claim_named

NAMES = list(search.CLAIMS)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_whatever_the_free_numbers_are_the_field_and_start_are_inside(getkey, name):
    claim = search.CLAIMS[name]
    for tokens, dim in {claim.sizes[0], claim.sizes[-1]}:
        for _ in range(3):
            field, y0 = claim.build(claim.draw(getkey(), tokens, dim))
            assert y0.shape == (tokens, dim)
            assert claim.outside(field, y0) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_fields_and_starts_are_differentiable_by_the_free_numbers(getkey, name):
    claim = search.CLAIMS[name]
    numbers = claim.draw(getkey(), *claim.sizes[-1])

    def total(x):
        field, y = claim.build(x)
        return claim.conclusion.margin(field, 0.3, field.manifold.project(y + field(0.3, y)))

    gradient = jax.grad(total)(numbers)
    assert all(bool(jnp.all(jnp.isfinite(g))) for g in jax.tree.leaves(gradient))
    assert any(bool(jnp.any(g != 0)) for g in jax.tree.leaves(gradient))


@pytest.mark.parametrize("name", NAMES)
def test_a_claim_says_what_it_is(name):
    claim = search.CLAIMS[name]
    assert claim.name == name
    assert claim.statement.endswith(".")
    assert claim.source
    assert name in str(claim)


def changed(field, **parts):
    for where, value in parts.items():
        field = eqx.tree_at(
            lambda f, w=where: getattr(f, w), field, value, is_leaf=lambda x: x is None
        )
    return field


def constant(*matrices):
    array = jnp.stack([jnp.asarray(m, float) for m in matrices])
    return af.Constant(array if len(matrices) > 1 else array[0])


def moving(where):
    flat = jnp.zeros((1, 2, 2))
    return af.Fourier(where, flat.at[0, 0, 0].set(0.1), flat, 1.0)


EYE, SKEW = np.eye(2), np.array([[0.0, 1.0], [-1.0, 0.0]])
TOP = np.diag([1.0, -1.0])

# What breaks each hypothesis: the claim, the field's part that is changed, the hypothesis that fails.
BROKEN = [
    ("no hemisphere", {"mask": af.AttentionField(af.Sphere(2), P=EYE, mask="causal").mask}, "full"),
    ("no hemisphere", {"U": constant(1.5 * EYE)}, "U = I"),
    ("no hemisphere", {"P": moving(EYE)}, "P constant"),
    ("no hemisphere, positive P", {"P": constant(SKEW - 0.1 * EYE)}, "P + P' positive"),
    ("no hemisphere, positive P", {"P": constant(SKEW)}, "P + P' positive"),
    ("several heads, one U", {"P": constant(EYE, EYE, EYE)}, "two heads"),
    ("several heads, own U", {"P": constant(EYE), "U": constant(TOP)}, "two heads"),
    (
        "heads that cancel",
        {"P": constant(EYE, EYE, EYE), "U": constant(TOP, -TOP, 0 * TOP)},
        "two heads",
    ),
    ("circle", {"kernel": af.AttentionField(af.Sphere(2), P=EYE).kernel}, "exponential"),
    ("4.5", {"U": constant(np.diag([1.0, 1.0 - 1e-8]))}, "simple"),
    ("causal, top simple", {"U": constant(np.diag([1e-8, -1.0]))}, "lambda > 0"),
    ("causal, top negative", {"U": constant(np.diag([-1e-8, -1.0]))}, "lambda < 0"),
    ("no hemisphere, symmetric positive P", {"P": constant(EYE + 1e-6 * SKEW)}, "P symmetric"),
    ("symmetric U, full, no hemisphere", {"U": constant(TOP + 1e-9 * SKEW)}, "symmetric"),
    ("symmetric U, full, no hemisphere", {"U": constant(EYE)}, "simple"),
    ("symmetric U, causal, no hemisphere", {"U": constant(-np.diag([1.0, 2.0]))}, "lambda > 0"),
    ("4.5", {"P": constant(EYE, EYE)}, "one head"),
    ("several heads, own U", {"U": constant(TOP, SKEW)}, "symmetric"),
    ("several heads, own U", {"U": constant(TOP, -TOP - EYE)}, "lambda > 0"),
    ("several heads, one U", {"U": constant(TOP, 1.001 * TOP)}, "one U"),
    ("several heads, own positive U", {"U": constant(TOP, 2 * EYE)}, "positive semidefinite"),
    (
        "several heads, common v",
        {"U": constant([[3.0, 1.0], [1.0, 0.0]], [[0.0, -1.0], [-1.0, 0.0]] + 1e-9 * TOP)},
        "v of every U",
    ),
    ("several heads, one v", {"U": constant(TOP, np.diag([1.0, 1.5]))}, "v top of every U"),
    ("heads that cancel", {"U": constant(TOP, -TOP + 1e-9 * EYE)}, "sum of U zero"),
    ("causal, top simple, any U", {"U": constant(SKEW + EYE)}, "top real"),
    ("causal, top double", {"U": constant(np.diag([1.0, 1.0 - 1e-6, 0.0]))}, "double"),
    ("causal, top negative", {"U": constant(np.diag([1e-3, -1.0]))}, "lambda < 0"),
    ("U that turns", {"U": moving(EYE)}, "simple"),
]


@pytest.mark.parametrize(("name", "parts", "says"), BROKEN)
def test_outside_is_told_by_the_hypothesis_that_fails(getkey, name, parts, says):
    claim = search.CLAIMS[name]
    tokens, dim = claim.sizes[0]
    field, y0 = claim.build(claim.draw(getkey(), tokens, dim))
    failing = claim.outside(changed(field, **parts), y0)
    assert any(says in h.id for h in failing), [str(h) for h in failing]


def test_starts_outside_are_told(getkey):
    for name, rows, words in [
        ("3.2", [[1.0, 0.0], [-1.0, 0.0]], "hemisphere"),
        ("4.2 as printed", [[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]], "-y_1"),
        ("3.2, V falls", [[1.0, 0.0], [-0.6, 0.8]], "e_1"),
    ]:
        claim = search.CLAIMS[name]
        y0 = jnp.asarray(rows)
        numbers = claim.draw(getkey(), *y0.shape)
        field, _ = claim.build(numbers)
        y0 = field.manifold.project(y0)
        assert any(words in h.id for h in claim.outside(field, y0))
    claim = search.CLAIMS["4.5"]
    field, y0 = claim.build(claim.draw(getkey(), 3, 2))
    mixed = y0.at[0].multiply(-1.0)
    assert [h.id for h in claim.outside(field, mixed)] == ["v'y of one sign"]


def test_the_circle_is_about_a_range_of_beta():
    claim, y0 = search.CLAIMS["circle"], af.theory.polygon(3)
    for beta, within in [
        (-0.2, True),
        (-0.16, False),
        (-2 / 3, True),
        (-0.67, False),
        (1.0, False),
    ]:
        field = af.AttentionField(af.Sphere(2), P=beta * jnp.eye(2), kernel="exp", scale=1.0)
        assert (claim.outside(field, y0) == []) is within
    ball = af.AttentionField(af.Sphere(3), P=-0.2 * jnp.eye(3), kernel="exp", scale=1.0)
    outside = claim.outside(ball, af.Sphere(3).random(jr.key(0), (3,)))
    assert [h.id for h in outside] == ["circle"]


def test_half_of_the_scores_drawn_repel_and_large_ones_are_tried():
    claim = search.CLAIMS["4.2"]
    traces = []
    for i in range(64):
        field, _ = claim.build(claim.draw(jr.key(i), 2, 2))
        traces.append(float(jnp.trace(field.P.constant[0])) / 2)
    assert min(traces) < -8
    assert max(traces) > 8
    assert sum(trace < 0 for trace in traces) > 20


def test_a_claim_that_is_not_known_is_refused_with_the_list():
    with pytest.raises(ValueError, match=r"`claim` must be one of '3.2'.*; got 'riemann'\."):
        claim_named("riemann")


def test_sizes_have_two_tokens_in_two_dimensions_and_more():
    for sizes in ((), ((1, 2),), ((3, 1),)):
        with pytest.raises(ValueError, match="`sizes` must hold pairs"):
            dataclasses.replace(search.CLAIMS["3.2"], sizes=sizes)
