"""Sets in which runs stay for long and between which they hop: a Markov model of trajectories, by deeptime."""

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from ..core.checks import instance, number, real, shaped, whole
from ..core.types import Numbers, Scalar
from ..linearisation import check_field
from ..model import AttentionField
from ._invariants import Invariants, unit
from ._kinds import described, shape_of

_COORDINATES = 6  # slow ones that states are told apart in
_SWEEPS = 500  # of k-means
_DISTINCT = 1e-9


@dataclass(frozen=True, eq=False)
class Metastable:
    r"""What [`metastable`][attnflow.attractors.metastable] returns; printed, a table.

    **Attributes:**

    - `shares`: the stationary probability of each set, the largest first, `(sets,)`.
    - `time_scales`: implied, $-\tau / \ln \lambda_k$ of the eigenvalues below one of the Markov model, the slowest
      first, in the units of `every`; as many as there are microstates less one.
    - `transition`: between the sets, over the lag time, `(sets, sets)`; rows sum to one.
    - `labels`: the set of each state, `(runs, times)`; -1 for those that are in no set.
    - `examples`: a state from the most frequent microstate of each set, `(sets, tokens, dim)`.
    - `shapes`: what these are called, such as `"polarised 5:3"`.
    - `lag`: the lag time.
    - `covered`: the part of all states that are in a set: those that are left and come back to.
    """

    shares: Float[np.ndarray, " sets"]
    time_scales: Float[np.ndarray, " scales"]
    transition: Float[np.ndarray, "sets sets"]
    labels: Int[np.ndarray, "runs times"]
    examples: Float[np.ndarray, "sets tokens dim"]
    shapes: tuple[str, ...]
    lag: float
    covered: float

    def __str__(self) -> str:
        lines = [
            f"{len(self.shares)} metastable sets by a Markov model of lag {self.lag:g}; {self.covered:.2%} of states"
        ]
        for k, (share, shape) in enumerate(zip(self.shares, self.shapes, strict=True)):
            stay = self.transition[k, k]
            lines.append(f"{share:9.4g}  stays {stay:.4f}  {shape}")
        slow = ", ".join(f"{scale:.4g}" for scale in self.time_scales[: len(self.shares) + 1])
        return "\n".join([*lines, f"time scales {slow}"])


def metastable(
    field: AttentionField,
    ys: Numbers,
    *,
    every: Scalar,
    lag: int = 1,
    sets: int | None = None,
    microstates: int = 100,
    seed: int = 0,
) -> Metastable:
    r"""Sets in which trajectories stay for long, their stationary shares, and the time scales between them.

    States are described by what symmetries of the field leave alone (Gram matrices, as in
    [`find`][attnflow.attractors.find]), so that a state and its rotated or relabelled copies are one. Of these
    numbers the slowest combinations are taken (time-lagged independent components), k-means makes microstates of
    them, and a reversible Markov model of the hops between microstates has eigenvalues $\lambda_k$, time scales
    $-\tau/\ln\lambda_k$ and, by PCCA+, the sets. All of this is deeptime's (Hoffmann et al. 2021, Mach. Learn.: Sci.
    Technol. 3, 015009).

    The model is of runs that go back and forth, as noise has them: a set that is never come back to is in none (see
    `covered`). For what holds still without noise see the spectra of [`find`][attnflow.attractors.find] and the slow
    modes of [`growth`][attnflow.attractors.growth].

    **Arguments:**

    - `field`: that of the runs; its symmetries say which states are one.
    - `ys`: tokens at evenly spaced times, `(runs, times, tokens, dim)`.
    - `every`: the time between two of them.
    - `lag`: the lag of the model, in steps of `every`: time scales should not depend on it.
    - `sets`: how many, 2 at least; by default as many as the widest gap between time scales says.
    - `microstates`: of k-means; no more than there are different states.
    - `seed`: of k-means.

    **Returns:**

    A [`Metastable`][attnflow.attractors.Metastable].

    **Raises:**

    - `ValueError`: bad arguments, or runs that do not go back and forth.
    - `ImportError`: deeptime is not installed (`pip install 'attnflow[metastable]'`).

    ```python
    noise = af.Noise(independent=0.5)
    runs = af.ensemble.run(
        field, lambda key: sphere.random(key, (4,)), number=50, key=jax.random.key(0), t1=200.0,
        ts=jnp.arange(20.0, 200.0, 0.5), noise=noise,
    )
    print(af.attractors.metastable(field, runs.ys, every=0.5, lag=4))
    ```
    """
    # === check arguments
    instance("field", field, AttentionField, "an AttentionField")
    check_field("field", field)
    states = np.asarray(real("ys", ys))
    shaped("ys", states.shape, ("runs", "times", "tokens", field.dim))
    step = number("every", every, above=0.0)
    runs, times = states.shape[:2]
    if not 1 <= whole("lag", lag) < times:
        raise ValueError(
            f"`lag` must be below the number of times; got {lag} and {times} times. Save more often or longer."
        )
    wanted = None if sets is None else whole("sets", sets)
    if wanted is not None and wanted < 2:
        raise ValueError(f"`sets` must be 2 at least; got {wanted}.")
    many, seed = whole("microstates", microstates), int(number("seed", seed, least=0))
    if find_spec("deeptime") is None:
        raise ImportError(
            "metastable sets need deeptime, not installed here: pip install 'attnflow[metastable]'."
        )
    flat = states.reshape(-1, *states.shape[2:])
    if not np.all(np.isfinite(flat)):
        raise ValueError(
            "`ys` must be finite; it holds NaN or infinity. Leave out runs that failed."
        )

    # === run
    features = Invariants(field, 0.0, flat[0])(flat).reshape(runs, times, -1)
    micro = _microstates(features, lag, many, seed)
    model, inner = _markov(micro, lag)
    scales = np.asarray(model.timescales(), np.float64) * step
    count = _sets(scales, model.n_states) if wanted is None else wanted
    if count > model.n_states:
        raise ValueError(
            f"`sets` must be at most the number of microstates that runs come back to, {model.n_states}; got {count}."
        )
    grouped = model.pcca(count)
    weight = np.asarray(grouped.coarse_grained_stationary_probability)
    order = np.argsort(-weight, kind="stable")
    member = np.asarray(grouped.memberships)[:, order]
    of_micro = np.full(micro.max() + 1, -1)
    of_micro[inner] = np.argmax(member, axis=1)
    labels = of_micro[micro]
    firm = np.zeros((micro.max() + 1, count))
    firm[inner] = member * np.asarray(model.stationary_distribution)[:, None]
    middles = [int(np.argmax(firm[micro.ravel(), k])) for k in range(count)]
    examples = flat[middles]
    shapes = [shape_of(x) for x in unit(field.manifold, examples)]
    return Metastable(
        shares=weight[order],
        time_scales=scales,
        transition=np.asarray(grouped.coarse_grained_transition_matrix)[np.ix_(order, order)],
        labels=labels,
        examples=np.asarray(examples, np.float64),
        shapes=tuple(f"{shape.name} {described(shape)}" for shape in shapes),
        lag=lag * step,
        covered=float(np.mean(labels >= 0)),
    )


