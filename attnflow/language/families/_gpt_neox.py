"""GPT-NeoX and Pythia: attention and feed-forward side by side, positions that rotate a part of each head."""

from typing import Any

from ._config import Config, rotary_base, rotary_parameters
from ._family import Family


def _entries(config: Config) -> dict[str, Any]:
    dim = config.size(6144, "hidden_size")
    layers = config.size(44, "num_hidden_layers")
    heads = config.size(64, "num_attention_heads")
    config.heads(dim, heads)
    base = rotary_base(config, config.number(1e4, "rotary_emb_base"))
    part = rotary_parameters(config).get("partial_rotary_factor", config.get(0.25, "rotary_pct"))
    if isinstance(part, bool) or not isinstance(part, float | int) or not 0 < part <= 1:
        raise ValueError(f"'rotary_pct' must be a number up to one, above zero; got {part!r}.")
    rotated = int(dim // heads * part)
    if rotated < 2 or rotated % 2:
        raise ValueError(
            f"'rotary_pct' must rotate an even number of a head's {dim // heads} coordinates; "
            f"got {part!r}, which is {rotated}."
        )
    vocabulary = config.size(50432, "vocab_size")
    bias = config.flag(True, "attention_bias")
    return {
        "vocabulary": vocabulary,
        "positions": config.size(2048, "max_position_embeddings"),
        "dim": dim,
        "layers": layers,
        "heads": heads,
        "inner": config.size(24576, "intermediate_size"),
        "activation": config.get("gelu", "hidden_act"),
        "epsilon": config.get(1e-5, "layer_norm_eps"),
        "deviation": config.get(0.02, "initializer_range"),
        "rotary": (base,) * layers,
        "rotated": rotated,
        "parallel": config.flag(True, "use_parallel_residual"),
        "biases": None if bias else ("up", "down"),
        "padding": config.padding(None, vocabulary),
    }


def _size(layers: int, dim: int, heads: int, vocabulary: int = 50304) -> dict[str, Any]:
    return {
        "vocabulary": vocabulary,
        "positions": 2048,
        "dim": dim,
        "layers": layers,
        "heads": heads,
        "inner": 4 * dim,
        "activation": "gelu",
        "rotary": (1e4,) * layers,
        "rotated": dim // heads // 4,
        "parallel": True,
    }


GPT_NEOX = Family(
    name="gpt_neox",
    entries=_entries,
    names={
        "tokens": "embed_in",
        "norm": "final_layer_norm",
        "attention_norm": "layers.{}.input_layernorm",
        "qkv": "layers.{}.attention.query_key_value",
        "out": "layers.{}.attention.dense",
        "feed_forward_norm": "layers.{}.post_attention_layernorm",
        "up": "layers.{}.mlp.dense_h_to_4h",
        "down": "layers.{}.mlp.dense_4h_to_h",
    },
    prefixes=("gpt_neox.",),
    ignored=r"\.attention\.(bias|masked_bias|rotary_emb\.inv_freq)$",
    fused="heads",
    sizes={
        "pythia-14m": _size(6, 128, 4),
        "pythia-70m": _size(6, 512, 8),
        "pythia-160m": _size(12, 768, 12),
        "pythia-410m": _size(24, 1024, 16),
        "pythia-1b": _size(16, 2048, 8),
        "pythia-1.4b": _size(24, 2048, 16),
        "pythia-2.8b": _size(32, 2560, 32),
        "pythia-6.9b": _size(32, 4096, 32, 50432),
        "pythia-12b": _size(36, 5120, 40, 50688),
    },
)
