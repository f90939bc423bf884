"""Schedules that oscillate: entrywise sinusoids and Fourier sums."""

from collections.abc import Callable
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Real

from ..core.checks import boolean, finite, is_concrete, scalar_time, shaped
from ..core.types import Numbers
from ._base import AbstractSchedule
from ._in_file import InFile
from ._kinks import Kinks
from ._range import Range, float64, same_transposed


def _cycles(omega: Array, of_each: int) -> Array:
    if is_concrete(omega):  # in NumPy: nothing is compiled
        return jnp.asarray(np.max(np.abs(np.asarray(omega))) / (2 * np.pi) * of_each)
    return jnp.max(jnp.abs(omega)) / (2 * jnp.pi) * of_each


class Sinusoid(AbstractSchedule):
    r"""$M(t) = A \sin(\omega t + \varphi)$, entry by entry; rectified: $|A \sin(\omega t + \varphi)|$.

    A cosine is a phase of $\pi/2$. The three arguments broadcast to one shape. A rectified sinusoid
    has a kink at each zero and twice the frequency.

    **Arguments:**

    - `amplitude`: $A$.
    - `omega`: $\omega$, in radians per unit of time.
    - `phase`: $\varphi$, in radians.
    - `rectified`: take the absolute value (the $|2\sin(\omega t + \varphi)|$ of the paper's Fig. 4).

    ```python
    D1 = af.Sinusoid(2.0, jnp.pi * jnp.array([10.0, 10.0, 6.0]), jnp.pi / 2 * jnp.array([1.0, 0.0, 1.0]))
    ```
    """

    amplitude: Float[Array, "..."]
    omega: Float[Array, "..."]
    phase: Float[Array, "..."]
    rectified: bool = eqx.field(static=True)

    never_trained: ClassVar[tuple[str, ...]] = ()
    trained_if_asked: ClassVar[tuple[str, ...]] = ("omega",)
    in_file: ClassVar[InFile | None] = InFile(
        "sinusoid",
        amplitude="numbers",
        omega="numbers",
        phase=("numbers", 0.0),
        rectified=(bool, False),
    )

    def __init__(
        self, amplitude: Numbers, omega: Numbers, phase: Numbers = 0.0, rectified: bool = False
    ):
        self.amplitude = finite("amplitude", amplitude)
        self.omega = finite("omega", omega)
        self.phase = finite("phase", phase)
        self.rectified = boolean("rectified", rectified)
        shapes = (self.amplitude.shape, self.omega.shape, self.phase.shape)
        try:
            jnp.broadcast_shapes(*shapes)
        except ValueError as error:
            raise ValueError(
                f"`amplitude`, `omega` and `phase` must broadcast to one shape; got {shapes}."
            ) from error

    def __call__(self, t: Real[ArrayLike, ""]) -> Float[Array, "..."]:
        shape = jnp.broadcast_shapes(self.amplitude.shape, self.omega.shape, self.phase.shape)
        dtype = jnp.result_type(self.amplitude.dtype, self.omega.dtype, self.phase.dtype)
        amplitude, omega, phase = (
            jnp.broadcast_to(x, shape).astype(dtype)
            for x in (self.amplitude, self.omega, self.phase)
        )
        value = amplitude * jnp.sin(omega * scalar_time(t, dtype) + phase)
        return jnp.abs(value) if self.rectified else value

    def kinks(self) -> tuple[Kinks, ...]:
        """A rectified sinusoid has a kink at each zero."""
        return (Kinks(self.omega, self.phase),) if self.rectified else ()

    @property
    def frequency(self) -> Float[Array, ""]:
        return _cycles(self.omega, 2 if self.rectified else 1)

    @property
    def jump_times(self) -> None:
        return None

    def congruence(self, left: Array, right: Array) -> AbstractSchedule:
        if self.rectified or self.omega.ndim or self.phase.ndim:
            return super().congruence(left, right)
        return Sinusoid(left @ (self.amplitude @ right), self.omega, self.phase)

    def range_from(self, t0: float) -> Range:
        A, omega, phase = np.broadcast_arrays(
            float64(self.amplitude), float64(self.omega), float64(self.phase)
        )
        moving, size = (omega != 0) & (A != 0), np.abs(A)
        value = A * np.sin(phase)
        centre, radius = np.zeros_like(A), size
        if self.rectified:
            value, centre, radius = np.abs(value), size / 2, size / 2
        return Range(
            np.where(moving, centre, value), np.where(moving, radius, 0.0), size * np.abs(omega)
        )

    def angular_frequencies(self) -> np.ndarray:
        return np.abs(float64(self.omega)).ravel()

    def is_symmetric(self) -> bool:
        entries = (self.amplitude, self.omega, self.phase)
        flat = any(a.ndim == 1 for a in entries)
        return not flat and same_transposed(*(a for a in entries if a.ndim >= 2))


