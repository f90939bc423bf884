r"""Caps about the two ends of an axis that every U keeps: a basin of consensus and of polarised states, token by token.

**Theorem.** Eq. (6) on the sphere with constant $P_\eta$, $U_\eta$, positive weights (softmax or exp; equal masses),
each token attending to somebody. Let a unit vector $v$ and numbers $\lambda_\eta > \mu_\eta \geq 0$ satisfy

$$ U_\eta v = U_\eta^\top v = \lambda_\eta v, \qquad |U_\eta w| \leq \mu_\eta |w| \text{ for } w \perp v, $$

and let $\sigma_i = \pm 1$, $0 < \theta < \pi/2$. Token $i$ attends to $n_i$ tokens of its own sign and $m_i$ of the
other. With $\beta_\eta = v^\top P_\eta v$, $R_\eta = P_\eta - \beta_\eta I$ and

$$ \Delta_\eta = 2\min(\beta_\eta \cos 2\theta, \beta_\eta) - 2 \lVert R_\eta\rVert (2\sin\theta + \sin^2\theta), $$

suppose that for each head and each token with $m_i > 0$

$$ \frac{n_i}{m_i}\, \cos\theta\, e^{\Delta_\eta} > \frac{\lambda_\eta + \mu_\eta}{\lambda_\eta - \mu_\eta}. $$

Then from every start with $\angle(y_i, \sigma_i v) \leq \theta$ for all $i$, $y_i \to \sigma_i v$, exponentially.

**Proof.** Let $c_i = v^\top y_i$ and $y_i / c_i = v + w_i$, $w_i \perp v$, so that
$|w_i| = \tan\angle(y_i, \sigma_i v)$. As in `theorems/_contraction.py`,
$\dot w_i = \sum_\eta\sum_j a^\eta_{ij} \frac{c_j}{c_i}(U_\eta w_j - \lambda_\eta w_i)$ and $U_\eta w_j \perp v$. Let
$M = \max_j |w_j| = |w_i| = \tan\varphi$, $\varphi \leq \theta$. Of the tokens that $i$ attends to,
$p_\eta = \sum a^\eta_{ij}|c_j|$ over those of its sign and $q_\eta$ over the others:

$$ \frac{d}{dt}|w_i| \leq \frac{M}{|c_i|}
   \sum_\eta \bigl(\mu_\eta(p_\eta + q_\eta) - \lambda_\eta(p_\eta - q_\eta)\bigr), $$

which is negative where $p_\eta (\lambda_\eta - \mu_\eta) > q_\eta(\lambda_\eta + \mu_\eta)$. Since $|c_i|$ is the
least of all $|c_j|$, $\cos\varphi \leq |c_j| \leq 1$. Two tokens of one sign have a cosine of $\cos 2\varphi$ at
least, two of different signs one of $-\cos 2\varphi$ at most, and
$|y_i^\top R_\eta y_j| \leq \lVert R_\eta\rVert(2\sin\varphi + \sin^2\varphi)$ as $v^\top R_\eta v = 0$. So scores of
$i$ with its sign exceed those with the other by $\Delta_\eta(\varphi) \geq \Delta_\eta(\theta)$, and
$p_\eta / q_\eta \geq \frac{n_i}{m_i}\cos\varphi\, e^{\Delta_\eta(\varphi)}$, which declines in $\varphi$. Hence $M$
does not rise above $\tan\theta$, signs stay, and $\dot M \leq -\kappa M$ with $\kappa > 0$ by compactness (Grönwall).
$n_i \geq 1$ is needed where $m_i > 0$, and for $m_i = 0$ there is nothing to show: consensus has $\theta$ up to
$\pi/2$. ∎

All of this is checked in exact fractions and in balls. For $U_\eta = c I$, where $\lambda = \mu$, it gives nothing;
under full attention Theorem 3.2 of arXiv:2412.02682 then says that every start in an open hemisphere goes to
consensus, and Wendel's formula how many these are.
"""

import math
from fractions import Fraction
from typing import Any

import numpy as np
from flint import arb, arb_mat, fmpq, fmpq_mat

_DENOMINATOR = 10**6
_TIGHT = 2**14  # powers of a matrix, whose trace bounds its norm
_HALVINGS = 40
_ON_AXIS = 1e-9  # of a token's cosine: 5e-5 radians
_LEAST = 1e-3  # radians of a cap, so that tokens that near are in it


