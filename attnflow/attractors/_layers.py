"""Layers as maps: fixed points and cycles of tokens under repeated blocks, their multipliers, and exponents."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

from ..core.arrays import cast_floats
from ..core.checks import instance, real, whole
from ..core.compiled import compiled
from ..core.types import Numbers
from ..linearisation import chart, check_field, check_state, tangent_basis
from ..model import AttentionLayers
from ._cycles import refuse_moving
from ._exponents import T95, Exponents

_NEWTON = 40
_ONE = 1e-7  # how close to the unit circle a multiplier counts as on it
_PARTS = 16


@dataclass(frozen=True, eq=False)
class LayerCycle:
    r"""Tokens that come back after `period` layers; printed, a summary.

    **Attributes:**

    - `points`: the tokens before each of the layers, `(period, tokens, dim)`.
    - `period`: the least number of layers after which they are back.
    - `multipliers`: complex, the largest first: eigenvalues of the derivative of that many layers.
    - `miss`: by how much the tokens miss themselves.
    """

    points: Float[np.ndarray, "period tokens dim"]
    multipliers: Complex[np.ndarray, " n"]
    miss: float

    @property
    def period(self) -> int:
        return len(self.points)

    @property
    def stable(self) -> bool:
        """Whether each multiplier is inside the unit circle, but those that are 1: of families of such cycles."""
        others = self.multipliers[np.abs(self.multipliers - 1) > _ONE]
        return bool(np.abs(others).max(initial=0) < 1 - _ONE)

    def __str__(self) -> str:
        what = "fixed point" if self.period == 1 else f"cycle of {self.period} layers"
        first = ", ".join(f"{value:.6g}" for value in self.multipliers[:3])
        return f"{what}, {'stable' if self.stable else 'not stable'}; multipliers {first}"


def layer_cycle(layers: AttentionLayers, y: Numbers, *, period: int = 1) -> LayerCycle:
    r"""The tokens near `y` that `period` layers bring back, stable or not, and their multipliers.

    $$ g^p(x) = x, \qquad \mu_k \text{ eigenvalues of } Dg^p(x), $$

    by Newton's method in charts of the manifold, with exact derivatives; no part of its steps is along
    families of such tokens. With repulsive or long steps a multiplier passes $-1$: the fixed point flips,
    and a cycle of two layers is born (arXiv:2609.28448).

    **Arguments:**

    - `layers`: [`AttentionLayers`][] with the projection as their norm, of a field that time does not change.
    - `y`: tokens nearby, `(tokens, dim)`.
    - `period`: the number of layers. What comes back earlier is given with its least period.

    **Returns:**

    A [`LayerCycle`][attnflow.attractors.LayerCycle]: `points`, `period`, `multipliers`.

    **Raises:**

    `ValueError` for bad arguments; `RuntimeError` where no such tokens are near.

    ```python
    field = af.AttentionField(af.Sphere(2), P=jnp.zeros((2, 2)), mask="causal", frozen=[True, False], scale=1.0)
    layers = af.AttentionLayers(field, step=-5.0)
    apart = jnp.array([[1.0, 0.0], [-1.0, 0.0]])
    af.attractors.layer_cycle(layers, apart).multipliers       # -1.5, 1: flipped
    ```
    """
    x, layers = _checked(layers, y)
    period = whole("period", period)
    frozen = layers.field.frozen
    held = None if frozen is None else np.repeat(np.asarray(frozen), x.shape[1] - 1)
    eps, best = float(jnp.finfo(x.dtype).eps), np.inf
    J = np.zeros((0, 0))
    for _ in range(_NEWTON):
        miss, J = (np.asarray(a, np.float64) for a in _returned(layers, x, period))
        size = float(np.abs(miss).max(initial=0))
        if not np.isfinite(size) or (size <= 64 * eps and size >= best):
            break
        best = min(best, size)
        M = J - np.eye(len(J))
        if held is not None:
            M[:, held] = 0
        step = np.linalg.lstsq(M, -miss, rcond=1e3 * eps)[0]
        if size <= 4 * eps or not np.abs(step).max(initial=0) <= 0.5:
            break
        x = chart(x, tangent_basis(x), jnp.asarray(step, x.dtype).reshape(len(x), -1))
    miss, J = (np.asarray(a, np.float64) for a in _returned(layers, x, period))
    size = float(np.abs(miss).max(initial=0))
    if not size <= 1e4 * eps:
        raise RuntimeError(
            f"No tokens near `y` come back after {period} layers: they miss themselves by {size:.2g}. "
            "Start closer, such as at the end of many layers."
        )
    points = _points(layers, x, period)
    least = next(
        p
        for p in range(1, period + 1)
        if period % p == 0 and np.abs(points[p % period] - points[0]).max() <= 1e6 * eps
    )
    if least < period:
        return layer_cycle(layers, points[0], period=least)
    values = np.linalg.eigvals(J).astype(complex)
    return LayerCycle(points, values[np.argsort(-np.abs(values))], size)


def layer_exponents(
    layers: AttentionLayers, y0: Numbers, *, depth: int, count: int | None = None,
    transient: int | None = None,
) -> Exponents:  # fmt: skip
    r"""The leading Lyapunov exponents of the layers as a map, per layer, along the run from `y0`.

    $$ \lambda_k = \lim_{K\to\infty} \frac1K \sum_s \log R^{(s)}_{kk}, \qquad
    Dg(x_s)\, Q^{(s)} = Q^{(s+1)} R^{(s+1)}. $$

    A positive one is chaos. Next to a stable cycle they are the logarithms of the moduli of its multipliers, divided by
    its period.

    **Arguments:**

    - `layers`: [`AttentionLayers`][] with the projection as their norm, of a field that time does not change.
    - `y0`: tokens, `(tokens, dim)`.
    - `depth`: how many layers to average over, 16 at least; cut to a multiple of 16, whose means give error bars.
    - `count`: how many exponents; all, tokens (dim - 1), unless given.
    - `transient`: layers that go before; as many as `depth` by default.

    **Returns:**

    [`Exponents`][attnflow.attractors.Exponents], with layers as their time.

    **Raises:**

    `ValueError` for bad arguments.
    """
    x, layers = _checked(layers, y0)
    freedom = x.shape[0] * (x.shape[1] - 1)
    count = freedom if count is None else whole("count", count, most=freedom)
    depth = whole("depth", depth, least=_PARTS) // _PARTS * _PARTS
    before = depth if transient is None else whole("transient", transient, least=0)
    growth, last = _grown(layers, x, count, jnp.asarray(before), jnp.asarray(depth // _PARTS))
    history = np.asarray(growth, np.float64) * (_PARTS / depth)
    errors = T95 * history.std(axis=0, ddof=1) / np.sqrt(_PARTS)
    ends = float(before), float(before + depth)
    return Exponents(history.mean(axis=0), errors, history, *ends, np.asarray(last))


def _checked(layers: AttentionLayers, y: Numbers) -> tuple[Array, AttentionLayers]:
    instance("layers", layers, AttentionLayers, "AttentionLayers")
    if layers.norm is not None:
        raise ValueError(
            f"`layers` must have the projection as their norm; got {type(layers.norm).__name__}. Pass norm=None."
        )
    field = check_field("layers.field", layers.field)
    refuse_moving(field, 0.0)
    _, x = check_state(field, 0.0, real("y", y))
    return x, cast_floats(layers, x.dtype)


def _step(layers: AttentionLayers, x: Array) -> Array:
    """One layer on whitened unit tokens."""
    manifold = layers.field.manifold
    x = manifold.whiten(layers(0, manifold.unwhiten(x)))
    return x / jnp.linalg.norm(x, axis=1, keepdims=True)


@compiled
def _returned(layers: AttentionLayers, x: Array, period: int) -> tuple[Array, Array]:
    """Where tokens are after `period` layers, in the chart at where they were, and the derivative."""
    basis = tangent_basis(x)

    def after(xi: Array) -> tuple[Array, Array]:
        end = chart(x, basis, xi)
        for _ in range(period):
            end = _step(layers, end)
        along = jnp.sum(x * end, axis=1, keepdims=True)
        back = jnp.einsum("idk,id->ik", basis, end) / along
        back = jnp.where(jnp.min(along) > 0, back, jnp.inf).ravel()
        return back, back

    xi = jnp.zeros((x.shape[0], x.shape[1] - 1), x.dtype)
    J, back = jax.jacfwd(after, has_aux=True)(xi)
    return back, J.reshape(xi.size, xi.size)


@compiled
def _orbit(layers: AttentionLayers, x: Array, period: int) -> Array:
    points = [x]
    for _ in range(period - 1):
        points.append(_step(layers, points[-1]))
    return jnp.stack([layers.field.manifold.unwhiten(point) for point in points])


def _points(layers: AttentionLayers, x: Array, period: int) -> np.ndarray:
    return np.asarray(_orbit(layers, x, period))


@compiled
def _grown(
    layers: AttentionLayers, x: Array, count: int, before: Array, each: Array
) -> tuple[Array, Array]:
    """The growth in each of the parts, `(parts, count)`, and the tokens at the end."""

    def turn(k, state):
        x, Q, logs = state

        def along(v):
            return jax.jvp(lambda x: _step(layers, x), (x,), (v,))[1]

        V = jax.vmap(along)(Q)
        Q, R = jnp.linalg.qr(V.reshape(count, -1).T)
        size = jnp.maximum(jnp.abs(jnp.diagonal(R)), jnp.finfo(x.dtype).tiny)
        return _step(layers, x), Q.T.reshape(V.shape), logs + jnp.log(size)

    def part(state, _):
        x, Q = state
        x, Q, logs = jax.lax.fori_loop(0, each, turn, (x, Q, jnp.zeros(count, x.dtype)))
        return (x, Q), logs

    basis = tangent_basis(x)
    n = x.shape[0] * (x.shape[1] - 1)
    mixed = jnp.asarray(np.linalg.qr(np.random.default_rng(0).normal(size=(n, n)))[0], x.dtype)
    Q = jnp.einsum("idk,cik->cid", basis, mixed[:count].reshape(count, x.shape[0], -1))
    none = jnp.zeros(count, x.dtype)
    x, Q, _ = jax.lax.fori_loop(0, before, turn, (x, Q, none))
    (x, _), logs = jax.lax.scan(part, (x, Q), None, length=_PARTS)
    return logs, layers.field.manifold.unwhiten(x)
