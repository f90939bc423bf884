"""Weights drawn at random: anew in each layer, as Ornstein-Uhlenbeck processes, as waves of random phases."""

import math

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Key

from ..core.arguments import boolean, number, whole
from ..core.checks import random_key, sizes
from ._oscillating import Sinusoid
from ._tabulated import Interpolated, Piecewise


def random_layers(
    key: Key[Array, ""],
    shape: tuple[int, ...],
    *,
    layers: int,
    interval: float = 1.0,
    std: float = 1.0,
    white: bool = False,
    t0: float = 0.0,
    dtype: DTypeLike | None = None,
) -> Piecewise:
    r"""Matrices drawn anew in each layer, $M(t) = M_k$ for $t_0 + k\tau \le t < t_0 + (k+1)\tau$, entries normal.

    For [`AttentionLayers`][] of step $\tau$ these are the weights of layers $0, 1, \dots$; in a flow they are
    piecewise constant. The last layer's hold for ever after. With `white` the deviation is $\sigma/\sqrt\tau$: as
    $\tau \to 0$ the matrix becomes $\sigma$ times white noise, and a flow with it as $U$ that of
    [`Noise`][attnflow.Noise]`(values=sigma)` of Stratonovich, layers with it that of Itô.

    **Arguments:**

    - `key`: a random key, of which the schedule is a function. The first layers do not depend on how many follow.
    - `shape`: `(d, d)` or `(h, d, d)`.
    - `layers`: how many are drawn, and `interval` $\tau$ the time that each holds, from `t0` on.
    - `std`: $\sigma$; $1/\sqrt d$ keeps $|M_k y|$ of the size of $|y|$ for any width.
    - `white`: divide by $\sqrt\tau$.
    - `dtype`: of the numbers; JAX's default float unless given.

    **Returns:**

    A [`Piecewise`][] schedule of $\text{layers}$ values.

    **Raises:**

    `ValueError` for bad sizes and numbers.

    ```python
    V = af.schedules.random_layers(jax.random.key(0), (3, 3), layers=48, std=3**-0.5)
    layers = af.AttentionLayers(af.AttentionField(af.Sphere(3), P=jnp.eye(3), U=V))
    ```
    """
    count = whole("layers", layers, least=2)
    tau, sigma = number("interval", interval, above=0.0), number("std", std, least=0.0)
    sigma = sigma / math.sqrt(tau) if boolean("white", white) else sigma
    draws = _normals(key, count, shape, dtype)
    times = number("t0", t0) + tau * jnp.arange(1, count, dtype=draws.dtype)
    return Piecewise(times, sigma * draws)


