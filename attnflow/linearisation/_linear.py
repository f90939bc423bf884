"""Eigenvalues with their errors, by the blocks that tokens form; least squares that ignores rounding.

Host-side NumPy in float64, for analysis of one configuration at a time.
"""

from typing import NamedTuple

import numpy as np


class Eigen(NamedTuple):
    """Eigenvalues of a Jacobian, those with the largest real part first.

    - `values`: complex, shape `(n,)`.
    - `errors`: how far rounding may have moved each.
    - `modes`: unit eigenvectors as columns, complex; NaN where an eigenvalue has none of its own.
    - `block`: which block of tokens each belongs to.
    """

    values: np.ndarray
    errors: np.ndarray
    modes: np.ndarray
    block: np.ndarray


def token_blocks(J: np.ndarray, tokens: int) -> list[np.ndarray]:
    """The tokens in groups that depend on one another, a group after those that it depends on.

    Causal attention: every token alone, in order. Full attention: all in one group.
    """
    m = len(J) // tokens
    feels = np.any(J.reshape(tokens, m, tokens, m) != 0, axis=(1, 3)) | np.eye(tokens, dtype=bool)
    while True:
        further = (feels.astype(np.float64) @ feels) > 0
        if np.array_equal(further, feels):
            break
        feels = further
    first = np.argmax(feels & feels.T, axis=1)
    leaders = np.unique(first)
    leaders = leaders[np.argsort(feels[leaders].sum(axis=1), kind="stable")]
    return [np.flatnonzero(first == leader) for leader in leaders]


def coordinates(tokens: np.ndarray, m: int) -> np.ndarray:
    """The rows of the Jacobian that belong to these tokens, `m` for each."""
    return (tokens[:, None] * m + np.arange(m)[None, :]).ravel()


def eigen(J: np.ndarray, tokens: int, *, eps: float, noise: float, modes: bool = False) -> Eigen:
    """Eigenvalues of `J`, one block of tokens at a time: zeros above the blocks cost no digits.

    **Arguments:**

    - `J`: shape `(n, n)`, `n` a multiple of `tokens`.
    - `eps`: the unit of rounding of its entries.
    - `noise`: how far its entries may be off, in the norm of the matrix.
    - `modes`: whether to find eigenvectors too (else they are NaN).
    """
    n, m = len(J), len(J) // tokens
    blocks = [coordinates(group, m) for group in token_blocks(J, tokens)]
    values, errors, vectors, owners = [], [], [], []
    for k, rows in enumerate(blocks):
        some, error, V = _dense(J[np.ix_(rows, rows)], eps, noise)
        values.append(some)
        errors.append(error)
        owners.append(np.full(len(rows), k))
        columns = np.full((n, len(rows)), np.nan, complex)
        if modes:
            columns = _extend(J, rows, blocks[k + 1 :], some, V, eps)
        vectors.append(columns)
    value = np.concatenate(values)
    order = np.lexsort((-np.imag(value), -np.real(value)))
    return Eigen(
        value[order],
        np.concatenate(errors)[order],
        np.concatenate(vectors, axis=1)[:, order],
        np.concatenate(owners)[order],
    )


def _dense(A: np.ndarray, eps: float, noise: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Eigenvalues of one block, their errors, and eigenvectors as columns."""
    n = len(A)
    size = float(np.linalg.norm(A, 2))
    blur = n * eps * size + noise
    skew = float(np.linalg.norm(A - A.T)) / 2
    if skew <= 64 * np.sqrt(n) * (eps * size + noise):
        values, V = np.linalg.eigh((A + A.T) / 2)
        return values.astype(complex), np.full(n, blur + skew), V.astype(complex)
    values, V = np.linalg.eig(A)
    values, V = values.astype(complex), V.astype(complex)
    # An eigenvalue that several eigenvectors share has a basis of them that is orthonormal.
    near = np.abs(values[:, None] - values[None, :]) <= 100 * blur
    for i in range(n):
        together = np.flatnonzero(near[i])
        if together[0] == i and len(together) > 1:
            basis, widths, _ = np.linalg.svd(V[:, together], full_matrices=False)
            if widths[-1] > 1e-6:
                V[:, together] = basis
    _, widths, _ = np.linalg.svd(V)
    if widths[-1] <= eps:
        return values, np.full(n, np.sqrt(blur * size)), V
    condition = np.linalg.norm(np.linalg.inv(V), axis=1) * np.linalg.norm(V, axis=0)
    return values, condition * blur, V


def _extend(J, rows, later, values, V, eps) -> np.ndarray:
    """Eigenvectors of one block as those of all of `J`, by substitution: what later blocks follow."""
    n, scale = len(J), float(np.linalg.norm(J, 2))
    extended = np.zeros((n, len(values)), complex)
    extended[rows] = V
    # Columns that repeat one another are one eigenvector: the first keeps it.
    overlap = np.triu(np.abs(V.conj().T @ V), 1)
    extended[:, overlap.max(axis=0) > 1 - 1e-10] = np.nan
    for k in np.flatnonzero(~np.isnan(extended[rows[0]])):
        before = rows
        for block in later:
            feels = J[np.ix_(block, before)]
            push = feels @ extended[before, k]
            size = float(np.linalg.norm(feels, axis=0) @ np.abs(extended[before, k]))
            before = np.concatenate([before, block])
            if size == 0:
                continue
            shifted = J[np.ix_(block, block)] - values[k] * np.eye(len(block))
            answer, missed = least_squares(shifted, -push, cut=64 * n * eps * scale, rounding=0)
            extended[block, k] = answer
            if np.linalg.norm(missed) > 1e3 * n * eps * size:
                # Another block has this eigenvalue, and the only eigenvector.
                extended[:, k] = np.nan
                break
    known = ~np.isnan(extended[rows[0]])
    extended[:, known] /= np.linalg.norm(extended[:, known], axis=0)
    return extended


def least_squares(
    A: np.ndarray, b: np.ndarray, *, cut: float, rounding: float
) -> tuple[np.ndarray, np.ndarray]:
    """The shortest `x` for which `A x = b` as nearly as the digits allow, and what is left, `b - A x`.

    Singular values up to `cut` are taken as zero. A component of `b` of the size of `rounding`
    says nothing, and moves nothing: divided by a small singular value it would.
    """
    left, widths, right = np.linalg.svd(A, full_matrices=False)
    parts = left.conj().T @ b
    use = (widths > cut) & (np.abs(parts) > rounding)
    x = right.conj().T @ np.where(use, parts / np.where(use, widths, 1), 0)
    return x, b - A @ x
