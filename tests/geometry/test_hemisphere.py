"""The margin of the best hemisphere: certified, right, differentiable, at any shape."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import linprog, nnls

import attnflow as af
from attnflow.geometry import hemisphere_certificate

# Compiling is what these tests cost: batches of one shape (BATCH, 8, 3) wherever it will do.
BATCH = 400
certify = jax.jit(hemisphere_certificate)
certify_many = jax.jit(jax.vmap(hemisphere_certificate))
EPS = np.finfo(np.float64).eps


def unit(y):
    return y / np.linalg.norm(y, axis=-1, keepdims=True)


def near_edge(rng, tokens, dim, distance):
    """Tokens of a hemisphere whose margin is exactly `distance`, two of them almost antipodal."""
    v = unit(rng.standard_normal((BATCH, 1, dim)))
    flat = rng.standard_normal((BATCH, tokens, dim))
    flat = unit(flat - np.sum(flat * v, -1, keepdims=True) * v)
    flat[:, 1] = -flat[:, 0]
    height = distance * (1 + np.arange(tokens, dtype=float))
    height[1] = distance
    height = height[None, :, None]
    return flat * np.sqrt(1 - height**2) + height * v, v[:, 0]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_the_gap_is_of_rounding_size_and_the_weights_are_convex(dtype):
    # Small integers give ties, duplicates, antipodes, zero rows and rows of many lengths at once.
    y = np.random.default_rng(0).integers(-2, 3, (BATCH, 8, 3)).astype(dtype)
    y[: BATCH // 2, :, 0] = np.abs(y[: BATCH // 2, :, 0]) + 1
    result = certify_many(jnp.asarray(y))
    eps = np.finfo(dtype).eps
    longest = np.max(np.linalg.norm(y, axis=-1), axis=-1)
    assert result.margin.dtype == result.v.dtype == dtype
    assert np.max(result.gap / longest) < 16 * eps
    assert np.min(result.weights) >= 0
    np.testing.assert_allclose(np.sum(result.weights, -1), 1, atol=8 * eps)
    lowest = np.min(np.einsum("bij,bj->bi", y, result.v), -1)
    np.testing.assert_allclose(lowest, result.margin, atol=16 * eps)
    assert np.all(np.asarray(result.margin[: BATCH // 2]) > 0)
    assert 0 < np.mean(result.margin[BATCH // 2 :] > 0) < 0.5


@pytest.mark.parametrize(("tokens", "dim"), [(8, 3), (6, 20)])
def test_the_margin_agrees_with_linear_programming_and_nonnegative_least_squares(tokens, dim):
    rng = np.random.default_rng(1)
    y = unit(rng.standard_normal((BATCH, tokens, dim)))
    y[::2, :, 0] = np.abs(y[::2, :, 0]) - 0.02
    margins = np.asarray(certify_many(jnp.asarray(y)).margin)
    for rows, margin in zip(y[:200], margins[:200], strict=True):
        # |u| <= 1 in the maximum norm: another objective, the same sign.
        program = linprog(
            [*np.zeros(dim), -1],
            A_ub=np.column_stack([-rows, np.ones(tokens)]),
            b_ub=np.zeros(tokens),
            bounds=[(-1, 1)] * dim + [(None, 1)],
        )
        assert (-program.fun > 1e-9) == (margin > 0)
        # min |Aᵀu|² + (1 − Σu)² is attained at a multiple of the nearest point's weights.
        share, _ = nnls(np.vstack([rows.T, np.ones(tokens)]), np.r_[np.zeros(dim), 1])
        nearest = np.linalg.norm(share @ rows) / share.sum()
        np.testing.assert_allclose(margin, nearest if margin > 0 else 0, atol=1e-12)


@pytest.mark.parametrize("distance", [1e-3, 1e-9])
@pytest.mark.parametrize(("tokens", "dim"), [(8, 3), (6, 20)])
def test_tokens_close_to_the_edge_of_a_hemisphere_are_told_from_outside(tokens, dim, distance):
    y, v = near_edge(np.random.default_rng(2), tokens, dim, distance)
    within = certify_many(jnp.asarray(y))
    assert np.min(within.margin) >= distance * (1 - 1e-6)
    assert np.max(within.gap) < 16 * EPS
    # Two tokens at v and -v put 0 in the hull, however close the others come to a hemisphere.
    y[:, 2], y[:, 3] = v, -v
    beyond = certify_many(jnp.asarray(y))
    assert np.max(beyond.margin) == 0
    assert np.max(beyond.gap) < 16 * EPS


@pytest.mark.parametrize(("tokens", "dim", "probability"), [(2, 2, 1.0), (8, 3, 0.2265625)])
def test_random_tokens_share_a_hemisphere_as_often_as_wendel_says(tokens, dim, probability):
    terms = [math.comb(tokens - 1, k) for k in range(dim)]
    assert sum(terms) / 2 ** (tokens - 1) == probability
    y = np.random.default_rng(3).standard_normal((10, BATCH, tokens, dim))
    margin = np.stack([certify_many(jnp.asarray(some)).margin for some in y])
    error = (probability * (1 - probability) / margin.size) ** 0.5
    assert abs(np.mean(margin > 0) - probability) <= 4 * error


CONFIGURATIONS = {
    "one direction": ([[3.0, 4.0]], 5.0),
    "a right angle": ([[1.0, 0.0], [0.0, 1.0]], 0.5**0.5),
    "duplicates": ([[1.0, 0.0]] * 3 + [[0.0, 1.0]] * 3, 0.5**0.5),
    "an antipodal pair": ([[0.6, 0.8], [-0.6, -0.8]], 0.0),
    "an antipodal pair and others": ([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.6, 0.8]], 0.0),
    "a triangle": ([[1.0, 0.0], [-0.5, 0.75**0.5], [-0.5, -(0.75**0.5)]], 0.0),
    "a tetrahedron": ([[1, 1, 1.0], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], 0.0),
    "an octahedron": (np.vstack([np.eye(3), -np.eye(3)]), 0.0),
    "a zero row": ([[1.0, 0.0], [0.0, 0.0]], 0.0),
    "all zero": (np.zeros((3, 2)), 0.0),
    "very long rows": ([[1e150, 0.0], [0.0, 1e150]], 1e150 * 0.5**0.5),
    "orthogonal tokens": (np.eye(3), 3**-0.5),
}


def test_known_margins():
    # One shape for all: a repeated row and a column of zeros change no margin.
    batch = np.zeros((BATCH, 8, 3))
    for k, (rows, _) in enumerate(CONFIGURATIONS.values()):
        rows = np.asarray(rows)
        batch[k, :, : rows.shape[1]] = np.vstack([rows, np.tile(rows[:1], (8 - len(rows), 1))])
    result = certify_many(jnp.asarray(batch))
    for k, (name, (rows, margin)) in enumerate(CONFIGURATIONS.items()):
        size = max(1.0, np.max(np.abs(rows)))
        np.testing.assert_allclose(result.margin[k], margin, rtol=8 * EPS, atol=0, err_msg=name)
        length = np.linalg.norm(result.v[k])
        np.testing.assert_allclose(length, float(margin > 0), atol=8 * EPS, err_msg=name)
        assert result.gap[k] < 16 * EPS * size, name


def test_a_single_token_is_its_own_axis():
    margin, v = af.hemisphere_margin(jnp.array([[3.0, 4.0]]))
    np.testing.assert_allclose(margin, 5, rtol=4 * EPS)
    np.testing.assert_allclose(v, [0.6, 0.8], atol=4 * EPS)


def test_nearly_coinciding_tokens_have_the_margin_of_one():
    offsets = np.random.default_rng(4).standard_normal((8, 3))
    for spread in (1e-3, 1e-8, 1e-15, 0.0):
        result = certify(jnp.asarray(unit(np.array([[0.6, 0.0, 0.8]]) + spread * offsets)))
        assert result.gap < 64 * EPS
        np.testing.assert_allclose(result.margin, 1, atol=max(20 * spread**2, 4 * EPS))


def test_the_paper_s_largest_case_is_certified():
    y = unit(np.random.default_rng(5).uniform(-0.5, 0.5, (50, 500)))
    for tokens in (y, np.vstack([y[:25], y[:25]]), unit(y[:1] + 1e-6 * y)):
        result = certify(jnp.asarray(tokens))
        assert result.margin > 0.1
        assert result.gap < 64 * EPS


def test_the_margin_is_invariant_under_rotation_and_permutation():
    rng = np.random.default_rng(6)
    y = unit(rng.standard_normal((8, 3)) + np.eye(3)[:1])
    rotation, _ = np.linalg.qr(rng.standard_normal((3, 3)))
    plain = certify(jnp.asarray(y))
    turned = certify(jnp.asarray((y @ rotation.T)[rng.permutation(8)]))
    np.testing.assert_allclose(turned.margin, plain.margin, rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose(turned.v, rotation @ plain.v, atol=1e-12)


def test_the_derivative_is_that_of_the_optimum():
    rng = np.random.default_rng(7)
    y = jnp.asarray(unit(rng.standard_normal((8, 3)) + 2 * np.eye(3)[:1]))
    change = jnp.asarray(rng.standard_normal((8, 3)))
    result = certify(y)
    (margin, gradient), pushed = jax.jit(
        lambda y, change: (
            jax.value_and_grad(lambda y: af.hemisphere_margin(y)[0])(y),
            jax.jvp(af.hemisphere_margin, (y,), (change,))[1],
        )
    )(y, change)
    assert margin == result.margin > 0
    np.testing.assert_allclose(gradient, result.weights[:, None] * result.v[None], atol=1e-14)
    step = 1e-6
    ahead, behind = certify(y + step * change), certify(y - step * change)
    difference = (ahead.margin - behind.margin) / (2 * step)
    np.testing.assert_allclose(jnp.sum(gradient * change), difference, rtol=1e-7)
    # Forward mode agrees, and the axis carries no derivative.
    np.testing.assert_allclose(pushed[0], jnp.sum(gradient * change), rtol=1e-12)
    assert bool(jnp.all(pushed[1] == 0))


def test_the_derivative_is_zero_where_no_hemisphere_holds_the_tokens():
    rows = CONFIGURATIONS["a tetrahedron"][0]
    y = jnp.asarray(np.vstack([rows, rows]), float)
    assert bool(jnp.all(jax.grad(lambda y: certify(y).margin)(y) == 0))


def test_a_nan_token_gives_a_nan_margin():
    result = certify(jnp.ones((8, 3)).at[4, 1].set(jnp.nan))
    assert bool(jnp.isnan(result.margin))
    assert bool(jnp.all(jnp.isnan(result.v)))


@pytest.mark.parametrize("shape", [(3,), (2, 3, 4), (0, 3), (3, 0)])
def test_anything_but_rows_of_tokens_is_refused(shape):
    # Below the annotations, which tests check and users do not.
    with pytest.raises(ValueError, match=r"`y` must have shape \(tokens, dim\)"):
        hemisphere_certificate.__wrapped__(jnp.ones(shape))
