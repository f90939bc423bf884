"""`compare`: a real network beside eq. (1) and eq. (6) with its own matrices, and what sets them apart."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Int

from ..core.compiled import compiled
from ..flow import iterate, simulate
from ..model import AttentionField
from ..observables import misalignment
from ._axes import Directions, axes
from ._comparison import Comparison
from ._field import as_layers, directions, nonzero_biases
from ._heads import as_radius, in_plane
from ._layer import by_layer, own_block, scanned, through
from ._model import Transformer, final
from ._modules import without_feed_forward
from ._prompts import as_ids

_SEEN = 1e-6  # relative differences below this are not worth a sentence in float32 or float64


def compare(
    model: Transformer,
    token_ids: Int[ArrayLike, "..."] | Sequence[Sequence[int]],
    *,
    passes: int = 1,
    feed_forward: bool = False,
    biases: str = "account",
    radius: float | None = None,
    manifold: str = "sphere",
) -> Comparison:
    r"""The misalignment of a real network, layer by layer, beside eq. (1) and eq. (6) with its own heads.

    All three begin with the prompts' embedding: the network as it is looped ([`looped`][]), the
    others with its directions in $\mathbf 1^\perp$ ([`start`][]). Eq. (1) is [`as_layers`][], eq. (6) is
    [`as_field`][] integrated from layer to layer, looked at where layers end.

    **Arguments:**

    - `model`: a [`Transformer`][].
    - `token_ids`: prompts, `(prompts, length)`.
    - `passes`: how often the layers are gone through.
    - `feed_forward`: with it in the network, and in eq. (1) as in the poster's block; eq. (6) has none.
    - `biases`, `radius`, `manifold`: of the equations, as in [`as_field`][]. The network keeps its biases;
      E is that of directions on any manifold.

    **Returns:**

    A [`Comparison`][]: `.E` is a dict of `(prompts, 1 + passes * layers)`, `.assumptions` says what sets
    the equations apart from this network, with numbers.

    **Raises:**

    `ValueError` as [`as_field`][] does, and on ids outside the vocabulary.

    ```python
    result = af.language.compare(model, ids, passes=2)
    print(result)
    result.E["eq. (6)"]                                       # (prompts, 1 + 2 * layers)
    ```
    """
    # === check arguments
    radius = as_radius(model, radius)
    arch, ids = model.architecture, as_ids(model.architecture, token_ids)
    options: dict[str, Any] = {
        "passes": passes,
        "biases": biases,
        "radius": radius,
        "length": ids.shape[1],
        "manifold": manifold,
    }
    half = axes(model, manifold)
    observe = Directions(half)
    layers = as_layers(model, feed_forward=feed_forward, **options)
    field = layers.field
    depth = passes * arch.layers

    # === run
    h = jnp.stack([model.embed(row) for row in jnp.asarray(ids)])
    blocks = model.blocks if feed_forward else without_feed_forward(model.blocks)
    with jax.default_matmul_precision("highest"):
        seen = _network(eqx.tree_at(lambda m: m.blocks, model, blocks), h, passes)
    network = {name: np.asarray(value) for name, value in seen.items()}
    discrete, continuous, tilt = [], [], 0.0
    for y0 in directions(arch, h):
        y0 = y0 if half is None else y0 * half[None]
        discrete.append(np.asarray(iterate(layers, y0, depth=depth, observe=observe).ys))
        ts = jnp.arange(depth + 1, dtype=y0.dtype)
        sol = simulate(field, y0, t1=ts[-1], ts=ts, observe=observe)
        continuous.append(np.asarray(sol.ys))
        tilt = max(tilt, float(jnp.max(jnp.abs(jnp.mean(sol.y1, axis=1)))) * arch.dim**0.5)
    E = {
        "network": network["E"],
        "network, centred": network["centred"],
        "eq. (1)": np.stack(discrete),
        "eq. (6)": np.stack(continuous),
    }
    if arch.of.rms:  # which take no mean off: the same curve again
        del E["network, centred"]
    differences = [
        *_of_the_network(model, network, radius, passes),
        *_of_biases(model, field, biases, feed_forward),
        *_of_the_equations(E, feed_forward, tilt),
    ]
    return Comparison(
        E=E,
        length=network["size"] / radius,
        radius=radius,
        architecture=arch,
        passes=passes,
        feed_forward=bool(feed_forward),
        biases=biases,
        assumptions=tuple(differences),
    )


@compiled
def _network(model: Transformer, h: Array, passes: int) -> dict[str, Array]:
    """What the residual stream does, by prompt: at the embedding and after every block; before every block."""
    arch = model.architecture

    def after(h: Array) -> dict[str, Array]:
        projected = in_plane(arch, h)
        size = jnp.linalg.norm(projected, axis=-1)
        along = jnp.abs(jnp.mean(h, axis=-1)) * arch.dim**0.5
        return {
            "E": misalignment(h),
            "centred": misalignment(projected),
            "size": jnp.mean(size),
            "mean": jnp.max(along / jnp.linalg.norm(h, axis=-1)),
        }

    def layer(h, x):
        place, own = x
        size = jnp.linalg.norm(in_plane(arch, h), axis=-1)
        h = through(arch, own_block(arch, model.blocks, own, place), place, h[None])[0]
        return h, after(h) | {"least": jnp.min(size), "most": jnp.max(size)}

    def one_pass(h, _):
        layers = (by_layer(arch, h.dtype), scanned(arch, model.blocks))
        h, seen = jax.lax.scan(layer, h, layers)
        return final(arch, model.norm, h), seen

    def prompt(h):
        seen = jax.lax.scan(one_pass, h, None, length=passes)[1]
        seen = {name: x.reshape(-1) for name, x in seen.items()}
        begin = {name: x[None] for name, x in after(h).items()}
        return {
            name: jnp.concatenate([begin[name], x]) if name in begin else x
            for name, x in seen.items()
        }

    # One prompt at a time: only one's scores are in memory.
    return jax.lax.map(prompt, h)


def _of_the_network(
    model: Transformer, seen: dict[str, np.ndarray], radius: float, passes: int
) -> list[str]:
    """What the equations leave out of the residual stream and its normalisations."""
    arch, differences = model.architecture, []
    least, most = float(seen["least"].min()) / radius, float(seen["most"].max()) / radius
    if max(abs(least - 1), abs(most - 1)) > _SEEN:
        differences.append(
            "the residual stream's length is not fixed: blocks of the network meet tokens of "
            f"{least:.3g} to {most:.3g} times the length {radius:.4g} that the equations give all of "
            "them, and turn shorter ones by more"
        )
    if arch.epsilon > 0:
        variance = (least * radius) ** 2 / arch.dim
        shorter = 1 - (1 + arch.epsilon / variance) ** -0.5
        differences.append(
            f"epsilon is {arch.epsilon:.3g} in the network's normalisations and 0 in the equations': "
            f"what attention sees is shorter by a part of up to {shorter:.2g}"
        )
    mean = float(seen["mean"].max())
    if mean > _SEEN and not arch.of.rms:
        differences.append(
            "tokens of the network have a mean, which is up to "
            f"{mean:.2g} of their length and enters its E; the equations' have none, nor has "
            "'network, centred'"
        )
    differences += _of_the_family(model)
    gain, bias = np.ones(1), np.zeros(1)
    if model.norm is not None:
        gain = np.asarray(model.norm.gain, np.float64)
        bias = bias if model.norm.bias is None else np.asarray(model.norm.bias, np.float64)
    if passes > 1 and (np.ptp(gain) > _SEEN * np.abs(gain).max() or gain[0] < 0 or np.any(bias)):
        differences.append(
            "the final normalisation, once a pass, is not in the equations: gains from "
            f"{gain.min():.3g} to {gain.max():.3g}, biases up to {np.abs(bias).max():.3g} (alone and "
            "repeated, a bias drives E to 0: control='normalisation' of attnflow.language.looped)"
        )
    if model.dtype.itemsize < 4:
        differences.append(
            f"the network multiplies in {model.dtype}, the equations in float32 with the same weights"
        )
    return differences


def _of_the_family(model: Transformer) -> list[str]:
    """What the family's blocks do that eqs. (1) and (6) of the paper do not have, with numbers."""
    arch, differences = model.architecture, []
    norm = model.blocks.attention_norm
    if arch.of.post_norm:
        gain, bias = np.asarray(norm.gain, np.float64), np.asarray(norm.bias, np.float64)
        differences.append(
            f"norms after attention have gains from {gain.min():.3g} to {gain.max():.3g} and biases up "
            f"to {np.abs(bias).max():.3g}; the equations' N has gain 1 and no bias"
        )
    if arch.rotary:
        bases = ", ".join(f"{b:.4g}" for b in sorted(set(arch.rotary)))
        differences.append(
            f"scores depend on the distance of two tokens (rotations of base {bases}): the equations "
            "here have them, as RotaryScores; the paper's P is one matrix"
        )
    if arch.of.normed_scores:
        differences.append(
            "queries and keys are normalised head by head, in the equations here too; the paper's are not"
        )
    if arch.of.sandwiched:
        differences.append(
            "what attention adds is normalised before it is added, in the equations here too "
            "(Sandwiched, epsilon 0); in the paper's eq. (6) it is not"
        )
    return differences


