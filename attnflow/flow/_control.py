"""Step control: tolerances per token, steps that see the schedules, a step size that survives a stop."""

from collections.abc import Callable
from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import optimistix as optx
from jaxtyping import Array, ArrayLike, Float, Real

from ..core.outlines import outline
from ..core.types import PyTree
from ..geometry import AbstractManifold, Sphere, safe_norm
from ..model import AttentionField
from ._kinks import has_many_kinks, kinks_of
from ._sides import breaks_of, jumps_of
from ._steady import SteadySteps, felt_frequency, swing_of_logits
from ._stops import GridStops, MarkedJumps, Stops
from ._unfelt import BoundedSteps, unfelt
from ._wrapped import BoolScalar, RealScalar, WrappedController, inner_solver

# The longest step, in periods of the fastest schedule. So far the estimates of Tsit5, Bosh3 and Heun
# are no smaller than the true error of integrating a sine of that period, whatever its phase. At one
# period Tsit5's is a third of it and Heun's is zero: stages then fall on the same phase, and a
# controller that sees tokens alone would step over whole periods. Of the numbers below 0.6 one that
# few multiples of are near a whole number: no low harmonic is then seen at one phase alone.
PERIODS = 0.5802
# The tolerance, absolute and relative together, from which oscillating fields are solved by `Bosh3`.
LOOSE = 1e-4
# The tolerance from which fields with many kinks are solved by `Heun`, which looks at P once a step.
COARSE = 2e-3


class TokenNorm(eqx.Module):
    r"""The root mean square over tokens of $|e_i|_W$.

    Invariant under whitening and span coordinates, so that plain and reduced runs take the same
    steps; a root mean square over *entries* is not.

    Under `BacksolveAdjoint` the state is `(y, adjoint, ...)`: taken is the larger of the norms of
    tokens and adjoint, without the integrals that do not feed back (a seminorm).
    """

    manifold: AbstractManifold

    def __call__(self, error: PyTree) -> Float[Array, ""]:
        if isinstance(error, tuple) and len(error) == 4:
            return jnp.maximum(self(error[0]), optx.rms_norm(error[1]))
        leaves = jax.tree.leaves(error)
        if len(leaves) == 1 and leaves[0].ndim and leaves[0].shape[-1] == self.manifold.dim:
            squares = self.manifold.inner(leaves[0], leaves[0])
            # Rounding may leave a square below zero, and the root of zero has no derivative.
            norm = jnp.sqrt(jnp.maximum(jax.lax.stop_gradient(jnp.mean(squares)), 0))
            if isinstance(self.manifold, Sphere):
                return norm
            # The error of an implicit step without a solution is infinite, which a product with W makes NaN of: the
            # step would be rejected for ever and not become shorter.
            largest = jax.lax.stop_gradient(jnp.max(jnp.abs(leaves[0])))
            return jnp.where(largest == jnp.inf, jnp.inf, norm)
        return optx.rms_norm(error)


class OfLength(WrappedController):
    r"""A controller whose relative tolerance is of each token's length $|y_i|$, not of each coordinate.

    It is the same in any rotated coordinates then, and no coordinate that passes zero holds the steps up.
    """

    controller: diffrax.AbstractAdaptiveStepSizeController

    def wrap(self, direction: Array | int) -> "OfLength":
        return OfLength(self.controller.wrap(direction))  # pyright: ignore[reportCallIssue]

    def init(
        self,
        terms: PyTree[diffrax.AbstractTerm],
        t0: RealScalar,
        t1: RealScalar,
        y0: PyTree,
        dt0: RealScalar | None,
        args: PyTree,
        func: Callable[..., PyTree],
        error_order: RealScalar | None,
    ) -> tuple[RealScalar, Any]:
        return self.controller.init(terms, t0, t1, y0, dt0, args, func, error_order)

    def adapt_step_size(
        self,
        t0: RealScalar,
        t1: RealScalar,
        y0: PyTree,
        y1_candidate: PyTree,
        args: PyTree,
        y_error: PyTree,
        error_order: RealScalar,
        controller_state: Any,
    ) -> tuple[BoolScalar, RealScalar, RealScalar, BoolScalar, Any, diffrax.RESULTS]:
        before, after = jax.tree.map(_lengths, (y0, y1_candidate))
        return self.controller.adapt_step_size(
            t0, t1, before, after, args, y_error, error_order, controller_state
        )


