"""`long_run`: from event to event by a clock of its own, time in its logarithm."""

import math
from typing import Any, NamedTuple

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import ArrayLike, Float, Real

from ..core.checks import boolean, instance, number
from ..core.compiled import compiled
from ..model import AttentionField, Softmax
from ._clock import ClockStops
from ._fitting import distances, fitting
from ._history import LongRun
from ._stage import STEPS, Limits, Slopes, slopes, stage
from ._system import BALANCED, System
from ._tree import Tree

_SAME = 1e-12  # tokens that start closer are one
_BEFORE = -1e9  # ln t of the start, as a number
_STRAIGHT = 1e-8  # a path of so many gaps is straight to rounding


def long_run(
    field: AttentionField,
    y0: Float[ArrayLike, "tokens dim"],
    *,
    log_t1: float = math.inf,
    clock: str = "log_t",
    end: float | None = None,
    saves: Real[ArrayLike, " saves"] | None = None,
    merge: float | None = None,
    near: float | None = None,
    solver: diffrax.AbstractSolver[Any] | None = None,
    rtol: float = 1e-10,
    atol: float = 1e-13,
    gradients: bool = False,
) -> LongRun:
    r"""Attention to exponentially long times: until clusters that barely feel one another have merged.

    $$\dot y_i = c \sum_j m_j\, e^{\beta(\cos\angle(y_i, y_j) - 1)}\, T_{y_i}\pi\, y_j$$

    (or the same with softmax) on circle or sphere. Sharp attention, a large $\beta$, gathers tokens in clusters,
    each of which stands still for a time $e^{\beta(1 - \cos)}$ before it meets the next (Geshkovski et al.,
    arXiv:2410.06833): the energy climbs a staircase whose steps are at ln t in the hundreds.

    Ordinary integration in ln t fails near 40 at the latest. Tokens of one cluster are at the same place to rounding,
    $\varepsilon = 2^{-53}$, and $dy/d\ln t = t\,\dot y$ multiplies that rounding by $t$: from $\ln t =
    -\ln\varepsilon \approx 37$ on it is larger than any tolerance. Here tokens that come within `merge` of one
    another are replaced by one of their mass in their centre. The clock is that of the smallest gap: tokens move a
    part of it in one unit, however weak the forces are; these are relative to the largest, whose logarithm is kept; and
    $\ln t$ is the logarithm of a sum of positive numbers. Nothing is stiff then, and nothing underflows.

    **Arguments:**

    - `field`: on a `Sphere`, one head, $P = \beta I$ with $\beta \ge 0$ and $U = I$, kernel `"exp"` or `"softmax"`,
      full attention; a bias may be one number for all pairs, weights any positive ones. A bias of $-\beta$ with
      `"exp"` and scale 1 is the equation of the staircase. Others are refused: a token in place of two has to move as
      they did, and the nearest pair has to be the one that moves. Under a mask, a bias by pairs or with frozen tokens,
      two in one place part; with another $U$ a token pulls itself, and none stands still for long; with several heads,
      another $P$ or $\beta < 0$ distance does not tell which forces are large. [`simulate`][] is for these, by $t$.
    - `y0`: tokens, shape `(tokens, dim)`. Float64 has to be on.
    - `log_t1`: the run ends at this ln t, or when one cluster is left.
    - `clock`: `"log_t"`, `"t"` or `"length"`, that of the path, $\int \sqrt{\sum_i m_i |\dot y_i|^2}\,dt$, by which a
      plateau takes no time. By the one chosen are `end` and `saves`, and each step is told, `run.ticks`. Steps are
      those of the smallest gap's clock whichever it is, so that it changes no merge.
    - `end`: in place of `log_t1`, by the clock chosen.
    - `saves`: when by the clock to keep tokens and energy, in `run.saved`: numbers that grow.
    - `merge`: distance (chord) below which tokens are replaced by one; default $10^{-6}$ of `near`.
    - `near`: distance at which two clusters count as merged, in `run.merges`; by default the range of the kernel,
      $\beta^{-1/2}$, or half the smallest distance at the start if that is less. Tokens of one cluster come closer
      for ever, so that "merged" needs a distance; at this one its time does not depend on `merge`.
    - `gradients`: also the derivatives of the merges' ln t by start and $\beta$, in `run.merges`, by forward
      mode: about as many times the work as there are numbers in the start.
    - `solver`, `rtol`, `atol`: of diffrax; default `Tsit5`. Neither tolerance is above a tenth of `merge`.

    **Returns:**

    A [`LongRun`][]: `run.merges.log_t`, `run.merges.clusters`, `run.energy` on each plateau, and the curve.

    **Raises:**

    - `ValueError`: a field for which merging is not exact, a merge distance above the tokens' distances, a clock that
      does not fit (t beyond the largest float, a length that the path does not have), and other bad input.
    - `RuntimeError`: the solver gave up.

    ```python
    beta = 4000.0
    field = af.AttentionField(
        af.Sphere(2), P=beta * jnp.eye(2), mask=jnp.full((5, 5), -beta), kernel="exp", scale=1.0
    )
    angles = jnp.array([0.0, 0.09, 0.2, 0.38, 0.55])
    run = af.long_run(field, jnp.stack([jnp.cos(angles), jnp.sin(angles)], axis=1))
    run.merges.log_t                                         # [ 13.7  43.9  53.8 262. ]
    ```
    """
    # === check arguments
    bias, beta = fitting(field, y0)
    stops = ClockStops(clock, end, saves, log_t1)
    if solver is None:
        solver = diffrax.Tsit5()
    instance("solver", solver, diffrax.AbstractAdaptiveSolver, "an adaptive solver of diffrax")
    tolerances = [
        jnp.asarray(number(name, value, above=0.0))
        for name, value in (("rtol", rtol), ("atol", atol))
    ]
    y = np.asarray(field.check_start("y0", jnp.asarray(y0)), np.float64)
    circle = y.shape[1] == 2
    weights = np.ones(len(y)) if field.weights is None else np.asarray(field.weights, np.float64)
    if (weights <= 0).any():
        raise ValueError("`field` must have positive weights here; leave tokens of mass zero out.")
    tree = Tree(np.arctan2(y[:, 1], y[:, 0]) if circle else y, weights / weights.sum())
    if boolean("gradients", gradients):
        tree.slopes = _first_slopes(tree.x, 0.0 if isinstance(field.kernel, Softmax) else 1.0)
    _join_same(tree)
    merge, near = distances(tree, beta, merge, near)
    # Errors of steps must not hold two tokens apart that are to merge.
    tolerances = [jnp.minimum(tolerance, 0.1 * merge) for tolerance in tolerances]

    # === run
    softmax = isinstance(field.kernel, Softmax)
    rate = math.log(float(field.scale)) + (0.0 if softmax else beta + bias)
    log_t, length, ended, parts = _BEFORE, 0.0, "", []
    stages = 3 * len(y) + 3 + len(stops.at)
    for _ in range(stages):
        system = _system(tree, beta, rate, softmax)
        here = _look(system, tree.x, log_t, length)
        if tree.settled:
            tree.plateau(here.energy)
        parts.append(here.row(tree))
        if tree.alive.sum() == 1:
            ended = "one cluster"
        elif (last := _at_stops(stops, tree, system, here)) is not None:
            ended = "log_t1" if clock == "log_t" else clock
            if last is not here:
                here, tree.x = last, last.x
                parts.append(here.row(tree))
        elif here.size <= BALANCED:
            ended = "balanced"
        if ended:
            break
        limits = Limits(
            *map(jnp.asarray, (near, merge, *stops.limits(length), tree.apart)),
        )
        x = jnp.asarray(tree.x)
        s = stage(system, x, jnp.asarray(log_t), limits, solver, *tolerances)
        done = np.isfinite(np.asarray(s.log_t))
        logs, lengths, energies, xs = (
            np.asarray(part)[done] for part in (s.log_t, s.lengths, s.energy, s.x)
        )
        parts.append((logs, length + lengths, energies, tree.tokens(xs)))
        if bool(s.failed):
            raise RuntimeError(
                f"`long_run` stopped at ln t = {float(s.log_t1):.6g} after {int(s.steps)} steps "
                f"of at most {STEPS} between two events; loosen rtol, or take a larger `merge` or another solver."
            )
        if tree.slopes is not None:
            tree.slopes = slopes(
                system, x, jnp.asarray(log_t), limits, solver, *tolerances, before=tree.slopes
            )
        log_t, length = float(s.log_t1), length + float(s.length)
        tree.x = np.array(s.x1)
        _events(tree, near, merge, log_t, _look(system, tree.x, log_t, length).energy)
    else:
        raise RuntimeError(f"`long_run` had no end after {stages} stages; take another solver.")

    # === what came of it
    tree.plateau(here.energy)
    stops.rest(ended, here.length, here.energy, tree.tokens(tree.x))
    logs, lengths, energies, ys = (np.concatenate(part) for part in zip(*parts, strict=True))
    return LongRun(
        merges=tree.merges(y if gradients else None),
        energy=np.array(tree.energy),
        levels=np.array(tree.levels),
        clock=clock,
        log_t=logs,
        lengths=lengths,
        energies=energies,
        ys=ys,
        saved=stops.saved(y.shape),
        log_t1=here.now,
        y1=tree.tokens(tree.x),
        angles=tree.angles(),
        near=near,
        merge=merge,
        length=here.length,
        ended=ended,
    )


