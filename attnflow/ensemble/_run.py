"""`run`: many trajectories at once on the devices at hand, in slots that refill."""

from collections.abc import Iterable
from typing import Any, Unpack

import diffrax
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Key, Real

from ..core.checks import boolean, instance, shown, whole
from ..core.machine import cores
from ..core.outlines import outline
from ..core.types import Device, Functions, PyTree, Scalar
from ..flow import (
    Integrator,
    Noise,
    Problem,
    StepOptions,
    make_options,
    merged,
    sort_options,
)
from ..model import AttentionField
from ..model.many import fits_columns
from ..records import progress as bar
from ._advance import Crew
from ._hosts import share_of
from ._lanes import Maker
from ._launches import Launches
from ._result import Ensemble
from ._sink import Sink
from ._stages import Stepper, keeps_matrices
from ._starts import GivenStarts, Recipe, gather_starts
from ._summaries import Summary
from ._workers import Workers

_BLOCK, _BLOCK_BYTES = 4096, 2**20
# Trajectories from which crews are wide: a step costs less a lane, and the last lanes are a small part.
_MANY = 1024
_ACCELERATOR_LANES, _ACCELERATOR_BYTES = 2**15, 2**31


class RunOptions(StepOptions, total=False):
    """The keywords of [`run`][attnflow.ensemble.run] that are seldom used, beside those of an integrator."""

    field_axes: object
    each: PyTree[ArrayLike] | None
    slots: int | None
    devices: Iterable[Device] | None
    progress: bool
    args: object
    noise: Noise | None
    kernel: bool | None


