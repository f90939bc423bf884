"""What noise does, in formulas: Brownian cosines, stationary order, and whether two tokens end together."""

import math

import numpy as np
from scipy.special import ive

from ..core.arguments import number, whole
from ..core.checks import choose

_STEPS = (
    4001  # of the quadrature below, whose integrand is smooth and falls to nothing on both sides
)


def brownian_cosine(t: float, dim: int, strength: float = 1.0) -> float:
    r"""How much a Brownian motion of the sphere remembers of where it began.

    $$ \mathbb E\,\langle y(t), y(0)\rangle = e^{-(d-1)\,s^2 t/2} $$

    for a token under [`Noise`][attnflow.Noise]`(independent=s)` or `(common=s)` alone: linear functions are
    eigenfunctions of the sphere's Laplacian with eigenvalue $-(d-1)$, and the generator is $\tfrac{s^2}{2}\Delta$.

    **Arguments:**

    - `t`: the time, zero or more.
    - `dim`: $d$, of the space around the sphere.
    - `strength`: $s$.

    **Returns:**

    A number in ]0, 1].

    **Raises:**

    - `ValueError`: an argument out of its range.

    ```python
    af.theory.brownian_cosine(1.0, 3, 0.5)  # exp(-0.25)
    ```
    """
    t, s = number("t", t, least=0.0), number("strength", strength, least=0.0)
    return math.exp(-(whole("dim", dim) - 1) * s * s * t / 2)


def stationary_order(strength: float, dim: int = 2, *, scale: float = 1.0) -> float:
    r"""The length of the mean of infinitely many tokens at rest under attention with $P = 0$ and independent noise.

    $$ r = \frac{I_{d/2}(\kappa)}{I_{d/2-1}(\kappa)}, \qquad \kappa = \frac{2cr}{s^2} $$

    With $P = 0$, $U = I$ each token is drawn to the mean $m$ of all, $dy_i = c\,\Pi_{y_i} m\,dt + s\,\Pi_{y_i}\circ
    dB_i$: for $d = 2$ the noisy Kuramoto model, $d\theta_i = cr\sin(\psi - \theta_i)\,dt + s\,dB_i$. Its stationary
    law given $m$ is von Mises-Fisher's, $\propto e^{\kappa\langle m/|m|, y\rangle}$, whose mean has the length above.
    Up to $s^2 = 2c/d$ there is a positive solution, which attracts; beyond it $r = 0$ alone.

    **Arguments:**

    - `strength`: $s$, of the independent noise, positive.
    - `dim`: $d \ge 2$.
    - `scale`: $c$, the sum of a softmax row.

    **Returns:**

    $r$ in [0, 1[, to rounding.

    **Raises:**

    - `ValueError`: an argument out of its range.

    ```python
    af.theory.stationary_order(0.7)  # 0.8365...
    ```
    """
    s, c = number("strength", strength, above=0.0), number("scale", scale, above=0.0)
    d = whole("dim", dim, least=2)
    per_kappa = s * s / (2 * c)  # r = kappa * this
    if per_kappa * d >= 1:
        return 0.0
    # ratio(kappa)/kappa falls from 1/d to 0: one crossing.
    low, high = 0.0, 1 / per_kappa
    for _ in range(200):
        middle = 0.5 * (low + high)
        above = _ratio(np.array([middle]), d)[0] > per_kappa * middle
        low, high = (middle, high) if above else (low, middle)
    return per_kappa * 0.5 * (low + high)


