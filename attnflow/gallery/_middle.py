"""Lost in the middle: how much the last token knows of each place in the sequence, arXiv:2605.09213."""

from typing import NamedTuple

import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Key
from matplotlib.figure import Figure

from .. import ensemble
from ..closed_forms import mode_growth
from ..geometry import Sphere
from ..model import AttentionField
from ._claims import GalleryClaim, Measured
from ._style import PALETTE, label, legend, panels

PAPER = "2605.09213"
BETA, LAMBDA = 1.0, 1.0  # as in the paper's picture of 64 tokens
WORDS = 8.0  # the size of the vocabulary, which weighs the modes
MODES = np.arange(1, 7)
SHIFTS = 16  # places of the token that is asked for, evenly around the circle
TIMES = (0.5, 1.0, 1.5)


class _Size(NamedTuple):
    tokens: int
    places: int
    trials: int


_SIZES = {"tiny": _Size(32, 6, 4), "small": _Size(64, 14, 16), "full": _Size(128, 20, 16)}


def _field(tokens: int) -> AttentionField:
    """Angles that move by the mean of w'(theta_j - theta_k), k < j, weighted by exp(-lambda (j - k)/N)."""
    j = np.arange(tokens)
    decay = -LAMBDA * (j[:, None] - j[None, :]) / tokens
    before = j[None, :] < j[:, None]
    total = np.where(before, np.exp(decay), 0).sum(axis=1, keepdims=True)
    # The exponential kernel divides by N and moves by e^(beta cos) sin: w' has a factor beta more.
    bias = np.where(before, decay + np.log(BETA * tokens / np.where(total > 0, total, 1)), -np.inf)
    bias[
        0, 0
    ] = -800.0  # the first token attends to nobody; a row may not be empty, and e^-800 is zero
    return AttentionField(
        Sphere(2), P=BETA * jnp.eye(2), mask=jnp.asarray(bias), kernel="exp", scale=1.0
    )


def _profile(a: np.ndarray | float, t: float, place: np.ndarray) -> np.ndarray:
    """What mode with eigenvalue a of the token at `place` reaches the last one by time t (its Bessel formula)."""
    k = LAMBDA * np.exp(-LAMBDA * (1 - place)) / (1 - np.exp(-LAMBDA))
    Y = np.log(np.expm1(LAMBDA) / np.expm1(LAMBDA * place))
    z = 2 * np.sqrt(a * t * Y)
    bessel = mode_growth(1, z) * z  # I_1
    return k * np.sqrt(a * t / Y) * bessel


def _rates() -> np.ndarray:
    """a_n = n^2 I_n(beta)."""
    return np.asarray(BETA * mode_growth(MODES, BETA))


def _correction(t: float, place: np.ndarray) -> np.ndarray:
    weights = np.exp(-((np.pi * MODES / WORDS) ** 2) / 2)
    rates = _rates()
    return sum(w * _profile(a, t, place) for w, a in zip(weights, rates, strict=True)) + 0 * place


