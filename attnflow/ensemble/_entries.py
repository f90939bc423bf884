"""A traced program worked entry by entry: every number in it becomes a vector of lanes.

Kernels for accelerators know arrays of a few shapes alone, and products of tiny matrices not at all. Here
an array of shape `(a, b)` is a NumPy array of that shape whose entries are arrays of one *tile* of lanes,
or numbers that all lanes share, or numbers known while tracing. Products and sums are written out, and
nothing is left of reshapes, masks and slices.
"""

import functools
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

# What may be worked with one number for all lanes; of the others scalar units have none.
_CHEAP = frozenset((
    "add", "sub", "mul", "neg", "max", "min", "eq", "ne", "lt", "le", "gt", "ge", "and", "or", "not", "select_n",
))  # fmt: skip
_PLAIN = _CHEAP | {
    "div", "rem", "abs", "sign", "exp", "log", "log1p", "sqrt", "rsqrt", "sin", "cos", "tan", "tanh", "pow",
    "integer_pow", "square", "floor", "ceil", "clamp", "convert_element_type", "is_finite", "add_any",
}  # fmt: skip
_SAME = frozenset(["stop_gradient", "copy", "copy_p", "optimization_barrier"])
_CALLS = {
    "jit": "jaxpr",
    "pjit": "jaxpr",
    "closed_call": "call_jaxpr",
    "core_call": "call_jaxpr",
    "custom_jvp_call": "call_jaxpr",
    "custom_vjp_call": "call_jaxpr",
    "remat2": "jaxpr",
    "checkpoint": "jaxpr",
}
_REDUCE = {
    "reduce_sum": lax.add,
    "reduce_max": lax.max,
    "reduce_min": lax.min,
    "reduce_or": lax.bitwise_or,
    "reduce_and": lax.bitwise_and,
}


def _moved(shape: Callable[[Any, dict[str, Any]], Any]) -> Callable[..., list[Any]]:
    return lambda values, params: [shape(values[0], params)]


def _in_dim(x: Any, params: dict[str, Any]) -> Any:
    place = params["broadcast_dimensions"]
    wide = [1] * len(params["shape"])
    for axis, size in zip(place, x.shape, strict=True):
        wide[axis] = size
    return np.broadcast_to(x.reshape(wide), params["shape"])


def _slice(x: Any, params: dict[str, Any]) -> Any:
    steps = params["strides"] or (1,) * x.ndim
    ends = zip(params["start_indices"], params["limit_indices"], steps, strict=True)
    return x[tuple(slice(*end) for end in ends)]


def _split(values: Sequence[Any], params: dict[str, Any]) -> list[Any]:
    return np.split(values[0], np.cumsum(params["sizes"])[:-1], axis=params["axis"])


# Primitives that move entries about.
_MOVES: dict[str, Callable[..., list[Any]]] = {
    "broadcast_in_dim": _moved(_in_dim),
    "reshape": _moved(lambda x, p: x.reshape(p["new_sizes"])),
    "transpose": _moved(lambda x, p: x.transpose(p["permutation"])),
    "squeeze": _moved(lambda x, p: np.squeeze(x, tuple(p["dimensions"]))),
    "rev": _moved(lambda x, p: np.flip(x, tuple(p["dimensions"]))),
    "slice": _moved(_slice),
    "concatenate": lambda values, p: [np.concatenate(values, axis=p["dimension"])],
    "stack": lambda values, p: [np.stack(values, axis=p["axis"])],
    "unstack": lambda values, p: list(np.moveaxis(values[0], p["axis"], 0)),
    "split": _split,
}


def refused(jaxpr: Any, known: Sequence[bool] | None = None) -> str | None:
    """The name of the first operation that cannot be worked entry by entry; `None` where all can.

    `known` says which of the arguments have values while tracing; what depends on these alone is no matter.
    """
    seen = dict(zip(jaxpr.invars, known or [False] * len(jaxpr.invars), strict=True))
    for e in jaxpr.eqns:
        flags = [hasattr(v, "val") or seen.get(v, True) for v in e.invars]
        name = e.primitive.name
        if all(flags):
            seen.update(dict.fromkeys(e.outvars, True))
            continue
        seen.update(dict.fromkeys(e.outvars, False))
        if name in _CALLS:
            inner = _inner(e)
            found = refused(inner.jaxpr, flags[-len(inner.jaxpr.invars) :])
            if found is not None:
                return found
        elif not _is_known_name(name):
            return name
    return None


