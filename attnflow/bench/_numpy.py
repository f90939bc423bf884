"""Peers that take one trajectory at a time and a velocity in NumPy: SciPy's solvers, SUNDIALS' CVODE."""

from collections.abc import Callable

import numpy as np

from ._cases import Workload


def velocity(case: Workload) -> Callable[[float, np.ndarray], np.ndarray]:
    """Eq. (6) of the case for a flat state, as one writes it in NumPy."""
    tokens, dim, transposed = case.tokens, case.dim, np.swapaxes(case.matrix, 1, 2).copy()
    above = ~np.tri(tokens, dtype=bool)

    def field(t: float, flat: np.ndarray) -> np.ndarray:
        y = flat.reshape(tokens, dim)
        D = case.amplitude * np.sin(case.omega * t + case.phase)
        if case.rectified:
            D = np.abs(D)
        logits = (y * D[:, None, :]) @ np.swapaxes(y @ transposed, 1, 2)
        if case.causal:
            logits[:, above] = -np.inf
        rows = np.exp(logits - logits.max(-1, keepdims=True))
        rows *= case.scale / rows.sum(-1, keepdims=True)
        A = rows.sum(0) @ y
        square = np.sum(y * y, -1, keepdims=True)
        return ((A - y * np.sum(y * A, -1, keepdims=True) / square) / np.sqrt(square)).ravel()

    return field


def scipy(method: str) -> Callable[[Workload, np.ndarray, float], np.ndarray]:
    """`scipy.integrate.solve_ivp`, one trajectory after the other."""

    def solve(case: Workload, starts: np.ndarray, rtol: float) -> np.ndarray:
        from scipy.integrate import solve_ivp

        field, out = velocity(case), []
        for y0 in starts:
            run = solve_ivp(
                field,
                (0.0, case.t1),
                y0.ravel(),
                method=method,
                t_eval=case.ts,
                rtol=rtol,
                atol=rtol * case.dim**-0.5,
            )
            out.append(run.y.T.reshape(-1, *y0.shape))
        return np.stack(out)

    return solve


def cvode(case: Workload, starts: np.ndarray, rtol: float) -> np.ndarray:
    """CVODE of SUNDIALS by scikit-sundae: Adams' method, Krylov iterations where there are many unknowns."""
    from sksundae.cvode import CVODE  # pyright: ignore[reportMissingImports]

    field, out = velocity(case), []

    def right_hand_side(t, y, yp):
        yp[:] = field(t, y)

    solver = CVODE(
        right_hand_side,
        method="Adams",
        linsolver="gmres" if starts[0].size > 200 else "dense",
        rtol=rtol,
        atol=rtol * case.dim**-0.5,
        max_num_steps=10**7,
    )
    for y0 in starts:
        run = solver.solve(np.append(0.0, case.ts), y0.ravel())
        out.append(run.y[1:].reshape(-1, *y0.shape))
    return np.stack(out)
