"""Gemma, the first: Llama with gains less one, an embedding made longer, a gelu, and heads of a width of their own."""

from dataclasses import replace
from typing import Any

from ._config import Config, rotary_base
from ._llama import LLAMA, biases, decoder, rotary_size


def _entries(config: Config) -> dict[str, Any]:
    config.refuse("use_bidirectional_attention", False, "this model is read as a decoder")
    defaults = {"dim": 3072, "layers": 28, "heads": 16, "inner": 24576, "vocabulary": 256000}
    result = decoder(config, key_heads=16, head_width=256, positions=8192, **defaults)
    # The first files say gelu and mean the other one.
    act = config.get("gelu_pytorch_tanh", "hidden_act")
    return {
        **result,
        "activation": "gelu_pytorch_tanh" if act == "gelu" else act,
        "rotary": (rotary_base(config),) * result["layers"],
        "biases": biases(config)[:2] or None,
        "padding": config.padding(0, result["vocabulary"]),
    }


def _size(dim: int, layers: int, heads: int, key_heads: int | None, inner: int) -> dict[str, Any]:
    more = {"activation": "gelu_pytorch_tanh", "head_width": 256, "padding": 0, "positions": 8192}
    return rotary_size(256000, dim, layers, heads, key_heads, inner, 1e4, **more)


GEMMA = replace(
    LLAMA,
    name="gemma",
    entries=_entries,
    gain_offset=1.0,
    embedding_scaled=True,
    gguf_permuted=False,
    sizes={
        "gemma-2b": _size(2048, 18, 8, 1, 16384),
        "gemma-7b": _size(3072, 28, 16, None, 24576),
    },
)
