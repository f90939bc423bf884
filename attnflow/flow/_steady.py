"""Steps of one length for some periods of a fast forcing, and estimates trusted only as far as they see it."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..geometry import Sphere
from ._unfelt import BoundedSteps
from ._wrapped import WrappedController

# Found by a bank of forced runs, `benchmarks/forcings.py`, and there measured.
_WINDOW = 3.0  # periods for which the longest step stays what it is
_QUIET = 1.05  # periods after which a window without any step near the tolerance ends
_NEAR = 3.0  # a step is near the tolerance if it could be less than this many times as long
_RELEASE = 4.0  # and by how much the longest step grows where none was
_SAFETY = 0.98
_DITHER = 0.06  # how much windows differ, by a sequence that keeps step with nothing
_SEEN = 0.09  # periods of the fastest oscillation felt that an estimate sees in full
_MOST = 1000.0
_FEW = 10.0  # a run of fewer periods adds up no errors worth the while
_GOLDEN = 0.6180339887498949
_LOOKS = 32  # times at which P is looked at


class SteadyState(eqx.Module):
    """The longest step now, the least wanted in this window, what is left of it, since when it is quiet."""

    longest: Any
    wanted: Any
    left: Any
    quiet: Any
    dither: Any
    inner: Any


class SteadySteps(WrappedController):
    r"""Any adaptive controller, its steps kept from following a fast forcing in phase.

    A forcing of hundreds of periods is summed up by steps much as by a quadrature rule. Where steps
    are of one length, errors at one phase are undone at others. Where a controller shortens and
    lengthens them with the phase, each period adds the same error, up to the tolerance a step: runs were off by
    hundreds of tolerances, and by 20 000 where embedded estimates, which compare a few values of
    the field, saw nothing of transitions between them. Hence two rules.

    1. The longest step stays what it is for three periods. Then it becomes the least that was
       wanted within them, less a few per cent that differ from window to window, so that steps
       keep step with no harmonic. A rejected step shortens it at once.
    2. An estimate over a step $h$ counts $1 + (h f / 0.09)^3$ times, up to a thousand, where $f$ is the
       frequency that is felt: attention $\sigma(A \sin \omega t)$ has harmonics up to its poles,
       where $A \sin\omega t = i\pi$, at a distance of $\mathrm{arsinh}(\pi/A)/\omega$ from real times.

    Neither holds for steps in which tokens are so close that no forcing of P is felt ([`Unfelt`][]).

    **Arguments:**

    - `controller`: whose `rtol` is zero.
    - `frequency`: in cycles per unit of time, of the schedules.
    - `felt`: the frequency of what tokens feel.
    - `span`: of the run.
    """

    controller: BoundedSteps
    frequency: Float[Array, ""]
    felt: Float[Array, ""]
    span: Float[Array, ""]

    def wrap(self, direction):
        inner = self.controller.wrap(direction)
        return SteadySteps(inner, self.frequency, self.felt, self.span)  # pyright: ignore

    def longest(self, state):
        return self.controller.longest(state.inner)

    @property
    def _period(self) -> Array:
        # Zero where there is nothing to wait for: windows then end with every step.
        many = self.frequency * self.span > _FEW
        return jnp.where(many, 1 / jnp.where(many, self.frequency, 1), 0)

    def init(self, terms, t0, t1, y0, dt0, args, func, error_order):
        tnext, inner = self.controller.init(terms, t0, t1, y0, dt0, args, func, error_order)
        period = self._period
        endless = jnp.full_like(period, jnp.inf)
        window, zero = _WINDOW * period, jnp.zeros_like(period)
        return tnext, SteadyState(endless, endless, window, zero, zero, inner)

    def adapt_step_size(
        self, t0, t1, y0, y1_candidate, args, y_error, error_order, controller_state
    ):
        s, h = controller_state, jnp.asarray(t1) - t0
        # Powers written out: a library's `pow` takes as long as a fifth of the field of ten tokens.
        unseen = h * self.felt / _SEEN
        weight = 1 + jnp.minimum(unseen * unseen * unseen, _MOST)
        if s.inner.unfelt is not None:
            # As long but for a rounding of the times.
            weight = jnp.where(h <= 1.001 * s.inner.unfelt, 1, weight)
        y_error = jax.tree.map(lambda e: e * weight.astype(e.dtype), y_error)
        keep, next_t0, next_t1, jump, inner, result = self.controller.adapt_step_size(
            t0, t1, y0, y1_candidate, args, y_error, error_order, s.inner
        )
        error = jnp.asarray(jax.lax.stop_gradient(self.norm(y_error) / self.atol), h.dtype)
        least = jnp.finfo(h.dtype).tiny
        factor = _SAFETY * jnp.maximum(error, least) ** (-1 / error_order)
        wish = h * jnp.where(jnp.isfinite(error), jnp.maximum(factor, 0.2), 0.2)
        near = wish < _NEAR * h
        wanted = jnp.minimum(s.wanted, jnp.where(near, wish, jnp.inf))
        quiet = jnp.where(near, 0, s.quiet + h)
        left = s.left - h
        # === the end of a window
        period = self._period
        silent = quiet >= _QUIET * period
        ends = (left <= 0) | silent
        growth = jnp.clip(wanted / s.longest, 1, 1.25)
        grown = wanted * growth * jnp.sqrt(growth)
        next_longest = jnp.where(
            silent | ~jnp.isfinite(wanted),
            s.longest * _RELEASE,
            grown * (1 - _DITHER * s.dither),
        )
        over = keep & ends
        restart = ~keep | ends
        longest = jnp.where(over, next_longest, s.longest)
        longest = jnp.where(keep, longest, jnp.minimum(s.longest, wish))
        longest = jnp.where(period > 0, longest, jnp.inf)
        if inner.unfelt is not None:
            longest = jnp.where(inner.unfelt > self.controller.bound, jnp.inf, longest)
        state = SteadyState(
            longest,
            jnp.where(restart, jnp.inf, wanted),
            jnp.where(restart, _WINDOW * period, left),
            jnp.where(restart, 0, quiet),
            jnp.where(over, jnp.mod(s.dither + _GOLDEN, 1), s.dither),
            inner,
        )
        return keep, next_t0, jnp.minimum(next_t1, next_t0 + longest), jump, state, result


def felt_frequency(field: Any, swing: Array) -> Array:
    r"""$f_P / \mathrm{arsinh}(\pi / A) + f_U$: how fast attention times values moves, cycles per unit of time.

    $A$ is how much logits swing ([`swing_of_logits`][]).
    """
    dtype = swing.dtype
    rest = [s.frequency for s in field.value_schedules if s.frequency is not None]
    total = sum((jnp.asarray(f, dtype) for f in rest), jnp.zeros((), dtype))
    if field.P.frequency is not None:
        swing = jnp.maximum(swing, jnp.finfo(dtype).tiny ** 0.25)
        total = total + jnp.asarray(field.P.frequency, dtype) / jnp.arcsinh(jnp.pi / swing)
    return jax.lax.stop_gradient(total)


def swing_of_logits(field: Any, t0: Array, t1: Array) -> Array:
    r"""The largest $\|P(t) - \bar P\|$ at some times of the run, for tokens as long as unit vectors."""
    if field.P.frequency is None:
        return jnp.zeros_like(t0)
    # Multiples of any one number may all fall on one phase of a forcing; their squares do not.
    k = jnp.arange(1, _LOOKS + 1).astype(t0.dtype)
    swing = field.P.swing(t0 + (t1 - t0) * ((k * k * _GOLDEN) % 1))
    # Tokens on an ellipsoid are as long as unit vectors unwhitened.
    if isinstance(field.manifold, Sphere):
        return swing
    frame = jnp.abs(field.manifold.unwhiten(jnp.eye(field.dim, dtype=t0.dtype)))
    return swing * jnp.max(jnp.sum(frame, axis=0)) * jnp.max(jnp.sum(frame, axis=1))
