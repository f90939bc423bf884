"""Steps of tokens so close together that attention cannot tell them apart, whatever its matrices do meanwhile."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..geometry import Sphere
from ..model import AttentionField, BooleanMask, Causal, Full, Post, Softmax
from ..schedules import AbstractSchedule
from ._wrapped import WrappedController

_SHARE = 0.25  # of the tolerance of a step, for what P may do unseen
_REACHES = (0.5, 1.0)  # of the time 1 / K in which tokens can move by their own length
_NEAR = 0.4  # diameters for which the rates below hold
# A row that may attend to nobody sums to zero, and its token stays while others move on: not with these.
_MASKS = (Full, Causal, BooleanMask)


class Unfelt(eqx.Module):
    r"""For how long what $P$ does moves no token by more than a share of the tolerance.

    What it moves within a step the flow goes on to multiply, as it does any error of a step.

    Rows of attention sum to $c$ whatever $P$ is. Of tokens on the unit sphere within a diameter $D$, two matrices
    that differ by $\Delta$ give velocities that differ by no more than $K D \min(1, \|\Delta\| D / 4)$, where
    $K = c \sum_\eta \|U_\eta\|$: logits of a row differ by $\|\Delta\| D$, the sum of the weights' differences is at
    most half of that, and as it sums to zero it multiplies values within half of $\|U_\eta\| D$.

    What holds at the start of a step bounds all of it: of two tokens with $\delta = y_i - y_j$, near a token
    $z$, the sums of attention are $Sz + r$ with $S = c \sum_\eta U_\eta$ and $|r| \le K D$, hence
    $\langle\delta, \dot\delta\rangle \le K D |\delta| (1 + |\delta|) - |\delta|^2 \langle y_i + y_j, Sz\rangle / 2$.
    Diameters grow by no more than $e^{(2 + D) K \tau}$, and by $e^{(D + D^2/2) K \tau}$ where every $U_\eta$ is the
    identity times a number that is not negative.

    **Arguments:**

    - `speed`: $K$.
    - `rate`: at which diameters below 0.4 grow at most, in units of $K$.
    - `swing`: how far $P$ is from its mean, as a norm; $\|\Delta\|$ is taken to be twice that.
    - `tolerance`: of a step's error.
    """

    speed: Float[Array, ""]
    rate: Float[Array, ""]
    swing: Float[Array, ""]
    tolerance: Float[Array, ""]

    def longest(self, y: Any) -> Float[Array, ""]:
        """A time, zero for what is no array of tokens, such as the state of a backward solve."""
        dtype, tiny = self.speed.dtype, jnp.finfo(self.speed.dtype).tiny
        if getattr(y, "ndim", 0) != 2:
            return jnp.zeros((), dtype)
        y = jax.lax.stop_gradient(y)
        apart = y - jnp.mean(y, axis=0, keepdims=True)
        radius = jnp.sqrt(jnp.max(jnp.sum(apart * apart, axis=-1))).astype(dtype)
        speed, longest = jnp.maximum(self.speed, tiny), jnp.zeros((), dtype)
        for reach in _REACHES:
            diameter = 2 * jnp.exp(reach * self.rate) * radius
            diameter = jnp.where(diameter < _NEAR, diameter, 2)
            moved = speed * diameter * jnp.minimum(1, self.swing * diameter / 2)
            bounded = _SHARE * self.tolerance / jnp.maximum(moved, tiny)
            longest = jnp.maximum(longest, jnp.minimum(bounded, reach / speed))
        return longest


def unfelt(field: AttentionField, swing: Array, tolerance: Any) -> Unfelt | None:
    """Of softmax on a sphere whose values do not change, the paper's flow; `None` of any other."""
    of_the_paper = (
        type(field) is AttentionField
        and type(field.manifold) is Sphere
        and type(field.kernel) is Softmax
        and type(field.normalisation) is Post
        and type(field.mask) in _MASKS
        and field.weights is None
        and field.matrix_scores
        and field.drift is None
        and field.frozen is None
        and (field.U is None or field.U.is_constant())
    )
    if not of_the_paper:
        return None
    values, rate = _size(field.U, field.heads)
    numbers = (field.scale * values, rate, swing, tolerance)
    return Unfelt(*(jax.lax.stop_gradient(jnp.asarray(x, swing.dtype)) for x in numbers))


def _size(U: AbstractSchedule | None, heads: int) -> tuple[Any, Any]:
    """At least the sum of the heads' norms, and the rate at which diameters grow in units of that."""
    near = _NEAR + _NEAR**2 / 2
    if U is None:
        return heads, near
    coefficient = U.identity_coefficient()
    if coefficient is not None:
        numbers = jnp.broadcast_to(coefficient(jnp.zeros(())), (heads,))
        return jnp.sum(jnp.abs(numbers)), jnp.where(jnp.all(numbers >= 0), near, 2 + _NEAR)
    matrices = U(jnp.zeros(()))
    # A norm is no larger than two numbers that cost a look at each entry.
    size = jnp.abs(matrices)
    rows, columns = (jnp.max(jnp.sum(size, axis=axis), axis=-1) for axis in (-1, -2))
    squares = jnp.sum(size * size, axis=(-2, -1))
    bounds = jnp.broadcast_to(jnp.sqrt(jnp.minimum(squares, rows * columns)), (heads,))
    return jnp.sum(bounds), 2 + _NEAR


class BoundedState(eqx.Module):
    """How long the next step may be whatever P does, and the inner state."""

    unfelt: Any
    inner: Any


class BoundedSteps(WrappedController):
    """A controller whose steps are no longer than some time, or than tokens so close allow.

    **Arguments:**

    - `controller`: an adaptive `diffrax` step size controller.
    - `bound`: of a step, where $P$ is felt.
    - `unfelt`: says how long it is not; `None` if it always is.
    """

    controller: Any
    bound: Float[Array, ""]
    unfelt: Unfelt | None

    def wrap(self, direction):
        return BoundedSteps(self.controller.wrap(direction), self.bound, self.unfelt)  # pyright: ignore[reportCallIssue]

    def init(self, terms, t0, t1, y0, dt0, args, func, error_order):
        tnext, inner = self.controller.init(terms, t0, t1, y0, dt0, args, func, error_order)
        state = BoundedState(None if self.unfelt is None else self.unfelt.longest(y0), inner)
        return jnp.minimum(tnext, t0 + self.longest(state)), state

    def longest(self, state: BoundedState) -> Array:
        # Where tokens are not finite, neither is how long they are close.
        free = state.unfelt
        return self.bound if free is None else jnp.where(free > self.bound, free, self.bound)

    def adapt_step_size(
        self, t0, t1, y0, y1_candidate, args, y_error, error_order, controller_state
    ):
        keep, next_t0, next_t1, jump, inner, result = self.controller.adapt_step_size(
            t0, t1, y0, y1_candidate, args, y_error, error_order, controller_state.inner
        )
        free = controller_state.unfelt
        if self.unfelt is not None:
            free = jnp.where(keep, self.unfelt.longest(y1_candidate), free)
        state = BoundedState(free, inner)
        next_t1 = jnp.minimum(next_t1, next_t0 + self.longest(state))
        return keep, next_t0, next_t1, jump, state, result
