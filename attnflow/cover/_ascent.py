"""Stable equilibria other than consensus, looked for by ascent from random starts: floats, no proof."""

import itertools
from fractions import Fraction

import numpy as np

from ._types import Floats

_STARTS, _STEPS, _PACE = 200, 1_000, 0.8


def stable_equilibrium(weights: Floats, beta: float, seed: int = 0) -> Floats | None:
    """Angles of a stable equilibrium that is not consensus; `None` where no start went to one."""
    rng = np.random.default_rng(seed)
    w = weights / weights.sum()
    angles = rng.uniform(0, 2 * np.pi, (_STARTS, len(w)))
    for step in range(_STEPS):
        pull, total, _ = _pulls(angles, w, beta)
        angles = angles + _PACE * pull / total
        if step % 50 == 49:  # those that came together are done with
            angles = angles[np.abs(np.sum(w * np.exp(1j * angles), axis=1)) < 0.999]
    for start in angles:
        candidate = _polished(start, w, beta)
        if candidate is not None:
            return candidate
    return None


def three_groups(weights: tuple[Fraction, ...]) -> tuple[tuple[int, ...], ...] | None:
    """Tokens, from 0, in three groups of equal weight; `None` where there are none.

    At the corners of a regular triangle they are stable for beta < -2/3: the eigenvalues are
    -e^(-beta/2) (1/2 + 3 beta/4) for the groups, -e^beta for each token within one, times positive numbers.
    """
    third, tokens = sum(weights) / 3, range(len(weights))
    for choice in itertools.product(range(3), repeat=len(weights) - 1):
        where = (0, *choice)
        if all(sum(weights[i] for i in tokens if where[i] == g) == third for g in range(3)):
            return tuple(tuple(i for i in tokens if where[i] == g) for g in range(3))
    return None


def at_corners(groups: tuple[tuple[int, ...], ...]) -> Floats:
    """Their angles at the corners of a regular triangle."""
    angles = np.zeros(sum(map(len, groups)))
    for k, group in enumerate(groups):
        angles[list(group)] = 2 * np.pi * k / 3
    return angles


def _pulls(angles: Floats, w: Floats, beta: float) -> tuple[Floats, Floats, Floats]:
    """Sums over tokens of w k, of w e^(beta cos), and k' of each pair."""
    x = angles[..., None, :] - angles[..., :, None]
    e, s, c = np.exp(beta * np.cos(x)), np.sin(x), np.cos(x)
    return (w * e * s).sum(-1), (w * e).sum(-1), e * (c - beta * s**2)


def _polished(angles: Floats, w: Floats, beta: float) -> Floats | None:
    H = np.zeros((len(w), len(w)))
    for _ in range(50):
        pull, _, slope = _pulls(angles, w, beta)
        H = w[:, None] * slope * w
        H[range(len(w)), range(len(w))] -= H.sum(axis=1)
        angles = angles - np.linalg.lstsq(H, w * pull, rcond=1e-10)[0]
    pull = _pulls(angles, w, beta)[0]
    values = np.linalg.eigvalsh(H)
    apart = abs(np.sum(w * np.exp(1j * angles))) < 0.999
    if apart and np.abs(pull).max() < 1e-12 and values[-2] < -1e-9 * np.abs(values).max():
        return np.sort((angles - angles[0]) % (2 * np.pi))
    return None