class Fourier(AbstractSchedule):
    r"""$M(t) = C + \sum_{k=1}^{K} \big(A_k \cos k\omega t + B_k \sin k\omega t\big)$.

    **Arguments:**

    - `constant`: $C$, any shape.
    - `cosine`, `sine`: $A$ and $B$, shape `(K, *constant.shape)`.
    - `omega`: $\omega$, a scalar, in radians per unit of time: the period is $2\pi/\omega$.
    """

    constant: Float[Array, "..."]
    cosine: Float[Array, "modes ..."]
    sine: Float[Array, "modes ..."]
    omega: Float[Array, ""]

    never_trained: ClassVar[tuple[str, ...]] = ()
    trained_if_asked: ClassVar[tuple[str, ...]] = ("omega",)
    in_file: ClassVar[InFile | None] = InFile(
        "fourier", constant="numbers", cosine="array", sine="array", omega=float
    )

    def __init__(self, constant: Numbers, cosine: Numbers, sine: Numbers, omega: Numbers):
        self.constant = finite("constant", constant)
        self.cosine = finite("cosine", cosine)
        self.sine = finite("sine", sine)
        self.omega = finite("omega", omega)
        if self.cosine.shape != self.sine.shape or self.cosine.shape[1:] != self.constant.shape:
            raise ValueError(
                "`cosine` and `sine` must have shape (modes, *constant.shape); got "
                f"{self.cosine.shape} and {self.sine.shape} for a constant of {self.constant.shape}."
            )
        shaped("omega", self.omega.shape, ())

    def __call__(self, t: Real[ArrayLike, ""]) -> Float[Array, "..."]:
        dtype = self.constant.dtype
        k = jnp.arange(1, self.cosine.shape[0] + 1).astype(dtype)
        angle = k * (self.omega.astype(dtype) * scalar_time(t, dtype))
        return (
            self.constant
            + jnp.tensordot(jnp.cos(angle), self.cosine.astype(dtype), axes=1)
            + jnp.tensordot(jnp.sin(angle), self.sine.astype(dtype), axes=1)
        )

    @property
    def frequency(self) -> Float[Array, ""]:
        return _cycles(self.omega, self.cosine.shape[0])

    @property
    def jump_times(self) -> None:
        return None

    def congruence(self, left: Array, right: Array) -> AbstractSchedule:
        fold = lambda m: left @ (m @ right)  # noqa: E731
        return Fourier(fold(self.constant), fold(self.cosine), fold(self.sine), self.omega)

    def mapped(self, f: Callable[[Array], Array], linear: bool = False) -> "Fourier | None":
        if not linear:
            return None
        cosine, sine = jax.vmap(f)(self.cosine), jax.vmap(f)(self.sine)
        return Fourier(f(self.constant), cosine, sine, self.omega)

    def range_from(self, t0: float) -> Range:
        C, A, B = float64(self.constant), float64(self.cosine), float64(self.sine)
        omega = abs(float(self.omega))
        if omega == 0:
            return Range.constant(C + A.sum(axis=0))
        size = np.hypot(A, B)
        k = np.arange(1, len(A) + 1)
        return Range(C, size.sum(axis=0), omega * np.tensordot(k, size, axes=1))

    def angular_frequencies(self) -> np.ndarray:
        return np.abs(float64(self.omega)).ravel()

    def is_symmetric(self) -> bool:
        return same_transposed(self.constant, self.cosine, self.sine)
