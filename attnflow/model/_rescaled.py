"""The flow in R^d without its growth: z = e^{-tR} y, in which polytopes and leaders are seen."""

from typing import ClassVar

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Real

from ..core.checks import floating, instance
from ..core.types import Scalar, Tokens
from ..geometry import AbstractManifold
from ..schedules import AbstractSchedule, Carried, Constant, ScaledIdentity
from ._field import AttentionField
from ._kernels import Hardmax
from ._normalisations import AbstractNormalisation, Post


class Rescaled(AbstractNormalisation):
    r"""$\dot z = A - Rz$: what is left of the flow where the growth $e^{tR}$ is taken off.

    [`rescaled`][] makes it, together with the scores that belong to it.

    **Attributes:**

    - `rate`: $R$, a matrix or a multiple of the identity, constant.
    """

    rate: AbstractSchedule
    projected: ClassVar[bool] = True
    starts_on_manifold: ClassVar[bool] = True

    def velocity(self, manifold: AbstractManifold, t: Scalar, y: Tokens, A: Tokens) -> Tokens:
        return A - self.rate.apply(t, y)

    def layer(self, manifold: AbstractManifold, t: Scalar, y: Tokens, A: Tokens) -> Tokens:
        return A - self.rate.apply(t, y)

    @property
    def parts(self) -> tuple[AbstractSchedule, ...]:
        return (self.rate,)


def rescaled(field: AttentionField) -> AttentionField:
    r"""The flow of `field` in $\mathbb{R}^d$ for $z_i = e^{-tR} y_i$, $R = c \sum_\eta U_\eta$ (arXiv:2305.05465).

    With one head and softmax rows, whose sum is the field's scale $c$, it is

    $$\dot z_i = \sum_j a_{ij}\, U (z_j - z_i), \qquad
       a_{ij} \propto \exp\big((e^{tR}z_i)^\top P(t)\, e^{tR}z_j\big)$$

    where $y$ grows like $e^{tR}$ and $z$ converges: with $U = I$ to vertices and points of a polytope's boundary,
    with other $U$ to hyperplanes. It is an exact change of variables, for any kernel, mask and masses;
    $z(0) = y(0)$. [`unrescaled`][] gives back $y$. (Scores still grow with $t$: they overflow, and the run fails,
    when $e^{2tR}$ does, near $tR = 350$. With a hardmax kernel and multiples of the identity for $U$ the scores'
    growth makes no difference and is left out, so that time is free.)

    **Arguments:**

    - `field`: on [`Euclidean`][attnflow.geometry.Euclidean], Post, without a drift; values that time does not change by
      their type: one head, or multiples of the identity.

    **Returns:**

    An [`AttentionField`][] of the same kind, with [`Rescaled`][] for its normalisation.

    **Raises:**

    `ValueError` naming what the field has and must not.

    ```python
    space = af.Euclidean(2)
    field = af.AttentionField(space, P=jnp.eye(2), scale=1.0)
    z0 = space.random(jax.random.key(0), (40,), law="cube", size=5.0)
    sol = af.simulate(af.rescaled(field), z0, t1=10.0)
    ```
    """
    field = instance("field", field, AttentionField, "an AttentionField on Euclidean")
    need = "`field` must have {} to be rescaled; got {}."
    if not field.manifold.flat:
        raise ValueError(need.format("tokens of Euclidean(dim)", type(field.manifold).__name__))
    if not isinstance(field.normalisation, Post):
        kind = type(field.normalisation).__name__
        raise ValueError(need.format("the normalisation 'post'", kind))
    if field.drift is not None:
        raise ValueError(need.format("no drift", "one"))
    U = field.U
    c = jnp.ones(()) if U is None else U.identity_coefficient()
    if isinstance(c, AbstractSchedule):
        if not c.is_constant():
            raise ValueError(need.format("a U that time does not change", type(U).__name__))
        c = c(jnp.zeros(()))
    if c is not None:
        total = field.scale * (jnp.sum(c) if c.ndim else field.heads * c).astype(field.scale.dtype)
        rate: AbstractSchedule = ScaledIdentity(total, field.dim)
    else:
        assert U is not None
        if not U.is_constant():
            raise ValueError(need.format("a U that time does not change", type(U).__name__))
        if field.heads != 1:
            got = f"{field.heads} of other matrices"
            raise ValueError(need.format("one head, or values U that are multiples of I", got))
        total = field.scale * U(jnp.zeros(())).reshape(field.dim, field.dim).astype(
            field.scale.dtype
        )
        rate = Constant(total)
    P = field.P
    if not (isinstance(field.kernel, Hardmax) and c is not None):
        P = Carried(P, total)
    return AttentionField(
        field.manifold, P, U, field.mask, kernel=field.kernel, normalisation=Rescaled(rate),
        scale=field.scale, weights=field.weights, frozen=field.frozen, precision=field.precision,
    )  # fmt: skip


def unrescaled(
    field: AttentionField, t: Real[ArrayLike, ""], z: Float[Array, "tokens dim"]
) -> Float[Array, "tokens dim"]:
    r"""$y(t) = e^{tR}z(t)$, the tokens that [`rescaled`][] coordinates stand for.

    **Arguments:**

    - `field`: what [`rescaled`][] gave.
    - `t`, `z`: a time, and the state then.

    **Raises:**

    `ValueError` where the field is not rescaled.

    ```python
    af.model.unrescaled(af.rescaled(field), sol.t1, sol.y1)
    ```
    """
    if not isinstance(field, AttentionField) or not isinstance(field.normalisation, Rescaled):
        raise ValueError("`field` must be what attnflow.rescaled(field) gives; got another.")
    z = field._tokens(floating("z", z))
    rate = field.normalisation.rate
    c = rate.identity_coefficient()
    R = rate(jnp.zeros(())) if c is None else c(jnp.zeros(()))
    return Carried(jnp.zeros((field.dim, field.dim), z.dtype), R).carry(t, z)
