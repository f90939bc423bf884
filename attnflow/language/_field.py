"""A model as a field: its heads Piecewise in depth, Periodic under looping, on the sphere of Remark 2.2."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Int

from ..core.checks import choose, is_concrete, whole
from ..geometry import Sphere
from ..model import AttentionField, AttentionLayers, LayerNorm
from ..schedules import AbstractSchedule, Factored
from ._depth import FeedForwardByLayer, KeyBiased, ValueBias, in_depth, repeated
from ._heads import as_radius, centred, heads
from ._model import GPT, wide, without_feed_forward
from ._prompts import as_ids

BIASES = ("account", "drop", "refuse")


def as_field(
    model: GPT,
    *,
    passes: int = 1,
    biases: str = "account",
    radius: float | None = None,
    length: int | None = None,
) -> AttentionField:
    r"""The attention of a model as the flow of eq. (6), on the unit sphere in place of Remark 2.2's.

    Layer $l$ acts during $l \le t < l + 1$, its heads as [`heads`][] folds them. With several `passes`
    $P$ and $U$ repeat with the period of all layers; with one, the last layer acts from its time on.
    No head is formed as a `(d, d)` matrix.
    Tokens are $y = \Pi h/|\Pi h|$ ([`start`][] gives those of a prompt), and rows of attention sum to
    1 (`scale=1`). What eq. (6) leaves out, [`compare`][] tells with numbers.

    **Arguments:**

    - `model`: a [`GPT`][].
    - `passes`: how often the layers are gone through.
    - `biases`: `"account"`: exactly, as a drift (values and output) and as [`KeyBiased`][] scores
      (queries; what a bias of keys adds is the same for all keys, and softmax drops it); `"drop"`:
      without them; `"refuse"`: an error if there are any.
    - `radius`: the length of a token in the residual stream, $\sqrt d$ unless given: see [`heads`][].
    - `length`: tokens of the prompts that it is for. Needed for a GPT-Neo, whose local layers are
      causal attention as long as this is no more than their window.

    **Returns:**

    An [`AttentionField`][attnflow.AttentionField], causal, for tokens in the hyperplane
    $\mathbf 1^\perp$: it keeps them there. (Rounding grows where values shorten tokens, as
    $e^{-\int y_i^\top A_i\,dt}$ with $A_i$ the sum before projection; [`as_layers`][] removes it.)

    **Raises:**

    `ValueError` on bad arguments, a window shorter than `length`, or biases with `biases="refuse"`.

    ```python
    field = af.language.as_field(model, passes=2)
    y0 = af.language.start(model, ids[0])
    sol = af.simulate(field, y0, t1=2.0 * model.architecture.layers)
    ```
    """
    radius = _check(model, passes, biases, radius, length, feed_forward=False)
    found, layers = heads(model, radius=radius), model.architecture.layers
    P: AbstractSchedule = Factored(in_depth(found.Q), in_depth(found.K))
    U = Factored(in_depth(found.O), in_depth(found.V))
    drift = None
    if biases == "account":
        if _some(found.key_bias):
            P = KeyBiased(P, in_depth(found.key_bias))
        if _some(found.value_bias):
            drift = ValueBias(repeated(in_depth(found.value_bias), layers, passes))
    return AttentionField(
        Sphere(model.architecture.dim),
        repeated(P, layers, passes),
        repeated(U, layers, passes),
        mask="causal",
        scale=jnp.ones((), found.Q.dtype),
        drift=drift,
    )


def as_layers(
    model: GPT,
    *,
    passes: int = 1,
    feed_forward: bool = False,
    biases: str = "account",
    radius: float | None = None,
    length: int | None = None,
) -> AttentionLayers:
    r"""A model as the discrete layers of eq. (1), $y_i \leftarrow N(y_i + \sum_\eta\sum_j \alpha_{ij} U_\eta y_j)$.

    The field is [`as_field`][]'s, seen at $t = 0, 1, 2, \dots$ by one layer after the other, and $N$ is
    layer normalisation of gain $1/\sqrt d$: it takes tokens to unit vectors of $\mathbf 1^\perp$
    (Remark 2.2). With `feed_forward` it is the poster's block, $z = N(\cdot)$, $y \leftarrow N(z + f(z))$,
    where $f(z) = \tfrac1r \Pi f_l(\sqrt d\,\gamma_2 \star z + \beta_2)$ is the layer's own, after its second
    normalisation.

    **Arguments:**

    - `feed_forward`: with it.
    - the others: as in [`as_field`][]; biases are those of the feed-forward too.

    **Returns:**

    [`AttentionLayers`][attnflow.AttentionLayers], for `iterate` with a depth up to `passes * layers`.

    **Raises:**

    `ValueError` as in [`as_field`][], and where the feed-forward's weights were not loaded.

    ```python
    layers = af.language.as_layers(model, passes=2)
    af.iterate(layers, af.language.start(model, ids[0]), depth=2 * model.architecture.layers)
    ```
    """
    radius = _check(model, passes, biases, radius, length, feed_forward)
    own = "account" if biases == "refuse" else biases
    field = as_field(model, passes=passes, biases=own, radius=radius, length=length)
    d = model.architecture.dim
    f = _feed_forward(model, passes, biases, radius) if feed_forward else None
    norm = LayerNorm(jnp.full(d, d**-0.5, field.scale.dtype))
    return AttentionLayers(field, jnp.ones_like(field.scale), norm=norm, feed_forward=f)


def start(
    model: GPT, ids: Int[ArrayLike, " length"] | Int[ArrayLike, "prompts length"]
) -> Float[Array, "*prompts length dim"]:
    r"""Where prompts begin on the sphere: $\Pi h/|\Pi h|$ of token plus position embedding $h$.

    Of one prompt, `(length, dim)`; of several, `(prompts, length, dim)`.
    """
    rows = as_ids(model.architecture, ids)
    y = directions(jnp.stack([model.embed(row) for row in rows]))
    return y if jnp.ndim(ids) == 2 else y[0]


def directions(h: Float[Array, "*batch dim"]) -> Float[Array, "*batch dim"]:
    r"""$\Pi h/|\Pi h|$ on the last axis."""
    h = centred(h)
    return h / jnp.linalg.norm(h, axis=-1, keepdims=True)


def nonzero_biases(model: GPT, feed_forward: bool) -> dict[str, float]:
    """The biases of a model's blocks that are not zero, by name: the largest of each."""
    blocks = model.blocks if feed_forward else without_feed_forward(model.blocks)
    leaves = jax.tree_util.tree_leaves_with_path(blocks)
    found = {
        jax.tree_util.keystr(path).lstrip("."): float(jnp.max(jnp.abs(wide(x))))
        for path, x in leaves
        if "bias" in path[-1].name
    }
    return {name: size for name, size in found.items() if size > 0}


