"""BERT and MiniLM: full attention, and layer normalisation after each sub-layer's sum, the paper's order."""

from typing import Any

from ._config import Config
from ._family import Family


def encoder(config: Config, **defaults: Any) -> dict[str, Any]:
    """What BERT and ALBERT call by the same names; `defaults` are theirs."""
    for name in ("is_decoder", "add_cross_attention"):
        config.refuse(name, False, "this model is read as an encoder")
    config.refuse("position_embedding_type", "absolute", "other positions are not built")
    dim = config.size(defaults.get("dim", 768), "hidden_size")
    heads = config.size(defaults.get("heads", 12), "num_attention_heads")
    config.heads(dim, heads)
    vocabulary = config.size(defaults.get("vocabulary", 30522), "vocab_size")
    return {
        "vocabulary": vocabulary,
        "positions": config.size(512, "max_position_embeddings"),
        "dim": dim,
        "layers": config.size(12, "num_hidden_layers"),
        "heads": heads,
        "inner": config.size(defaults.get("inner", 3072), "intermediate_size"),
        "activation": config.get(defaults.get("activation", "gelu"), "hidden_act"),
        "epsilon": config.get(1e-12, "layer_norm_eps"),
        "deviation": config.get(0.02, "initializer_range"),
        "types": config.size(2, "type_vocab_size"),
        "padding": config.padding(0, vocabulary),
    }


def _size(layers: int, dim: int, heads: int) -> dict[str, Any]:
    return {
        "vocabulary": 30522,
        "positions": 512,
        "dim": dim,
        "layers": layers,
        "heads": heads,
        "inner": 4 * dim,
        "activation": "gelu",
        "epsilon": 1e-12,
        "types": 2,
        "padding": 0,
    }


BERT = Family(
    name="bert",
    entries=encoder,
    names={
        "tokens": "embeddings.word_embeddings",
        "positions": "embeddings.position_embeddings",
        "types": "embeddings.token_type_embeddings",
        "embedding_norm": "embeddings.LayerNorm",
        "qkv": (
            "encoder.layer.{}.attention.self.query",
            "encoder.layer.{}.attention.self.key",
            "encoder.layer.{}.attention.self.value",
        ),
        "out": "encoder.layer.{}.attention.output.dense",
        "attention_norm": "encoder.layer.{}.attention.output.LayerNorm",
        "up": "encoder.layer.{}.intermediate.dense",
        "down": "encoder.layer.{}.output.dense",
        "feed_forward_norm": "encoder.layer.{}.output.LayerNorm",
    },
    prefixes=("bert.",),
    renamed={"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"},
    post_norm=True,
    causal=False,
    sizes={
        "bert-base": _size(12, 768, 12),
        "bert-large": _size(24, 1024, 16),
        "minilm-l6": _size(6, 384, 12),
    },
)
