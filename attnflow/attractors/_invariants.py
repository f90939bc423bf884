"""What stays of tokens when they are rotated, mirrored or relabelled: numbers to recognise a state by.

Host-side NumPy, many states at once. Each number moves by no more than the entries of the Gram matrices do
(sorting does not spread), so that one tolerance serves all.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from ..geometry import AbstractManifold
from ..model import AttentionField

_COMBINED = 2  # of more heads than that, two combinations with fixed weights are looked at
_SAME = 1e-9


class Invariants:
    r"""Numbers that agree for two states where a symmetry of the field takes one to the other.

    The matrices $\langle y_i, y_j\rangle_W$, $y_i^\top P_\eta y_j$ and $\langle y_i, U_\eta y_j\rangle_W$ do not
    change under rotations and signs that commute with the field. Where tokens may change places, entries, sums of rows
    and of their squares are sorted; they are left in their places under a causal mask, under masses that
    differ or frozen tokens. With a drift, or scores that are not those of matrices, nothing but the tokens will do.
    """

    def __init__(self, field: AttentionField, t: float, example: np.ndarray):
        self.manifold = field.manifold
        self.relabels = _may_change_places(field, t, example)
        self.plain = field.drift is not None or not field.matrix_scores
        self.forms = [] if self.plain else _forms(field, t, example.dtype)

    def laws(self, y: Float[np.ndarray, "tokens dim"], size: int) -> list[np.ndarray]:
        """So many quantiles of what pairs of tokens have, or of tokens: no number of tokens is left in them."""
        x = unit(self.manifold, y[None])[0]
        parts = list(x.T) if self.plain else [x @ x.T, *(x @ form @ x.T for form in self.forms)]
        at = (np.arange(size) + 0.5) / size
        return [np.sort(part.ravel())[(at * part.size).astype(int)] for part in parts]

    def __call__(self, ys: Float[np.ndarray, "states tokens dim"]) -> np.ndarray:
        """The numbers of each state, shape `(states, numbers)`."""
        x = unit(self.manifold, ys)
        if self.plain:
            return (
                np.sort(x, axis=1).reshape(len(x), -1) if self.relabels else x.reshape(len(x), -1)
            )
        parts = []
        for form in [None, *self.forms]:
            right = x if form is None else x @ form.T
            gram = x @ right.transpose(0, 2, 1)
            if not self.relabels:
                parts.append(gram.reshape(len(x), -1))
                continue
            n = gram.shape[1]
            rows = np.sort(gram.mean(axis=2), axis=1)
            squares = np.sort((gram**2).mean(axis=2), axis=1)
            parts += [np.sort(gram.reshape(len(x), n * n), axis=1), rows, squares]
        return np.concatenate(parts, axis=1)


def unit(manifold: AbstractManifold, ys: np.ndarray) -> Float[np.ndarray, "states tokens dim"]:
    """Tokens in the coordinates in which the manifold is the unit sphere, in float64."""
    x = np.asarray(manifold.whiten(jnp.asarray(ys)), np.float64)
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def _forms(field: AttentionField, t: float, dtype: np.dtype) -> list[np.ndarray]:
    """The matrices of scores and values in whitened coordinates, of length one; no multiples of the identity."""
    dim, manifold = field.dim, field.manifold
    eye = jnp.eye(dim, dtype=dtype)
    out = np.asarray(manifold.unwhiten(eye), np.float64)  # rows: y of the axes of x
    back = np.asarray(manifold.whiten(eye), np.float64)
    forms = []
    for schedule, scores in ((field.P, True), (field.U, False)):
        if schedule is None:
            continue
        M = np.asarray(schedule(jnp.asarray(t, dtype)), np.float64).reshape(-1, dim, dim)
        M = out @ M @ out.T if scores else np.swapaxes(out @ np.swapaxes(M, 1, 2) @ back, 1, 2)
        if len(M) > _COMBINED:
            mixed = np.random.default_rng(0).normal(size=(_COMBINED, len(M)))
            M = np.einsum("ch,hab->cab", mixed, M)
        for A in M:
            rest = A - np.trace(A) / dim * np.eye(dim)
            if np.linalg.norm(rest) > _SAME * (1 + np.linalg.norm(A)):
                forms.append(rest / np.linalg.norm(rest))
    return forms


def _may_change_places(field: AttentionField, t: float, example: np.ndarray) -> bool:
    """Whether tokens that change places go on as each other did: tried with one order that moves all."""
    if len(example) == 1:
        return False

    def velocity(y: np.ndarray) -> np.ndarray:
        return np.asarray(field(t, jnp.asarray(y)))

    order = np.roll(np.random.default_rng(0).permutation(len(example)), 1)
    swap = np.arange(len(example))
    swap[:2] = [1, 0]
    here = velocity(example)
    precision = np.finfo(here.dtype)
    scale = float(np.max(np.abs(here))) + float(precision.tiny)
    error = max(float(np.max(np.abs(velocity(example[p]) - here[p]))) for p in (order, swap))
    return error <= float(precision.eps) ** 0.5 * scale