def run(
    field: AttentionField,
    starts: GivenStarts,
    *,
    t1: Scalar,
    t0: Scalar = 0.0,
    ts: Real[ArrayLike, " n"] | None = None,
    observe: Functions | None = None,
    until: Functions | None = None,
    number: int | None = None,
    key: Key[Array, ""] | None = None,
    summaries: dict[str, Summary] | None = None,
    keep: bool = True,
    integrator: Integrator | None = None,
    **options: Unpack[RunOptions],
) -> Ensemble:
    r"""Many trajectories at once, each with its own steps: what `simulate` gives for each start.

    Trajectories run side by side in slots. One that ends (at `t1`, by an event, by a failure) makes
    room for the next start, so that fast ones do not wait for slow ones. Results come in the order
    of starts, and on a CPU they are the same bits, in float64 and float32, for any number of slots, of
    other trajectories, and of CPU devices. (On accelerators lanes differ in number with `slots`, and
    results to rounding.) One that fails says so and spoils no other.

    **Arguments:**

    - `field`: an [`AttentionField`][], the same for all; or, with `field_axes`, one whose marked
      arrays have a leading axis of trajectories (what `eqx.filter_vmap` of a constructor makes).
    - `starts`: tokens, `(trajectories, tokens, dim)`, a NumPy or JAX array (a NumPy memory map is read
      block by block); or a sampler, a function of a key that returns tokens `(tokens, dim)` or
      `(field, tokens)`: `number` of them are drawn as they are needed, the $i$-th from
      `jax.random.fold_in(key, i)`.
    - `t1`, `t0`, `ts`, `observe`: as in [`simulate`][]. Only what is observed is kept: at `ts`, or at the
      end. An observer of each trajectory's own field is written
      [`OfField`][attnflow.ensemble.OfField]`(af.Energy)`.
    - `until`: what ends a trajectory before `t1`: `event=` of `simulate`, as functions.
    - `number`, `key`: for a sampler; `key` for noise as well.
    - `summaries`: by name, [`Mean`][], [`Quantiles`][], [`Histogram`][], [`Survival`][], made as
      trajectories end.
    - `keep`: with `False` only summaries and counts remain, in memory that does not grow with the
      number of trajectories.
    - `integrator`: how to integrate, an [`Integrator`][], whose adjoint is of no use here; or by keyword:
      `rtol`, `atol`, `dt0`, `solver`, `controller`, `reduce`, `max_steps`, each described there. A
      keyword beside an integrator replaces what that has.

    Further `options`:

    - `field_axes`: `None`, `eqx.if_array(0)`, or a pytree like `field` with 0 at arrays that differ
      from trajectory to trajectory and `None` at others.
    - `each`: in place of `number` and `key`, a pytree of arrays with a leading axis of trajectories: the sampler is
      then called with trajectory $i$'s rows of them instead of a key.
    - `slots`: how many trajectories may be under way at once; chosen from shapes and devices unless
      given.
    - `devices`: `jax.local_devices()` unless given. Trajectories go to whichever is free.
    - `progress`: `False` for no bar on a terminal.
    - `args`: as in [`simulate`][].
    - `noise`: a [`Noise`][attnflow.Noise] that moves tokens beside attention. That of trajectory $i$ is drawn from
      `jax.random.fold_in(jax.random.fold_in(key, i), 0x6E6F6973)`, the same in any slot. A sampler may return
      `(field, tokens, noise)` with a noise of the same kinds and other numbers, and, `noise.with_key(key)`, of its
      own key.
    - `kernel`: `True` for whole integrations as one kernel of an accelerator, refused where that cannot be; `None`
      for that where it can be; `False` unless given. It is for small systems under constant or smooth schedules and an
      explicit pair, without `ts` and `until`, with `slots` trajectories a launch; by Triton on CUDA, by Mosaic
      on TPUs, there in float32. On a CPU it is interpreted, which is slow. **No device has measured it yet.**

    Over several hosts (`jax.distributed.initialize()` first, then the same call on each) every process
    runs its own share of consecutive trajectories on its local devices and returns that;
    [`gather`][attnflow.ensemble.gather] brings the records of all together.

    **Returns:**

    An [`Ensemble`][].

    **Raises:**

    `ValueError` for bad arguments, `TypeError` for a keyword that is none. Bad starts, failing fields and
    too few steps are outcomes of their trajectories and raise nothing.

    ```python
    sphere = af.Sphere(3)
    field = af.AttentionField(sphere, P=jnp.eye(3))
    result = af.ensemble.run(
        field, lambda key: sphere.random(key, (8,)), number=100_000, key=jax.random.key(0),
        t1=100.0, until=af.consensus(1e-4), observe={"E": af.misalignment},
    )
    result.t1[result.reached]                                # times of consensus
    ```
    """
    # === check arguments
    own, rest = sort_options("ensemble.run", options, RunOptions)
    noise = rest.get("noise")
    if noise is not None:
        instance("noise", noise, Noise, "an attnflow.Noise, such as Noise(independent=0.1)")
    axes, each = rest.get("field_axes"), rest.get("each")
    many = gather_starts(field, starts, axes, number, key, each, noise).on_host()
    summaries = _checked(summaries)
    devices, slots = rest.get("devices"), rest.get("slots")
    devices = jax.local_devices() if devices is None else _devices(devices)
    slots = None if slots is None else whole("slots", slots)
    keep, progress = boolean("keep", keep), boolean("progress", rest.get("progress", True))
    kernel = rest.get("kernel", False)
    if kernel is not None:
        kernel = instance("kernel", kernel, bool, "True, False or None")
    if isinstance(until, diffrax.Event):
        raise ValueError(
            "`until` must be a function or a pytree of them here; got a diffrax.Event. Pass its "
            "cond_fn: its time is found by bisection."
        )
    one = many.block(0, 1)
    first = jax.tree.map(lambda a: a[0], one)
    number_like = jnp.zeros((), jnp.int32)
    example, _ = outline(_recipe, many.recipe, number_like, first)
    how = make_options(
        example,
        many.shape,
        many.dtype,
        merged(merged(integrator, own), {"adjoint": diffrax.ForwardMode()}),
        t0=t0,
        t1=t1,
        ts=ts,
        observe=observe,
        event=until,
        args=rest.get("args"),
        noise=None if noise is None else noise.with_key(jax.random.key(0)),  # each has its own
    )
    maker = Maker(many.recipe, how)
    problem, heads, structure = outline(_made, maker, number_like, first)

    # === run
    mine, count = share_of(many.number, jax.process_index(), jax.process_count())
    work = Launches(maker, many, (mine, count), devices, slots) if kernel is not False else None
    why = None if work is None else work.why_not()
    if kernel and why is not None:
        raise ValueError(f"`kernel` is not for these trajectories: {why}. Drop it.")
    if work is None or why is not None:
        lanes, few, places = _places(problem, heads, devices, slots, count)
        block = _block_size(problem, structure, few)
        crew = Crew(maker, lanes, few, block, holds=lanes == 1 and keeps_matrices(problem))
        work = Workers(crew, many, (mine, count), places)
    sink = None
    with bar(total=count, description="trajectories", unit="", show=progress) as shown:
        for rows in work.rows():
            if sink is None:
                sink = Sink(mine, count, rows, how.ts, summaries, keep)
            sink.add(rows)
            shown.update(len(rows["number"]))
    assert sink is not None
    records, summarised = sink.result()
    return Ensemble(
        records=records,
        summaries=summarised,
        outcomes=sink.counts,
        reduction=problem.lift.name,
        work=_work(problem, work, sink),
    )


