"""Tokens of R^d without a norm: polytopes, hyperplanes, Boolean attention, arXiv:2305.05465."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key
from matplotlib.figure import Figure

from ..flow import simulate
from ..geometry import Euclidean
from ..model import AttentionField, rescaled
from ._claims import GalleryClaim, Measured, worst
from ._style import BLUE, GREY, ORANGE, PALETTE, RED, label, panels

PAPER = "2305.05465"
TOKENS = {"tiny": 12, "small": 40, "full": 200}
T1 = 8.0
# The value matrix of the paper's two-dimensional example of hyperplanes.
VALUES = ((0.64709742, 0.81911926), (0.61210449, 0.63263484))
PAIR = 0.3  # eps of the remark's two tokens (1, eps), (1, -eps)


def _flow(
    U: Array | None, z0: Float[Array, "tokens dim"], t1: float, saves: int
) -> tuple[np.ndarray, np.ndarray, AttentionField]:
    """Rescaled tokens z = e^(-tU) x with Q = K = I."""
    dim = z0.shape[1]
    field = rescaled(AttentionField(Euclidean(dim), P=jnp.eye(dim), U=U, scale=1.0))
    ts = jnp.linspace(0.0, t1, saves)
    ys = jax.jit(
        lambda z: simulate(field, z, t1=ts[-1], ts=ts, rtol=1e-8, atol=1e-10, max_steps=200_000).ys
    )(z0)
    return np.asarray(ts), np.asarray(ys), field


def _hull(points: np.ndarray) -> np.ndarray:
    """The vertices of the convex hull of points of the plane, counterclockwise (Andrew's chain)."""

    def chain(order):
        out: list[np.ndarray] = []
        for p in order:
            while len(out) > 1 and _turn(out[-2], out[-1], p) <= 1e-12:
                out.pop()
            out.append(p)
        return out[:-1]

    order = points[np.lexsort((points[:, 1], points[:, 0]))]
    return np.array(chain(order) + chain(order[::-1]))


def _turn(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> float:
    return float((b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]))


def _to_boundary(points: np.ndarray, hull: np.ndarray) -> np.ndarray:
    """How far points are from the hull's edges."""
    a, b = hull, np.roll(hull, -1, axis=0)
    edge = b - a
    along = np.einsum("pkd,kd->pk", points[:, None] - a[None], edge) / np.sum(edge**2, axis=1)
    foot = a[None] + np.clip(along, 0, 1)[..., None] * edge[None]
    return np.linalg.norm(points[:, None] - foot, axis=2).min(axis=1)


def polytope(key: Key[Array, ""], size: str) -> Measured:
    """Tokens of the plane with V = I: rescaled, they come to the boundary of a polygon, most to its vertices."""
    z0 = Euclidean(2).random(key, (TOKENS[size],), law="cube", size=5.0)
    ts, zs, _ = _flow(None, z0, T1, 81)
    hull, first = _hull(zs[-1]), _hull(zs[0])
    to_vertex = np.linalg.norm(zs[-1][:, None] - hull[None], axis=2).min(axis=1)
    to_edge = _to_boundary(zs[-1], hull)
    areas = np.array([_area(_hull(z)) for z in zs])
    speed = worst((zs[-1] - zs[-2]) / (ts[-1] - ts[-2]))
    at = to_vertex < 1e-3
    rest = int((~at).sum())
    claims = (
        GalleryClaim(
            f"{PAPER}, Thm on polytopes (V = I)",
            "rescaled tokens converge to the boundary of a convex polytope; vertices gather most of them",
            f"{len(at)} tokens of [-5, 5]^2 at t = {T1:g}: at most {to_edge.max():.1e} off the polygon, {at.sum()} at "
            f"its {len(hull)} vertices, {rest} elsewhere on it",
            bool(to_edge.max() < 1e-2 and at.mean() > 0.5),
        ),
        GalleryClaim(
            f"{PAPER}, proof of it",
            "the convex hull of the tokens shrinks all the time",
            f"its area falls from {areas[0]:.2f} to {areas[-1]:.2f}, largest change between saves "
            f"{np.diff(areas).max():+.1e}",
            bool(np.diff(areas).max() < 1e-6),
        ),
        GalleryClaim(
            f"{PAPER}, rescaled flow",
            "rescaled tokens come to rest",
            f"largest speed at t = {T1:g}: {speed:.1e}; vertices of the hull: {len(first)}, then {len(hull)}",
            speed < 0.05,
        ),
    )
    arrays = {"ts": ts, "zs": zs, "hull": hull, "first": first, "area": areas}
    return Measured(arrays, claims)


def _area(hull: np.ndarray) -> float:
    x, y = hull.T
    return 0.5 * float(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1)))