def lost_in_the_middle(key: Key[Array, ""], size: str) -> Measured:
    """What the last token keeps of the token at each place: high at both ends of the sequence."""
    s = _SIZES[size]
    field = _field(s.tokens)
    sources = np.unique(np.linspace(1, s.tokens - 1, s.places).round().astype(int)) - 1
    place = (sources + 1) / s.tokens
    turns = 2 * np.pi * np.arange(SHIFTS) / SHIFTS
    drawn = np.asarray(jr.uniform(key, (s.trials, s.tokens), maxval=2 * np.pi))
    angles = np.broadcast_to(
        drawn[:, None, None, :], (s.trials, len(sources), SHIFTS, s.tokens)
    ).copy()
    for i, source in enumerate(
        sources
    ):  # all the others the same: what is not of this token drops out
        angles[:, i, :, source] += turns[None, :]
    asked = np.take_along_axis(angles, sources[None, :, None, None], axis=3)[..., 0]
    starts = np.stack([np.cos(angles), np.sin(angles)], axis=-1).reshape(-1, s.tokens, 2)
    run = ensemble.run(
        field, starts, t1=TIMES[-1], ts=jnp.array(TIMES), observe=_last_angle,
        rtol=1e-9, atol=1e-11, progress=False,
    )  # fmt: skip
    last = run.ys.reshape(s.trials, len(sources), SHIFTS, len(TIMES))
    turned = last[..., None] - asked[..., None, None]
    each = s.tokens * np.cos(MODES * turned).mean(axis=2)  # trials, places, times, modes
    weights = np.exp(-((np.pi * MODES / WORDS) ** 2) / 2)
    score = np.moveaxis((each * weights).sum(axis=-1), 1, 2)  # trials, times, places
    measured, error = score.mean(axis=0), score.std(axis=0) / np.sqrt(s.trials)
    formula = np.stack([_correction(t, place) for t in TIMES])
    rates = _rates()
    bound = min(3 - np.sqrt(3), 2 * (1 - np.exp(-LAMBDA)))
    inner = place > 0.1
    relative = np.abs(measured / formula - 1)[:, inner]
    fine = np.linspace(0.002, 0.999, 500)
    curves = np.stack([_correction(t, fine) for t in TIMES])
    least = fine[curves.argmin(axis=1)]
    turns_down = np.array([np.sum(np.diff(np.sign(np.diff(row))) != 0) for row in curves])
    found = place[measured.argmin(axis=1)]
    claims = (
        GalleryClaim(
            f"{PAPER}, correlations",
            "the last token's correlation with a place is of order 1/N and follows a Bessel formula, I_1",
            f"N = {s.tokens}, beta = lambda = 1, t = {TIMES[0]:g} to {TIMES[-1]:g}, places beyond a tenth: "
            f"{100 * relative.mean():.1f} % off on average, {100 * relative.max():.1f} % at most "
            f"(standard error of a dot: {100 * (error / formula).mean():.1f} %; 1/N is {100 / s.tokens:.1f} %)",
            bool(relative.mean() < 6 / s.tokens + 0.02),
        ),
        GalleryClaim(
            f"{PAPER}, Thm on the U-shape",
            f"for t sup a_n <= min(3 - sqrt(3), 2(1 - e^-lambda)) = {bound:.3f} both ends are remembered best, and "
            "one place in between least",
            f"t sup a_n up to {TIMES[-1] * rates.max():.3f}; least in the formula at "
            + ", ".join(f"{x:.2f}" for x in least) + ", in the runs at " + ", ".join(f"{x:.2f}" for x in found),
            bool(
                TIMES[-1] * rates.max() <= bound and np.all(turns_down == 1)
                and np.all((found > place[0]) & (found < place[-1]))
            ),
        ),
        GalleryClaim(
            f"{PAPER}, primacy and recency",
            "the score grows without bound toward the first place, and rises toward the last",
            f"t = {TIMES[-1]:g}, runs: {measured[-1, 0]:.2f} at {place[0]:.2f}, {measured[-1].min():.2f} least, "
            f"{measured[-1, -1]:.2f} at {place[-1]:.2f}",
            bool(measured[-1, 0] > measured[-1].min() and measured[-1, -1] > measured[-1].min()),
        ),
    )  # fmt: skip
    arrays = {
        "place": place, "times": np.array(TIMES), "measured": measured, "error": error,
        "formula": formula, "fine": fine, "curves": curves, "least": least,
    }  # fmt: skip
    return Measured(arrays, claims)


def _last_angle(y: Array) -> Array:
    return jnp.arctan2(y[-1, 1], y[-1, 0])


def draw_lost_in_the_middle(data: Measured) -> Figure:
    """The score by place at three times."""
    figure, (ax,) = panels(
        1, "Lost in the middle: what the last token keeps of each place", width=6.4, height=4.2
    )
    for k, t in enumerate(data["times"]):
        ax.plot(data["fine"], data["curves"][k], color=PALETTE[k], label=f"t = {t:g}")
        ax.errorbar(
            data["place"],
            data["measured"][k],
            2 * data["error"][k],
            fmt="o",
            color=PALETTE[k],
            markersize=4,
        )
        ax.plot(data["least"][k], data["curves"][k].min(), "v", color=PALETTE[k], markersize=8)
    label(ax, r"place of the source, $\sigma_0 = j/N$", "correlation times N, over modes",
          "lines: Bessel formula, dots: runs, triangles: least")  # fmt: skip
    ax.set(xlim=(0, 1), ylim=(0, 1.1 * (data["measured"] + 2 * data["error"]).max()))
    legend(ax)
    return figure
