"""Sums over trajectories with their gradients: groups one after another in a program, or on all cores outside one."""

import collections
import functools
import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.core
import jax.numpy as jnp
from jaxtyping import Array

from ..core.checks import is_concrete
from ..core.compiled import compiled
from ..core.machine import cores, one_blas_thread
from ..flow import Options
from ._backwards import MeanWork, Objective, TapePlan, backwards, forwards
from ._prepare import prepared
from ._starts import Starts
from ._tape import Tape
from ._workers import in_thread


def summed(
    objective: Objective, many: Starts, options: Options, adjoint: Any, chunk: int | None = None
) -> Any:
    """The sum of an objective over trajectories by lanes; `None` where runs have to be worked side by side.

    `adjoint` is the one asked for by name: lanes have their own way back, and take forward derivatives along.
    """
    if many.recipe.noise is not None:
        return None
    if not (adjoint is None or isinstance(adjoint, diffrax.ForwardMode)):
        return None
    work = prepared(objective, many, options, chunk)
    if work is None:
        return None
    return (total if adjoint is None else total_forwards)(*work, many.number)


def total(work: MeanWork, plan: TapePlan, like: tuple[Any, Any], number: int) -> Any:
    """The sum of an objective over `number` trajectories, with its gradient in reverse mode.

    The sum is linear: where it is one number, its gradient is worked together with it, each group
    forwards once and backwards once. Of several numbers it is worked when their cotangents are known.
    `like` are the shapes of the sum and of a tape.
    """
    sum_like, tape_like = like
    leaves, structure = jax.tree.flatten(eqx.filter(work, eqx.is_array))
    rest = eqx.filter(work, eqx.is_array, inverse=True)

    def of(leaves):
        return eqx.combine(jax.tree.unflatten(structure, leaves), rest)

    def marked(asked):
        # Booleans at all leaves, of which some are no arrays.
        return eqx.combine(
            jax.tree.unflatten(structure, asked), jax.tree.map(lambda _: False, work)
        )

    @jax.custom_vjp
    def sums(leaves):
        return _all(of(leaves), plan, number, None)

    def ahead(given):
        leaves = [jnp.asarray(x.value) for x in given]
        asked = [x.perturbed and jnp.issubdtype(x.value.dtype, jnp.inexact) for x in given]
        marks = marked(asked)
        out = jax.tree.leaves(sum_like)
        if len(out) == 1 and out[0].shape == ():
            one = jax.tree.map(lambda s: jnp.ones(s.shape, s.dtype), sum_like)
            value, bars = _all(of(leaves), plan, number, (one, marks, tape_like))
            return value, (_listed(bars, asked), None)
        return _all(of(leaves), plan, number, None), (asked, leaves)

    def back(kept, cotangent):
        bars, leaves = kept
        cotangent = jax.tree.map(_instance, cotangent, is_leaf=_is_zero)
        if leaves is None:
            (factor,) = jax.tree.leaves(cotangent)
            return ([None if b is None else factor.astype(b.dtype) * b for b in bars],)
        asked = [bool(a) for a in bars]
        marks = marked(asked)
        _, bars = _all(of(leaves), plan, number, (cotangent, marks, tape_like))
        return (_listed(bars, asked),)

    sums.defvjp(ahead, back, symbolic_zeros=True)
    return sums(leaves)


def total_forwards(work: MeanWork, plan: TapePlan, like: Any, number: int) -> Any:
    """The same sum, for derivatives in forward mode: they go along with the lanes, on one core."""
    if is_concrete(*jax.tree.leaves(eqx.filter(work, eqx.is_array))):
        return _all(work, plan, number, None)
    return _in_one_program(work, plan, number)


@compiled
def _in_one_program(work: MeanWork, plan: TapePlan, number: int) -> Any:
    return _all(work, plan, number, None)


def _listed(bars: Any, asked: list[bool]) -> list[Any]:
    found = iter(jax.tree.leaves(bars))
    return [next(found) if a else None for a in asked]


def _is_zero(x: Any) -> bool:
    return isinstance(x, jax.custom_derivatives.SymbolicZero)


def _instance(x: Any) -> Array:
    return jnp.zeros(x.shape, x.dtype) if _is_zero(x) else x


# === groups


