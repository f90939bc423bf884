"""The model of the paper in plain NumPy: weights, eq. (6) with eq. (3) in full, eq. (1).

Deliberately naive. `Oracle.velocity_by_loops` is the definition, a sum over heads, tokens and
tokens; `Oracle.velocity` is the same in arrays, quick enough for a reference integration.
"""

import dataclasses
import math
from collections.abc import Callable

import numpy as np


def _schedule(value) -> Callable[[float], np.ndarray]:
    """A function of time that gives one matrix a head, (h, d, d), from a function or an array."""

    def call(t):
        matrix = np.asarray(value(t) if callable(value) else value, dtype=float)
        return matrix[None] if matrix.ndim == 2 else matrix

    return call


@dataclasses.dataclass(frozen=True)
class Oracle:
    """A field: `W`, `P` and `U` (arrays or functions of time), mask, kernel, normalisation.

    `allowed` is a Boolean (l, l) matrix, `bias` is added to the logits, `weights` are the masses of
    the tokens (they multiply the exponentials), `normalisation` is one of "post", "pre", "peri",
    "ngpt", "sqrt", "mix"; `alpha` is nGPT's, `switch` is Mix's time.
    """

    W: np.ndarray
    P: object
    U: object = None
    allowed: np.ndarray | None = None
    bias: np.ndarray | None = None
    kernel: str = "softmax"
    normalisation: str = "post"
    scale: float | None = None
    weights: np.ndarray | None = None
    frozen: np.ndarray | None = None
    drift: Callable | None = None
    alpha: Callable[[float], float] = lambda t: 1.0
    switch: float = 0.0

    @property
    def dim(self) -> int:
        return self.W.shape[0]

    @property
    def factor(self) -> float:
        return 1 / math.sqrt(self.dim) if self.scale is None else self.scale

    def matrices(self, t):
        P = _schedule(self.P)(t)
        U = np.eye(self.dim)[None] if self.U is None else _schedule(self.U)(t)
        heads = max(len(P), len(U))
        return (
            np.broadcast_to(P, (heads, self.dim, self.dim)),
            np.broadcast_to(U, (heads, self.dim, self.dim)),
        )

    def norm(self, x) -> np.ndarray:
        return np.sqrt(np.einsum("...a,ab,...b->...", x, self.W, x))

    # === arrays

    def attention(self, t, y) -> np.ndarray:
        """(h, l, l): how much token i takes from token j under each head."""
        P, _ = self.matrices(t)
        tokens = len(y)
        logits = np.einsum("ia,hab,jb->hij", y, P, y)
        if self.bias is not None:
            logits = logits + self.bias
        allowed = np.ones((tokens, tokens), bool) if self.allowed is None else self.allowed
        mass = np.ones(tokens) if self.weights is None else np.asarray(self.weights)
        if self.kernel == "softmax":
            logits = np.where(allowed, logits, -np.inf)
            logits = logits - logits.max(axis=-1, keepdims=True)
            raw = np.exp(logits) * mass
            return self.factor * raw / raw.sum(axis=-1, keepdims=True)
        if self.kernel == "exp":
            return self.factor * np.where(allowed, np.exp(logits), 0) * mass / mass.sum()
        raise ValueError(self.kernel)

    def pull(self, t, y) -> np.ndarray:
        """(l, d): what attention hands each token, before any normalisation."""
        _, U = self.matrices(t)
        return np.einsum("hij,hab,jb->ia", self.attention(t, y), U, y)

    def tangent(self, y, v) -> np.ndarray:
        """Eq. (3), row by row."""
        r = self.norm(y)[:, None]
        return (v - y * np.einsum("ia,ab,ib->i", y, self.W, v)[:, None] / r**2) / r

    def velocity(self, t, y) -> np.ndarray:
        velocity = self._normalised(t, y)
        if self.frozen is not None:
            velocity = np.where(np.asarray(self.frozen)[:, None], 0.0, velocity)
        return velocity

    def _normalised(self, t, y) -> np.ndarray:
        drift = 0.0 if self.drift is None else self.drift(t, y)
        kind = self.normalisation
        if kind == "mix":
            kind = "post" if t < self.switch else "pre"
        if kind == "post":
            return self.tangent(y, self.pull(t, y) + drift)
        if kind == "sqrt":
            return self.tangent(y, self.pull(t, y) + drift) / math.sqrt(t + 1)
        if kind == "ngpt":
            A = self.pull(t, y) + drift
            return self.alpha(t) * self.tangent(y, A / self.norm(A)[:, None])
        A = self.pull(t, y / self.norm(y)[:, None]) + drift
        if kind == "pre":
            return A
        if kind == "peri":
            return A / self.norm(A)[:, None]
        raise ValueError(kind)

    # === loops

    def velocity_by_loops(self, t, y) -> np.ndarray:
        """Eq. (6) letter by letter (softmax or exp, post-normalisation, no mass, bias or drift)."""
        P, U = self.matrices(t)
        W, tokens, d = self.W, len(y), self.dim
        out = np.zeros((tokens, d))
        for i in range(tokens):
            v = np.zeros(d)
            for eta in range(len(P)):
                Z = 0.0
                terms = []
                for j in range(tokens):
                    if self.allowed is not None and not self.allowed[i, j]:
                        continue
                    weight = math.exp(float(y[i] @ P[eta] @ y[j]))
                    Z += weight
                    terms.append(weight * (U[eta] @ y[j]))
                if self.kernel == "exp":
                    Z = float(tokens)
                v = v + sum(terms) * self.factor / Z
            r = math.sqrt(float(y[i] @ W @ y[i]))
            T = (np.eye(d) - np.outer(y[i], y[i]) @ W / r**2) / r
            out[i] = T @ v
        return out


def layer(oracle: Oracle, k: int, y, step: float, *, skip=True, norm=None, feed_forward=None):
    """Eq. (1), one layer: `y_i <- N(y_i + step * pull_i)`, `N` the projection unless given.

    With `feed_forward` it is the poster's: `z = N(f_sa(y))`, then `y <- N(z + f_ff(z))`.
    """
    normalise = norm or (lambda x: x / oracle.norm(x)[:, None])
    z = normalise((y if skip else 0) + step * oracle.pull(k, y))
    if feed_forward is None:
        return z
    return normalise(z + np.stack([feed_forward(row) for row in z]))


def misalignment(y) -> float:
    """Eq. (9), with 1 - cos written as half a squared distance."""
    unit = y / np.linalg.norm(y, axis=1, keepdims=True)
    return float(np.mean(0.5 * np.sum((unit - unit[0]) ** 2, axis=1)))
