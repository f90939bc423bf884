"""Metastable clusters and the staircase of "Dynamic metastability in the self-attention model", arXiv:2410.06833."""

import math

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key
from matplotlib.figure import Figure

from ..flow import iterate
from ..geometry import Sphere
from ..horizons import LongRun, long_run
from ..model import AttentionField, AttentionLayers
from ._claims import GalleryClaim, Measured, slope, worst
from ._style import GREY, PALETTE, label, legend, panels, stroke, unit_circle

PAPER = "2410.06833"
# Five tokens in two caps of the circle, beta = 4 with softmax: where they start in the authors' published script.
START = (
    (0.99806638, 0.06215705),
    (0.97712061, 0.21268594),
    (-0.24578194, 0.96932515),
    (-0.97354734, 0.2284854),
    (-0.99892629, -0.04632772),
)
BETA, STEP = 4.0, 0.1
BETAS = {
    "tiny": (4.0, 16.0),
    "small": (4.0, 8.0, 16.0, 32.0, 64.0),
    "full": tuple(2.0**k for k in range(2, 11)),
}
WIDE = (0.0, 0.22, 0.45, 0.98, 1.34)  # angles whose plateaus are clean at every beta
PLATEAUS = (0.20, 0.28, 0.44, 0.52, 1.00)
STEEP = {
    "tiny": (500.0, 1000.0),
    "small": (500.0, 1000.0, 1500.0, 2000.0, 3000.0, 4000.0),
    "full": (500.0, 1000.0, 1500.0, 2000.0, 3000.0, 4000.0, 8000.0, 16000.0),
}  # fmt: skip


def _start() -> Float[Array, "5 2"]:
    return Sphere(2).project(jnp.array(START))


def _softmax(beta: float) -> AttentionField:
    return AttentionField(Sphere(2), P=beta * jnp.eye(2), scale=1.0)


def metastable_circle(key: Key[Array, ""], size: str) -> Measured:
    """Five tokens on the circle: into clusters at once, into one after a time that grows exponentially in beta."""
    runs = {beta: long_run(_softmax(beta), _start()) for beta in BETAS[size]}
    shown = runs[BETA]
    betas = np.array(list(runs))
    last = np.array([run.merges.log_t[-1] for run in runs.values()])
    two = np.array([_since(run, 2) for run in runs.values()])
    gap = [_gap(run) for run in runs.values()]
    late, stepped = _stepped(shown)
    rate = slope(betas[-2:], last[-2:])
    expected = float(1 - np.cos(gap[-1]))
    claims = (
        GalleryClaim(
            f"{PAPER}, metastability",
            "tokens gather in clusters and stay there long before they become one",
            f"beta = {BETA:g}: two clusters from t = {math.exp(two[0]):.3g} to {math.exp(last[0]):.3g}; "
            f"beta = {betas[-1]:g}: from ln t = {two[-1]:.1f} to {last[-1]:.1f}",
            bool(np.all(last - two > 1) and shown.ended == "one cluster"),
        ),
        GalleryClaim(
            f"{PAPER}, metastability",
            "the time until they do is exponential in beta",
            f"ln t of the last merge grows by {rate:.4f} a unit of beta between {betas[-2]:g} and "
            f"{betas[-1]:g}; 1 - cos of the gap of the last two clusters is {expected:.4f}",
            bool(abs(rate - expected) < 0.1 * expected),
        ),
        GalleryClaim(
            f"{PAPER}, the published script",
            "the two clusters at beta = 4 become one when the script's tokens do",
            f"its first-order steps of {STEP} take them there at t = {stepped:.1f}, {100 * late:.1f} % after the "
            f"flow, which merges at t = {math.exp(last[0]):.1f} (solved to 1e-10)",
            bool(late > 0.03),
            contradicts=f"the merge's time under first-order steps of {STEP}",
        ),
    )
    arrays = {
        "log_t": shown.log_t, "angles": np.unwrap(np.arctan2(shown.ys[..., 1], shown.ys[..., 0]), axis=0),
        "ys": shown.ys, "energy": shown.energies, "beta": betas, "last": last, "two": two,
        "merges": shown.merges.log_t, "stepped": np.array(stepped),
    }  # fmt: skip
    return Measured(arrays, claims)


def _since(run: LongRun, clusters: int) -> float:
    """ln t from which there are so many clusters."""
    return float(run.merges.log_t[run.merges.clusters == clusters][0])


def _gap(run: LongRun) -> float:
    """The angle between the two last clusters when the merge before has come to rest."""
    last, before = run.merges.log_t[-1], run.merges.log_t[-2]
    k = int(np.searchsorted(run.log_t, (last + before) / 2))
    labels = run.labels(float(before))
    first, second = run.ys[k][labels == 0][0], run.ys[k][labels == 1][0]
    return float(np.arccos(np.clip(first @ second, -1, 1)))


def _stepped(run: LongRun) -> tuple[float, float]:
    """By how much first-order steps are late at the last merge, and when it comes."""
    last = math.exp(run.merges.log_t[-1])
    layers = AttentionLayers(_softmax(BETA), step=STEP)
    depth = int(1.5 * last / STEP)
    ys = np.asarray(iterate(layers, _start(), depth=depth).ys)
    labels = run.labels(float(run.merges.log_t[-2]))
    first, second = (ys[:, labels == k].mean(axis=1) for k in (0, 1))
    chord = np.linalg.norm(first - second, axis=1)
    # the chord at which the solved flow counts two clusters as one
    k = int(np.argmax((chord <= run.near) & (np.arange(depth + 1) * STEP > 0.5 * last)))
    part = (chord[k - 1] - run.near) / (chord[k - 1] - chord[k])
    when = STEP * (k - 1 + part)
    return when / last - 1, when


