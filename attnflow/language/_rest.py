"""`rest`: where a looped model ends: a state that a pass gives back, or a cycle, and whether it is stable."""

from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Complex, Float

from ..core.checks import floating, whole
from ..core.compiled import compiled
from ..observables import clusters as labels
from ._layer import by_layer, own_block, scanned, through
from ._model import Transformer, check_feed_forward, final
from ._modules import without_feed_forward

_LONGEST = 4  # period of a cycle that is looked for
_STEPS = 24  # of Arnoldi's iteration
_NEWTON = 12


@dataclass(frozen=True, eq=False)
class Rest:
    r"""Where one prompt's tokens end, under pass after pass.

    **Attributes:**

    - `tokens`: the state, `(length, dim)`.
    - `period`: passes after which it comes again, 1 for an equilibrium; 0 where none up to 4 does.
    - `residual`: the largest change of a token by `period` passes, over the length of tokens.
    - `passes`: that were made before Newton's method.
    - `multipliers`: of the Jacobian of `period` passes those of largest modulus, as Arnoldi's iteration
      gives them (Ritz values), largest first.
    - `error`: how far the first of them may be from an eigenvalue of a nearby Jacobian: its residual.
    - `clusters`: sizes, largest first.
    """

    tokens: Float[np.ndarray, "length dim"]
    period: int
    residual: float
    passes: int
    multipliers: Complex[np.ndarray, " some"]
    error: float
    clusters: tuple[int, ...]

    @property
    def stable(self) -> bool | None:
        """Whether every multiplier is inside the unit circle, by its error; `None` where it is undecided."""
        if self.period == 0 or not len(self.multipliers):
            return None
        largest = float(np.abs(self.multipliers[0]))
        if largest + self.error < 1:
            return True
        return False if largest - self.error > 1 else None

    def record(self) -> dict[str, Any]:
        """Without the tokens, plain values."""
        return {
            "period": self.period,
            "residual": self.residual,
            "passes": self.passes,
            "multipliers": [[float(m.real), float(m.imag)] for m in self.multipliers],
            "error": self.error,
            "stable": self.stable,
            "clusters": list(self.clusters),
        }

    def __str__(self) -> str:
        kind = {0: "no rest or cycle of four passes", 1: "an equilibrium"}.get(
            self.period, f"a cycle of {self.period} passes"
        )
        groups = " + ".join(map(str, self.clusters))
        word = {True: "stable", False: "unstable", None: "of stability unknown"}[self.stable]
        tail = f", {word}" if self.period else ""
        if self.period and len(self.multipliers):
            tail += f": largest multiplier {abs(self.multipliers[0]):.4g} (error {self.error:.1e})"
        return f"{kind} (residual {self.residual:.1e}), clusters {groups}{tail}"


def rest(
    model: Transformer,
    tokens: Float[ArrayLike, "length dim"],
    *,
    feed_forward: bool = True,
    passes: int = 100,
    threshold: float = 0.999,
    tolerance: float | None = None,
) -> Rest:
    r"""The equilibrium or cycle of a looped model that tokens end in.

    Passes $h \leftarrow G(h)$ are made until $G^p(h) = h$ to rounding for a period $p \le 4$. Where
    none is reached, Newton's method looks for an equilibrium beside the last state, $(I - G'(h))\,\delta
    = G(h) - h$ by GMRES, matrix-free. Then Arnoldi's iteration gives the largest multipliers, of the
    Jacobian of $p$ passes by products with vectors: stable are those inside the unit circle.

    **Arguments:**

    - `model`: a [`Transformer`][]; in float64 the residual is a thousandth of float32's, or less.
    - `tokens`: where to begin, `(length, dim)`: a prompt's `model.embed(ids)`, or `run.last[k]` of a run
      with `keep="last"` (of a shorter prompt its first `run.lengths[k]` tokens).
    - `feed_forward`: of the passes.
    - `passes`: the most that are made.
    - `threshold`: the least cosine within a cluster; see [`clusters`][].
    - `tolerance`: of the residual, the root of the dtype's rounding times 1/30 unless given (1e-5 in
      float32).

    **Returns:**

    A [`Rest`][].

    **Raises:**

    `ValueError` where tokens are of another length than the model's or not finite.

    ```python
    result = af.language.rest(model, run.last[0], feed_forward=False)
    print(result)                                             # an equilibrium ..., clusters 9 + 7, stable
    ```
    """
    check_feed_forward(model, feed_forward)
    h = floating("tokens", tokens)
    dim = model.architecture.dim
    if h.ndim != 2 or h.shape[1] != dim or not bool(jnp.all(jnp.isfinite(h))):
        raise ValueError(f"`tokens` must be finite, of shape (length, {dim}); got {h.shape}.")
    whole("passes", passes)
    eps = float(jnp.finfo(h.dtype).eps)
    near = eps**0.5 / 30 if tolerance is None else float(tolerance)
    blocks = model.blocks if feed_forward else without_feed_forward(model.blocks)
    bare = eqx.tree_at(lambda m: m.blocks, model, blocks)
    states, period, made = [h], 0, 0
    while made < passes and not period:
        states = [*states[-_LONGEST:], _pass(bare, states[-1], 1)]
        made += 1
        for p in range(1, len(states)):
            if _change(states[-1], states[-1 - p]) < near:
                period = p
                break
    h = states[-1]
    if not period:
        h, residual = _newton(bare, h, near)
        period = int(residual < near)
    count = max(period, 1)
    residual = _change(_pass(bare, h, count), h)
    multipliers, error = np.zeros(0, complex), float("inf")
    if period:
        multipliers, error = _multipliers(bare, h, count)
    sizes = np.bincount(np.asarray(labels(h, threshold)))
    return Rest(
        tokens=np.asarray(h),
        period=period,
        residual=residual,
        passes=made,
        multipliers=multipliers,
        error=error,
        clusters=tuple(sorted((int(n) for n in sizes), reverse=True)),
    )


