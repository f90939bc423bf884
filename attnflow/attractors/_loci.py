"""Special points in two parameters: curves of folds, crossings and Hopf points in a plane."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..core.checks import floating, number, numbers as numbers_of
from ..core.recognised import recognised
from ..core.types import Numbers, Scalar
from ..linearisation import check_field, equilibrium
from ..model import AttentionField
from ._branch import branch
from ._branches import SpecialPoint


class Slice(eqx.Module):
    """A field of two values with the second one given: one compiled program serves all."""

    function: Callable[..., Any]
    second: Float[Array, ""]

    def __call__(self, value: Array) -> AttentionField:
        return self.function(value, self.second.astype(value.dtype))


@dataclass(frozen=True, eq=False)
class Locus:
    """A special point, followed in a second parameter.

    **Attributes:**

    - `kind`: as of a [`SpecialPoint`][attnflow.attractors.SpecialPoint].
    - `second`: values of the second parameter at which it is there, `(n,)`, and `value`, the first one there, `(n,)`.
    - `points`: the special points themselves.
    """

    kind: str
    second: Float[np.ndarray, " n"]
    value: Float[np.ndarray, " n"]
    points: tuple[SpecialPoint, ...]

    def __str__(self) -> str:
        ends = f"{self.second[0]:g} to {self.second[-1]:g}"
        return f"{self.kind}: {len(self.value)} values, {ends}; at {self.value[0]:.10g} to {self.value[-1]:.10g}"


def loci(
    family: Callable[..., AttentionField],
    y: Numbers,
    values: Numbers,
    *,
    start: Scalar,
    low: Scalar,
    high: Scalar,
    switch: int = 1,
    steps: int = 400,
) -> tuple[Locus, ...]:
    r"""Curves of folds, pitchforks, transcritical and Hopf points in the plane of two parameters.

    At each value of the second parameter the branch in the first is followed ([`branch`][attnflow.attractors.branch],
    modulo symmetry, onto crossing curves as well), from the equilibrium at `start`, which is carried along. Special
    points of one kind are matched from value to value by how near they are in tokens and parameter; each is located as
    `branch` does. Curves that turn back in the second parameter end there: a cusp, say, where two folds meet.

    **Arguments:**

    - `family`: a function of the two values that returns an [`AttentionField`][].
    - `y`: tokens close to an equilibrium at `start` and the first of `values`, `(tokens, dim)`.
    - `values`: of the second parameter, in the order in which they are visited, `(n,)`.
    - `start`, `low`, `high`: where each branch starts in the first parameter, and its range.
    - `switch`, `steps`: as for `branch`.

    **Returns:**

    A [`Locus`][attnflow.attractors.Locus] each, those that live longest first.

    **Raises:**

    `ValueError` for bad arguments; `RuntimeError` where the equilibrium at `start` is lost.

    ```python
    circle = af.Sphere(2)

    def tilted(u, tilt):
        U = jnp.array([[1.0, 0.0], [0.0, 0.0]]) + u * jnp.diag(jnp.array([0.0, 1.0])) + tilt * jnp.eye(2, k=1)
        return af.AttentionField(
            circle, P=jnp.zeros((2, 2)), U=U, mask="causal", frozen=[True, False], scale=1.0
        )

    together = jnp.array([[1.0, 0.0], [1.0, 0.0]])
    # folds at 1 + (1 - tilt^2)^(1/2)
    af.attractors.loci(tilted, together, [0.4, 0.6, 0.8], start=1.5, low=1.2, high=2.5)
    ```
    """
    if not callable(family) or isinstance(family, AttentionField):
        raise ValueError(
            "`family` must be a function of two values that returns an AttentionField; "
            f"got {type(family).__name__}."
        )
    seconds = np.asarray(numbers_of("values", values), np.float64).ravel()
    if not len(seconds) or not np.all(np.isfinite(seconds)):
        raise ValueError(f"`values` must be finite numbers, one at least; got {seconds}.")
    begin = number("start", start)
    state = floating("y", y)
    function = recognised(family)
    tracks: list[list[tuple[float, SpecialPoint]]] = []
    for second in seconds:
        here = Slice(function, jnp.asarray(second, state.dtype))
        field = check_field("family(start, value)", here(jnp.asarray(begin, state.dtype)))
        state = equilibrium(field, field.manifold.project(state)).y
        got = branch(
            field,
            state,
            here,
            start=begin,
            low=low,
            high=high,
            switch=switch,
            steps=steps,
            orbits=0,
        )
        left = list(got.special)
        for track in sorted(tracks, key=lambda track: -len(track)):
            if track[-1][0] == second or not left:
                continue
            near = min(left, key=lambda point: _apart(point, track[-1][1]))
            if np.isfinite(_apart(near, track[-1][1])) and _latest(track, seconds, second):
                track.append((float(second), near))
                left.remove(near)
        tracks += [[(float(second), point)] for point in left]
    tracks.sort(key=lambda track: -len(track))
    return tuple(
        Locus(
            kind=track[0][1].kind,
            second=np.array([second for second, _ in track]),
            value=np.array([point.value for _, point in track]),
            points=tuple(point for _, point in track),
        )
        for track in tracks
    )


def _apart(one: SpecialPoint, other: SpecialPoint) -> float:
    """How far two special points are from one another; infinite for those of different kinds."""
    if one.kind != other.kind or one.multiplicity != other.multiplicity:
        return float("inf")
    gram = np.sort((one.y @ one.y.T).ravel()) - np.sort((other.y @ other.y.T).ravel())
    return abs(one.value - other.value) + float(np.abs(gram).max())


def _latest(track: list[tuple[float, SpecialPoint]], seconds: np.ndarray, now: float) -> bool:
    """Whether the track was there at the value before."""
    k = int(np.argmax(seconds == now))
    return bool(k > 0 and track[-1][0] == seconds[k - 1])
