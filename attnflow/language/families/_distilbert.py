"""DistilBERT: BERT without token types, and with names of its own."""

from dataclasses import replace
from typing import Any

from ._bert import BERT
from ._config import Config


def _entries(config: Config) -> dict[str, Any]:
    config.refuse("sinusoidal_pos_embds", False, "positions are read as learned")
    dim, heads = config.size(768, "dim"), config.size(12, "n_heads")
    config.heads(dim, heads, "'n_heads' must divide 'dim'")
    vocabulary = config.size(30522, "vocab_size")
    return {
        "vocabulary": vocabulary,
        "positions": config.size(512, "max_position_embeddings"),
        "dim": dim,
        "layers": config.size(6, "n_layers"),
        "heads": heads,
        "inner": config.size(3072, "hidden_dim"),
        "activation": config.get("gelu", "activation"),
        "epsilon": 1e-12,
        "deviation": config.get(0.02, "initializer_range"),
        "padding": config.padding(0, vocabulary),
    }


_LAYER = "transformer.layer.{}."

DISTILBERT = replace(
    BERT,
    name="distilbert",
    entries=_entries,
    names={
        **{name: BERT.names[name] for name in ("tokens", "positions", "embedding_norm")},
        "qkv": (
            f"{_LAYER}attention.q_lin",
            f"{_LAYER}attention.k_lin",
            f"{_LAYER}attention.v_lin",
        ),
        "out": f"{_LAYER}attention.out_lin",
        "attention_norm": f"{_LAYER}sa_layer_norm",
        "up": f"{_LAYER}ffn.lin1",
        "down": f"{_LAYER}ffn.lin2",
        "feed_forward_norm": f"{_LAYER}output_layer_norm",
    },
    prefixes=("distilbert.",),
    sizes={
        "distilbert-base": {
            "vocabulary": 30522,
            "positions": 512,
            "dim": 768,
            "layers": 6,
            "heads": 12,
            "inner": 3072,
            "activation": "gelu",
            "epsilon": 1e-12,
            "padding": 0,
        }
    },
)
