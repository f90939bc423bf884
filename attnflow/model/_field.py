"""The vector field of eq. (6): attention moving tokens on a manifold."""

from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Bool, Float, Real

from ..core.callables import adapt
from ..core.checks import check, choose, finite, floating, room, scalar_time, shaped
from ..core.eager import one_program
from ..core.types import Numbers, Scalar
from ..geometry import AbstractManifold
from ..schedules import (
    AbstractSchedule,
    GivenSchedule,
    KnownKinks,
    QueryKey,
    all_breaks,
    all_jumps,
    all_kinks,
    as_schedule,
    of_matrix_alone,
    of_product,
)
from ._kernels import AbstractKernel, as_kernel
from ._masks import AbstractMask, GivenMask, as_mask
from ._normalisations import ON_A_SPHERE, AbstractNormalisation, as_normalisation
from .reductions import AbstractField, Reduction, reduce


class AttentionField(AbstractField):
    r"""The attention flow of $\ell$ tokens on an ellipsoid (paper, eq. 6).

    $$\dot y_i = T_{y_i}\pi_W \sum_\eta \sum_j \alpha^\eta_{ij}(t, y)\, U_\eta(t)\, y_j, \qquad
    \alpha^\eta_{ij} = c\,\frac{\exp(y_i^\top P_\eta(t) y_j)}{\sum_k \exp(y_i^\top P_\eta(t) y_k)}$$

    with $c = 1/\sqrt d$ unless `scale` says otherwise. A `diffrax` vector field as it is:
    `field(t, y, args)` has the shape of `y`.

    **Arguments:**

    - `manifold`: [`Sphere`][] or [`Ellipsoid`][]; gives $d$ and $W$. On [`Euclidean`][] nothing is
      projected: $\dot y_i$ is the sum itself.
    - `P`: query-key matrices, `(d, d)` or `(h, d, d)`, an array or a schedule.
    - `U`: value matrices likewise; `None` is the identity. A `(d, d)` matrix serves every head.
    - `mask`: `None` (full attention), `"causal"`, `"others"` (all but oneself), a Boolean `(tokens, tokens)`
      matrix (true: may attend), a real bias added to the logits, `(tokens, tokens)` or `(h, tokens, tokens)`,
      or a module: `Window(4)`, `ALiBi(tokens, slopes)`, `NoSelf("causal")` of `attnflow.model`.
    - `kernel`: `"softmax"`, `"exp"` ($e^{s_{ij}}/\ell$, not normalised), `"hardmax"`, or a module.
    - `normalisation`: `"post"` (the paper), `"pre"`, `"peri"`, `"ngpt"`, `"sqrt"`, or a module such
      as `Mix(switch)`. Pre, Peri and Mix states are not on the manifold: their length is a state.
    - `scale`: $c$, the sum of a softmax row.
    - `weights`: masses of the tokens, shape `(tokens,)`, zero or more; a token of mass zero is seen
      by nobody.
    - `frozen`: Boolean `(tokens,)`; true tokens do not move.
    - `drift`: an ambient term beside attention, a function of `(t, y)` or `(t, y, args)` of shape
      `(tokens, dim)`, normalised together with the attention's sum.
    - `precision`: of the matrix products, as `jax.default_matmul_precision` takes it. The default
      never lets a GPU round float32 products to TF32.

    **Raises:**

    `ValueError` naming the argument on a wrong shape, number of heads, name or value.

    ```python
    sphere = af.Sphere(3)
    field = af.AttentionField(sphere, P=jnp.eye(3), mask="causal")
    field(0.0, sphere.random(jax.random.key(0), (8,)))       # (8, 3)
    ```
    """

    manifold: AbstractManifold
    P: AbstractSchedule
    U: AbstractSchedule | None
    mask: AbstractMask
    kernel: AbstractKernel
    normalisation: AbstractNormalisation
    scale: Float[Array, ""]
    weights: Float[Array, " tokens"] | None
    frozen: Bool[Array, " tokens"] | None
    drift: Callable[..., Array] | None
    precision: str = eqx.field(static=True)

    def __init__(
        self,
        manifold: AbstractManifold,
        P: GivenSchedule,
        U: GivenSchedule | None = None,
        mask: GivenMask = None,
        *,
        kernel: str | AbstractKernel = "softmax",
        normalisation: str | AbstractNormalisation = "post",
        scale: Scalar | None = None,
        weights: Numbers | None = None,
        frozen: Bool[ArrayLike, "..."] | Sequence[bool] | None = None,
        drift: Callable[..., Array] | None = None,
        precision: str = "highest",
    ):
        if not isinstance(manifold, AbstractManifold):
            raise ValueError(
                "`manifold` must be attnflow.Sphere(dim), attnflow.Ellipsoid(W) or attnflow.Euclidean(dim); "
                f"got {type(manifold).__name__}."
            )
        self.manifold = manifold
        self.P = _matrices("P", P, manifold.dim)
        self.U = None if U is None else _matrices("U", U, manifold.dim)
        self.mask = as_mask(mask)
        self.kernel = as_kernel(kernel)
        self.normalisation = as_normalisation(normalisation)
        self.scale = finite("scale", manifold.dim**-0.5 if scale is None else scale)
        self.weights = None if weights is None else _masses(weights)
        self.frozen = None if frozen is None else _flags(frozen)
        self.drift = None if drift is None else adapt("drift", drift)
        self.precision = choose("precision", precision, ("default", "high", "highest"))
        if self.scale.ndim:
            raise ValueError(f"`scale` must be a scalar; got shape {self.scale.shape}.")
        self._check_agreement()

    def _check_agreement(self) -> None:
        if self.manifold.flat and isinstance(self.normalisation, ON_A_SPHERE):
            kind = type(self.normalisation).__name__
            raise ValueError(
                f"`normalisation` must be 'post' or 'sqrt' on Euclidean, which has no directions; got {kind}. "
                "Pre, Peri and Mix of unprojected tokens are fields on Sphere(dim)."
            )
        heads = {"P": _heads(self.P), "U": _heads(self.U)}
        bias = self.mask.bias()
        if bias is not None and bias.ndim == 3:
            heads["mask"] = bias.shape[0]
        given = {name: h for name, h in heads.items() if h is not None}
        if len(set(given.values())) > 1:
            shown = ", ".join(f"{name} has {h}" for name, h in given.items())
            raise ValueError(
                f"`P` and `U` must have one number of heads; got {shown}. "
                "A (d, d) matrix without a head axis serves every head."
            )
        counts = {
            "P": self.P.tokens if isinstance(self.P, QueryKey) else None,
            "mask": self.mask.tokens,
            "weights": None if self.weights is None else self.weights.shape[0],
            "frozen": None if self.frozen is None else self.frozen.shape[0],
        }
        known = {name: n for name, n in counts.items() if n is not None}
        if len(set(known.values())) > 1:
            shown = ", ".join(f"{name} is for {n}" for name, n in known.items())
            raise ValueError(
                f"`mask`, `weights` and `frozen` must agree on the tokens; got {shown}."
            )

    @property
    def dim(self) -> int:
        """$d$."""
        return self.manifold.dim

    @property
    def heads(self) -> int:
        """$h$."""
        bias = self.mask.bias()
        axis = bias.shape[0] if bias is not None and bias.ndim == 3 else None
        return next((h for h in (_heads(self.P), _heads(self.U), axis) if h is not None), 1)

    @property
    def tokens(self) -> int | None:
        """The number of tokens the mask, masses or frozen flags ask for; `None` for any."""
        for part in (self.weights, self.frozen):
            if part is not None:
                return part.shape[0]
        if isinstance(self.P, QueryKey) and self.P.tokens is not None:
            return self.P.tokens
        return self.mask.tokens

    @property
    def projected(self) -> bool:
        """Whether the state stays on the manifold (not for Pre, Peri and Mix)."""
        return self.normalisation.projected

    def refuse_start(self, name: str, y: Numbers) -> Float[Array, "tokens dim"]:
        """`y` as it is: refused off the manifold where tokens must begin on it, else if zero."""
        if self.normalisation.starts_on_manifold:
            return self.manifold.refuse_tokens(name, y)
        return self.manifold.check_rows(name, y)

    def check_start(self, name: str, y: Numbers) -> Float[Array, "tokens dim"]:
        """`y` as a start: `refuse_start`, then projected where tokens must begin on the manifold."""
        y = self.refuse_start(name, y)
        return self.manifold.project(y) if self.normalisation.starts_on_manifold else y

    @property
    def _schedules(self) -> tuple[AbstractSchedule, ...]:
        return tuple(s for s in (self.P, self.U, *self.normalisation.parts) if s is not None)

    @property
    def value_schedules(self) -> tuple[AbstractSchedule, ...]:
        """The schedules that attention weights multiply: all but `P`."""
        return tuple(s for s in (self.U, *self.normalisation.parts) if s is not None)

    @property
    def frequency(self) -> Float[Array, ""] | None:
        """The frequency that tokens feel, cycles per unit of time; `None` if no schedule has any.

        Attention weights multiply values, so those of the schedules add up.
        """
        return of_product(*self._schedules)

    @property
    def jump_times(self) -> Float[Array, " jumps"] | None:
        """The schedules' jump times; `None` if none has any."""
        return all_jumps(*self._schedules)

    @property
    def break_times(self) -> Float[Array, " breaks"] | None:
        """The times where smooth pieces of the schedules meet; `None` if there are none."""
        return all_breaks(*self._schedules)

    @property
    def matrix_scores(self) -> bool:
        r"""Whether scores are $y_i^\top P_\eta(t) y_j$ and the mask's bias; not where P adds to them."""
        return of_matrix_alone(self.P)

    @property
    def kinks(self) -> KnownKinks:
        """Where the schedules' slopes jump at times that no list holds, as they say themselves."""
        return all_kinks(*self._schedules)

    def logits(
        self, t: Real[ArrayLike, ""], y: Float[Array, "tokens dim"]
    ) -> Float[Array, "heads tokens tokens"]:
        r"""$y_i^\top P_\eta(t) y_j$, the bias added; shape `(h, tokens, tokens)`."""
        y = self._tokens(y)
        with jax.default_matmul_precision(self.precision):
            logits = self.P.bilinear(t, y, y)
        logits = logits.reshape(-1, *logits.shape[-2:])
        bias = self.mask.bias()
        if bias is not None:
            logits = logits + bias.reshape(-1, *bias.shape[-2:]).astype(y.dtype)
        return logits

    def attention(
        self, t: Real[ArrayLike, ""], y: Float[Array, "tokens dim"]
    ) -> Float[Array, "heads tokens tokens"]:
        r"""$\alpha^\eta_{ij}(t, y)$, shape `(h, tokens, tokens)`; rows of softmax and hardmax sum to `scale`."""
        y = self._tokens(y)
        t = scalar_time(t, y.dtype)
        rows = self._rows(t, self._directions(y))
        return jnp.broadcast_to(rows, (self.heads, *rows.shape[1:]))

    def _rows(self, t: Array, y: Array) -> Array:
        tokens = y.shape[0]
        room("y", (self.heads, tokens, tokens), y.dtype.itemsize, what="attention weights")
        self._check_tokens(tokens)
        allowed = self.mask.allowed(tokens)
        if allowed is not None:
            allowed = allowed.reshape(-1, tokens, tokens)
        weights = None if self.weights is None else self.weights.astype(y.dtype)[None, None, :]
        return self.scale.astype(y.dtype) * self.kernel(self.logits(t, y), allowed, weights)

    def _check_tokens(self, tokens: int) -> None:
        if self.tokens is not None and self.tokens != tokens:
            raise ValueError(
                f"`y` must have {self.tokens} tokens, as the field's mask, weights or frozen flags; "
                f"got {tokens}."
            )

    def _tokens(self, y: Any) -> Array:
        y = floating("y", y)
        shaped("y", y.shape, ("tokens", self.dim), remedy="Use jax.vmap for more axes.")
        return y

    def _directions(self, y: Array) -> Array:
        return y if self.projected else self.manifold.project(y)

    def total(
        self, t: Real[ArrayLike, ""], y: Float[Array, "tokens dim"], args: object = None
    ) -> Float[Array, "tokens dim"]:
        r"""$A_i = \sum_\eta \sum_j \alpha^\eta_{ij} U_\eta y_j$ plus the drift: what is to be normalised."""
        y = self._tokens(y)
        t = scalar_time(t, y.dtype)
        x = self._directions(y)
        rows = self._rows(t, x)
        with jax.default_matmul_precision(self.precision):
            A = self._mix(t, rows, x)
        return self._and_drift(A, t, y, args)

    def _and_drift(self, A: Array, t: Array, y: Array, args: object) -> Array:
        if self.drift is None:
            return A
        with jax.default_matmul_precision(self.precision):
            return A + jnp.asarray(self.drift(t, y, args), y.dtype)

    def _mix(self, t: Array, rows: Array, x: Array) -> Array:
        U = self.U
        if U is None:
            return jnp.sum(rows, axis=0) @ x
        coefficient = U.identity_coefficient()
        if coefficient is not None:
            c = coefficient(t).astype(x.dtype).reshape(-1, 1, 1)
            return jnp.sum(c * rows, axis=0) @ x
        values = U.apply(t, x)
        if values.ndim == 2:
            return jnp.sum(rows, axis=0) @ values
        if rows.shape[0] == 1:
            return rows[0] @ jnp.sum(values, axis=0)
        return jnp.einsum("hij,hjd->id", rows, values)

    def __call__(
        self, t: Real[ArrayLike, ""], y: Float[Array, "tokens dim"], args: object = None
    ) -> Float[Array, "tokens dim"]:
        r"""$\dot y$ at time `t`, shape and dtype of `y`; `args` go to the drift."""
        y = self._tokens(y)
        t = scalar_time(t, y.dtype)
        if args is None:
            return _velocity(self, t, y)
        return self._velocity(t, y, args)

    def _velocity(self, t: Array, y: Array, args: Any) -> Array:
        return self._moved_by(self.total(t, y, args), t, y)

    def _moved_by(self, A: Array, t: Array, y: Array) -> Array:
        with jax.default_matmul_precision(self.precision):
            velocity = self.normalisation.velocity(self.manifold, t, y, A)
        if self.frozen is not None:
            velocity = jnp.where(self.frozen[:, None], 0, velocity)
        return velocity

    def reduce(self, y0: Float[Array, "tokens dim"], *, how: str = "auto") -> Reduction:
        """The same flow in fewer or simpler coordinates: see [`attnflow.model.reduce`][]."""
        return reduce(self, y0, how=how)


