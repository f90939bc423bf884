"""A counterexample in three panels: where tokens go, how far that is from the claim, and what decides."""

import textwrap
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ..core.lazy import renamed_argument
from ._figure import BLUE, GREY, ORANGE, dress, with_parts
from ._gram import gram
from ._sphere import sphere

if TYPE_CHECKING:
    from ..flow import Integrator
    from ..search import Counterexample

_TIME, _SHORT, _POINTS = 60.0, 5.0, 601  # _SHORT: for a claim about each moment
_ASIDE = 1e-5
_NUMBERED = 5  # limits of so many tokens are numbered: there is no room for more
_NEAR = 0.1  # radians: tokens nearer than this share a label


@renamed_argument("found", "example")
def counterexample(
    example: "Counterexample",
    axes: Iterable[Axes] | None = None,
    *,
    integrator: "Integrator | None" = None,
) -> tuple[Axes, Axes, Axes]:
    r"""A counterexample as it is run, in three panels.

    - Tokens from their starts (white) to their limit (filled): on the circle, each path on a ring of its
      own, or on the sphere. In more dimensions the cosines of the limit.
    - The margin of the claim's conclusion against time, with the line above which it is a violation; for
      a claim that something never grows, the rate at which it does.
    - The spectrum of the limit in the complex plane, the stable half shaded; grey and open, the family of
      equilibria that symmetry gives. In words, where the limit is no equilibrium.

    **Arguments:**

    - `example`: what [`attnflow.search.falsify`][] found, or [`attnflow.search.check_counterexample`][] read.
    - `axes`: three axes to draw on; those of a new figure, which has a title, unless given.
    - `integrator`: an [`Integrator`][attnflow.flow.Integrator] in place of `Dopri8` at rtol 1e-13, as tight as a
      start on a null set was found: it has no room.

    **Returns:**

    The three axes; `axes[0].figure` is the figure.

    **Raises:**

    - `ValueError`: not three axes.

    ```python
    axes = af.plot.counterexample(af.search.check_counterexample("heads/counterexample.json"))
    af.plot.save(axes[0], "counterexample.png")
    ```
    """
    with_parts("example", example, "a Counterexample", "claim", "case", "evidence")
    if axes is None:
        figure = Figure(figsize=(12.6, 4.1), dpi=150, layout="constrained")
        figure.suptitle(f"{example.claim.name}: {example.evidence.status}")
        three = [figure.add_subplot(1, 3, k) for k in (1, 2, 3)]
    else:
        three = list(axes)
    if len(three) != 3:
        raise ValueError(f"`axes` must be three; got {len(three)}.")
    left, middle, right = three
    run = _run(example, integrator)
    _tokens(left, example, run)
    _margin(middle, example, run)
    _spectrum(right, example, run.since)
    return left, middle, right


class _Run(NamedTuple):
    ts: np.ndarray
    ys: np.ndarray  # unit vectors
    margins: np.ndarray
    beside: np.ndarray | None  # margins of a start beside one on a null set
    since: float  # when the field has come to rest, or to its period


def _run(example: "Counterexample", integrator: "Integrator | None") -> _Run:
    # Here, for these bring JAX along, which most pictures do without.
    import diffrax
    import jax.numpy as jnp

    from ..claims import rest_of
    from ..flow import Integrator, simulate
    from ..search import AbstractRate, Margin

    field, y0 = example.build()
    since = rest_of(field).since
    unit = 1 / (field.heads * float(field.scale))
    if isinstance(example.claim.conclusion, AbstractRate):
        time = _SHORT * unit
    else:
        time = min(since + _TIME * unit, example.evidence.time)
    ts = jnp.linspace(0.0, time, _POINTS)
    measured = Margin(field, example.claim.conclusion)
    observe = {"y": lambda t, y: y, "margin": measured}

    if integrator is None:
        integrator = Integrator(rtol=1e-13, atol=1e-14, solver=diffrax.Dopri8())

    def run(y: Any) -> dict[str, np.ndarray]:
        sol: Any = simulate(
            field, y, t1=time, ts=ts, integrator=integrator, observe=observe, throw=False
        )
        return {name: np.asarray(values) for name, values in sol.ys.items()}

    here = run(y0)
    beside = None
    if example.evidence.status == "null set":
        aside = field.manifold.to_tangent(y0, jnp.roll(y0, 1, axis=1))[-1]
        beside = run(field.manifold.project(y0.at[-1].add(_ASIDE * aside)))["margin"]
    ys = here["y"] / np.linalg.norm(here["y"], axis=2, keepdims=True)
    return _Run(np.asarray(ts), ys, here["margin"], beside, since)