def _check(
    model: Any, passes: Any, biases: str, radius: Any, length: Any, feed_forward: bool
) -> float:
    radius = as_radius(model, radius)
    choose("biases", biases, BIASES)
    arch = model.architecture
    whole("passes", passes)
    if length is not None:
        whole("length", length)
    if feed_forward and model.blocks.feed_forward is None:
        raise ValueError(
            "`feed_forward` needs the feed-forward's weights, which were not loaded: "
            "load the model with feed_forward=True."
        )
    longest = arch.positions if length is None else length
    for layer, window in enumerate(arch.windows):
        if window is not None and window < longest:
            given = f"got {length}" if length is not None else f"got none, which is {longest}"
            raise ValueError(
                f"`length` must be at most {window} tokens, the local window of layer {layer}, which "
                f"is causal attention up to there; {given}."
            )
    if biases == "refuse":
        found = nonzero_biases(model, feed_forward)
        if found:
            shown = ", ".join(f"{name} (up to {size:.3g})" for name, size in found.items())
            raise ValueError(
                f"`biases`='refuse' needs a model without biases; got {shown}. Keep them with "
                "biases='account', or leave them out with biases='drop'."
            )
    return radius


def _some(x: Array) -> bool:
    return not is_concrete(x) or bool(jnp.any(x != 0))


def _feed_forward(model: GPT, passes: int, biases: str, radius: float) -> FeedForwardByLayer:
    f, norm, d = model.blocks.feed_forward, model.blocks.feed_forward_norm, model.architecture.dim
    assert f is not None
    assert norm is not None
    up, down, gain = wide(f.up), wide(f.down), wide(norm.gain)
    with jax.default_matmul_precision("highest"):
        shift = jnp.einsum("ld,ldm->lm", wide(norm.bias), up) + wide(f.up_bias)
    arrays = [d**0.5 * gain[:, :, None] * up, shift]
    arrays += [centred(down) / radius, centred(wide(f.down_bias)) / radius]
    if biases == "drop":
        arrays = [arrays[0], jnp.zeros_like(arrays[1]), arrays[2], jnp.zeros_like(arrays[3])]
    up, shift, down, end = (
        repeated(in_depth(x), model.architecture.layers, passes) for x in arrays
    )
    return FeedForwardByLayer(up, shift, down, end, model.architecture.activation)
