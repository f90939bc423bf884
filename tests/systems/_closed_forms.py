"""Closed forms, and scalar equations that stand for one, by their number in tests/conformance.

Sources: Geshkovski et al. 2312.10794 (K1), Karagodin et al. 2510.22026 (K13), Wendel 1962 (K16),
2512.01868 (K17), 2411.04990 (K18), Alcalde et al. 2407.01602 (K19); the others are a page of algebra.
"""

import itertools
import math

import numpy as np
from scipy.integrate import solve_ivp
from scipy.linalg import expm


def linear_equiangular(t, tokens: int):
    """K2: the common cosine from an orthonormal start, full attention, `P = 0`, `scale = 1`."""
    t = np.asarray(t, dtype=float)
    return np.expm1(2 * t) / (np.exp(2 * t) + tokens - 1)


def equiangular(
    ts,
    tokens: int,
    beta: float,
    *,
    kernel="softmax",
    normalisation="post",
    scale=1.0,
    alpha=lambda t: 1.0,
    switch=0.0,
    start=0.0,
):
    """K1, K13: common cosine g(t) and common radius r(t) from an equiangular start, `P = beta I`.

    Every token gives itself the weight `p` and each other one `q`. With `A_i = p x_i + q sum_j x_j`
    one has `<x_i, A_i> = p + (l-1) q g` and
    `d<x_i, x_j>/dt = (2/s) q (1-g)(1+(l-1)g)`, and the normalisations differ in `s` and in `r`.

    Solved for `ln((1+(l-1)g)/(1-g))`, in which `1-g` keeps its digits down to the smallest; what
    comes back is `(1-g, r)`, each of shape (len(ts),).
    """
    n = tokens - 1

    def gap(z):  # 1 - g from z = ln((1 + n g)/(1 - g))
        return tokens / (np.exp(z) + n)

    def weights(g):
        if kernel == "exp":
            return scale * math.exp(beta) / tokens, scale * math.exp(beta * g) / tokens
        ratio = math.exp(beta * (g - 1))
        return scale / (1 + n * ratio), scale * ratio / (1 + n * ratio)

    def right(t, state):
        z, r = state
        one_less = gap(z)
        g = 1 - one_less
        p, q = weights(g)
        along = p + n * q * g
        length = math.sqrt(p**2 + 2 * p * q * n * g + q**2 * (n + n * (n - 1) * g))
        kind = normalisation
        if kind == "mix":
            kind = "post" if t < switch else "pre"
        s, radial = {
            "post": (1.0, 0.0),
            "pre": (r, along),
            "peri": (r * length, along / length),
            "ngpt": (length / alpha(t), 0.0),
            "sqrt": (math.sqrt(t + 1), 0.0),
        }[kind]
        # dz/dg = l / ((1-g)(1+ng)), so (1-g)(1+ng) drops out.
        return [2 * q * tokens / s, radial]

    ts = np.asarray(ts, dtype=float)
    stops = [0.0] + ([switch] if normalisation == "mix" and 0 < switch < ts[-1] else []) + [ts[-1]]
    state = np.array([math.log((1 + n * start) / (1 - start)), 1.0])
    columns = {0.0: state}
    for left, right_end in itertools.pairwise(stops):
        last = np.nextafter(right_end, left)
        calls = np.unique(np.append(ts[(ts > left) & (ts <= right_end)], right_end))
        run = solve_ivp(
            lambda t, s, last=last: right(min(t, last), s),
            (left, right_end),
            state,
            method="DOP853",
            t_eval=calls,
            rtol=1e-13,
            atol=1e-14,
        )
        if not run.success:
            raise RuntimeError(run.message)
        columns |= {t: run.y[:, k] for k, t in enumerate(calls)}
        state = run.y[:, -1]
    z, r = np.stack([columns[t] for t in ts]).T
    return gap(z), r


