"""Lyapunov exponents along a run: tangent vectors carried by `jvp`, made orthonormal again as it goes."""

import math
from dataclasses import dataclass

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..core.arrays import cast_floats
from ..core.checks import instance, number, real, shaped, whole
from ..core.compiled import compiled
from ..core.types import Numbers, Scalar
from ..flow import simulate
from ..linearisation import check_field, check_state, jacobian, tangent_basis
from ..model import AttentionField

_BATCHES = 16  # parts of the run whose means give the error bars
T95 = 2.131449546  # Student's 97.5 % point with 15 degrees of freedom
_TURN = 1.0  # between two orthonormalisations: at most so much time times the size of the Jacobian
_STEPS = 2**14  # of the solver between two of them
_CHUNK_BYTES = 2**24  # of tokens and tangent vectors that run side by side


@dataclass(frozen=True, eq=False)
class Exponents:
    r"""What [`exponents`][attnflow.attractors.exponents] returns; printed, a table.

    Of several runs, everything has a leading axis of runs.

    **Attributes:**

    - `values`: the exponents, the largest first, `(count,)`, in units of one over time.
    - `errors`: half the 95 % interval of each as a mean over time, from the means of 16 consecutive parts; zero to
      rounding at an equilibrium. It knows nothing of a transient that is longer than what was left out.
    - `history`: the mean growth in each of these parts, `(16, count)`.
    - `t0`, `t1`: where averaging began, and the end.
    - `state`: the tokens at the end, `(tokens, dim)`.
    """

    values: Float[np.ndarray, "*runs count"]
    errors: Float[np.ndarray, "*runs count"]
    history: Float[np.ndarray, "*runs parts count"]
    t0: float
    t1: float
    state: Float[np.ndarray, "*runs tokens dim"]

    @property
    def total(self) -> np.ndarray:
        """Their sum: the rate at which volumes grow, where all of them were asked for."""
        return np.asarray(self.values.sum(axis=-1))

    def __str__(self) -> str:
        lines = [f"Lyapunov exponents, averaged from t = {self.t0:g} to {self.t1:g}"]
        if self.values.ndim > 1:
            number = self.values.shape[0]
            lines[0] += f", means of {number} runs"
        mean = self.values.reshape(-1, self.values.shape[-1]).mean(axis=0)
        errors = self.errors.reshape(-1, self.errors.shape[-1]).max(axis=0)
        lines += [
            f"{k + 1:>4}  {a: .9g} +- {b:.2g}"
            for k, (a, b) in enumerate(zip(mean, errors, strict=True))
        ]
        return "\n".join(lines)


