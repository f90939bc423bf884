"""ALBERT: BERT with one layer's weights for all layers, and short embeddings mapped to length once."""

from dataclasses import replace
from typing import Any

from ._bert import BERT, encoder
from ._config import Config


def _entries(config: Config) -> dict[str, Any]:
    config.refuse("inner_group_num", 1, "groups of several layers are not built")
    defaults = {"dim": 4096, "heads": 64, "inner": 16384, "vocabulary": 30000}
    result = encoder(config, activation="gelu_new", **defaults)
    groups = config.size(1, "num_hidden_groups")
    if result["layers"] % groups:
        raise ValueError(
            "'num_hidden_groups' must divide 'num_hidden_layers'; "
            f"got {groups} and {result['layers']}."
        )
    return {**result, "embedding": config.size(128, "embedding_size"), "groups": groups}


def _size(layers: int, dim: int, heads: int, activation: str = "gelu_new") -> dict[str, Any]:
    return {
        "vocabulary": 30000,
        "positions": 512,
        "dim": dim,
        "layers": layers,
        "heads": heads,
        "inner": 4 * dim,
        "activation": activation,
        "epsilon": 1e-12,
        "types": 2,
        "padding": 0,
        "embedding": 128,
        "groups": 1,
    }


_LAYER = "encoder.albert_layer_groups.{}.albert_layers.0."

ALBERT = replace(
    BERT,
    name="albert",
    entries=_entries,
    names={
        **{name: BERT.names[name] for name in ("tokens", "positions", "types", "embedding_norm")},
        "projection": "encoder.embedding_hidden_mapping_in",
        "qkv": (
            f"{_LAYER}attention.query",
            f"{_LAYER}attention.key",
            f"{_LAYER}attention.value",
        ),
        "out": f"{_LAYER}attention.dense",
        "attention_norm": f"{_LAYER}attention.LayerNorm",
        "up": f"{_LAYER}ffn",
        "down": f"{_LAYER}ffn_output",
        "feed_forward_norm": f"{_LAYER}full_layer_layer_norm",
    },
    prefixes=("albert.",),
    sizes={
        "albert-base-v2": _size(12, 768, 12),
        "albert-large-v2": _size(24, 1024, 16),
        "albert-xlarge-v2": _size(24, 2048, 16),
        "albert-xxlarge-v2": _size(12, 4096, 64),
    },
)
