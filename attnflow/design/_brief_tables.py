"""`[search]` of a brief, and its `[search.P]` and `[search.U]`: what is wanted, and what may be changed."""

from functools import lru_cache
from typing import Annotated, Any, Literal

import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
from jaxtyping import Array, Key
from msgspec import Meta

from .. import schedules
from ..spec import AttentionTable, Time
from ..spec.tables import Positive, Table, Values, check_most
from ._evolve import Evolution
from ._objectives import AbstractObjective, ConsensusTime, Final, Integral

Count = Annotated[int, Meta(ge=1)]
Seed = Annotated[int, Meta(ge=0, le=2**32 - 1)]


class Given(AttentionTable, frozen=True):
    """`[attention]` of a brief: what is not searched over, so that `P` may be left out."""

    P: Values | None = None


class Over(Table, frozen=True):
    r"""`[search.P]` or `[search.U]`: the family of schedules, where it begins, what bounds it.

    - `family`: `"constant"`; `"piecewise"` constant; `"interpolated"` through knots by cubics;
      `"fourier"`, a trigonometric sum.
    - `pieces`: how many pieces, knots or modes.
    - `spacing`: of pieces and knots over [t0, t1]: `"linear"`, or `"log"`, where the first ends
      `first` after t0 (a thousandth of the time) and the others grow by a common factor.
    - `period`: of a Fourier sum; the whole time unless given.
    - `heads`: a matrix for each of so many; unless given one, which heads share in U.
    - `identity`, `sd`: every piece begins at `identity` times I plus independent normal entries of
      standard deviation `sd`, drawn anew for each restart.
    - `bound`, `norm`: $\|M(t)\| <$ `bound` in the `"frobenius"` or `"spectral"` norm, for each head.
    - `symmetric`: $(M + M^\top)/2$. `rank`: $Q(t)^\top K(t)$ of that rank at most.
    """

    family: Literal["constant", "piecewise", "interpolated", "fourier"] = "constant"
    pieces: Count | None = None
    spacing: Literal["linear", "log"] | None = None
    first: Positive | None = None
    period: Positive | None = None
    heads: Count | None = None
    identity: float = 0.0
    sd: Annotated[float, Meta(ge=0)] = 0.1
    bound: Positive | None = None
    norm: Literal["frobenius", "spectral"] | None = None
    symmetric: bool = False
    rank: Count | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_most("pieces", self.pieces, 10**6, "pieces, knots or modes")
        check_most("heads", self.heads, 10**4, "heads")
        family, tabled = self.family, self.family in ("piecewise", "interpolated")
        if family == "constant" and self.pieces is not None:
            raise ValueError("`pieces` is for other families than constant; drop it")
        if family != "constant" and self.pieces is None:
            what = {"interpolated": "knots", "fourier": "modes"}.get(family, "pieces")
            raise ValueError(f"`pieces` must say how many {what} a schedule has; add it")
        if tabled and self.pieces is not None and self.pieces < 2:
            raise ValueError("`pieces` must be 2 or more; use the family constant for one")
        if not tabled and self.spacing is not None:
            raise ValueError("`spacing` is for piecewise and interpolated schedules; drop it")
        if self.first is not None and self.spacing != "log":
            raise ValueError('`first` is for spacing = "log"; drop it')
        if self.period is not None and family != "fourier":
            raise ValueError("`period` is for the family fourier; drop it")
        if self.norm is not None and self.bound is None:
            raise ValueError("`norm` is that of a `bound`; give both, or neither")
        if self.rank is not None and self.symmetric:
            raise ValueError("`rank` and `symmetric` exclude one another; give one")
        if self.rank is not None and (self.identity or not self.sd):
            raise ValueError("`rank` begins at random: give `sd` above 0, and `identity` 0")

    @property
    def bounds(self) -> tuple[float, str] | None:
        """As `optimise` takes it."""
        return None if self.bound is None else (self.bound, self.norm or "frobenius")

    def times(self, t0: float, t1: float) -> np.ndarray:
        """Knots, or the edges between pieces."""
        count = self.pieces if self.family == "interpolated" else (self.pieces or 0) + 1
        assert count is not None
        if self.spacing != "log":
            knots = np.linspace(t0, t1, count)
        else:
            first = (t1 - t0) / 1000 if self.first is None else self.first
            if not first < t1 - t0:
                raise ValueError(f"`first` must be below the time {t1 - t0:g}; got {first:g}")
            # From the end backwards, so that the last one is t1 however many there are.
            knots = t0 + np.append(0.0, np.geomspace(t1 - t0, first, count - 1)[::-1])
            knots[-1] = t1
        return knots if self.family == "interpolated" else knots[1:-1]

    def begin(
        self, key: Key[Array, ""], heads: tuple[int, ...], dim: int, time: Time, dtype: Any
    ) -> schedules.AbstractSchedule:
        """A schedule to begin with, drawn by the key, before its bound."""
        if self.rank is not None:
            shape = (*heads, self.rank, dim)
            Q, K = (self._family(k, shape, 0.0, time, dtype) for k in jr.split(key))
            return schedules.Factored(Q, K)
        schedule = self._family(key, (*heads, dim, dim), self.identity, time, dtype)
        return schedules.Symmetric(schedule) if self.symmetric else schedule

    def _family(
        self, key: Array, shape: tuple[int, ...], identity: float, time: Time, dtype: Any
    ) -> schedules.AbstractSchedule:
        middle = identity * jnp.broadcast_to(jnp.eye(shape[-2], shape[-1], dtype=dtype), shape)
        draw = lambda key, *many: self.sd * jr.normal(key, (*many, *shape), dtype)  # noqa: E731
        if self.family == "constant":
            return schedules.Constant(middle + draw(key))
        assert self.pieces is not None
        if self.family == "fourier":
            keys = jr.split(key, 3)
            omega = 2 * np.pi / (time.t1 - time.t0 if self.period is None else self.period)
            cosine, sine = (draw(k, self.pieces) for k in keys[1:])
            constant = middle + draw(keys[0])
            return schedules.Fourier(constant, cosine, sine, jnp.asarray(omega, dtype))
        times = jnp.asarray(self.times(time.t0, time.t1), dtype)
        values = middle[None] + draw(key, self.pieces)
        made = schedules.Piecewise if self.family == "piecewise" else schedules.Interpolated
        return made(times, values)


