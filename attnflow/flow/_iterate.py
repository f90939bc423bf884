"""`iterate`: tokens through discrete layers."""

from typing import Any

import diffrax
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Real

from ..core.arrays import cast_floats
from ..core.checks import boolean, check, is_concrete, real, room, whole
from ..core.compiled import compiled
from ..core.types import Functions
from ..model import AttentionLayers
from ..model.reductions import Identity
from ._observe import Lifted, as_observers
from ._solution import NONFINITE, Solution


def iterate(
    layers: AttentionLayers,
    y0: Real[ArrayLike, "tokens dim"],
    *,
    depth: int,
    observe: Functions | None = None,
    throw: bool = True,
    args: object = None,
) -> Solution:
    r"""Tokens through `depth` layers of eq. (1), the start included: `depth + 1` saves.

    **Arguments:**

    - `layers`: an [`AttentionLayers`][].
    - `y0`: starting tokens, `(tokens, dim)`; refused off the manifold as by `simulate` where the
      layers project onto it.
    - `depth`: number of layers, zero or more.
    - `observe`: as in `simulate`; time is $t_k = k\tau$.
    - `throw`: raise where a layer gives tokens that are not finite. With `False` see `sol.result`.
    - `args`: handed to the drift and observers of three arguments.

    **Returns:**

    A [`Solution`][]: `ts` are the layers' times, `ys` has a leading axis of `depth + 1`.

    **Raises:**

    `ValueError` for bad input; `RuntimeError`, with `throw=True`, for a layer whose tokens are not finite:
    an unnormalised kernel overflows, or a token without `skip` attends to nothing.

    ```python
    sol = af.iterate(af.AttentionLayers(field, step=0.3), y0, depth=25)
    ```
    """
    if not isinstance(layers, AttentionLayers):
        raise ValueError(f"`layers` must be AttentionLayers; got {type(layers).__name__}.")
    depth, throw = whole("depth", depth, least=0), boolean("throw", throw)
    y0 = real("y0", y0)
    if layers.norm is None:
        y0 = layers.field.check_start("y0", y0)
    else:
        y0 = layers.field.manifold.check_rows("y0", y0)
    if observe is None:
        room("depth", (depth + 1, *y0.shape), y0.dtype.itemsize, what="tokens of every layer")
    observers = as_observers(observe)
    solution, lost = _run(cast_floats(layers, y0.dtype), y0, depth, observers, args)
    return _raise_failures(solution, lost) if throw else solution


def _raise_failures(solution: Solution, lost: Array) -> Solution:
    where = "The run did not end: after layer"
    remedy = (
        "the tokens were not finite; look at layers(k, y) there (an unnormalised kernel overflows for large "
        "logits, no skip leaves 0/0), or pass throw=False to keep what there is."
    )
    failed = lost >= 0
    if is_concrete(lost):
        if not bool(jnp.any(failed)):
            return solution
        first = int(jnp.min(jnp.where(failed, lost, jnp.iinfo(lost.dtype).max)))
        raise RuntimeError(f"{where} {first} {remedy}")
    return check(solution, failed, f"{where} k {remedy}", error=RuntimeError)


@compiled
def _run(
    layers: AttentionLayers, y0: Array, depth: int, observers: Any, args: Any
) -> tuple[Solution, Array]:
    """The solution, and the number of the first layer after which tokens are not finite, or -1."""
    save = Lifted(observers, Identity())

    def body(carry, k):
        y, lost = carry
        out = layers(k, y, args)
        lost = jnp.where((lost < 0) & ~jnp.all(jnp.isfinite(out)), k, lost)
        return (out, lost), save.values(layers.time(k, y.dtype), y, args)

    layer = jnp.arange(depth, dtype=jnp.int32)
    (y1, lost), values = jax.lax.scan(body, (y0, jnp.asarray(-1, jnp.int32)), layer)
    ts = layers.time(jnp.arange(depth + 1), y0.dtype)
    last = save.values(ts[-1], y1, args)
    ys = jax.tree.map(lambda many, one: jnp.concatenate([many, one[None]]), values, last)
    count = jnp.asarray(depth)
    solution = Solution(
        ts=ts,
        ys=ys,
        saved=jnp.ones(depth + 1, bool),
        t0=ts[0],
        t1=ts[-1],
        y1=y1,
        result=diffrax.RESULTS.where(lost < 0, diffrax.RESULTS.successful, NONFINITE),
        stats={
            "num_steps": count,
            "num_accepted_steps": count,
            "num_rejected_steps": jnp.zeros_like(count),
        },
    )
    return solution, lost
