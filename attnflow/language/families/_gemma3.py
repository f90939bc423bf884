"""Gemma 3: norms before and after each sub-layer, gains less one, normed queries and keys, local layers."""

from dataclasses import replace
from typing import Any

from ._config import Config, rotary_base, rotary_parameters, windows_of
from ._llama import GGUF_NAMES, LLAMA, NAMES, biases, decoder


def _entries(config: Config) -> dict[str, Any]:
    for name in ("attn_logit_softcapping", "final_logit_softcapping"):
        config.refuse(name, None, "capped scores are not built")
    config.refuse("use_bidirectional_attention", False, "this model is read as a decoder")
    result = decoder(
        config,
        key_heads=4,
        head_width=256,
        vocabulary=262208,
        positions=131072,
        dim=2304,
        layers=26,
        heads=8,
        inner=9216,
        activation="gelu_pytorch_tanh",
        act=("hidden_activation",),
    )
    pattern = config.size(6, "sliding_window_pattern", "_sliding_window_pattern")
    window = config.entries.get("sliding_window", 4096)
    windows = windows_of(config, result["layers"], window, lambda k: (k + 1) % pattern)
    # The kinds of layers have entries of their own, in files of any age.
    full = rotary_base(config, 1e6, "full_attention")
    local = rotary_parameters(config, "sliding_attention").get("rope_theta")
    if local is None or not config.entries.get("rope_parameters"):
        local = config.number(1e4, "rope_local_base_freq")
    return {
        **result,
        "windows": windows,
        "rotary": tuple(full if w is None else float(local) for w in windows),
        "score_scale": config.number(256, "query_pre_attn_scalar") ** -0.5,
        "biases": biases(config) or None,
        "padding": config.padding(0, result["vocabulary"]),
    }


def _size(dim: int, layers: int, heads: int, key_heads: int, inner: int, window: int):
    slides = [bool((k + 1) % 6) for k in range(layers)]
    return {
        "vocabulary": 262144,
        "positions": 32768,
        "dim": dim,
        "layers": layers,
        "heads": heads,
        "inner": inner,
        "activation": "gelu_pytorch_tanh",
        "epsilon": 1e-6,
        "key_heads": key_heads,
        "head_width": 256,
        "score_scale": 1 / 16,
        "windows": tuple(window if s else None for s in slides),
        "rotary": tuple(1e4 if s else 1e6 for s in slides),
        "padding": 0,
    }


GEMMA3 = replace(
    LLAMA,
    name="gemma3_text",
    entries=_entries,
    names=NAMES
    | {
        "query_norm": "layers.{}.self_attn.q_norm",
        "key_norm": "layers.{}.self_attn.k_norm",
        "attention_out_norm": "layers.{}.post_attention_layernorm",
        "feed_forward_norm": "layers.{}.pre_feedforward_layernorm",
        "feed_forward_out_norm": "layers.{}.post_feedforward_layernorm",
    },
    gain_offset=1.0,
    embedding_scaled=True,
    gguf=GGUF_NAMES
    | {
        "query_norm": "blk.{}.attn_q_norm",
        "key_norm": "blk.{}.attn_k_norm",
        "attention_out_norm": "blk.{}.post_attention_norm",
        "feed_forward_out_norm": "blk.{}.post_ffw_norm",
    },
    gguf_permuted=False,
    sizes={
        "gemma-3-270m": _size(640, 18, 4, 1, 2048, 512),
        "gemma-3-1b": _size(1152, 26, 4, 1, 6912, 512),
    },
)
