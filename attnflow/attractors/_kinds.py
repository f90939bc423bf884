"""What a configuration of tokens is called: consensus, polarised, a polygon, clusters; and its masses."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

_TOGETHER = 1e-3  # the distance between unit vectors that are one cluster
_EXACT = 1e-5


class Shape(NamedTuple):
    """The name of a configuration, and how many tokens each cluster has, the largest first."""

    name: str
    masses: tuple[int, ...]


def shape_of(x: Float[np.ndarray, "tokens dim"]) -> Shape:
    """The shape of unit vectors `x`: "consensus", "polarised", "polygon" or "clusters"."""
    groups = groups_of(x)
    masses = tuple(sorted((len(group) for group in groups), reverse=True))
    centres = np.stack([x[group].mean(axis=0) for group in groups])
    centres /= np.maximum(np.linalg.norm(centres, axis=1, keepdims=True), 1e-300)
    if len(groups) == 1:
        return Shape("consensus", masses)
    if len(groups) == 2 and centres[0] @ centres[1] < -1 + _TOGETHER**2:
        return Shape("polarised", masses)
    if len(groups) > 2 and len(set(masses)) == 1 and _is_polygon(centres):
        return Shape("polygon", masses)
    return Shape("clusters", masses)


def groups_of(x: Float[np.ndarray, "tokens dim"]) -> list[np.ndarray]:
    """The tokens of each cluster of unit vectors, in the order of their first ones."""
    near = np.linalg.norm(x[:, None] - x[None], axis=2) <= _TOGETHER
    left, groups = np.ones(len(x), bool), []
    while left.any():
        group = np.zeros(len(x), bool)
        group[np.argmax(left)] = True
        while True:
            wider = near[group].any(axis=0)
            if np.array_equal(wider, group):
                break
            group = wider
        groups.append(np.flatnonzero(group))
        left &= ~group
    return groups


def _is_polygon(centres: np.ndarray) -> bool:
    """Whether the points are the corners of a regular polygon around the origin."""
    k = len(centres)
    _, widths, axes = np.linalg.svd(centres, full_matrices=False)
    if len(widths) > 2 and widths[2] > _EXACT * widths[0]:
        return False
    plane = centres @ axes[:2].T
    angles = np.sort(np.arctan2(plane[:, 1], plane[:, 0]))
    gaps = np.diff(np.append(angles, angles[0] + 2 * np.pi))
    return bool(np.abs(gaps - 2 * np.pi / k).max() <= 10 * _EXACT)


def described(shape: Shape) -> str:
    """Masses in print: "8", "5:3", "4 of 2"."""
    masses = shape.masses
    if len(masses) > 3 and len(set(masses)) == 1:
        return f"{len(masses)} of {masses[0]}"
    if len(masses) > 6:
        return f"{len(masses)} clusters, {masses[0]} to {masses[-1]}"
    return ":".join(map(str, masses))