def equiangular_cosine(ts, tokens: int, beta: float, **options):
    """K1: the common cosine alone."""
    return 1 - equiangular(ts, tokens, beta, **options)[0]


def oja(pieces, x0) -> np.ndarray:
    """K3: `z' = U z` through constant pieces [(duration, U), ...]; z itself, not yet projected."""
    z = np.asarray(x0, dtype=float)
    for duration, U in pieces:
        z = expm(duration * U) @ z
    return z


def cross_ratios(g) -> np.ndarray:
    """K4: `(1-g_ij)(1-g_kl)/((1-g_ik)(1-g_jl))` over distinct i, j, k, l; g a Gram matrix."""
    tokens = len(g)
    out = []
    for i in range(tokens):
        for j in range(i + 1, tokens):
            for k in range(j + 1, tokens):
                for m in range(k + 1, tokens):
                    top = (1 - g[i, j]) * (1 - g[k, m])
                    out.append(top / ((1 - g[i, k]) * (1 - g[j, m])))
                    out.append(top / ((1 - g[i, m]) * (1 - g[j, k])))
    return np.array(out)


def pair_cosine(t, start, *, causal: bool):
    """K5: the cosine of two tokens with `P = 0`: tanh(t/2 + artanh g0) causal, tanh(t + .) full."""
    return np.tanh((0.5 if causal else 1.0) * np.asarray(t) + np.arctanh(start))


def block_pairs_mask(tokens: int, *, causal: bool) -> np.ndarray:
    """Tokens (0,1), (2,3), ... attend within their pair alone: many cases of K5 in one run."""
    index = np.arange(tokens)
    same = index[:, None] // 2 == index[None, :] // 2
    return same & (index[:, None] >= index[None, :]) if causal else same


def causal_rates(tokens: int) -> np.ndarray:
    """K9, K18: the linear flow of `x_k - x_1` (k = 2 ... l) at causal consensus, `scale = 1`.

    `M_kk = -(1 - 1/k)`, `M_kj = 1/k` for `1 < j < k`; its slowest mode is `(1, 2, ..., l-1)`, at
    rate 1/2.
    """
    M = np.zeros((tokens - 1, tokens - 1))
    for k in range(2, tokens + 1):
        M[k - 2, : k - 2] = 1 / k
        M[k - 2, k - 2] = -(1 - 1 / k)
    return M


def wendel(tokens: int, dim: int) -> float:
    """K16: the chance that `tokens` uniform points of S^(dim-1) lie in some open hemisphere."""
    return sum(math.comb(tokens - 1, k) for k in range(dim)) / 2 ** (tokens - 1)


def equiangular_layer_cosine(tokens: int, rho: float, beta: float) -> float:
    """K17: cosine after one application of softmax attention, without skip, `P = beta I`, exactly.

    `A_i = (p-q) x_i + q S` with `S` the sum of the tokens, `<x_i, S> = s = 1 + (l-1) rho` and
    `<S, S> = l s`.
    """
    ratio = math.exp(-beta * (1 - rho))
    p = 1 / (1 + (tokens - 1) * ratio)
    q = p * ratio
    s = 1 + (tokens - 1) * rho
    shared = 2 * (p - q) * q * s + q**2 * tokens * s
    return ((p - q) ** 2 * rho + shared) / ((p - q) ** 2 + shared)


def hardmax_map(z, a: float, depth: int) -> np.ndarray:
    """K19: `z_i <- z_i/(1+a) + a/(1+a) mean of argmax_j <z_i, z_j>`, in R^d; all layers."""
    z = np.asarray(z, dtype=float)
    out = [z]
    for _ in range(depth):
        new = np.empty_like(z)
        for i, row in enumerate(z):
            scores = np.array([row @ other for other in z])
            best = scores >= scores.max() - 1e-12 * max(1.0, abs(scores.max()))
            new[i] = row / (1 + a) + a / (1 + a) * z[best].mean(axis=0)
        z = new
        out.append(z)
    return np.stack(out)
