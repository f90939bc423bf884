"""What a command does before it computes."""

import os


def start_jax() -> bool:
    """Import JAX with 64 bits on, unless JAX_ENABLE_X64 says otherwise; whether they are on."""
    import jax
    import jax.numpy as jnp

    if "JAX_ENABLE_X64" not in os.environ:
        jax.config.update("jax_enable_x64", True)
    return jnp.result_type(float).itemsize == 8
