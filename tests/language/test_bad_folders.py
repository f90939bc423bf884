"""Folders that are no model are refused in one line that names the file and what is wrong in it."""

import dataclasses
import json

import numpy as np
import pytest

import attnflow as af
from attnflow.language import Architecture
from tests.systems import gpt_checkpoint, refused_with, write_folder

CONFIG, TENSORS = gpt_checkpoint("gpt2", "load")
NEO_CONFIG, _ = gpt_checkpoint("gpt_neo", "load")


def _config(folder, entries):
    (folder / "config.json").write_text(json.dumps(entries))
    return folder


def test_a_folder_that_is_not_there_isrefused_with(as_user, tmp_path):
    refused_with(lambda: af.language.load(tmp_path / "none"), "`folder`", tmp_path / "none")
    refused_with(lambda: af.language.load(tmp_path), tmp_path, "has no config.json")


@pytest.mark.parametrize(
    ("text", "part"),
    [("{", "as JSON"), ("", "as JSON"), ("\x00\xff", "as JSON"), ("[1]", "got a list")],
)
def test_a_config_that_is_no_json_object_isrefused_with(text, part, as_user, tmp_path):
    (tmp_path / "config.json").write_bytes(text.encode("latin-1"))
    refused_with(lambda: af.language.load(tmp_path), tmp_path / "config.json", part)


BAD_CONFIG = [
    ("gpt2", {"model_type": "opt"}, ("'model_type'", "'opt'", "'gpt2', 'gpt_neo'")),
    ("gpt2", {"model_type": ["gpt2"]}, ("'model_type'", "['gpt2']")),
    ("gpt2", {"model_type": None}, ("'model_type'", "None")),
    ("gpt2", {"activation_function": "gelu_12"}, ("`activation`", "'gelu_12'", "gelu_new")),
    ("gpt2", {"activation_function": ["gelu"]}, ("`activation`", "['gelu']")),
    ("gpt2", {"add_cross_attention": True}, ("'add_cross_attention'",)),
    ("gpt2", {"n_head": 5}, ("n_head", "n_embd", "5", "32")),
    ("gpt2", {"n_embd": "32"}, ("`n_embd`", "'32'")),
    ("gpt2", {"n_embd": None, "hidden_size": 1.5}, ("`hidden_size`", "1.5")),
    ("gpt2", {"n_layer": 0}, ("`n_layer`", "got 0")),
    ("gpt2", {"n_head": True}, ("`n_head`", "True")),
    ("gpt2", {"n_inner": -1}, ("`n_inner`", "-1")),
    ("gpt2", {"vocab_size": 97.0}, ("`vocab_size`", "97.0")),
    ("gpt2", {"layer_norm_epsilon": -1e-5}, ("`epsilon`", "-1e-05")),
    ("gpt2", {"layer_norm_epsilon": float("nan")}, ("`epsilon`", "nan")),
    ("gpt2", {"initializer_range": "wide"}, ("`deviation`", "'wide'")),
    ("gpt_neo", {"num_heads": 5}, ("num_heads", "hidden_size", "5", "32")),
    ("gpt_neo", {"attention_types": [[["global"], 2]]}, ("'attention_types'", "3", "got 2")),
    ("gpt_neo", {"attention_types": None}, ("'attention_types'", "3", "got 24")),
    ("gpt_neo", {"attention_types": [[["global", "far"], 1]]}, ("'attention_types'", "'far'")),
    ("gpt_neo", {"attention_types": [["global"]]}, ("'attention_types'", '[["global"]]')),
    ("gpt_neo", {"attention_types": 3}, ("'attention_types'", "got 3")),
    ("gpt_neo", {"attention_types": None, "attention_layers": 3}, ("'attention_types'",)),
    ("gpt_neo", {"window_size": 0}, ("`window_size`", "got 0")),
    ("gpt_neo", {"intermediate_size": "wide"}, ("`intermediate_size`", "'wide'")),
]


@pytest.mark.parametrize(
    ("family", "entries", "parts"), BAD_CONFIG, ids=[str(entries) for _, entries, _ in BAD_CONFIG]
)
def test_bad_entries_of_a_config_arerefused_with(family, entries, parts, as_user, tmp_path):
    config = CONFIG if family == "gpt2" else NEO_CONFIG
    folder = _config(tmp_path, {**config, **entries})
    refused_with(lambda: af.language.load(folder), folder / "config.json", *parts)


BAD_ARCHITECTURE = [
    ({"heads": 5}, "`dim` must be a multiple of `heads`; got 32 and 5"),
    ({"layers": 1.0}, "`layers` must be a positive integer; got 1.0"),
    ({"family": "opt"}, "; got 'opt'"),
    ({"windows": (None, 4)}, "`windows` must be one number or None for each of 3 layers"),
    ({"windows": (None, 0, 4)}, "`windows` must be one number or None for each of 3 layers"),
]


@pytest.mark.parametrize(("entries", "part"), BAD_ARCHITECTURE, ids=str)
def test_bad_architectures_arerefused_with(entries, part, as_user):
    good = Architecture("gpt2", 97, 16, 32, 3, 4, 128)
    refused_with(lambda: dataclasses.replace(good, **entries), part)


def test_a_folder_without_weights_isrefused_with(as_user, tmp_path):
    folder = _config(tmp_path, CONFIG)
    refused_with(lambda: af.language.load(folder), folder, "neither model.safetensors nor")


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt"])
def test_a_pickle_is_never_read(name, as_user, tmp_path):
    folder = _config(tmp_path, CONFIG)
    (folder / name).write_bytes(b"cos\nsystem\n(S'exit 1'\ntR.")
    refused_with(lambda: af.language.load(folder), folder, name, "a pickle, which is never read")