def _is_known_name(name: str) -> bool:
    return (
        name in _PLAIN
        or name in _SAME
        or name in _MOVES
        or name in _REDUCE
        or name == "dot_general"
    )


def operations(jaxpr: Any) -> int:
    """How many operations on tiles a program becomes, about."""
    total = 0
    for e in jaxpr.eqns:
        name = e.primitive.name
        if name in _CALLS:
            total += operations(_inner(e).jaxpr)
        elif name == "dot_general":
            (left, _), _ = e.params["dimension_numbers"]
            shape = e.invars[0].aval.shape
            total += 2 * math.prod(e.outvars[0].aval.shape) * math.prod(shape[i] for i in left)
        elif name in _REDUCE:
            total += math.prod(e.invars[0].aval.shape)
        elif name in _PLAIN:
            total += math.prod(e.outvars[0].aval.shape)
    return total


def entries(values: Sequence[Any], shape: tuple[int, ...]) -> Any:
    """A NumPy array of `shape` whose entries are `values`."""
    out = np.empty(len(values), object)
    for i, value in enumerate(values):
        out[i] = value
    return out.reshape(shape)


def evaluate(
    closed: Any, arguments: Sequence[Any], tile: tuple[int, ...], *, single: bool = False
) -> list[Any]:
    """A program's results for arguments given by their entries.

    **Arguments:**

    - `closed`: what `jax.make_jaxpr` gives.
    - `arguments`: NumPy arrays: of numbers, where they are known; else of objects, see `entries`.
    - `tile`: the shape of a vector of lanes.
    - `single`: whether numbers of 64 bits, such as Python's where JAX has them, are worked in 32.
    """
    how = _How(tile, single)
    return _evaluate(closed.jaxpr, closed.consts, list(map(how.known, arguments)), how)


class _How(NamedTuple):
    """How entries are worked: the shape of a vector of lanes, and whether in 32 bits alone."""

    tile: tuple[int, ...]
    single: bool

    def dtype(self, dtype: Any) -> Any:
        return _SHORT.get(str(dtype), dtype) if self.single else dtype

    def known(self, x: Any) -> Any:
        """Numbers that are known, or entries as they are."""
        return x if x.dtype == object else np.asarray(x, self.dtype(x.dtype))


_SHORT = {"float64": np.dtype("float32"), "int64": np.dtype("int32"), "uint64": np.dtype("uint32")}


def _evaluate(jaxpr: Any, consts: Sequence[Any], arguments: Sequence[Any], how: _How) -> list[Any]:
    env: dict[Any, Any] = {}

    def read(v: Any) -> Any:
        return how.known(np.asarray(v.val, v.aval.dtype)) if hasattr(v, "val") else env[v]

    env.update(zip(jaxpr.constvars, map(how.known, map(np.asarray, consts)), strict=True))
    env.update(zip(jaxpr.invars, arguments, strict=True))
    for e in jaxpr.eqns:
        values = [read(v) for v in e.invars]
        for v, out in zip(e.outvars, _apply(e, values, how), strict=True):
            env[v] = out
    return [read(v) for v in jaxpr.outvars]


def _inner(e: Any) -> Any:
    return e.params[_CALLS[e.primitive.name]]


def _apply(e: Any, values: list[Any], how: _How) -> list[Any]:
    name, params = e.primitive.name, e.params
    if name in _CALLS:
        inner = _inner(e)
        consts = getattr(inner, "consts", ())
        return _evaluate(getattr(inner, "jaxpr", inner), consts, values, how)
    if name in _SAME:
        return values
    if all(v.dtype != object for v in values):
        with jax.ensure_compile_time_eval():
            out = e.primitive.bind(*map(jnp.asarray, values), **params)
            many = out if e.primitive.multiple_results else [out]
            return [how.known(np.asarray(x)) for x in many]
    if name in _MOVES:
        return _MOVES[name](values, params)
    if name in _REDUCE:
        return [_reduced(_REDUCE[name], values[0], params["axes"], how)]
    if name == "dot_general":
        return [_product(values[0], values[1], params["dimension_numbers"], how)]
    assert name in _PLAIN, f"{name} is among what `refused` names"
    work = _by_primitive(e, how)
    flat = zip(*(v.flat for v in np.broadcast_arrays(*values)), strict=True)
    return [entries([work(*one) for one in flat], e.outvars[0].aval.shape)]


