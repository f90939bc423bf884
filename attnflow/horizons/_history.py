"""What a long run went through: the merges and their tree, the plateaus between them, the curve of its energy."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int


@dataclass(frozen=True)
class Merges:
    r"""The merges of clusters, in order.

    **Attributes:**

    - `log_t`: ln t at which two clusters came within `near` of one another, shape `(merges,)`; `-inf` for
      tokens that start at one place.
    - `clusters`: how many there are from then on.
    - `pairs`: which two merged, `(merges, 2)`, numbered as by SciPy's `linkage`: below the number of tokens
      a token, `tokens + k` what came of merge `k`.
    - `sizes`: tokens in the new cluster.
    - `by_start`, `by_beta`: with `gradients=True` the derivatives of `log_t`, by the start along the sphere,
      `(merges, tokens, dim)`, and by the $\beta$ of $P$, `(merges,)`, with `near`, `merge` and the bias held; else
      `None`. NaN where tokens start at one place. A bias with the exponential kernel only multiplies the speed:
      the derivative by it is -1.
    """

    log_t: Float[np.ndarray, " merges"]
    clusters: Int[np.ndarray, " merges"]
    pairs: Int[np.ndarray, "merges 2"]
    sizes: Int[np.ndarray, " merges"]
    by_start: Float[np.ndarray, "merges tokens dim"] | None = None
    by_beta: Float[np.ndarray, " merges"] | None = None


@dataclass(frozen=True)
class Saved:
    r"""What there was at the saves that were asked for.

    **Attributes:**

    - `at`: where on the clock, as asked for, shape `(saves,)`.
    - `log_t`, `lengths`: ln t, and the length of the path until then.
    - `energies`, `ys`: the energy, and the tokens `(saves, tokens, dim)`. After one cluster is left they rest; where
      the run ended balanced, saves after it are NaN.
    """

    at: Float[np.ndarray, " saves"]
    log_t: Float[np.ndarray, " saves"]
    lengths: Float[np.ndarray, " saves"]
    energies: Float[np.ndarray, " saves"]
    ys: Float[np.ndarray, "saves tokens dim"]


@dataclass(frozen=True)
class LongRun:
    r"""The result of [`long_run`][attnflow.horizons.long_run].

    **Attributes:**

    - `merges`: the [`Merges`][].
    - `energy`: $\sum_{ij} m_i m_j e^{\beta(\cos - 1)}$ on each plateau, `(merges + 1,)`: at the start, and after each
      merge when its tokens have become one (or, if that comes first, when the next two clusters are near).
    - `levels`: what the plateaus would be if clusters did not feel one another at all, $\sum_k m_k^2$.
    - `clock`, `ticks`: the clock that was chosen, and what it showed at every step.
    - `log_t`, `t`, `lengths`: ln t of every step, t (infinite beyond $10^{308}$), and the length of the path.
    - `energies`, `ys`: the energy and the tokens `(steps, tokens, dim)` there.
    - `saved`: what there was at the saves, [`Saved`][].
    - `log_t1`, `y1`: where it ended.
    - `angles`: on the circle, the angles of `y1`, turns counted from those of `y0` in $(-\pi, \pi]$: the exponential
      kernel keeps their mean. `None` elsewhere.
    - `near`, `merge`: the distances (chords) at which clusters count as one, and tokens are replaced by one.
    - `length`: of the path, $\int \sqrt{\sum_i m_i |\dot y_i|^2}\, dt$.
    - `ended`: `"one cluster"`; where the end that was given came first, `"log_t1"`, or `"t"` or `"length"` by the
      clock; or `"balanced"`: all forces cancel to rounding, as on a regular polygon, and what comes next is not decided
      by these numbers.
    """

    merges: Merges
    energy: Float[np.ndarray, " plateaus"]
    levels: Float[np.ndarray, " plateaus"]
    clock: str
    log_t: Float[np.ndarray, " steps"]
    lengths: Float[np.ndarray, " steps"]
    energies: Float[np.ndarray, " steps"]
    ys: Float[np.ndarray, "steps tokens dim"]
    saved: Saved
    log_t1: float
    y1: Float[np.ndarray, "tokens dim"]
    angles: Float[np.ndarray, " tokens"] | None
    near: float
    merge: float
    length: float
    ended: str

    @property
    def t(self) -> Float[np.ndarray, " steps"]:
        """Time of every step; infinite where no float is large enough."""
        with np.errstate(over="ignore"):
            return np.exp(self.log_t)

    @property
    def ticks(self) -> Float[np.ndarray, " steps"]:
        """What the clock chosen showed at every step."""
        return {"log_t": self.log_t, "t": self.t, "length": self.lengths}[self.clock]

    def labels(self, log_t: float) -> Int[np.ndarray, " tokens"]:
        """The cluster of each token at that ln t: `0, 1, ...` in the order in which clusters first appear."""
        tokens = len(self.y1)
        root = np.arange(tokens)
        for k in range(int(np.sum(self.merges.log_t <= log_t))):
            root[np.isin(root, self.merges.pairs[k])] = tokens + k
        _, first, labels = np.unique(root, return_index=True, return_inverse=True)
        return np.argsort(np.argsort(first))[labels]

    def __str__(self) -> str:
        when = ", ".join(f"{x:.4g}" for x in self.merges.log_t)
        return f"{len(self.y1)} tokens, merges at ln t = [{when}]; ended at {self.log_t1:.4g}: {self.ended}"