@one_program
def _velocity(field: AttentionField, t: Array, y: Array) -> Array:
    return field._velocity(t, y, None)


def _heads(schedule: AbstractSchedule | None) -> int | None:
    if schedule is None or len(schedule.shape) == 2:
        return None
    return schedule.shape[0]


def _matrices(name: str, value: Any, dim: int) -> AbstractSchedule:
    schedule = as_schedule(name, value)
    shape = schedule.shape
    shaped(name, shape, (dim, dim), ("heads", dim, dim), also=" on this manifold")
    return schedule


def _masses(weights: Any) -> Array:
    weights = floating("weights", weights)
    shaped("weights", weights.shape, ("tokens",))
    return check(
        weights,
        lambda w: ~((w >= 0) & (w < jnp.inf) & (w > 0).any()),
        "`weights` must be finite, zero or more, and not all zero; got other masses.",
    )


def _flags(frozen: Any) -> Array:
    try:
        frozen = jnp.asarray(frozen)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(
            f"`frozen` must be a Boolean vector, shape (tokens,); got {type(frozen).__name__}."
        ) from None
    if frozen.dtype != jnp.bool_ or frozen.ndim != 1:
        raise ValueError(
            "`frozen` must be a Boolean vector, shape (tokens,); "
            f"got dtype {frozen.dtype} and shape {frozen.shape}."
        )
    return frozen
