"""Clustering under causal masks: the atlas of value matrices and Rényi centres, arXiv:2411.04990."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Key
from matplotlib.figure import Figure

from ..flow import simulate
from ..geometry import Sphere
from ..model import AttentionField
from ..observables import renyi_centres as centres_of
from ._claims import GalleryClaim, Measured
from ._style import BLUE, GREY, ORANGE, PALETTE, RED, label, legend, panels

PAPER = "2411.04990"


class _Size(NamedTuple):
    tokens: int  # of the atlas
    parked: int  # of the run with centres
    sequence: int  # of the counts
    trials: int


_SIZES = {
    "tiny": _Size(8, 40, 300, 60),
    "small": _Size(32, 200, 600, 150),
    "full": _Size(32, 400, 2000, 200),
}
# Eigenvalues of V, all diagonal: what lies at the end is read off the largest.
ATLAS = {
    "identity": ((1.0, 1.0, 1.0), "V = I: one point"),
    "simple": ((1.0, 0.3, -0.5), "largest simple: two points"),
    "double": ((1.0, 1.0, -0.5), "largest double: one point of a circle"),
    "negative": ((-1.0, -1.0, -1.0), "V = -I: tokens part"),
}
# The paper's picture of three dimensions has beta = 9, at which two clusters may be left at t = 5000.
BETA, ATLAS_T1 = 2.0, 5000.0
SHARP, RADIUS = 64.0, 4.0  # as in its picture of the circle: beta, and delta times sqrt(beta)
RENYI = 0.7475979  # Rényi's parking constant


def causal_atlas(key: Key[Array, ""], size: str) -> Measured:
    """Where causal attention takes tokens of the sphere, by the eigenvalues of the value matrix."""
    s = _SIZES[size]
    sphere = Sphere(3)
    y0 = sphere.random(key, (s.tokens,))
    ts = jnp.concatenate([jnp.zeros(1), jnp.geomspace(1e-2, ATLAS_T1, 240)])

    @jax.jit
    def one(U):
        field = AttentionField(sphere, P=BETA * jnp.eye(3), U=U, mask="causal", scale=1.0)
        return simulate(field, y0, t1=ts[-1], ts=ts, rtol=1e-8, atol=1e-10, max_steps=200_000).ys

    ys = {name: np.asarray(one(jnp.diag(jnp.array(v)))) for name, (v, _) in ATLAS.items()}
    ends = {name: y[-1] for name, y in ys.items()}
    first = np.asarray(y0[0])
    to_first = float(np.max(np.linalg.norm(ends["identity"] - first, axis=1)))
    moved = float(np.abs(ys["identity"][:, 0] - first).max())
    axis = np.abs(ends["simple"][:, 0])
    sides = int((ends["simple"][:, 0] > 0).sum())
    plane = np.append(first[:2], 0.0) / np.linalg.norm(first[:2])
    to_plane = np.linalg.norm(ends["double"] - plane, axis=1)
    gram = ends["negative"] @ ends["negative"].T
    apart = float(np.max(gram - 2 * np.eye(len(gram))))
    claims = (
        GalleryClaim(
            f"{PAPER}, Thm 4.1",
            "V = I, any Q, K and beta: the first token stands still and almost every start goes to it",
            f"{s.tokens} tokens on S^2, beta = {BETA:g}: the first moved by {moved:.0e}, the others are within "
            f"{to_first:.1e} of it at t = {ATLAS_T1:g}",
            bool(moved < 1e-9 and to_first < 1e-6),
        ),
        GalleryClaim(
            f"{PAPER}, atlas",
            "largest eigenvalue of V positive and simple: tokens go to its eigenvector, v or -v",
            f"least |v.x_i| at the end {axis.min():.6f}; {sides} tokens at v, {s.tokens - sides} at -v",
            bool(axis.min() > 1 - 1e-6),
        ),
        GalleryClaim(
            f"{PAPER}, atlas",
            "largest eigenvalue positive and double: tokens come to its plane, and there to one point",
            f"largest height over the plane {np.abs(ends['double'][:, 2]).max():.1e}; largest distance "
            f"from where the first token's shadow points {to_plane.max():.1e}",
            bool(np.abs(ends["double"][:, 2]).max() < 1e-6 and to_plane.max() < 1e-5),
        ),
        GalleryClaim(
            f"{PAPER}, atlas",
            "V = -I: no cluster forms, tokens part",
            f"largest cosine between two tokens at the end: {apart:.2f} (one point would be 1)",
            bool(apart < 0.999),
        ),
    )
    arrays = {"ts": np.asarray(ts)} | {f"ys_{name}": y for name, y in ys.items()}
    return Measured(arrays, claims)


def draw_causal_atlas(data: Measured) -> Figure:
    """The paths of tokens on the sphere for each kind of V, seen from a corner."""
    figure, axes = panels(
        4, rf"Causal attention on $S^2$, $\beta$ = {BETA:g}: where tokens go", width=3.1, height=3.3
    )
    view = np.array([[-0.7071, 0.7071, 0.0], [-0.35, -0.35, 0.87]])  # of the corner (1, 1, 1/2)
    view = view / np.linalg.norm(view, axis=1, keepdims=True)
    turn = np.linspace(0, 2 * np.pi, 200)
    for ax, (name, (_, shown)) in zip(axes, ATLAS.items(), strict=True):
        flat = data[f"ys_{name}"] @ view.T
        ax.plot(np.cos(turn), np.sin(turn), color="#c4c4c4", linewidth=0.8)
        for token in range(flat.shape[1]):
            ax.plot(flat[:, token, 0], flat[:, token, 1], color=BLUE, linewidth=0.6, alpha=0.6)
        ax.plot(
            flat[0, :, 0], flat[0, :, 1], "o", color="white", markeredgecolor=GREY, markersize=3
        )
        ax.plot(flat[-1, :, 0], flat[-1, :, 1], "o", color=RED, markersize=5)
        ax.plot(flat[0, 0, 0], flat[0, 0, 1], "*", color=ORANGE, markersize=11, zorder=5)
        ax.set(
            aspect="equal", xlim=(-1.1, 1.1), ylim=(-1.1, 1.1), xticks=[], yticks=[], title=shown
        )
        ax.title.set_fontsize(9)
        ax.grid(False)
        ax.spines[:].set_visible(False)
    axes[0].set_xlabel("star: start of the first token; red: ends", fontsize=8)
    return figure


# === Rényi centres


def renyi_centres(key: Key[Array, ""], size: str) -> Measured:
    """Causal attention on the circle at beta = 64: tokens park at Rényi centres, and strong ones stand still."""
    s = _SIZES[size]
    delta = RADIUS / math.sqrt(SHARP)
    field = AttentionField(Sphere(2), P=SHARP * jnp.eye(2), mask="causal", scale=1.0)
    y0 = Sphere(2).random(key, (s.parked,))
    found = centres_of(y0, delta)
    marks = (50.0, 500.0)  # the paper shows t = 75 and 150
    ts = jnp.concatenate([jnp.zeros(1), jnp.geomspace(1e-2, marks[-1], 160)])
    run = jax.jit(lambda y: simulate(field, y, t1=ts[-1], ts=ts, rtol=1e-8, atol=1e-10).ys)(y0)
    ys = np.asarray(run)
    angles = np.unwrap(np.arctan2(ys[..., 1], ys[..., 0]), axis=0)
    centre, strong = np.asarray(found.centres), np.asarray(found.strong)
    at = int(np.searchsorted(np.asarray(ts), marks[0]))
    drift = np.abs(angles - angles[0])[at]
    chord = np.abs(np.sin((angles[at][:, None] - angles[at][None, :]) / 2)) * 2
    near_strong = (chord[:, strong].min(axis=1) < delta / 2).mean()
    near_centre = (chord[:, centre].min(axis=1) < delta / 2).mean()
    others = np.median(drift[~centre])
    claims = (
        GalleryClaim(
            f"{PAPER}, Lemma 5.1",
            "strong Rényi centres (delta = 4/sqrt(beta)) all but stand still for a long time",
            f"{s.parked} tokens, beta = {SHARP:g}: {strong.sum()} strong centres move by at most "
            f"{drift[strong].max():.3f} rad until t = {marks[0]:g}, other tokens by {others:.2f} (median)",
            bool(drift[strong].max() < 0.25 * delta and drift[strong].max() < others),
        ),
        GalleryClaim(
            f"{PAPER}, picture of the circle",
            "strong centres do not explain all clusters; Rényi centres explain more",
            f"tokens within delta/2 of where a centre is at t = {marks[0]:g}: {100 * near_strong:.0f} % of a strong "
            f"one, {100 * near_centre:.0f} % of any ({centre.sum()} of them)",
            bool(near_centre >= near_strong and near_centre > 0.9),
        ),
        GalleryClaim(
            f"{PAPER}, Thm 4.1",
            "the first token never moves",
            f"by {np.abs(angles[:, 0] - angles[0, 0]).max():.0e} rad",
            bool(np.abs(angles[:, 0] - angles[0, 0]).max() < 1e-9),
        ),
    )
    arrays = {
        "ts": np.asarray(ts), "angles": angles, "centres": centre, "strong": strong,
        "share": np.asarray(found.share), "delta": np.array(delta),
    }  # fmt: skip
    return Measured(arrays, claims)


def draw_renyi_centres(data: Measured) -> Figure:
    """Angles by time; strong centres red, the other centres black."""
    figure, (ax,) = panels(
        1,
        r"Rényi centres on the circle, $\beta = 64$, $\delta = 4/\sqrt{\beta}$",
        width=7.0,
        height=4.4,
    )
    ts, angles = data["ts"], data["angles"]
    shift = 2 * np.pi * np.floor(angles[0] / (2 * np.pi))
    seen = ts > 0
    strong, other = data["strong"], data["centres"] & ~data["strong"]
    for mask, colour, width, name in (
        (~data["centres"], "#9fb4cc", 0.5, "tokens"),
        (other, "black", 1.3, "Rényi centres"),
        (strong, RED, 1.6, "strong centres"),
    ):
        for k, token in enumerate(np.flatnonzero(mask)):
            ax.semilogx(
                ts[seen], (angles[:, token] - shift[token])[seen], color=colour, linewidth=width,
                label=name if k == 0 else None,
            )  # fmt: skip
    label(ax, "t", "angle")
    ax.set(xlim=(ts[seen][0], ts[-1]), ylim=(-0.4, 2 * np.pi + 1.0))
    legend(ax, "upper center", columns=3)
    return figure


def renyi_counts(key: Key[Array, ""], size: str) -> Measured:
    """How many centres a long sequence of random tokens has, on the circle and the sphere, by the radius."""
    s = _SIZES[size]
    radii = np.array([0.3, 0.5, 0.8, 1.2])
    counts, errors = np.zeros((2, 2, len(radii))), np.zeros((2, 2, len(radii)))
    for d, dim in enumerate((2, 3)):

        @jax.jit
        def one(own, delta, dim=dim):
            found = centres_of(Sphere(dim).random(own, (s.sequence,)), delta)
            return jnp.sum(found.centres), jnp.sum(found.strong)

        for i, delta in enumerate(radii):
            keys = jr.split(jr.fold_in(key, 10 * dim + i), s.trials)
            drawn = np.array([one(own, jnp.asarray(delta)) for own in keys], float)
            counts[d, :, i] = drawn.mean(axis=0)
            errors[d, :, i] = drawn.std(axis=0) / math.sqrt(s.trials)
    # A token k is strong where the k - 1 before it miss its cap: a geometric series, cut off at the sequence's end.
    caps = np.stack([radii / np.pi, np.sin(radii / 2) ** 2])
    exact = (1 - (1 - caps) ** s.sequence) / caps
    sigmas = np.abs(counts[:, 1] - exact) / errors[:, 1]
    renyi = counts[0, 0] / (RENYI * 2 * np.pi / radii)
    times_three = counts[1, 1] * 3 * caps[1]
    claims = (
        GalleryClaim(
            f"{PAPER}, count of strong centres",
            "their mean number is one over the mass of a cap: pi/delta on the circle",
            f"{s.trials} sequences of {s.sequence}: "
            + ", ".join(f"{c:.2f} ({e:.2f})" for c, e in zip(counts[0, 1], exact[0], strict=True))
            + f"; at most {sigmas[0].max():.1f} standard errors off",
            bool(sigmas[0].max() < 4),
        ),
        GalleryClaim(
            f"{PAPER}, count of strong centres",
            "on the sphere S^2 a cap has the mass sin^2(delta/2), a third of the quoted 3 sin^2(delta/2)",
            ", ".join(f"{c:.2f} ({e:.2f})" for c, e in zip(counts[1, 1], exact[1], strict=True))
            + f"; at most {sigmas[1].max():.1f} standard errors from one over sin^2(delta/2), and "
            f"{times_three.mean():.2f} times what the quoted mass gives",
            bool(sigmas[1].max() < 4 and np.all(np.abs(times_three - 3) < 0.6)),
            contradicts="the factor 3 of a cap's mass on S^2 (3 at delta = pi), as a formalisation quotes it",
        ),
        GalleryClaim(
            f"{PAPER}, count of Rényi centres",
            "on the circle there are about 0.75 * 2 pi/delta of them for small delta",
            "measured over 0.7476 * 2 pi/delta: "
            + ", ".join(f"{r:.2f} (delta = {x:g})" for r, x in zip(renyi, radii, strict=True)),
            bool(abs(renyi[0] - 1) < 0.06),
        ),
    )
    arrays = {"delta": radii, "counts": counts, "errors": errors, "exact": exact, "caps": caps}
    return Measured(arrays, claims)


def draw_renyi_counts(data: Measured) -> Figure:
    """Counts by radius beside their formulae."""
    figure, axes = panels(2, "How many tokens of a random sequence are centres", width=4.8)
    delta, fine = data["delta"], np.linspace(0.2, 1.3, 100)
    masses = (fine / np.pi, np.sin(fine / 2) ** 2)
    for d, (ax, name) in enumerate(zip(axes, ("circle", "sphere $S^2$"), strict=True)):
        ax.errorbar(
            delta,
            data["counts"][d, 1],
            2 * data["errors"][d, 1],
            fmt="o",
            color=PALETTE[0],
            label="strong, measured",
        )
        ax.errorbar(
            delta,
            data["counts"][d, 0],
            2 * data["errors"][d, 0],
            fmt="s",
            color=PALETTE[1],
            label="Rényi, measured",
        )
        ax.plot(fine, 1 / masses[d], color=PALETTE[0], label="1 / mass of a cap")
        if d == 0:
            ax.plot(
                fine,
                RENYI * 2 * np.pi / fine,
                color=PALETTE[1],
                linestyle="--",
                label=r"$0.7476 \cdot 2\pi/\delta$",
            )
        else:
            ax.plot(
                fine,
                1 / (3 * masses[d]),
                color=GREY,
                linestyle=":",
                label=r"$1/(3\sin^2(\delta/2))$, quoted",
            )
        ax.set_yscale("log")
        label(ax, r"$\delta$", "centres", name)
        legend(ax)
    return figure
