"""One attractor from value to value: which row continues which, and where it is born and dies."""

from dataclasses import dataclass, field as attribute

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from ..linearisation import equilibrium, spectrum
from ..model import AttentionField
from ._branch import branch
from ._branches import SpecialPoint, Trace
from ._found import Attractor, Attractors
from ._invariants import Invariants, unit
from ._kinds import groups_of
from ._recognise import SAME
from ._shares import wilson
from ._varied import Varied

_FAR = 0.5  # radians that an attractor may move from one value to the next
_LAW = 1024  # quantiles of cosines by which states of different numbers of tokens are compared
_LIKE = 0.25  # how far such laws may be apart, on average
_MOVES = 0.1  # radians that polishing may move a token that was put where its cluster is


@dataclass(frozen=True)
class TokenPoint:
    """Where an attractor is born or dies as the number of tokens changes.

    Clusters stay where they are and share the tokens in the same proportions, as nearly as whole numbers
    can; the state is polished and its spectrum taken, one number of tokens after the other.

    **Attributes:**

    - `value`: the last number of tokens for which it is stable, and `beyond`, the next, for which it is not.
    - `kind`: what is there for `beyond` tokens: `"unstable"`, or `"gone"` where no equilibrium is near.
    """

    value: float
    beyond: float
    kind: str


@dataclass(frozen=True, eq=False)
class Track:
    """One attractor from value to value.

    **Attributes:**

    - `kind`, `masses`: as of an [`Attractor`][attnflow.attractors.Attractor], where it is first met.
    - `rows`: its row at each value, `None` where no start ended there.
    - `share`, `low`, `high`: with the 95 % interval, `(values,)`; zero, from 0 up to the interval's end, where no
      start ended there.
    - `born`, `died`: the [`SpecialPoint`][attnflow.attractors.SpecialPoint] at which its equilibrium becomes
      stable, and stops being so, between the values where it is met and where not, or, over numbers of tokens, a
      [`TokenPoint`][attnflow.attractors.TokenPoint]. `None` where it is stable up to the next value and no start
      ended there, at either end of the values, over noise, or where it is no equilibrium.
    - `curve`: its branch of equilibria over all values, stable or not; `None` where there is none.
    """

    kind: str
    masses: tuple[int, ...]
    rows: tuple[Attractor | None, ...]
    share: Float[np.ndarray, " values"]
    low: Float[np.ndarray, " values"]
    high: Float[np.ndarray, " values"]
    born: SpecialPoint | TokenPoint | None
    died: SpecialPoint | TokenPoint | None
    curve: Trace | None = None


@dataclass
class _Open:
    """A track while it is made."""

    rows: list[Attractor | None] = attribute(default_factory=list)

    @property
    def last(self) -> Attractor:
        return next(row for row in reversed(self.rows) if row is not None)


def tracks_of(given: Varied, values: np.ndarray, found: list[Attractors]) -> list[Track]:
    """All tracks, the largest share first."""
    open_: list[_Open] = []
    for k, (value, got) in enumerate(zip(values, found, strict=True)):
        field, left = given.field(float(value)), list(got.rows)
        matched = _by_law if given.what == "tokens" else _by_place
        next_ = matched(field, [track.last for track in open_], left)
        for track, row in zip(open_, next_, strict=True):
            track.rows.append(row)
            left = [other for other in left if other is not row]
        open_ += [_Open([None] * k + [row]) for row in left]
    done = [_track(given, values, found, track) for track in open_]
    done.sort(key=lambda track: -float(track.share.max()))
    return done


def _by_place(
    field: AttentionField, rows: list[Attractor], left: list[Attractor]
) -> list[Attractor | None]:
    """What continues each row: the row that its equilibrium, polished in this field, is one of up to symmetries."""
    out: list[Attractor | None] = []
    for row in rows:
        got = _placed(field, row, [o for o in left if all(o is not taken for taken in out)])
        out.append(got)
    return out


def _placed(field: AttentionField, row: Attractor, among: list[Attractor]) -> Attractor | None:
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
        if other.spectrum.at_rest and off <= SAME:
            return other
    return None


def _by_law(
    field: AttentionField, rows: list[Attractor], left: list[Attractor]
) -> list[Attractor | None]:
    """What continues each row of another number of tokens: the nearest in law of the same kind, nearest pairs first."""
    out: list[Attractor | None] = [None] * len(rows)
    before, here = ([_laws(field, row.state) for row in some] for some in (rows, left))
    pairs = [
        (_apart(before[i], here[j]), i, j)
        for i, row in enumerate(rows)
        for j, other in enumerate(left)
        if row.kind == other.kind
    ]
    taken = set()
    for away, i, j in sorted(pairs):
        if away <= _LIKE and out[i] is None and j not in taken:
            out[i] = left[j]
            taken.add(j)
    return out


