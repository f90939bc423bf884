"""A case: where tokens live and start, how they attend, for how long, and what to look at."""

import math
from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key
from msgspec import UNSET, Meta, UnsetType

from .. import observables
from ..core.checks import is_concrete, room
from ..geometry import AbstractManifold, Ellipsoid, Euclidean, Sphere
from ..model import NGPT, ALiBi, AttentionField, Hardmax, Mix, NoSelf, Window, rescaled
from ._noise import CaseNoise
from .tables import Positive, Table, Values, at_table, built, check_most, matrices


class Manifold(Table, frozen=True):
    """`[manifold]`: `dim` for the unit sphere in R^dim, or `W` for the ellipsoid x'Wx = 1.

    With `space = "euclidean"` and `dim` it is all of R^dim.
    """

    dim: Annotated[int, Meta(ge=1)] | None = None
    W: list[object] | None = None
    space: Literal["sphere", "euclidean"] = "sphere"

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.dim is None) == (self.W is None):
            raise ValueError("give `dim` (a sphere) or `W` (an ellipsoid), one of the two")
        if self.space == "euclidean" and self.dim is None:
            raise ValueError('`W` is for an ellipsoid; `space = "euclidean"` needs `dim`')

    def build(self) -> AbstractManifold:
        """The `Sphere`, `Ellipsoid` or `Euclidean`."""
        if self.space == "euclidean" and self.dim is not None:
            return Euclidean(self.dim)
        return Ellipsoid(built(self.W)) if self.dim is None else Sphere(self.dim)


class Tokens(Table, frozen=True):
    """`[tokens]`: `count` tokens drawn by a `law` from a `seed`, or `rows`, their places.

    Laws: uniform on the manifold; the same in the `hemisphere` of `v`; `cube`: entries uniform on
    ]-1/2, 1/2[, then projected (paper, Fig. 4). In R^d: `normal`, of standard deviation `size`; `cube`, uniform on
    ]-size, size[^d; `ball`, uniform in that of radius `size`.
    """

    count: Annotated[int, Meta(ge=1)] | None = None
    law: Literal["uniform", "hemisphere", "cube", "normal", "ball"] = "uniform"
    size: Positive = 1.0
    v: list[object] | None = None
    seed: Annotated[int, Meta(ge=0, le=2**32 - 1)] = 0
    rows: list[object] | None = None
    project: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.count is None) == (self.rows is None):
            raise ValueError("give `count` (random tokens) or `rows` (places), one of the two")
        if self.v is not None and (self.rows is not None or self.law != "hemisphere"):
            raise ValueError('`v` is for law = "hemisphere" alone; drop it')
        if self.project and self.rows is None:
            raise ValueError("`project` is for `rows` alone; drop it")

    def build(self, manifold: AbstractManifold) -> Float[Array, "tokens dim"]:
        """The tokens. Rows off the manifold are refused later, unless `project` is true."""
        if self.rows is not None:
            rows = manifold.check_rows("rows", built(self.rows))
            return manifold.project(rows) if self.project else rows
        return self.draw(manifold, jax.random.key(self.seed))

    def draw(self, manifold: AbstractManifold, key: Key[Array, ""]) -> Float[Array, "tokens dim"]:
        """`count` tokens by the law, from any key."""
        if self.count is None:
            raise ValueError("random starts need `count` (and a `law`); these tokens have `rows`")
        if isinstance(manifold, Euclidean):
            if self.law not in ("normal", "cube", "ball"):
                raise ValueError(
                    f'law = "{self.law}" is of spheres; in R^d say "normal", "cube" or "ball"'
                )
            return manifold.random(key, (self.count,), law=self.law, size=self.size)
        if self.law in ("normal", "ball"):
            raise ValueError(f'law = "{self.law}" is for `space = "euclidean"` alone')
        if is_concrete(self.size) and self.size != 1:
            raise ValueError('`size` is for `space = "euclidean"` alone; drop it')
        if self.law == "cube":
            shape = (self.count, manifold.dim)
            return manifold.project(jax.random.uniform(key, shape, minval=-0.5, maxval=0.5))
        if self.law == "uniform":
            return manifold.random(key, (self.count,))
        return manifold.random_hemisphere(key, (self.count,), v=built(self.v))


class HardmaxTable(Table, frozen=True, tag_field="type", tag="hardmax"):
    """`kernel = {type = "hardmax", tolerance = 1e-9}`."""

    tolerance: Annotated[float, Meta(ge=0)]


class MixTable(Table, frozen=True, tag_field="type", tag="mix"):
    """`normalisation = {type = "mix", switch = 2.0}`: Post until then, Pre afterwards."""

    switch: float


