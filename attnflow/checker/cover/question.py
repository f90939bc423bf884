"""What is covered (gaps from 0 to 13/4, beta from end to end, every order of the weights); what symbols say."""

from collections import Counter
from fractions import Fraction
from itertools import combinations, permutations
from typing import Any

from ..file import demand

MOST_ORDERS, MOST_BETA, MOST_WEIGHT = 3_000, 16, 1_000


class Question:
    """Tokens of given weights on the circle, and a range of beta."""

    def __init__(self, c: dict[str, Any]):
        self.weights: tuple[Fraction, ...] = tuple(Fraction(x) for x in c["weights"])
        self.beta: tuple[Fraction, Fraction] = Fraction(c["beta"][0]), Fraction(c["beta"][1])
        self.texts: tuple[list[str], list[str]] = c["weights"], c["beta"]
        self.n: int = len(self.weights)
        demand(
            all(0 < w <= MOST_WEIGHT for w in self.weights), "positive weights of a bounded size"
        )
        demand(min(self.weights) * MOST_WEIGHT >= max(self.weights), "weights of like sizes")
        demand(-MOST_BETA <= self.beta[0] <= self.beta[1] <= MOST_BETA, "a range of beta")
        self.orders: list[tuple[Fraction, ...]] = self._orders()
        self.open: bool = False  # whether the lower end of beta, -2/3, is left out

    def _orders(self) -> list[tuple[Fraction, ...]]:
        """Of the weights around the circle, one of each two that are mirror images."""
        many, count = 1, Counter(self.weights)
        for k in range(2, self.n + 1):
            many *= k
        for times in count.values():
            for k in range(2, times + 1):
                many //= k
        demand(many <= 2 * MOST_ORDERS, f"at most {MOST_ORDERS} orders of the weights")
        if len(count) == 1:
            return [self.weights]
        seen = {max(order, order[::-1]) for order in permutations(self.weights)}
        return sorted(seen, reverse=True)


class Meaning:
    """Which symbol says what."""

    def __init__(self, n: int):
        self.arcs: list[tuple[int, int]] = [(a, b) for a in range(1, n) for b in range(a, n)]
        self.cuts: list[tuple[int, int]] = list(combinations(range(1, n), 2))
        self.larger: int = n
        self.half: int = self.larger + n - 1
        self.mirror: int = self.half + 1
        self.arc: int = self.mirror + 1
        self.subset: int = self.arc + 2 * len(self.arcs)
        self.direction: int = self.subset + 2 ** (n - 1) - 1
        self.groups: int = self.direction + 1
        self.end: int = self.groups + len(self.cuts)