def law_distance(field: AttentionField, a: np.ndarray, b: np.ndarray) -> float:
    r"""How far two states are apart up to symmetries, whatever their numbers of tokens.

    The largest mean difference of quantiles of $\langle y_i, y_j\rangle$, and of the same with $P$ and $U$, over all
    pairs of tokens: what depends on where clusters are and on which part of the tokens is in each, and on nothing else.
    """
    return _apart(_laws(field, a), _laws(field, b))


def _laws(field: AttentionField, y: np.ndarray) -> list[np.ndarray]:
    return Invariants(field, 0.0, y).laws(y, _LAW)


def _apart(a: list[np.ndarray], b: list[np.ndarray]) -> float:
    return max(float(np.mean(np.abs(u - v))) for u, v in zip(a, b, strict=True))


def _track(given: Varied, values: np.ndarray, found: list[Attractors], track: _Open) -> Track:
    rows = track.rows
    met = [k for k, row in enumerate(rows) if row is not None]
    first, last = rows[met[0]], rows[met[-1]]
    assert first is not None
    assert last is not None
    gaps = [
        (first, values[met[0]], values[met[0] - 1]) if met[0] > 0 else None,
        (last, values[met[-1]], values[met[-1] + 1]) if met[-1] < len(values) - 1 else None,
    ]
    curve, special = None, ()
    if given.what == "field" and _still(first):
        curve, special = _followed(given, first, float(values[met[0]]), values)
    born, died = (
        None
        if gap is None or not _still(gap[0])
        else _through_tokens(given, *gap)
        if given.what == "tokens"
        else _between(given, special, *gap)
        for gap in gaps
    )
    none = np.array([wilson(0, got.number)[1] for got in found])
    return Track(
        kind=first.kind,
        masses=first.masses,
        rows=tuple(rows),
        share=np.array([0.0 if row is None else row.share for row in rows]),
        low=np.array([0.0 if row is None else row.low for row in rows]),
        high=np.array([none[k] if row is None else row.high for k, row in enumerate(rows)]),
        born=born,
        died=died,
        curve=curve,
    )


def _still(row: Attractor) -> bool:
    return row.kind not in ("cycle", "no rest") and row.spectrum.verdict == "stable"


def _followed(
    given: Varied, row: Attractor, value: float, values: np.ndarray
) -> tuple[Trace | None, tuple[SpecialPoint, ...]]:
    """The branch of a row's equilibrium over all values, and where its stability changes."""
    try:
        got = branch(
            given.field(value), row.state, given.family, start=value, low=float(values.min()),
            high=float(values.max()), switch=0, orbits=0, steps=400,
        )  # fmt: skip
    except (RuntimeError, ValueError):
        return None, ()
    return got.curves[0], tuple(point for point in got.special if point.curve == 0)


def _between(
    given: Varied, special: tuple[SpecialPoint, ...], row: Attractor, there: float, beyond: float
) -> SpecialPoint | None:
    """The first change of stability on the way from a row's value to the next one.

    Of the branch over all values; where that has none there (it may have turned back before), of the row's own.
    """
    low, high = min(there, beyond), max(there, beyond)
    points = [point for point in special if low <= point.value <= high]
    if not points:
        _, own = _followed(given, row, there, np.array([low, high]))
        points = list(own)
    return min(points, key=lambda point: abs(point.value - there), default=None)


def _through_tokens(
    given: Varied, row: Attractor, there: float, beyond: float
) -> TokenPoint | None:
    """The first number of tokens, on the way from one to another, for which a row's clusters do not stay."""
    groups = groups_of(unit(given.field(there).manifold, row.state[None])[0])
    if len(groups) == len(row.state) > 1:
        return None  # all apart: where one more would be is not known
    centres = np.stack([row.state[group[0]] for group in groups])
    masses = np.array([len(group) for group in groups])
    step = 1 if beyond > there else -1
    for tokens in range(int(there) + step, int(beyond) + step, step):
        kind = "gone"
        if tokens >= len(groups):
            field = given.field(float(tokens))
            state = np.repeat(centres, _apportioned(masses, tokens), axis=0)
            rest = equilibrium(field, jnp.asarray(state), throw=False)
            if rest.converged and rest.moved <= _MOVES:
                verdict = spectrum(field, 0.0, rest.y).verdict
                kind = "stable" if verdict == "stable" else "unstable"
        if kind != "stable":
            return TokenPoint(float(tokens - step), float(tokens), kind)
    return None


def _apportioned(masses: np.ndarray, tokens: int) -> np.ndarray:
    """Masses in the same proportions that add up to `tokens`, one each at least: largest remainders get the rest."""
    wanted = masses * tokens / masses.sum()
    got = np.maximum(1, np.floor(wanted).astype(int))
    while got.sum() < tokens:
        got[int(np.argmax(wanted - got))] += 1
    while got.sum() > tokens:
        got[int(np.argmin(np.where(got > 1, wanted - got, np.inf)))] -= 1
    return got