def _lengths(y: Array) -> Array:
    if not y.ndim:
        return y
    length = safe_norm(jnp.sum(y * y, axis=-1, keepdims=True))
    return jnp.broadcast_to(length, y.shape)


class ResumableController(WrappedController):
    """Any adaptive controller, with the end of its next step kept in its state.

    `controller_state.tnext - t` passed as `dt0`, together with `solver_state`, `controller_state` and
    `made_jump`, continues a stopped run bit for bit. (diffrax's own state forgets the next step
    size, and a continued run starts with another.) It also turns a step size that is not finite,
    from a field that is not, into a small one, so that the run ends at the smallest step instead
    of rejecting for ever.

    **Arguments:**

    - `controller`: an adaptive `diffrax` step size controller.

    ```python
    controller = af.ResumableController(diffrax.PIDController(rtol=1e-9, atol=1e-12))
    save = diffrax.SaveAt(t1=True, solver_state=True, controller_state=True, made_jump=True)
    ```
    """

    controller: diffrax.AbstractAdaptiveStepSizeController[Any, Any]

    def __check_init__(self) -> None:
        if not isinstance(self.controller, diffrax.AbstractAdaptiveStepSizeController):
            raise ValueError(
                "`controller` must be adaptive, such as diffrax.PIDController; "
                f"got {type(self.controller).__name__}, which has no step size to keep."
            )

    def wrap(self, direction: Array | int) -> "ResumableController":
        return ResumableController(self.controller.wrap(direction))  # pyright: ignore[reportCallIssue]

    def init(
        self,
        terms: PyTree[diffrax.AbstractTerm[Any, Any]],
        t0: RealScalar,
        t1: RealScalar,
        y0: PyTree,
        dt0: RealScalar | None,
        args: PyTree,
        func: Callable[..., PyTree],
        error_order: RealScalar | None,
    ) -> tuple[Array, "KeptStep"]:
        tnext, state = self.controller.init(terms, t0, t1, y0, dt0, args, func, error_order)
        tnext = jnp.where(jnp.isfinite(tnext), tnext, t0 + 1e-6 * (t1 - t0))
        return tnext, KeptStep(tnext, state)

    def adapt_step_size(
        self,
        t0: RealScalar,
        t1: RealScalar,
        y0: PyTree,
        y1_candidate: PyTree,
        args: PyTree,
        y_error: PyTree,
        error_order: RealScalar,
        controller_state: "KeptStep",
    ) -> tuple[BoolScalar, RealScalar, RealScalar, BoolScalar, "KeptStep", diffrax.RESULTS]:
        keep, next_t0, next_t1, jump, state, result = self.controller.adapt_step_size(
            t0, t1, y0, y1_candidate, args, y_error, error_order, controller_state.inner
        )
        return keep, next_t0, next_t1, jump, KeptStep(next_t1, state), result


class KeptStep(eqx.Module):
    """The state of a `ResumableController`: the end of the next step, and the inner state."""

    tnext: Real[ArrayLike, ""]
    inner: Any


def default_tolerances(dtype) -> tuple[float, float]:
    """`(rtol, atol)` for a dtype: 1e-9 and 1e-12 in float64, 1e-5 and 1e-7 in float32."""
    return (1e-9, 1e-12) if jnp.dtype(dtype) == jnp.float64 else (1e-5, 1e-7)


