"""First clusters and growth rates of mean-field transformers, arXiv:2410.23228."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Key
from matplotlib.figure import Figure

from ..closed_forms import first_clusters as predicted, mode_growth
from ..flow import simulate
from ..geometry import Sphere
from ..model import AttentionField
from ._claims import GalleryClaim, Measured, worst
from ._style import GREY, PALETTE, label, legend, panels, stroke

PAPER = "2410.23228"
NOISE = 0.01  # of the angles, in radians, as in the paper's picture of beta = 5
SHOWN = 5.0


class _Size(NamedTuple):
    tokens: int
    modes: int
    betas: tuple[float, ...]
    trials: int


_SIZES = {
    "tiny": _Size(24, 3, (1.0, 5.0), 2),
    "small": _Size(64, 6, (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0), 6),
    "full": _Size(256, 8, tuple(np.arange(0.5, 16.01, 0.5).tolist()), 40),
}


def _field(beta: Array | float) -> AttentionField:
    """The exponential kernel, in units of time without its largest factor: exp(beta (cos - 1)) / tokens."""
    return AttentionField(Sphere(2), P=beta * jnp.eye(2), kernel="exp", scale=jnp.exp(-beta))


def _ring(tokens: int) -> Float[Array, " tokens"]:
    return jnp.linspace(0.0, 2 * jnp.pi, tokens, endpoint=False)


def _on_circle(angles: Float[Array, " tokens"]) -> Float[Array, "tokens 2"]:
    return jnp.stack([jnp.cos(angles), jnp.sin(angles)], axis=1)


def _modes(y: Float[Array, "tokens 2"], count: int) -> Float[Array, " modes"]:
    """The size of the Fourier coefficients 1 to `count` of the tokens' density."""
    angles = jnp.arctan2(y[:, 1], y[:, 0])
    turns = jnp.arange(1.0, count + 1)[:, None] * angles[None, :]
    return jnp.hypot(jnp.mean(jnp.cos(turns), axis=1), jnp.mean(jnp.sin(turns), axis=1))


def growth_rates(key: Key[Array, ""], size: str) -> Measured:
    """How fast each mode of a uniform ring grows: runs from small perturbations beside k^2 I_k(beta) / beta."""
    s = _SIZES[size]
    modes, betas = np.arange(1, s.modes + 1), np.array(s.betas)
    formula = mode_growth(modes[:, None], betas[None, :]) * np.exp(-betas)[None, :]

    most = formula.max(axis=0)

    @jax.jit
    def one(k, beta, rate, fastest):
        ring = _ring(s.tokens)
        y0 = _on_circle(ring + 1e-7 * jnp.sin(k * ring) / k)
        end = jnp.minimum(1 / rate, 4 / fastest)  # before rounding in the fastest mode has grown
        run = simulate(
            _field(beta), y0, t1=end, ts=jnp.stack([0 * end, end]), rtol=1e-11, atol=1e-13,
            observe=lambda y: _modes(y, s.modes),
        )  # fmt: skip
        sizes = run.ys[:, k.astype(int) - 1]
        return jnp.log(sizes[1] / sizes[0]) / end

    measured = np.array(
        [
            [
                float(one(*map(jnp.asarray, (float(k), b, r, top))))
                for b, r, top in zip(betas, row, most, strict=True)
            ]
            for k, row in zip(modes, formula, strict=True)
        ]
    )
    error = worst((measured - formula) / most[None, :])
    claims = (
        GalleryClaim(
            f"{PAPER}, linear phase",
            "near the uniform density on the circle mode k grows at a rate proportional to k^2 I_k(beta) / beta",
            f"{measured.size} runs of {s.tokens} tokens, perturbed by 1e-7: off by {error:.1e} of the fastest at most",
            error < 1e-4,
        ),
        GalleryClaim(
            f"{PAPER}, linear phase",
            "which mode grows fastest is decided by beta alone",
            "fastest in the runs: "
            + ", ".join(f"{k} ({b:g})" for k, b in zip(modes[measured.argmax(axis=0)], betas, strict=True)),
            bool(np.array_equal(modes[measured.argmax(axis=0)], np.minimum(predicted(betas), s.modes))),
        ),
    )  # fmt: skip
    fine = np.linspace(0.05, betas[-1], 200)
    curves = mode_growth(modes[:, None], fine[None, :]) * np.exp(-fine)[None, :]
    arrays = {
        "k": modes, "beta": betas, "measured": measured, "formula": formula, "fine": fine, "curves": curves,
    }  # fmt: skip
    return Measured(arrays, claims)


def draw_growth_rates(data: Measured) -> Figure:
    """Curves of the formula, and dots of the runs."""
    figure, (ax,) = panels(1, "Growth of the modes of a uniform ring", width=6.4, height=4.0)
    for i, k in enumerate(data["k"]):
        colour, style = stroke(i)
        ax.plot(data["fine"], data["curves"][i], style, color=colour, label=f"k = {k}")
        ax.plot(data["beta"], data["measured"][i], "o", color=colour, markersize=4)
    label(
        ax, r"$\beta$", r"rate $\cdot\, e^{-\beta}$", r"lines: $k^2 I_k(\beta)/\beta$, dots: runs"
    )
    ax.set(xlim=(0, 1.02 * data["beta"][-1]), ylim=(0, None))
    legend(ax, columns=2)
    return figure