def _change(a: Array, b: Array) -> float:
    """The largest distance of a token, over the largest length."""
    size = jnp.max(jnp.linalg.norm(b, axis=-1))
    return float(jnp.max(jnp.linalg.norm(a - b, axis=-1)) / size)


def _map(model: Transformer, h: Array, count: int) -> Array:
    arch = model.architecture
    layers = (by_layer(arch, h.dtype), scanned(arch, model.blocks))

    def layer(h, x):
        place, own = x
        block = own_block(arch, model.blocks, own, place)
        return through(arch, block, place, h[None])[0], None

    for _ in range(count):
        h = final(arch, model.norm, jax.lax.scan(layer, h, layers)[0])
    return h


@compiled
def _pass(model: Transformer, h: Array, count: int) -> Array:
    with jax.default_matmul_precision("highest"):
        return _map(model, h, count)


@compiled
def _push(model: Transformer, h: Array, v: Array, count: int) -> Array:
    """The Jacobian of `count` passes times a vector."""
    with jax.default_matmul_precision("highest"):
        return jax.jvp(lambda x: _map(model, x, count), (h,), (v,))[1]


@compiled
def _correction(model: Transformer, h: Array) -> Array:
    with jax.default_matmul_precision("highest"):
        after, push = jax.linearize(lambda x: _map(model, x, 1), h)
        solve = jax.scipy.sparse.linalg.gmres
        return solve(lambda v: v - push(v), after - h, tol=1e-6, restart=30, maxiter=3)[0]


def _newton(model: Transformer, h: Array, tolerance: float) -> tuple[Array, float]:
    best = _change(_pass(model, h, 1), h)
    for _ in range(_NEWTON):
        if best < tolerance:
            break
        step, improved = _correction(model, h), False
        for part in (1.0, 0.5, 0.25, 0.1):
            trial = h + jnp.asarray(part, h.dtype) * step
            change = _change(_pass(model, trial, 1), trial)
            if np.isfinite(change) and change < best:
                h, best, improved = trial, change, True
                break
        if not improved:
            break
    return h, best


def _multipliers(model: Transformer, h: Array, count: int) -> tuple[np.ndarray, float]:
    """Ritz values of the Jacobian of `count` passes, the largest five, and the residual of the first."""
    size = h.size
    v = np.random.default_rng(0).normal(size=h.shape)
    basis = [v / np.linalg.norm(v)]
    H = np.zeros((_STEPS + 1, _STEPS))
    done = 0
    for k in range(min(_STEPS, size)):
        w = np.asarray(_push(model, h, jnp.asarray(basis[k], h.dtype), count), np.float64)
        for _ in range(2):  # once more, for orthogonality to rounding
            for j, q in enumerate(basis):
                part = float(np.vdot(q, w))
                H[j, k] += part
                w = w - part * q
        H[k + 1, k] = np.linalg.norm(w)
        done = k + 1
        if H[k + 1, k] < 1e-10:
            break
        basis.append(w / H[k + 1, k])
    values, vectors = np.linalg.eig(H[:done, :done])
    order = np.argsort(-np.abs(values))
    first = vectors[:, order[0]] / np.linalg.norm(vectors[:, order[0]])
    return values[order[:5]].astype(complex), float(H[done, done - 1] * abs(first[-1]))