def draw_polytope(data: Measured) -> Figure:
    """Paths from their start to the polygon, and the hull's area."""
    figure, (left, right) = panels(
        2, r"Rescaled tokens $e^{-t}x_i(t)$, V = I", width=4.4, height=4.0
    )
    zs = data["zs"]
    for name, colour, style in (("first", GREY, "--"), ("hull", RED, "-")):
        closed = np.vstack([data[name], data[name][:1]])
        left.plot(closed[:, 0], closed[:, 1], style, color=colour, linewidth=1.0)
    left.plot(zs[:, :, 0], zs[:, :, 1], color=BLUE, linewidth=0.6)
    left.plot(zs[0, :, 0], zs[0, :, 1], "o", color="white", markeredgecolor=GREY, markersize=3)
    left.plot(zs[-1, :, 0], zs[-1, :, 1], "o", color=RED, markersize=5)
    left.set_aspect("equal")
    label(left, "", "", f"{zs.shape[1]} tokens; red: t = {data['ts'][-1]:g}")
    right.plot(data["ts"], data["area"], color=BLUE)
    label(right, "t", "area of the hull")
    right.set_ylim(bottom=0)
    return figure


# === hyperplanes


def hyperplanes(key: Key[Array, ""], size: str) -> Measured:
    """Tokens of the plane whose V has one largest, positive eigenvalue: at most three parallel lines."""
    V = np.array(VALUES)
    values, right = np.linalg.eig(V)
    left = np.real(np.linalg.inv(right)[int(np.argmax(np.real(values)))])
    left = left / np.linalg.norm(left)
    z0 = Euclidean(2).random(key, (TOKENS[size],), law="cube", size=5.0)
    ts, zs, _ = _flow(jnp.asarray(V), z0, T1, 81)
    heights = zs @ left
    end = np.sort(heights[-1])
    levels = np.array([end[0], 0.0, end[-1]])
    off = np.abs(heights[-1][:, None] - levels[None, :]).min(axis=1)
    counts = [int((np.abs(heights[-1] - level) < 0.02).sum()) for level in levels]
    top, other = float(np.real(values).max()), float(np.real(values).min())
    claims = (
        GalleryClaim(
            f"{PAPER}, Thm on hyperplanes",
            "V with a simple positive largest eigenvalue: rescaled tokens come to at most three parallel hyperplanes",
            f"V with eigenvalues {top:.3f}, {other:.3f}; {len(off)} tokens, t = {T1:g}: at most {off.max():.1e} "
            f"from the lines at {levels[0]:.3f}, 0 and {levels[2]:.3f} ({counts[0]}, {counts[1]}, {counts[2]} tokens)",
            bool(off.max() < 0.05),
        ),
        GalleryClaim(
            f"{PAPER}, proof of it",
            "the largest coordinate along the left eigenvector never rises, the least never falls",
            f"largest change between saves {np.diff(heights.max(axis=1)).max():+.1e}, least "
            f"{np.diff(heights.min(axis=1)).min():+.1e}",
            bool(
                np.diff(heights.max(axis=1)).max() < 1e-6
                and np.diff(heights.min(axis=1)).min() > -1e-6
            ),
        ),
    )
    arrays = {"ts": ts, "zs": zs, "heights": heights, "levels": levels, "left": left, "V": V}
    return Measured(arrays, claims)


def draw_hyperplanes(data: Measured) -> Figure:
    """Paths and the lines, and the coordinate across the lines by time."""
    figure, (plane, heights) = panels(
        2, r"Rescaled tokens $e^{-tV}x_i(t)$, V of the paper's example", width=4.4, height=4.0
    )
    zs, normal = data["zs"], data["left"]
    along = np.array([-normal[1], normal[0]])
    size = 1.1 * float(np.abs(zs).max())
    for level in data["levels"]:
        line = level * normal + np.array([[-3 * size], [3 * size]]) * along
        plane.plot(line[:, 0], line[:, 1], color=ORANGE, linewidth=0.9)
    plane.plot(zs[:, :, 0], zs[:, :, 1], color=BLUE, linewidth=0.6)
    plane.plot(zs[0, :, 0], zs[0, :, 1], "o", color="white", markeredgecolor=GREY, markersize=3)
    plane.plot(zs[-1, :, 0], zs[-1, :, 1], "o", color=RED, markersize=4)
    plane.set(xlim=(-size, size), ylim=(-size, size), aspect="equal")
    label(plane, "", "", f"red: t = {data['ts'][-1]:g}")
    heights.plot(data["ts"], data["heights"], color=BLUE, linewidth=0.7)
    for level in data["levels"]:
        heights.axhline(level, color=ORANGE, linewidth=0.9)
    label(heights, "t", "coordinate across the lines")
    return figure


