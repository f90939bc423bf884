"""Llama and its like: RMS norms, rotary positions, grouped keys and values, a gated feed-forward."""

from typing import Any

from ._config import Config, rotary_base
from ._family import Family

NAMES: dict[str, str | tuple[str, str, str]] = {
    "tokens": "embed_tokens",
    "norm": "norm",
    "attention_norm": "layers.{}.input_layernorm",
    "qkv": (
        "layers.{}.self_attn.q_proj",
        "layers.{}.self_attn.k_proj",
        "layers.{}.self_attn.v_proj",
    ),
    "out": "layers.{}.self_attn.o_proj",
    "feed_forward_norm": "layers.{}.post_attention_layernorm",
    "gate": "layers.{}.mlp.gate_proj",
    "up": "layers.{}.mlp.up_proj",
    "down": "layers.{}.mlp.down_proj",
}

GGUF_NAMES: dict[str, str | tuple[str, str, str]] = {
    "tokens": "token_embd",
    "norm": "output_norm",
    "attention_norm": "blk.{}.attn_norm",
    "qkv": ("blk.{}.attn_q", "blk.{}.attn_k", "blk.{}.attn_v"),
    "out": "blk.{}.attn_output",
    "feed_forward_norm": "blk.{}.ffn_norm",
    "gate": "blk.{}.ffn_gate",
    "up": "blk.{}.ffn_up",
    "down": "blk.{}.ffn_down",
}

PREFIXES = ("language_model.model.", "model.language_model.", "model.")
BUFFERS = r"\.rotary_emb\.inv_freq$"


def decoder(config: Config, *, key_heads: int | None, head_width: int | None, **defaults: Any):
    """What Llama, Mistral, Qwen and Gemma call by the same names; `defaults` are theirs."""
    dim = config.size(defaults.get("dim", 4096), "hidden_size")
    layers = config.size(defaults.get("layers", 32), "num_hidden_layers")
    heads = config.size(defaults.get("heads", 32), "num_attention_heads")
    # A null is a head's share, where a model has no default of its own.
    width = config.entries.get("head_dim", head_width)
    if width is None:
        config.heads(dim, heads)
    else:
        width = config.size(head_width, "head_dim")
    given = config.entries.get("num_key_value_heads", key_heads)
    keys = heads if given is None else config.size(key_heads, "num_key_value_heads")
    if heads % keys:
        raise ValueError(
            f"'num_key_value_heads' must divide 'num_attention_heads'; got {keys} and {heads}."
        )
    return {
        "vocabulary": config.size(defaults.get("vocabulary", 32000), "vocab_size"),
        "positions": config.size(defaults.get("positions", 2048), "max_position_embeddings"),
        "dim": dim,
        "layers": layers,
        "heads": heads,
        "inner": config.size(defaults.get("inner", 11008), "intermediate_size"),
        "activation": config.get(
            defaults.get("activation", "silu"), *defaults.get("act", ("hidden_act",))
        ),
        "epsilon": config.get(1e-6, "rms_norm_eps"),
        "deviation": config.get(0.02, "initializer_range"),
        "key_heads": None if keys == heads else keys,
        "head_width": None if width is None or width * heads == dim else width,
    }


def biases(config: Config) -> tuple[str, ...]:
    """`attention_bias` and `mlp_bias`, false unless given."""
    result = ("qkv", "out") if config.flag(False, "attention_bias") else ()
    return result + (("up", "down") if config.flag(False, "mlp_bias") else ())


def _entries(config: Config) -> dict[str, Any]:
    result = decoder(config, key_heads=None, head_width=None)
    own = biases(config)
    return {
        **result,
        "rotary": (rotary_base(config),) * result["layers"],
        "biases": own or None,
        "padding": config.padding(None, result["vocabulary"]),
    }


def rotary_size(
    vocabulary: int,
    dim: int,
    layers: int,
    heads: int,
    key_heads: int | None,
    inner: int,
    base: float,
    **more: Any,
) -> dict[str, Any]:
    """Arguments of an `Architecture`."""
    return {
        "vocabulary": vocabulary,
        "positions": 2048,
        "dim": dim,
        "layers": layers,
        "heads": heads,
        "inner": inner,
        "activation": "silu",
        "epsilon": 1e-6,
        "key_heads": key_heads,
        "rotary": (base,) * layers,
        **more,
    }


LLAMA = Family(
    name="llama",
    entries=_entries,
    names=NAMES,
    prefixes=PREFIXES,
    ignored=BUFFERS,
    rms=True,
    biases=(),
    gguf=GGUF_NAMES,
    gguf_permuted=True,
    sizes={
        "llama-7b": rotary_size(32000, 4096, 32, 32, None, 11008, 1e4),
        "llama-2-7b": rotary_size(
            32000, 4096, 32, 32, None, 11008, 1e4, positions=4096, epsilon=1e-5
        ),
        "llama-2-13b": rotary_size(
            32000, 5120, 40, 40, None, 13824, 1e4, positions=4096, epsilon=1e-5
        ),
        "llama-3-8b": rotary_size(
            128256, 4096, 32, 32, 8, 14336, 5e5, positions=8192, epsilon=1e-5
        ),
        "tinyllama-1.1b": rotary_size(32000, 2048, 22, 32, 4, 5632, 1e4, epsilon=1e-5),
        "smollm2-135m": rotary_size(49152, 576, 30, 9, 3, 1536, 1e5, positions=8192, epsilon=1e-5),
    },
)