class _Here(NamedTuple):
    """A place on the way."""

    log_t: float
    length: float
    x: np.ndarray
    energy: float
    size: float
    log_speed: float
    gap: float

    @property
    def now(self) -> float:
        return -math.inf if self.log_t == _BEFORE else self.log_t

    def row(self, tree: Tree) -> tuple[np.ndarray, ...]:
        """As one step of the run."""
        numbers = (np.array([x]) for x in (self.now, self.length, self.energy))
        return (*numbers, tree.tokens(self.x)[None])


def _system(tree: Tree, beta: float, rate: float, softmax: bool) -> System:
    masses, alive = jnp.asarray(tree.masses), jnp.asarray(tree.alive)
    return System(masses, alive, jnp.asarray(beta), jnp.asarray(rate), softmax)


@compiled
def _measured(system: System, x: jax.Array) -> tuple[jax.Array, ...]:
    _, size, log_speed = system.velocity(x)
    return system.energy(x), size, log_speed, system.gap(x)


def _look(system: System, x: np.ndarray, log_t: float, length: float) -> _Here:
    return _Here(log_t, length, x, *map(float, _measured(system, jnp.asarray(x))))


@compiled
def _straight(system: System, x: jax.Array, along: jax.Array) -> jax.Array:
    v, size, _ = system.velocity(x)
    x = x + along * v / size
    return x if x.ndim == 1 else x / jnp.linalg.norm(x, axis=1, keepdims=True)