# === Boolean attention on the line


class _Pair(NamedTuple):
    ts: np.ndarray
    half: np.ndarray  # half the distance of the two tokens
    own: float  # what a token pays to itself at the end


def boolean_attention(key: Key[Array, ""], size: str) -> Measured:
    """Tokens of the line: their attention becomes a matrix of zeros and ones, of rank two or three."""
    tokens = min(60, TOKENS[size])  # more columns than these are lines too thin to see
    z0 = Euclidean(1).random(key, (tokens,), law="cube", size=1.0)
    order = jnp.argsort(z0[:, 0])
    z0 = z0[order]
    marks = (0.0, 2.0, 4.0, 12.0)
    field = rescaled(AttentionField(Euclidean(1), P=jnp.eye(1), scale=1.0))
    ts = jnp.array(marks)
    run = jax.jit(
        lambda z: simulate(field, z, t1=ts[-1], ts=ts, rtol=1e-9, atol=1e-12, max_steps=100_000).ys
    )
    zs = np.asarray(run(z0))
    matrices = np.stack(
        [np.asarray(field.attention(t, z))[0] for t, z in zip(marks, jnp.asarray(zs), strict=True)]
    )
    end = matrices[-1]
    off = np.minimum(end, 1 - end).max(axis=1)
    generic = int((off > 1e-3).sum())
    rank = [int(np.linalg.matrix_rank(m, tol=1e-3)) for m in matrices]
    columns = int((end.max(axis=0) > 0.5).sum())
    pair = _pair()
    settled = float(pair.half[-1])
    moved = float(abs(pair.half[-1] - pair.half[3 * len(pair.half) // 4]))
    claims = (
        GalleryClaim(
            f"{PAPER}, Thm on the line",
            "d = 1: the attention matrix becomes Boolean, of low rank, but for one row at most",
            f"{tokens} tokens: rows that are not 0 or 1 to 1e-3 at t = {marks[-1]:g}: {generic}; rank "
            + ", ".join(map(str, rank)) + " at t = " + ", ".join(f"{t:g}" for t in marks),
            bool(generic <= 1 and rank[-1] <= 3),
        ),
        GalleryClaim(
            f"{PAPER}, leaders",
            "all attention goes to two leaders, the outermost tokens",
            f"columns with a weight above 1/2: {columns}, of the tokens at the two ends: "
            f"{bool(end[:, 0].max() > 0.5)}, {bool(end[:, -1].max() > 0.5)}",
            bool(columns == 2 and end[:, 0].max() > 0.5 and end[:, -1].max() > 0.5),
        ),
        GalleryClaim(
            f"{PAPER}, remark after that theorem (v6)",
            "d = 2, tokens (1, eps) and (1, -eps): one cluster at (1, 0) while attention becomes the identity",
            f"eps = {PAIR:g}: attention does become the identity (own weight {pair.own:.9f}), and the rescaled "
            f"tokens stop {settled:.4f} from (1, 0) (change in the last quarter {moved:.0e}): two clusters, rank two",
            bool(settled > 1e-3 and moved < 1e-6 and pair.own > 1 - 1e-6),
            contradicts="that both go to (1, 0), as a formalisation quotes it; with one cluster attention would be 1/2",
        ),
    )  # fmt: skip
    arrays = {
        "marks": np.array(marks), "zs": zs[..., 0], "attention": matrices,
        "pair_ts": pair.ts, "pair_half": pair.half,
    }  # fmt: skip
    return Measured(arrays, claims)


def _pair() -> _Pair:
    ts, zs, field = _flow(None, jnp.array([[1.0, PAIR], [1.0, -PAIR]]), 14.0, 141)
    own = float(field.attention(float(ts[-1]), jnp.asarray(zs[-1]))[0, 0, 0])
    return _Pair(ts, np.abs(zs[:, 0, 1]), own)


def draw_boolean_attention(data: Measured) -> Figure:
    """The attention matrix at four times, and the two tokens of the remark."""
    figure, axes = panels(
        5, "Attention of tokens on the line, in their order", width=2.7, height=2.9
    )
    for ax, t, matrix in zip(axes, data["marks"], data["attention"], strict=False):
        ax.grid(False)
        ax.imshow(matrix, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
        rank = int(np.linalg.matrix_rank(matrix, tol=1e-3))
        ax.set(xticks=[], yticks=[], title=f"t = {t:g}, rank {rank}")
    last = axes[-1]
    last.plot(data["pair_ts"], data["pair_half"], color=PALETTE[0])
    label(last, "t", "", r"$(1, \pm\varepsilon)$: distance from (1, 0)")
    last.title.set_fontsize(9)
    last.set_ylim(bottom=0)
    return figure
