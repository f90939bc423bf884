"""A whole adaptive integration of small systems as one kernel: nothing leaves the chip between steps.

A block of systems fills a *tile* of lanes. It takes steps of the explicit pair, each lane its own, until its last
lane is at `t1`. Field, projection and step control are those of the plain path, worked entry by entry
(`_entries.py`). Pallas lowers it by Triton for CUDA and by Mosaic for TPU, and interprets it on a CPU.
"""

import math
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array

from ..flow import Problem, ProjectedSolver, inner_solver
from ._entries import entries, evaluate, operations, refused
from ._lanes import RUNNING, Lanes
from ._stages import Stepper
from ._step import decide, status_of

# A thread of CUDA for each system; the registers of a TPU are 8 by 128. Any will do where it is interpreted.
TILES = {"cuda": (128,), "tpu": (8, 128), "cpu": (32,)}
_MOST_OPERATIONS = 20_000


class Traced(NamedTuple):
    """The programs of one system, and which of the problem's leaves they use."""

    slope: Any
    project: Any
    decide: Any
    used: tuple[bool, ...]


def trace(stepper: Stepper, lanes: Lanes) -> tuple[Traced, list[Any], list[Any]]:
    """One system's programs; the problem's leaves, and whether each differs from system to system."""
    arrays, rest = eqx.partition(stepper.problem, eqx.is_array)
    leaves, structure = jax.tree.flatten(arrays)
    own = [axis is not None for axis in structure.flatten_up_to(stepper.axes)]
    like = [_like(x, mine) for x, mine in zip(leaves, own, strict=True)]
    t, y = _like(lanes.t, True), _like(lanes.y, True)
    control, control_structure = jax.tree.flatten(lanes.control)
    control = [_like(x, True) for x in control]

    def problem(leaves: list[Any]) -> Problem:
        return eqx.combine(jax.tree.unflatten(structure, leaves), rest)

    def slope(leaves, t, y):
        p = problem(leaves)
        return p.field(t, y, p.options.args)

    def project(leaves, y):
        solver: Any = problem(leaves).solver
        return solver.manifold.project(y) if isinstance(solver, ProjectedSolver) else y

    def after(leaves, t, tnext, y, y1, error, *control):
        p = problem(leaves)
        state = jax.tree.unflatten(control_structure, control)
        keep, t, tnext, _, state, fine, small, _ = decide(p, t, tnext, y, y1, error, state)
        return keep, t, tnext, fine, small, t >= p.options.t1, *jax.tree.leaves(state)

    programs = (
        jax.make_jaxpr(slope)(like, t, y),
        jax.make_jaxpr(project)(like, y),
        jax.make_jaxpr(after)(like, t, t, y, y, y, *control),
    )
    used = [False] * len(leaves)
    for closed in programs:
        mentioned = {v for e in closed.jaxpr.eqns for v in e.invars if not hasattr(v, "val")} | {
            v for v in closed.jaxpr.outvars if not hasattr(v, "val")
        }
        for i, v in enumerate(closed.jaxpr.invars[: len(leaves)]):
            used[i] |= v in mentioned
    return Traced(*programs, tuple(used)), leaves, own


def _like(x: Array, lanes: bool) -> Any:
    return jax.ShapeDtypeStruct(x.shape[1:] if lanes else x.shape, x.dtype)


def unfit(stepper: Stepper, lanes: Lanes, platform: str) -> str | None:
    """Why a problem is none for the kernel, in words; `None` where it is one. By types and shapes alone."""
    o = stepper.problem.options
    if o.ts is not None:
        return "`ts` is given, and it keeps ends alone"
    if stepper.problem.event is not None:
        return "`until` is given, and it ends at t1 alone"
    if not stepper.explicit:
        return (
            f"solver {type(inner_solver(stepper.problem.solver)).__name__} is not an explicit pair"
        )
    if lanes.jumped is not None:
        return "steps have to end where schedules jump or have kinks"
    if platform == "tpu" and o.t0.dtype == jnp.float64:
        return "TPUs have no float64; pass float32 tokens"
    traced, leaves, _ = trace(stepper, lanes)
    count = 0
    for closed in traced[:3]:
        name = refused(closed.jaxpr)
        if name is not None:
            return (
                f"the field, its schedules or the controller use `{name}`, which it does not know"
            )
        count += operations(closed.jaxpr)
    if count > _MOST_OPERATIONS:
        return f"a step has {count} operations a stage, and it is for {_MOST_OPERATIONS} at most"
    kinds = [x.dtype for x, used in zip(leaves, traced.used, strict=True) if used]
    kinds += [x.dtype for x in jax.tree.leaves(lanes.control)]
    if any(not (kind == jnp.bool_ or jnp.issubdtype(kind, jnp.floating)) for kind in kinds):
        return "the field or the controller hold whole numbers"
    return None