class Search(Table, frozen=True):
    """`[search]`: what is wanted, on which starts, and how it is looked for.

    - `goal`: `"minimise"` or `"maximise"`.
    - `objective`: `"final"`, E at the end; `"integral"`, its time average; `"consensus-time"`, when it
      falls to `threshold` (0.01). `log`: their logarithm (consensus times have it unless it is false).
    - `number`: so many fresh starts a step; `starts`: the same so many at every step; neither: the one
      start of `[tokens]`.
    - `risk`: over starts, `"mean"`, `"worst"`, or the fraction of worst ones that are averaged (CVaR).
    - `optimiser`: `"adam"`, `"lbfgs"` (the same starts at every step), `"cma"` (no gradients).
    - `rate`: of Adam (0.05), falling to zero along a cosine; of CMA-ES the first deviation (0.5).
    - `steps`, `restarts`, `patience`, `chunk`: as in `optimise`. `seed`: of all that is random but
      the start of `[tokens]`.
    - `held_back`: starts of the report (64), which the search never had; a search from one start is
      reported on that.
    - `P`, `U`: what is searched over.
    """

    goal: Literal["minimise", "maximise"] = "minimise"
    objective: Literal["final", "integral", "consensus-time"] = "final"
    log: bool | None = None
    threshold: Positive | None = None
    number: Count | None = None
    starts: Count | None = None
    risk: Literal["mean", "worst"] | float = "mean"
    optimiser: Literal["adam", "lbfgs", "cma"] = "adam"
    rate: Positive | None = None
    steps: Count = 200
    restarts: Count = 1
    patience: Count | None = None
    chunk: Count = 16
    seed: Seed = 0
    held_back: Count | None = None
    P: Over | None = None
    U: Over | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_most("steps", self.steps, 10**7, "steps")
        for name in ("number", "starts", "held_back", "chunk", "restarts"):
            check_most(name, getattr(self, name), 10**7, "starts or restarts")
        if self.P is None and self.U is None:
            raise ValueError("a table [search.P] or [search.U] must say what is searched over")
        if self.objective == "integral" and self.log:
            raise ValueError("`log` is for the objectives final and consensus-time; drop it")
        if self.objective != "consensus-time" and self.threshold is not None:
            raise ValueError("`threshold` is for the objective consensus-time; drop it")
        if self.number is not None and self.starts is not None:
            raise ValueError("give `number` (fresh starts) or `starts` (fixed ones), not both")
        if not isinstance(self.risk, str) and not 0 < self.risk < 1:
            raise ValueError(f"`risk` as a fraction must be in ]0, 1[; got {self.risk:g}")
        if self.optimiser == "lbfgs" and self.rate is not None:
            raise ValueError("`rate` is not used by lbfgs, which searches along lines; drop it")
        if self.optimiser == "lbfgs" and self.number is not None:
            raise ValueError("`number`: lbfgs needs the same starts at every step; give `starts`")
        if self.optimiser == "cma" and self.restarts > 1:
            raise ValueError("`restarts` must be 1 with cma, whose population runs side by side")
        if self.held_back is not None and self.single:
            raise ValueError(
                "`held_back` is for `number` or `starts`: a search from one start is judged on it"
            )
        if self.restarts > 1 and not any(over.sd for over in self.over.values()):
            raise ValueError("`restarts` would all begin at the same place; give `sd` above 0")

    @property
    def single(self) -> bool:
        """Whether there is one start alone."""
        return self.number is None and self.starts is None

    @property
    def over(self) -> dict[str, Over]:
        """The tables of what is searched over, by name."""
        return {name: over for name in ("P", "U") if (over := getattr(self, name)) is not None}

    def build_objective(self) -> AbstractObjective:
        """`Final`, `Integral` or `ConsensusTime`."""
        if self.objective == "integral":
            return Integral()
        if self.objective == "final":
            return Final(log=bool(self.log))
        log = True if self.log is None else self.log
        return ConsensusTime(0.01 if self.threshold is None else self.threshold, log=log)

    def build_optimiser(self) -> dict[str, Any]:
        """The `optimiser` or `rate` of `optimise`: one object each time, for which nothing compiles twice."""
        if self.optimiser == "lbfgs":
            return {"optimiser": _lbfgs()}
        if self.optimiser == "cma":
            return {"optimiser": Evolution(0.5 if self.rate is None else self.rate)}
        return {} if self.rate is None else {"rate": self.rate}


@lru_cache
def _lbfgs() -> Any:
    return optax.lbfgs()
