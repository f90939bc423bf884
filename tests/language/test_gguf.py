"""GGUF files: the model that was written is read, quantised or not; what is not built is one line."""

import struct

import numpy as np
import pytest

import attnflow as af
from tests.systems import family_checkpoint, gpt_prompts, refused_with, write_folder

gguf = pytest.importorskip("gguf", reason="GGUF files need gguf")

IDS = gpt_prompts(1, 10)
NAMES = {
    "embed_tokens": "token_embd",
    "norm": "output_norm",
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "post_attention_layernorm": "ffn_norm",
    "pre_feedforward_layernorm": "ffn_norm",
    "post_feedforward_layernorm": "post_ffw_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def _interleaved(x, heads):
    """As llama.cpp's converter permutes the rows of Llama's queries and keys."""
    return x.reshape(heads, 2, len(x) // heads // 2, *x.shape[1:]).swapaxes(1, 2).reshape(x.shape)


def write_gguf(path, config, tensors, *, kind="F32", change=None, drop=(), **entries):
    """A GGUF file of a checkpoint by Hugging Face's names, matrices of that type."""
    family = config["model_type"]
    arch = family.removesuffix("_text")
    writer = gguf.GGUFWriter(path, arch)
    head = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    numbers = {
        "embedding_length": config["hidden_size"],
        "block_count": config["num_hidden_layers"],
        "feed_forward_length": config["intermediate_size"],
        "attention.head_count": config["num_attention_heads"],
        "attention.head_count_kv": config["num_key_value_heads"],
        "attention.key_length": head,
        "attention.value_length": head,
        "context_length": config["max_position_embeddings"],
        "attention.sliding_window": config.get("sliding_window", 4),
        **entries,
    }
    for name, value in numbers.items():
        if isinstance(value, str):
            writer.add_string(f"{arch}.{name}", value)
        elif value is not None:
            writer.add_uint32(f"{arch}.{name}", value)
    writer.add_float32(f"{arch}.attention.layer_norm_rms_epsilon", config["rms_norm_eps"])
    writer.add_float32(f"{arch}.rope.freq_base", config["rope_theta"])
    writer.add_array("tokenizer.ggml.tokens", [f"<{k}>" for k in range(97)])
    for name, x in tensors.items():
        stem, _, ending = name.rpartition(".")
        if stem.startswith("layers."):
            _, layer, rest = stem.split(".", 2)
            other = NAMES[rest]
            if arch == "gemma3" and rest == "post_attention_layernorm":
                other = "post_attention_norm"
            full = f"blk.{layer}.{other}.{ending}"
        else:
            full = f"{NAMES[stem]}.{ending}"
        if full in drop:
            continue
        x = x.astype(np.float32)
        if arch == "llama" and stem.endswith(("q_proj", "k_proj")):
            keys = stem.endswith("k_proj")
            x = _interleaved(x, config[f"num_{'key_value' if keys else 'attention'}_heads"])
        if arch.startswith("gemma") and "norm" in stem:
            x = x + 1
        x = change(full, x) if change else x
        if x.ndim == 2 and kind != "F32":
            own = gguf.GGMLQuantizationType[kind]
            writer.add_tensor(full, gguf.quants.quantize(x, own), raw_dtype=own)
        else:
            writer.add_tensor(full, np.ascontiguousarray(x))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _sizes(family):
    """Rows of whole blocks of 32, and Gemma's window pattern and scale, which its files do not name."""
    more = {"intermediate_size": 64}
    if family == "gemma3_text":
        more |= {"sliding_window_pattern": 6, "head_dim": 8, "query_pre_attn_scalar": 8}
    if family == "gemma":
        more |= {"head_dim": 8}
    if family == "qwen2":
        more |= {"use_sliding_window": False, "sliding_window": 4}
    if family == "qwen3":
        more |= {"use_sliding_window": False, "head_dim": 8}
    return more


def _intermediate(family):
    config, tensors = family_checkpoint(family, "gguf", **_sizes(family))
    rng = np.random.default_rng(0)
    for name in list(tensors):
        if ".mlp." in name:
            shape = (64, 32) if "down" not in name else (32, 64)
            tensors[name] = 0.3 * rng.normal(size=shape)
    return config, tensors


@pytest.mark.parametrize("family", ["llama", "qwen2", "qwen3", "gemma", "gemma3_text"])
def test_a_file_gives_the_weights_of_the_folder(family, tmp_path):
    config, tensors = _intermediate(family)
    folder = write_folder(tmp_path / "folder", config, tensors)
    expected = af.language.load(folder)
    found = af.language.load(write_gguf(tmp_path / "model.gguf", config, tensors))
    assert found.architecture.windows == expected.architecture.windows
    assert found.architecture.rotary == expected.architecture.rotary
    assert found.architecture.scales == pytest.approx(expected.architecture.scales)
    for name in ("qkv", "out", "qkv_bias"):
        np.testing.assert_array_equal(
            getattr(found.blocks.attention, name), getattr(expected.blocks.attention, name)
        )
    for name in ("gate", "up", "down"):
        np.testing.assert_array_equal(
            getattr(found.blocks.feed_forward, name), getattr(expected.blocks.feed_forward, name)
        )
    # Gemma's gains are stored plus one, in float32.
    for name in ("attention_norm", "feed_forward_norm", "feed_forward_out_norm"):
        own, theirs = getattr(found.blocks, name), getattr(expected.blocks, name)
        if theirs is not None:
            np.testing.assert_allclose(own.gain, theirs.gain, rtol=3e-7)
    np.testing.assert_array_equal(found.tokens, expected.tokens)


@pytest.mark.parametrize("kind", ["Q8_0", "Q4_1", "F16"])
def test_quantised_matrices_are_those_of_the_package(kind, tmp_path):
    config, tensors = _intermediate("llama")
    path = write_gguf(tmp_path / "model.gguf", config, tensors, kind=kind)
    own = gguf.GGMLQuantizationType[kind]
    x = tensors["layers.2.mlp.up_proj.weight"].astype(np.float32)
    expected = gguf.quants.dequantize(gguf.quants.quantize(x, own), own)
    model = af.language.load(path)
    np.testing.assert_array_equal(model.blocks.feed_forward.up[2], expected.T)
    assert 0 < np.abs(expected - x).max() < 0.2


def _refused(path, *parts):
    refused_with(lambda: af.language.load(path), path, *parts)


def _spoilt(full, x):
    return x * np.nan if full == "blk.1.ffn_up.weight" else x


def _transposed(full, x):
    return x.T if full == "blk.1.ffn_up.weight" else x


BAD = {
    "no tensor": ({"drop": ("blk.1.attn_k.weight",)}, ("no tensor 'blk.1.attn_k.weight'",)),
    "a shape": ({"change": _transposed}, ("'blk.1.ffn_up.weight'", "shape (64, 32)")),
    "a number": ({"change": _spoilt}, ("'blk.1.ffn_up.weight'", "finite")),
    "layers": ({"block_count": 3}, ("'blk.3.", "has not")),
    "heads": ({"attention.head_count": 3}, ("'num_key_value_heads'", "2 and 3")),
    "scaled": ({"rope.scaling.type": "linear"}, ("rope.scaling.type", "'linear'")),
    "a factor": ({"rope.scaling.factor": 8}, ("rope.scaling.factor", "not built", "got 8")),
    "old scaling": ({"rope.scale_linear": 4}, ("rope.scale_linear", "not built", "got 4")),
    "caps": ({"attn_logit_softcapping": 50}, ("attn_logit_softcapping", "capped", "got 50")),
    "part": ({"rope.dimension_count": 4}, ("rope.dimension_count", "width, 8", "got 4")),
    "a word": ({"attention.head_count": "4"}, ("`num_attention_heads`", "'4'")),
    "no heads": ({"attention.head_count": 0}, ("`num_attention_heads`", "got 0")),
    "values": ({"attention.value_length": 4}, ("attention.value_length", "got 4")),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files_are_refused_by_what_is_wrong(case, as_user, tmp_path):
    options, parts = BAD[case]
    config, tensors = _intermediate("llama")
    _refused(write_gguf(tmp_path / "model.gguf", config, tensors, **options), *parts)


@pytest.mark.parametrize("kept", [0, 3, 20, 400, 60_000])
def test_a_file_that_is_cut_short_is_refused(kept, as_user, tmp_path):
    config, tensors = _intermediate("llama")
    path = write_gguf(tmp_path / "model.gguf", config, tensors)
    path.write_bytes(path.read_bytes()[:kept])
    _refused(path, "cut short" if kept else "cannot be read as GGUF")


def test_numbers_of_the_header_beyond_the_file_are_refused_at_once(as_user, tmp_path):
    path = tmp_path / "model.gguf"
    string = struct.pack("<Q", 1) + b"a"
    array = struct.pack("<IIQ", 9, 8, 2**60)
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + string + array)
    _refused(path, "cannot be read as GGUF")
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 2**60, 0))
    _refused(path, "cannot be read as GGUF")


def test_another_architecture_is_named_with_those_that_are_read(as_user, tmp_path):
    path = tmp_path / "model.gguf"
    writer = gguf.GGUFWriter(path, "mamba")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    _refused(path, "'mamba'", "llama, qwen2, qwen3, gemma, gemma3")


def test_a_looped_file_is_a_looped_model(tmp_path):
    config, tensors = _intermediate("llama")
    model = af.language.load(write_gguf(tmp_path / "model.gguf", config, tensors))
    run = af.language.looped(model, IDS, passes=1, progress=False, keep="last")
    assert run.E.shape == (1, 5)
    assert sum(af.language.clusters(run, threshold=0.9)[0]) == 10
