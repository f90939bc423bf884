"""Scores that no matrix gives: rotated by position, of normalised queries and keys, at a temperature for each row."""

from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Real

from ..core.checks import boolean, choose, finite, shaped, whole
from ..core.types import Numbers, Scalar
from ._base import AbstractSchedule, GivenSchedule, Scaled, as_schedule
from ._factored import Factored, on_the_right
from ._in_file import InFile
from ._lists import all_jumps, of_product


class QueryKey(AbstractSchedule):
    r"""Scores $\tau_i\,\big(R_i\, g(Q y_i)\big)^\top R_j\, g(K y_j)$ of tokens at positions $i, j = 0, 1, \dots$

    - *Rotary embeddings* (RoFormer, arXiv:2104.09864): $R_i$ turns the coordinates $m$ and $m + \rho$ of a query or key
      by the angle $i\,\theta_m$, $\rho$ the number of `rates`, so that $R_i^\top R_j = R_{j-i}$ and scores depend
      on positions through $j - i$ alone. (Where pairs are neighbours, reorder the rows of $Q$ and $K$.)
    - *Normalised queries and keys* (arXiv:2010.04245): $g(z) = z/|z|$, else $g(z) = z$.
    - *Temperatures* $\tau_i$, one a row: see [`length_temperature`][attnflow.schedules.length_temperature].

    This is no $y_i^\top P y_j$, and says so: theorems and closed forms about $P$ refuse a field with such scores, and
    so does the energy. Rotations of the tokens are no symmetry of it, exchanges of tokens neither. Changes of
    coordinates keep it exact: $Q$ and $K$ take them up, and rotations act after these. `__call__`, `apply` and
    `square_norm` are those of the matrix $Q^\top K$, without all three.

    **Arguments:**

    - `Q`, `K`: `(w, d)` or `(h, w, d)`; arrays or schedules.
    - `rates`: $\theta$, `(pairs,)` with at most $w/2$ of them; customary is `10000.0 ** (-2 * jnp.arange(w // 2) / w)`.
    - `normalise`: normalise queries and keys.
    - `temperatures`: $\tau$, `(tokens,)`.

    **Raises:**

    `ValueError` on shapes that do not fit, and where nothing is asked for: that is [`Factored`][attnflow.Factored].

    ```python
    scores = af.QueryKey(jnp.eye(2), jnp.eye(2), rates=jnp.array([0.3]))
    field = af.AttentionField(af.Sphere(2), P=scores, mask="causal")
    ```
    """

    Q: AbstractSchedule
    K: AbstractSchedule
    rates: Float[Array, " pairs"] | None
    normalise: bool = eqx.field(static=True)
    temperatures: Float[Array, " tokens"] | None

    adds_to_scores: ClassVar[bool] = True
    time_through_parts: ClassVar[bool] = True
    never_trained: ClassVar[tuple[str, ...]] = ()
    in_file: ClassVar[InFile | None] = InFile(
        "query-key",
        Q="schedule",
        K="schedule",
        rates=(list, None),
        normalise=(bool, False),
        temperatures=(list, None),
    )

    def __init__(
        self,
        Q: GivenSchedule,
        K: GivenSchedule,
        *,
        rates: Numbers | None = None,
        normalise: bool = False,
        temperatures: Numbers | None = None,
    ):
        factors = Factored(Q, K)  # which checks their shapes
        self.Q, self.K = factors.Q, factors.K
        self.normalise = boolean("normalise", normalise)
        self.rates = None if rates is None else finite("rates", rates)
        self.temperatures = None if temperatures is None else finite("temperatures", temperatures)
        width = self.Q.shape[-2]
        for name, each in (("rates", "pairs"), ("temperatures", "heads")):
            value = getattr(self, name)
            if value is not None:
                shaped(name, value.shape, (each,))
        if self.rates is not None and 2 * self.rates.shape[0] > width:
            raise ValueError(
                f"`rates` must be at most {width // 2} for queries of width {width}, one for each pair of "
                f"coordinates; got {self.rates.shape[0]}."
            )
        if self.rates is None and self.temperatures is None and not self.normalise:
            raise ValueError(
                "`rates`, `normalise` or `temperatures` must be given; got none of them. Scores of queries and keys "
                "alone are attnflow.Factored(Q, K)."
            )

    @property
    def matrix(self) -> Factored:
        """The factors alone."""
        return Factored(self.Q, self.K)

    @property
    def tokens(self) -> int | None:
        """How many tokens it is for, `None` for any."""
        return None if self.temperatures is None else self.temperatures.shape[0]

    def __call__(self, t: Real[ArrayLike, ""]) -> Float[Array, "*heads d d"]:
        return self.matrix(t)

    @property
    def frequency(self) -> Float[Array, ""] | None:
        return of_product(self.Q, self.K)

    @property
    def jump_times(self) -> Float[Array, " jumps"] | None:
        return all_jumps(self.Q, self.K)

    def apply(self, t: Scalar, y: Array) -> Array:
        return self.matrix.apply(t, y)

    def square_norm(self, t: Scalar) -> Array:
        return self.matrix.square_norm(t)

    def bilinear(self, t: Scalar, x: Array, y: Array) -> Array:
        q, k = (self.seen(z) for z in (self.Q.apply(t, x), self.K.apply(t, y)))
        if self.temperatures is not None:
            if self.temperatures.shape[0] != x.shape[0]:
                raise ValueError(
                    f"`temperatures` are for {self.temperatures.shape[0]} tokens; got {x.shape[0]}."
                )
            tau = self.temperatures.astype(q.dtype)[:, None]
            q = q * tau.reshape((1,) * (q.ndim - 2) + tau.shape)
        return jnp.matmul(q, jnp.swapaxes(k, -1, -2))

    def seen(self, z: Float[Array, "*heads tokens width"]) -> Float[Array, "*heads tokens width"]:
        """Queries or keys normalised, and turned by their positions."""
        if self.normalise:
            z = normalised(z, -1)
        if self.rates is None:
            return z
        return turned(z[..., None], self.rates.astype(z.dtype)[:, None])[..., 0]

    def congruence(self, left: Array, right: Array) -> AbstractSchedule:
        Q, K = on_the_right(self.Q, left.T), on_the_right(self.K, right)
        return QueryKey(
            Q, K, rates=self.rates, normalise=self.normalise, temperatures=self.temperatures
        )


