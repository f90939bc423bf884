"""Leaders: tokens whose largest score is with themselves alone, which hardmax attention leaves where they are."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Bool, Float, Real

from ..core.checks import check, floating, instance, shaped, shown
from ..model import AttentionField
from .directions import as_tokens

_FIELD = "an AttentionField, whose scores decide who leads"


def leaders(
    field: AttentionField,
    t: Real[ArrayLike, ""],
    y: Float[Array, "tokens dim"],
    *,
    tolerance: float | Float[Array, ""] | None = None,
) -> Bool[Array, " tokens"]:
    r"""Which tokens are leaders: $\{j : s_{ij} = \max_k s_{ik}\} = \{i\}$, in every head (arXiv:2407.01602).

    Under hardmax attention a leader attends to itself alone and so rests in [`rescaled`][attnflow.model.rescaled]
    coordinates; the others end at leaders or between them. In $\mathbb{R}^d$ with symmetric positive definite $P$,
    $U = I$, leaders are vertices of the polytope that tokens of arXiv:2305.05465 gather at. For other kernels it says
    whom a hardmax would single out. Masked pairs and tokens of no mass do not count.

    **Arguments:**

    - `field`: gives the scores.
    - `t`, `y`: a time, and the tokens then, in the field's coordinates.
    - `tolerance`: another score within `tolerance * max(1, |largest|)` of the largest is a tie; unless given 256
      units of rounding, as for [`Hardmax`][attnflow.model.Hardmax].

    **Raises:**

    `ValueError`: `y` is not tokens of the field, or `tolerance` is negative.

    ```python
    field = af.AttentionField(af.Euclidean(2), P=jnp.eye(2), kernel="hardmax", scale=1.0)
    af.leaders(field, 0.0, jnp.array([[2.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))   # [True, False, True]
    ```
    """
    field = instance("field", field, AttentionField, _FIELD)
    y = as_tokens(y)
    if y.shape[1] != field.dim or field.tokens not in (None, y.shape[0]):
        raise ValueError(f"`y` must be tokens of the field; got shape {y.shape}.")
    if not field.projected:
        y = field.manifold.project(y)
    scores = field.logits(floating("t", t).astype(y.dtype), y)
    tokens, eps = y.shape[0], jnp.finfo(y.dtype).eps
    relative = jnp.asarray(256 * eps) if tolerance is None else _tolerance(tolerance)
    seen = field.mask.allowed(tokens)
    seen = jnp.ones((1, 1, 1), bool) if seen is None else seen.reshape(-1, tokens, tokens)
    if field.weights is not None:
        seen = seen & (field.weights > 0)[None, None, :]
    scores = jnp.where(seen, scores, -jnp.inf)
    own = jnp.diagonal(scores, axis1=1, axis2=2)
    others = jnp.where(jnp.eye(tokens, dtype=bool)[None], -jnp.inf, scores).max(axis=2)
    slack = relative.astype(y.dtype) * jnp.maximum(1, jnp.abs(own))
    return jnp.all((own > -jnp.inf) & (others < own - slack), axis=0)


def _tolerance(tolerance: float | Array) -> Array:
    value = floating("tolerance", tolerance)
    shaped("tolerance", value.shape, ())
    message = f"`tolerance` must be zero or more; got {shown(tolerance)}."
    return check(value, lambda v: ~(v >= 0), message)


class Leaders(eqx.Module):
    """[`leaders`][] as an observer, `obs(t, y)`.

    **Arguments:** `field` and `tolerance`, as those of [`leaders`][].
    """

    field: AttentionField
    tolerance: Float[Array, ""] | None

    def __init__(self, field: AttentionField, tolerance: float | Float[Array, ""] | None = None):
        self.field = instance("field", field, AttentionField, _FIELD)
        self.tolerance = None if tolerance is None else _tolerance(tolerance)

    def __call__(
        self, t: Real[ArrayLike, ""], y: Float[Array, "tokens dim"]
    ) -> Bool[Array, " tokens"]:
        return leaders(self.field, t, y, tolerance=self.tolerance)