def ornstein_uhlenbeck(
    key: Key[Array, ""],
    shape: tuple[int, ...],
    *,
    t1: float,
    memory: float = 1.0,
    std: float = 1.0,
    step: float | None = None,
    t0: float = 0.0,
    dtype: DTypeLike | None = None,
) -> Interpolated:
    r"""Entries that are independent stationary Ornstein-Uhlenbeck processes.

    $$ dM = -\tfrac{1}{\theta}M\,dt + \sigma\sqrt{2/\theta}\,dW $$

    $\mathbb E\,M(t)M(s) = \sigma^2 e^{-|t-s|/\theta}$ for each entry. On a grid of times the transition
    $M_{k+1} = e^{-\delta/\theta}M_k + \sigma\sqrt{1 - e^{-2\delta/\theta}}\,\xi_k$ is exact for any $\delta$; between
    the grid's times the path is linear, and solvers end their steps there.

    **Arguments:**

    - `key`: a random key, of which the path is a function: the same one in every run, whatever the solver's steps.
      A later `t1` continues it.
    - `shape`: of the matrix.
    - `t1`, `t0`: the time that it covers; held constant outside.
    - `memory`: $\theta$, the time of correlation.
    - `std`: $\sigma$, the deviation at any time.
    - `step`: $\delta$; an eighth of `memory` unless given.
    - `dtype`: of the numbers; JAX's default float unless given.

    **Returns:**

    A linearly [`Interpolated`][] schedule.

    **Raises:**

    `ValueError` for bad sizes and numbers.

    ```python
    P = af.schedules.ornstein_uhlenbeck(jax.random.key(0), (10, 3, 3), t1=20.0, memory=0.5)
    af.simulate(af.AttentionField(af.Sphere(3), P=P), y0, t1=20.0)
    ```
    """
    begin, end = number("t0", t0), number("t1", t1)
    theta, sigma = number("memory", memory, above=0.0), number("std", std, least=0.0)
    delta = theta / 8 if step is None else number("step", step, above=0.0)
    if not begin < end:
        raise ValueError(f"`t1` must be later than `t0`; got t0 = {begin:g} and t1 = {end:g}.")
    count = whole("step", math.ceil((end - begin) / delta - 1e-9) + 1, least=2)
    draws = _normals(key, count, shape, dtype)
    kept, fresh = math.exp(-delta / theta), math.sqrt(-math.expm1(-2 * delta / theta))

    def move(now, noise):
        return kept * now + fresh * noise, now

    last, path = jax.lax.scan(move, draws[0], draws[1:])
    path = jnp.concatenate([path, last[None]])
    return Interpolated(begin + delta * jnp.arange(count, dtype=path.dtype), sigma * path, "linear")


def random_waves(
    key: Key[Array, ""],
    shape: tuple[int, ...],
    *,
    omega: tuple[float, float] = (0.5, 1.5),
    std: float = 1.0,
    dtype: DTypeLike | None = None,
) -> Sinusoid:
    r"""Entries $\sqrt2\,\sigma\sin(\omega t + \varphi)$, each with a frequency and a phase of its own, uniformly drawn.

    The mean square of each over time, and over draws at any time, is $\sigma^2$: as of an
    [`ornstein_uhlenbeck`][attnflow.schedules.ornstein_uhlenbeck] path of the same `std`, and it is remembered for ever.

    **Arguments:**

    - `key`: a random key, of which the schedule is a function.
    - `shape`: of the matrix.
    - `omega`: the least and the largest angular frequency.
    - `std`: $\sigma$.
    - `dtype`: of the numbers; JAX's default float unless given.

    **Returns:**

    A [`Sinusoid`][] of that shape.

    **Raises:**

    `ValueError` for bad sizes and numbers.
    """
    if not (isinstance(omega, tuple | list) and len(omega) == 2):
        raise ValueError("`omega` must be two numbers, the least and the largest frequency.")
    low, high = number("omega", omega[0], least=0.0), number("omega", omega[1], above=0.0)
    if low > high:
        raise ValueError(f"`omega` must be the least first; got ({low:g}, {high:g}).")
    sigma = number("std", std, least=0.0)
    size = sizes("shape", shape)
    first, second = jax.random.split(random_key("key", key))
    kind = jnp.dtype(jnp.result_type(float) if dtype is None else dtype)
    omegas = jax.random.uniform(first, size, kind, minval=low, maxval=high)
    phases = jax.random.uniform(second, size, kind, maxval=2 * math.pi)
    return Sinusoid(jnp.full(size, math.sqrt(2) * sigma, kind), omegas, phases)


def _normals(
    key: Key[Array, ""], count: int, shape: tuple[int, ...], dtype: DTypeLike | None
) -> Array:
    """Normal numbers of `shape`, one set after another, each by its own number alone."""
    kind = jnp.dtype(jnp.result_type(float) if dtype is None else dtype)
    size = sizes("shape", shape)
    sizes("layers", (count, *size), kind.itemsize)
    keys = jax.vmap(jax.random.fold_in, in_axes=(None, 0))(
        random_key("key", key), jnp.arange(count, dtype=jnp.uint32)
    )
    return jax.vmap(lambda one: jax.random.normal(one, size, kind))(keys)
