"""Metastability read off a curve: stretches on which it hardly moves, and how long it stays there."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Bool, Float, Int, Real

from ..core.checks import check_now, choose, floating, shaped, shown, whole
from ..core.eager import one_program


class Plateaus(eqx.Module):
    """What [`plateaus`][] gives: places 0 to `count - 1` are plateaus in order of time, the others NaN.

    **Attributes:**

    - `count`: how many there are; those beyond `most` are counted and not listed.
    - `level`: the mean of the curve on each, over its clock, `(most,)`.
    - `begin`, `end`: its first and last time, in units of `ts`.
    - `residence`: how long it lasts, in units of the clock.
    - `of_save`: the plateau that each save lies on, -1 between plateaus, `(times,)`. A save where one ends and another
      begins is on the later.
    """

    count: Int[Array, ""]
    level: Float[Array, " most"]
    begin: Float[Array, " most"]
    end: Float[Array, " most"]
    residence: Float[Array, " most"]
    of_save: Int[Array, " times"]


def plateaus(
    ts: Real[ArrayLike, " times"],
    values: Real[ArrayLike, " times"],
    *,
    slope: float | Float[Array, ""],
    least: float | Float[Array, ""] = 0.0,
    clock: str = "t",
    most: int = 32,
) -> Plateaus:
    r"""The plateaus of a curve, such as the energy of a metastable run, and how long each lasts.

    A plateau is a maximal stretch of saves with $|\Delta E| \le \text{slope} \cdot \Delta\tau$ from each to the next,
    whose length is `least` or more on the clock $\tau$: $t$, or $\ln t$ for curves that go on for exponentially long
    times (arXiv:2410.06833). Of a curve of whole numbers, such as the number of clusters, `slope=0` asks for no change.
    Traceable; with `jax.vmap` for many curves at once.

    **Arguments:**

    - `ts`: increasing times; positive where the clock is $\ln t$ (those that are not begin no plateau).
    - `values`: the curve there. NaN, as of saves that did not happen, is on no plateau.
    - `slope`: the fastest change on a plateau, per unit of the clock.
    - `least`: the shortest plateau, in units of the clock. A single save is none.
    - `clock`: `"t"` or `"ln t"`.
    - `most`: how many are listed.

    **Returns:**

    [`Plateaus`][].

    **Raises:**

    `ValueError`: shapes that differ, times that do not increase, a negative `slope` or `least`, another clock.

    ```python
    found = af.plateaus(sol.ts, sol.ys["E"], slope=0.01, least=1.0)
    found.level[: found.count], found.residence[: found.count]
    ```
    """
    ts, values = floating("ts", ts), floating("values", values)
    if ts.ndim != 1 or ts.shape != values.shape or ts.shape[0] < 2:
        raise ValueError(
            "`ts` and `values` must be vectors of one length, 2 or more; "
            f"got shapes {ts.shape} and {values.shape}. Use jax.vmap for many curves."
        )
    check_now(ts, lambda t: t[1:] <= t[:-1], "`ts` must increase; got times that do not.")
    choose("clock", clock, ("t", "ln t"))
    limits: list[Array] = []
    for name, value in (("slope", slope), ("least", least)):
        number = floating(name, value)
        shaped(name, number.shape, ())
        message = f"`{name}` must be zero or more; got {shown(value)}."
        limits.append(check_now(number, lambda v: ~(v >= 0), message).astype(values.dtype))
    ts = ts.astype(values.dtype)
    fastest, shortest = limits
    return _plateaus(ts, values, fastest, shortest, clock == "ln t", whole("most", most))


@one_program
def _plateaus(
    ts: Array, values: Array, slope: Array, least: Array, logarithm: bool, most: int
) -> Plateaus:
    tau = ts
    if logarithm:
        tau = jnp.where(ts > 0, jnp.log(jnp.where(ts > 0, ts, 1)), jnp.nan)
    change, passed = jnp.abs(jnp.diff(values)), jnp.diff(tau)
    flat = change <= slope * passed  # false of NaN
    number, begins = _runs(flat)
    intervals = flat.shape[0]
    place = jnp.where(flat, number, intervals)  # of a stretch, among all of them

    def over(what: Array) -> Array:
        return jnp.zeros(intervals, what.dtype).at[place].add(what, mode="drop")

    length = over(jnp.where(flat, passed, 0))
    middle = (values[1:] + values[:-1]) / 2
    area = over(jnp.where(flat, passed * middle, 0))
    first = jnp.zeros(intervals, ts.dtype).at[jnp.where(begins, number, intervals)]
    first = first.set(ts[:-1], mode="drop")
    last = jnp.full(intervals, -jnp.inf, ts.dtype).at[place].max(ts[1:], mode="drop")
    kept = (length >= least) & (jnp.arange(intervals) < jnp.sum(begins))
    new = jnp.cumsum(kept) - 1  # its number among those that are long enough
    to = jnp.where(kept, new, most)

    def listed(what: Array) -> Array:
        return jnp.full(most, jnp.nan, what.dtype).at[to].set(what, mode="drop")

    level = area / jnp.where(length > 0, length, 1)
    of_interval = jnp.where(flat & kept[number], new[number], -1)
    none = jnp.full(1, -1, of_interval.dtype)
    of_save = jnp.maximum(
        jnp.concatenate([of_interval, none]), jnp.concatenate([none, of_interval])
    )
    return Plateaus(
        jnp.sum(kept), listed(level), listed(first), listed(last), listed(length), of_save
    )


def _runs(flat: Bool[Array, " intervals"]) -> tuple[Array, Array]:
    """The number of the run of trues that each place is in, or was last, from 0 on; and where runs begin."""
    before = jnp.concatenate([jnp.zeros(1, bool), flat[:-1]])
    begins = flat & ~before
    return jnp.maximum(jnp.cumsum(begins) - 1, 0), begins
