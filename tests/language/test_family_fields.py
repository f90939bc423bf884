"""Heads of every family as a field: what a real block adds to tokens of one length is the field's sum."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import attnflow as af
from attnflow.language._layer import by_layer, own_block, scanned, through
from attnflow.language._modules import without_feed_forward
from tests.systems import FamilyOracle, family_checkpoint, gpt_prompts, write_folder

SLOW = [pytest.param(family, marks=pytest.mark.slow) for family in ("mistral", "qwen2", "qwen3")]
FAMILIES = ["llama", "gemma3_text", "gpt_neox", "bert", "albert", *SLOW]
TOKENS, D, RADIUS = 4, 32, 1.7


@pytest.fixture(scope="module", params=FAMILIES)
def model(request, tmp_path_factory):
    name = "layer_norm_eps" if request.param in ("gpt_neox", "bert", "albert") else "rms_norm_eps"
    config, tensors = family_checkpoint(request.param, "fields", **{name: 0.0})
    folder = write_folder(tmp_path_factory.mktemp("model"), config, tensors, dtype="F64")
    return af.language.load(folder, dtype="float64")


def _tokens(arch):
    y = np.random.default_rng(3).normal(size=(TOKENS, D))
    y = y if arch.of.rms else y - y.mean(axis=1, keepdims=True)
    return jnp.asarray(y / np.linalg.norm(y, axis=1, keepdims=True))


def _block(model, layer, h):
    """The tokens after attention alone of that layer."""
    arch, blocks = model.architecture, without_feed_forward(model.blocks)
    take = lambda tree: None if tree is None else _at(tree, layer)  # noqa: E731
    place = take(by_layer(arch, h.dtype))
    block = own_block(arch, blocks, take(scanned(arch, blocks)), place)
    return through(arch, block, place, h[None])[0], block


def _at(tree, k):
    return jax.tree.map(lambda x: x[k], tree)


def test_a_block_adds_the_field_s_sum(model):
    arch = model.architecture
    y = _tokens(arch)
    field = af.language.as_field(model, length=TOKENS, radius=RADIUS)

    @eqx.filter_jit
    def both(field, model, layer):
        t = layer + 0.5
        added = RADIUS * field.normalisation.layer(field.manifold, t, y, field.total(t, y))
        after, block = _block(model, layer, RADIUS * y)
        if arch.of.post_norm:
            return block.attention_norm(RADIUS * y + added, 0.0), after
        real = after - RADIUS * y
        return added, real if arch.of.rms else real - jnp.mean(real, axis=1, keepdims=True)

    for layer in range(arch.layers):
        expected, real = both(field, model, jnp.asarray(layer))
        np.testing.assert_allclose(real, expected, atol=1e-9)


def test_positions_and_norms_are_in_the_scores_and_the_mask_is_the_family_s(model):
    arch = model.architecture
    field = af.language.as_field(model, length=TOKENS)
    rotary = isinstance(field.P, af.language.RotaryScores)
    assert rotary == (arch.family not in ("bert", "albert"))
    assert (field.attention(0.0, _tokens(arch))[0, 0, -1] > 0) == (not arch.of.causal)
    assert isinstance(field.normalisation, af.language.Sandwiched) == arch.of.sandwiched
    if rotary:
        with pytest.raises(ValueError, match="rotates or normalises queries and keys"):
            af.theory.verdicts(field, _tokens(arch))


def test_eigenvalues_are_those_of_the_dense_matrices(model):
    arch = model.architecture
    found, spectra = (
        af.language.heads(model, radius=RADIUS),
        af.language.spectra(model, radius=RADIUS),
    )
    for layer, head in ((0, 1), (arch.layers - 1, 3)):
        U = np.asarray(found.O[layer, head]).T @ np.asarray(found.V[layer, head])
        plane = np.linalg.eigvals(U).real.max()
        assert spectra.top[layer, head] == pytest.approx(max(plane, 0.0), abs=1e-9)
        assert spectra.symmetric_top[layer, head] == pytest.approx(
            np.linalg.eigvalsh(U + U.T).max() / 2, abs=1e-9
        )
        if not arch.of.normed_scores:
            P = np.asarray(found.Q[layer, head]).T @ np.asarray(found.K[layer, head])
            assert spectra.logit[layer, head] == pytest.approx(np.linalg.norm(P, 2))
            assert spectra.beta[layer, head] == pytest.approx(np.trace(P) / (D - (not arch.of.rms)))
    assert "Theorem 4.5" in str(spectra)


def test_scores_of_normed_queries_are_within_the_bound_of_the_gains(model):
    if not model.architecture.of.normed_scores:
        return
    bound = af.language.spectra(model).logit
    field = af.language.as_field(model, length=TOKENS)
    for layer in range(model.architecture.layers):
        scores = np.abs(field.logits(layer + 0.5, _tokens(model.architecture)))
        assert scores.max() <= bound[layer].max()
        assert scores.max() > 0.05 * bound[layer].max()


def test_a_gated_feed_forward_is_the_layer_s_own(tmp_path):
    config, tensors = family_checkpoint("llama", "fields", mlp_bias=True, rms_norm_eps=0.0)
    model = af.language.load(write_folder(tmp_path, config, tensors, dtype="F64"), dtype="float64")
    layers = af.language.as_layers(model, feed_forward=True, radius=RADIUS)
    z = _tokens(model.architecture)
    oracle = FamilyOracle(config, tensors)
    for layer in (0, 3):
        gain = tensors[f"layers.{layer}.post_attention_layernorm.weight"]
        expected = oracle.feed_forward(layer, np.sqrt(D) * gain * np.asarray(z))
        found = [layers.feed_forward.function(jnp.asarray(float(layer)), row) for row in z]
        np.testing.assert_allclose(RADIUS * np.stack(found), expected, atol=1e-10)


@pytest.mark.parametrize(
    ("family", "parts"),
    [
        ("bert", ("norms after attention have gains", "length")),
        pytest.param(
            "gemma3_text",
            ("rotations of base 1e+04, 1e+06", "Sandwiched", "queries and keys"),
            marks=pytest.mark.slow,
        ),
    ],
)
def test_what_sets_the_equations_apart_is_told(family, parts, tmp_path):
    config, tensors = family_checkpoint(family, "fields")
    model = af.language.load(write_folder(tmp_path, config, tensors, dtype="F64"), dtype="float64")
    ids = gpt_prompts(1, TOKENS)
    found = af.language.compare(model, ids)
    run = af.language.looped(model, ids, passes=1, feed_forward=False, progress=False)
    np.testing.assert_allclose(found.E["network"], run.E, atol=1e-12)
    for part in parts:
        assert part in str(found).replace("\n    ", " ")


def test_a_parallel_feed_forward_is_not_the_poster_s(as_user):
    model = af.language.random("pythia-14m", key=jax.random.key(0))
    with pytest.raises(ValueError, match="`feed_forward` must be False for this gpt_neox"):
        af.language.as_layers(model, feed_forward=True)
