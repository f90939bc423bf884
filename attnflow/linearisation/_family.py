"""Families of equilibria that symmetry gives: the directions in which nothing pulls a state back.

Found by geometry, and not by counting small eigenvalues, which may be small for other reasons.
"""

import numpy as np

from ..model import AttentionField, Hardmax, Softmax
from ._jacobian import Frame

_LARGEST_DIM = (
    24  # the generators of rotations number d(d - 1)/2, a matrix of all of them that squared
)


def family_directions(field: AttentionField, frame: Frame) -> np.ndarray:
    r"""An orthonormal basis, shape `(n, f)`, of the known family of equilibria through the tokens.

    In whitened coordinates, with `P` and `U` at the frame's time:

    - rotations: `S x`, `S` skew with `S P_η = P_η S` and `S U_η = U_η S` for every head;
    - tokens on one line, every `U_η` a multiple of the identity: the line turns;
    - tokens at one point, `Σ_η U_η` a multiple of the identity, a row-normalised kernel: the point
      moves.

    Rotations other than those of a line are not looked for beyond 24 dimensions, and none of
    these with a `drift` or where scores are not those of a matrix.
    """
    x = np.asarray(frame.x, np.float64)
    tokens, dim = x.shape
    none = np.zeros((tokens * (dim - 1), 0))
    if field.drift is not None or not field.matrix_scores:
        return none
    tolerance = 1e3 * frame.eps
    directions = [none]
    if dim <= _LARGEST_DIM:
        for S in rotations(frame.local.P, frame.local.U, tolerance):
            directions.append(_in_bases(x @ S.T, frame))
    if _on_a_line(field, frame, x, tolerance):
        signs = np.sign(x @ x[0])
        for w in np.eye(dim):
            directions.append(_in_bases(signs[:, None] * w[None, :], frame))
    D = np.concatenate(directions, axis=1)
    if frame.local.frozen is not None and D.shape[1]:
        # Only those that leave frozen tokens where they are.
        held = np.repeat(frame.local.frozen, dim - 1)
        _, widths, right = np.linalg.svd(D[held], full_matrices=True)
        rank = int(np.sum(widths > np.sqrt(frame.eps)))
        D = D @ right[rank:].T
    return column_space(D, np.sqrt(frame.eps))


def rotations(P: np.ndarray, U: np.ndarray | None, tolerance: float) -> np.ndarray:
    """A basis, shape `(g, d, d)`, of the skew matrices that commute with every head's P and U."""
    dim = P.shape[-1]
    a, b = np.triu_indices(dim, 1)
    basis = np.zeros((len(a), dim, dim))
    basis[np.arange(len(a)), a, b], basis[np.arange(len(a)), b, a] = 1, -1
    generators = basis
    for M in P if U is None else np.concatenate([P, U]):
        M = M - np.trace(M) / dim * np.eye(dim)  # the identity commutes with all
        size = np.linalg.norm(M)
        if size <= tolerance * (1 + abs(np.trace(M))) or not len(generators):
            continue
        bracket = (generators @ M - M @ generators).reshape(len(generators), -1) / size
        left, widths, _ = np.linalg.svd(bracket)
        rank = int(np.sum(widths > tolerance * dim))
        generators = np.einsum("kg,kab->gab", left[:, rank:], generators)
    return generators


def _on_a_line(field: AttentionField, frame: Frame, x: np.ndarray, tolerance: float) -> bool:
    """Whether tokens are on one line through 0 that may turn to any other."""
    along = x @ x[0]
    if np.abs(x - along[:, None] * x[0]).max() > tolerance:
        return False
    U = frame.local.U
    if U is None or all(_is_multiple_of_identity(M, tolerance) for M in U):
        return True
    normalised = isinstance(field.kernel, Softmax | Hardmax)
    together = bool(along.min() > 0)
    return normalised and together and _is_multiple_of_identity(U.sum(axis=0), tolerance)


def _is_multiple_of_identity(M: np.ndarray, tolerance: float) -> bool:
    rest = M - np.trace(M) / len(M) * np.eye(len(M))
    return bool(np.linalg.norm(rest) <= tolerance * (1 + np.linalg.norm(M)))


def _in_bases(vectors: np.ndarray, frame: Frame) -> np.ndarray:
    """Vectors of R^d at each token as a column of coordinates in the tangent bases."""
    return np.einsum("idk,id->ik", frame.local.basis, vectors).reshape(-1, 1)


def column_space(D: np.ndarray, tolerance: float) -> np.ndarray:
    """An orthonormal basis of the span of the columns of `D`."""
    if not D.shape[1]:
        return D
    left, widths, _ = np.linalg.svd(D, full_matrices=False)
    return left[:, widths > tolerance * max(1.0, float(widths[0]))]


def moving_complement(frame: Frame, directions: np.ndarray) -> np.ndarray:
    """An orthonormal basis of what is orthogonal to `directions`, frozen tokens left out."""
    n = len(directions)
    if frame.local.frozen is None:
        held = np.zeros((n, 0))
    else:
        held = np.eye(n)[:, np.repeat(frame.local.frozen, n // len(frame.local.frozen))]
    taken = np.concatenate([directions, held], axis=1)
    if not taken.shape[1]:
        return np.eye(n)
    return np.linalg.svd(taken, full_matrices=True)[0][:, taken.shape[1] :]
