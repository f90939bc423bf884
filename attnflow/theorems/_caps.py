"""Separate caps that hold the tokens, as the theorem on metastability asks for them."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from ._setting import Setting


class Caps(NamedTuple):
    r"""Caps $\langle x, w_q\rangle \ge 1 - \varepsilon$ that hold the tokens, and how long at least.

    `slack` is the number that has to be positive,
    $1 - \alpha - 8\varepsilon - \ln(2\ell^2/\varepsilon)/\beta$, with $\alpha$ the largest inner product of
    points of different caps of size $2\varepsilon$; `time` is $(\varepsilon/\ell)e^{(1-\alpha)\beta}$ in units
    of a scale of one.
    """

    centres: np.ndarray
    labels: np.ndarray
    eps: float
    slack: float
    time: float


def caps(s: Setting, beta: float) -> Caps | None:
    """The caps that hold the tokens for the longest time, `None` where none qualify.

    Tried are the groups that single linkage makes of the tokens, each with every size of cap on a
    fine grid.
    """
    if not beta > 0 or s.tokens < 2:
        return None
    x = np.asarray(s.field.manifold.whiten(jnp.asarray(s.y0)), np.float64)
    x = x / np.linalg.norm(x, axis=1, keepdims=True)
    best = None
    for labels in _groupings(s.cosines):
        sums = np.stack([x[labels == q].sum(axis=0) for q in range(labels.max() + 1)])
        norms = np.linalg.norm(sums, axis=1, keepdims=True)
        if np.any(norms == 0):
            continue
        centres = sums / norms
        spread = 0.5 * np.sum((x - centres[labels]) ** 2, axis=1).max()
        smallest = max(spread, s.eps)
        if smallest >= 0.25:
            continue
        eps = np.geomspace(smallest, 0.25, 400)
        between = np.arccos(np.clip(centres @ centres.T, -1, 1))[np.triu_indices(len(centres), 1)]
        nearest = np.maximum(between.min() - 2 * np.arccos(1 - 2 * eps), 0)
        alpha = np.cos(nearest)
        slack = 1 - alpha - 8 * eps - np.log(2 * s.tokens**2 / eps) / beta
        time = eps / s.tokens * np.exp(np.minimum((1 - alpha) * beta, 700.0))
        k = int(np.argmax(np.where(slack > 0, time, -1.0)))
        if slack[k] > 0 and (best is None or time[k] > best.time):
            best = Caps(centres, labels, float(eps[k]), float(slack[k]), float(time[k]))
    return best


def _groupings(cosines: np.ndarray):
    """Labels of the groups of single linkage, from the first merge apart until two groups are left."""
    tokens = len(cosines)
    labels = np.arange(tokens)
    yield labels
    i, j = np.triu_indices(tokens, 1)
    for k in np.argsort(-cosines[i, j], kind="stable"):
        a, b = labels[i[k]], labels[j[k]]
        if a != b:
            labels = np.where(labels == b, a, labels)
            if len(np.unique(labels)) < 2:
                return
            yield np.unique(labels, return_inverse=True)[1].reshape(-1)
