"""How often random tokens share a hemisphere: Wendel's theorem."""

import operator
from typing import Any

from ..core.checks import shown

_MOST = 10**5  # of dimensions: as many products of long integers


def wendel(tokens: int, dim: int) -> float:
    r"""The probability that random tokens on the sphere of $\mathbb{R}^m$ share an open hemisphere.

    $$ 2^{1-\ell} \sum_{k=0}^{m-1} \binom{\ell-1}{k} $$

    It is exact for every law symmetric under $y \to -y$ that puts any $m$ tokens in general position,
    uniform tokens among them. It is how often Theorem 3.2 speaks of random starts. Remark 3.4 of the
    paper prints the sum to $n - 1 = m - 2$, one term short: two tokens on a circle always share a
    half of it, and the sum as printed gives 1/2.

    Summed in integers and rounded once, so that ten thousand tokens are no trouble.

    **Arguments:**

    - `tokens`: $\ell$, at least 1.
    - `dim`: $m = n + 1$, at least 1.

    **Returns:**

    A number in [0, 1]; 1 where `tokens <= dim`.

    **Raises:**

    - `ValueError`: an argument that is no positive integer.

    Source: J. G. Wendel, *A problem in geometric probability*, Math. Scand. 11 (1962).

    ```python
    af.theory.wendel(10, 3)  # 0.08984375
    ```
    """
    tokens, dim = _count("tokens", tokens), _count("dim", dim)
    if tokens <= dim:
        return 1.0
    if dim > _MOST:
        raise ValueError(
            f"`dim` must be at most {_MOST:,}, or at least `tokens`; got {shown(dim)}."
        )
    total = term = 1
    for k in range(1, dim):
        term = term * (tokens - k) // k
        total += term
    if total.bit_length() < tokens - 1100:
        return 0.0  # below every float; 2^tokens may be beyond memory
    # Python divides integers of any size and rounds the quotient correctly.
    return total / (1 << (tokens - 1))


def _count(name: str, value: Any) -> int:
    try:
        count = operator.index(value)
    except TypeError:
        count = 0
    if count < 1 or isinstance(value, bool):
        raise ValueError(f"`{name}` must be a positive integer; got {shown(value)}.")
    return count
