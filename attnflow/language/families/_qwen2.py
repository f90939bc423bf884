"""Qwen2: Llama with biases of queries, keys and values, and windows in later layers where asked for."""

from dataclasses import replace
from typing import Any

from ._config import Config, rotary_base, windows_of
from ._llama import LLAMA, decoder, rotary_size


def qwen(config: Config, result: dict[str, Any]) -> dict[str, Any]:
    """Positions and windows of Qwen2 and Qwen3."""
    layers = result["layers"]
    slides = config.flag(False, "use_sliding_window")
    window = config.entries.get("sliding_window", 4096) if slides else None
    first = config.get(28, "max_window_layers")
    return {
        **result,
        "rotary": (rotary_base(config),) * layers,
        "windows": windows_of(config, layers, window, lambda k: window is not None and k >= first),
        "padding": config.padding(None, result["vocabulary"]),
    }


def _entries(config: Config) -> dict[str, Any]:
    defaults = {"inner": 22016, "vocabulary": 151936, "positions": 32768}
    return qwen(config, decoder(config, key_heads=32, head_width=None, **defaults))


QWEN2 = replace(
    LLAMA,
    name="qwen2",
    entries=_entries,
    biases=("qkv",),
    gguf_permuted=False,
    sizes={
        "qwen2-0.5b": rotary_size(151936, 896, 24, 14, 2, 4864, 1e6, positions=131072),
        "qwen2-1.5b": rotary_size(151936, 1536, 28, 12, 2, 8960, 1e6, positions=131072),
        "qwen2-7b": rotary_size(152064, 3584, 28, 28, 4, 18944, 1e6, positions=131072),
    },
)