def _of_biases(
    model: Transformer, field: AttentionField, biases: str, feed_forward: bool
) -> list[str]:
    result = nonzero_biases(model, feed_forward)
    if not result:
        return []
    listed = ", ".join(f"{name} up to {size:.3g}" for name, size in result.items())
    if biases == "drop":
        return [f"biases are left out of the equations: {listed}"]
    drift = 0.0
    if field.drift is not None:
        y = jnp.zeros((1, field.dim), field.scale.dtype)
        times = range(model.architecture.layers)
        drift = max(
            float(jnp.linalg.norm(field.drift(jnp.asarray(float(t)), y, None))) for t in times
        )
    return [
        f"biases ({listed}) are kept, as a drift of length up to {drift:.3g} and as scores of keys: the "
        "paper's eqs. (1) and (6) have neither, and its theorems allow for none"
    ]


def _of_the_equations(E: dict[str, np.ndarray], feed_forward: bool, tilt: float) -> list[str]:
    differences = []
    if feed_forward:
        differences.append(
            "the feed-forward is in eq. (1) as in the poster's block, which normalises before it too; "
            "eq. (6) has none"
        )
    apart = float(np.abs(E["eq. (1)"] - E["eq. (6)"]).max())
    differences.append(
        "eq. (6) is continuous in depth, eq. (1) and the network are not: the two equations' E are up "
        f"to {apart:.3g} apart"
    )
    if tilt > 1e-3:
        differences.append(
            f"rounding has taken tokens of eq. (6) out of the hyperplane of Remark 2.2, by {tilt:.2g} of "
            "their length: the values repel it there"
        )
    return differences
