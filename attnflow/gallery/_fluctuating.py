"""Heads whose weights fluctuate, U_h = -D_h/H and P_h = D_h: arXiv:2605.18870, with the laws of its published code."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Key
from matplotlib.figure import Figure

from ..flow import simulate
from ..geometry import Sphere
from ..model import AttentionField
from ..schedules import AbstractSchedule, Fourier, Interpolated, ornstein_uhlenbeck
from ._claims import GalleryClaim, Measured, slope
from ._style import BLUE, GREEN, GREY, ORANGE, RED, label, legend, panels

PAPER = "2605.18870"


class _Size(NamedTuple):
    tokens: int
    draws: int
    heads: tuple[int, ...]
    dims: tuple[int, ...]
    t1: float


_SIZES = {
    "tiny": _Size(10, 4, (1, 6), (3,), 8.0),
    "small": _Size(60, 4, (1, 10, 100), (2, 3), 20.0),
    "full": _Size(200, 3, (1, 10, 100), (2, 3), 20.0),
}
_SAVES = 41
_DTYPE = jnp.float32  # 200 tokens and 100 heads are 4e6 exponentials for each velocity
LAWS = {
    "ou": "Ornstein-Uhlenbeck",
    "even": "oscillating, phases spread evenly",
    "random": "oscillating, random phases",
}


def _orbit(dim: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The oscillating weights: C + sum over k = 1, 2 of A_k cos kt + B_k sin kt, which D_h' = F_h(t) - D_h comes to."""
    A, B = np.zeros((2, 2, dim, dim))
    if dim == 2:
        A[0] = np.diag([1.5, -1.5])
        B[1] = [[0, 1], [1, 0]]
    else:
        A[0] = np.diag([1.5, 0, 1.5 * math.sqrt(0.5)])
        B[0] = np.diag([0, 1.5, -1.5 * math.sqrt(0.5)])
        B[0, 0, 2] = B[0, 2, 0] = B[1, 0, 1] = B[1, 1, 0] = A[1, 1, 2] = A[1, 2, 1] = 1
    k = np.array([1, 2])[:, None, None]
    return 2 * np.eye(dim), (A - k * B) / (1 + k**2), (B + k * A) / (1 + k**2)


def _oscillating(dim: int, phases: np.ndarray) -> Fourier:
    C, A, B = _orbit(dim)
    k = np.array([1, 2])[:, None, None, None]
    cos, sin = np.cos(k * phases[:, None, None]), np.sin(k * phases[:, None, None])
    A, B = A[:, None] * cos + B[:, None] * sin, B[:, None] * cos - A[:, None] * sin
    C = np.broadcast_to(C, A.shape[1:])
    return Fourier(*(jnp.asarray(x, _DTYPE) for x in (C, A, B, 1.0)))


def _weights(law: str, heads: int, dim: int, t1: float, key: Array) -> AbstractSchedule:
    """D, shape (heads, dim, dim), as the paper's published code has it."""
    if law == "even":
        return _oscillating(dim, 2 * np.pi * np.arange(heads) / heads)
    if law == "random":
        return _oscillating(dim, np.asarray(jr.uniform(key, (heads,), maxval=2 * np.pi)))
    # dD = (I - D) dt + sqrt(2) dW, W symmetric with entries of variance dt on the diagonal and dt/2 off it.
    path = ornstein_uhlenbeck(key, (heads, dim, dim), t1=t1, step=0.125, dtype=_DTYPE)
    symmetric = (path.values + jnp.swapaxes(path.values, -1, -2)) / 2
    identity = jnp.broadcast_to(jnp.eye(dim, dtype=_DTYPE), symmetric.shape)
    return Interpolated(path.ts, identity + symmetric, "linear")


def _start(key: Array, dim: int, tokens: int) -> Float[Array, "tokens dim"]:
    """Tokens about five points of the circle, or the six corners of an octahedron."""
    first, second = jr.split(key)
    if dim == 2:
        turn = 2 * np.pi / 5 * jnp.arange(5)
        corners = jnp.stack([jnp.cos(turn), jnp.sin(turn)], axis=1)
    else:
        corners = jnp.concatenate([jnp.eye(dim), -jnp.eye(dim)])
    at = corners[jr.randint(first, (tokens,), 0, len(corners))]
    return Sphere(dim).project(at + 0.05 * jr.normal(second, at.shape)).astype(_DTYPE)


@jax.jit
def _squares(D: AbstractSchedule, y0: Array, ts: Array) -> Array:
    """G^2 at each time: the mean over tokens of |v_i|^2 over the mean over heads of l / sum_j exp(y_i'D_h y_j)."""
    heads, dim = D.shape[0], D.shape[-1]
    field = AttentionField(Sphere(dim), P=D, U=(-1 / heads) * D, scale=1.0)
    sol = simulate(field, y0, t1=ts[-1], ts=ts, rtol=1e-4, atol=1e-6)

    def square(t: Array, y: Array) -> Array:
        keys = jnp.einsum("hde,je->hdj", D(t), y)
        sums = jax.lax.map(lambda row: jnp.mean(jnp.exp(jnp.einsum("d,hdj->hj", row, keys)), 1), y)
        return jnp.mean(jnp.sum(field(t, y) ** 2, axis=1) / jnp.mean(1 / sums, axis=1))

    return jax.lax.map(lambda at: square(*at), (sol.ts, sol.ys))


