"""A model as a field: its heads Piecewise in depth, Periodic under looping, on the sphere of Remark 2.2."""

from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Int

from ..core.checks import choose, is_concrete, whole
from ..core.types import Scalar, Tokens
from ..geometry import AbstractManifold
from ..model import AbstractNormalisation, AttentionField, AttentionLayers, LayerNorm
from ..schedules import AbstractSchedule, Factored
from ._architecture import Architecture
from ._axes import axes, stretched, surface
from ._depth import FeedForwardByLayer, KeyBiased, ValueBias, in_depth, repeated
from ._heads import as_radius, heads, in_plane, is_plain, laid_out, read_by
from ._model import Transformer, check_feed_forward
from ._modules import wide, without_feed_forward
from ._prompts import as_ids
from ._scores import scores

BIASES = ("account", "drop", "refuse")


def as_field(
    model: Transformer,
    *,
    passes: int = 1,
    biases: str = "account",
    radius: float | None = None,
    length: int | None = None,
    manifold: str = "sphere",
) -> AttentionField:
    r"""The attention of a model as the flow of eq. (6), on the unit sphere in place of Remark 2.2's.

    Layer $l$ acts during $l \le t < l + 1$, its heads as [`heads`][] folds them. With several `passes`
    $P$ and $U$ repeat with the period of all layers; with one, the last layer acts from its time on.
    No head is formed as a `(d, d)` matrix.
    Tokens are $y = \Pi h/|\Pi h|$ ([`start`][] gives those of a prompt), and rows of attention sum to
    1 (`scale=1`). What eq. (6) leaves out, [`compare`][] lists with numbers.

    **Arguments:**

    - `model`: a [`Transformer`][].
    - `passes`: how often the layers are gone through.
    - `biases`: `"account"`: exactly, as a drift (values and output) and as [`KeyBiased`][] scores
      (queries; what a bias of keys adds is the same for all keys, and softmax drops it); `"drop"`:
      without them; `"refuse"`: an error if there are any.
    - `radius`: the length of a token in the residual stream, $\sqrt d$ unless given: see [`heads`][].
    - `length`: tokens of the prompts that it is for. Needed for a GPT-Neo, Mistral or Gemma, whose local
      layers are causal attention as long as this is no more than their window.
    - `manifold`: `"ellipsoid"`, for RMS norms, takes the first layer's gains into $W$: tokens are
      $a = \sqrt d\,\gamma \star h/|h|$, what attention of that layer reads, on
      $\sum_i (a_i/\gamma_i)^2 = d$, $W = \mathrm{diag}(1/(d\gamma^2))$, and its $P$ is
      $c\,W_q^\top W_k$ bare; of other layers the gains over the first's remain in $P$ and $U$. The flow
      is that of `"sphere"` in other coordinates. Its conditioning is $(\max\gamma/\min\gamma)^2$.

    **Returns:**

    An [`AttentionField`][attnflow.AttentionField], causal or (BERT) full, for tokens in the hyperplane
    $\mathbf 1^\perp$: it keeps them there. (Tokens of RMS norms are in all of the space.) Where positions
    rotate or queries and keys are normalised, `P` is [`RotaryScores`][]; where what attention adds is
    normalised, the field's normalisation is [`Sandwiched`][]. (Rounding grows where values shorten tokens, as
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
    half, arch = axes(model, manifold), model.architecture
    result, layers = stretched(heads(model, radius=radius), half), arch.layers
    P: AbstractSchedule = Factored(in_depth(result.Q), in_depth(result.K))
    if not is_plain(arch):
        P = scores(model, result, radius)
        if biases == "drop":
            P = eqx.tree_at(lambda p: (p.query_bias, p.key_bias), P, replace_fn=_zeros)
    U = Factored(in_depth(result.O), in_depth(result.V))
    drift = None
    if biases == "account":
        if _some(result.key_bias):
            P = KeyBiased(P, in_depth(result.key_bias))
        if _some(result.value_bias):
            drift = ValueBias(repeated(in_depth(result.value_bias), layers, passes))
    return AttentionField(
        surface(arch.dim, half),
        repeated(P, layers, passes),
        repeated(U, layers, passes),
        mask="causal" if arch.of.causal else None,
        normalisation=_normalisation(model, radius, passes),
        scale=jnp.ones((), result.Q.dtype),
        drift=drift,
    )


def as_layers(
    model: Transformer,
    *,
    passes: int = 1,
    feed_forward: bool = False,
    biases: str = "account",
    radius: float | None = None,
    length: int | None = None,
    manifold: str = "sphere",
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
    field = as_field(
        model, passes=passes, biases=own, radius=radius, length=length, manifold=manifold
    )
    d = model.architecture.dim
    f = None
    if feed_forward:
        f = _feed_forward(model, passes, biases, radius, axes(model, manifold))
    norm = None
    if not model.architecture.of.rms:
        norm = LayerNorm(jnp.full(d, d**-0.5, field.scale.dtype))
    return AttentionLayers(field, jnp.ones_like(field.scale), norm=norm, feed_forward=f)


def _zeros(schedule: AbstractSchedule) -> AbstractSchedule:
    return jax.tree.map(jnp.zeros_like, schedule)


class Sandwiched(AbstractNormalisation):
    r"""What attention adds is normalised first: $A$ becomes $\Gamma(t)\,A/|A|$, then $\dot y = T_yA$.

    Gemma's second norm, $\Gamma = \sqrt d\,\mathrm{diag}(\gamma)/r$: the theory's Peri-LN on the sphere.
    """

    gain: AbstractSchedule
    projected: ClassVar[bool] = True
    starts_on_manifold: ClassVar[bool] = True

    def velocity(self, manifold: AbstractManifold, t: Scalar, y: Tokens, A: Tokens) -> Tokens:
        return manifold.to_tangent(y, self.layer(manifold, t, y, A))

    def layer(self, manifold: AbstractManifold, t: Scalar, y: Tokens, A: Tokens) -> Tokens:
        size = manifold.norm(A)[..., None]
        unit = jnp.where(size > 0, A / jnp.where(size > 0, size, 1), 0)
        return self.gain(t).astype(A.dtype)[None] * unit

    @property
    def parts(self) -> tuple[AbstractSchedule, ...]:
        return (self.gain,)


def _normalisation(model: Transformer, radius: float, passes: int) -> AbstractNormalisation | str:
    out, arch = model.blocks.attention_out_norm, model.architecture
    if out is None:
        return "post"
    gain = in_depth(arch.dim**0.5 / radius * wide(out.gain))
    return Sandwiched(repeated(gain, arch.layers, passes))


def start(
    model: Transformer,
    ids: Int[ArrayLike, " length"] | Int[ArrayLike, "prompts length"],
    *,
    manifold: str = "sphere",
) -> Float[Array, "*prompts length dim"]:
    r"""Where prompts begin on the sphere: $\Pi h/|\Pi h|$ of token plus position embedding $h$.

    Of one prompt, `(length, dim)`; of several, `(prompts, length, dim)`. `manifold` as in [`as_field`][].
    """
    half = axes(model, manifold)
    rows = as_ids(model.architecture, ids)
    y = directions(model.architecture, jnp.stack([model.embed(row) for row in rows]))
    y = y if half is None else y * half[None, None]
    return y if jnp.ndim(ids) == 2 else y[0]


def directions(arch: Architecture, h: Float[Array, "*batch dim"]) -> Float[Array, "*batch dim"]:
    r"""$\Pi h/|\Pi h|$ on the last axis; $h/|h|$ where norms take no mean off."""
    h = in_plane(arch, h)
    return h / jnp.linalg.norm(h, axis=-1, keepdims=True)


def nonzero_biases(model: Transformer, feed_forward: bool) -> dict[str, float]:
    """The biases of a model's blocks that are not zero, by name: the largest of each."""
    blocks = model.blocks if feed_forward else without_feed_forward(model.blocks)
    if model.architecture.of.post_norm:  # the equations' N has none, whatever they are asked for
        blocks = eqx.tree_at(
            lambda b: (b.attention_norm, b.feed_forward_norm),
            blocks,
            (None, None),
            is_leaf=lambda x: x is None,
        )
    leaves = jax.tree_util.tree_leaves_with_path(blocks)
    result = {
        jax.tree_util.keystr(path).lstrip("."): float(jnp.max(jnp.abs(wide(x))))
        for path, x in leaves
        if "bias" in path[-1].name
    }
    return {name: size for name, size in result.items() if size > 0}