# === tokens


def _tokens(ax: Axes, example: "Counterexample", run: _Run) -> None:
    ts, ys = run.ts, run.ys
    end = example.evidence.equilibrium
    at_rest = end is not None and not example.evidence.period
    limit = np.asarray(end) if at_rest else ys[-1]
    limit = limit / np.linalg.norm(limit, axis=1, keepdims=True)
    dim = ys.shape[2]
    if dim == 2:
        _circle(ax, ys, limit, "limit" if at_rest else "end")
    elif dim == 3:
        sphere(np.append(ts, ts[-1]), np.concatenate([ys, limit[None]]), ax)
    else:
        gram(limit @ limit.T, ax)
        for axis in (ax.xaxis, ax.yaxis):  # from one, as on the circle
            axis.set_major_formatter(lambda k, _: f"{k + 1:.0f}")
            axis.set_major_locator(MaxNLocator(8, integer=True))
    ax.set_title(f"cosines of the {'limit' if at_rest else 'end'}" if dim > 3 else "tokens")


def _circle(ax: Axes, ys: np.ndarray, limit: np.ndarray, what: str) -> None:
    """Starts on the circle, and each token's path on a ring of its own inside it, to its limit or end."""
    angles = np.unwrap(np.arctan2(ys[..., 1], ys[..., 0]), axis=0)
    turn = np.linspace(0, 2 * np.pi, 361)
    ax.plot(np.cos(turn), np.sin(turn), color="#d0d0d0", linewidth=1.2, zorder=1)
    rings = 1 - min(0.07, 0.45 / angles.shape[1]) * np.arange(1, angles.shape[1] + 1)
    for radius, angle in zip(rings, angles.T, strict=True):
        # From the start on the circle inwards to the ring, and along it.
        r, angle = np.append(1.0, np.full(len(angle), radius)), np.append(angle[0], angle)
        ax.plot(r * np.cos(angle), r * np.sin(angle), color=GREY, linewidth=0.9, zorder=2)
    ends = np.arctan2(limit[:, 1], limit[:, 0])
    for points, angle, face, label in (
        (np.ones_like(rings), angles[0], "white", "start"),
        (rings, ends, BLUE, what),
    ):
        ax.scatter(
            points * np.cos(angle), points * np.sin(angle), s=30, facecolors=face,
            edgecolors="black", linewidths=0.9, zorder=4, label=label,
        )  # fmt: skip
    _numbers(ax, angles[0], 1.16, "#303030")
    if len(ends) <= _NUMBERED:
        _numbers(ax, ends, rings[-1] - 0.16, BLUE)
    ax.legend(loc="center", frameon=False, handletextpad=0.2)
    ax.set_aspect("equal")
    ax.set_xlim(-1.3, 1.3)
    ax.set_ylim(-1.25, 1.25)
    ax.axis("off")


def _numbers(ax: Axes, angles: np.ndarray, radius: float, colour: str) -> None:
    """Token numbers, the first is 1; those of tokens at one place side by side."""
    points = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    left = list(range(len(points)))
    while left:
        here = [k for k in left if np.linalg.norm(points[k] - points[left[0]]) < _NEAR]
        left = [k for k in left if k not in here]
        x, y = radius * points[here[0]]
        ax.text(
            x, y, ", ".join(str(k + 1) for k in here), ha="center", va="center", color=colour,
            fontsize=9,
        )  # fmt: skip


