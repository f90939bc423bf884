"""The law of random weights by its statistics, and that loops run on the weights that `random` gives."""

import dataclasses
import itertools
import math

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from scipy import stats

import attnflow as af
from attnflow.core.machine import free_memory
from attnflow.language import Architecture, _draw, _looped, _memory
from attnflow.language._draw import draw_block, token_rows
from tests.systems import gpt_prompts

LAYERS, SIGMA = 3, 0.2
GPT2 = Architecture("gpt2", 97, 16, 32, LAYERS, 4, 128, deviation=SIGMA)
NEO = dataclasses.replace(GPT2, family="gpt_neo", scaled=False, windows=(None, 4, None))
FAMILIES = {"gpt2": GPT2, "gpt_neo": NEO}
KEY, IDS = jr.key(5), gpt_prompts()
FIVE = 5  # standard errors


def _drawn(model):
    """The random arrays by name."""
    a, f = model.blocks.attention, model.blocks.feed_forward
    return {
        "tokens": model.tokens,
        "positions": model.positions,
        "qkv": a.qkv,
        "out": a.out,
        "up": f.up,
        "down": f.down,
    }


def _flat(x):
    return np.asarray(x, np.float64).ravel()


@pytest.fixture(scope="module", params=FAMILIES)
def model(request):
    return af.language.random(FAMILIES[request.param], key=KEY)


@pytest.mark.parametrize("name", ["tokens", "positions", "qkv", "out", "up", "down"])
def test_matrices_and_embeddings_are_normal(model, name):
    factor = 1.0
    if model.architecture.family == "gpt2" and name in ("out", "down"):
        factor = (2 * LAYERS) ** -0.5  # what writes to the residual stream, in GPT-2 alone
    x = _flat(_drawn(model)[name]) / (SIGMA * factor)
    error = x.size**-0.5
    assert abs(x.mean()) < FIVE * error
    assert abs(np.mean(x**2) - 1) < FIVE * 2**0.5 * error
    assert abs(stats.skew(x)) < FIVE * 6**0.5 * error
    assert abs(stats.kurtosis(x)) < FIVE * 24**0.5 * error
    assert stats.kstest(x, "norm").pvalue > 1e-3


def test_biases_are_zero_and_norms_are_one(model):
    b = model.blocks
    biases = [b.attention.out_bias, b.feed_forward.up_bias, b.feed_forward.down_bias]
    if model.architecture.family == "gpt2":
        biases.append(b.attention.qkv_bias)
    else:
        assert b.attention.qkv_bias is None
    norms = [b.attention_norm, b.feed_forward_norm, model.norm]
    for zero in [*biases, *(norm.bias for norm in norms)]:
        np.testing.assert_array_equal(zero, np.zeros(zero.shape))
    for norm in norms:
        np.testing.assert_array_equal(norm.gain, np.ones(norm.gain.shape))


def test_the_model_counts_its_parameters(model):
    leaves = jax.tree.leaves(model)
    assert model.architecture.parameters == sum(leaf.size for leaf in leaves)


@pytest.mark.parametrize(
    ("name", "billions"), [("gpt2-xl", 1.5576), ("gpt-neo-2.7B", 2.6513), ("gpt2", 0.12444)]
)
def test_published_sizes_have_their_number_of_parameters(name, billions):
    assert af.language.architecture(name).parameters / 1e9 == pytest.approx(billions, abs=5e-5)


def _correlations(arrays):
    """Between all pairs of arrays, as long as the shorter, in standard errors."""
    for (a, x), (b, y) in itertools.combinations(arrays.items(), 2):
        n = min(x.size, y.size)
        yield f"{a}, {b}", abs(np.corrcoef(x[:n], y[:n])[0, 1]) * n**0.5


def test_layers_kinds_and_rows_are_independent_of_each_other(model):
    arrays = {}
    for name, x in _drawn(model).items():
        if name in ("tokens", "positions"):
            arrays |= {name: _flat(x), f"{name} one row on": _flat(x[1:])}
        else:
            arrays |= {f"{name} {layer}": _flat(x[layer]) for layer in range(LAYERS)}
    for pair, errors in _correlations(arrays):
        assert errors < FIVE, pair


