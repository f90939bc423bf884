"""GPT-2: layer normalisation before each sub-layer, learned positions, biases, matrices `(in, out)`."""

from typing import Any

from ._config import Config
from ._family import Family


def shared(config: Config, dim: int, heads: int) -> dict[str, Any]:
    """What GPT-2 and GPT-Neo call by the same names."""
    config.heads(
        dim,
        heads,
        "'num_attention_heads' (n_head, num_heads) must divide 'hidden_size' (n_embd)",
    )
    return {
        "dim": dim,
        "heads": heads,
        "vocabulary": config.size(50257, "vocab_size"),
        "activation": config.get("gelu_new", "activation_function"),
        "epsilon": config.get(1e-5, "layer_norm_epsilon"),
        "deviation": config.get(0.02, "initializer_range"),
    }


def _entries(config: Config) -> dict[str, Any]:
    if config.entries.get("add_cross_attention"):
        raise ValueError("'add_cross_attention' must be false: there is nothing to attend to.")
    dim = config.size(768, "n_embd", "hidden_size")
    return {
        "positions": config.size(1024, "n_positions", "max_position_embeddings"),
        "layers": config.size(12, "n_layer", "num_hidden_layers"),
        "inner": config.size(4 * dim, "n_inner"),
        "scaled": config.flag(True, "scale_attn_weights"),
        "scaled_by_layer": config.flag(False, "scale_attn_by_inverse_layer_idx"),
        **shared(config, dim, config.size(12, "n_head", "num_attention_heads")),
    }


def _size(layers: int, dim: int, heads: int) -> dict[str, Any]:
    return {
        "vocabulary": 50257,
        "positions": 1024,
        "dim": dim,
        "layers": layers,
        "heads": heads,
        "inner": 4 * dim,
    }


GPT2 = Family(
    name="gpt2",
    entries=_entries,
    names={
        "tokens": "wte",
        "positions": "wpe",
        "norm": "ln_f",
        "attention_norm": "h.{}.ln_1",
        "qkv": "h.{}.attn.c_attn",
        "out": "h.{}.attn.c_proj",
        "feed_forward_norm": "h.{}.ln_2",
        "up": "h.{}.mlp.c_fc",
        "down": "h.{}.mlp.c_proj",
    },
    prefixes=("transformer.",),
    ignored=r"(^|\.)attn\.(attention\.)?(masked_)?bias$",
    linear=False,
    shrunk=True,
    sizes={
        "gpt2": _size(12, 768, 12),
        "gpt2-medium": _size(24, 1024, 16),
        "gpt2-large": _size(36, 1280, 20),
        "gpt2-xl": _size(48, 1600, 25),
    },
)
