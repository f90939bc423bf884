"""A start on a null set: two neighbours of it that go to either side."""

import math
from typing import Any

import jax.numpy as jnp
import numpy as np

from ..flow import simulate
from ..model import AttentionField
from ._attractor import NotDecided
from ._plain import decimal, rows_of

_APART = 1e-5  # half the angle between the neighbours, radians
_LONG, _POINTS = 100.0, 2001
_CLEAR = 0.05  # of sines, beyond which a neighbour has plainly left


def exceptional(field: AttentionField, y: np.ndarray) -> dict[str, Any]:
    r"""Third tokens beside y_3 between which one never leaves the arc from -y_1 to -y_2.

    **Theorem** (Ważewski's principle on an arc). Causal attention, $U = I$, three tokens on the circle,
    any positive weights of attention, $0 < \theta_2 < \pi$ the angle from $y_1$ to $y_2$,
    $\pi + \varphi$ that from $y_1$ to $y_3$. Where $\varphi = 0$, $\dot\varphi = -a_{32}\sin\theta_2 < 0$;
    where $\varphi = \theta_2$, $\dot\varphi - \dot\theta_2 = (a_{31} + a_{21})\sin\theta_2 > 0$. So
    $0 < \varphi < \theta_2$ is left outwards at either end and entered at none. The starts that leave
    below are an open set, those that leave above another; between one of each there is one that
    never leaves: $y_3$ is never near $y_1$, and comes to $-y_1$ as $y_2$ comes to $y_1$.

    The two neighbours start on the far side of $y_1$, $|\varphi| < \pi/2$, so that the arc between them is the one
    through $-y_1$. That the lower one has left below is seen when it lies in the arc between $y_2(0)$ and
    $-y_1$: a token that left above and went round is never beyond $y_2(0)$, since between $\theta_2$ and $\pi$ both
    others draw it back.
    """
    if y.shape != (3, 2):
        raise NotDecided(f"null sets are certified of 3 tokens in 2 dimensions; got {y.shape}")
    angles = np.arctan2(y[:, 1], y[:, 0])
    side = math.copysign(1.0, math.sin(angles[1] - angles[0]))
    thirds = [
        np.round([math.cos(a), math.sin(a)], 12) + 0.0
        for a in (angles[2] - side * _APART, angles[2] + side * _APART)
    ]
    times = [_leaves(field, y, third, above) for above, third in enumerate(thirds)]
    return {
        "kind": "exceptional",
        "tokens": rows_of(y[:2]),
        "thirds": rows_of(thirds),
        "times": [decimal(time) for time in times],
    }


def _leaves(field: AttentionField, y: np.ndarray, third: np.ndarray, above: int) -> float:
    """When a third token has plainly left the arc, in units of the scale."""
    scale = float(field.scale)
    ts = jnp.linspace(0.0, _LONG / (field.heads * scale), _POINTS)
    y0 = field.manifold.project(jnp.asarray(np.vstack([y[:2], third])))
    run = simulate(field, y0, t1=ts[-1], ts=ts, rtol=1e-10, atol=1e-12, throw=False)
    a, b, c = np.moveaxis(np.asarray(run.ys), 1, 0)
    side = np.sign(_cross(a[:1], b[:1]))
    if above:
        left = (side * _cross(a, c) < -_CLEAR) & (side * _cross(b, c) < -_CLEAR)
    else:
        left = (side * _cross(a, c) > _CLEAR) & (side * _cross(b[:1], c) > _CLEAR)
    if not left.any():
        raise NotDecided("a third token beside the start was not seen to leave the arc on its side")
    return float(f"{float(ts[int(np.argmax(left))]) * scale:.4g}")


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