def test_passes_and_keys_are_independent_of_each_other():
    arrays = {}
    draw = jax.jit(draw_block, static_argnums=(0, 4, 5))
    for seed, number in itertools.product(range(2), range(3)):
        for layer in range(LAYERS):
            places = (jnp.asarray(number), jnp.asarray(layer))
            block = draw(GPT2, jr.key(seed), *places, False, jnp.dtype("float32"))
            arrays[f"key {seed} pass {number} layer {layer}"] = _flat(block.attention.qkv)
    for pair, errors in _correlations(arrays):
        assert errors < FIVE, pair


def test_a_key_gives_the_same_weights_each_time_and_another_key_others(model):
    arch = model.architecture
    again, other = (_drawn(af.language.random(arch, key=key)) for key in (KEY, jr.key(6)))
    for name, x in _drawn(model).items():
        np.testing.assert_array_equal(x, again[name])
        assert np.corrcoef(_flat(x), _flat(other[name]))[0, 1] < FIVE * x.size**-0.5


@pytest.mark.parametrize("dtype", ["float64", "bfloat16"])
def test_another_dtype_rounds_the_same_numbers(dtype):
    found = af.language.random(GPT2, key=KEY, dtype=dtype)
    assert found.dtype == dtype
    assert {leaf.dtype.name for leaf in jax.tree.leaves(found)} == {dtype}
    for name, x in _drawn(af.language.random(GPT2, key=KEY)).items():
        eps = max(float(jnp.finfo(t).eps) for t in (dtype, "float32"))
        tiny = float(jnp.finfo(dtype).smallest_subnormal)
        np.testing.assert_allclose(_flat(_drawn(found)[name]), _flat(x), rtol=eps, atol=tiny)


def _a_layer_and_rows():
    @jax.jit
    def draw(key):
        block = draw_block(GPT2, key, 1, 2, False, jnp.dtype("float32"))
        return block.attention.qkv, token_rows(GPT2, key, jnp.arange(97))

    return draw(KEY)


def test_weights_are_the_same_with_64_bits_on_and_off():
    with_them = _a_layer_and_rows()
    jax.config.update("jax_enable_x64", False)
    try:
        without = _a_layer_and_rows()
    finally:
        jax.config.update("jax_enable_x64", True)
    for x, y in zip(with_them, without, strict=True):
        assert x.dtype == y.dtype == jnp.float32
        np.testing.assert_array_equal(x, y)


def test_the_law_of_a_name_of_a_size_is_that_of_hugging_face():
    arch = af.language.architecture("gpt2-xl")
    assert arch.deviation == 0.02
    assert arch.output_deviation == pytest.approx(0.02 / 96**0.5)
    assert af.language.architecture("gpt-neo-2.7B").output_deviation == 0.02


# === loops


def _E(model, *, passes=2, **options):
    return af.language.looped(model, IDS, passes=passes, progress=False, **options).E


@pytest.mark.slow
def test_fixed_weights_are_those_that_random_gives(model):
    feed_forward = model.architecture.family == "gpt2"
    expected = _E(model, weights="trained", feed_forward=feed_forward)
    for hold in (True, False):
        found = _E(
            model.architecture, weights="fixed", key=KEY, feed_forward=feed_forward, hold=hold
        )
        np.testing.assert_allclose(found, expected, rtol=0, atol=2e-6)
    assert np.ptp(expected) > 0.1


def test_the_first_pass_of_redrawn_weights_is_that_of_fixed_ones_and_the_second_is_not():
    fixed = _E(GPT2, weights="fixed", key=KEY, hold=False)
    redrawn = _E(GPT2, weights="redrawn", key=KEY)
    np.testing.assert_allclose(redrawn[:, : 1 + LAYERS], fixed[:, : 1 + LAYERS], rtol=0, atol=2e-6)
    assert np.abs(redrawn[:, 1 + LAYERS :] - fixed[:, 1 + LAYERS :]).min(axis=1).min() > 1e-4