def _check(
    model: Any, passes: Any, biases: str, radius: Any, length: Any, feed_forward: bool
) -> float:
    radius = as_radius(model, radius)
    choose("biases", biases, BIASES)
    arch = model.architecture
    if feed_forward and (arch.parallel or arch.of.sandwiched):
        where = "beside" if arch.parallel else "between norms after"
        raise ValueError(
            f"`feed_forward` must be False for this {arch.family}: its feed-forward stands {where} "
            "attention, which the poster's block has not."
        )
    for name, value in (("passes", passes), ("length", 1 if length is None else length)):
        whole(name, value)
    check_feed_forward(model, feed_forward)
    longest = arch.positions if length is None else length
    for layer, window in enumerate(arch.windows):
        if window is not None and window < longest:
            given = f"got {length}" if length is not None else f"got none, which is {longest}"
            raise ValueError(
                f"`length` must be at most {window} tokens, the local window of layer {layer}, which "
                f"is causal attention up to there; {given}."
            )
    if biases == "refuse":
        result = nonzero_biases(model, feed_forward)
        if result:
            listed = ", ".join(f"{name} (up to {size:.3g})" for name, size in result.items())
            raise ValueError(
                f"`biases`='refuse' needs a model without biases; got {listed}. Keep them with "
                "biases='account', or leave them out with biases='drop'."
            )
    return radius


def _some(x: Array) -> bool:
    return not is_concrete(x) or bool(jnp.any(x != 0))


def _feed_forward(
    model: Transformer, passes: int, biases: str, radius: float, half: Array | None
) -> FeedForwardByLayer:
    arch, d = model.architecture, model.architecture.dim
    f, norm = laid_out(arch, (model.blocks.feed_forward, model.blocks.feed_forward_norm))
    gain, bias = jax.vmap(lambda n: read_by(arch, n, radius))(norm)
    half = jnp.ones(d, gain.dtype) if half is None else half

    def read(matrix: Array, own: Array | None) -> tuple[Array, Array]:
        matrix = wide(matrix)
        with jax.default_matmul_precision("highest"):
            shift = jnp.einsum("ld,ldm->lm", bias, matrix)
        shift = shift if own is None else shift + wide(own)
        shift = jnp.zeros_like(shift) if biases == "drop" else shift
        return d**0.5 * (gain / half[None])[:, :, None] * matrix, shift

    down_bias = jnp.zeros((arch.layers, d), gain.dtype)
    if f.down_bias is not None and biases != "drop":
        down_bias = wide(f.down_bias)
    arrays = [*read(f.up, f.up_bias)]
    out = half / radius
    arrays += [in_plane(arch, wide(f.down)) * out[None, None]]
    arrays += [in_plane(arch, down_bias) * out[None]]
    if f.gate is not None:
        arrays += read(f.gate, f.gate_bias)
    schedules = [repeated(in_depth(x), arch.layers, passes) for x in arrays]
    return FeedForwardByLayer(*schedules, activation=arch.activation)
