"""Whether some open hemisphere holds all tokens, and by how much.

The largest margin is the distance from 0 to the convex hull of the tokens (duality), found by an
active-set method that ends with both sides of the duality: a direction that proves the margin from
below, and convex weights that prove it from above.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..core.checks import real, shaped
from ..core.compiled import compiled
from ..core.lapack import qr, solve_upper


class HemisphereCertificate(NamedTuple):
    """What [`hemisphere_certificate`][] returns.

    - `margin`: `min_i v·y_i`, or 0 when no open hemisphere is proved to hold the tokens.
    - `v`: the unit vector that reaches it, or the zero vector.
    - `weights`: convex weights `λ`; `|Σ_i λ_i y_i|` bounds every margin from above.
    - `gap`: that bound less `margin`: how far `margin` can be from the optimum.
    """

    margin: Float[Array, ""]
    v: Float[Array, " dim"]
    weights: Float[Array, " tokens"]
    gap: Float[Array, ""]


def hemisphere_margin(
    y: Float[Array, "tokens dim"],
) -> tuple[Float[Array, ""], Float[Array, " dim"]]:
    r"""The largest margin of the tokens over open hemispheres, and the hemisphere's axis.

    $$ \max_{|v| \le 1} \; \min_i \; v^\top y_i $$

    It is positive exactly when some open hemisphere $\{y : v^\top y > 0\}$ holds every token, the
    hypothesis of Theorem 3.2 (with the Euclidean product on any ellipsoid). It is solved to a gap
    of rounding size: [`hemisphere_certificate`][] returns the proof.

    Works under `jit` and `vmap`. The derivative is the exact one of the optimum,
    $\partial\,\text{margin} / \partial y_i = \lambda_i v$; `v` itself carries no derivative.

    **Arguments:**

    - `y`: tokens, one a row; they need not be normalised.

    **Returns:**

    `(margin, v)`, with `|v| = 1`; `(0, zero vector)` when no open hemisphere holds the tokens, or
    none that rounding lets one prove: `v·y_i > dim·eps·|y_i|` for all i is asked, and a margin below
    some ten eps of the longest token may not be found.

    **Raises:**

    - `ValueError`: `y` is not a (tokens, dim) array of real numbers.

    ```python
    margin, v = af.hemisphere_margin(jnp.array([[1.0, 1.0], [1.0, -1.0]]))  # 1.0, [1. 0.]
    ```
    """
    certificate = hemisphere_certificate(y)
    return certificate.margin, certificate.v


def hemisphere_certificate(y: Float[Array, "tokens dim"]) -> HemisphereCertificate:
    r"""[`hemisphere_margin`][] with its proof: weights that bound it from above, and the gap.

    $$ \min_i v^\top y_i \;\le\; \max_{|u| \le 1} \min_i u^\top y_i
       \;=\; \min_{\lambda \ge 0, \sum \lambda = 1} \Big|\sum_i \lambda_i y_i\Big|
       \;\le\; \Big|\sum_i \lambda_i y_i\Big| $$

    The method is that of P. Wolfe, *Finding the nearest point in a polytope*, Math. Programming 11
    (1976), written as non-negative least squares on the lifted tokens `(y_i, 1)` and solved by QR of
    the active ones, so that margins down to rounding are resolved (a Gram matrix stops at its root).

    **Arguments:**

    - `y`: tokens, one a row; they need not be normalised.

    **Returns:**

    A `HemisphereCertificate`: `margin`, `v`, `weights` and `gap`. NaN tokens give a NaN margin and axis.

    **Raises:**

    - `ValueError`: `y` is not a (tokens, dim) array of real numbers.
    """
    y = real("y", y)
    shaped("y", y.shape, ("tokens", "dim"))
    with jax.default_matmul_precision("highest"):  # float32 products are not rounded to TF32
        return _certify(y)


@compiled
def _certify(y: Array) -> HemisphereCertificate:
    fixed = jax.lax.stop_gradient(y)
    size = jnp.max(jnp.abs(fixed))
    size = jnp.where(size > 0, size, 1)
    if y.shape[1] > y.shape[0]:
        # In the span of the tokens: the same products, at a cost that forgets the dimension.
        basis, coordinates = qr((fixed / size).T)
        v, weights = _nearest(coordinates.T)
        v = basis @ v
    else:
        v, weights = _nearest(fixed / size)

    heights = fixed @ v
    norms = jnp.linalg.norm(fixed / size, axis=1) * size
    eps = jnp.finfo(y.dtype).eps
    lower = jnp.min(heights)
    upper = jnp.linalg.norm(weights @ (fixed / size)) * size
    # The bound below dominates the rounding of `heights`, in any order of summation: v is a proof.
    proved = jnp.all(heights > y.shape[1] * eps * norms)
    invalid = jnp.any(jnp.isnan(fixed))

    # The optimum's derivative (envelope theorem) enters through the dual value, with no value.
    dual = v @ (weights @ y)
    margin = jnp.where(proved, lower + (dual - jax.lax.stop_gradient(dual)), 0)
    margin = jnp.where(invalid, jnp.nan, margin)
    v = jnp.where(invalid, jnp.nan, jnp.where(proved, v, 0))
    gap = jnp.maximum(upper - jax.lax.stop_gradient(margin), 0)
    return HemisphereCertificate(margin, v, weights, gap)


class _State(NamedTuple):
    """The active set, with its weights, and the best direction and weights seen so far."""

    active: Array  # (room,) indices of tokens; the first `count` are in the set
    count: Array
    share: Array  # (room,) their weights before scaling, positive
    residual: Array  # (dim + 1,) the target less the active lifted tokens times their weights
    barred: Array  # (tokens,) tokens that rounding keeps from entering
    steps: Array
    stalled: Array
    finished: Array
    lower: Array
    v: Array
    upper: Array
    weights: Array


def _nearest(y: Array) -> tuple[Array, Array]:
    """The direction `v` and the convex weights of the point of the hull of `y` nearest to 0.

    Minimises `|Aᵀu|² + (1 − Σu)²` over `u ≥ 0`, `A` the tokens: non-negative least squares whose
    solution is a multiple of the weights (Lawson and Hanson's active sets, which are Wolfe's here).
    One pass of the loop solves on the active set; it then either walks to the nearest face and drops
    the tokens that reach zero weight, or takes the solution and lets the worst token enter.
    """
    tokens, dim = y.shape
    room = min(tokens, dim + 1)
    eps = jnp.finfo(y.dtype).eps
    tolerance = 8 * eps
    lifted = jnp.concatenate([y, jnp.ones((tokens, 1), y.dtype)], axis=1)
    slots = jnp.arange(room)
    target = jnp.zeros(dim + 1, y.dtype).at[dim].set(1)

    def solve(active, count, share, residual):
        """Least squares on the active tokens, from where we are: coefficients and new residual.

        Only the residual is projected, so that errors are relative to it and not to 1: close to the
        edge of a hemisphere it is as small as the margin. What it drifts by in all is a move of the
        origin by a few eps, which changes margins by no more.
        """
        used = slots < count
        q, r = qr(jnp.where(used[None, :], lifted[active].T, 0))
        q = jnp.where(used[None, :], q, 0)
        r = jnp.where(used[:, None] & used[None, :], r, jnp.eye(room, dtype=y.dtype))
        along = q.T @ residual
        change = solve_upper(r, along)
        residual = residual - q @ along
        residual = residual - q @ (q.T @ residual)  # twice is enough
        return jnp.where(used, share + change, 0), residual

    def direction(residual):
        norm = jnp.linalg.norm(residual[:dim])
        return -residual[:dim] / jnp.where(norm > 0, norm, 1)

    def spread(active, share):
        total = jnp.sum(share)
        share = share / jnp.where(total > 0, total, 1)
        return jnp.zeros(tokens, y.dtype).at[active].add(share)

    def accept(state, coefficients, residual):
        """The active set is solved: judge it, and let in the token that contradicts it most."""
        v = direction(residual)
        weights = spread(state.active, coefficients)
        heights = y @ v
        lower, upper = jnp.min(heights), jnp.linalg.norm(weights @ y)
        better_v = lower > state.lower
        better_weights = upper < state.upper
        best_lower = jnp.where(better_v, lower, state.lower)
        best_upper = jnp.where(better_weights, upper, state.upper)
        better = better_v | better_weights
        barred = state.barred & ~better
        stalled = jnp.where(better, 0, state.stalled + 1)

        active = jnp.zeros(tokens, bool).at[state.active].max(slots < state.count)
        candidates = jnp.where(active | barred, jnp.inf, heights)
        worst = jnp.argmin(candidates)
        closed = best_upper - jnp.maximum(best_lower, 0) <= tolerance
        full = state.count >= room
        none = ~(candidates[worst] < upper - tolerance)
        enter = jnp.where(slots == state.count, worst, state.active)
        return state._replace(
            active=enter,
            count=state.count + 1,
            share=coefficients,
            residual=residual,
            barred=barred,
            stalled=stalled,
            finished=closed | full | none | (stalled > 5),
            lower=best_lower,
            v=jnp.where(better_v, v, state.v),
            upper=best_upper,
            weights=jnp.where(better_weights, weights, state.weights),
        )

    def retreat(state, coefficients, residual):
        """Walk towards the solution until a weight reaches zero; drop what does."""
        used = slots < state.count
        blocked = used & ~(coefficients > 0)
        fall = state.share - coefficients
        ratio = jnp.where(blocked, state.share / jnp.where(fall > 0, fall, 1), jnp.inf)
        ratio = jnp.where(blocked & ~jnp.isfinite(coefficients), 0, ratio)
        step = jnp.min(ratio)
        moved = jnp.where(step > 0, state.share + step * (coefficients - state.share), state.share)
        keep = used & ~(blocked & (ratio <= step)) & (moved > 0)
        order = jnp.argsort(~keep, stable=True)
        # A token dropped in the very pass after it entered did so by rounding: it stays out.
        last = state.active[jnp.maximum(state.count - 1, 0)]
        newest = slots == state.count - 1
        futile = jnp.any(newest & (state.share == 0) & ~keep)
        return state._replace(
            active=state.active[order],
            count=jnp.sum(keep),
            residual=jnp.where(
                step > 0, state.residual + step * (residual - state.residual), state.residual
            ),
            share=jnp.where(keep, moved, 0)[order],
            barred=state.barred.at[last].max(futile),
        )

    def body(state):
        coefficients, residual = solve(state.active, state.count, state.share, state.residual)
        feasible = jnp.all((coefficients > 0) | (slots >= state.count))
        accepted = accept(state, coefficients, residual)
        retreated = retreat(state, coefficients, residual)
        after = select(feasible, accepted, retreated)
        if everyone:
            failed = ~feasible | (accepted.upper - jnp.maximum(accepted.lower, 0) > tolerance)
            after = select((state.steps == 0) & failed, start, after)
        return after._replace(steps=state.steps + 1)

    def select(condition, a, b):
        return jax.tree.map(lambda x, y: jnp.where(condition, x, y), a, b)

    def unfinished(state):
        return ~state.finished & (state.steps < limit) & (state.count > 0)

    limit = 10 * room + 50
    norms = jnp.linalg.norm(y, axis=1)
    first = jnp.argmin(norms)
    start = _State(
        active=jnp.where(slots == 0, first, 0),
        count=jnp.asarray(1),
        share=jnp.zeros(room, y.dtype),
        residual=target,
        barred=jnp.zeros(tokens, bool),
        steps=jnp.asarray(0),
        stalled=jnp.asarray(0),
        finished=jnp.asarray(False),
        lower=jnp.asarray(-jnp.inf, y.dtype),
        v=jnp.zeros(dim, y.dtype),
        upper=jnp.asarray(jnp.inf, y.dtype),
        weights=jnp.zeros(tokens, y.dtype).at[first].set(1),
    )
    # Few tokens are often all active (random ones in many dimensions): that is tried first.
    everyone = tokens <= dim + 1
    first_guess = start
    if everyone:
        first_guess = start._replace(active=slots, count=jnp.asarray(tokens))
    final = jax.lax.while_loop(unfinished, body, first_guess)
    return final.v, final.weights
