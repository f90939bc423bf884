"""How much small differences grow before they decline: the numerical abscissa and transient growth of a Jacobian."""

import math
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jaxtyping import Complex, Float

from ..core.checks import number, numbers as numbers_of
from ..core.types import Numbers, Scalar
from ..linearisation.frames import family_directions, frame_of, moving_complement
from ..model import AttentionField

_COARSE = 200


@dataclass(frozen=True, eq=False)
class Growth:
    r"""What [`growth`][attnflow.attractors.growth] returns; printed, a summary.

    **Attributes:**

    - `abscissa`: the largest real part of an eigenvalue: the growth in the end.
    - `numerical_abscissa`: the largest eigenvalue of $(J + J^\top)/2$: the growth at first.
    - `times`, `norms`: $\lVert e^{tJ}\rVert_2$ at each time.
    - `peak`, `peak_time`: its maximum over $0 \leq t \leq$ `times[-1]`, and where it is.
    - `start`, `end`: unit tangent vectors at the tokens, `(tokens, dim)`: what grows most until then, and what it has
      grown into.
    - `slow`: the eigenvalues nearest to zero whose modes decline, complex, the slowest first, and `modes`: their
      unit tangent vectors, `(number, tokens, dim)`.
    """

    abscissa: float
    numerical_abscissa: float
    times: Float[np.ndarray, " times"]
    norms: Float[np.ndarray, " times"]
    peak: float
    peak_time: float
    start: Float[np.ndarray, "tokens dim"]
    end: Float[np.ndarray, "tokens dim"]
    slow: Complex[np.ndarray, " number"]
    modes: Complex[np.ndarray, "number tokens dim"]

    def __str__(self) -> str:
        lines = [
            f"growth {self.numerical_abscissa:.6g} at first, {self.abscissa:.6g} in the end",
            f"at most {self.peak:.6g} times, at t = {self.peak_time:.4g}",
        ]
        if len(self.slow):
            rate = -float(self.slow[0].real)
            lines.append(f"slowest to decline: {self.slow[0]:.6g}, by a factor e in {1 / rate:.4g}")
        return "\n".join(lines)


def growth(
    field: AttentionField, y: Numbers, times: Numbers, *, t: Scalar = 0.0, slow: int = 4
) -> Growth:
    r"""How small differences grow near tokens at rest, in finite time, and what is slow to decline.

    $$ \lVert e^{tJ} \rVert_2, \qquad \omega(J) = \lambda_{\max}\tfrac12(J + J^\top)
    = \tfrac{d}{dt}\lVert e^{tJ}\rVert_2 \Big|_{t=0}, \qquad \alpha(J) = \max \operatorname{Re}\lambda(J). $$

    `J` is the exact Jacobian in orthonormal tangent bases in the metric of W, on the complement of the family of
    symmetries and of frozen tokens. Under full attention with symmetric matrices it is close to normal, and growth
    at first is growth in the end. A causal mask makes it triangular: where that is far from normal, differences grow
    for a while that decline in the end.

    **Arguments:**

    - `field`: an [`AttentionField`][] whose tokens stay on the manifold.
    - `y`: tokens, at an equilibrium for these to be growth along a run, `(tokens, dim)`.
    - `times`: increasing, from zero on, `(times,)`.
    - `t`: the time at which schedules are taken.
    - `slow`: how many slow modes to give.

    **Returns:**

    A [`Growth`][attnflow.attractors.Growth].

    **Raises:**

    `ValueError` for bad arguments.

    ```python
    sphere = af.Sphere(3)
    field = af.AttentionField(sphere, P=jnp.eye(3), mask="causal", scale=1.0)
    consensus = jnp.tile(jnp.array([1.0, 0.0, 0.0]), (8, 1))
    print(af.attractors.growth(field, consensus, jnp.linspace(0.0, 20.0, 50)))
    ```
    """
    ts = np.asarray(numbers_of("times", times), np.float64)
    if ts.ndim != 1 or not len(ts) or ts[0] < 0 or np.any(np.diff(ts) <= 0):
        raise ValueError("`times` must increase from zero on, shape (times,).")
    many = int(number("slow", slow, least=0))
    frame = frame_of(field, t, y)
    free = moving_complement(frame, family_directions(field, frame))
    J = free.T @ frame.local.jacobian @ free
    if not len(J):
        raise ValueError("`y` must have directions that no symmetry explains; got none.")
    values, V = np.linalg.eig(J)
    norms = np.array([_norm(J, s) for s in ts])
    peak_time = _peak(J, float(ts[-1]))
    left, sizes, right = np.linalg.svd(expm(peak_time * J))

    def lifted(v: np.ndarray) -> np.ndarray:
        xi = (free @ v).reshape(len(frame.x), -1)
        return np.einsum("idk,ik->id", frame.local.basis, xi)

    def out(v: np.ndarray) -> np.ndarray:
        x = jnp.asarray(lifted(v), frame.x.dtype)
        return np.asarray(field.manifold.unwhiten(x), np.float64)

    order = [k for k in np.argsort(-np.real(values), kind="stable") if np.real(values[k]) < 0]
    order = order[:many]
    shape = (len(order), *frame.x.shape)
    modes = [out(np.real(V[:, k])) + 1j * out(np.imag(V[:, k])) for k in order]
    return Growth(
        abscissa=float(np.real(values).max()),
        numerical_abscissa=float(np.linalg.eigvalsh((J + J.T) / 2)[-1]),
        times=ts,
        norms=norms,
        peak=float(sizes[0]),
        peak_time=peak_time,
        start=out(right[0]),
        end=out(left[:, 0]),
        slow=values[order].astype(complex),
        modes=np.array(modes, complex).reshape(shape),
    )


def _norm(J: np.ndarray, s: float) -> float:
    return float(np.linalg.norm(expm(s * J), 2))


def _peak(J: np.ndarray, end: float) -> float:
    """Where the norm is largest: the best of points evenly apart, then thirds of the interval about it."""
    if end == 0:
        return 0.0
    step = end / _COARSE
    once = expm(step * J)
    power, heights = np.eye(len(J)), [1.0]
    for _ in range(_COARSE):
        power = power @ once
        heights.append(float(np.linalg.norm(power, 2)))
    k = int(np.argmax(heights))
    low, high = max(0.0, (k - 1) * step), min(end, (k + 1) * step)
    for _ in range(40):
        a, b = low + (high - low) / 3, high - (high - low) / 3
        low, high = (a, high) if _norm(J, a) < _norm(J, b) else (low, b)
    best = max((_norm(J, s), s) for s in (0.0, (low + high) / 2, end))
    return best[1]


def expm(A: np.ndarray) -> np.ndarray:
    """The exponential of a matrix: Taylor's series of a small part of it, squared again."""
    size = float(np.linalg.norm(A, 1))
    halvings = max(0, math.ceil(math.log2(size / 0.25))) if size > 0 else 0
    small = A / 2.0**halvings
    term = total = np.eye(len(A))
    for k in range(1, 15):
        term = term @ small / k
        total = total + term
    for _ in range(halvings):
        total = total @ total
    return total
