"""Attractors against a parameter of the field: shares value by value, matched, and where each is born and dies."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field as attribute
from typing import Unpack

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from ..core.checks import instance, number as a_number, numbers as numbers_of
from ..core.types import Numbers, Scalar
from ..linearisation import equilibrium
from ..model import AttentionField
from ._branch import branch
from ._branches import SpecialPoint
from ._ends import Starts
from ._find import FindOptions, find
from ._found import Attractor, Attractors
from ._invariants import Invariants
from ._parameter import Family, family_of

_SAME = 1e-3
_FAR = 0.5  # radians that an attractor may move from one value to the next


@dataclass(frozen=True, eq=False)
class Track:
    """One attractor from value to value.

    **Attributes:**

    - `kind`, `masses`: as of an [`Attractor`][attnflow.attractors.Attractor], where it is first met.
    - `rows`: its row at each value, `None` where no start ended there.
    - `share`, `low`, `high`: with the 95 % interval, `(values,)`; zero, from 0 up to the interval's end, where no
      start ended there.
    - `born`, `died`: the [`SpecialPoint`][attnflow.attractors.SpecialPoint] at which its equilibrium becomes
      stable, and stops being so, between the values where it is met and where not; `None` where its branch is
      stable to the next value and no start ended there, at either end of the values, or where it is no equilibrium.
    """

    kind: str
    masses: tuple[int, ...]
    rows: tuple[Attractor | None, ...]
    share: Float[np.ndarray, " values"]
    low: Float[np.ndarray, " values"]
    high: Float[np.ndarray, " values"]
    born: SpecialPoint | None
    died: SpecialPoint | None


@dataclass(frozen=True, eq=False)
class Along:
    """What [`along`][attnflow.attractors.along] returns; printed, a table.

    **Attributes:**

    - `values`: of the parameter, `(values,)`.
    - `found`: the [`Attractors`][attnflow.attractors.Attractors] at each.
    - `tracks`: a [`Track`][attnflow.attractors.Track] each, the largest share first; the object goes through them.
    """

    values: Float[np.ndarray, " values"]
    found: tuple[Attractors, ...]
    tracks: tuple[Track, ...]

    def __iter__(self) -> Iterator[Track]:
        return iter(self.tracks)

    def __len__(self) -> int:
        return len(self.tracks)

    def __getitem__(self, index: int | np.integer) -> Track:
        return self.tracks[index]

    def __str__(self) -> str:
        lines = [f"{len(self.values)} values, {len(self.tracks)} attractors"]
        lines.append(" " * 22 + "".join(f"{value:9.4g}" for value in self.values))
        for track in self.tracks:
            name = f"{track.kind} {':'.join(map(str, track.masses))}"
            line = f"{name[:21]:<22}" + "".join(f"{share:9.4g}" for share in track.share)
            for word, point in (("born", track.born), ("dies", track.died)):
                line += "" if point is None else f"  {word} at {point.value:.10g} ({point.kind})"
            lines.append(line)
        return "\n".join(lines)


@dataclass
class _Open:
    """A track while it is made."""

    rows: list[Attractor | None] = attribute(default_factory=list)

    @property
    def last(self) -> Attractor:
        return next(row for row in reversed(self.rows) if row is not None)


def along(
    field: AttentionField,
    starts: Starts,
    parameter: Callable[..., object],
    values: Numbers,
    *,
    t1: Scalar,
    number: int | None = None,
    key: Key[Array, ""] | None = None,
    **options: Unpack[FindOptions],
) -> Along:
    r"""Shares of attractors against a parameter of the field, each followed from value to value.

    At each value [`find`][attnflow.attractors.find] runs the same starts. An attractor is that of the value before
    where the equilibrium, polished in the field of the next value, is one of those found there up to symmetries; cycles
    and the rest are matched by kind and masses. Where one comes up or is gone, its branch of equilibria is followed
    between the two values ([`branch`][attnflow.attractors.branch]), and the first point at which its stability changes
    is where it is born or dies. Where the branch is stable all the way, no start has ended there, and the share's
    interval says how much that means.

    **Arguments:**

    - `field`, `parameter`: as for `branch`: the parameter is a function of the value that returns a field, of field and
      value, or a leaf.
    - `starts`, `number`, `key`, `t1` and integrator keywords: as for `find`.
    - `values`: in the order in which they are visited, two at least, increasing or decreasing.

    **Returns:**

    An [`Along`][attnflow.attractors.Along]: `values`, `found`, `tracks`. [`attnflow.plot.attractors_along`][] draws it.

    **Raises:**

    `ValueError` for bad arguments.

    ```python
    sphere = af.Sphere(3)

    def held(beta):
        U = jnp.diag(jnp.array([1.0, 0.5, 0.5]))
        return af.AttentionField(sphere, P=beta * jnp.eye(3), U=U, scale=1.0)

    found = af.attractors.along(
        held(1.0), lambda key: sphere.random(key, (4,)), held, [0.3, 1.0, 3.0],
        number=200, key=jax.random.key(0), t1=100.0,
    )
    print(found)
    ```
    """
    instance("field", field, AttentionField, "an AttentionField")
    places = np.asarray(numbers_of("values", values), np.float64).ravel()
    steps = np.diff(places)
    if len(places) < 2 or not (np.all(steps > 0) or np.all(steps < 0)):
        raise ValueError(
            f"`values` must be two numbers at least, increasing or decreasing; got {places}."
        )
    end = a_number("t1", t1)
    family, _ = family_of(field, parameter, float(places[0]))
    found: list[Attractors] = []
    tracks: list[_Open] = []
    for k, value in enumerate(places):
        here = family(jnp.asarray(value))
        got = find(here, starts, t1=end, number=number, key=key, progress=False, **options)
        found.append(got)
        left = list(got.rows)
        for track in tracks:
            row = _match(here, track.last, left)
            track.rows.append(row)
            left = [other for other in left if other is not row]
        tracks += [_Open([None] * k + [row]) for row in left]
    done = [_track(family, places, found, track) for track in tracks]
    done.sort(key=lambda track: -float(track.share.max()))
    return Along(places, tuple(found), tuple(done))


def _match(field: AttentionField, row: Attractor, among: list[Attractor]) -> Attractor | None:
    """The row of these that continues another, one value before."""
    like = [other for other in among if (other.kind == "cycle") == (row.kind == "cycle")]
    if row.kind in ("cycle", "no rest") or not row.spectrum.at_rest:
        alike = [o for o in like if (o.kind, o.masses) == (row.kind, row.masses)]
        return alike[0] if alike else None
    rest = equilibrium(field, jnp.asarray(row.state), throw=False)
    if not rest.converged or rest.moved > _FAR:
        return None
    invariants = Invariants(field, 0.0, np.asarray(row.start))
    wanted = invariants(np.asarray(rest.y)[None])[0]
    for other in like:
        off = np.abs(invariants(other.state[None])[0] - wanted).max(initial=0)
        if other.spectrum.at_rest and off <= _SAME:
            return other
    return None


def _track(family: Family, values: np.ndarray, found: list[Attractors], track: _Open) -> Track:
    rows = track.rows
    met = [k for k, row in enumerate(rows) if row is not None]
    none = np.array([3.8414588 / (got.number + 3.8414588) for got in found])
    first = rows[met[0]]
    assert first is not None
    born = died = None
    if met[0] > 0:
        born = _change(family, first, values[met[0]], values[met[0] - 1])
    if met[-1] < len(values) - 1:
        died = _change(family, track.last, values[met[-1]], values[met[-1] + 1])
    return Track(
        kind=first.kind,
        masses=first.masses,
        rows=tuple(rows),
        share=np.array([0.0 if row is None else row.share for row in rows]),
        low=np.array([0.0 if row is None else row.low for row in rows]),
        high=np.array([none[k] if row is None else row.high for k, row in enumerate(rows)]),
        born=born,
        died=died,
    )


def _change(family: Family, row: Attractor, there: float, beyond: float) -> SpecialPoint | None:
    """Where the branch of a row's equilibrium changes stability first, from one value to the next."""
    if row.kind in ("cycle", "no rest") or row.spectrum.verdict != "stable":
        return None
    try:
        got = branch(
            family(jnp.asarray(there)), row.state, family, start=there,
            low=min(there, beyond), high=max(there, beyond), switch=0, orbits=0, steps=200,
        )  # fmt: skip
    except (RuntimeError, ValueError):
        return None
    points = [point for point in got.special if point.curve == 0]
    return min(points, key=lambda point: abs(point.value - there), default=None)