@pytest.mark.parametrize(("weights", "chunk"), [("fixed", 1), ("redrawn", 2)])
def test_misalignment_does_not_depend_on_how_prompts_are_chunked(weights, chunk):
    found = _E(GPT2, weights=weights, key=KEY, chunk=chunk)
    expected = _E(GPT2, weights=weights, key=KEY, chunk=3)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def test_what_is_no_key_is_refused(as_user):
    with pytest.raises(ValueError, match=r"`key` must be a key of jax.random.key; got int\."):
        af.language.random(GPT2, key=0)


def test_what_is_no_model_is_refused(as_user):
    with pytest.raises(ValueError, match=r"`model` must be a folder or one of gpt2, .*got 'gpt5'"):
        af.language.random("gpt5", key=KEY)
    with pytest.raises(ValueError, match=r"`model` must be a Transformer, .*got int"):
        af.language.random(3, key=KEY)


def test_whole_number_weights_are_refused(as_user):
    with pytest.raises(ValueError, match="`dtype` must be one of float64, .*got 'int32'"):
        af.language.random(GPT2, key=KEY, dtype="int32")


def test_float64_weights_need_64_bits(x64_off):
    with pytest.raises(ValueError, match="`dtype` 'float64' needs 64-bit numbers"):
        af.language.random(GPT2, key=KEY, dtype="float64")


def test_what_does_not_fit_into_memory_is_refused_before_it_is_drawn(monkeypatch):
    monkeypatch.setattr(_memory, "free_memory", lambda: 10**9)
    with pytest.raises(ValueError, match=r"25\.9 GB in float32, and 1\.0 GB of memory are free"):
        af.language.looped("llama-2-7b", [[1, 2]], passes=1, progress=False)
    with pytest.raises(ValueError, match=r"does not fit: its weights are 26\.4 GB in float32"):
        af.language.random("llama-2-7b", key=jr.key(0))
    small = af.language.architecture("bert-base")
    every = sum(math.prod(shape) for shape in small.shapes.values())
    assert _memory.weight_bytes(small, "float16", True, blocks_alone=False) == 2 * every
    model = af.language.random(GPT2, key=jr.key(0))
    leaves = jax.tree.leaves(model.blocks.attention) + jax.tree.leaves(model.blocks.attention_norm)
    held = sum(x.size for x in leaves)
    assert _memory.weight_bytes(GPT2, "float32", False, blocks_alone=True) == 4 * held


def test_every_size_by_name_is_drawn_as_it_is_counted_or_refused_before(monkeypatch):
    """No weight is made here: shapes alone."""
    monkeypatch.setattr(_memory, "free_memory", lambda: 10**6)
    for module, name in ((_looped, "held_blocks"), (_draw, "held_blocks"), (_draw, "_embeddings")):
        monkeypatch.setattr(module, name, lambda *_: pytest.fail("drawn"))
    for name in af.language.SIZES:
        with pytest.raises(ValueError, match=r"does not fit: .* GB .*free\. Draw .*--no-hold") as e:
            af.language.looped(name, [[1, 2]], passes=1, progress=False)
        assert "\n" not in str(e.value)
        with pytest.raises(ValueError, match=r"does not fit: .*smaller dtype; .*--no-hold"):
            af.language.random(name, key=KEY)
    # A pass that draws each layer in its turn holds one of these at a time.
    for name, arch in {arch.family: arch for arch in af.language.SIZES.values()}.items():
        block = jax.eval_shape(lambda k, a=arch: draw_block(a, k, 0, 0, True, jnp.float32), KEY)
        drawn = sum(math.prod(x.shape) for x in jax.tree.leaves(block))
        held = _memory.weight_bytes(arch, "float32", True, blocks_alone=True)
        assert 4 * arch.own_layers * drawn == held, name


def test_the_memory_that_is_free_is_known_on_linux():
    free = free_memory()
    assert free is None or 0 <= free < 2**50
