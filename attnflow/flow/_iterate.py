"""`iterate`: tokens through discrete layers."""

from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Real

from .._checks import real, room, whole
from ..model import AttentionLayers
from ..model._reductions import Identity
from ._observe import Lifted, as_observers
from ._simulate import cast_floats
from ._solution import Solution


def iterate(
    layers: AttentionLayers,
    y0: Real[ArrayLike, "tokens dim"],
    *,
    depth: int,
    observe: Any = None,
    args: Any = None,
) -> Solution:
    r"""Tokens through `depth` layers of eq. (1), the start included: `depth + 1` saves.

    **Arguments:**

    - `layers`: an [`AttentionLayers`][].
    - `y0`: starting tokens, `(tokens, dim)`; refused off the manifold as by `simulate` where the
      layers project onto it.
    - `depth`: number of layers, zero or more.
    - `observe`: as in `simulate`; time is $t_k = k\tau$.
    - `args`: handed to the drift and observers of three arguments.

    **Returns:**

    A [`Solution`][]: `ts` are the layers' times, `ys` has a leading axis of `depth + 1`.

    ```python
    sol = af.iterate(af.AttentionLayers(field, step=0.3), y0, depth=25)
    ```
    """
    if not isinstance(layers, AttentionLayers):
        raise ValueError(f"`layers` must be AttentionLayers; got {type(layers).__name__}.")
    depth = whole("depth", depth, least=0)
    y0 = real("y0", y0)
    if layers.norm is None:
        y0 = layers.field.check_start("y0", y0)
    else:
        y0 = layers.field.manifold.check_rows("y0", y0)
    if observe is None:
        room("depth", (depth + 1, *y0.shape), y0.dtype.itemsize, what="tokens of every layer")
    observers = as_observers(observe)
    return _run(cast_floats(layers, y0.dtype), y0, depth, observers, args)


@eqx.filter_jit
def _run(layers: AttentionLayers, y0: Array, depth: int, observers: Any, args: Any) -> Solution:
    save = Lifted(observers, Identity())

    def body(y, k):
        return layers(k, y, args), save.values(layers.time(k, y.dtype), y, args)

    y1, values = jax.lax.scan(body, y0, jnp.arange(depth))
    ts = layers.time(jnp.arange(depth + 1), y0.dtype)
    last = save.values(ts[-1], y1, args)
    ys = jax.tree.map(lambda many, one: jnp.concatenate([many, one[None]]), values, last)
    count = jnp.asarray(depth)
    return Solution(
        ts=ts,
        ys=ys,
        saved=jnp.ones(depth + 1, bool),
        t0=ts[0],
        t1=ts[-1],
        y1=y1,
        result=diffrax.RESULTS.successful,
        stats={
            "num_steps": count,
            "num_accepted_steps": count,
            "num_rejected_steps": jnp.zeros_like(count),
        },
    )