def _is_known(x: Any) -> bool:
    return isinstance(x, np.generic)


def _one(function: Callable[..., Any], how: _How, *given: Any, cheap: bool = True) -> Any:
    """One operation on entries; one that is not `cheap` is worked on whole vectors."""
    if all(map(_is_known, given)):
        with jax.ensure_compile_time_eval():
            return how.known(np.asarray(function(*map(jnp.asarray, given))))[()]
    if not cheap or any(x.shape == how.tile for x in given):
        return function(*(_wide(x, how.tile) for x in given))
    return function(*(jnp.asarray(x) for x in given))


def _by_primitive(e: Any, how: _How) -> Callable[..., Any]:
    """The operation of an equation, on entries."""
    name, bind = e.primitive.name, functools.partial(e.primitive.bind, **e.params)
    if name == "select_n":

        def select(which: Any, *cases: Any) -> Any:
            if _is_known(which):
                return cases[int(which)]
            return _one(bind, how, which, *cases)

        return select
    if name == "convert_element_type":
        kind = how.dtype(e.params["new_dtype"])
        bind = functools.partial(e.primitive.bind, **{**e.params, "new_dtype": kind})
        return lambda x: x if x.dtype == kind else _one(bind, how, x)
    return functools.partial(_one, bind, how, cheap=name in _CHEAP)


def _wide(x: Any, tile: Any) -> Any:
    if _is_known(x):
        return lax.full(tile, x, x.dtype)
    return x if x.shape == tile else lax.broadcast_in_dim(x, tile, ())


def _reduced(function: Any, x: Any, axes: Sequence[int], how: _How) -> Any:
    kept = [i for i in range(x.ndim) if i not in axes]
    shape = tuple(x.shape[i] for i in kept)
    rows = x.transpose(*kept, *axes).reshape(math.prod(shape), -1)
    return entries([_chained(function, row, how) for row in rows], shape)


def _chained(function: Any, row: Any, how: _How) -> Any:
    row = list(row)
    if function is lax.max:  # a masked logit is less than any other
        finite = [x for x in row if not (_is_known(x) and np.isneginf(x))]
        row = finite if finite else row[:1]
    return functools.reduce(lambda a, b: _one(function, how, a, b), row)


def _product(a: Any, b: Any, dimensions: Any, how: _How) -> Any:
    (left, right), (over, beside) = dimensions
    a_free = [i for i in range(a.ndim) if i not in (*left, *over)]
    b_free = [i for i in range(b.ndim) if i not in (*right, *beside)]
    batch = tuple(a.shape[i] for i in over)
    shape = (*batch, *(a.shape[i] for i in a_free), *(b.shape[i] for i in b_free))
    n = math.prod(batch)
    rows = a.transpose(*over, *a_free, *left).reshape(n, math.prod(a.shape[i] for i in a_free), -1)
    columns = b.transpose(*beside, *b_free, *right)
    columns = columns.reshape(n, math.prod(b.shape[i] for i in b_free), -1)
    times = functools.partial(_one, lax.mul, how)
    out = []
    for k, i, j in itertools.product(range(n), range(rows.shape[1]), range(columns.shape[1])):
        # A weight that is known to be zero, of a masked pair, adds nothing: it is left out.
        pairs = zip(rows[k, i], columns[k, j], strict=True)
        terms = [times(x, y) for x, y in pairs if not (_is_zero(x) or _is_zero(y))]
        zero = _zero_of(rows, columns)
        out.append(_chained(lax.add, terms, how) if terms else zero)
    return entries(cast(list[Any], out), shape)


def _is_zero(x: Any) -> bool:
    return _is_known(x) and x == 0


def _zero_of(*arrays: Any) -> Any:
    return np.zeros((), next(x.dtype for a in arrays for x in a.flat))[()]
