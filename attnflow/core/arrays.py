"""Arrays of pytrees, all at once."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp


def cast_floats(tree: Any, dtype: Any) -> Any:
    """Every floating-point array of a pytree in one dtype."""

    def cast(leaf):
        if eqx.is_inexact_array(leaf) and jnp.issubdtype(leaf.dtype, jnp.floating):
            return jnp.asarray(leaf, dtype)
        return leaf

    return jax.tree.map(cast, tree)
