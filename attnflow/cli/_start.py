"""What a command does before it computes."""

import os


def start_jax() -> None:
    """Import JAX with 64 bits on, unless JAX_ENABLE_X64 in the environment says otherwise."""
    import jax

    if "JAX_ENABLE_X64" not in os.environ:
        jax.config.update("jax_enable_x64", True)
