"""Tokens on S² seen from a point: a shaded ball, its far side faint."""

import itertools

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Circle
from matplotlib.patheffects import withStroke
from numpy.typing import ArrayLike

from ..core.arguments import numbers, shown
from ._figure import BLUE, GREY, ORANGE, axes_or_new


def sphere(
    ts: ArrayLike,
    ys: ArrayLike,
    ax: Axes | None = None,
    *,
    v: ArrayLike | None = None,
    hemisphere: bool = True,
    v_label: str = "v",
    view: tuple[float, float] | None = None,
    title: str | None = None,
) -> Axes:
    """Trajectories of tokens on the sphere: starts are white circles, ends grey, paths blue.

    The ball is seen in parallel projection and shaded. What lies on its far side is drawn as seen
    through it: dashed and faint.

    **Arguments:**

    - `ts`: times, shape `(times,)`; where not finite (after an event) the save is left out.
    - `ys`: tokens, shape `(times, tokens, 3)`; normalised before they are drawn.
    - `ax`: axes to draw on; new ones (`.figure` is the figure) if not given.
    - `v`: a direction to mark, such as the axis of a hemisphere.
    - `hemisphere`: draw the edge of the open hemisphere of `v` too.
    - `v_label`: the text at `v`.
    - `view`: (elevation, azimuth) of the eye in degrees; by default from where the tokens are,
      turned a little so that `v` is not in the middle.
    - `title`: text.

    **Returns:**

    The axes.

    **Raises:**

    - `ValueError`: `ys` is not of shape `(times, tokens, 3)`, `ts` does not fit, `v` is not a vector
      of R³.

    ```python
    sol = af.simulate(field, y0, t1=20.0, ts=jnp.linspace(0.0, 20.0, 200))
    af.plot.sphere(sol.ts, sol.ys).figure.savefig("sphere.png")
    ```
    """
    times, paths = numbers("ts", ts), numbers("ys", ys)
    if paths.ndim != 3 or paths.shape[2] != 3 or times.shape != paths.shape[:1]:
        raise ValueError(
            "`ys` must have shape (times, tokens, 3) with one entry of `ts` for each time; "
            f"got {paths.shape} and {times.shape}."
        )
    paths = paths[np.isfinite(times) & np.isfinite(paths).all(axis=(1, 2))]
    if not len(paths):
        raise ValueError("`ys` must have at least one save with finite tokens; got none.")
    paths = paths / np.linalg.norm(paths, axis=2, keepdims=True)
    if v is not None:
        v = numbers("v", v)
        if v.shape != (3,) or not np.linalg.norm(v) > 0:
            raise ValueError(f"`v` must be a non-zero vector of shape (3,); got shape {v.shape}.")
        v = v / np.linalg.norm(v)

    if view is not None:
        eye = numbers("view", view)
        if eye.shape != (2,) or not np.all(np.isfinite(eye)):
            raise ValueError(f"`view` must be two angles in degrees; got {shown(view)}.")
    ax = axes_or_new(ax, (4.8, 4.8))
    frame = _frame(*(view if view is not None else _default_view(paths, v)))
    _ball(ax)
    _graticule(ax, frame)
    if v is not None and hemisphere:
        _path(ax, _great_circle(v), frame, ORANGE, 1.1, far=0.45)
    for token in range(paths.shape[1]):
        _path(ax, _dense(paths[:, token]), frame, BLUE, 1.5, far=0.4)
    if v is not None:
        _arrow(ax, v, frame, v_label)
    _markers(ax, paths[0], frame, "white", 6, "start")
    _markers(ax, paths[-1], frame, GREY, 7, "end")
    ax.legend(loc="lower left", frameon=False, handletextpad=0.2, borderaxespad=0)
    ax.set_aspect("equal")
    ax.set_xlim(-1.2, 1.2)
    ax.set_ylim(-1.12, 1.12)
    ax.axis("off")
    if title:
        ax.set_title(title)
    return ax


def _default_view(ys: np.ndarray, v: np.ndarray | None) -> tuple[float, float]:
    middle = ys.mean(axis=(0, 1)) + ys[-1].mean(axis=0)
    if np.linalg.norm(middle) < 1e-6:
        return 20.0, 30.0
    middle = middle / np.linalg.norm(middle)
    turn = 20.0
    if v is not None:
        turn = 20.0 if middle @ v > 0.95 else 0.0
        middle = middle + v if np.linalg.norm(middle + v) > 1e-6 else middle
    x, y, z = middle / np.linalg.norm(middle)
    elevation, azimuth = np.degrees(np.arcsin(z)), np.degrees(np.arctan2(y, x))
    return float(np.clip(elevation + 12, -70, 70)), float(azimuth + turn)


def _frame(elevation: float, azimuth: float) -> np.ndarray:
    """Rows: the screen's right, its up, and the direction of the eye."""
    e, a = np.radians(elevation), np.radians(azimuth)
    eye = np.array([np.cos(e) * np.cos(a), np.cos(e) * np.sin(a), np.sin(e)])
    right = np.array([-np.sin(a), np.cos(a), 0.0])
    return np.stack([right, np.cross(eye, right), eye])