class NGPTTable(Table, frozen=True, tag_field="type", tag="ngpt"):
    """`normalisation = {type = "ngpt", alpha = 0.5}`."""

    holds_schedule: ClassVar[tuple[str, ...]] = ("alpha",)

    alpha: Values = 1.0


class WindowTable(Table, frozen=True, tag_field="type", tag="window"):
    """`mask = {type = "window", width = 4}`, to both sides with `causal = false`."""

    width: Annotated[int, Meta(ge=1)]
    causal: bool = True


class ALiBiTable(Table, frozen=True, tag_field="type", tag="alibi"):
    """`mask = {type = "alibi", tokens = 8, slopes = [0.5, 0.25]}`: a bias -slope |i - j|, a slope for each head."""

    tokens: Annotated[int, Meta(ge=1)]
    slopes: float | list[object]
    causal: bool = True


class NoSelfTable(Table, frozen=True, tag_field="type", tag="no-self"):
    """`mask = {type = "no-self", mask = "causal"}`: that mask, but nobody attends to itself."""

    mask: Literal["full", "causal"] | list[object] | WindowTable | ALiBiTable = "full"


def _mask(mask: Any) -> Any:
    if isinstance(mask, WindowTable):
        return Window(mask.width, causal=mask.causal)
    if isinstance(mask, ALiBiTable):
        return ALiBi(mask.tokens, built(mask.slopes), causal=mask.causal)
    if isinstance(mask, NoSelfTable):
        return NoSelf(_mask(mask.mask))
    if isinstance(mask, list):
        return np.asarray(mask)  # as it stands: the field's own rule tells a bias from flags
    return None if mask == "full" else mask


class AttentionTable(Table, frozen=True):
    """`[attention]`: the arguments of `AttentionField`, under their own names.

    `P` and `U` are matrices, (heads, d, d) or (d, d); tables of schedules; or numbers, one or one a
    head, that multiply the identity. `rescaled = true` is the flow in R^d without its growth
    ([`rescaled`][attnflow.model.rescaled]).
    """

    holds_schedule: ClassVar[tuple[str, ...]] = ("P", "U")

    P: Values
    U: Values | None = None
    mask: (
        Literal["full", "causal", "others"] | list[object] | WindowTable | ALiBiTable | NoSelfTable
    ) = "full"
    kernel: Literal["softmax", "exp", "hardmax"] | HardmaxTable = "softmax"
    normalisation: Literal["post", "pre", "peri", "ngpt", "sqrt"] | MixTable | NGPTTable = "post"
    scale: Positive | None = None
    weights: list[object] | None = None
    frozen: list[bool] | None = None
    rescaled: bool = False

    def build(self, manifold: AbstractManifold) -> AttentionField:
        """The field."""
        kernel: Any = self.kernel
        normalisation: Any = self.normalisation
        if isinstance(kernel, HardmaxTable):
            kernel = Hardmax(tolerance=kernel.tolerance)
        if isinstance(normalisation, MixTable):
            normalisation = Mix(normalisation.switch)
        if isinstance(normalisation, NGPTTable):
            normalisation = NGPT(built(normalisation.alpha))
        field = AttentionField(
            manifold,
            P=matrices(self.P, manifold.dim),
            U=None if self.U is None else matrices(self.U, manifold.dim),
            mask=_mask(self.mask),
            kernel=kernel,
            normalisation=normalisation,
            scale=self.scale,
            weights=built(self.weights),
            frozen=None if self.frozen is None else jnp.asarray(self.frozen),
        )
        return rescaled(field) if self.rescaled else field


class Time(Table, frozen=True):
    """`[time]`: from `t0` to `t1`, seen at `points` equidistant times."""

    t0: float = 0.0
    t1: float = 20.0
    points: Annotated[int, Meta(ge=2)] = 201

    def __post_init__(self) -> None:
        if not self.t0 < self.t1:
            raise ValueError(f"`t1` must be after `t0`; got {self.t1:g} and {self.t0:g}")
        if not math.isfinite(self.t1 - self.t0):
            raise ValueError(f"`t0` and `t1` must be finite; got {self.t0:g} and {self.t1:g}")
        check_most("points", self.points, 10**7, "times to look at")


class Solver(Table, frozen=True):
    """`[solver]`: tolerances and first step (with noise, the step); those of `simulate` unless given."""

    rtol: Annotated[float, Meta(ge=0)] | None = None
    atol: Annotated[float, Meta(ge=0)] | None = None
    max_steps: Annotated[int, Meta(ge=1)] | None = None
    dt0: Positive | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_most("max_steps", self.max_steps, 2**31 - 1, "steps")