@pytest.mark.parametrize("kept", [0, 4, 100, 50_000])
def test_a_file_that_is_cut_short_isrefused_with(kept, as_user, tmp_path):
    path = write_folder(tmp_path, CONFIG, TENSORS) / "model.safetensors"
    path.write_bytes(path.read_bytes()[:kept])
    refused_with(lambda: af.language.load(tmp_path), path, "cut short")


def test_a_file_of_something_else_isrefused_with(as_user, tmp_path):
    path = write_folder(tmp_path, CONFIG, TENSORS) / "model.safetensors"
    path.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n")
    refused_with(lambda: af.language.load(tmp_path), path, "cannot be read as safetensors")


def test_a_missing_shard_isrefused_with(as_user, tmp_path):
    shard = write_folder(tmp_path, CONFIG, TENSORS, shards=3) / "model-00002-of-00003.safetensors"
    shard.unlink()
    refused_with(lambda: af.language.load(tmp_path), shard, "is missing", "index.json names it")


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"weight_map": 3}', '{"weight_map": {"a": 1}}'])
def test_an_index_without_a_map_isrefused_with(text, as_user, tmp_path):
    index = write_folder(tmp_path, CONFIG, TENSORS, shards=2) / "model.safetensors.index.json"
    index.write_text(text)
    refused_with(lambda: af.language.load(tmp_path), index, "'weight_map'")


def test_a_tensor_that_is_not_in_the_shard_named_isrefused_with(as_user, tmp_path):
    index = write_folder(tmp_path, CONFIG, TENSORS, shards=2) / "model.safetensors.index.json"
    entries = json.loads(index.read_text())
    files = sorted(set(entries["weight_map"].values()))
    wrong = next(file for file in files if file != entries["weight_map"]["ln_f.bias"])
    entries["weight_map"]["ln_f.bias"] = wrong
    index.write_text(json.dumps(entries))
    refused_with(lambda: af.language.load(tmp_path), tmp_path / wrong, "'ln_f.bias'")


def _changed(family, name, change):
    config, tensors = gpt_checkpoint(family, "load")
    tensors[name] = change(tensors[name])
    return config, tensors


@pytest.mark.parametrize(
    ("family", "name"),
    [("gpt2", "h.2.attn.c_attn.bias"), ("gpt_neo", "h.1.attn.attention.q_proj.weight")],
)
def test_a_missing_tensor_isrefused_with(family, name, as_user, tmp_path):
    config, tensors = gpt_checkpoint(family, "load")
    del tensors[name]
    write_folder(tmp_path, config, tensors)
    refused_with(lambda: af.language.load(tmp_path), tmp_path, f"no tensor '{name}'", "config.json")


@pytest.mark.parametrize("prefix", [False, True])
@pytest.mark.parametrize(
    ("family", "name", "shape"),
    [
        ("gpt2", "h.1.attn.c_attn.weight", (32, 96)),  # as GPT-Neo would keep it: transposed
        ("gpt_neo", "h.1.mlp.c_fc.weight", (128, 32)),
        ("gpt2", "wte.weight", (97, 32)),
    ],
)
def test_a_wrong_shape_isrefused_with(family, name, shape, prefix, as_user, tmp_path):
    write_folder(tmp_path, *_changed(family, name, np.transpose), prefix=prefix)
    full = f"'transformer.{name}'" if prefix else f"'{name}'"
    parts = (tmp_path / "model.safetensors", full, shape, shape[::-1])
    refused_with(lambda: af.language.load(tmp_path), *parts)


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_arerefused_with(number, as_user, tmp_path):
    def spoilt(x):
        x = x.copy()
        x[3, 5] = number
        return x

    name = "h.2.mlp.c_fc.weight"
    write_folder(tmp_path, *_changed("gpt2", name, spoilt))
    parts = (tmp_path / "model.safetensors", f"'{name}'", "must be finite")
    refused_with(lambda: af.language.load(tmp_path), *parts)
    assert af.language.load(tmp_path, feed_forward=False).blocks.feed_forward is None


def test_numbers_too_large_for_the_dtype_arerefused_with(as_user, tmp_path):
    write_folder(tmp_path, *_changed("gpt2", "ln_f.bias", lambda x: 1e5 + x))
    parts = ("'ln_f.bias'", "must be finite as float16")
    refused_with(lambda: af.language.load(tmp_path, dtype="float16"), *parts)
    assert float(af.language.load(tmp_path).norm.bias[0]) > 9e4


def test_whole_number_weights_arerefused_with(as_user, tmp_path):
    from safetensors.numpy import save_file

    folder = _config(tmp_path, CONFIG)
    tensors = {**TENSORS, "wpe.weight": np.ones((16, 32), np.int32)}
    save_file(tensors, folder / "model.safetensors")
    parts = (folder / "model.safetensors", "'wpe.weight'", "F32", "got I32")
    refused_with(lambda: af.language.load(folder), *parts)


def test_more_layers_in_the_file_than_in_the_config_arerefused_with(as_user, tmp_path):
    write_folder(tmp_path, {**CONFIG, "n_layer": 2}, TENSORS)
    refused_with(lambda: af.language.load(tmp_path), tmp_path, "'h.2.", "config.json says 2 layers")


def test_more_layers_in_the_config_than_in_the_file_arerefused_with(as_user, tmp_path):
    write_folder(tmp_path, {**CONFIG, "n_layer": 4}, TENSORS)
    refused_with(lambda: af.language.load(tmp_path), tmp_path, "no tensor 'h.3.")