def _ball(ax: Axes) -> None:
    # Light from the upper left: a diffuse term on a white ball.
    grid = np.linspace(-1, 1, 501)
    x, y = np.meshgrid(grid, grid)
    depth = np.sqrt(np.clip(1 - x**2 - y**2, 0, None))
    light = np.clip(
        (-0.45 * x + 0.55 * y + 0.7 * depth) / np.sqrt(0.45**2 + 0.55**2 + 0.7**2), 0, 1
    )
    shade = 0.66 + 0.33 * light
    image = ax.imshow(
        np.dstack([shade, shade, np.clip(shade + 0.012, 0, 1)]),
        extent=(-1, 1, -1, 1),
        origin="lower",
        interpolation="bilinear",
        zorder=0,
    )
    outline = Circle((0, 0), 1, facecolor="none", edgecolor="#8a8a8a", linewidth=1.1, zorder=2.5)
    ax.add_patch(outline)
    image.set_clip_path(outline)


def _graticule(ax: Axes, frame: np.ndarray) -> None:
    s = np.linspace(0, 2 * np.pi, 361)
    circles = [
        np.stack([np.cos(b) * np.cos(s), np.cos(b) * np.sin(s), np.full_like(s, np.sin(b))], axis=1)
        for b in np.radians([-60, -30, 0, 30, 60])
    ]
    circles += [
        np.stack([np.cos(s) * np.cos(a), np.cos(s) * np.sin(a), np.sin(s)], axis=1)
        for a in np.radians([0, 30, 60, 90, 120, 150])
    ]
    for circle in circles:
        _path(ax, circle, frame, "#ffffff", 0.7, far=0.0, zorder=2)


def _great_circle(v: np.ndarray) -> np.ndarray:
    helper = np.eye(3)[np.argmin(np.abs(v))]
    a = np.cross(v, helper)
    a = a / np.linalg.norm(a)
    s = np.linspace(0, 2 * np.pi, 361)[:, None]
    return np.cos(s) * a + np.sin(s) * np.cross(v, a)


def _dense(path: np.ndarray) -> np.ndarray:
    """The path with points between saves that are far apart, along great circles."""
    pieces = [path[:1]]
    for p, q in itertools.pairwise(path):
        angle = 2 * np.arctan2(np.linalg.norm(p - q), np.linalg.norm(p + q))
        s = np.linspace(0, 1, 2 + int(angle / 0.05))[1:, None]
        between = (1 - s) * p + s * q
        norm = np.linalg.norm(between, axis=1, keepdims=True)
        pieces.append(np.divide(between, norm, out=np.zeros_like(between), where=norm > 0))
    return np.concatenate(pieces)


def _path(
    ax: Axes,
    points: np.ndarray,
    frame: np.ndarray,
    colour: str,
    width: float,
    *,
    far: float,
    zorder: float = 4,
) -> None:
    """A curve on the ball: solid where it faces the eye, dashed with opacity `far` where not."""
    x, y, depth = frame @ points.T
    near = depth >= 0
    # A hidden point next to a visible one is drawn with both parts, so that no gap is left.
    near_too = near | np.roll(near, 1) | np.roll(near, -1) if len(near) > 2 else near
    front, back = np.where(near_too, 1, np.nan), np.where(near, np.nan, 1)
    if far > 0:
        ax.plot(
            x * back, y * back, color=colour, linewidth=0.8 * width, alpha=far,
            linestyle=(0, (3, 2)), zorder=zorder - 1,
        )  # fmt: skip
    ax.plot(x * front, y * front, color=colour, linewidth=width, zorder=zorder)


def _arrow(ax: Axes, v: np.ndarray, frame: np.ndarray, label: str) -> None:
    x, y, depth = frame @ v
    faint = 1.0 if depth >= 0 else 0.45
    # A stalk from the surface outwards: short when it points to the eye.
    tip = (1.2 * x, 1.2 * y)
    ax.plot([x, tip[0]], [y, tip[1]], color=ORANGE, linewidth=1.4, alpha=faint, zorder=5)
    ax.plot([x], [y], "o", markersize=4, color=ORANGE, alpha=faint, zorder=5)
    text = ax.annotate(
        label, tip, xytext=(4 if x >= 0 else -4, 4 if y >= 0 else -4), textcoords="offset points",
        ha="left" if x >= 0 else "right", va="bottom" if y >= 0 else "top",
        color=ORANGE, fontsize=12, fontstyle="italic", zorder=8,
        path_effects=[withStroke(linewidth=2.5, foreground="white")],
    )  # fmt: skip
    text.set_in_layout(False)


def _markers(
    ax: Axes, points: np.ndarray, frame: np.ndarray, face: str, zorder: float, label: str
) -> None:
    x, y, depth = frame @ points.T
    for near in (False, True):
        some = (depth >= 0) == near
        ax.scatter(
            x[some], y[some], s=34, facecolors=face, edgecolors="black", linewidths=0.9,
            alpha=1.0 if near else 0.4, zorder=zorder if near else 3.5,
            label=label if near else None,
        )  # fmt: skip