def adaptive(
    field: AttentionField,
    rtol,
    atol,
    t0,
    t1,
    *,
    seen: AttentionField | None = None,
    solver: diffrax.AbstractSolver[Any] | None = None,
) -> ResumableController:
    r"""The controller of `simulate`: $|\delta y_i|_W \le \text{atol} + \text{rtol}$ for every step.

    Tokens on a manifold have length one, so absolute and relative tolerance add up. On `Euclidean`, where
    they have any, it is $|\delta y_i| \le \text{atol} + \text{rtol}\,|y_i|$. For Pre, Peri
    and Mix, whose states have a length $r_i$ of their own, the same absolute rule holds for the
    state: directions are then resolved to the tolerance divided by $r_i$.

    Steps are no longer than 0.58 of the schedules' shortest period and do not follow it in phase
    ([`SteadySteps`][]), unless tokens are so close that no forcing of P is felt ([`Unfelt`][]). They end
    where smooth pieces meet, and at the kinks of
    rectified sinusoids where there are few. Where there are many, the
    estimate of a step's error is too small by some factor (accepted are those whose stages happen
    to miss the kinks) and a quarter of the tolerance is asked for, seen to make up for it with `Bosh3`.
    `Heun` needs none of that: its estimate, the distance to Euler's method, is of a lower order than its error.

    `seen` is the field whose logits are measured, where `field` is a reduction of it.
    """
    many = has_many_kinks(field)
    share = 0.25 if many and not isinstance(inner_solver(solver), diffrax.Heun) else 1.0
    controller: Any = diffrax.PIDController(
        rtol=rtol * share if field.manifold.flat else 0.0,
        atol=atol * share if field.manifold.flat else (atol + rtol) * share,
        norm=TokenNorm(field.manifold),
        # Far below any useful step: reached only where the field is not finite.
        dtmin=jnp.finfo(t0.dtype).eps ** 2 * (t1 - t0),
        force_dtmin=False,
    )
    if field.manifold.flat:
        controller = OfLength(controller)  # pyright: ignore[reportCallIssue]
    if field.frequency is not None:
        whole = field if seen is None else seen
        frequency = jax.lax.stop_gradient(jnp.asarray(field.frequency, t0.dtype))
        constant = ~(frequency > 0)
        longest = jnp.where(constant, jnp.inf, PERIODS / jnp.where(constant, 1, frequency))
        swing = None if many else swing_of_logits(whole, t0, t1)
        free = None if swing is None else unfelt(whole, swing, controller.atol)
        controller = BoundedSteps(controller, longest, free)  # pyright: ignore[reportCallIssue]
        if swing is not None:
            felt = felt_frequency(whole, swing)
            span = jax.lax.stop_gradient(t1 - t0)
            controller = SteadySteps(controller, frequency, felt, span)  # pyright: ignore
    breaks, kinks = breaks_of(field, t0.dtype), kinks_of(field, t0.dtype)
    if breaks is not None or kinks is not None:
        controller = Stops(controller, breaks, kinks)  # pyright: ignore
    return ResumableController(controller)  # pyright: ignore[reportCallIssue]


def default_solver(
    field: AttentionField, tolerance: float | None = None
) -> diffrax.AbstractSolver[Any]:
    """`Tsit5`; `Bosh3` where schedules have more kinks than steps can end at, or set the steps at loose tolerances.

    A step is no longer than 0.58 periods, whatever the tolerance. At `LOOSE` and above it is mostly this that
    bounds the steps of both, and those of `Bosh3` take half as many evaluations. With many kinks no order above the
    second is reached in such steps, and at `COARSE` and above `Heun` takes as few of them, of two evaluations each.
    """
    # A tolerance of 1e-4 in float32 is a rounding less than that.
    given = 0.0 if tolerance is None else tolerance * (1 + 1e-6)
    many, oscillates = has_many_kinks(field), _oscillates(field)
    if many and oscillates and given >= COARSE:
        return diffrax.Heun()
    return diffrax.Bosh3() if many or (oscillates and given > LOOSE) else diffrax.Tsit5()


def _oscillates(field: AttentionField) -> bool:
    # By its types: of an ensemble's field there are shapes alone.
    return outline(_frequency, field) is not None


def _frequency(field: AttentionField) -> Any:
    return field.frequency


def with_breaks(controller: Any, field: AttentionField, t0) -> Any:
    """A controller of the user's own, told where smooth pieces of the field's schedules meet.

    An adaptive one ends its steps there. Constant steps end at jumps too and go on by their grid. Any other
    goes its way, and where a step of it ends at a break the next begins on the other side.
    """
    breaks = breaks_of(field, t0.dtype)
    if breaks is None:
        return controller
    if isinstance(controller, diffrax.AbstractAdaptiveStepSizeController):
        return Stops(controller, breaks, None)  # pyright: ignore[reportCallIssue]
    jumps = jumps_of(field, t0.dtype)
    if jumps is not None and isinstance(controller, diffrax.ConstantStepSize):
        return GridStops(controller, breaks, jumps)
    return MarkedJumps(controller, breaks)  # pyright: ignore[reportCallIssue]
