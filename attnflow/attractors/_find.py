"""`find`: where starts end, and with which probability."""

from typing import Unpack

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

from ..core.checks import instance, number as a_number
from ..core.compiled import compiled
from ..core.types import Scalar
from ..flow import Integrator, StepOptions, merged, sort_options
from ..linearisation import check_field, check_state
from ..model import AttentionField
from ..records import progress as bar
from ._cycles import refuse_moving
from ._ends import Ends, Source, Starts, ends_of
from ._found import Attractor, Attractors
from ._recognise import UNDECIDED, Known, Recogniser
from ._shares import still_wanted, wilson

_REST, _CREEPS = 1e-6, 1e-3  # speeds, relative to that of what attention adds up
_ROUNDS = 3  # in which those not decided at t1 go on, each as long as the run was
_LOOKED_AT = 8  # starts, for the size of what attention adds up
_FIRST = 1024  # starts, where the number follows from a wanted precision
_MOST = 10**6


class FindOptions(StepOptions, total=False):
    """The keywords of [`find`][attnflow.attractors.find] beside its own: those of an integrator."""


def find(
    field: AttentionField,
    starts: Starts,
    *,
    t1: Scalar,
    number: int | None = None,
    key: Key[Array, ""] | None = None,
    t0: Scalar = 0.0,
    precision: float | None = None,
    progress: bool = True,
    integrator: Integrator | None = None,
    **options: Unpack[FindOptions],
) -> Attractors:
    r"""Where starts end, up to the symmetries of the field: each attractor with its share of starts.

    Starts run in an ensemble until no token moves faster than $10^{-6}$ (in units of what attention adds
    up), or to `t1`. An end is recognised by numbers that symmetries leave alone: entries of the
    Gram matrix and of its like with $P_\eta$ and $U_\eta$, sorted where tokens may change places. One of each sort is
    polished to an equilibrium ([`equilibrium`][attnflow.theory.equilibrium]), whose spectrum, by the exact
    Jacobian, decides whether it attracts. Ends that are not decided go on for three times as long; so do those at an
    equilibrium that repels, which had been passed at a small speed. Where there is no equilibrium, a
    closed orbit is looked for by first return and polished by shooting.

    **Arguments:**

    - `field`: an [`AttentionField`][] that time does not change, whose tokens stay on the manifold.
    - `starts`: `(starts, tokens, dim)`, or a sampler, a function of a key that returns tokens; the $i$-th is drawn
      from `jax.random.fold_in(key, i)`. They are run by the chunk, in memory that does not grow with their
      number but for a label (2 bytes) each.
    - `t1`, `t0`: end and beginning.
    - `number`, `key`: for a sampler.
    - `precision`: go on until the 95 % interval of every share is at most so much to either side; `number` is then
      the most (a million by default). As the number of starts is then random, intervals cover a little less.
    - `progress`: `False` for no bar on a terminal.
    - `integrator`, or its keywords (`rtol`, `atol`, `solver`, ...): see [`Integrator`][]. By default `rtol=1e-8`,
      `atol=1e-10` in float64, 1e-5 and 1e-6 in float32.

    **Returns:**

    An [`Attractors`][attnflow.attractors.Attractors]: rows with `kind`, `share`, `low`, `high`, `state`,
    `spectrum`. A row is certified by `af.certify.equilibrium(field, row.state)`, all of them are drawn by
    [`attnflow.plot.attractors`][].

    Limits. *Mathematical*: what is stable by its linearisation attracts; an equilibrium with an eigenvalue zero
    that no symmetry explains is "slow", whichever it is. *Convenience*: up to 256 rows; cycles are looked for
    from eight ends at most, and only those that attract are rows; orbits that turn with several frequencies
    are "no rest".

    **Raises:**

    `ValueError` for bad arguments: a field that changes in time or whose tokens leave the manifold, starts without
    `number` or `key`. Runs that fail are counted in `failed` and raise nothing.

    ```python
    sphere = af.Sphere(3)
    field = af.AttentionField(sphere, P=2.0 * jnp.eye(3), U=jnp.diag(jnp.array([1.0, 0.5, 0.5])))
    found = af.attractors.find(
        field, lambda key: sphere.random(key, (8,)), number=1000, key=jax.random.key(0), t1=100.0
    )
    print(found)
    found[0].kind, found[0].share, found[0].spectrum.verdict
    ```
    """
    # === check arguments
    instance("field", field, AttentionField, "an AttentionField")
    own, _ = sort_options("attractors.find", dict(options), FindOptions)
    if precision is not None:
        precision = a_number("precision", precision, above=0.0)
        if precision >= 1:
            raise ValueError(f"`precision` is of a share and must be below 1; got {precision:g}.")
    begin, end = a_number("t0", t0), a_number("t1", t1)
    if not end > begin:
        raise ValueError(f"`t1` must be after t0; got t0 = {begin:g} and t1 = {end:g}.")
    refuse_moving(field, begin)
    source = Source(field, starts, number, key, None if precision is None else _MOST)
    first = source.block(0, min(_LOOKED_AT, source.number))
    check_state(check_field("field", field), begin, _on_manifold(field, first[0]))
    double = source.dtype == np.float64
    usual = Integrator(rtol=1e-8, atol=1e-10) if double else Integrator(rtol=1e-5, atol=1e-6)
    how = merged(usual if integrator is None else integrator, own)
    size = _size(field, begin, first)
    rest = (_REST if double else 1e-4) * size
    span = end - begin
    recogniser = Recogniser(field, begin, first[0], rest, _CREEPS * size, span)

    # === run
    labels = np.zeros(0, np.int16)
    target = source.number if precision is None else min(_FIRST, source.number)
    with bar(total=source.number, description="starts", unit="", show=progress) as shown:
        while len(labels) < target:
            count = min(source.chunk, target - len(labels))
            block = source.block(len(labels), count)
            got = _decided(field, recogniser, block, begin, span, rest, how)
            _count(recogniser, got, block, len(labels))
            labels = np.concatenate([labels, got.astype(np.int16)])
            shown.update(count)
            if precision is not None and len(labels) == target:
                counts = [known.count for known in recogniser.known]
                more = still_wanted(counts, len(labels), precision)
                target = min(source.number, target + more)
    return _table(recogniser, labels, end)


