"""Two clusters of an encoder in ball arithmetic: the map and its derivative are the network's, and proofs hold."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import attnflow as af
from attnflow.language._modules import without_feed_forward
from attnflow.language._rest import _map
from tests.systems import family_checkpoint, write_folder

pytest.importorskip("flint", reason="the proof is in its arithmetic")

from attnflow.language._balls import ball_layers
from attnflow.language._proof import _chained, _doubles, _pass, _within

SIZES = (2, 3)


def _bare(model):
    return eqx.tree_at(lambda m: m.blocks, model, without_feed_forward(model.blocks))


def _all(pair):
    return jnp.repeat(pair, jnp.asarray(SIZES), axis=0, total_repeat_length=5)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    config, tensors = family_checkpoint("albert", "proof")
    folder = write_folder(tmp_path_factory.mktemp("model"), config, tensors, dtype="F64")
    return af.language.load(folder, dtype="float64")


@pytest.fixture(scope="module")
def apart():
    """Gains so uneven that the norms alone take tokens to one of two points, and attention that is weak."""
    arch = af.language.Architecture("bert", 16, 8, 8, 2, 2, 8, activation="gelu", deviation=0.1)
    model = af.language.random(arch, key=jr.key(0), dtype="float64")
    gain = jnp.ones((2, 8)).at[:, 0].set(2.0)
    return eqx.tree_at(lambda m: m.blocks.attention_norm.gain, model, gain)


def test_balls_hold_the_pass_of_all_tokens_and_its_derivatives(encoder):
    import flint

    arch, model = encoder.architecture, _bare(encoder)
    pair = jnp.asarray(np.random.default_rng(1).normal(size=(2, arch.dim)))
    layers = ball_layers(encoder)
    after, seen = _pass(arch, layers, flint.arb_mat(np.asarray(pair).tolist()), SIZES)
    whole = jax.jit(lambda p: _map(model, _all(p), 1))(pair)
    np.testing.assert_allclose(_doubles(after), np.asarray(whole)[[0, 4]], atol=1e-12)
    of_pair = jax.jit(jax.jacfwd(lambda p: _map(model, _all(p), 1)[jnp.asarray([0, 4])]))(pair)
    size = 2 * arch.dim
    expected = np.asarray(of_pair).reshape(size, size).T  # rows by what is moved
    np.testing.assert_allclose(_doubles(_chained(arch, layers, seen)), expected, atol=1e-10)
    # Two tokens of the first cluster part: (x, -x), and their sum stays.
    moved = jax.jit(jax.jacfwd(lambda x: _map(model, _all(pair).at[0].add(x).at[1].add(-x), 1)))
    parting = np.asarray(moved(jnp.zeros(arch.dim)))
    np.testing.assert_allclose(_doubles(_within(arch, layers, seen, 0)), parting[0].T, atol=1e-10)
    np.testing.assert_allclose(parting[1], -parting[0], atol=1e-12)
    np.testing.assert_allclose(parting[2:], 0.0, atol=1e-12)


def _start():
    sides = jnp.asarray([3.0, -3.0, 3.0, 3.0, -3.0, 3.0])
    return jr.normal(jr.key(2), (6, 8)).at[:, 0].set(sides)


def test_two_clusters_are_proved_where_they_are_and_attract(apart):
    h = _start()
    found = af.language.rest(apart, h, feed_forward=False, passes=400, tolerance=1e-13)
    assert len(found.clusters) == 2
    proof = af.language.prove_clusters(apart, found.tokens)
    assert proof.exists
    assert proof.attracts
    assert sorted(proof.sizes, reverse=True) == list(found.clusters)
    centres = proof.centres[proof.members]
    np.testing.assert_allclose(centres, found.tokens, atol=1e-10)
    cosine = np.dot(*proof.centres) / np.prod(np.linalg.norm(proof.centres, axis=1))
    assert cosine <= proof.cosine < cosine + 1e-9
    jacobian = jax.jit(jax.jacfwd(lambda x: _map(_bare(apart), x, 1)))(jnp.asarray(centres))
    largest = np.abs(np.linalg.eigvals(np.asarray(jacobian).reshape(48, 48))).max()
    bounds = [(proof.power, proof.norm), *proof.within]
    assert largest <= max(norm ** (1 / power) for power, norm in bounds if power) + 1e-9
    assert "proved (Krawczyk" in str(proof)
    assert proof.record()["attracts"] is True


def test_a_box_beside_the_equilibrium_proves_nothing(apart):
    h = _start()
    found = af.language.rest(apart, h, feed_forward=False, passes=400, tolerance=1e-13)
    moved = found.tokens * (1 + 1e-6)
    beside = af.language.prove_clusters(apart, moved, passes=0)
    assert not beside.exists
    assert not beside.attracts
    assert "not proved" in str(beside)


def test_other_states_and_families_are_refused_in_one_line(apart, encoder):
    same = jnp.ones((4, 8)).at[:, 0].set(3.0)
    with pytest.raises(ValueError, match="must be in two clusters; got 1"):
        af.language.prove_clusters(apart, same)
    with pytest.raises(ValueError, match=r"must be finite, of shape \(length, 8\)"):
        af.language.prove_clusters(apart, jnp.ones((4, 5)))
    gpt2 = af.language.Architecture("gpt2", 16, 8, 8, 1, 2, 8)
    other = af.language.random(gpt2, key=jr.key(0))
    with pytest.raises(ValueError, match="must attend to all tokens, .* got a gpt2"):
        af.language.prove_clusters(other, same)
