"""GPT-Neo: as GPT-2, but scores are not divided, every second layer is local, matrices are `(out, in)`."""

import json
from typing import Any

from ...core.checks import shown
from ._config import Config
from ._family import Family
from ._gpt2 import shared

_MOST_LAYERS = 10**5


def _entries(config: Config) -> dict[str, Any]:
    dim = config.size(2048, "hidden_size")
    layers = config.size(24, "num_layers", "num_hidden_layers")
    return {
        "positions": config.size(2048, "max_position_embeddings"),
        "layers": layers,
        "inner": config.size(4 * dim, "intermediate_size"),
        "scaled": False,
        "windows": _windows(config, layers, config.size(256, "window_size")),
        **shared(config, dim, config.size(16, "num_heads", "num_attention_heads")),
    }


def _windows(config: Config, layers: int, window: int) -> tuple[int | None, ...]:
    """`attention_types`, `[[["global", "local"], 12]]`, laid out by layer."""
    types = config.get([[["global", "local"], 12]], "attention_types")
    entries = config.entries
    laid_out = entries.get("attention_layers") if entries.get("attention_types") is None else None
    try:
        most = sum(len(pattern) * max(times, 0) for pattern, times in types)
        if laid_out is None and most > _MOST_LAYERS:
            raise ValueError(f"'attention_types' must be of fewer layers; got {shown(most)}.")
    except (TypeError, ValueError) as error:
        if str(error).startswith("'attention_types'"):
            raise
    try:
        kinds = [kind for pattern, times in types for _ in range(times) for kind in pattern]
        kinds = kinds if laid_out is None else list(laid_out)
    except (TypeError, ValueError):
        raise ValueError(
            "'attention_types' must be pairs of a list of kinds and a number; "
            f"got {json.dumps(types)}."
        ) from None
    unknown = next((kind for kind in kinds if kind not in ("global", "local")), None)
    if unknown is not None:
        raise ValueError(f"'attention_types' must name 'global' and 'local'; got {unknown!r}.")
    if len(kinds) != layers:
        raise ValueError(
            f"'attention_types' must cover the {layers} layers of 'num_layers'; got {len(kinds)}."
        )
    return tuple(None if kind == "global" else window for kind in kinds)


def _size(layers: int, dim: int, heads: int) -> dict[str, Any]:
    return {
        "vocabulary": 50257,
        "positions": 2048,
        "dim": dim,
        "layers": layers,
        "heads": heads,
        "inner": 4 * dim,
        "scaled": False,
        "windows": (None, 256) * (layers // 2),
    }


GPT_NEO = Family(
    name="gpt_neo",
    entries=_entries,
    names={
        "tokens": "wte",
        "positions": "wpe",
        "norm": "ln_f",
        "attention_norm": "h.{}.ln_1",
        "qkv": (
            "h.{}.attn.attention.q_proj",
            "h.{}.attn.attention.k_proj",
            "h.{}.attn.attention.v_proj",
        ),
        "out": "h.{}.attn.attention.out_proj",
        "feed_forward_norm": "h.{}.ln_2",
        "up": "h.{}.mlp.c_fc",
        "down": "h.{}.mlp.c_proj",
    },
    prefixes=("transformer.",),
    ignored=r"(^|\.)attn\.(attention\.)?(masked_)?bias$",
    biases=("out", "up", "down"),
    sizes={
        "gpt-neo-125M": _size(12, 768, 12),
        "gpt-neo-1.3B": _size(24, 2048, 16),
        "gpt-neo-2.7B": _size(32, 2560, 20),
    },
)
