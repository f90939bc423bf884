"""How many directions the tokens effectively use."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Real

from ..core.checks import real
from ..core.lapack import svdvals
from .directions import as_tokens


def effective_rank(y: Float[Array, "tokens dim"]) -> Float[Array, ""]:
    r"""The exponential of the entropy of the normalised singular values of the token matrix.

    $$ \exp\Big(-\sum_k p_k \log p_k\Big), \qquad p_k = \sigma_k / \textstyle\sum_m \sigma_m $$

    (O. Roy and M. Vetterli, *The effective rank*, EUSIPCO 2007.) It is 1 at consensus and
    `min(tokens, dim)` for orthogonal tokens of one length. Singular values that are zero to
    rounding count as zero, derivative included: there the entropy has an infinite slope.

    **Arguments:**

    - `y`: tokens, one a row.

    ```python
    af.effective_rank(jnp.eye(3))  # 3.0
    ```
    """
    y = real("y", as_tokens(y))
    sigma = svdvals(y)
    floor = max(y.shape) * jnp.finfo(y.dtype).eps * sigma[0]
    used = sigma > floor
    sigma = jnp.where(used, sigma, 0)
    total = jnp.sum(sigma)
    p = sigma / jnp.where(total > 0, total, 1)
    rank = jnp.exp(-jnp.sum(jnp.where(used, p * jnp.log(jnp.where(used, p, 1)), 0)))
    return jnp.where(jnp.all(jnp.isfinite(y)), rank, jnp.nan)  # comparisons above lose a NaN


class EffectiveRank(eqx.Module):
    """[`effective_rank`][] as an observer, `obs(t, y)`."""

    def __call__(self, t: Real[ArrayLike, ""], y: Float[Array, "tokens dim"]) -> Float[Array, ""]:
        return effective_rank(y)
