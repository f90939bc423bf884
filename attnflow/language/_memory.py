"""Whether weights fit into memory, asked before any is drawn or read."""

import math
from typing import Any

import jax
import jax.numpy as jnp

from ..core.machine import free_memory
from ._architecture import Architecture

_OF_FEED_FORWARD = ("feed_forward_norm", "gate", "up", "down", "feed_forward_out_norm")
_WHOLE = ("tokens", "positions", "types", "projection", "projection_bias", "norm", "norm_bias")


def check_fits(
    arch: Architecture, dtype: Any, feed_forward: bool, *, blocks_alone: bool, remedy: str
) -> None:
    """A `ValueError` in one line where the weights are more than the memory that is free.

    `blocks_alone` leaves the embedding out, of which runs with random weights draw a few rows.
    """
    free = _free()
    size = weight_bytes(arch, dtype, feed_forward, blocks_alone=blocks_alone)
    if free is not None and size > free:
        raise ValueError(
            f"`model` ({arch}) does not fit: its weights are {size / 1e9:.1f} GB in "
            f"{jnp.dtype(dtype).name}, and {free / 1e9:.1f} GB of memory are free. {remedy}"
        )


def weight_bytes(arch: Architecture, dtype: Any, feed_forward: bool, *, blocks_alone: bool) -> int:
    """Of the weights as they are held."""
    count = 0
    for name, shape in arch.shapes.items():
        whole = name in _WHOLE or name.startswith("embedding_norm")
        left_out = not feed_forward and name.startswith(_OF_FEED_FORWARD)
        if not left_out and not (whole and blocks_alone):
            count += math.prod(shape)
    return count * jnp.dtype(dtype).itemsize


def _free() -> int | None:
    """Bytes free on the first device; `None` where it does not report."""
    device = jax.local_devices()[0]
    if device.platform == "cpu":
        return free_memory()
    stats = device.memory_stats() or {}
    if "bytes_limit" not in stats:
        return None
    return int(stats["bytes_limit"]) - int(stats.get("bytes_in_use", 0))
