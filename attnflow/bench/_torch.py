"""Peers in PyTorch, all trajectories in one batch: torchdiffeq, and torchode in a process of its own.

Needs no JAX, so that the environment of torchode (which wants an old typeguard) can run this file:
`python _torch.py IN.npz OUT.npz`.
"""

import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np


def velocity(numbers: dict[str, Any]) -> Callable[..., Any]:
    """Eq. (6) for a batch `(batch, tokens, dim)`; `t` is a number, or one for each of the batch."""
    import torch  # pyright: ignore[reportMissingImports]

    amplitude, omega, phase, matrix = (
        torch.from_numpy(np.array(numbers[name]))
        for name in ("amplitude", "omega", "phase", "matrix")
    )
    tokens, scale = int(numbers["tokens"]), float(numbers["scale"])
    rectified, causal = bool(numbers["rectified"]), bool(numbers["causal"])
    transposed = matrix.transpose(1, 2).contiguous()
    above = ~torch.tril(torch.ones(tokens, tokens, dtype=torch.bool))

    def field(t, y):
        D = amplitude * torch.sin(omega * t.reshape(-1, 1, 1) + phase)
        if rectified:
            D = D.abs()
        logits = (y[:, None] * D[:, :, None]) @ (y[:, None] @ transposed).transpose(2, 3)
        if causal:
            logits = logits.masked_fill(above, -torch.inf)
        A = scale * torch.softmax(logits, dim=-1).sum(1) @ y
        square = (y * y).sum(-1, keepdim=True)
        return (A - y * (y * A).sum(-1, keepdim=True) / square) / square.sqrt()

    return field


def torchdiffeq(method: str) -> Callable[..., np.ndarray]:
    """`torchdiffeq.odeint`, the batch one system with one step size."""

    def solve(case, starts: np.ndarray, rtol: float) -> np.ndarray:
        import torch  # pyright: ignore[reportMissingImports]
        from torchdiffeq import odeint  # pyright: ignore[reportMissingImports]

        y0 = torch.from_numpy(np.array(starts))
        ts = torch.from_numpy(np.append(0.0, case.ts))
        atol = rtol * case.dim**-0.5
        with torch.no_grad():
            ys: Any = odeint(velocity(vars(case)), y0, ts, rtol=rtol, atol=atol, method=method)
        return ys[1:].movedim(0, 1).numpy()

    return solve


def torchode(numbers: dict[str, Any], starts: np.ndarray, rtol: float) -> np.ndarray:
    """torchode's Tsit5, the batch with a step size for each trajectory."""
    import torch  # pyright: ignore[reportMissingImports]
    import torchode as to  # pyright: ignore[reportMissingImports]

    field = velocity(numbers)
    count, tokens, dim = starts.shape

    def flat(t, y):
        return field(t, y.reshape(-1, tokens, dim)).reshape(y.shape)

    term = to.ODETerm(flat)  # pyright: ignore
    step = to.Tsit5(term=term)
    control = to.IntegralController(atol=rtol * dim**-0.5, rtol=rtol, term=term)
    ts = torch.from_numpy(np.append(0.0, numbers["ts"])).expand(count, -1)
    y0 = torch.from_numpy(np.array(starts)).reshape(count, -1)
    with torch.no_grad():
        solution = to.AutoDiffAdjoint(step, control).solve(to.InitialValueProblem(y0=y0, t_eval=ts))
    return solution.ys[:, 1:].reshape(count, -1, tokens, dim).numpy()


def _main() -> None:
    # Reads the case's numbers, starts, tolerances and repeats; writes tokens and seconds.
    numbers = dict(np.load(sys.argv[1]))
    seconds, results = [], []
    for rtol in numbers["rtols"]:
        took = []
        for _ in range(int(numbers["repeats"])):
            began = time.perf_counter()
            ys = torchode(numbers, numbers["starts"], float(rtol))
            took.append(time.perf_counter() - began)
        seconds.append(float(np.median(took)))
        results.append(ys)
    np.savez(sys.argv[2], ys=np.stack(results), seconds=np.array(seconds))


if __name__ == "__main__":
    _main()