def exponents(
    field: AttentionField,
    y0: Numbers,
    *,
    t1: Scalar,
    count: int | None = None,
    t0: Scalar = 0.0,
    transient: Scalar | None = None,
    rtol: float | None = None,
    atol: float | None = None,
) -> Exponents:
    r"""The leading Lyapunov exponents of the flow along the run from `y0`.

    $$ \lambda_k = \lim_{T\to\infty} \frac1T \sum_s \log R^{(s)}_{kk}, \qquad
    V(t_{s+1}) = Q^{(s+1)} R^{(s+1)}, \quad \dot V = \partial f(t, y)\, V, \ V(t_s) = Q^{(s)}. $$

    The `count` tangent vectors, in the metric of W, are carried along with the tokens, each by one `jvp`; they
    are factorised about once in the time in which the Jacobian can turn them. The first $Q$ is that of the eigenvectors
    of the Jacobian where averaging begins, so that at an equilibrium the exponents are the real parts of its
    eigenvalues from the first step on, however close these are. Of a run that comes to rest only then, or is chaotic,
    they are means over time, whose error falls as $1/T$ or $1/\sqrt T$.

    **Arguments:**

    - `field`: an [`AttentionField`][] whose tokens stay on the manifold; its schedules may change in
      time, without jumps.
    - `y0`: tokens, `(tokens, dim)`, or many starts, `(runs, tokens, dim)`, which run side by side, as many at a time
      as memory holds well (some ten thousand of a few tokens).
    - `t1`, `t0`: end and beginning.
    - `count`: how many; all of them, tokens (dim - 1), unless given.
    - `transient`: the time that is left out at first; half of the run by default.
    - `rtol`, `atol`: of tokens and tangent vectors together, per step; 1e-9 and 1e-12 in float64, 1e-5 and
      1e-7 in float32.

    **Returns:**

    An [`Exponents`][attnflow.attractors.Exponents]: `values`, `errors`, `history`.

    **Raises:**

    `ValueError` for bad arguments, `RuntimeError` for a run that fails.

    Known answers, with `scale=1`: at consensus under full attention with $U = I$: 0 ($d - 1$ times), then $-1$;
    causal: $-(1 - 1/k)$ for token $k$; with $U = I + S$, $S$ skew, zero for the direction in which consensus turns.

    ```python
    sphere = af.Sphere(3)
    field = af.AttentionField(sphere, P=jnp.eye(3), scale=1.0)
    af.attractors.exponents(field, sphere.random(jax.random.key(0), (4,)), t1=80.0, count=3).values  # 0, 0, -1
    ```
    """
    # === check arguments
    instance("field", field, AttentionField, "an AttentionField")
    begin, end = number("t0", t0), number("t1", t1)
    if not end > begin:
        raise ValueError(f"`t1` must be after t0; got t0 = {begin:g} and t1 = {end:g}.")
    skip = (end - begin) / 2 if transient is None else number("transient", transient, least=0.0)
    if not begin + skip < end:
        raise ValueError(f"`transient` must end before t1; got {skip:g} of {end - begin:g}.")
    if field.jump_times is not None:
        raise ValueError("`field` must not jump in time; got schedules with jumps. Smooth them.")
    starts = real("y0", y0)
    double = starts.dtype == jnp.float64
    rtol = (1e-9 if double else 1e-5) if rtol is None else number("rtol", rtol, above=0.0)
    atol = (1e-12 if double else 1e-7) if atol is None else number("atol", atol, least=0.0)
    tolerances = jnp.asarray(rtol, starts.dtype), jnp.asarray(atol, starts.dtype)
    single = starts.ndim == 2
    shaped("y0", starts.shape, ("tokens", field.dim), ("runs", "tokens", field.dim))
    starts = starts[None] if single else starts
    check_state(check_field("field", field), begin, starts[0])
    freedom = starts.shape[1] * (starts.shape[2] - 1)
    count = freedom if count is None else whole("count", count, most=freedom)

    # === run
    field = cast_floats(field, starts.dtype)
    size = max(1, _CHUNK_BYTES // (starts[0].nbytes * (1 + count)))
    many = [
        _averaged(field, starts[k : k + size], (begin, begin + skip, end), count, tolerances)
        for k in range(0, len(starts), size)
    ]
    values, errors, history, last = map(np.concatenate, zip(*many, strict=True))
    if single:
        values, errors, history, last = values[0], errors[0], history[0], last[0]
    return Exponents(values, errors, history, begin + skip, end, last)


def _averaged(
    field: AttentionField,
    starts: Array,
    times: tuple[float, float, float],
    count: int,
    tolerances: tuple[Array, Array],
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Exponents, their errors, the growth in each part and the tokens at the end, of runs side by side."""
    begin, middle, end = times
    dtype = starts.dtype
    if middle > begin:
        span = jnp.asarray(begin, dtype), jnp.asarray(middle, dtype)
        starts = _settled(field, starts, *span, *tolerances)
    J = np.asarray(_jacobians(field, jnp.asarray(middle, dtype), starts), np.float64)
    if not np.all(np.isfinite(J)):
        raise RuntimeError(
            "A run failed before `transient` was over: tokens or the Jacobian are not finite. "
            "Run attnflow.simulate from the same start, which says why."
        )
    frames = jnp.asarray(np.stack([_frame(A, count) for A in J]), dtype)
    spread = float(np.max(np.linalg.norm(J, 2, axis=(1, 2))))
    turns = max(1, math.ceil((end - middle) * max(spread, 1e-3) / _TURN / _BATCHES))
    growth, state = _grown(
        field, starts, frames, jnp.asarray(middle, dtype), jnp.asarray(end, dtype),
        jnp.asarray(turns), *tolerances,
    )  # fmt: skip
    history = np.asarray(growth, np.float64) * (_BATCHES / (end - middle))
    if not np.all(np.isfinite(history)):
        raise RuntimeError(
            "A run failed: tokens or tangent vectors are not finite, or steps ran out."
        )
    errors = T95 * history.std(axis=1, ddof=1) / math.sqrt(_BATCHES)
    return history.mean(axis=1), errors, history, np.asarray(state)


def _frame(J: np.ndarray, count: int) -> np.ndarray:
    """An orthonormal basis, as columns, of the spans of the leading eigenvectors of `J`, one after the other."""
    values, V = np.linalg.eig(J)
    real, turning = np.real(values), np.imag(values)
    columns = []
    for k in np.lexsort((-turning, -real)):
        if turning[k] >= 0:
            columns.append(np.real(V[:, k]))
        if turning[k] > 0:
            columns.append(np.imag(V[:, k]))
    # Where eigenvectors coincide, a little of everything makes the basis whole.
    basis = np.stack(columns, axis=1)[:, : len(J)]
    basis += 1e-12 * np.random.default_rng(0).normal(size=basis.shape)
    return np.linalg.qr(basis)[0][:, :count]


@compiled
def _settled(
    field: AttentionField, starts: Array, t0: Array, t1: Array, rtol: Array, atol: Array
) -> Array:
    def run(y):
        return simulate(field, y, t0=t0, t1=t1, rtol=rtol, atol=atol, throw=False).y1

    return jax.vmap(run)(starts)


@compiled
def _jacobians(field: AttentionField, t: Array, ys: Array) -> Array:
    return jax.vmap(lambda y: jacobian(field, t, y))(ys)


@compiled
def _grown(
    field: AttentionField,
    ys: Array,
    frames: Array,
    t0: Array,
    t1: Array,
    turns: Array,
    rtol: Array,
    atol: Array,
) -> tuple[Array, Array]:
    """The logarithmic growth in each part of the run, `(runs, parts, count)`, and the tokens at the end."""
    manifold = field.manifold

    def velocity(t, x):
        return manifold.whiten(field(t, manifold.unwhiten(x)))

    def carried(t, state, args):
        x, V = state

        def along(v):
            return jax.jvp(lambda x: velocity(t, x), (x,), (v,))[1]

        return velocity(t, x), jax.vmap(along)(V)

    step = (t1 - t0) / (_BATCHES * turns.astype(t0.dtype))
    controller = diffrax.PIDController(rtol=rtol, atol=atol)

    def turn(k, state):
        x, V, logs = state
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
        Q, R = jnp.linalg.qr(V.reshape(len(V), -1).T)
        return x, Q.T.reshape(V.shape), logs + jnp.log(jnp.abs(jnp.diagonal(R)))

    def part(state, j):
        x, V = state
        none = jnp.zeros(V.shape[0], x.dtype)
        x, V, logs = jax.lax.fori_loop(j * turns, (j + 1) * turns, turn, (x, V, none))
        return (x, V), logs

    def one(y, frame):
        x = manifold.whiten(y)
        x = x / jnp.linalg.norm(x, axis=1, keepdims=True)
        frame = frame.T.reshape(frame.shape[1], x.shape[0], -1)
        V = jnp.einsum("idk,cik->cid", tangent_basis(x), frame)
        (x, _), logs = jax.lax.scan(part, (x, V), jnp.arange(_BATCHES))
        return logs, manifold.unwhiten(x)

    return jax.vmap(one)(ys, frames)
