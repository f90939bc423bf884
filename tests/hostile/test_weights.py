"""Hostile folders of weights: config.json and safetensors that nobody's model has."""

import json
import struct

import pytest

import attnflow as af

_CONFIG = {
    "model_type": "gpt_neo", "hidden_size": 4, "num_layers": 2, "num_heads": 2, "vocab_size": 5,
    "max_position_embeddings": 8, "window_size": 4, "attention_types": [[["global", "local"], 1]],
}  # fmt: skip
_CONFIGS = {
    "nesting": (10**5 * "[", "nested"),
    "a key twice": ('{"model_type": "gpt2", "model_type": "gpt_neo"}', "twice"),
    "digits": ('{"n_embd": ' + 10**4 * "9" + "}", "digits"),
    "a kind of controls": (json.dumps({"model_type": "\x1b[2J"}), "model_type"),
    "a kind that is a list": (json.dumps({"model_type": ["gpt2"]}), "model_type"),
    "windows of 10^12 layers": (
        json.dumps(_CONFIG | {"attention_types": [[["global", "local"], 10**12]]}), "fewer layers",
    ),
    "windows of words": (json.dumps(_CONFIG | {"attention_types": "global"}), "attention_types"),
    "windows of controls": (
        json.dumps(_CONFIG | {"attention_types": [[["\x1b[2J", "local"], 1]]}), "attention_types",
    ),
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def _read_once(tmp_path_factory):
    """What is imported and compiled by a first reading, so that the time of a case is its own."""
    folder = tmp_path_factory.mktemp("weights")
    (folder / "config.json").write_text(json.dumps(_CONFIG))
    for content in (_safetensors({"wte.weight": _TENSOR}), _safetensors({})):
        (folder / "model.safetensors").write_bytes(content)
        with pytest.raises(ValueError, match="safetensors|no tensor"):
            af.language.load(folder)


@pytest.mark.parametrize(("text", "words"), _CONFIGS.values(), ids=_CONFIGS)
def test_a_forged_config_is_refused(refused, tmp_path, text, words):
    (tmp_path / "config.json").write_text(text)
    refused(lambda: af.language.load(tmp_path), words)


def _safetensors(header):
    data = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(data)) + data


_TENSOR = {"dtype": "F32", "shape": [5, 4], "data_offsets": [0, 80]}
_TENSORS = {
    "nothing": b"",
    "a header without end": struct.pack("<Q", 2**63) + b"{}",
    "a header that is a list": _safetensors([]),
    "a header that is nested": _safetensors(10**4 * b"["),
    "a tensor of 10^18 numbers": _safetensors(
        {"wte.weight": _TENSOR | {"shape": [10**9, 10**9], "data_offsets": [0, 4 * 10**18]}}
    ),
    "a tensor beyond the file": _safetensors({"wte.weight": _TENSOR}),
    "a tensor that ends before it begins": _safetensors(
        {"wte.weight": _TENSOR | {"data_offsets": [80, 0]}}
    ),
    "an unknown dtype": _safetensors({"wte.weight": _TENSOR | {"dtype": "PICKLE"}}),
}


@pytest.mark.parametrize("content", _TENSORS.values(), ids=_TENSORS)
def test_forged_tensors_are_refused(refused, tmp_path, content):
    (tmp_path / "config.json").write_text(json.dumps(_CONFIG))
    (tmp_path / "model.safetensors").write_bytes(content)
    refused(lambda: af.language.load(tmp_path), "model.safetensors")


@pytest.mark.parametrize("listed", [[], {"wte.weight": []}, {"wte.weight": "../../etc/passwd"}])
def test_a_forged_index_is_refused(refused, tmp_path, listed):
    (tmp_path / "config.json").write_text(json.dumps(_CONFIG))
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": listed}))
    refused(lambda: af.language.load(tmp_path), str(tmp_path))
