"""`spectra`: eigenvalues, asymmetry and size of every head's matrices, from matrices of its width."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..core.compiled import compiled
from ..core.machine import one_blas_thread
from ._architecture import Architecture
from ._heads import as_radius, folded
from ._model import Transformer
from ._modules import Attention, wide
from ._spectra_table import Spectra


def spectra(model: Transformer, *, radius: float | None = None) -> Spectra:
    r"""What the theorems ask of $U_\eta$ and $P_\eta$, of every head of a model.

    Of $U = O^\top V$ the top eigenvalue, and of $\tfrac12(U + U^\top)$ the top two; how far $U$ and $P$
    are from symmetric; the multiple of the identity nearest to $P$; the largest score that $P$ can
    give. Matrices are those of [`heads`][], on the hyperplane $\mathbf 1^\perp$ of dimension $d - 1$.
    Nothing of size $d \times d$ is formed: with $[O^\top\; V^\top] = ZR$, $Z$ of orthonormal columns, $U$ is
    $Z\,(R_O R_V^\top)\,Z^\top$, a matrix of size $2w$; and the nonzero eigenvalues of $U$ are those of
    $VO^\top$, of size $w$.

    **Arguments:**

    - `model`: a [`Transformer`][].
    - `radius`: the length of a token in the residual stream, which values are relative to: see
      [`heads`][]. It scales the eigenvalues of $U$, and changes no verdict.

    RMS norms leave the whole space of $d$ dimensions; $P$ is that at equal positions where positions
    rotate. Where queries and keys are normalised there is no $P$: its columns are NaN but for
    `logit`, which is then $c\,w \max_i|\gamma^q_i\gamma^k_i|$, a bound by the gains.

    **Returns:**

    [`Spectra`][]. Printed, it is a table by layer.

    **Raises:**

    `ValueError` where `model` is no [`Transformer`][] or `radius` is not positive.

    ```python
    result = af.language.spectra(model)
    print(result)
    result.top                                                # (layers, heads)
    print(result.verdict(0, 3))                               # Theorem 4.5 for layer 0, head 3
    ```
    """
    radius = as_radius(model, radius)
    arch, blocks = model.architecture, model.blocks
    dtype = wide(blocks.attention_norm.gain).dtype
    layers = []
    # Matrices this small are slower by several threads than by one: ten times, on a busy machine.
    with one_blas_thread():
        for layer in range(arch.layers):
            group = arch.group(layer)
            attention, norm = jax.tree.map(
                lambda x, k=group: x[k], (blocks.attention, blocks.attention_norm)
            )
            scale = jnp.asarray(arch.scales[layer], dtype)
            arrays = _folded(arch, attention, norm, scale, radius)
            four = [np.asarray(x, np.float64) for x in arrays[:4]]
            rows = [of_head(*one, whole=arch.of.rms) for one in zip(*four, strict=True)]
            layers.append([_bounded(arch, attention, row) for row in rows])
    table = np.asarray(layers)
    eps = float(jnp.finfo(dtype).eps)
    columns = (table[:, :, k] for k in range(table.shape[2]))
    return Spectra(*columns, architecture=arch, radius=radius, eps=eps)


_folded: Any = compiled(folded)


def _bounded(arch: Architecture, attention: Attention, row: tuple[float, ...]) -> tuple[float, ...]:
    """With normed queries and keys P is no matrix: its largest score is bounded by the gains alone."""
    if attention.query_norm is None or attention.key_norm is None:
        return row
    gains = np.abs(np.asarray(attention.query_norm.gain * attention.key_norm.gain, np.float64))
    bound = float(arch.scales[0] * arch.width * gains.max())
    return (*row[:5], np.nan, bound, np.nan, np.nan)


def of_head(
    Q: np.ndarray,
    K: np.ndarray,
    V: np.ndarray,
    O: np.ndarray,  # noqa: E741
    *,
    whole: bool = False,
) -> tuple[float, ...]:
    """The columns of [`Spectra`][] for one head, of factors `(width, dim)` in the hyperplane, or `whole`."""
    d = Q.shape[1] + whole  # tokens have d - 1 dimensions
    U, P = _compressed(O, V), _compressed(Q, K)
    own = _on_the_hyperplane(np.linalg.eigvals(V @ O.T), d)
    symmetric = np.sort(_on_the_hyperplane(np.linalg.eigvalsh((U + U.T) / 2), d))
    return (
        float(np.real(own).max()),
        float(symmetric[-1]),
        float(symmetric[-2]) if d > 2 else -np.inf,
        float(np.abs(symmetric).max()),
        _asymmetry(U),
        float(np.sum(Q * K)) / (d - 1),
        float(np.linalg.norm(P, 2)),
        _asymmetry(P),
        _from_identity(P, d - 1),
    )


def _compressed(A: np.ndarray, B: np.ndarray) -> np.ndarray:
    """$A^\\top B$ in an orthonormal basis of the span of the rows of both; it is zero elsewhere."""
    R = np.asarray(np.linalg.qr(np.concatenate([A, B]).T, mode="r"))
    return R[:, : len(A)] @ R[:, len(A) :].T


def _on_the_hyperplane(values: np.ndarray, d: int) -> np.ndarray:
    """The eigenvalues there, `d - 1` of them, from those of a matrix that has all that are not zero."""
    if len(values) < d:
        return np.append(values, np.zeros(d - 1 - len(values)))
    # One of the zeros is that of the vector (1, ..., 1).
    return np.delete(values, np.argsort(np.abs(values))[: len(values) - (d - 1)])


def _from_identity(M: np.ndarray, dim: int) -> float:
    """$|M - \\beta I|_F/|M|_F$ in `dim` dimensions, of the nearest multiple of the identity."""
    square = float(np.sum(M * M))
    return float(np.sqrt(max(0.0, 1 - float(np.trace(M)) ** 2 / (dim * square)))) if square else 0.0


def _asymmetry(M: np.ndarray) -> float:
    size = float(np.linalg.norm(M))
    return float(np.linalg.norm(M - M.T)) / (2 * size) if size else 0.0