def stationary_cosine(strength: float, tokens: int, dim: int = 2, *, scale: float = 1.0) -> float:
    r"""The mean cosine of two different ones of finitely many tokens at rest, as in [`stationary_order`][]: exact.

    The stationary law is Gibbs', $\propto \exp\big(\tfrac{c}{s^2 \ell}|\sum_i y_i|^2\big)$; a Gaussian integral makes
    tokens independent given a field of strength $\kappa$, and

    $$ \mathbb E\langle y_i, y_j\rangle = \frac{\int A(\kappa)^2 w(\kappa)\,d\kappa}{\int w(\kappa)\,d\kappa}, \quad
    w = \kappa^{d-1}e^{-\ell s^2\kappa^2/4c}\Big(\frac{I_{d/2-1}(\kappa)}{\kappa^{d/2-1}}\Big)^{\ell}, \quad
    A = \frac{I_{d/2}}{I_{d/2-1}}. $$

    With more and more tokens it becomes $r^2$. The squared length of the mean of all is
    $1/\ell + (1 - 1/\ell)$ times it.

    **Arguments:**

    - `strength`, `dim`, `scale`: as of [`stationary_order`][].
    - `tokens`: $\ell \ge 2$.

    **Returns:**

    A number in ]0, 1[.

    **Raises:**

    - `ValueError`: an argument out of its range.

    ```python
    af.theory.stationary_cosine(0.7, 1000), af.theory.stationary_order(0.7) ** 2
    ```
    """
    s, c = number("strength", strength, above=0.0), number("scale", scale, above=0.0)
    d, count = whole("dim", dim, least=2), whole("tokens", tokens, least=2)
    # w lies within a few of its widths, 1/sqrt(count), of the solutions with and without order.
    most = 2 * c / (s * s) + 12 * math.sqrt(2 * c / (s * s * count))
    kappa = np.linspace(0.0, most, _STEPS)[1:]
    log_bessel = np.log(ive(d / 2 - 1, kappa)) + kappa - (d / 2 - 1) * np.log(kappa)
    log_w = (d - 1) * np.log(kappa) + count * (log_bessel - s * s * kappa**2 / (4 * c))
    simpson = np.where(np.arange(1, _STEPS) % 2 == 1, 4.0, 2.0)
    simpson[-1] = 1.0
    w = simpson * np.exp(log_w - log_w.max())
    return float(np.sum(w * _ratio(kappa, d) ** 2) / np.sum(w))


def antipodal_exponent(
    beta: float,
    dim: int,
    *,
    strength: float = 1.0,
    scale: float = 1.0,
    calculus: str = "ito",
) -> float:
    r"""The Lyapunov exponent of two tokens near antipodes, under value matrices that are white noise.

    $$ \lambda_- = s^2c^2\Big(\frac{d-1}{\cosh^2\beta} - 2\Big) \text{ (Itô)}, \qquad
    \lambda_- = s^2c^2\Big(\frac{d-1}{\cosh^2\beta} - 1 - \tanh\beta\Big) \text{ (Stratonovich)}: $$

    the rate of $\log(1 + \langle y_1, y_2\rangle)$ where that is small. Two tokens on the sphere, full softmax
    attention with $P = \beta I$, no values but [`Noise`][attnflow.Noise]`(values=s)`. By Itô's formula, with $\rho =
    \langle y_1, y_2\rangle$, $g = |A_1|^2$ and $g_{12} = \langle A_1, A_2\rangle$,

    $$ d\rho = \big(-(d-1)\,g\,\rho + (d - 2 + \rho^2)\,g_{12}\big)\,s^2dt
    + s\sqrt{2(1-\rho^2)(g - \rho g_{12})}\,dB, $$

    linearised at $\rho = -1$, where $|A|/c = \tanh\beta$. Antipodes attract (of Itô) where $\cosh 2\beta > d - 2$:
    sharp attention, few dimensions. Consensus attracts always: at $\rho = 1$ the exponent is $-(d-1)s^2c^2$ for both.

    **Arguments:**

    - `beta`: $\beta$, any number.
    - `dim`: $d \ge 2$.
    - `strength`: $s$; `scale`: $c$, the sum of a softmax row.
    - `calculus`: `"ito"` (the limit of many layers) or `"stratonovich"`.

    **Returns:**

    $\lambda_-$; below zero antipodes attract.

    **Raises:**

    - `ValueError`: an argument out of its range.

    ```python
    af.theory.antipodal_exponent(1.0, 3), af.theory.antipodal_exponent(1.0, 10)  # -1.16, 1.78
    ```
    """
    beta, d = number("beta", beta), whole("dim", dim, least=2)
    s, c = number("strength", strength, least=0.0), number("scale", scale, least=0.0)
    choose("calculus", calculus, ("ito", "stratonovich"))
    flat = (d - 1) / math.cosh(min(abs(beta), 300.0)) ** 2
    return (s * c) ** 2 * (flat - (2.0 if calculus == "ito" else 1 + math.tanh(beta)))


def _ratio(kappa: np.ndarray, dim: int) -> np.ndarray:
    """$I_{d/2}/I_{d/2-1}$, at zero 0."""
    small = kappa < 1e-6
    safe = np.where(small, 1.0, kappa)
    return np.where(small, kappa / dim, ive(dim / 2, safe) / ive(dim / 2 - 1, safe))
