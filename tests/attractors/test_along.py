"""Attractors followed from value to value: shares, matches, and births where closed forms have them."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import attnflow as af

SPHERE = af.Sphere(3)
VALUES = [0.2, 0.45, 1.0, 3.0]
NUMBER = 300


def drawn(key):
    return SPHERE.random(key, (4,))


def held(beta):
    """The field of `test_find`: polarised ends two against two are stable just where tanh(beta) > 1/2."""
    U = jnp.diag(jnp.array([1.0, 0.5, 0.5]))
    return af.AttentionField(SPHERE, P=beta * jnp.eye(3), U=U, scale=1.0)


def along(values, **options):
    return af.attractors.along(
        held(1.0), drawn, held, values, number=NUMBER, key=jr.key(0), t1=60.0, **options
    )


@pytest.fixture(scope="module")
def followed():
    return along(VALUES)


def test_shares_of_stable_ends_are_followed_and_add_up(followed):
    tracks = {(track.kind, track.masses): track for track in followed}
    assert {("consensus", (4,)), ("polarised", (2, 2))} <= set(tracks)
    np.testing.assert_allclose(sum(track.share for track in followed), 1, atol=1e-12)
    for track in followed:
        assert np.all(track.low <= track.share)
        assert np.all(track.share <= track.high)
    alone = af.attractors.find(
        held(3.0), drawn, number=NUMBER, key=jr.key(0), t1=60.0, progress=False
    )
    for row in alone:
        assert tracks[row.kind, row.masses].share[-1] == row.share
    consensus = tracks["consensus", (4,)]
    assert consensus.born is consensus.died is None
    assert consensus.share[0] > consensus.share[-1]


def test_births_are_where_the_closed_form_has_them(followed):
    (two,) = [track for track in followed if track.masses == (2, 2)]
    assert two.rows[0] is two.rows[1] is None
    assert two.share[1] == 0 < two.high[1] < 0.02
    assert two.born is not None
    assert two.died is None
    assert two.born.value == pytest.approx(np.arctanh(0.5), abs=1e-10)
    assert "born at 0.549306144" in str(followed)


def test_followed_downwards_births_are_deaths():
    (two,) = [track for track in along([3.0, 0.45]) if track.masses == (2, 2)]
    assert two.born is None
    assert two.died is not None
    assert two.died.value == pytest.approx(np.arctanh(0.5), abs=1e-10)


def test_the_picture_has_a_band_for_each_and_marks_births(followed):
    above, below = af.plot.attractors_along(followed, xlabel="beta")
    assert len(above.collections) == min(len(followed), 7)
    marks = [text.get_text() for text in below.texts]
    assert "0.54931" in marks


def test_values_must_go_one_way():
    with pytest.raises(ValueError, match="`values` must be two numbers"):
        along([1.0, 0.5, 2.0])
    with pytest.raises(ValueError, match="`values` must be two numbers"):
        along([1.0])


@pytest.mark.slow
def test_the_sampler_is_used_as_it_is():
    """The i-th start is the same at every value."""
    starts = np.asarray(
        jax.vmap(lambda i: drawn(jr.fold_in(jr.key(0), i)))(jnp.arange(3, dtype=jnp.uint32))
    )
    got = af.attractors.along(held(1.0), starts, held, [0.2, 0.3], t1=60.0)
    for found in got.found:
        np.testing.assert_array_equal(found[0].start, starts[0])


def near_the_axis(key, tokens):
    """Tokens ahead and behind by fair coins, a little aside: shares are binomial wherever such ends are stable."""
    coins, aside = jr.split(key)
    signs = jr.rademacher(coins, (tokens, 1), dtype=float)
    return SPHERE.project(signs * jnp.eye(3)[0] + 0.02 * jr.normal(aside, (tokens, 3)))


def rightmost(p, q, beta):
    """Of p ahead and q behind: tokens of a cluster move as one, both clusters aside in proportion."""
    ahead = p * np.exp(beta) / (p * np.exp(beta) + q * np.exp(-beta))
    behind = q * np.exp(beta) / (q * np.exp(beta) + p * np.exp(-beta))
    J = [[1 - 1.5 * ahead, (1 - ahead) / 2], [(1 - behind) / 2, 1 - 1.5 * behind]]
    return np.linalg.eigvals(J).real.max()


def test_attractors_are_followed_from_one_number_of_tokens_to_another():
    """Five to one is stable and six to one is not, by the closed form: there the lone token's attractor dies."""
    beta = 1.3
    assert rightmost(4, 1, beta) < 0 < rightmost(5, 1, beta)
    got = af.attractors.along(
        held(beta), near_the_axis, "tokens", [5, 4, 6][::2], number=128, key=jr.key(0), t1=60.0
    )
    tracks = {(track.kind, track.masses): track for track in got}
    lone, even, odd = (tracks["polarised", masses] for masses in ((4, 1), (3, 2), (5,)))
    print(got)


def test_noise_is_counted_by_where_the_field_takes_its_tokens():
    got = af.attractors.along(
        held(3.0), lambda key: near_the_axis(key, 4), "noise", [0.0, 1.0], number=128, key=jr.key(0),
        t1=5.0, noise=af.Noise(independent=1.0), dt0=0.05,
    )  # fmt: skip
    print(got)
