"""Attention as discrete layers: eq. (1), and the poster's transformer block."""

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, ArrayLike, Float, Int

from ..core.callables import OfTimeAndTokens, as_module
from ..core.checks import boolean, check, finite, shaped
from ..core.types import Numbers, Scalar
from ._field import AttentionField


class LayerNorm(eqx.Module):
    r"""$N(x) = \gamma \star (x - \mu(x))/\sqrt{\sigma^2(x) + \varepsilon} + \beta$ (paper, Remark 2.2).

    On the last axis.
    With $\gamma = \gamma_0\mathbf 1$ and $\varepsilon = 0$ tokens land on the sphere of centre $\beta$ and *squared*
    radius $d\gamma_0^2$ inside the hyperplane $\beta + \mathbf 1^\perp$ (the paper prints the square as the radius).

    **Arguments:**

    - `gain`: $\gamma$, shape `(dim,)`.
    - `bias`: $\beta$, shape `(dim,)`, or `None` for zero.
    - `epsilon`: added to the (biased) variance; 1e-5 is customary, 0 the paper's.
    """

    gain: Float[Array, " dim"]
    bias: Float[Array, " dim"] | None
    epsilon: Float[Array, ""]

    def __init__(self, gain: Numbers, bias: Numbers | None = None, epsilon: Scalar = 0.0):
        self.gain = finite("gain", gain)
        self.bias = None if bias is None else finite("bias", bias)
        added = finite("epsilon", epsilon)
        shaped("epsilon", added.shape, ())
        self.epsilon = check(
            added, lambda e: ~(e >= 0), "`epsilon` must be zero or more; got less."
        )
        shaped("gain", self.gain.shape, ("dim",))
        if self.bias is not None:
            shaped("bias", self.bias.shape, self.gain.shape)

    def __call__(self, x: Float[Array, "*batch dim"]) -> Float[Array, "*batch dim"]:
        centred = x - jnp.mean(x, axis=-1, keepdims=True)
        variance = jnp.mean(jnp.square(centred), axis=-1, keepdims=True)
        # Broadcast by hand, so that strict rank promotion is no obstacle.
        rows = (1,) * (x.ndim - 1) + self.gain.shape
        out = centred / jnp.sqrt(variance + self.epsilon.astype(x.dtype))
        out = out * self.gain.astype(x.dtype).reshape(rows)
        return out if self.bias is None else out + self.bias.astype(x.dtype).reshape(rows)


class AttentionLayers(eqx.Module):
    r"""The layer map of eq. (1), $y_i \leftarrow N\big(y_i + \tau\sum_\eta\sum_j \alpha^\eta_{ij} U_\eta y_j\big)$.

    Layer $k$ sees the schedules at time $t_k = k\tau$, so that with small $\tau$ the layers follow the
    flow of the same field at first order. With `feed_forward` it is the poster's block,
    $z = N(\cdot)$, $y \leftarrow N(z + f(z))$. The field's normalisation is kept: Pre and Peri add
    without projecting, nGPT and square-root scaling weigh the step.

    **Arguments:**

    - `field`: an [`AttentionField`][].
    - `step`: $\tau$; 1 is eq. (1) as printed.
    - `skip`: add the token itself; without it $y \leftarrow N(\tau\sum\dots)$.
    - `norm`: $N$: `None` for the projection $\pi_W$, or any function of tokens `(tokens, dim)`,
      such as [`LayerNorm`][].
    - `feed_forward`: $f$, a function of *one* token `(dim,) -> (dim,)`, such as `equinox.nn.MLP`; or
      of `(t, token)`, told by its two required parameters, where layers differ.

    ```python
    layers = af.AttentionLayers(field, step=0.3)
    sol = af.iterate(layers, y0, depth=25)
    ```
    """

    field: AttentionField
    step: Float[Array, ""]
    norm: eqx.Module | None
    feed_forward: eqx.Module | None
    skip: bool = eqx.field(static=True)

    def __init__(
        self,
        field: AttentionField,
        step: Scalar = 1.0,
        *,
        skip: bool = True,
        norm: Callable[..., object] | None = None,
        feed_forward: Callable[..., object] | None = None,
    ):
        if not isinstance(field, AttentionField):
            raise ValueError(f"`field` must be an AttentionField; got {type(field).__name__}.")
        self.field = field
        self.step = finite("step", step)
        shaped("step", self.step.shape, ())
        self.norm = None if norm is None else as_module("norm", norm)
        self.feed_forward = None if feed_forward is None else _feed_forward(feed_forward)
        self.skip = boolean("skip", skip)

    def time(
        self, k: Int[ArrayLike, "*layers"], dtype: DTypeLike | None = None
    ) -> Float[Array, "*layers"]:
        r"""$t_k = k\tau$, the time at which layer $k$ sees the schedules."""
        dtype = self.step.dtype if dtype is None else dtype
        return jnp.asarray(k).astype(dtype) * self.step.astype(dtype)

    def __call__(
        self, k: Int[ArrayLike, ""], y: Float[Array, "tokens dim"], args: object = None
    ) -> Float[Array, "tokens dim"]:
        """The tokens after layer `k`, from the tokens `y` before it."""
        field = self.field
        t = self.time(k, y.dtype)
        A = field.normalisation.layer(field.manifold, t, y, field.total(t, y, args))
        moved = self.step.astype(y.dtype) * A
        out = self._normalise(t, y + moved if self.skip else moved)
        if self.feed_forward is not None:
            f: Any = self.feed_forward
            f = partial(f, t) if isinstance(f, OfTimeAndTokens) else f
            out = self._normalise(t, out + jax.vmap(f)(out))
        if field.frozen is not None:
            out = jnp.where(field.frozen[:, None], y, out)
        return out

    def _normalise(self, t: Array, x: Array) -> Array:
        if self.norm is not None:
            return self.norm(x)  # pyright: ignore[reportCallIssue]
        keeps = self.field.normalisation.keeps(t)
        if keeps is False:
            return x
        projected = self.field.manifold.project(x)
        return projected if keeps is True else jnp.where(keeps, projected, x)


def _feed_forward(function: Any) -> eqx.Module:
    """A function of a token, or one of `(t, token)`, which is marked by its type."""
    module = as_module("feed_forward", function)
    if isinstance(module, OfTimeAndTokens):
        return module
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # no signature to be had
        return module
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    required = [p for p in parameters if p.kind in positional and p.default is p.empty]
    return OfTimeAndTokens(module) if len(required) == 2 else module
