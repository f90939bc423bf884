"""RMS norms as the paper's ellipsoid: gains in W, and the same flow as on the sphere."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import attnflow as af
from attnflow.language._layer import by_layer, through
from attnflow.language._modules import without_feed_forward
from tests.systems import family_checkpoint, gpt_prompts, write_folder

D, TOKENS = 32, 4


def _load(family, folder):
    config, tensors = family_checkpoint(family, "fields", rms_norm_eps=0.0)
    folder = write_folder(folder, config, tensors, dtype="F64")
    return af.language.load(folder, dtype="float64")


@pytest.fixture(
    scope="module", params=["llama", pytest.param("gemma3_text", marks=pytest.mark.slow)]
)
def model(request, tmp_path_factory):
    return _load(request.param, tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module")
def ids():
    return gpt_prompts(1, TOKENS)


def test_tokens_of_the_ellipsoid_are_what_the_first_attention_reads(model, ids):
    a = af.language.start(model, ids[0], manifold="ellipsoid")
    field = af.language.as_field(model, length=TOKENS, manifold="ellipsoid")
    gain, h = np.asarray(model.blocks.attention_norm.gain)[0], np.asarray(model.embed(ids[0]))
    read = h / np.sqrt(np.mean(h * h, axis=-1, keepdims=True)) * gain
    np.testing.assert_allclose(a, read, atol=1e-12)
    np.testing.assert_allclose(field.manifold.W, np.diag(1 / (D * gain**2)), rtol=1e-12)
    np.testing.assert_allclose(np.einsum("id,de,ie->i", a, field.manifold.W, a), 1.0, rtol=1e-12)


# Where scores are normed, as Gemma 3's are, P is no matrix.
@pytest.mark.parametrize("model", ["llama"], indirect=True)
def test_P_of_the_first_layer_is_the_bare_product_of_queries_and_keys(model):
    field = af.language.as_field(model, length=TOKENS, manifold="ellipsoid")
    attention, h, w = model.blocks.attention, 4, D // 4
    queries = np.asarray(attention.qkv[0, :, : h * w]).T.reshape(h, w, D)
    keys = np.asarray(attention.qkv[0, :, h * w : h * w + 2 * w]).T.reshape(2, w, D)
    for head in range(h):
        expected = w**-0.5 * queries[head].T @ keys[head // 2]
        np.testing.assert_allclose(field.P(0.5)[head], expected, atol=1e-12)


def test_a_block_adds_the_field_s_sum_on_the_ellipsoid_too(model, ids):
    arch, radius = model.architecture, 1.7
    field = af.language.as_field(model, length=TOKENS, radius=radius, manifold="ellipsoid")
    y = af.language.start(model, ids[0])
    blocks = without_feed_forward(model.blocks)

    @eqx.filter_jit
    def both(field, blocks, layer):
        t, half = layer + 0.5, jnp.sqrt(D) * blocks.attention_norm.gain[0]
        a = y * half[None]
        added = field.normalisation.layer(field.manifold, t, a, field.total(t, a))
        block, place = jax.tree.map(lambda x: x[layer], (blocks, by_layer(arch, y.dtype)))
        real = (through(arch, block, place, radius * y[None])[0] - radius * y) / radius
        return added / half[None], real

    for layer in (0, 2):
        added, real = both(field, blocks, jnp.asarray(layer))
        np.testing.assert_allclose(added, real, atol=1e-9)


def test_the_equations_give_the_same_E_on_both_manifolds(model, ids):
    feed_forward = not model.architecture.of.sandwiched
    sphere, ellipsoid = (
        af.language.compare(model, ids, feed_forward=feed_forward, manifold=manifold)
        for manifold in ("sphere", "ellipsoid")
    )
    np.testing.assert_array_equal(sphere.E["network"], ellipsoid.E["network"])
    np.testing.assert_allclose(ellipsoid.E["eq. (1)"], sphere.E["eq. (1)"], atol=1e-10)
    np.testing.assert_allclose(ellipsoid.E["eq. (6)"], sphere.E["eq. (6)"], atol=1e-6)


def test_norms_with_a_mean_and_gains_of_zero_have_no_ellipsoid(model, ids):
    gpt2 = af.language.Architecture("gpt2", 97, 16, 32, 2, 4, 48)
    other = af.language.random(gpt2, key=jax.random.key(0))
    with pytest.raises(ValueError, match="needs RMS norms, .* got a gpt2"):
        af.language.as_field(other, manifold="ellipsoid")
    flat = eqx.tree_at(
        lambda m: m.blocks.attention_norm.gain, model, replace_fn=lambda g: g.at[0, 5].set(0.0)
    )
    with pytest.raises(ValueError, match="gains that are not zero; the first layer's is at 5"):
        af.language.start(flat, ids[0], manifold="ellipsoid")
    with pytest.raises(ValueError, match="`manifold` must be"):
        af.language.compare(model, ids, manifold="torus")
