"""Bad folders of every family are refused in one line that names the file, what is wrong and what is allowed."""

import json

import equinox as eqx
import jax
import numpy as np
import pytest

import attnflow as af
from tests.systems import family_checkpoint, refused_with, write_folder

SCALED = {"rope_type": "llama3", "factor": 8.0}
BAD_CONFIG = [
    ("llama", {"num_attention_heads": 5}, ("'num_attention_heads'", "5 and 32")),
    ("llama", {"num_key_value_heads": 3}, ("'num_key_value_heads'", "3 and 4")),
    ("llama", {"rope_scaling": SCALED}, ("'rope_scaling'", "'default'", "'llama3'")),
    ("llama", {"rope_scaling": {"type": "linear"}}, ("'rope_scaling'", "'linear'")),
    ("llama", {"rope_parameters": SCALED}, ("'rope_parameters'", "'llama3'")),
    ("llama", {"rope_scaling": 3}, ("'rope_scaling'", "got 3")),
    ("llama", {"rope_theta": -1}, ("'rope_theta'", "-1")),
    ("llama", {"rope_theta": "big"}, ("'rope_theta'", "'big'")),
    ("llama", {"hidden_act": "gelu_12"}, ("`activation`", "'gelu_12'")),
    ("llama", {"head_dim": 7}, ("`rotated`", "got 7")),
    ("llama", {"head_dim": 0}, ("`head_dim`", "got 0")),
    ("llama", {"rms_norm_eps": "small"}, ("`epsilon`", "'small'")),
    ("mistral", {"sliding_window": "far"}, ("'sliding_window'", "'far'")),
    ("mistral", {"sliding_window": 0}, ("'sliding_window'", "got 0")),
    ("qwen2", {"layer_types": ["full_attention"]}, ("'layer_types'", "4", "got 1")),
    ("qwen2", {"layer_types": ["linear_attention"] * 4}, ("'layer_types'", "'linear_attention'")),
    ("qwen3", {"num_hidden_layers": 0}, ("`num_hidden_layers`", "got 0")),
    ("gemma3_text", {"attn_logit_softcapping": 50.0}, ("'attn_logit_softcapping'", "50.0")),
    ("gemma3_text", {"use_bidirectional_attention": True}, ("'use_bidirectional_attention'",)),
    ("gemma3_text", {"query_pre_attn_scalar": 0}, ("'query_pre_attn_scalar'", "got 0")),
    ("gpt_neox", {"rotary_pct": 1.5}, ("'rotary_pct'", "1.5")),
    ("gpt_neox", {"rotary_pct": 0.4}, ("'rotary_pct'", "which is 3")),
    ("gpt_neox", {"num_attention_heads": 5}, ("'num_attention_heads'", "5 and 32")),
    ("bert", {"is_decoder": True}, ("'is_decoder'", "encoder")),
    ("bert", {"position_embedding_type": "relative_key"}, ("'position_embedding_type'",)),
    ("bert", {"hidden_size": 30}, ("'num_attention_heads'", "4 and 30")),
    ("distilbert", {"sinusoidal_pos_embds": True}, ("'sinusoidal_pos_embds'",)),
    ("distilbert", {"n_heads": 5}, ("'n_heads'", "5 and 32")),
    (
        "llama",
        {"quantization_config": {"quant_method": "fp8"}},
        ("'quantization_config'", "'fp8'", "GGUF"),
    ),
    ("bert", {"quantization_config": 4}, ("'quantization_config'", "by 4")),
    ("albert", {"inner_group_num": 2}, ("'inner_group_num'", "got 2")),
    ("albert", {"num_hidden_groups": 3}, ("'num_hidden_groups'", "3 and 4")),
]


@pytest.mark.parametrize(
    ("family", "entries", "parts"), BAD_CONFIG, ids=[f"{f}: {e}" for f, e, _ in BAD_CONFIG]
)
def test_entries_that_are_not_built_or_do_not_fit_arerefused_with(
    family, entries, parts, as_user, tmp_path
):
    config, _ = family_checkpoint(family, "bad")
    (tmp_path / "config.json").write_text(json.dumps({**config, **entries}))
    refused_with(lambda: af.language.read_config(tmp_path), tmp_path / "config.json", *parts)


