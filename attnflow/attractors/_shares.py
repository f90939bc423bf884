"""A share of starts with its confidence interval, and how many starts a wanted precision takes."""

import math

_Z = 1.959963984540054  # 95 % of a normal law lie within as many standard deviations


def wilson(count: int, number: int) -> tuple[float, float]:
    r"""Wilson's 95 % interval of a share, of which `count` of `number` independent starts were.

    The shares $p$ with $|\hat p - p| \le z \sqrt{p(1 - p) / n}$, $z = 1.96$; at a count of zero
    it is $[0, z^2 / (n + z^2)]$.
    """
    p, z2 = count / number, _Z * _Z / number
    middle = (p + z2 / 2) / (1 + z2)
    half = math.sqrt(p * (1 - p) * z2 + z2 * z2 / 4) / (1 + z2)
    low, high = max(0.0, middle - half), min(1.0, middle + half)
    return (0.0 if count == 0 else low), (1.0 if count == number else high)


def still_wanted(counts: list[int], number: int, precision: float) -> int:
    """How many starts more until the widest interval is `precision` to either side, as it looks now."""
    seen = counts or [0]
    ends = [wilson(count, number) for count in seen]
    if max(high - low for low, high in ends) <= 2 * precision:
        return 0
    # A share of 1/2 needs the most; the widest interval is of the share nearest to it.
    spread = max(count / number * (1 - count / number) for count in seen)
    return max(math.ceil(_Z * _Z * spread / precision**2) - number, number // 8, 1)
