"""Where the norm stands: speeds and ends of attention under six normalisations, arXiv:2510.22026."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Key
from matplotlib.figure import Figure

from ..flow import simulate
from ..geometry import Sphere
from ..model import NGPT, AttentionField, Mix, Peri, Post, Pre, SquareRoot
from ._claims import GalleryClaim, Measured, slope
from ._style import GREY, PALETTE, label, legend, panels

PAPER = "2510.22026"
TOKENS = {"tiny": 4, "small": 16, "full": 64}
BETA, T1, SWITCH = 1.0, 400.0, 3.0
SCHEMES = {
    "post": (Post(), "Post"),
    "ngpt": (NGPT(1.0), "nGPT, α = 1"),
    "sqrt": (SquareRoot(), r"$\sqrt{t}$ scaling"),
    "pre": (Pre(), "Pre"),
    "peri": (Peri(), "Peri"),
    "mix": (Mix(SWITCH), f"Mix (Pre from t = {SWITCH:g})"),
}
EXPONENTIAL = ("post", "ngpt")
POLYNOMIAL = ("pre", "peri", "mix")


def _observe(y: Float[Array, "tokens dim"]) -> dict[str, Array]:
    """1 - cos of the first two tokens by their half chord, and the radius of the first."""
    radius = jnp.linalg.norm(y, axis=1)
    unit = y / radius[:, None]
    return {"gap": jnp.sum((unit[0] - unit[1]) ** 2) / 2, "radius": radius[0]}


def normalisations(key: Key[Array, ""], size: str) -> Measured:
    """How the cosine of orthonormal tokens goes to one under six normalisations, to t = 400."""
    tokens = TOKENS[size]
    ts = jnp.concatenate([jnp.zeros(1), jnp.geomspace(1e-2, T1, 300)])
    gaps, radii, speeds = {}, {}, {}
    for name, (normalisation, _) in SCHEMES.items():
        field = AttentionField(
            Sphere(tokens), P=BETA * jnp.eye(tokens), scale=1.0, normalisation=normalisation
        )
        y0 = jnp.eye(tokens)
        ys = jax.jit(
            lambda y, field=field: (
                simulate(field, y, t1=ts[-1], ts=ts, rtol=1e-12, atol=1e-15, observe=_observe).ys
            )
        )(y0)
        gaps[name], radii[name] = np.asarray(ys["gap"]), np.asarray(ys["radius"])
        direction = field(
            0.0, y0
        )  # of a token of length one: its part across is the speed of the direction
        across = direction - jnp.sum(direction * y0, axis=1, keepdims=True) * y0
        speeds[name] = float(jnp.linalg.norm(across, axis=1).max())
    t = np.asarray(ts)
    rates = {}
    for name in EXPONENTIAL:
        late = (gaps[name] < 1e-4) & (gaps[name] > 1e-11)
        rates[name] = slope(t[late], np.log(gaps[name][late]))
    late = (gaps["sqrt"] < 1e-4) & (gaps["sqrt"] > 1e-11)
    rates["sqrt"] = slope(np.sqrt(t[late] + 1), np.log(gaps["sqrt"][late]))
    late = t > T1 / 4
    for name in POLYNOMIAL:
        rates[name] = slope(np.log(t[late]), np.log(gaps[name][late]))
    growth = {name: slope(t[late], radii[name][late]) for name in POLYNOMIAL}
    A = np.sqrt(np.exp(2 * BETA) + tokens - 1) / (
        np.exp(BETA) + tokens - 1
    )  # of orthonormal tokens
    ratio = speeds["peri"] / speeds["post"]
    claims = (
        GalleryClaim(
            f"{PAPER}, collapse of clusters",
            "Post clusters exponentially; so does nGPT, at a rate that alpha sets",
            "1 - cos falls as e^(" + "t), e^(".join(f"{rates[n]:.3f} " for n in EXPONENTIAL) + "t)",
            bool(all(abs(rates[n] + 2) < 0.02 for n in EXPONENTIAL)),
        ),
        GalleryClaim(
            f"{PAPER}, collapse of clusters",
            "scaling by sqrt(t) clusters exponentially in sqrt(t)",
            f"1 - cos falls as e^({rates['sqrt']:.3f} sqrt(t + 1))",
            bool(abs(rates["sqrt"] + 4) < 0.05),
        ),
        GalleryClaim(
            f"{PAPER}, collapse of clusters",
            "Pre, Mix and Peri cluster polynomially: d Var/dt of the order of -Var/t",
            "1 - cos falls as t to the power "
            + ", ".join(f"{rates[n]:.2f} ({n})" for n in POLYNOMIAL),
            bool(all(abs(rates[n] + 2) < 0.1 for n in POLYNOMIAL)),
        ),
        GalleryClaim(
            f"{PAPER}, Thm on Pre, (i)",
            "without a norm after the layer the length of tokens grows like t",
            "its slope at the end: " + ", ".join(f"{growth[n]:.4f} ({n})" for n in POLYNOMIAL),
            bool(all(abs(growth[n] - 1) < 0.01 for n in POLYNOMIAL)),
        ),
        GalleryClaim(
            f"{PAPER}, first speeds",
            "Peri and nGPT start faster than Post, by one over the length of the attention's sum",
            f"{tokens} orthonormal tokens: {ratio:.4f} times as fast, 1/|A| = {1 / A:.4f}",
            bool(
                abs(ratio * A - 1) < 1e-10 and abs(speeds["ngpt"] / speeds["post"] * A - 1) < 1e-10
            ),
        ),
    )
    arrays = (
        {"ts": t}
        | {f"gap_{n}": g for n, g in gaps.items()}
        | {f"radius_{n}": r for n, r in radii.items()}
    )
    return Measured(arrays, claims)


def draw_normalisations(data: Measured) -> Figure:
    """1 - cos by time: with logarithms of it alone, and of both."""
    figure, (left, right) = panels(
        2, "Clustering under six normalisations, orthonormal start", width=4.8
    )
    t = data["ts"]
    for k, (name, (_, shown)) in enumerate(SCHEMES.items()):
        gap = np.maximum(data[f"gap_{name}"], 1e-16)
        style = "--" if name == "ngpt" else "-"
        left.semilogy(t, gap, style, color=PALETTE[k], label=shown)
        right.loglog(t[1:], gap[1:], style, color=PALETTE[k])
    right.loglog(t[t > 20], 20 * t[t > 20] ** -2.0, ":", color=GREY, label=r"$t^{-2}$")
    label(left, "t", "1 - cos", "first times")
    label(right, "t", "", "to t = 400")
    left.set(xlim=(0, 20), ylim=(1e-12, 2))
    right.set(ylim=(1e-12, 2), xlim=(1e-2, t[-1]))
    legend(left, loc="lower left")
    legend(right, loc="lower left")
    return figure


# === how small the attention's sum is at the start

_LENGTHS = {
    "tiny": (8, 32),
    "small": (16, 32, 64, 128, 256, 512),
    "full": (16, 32, 64, 128, 256, 512, 1024, 2048),
}


def attention_at_start(key: Key[Array, ""], size: str) -> Measured:
    """The length of the attention's sum at random tokens by their number: what divides Peri's first step."""
    tokens = np.array(_LENGTHS[size])
    dims = (tokens[-1] // 2, tokens[-1])
    largest, mean = np.zeros((len(dims), len(tokens))), np.zeros((len(dims), len(tokens)))
    for i, dim in enumerate(int(d) for d in dims):
        field = AttentionField(Sphere(dim), P=jnp.eye(dim), scale=1.0)
        for j, n in enumerate(tokens.tolist()):
            drawn = []
            for trial in range(4):
                own = jr.fold_in(jr.fold_in(jr.fold_in(key, i), j), trial)
                drawn.append(
                    np.linalg.norm(field.total(0.0, Sphere(dim).random(own, (n,))), axis=1)
                )
            largest[i, j], mean[i, j] = np.max(drawn), np.mean(drawn)
    scale = (
        np.sqrt(np.log(tokens) / tokens)[None, :]
        + np.log(tokens)[None, :] / np.array(dims)[:, None]
    )
    ratio = largest / scale
    power = slope(np.log(tokens), np.log(mean[-1]))
    claims = (
        GalleryClaim(
            f"{PAPER}, Thm on first speeds",
            "at random tokens |A_j| is at most a constant times sqrt(log n / n) + log n / d, for all j at once",
            f"n = {tokens[0]} to {tokens[-1]}, d = {dims[0]} and {dims[1]}: the largest is "
            f"{ratio.min():.2f} to {ratio.max():.2f} times that",
            bool(ratio.max() < 2),
        ),
        GalleryClaim(
            f"{PAPER}, first speeds",
            "so Peri is of the order of sqrt(n) faster at the start than Post",
            f"the mean of |A| goes as n to the power {power:.2f} (d = {dims[1]})",
            bool(-0.6 < power < -0.35),
        ),
    )  # fmt: skip
    arrays = {
        "tokens": tokens,
        "dims": np.array(dims),
        "largest": largest,
        "mean": mean,
        "scale": scale,
    }
    return Measured(arrays, claims)


def draw_attention_at_start(data: Measured) -> Figure:
    """|A| by the number of tokens, beside the bound's order."""
    figure, (ax,) = panels(
        1, "Length of the attention's sum at random tokens", width=6.0, height=4.0
    )
    for i, dim in enumerate(data["dims"]):
        ax.loglog(
            data["tokens"], data["largest"][i], "o-", color=PALETTE[i], label=f"largest, d = {dim}"
        )
        ax.loglog(
            data["tokens"], data["mean"][i], "s--", color=PALETTE[i], label=f"mean, d = {dim}"
        )
    ax.loglog(
        data["tokens"], data["scale"][-1], ":", color=GREY, label=r"$\sqrt{\log n/n} + \log n/d$"
    )
    ax.set_xticks(data["tokens"], [str(n) for n in data["tokens"]])
    ax.set_xticks([], minor=True)
    label(ax, "tokens n", "|A|")
    legend(ax)
    return figure