def _devices(devices: Any) -> list[Any]:
    words = isinstance(devices, str)
    if words or not hasattr(devices, "__iter__"):
        raise ValueError(
            f"`devices` must be a list of devices, such as jax.local_devices(); got {shown(devices)}."
        )
    devices = list(devices)
    if not devices:
        raise ValueError("`devices` must hold at least one device; got none.")
    for device in devices:
        instance("devices", device, jax.Device, "a list of devices, such as jax.local_devices()")
    return devices


def _checked(summaries: dict[str, Summary] | None) -> dict[str, Summary]:
    if summaries is not None:
        instance("summaries", summaries, dict, "a dictionary of summaries by name")
    for name, summary in (summaries or {}).items():
        if not isinstance(summary, Summary):
            raise ValueError(
                f"`summaries` must hold Mean, Quantiles, Histogram or Survival objects; got "
                f"{type(summary).__name__} for {name!r}."
            )
    return dict(summaries or {})


def _recipe(recipe: Recipe, number: Array, own: Any) -> Any:
    return recipe(number, own)


def _made(maker: Maker, number: Array, own: Any) -> tuple[Problem, int, Any]:
    """A trajectory's problem, the field's heads, and what is saved of a state."""
    p = maker(number, own)
    return p, p.field.heads, p.saves.values(p.options.t0, p.y0, p.options.args)


def _places(
    problem: Problem, heads: int, devices: list[Any], slots: int | None, number: int
) -> tuple[int, int, list[tuple[Any, int]]]:
    """Lanes of a crew, how many are refilled at a time, and a device and usable lanes for each crew."""
    on_cpu = all(device.platform == "cpu" for device in devices)
    tokens, dim = problem.y0.shape
    if not on_cpu:
        size = 64 * tokens * (tokens + dim) * heads * problem.y0.dtype.itemsize
        most = max(1, min(_ACCELERATOR_LANES, _ACCELERATOR_BYTES // size))
        lanes_each = most if slots is None else -(-slots // len(devices))
        lanes = 1 if lanes_each == 1 else 32 * -(-min(lanes_each, number) // 32)
        crews = devices
    else:
        # By the number of trajectories alone, so that their bits are the same whatever else is under way.
        products = heads * tokens * dim * (tokens + dim)
        wide = 128 if number >= _MANY else 64
        lanes = wide if fits_columns(problem.field, tokens) else 16 if products < 100_000 else 1
        each = max(1, cores() // len(devices))
        crews = [device for _ in range(each) for device in devices]
    few = max(1, lanes // 8)
    slots = lanes * len(crews) if slots is None else slots
    slots = min(slots, number)
    # As few crews as hold them: a crew's lanes cost the same used or not.
    crews = crews[: min(len(crews), -(-slots // lanes))]
    share, more = divmod(slots, len(crews))
    usable = [min(lanes, share + (k < more)) for k in range(len(crews))]
    return lanes, few, list(zip(crews, usable, strict=True))


def _block_size(problem: Problem, structure: Any, few: int) -> int:
    """How many starts a crew is given at most: by their size, not their number, or every other number
    of trajectories would be compiled for anew."""
    ts = problem.options.ts
    times = 1 if ts is None else ts.shape[0]
    row = times * sum(leaf.size for leaf in jax.tree.leaves(structure)) + problem.y0.size
    return max(few, min(_BLOCK, _BLOCK_BYTES // (row * problem.y0.dtype.itemsize)))


def _work(problem: Problem, workers: Workers | Launches, sink: Sink) -> dict[str, Any]:
    crew = workers.crew
    stepper = Stepper(problem, jax.tree.map(lambda _: None, problem))
    a_step = stepper.evaluations
    a_start = 1  # the first slope
    evaluations = alone = None
    if a_step is not None:
        repeats = a_step if problem.event is not None else 0
        evaluations = workers.rounds * crew.lanes * a_step
        evaluations += workers.refills * crew.few * (a_start + repeats)
        alone = sink.alone * a_step + workers.number * a_start
    return {
        "lanes": crew.lanes,
        "crews": len(workers.places),
        "rounds": workers.rounds,
        "refills": workers.refills,
        "field_evaluations": evaluations,
        "alone": alone,
        "kernel": isinstance(workers, Launches),
    }
