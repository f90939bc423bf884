"""Bounds of a matrix that depends on time, entry by entry, and how they go through sums and products."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import ArrayLike


class Range(NamedTuple):
    r"""Entry by entry, $|M(t) - \text{centre}| \le \text{radius}$ for every $t \ge t_0$.

    `slope` bounds $|\dot M(t)|$ wherever `M` does not jump. Infinite is unknown: a function of the
    user's has an infinite radius and slope. A radius of zero is a schedule that does not change.
    """

    centre: np.ndarray
    radius: np.ndarray
    slope: np.ndarray

    @property
    def size(self) -> np.ndarray:
        """A bound on each entry's absolute value."""
        return np.abs(self.centre) + self.radius

    @classmethod
    def unknown(cls, shape: tuple[int, ...]) -> "Range":
        """Of that shape, and nothing else known."""
        return cls(np.zeros(shape), np.full(shape, np.inf), np.full(shape, np.inf))

    @classmethod
    def constant(cls, value: ArrayLike) -> "Range":
        """Of what does not change."""
        value = float64(value)
        return cls(value, np.zeros_like(value), np.zeros_like(value))

    def __mul__(self, other: "Range") -> "Range":  # pyright: ignore[reportIncompatibleMethodOverride]
        """Of the entrywise product."""
        return _product(self, other, times, np.multiply)

    def __matmul__(self, other: "Range") -> "Range":
        """Of the matrix product."""
        return _product(self, other, _matmul, _matmul)

    def aligned(self, rank: int, front: bool = False) -> "Range":
        """Axes of length one until there are `rank`: at the end (a factor of matrices), or in front."""

        def shaped(x: np.ndarray) -> np.ndarray:
            missing = (1,) * (rank - x.ndim)
            return x.reshape(missing + x.shape if front else x.shape + missing)

        return Range(*(shaped(x) for x in self))

    @property
    def transposed(self) -> "Range":
        """Of the transposed matrices."""
        return Range(*(np.swapaxes(x, -1, -2) for x in self))


def float64(x: Any) -> np.ndarray:
    """`x` in NumPy, in double precision."""
    return np.asarray(x, np.float64)


def times(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The product of bounds: what is exactly zero stays so beside what is unknown."""
    with np.errstate(invalid="ignore"):
        product = a * b
    return np.where((a == 0) | (b == 0), 0.0, product)


def _matmul(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The matrix product of bounds, with the same rule."""
    known_a, known_b = np.where(np.isinf(a), 0, a), np.where(np.isinf(b), 0, b)
    unknown = np.isinf(a).astype(float) @ (b != 0) + (a != 0) @ np.isinf(b).astype(float)
    return np.where(unknown > 0, np.inf, known_a @ known_b)


def _product(a: Range, b: Range, bound: Callable[..., Any], centre: Callable[..., Any]) -> Range:
    A, B = np.abs(a.centre), np.abs(b.centre)
    radius = bound(A, b.radius) + bound(a.radius, B) + bound(a.radius, b.radius)
    slope = bound(a.size, b.slope) + bound(a.slope, b.size)
    return Range(centre(a.centre, b.centre), radius, slope)


def hull(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centre and radius of the values along the first axis."""
    low, high = values.min(axis=0), values.max(axis=0)
    return (low + high) / 2, (high - low) / 2


def frobenius(x: np.ndarray) -> np.ndarray:
    """The Frobenius norm of bounds of entries, in place of each: what bounds any entry."""
    return np.broadcast_to(np.sqrt(np.sum(x**2, axis=(-2, -1), keepdims=True)), x.shape)


def same_transposed(*matrices: Any) -> bool:
    """Whether square matrices, the last two axes, equal their transposes to the last bit but one."""
    for matrix in map(float64, matrices):
        if matrix.ndim < 2 or matrix.shape[-1] != matrix.shape[-2]:
            return False
        size = np.abs(matrix).max(initial=0)
        if size and np.abs(matrix - np.swapaxes(matrix, -1, -2)).max() / size > 1e-15:
            return False
    return True