def draw_metastable_circle(data: Measured) -> Figure:
    """The circle, angles by ln t, and the last merge by beta."""
    figure, (circle, angles, merges) = panels(3, "Metastable clusters on the circle, softmax")
    unit_circle(circle)
    for token in range(5):
        ys = data["ys"][:, token]
        circle.plot(ys[:, 0], ys[:, 1], color=PALETTE[token])
        circle.plot(*ys[0], "o", color="white", markeredgecolor=PALETTE[token])
    circle.plot(*data["ys"][-1, 0], "o", color="black", zorder=5)
    circle.set_title(r"five tokens, $\beta = 4$")
    seen = data["log_t"] > -3
    for token in range(5):
        angles.plot(data["log_t"][seen], data["angles"][seen, token], color=PALETTE[token])
    for when in data["merges"]:
        angles.axvline(when, color=GREY, linewidth=0.7, linestyle=":")
    label(angles, "ln t", "angle", r"$\beta = 4$; dotted: merges")
    merges.plot(data["beta"], data["last"], "o-", label="last merge")
    merges.plot(data["beta"], data["two"], "s-", color=PALETTE[1], label="two clusters from")
    label(merges, r"$\beta$", "ln t", "exponentially long")
    merges.set_ylim(bottom=min(0, float(data["two"].min()) - 1))
    legend(merges)
    return figure


# === the staircase


def staircase(key: Key[Array, ""], size: str) -> Measured:
    """The energy of five tokens by ln t / beta: a staircase, whose steps are merges at ln t up to the hundreds."""
    betas = np.array(STEEP[size])
    angles = jnp.array(WIDE)
    y0 = jnp.stack([jnp.cos(angles), jnp.sin(angles)], axis=1)
    runs = []
    for beta in betas:
        mask = jnp.full((5, 5), -beta)
        field = AttentionField(
            Sphere(2), P=float(beta) * jnp.eye(2), mask=mask, kernel="exp", scale=1.0
        )
        runs.append(long_run(field, y0))
    energy = np.stack([run.energy for run in runs])
    log_t = np.stack([run.merges.log_t for run in runs])
    drift = worst(
        np.array([run.angles.mean() - np.mean(WIDE) for run in runs if run.angles is not None])
    )
    slopes = np.array([slope(betas[-2:], log_t[-2:, k]) for k in range(4)])
    gaps = np.array([0.22, 0.34, 0.36, 1.16 - 0.67 / 3])
    claims = (
        GalleryClaim(
            f"{PAPER}, staircase",
            "the energy climbs in steps: sums of squared masses .20, .28, .44, .52, 1.00",
            f"{len(betas)} beta: largest difference {worst(energy - np.array(PLATEAUS)):.1e}",
            worst(energy - np.array(PLATEAUS)) < 1e-6,
        ),
        GalleryClaim(
            f"{PAPER}, staircase",
            "in the time ln t / beta the steps come at fixed places, those of the gaps' 1 - cos",
            "slopes of ln t in beta: " + ", ".join(f"{x:.4f}" for x in slopes)
            + "; 1 - cos: " + ", ".join(f"{1 - math.cos(g):.4f}" for g in gaps),
            worst(slopes - (1 - np.cos(gaps))) < 5e-3,
        ),
        GalleryClaim(
            "of the exponential kernel",
            "the mean of the angles is kept",
            f"largest drift up to ln t = {log_t.max():.0f}: {drift:.0e}",
            drift < 1e-12,
        ),
    )  # fmt: skip
    arrays = {"beta": betas, "merges": log_t, "energy": energy}
    for beta, run in zip(betas, runs, strict=True):
        arrays |= {f"log_t_{beta:.0f}": run.log_t, f"energies_{beta:.0f}": run.energies}
    return Measured(arrays, claims)


def draw_staircase(data: Measured) -> Figure:
    """The energies by ln t, and by ln t / beta, where they fall together."""
    figure, (left, right) = panels(
        2, "Staircase of five tokens, weights exp(beta(cos - 1))/5", width=5.0
    )
    end = 1.05 * float(data["merges"].max())
    for k, beta in enumerate(data["beta"]):
        log_t, energy = data[f"log_t_{beta:.0f}"], data[f"energies_{beta:.0f}"]
        seen = log_t > 0
        x, y = np.append(log_t[seen], end), np.append(energy[seen], energy[-1])
        x, y = np.insert(x, 0, 0.0), np.insert(y, 0, energy[0])
        colour, style = stroke(k)
        left.plot(x, y, style, color=colour)
        right.plot(x / beta, y, style, color=colour, label=rf"$\beta$ = {beta:.0f}")
    for ax in (left, right):
        for level in PLATEAUS:
            ax.axhline(level, color="#c4c4c4", linewidth=0.6, zorder=0)
    label(left, "ln t", r"$\sum_{ij} e^{\beta(\cos - 1)}/25$")
    label(right, r"ln t / $\beta$", "")
    left.set_xlim(0, end)
    right.set_xlim(0, 1.15 * float((data["merges"][-1] / data["beta"][-1]).max()))
    legend(right, loc="upper left")
    return figure
