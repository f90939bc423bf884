"""The ellipsoid that RMS norms put tokens on, and heads in its coordinates."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..core.checks import choose, is_concrete
from ..geometry import AbstractManifold, Ellipsoid, Sphere
from ..observables import misalignment
from ._heads import Heads
from ._model import Transformer
from ._modules import wide

MANIFOLDS = ("sphere", "ellipsoid")


def axes(model: Transformer, manifold: str) -> Float[Array, " dim"] | None:
    r"""$\sqrt d\,\gamma$ of the first layer's norm, the half axes of the ellipsoid; `None` for the sphere.

    **Raises:**

    `ValueError` where norms take a mean off or have a bias, or a gain is zero.
    """
    choose("manifold", manifold, MANIFOLDS)
    if manifold == "sphere":
        return None
    arch = model.architecture
    if not arch.of.rms:
        raise ValueError(
            "`manifold` 'ellipsoid' needs RMS norms, which take no mean off and add no bias; "
            f"got a {arch.family}: take 'sphere' (Remark 2.2)."
        )
    gain = wide(model.blocks.attention_norm.gain)[0]
    if is_concrete(gain) and not bool(jnp.all(gain != 0)):
        place = int(np.flatnonzero(np.asarray(gain) == 0)[0])
        raise ValueError(
            f"`manifold` 'ellipsoid' needs gains that are not zero; the first layer's is at {place}, which "
            "makes it flat: take 'sphere'."
        )
    return jnp.asarray(arch.dim**0.5, gain.dtype) * gain


def surface(dim: int, half: Array | None) -> AbstractManifold:
    """The unit sphere, or the ellipsoid of those half axes."""
    return Sphere(dim) if half is None else Ellipsoid(jnp.diag(half**-2))


def stretched(result: Heads, half: Array | None) -> Heads:
    """Heads for tokens `half * y` in place of `y`."""
    if half is None:
        return result
    row = half[None, None, None]
    return Heads(
        result.Q / row,
        result.K / row,
        result.V / row,
        result.O * row,
        result.key_bias / row[0],
        result.value_bias * half[None],
        result.radius,
    )


class Directions(eqx.Module):
    """E of tokens in the coordinates of the sphere, whatever they are kept in."""

    half: Array | None

    def __call__(self, t: Any, y: Array) -> Array:
        return misalignment(y if self.half is None else y / jax.lax.expand_dims(self.half, (0,)))