# === margin


def _margin(ax: Axes, example: "Counterexample", run: _Run) -> None:
    from ..claims import LEAST
    from ..search import AbstractRate

    ts, margins = run.ts, run.margins
    ax.plot(ts, margins, color=BLUE, linewidth=1.6, label="this start")
    if run.beside is not None:
        label = f"a start {_ASIDE:g} beside it"
        ax.plot(ts, run.beside, color=GREY, linewidth=1.3, linestyle=":", label=label)
        ax.legend(frameon=False, loc="center left")
    ax.axhline(LEAST, color=ORANGE, linewidth=1.1, linestyle="--")
    if np.all(margins > 0):
        ax.set_yscale("log")
        ax.set_ylim(min(LEAST / 4, margins.min() / 2), max(3 * margins.max(), 4 * LEAST))
    ax.annotate(
        f"violation: above {LEAST:g}", (0.98, LEAST), (0, 3), textcoords="offset points",
        xycoords=ax.get_yaxis_transform(), ha="right", va="bottom", color=ORANGE,
    )  # fmt: skip
    rate = isinstance(example.claim.conclusion, AbstractRate)
    dress(ax, "t", "rate of growth" if rate else "margin", None)
    ax.set_title(textwrap.fill(f"not so: {example.claim.conclusion.says}", 44), fontsize=10)
    ax.set_xlim(ts[0], ts[-1])


# === spectrum


def _spectrum(ax: Axes, example: "Counterexample", since: float) -> None:
    from ..theory import spectrum

    evidence = example.evidence
    if evidence.equilibrium is None or evidence.period is not None:
        ax.axis("off")
        ax.set_title("what decides")
        ax.text(0.5, 0.5, textwrap.fill(evidence.why, 38), ha="center", va="center")
        return
    field, _ = example.build()
    local = spectrum(field, since, evidence.equilibrium)
    ax.axhline(0.0, color="#d0d0d0", linewidth=0.8, zorder=1)
    ax.axvline(0.0, color=GREY, linewidth=1.1, zorder=2)
    # The family is what the evidence says: one that no symmetry makes is seen by going along it.
    family = max(local.family, evidence.family or 0)
    verdict = "stable" if evidence.status == "open" else local.verdict
    indices = np.argsort(np.abs(local.eigenvalues), kind="stable")[family:]
    real, imaginary = np.real(local.eigenvalues)[indices], np.imag(local.eigenvalues)[indices]
    neutral, right = np.abs(real) <= local.margin, real > local.margin
    for some, colour in ((~right & ~neutral, BLUE), (right, ORANGE), (neutral, GREY)):
        ax.plot(real[some], imaginary[some], "o", color=colour, markersize=6, alpha=0.85, zorder=4)
    if family:
        label = f"family of equilibria ({family})"
        ax.plot(0, 0, "o", markerfacecolor="white", color=GREY, markersize=8, zorder=3, label=label)
        ax.legend(frameon=False, loc="lower left")
    shown = np.append(local.eigenvalues, 0)
    low, high = np.real(shown).min(), np.real(shown).max()
    room = 0.12 * max(high - low, 1e-3) + 0.05 * (high - low)
    ax.set_xlim(low - room, high + max(room, 0.15 * (high - low)))
    tall = max(1.3 * np.abs(np.imag(shown)).max(), 0.35 * (high - low), 1e-3)
    ax.set_ylim(-tall, tall)
    ax.axvspan(ax.get_xlim()[0], 0.0, color=BLUE, alpha=0.07, linewidth=0, zorder=0)
    ax.xaxis.set_major_locator(MaxNLocator(5))
    dress(ax, "real part", "imaginary part", f"eigenvalues of the limit: {verdict}")
