"""`long_run`: from event to event by a clock of its own, time in its logarithm."""

import math
from typing import Any

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import ArrayLike, Float

from ..core.checks import boolean, instance, number
from ..core.compiled import compiled
from ..model import AttentionField, Softmax
from ._fitting import distances, fitting, the_end
from ._history import LongRun
from ._stage import STEPS, Limits, Slopes, slopes, stage
from ._system import BALANCED, System
from ._tree import Tree

_SAME = 1e-12  # tokens that start closer are one
_BEFORE = -1e9  # ln t of the start, as a number


def long_run(
    field: AttentionField,
    y0: Float[ArrayLike, "tokens dim"],
    *,
    log_t1: float = math.inf,
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
      `"exp"` and scale 1 is the equation of the staircase.
    - `y0`: tokens, shape `(tokens, dim)`. Float64 has to be on.
    - `log_t1`: the run ends at this ln t, or when one cluster is left.
    - `merge`: distance (chord) below which tokens are replaced by one; default $10^{-6}$ of `near`.
    - `near`: distance at which two clusters count as merged, in `run.merges`; by default the range of the kernel,
      $\beta^{-1/2}$, or half the smallest distance at the start if that is less. Tokens of one cluster come closer
      for ever, so that "merged" needs a distance; at this one its time does not depend on `merge`.
    - `gradients`: also the derivatives of the merges' ln t by start and $\beta$, in `run.merges`, by forward
      mode: about as many times the work as there are numbers in the start.
    - `solver`, `rtol`, `atol`: of diffrax; default `Tsit5`. Off the circle neither tolerance is above `merge`.

    **Returns:**

    A [`LongRun`][]: `run.merges.log_t`, `run.merges.clusters`, `run.energy` on each plateau, and the curve.

    **Raises:**

    - `ValueError`: a field for which merging is not exact, a merge distance above the tokens' distances, and
      other bad input.
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
    end = the_end(log_t1)
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
    if not circle:  # errors of steps must not hold two tokens apart that are to merge
        tolerances = [jnp.minimum(tolerance, merge) for tolerance in tolerances]

    # === run
    softmax = isinstance(field.kernel, Softmax)
    rate = math.log(float(field.scale)) + (0.0 if softmax else beta + bias)
    log_t, length, ended = _BEFORE, 0.0, ""
    now, energy, parts = -math.inf, 1.0, []
    stages = 3 * len(y) + 3
    for _ in range(stages):
        system = _system(tree, beta, rate, softmax)
        x = jnp.asarray(tree.x)
        size, energy = _look(system, x)
        if tree.settled:
            tree.plateau(energy)
        now = -math.inf if log_t == _BEFORE else log_t
        parts.append((np.array([now]), np.array([energy]), tree.tokens(tree.x)[None]))
        if tree.alive.sum() == 1 or log_t >= end - 1e-6:
            ended = "one cluster" if tree.alive.sum() == 1 else "log_t1"
            break
        if size <= BALANCED:
            ended = "balanced"
            break
        limits = Limits(
            jnp.asarray(near), jnp.asarray(merge), jnp.asarray(end), jnp.asarray(tree.apart)
        )
        s = stage(system, x, jnp.asarray(log_t), limits, solver, *tolerances)
        done = np.isfinite(np.asarray(s.log_t))
        parts.append(
            (
                np.asarray(s.log_t)[done],
                np.asarray(s.energy)[done],
                tree.tokens(np.asarray(s.x)[done]),
            )
        )
        if bool(s.failed):
            raise RuntimeError(
                f"`long_run` stopped at ln t = {float(s.log_t1):.6g} after {int(s.steps)} steps "
                f"of at most {STEPS} between two events; loosen rtol, or take another solver."
            )
        if tree.slopes is not None:
            tree.slopes = slopes(
                system, x, jnp.asarray(log_t), limits, solver, *tolerances, before=tree.slopes
            )
        log_t, length = float(s.log_t1), length + float(s.length)
        tree.x = np.array(s.x1)
        _events(tree, near, merge, log_t, _look(system, s.x1)[1])
    else:
        raise RuntimeError(f"`long_run` had no end after {stages} stages; take another solver.")

    # === what came of it
    tree.plateau(energy)
    logs, energies, ys = (np.concatenate(part) for part in zip(*parts, strict=True))
    return LongRun(
        merges=tree.merges(y if gradients else None),
        energy=np.array(tree.energy),
        levels=np.array(tree.levels),
        log_t=logs,
        energies=energies,
        ys=ys,
        log_t1=now,
        y1=tree.tokens(tree.x),
        angles=tree.angles(),
        near=near,
        merge=merge,
        length=length,
        ended=ended,
    )


def _system(tree: Tree, beta: float, rate: float, softmax: bool) -> System:
    masses, alive = jnp.asarray(tree.masses), jnp.asarray(tree.alive)
    return System(masses, alive, jnp.asarray(beta), jnp.asarray(rate), softmax)


@compiled
def _measured(system: System, x: jax.Array) -> tuple[jax.Array, jax.Array]:
    return system.velocity(x)[1], system.energy(x)


def _look(system: System, x: jax.Array) -> tuple[float, float]:
    size, energy = _measured(system, x)
    return float(size), float(energy)


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
