r"""U = I as an exact linear consensus: Theorem 3.2 for bounded, measurable P(t), with a rate from the start on.

**Theorem.** Eq. (6) on the sphere, full attention, $U = I$, $h$ heads, softmax rows of sum $s > 0$,
$|P_\eta(t)| \leq p_\eta$ in the spectral norm, measurable in time; $v^\top y_i > 0$ for all $i$ at $t_0$,
$m = \min_i v^\top y_i(t_0)$. With $z_i = y_i / (v^\top y_i)$,

$$ \dot z_i = \sum_j b_{ij}(z_j - z_i), \qquad b_{ij} = \frac{v^\top y_j}{v^\top y_i} \sum_\eta a^\eta_{ij} > 0, $$

and for every vector $w$ the spread $D_w = \max_i w^\top z_i - \min_i w^\top z_i$ falls at least as
$e^{-\Gamma_0 (t - t_0)}$, with $\Gamma_0 = s\,m \sum_\eta e^{-2p_\eta}$. So the tokens come to consensus, for
$P(t)$ that jumps too.

**Proof.** The equation is that of `_contraction.py` with $U_\eta = I$, $\lambda_\eta = 1$. It keeps the convex
hull of the $z_j$: so $|z_i| \leq \max_j |z_j(t_0)| = 1/m$ and $v^\top y_i = 1/|z_i| \geq m$, at all times.
Weights: $|y^\top P y'| \leq p$, so $a^\eta_{ij} \geq s e^{-2p_\eta}/l$, and
$b_{ij} \geq b = m s \sum_\eta e^{-2p_\eta}/l$. For the largest and the least $x_i = w^\top z_i$,
$\dot x_{\max} \leq b\sum_j (x_j - x_{\max})$ and $\dot x_{\min} \geq b \sum_j (x_j - x_{\min})$, whence
$\dot D_w \leq -l\,b\,D_w$. ∎

The coordinates are the gnomonic projection, which is what consensus on a hemisphere has been reduced by before: see
arXiv:1805.02528, which lifts the flow to a consensus protocol whose weights hold ratios of norms instead, for
switching graphs. Here the weights come from attention, which gives the rate.

(Equal masses only, for $1/l$. In the end the ratios tend to 1 and the weights to uniform ones: the rate of
`prediction` is the asymptotic $s h$; `says` has $\Gamma_0$.)
"""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Real

from ._hypotheses import equation_6, full, hemisphere, sphere
from ._parameters import bounded_scores, identity_values
from ._quantities import Height, Quantity
from ._setting import Setting
from ._verdict import Prediction, Verdict, judge


class Spreads(eqx.Module):
    r"""The largest spread of $w^\top y_i / (v^\top y_i)$ over the axes $w$: it never rises."""

    v: Float[Array, " dim"]

    def __call__(self, t: Real[ArrayLike, ""], y: Float[Array, "tokens dim"]) -> Float[Array, ""]:
        z = y / (y @ self.v.astype(y.dtype))[:, None]
        return jnp.max(jnp.max(z, axis=0) - jnp.min(z, axis=0))


def linear_consensus(s: Setting, assume: tuple[str, ...]) -> Verdict:
    """Full attention, U = I, P bounded (it may jump), tokens in an open hemisphere: and a rate."""
    hypotheses = [
        *equation_6(s),
        full(s),
        sphere(s),
        identity_values(s),
        bounded_scores(s),
        hemisphere(s),
    ]

    def predict() -> Prediction:
        v = np.asarray(s.hemisphere.v, np.float64)
        axis, margin = jnp.asarray(v), float((s.y0 @ v).min())
        size = np.broadcast_to(s.P_range.size, (s.field.heads, s.dim, s.dim))
        norms = np.linalg.norm(size, axis=(1, 2))  # Frobenius's, of bounds: not below |P|
        rate = float(s.field.scale) * margin * float(np.exp(-2 * norms).sum())
        return Prediction(
            "consensus in the hemisphere that holds the tokens, whatever P does within its bounds; "
            f"spreads of y_i / v'y_i fall as exp(-{rate:.3g} t) at least, from the start on",
            v=v,
            basin="every start in an open hemisphere",
            rate=s.pace if s.tokens > 1 else None,
            quantities=(
                Quantity("spread of y / v'y", Spreads(axis), "falls"),
                Quantity("least v'y", Height(axis), "above"),
            ),
        )

    return judge("Linear consensus (Theorem 3.2 for P that jumps)", hypotheses, predict, assume)
