"""Long contexts: how sharp attention must be for many tokens, arXiv:2512.01868 (and 2510.05554)."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key
from matplotlib.figure import Figure

from ..closed_forms import equiangular_time
from ..flow import simulate
from ..flow.events import consensus
from ..geometry import Sphere
from ..model import AttentionField, AttentionLayers
from ._claims import GalleryClaim, Measured, slope, worst
from ._style import GREY, PALETTE, heat, label, legend, panels

PAPER = "2512.01868"
TOKENS = {"tiny": (8, 32), "small": (8, 32, 128, 512), "full": (8, 32, 128, 512, 1024)}
RHOS, GAMMAS = {"tiny": 5, "small": 19, "full": 61}, {"tiny": 5, "small": 25, "full": 81}
HUGE = 10.0 ** np.arange(2, 61, 2.0)  # numbers of tokens that only the formula reaches


def _equiangular(tokens: int, rho: Array) -> Float[Array, "tokens tokens"]:
    """Tokens of the sphere in R^tokens whose cosines are all rho."""
    # The symmetric root of their Gram matrix (1 - rho) I + rho 11', by its two eigenvalues.
    apart, together = jnp.sqrt(1 - rho), jnp.sqrt(1 + (tokens - 1) * rho)
    y = apart * jnp.eye(tokens) + (together - apart) / tokens
    return y / jnp.linalg.norm(y, axis=1, keepdims=True)


def _after(n: np.ndarray | float, rho: np.ndarray, gamma: np.ndarray) -> np.ndarray:
    """The cosine after one layer of n equiangular tokens, attention alone, beta = gamma ln n."""
    log_ratio = np.log(n) * gamma * (1 - rho) - np.log(
        np.maximum(n - 1, 1)
    )  # of its own weight to the others'
    own = 1 / (1 + np.exp(-np.clip(log_ratio, -700, 700)))
    other = (1 - own) / (n - 1)
    # each output is a multiple of (own - other) x_i plus other * sum_j x_j
    a, b = own - other, other
    inner = a**2 * rho + 2 * a * b * (1 + (n - 1) * rho) + b**2 * n * (1 + (n - 1) * rho)
    length = a**2 + 2 * a * b * (1 + (n - 1) * rho) + b**2 * n * (1 + (n - 1) * rho)
    return np.asarray(inner / length)


def long_context(key: Key[Array, ""], size: str) -> Measured:
    """The cosine of equiangular tokens after one layer of attention with beta = gamma ln n, by rho and gamma."""
    tokens = np.array(TOKENS[size])
    rho, gamma = np.linspace(0.05, 0.95, RHOS[size]), np.linspace(0.1, 5.0, GAMMAS[size])

    def measure(n: int, rhos: np.ndarray, gammas: np.ndarray) -> np.ndarray:
        @jax.jit
        def one(y, gamma):
            field = AttentionField(Sphere(n), P=gamma * jnp.log(float(n)) * jnp.eye(n), scale=1.0)
            out = AttentionLayers(field, skip=False)(0, y)
            return jnp.sum(out[0] * out[1])

        rows = []
        for r in rhos:
            y = _equiangular(n, jnp.asarray(r))
            rows.append([float(one(y, jnp.asarray(g))) for g in gammas])
        return np.array(rows)

    largest = int(tokens[-1])
    some = slice(None, None, max(1, len(rho) // 6)), slice(None, None, max(1, len(gamma) // 6))
    cosine = _after(float(largest), rho[:, None], gamma[None, :])
    checked = measure(largest, rho[some[0]], gamma[some[1]])
    error = worst(checked - cosine[some])
    critical = 1 / (1 - rho)
    limit = 4 * rho / (1 + 3 * rho)
    at = np.stack([_after(n, rho, critical) for n in HUGE])
    # n - 1 in place of n shifts the two weights: what is left at any n is of order 1/n
    below = _after(HUGE[-1], rho, 0.9 * critical)
    above = _after(HUGE[-1], rho, 1.1 * critical)
    finite = np.array([measure(int(n), np.array([0.4]), np.array([1 / 0.6]))[0, 0] for n in tokens])
    claims = (
        GalleryClaim(
            f"{PAPER}, Thm on long contexts",
            "one layer, beta = gamma ln n, n to infinity: cosines go to 1 for gamma < 1/(1 - rho) and stay rho above",
            f"n = 1e60: 0.9 of the critical gamma gives 1 - {worst(1 - below):.1e} at least, 1.1 of it "
            f"rho + {worst(above - rho):.1e} at most",
            bool(worst(1 - below) < 5e-3 and worst(above - rho) < 5e-3),
        ),
        GalleryClaim(
            f"{PAPER}, Thm on long contexts",
            "at gamma = 1/(1 - rho) the limit is 4 rho/(1 + 3 rho)",
            f"largest difference {worst(at[-1] - limit):.1e} at n = 1e60; rho = 0.4, layers of n = "
            + ", ".join(f"{n}: {c:.4f}" for n, c in zip(tokens, finite, strict=True))
            + f"; limit {4 * 0.4 / 2.2:.4f}",
            bool(worst(at[-1] - limit) < 1e-9 and abs(finite[-1] - 1.6 / 2.2) < 2 / tokens[-1]),
        ),
        GalleryClaim(
            "of that formula",
            "layers of this library and the cosine worked out by hand agree",
            f"{checked.size} pairs of rho and gamma at n = {largest}: largest difference {error:.1e}",
            error < 1e-9,
        ),
    )
    arrays = {
        "tokens": tokens, "rho": rho, "gamma": gamma, "cosine": cosine, "critical": critical,
        "huge": HUGE, "at_critical": at, "limit": limit, "measured": checked, "finite": finite,
    }  # fmt: skip
    return Measured(arrays, claims)


def draw_long_context(data: Measured) -> Figure:
    """The cosine after one layer by rho and gamma, and at the critical gamma by rho."""
    figure, (left, right) = panels(2, r"One layer of attention, $\beta = \gamma\,\ln n$", width=5.0)
    image = heat(left, data["gamma"], data["rho"], data["cosine"])
    inside = data["critical"] <= data["gamma"][-1]
    left.plot(
        data["critical"][inside],
        data["rho"][inside],
        color="white",
        label=r"$\gamma = 1/(1 - \rho)$",
    )
    left.legend(frameon=False, labelcolor="white", loc="upper left")
    label(left, r"$\gamma$", r"$\rho$ before", f"cosine after, n = {data['tokens'][-1]}")
    figure.colorbar(image, ax=left)  # pyright: ignore[reportArgumentType]
    for k, n in enumerate(data["tokens"]):
        after = _after(float(n), data["rho"], data["critical"])
        right.plot(data["rho"], after, color=PALETTE[k], label=f"n = {n}")
    right.plot(data["rho"], data["limit"], ":", color="black", label=r"$4\rho/(1 + 3\rho)$")
    right.plot(data["rho"], data["rho"], color=GREY, linewidth=0.8, label=r"$\rho$")
    label(right, r"$\rho$ before", "cosine after", r"at $\gamma = 1/(1 - \rho)$")
    legend(right)
    return figure


# === how long clustering takes

_NS = {"tiny": (4, 16), "small": (4, 8, 16, 32, 64), "full": (4, 8, 16, 32, 64, 128, 256, 512)}
_SCALES = (0.5, 1.0, 1.5, 2.0)


def clustering_time(key: Key[Array, ""], size: str) -> Measured:
    """The time in which orthonormal tokens come together by their number, beta = gamma ln n."""
    ns = np.array(_NS[size])
    fine = np.geomspace(4, 1e18, 90).round()
    gap = 1e-3

    def runs(n: int) -> list[float]:
        @jax.jit
        def one(beta):
            field = AttentionField(Sphere(n), P=beta * jnp.eye(n), scale=1.0)
            stop = consensus(gap * (n - 1) / n)  # the misalignment (eq. 9) of cosines 1 - gap
            return simulate(field, jnp.eye(n), t1=1e4, event=stop, rtol=1e-9, atol=1e-12).t1

        return [float(one(jnp.asarray(g * np.log(n)))) for g in _SCALES]

    measured = np.array([runs(int(n)) for n in ns])
    formula = np.array(
        [[equiangular_time(1 - gap, g * np.log(n), int(n)) for g in _SCALES] for n in ns]
    )
    curves = np.array(
        [[equiangular_time(1 - gap, g * np.log(n), int(n)) for g in _SCALES] for n in fine]
    )
    late = fine > 1e12
    powers = [slope(np.log(fine[late]), np.log(curves[late, k])) for k in range(len(_SCALES))]
    error = worst(measured / formula - 1)
    claims = (
        GalleryClaim(
            f"{PAPER}, equiangular tokens",
            "orthonormal tokens keep one cosine, whose time to any value is an integral",
            f"{measured.size} runs, n = {ns[0]} to {ns[-1]}: largest relative difference {error:.1e}",
            error < 1e-6,
        ),
        GalleryClaim(
            f"{PAPER}, long contexts",
            "beta = gamma ln n: clustering takes a time of order ln n up to gamma = 1, and n^(gamma - 1) beyond",
            "the time to cosine 0.999 goes as n to the power "
            + ", ".join(f"{p:.3f} (gamma = {g:g})" for p, g in zip(powers, _SCALES, strict=True))
            + " for n from 1e12 to 1e18",
            bool(
                all(abs(p - max(0.0, g - 1)) < 0.06 for p, g in zip(powers, _SCALES, strict=True))
            ),
        ),
    )
    arrays = {
        "tokens": ns, "gamma": np.array(_SCALES), "measured": measured, "formula": formula,
        "fine": fine, "curves": curves,
    }  # fmt: skip
    return Measured(arrays, claims)


def draw_clustering_time(data: Measured) -> Figure:
    """Times by the number of tokens, one curve a gamma."""
    figure, (ax,) = panels(
        1,
        r"Time to cosine 0.999 from orthonormal tokens, $\beta = \gamma\,\ln n$",
        width=6.4,
        height=4.0,
    )
    for k, gamma in enumerate(data["gamma"]):
        ax.loglog(
            data["fine"], data["curves"][:, k], color=PALETTE[k], label=rf"$\gamma$ = {gamma:g}"
        )
        ax.loglog(data["tokens"], data["measured"][:, k], "o", color=PALETTE[k], markersize=4)
    label(ax, "tokens n", "t", "lines: the integral, dots: runs")
    ax.set(xlim=(3, 1e7), ylim=(3, 1e7))
    legend(ax)
    return figure
