"""The interaction energy, and how fast it changes along the flow."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Real

from ..core.checks import floating, instance, shaped
from ..model import AttentionField
from .directions import as_tokens, as_weights


def energy(
    field: AttentionField, t: Real[ArrayLike, ""], y: Float[Array, "tokens dim"]
) -> Float[Array, ""]:
    r"""The interaction energy of the tokens, summed over heads.

    $$ E(t, y) = \sum_\eta \frac{1}{2\beta_\eta \ell^2} \sum_{i,j} e^{y_i^\top P_\eta(t) y_j}, \qquad
       \beta_\eta = \frac{\langle P_\eta, W U_\eta\rangle_F}{|W U_\eta|_F^2} $$

    so that $\beta_\eta = \beta$ where $P_\eta = \beta W U_\eta$ (on the sphere with values $U = I$:
    $P = \beta I$). Where $\beta_\eta = 0$ it is the limit $\beta \to 0$ of that case without the
    constant $1/(2\beta)$: $\frac{1}{2\ell^2}\sum_{ij} y_i^\top W U_\eta y_j$.

    It never decreases along full attention when $P_\eta = \beta_\eta W U_\eta$ is symmetric and constant
    and there is one head or the kernel is `"exp"`: that flow climbs it (Geshkovski et al.,
    arXiv:2312.10794). For other fields it is a number without that meaning. Masks and biases do not
    enter; the masses of the field do, in place of $1/\ell$.

    **Arguments:**

    - `field`: gives $P$, $U$, $W$.
    - `t`: the time at which $P$ and $U$ are taken.
    - `y`: tokens, one a row; projected first where the field's states have a length (Pre, Peri).

    **Returns:**

    A scalar; infinite where a logit is beyond 709 (88 in float32).

    **Raises:**

    `ValueError` where P adds to the scores of its matrix, as a bias of keys does.

    ```python
    field = af.AttentionField(sphere, P=2.0 * jnp.eye(3), scale=1.0)
    af.simulate(field, y0, t1=5.0, ts=ts, observe=af.Energy(field)).ys  # never decreases
    ```
    """
    what = "an AttentionField, whose P, U and W the energy is made of"
    field = instance("field", field, AttentionField, what)
    if not field.matrix_scores:
        raise ValueError(
            "`field` must have scores y'Py; its P adds to them, or rotates or normalises queries and keys."
        )
    y = _of_this(field, as_tokens(y))
    t = floating("t", t).astype(y.dtype)
    if not field.projected:
        y = field.manifold.project(y)
    tokens, dim = y.shape
    with jax.default_matmul_precision("highest"):
        W = field.manifold.W.astype(y.dtype)
        P = field.P(t).astype(y.dtype).reshape(-1, dim, dim)
        WU = W[None] if field.U is None else W @ field.U(t).astype(y.dtype).reshape(-1, dim, dim)
        heads = max(P.shape[0], WU.shape[0], field.heads)
        beta = jnp.sum(P * WU, axis=(1, 2)) / jnp.sum(WU * WU, axis=(1, 2))
        logits = field.P.bilinear(t, y, y).reshape(-1, tokens, tokens)
        linear = y @ WU @ y.T
        mass = jnp.full(tokens, 1 / tokens, y.dtype)
        if field.weights is not None:
            mass = as_weights(field.weights, y)
        zero = beta == 0
        pairs = jnp.where(
            zero[:, None, None], linear, jnp.exp(logits) / jnp.where(zero, 1, beta)[:, None, None]
        )
        pairs = jnp.broadcast_to(pairs, (heads, tokens, tokens))
        return jnp.einsum("i,hij,j->", mass, pairs, mass) / 2


def _of_this(field: AttentionField, y: Array) -> Array:
    shaped("y", y.shape, ("tokens", field.dim), also=", as the field")
    return y


def energy_dissipation(
    field: AttentionField, t: Real[ArrayLike, ""], y: Float[Array, "tokens dim"]
) -> Float[Array, ""]:
    r"""The total derivative of [`energy`][] along the flow.

    $$ \frac{d}{dt} E(t, y(t)) = \partial_t E + \langle \nabla_y E, f(t, y)\rangle $$

    taken by one forward-mode pass. With $W U_\eta = I$, $P = \beta I$ and full attention it is
    $\frac1\ell \sum_i Z_i |\dot y_i|^2$, $Z_i = \frac1\ell\sum_j e^{\beta y_i^\top y_j}$, for one softmax
    head with rows that sum to one.

    **Arguments:** as those of [`energy`][].
    """
    field = instance("field", field, AttentionField, "an AttentionField, the flow")
    y = as_tokens(y)
    t = floating("t", t).astype(y.dtype)
    rate = (jnp.ones_like(t), field(t, y))
    return jax.jvp(lambda t, y: energy(field, t, y), (t, y), rate)[1]


class Energy(eqx.Module):
    """[`energy`][] as an observer, `obs(t, y)`.

    **Arguments:**

    - `field`: gives $P$, $U$, $W$.
    """

    field: AttentionField

    def __check_init__(self) -> None:
        instance("field", self.field, AttentionField, "an AttentionField")

    def __call__(self, t: Real[ArrayLike, ""], y: Float[Array, "tokens dim"]) -> Float[Array, ""]:
        return energy(self.field, t, y)


class Dissipation(eqx.Module):
    """[`energy_dissipation`][] as an observer, `obs(t, y)`.

    **Arguments:**

    - `field`: the flow.
    """

    field: AttentionField

    def __check_init__(self) -> None:
        instance("field", self.field, AttentionField, "an AttentionField")

    def __call__(self, t: Real[ArrayLike, ""], y: Float[Array, "tokens dim"]) -> Float[Array, ""]:
        return energy_dissipation(self.field, t, y)