def integrate(stepper: Stepper, lanes: Lanes, platform: str, interpret: bool) -> Lanes:
    """All lanes at their ends; those that do not run stay as they are.

    **Arguments:**

    - `lanes`: so many that they fill tiles.
    - `platform`: `"cuda"`, `"tpu"` or `"cpu"`, which says how lanes lie.
    """
    from jax.experimental import pallas as pl

    traced, leaves, own = trace(stepper, lanes)
    body = _Body(stepper, lanes, traced, leaves, own, TILES[platform])
    tile, count = body.tile, lanes.t.shape[0]
    blocks = count // math.prod(tile)
    place = (0,) * (len(tile) - 1)

    def rows(n: int) -> Any:
        return pl.BlockSpec((n, *tile), lambda i: (0, i, *place))

    def shape(n: int, dtype: Any) -> Any:
        return jax.ShapeDtypeStruct((n, blocks * tile[0], *tile[1:]), dtype)

    numbers, values = body.operands(lanes)
    dtype, size = lanes.y.dtype, lanes.y[0].size
    settings: dict[str, Any] = {"interpret": interpret}
    every = pl.BlockSpec(numbers.shape, lambda i: (0,))
    if not interpret and platform == "cuda":
        from jax.experimental.pallas import triton

        settings["compiler_params"] = triton.CompilerParams(num_warps=4, num_stages=1)
    if not interpret and platform == "tpu":
        from jax.experimental.pallas import tpu

        every = pl.BlockSpec(memory_space=tpu.SMEM)
    out_values, out_counts = pl.pallas_call(
        body,
        grid=(blocks,),
        in_specs=[every, rows(values.shape[0]), rows(1)],
        out_specs=[rows(size + 1), rows(3)],
        out_shape=[shape(size + 1, dtype), shape(3, jnp.int32)],
        **settings,
    )(
        numbers,
        values.reshape(shape(values.shape[0], dtype).shape),
        lanes.status[None].reshape(shape(1, jnp.int32).shape),
    )
    out_values, out_counts = out_values.reshape(size + 1, count), out_counts.reshape(3, count)
    y = jnp.moveaxis(out_values[:size], 0, 1).reshape(lanes.y.shape)
    places = lambda s: (s.y, s.t, s.steps, s.accepted, s.status)  # noqa: E731
    return eqx.tree_at(places, lanes, (y, out_values[size], *out_counts))