def first_clusters(key: Key[Array, ""], size: str) -> Measured:
    """The clusters that noise on a uniform ring forms first, by beta, beside the fastest mode."""
    s = _SIZES[size]
    betas = np.array(s.betas)
    expected = np.asarray(predicted(betas))
    count = int(expected.max()) + 4
    rates = mode_growth(expected, betas) * np.exp(-betas)
    parts = np.linspace(0.0, 1.0, 81)

    @jax.jit
    def one(own, beta, end):
        y0 = _on_circle(_ring(s.tokens) + NOISE * jr.normal(own, (s.tokens,)))
        ts = end * jnp.asarray(parts)
        return simulate(
            _field(beta), y0, t1=end, ts=ts,
            observe={"modes": lambda y: _modes(y, count), "y": lambda y: y},
        ).ys  # fmt: skip

    found, shown = np.zeros((len(betas), s.trials), int), None
    for i, (beta, rate) in enumerate(zip(betas, rates, strict=True)):
        # noise of size 0.01/sqrt(tokens) in each mode is of order one after some 7/rate
        end = 16 / rate
        for trial in range(s.trials):
            ys = one(jr.fold_in(jr.fold_in(key, i), trial), jnp.asarray(beta), jnp.asarray(end))
            sizes = np.asarray(ys["modes"])
            first = int(np.argmax(sizes.max(axis=1) > 0.2))
            found[i, trial] = 1 + int(np.argmax(sizes[first]))
            if beta == SHOWN and trial == 0:
                shown = end * parts, np.asarray(ys["y"]), sizes
    assert shown is not None
    near = np.abs(found - expected[:, None])
    usual = np.array([np.bincount(row).argmax() for row in found])
    at = int(np.argmax(betas == SHOWN))
    claims = (
        GalleryClaim(
            f"{PAPER}, picture of beta = 5",
            "from noise of 0.01 on the uniform ring at beta = 5 three clusters emerge",
            f"{s.tokens} tokens, {s.trials} starts: {', '.join(map(str, found[at]))} clusters",
            bool(usual[at] == 3),
        ),
        GalleryClaim(
            f"{PAPER}, linear phase",
            "the number of clusters that come first is that of the fastest mode",
            f"{found.size} starts at {len(betas)} beta: {100 * (near == 0).mean():.0f} % have that number, "
            f"{100 * (near <= 1).mean():.0f} % that or a neighbour, which grows almost as fast; "
            f"the others differ by {near.max()} at most",
            bool(
                (near == 0).mean() >= 0.5
                and (near <= 1).mean() >= 0.9
                and np.abs(usual - expected).max() <= 1
            ),
        ),
    )  # fmt: skip
    fine = np.linspace(0.05, 1.05 * betas[-1], 400)
    arrays = {
        "beta": betas, "found": found, "expected": expected, "fine": fine, "curve": predicted(fine),
        "ts": shown[0], "ys": shown[1], "modes": shown[2],
    }  # fmt: skip
    return Measured(arrays, claims)


def draw_first_clusters(data: Measured) -> Figure:
    """Angles and modes by time at beta = 5, and the number of clusters by beta."""
    figure, (angles, modes, numbers) = panels(3, "First clusters on the circle")
    ts = data["ts"]
    theta = np.unwrap(np.arctan2(data["ys"][..., 1], data["ys"][..., 0]), axis=0)
    angles.plot(
        ts,
        np.mod(theta[0], 2 * np.pi)[None, :] + theta - theta[0][None, :],
        color=GREY,
        linewidth=0.5,
    )
    label(angles, "t", "angle", rf"$\beta$ = {SHOWN:g}, {theta.shape[1]} tokens")
    for k in range(min(6, data["modes"].shape[1])):
        modes.semilogy(ts, data["modes"][:, k], color=PALETTE[k], label=f"k = {k + 1}")
    label(modes, "t", r"$|\langle e^{ik\theta}\rangle|$", "modes of the same run")
    modes.set_ylim(1e-5, 1.5)
    legend(modes, columns=2, loc="lower right")
    numbers.plot(
        data["fine"], data["curve"], color=PALETTE[0], label=r"$\arg\max_k k^2 I_k(\beta)$"
    )
    for trial in range(data["found"].shape[1]):
        shift = 0.12 * (trial / max(1, data["found"].shape[1] - 1) - 0.5)
        numbers.plot(
            data["beta"] + shift, data["found"][:, trial], "o", color=PALETTE[1], markersize=3,
            label="runs" if trial == 0 else None,
        )  # fmt: skip
    label(numbers, r"$\beta$", "clusters", "which come first")
    numbers.set_ylim(0.5, None)
    legend(numbers)
    return figure
