"""Attractors against a parameter: shares value by value, matched, and where each is born and dies."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias, Unpack

import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key, Real

from ..core.checks import instance, number as a_number, numbers as numbers_of, whole
from ..core.types import Numbers, Scalar
from ..flow import Noise
from ..model import AttentionField
from ..records import progress as bar
from ..records.folders import Address
from ._along_store import AlongStore
from ._find import FindOptions
from ._found import Attractors
from ._merged import merged
from ._tracks import TokenPoint, Track, tracks_of
from ._varied import varied

# As of `find`; over numbers of tokens, a function of a key and the number.
StartsAlong: TypeAlias = (
    Real[ArrayLike, "starts tokens dim"]
    | Callable[[Key[Array, ""]], Float[Array, "tokens dim"]]
    | Callable[[Key[Array, ""], int], Float[Array, "tokens dim"]]
)


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
                if isinstance(point, TokenPoint):
                    line += f"  {word}: stable with {point.value:g} tokens, {point.kind} with {point.beyond:g}"
                elif point is not None:
                    line += f"  {word} at {point.value:.10g} ({point.kind})"
            lines.append(line)
        return "\n".join(lines)


def along(
    field: AttentionField,
    starts: StartsAlong,
    parameter: Callable[..., object] | Literal["tokens", "noise"],
    values: Numbers,
    *,
    t1: Scalar,
    number: int | None = None,
    key: Key[Array, ""] | None = None,
    noise: Noise | None = None,
    store: Address | None = None,
    shard: int = 2**15,
    progress: bool = True,
    **options: Unpack[FindOptions],
) -> Along:
    r"""Shares of attractors against a parameter, each attractor followed from value to value.

    At each value [`find`][attnflow.attractors.find] runs the same starts.

    - **A parameter of the field.** An attractor is that of the value before where the equilibrium, polished in the
      field of the next value, is one of those found there up to symmetries; cycles and the rest are matched by kind and
      masses. The branch of each is followed over all values ([`branch`][attnflow.attractors.branch]), and where an
      attractor comes up or is gone between two values, the first point of it at which stability changes is where it is
      born or dies. Where the branch is stable all the way, no start has ended there, and the share's interval says
      how much that means.
    - **The number of tokens**, `"tokens"`. States of different numbers of tokens are compared by what does not depend
      on it: kind, and the laws of cosines over pairs of tokens, in which parts of the tokens stand for masses;
      nearest pairs first, none farther than 1/4 on average. Births and deaths: the clusters stay and share
      another number of tokens in the same proportions, until the polished state is not stable.
    - **Noise**, `"noise"`. Values multiply `noise`. With noise no state is an equilibrium, and no share is one of
      starts that have come to rest. What is counted is where tokens are at `t1` under noise: in whose basin, which is
      where the field takes them from there without noise. Rows are those of the field without noise, the same at all
      values; nothing is born or dies. Shares then depend on `t1`, unless it is long against the time between hops
      ([`metastable`][attnflow.attractors.metastable]).

    **Arguments:**

    - `field`: an [`AttentionField`][].
    - `starts`, `number`, `key`, `t1` and integrator keywords: as for `find`. Over numbers of tokens a function of a
      key and the number. `dt0` is the step under noise, where there is noise.
    - `parameter`: `"tokens"`, `"noise"`, or as for `branch` a function of the value that returns a field, of field and
      value, or a leaf.
    - `values`: in the order in which they are visited, two at least, increasing or decreasing.
    - `noise`: a [`Noise`][attnflow.Noise]: of strength one for `"noise"`; with another parameter, noise as it is at
      each value. It needs a `key`.
    - `store`: a folder in which each shard is kept when it is done: the same call goes on where one was ended, and
      its result is the same, interrupted or not. [`stored`][attnflow.attractors.stored] says how much is there.
    - `shard`: how many starts of one value are run and counted at once; a shard is a file of the store.
    - `progress`: `False` for no bar on a terminal.

    **Returns:**

    An [`Along`][attnflow.attractors.Along]: `values`, `found`, `tracks`. [`attnflow.plot.attractors_along`][] draws it.

    **Raises:**

    `ValueError` for bad arguments, and for a store of another call.

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
    # === check arguments
    instance("field", field, AttentionField, "an AttentionField")
    if noise is not None:
        instance("noise", noise, Noise, "an attnflow.Noise, such as Noise(independent=0.1)")
    places = np.asarray(numbers_of("values", values), np.float64).ravel()
    steps = np.diff(places)
    if len(places) < 2 or not (np.all(steps > 0) or np.all(steps < 0)):
        raise ValueError(
            f"`values` must be two numbers at least, increasing or decreasing; got {places}."
        )
    size, end = whole("shard", shard), a_number("t1", t1)
    given = varied(field, starts, parameter, places, number, key, noise, end, dict(options))
    count = given.source(float(places[0])).number
    kept = None if store is None else AlongStore(store, given, places, count, size)

    # === run
    parts: list[list[Attractors]] = [[] for _ in places]
    firsts = range(0, count, size)
    with bar(total=len(places) * count, description="starts", unit="", show=progress) as shown:
        for k, value in enumerate(places):
            for j, first in enumerate(firsts):
                many = min(size, count - first)
                part = None if kept is None else kept.read(k, j)
                if part is None:
                    part = given.ends(float(value), first, many)
                    if kept is not None:
                        part = kept.write(k, j, part)
                parts[k].append(part)
                shown.update(many)
    found = [
        merged(given.field(float(value)), part) for value, part in zip(places, parts, strict=True)
    ]
    return Along(places, tuple(found), tuple(tracks_of(given, places, found)))