def fluctuating_weights(key: Key[Array, ""], size: str) -> Measured:
    """The square of the slope G^2 along which tokens fall, by the number of heads, under three laws of weights."""
    s = _SIZES[size]
    ts = jnp.linspace(0, s.t1, _SAVES, dtype=_DTYPE)
    late = _SAVES // 2
    arrays: dict[str, np.ndarray] = {"heads": np.array(s.heads), "ts": np.asarray(ts)}
    for law in LAWS:
        draws = 1 if law == "even" else s.draws  # nothing of it is drawn
        for dim in s.dims:
            G = np.zeros((len(s.heads), draws, _SAVES))
            for i, heads in enumerate(s.heads):
                for k in range(draws):
                    own = jr.fold_in(jr.fold_in(key, dim), k)
                    D = _weights(law, heads, dim, s.t1, jr.fold_in(own, heads))
                    G[i, k] = _squares(D, _start(own, dim, s.tokens), ts)
            arrays[f"{law}_{dim}"] = G
    means = {name: G[:, :, late:].mean(axis=(1, 2)) for name, G in arrays.items() if "_" in name}
    kept = min(float(arrays[f"even_{dim}"][0, :, late:].min()) for dim in s.dims)
    listed = ", ".join(map(str, s.heads))

    def of(law: str) -> str:
        return "; ".join(
            f"S^{dim - 1}: " + ", ".join(f"{x:.2g}" for x in means[f"{law}_{dim}"])
            for dim in s.dims
        )

    def powers(law: str) -> list[float]:
        return [slope(np.log(s.heads), np.log(means[f"{law}_{dim}"])) for dim in s.dims]

    def told(law: str) -> str:
        return f"{of(law)} for H = {listed}: powers " + ", ".join(f"{p:.2f}" for p in powers(law))

    def near_one(law: str) -> bool:
        return all(-1.5 < p < -0.5 for p in powers(law))

    fall = max(means[f"even_{dim}"][1] / means[f"even_{dim}"][0] for dim in s.dims)
    claims = (
        GalleryClaim(
            f"{PAPER}, Thm 4.16",
            "Ornstein-Uhlenbeck weights about I: G^2 falls like 1/H",
            told("ou"),
            near_one("ou"),
        ),
        GalleryClaim(
            f"{PAPER}, README of its code",
            "oscillating weights of one head: G^2 stays away from zero",
            f"least value from t = {s.t1 / 2:g} to {s.t1:g}: {kept:.2g}",
            bool(kept > 1e-3),
        ),
        GalleryClaim(
            f"{PAPER}, README of its code",
            "oscillating weights, head h with the phase 2 pi h/H: G^2 does not fall with H",
            f"{of('even')} for H = {listed}: phases spread evenly over a period add up to a pull that does not "
            "depend on time, and tokens come to rest in it",
            bool(fall < 0.01),
            contradicts="an exponent 0 of G^2 in H: the published code, run with H = 1 and 10 on S^2, gives 0.39 "
            "and 1.7e-4",
        ),
        GalleryClaim(
            "of that sum",
            "phases drawn at random: what is left of the oscillation has mean square 1/H",
            told("random"),
            near_one("random"),
        ),
    )
    return Measured(arrays, claims)


def draw_fluctuating_weights(data: Measured) -> Figure:
    """G^2 by time for the two laws of the paper, and its mean by the number of heads."""
    figure, (left, middle, right) = panels(3, "$G^2$ under weights that fluctuate, on $S^2$")
    colours = (RED, ORANGE, BLUE)
    for ax, law in ((left, "ou"), (middle, "even")):
        for k, heads in enumerate(data["heads"]):
            curve = data[f"{law}_3"][k].mean(axis=0)
            style = "--" if k == 2 else "-"  # where they spread evenly, ten are a hundred
            ax.semilogy(data["ts"], curve, style, color=colours[k], label=f"H = {heads}")
        label(ax, "t", "$G^2$" if ax is left else "", LAWS[law])
        ax.set_ylim(top=100)
        legend(ax, "upper left", columns=3)
    late = len(data["ts"]) // 2
    for law, colour, mark in (("ou", BLUE, "o-"), ("even", RED, "s-"), ("random", GREEN, "^-")):
        mean = data[f"{law}_3"][:, :, late:].mean(axis=(1, 2))
        right.loglog(data["heads"], mean, mark, color=colour, label=LAWS[law])
    first = data["ou_3"][0, :, late:].mean()
    right.loglog(data["heads"], first / data["heads"], ":", color=GREY, label="1/H")
    label(right, "heads H", "", "mean over the second half")
    right.set_ylim(top=1e3)
    legend(right, "upper left")
    return figure
