"""Covariant Lyapunov vectors along a run: forward with QR, then backward (Ginelli and others, arXiv:0706.0510)."""

from dataclasses import dataclass

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..core.arrays import cast_floats
from ..core.checks import instance, number, real, whole
from ..core.compiled import compiled
from ..core.types import Numbers, Scalar
from ..linearisation import check_field, check_state, tangent_basis
from ..model import AttentionField

_STEPS = 2**14


@dataclass(frozen=True, eq=False)
class CovariantVectors:
    r"""What [`covariant_vectors`][attnflow.attractors.covariant_vectors] returns.

    **Attributes:**

    - `ts`: times, `(times,)`, and `ys`: tokens there, `(times, tokens, dim)`.
    - `vectors`: unit tangent vectors in the metric of W, `(times, count, tokens, dim)`: the flow carries each to a
      multiple of itself at the next time.
    - `rates`: by how much each grows on the way to the next time, per unit of it, `(times - 1, count)`.
    - `values`: the exponents, means of these, `(count,)`.
    """

    ts: Float[np.ndarray, " times"]
    ys: Float[np.ndarray, "times tokens dim"]
    vectors: Float[np.ndarray, "times count tokens dim"]
    rates: Float[np.ndarray, "steps count"]

    @property
    def values(self) -> np.ndarray:
        return self.rates.mean(axis=0)

    def angle(self, i: int, j: int) -> np.ndarray:
        """The angle between two of them at each time, from 0 to pi/2: where it is zero, directions touch."""
        inner = np.sum(self.vectors[:, i] * self.vectors[:, j], axis=(1, 2))
        return np.arccos(np.minimum(np.abs(inner), 1.0))


def covariant_vectors(
    field: AttentionField,
    y0: Numbers,
    *,
    t1: Scalar,
    count: int,
    t0: Scalar = 0.0,
    steps: int = 256,
) -> CovariantVectors:
    r"""The leading covariant Lyapunov vectors along the run from `y0`.

    Forward, `count` tangent vectors are carried by `jvp` and factorised at each step,
    $D\phi\,Q_s = Q_{s+1}R_{s+1}$. Backward from any upper triangle, $C_s \propto R_{s+1}^{-1} C_{s+1}$ comes to the
    vectors $Q_sC_s$ which the flow takes to multiples of one another. The first and the last quarter of the steps are
    for coming close, and are not given.

    **Arguments:**

    - `field`: an [`AttentionField`][] on a [`Sphere`][attnflow.Sphere] or ellipsoid whose tokens stay on it.
    - `y0`: tokens, `(tokens, dim)`.
    - `t1`, `t0`: end and beginning.
    - `count`: how many.
    - `steps`: between which vectors are made orthonormal; 8 at least.

    **Returns:**

    [`CovariantVectors`][attnflow.attractors.CovariantVectors].

    **Raises:**

    `ValueError` for bad arguments, `RuntimeError` for a run that fails.

    At an equilibrium the vectors are eigenvectors of the Jacobian.
    """
    instance("field", field, AttentionField, "an AttentionField")
    begin, end = number("t0", t0), number("t1", t1)
    if not end > begin:
        raise ValueError(f"`t1` must be after t0; got t0 = {begin:g} and t1 = {end:g}.")
    _, x = check_state(check_field("field", field), begin, real("y0", y0))
    count = whole("count", count, most=x.shape[0] * (x.shape[1] - 1))
    steps = whole("steps", steps, least=8)
    field = cast_floats(field, x.dtype)
    span = jnp.asarray(begin, x.dtype), jnp.asarray(end, x.dtype)
    xs, Qs, Rs = (np.asarray(a, np.float64) for a in _forward(field, x, count, steps, *span))
    if not (np.all(np.isfinite(xs)) and np.all(np.isfinite(Rs))):
        raise RuntimeError(
            "The run failed: tokens or tangent vectors are not finite, or steps ran out."
        )
    ts = np.linspace(begin, end, steps + 1)
    C = np.triu(np.random.default_rng(0).normal(size=(count, count))) + np.eye(count)
    C /= np.linalg.norm(C, axis=0)
    first, last = steps // 4, steps - steps // 4
    vectors, rates = [], []
    for s in range(steps, first - 1, -1):
        if s <= last:
            vectors.append(np.einsum("kid,kc->cid", Qs[s], C))
        if s > first:
            before = np.linalg.solve(Rs[s - 1], C)
            size = np.linalg.norm(before, axis=0)
            if s <= last:
                rates.append(-np.log(size) / (ts[s] - ts[s - 1]))
            C = before / size
    manifold = field.manifold
    ys = np.asarray(manifold.unwhiten(jnp.asarray(xs[first : last + 1])), np.float64)
    out = np.asarray(manifold.unwhiten(jnp.asarray(np.stack(vectors[::-1]))), np.float64)
    return CovariantVectors(ts[first : last + 1], ys, out, np.stack(rates[::-1]))


@compiled
def _forward(
    field: AttentionField, x: Array, count: int, steps: int, t0: Array, t1: Array
) -> tuple[Array, Array, Array]:
    """Whitened tokens and orthonormal vectors at each time, and the triangles between them."""
    manifold = field.manifold

    def velocity(t, x):
        return manifold.whiten(field(t, manifold.unwhiten(x)))

    def carried(t, state, args):
        x, V = state
        along = jax.vmap(lambda v: jax.jvp(lambda x: velocity(t, x), (x,), (v,))[1])
        return velocity(t, x), along(V)

    double = x.dtype == jnp.float64
    controller = diffrax.PIDController(
        rtol=1e-9 if double else 1e-5, atol=1e-12 if double else 1e-7
    )
    step = (t1 - t0) / steps

    def turn(state, k):
        x, V = state
        start = t0 + k.astype(t0.dtype) * step
        solution = diffrax.diffeqsolve(
            diffrax.ODETerm(carried), diffrax.Tsit5(), start, start + step, None, (x, V),
            stepsize_controller=controller, max_steps=_STEPS, throw=False,
            adjoint=diffrax.ForwardMode(),
        )  # fmt: skip
        assert solution.ys is not None
        x, V = (leaf[-1] for leaf in solution.ys)
        x = x / jnp.linalg.norm(x, axis=1, keepdims=True)
        V = V - jnp.sum(V * x[None], axis=2, keepdims=True) * x[None]
        Q, R = jnp.linalg.qr(V.reshape(count, -1).T)
        sign = jnp.where(jnp.diagonal(R) < 0, -1, 1).astype(x.dtype)
        Q, R = Q * sign[None, :], R * sign[:, None]
        V = Q.T.reshape(V.shape)
        return (x, V), (x, V, R)

    n = x.shape[0] * (x.shape[1] - 1)
    mixed = jnp.asarray(np.linalg.qr(np.random.default_rng(1).normal(size=(n, n)))[0], x.dtype)
    V = jnp.einsum("idk,cik->cid", tangent_basis(x), mixed[:count].reshape(count, x.shape[0], -1))
    _, (xs, Vs, Rs) = jax.lax.scan(turn, (x, V), jnp.arange(steps))
    return jnp.concatenate([x[None], xs]), jnp.concatenate([V[None], Vs]), Rs