Observable = Literal[
    "misalignment",
    "aligned_pairs",
    "order_parameter",
    "clusters",
    "effective_rank",
    "hemisphere_margin",
    "lyapunov",
    "energy",
    "residual",
]


class Output(Table, frozen=True):
    """`[output]`: what to look at.

    `v` is for the Lyapunov function; `threshold`, a cosine, for clusters and aligned pairs.
    """

    observe: list[Observable] | UnsetType = UNSET
    v: list[object] | None = None
    threshold: Annotated[float, Meta(ge=-1, le=1)] = 0.999

    def __post_init__(self) -> None:
        super().__post_init__()
        names = [] if isinstance(self.observe, UnsetType) else self.observe
        if ("lyapunov" in names) != (self.v is not None):
            raise ValueError("`v` and the observable lyapunov go together; give both or neither")

    def make(self, name: str, field: AttentionField | None) -> Callable[..., object]:
        """The observable of that name; energy and residual are made of the field, others need none."""
        of: Any = field
        make: dict[str, Callable[[], Any]] = {
            "misalignment": observables.Misalignment,
            "aligned_pairs": lambda: observables.AlignedPairs(self.threshold),
            "order_parameter": observables.OrderParameter,
            "clusters": lambda: observables.ClusterCount(self.threshold),
            "effective_rank": observables.EffectiveRank,
            "hemisphere_margin": observables.HemisphereMargin,
            "lyapunov": lambda: observables.Lyapunov(built(self.v)),
            "energy": lambda: observables.Energy(of),
            "residual": lambda: observables.Residual(of.manifold),
        }
        return make[name]()


class Case(Table, frozen=True, kw_only=True):
    """All that a simulation needs, as it stands in a file.

    !!! example

        ```python
        case = af.spec.read("figure2")
        field, y0, options = case.build()
        sol = af.simulate(field, y0, **options, observe=case.observers(field))
        ```
    """

    title: str = ""
    manifold: Manifold
    tokens: Tokens
    attention: AttentionTable
    noise: CaseNoise | None = None
    time: Time = Time()
    solver: Solver = Solver()
    output: Output = Output()
    dtype: Literal["float64", "float32"] = "float64"

    def build(self) -> tuple[AttentionField, Float[Array, "tokens dim"], dict[str, Any]]:
        """The field, the starting tokens, and the keyword arguments of `simulate`, `noise` and its `key` among them.

        **Raises:**

        `ValueError` that names the table, when shapes do not fit one another, or when `dtype` is
        float64 and JAX has 64 bits turned off.
        """
        dtype = jnp.dtype(self.dtype)
        if jnp.asarray(np.zeros((), dtype)).dtype != dtype:
            raise ValueError(
                "$.dtype: float64 needs JAX's 64 bits: call "
                'jax.config.update("jax_enable_x64", True) first, or choose float32.'
            )
        with at_table("$.manifold"):
            manifold = self.manifold.build()
        with at_table("$.attention"):
            field = self.attention.build(manifold)
        with at_table("$.tokens"):
            count = self.tokens.count or len(self.tokens.rows or ())
            weights = (field.heads, count, count)
            room("count", (count, manifold.dim), dtype.itemsize, what="tokens")
            room("count", weights, dtype.itemsize, what="attention weights")
            y0 = self.tokens.build(manifold).astype(dtype)
        if field.projected:
            with at_table("$.tokens"):
                manifold.check_tokens("rows", y0)
        solver = {name: getattr(self.solver, name) for name in ("rtol", "atol", "max_steps")}
        if self.solver.dt0 is not None:
            solver["dt0"] = self.solver.dt0
        if self.noise is not None:
            with at_table("$.noise"):
                solver |= {"noise": self.noise.build(), "key": self.noise.key()}
        time = self.time
        ts = jnp.linspace(time.t0, time.t1, time.points, dtype=dtype)
        return field, y0, {"t0": time.t0, "t1": time.t1, "ts": ts, **solver}

    def observers(self, field: AttentionField) -> dict[str, Callable[..., object]]:
        """The observables of `[output]` by name, ready for `simulate(observe=...)`.

        Unless the file names them: misalignment, order parameter, clusters, effective rank,
        hemisphere margin, and (where the state stays on the manifold) the distance from it.
        """
        names = self.output.observe
        if isinstance(names, UnsetType):
            skip = {"lyapunov", "energy", "aligned_pairs"}
            skip |= set() if field.projected and not field.manifold.flat else {"residual"}
            names = [name for name in Observable.__args__ if name not in skip]
        with at_table("$.output"):
            return {name: self.output.make(name, field) for name in names}
