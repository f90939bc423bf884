"""Qwen3: Qwen2 without biases, its queries and keys normalised head by head before they are rotated."""

from dataclasses import replace
from typing import Any

from ._config import Config
from ._llama import GGUF_NAMES, LLAMA, NAMES, biases, decoder, rotary_size
from ._qwen2 import qwen


def _entries(config: Config) -> dict[str, Any]:
    defaults = {"inner": 22016, "vocabulary": 151936, "positions": 32768}
    result = decoder(config, key_heads=32, head_width=128, **defaults)
    return {**qwen(config, result), "biases": biases(config) or None}


QWEN3 = replace(
    LLAMA,
    name="qwen3",
    entries=_entries,
    names=NAMES
    | {"query_norm": "layers.{}.self_attn.q_norm", "key_norm": "layers.{}.self_attn.k_norm"},
    gguf=GGUF_NAMES | {"query_norm": "blk.{}.attn_q_norm", "key_norm": "blk.{}.attn_k_norm"},
    gguf_permuted=False,
    sizes={
        "qwen3-0.6b": rotary_size(
            151936, 1024, 28, 16, 8, 3072, 1e6, positions=40960, head_width=128
        ),
        "qwen3-1.7b": rotary_size(151936, 2048, 28, 16, 8, 6144, 1e6, positions=40960),
        "qwen3-8b": rotary_size(151936, 4096, 36, 32, 8, 12288, 1e6, positions=40960),
    },
)