class _Body:
    """The kernel itself, a function of references."""

    def __init__(self, stepper: Stepper, lanes: Lanes, traced: Traced, leaves, own, tile):
        self.traced, self.leaves, self.own, self.tile = traced, leaves, own, tile
        self.__name__ = "integration"
        self.shape, self.dtype = lanes.y.shape[1:], lanes.y.dtype
        self.most = stepper.problem.options.max_steps
        self.kinds = [x.dtype for x in jax.tree.leaves(lanes.control)]
        self.tableau = inner_solver(stepper.problem.solver).tableau
        s = self.stages = self.tableau.num_stages
        # Row i: what stage i adds to the stages after it, nearest first; to the result; to the error.
        table = np.zeros((s, s + 1))
        for i, row in enumerate(self.tableau.a_lower):
            for j, a in enumerate(row):
                table[j, i - j] = a
        table[:, s - 1], table[:, s] = self.tableau.b_sol, self.tableau.b_error
        self.table = table
        self.c = np.asarray(self.tableau.c, float)

    # === what goes in

    def operands(self, lanes: Lanes) -> tuple[Array, Array]:
        """Numbers that all lanes share, and those of each lane: `(numbers,)` and `(numbers, lanes)`."""
        shared = [jnp.asarray(self.table, self.dtype), jnp.asarray(self.c, self.dtype)]
        each = [lanes.y, *self._slope_of(lanes), lanes.t, lanes.tnext]
        each += jax.tree.leaves(lanes.control)
        for x, mine, used in zip(self.leaves, self.own, self.traced.used, strict=True):
            if used:
                (each if mine else shared).append(x)
        numbers = jnp.concatenate([x.reshape(-1).astype(self.dtype) for x in shared])
        columns = [x.reshape(x.shape[0], -1).astype(self.dtype).T for x in each]
        return numbers, jnp.concatenate(columns)

    def _slope_of(self, lanes: Lanes) -> list[Array]:
        return [lanes.solver_state] if self.tableau.fsal else []

    def _arguments(self, numbers: Any, values: Any, at: int) -> list[Any]:
        """The problem's leaves by their entries; those that are not used are left out."""
        out, first = [], self.table.size + self.c.size
        for x, mine, used in zip(self.leaves, self.own, self.traced.used, strict=True):
            shape = x.shape[1:] if mine else x.shape
            count = math.prod(shape)
            if not used:
                out.append(np.zeros(shape, x.dtype))
            elif mine:
                out.append(entries([_as(values[at + i], x.dtype) for i in range(count)], shape))
                at += count
            else:
                out.append(entries([_as(numbers[first + i], x.dtype) for i in range(count)], shape))
                first += count
        return out

    # === the kernel

    def __call__(self, numbers: Any, values: Any, status: Any, out: Any, counts: Any) -> None:
        size, fsal = math.prod(self.shape), self.tableau.fsal
        many = size * (2 if fsal else 1)
        control = many + 2
        arguments = self._arguments(numbers, values, control + len(self.kinds))
        y = tuple(values[i] for i in range(size))
        slope = tuple(values[size + i] for i in range(size if fsal else 0))
        zero = lax.full(self.tile, 0, jnp.int32)
        state = tuple(values[control + i] for i in range(len(self.kinds)))
        start = (y, slope, values[many], values[many + 1], state, zero, zero, status[0])

        def on(carry: Any) -> Any:
            return jnp.max((carry[-1] == RUNNING).astype(jnp.float32)) > 0

        end = lax.while_loop(on, lambda carry: self._step(numbers, arguments, carry), start)
        y, _, t, _, _, steps, accepted, code = end
        for i in range(size):
            out[i] = y[i]
        out[size] = t
        counts[0], counts[1], counts[2] = steps, accepted, code

    def _work(self, closed: Any, arguments: list[Any], *more: Any) -> list[Any]:
        given = [
            *arguments,
            *(entries(x if isinstance(x, (tuple, list)) else [x], shape) for x, shape in more),
        ]
        return evaluate(closed, given, self.tile, single=self.dtype == jnp.float32)

    def _flat(self, x: Any) -> list[Any]:
        # Entries as vectors of lanes, also those that are known or the same for all.
        return [self._wide(e) for e in x.flat]

    def _wide(self, e: Any) -> Any:
        return jnp.broadcast_to(jnp.asarray(e), self.tile)

    def _step(self, numbers: Any, arguments: list[Any], carry: Any) -> Any:
        y, slope, t, tnext, control, steps, accepted, status = carry
        shape, scalar = self.shape, ()
        h = tnext - t

        def field(t: Any, y: Any) -> list[Any]:
            (f,) = self._work(self.traced.slope, arguments, (t, scalar), (y, shape))
            return self._flat(f)

        first = slope if self.tableau.fsal else field(t, y)
        width = self.stages + 1
        zeros = tuple(lax.full(self.tile, 0, self.dtype) for _ in y)

        def add(i: Any, k: Any, sums: Any) -> Any:
            weights = [self._wide(numbers[i * np.int32(width) + np.int32(r)]) for r in range(width)]
            return tuple(
                tuple(s + w * v for s, v in zip(total, k, strict=True))
                for w, total in zip(weights, sums, strict=True)
            )

        def stage(carry: Any) -> Any:
            i, k, sums, _ = carry
            sums = add(i, k, sums)
            value = [x + s for x, s in zip(y, sums[0], strict=True)]
            at = t + self._wide(numbers[i + np.int32(self.table.size)]) * h
            f = tuple(field(jnp.clip(at, t, tnext), value))
            k = tuple(h * x for x in f)
            return i + np.int32(1), k, (*sums[1:-2], zeros, *sums[-2:]), f

        first = tuple(first)
        k = tuple(h * x for x in first)
        sums = (zeros,) * width
        # A loop of its own count: that of `fori_loop` has 64 bits where JAX has them, and TPUs have none.
        last_stage = np.int32(self.stages - 1)
        begin = (jnp.zeros((), jnp.int32), k, sums, first)
        _, k, sums, last = lax.while_loop(lambda carry: carry[0] < last_stage, stage, begin)
        sums = add(last_stage, k, sums)
        moved = [x + s for x, s in zip(y, sums[-2], strict=True)]
        error = [jnp.where(e != e, jnp.inf, e) for e in sums[-1]]
        (y1,) = self._work(self.traced.project, arguments, (moved, shape))
        y1 = self._flat(y1)
        state = [(_as(x, kind), scalar) for x, kind in zip(control, self.kinds, strict=True)]
        results = self._work(
            self.traced.decide, arguments, (t, scalar), (tnext, scalar), (y, shape), (y1, shape), (error, shape), *state
        )  # fmt: skip
        keep, t1, t2, fine, small, there, *after = (self._wide(x.item()) for x in results)
        running = status == RUNNING
        moved = running & keep
        steps = steps + running.astype(jnp.int32)
        code = status_of(status, steps, self.most, moved & there, running, fine, small)

        def pick(who: Any, new: Any, old: Any) -> Any:
            return tuple(jnp.where(who, a, b) for a, b in zip(new, old, strict=True))

        after = [x.astype(self.dtype) for x in after]
        return (
            pick(moved, y1, y),
            pick(moved, last, slope) if self.tableau.fsal else (),
            jnp.where(running, t1, t),
            jnp.where(running, t2, tnext),
            pick(running, after, control),
            steps,
            accepted + moved.astype(jnp.int32),
            code.astype(jnp.int32),
        )


def _as(x: Any, dtype: Any) -> Any:
    """A float as what it stands for: there are no references to Booleans on some chips."""
    return x != 0 if dtype == jnp.bool_ else x.astype(dtype)
