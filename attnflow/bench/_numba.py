"""A peer by hand: Dormand-Prince 5(4) in numba, compiled for the case, trajectories over the cores."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ._cases import Workload

# Dormand & Prince (1980): nodes, stages, error weights (fifth minus fourth order).
C = np.array([0, 1 / 5, 3 / 10, 4 / 5, 8 / 9, 1, 1])
A = np.zeros((7, 6))
A[1, :1] = 1 / 5
A[2, :2] = 3 / 40, 9 / 40
A[3, :3] = 44 / 45, -56 / 15, 32 / 9
A[4, :4] = 19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729
A[5, :5] = 9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656
A[6, :6] = 35 / 384, 0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84
E = np.array([71 / 57600, 0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40])


def _field(case: Workload) -> Any:
    """Eq. (6) of one system for small d: loops over tokens, every size a constant of the compiler."""
    import numba  # pyright: ignore[reportMissingImports]

    tokens, heads, dim = case.tokens, case.matrix.shape[0], case.dim
    amplitude, omega, phase, matrix = case.amplitude, case.omega, case.phase, case.matrix
    rectified, causal, scale = case.rectified, case.causal, case.scale

    @numba.njit(fastmath=True, cache=False)
    def field(t, y, P, q, rows, out):
        for h in range(heads):
            for a in range(dim):
                D = amplitude[h, a] * np.sin(omega[h, a] * t + phase[h, a])
                D = abs(D) if rectified else D
                for b in range(dim):
                    P[h, a, b] = D * matrix[h, a, b]
        for i in range(tokens):
            seen = i + 1 if causal else tokens
            for j in range(tokens):
                rows[j] = 0.0
            for h in range(heads):
                for b in range(dim):
                    q[b] = 0.0
                for a in range(dim):
                    for b in range(dim):
                        q[b] += y[i, a] * P[h, a, b]
                # The largest logit first, as a softmax must; then exponentials and their sum.
                largest = -np.inf
                for j in range(seen):
                    s = 0.0
                    for b in range(dim):
                        s += q[b] * y[j, b]
                    rows[tokens + j] = s
                    largest = max(largest, s)
                total = 0.0
                for j in range(seen):
                    rows[tokens + j] = np.exp(rows[tokens + j] - largest)
                    total += rows[tokens + j]
                total = scale / total
                for j in range(seen):
                    rows[j] += total * rows[tokens + j]
            square = 0.0
            along = 0.0
            for a in range(dim):
                s = 0.0
                for j in range(seen):
                    s += rows[j] * y[j, a]
                out[i, a] = s
                square += y[i, a] * y[i, a]
                along += y[i, a] * s
            along /= square
            root = 1 / np.sqrt(square)
            for a in range(dim):
                out[i, a] = (out[i, a] - along * y[i, a]) * root

    return field


def _wide_field(case: Workload) -> Any:
    """Eq. (6) of one system for large d: its products by BLAS."""
    import numba  # pyright: ignore[reportMissingImports]

    tokens, heads = case.tokens, case.matrix.shape[0]
    amplitude, omega, phase = case.amplitude, case.omega, case.phase
    rectified, causal, scale = case.rectified, case.causal, case.scale
    transposed = np.swapaxes(case.matrix, 1, 2).copy()

    @numba.njit(cache=False)
    def field(t, y, P, q, rows, out):
        mixed = np.zeros((tokens, tokens))
        for h in range(heads):
            D = amplitude[h] * np.sin(omega[h] * t + phase[h])
            if rectified:
                D = np.abs(D)
            logits = (y * D) @ (y @ transposed[h]).T
            for i in range(tokens):
                seen = i + 1 if causal else tokens
                row = np.exp(logits[i, :seen] - logits[i, :seen].max())
                mixed[i, :seen] += row * (scale / row.sum())
        total = mixed @ y
        for i in range(tokens):
            square, along = np.sum(y[i] * y[i]), np.sum(y[i] * total[i])
            out[i] = (total[i] - (along / square) * y[i]) / np.sqrt(square)

    return field


def parallel() -> Callable[[Workload, np.ndarray, float], np.ndarray]:
    """All trajectories in a parallel loop, each with its own steps, first-same-as-last."""
    compiled: dict[str, Any] = {}

    def solve(case: Workload, starts: np.ndarray, rtol: float) -> np.ndarray:
        if case.title not in compiled:
            compiled[case.title] = _integrator(case)
        return compiled[case.title](np.ascontiguousarray(starts), case.ts, rtol)

    return solve


def _integrator(case: Workload) -> Any:
    import numba  # pyright: ignore[reportMissingImports]

    field = _field(case) if case.dim <= 8 else _wide_field(case)
    tokens, heads, dim = case.tokens, case.matrix.shape[0], case.dim
    ease = dim**-0.5

    @numba.njit(parallel=True, fastmath=True, cache=False)
    def integrate(starts, ts, rtol):
        count = len(starts)
        saves = np.empty((count, len(ts), tokens, dim))
        for n in numba.prange(count):
            P, q, rows = np.empty((heads, dim, dim)), np.empty(dim), np.empty(2 * tokens)
            k = np.empty((7, tokens, dim))
            y, z = starts[n].copy(), np.empty((tokens, dim))
            t, h = 0.0, 0.01
            field(t, y, P, q, rows, k[0])
            for m in range(len(ts)):
                while t < ts[m]:
                    last = t + h >= ts[m]
                    step = ts[m] - t if last else h
                    for s in range(1, 7):
                        for i in range(tokens):
                            for a in range(dim):
                                move = 0.0
                                for r in range(s):
                                    move += A[s, r] * k[r, i, a]
                                z[i, a] = y[i, a] + step * move
                        field(t + C[s] * step, z, P, q, rows, k[s])
                    norm = 0.0
                    for i in range(tokens):
                        for a in range(dim):
                            off = 0.0
                            for r in range(7):
                                off += E[r] * k[r, i, a]
                            size = rtol * (ease + max(abs(y[i, a]), abs(z[i, a])))
                            norm += (step * off / size) ** 2
                    norm = np.sqrt(norm / (tokens * dim))
                    factor = 0.9 * max(norm, 1e-10) ** -0.2
                    if norm <= 1:
                        t = ts[m] if last else t + step
                        y[:] = z
                        k[0] = k[6]
                        factor = min(10.0, factor)
                        if not last or factor < 1:
                            h = step * factor
                    else:
                        h = step * max(0.2, min(1.0, factor))
                saves[n, m] = y
        return saves

    return integrate
