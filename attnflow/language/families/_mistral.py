"""Mistral: Llama with fewer heads of keys and a window in every layer, unless its config lifts it."""

from dataclasses import replace
from typing import Any

from ._config import Config, rotary_base, windows_of
from ._llama import LLAMA, decoder, rotary_size


def _entries(config: Config) -> dict[str, Any]:
    result = decoder(config, key_heads=8, head_width=None, inner=14336, positions=131072)
    layers, window = result["layers"], config.entries.get("sliding_window", 4096)
    return {
        **result,
        "rotary": (rotary_base(config),) * layers,
        "windows": windows_of(config, layers, window, lambda _: window is not None),
        "padding": config.padding(None, result["vocabulary"]),
    }


MISTRAL = replace(
    LLAMA,
    name="mistral",
    entries=_entries,
    sizes={
        "mistral-7b": rotary_size(
            32000,
            4096,
            32,
            32,
            8,
            14336,
            1e4,
            positions=32768,
            epsilon=1e-5,
            windows=(4096,) * 32,
        ),
    },
)