@pytest.mark.parametrize(
    "entries",
    [
        {"use_cache": False, "pretraining_tp": 2, "attention_dropout": 0.5, "torch_dtype": "half"},
        {"rope_scaling": None, "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0}},
        {"rope_scaling": {"type": "default"}, "architectures": ["LlamaForCausalLM"]},
    ],
    ids=str,
)
def test_entries_that_change_no_number_change_nothing(entries, tmp_path):
    config, _ = family_checkpoint("llama", "bad")
    (tmp_path / "config.json").write_text(json.dumps(config))
    plain = af.language.read_config(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({**config, **entries}))
    assert af.language.read_config(tmp_path) == plain


def test_a_model_of_pictures_and_text_is_read_by_its_text(tmp_path):
    config, _ = family_checkpoint("gemma3_text", "bad")
    (tmp_path / "config.json").write_text(json.dumps(config))
    plain = af.language.read_config(tmp_path)
    both = {"model_type": "gemma3", "text_config": config, "vision_config": {}}
    (tmp_path / "config.json").write_text(json.dumps(both))
    assert af.language.read_config(tmp_path) == plain


A_TENSOR = {
    "llama": "layers.1.self_attn.k_proj.weight",
    "mistral": "layers.2.mlp.gate_proj.weight",
    "qwen2": "layers.0.self_attn.q_proj.bias",
    "qwen3": "layers.3.self_attn.q_norm.weight",
    "gemma3_text": "layers.1.pre_feedforward_layernorm.weight",
    "gpt_neox": "layers.2.attention.query_key_value.weight",
    "bert": "encoder.layer.1.attention.output.LayerNorm.bias",
    "distilbert": "transformer.layer.1.attention.q_lin.weight",
    "albert": "encoder.albert_layer_groups.1.albert_layers.0.ffn.weight",
}


@pytest.mark.parametrize("family", A_TENSOR)
def test_tensors_missing_of_another_shape_or_too_many_are_named(family, as_user, tmp_path):
    name = A_TENSOR[family]
    config, tensors = family_checkpoint(family, "bad")
    load = lambda: af.language.load(tmp_path)  # noqa: E731
    write_folder(tmp_path, config, {n: x for n, x in tensors.items() if n != name})
    refused_with(load, tmp_path, f"no tensor '{name}'")
    write_folder(tmp_path, config, tensors | {name: tensors[name][..., :-1]})
    refused_with(load, tmp_path / "model.safetensors", f"'{name}'", "must have shape")
    stranger = name.rpartition(".")[0] + "_too.weight"
    write_folder(tmp_path, config, tensors | {stranger: np.ones(3)})
    refused_with(load, tmp_path, f"'{stranger}'", f"a {family} by its config.json has not")
    beyond = name.replace(next(c for c in name if c.isdigit()), "9", 1)
    write_folder(tmp_path, config, tensors | {beyond: tensors[name]})
    refused_with(load, tmp_path, f"'{beyond}'", "config.json says")


def test_a_config_that_contradicts_the_tensors_isrefused_with(as_user, tmp_path):
    config, tensors = family_checkpoint("llama", "bad", attention_bias=True)
    write_folder(tmp_path, {**config, "attention_bias": False}, tensors)
    refused_with(lambda: af.language.load(tmp_path), "_proj.bias'", "has not")
    write_folder(tmp_path, {**config, "num_key_value_heads": 4}, tensors)
    refused_with(lambda: af.language.load(tmp_path), "k_proj.weight'", "(32, 32)", "(16, 32)")


@pytest.mark.parametrize(
    ("family", "prefix", "head"),
    [
        ("llama", "model.", "lm_head.weight"),
        ("gemma3_text", "language_model.model.", None),
        ("gpt_neox", "gpt_neox.", "embed_out.weight"),
        ("bert", "bert.", "cls.predictions.bias"),
        ("albert", "albert.", "predictions.bias"),
    ],
)
def test_prefixes_heads_and_buffers_change_nothing(family, prefix, head, tmp_path):
    config, tensors = family_checkpoint(family, "prefix")
    plain = af.language.load(write_folder(tmp_path / "plain", config, tensors))
    longer = {prefix + name: x for name, x in tensors.items()}
    if head:
        longer[head] = np.ones((97, 3))
    if family == "gpt_neox":
        longer["gpt_neox.layers.0.attention.rotary_emb.inv_freq"] = np.ones(2)
        longer["gpt_neox.layers.0.attention.bias"] = np.ones((1, 1, 4, 4))
    if family == "bert":
        longer = {n.replace("LayerNorm.weight", "LayerNorm.gamma"): x for n, x in longer.items()}
        longer = {n.replace("LayerNorm.bias", "LayerNorm.beta"): x for n, x in longer.items()}
        longer["bert.embeddings.position_ids"] = np.arange(16.0)
        longer["bert.pooler.dense.weight"] = np.ones((32, 32))
    other = af.language.load(write_folder(tmp_path / "longer", config, longer))
    assert eqx.tree_equal(jax.tree.map(np.asarray, other), jax.tree.map(np.asarray, plain)) is True


@pytest.mark.parametrize(
    ("name", "billions"),
    [
        ("llama-2-7b", 6.738),
        ("mistral-7b", 7.242),
        ("bert-base", 0.1089),
        ("albert-base-v2", 0.0111),
        ("pythia-160m", 0.1237),
        ("qwen3-0.6b", 0.5960),
    ],
)
def test_published_sizes_have_their_number_of_parameters(name, billions):
    arch = af.language.architecture(name)
    head = {"llama-2-7b", "mistral-7b"}  # untied, and counted in what is published
    count = arch.parameters + (arch.vocabulary * arch.dim if name in head else 0)
    assert count / 1e9 == pytest.approx(billions, rel=2e-3)
