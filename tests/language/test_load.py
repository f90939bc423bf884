"""Reading folders: files and shards, dtypes, names of tensors, aliases of entries of a config."""

import json

import jax
import numpy as np
import pytest

import attnflow as af
from attnflow.language import Architecture, read_config
from tests.systems import gpt_checkpoint, gpt_prompts, write_folder

FAMILIES = ["gpt2", "gpt_neo"]
CONFIG, TENSORS = gpt_checkpoint("gpt2", "load")
NEO_CONFIG, _ = gpt_checkpoint("gpt_neo", "load")
IDS = gpt_prompts()


def _same(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


@pytest.fixture(scope="module", params=FAMILIES)
def plain(request, tmp_path_factory):
    config, tensors = gpt_checkpoint(request.param, "load")
    folder = write_folder(tmp_path_factory.mktemp("plain"), config, tensors)
    return config, tensors, af.language.load(folder)


# === what is read


def test_tensors_come_where_they_belong(plain):
    config, tensors, model = plain
    single = {name: x.astype(np.float32) for name, x in tensors.items()}
    np.testing.assert_array_equal(model.tokens, single["wte.weight"])
    np.testing.assert_array_equal(model.positions, single["wpe.weight"])
    np.testing.assert_array_equal(model.norm.gain, single["ln_f.weight"])
    attention = model.blocks.attention
    for layer in range(3):
        at = f"h.{layer}.attn"
        if config["model_type"] == "gpt2":
            np.testing.assert_array_equal(attention.qkv[layer], single[f"{at}.c_attn.weight"])
            np.testing.assert_array_equal(attention.out[layer], single[f"{at}.c_proj.weight"])
        else:
            k = single[f"{at}.attention.k_proj.weight"]
            np.testing.assert_array_equal(attention.qkv[layer, :, 32:64], k.T)
            out = single[f"{at}.attention.out_proj.weight"]
            np.testing.assert_array_equal(attention.out[layer], out.T)
            assert attention.qkv_bias is None


@pytest.mark.parametrize(
    "kind",
    [
        {"prefix": True},
        {"shards": 3},
        {"masks": True},
        {"prefix": True, "shards": 2, "masks": True},
    ],
    ids=str,
)
def test_prefixes_shards_and_masks_change_nothing(plain, kind, tmp_path):
    config, tensors, model = plain
    _same(af.language.load(write_folder(tmp_path, config, tensors, **kind)), model)


@pytest.mark.parametrize(("dtype", "bits"), [("F64", 24), ("F32", 24), ("F16", 11), ("BF16", 8)])
def test_stored_floats_are_read_within_their_rounding(dtype, bits, tmp_path):
    model = af.language.load(write_folder(tmp_path, CONFIG, TENSORS, dtype=dtype))
    assert model.dtype == "float32"
    found = np.asarray(model.blocks.attention.out[1])
    # Below the least normal half, 6e-5, halves are spaced by 6e-8.
    tolerance = {"rtol": 2.0**-bits, "atol": 3e-8 if dtype == "F16" else 0}
    np.testing.assert_allclose(found, TENSORS["h.1.attn.c_proj.weight"], **tolerance)


@pytest.mark.parametrize("dtype", ["float64", "bfloat16", "float16"])
def test_weights_are_of_the_dtype_asked_for(dtype, tmp_path):
    model = af.language.load(write_folder(tmp_path, CONFIG, TENSORS, dtype="F64"), dtype=dtype)
    assert {leaf.dtype.name for leaf in jax.tree.leaves(model)} == {dtype}
    expected = TENSORS["wte.weight"].astype(model.dtype)
    np.testing.assert_array_equal(np.asarray(model.tokens), expected)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_halves_give_nearly_the_same_hidden_states_in_single_precision(plain, dtype, tmp_path):
    config, tensors, model = plain
    half = af.language.load(write_folder(tmp_path, config, tensors), dtype=dtype)
    expected, found = np.asarray(model.hidden(IDS[0])), np.asarray(half.hidden(IDS[0]))
    assert found.dtype == np.float32
    error = np.abs(found - expected).max() / np.abs(expected).max()
    assert 1e-6 < error < {"bfloat16": 5e-2, "float16": 5e-3}[dtype]


def test_the_feed_forward_need_not_be_there_when_it_is_not_asked_for(plain, tmp_path):
    config, tensors, model = plain
    without = {n: x for n, x in tensors.items() if ".mlp." not in n and ".ln_2." not in n}
    folder = write_folder(tmp_path, config, without)
    part = af.language.load(folder, feed_forward=False)
    assert part.blocks.feed_forward is part.blocks.feed_forward_norm is None
    _same(part.blocks.attention, model.blocks.attention)
    np.testing.assert_allclose(
        part.hidden(IDS[0], feed_forward=False),
        model.hidden(IDS[0], feed_forward=False),
        rtol=1e-6,
    )
    with pytest.raises(ValueError, match="has no tensor 'h.0.mlp.c_fc.weight'"):
        af.language.load(folder)
    with pytest.raises(ValueError, match="`feed_forward` needs the feed-forward's weights"):
        part.hidden(IDS[0])


# === config.json


def _config(folder, entries):
    (folder / "config.json").write_text(json.dumps(entries))
    return folder


@pytest.mark.parametrize(
    "entries",
    [
        {"n_embd": 64, "n_layer": 2, "n_head": 8, "n_positions": 32},
        {
            "hidden_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 8,
            "max_position_embeddings": 32,
        },
    ],
)
def test_gpt2_sizes_have_two_names_each(entries, tmp_path):
    found = read_config(_config(tmp_path, {"model_type": "gpt2", **entries}))
    assert found == Architecture("gpt2", 50257, 32, 64, 2, 8, 256)


def test_gpt_neo_sizes_have_two_names_each(tmp_path):
    short = {"num_layers": 2, "num_heads": 8}
    long = {"num_hidden_layers": 2, "num_attention_heads": 8}
    shared = {"model_type": "gpt_neo", "hidden_size": 64, "attention_types": [[["global"], 2]]}
    one, other = (read_config(_config(tmp_path, {**shared, **names})) for names in (short, long))
    assert one == other == Architecture("gpt_neo", 50257, 2048, 64, 2, 8, 256, scaled=False)


@pytest.mark.parametrize(
    ("family", "size"), [("gpt2", "gpt2"), ("gpt_neo", "gpt-neo-1.3B")], ids=FAMILIES
)
def test_a_config_without_sizes_is_the_published_one(family, size, tmp_path):
    assert read_config(_config(tmp_path, {"model_type": family})) == af.language.architecture(size)


def test_every_option_of_gpt2_is_read(tmp_path):
    entries = {
        "n_inner": 48,
        "activation_function": "relu",
        "layer_norm_epsilon": 1e-3,
        "scale_attn_weights": False,
        "scale_attn_by_inverse_layer_idx": True,
        "initializer_range": 0.1,
        "vocab_size": 50,
    }
    found = read_config(_config(tmp_path, {**CONFIG, **entries}))
    assert (found.inner, found.activation, found.epsilon) == (48, "relu", 1e-3)
    assert (found.deviation, found.vocabulary) == (0.1, 50)
    np.testing.assert_allclose(found.scales, [1, 1 / 2, 1 / 3])


def test_layers_of_gpt_neo_alternate_as_listed(tmp_path):
    types = [[["global", "local"], 2], [["local"], 1], [["global"], 2]]
    entries = {**NEO_CONFIG, "num_layers": 7, "attention_types": types, "window_size": 9}
    found = read_config(_config(tmp_path, entries))
    assert found.windows == (None, 9, None, 9, 9, None, None)
    assert found.scales == (1.0,) * 7


def test_layers_of_gpt_neo_may_be_written_out(tmp_path):
    entries = {n: x for n, x in NEO_CONFIG.items() if n != "attention_types"}
    found = read_config(_config(tmp_path, {**entries, "attention_layers": ["local"] * 3}))
    assert found.windows == (4, 4, 4)


def test_published_gpt_neo_sees_256_tokens_in_every_second_layer():
    assert af.language.architecture("gpt-neo-2.7B").windows == (None, 256) * 16