def _microstates(features: np.ndarray, lag: int, many: int, seed: int) -> np.ndarray:
    """The number of each state's microstate, `(runs, times)`: k-means in the slowest coordinates."""
    from deeptime.clustering import KMeans  # pyright: ignore[reportMissingImports]
    from deeptime.decomposition import TICA  # pyright: ignore[reportMissingImports]

    width = features.reshape(-1, features.shape[-1]).std(axis=0)
    moving = features[..., width > _DISTINCT]
    if not moving.shape[-1]:
        raise ValueError("`ys` must change: all states are one up to symmetries.")
    trajectories = list(moving)
    slow: Any = TICA(lagtime=lag, dim=min(_COORDINATES, moving.shape[-1]), scaling="kinetic_map")
    reduced: Any = slow.fit(trajectories, lagtime=lag).fetch_model()
    coordinates = np.stack([np.asarray(reduced.transform(part)) for part in trajectories])
    flat = coordinates.reshape(-1, coordinates.shape[-1])
    distinct = len(np.unique(np.round(flat, 9), axis=0))
    if distinct < 2:
        raise ValueError("`ys` must change: all states are one up to symmetries.")
    fixed: Any = seed + 1  # its signature says a Boolean, its page a number too
    clusters: Any = KMeans(min(many, distinct), max_iter=_SWEEPS, fixed_seed=fixed)
    fitted: Any = clusters.fit(flat).fetch_model()
    return np.asarray(fitted.transform(flat)).reshape(coordinates.shape[:2])


def _markov(micro: np.ndarray, lag: int) -> tuple[Any, np.ndarray]:
    """The model of hops within the largest set of microstates that are left and come back to; and which these are."""
    from deeptime.markov import TransitionCountEstimator  # pyright: ignore[reportMissingImports]
    from deeptime.markov.msm import MaximumLikelihoodMSM  # pyright: ignore[reportMissingImports]

    counted: Any = TransitionCountEstimator(lag, "sliding").fit_fetch(list(micro))
    connected: Any = counted.submodel_largest()
    if connected.n_states < 2:
        raise ValueError(
            "`ys` must go back and forth between states; these runs come back to none. Give runs with "
            "noise, or longer ones."
        )
    model: Any = MaximumLikelihoodMSM(reversible=True).fit_fetch(connected)
    return model, np.asarray(connected.state_symbols)


def _sets(scales: np.ndarray, states: int) -> int:
    """One set more than there are time scales above the widest gap."""
    good = scales[np.isfinite(scales) & (scales > 0)]
    if len(good) < 2:
        return min(2, states)
    gaps = good[:-1] / good[1:]
    return int(np.argmax(gaps[: max(1, len(gaps) // 2)])) + 2
