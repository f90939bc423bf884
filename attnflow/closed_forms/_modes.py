"""The modes of a uniform ring of tokens: how fast each grows, and which grows first."""

import numpy as np
from numpy.typing import ArrayLike

from ..core.checks import choose, numbers

_LARGEST = {"exp": 700.0, "softmax": 1e6}


def mode_growth(k: ArrayLike, beta: ArrayLike, *, kernel: str = "exp") -> np.float64 | np.ndarray:
    r"""The rate at which mode `k` of the uniform density on the circle grows.

    $$ \lambda_k = \frac{k^2 I_k(\beta)}{\beta} \quad\text{(exp)}, \qquad
       \lambda_k = \frac{k^2 I_k(\beta)}{\beta\, I_0(\beta)} \quad\text{(softmax)} $$

    under full attention on S¹ with $U = I$, $P = \beta I$ and `scale = 1`: a density
    $1 + \varepsilon\cos k\theta$ grows as $e^{\lambda_k t}$ while $\varepsilon$ is small. $I_k$ is the modified
    Bessel function. At $\beta = 0$ the limit is 1/2 for $k = 1$ and 0 for the others. It is also the
    eigenvalue of a regular polygon of many tokens, up to a term in $I_{\ell-k}$ for ℓ of them.

    By Miller's backward recurrence for the quotients $I_{j}/I_{j-1}$, all of one sign, and normalised by
    $\sum_j I_j = e^\beta$: good to about 1e-13 of the rate.

    **Arguments:**

    - `k`: modes, integers from 1 on.
    - `beta`: β, of either sign; at most 700 in size under `"exp"`, where rates grow as $e^\beta$, and at
      most 1e6 under `"softmax"`. Broadcast against `k`.
    - `kernel`: `"exp"` or `"softmax"`.

    **Returns:**

    Rates in float64, of the shape that `k` and `beta` have together.

    **Raises:**

    - `ValueError`: an argument outside what is said above.

    Source: Bruno, Pasqualotto and Agazzi, arXiv:2410.23228.

    ```python
    af.theory.mode_growth(np.arange(1, 8), 9.0).argmax() + 1  # 4 clusters come first
    ```
    """
    # === check arguments
    choose("kernel", kernel, tuple(_LARGEST))
    k = np.asarray(k)
    if not np.issubdtype(k.dtype, np.integer) or (k < 1).any():
        raise ValueError(f"`k` must be integers from 1 on; got {k.ravel()[:8].tolist()}.")
    beta = _betas(beta, _LARGEST[kernel])
    shape = np.broadcast_shapes(k.shape, beta.shape)
    if 0 in shape:
        return np.zeros(shape)

    # === recur
    size, place = np.unique(np.abs(beta), return_inverse=True)
    last = int(k.max())
    quotients, total = _quotients(size, last)
    # I_k / (beta I_0), without a division by beta: quotients[0] is I_1 / (beta I_0).
    rates = quotients[0] * np.cumprod(
        np.concatenate([np.ones((1, len(size))), size[None, :] * quotients[1:last]]), axis=0
    )
    modes = np.arange(1, last + 1, dtype=np.float64)[:, None]
    rates = modes**2 * rates
    if kernel == "exp":
        rates = rates * (np.exp(size) / total)[None, :]  # I_0, whose scaled form is 1/total
    out = rates[k - 1, place.reshape(beta.shape)]
    # I_k(-b) / -b = (-1)^(k+1) I_k(b) / b
    return np.where((beta < 0) & (k % 2 == 0), -out, out)[()]


def first_clusters(beta: ArrayLike) -> np.int64 | np.ndarray:
    r"""How many clusters tokens spread evenly over the circle form first: $\arg\max_k k^2 I_k(\beta)/\beta$.

    The mode that grows fastest, under either kernel (they differ by a factor without $k$); about
    $\sqrt{2\beta}$ of them for large $\beta$. Negative $\beta$ lets the odd modes alone grow.

    **Arguments:**

    - `beta`: β, of either sign and at most 1e6 in size.

    **Returns:**

    Integers, of the shape of `beta`; 1 at $\beta = 0$.

    **Raises:**

    - `ValueError`: a β outside what is said above.

    Source: Bruno, Pasqualotto and Agazzi, arXiv:2410.23228.

    ```python
    af.theory.first_clusters([1.0, 4.0, 9.0, 25.0])  # [1, 3, 4, 7]
    ```
    """
    beta = _betas(beta, _LARGEST["softmax"])
    # k² I_k < k² e^{-k²/2(β+k)} I_0 is past its largest well before this.
    last = 8 + int(2 * np.sqrt(2 * np.abs(beta).max(initial=0)))
    modes = np.arange(1, last + 1).reshape(-1, *(1,) * beta.ndim)
    return (np.argmax(mode_growth(modes, beta[None], kernel="softmax"), axis=0) + 1)[()]


def _betas(beta: ArrayLike, largest: float) -> np.ndarray:
    beta = numbers("beta", beta)
    bad = ~(np.abs(beta) <= largest)
    if bad.any():
        raise ValueError(f"`beta` must be at most {largest:g} in size; got {beta[bad].flat[0]}.")
    return beta


def _quotients(beta: np.ndarray, last: int) -> tuple[np.ndarray, np.ndarray]:
    """$I_j/(β I_{j-1})$ for j = 1 ... `last`, by β in columns, and $e^β/I_0(β)$; β zero or more."""
    # From where I_j is below rounding beside I_0 and the tail of the quotients has settled.
    top = last + 40 + int(12 * np.sqrt(beta.max()))
    rows = np.empty((last, len(beta)))
    after = np.zeros_like(beta)
    total = np.zeros_like(beta)  # sum over m > j of I_m / I_j
    for j in range(top, 0, -1):
        after = 1 / (2 * j + beta**2 * after)  # I_{j-1} = (2j/β) I_j + I_{j+1}
        total = beta * after * (1 + total)
        if j <= last:
            rows[j - 1] = after
    return rows, 1 + 2 * total
