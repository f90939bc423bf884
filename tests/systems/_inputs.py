"""Seeded inputs, and how a case on the sphere is carried to an ellipsoid: whitening.

With `W = L L'` and `x_i = L' y_i` (rows: `x = y L`), `x_i' P x_j = y_i' (L P L') y_j`, and
`x' = U x` is `y' = (L^-T U L') y`. So the pair (P, U) on the sphere is the pair
`(L P L', L^-T U L')` on the ellipsoid of `W`; `beta I` becomes `beta W` and `I` stays `I`.
"""

import zlib

import numpy as np
import pytest
from scipy.linalg import solve_triangular


def generator(*names) -> np.random.Generator:
    """Random numbers that depend on these names alone."""
    return np.random.default_rng([zlib.crc32(repr(name).encode()) for name in names])


def random_spd(rng, dim: int, low=0.4, high=2.5) -> np.ndarray:
    """Symmetric positive definite, eigenvalues log-uniform in [low, high]."""
    basis = random_orthogonal(rng, dim)
    values = np.exp(rng.uniform(np.log(low), np.log(high), dim))
    W = (basis * values) @ basis.T
    return (W + W.T) / 2


def random_orthogonal(rng, dim: int) -> np.ndarray:
    """Orthogonal, determinant one."""
    Q, R = np.linalg.qr(rng.normal(size=(dim, dim)))
    Q = Q * np.sign(np.diag(R))
    if np.linalg.det(Q) < 0:
        Q[:, 0] = -Q[:, 0]
    return Q


def random_rows(rng, tokens: int, W) -> np.ndarray:
    """Tokens on the ellipsoid of `W`, shape (tokens, dim)."""
    x = rng.normal(size=(tokens, len(W)))
    return x / np.sqrt(np.einsum("ia,ab,ib->i", x, W, x))[:, None]


def whiten(y, W) -> np.ndarray:
    return np.asarray(y) @ np.linalg.cholesky(W)


def unwhiten(x, W) -> np.ndarray:
    x = np.asarray(x)
    rows = x.reshape(-1, x.shape[-1])
    return solve_triangular(np.linalg.cholesky(W), rows.T, lower=True, trans=1).T.reshape(x.shape)


def carry_p(P, W) -> np.ndarray:
    """`P` of the sphere, as it is on the ellipsoid of `W`."""
    L = np.linalg.cholesky(W)
    return L @ P @ L.T


def carry_u(U, W) -> np.ndarray:
    """`U` of the sphere, as it is on the ellipsoid of `W`."""
    L = np.linalg.cholesky(W)
    return np.linalg.inv(L).T @ U @ L.T


def refused_with(call, *parts) -> None:
    """A `ValueError` of one line that has these parts."""
    with pytest.raises(ValueError) as info:
        call()
    message = str(info.value)
    assert "\n" not in message
    for part in parts:
        assert str(part) in message, message
