"""Families of equilibria that exact rules make: which, and the rotations that go along them.

Rules, checked in rational arithmetic ([`attnflow.certify.equilibrium`][] says what each proves):

- `turns`: rotations with which every P and U commute carry solutions to solutions.
- `moments`: full attention, one head, P symmetric, U a multiple of the identity: of the equations
  for an equilibrium some follow from the others.
- `consensus`: all tokens at one point, the sum of U a multiple of the identity.
- `balanced`: P = 0, full attention, tokens in opposite pairs: the mean that moves them is zero.
- `still`: heads with the same P whose U add up to zero: nothing moves.
"""

from collections.abc import Iterator
from itertools import combinations
from typing import Any

import numpy as np
from flint import fmpq_mat

from ..checker import equilibria as checker
from ._plain import Rows

KNOWN = ("still", "balanced", "consensus")  # equilibria without solving for one
_ROTATIONS = 8  # dimensions up to which rotations that keep P and U are solved for


def candidates(case: dict[str, Any], y: np.ndarray) -> Iterator[tuple[str, list[Rows]]]:
    """Families that may go through y, with independent rotations: the ones that are known exactly first."""
    flow = checker.Flow(case)
    W = flow.W
    turns = [W.inv() * K for K in _skew(flow.dim)]
    for kind in KNOWN:
        yield kind, []
    yield "none", []
    yield "moments", _independent(turns, y)
    yield "turns", _independent(_commuting(flow, turns), y)


def _skew(dim: int) -> list[fmpq_mat]:
    out = []
    for a, b in combinations(range(dim), 2):
        K = fmpq_mat(dim, dim)
        K[a, b], K[b, a] = 1, -1
        out.append(K)
    return out


def _commuting(flow: Any, turns: list[fmpq_mat]) -> list[fmpq_mat]:
    """A basis of the rotations R with R'P + PR = 0 and RU = UR for all heads."""
    if flow.dim > _ROTATIONS:
        return []
    columns = []
    for R in turns:
        parts = [R.transpose() * P + P * R for P in flow.P] + [R * U - U * R for U in flow.U]
        columns.append([x for part in parts for x in part.entries()])
    system = fmpq_mat(columns).transpose()
    reduced, rank = system.rref()
    leads = [next(j for j in range(len(turns)) if reduced[i, j] != 0) for i in range(rank)]
    basis = []
    for free in (j for j in range(len(turns)) if j not in leads):
        R = 1 * turns[free]
        for i, lead in enumerate(leads):
            R = R - reduced[i, free] * turns[lead]
        basis.append(R)
    return basis


def _independent(turns: list[fmpq_mat], y: np.ndarray) -> list[Rows]:
    """As many of them as move the tokens in independent directions."""
    chosen: list[fmpq_mat] = []
    directions = np.zeros((0, y.size))
    for R in turns:
        numbers = np.array([[float(x.p) / float(x.q) for x in row] for row in R.tolist()])
        longer = np.vstack([directions, (y @ numbers.T).reshape(1, -1)])
        if np.linalg.svd(longer, compute_uv=False)[-1] > 1e-6:
            chosen.append(R)
            directions = longer
    return [[[str(x) for x in row] for row in R.tolist()] for R in chosen]
