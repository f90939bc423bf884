"""The gradient of a loop's misalignment by a model's weights, and the smallest change of one layer's U for a bound."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, ArrayLike, Float, Int

from ..core.checks import boolean, choose, whole
from ..records import progress as bar
from ._layer import by_layer, own_block, through
from ._model import Transformer, check_feed_forward, final
from ._modules import Attention, wide, without_feed_forward
from ._pass import measure
from ._prompts import as_ids

_SIDES = ("above", "below")
_BISECTIONS = 12


def misalignment_gradient(
    model: Transformer,
    token_ids: Int[ArrayLike, "..."] | Sequence[Sequence[int]],
    *,
    passes: int = 1,
    layer: int | None = None,
    feed_forward: bool = True,
) -> tuple[Float[Array, ""], Transformer]:
    r"""$E$ after a block of a loop, averaged over prompts, and $\partial E/\partial w$ for every weight $w$.

    States between passes alone are kept, and within a pass those between layers; all else is computed again on the
    way back, so that memory grows with neither more than by the tokens themselves.

    **Arguments:**

    - `model`: a [`Transformer`][].
    - `token_ids`: `(prompts, length)`.
    - `passes`: of the loop; the block is of the last of them.
    - `layer`: which, from 0; the last unless given.
    - `feed_forward`: of the passes. Without it the gradient is that of attention and its norms, and there is no
      feed-forward in it.

    **Returns:**

    $E$ as [`looped`][] has it, and the gradient: a [`Transformer`][] whose arrays are the derivatives.

    **Raises:**

    `ValueError` on a layer that is not there, or ids outside the vocabulary.

    ```python
    E, slope = af.language.misalignment_gradient(model, ids, passes=3)
    jnp.linalg.norm(slope.blocks.attention.out, axis=(1, 2))     # by layer
    ```
    """
    check_feed_forward(model, feed_forward)
    arch, ids = model.architecture, as_ids(model.architecture, token_ids)
    whole("passes", passes)
    last = arch.layers - 1 if layer is None else whole("layer", layer, least=0)
    if last >= arch.layers:
        raise ValueError(f"`layer` must be from 0 to {arch.layers - 1}; got {layer}.")
    if not feed_forward:
        blocks = without_feed_forward(model.blocks)
        model = eqx.tree_at(lambda m: m.blocks, model, blocks)
    return _slope(model, jnp.asarray(ids), passes, last)


@eqx.filter_jit
def _slope(model: Transformer, ids: Array, passes: int, last: int) -> tuple[Array, Transformer]:
    @eqx.filter_value_and_grad
    def of(model: Transformer) -> Array:
        return jnp.mean(_ends(model, ids, passes, last))

    with jax.default_matmul_precision("highest"):
        return of(model)


def _ends(model: Transformer, ids: Array, passes: int, last: int) -> Array:
    """E of each prompt after block `last` of the last pass."""
    arch = model.architecture

    @jax.checkpoint  # pyright: ignore[reportPrivateImportUsage]
    def layer(h, x):
        place, number = x
        own = jax.tree.map(lambda w: w[number], model.blocks)
        block = own_block(arch, model.blocks, own, place)
        return through(arch, block, place, h[None])[0], None

    def some(h, count):
        places = jax.tree.map(lambda x: x[:count], by_layer(arch, h.dtype))
        numbers = jnp.asarray([arch.group(k) for k in range(count)])
        return jax.lax.scan(layer, h, (places, numbers))[0]

    @jax.checkpoint  # pyright: ignore[reportPrivateImportUsage]
    def one_pass(h, _):
        return final(arch, model.norm, some(h, arch.layers)), None

    def prompt(row):
        h = jax.lax.scan(one_pass, model.embed(row), None, length=passes - 1)[0]
        return measure(some(h, last + 1))["E"]

    return jax.lax.map(prompt, ids)


@dataclass(frozen=True, eq=False)
class SmallestChange:
    r"""What [`smallest_change`][] returns.

    **Attributes:**

    - `model`: with the change made.
    - `layer`: whose values and output were changed; `side`, `bound`: what E was asked to be.
    - `E`: after the passes with the change, by prompt; `before`: without.
    - `size`: $\sqrt{\sum_h |\Delta U_h|_F^2}$ of that layer; `relative`: over that of its $U$.
    - `reached`: whether the mean of `E` is on the side asked for. Where it is not, no change was found.
    """

    model: Transformer
    layer: int
    side: str
    bound: float
    E: Float[np.ndarray, " prompts"]
    before: Float[np.ndarray, " prompts"]
    size: float
    relative: float
    reached: bool

    def record(self) -> dict[str, Any]:
        """Without the model, plain values."""
        names = ("layer", "side", "bound", "size", "relative", "reached")
        plain = {name: getattr(self, name) for name in names}
        return plain | {"E": self.E.tolist(), "before": self.before.tolist()}

    def __str__(self) -> str:
        word = f"E {self.side} {self.bound:.3g}"
        if not self.reached:
            return f"layer {self.layer}: no change found with {word}; E is {self.E.mean():.3g}"
        return (
            f"layer {self.layer}: {word} by a change of U of size {self.size:.3g}, {self.relative:.3g} of "
            f"U; E from {self.before.mean():.3g} to {self.E.mean():.3g}"
        )


def smallest_change(
    model: Transformer,
    token_ids: Int[ArrayLike, "..."] | Sequence[Sequence[int]],
    *,
    layer: int,
    bound: float,
    side: str = "above",
    passes: int = 10,
    feed_forward: bool = True,
    steps: int = 100,
    rate: float = 0.01,
    progress: bool = True,
) -> SmallestChange:
    r"""The smallest change of one layer's $U$ that a search finds, with E above (or below) a bound after a loop.

    $U_h = W_V W_O$ of each head is moved by its two factors. Minimised by Adam is $|\Delta U|^2/|U|^2 +
    \mu\,\max(0, \ln\text{bound} - \ln E)^2$ with $\mu$ growing, E the mean over prompts (its logarithm has a gradient
    in consensus too); then the change is scaled back, by bisection, as far as the bound allows. It is an upper
    bound of the least change: the problem is not convex.

    **Arguments:**

    - `model`: a [`Transformer`][]; `token_ids`: `(prompts, length)`.
    - `layer`: whose values and output move. (Layers that share their weights move together.)
    - `bound`, `side`: E must be `"above"` it, tokens that stay apart; or `"below"`, tokens that come together.
    - `passes`: after which; `feed_forward`: of the passes.
    - `steps`, `rate`: of Adam; the rate is relative to the size of an entry of the weights.
    - `progress`: a bar, on a terminal.

    **Returns:**

    [`SmallestChange`][].

    **Raises:**

    `ValueError` on a layer that is not there, a bound that is not between 0 and 2, or another side.

    ```python
    result = af.language.smallest_change(model, ids, layer=3, bound=0.1, passes=10)
    print(result)
    ```
    """
    # === check arguments
    check_feed_forward(model, feed_forward)
    arch, ids = model.architecture, as_ids(model.architecture, token_ids)
    whole("passes", passes)
    whole("steps", steps)
    boolean("progress", progress)
    choose("side", side, _SIDES)
    if whole("layer", layer, least=0) >= arch.layers:
        raise ValueError(f"`layer` must be from 0 to {arch.layers - 1}; got {layer}.")
    if isinstance(bound, bool) or not isinstance(bound, float | int) or not 0 < bound < 2:
        raise ValueError(f"`bound` must be a number between 0 and 2, where E is; got {bound!r}.")
    if isinstance(rate, bool) or not isinstance(rate, float | int) or not rate > 0:
        raise ValueError(f"`rate` must be a positive number; got {rate!r}.")

    # === search
    whole_model = model
    if not feed_forward:
        model = eqx.tree_at(lambda m: m.blocks, model, without_feed_forward(model.blocks))
    group, rows = arch.group(layer), jnp.asarray(ids)
    first = _factors(model, group)
    sizes = tuple(jnp.sqrt(jnp.mean(x**2)) for x in first)
    delta = tuple(jnp.zeros_like(x) for x in first)
    optimiser = optax.adam(float(rate))
    state = optimiser.init(delta)
    sign = 1.0 if side == "above" else -1.0
    problem = (model, rows, first, sizes)
    asked = (jnp.asarray(float(bound), first[0].dtype), jnp.asarray(sign, first[0].dtype))
    one = jnp.ones(())
    before = np.asarray(_E(problem, delta, one, passes, group))
    best = None
    with bar(total=steps, unit="step", show=progress) as ticks:
        for step in range(steps):
            weight = jnp.asarray(0.1 * 10 ** (3 * step / steps))
            slope, E, size = _step(problem, delta, (weight, *asked), passes, group)
            if sign * (float(E) - bound) >= 0 and (best is None or float(size) < best[0]):
                best = (float(size), delta)
            with jax.numpy_dtype_promotion("standard"):  # optax mixes integers and floats
                updates, state = optimiser.update(slope, state)
                delta = _added(delta, updates)
            ticks.set_postfix_str(f"E {float(E):.2e}, change {float(size):.2e}", refresh=False)
            ticks.update()
    # === scale back
    good = 1.0
    if sign * (float(before.mean()) - bound) >= 0:
        best = (0.0, tuple(jnp.zeros_like(x) for x in first))
    chosen = delta if best is None else best[1]
    if best is not None and best[0] > 0:
        low = 0.0
        for _ in range(_BISECTIONS):
            middle = (low + good) / 2
            scale = jnp.asarray(middle)
            E = float(jnp.mean(_E(problem, chosen, scale, passes, group)))
            low, good = (low, middle) if sign * (E - bound) >= 0 else (middle, good)
    chosen = tuple(jnp.asarray(good, x.dtype) * x for x in chosen)
    E = np.asarray(_E(problem, chosen, one, passes, group))
    size, own = (float(x) for x in _size(problem, chosen, group))
    moved = _moved(whole_model, first, sizes, chosen, group)
    reached = bool(sign * (float(E.mean()) - bound) >= 0)
    return SmallestChange(moved, layer, side, float(bound), E, before, size, size / own, reached)


_Factors = tuple[Array, ...]


def _added(delta: _Factors, updates: Any) -> _Factors:
    return tuple(x + u for x, u in zip(delta, updates, strict=True))


_Problem = tuple[Transformer, Array, _Factors, _Factors]


def _factors(model: Transformer, group: int) -> _Factors:
    """Values `(dim, columns)` and output of a layer."""
    attention = model.blocks.attention
    start = attention.qkv.shape[-1] - model.architecture.kv_heads * model.architecture.width
    return wide(attention.qkv[group][:, start:]), wide(attention.out[group])


def _moved(
    model: Transformer, first: _Factors, sizes: _Factors, delta: _Factors, group: int
) -> Transformer:
    """The model with its layer's factors moved by `delta` in units of their entries' size."""
    V, O = (x + s * d for x, s, d in zip(first, sizes, delta, strict=True))  # noqa: E741
    a: Attention = model.blocks.attention
    start = a.qkv.shape[-1] - V.shape[1]
    qkv = a.qkv.at[group, :, start:].set(V.astype(a.qkv.dtype))
    out = a.out.at[group].set(O.astype(a.out.dtype))
    return eqx.tree_at(
        lambda m: (m.blocks.attention.qkv, m.blocks.attention.out), model, (qkv, out)
    )


@eqx.filter_jit
def _E(problem: _Problem, delta: _Factors, scale: Array, passes: int, group: int) -> Array:
    model, rows, first, sizes = problem
    delta = tuple(scale.astype(x.dtype) * x for x in delta)
    moved = _moved(model, first, sizes, delta, group)
    with jax.default_matmul_precision("highest"):
        return _ends(moved, rows, passes, model.architecture.layers - 1)


@eqx.filter_jit
def _size(problem: _Problem, delta: _Factors, group: int) -> tuple[Array, Array]:
    model, _, first, sizes = problem
    change, own = _squares(model, first, sizes, delta)
    return jnp.sqrt(change), jnp.sqrt(own)


def _squares(
    model: Transformer, first: _Factors, sizes: _Factors, delta: _Factors
) -> tuple[Array, Array]:
    """The sums over heads of |dU|^2 and of |U|^2, from products of a head's width."""
    arch = model.architecture
    h, kv, w = arch.heads, arch.kv_heads, arch.width
    copies = h // kv
    V, O = first  # noqa: E741
    dV, dO = (s * d for s, d in zip(sizes, delta, strict=True))

    def by_head(V, O):  # noqa: E741
        values = jnp.repeat(V.reshape(-1, kv, w).swapaxes(0, 1), copies, axis=0)
        return values, O.reshape(h, w, -1)

    V, O = by_head(V, O)  # noqa: E741
    dV, dO = by_head(dV, dO)
    # dU = V dO + dV (O + dO), a product of twice the width
    left, right = jnp.concatenate([V, dV], axis=2), jnp.concatenate([dO, O + dO], axis=1)

    def square(left, right):
        gram = (left.swapaxes(1, 2) @ left) * (right @ right.swapaxes(1, 2))
        return jnp.sum(gram)

    with jax.default_matmul_precision("highest"):
        return square(left, right), square(V, O)


@eqx.filter_jit
def _step(
    problem: _Problem,
    delta: _Factors,
    asked: tuple[Array, Array, Array],
    passes: int,
    group: int,
) -> tuple[_Factors, Array, Array]:
    """The slope of the search's objective, E and the size of the change."""
    (model, rows, first, sizes), (weight, bound, sign) = problem, asked

    def objective(delta):
        moved = _moved(model, first, sizes, delta, group)
        E = jnp.mean(_ends(moved, rows, passes, model.architecture.layers - 1))
        change, own = _squares(model, first, sizes, delta)
        tiny = jnp.asarray(jnp.finfo(E.dtype).tiny, E.dtype)
        short = jnp.log(bound.astype(E.dtype)) - jnp.log(jnp.maximum(E, tiny))
        missing = sign.astype(E.dtype) * short
        loss = change / own + weight.astype(E.dtype) * jnp.maximum(missing, 0) ** 2
        return loss, (E, jnp.sqrt(jnp.maximum(change, 0)))

    with jax.default_matmul_precision("highest"):
        slope, (E, size) = jax.grad(objective, has_aux=True)(delta)
    return slope, E, size
