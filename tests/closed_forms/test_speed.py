"""No run is faster than the speed limit, and all attention on token 1 follows the tanh reference."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import attnflow as af
from attnflow.theory import (
    angle_bound,
    misalignment_bound,
    reference_misalignment,
    speed_limit,
    tanh_reference,
)
from tests.systems import PLACES, Place, generator, random_rows

TOKENS, DIM, HEADS = 6, 3, 2
TS = jnp.linspace(0.0, 3.0, 16)
# As biases, so that every run is of one compiled program.
FULL = np.zeros((TOKENS, TOKENS))
CAUSAL = np.where(np.tril(np.ones((TOKENS, TOKENS), bool)), 0, -np.inf)
TO_FIRST = np.where(np.arange(TOKENS)[None, :] == 0, FULL, -np.inf)


def setting(kind, seed, *, size=6.0, scale=None):
    """A place, its general manifold, tokens on it and a P(t) of two heads."""
    rng = generator("speed", seed)
    place = Place(kind, DIM, "speed")
    y0 = place.tokens(random_rows(rng, TOKENS, np.eye(DIM)))
    amplitude, phase = rng.normal(size=(2, HEADS, DIM, DIM))
    P = af.Sinusoid(size * amplitude, rng.uniform(0.5, 4), phase)
    return place, y0, P


@jax.jit
def run(field, y0):
    return af.simulate(field, y0, t1=3.0, ts=TS, rtol=1e-11, atol=1e-12).ys


def angles(manifold, ys):
    return np.asarray(manifold.distance(ys[:, :1], ys))


@pytest.mark.slow
@pytest.mark.parametrize("mask", ["full", "causal"])
@pytest.mark.parametrize("kind", PLACES)
def test_no_run_comes_closer_than_the_bounds(kind, mask):
    for seed in range(3):
        place, y0, P = setting(kind, seed)
        bias = jnp.asarray(CAUSAL if mask == "causal" else FULL)
        field = af.AttentionField(place.general, P, mask=bias, scale=0.4)
        ys = run(field, y0)
        bound = np.asarray(angle_bound(field, y0, TS))
        assert bound.shape == (len(TS), TOKENS)
        result = angles(field.manifold, ys)
        assert np.all(result >= bound - 1e-9)
        E = [float(af.misalignment(y, field.manifold)) for y in ys]
        least = np.asarray(misalignment_bound(field, y0, TS))
        assert np.all(np.array(E) >= least - 1e-9)
        assert least[0] == pytest.approx(E[0], rel=1e-12)
        assert least[-1] < least[0]
        # Turned by the rate that the mask allows, until they meet.
        rate = (1 if mask == "causal" else 2) * 2 * 0.4
        expected = np.maximum(result[0] - rate * np.asarray(TS)[:, None], 0)
        expected[:, 0] = 0
        np.testing.assert_allclose(bound, expected, atol=1e-12)


@pytest.mark.parametrize("kind", PLACES)
def test_every_velocity_is_within_the_limit_and_some_reach_it(kind):
    rng = generator("limit", kind)
    place, _, P = setting(kind, 7)
    U = np.stack([place.U(rng.normal(size=(DIM, DIM))) for _ in range(HEADS)])
    field = af.AttentionField(place.manifold, P, U, scale=0.7)
    limit = float(speed_limit(field, 0.3))
    # The norm in W by its definition, on many directions.
    v = random_rows(rng, 4000, np.asarray(place.W))
    largest = sum(np.sqrt(np.einsum("ia,ab,ib->i", v @ u.T, place.W, v @ u.T)).max() for u in U)
    assert 0.7 * largest <= limit < 0.7 * largest * 1.02
    for seed in range(20):
        y = place.tokens(random_rows(generator("reach", seed), TOKENS, np.eye(DIM)))
        assert float(place.manifold.norm(field(0.3, y)).max()) <= limit
    # One value matrix for both heads counts twice; the identity has norm 1.
    one = af.AttentionField(place.manifold, P, U[0], scale=0.7)
    two = af.AttentionField(place.manifold, P, np.stack([U[0]] * 2), scale=0.7)
    assert float(speed_limit(one)) == pytest.approx(float(speed_limit(two)), rel=1e-14)
    eye = af.AttentionField(place.manifold, P, np.eye(DIM), scale=0.7)
    plain = af.AttentionField(place.manifold, P, scale=0.7)
    assert float(speed_limit(eye)) == pytest.approx(1.4, rel=1e-14)
    assert float(speed_limit(plain)) == 1.4
    # Two tokens a right angle apart, each seeing the other alone.
    pair = place.tokens(np.eye(DIM)[:2])
    other = af.AttentionField(
        place.manifold, P, mask=jnp.asarray(~np.eye(2, dtype=bool)), scale=0.7
    )
    np.testing.assert_allclose(place.manifold.norm(other(0.0, pair)), 1.4, rtol=1e-14)


def test_the_limit_follows_u_in_time():
    U = af.Sinusoid(np.eye(3), 1.0)
    field = af.AttentionField(af.Sphere(3), np.zeros((3, 3)), U, scale=1.0)
    for t in (0.0, 0.5, 2.0):
        assert float(speed_limit(field, t)) == pytest.approx(np.sin(t), abs=1e-15)


def test_frozen_tokens_and_a_first_token_by_itself_move_apart_no_faster():
    _, y0, P = setting("sphere", 3)
    frozen = np.array([True, False, True, False, False, False])
    held = af.AttentionField(af.Sphere(DIM), P, frozen=frozen, scale=0.4)
    np.testing.assert_allclose(
        angle_bound(held, y0, 1.0)[1:],
        np.maximum(np.asarray(angle_bound(held, y0, 0.0))[1:] - 0.8 * ~frozen[1:], 0),
        atol=1e-14,
    )
    causal = af.AttentionField(af.Sphere(DIM), P, mask="causal", scale=0.4)
    boolean = af.AttentionField(af.Sphere(DIM), P, mask=jnp.asarray(CAUSAL == 0), scale=0.4)
    np.testing.assert_array_equal(angle_bound(causal, y0, TS), angle_bound(boolean, y0, TS))
    later = angle_bound(causal, y0, TS + 2.0, 2.0)
    np.testing.assert_allclose(later, angle_bound(causal, y0, TS), atol=1e-14)


@pytest.mark.parametrize("kind", PLACES)
def test_all_attention_on_token_1_follows_the_tanh_reference(kind):
    place, y0, P = setting(kind, 11)
    field = af.AttentionField(place.general, P, mask=jnp.asarray(TO_FIRST), scale=0.4)
    ys = run(field, y0)
    result = np.asarray(field.manifold.inner(ys[:, :1], ys))
    causal = af.AttentionField(place.general, P, mask="causal", scale=0.4)
    expected = tanh_reference(causal, y0, TS)
    assert expected.shape == (len(TS), TOKENS)
    np.testing.assert_allclose(result, expected, atol=1e-9)
    b = result[0, 1:]
    np.testing.assert_allclose(
        np.asarray(expected)[:, 1:],
        np.tanh(0.8 * np.asarray(TS)[:, None] + np.arctanh(b)[None, :]),
        rtol=1e-12,
    )
    E = [float(af.misalignment(y, field.manifold)) for y in ys]
    np.testing.assert_allclose(reference_misalignment(causal, y0, TS), E, rtol=1e-8)
    # And no other attention brings token 2 closer.
    ys = run(af.AttentionField(place.general, P, mask=jnp.asarray(CAUSAL), scale=0.4), y0)
    other = np.asarray(field.manifold.inner(ys[:, 0], ys[:, 1]))
    assert np.all(other <= np.asarray(expected)[:, 1] + 1e-10)
    assert other[-1] < float(expected[-1, 1]) - 1e-3


def test_the_reference_is_no_bound_for_a_third_token():
    # Token 2 beyond y_1 pulls token 3 at a right angle, faster than y_1 would.
    a = np.array([0.0, -0.5, 0.5])
    y0 = jnp.asarray(np.stack([np.cos(a), np.sin(a)], axis=1))
    to_second = np.full((3, 3), -np.inf)
    to_second[0, 0] = to_second[1, 1] = to_second[2, 1] = 0.0
    field = af.AttentionField(
        af.Sphere(2), jnp.zeros((2, 2)), mask=jnp.asarray(to_second), scale=1.0
    )
    # Ahead by how much after a short time: the difference of the slopes at the start.
    step = 1e-4
    moved = float(y0[0] @ (y0 + step * field(0.0, y0))[2])
    ahead = moved - float(tanh_reference(field, y0, step)[2])
    assert ahead == pytest.approx(step * (np.sin(1.0) * np.sin(0.5) - np.sin(0.5) ** 2), rel=1e-2)
    assert np.arccos(moved) > float(angle_bound(field, y0, step)[2])


def test_the_reference_misalignment_keeps_its_digits_to_the_smallest():
    field = af.AttentionField(af.Sphere(2), jnp.zeros((2, 2)), mask="causal", scale=1.0)
    y0 = jnp.array([[1.0, 0.0], [0.0, 1.0]])
    for t in (0.0, 1.0, 20.0, 300.0):
        expected = 1 / (1 + np.exp(2 * t))  # (1 - tanh t)/2
        assert float(reference_misalignment(field, y0, t)) == pytest.approx(expected, rel=1e-12)
    opposite = jnp.array([[1.0, 0.0], [-1.0, 0.0]])
    assert float(tanh_reference(field, opposite, 5.0)[1]) == -1
    assert float(reference_misalignment(field, opposite, 5.0)) == 1


Y0 = np.array([[1.0, 0.0], [0.0, 1.0]])


@pytest.mark.parametrize(
    ("options", "need"),
    [
        ({"kernel": "exp"}, "kernel 'softmax' or 'hardmax' for .*; got Exponential"),
        ({"normalisation": "ngpt"}, "normalisation 'post' for .*; got NGPT"),
        ({"drift": lambda t, y: y}, "no drift for .*; got one"),
    ],
)
def test_fields_without_a_speed_limit_are_refused(options, need):
    field = af.AttentionField(af.Sphere(2), np.zeros((2, 2)), mask="causal", **options)
    for call in (
        speed_limit,
        lambda f: angle_bound(f, Y0, 1.0),
        lambda f: tanh_reference(f, Y0, 1.0),
    ):
        with pytest.raises(ValueError, match=f"`field` must have {need}"):
            call(field)


def test_arguments_that_bounds_do_not_hold_for_are_refused(as_user):
    make = lambda **options: af.AttentionField(af.Sphere(2), np.zeros((2, 2)), **options)  # noqa: E731
    with pytest.raises(
        ValueError, match="`field` must have U = I for the angle bound; got an entry 1"
    ):
        angle_bound(make(U=2 * np.eye(2)), Y0, 1.0)
    with pytest.raises(ValueError, match="token 1 attend to itself alone for .*; got Full"):
        tanh_reference(make(), Y0, 1.0)
    with pytest.raises(ValueError, match="no frozen tokens for the tanh reference"):
        tanh_reference(make(mask="causal", frozen=np.zeros(2, bool)), Y0, 1.0)
    with pytest.raises(ValueError, match="a positive scale for the tanh reference"):
        reference_misalignment(make(mask="causal", scale=0.0), Y0, 1.0)
    with pytest.raises(ValueError, match="`t` must not be before `t0`"):
        misalignment_bound(make(), Y0, np.array([0.0, -1.0]))
    with pytest.raises(ValueError, match="`y0` must have 3 tokens, as the field; got 2"):
        angle_bound(make(mask=np.ones((3, 3), bool)), Y0, 1.0)
    with pytest.raises(ValueError, match="`field` must be an AttentionField; got int"):
        speed_limit(3)  # pyright: ignore[reportArgumentType]


def test_a_field_that_is_refused_is_refused_inside_a_program_in_the_same_words():
    sphere = af.Sphere(3)
    wave = jnp.full((2, 3, 3), 0.1)
    U = af.Bounded(af.schedules.Symmetric(af.Fourier(jnp.eye(3), wave, wave, 1.0)), 1.0)
    field = af.AttentionField(sphere, P=jnp.eye(3), U=U)
    y0 = sphere.random_hemisphere(jax.random.key(0), (6,))

    def bound(t):
        return af.theory.misalignment_bound(field, y0, t, 0.0)

    for call in (bound, jax.jit(bound)):
        with pytest.raises(ValueError, match="must have a U that time does not change"):
            call(jnp.linspace(0.0, 1.0, 3))