def _all(work: MeanWork, plan: TapePlan, number: int, gradient: tuple[Any, Any, Any] | None) -> Any:
    """All groups, added up in their order: the sum, and its derivative too where a gradient is asked for.

    `gradient` is the cotangent, which leaves are asked for, and the shape of a tape.
    """
    cotangent, asked, like = (None, None, None) if gradient is None else gradient
    groups = -(-number // plan.block)
    if is_concrete(*jax.tree.leaves(eqx.filter(work, eqx.is_array))):
        parts = _threaded(work, plan, number, cotangent, asked, like)
        return functools.reduce(lambda a, b: jax.tree.map(jnp.add, a, b), parts)

    def one(first, tape):
        count = jnp.minimum(plan.block, number - first)
        out, tape = _of_group(_rows(work, plan, first), plan, first, count, cotangent, asked, tape)
        return _in_place(out, work, plan, first, asked), tape

    tape = _blank(like)
    if groups == 1:
        return one(_int(0), tape)[0]

    def add(carry, first):
        sums, tape = carry
        part, tape = one(first, tape)
        return (jax.tree.map(jnp.add, sums, part), tape), None

    firsts = plan.block * jnp.arange(groups, dtype=jnp.int32)
    zero = _blank(jax.eval_shape(lambda tape: one(firsts[0], tape)[0], tape))
    return jax.lax.scan(add, (zero, tape), firsts)[0][0]


def _of_group(
    work: MeanWork,
    plan: TapePlan,
    first: Array,
    count: Array,
    cotangent: Any,
    asked: Any,
    tape: Tape | None,
) -> tuple[Any, Tape | None]:
    count = jnp.where(work.fine, count, 0)
    if tape is None:
        return _nan_unless(work.fine, forwards(work, plan, first, count)), None
    (sums, bars), tape = backwards(work, plan, first, count, cotangent, asked, tape)
    return (_nan_unless(work.fine, sums), bars), tape


def _nan_unless(fine: Array, sums: Any) -> Any:
    return jax.tree.map(lambda s: jnp.where(fine, s, jnp.nan), sums)


def _blank(like: Any) -> Any:
    return jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), like)


def _rows(work: MeanWork, plan: TapePlan, first: Any) -> MeanWork:
    """The data of a group, filled up by the last trajectory's."""

    def cut(x):
        at = jnp.minimum(first + jnp.arange(plan.block, dtype=jnp.int32), x.shape[0] - 1)
        return x[at]

    return MeanWork(work.objective, work.maker, jax.tree.map(cut, work.data), work.fine)


def _in_place(out: Any, work: MeanWork, plan: TapePlan, first: Any, asked: Any) -> Any:
    """What a group gives, with the derivative in its rows of data put where they were cut from."""
    if asked is None:
        return out
    sums, bars = out
    if not jax.tree.leaves(bars.data):
        return out

    def placed(bar, x):
        at = jnp.minimum(first + jnp.arange(plan.block, dtype=jnp.int32), x.shape[0] - 1)
        return jnp.zeros(x.shape, bar.dtype).at[at].add(bar)

    none = lambda x: x is None  # noqa: E731
    data = jax.tree.map(
        lambda b, x: None if b is None else placed(b, x), bars.data, work.data, is_leaf=none
    )
    return sums, eqx.tree_at(lambda w: w.data, bars, data)


def _threaded(
    work: MeanWork, plan: TapePlan, number: int, cotangent: Any, asked: Any, like: Any
) -> Iterator[Any]:
    """What each group gives, in their order; as many are under way as there are cores."""
    run_here: Callable[[Callable[[], Any]], Any] = in_thread()

    tapes: list[Tape] = []  # those that no group writes on

    def one(first):
        count, tape = _int(min(plan.block, number - first)), None
        if asked is not None:
            tape = tapes.pop() if tapes else _blank(like)
        rest = (work, plan, _int(first), count, cotangent, asked)
        part, tape = jax.block_until_ready(_group(rest, tape))
        if tape is not None:
            tapes.append(tape)
        return part

    firsts = iter(range(0, number, plan.block))
    if number <= plan.block:
        yield one(next(firsts))
        return
    with ThreadPoolExecutor(cores()) as pool, one_blas_thread():
        yield one(next(firsts))  # compiles
        begin = lambda first: pool.submit(run_here, functools.partial(one, first))  # noqa: E731
        under_way = collections.deque(map(begin, itertools.islice(firsts, cores() + 1)))
        while under_way:
            part = under_way.popleft().result()
            under_way.extend(map(begin, itertools.islice(firsts, 1)))
            yield part


@functools.partial(compiled, donate="all-except-first")
def _group(rest: Any, tape: Any) -> Any:
    work, plan, first, count, cotangent, asked = rest
    rows = _rows(work, plan, first)
    out, tape = _of_group(rows, plan, first, count, cotangent, asked, tape)
    return _in_place(out, work, plan, first, asked), tape


def _int(value: int) -> Array:
    return jnp.asarray(value, jnp.int32)
