"""Who is measured beside attnflow: a table of peers, what each needs, and attnflow itself."""

import functools
import importlib.util
import math
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import diffrax
import jax.numpy as jnp
import numpy as np

from ..ensemble import run
from . import _jax, _numba, _numpy, _torch
from ._cases import Workload

Solve = Callable[[Workload, np.ndarray, float], np.ndarray]


class Peer(NamedTuple):
    """A way to solve a case.

    `solve(case, starts, rtol)` gives tokens at the case's times, `(trajectories, times, tokens, dim)`.
    `package` must be installed; `singly`: it takes trajectories one after the other, so that a few
    tell its speed; `most`: of unknowns, beyond which its dense Jacobian takes gigabytes.
    """

    solve: Solve
    package: str
    singly: bool = False
    most: float = math.inf

    @property
    def installed(self) -> bool:
        """Whether its package is there."""
        return importlib.util.find_spec(self.package) is not None


def _tokens(y):
    return y


def ours(solver: diffrax.AbstractSolver[Any] | None = None, **options: object) -> Solve:
    """attnflow's ensembles, on all cores."""

    def solve(case: Workload, starts: np.ndarray, rtol: float) -> np.ndarray:
        how: dict[str, Any] = options
        result = run(
            case.field,
            starts,
            t1=case.t1,
            ts=jnp.asarray(case.ts),
            rtol=rtol,
            atol=0.0,
            solver=solver,
            observe=_tokens,
            progress=False,
            **how,
        )
        return np.asarray(result.ys)

    return solve


def torchode(python: str) -> Callable[[Workload, np.ndarray, list[float], int], Any]:
    """torchode, by another Python: it needs an older typeguard than the rest.

    **Returns:**

    A function of case, starts, tolerances and repeats that gives `(tokens, seconds)` for each tolerance.
    """

    def solve(case: Workload, starts: np.ndarray, rtols: list[float], repeats: int):
        numbers = {
            name: value for name, value in vars(case).items() if name not in ("field", "title")
        }
        with tempfile.TemporaryDirectory() as folder:
            given_file, result_file = Path(folder) / "in.npz", Path(folder) / "out.npz"
            np.savez(given_file, starts=starts, ts=case.ts, rtols=rtols, repeats=repeats, **numbers)
            # By its path: as a part of this package it would import JAX, which is not there.
            command = [python, _torch.__file__, str(given_file), str(result_file)]
            done = subprocess.run(command, check=False, capture_output=True, text=True)
            if done.returncode:
                raise RuntimeError(f"{python} ended with {done.returncode}: {done.stderr[-500:]}")
            with np.load(result_file) as out:
                return list(zip(out["ys"], out["seconds"], strict=True))

    return solve


@functools.cache
def peers() -> dict[str, Peer]:
    """The peers by name; see `installed` of each."""
    vmapped, scipy, torchdiffeq = _jax.vmapped, _numpy.scipy, _torch.torchdiffeq
    return {
        "numba, by hand, parallel": Peer(_numba.parallel(), "numba"),
        "diffrax Tsit5, vmapped": Peer(vmapped(diffrax.Tsit5), "diffrax"),
        "diffrax Dopri8, vmapped": Peer(vmapped(diffrax.Dopri8), "diffrax"),
        "jax.experimental.ode, vmapped": Peer(_jax.odeint(), "jax"),
        "torchdiffeq dopri5": Peer(torchdiffeq("dopri5"), "torchdiffeq"),
        "torchdiffeq dopri8": Peer(torchdiffeq("dopri8"), "torchdiffeq"),
        "SciPy RK45": Peer(scipy("RK45"), "scipy", singly=True),
        "SciPy DOP853": Peer(scipy("DOP853"), "scipy", singly=True),
        "SciPy LSODA": Peer(scipy("LSODA"), "scipy", singly=True, most=2000),
        "CVODE Adams, scikit-sundae": Peer(_numpy.cvode, "sksundae", singly=True),
    }
