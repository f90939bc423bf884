"""What a command does before it computes."""

import gc
import os

# Imports and traces make objects by the hundred thousand that live. To look among them for garbage every few
# hundred or thousand, as Python does unless told otherwise, is an eighth of the time of a short command.
_OBJECTS = 50_000

_keeps = True


def keep_programs(on: bool) -> None:
    """Whether commands keep the programs they compile, in the user's cache folder."""
    global _keeps
    _keeps = on


def start_jax() -> bool:
    """Import JAX with 64 bits on, unless JAX_ENABLE_X64 says otherwise; whether they are on.

    Compiled programs are kept for the next command, unless `--no-cache` was given.
    """
    gc.set_threshold(_OBJECTS, *gc.get_threshold()[1:])
    import jax
    import jax.numpy as jnp

    from ..programs import cache

    if _keeps:
        cache()
    if "JAX_ENABLE_X64" not in os.environ:
        jax.config.update("jax_enable_x64", True)
    return jnp.result_type(float).itemsize == 8