def _decided(
    field: AttentionField, recogniser: Recogniser, block: np.ndarray, t0: float, span: float,
    rest: float, how: Integrator,
) -> np.ndarray:  # fmt: skip
    """The label of each start of a block; those undecided go on from where they are, without the end at rest."""
    ends = ends_of(field, block, t0, t0 + span, rest, how, {})
    labels = recogniser.classify(ends, last=False)
    ys = ends.ys.copy()
    for round_ in range(_ROUNDS + 1):
        todo = np.flatnonzero(labels == UNDECIDED)
        if not len(todo):
            break
        # Those that move fast after the last round, on their way from one place to another, have one more.
        last, final = round_ >= _ROUNDS - 1, round_ == _ROUNDS
        again = ends_of(field, ys[todo], t0, t0 + span, 0.0, how, {})
        ys[todo] = again.ys
        labels[todo] = recogniser.classify(Ends(*again), last=last, final=final)
    return labels


def _count(recogniser: Recogniser, labels: np.ndarray, block: np.ndarray, before: int) -> None:
    for k, known in enumerate(recogniser.known):
        mine = np.flatnonzero(labels == k)
        if len(mine) and known.start is None:
            known.start, known.first = block[mine[0]].copy(), before + int(mine[0])
        known.count += len(mine)


def _table(recogniser: Recogniser, labels: np.ndarray, t1: float) -> Attractors:
    rows = [k for k, known in enumerate(recogniser.known) if known.count]
    rows.sort(key=lambda k: (-recogniser.known[k].count, recogniser.known[k].first))
    place = np.full(len(recogniser.known) + 2, -1, np.int16)
    place[rows] = np.arange(len(rows), dtype=np.int16)
    return Attractors(
        rows=tuple(_row(recogniser.known[k], len(labels)) for k in rows),
        labels=np.where(labels < 0, np.int16(-1), place[labels]),
        number=len(labels),
        failed=int(np.sum(labels < 0)),
        t1=t1,
    )


def _row(known: Known, number: int) -> Attractor:
    low, high = wilson(known.count, number)
    assert known.start is not None
    return Attractor(
        kind=known.kind,  # pyright: ignore[reportArgumentType]
        shape=known.shape.name,
        masses=known.shape.masses,
        count=known.count,
        share=known.count / number,
        low=low,
        high=high,
        state=known.state,
        spectrum=known.spectrum,
        start=known.start,
        number=known.first,
        period=None if known.cycle is None else known.cycle.period,
        multipliers=None if known.cycle is None else known.cycle.multipliers,
    )


def _on_manifold(field: AttentionField, y: np.ndarray) -> Array:
    tokens = jnp.asarray(y)
    return field.manifold.project(tokens) if field.projected else tokens


@compiled
def _sizes(field: AttentionField, t: Array, ys: Array) -> Array:
    def of(y: Array) -> Array:
        A = field.total(t, y)
        return jnp.max(field.manifold.norm(field.normalisation.layer(field.manifold, t, y, A)))

    return jax.vmap(of)(ys)


def _size(field: AttentionField, t: float, ys: np.ndarray) -> float:
    """How large what attention adds up is, after normalisation: the unit of speeds."""
    # Always as many, so that fewer starts compile no program of their own.
    rows = ys[np.minimum(np.arange(_LOOKED_AT), len(ys) - 1)]
    sizes = np.asarray(_sizes(field, jnp.asarray(t, rows.dtype), jnp.asarray(rows)))
    return float(np.max(sizes[np.isfinite(sizes)], initial=np.finfo(np.float32).tiny))