def normalised(z: Float[Array, "..."], axis: int) -> Float[Array, "..."]:
    """Vectors along an axis at length one; zero stays zero."""
    size = jnp.sum(z * z, axis=axis, keepdims=True)
    return z / jnp.sqrt(jnp.where(size > 0, size, 1))


def turned(
    z: Float[Array, "*heads tokens width #batch"], rates: Float[Array, "pairs #batch"]
) -> Float[Array, "*heads tokens width batch"]:
    """Queries or keys turned by their positions, the batch last."""
    pairs, tokens = rates.shape[0], z.shape[-3]
    angles = jnp.arange(tokens, dtype=z.dtype)[:, None, None] * rates[None]
    angles = angles.reshape((1,) * (z.ndim - 3) + angles.shape)
    cos, sin = jnp.cos(angles), jnp.sin(angles)
    a, b, rest = (
        z[..., part, :] for part in (slice(pairs), slice(pairs, 2 * pairs), slice(2 * pairs, None))
    )
    return jnp.concatenate([a * cos - b * sin, b * cos + a * sin, rest], axis=-2)


def length_temperature(
    P: GivenSchedule, tokens: int, *, factor: Scalar = 1.0, rows: str = "all"
) -> AbstractSchedule:
    r"""Scores at an inverse temperature that grows with the logarithm of the context, $\tau = c \ln \ell$.

    Attention over $\ell$ tokens needs scores of that size to stay concentrated: with bounded scores each weight is of
    order $1/\ell$ (arXiv:2512.01868).

    **Arguments:**

    - `P`: matrices, or a [`Factored`][attnflow.Factored] or [`QueryKey`][attnflow.QueryKey] where `rows="seen"`.
    - `tokens`: $\ell$.
    - `factor`: $c$.
    - `rows`: `"all"`: $\tau = c\ln\ell$ in every row; this is $\tau P$, and theorems know it. `"seen"`:
      $\tau_i = c\ln(i + 1)$ for row $i = 0, 1, \dots$, the tokens that causal attention sees there; these are scores of
      no matrix, a [`QueryKey`][attnflow.QueryKey].

    **Raises:**

    `ValueError` on another word, or no tokens.

    ```python
    field = af.AttentionField(sphere, P=af.schedules.length_temperature(jnp.eye(3), 128))
    ```
    """
    tokens = whole("tokens", tokens)
    factor_ = finite("factor", factor)
    shaped("factor", factor_.shape, ())
    choose("rows", rows, ("all", "seen"))
    schedule = as_schedule("P", P)
    if rows == "all":
        return Scaled(factor_ * jnp.asarray(np.log(tokens), factor_.dtype), schedule)
    tau = factor_ * jnp.asarray(np.log1p(np.arange(tokens)), factor_.dtype)
    if isinstance(schedule, QueryKey):
        own = schedule.temperatures
        tau = tau if own is None else tau * own
        return QueryKey(
            schedule.Q,
            schedule.K,
            rates=schedule.rates,
            normalise=schedule.normalise,
            temperatures=tau,
        )
    if isinstance(schedule, Factored):
        return QueryKey(schedule.Q, schedule.K, temperatures=tau)
    eye = jnp.eye(schedule.shape[-1])
    Q = jnp.broadcast_to(eye, schedule.shape[:-2] + eye.shape)
    return QueryKey(Q, schedule, temperatures=tau)