def caps(flow: Any, y: np.ndarray) -> tuple[float, Any, int] | None:
    """The angle of caps about the tokens of `y`, the part of uniform tokens in all of them, and how many
    such products of caps, about relabelled and mirrored states, are disjoint; `None` where the theorem gives none.
    """
    v = _axis(flow, y)
    if v is None:
        return None
    along = y @ _floats(v) / np.linalg.norm(_floats(v))
    if np.abs(np.abs(along) - 1).max() > _ON_AXIS:
        return None
    # The ends of the axis are an equilibrium, and no other one is in the caps: it is that of `y`.
    signs = np.sign(along)
    heads = [_head(P, U, v, flow.one) for P, U in zip(flow.P, flow.U, strict=True)]
    if any(head is None for head in heads):
        return None
    ratio = _least_ratio(flow, signs)
    angle = _widest(heads, ratio)
    if angle < _LEAST:
        return None
    half = arb(flow.dim - 1) / 2
    cap = ((arb(angle) / 2).sin() ** 2).beta_lower(half, half, regularized=True)
    ahead = int(np.sum(signs > 0))
    copies = 2
    if flow.full:
        copies = math.comb(len(y), ahead) * (1 if 2 * ahead == len(y) else 2)
    return angle, cap ** len(y), copies


def shares_a_hemisphere(flow: Any) -> Any | None:
    """Wendel's share, where Theorem 3.2 says that all starts in a hemisphere go to consensus; else `None`."""
    multiple = flow.U[0][0, 0]
    same = all(multiple * flow.one == U for U in flow.U)
    if not (same and multiple > 0 and flow.full and flow.softmax and flow.one == flow.W):
        return None
    ways = sum(math.comb(flow.tokens - 1, k) for k in range(min(flow.dim, flow.tokens)))
    return arb(ways) / arb(2) ** (flow.tokens - 1)


def _axis(flow: Any, y: np.ndarray) -> Any | None:
    """The direction of the first token in exact fractions, if every U keeps it from both sides."""
    scaled = y[0] / y[0][np.argmax(np.abs(y[0]))]
    fractions = [Fraction(float(x)).limit_denominator(_DENOMINATOR) for x in scaled]
    v = fmpq_mat([[fmpq(x.numerator, x.denominator)] for x in fractions])
    return v if all(_keeps(M, v) for U in flow.U for M in (U, U.transpose())) else None


def _keeps(M: Any, v: Any) -> bool:
    [[size]] = (v.transpose() * v).tolist()
    [[value]] = (v.transpose() * M * v).tolist()
    return size * (M * v) == value * v


def _head(P: Any, U: Any, v: Any, one: Any) -> tuple[Any, Any, Any] | None:
    """(lambda + mu) / (lambda - mu), beta and the norm of R; `None` where lambda is not above mu."""
    [[size]] = (v.transpose() * v).tolist()
    [[top]] = (v.transpose() * U * v).tolist()
    [[beta]] = (v.transpose() * P * v).tolist()
    top, beta = top / size, beta / size
    mu, rest = (
        norm_bound(arb_mat(M)) for M in (U - (top / size) * (v * v.transpose()), P - beta * one)
    )
    return ((top + mu) / (top - mu), arb(beta), rest) if arb(top) > mu else None


def norm_bound(M: arb_mat) -> Any:
    """An upper bound of the largest singular value."""
    A = M.transpose() * M
    size = A.trace()
    if size == 0:
        return size
    if not size > 0:
        raise ValueError("a matrix is enclosed too widely to bound its norm")
    power, k = A / size, 1  # so that powers stay of the size of one
    while k < _TIGHT:
        power, k = power * power, 2 * k
    return (power.trace() ** (arb(1) / k) * size).sqrt()


def _least_ratio(flow: Any, signs: np.ndarray) -> Any | None:
    """The least n_i / m_i of tokens that attend to another sign; `None` where none does."""
    ratios = []
    for i, sees in enumerate(flow.sees):
        own = sum(int(signs[j] == signs[i]) for j in sees)
        if own < len(sees):
            ratios.append(Fraction(own, len(sees) - own))
    return min(ratios, default=None)


def _widest(heads: list, ratio: Fraction | None) -> float:
    """The largest angle, by bisection, at which the condition is shown; 0 where it is at none."""
    right = float(np.nextafter(math.pi / 2, 0))
    if ratio is None:
        return right
    low, high = 0.0, right
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if _holds(heads, ratio, middle) else (low, middle)
    return low


def _holds(heads: list, ratio: Fraction, angle: float) -> bool:
    theta = arb(angle)
    share = arb(ratio.numerator) / ratio.denominator * theta.cos()
    aside = 2 * theta.sin() + theta.sin() ** 2

    def shown(least: Any, beta: Any, rest: Any) -> bool:
        delta = 2 * (beta * (2 * theta).cos()).min(beta) - 2 * rest * aside
        return bool(share * delta.exp() > least)

    return all(shown(*head) for head in heads)


def _floats(v: Any) -> np.ndarray:
    return np.array([float(Fraction(int(x.p), int(x.q))) for x in v.entries()])
