"""Leaders of hardmax attention, arXiv:2407.01602."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key
from matplotlib.figure import Figure

from ..flow import iterate
from ..geometry import Euclidean
from ..model import AttentionField, AttentionLayers, rescaled
from ..observables import leaders
from ._claims import GalleryClaim, Measured, worst
from ._style import BLUE, GREY, ORANGE, RED, label, panels

PAPER = "2407.01602"
TOKENS, DEPTH = {"tiny": 12, "small": 30, "full": 200}, {"tiny": 120, "small": 200, "full": 400}
ALPHA = 1.0  # layers go the part alpha/(1 + alpha) of the way
SCORES = ((1.0, 0.3), (0.3, 0.7))  # A, symmetric positive definite


def hardmax_leaders(key: Key[Array, ""], size: str) -> Measured:
    """Tokens of the plane under hardmax layers: leaders stand, the others come to them or between them."""
    A = jnp.array(SCORES)
    field = rescaled(AttentionField(Euclidean(2), P=A, kernel="hardmax", scale=1.0))
    z0 = Euclidean(2).random(key, (TOKENS[size],))
    layers = AttentionLayers(field, step=ALPHA / (1 + ALPHA))
    zs = np.asarray(jax.jit(lambda z: iterate(layers, z, depth=DEPTH[size]).ys)(z0))
    ever = np.stack(
        [np.asarray(leaders(field, 0.0, jnp.asarray(z))) for z in zs[:: max(1, DEPTH[size] // 40)]]
    )
    # When others have come to a leader it ties with them: it is one if it ever was.
    first, last = ever[0], ever.any(axis=0)
    stand = worst(zs[:, first] - zs[0][first])
    norms = np.einsum("kid,de,kie->ki", zs, np.array(SCORES), zs)
    fall = float(np.diff(norms, axis=0).min())
    rest = worst(zs[-1] - zs[-2])
    ends = zs[-1]
    to_leader = np.linalg.norm(ends[:, None] - ends[last][None], axis=2).min(axis=1)
    points = np.unique(np.round(ends, 6), axis=0)
    since = ever.argmax(axis=0) * max(1, DEPTH[size] // 40)
    late = max(worst(zs[since[j] :, j] - zs[since[j], j]) for j in np.flatnonzero(last))
    claims = (
        GalleryClaim(
            f"{PAPER}, leaders",
            "a token that attends to itself alone is a leader: it stands still from then on",
            f"{first.sum()} leaders of {len(first)} tokens at the start move by {stand:.0e} in {DEPTH[size]} layers, "
            f"all {last.sum()} that ever lead by {late:.0e} from when they do",
            bool(stand < 1e-12 and late < 1e-12),
        ),
        GalleryClaim(
            f"{PAPER}, main theorem",
            "A symmetric positive definite: tokens converge to a clustered equilibrium",
            f"{len(ends)} tokens end in {len(points)} points, last layer's largest step {rest:.0e}",
            bool(rest < 1e-9 and len(points) < len(ends)),
        ),
        GalleryClaim(
            f"{PAPER}, main theorem",
            "which is made of leaders and of points between them",
            f"{(to_leader < 1e-6).sum()} tokens at one of {last.sum()} leaders, {(to_leader >= 1e-6).sum()} elsewhere",
            bool((to_leader < 1e-6).mean() > 0.5),
        ),
        GalleryClaim(
            "of these layers",
            "no token's length in the norm of A ever falls",
            f"least change of x'Ax in a layer: {fall:+.0e}",
            fall > -1e-12,
        ),
    )
    arrays = {"zs": zs, "leader": last, "leader_first": first, "norms": norms}
    return Measured(arrays, claims)


def draw_hardmax_leaders(data: Measured) -> Figure:
    """Paths of the tokens, and their squared lengths by layer."""
    figure, (plane, norms) = panels(
        2, "Hardmax layers in the plane: leaders", width=4.4, height=4.0
    )
    zs, leader = data["zs"], data["leader"]
    plane.plot(zs[:, :, 0], zs[:, :, 1], color=BLUE, linewidth=0.7)
    plane.plot(zs[0, :, 0], zs[0, :, 1], "o", color="white", markeredgecolor=GREY, markersize=3.5)
    plane.plot(
        zs[-1, ~leader, 0], zs[-1, ~leader, 1], "o", color=ORANGE, markersize=4, label="ends"
    )
    plane.plot(zs[-1, leader, 0], zs[-1, leader, 1], "*", color=RED, markersize=11, label="leaders")
    plane.plot(0, 0, "+", color="black")
    plane.set_aspect("equal")
    plane.legend(frameon=False, fontsize="small")
    label(plane, "", "", f"{zs.shape[1]} tokens")
    shown = min(41, len(data["norms"]))
    norms.plot(np.arange(shown), data["norms"][:shown], color=BLUE, linewidth=0.7)
    label(norms, "layer", r"$x_i^\top A x_i$", "never falls")
    return figure