def _at_stops(stops: ClockStops, tree: Tree, system: System, here: _Here) -> _Here | None:
    """Keep what there is at stops that are reached; the last of them, where the run ends there.

    Those that come after so short a path that it is straight count: from one merge to the next tokens stand still for
    a time that no step on their own clock can be short enough to end in.
    """
    while True:
        place = here
        if not stops.passed(here.log_t, here.length):
            along = stops.ahead(here.log_t, here.length, here.log_speed)
            if here.size <= BALANCED or along > _STRAIGHT * here.gap:
                return None
            log_t, _ = stops.limits(0.0)
            if stops.clock == "length":
                log_t = float(np.logaddexp(here.log_t, math.log(along) - here.log_speed))
            x = np.asarray(_straight(system, jnp.asarray(here.x), jnp.asarray(along)))
            place = _look(system, x, log_t, here.length + along)
        if stops.take(place.now, place.length, place.energy, tree.tokens(place.x)):
            return place


def _events(tree: Tree, near: float, merge: float, log_t: float, energy: float) -> None:
    """Clusters that are near are counted as one, tokens that are closer than `merge` are made one."""
    chords = tree.chords()
    for i, j in np.argwhere(np.triu(chords <= near * (1 + 1e-7), 1)).tolist():
        if tree.cluster[i] != tree.cluster[j]:
            tree.plateau(energy)  # of a merge whose tokens are still on their way
            tree.count(i, j, log_t)
    while (least := (chords := tree.chords()).min()) <= merge * (1 + 1e-7):
        i, j = sorted(np.argwhere(chords == least)[0].tolist())
        tree.join(i, j)


def _first_slopes(x: np.ndarray, rate: float) -> Slopes:
    """Of the start by itself along the sphere, and by beta, which is last: the exponential kernel's rate has it too."""
    count = x.size
    along = np.eye(count).reshape(count, *x.shape)
    if x.ndim == 2:  # along the sphere alone
        along = along - np.einsum("kid,id->ki", along, x)[..., None] * x
    last = np.eye(count + 1)[-1]
    zero = np.zeros((1, *x.shape))
    parts = (np.concatenate([along, zero]), 0 * last, last, rate * last)
    return Slopes(*map(jnp.asarray, parts))


def _join_same(tree: Tree) -> None:
    while (least := (chords := tree.chords()).min(initial=np.inf)) <= _SAME:
        i, j = sorted(np.argwhere(chords == least)[0].tolist())
        tree.count(i, j, -math.inf)
        tree.join(i, j)
