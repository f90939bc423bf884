"""Attractors followed from value to value: shares, matches, and births where closed forms have them."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import attnflow as af
from attnflow.attractors._along_store import AlongStore

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
    return SPHERE.project(signs * jnp.eye(3)[:1] + 0.02 * jr.normal(aside, (tokens, 3)))


def rightmost(p, q, beta):
    """Of p ahead and q behind: tokens of a cluster move as one, and how far it is aside pulls at the other."""
    ahead = p * np.exp(beta) / (p * np.exp(beta) + q * np.exp(-beta))
    behind = q * np.exp(beta) / (q * np.exp(beta) + p * np.exp(-beta))
    J = [[1 - 1.5 * ahead, (1 - ahead) / 2], [(1 - behind) / 2, 1 - 1.5 * behind]]
    return np.linalg.eigvals(J).real.max()


def test_attractors_are_followed_from_one_number_of_tokens_to_another():
    """Three to one is stable and four to one is not, by the closed form: there the lone token's attractor dies."""
    beta = 1.0
    assert rightmost(3, 1, beta) < 0 < rightmost(4, 1, beta)
    got = af.attractors.along(
        held(beta), near_the_axis, "tokens", [4, 5], number=128, key=jr.key(0), t1=60.0
    )
    tracks = {(track.kind, track.masses): track for track in got}
    lone, even = tracks["polarised", (3, 1)], tracks["polarised", (2, 2)]
    assert lone.rows[1] is None
    assert isinstance(lone.died, af.attractors.TokenPoint)
    assert (lone.died.value, lone.died.beyond, lone.died.kind) == (4, 5, "unstable")
    assert even.rows[1] is not None
    assert even.rows[1].masses == (3, 2)
    assert even.rows[1].spectrum.outside[0].real == pytest.approx(rightmost(3, 2, beta), abs=1e-9)
    assert lone.low[0] < 8 / 16 < lone.high[0]
    assert even.low[0] < 6 / 16 < even.high[0]
    assert "dies: stable with 4 tokens, unstable with 5" in str(got)


def in_noise(**options):
    return af.attractors.along(
        held(1.5), lambda key: near_the_axis(key, 4), "noise", [0.0, 1.0], number=128, key=jr.key(0),
        t1=5.0, noise=af.Noise(independent=1.0), dt0=0.05, **options,
    )  # fmt: skip


def test_noise_is_counted_by_where_the_field_takes_its_tokens():
    """Without it by coins; under much of it lone tokens go over to the others."""
    got = in_noise()
    tracks = {track.masses: track for track in got}
    for masses, share in (((4,), 2 / 16), ((3, 1), 8 / 16), ((2, 2), 6 / 16)):
        track = tracks[masses]
        assert track.low[0] < share < track.high[0]
        assert track.born is track.died is track.curve is None
    assert tracks[4,].low[1] > tracks[4,].high[0]
    for one, other in zip(got.found, in_noise(shard=50).found, strict=True):
        np.testing.assert_array_equal(
            one.labels, other.labels
        )  # a path is its start's, in any shard


def study(store, t1=60.0):
    return af.attractors.along(
        held(1.0), lambda key: near_the_axis(key, 4), held, [0.5, 3.0], number=20, key=jr.key(0), t1=t1,
        shard=8, store=store,
    )  # fmt: skip


def test_a_study_goes_on_from_its_store_and_is_the_same(tmp_path, monkeypatch):
    whole = study(tmp_path / "whole")
    inner, count = AlongStore.write, [0]

    def ended(self, value, shard, found):
        count[0] += 1
        if count[0] == 5:
            raise KeyboardInterrupt
        return inner(self, value, shard, found)

    monkeypatch.setattr(AlongStore, "write", ended)
    with pytest.raises(KeyboardInterrupt):
        study(tmp_path / "part")
    monkeypatch.undo()
    state = stored(tmp_path / "part")
    assert (state.done, state.shards, state.complete) == (4, 6, False)
    torn = tmp_path / "part" / "value-000-shard-00001.npz"
    torn.write_bytes(torn.read_bytes()[:-40])
    assert stored(tmp_path / "part").damaged == (torn.name,)
    assert str(study(tmp_path / "part")) == str(whole)
    for name in sorted(path.name for path in (tmp_path / "whole").glob("*.npz")):
        with np.load(tmp_path / "whole" / name) as one, np.load(tmp_path / "part" / name) as other:
            assert sorted(one) == sorted(other)
            for part in one:
                np.testing.assert_array_equal(one[part], other[part])
    assert stored(tmp_path / "part").complete
    with pytest.raises(ValueError, match="another 't1'"):
        study(tmp_path / "part", t1=61.0)
    assert af.attractors.stored(tmp_path) is None


def stored(store):
    state = af.attractors.stored(store)
    assert state is not None
    return state


@pytest.mark.parametrize(
    ("parameter", "values", "options", "words"),
    [
        ("token", [1, 2], {}, '`parameter` must be a function, "tokens" or "noise"'),
        ("tokens", [2.5, 4], {"starts": near_the_axis}, "`values` must be whole numbers"),
        ("tokens", [2, 4], {"starts": np.zeros((2, 4, 3)), "key": None}, "`starts` must be a function"),
        ("noise", [0, 1], {}, "`noise` must be given"),
        ("noise", [-1, 1], {"noise": af.Noise(independent=1.0)}, "`values` must be strengths"),
        ("noise", [0, 1], {"noise": 0.1}, "`noise` must be an attnflow.Noise"),
        ("noise", [0, 1], {"noise": af.Noise(independent=1.0), "key": None}, "`key` must be given"),
    ],
)  # fmt: skip
def test_wrong_arguments_are_refused_in_one_line(parameter, values, options, words, as_user):
    options = {"starts": drawn, "key": jr.key(0), "number": 4, **options}
    with pytest.raises(ValueError, match=words):
        af.attractors.along(held(1.0), parameter=parameter, values=values, t1=1.0, **options)
