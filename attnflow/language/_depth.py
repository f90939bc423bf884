"""What depends on depth: values by layer, scores with a bias of keys, drift and feed-forward in time."""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Real

from ..schedules import (
    AbstractSchedule,
    Constant,
    GivenSchedule,
    Periodic,
    Piecewise,
    all_jumps,
    as_schedule,
    fastest,
    on_the_right,
)
from ._activations import ACTIVATIONS


def in_depth(values: Array) -> AbstractSchedule:
    """`values[k]` during `k <= t < k + 1`."""
    layers = values.shape[0]
    if layers == 1:
        return Constant(values[0])
    return Piecewise(jnp.arange(1, layers, dtype=values.dtype), values)


def repeated(schedule: AbstractSchedule, layers: int, passes: int) -> AbstractSchedule:
    """The schedule of all layers `passes` times; one layer or one pass is left as it is."""
    if passes == 1 or layers == 1:
        return schedule
    dtype = jax.eval_shape(schedule, jnp.zeros(())).dtype
    return Periodic(schedule, jnp.asarray(layers, dtype), passes)


class KeyBiased(AbstractSchedule):
    r"""Scores $y_i^\top P(t)\, y_j + k(t)^\top y_j$: a matrix, and what a bias of the queries adds for each key.

    The second term is not of the form $y_i^\top M y_j$. It is in `bilinear`, which scores are made
    of; `__call__`, `apply` and `square_norm` are those of the matrix $P(t)$ alone. Theorems are about
    matrices: `attnflow.theory.verdicts` refuses a field with such scores, and so does its energy.

    **Arguments:**

    - `matrix`: $P$, shape `(h, d, d)`; array or schedule.
    - `bias`: $k$, shape `(h, d)`; array or schedule.
    """

    matrix: AbstractSchedule
    bias: AbstractSchedule

    adds_to_scores: ClassVar[bool] = True
    time_through_parts: ClassVar[bool] = True
    never_trained: ClassVar[tuple[str, ...]] = ()

    def __init__(self, matrix: GivenSchedule, bias: GivenSchedule):
        self.matrix, self.bias = as_schedule("matrix", matrix), as_schedule("bias", bias)
        P, k = self.matrix.shape, self.bias.shape
        if len(P) != 3 or k != (P[0], P[2]):
            raise ValueError(
                "`matrix` and `bias` must have shapes (heads, d, d) and (heads, d); "
                f"got {P} and {k}."
            )

    def __call__(self, t: Real[ArrayLike, ""]) -> Float[Array, "heads d d"]:
        return self.matrix(t)

    @property
    def frequency(self) -> Float[Array, ""] | None:
        return fastest(self.matrix, self.bias)

    @property
    def jump_times(self) -> Float[Array, " jumps"] | None:
        return all_jumps(self.matrix, self.bias)

    def apply(self, t: Real[ArrayLike, ""], y: Array) -> Array:
        return self.matrix.apply(t, y)

    def bilinear(self, t: Real[ArrayLike, ""], x: Array, y: Array) -> Array:
        keys = self.bias(t).astype(y.dtype) @ y.T
        return self.matrix.bilinear(t, x, y) + keys[:, None, :]

    def square_norm(self, t: Real[ArrayLike, ""]) -> Array:
        return self.matrix.square_norm(t)

    def congruence(self, left: Array, right: Array) -> AbstractSchedule:
        return KeyBiased(self.matrix.congruence(left, right), on_the_right(self.bias, right))


class ValueBias(eqx.Module):
    """A drift that is the same for every token: what the biases of values and outputs add, `(dim,)`."""

    shift: AbstractSchedule

    def __call__(self, t, y, args=None) -> Array:
        return jnp.broadcast_to(self.shift(t)[None], y.shape)


class FeedForwardByLayer(eqx.Module):
    r"""$f_l(z) = \varphi(zA_l + a_l)B_l + b_l$ of one token, for the layer that time `t` is in.

    With a gate it is $(\varphi(zG_l + g_l) \star (zA_l + a_l))B_l + b_l$.
    """

    up: AbstractSchedule
    up_bias: AbstractSchedule
    down: AbstractSchedule
    down_bias: AbstractSchedule
    gate: AbstractSchedule | None = None
    gate_bias: AbstractSchedule | None = None
    activation: str = eqx.field(static=True, default="gelu_new")

    def __call__(self, t: Real[ArrayLike, ""], token: Float[Array, " dim"]) -> Float[Array, " dim"]:
        with jax.default_matmul_precision("highest"):
            x, act = token @ self.up(t) + self.up_bias(t), ACTIVATIONS[self.activation]
            if self.gate is None or self.gate_bias is None:
                x = act(x)
            else:
                x = act(token @ self.gate(t) + self.gate_bias(t)) * x
            return x @ self.down(t) + self.down_bias(t)
