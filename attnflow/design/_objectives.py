"""What a search over schedules makes small or large: a number of each run."""

import abc
from collections.abc import Callable
from typing import Any, cast

import diffrax
import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from ..core.callables import adapt, as_module
from ..core.checks import boolean, check, floating, whole
from ..core.types import Functions, Scalar
from ..flow import Consensus, Solution, consensus
from ..geometry import AbstractManifold
from ..observables import Misalignment, misalignment


class AbstractObjective(eqx.Module):
    """A differentiable number of a run, and what the run has to save for it."""

    @property
    @abc.abstractmethod
    def title(self) -> str:
        """What it is, in a few words."""

    @abc.abstractmethod
    def asks(self, t0: Array, t1: Array) -> dict[str, Any]:
        """The `ts`, `observe` and `event` that `simulate` is to be given."""

    @abc.abstractmethod
    def value(self, solution: Solution) -> Float[Array, ""]:
        """The number."""

    def censored(self, value: Array, t1: Array) -> Array:
        """Whether a value says no more than that the run was too short; shape of `value`."""
        return jnp.zeros(value.shape, bool)


class Final(AbstractObjective):
    """An observable at the end of the run: misalignment (paper, eq. 9) unless another is given.

    **Arguments:**

    - `observe`: a function of tokens `(y)` or `(t, y)` that gives a number, or an observable such as
      `af.Lyapunov(v)`.
    - `log`: take the logarithm, which is what gradients of numbers near zero are for.

    ```python
    af.search.Final(log=True)  # log E(T)
    ```
    """

    observe: Callable[..., object]
    log: bool = eqx.field(static=True)

    def __init__(self, observe: Callable[..., object] | None = None, log: bool = False):
        self.observe = adapt("observe", Misalignment() if observe is None else observe)
        self.log = boolean("log", log)

    @property
    def title(self) -> str:
        """`E(T)`, or the observable's name."""
        return f"log {_name(self.observe)}(T)" if self.log else f"{_name(self.observe)}(T)"

    def asks(self, t0: Array, t1: Array) -> dict[str, Any]:
        """Only the end."""
        return {"observe": self.observe}

    def value(self, solution: Solution) -> Float[Array, ""]:
        """Its value at `t1`, or the logarithm of it."""
        value = jnp.asarray(solution.ys[-1])
        return jnp.log(value) if self.log else value


class Integral(AbstractObjective):
    r"""The time average of an observable, $\frac{1}{T}\int_{t_0}^{t_0+T} E\,\mathrm{d}t$, by Simpson's rule.

    **Arguments:**

    - `observe`: as in [`Final`][attnflow.search.Final].
    - `points`: equidistant times of the rule, odd, at least 3.
    """

    observe: Callable[..., object]
    points: int = eqx.field(static=True)

    def __init__(self, observe: Callable[..., object] | None = None, points: int = 65):
        self.observe = adapt("observe", Misalignment() if observe is None else observe)
        self.points = whole("points", points, least=3)
        if self.points % 2 == 0:
            raise ValueError(f"`points` must be odd for Simpson's rule; got {points}: add one.")

    @property
    def title(self) -> str:
        """`mean of E over time`, or of the observable."""
        return f"mean of {_name(self.observe)} over time"

    def asks(self, t0: Array, t1: Array) -> dict[str, Any]:
        """The observable at the rule's times."""
        return {"observe": self.observe, "ts": jnp.linspace(t0, t1, self.points)}

    def value(self, solution: Solution) -> Float[Array, ""]:
        """The average."""
        values = jnp.asarray(solution.ys)
        return jnp.sum(jnp.asarray(simpson(self.points), values.dtype) * values)


def simpson(points: int) -> np.ndarray:
    """The weights of Simpson's rule for an average over so many equidistant points."""
    weights = np.where(np.arange(points) % 2 == 1, 4.0, 2.0)
    weights[[0, -1]] = 1.0
    return weights / (3 * (points - 1))


class ConsensusTime(AbstractObjective):
    r"""The time from `t0` until $E(y) \le \varepsilon$, differentiated through the event.

    Where a run ends before, at $t_1$, it is continued so that a gradient remains:
    $(t_1 - t_0)\,(1 + \log(E(t_1)/\varepsilon))$, or for the logarithm
    $\log (t_1 - t_0) + \log(E(t_1)/\varepsilon)$; both are continuous where the threshold is reached just
    at $t_1$. Such values are no times, and reports say how many there are.

    **Arguments:**

    - `threshold`: $\varepsilon > 0$.
    - `log`: the natural logarithm of the time, for times that differ by orders of magnitude.
    - `manifold`: take $E$ in its inner product; `None` for eq. (9) as printed.
    """

    threshold: Float[Array, ""]
    log: bool = eqx.field(static=True)
    manifold: AbstractManifold | None

    def __init__(
        self, threshold: Scalar = 0.01, log: bool = True, manifold: AbstractManifold | None = None
    ):
        event: Consensus = consensus(threshold, manifold)
        self.threshold, self.log, self.manifold = event.threshold, boolean("log", log), manifold

    @property
    def title(self) -> str:
        """`log time to E = 0.01`, say."""
        return f"{'log ' if self.log else ''}time to E = {float(self.threshold):g}"

    def asks(self, t0: Array, t1: Array) -> dict[str, Any]:
        """The event."""
        return {"event": Consensus(self.threshold, self.manifold)}

    def value(self, solution: Solution) -> Float[Array, ""]:
        """The time, or the logarithm of it."""
        tiny = jnp.finfo(solution.t1.dtype).tiny
        elapsed = jnp.maximum(solution.t1 - solution.t0, tiny)
        E = misalignment(solution.y1, self.manifold)
        # Zero at the event, where E is the threshold to rounding: its slope must not be left there.
        beyond = jnp.log(jnp.maximum(E, tiny) / self.threshold.astype(E.dtype))
        beyond = jnp.where(jnp.asarray(solution.event), 0, beyond)
        return jnp.log(elapsed) + beyond if self.log else elapsed * (1 + beyond)

    def censored(self, value: Array, t1: Array) -> Array:
        """Values beyond the longest time that was run."""
        return value > (jnp.log(t1) if self.log else t1)


class OfRun(AbstractObjective):
    """Any function of a [`Solution`][] that gives a number, with what it needs to be saved.

    **Arguments:**

    - `function`: the function, traceable by JAX.
    - `observe`, `points`, `event`: as in `simulate`; `points` equidistant times, or the end alone.
    - `name`: for reports.

    ```python
    spread = af.search.OfRun(lambda sol: jnp.max(sol.ys), observe=af.misalignment, points=33, name="max E")
    ```
    """

    function: Callable[[Solution], ArrayLike]
    observe: Functions | None
    event: Functions | diffrax.Event | None
    points: int | None = eqx.field(static=True)
    name: str = eqx.field(static=True)

    def __init__(
        self,
        function: Callable[[Solution], ArrayLike],
        *,
        observe: Functions | None = None,
        points: int | None = None,
        event: Functions | diffrax.Event | None = None,
        name: str = "objective",
    ):
        self.function = cast(Callable[[Solution], ArrayLike], as_module("function", function))
        self.observe, self.event, self.name = observe, event, name
        self.points = None if points is None else whole("points", points, least=2)

    @property
    def title(self) -> str:
        """The name given."""
        return self.name

    def asks(self, t0: Array, t1: Array) -> dict[str, Any]:
        """What was given."""
        ts = None if self.points is None else jnp.linspace(t0, t1, self.points)
        return {"observe": self.observe, "ts": ts, "event": self.event}

    def value(self, solution: Solution) -> Float[Array, ""]:
        """What the function gives."""
        return jnp.asarray(self.function(solution))


def as_objective(
    objective: AbstractObjective | Callable[[Solution], ArrayLike],
) -> AbstractObjective:
    """An objective as it is; a function of a solution as one."""
    if isinstance(objective, AbstractObjective):
        return objective
    if not callable(objective):
        raise ValueError(
            "`objective` must be Final, Integral, ConsensusTime, OfRun or a function of a solution; "
            f"got {type(objective).__name__}."
        )
    function: Any = objective
    return OfRun(function, name=getattr(objective, "__name__", "objective"))


class CVaR(eqx.Module):
    r"""The mean over the worst fraction $\alpha$ of starts (conditional value at risk).

    With $n$ starts it is the mean of the $\lceil \alpha n\rceil$ worst values; its gradient is theirs.
    Rockafellar and Uryasev, Optimization of conditional value-at-risk, 2000.

    **Arguments:**

    - `fraction`: $\alpha$, in ]0, 1]: 1 is the mean.
    """

    fraction: Float[Array, ""]

    def __init__(self, fraction: Scalar):
        part = floating("fraction", fraction)
        message = "`fraction` must be in ]0, 1]; got a value outside."
        self.fraction = check(part, lambda f: ~((f > 0) & (f <= 1)), message)


def collected(risk: Any, values: Float[Array, " n"], counts: Array) -> Float[Array, ""]:
    """Values to be made small as one number, over those that count: mean, worst, or CVaR."""
    number = jnp.sum(counts)
    if isinstance(risk, CVaR):
        low = jnp.where(counts, values, -jnp.inf)
        order = jnp.argsort(-low)
        most = jnp.ceil(risk.fraction.astype(values.dtype) * number.astype(values.dtype) - 1e-6)
        chosen = jnp.arange(values.shape[0], dtype=values.dtype) < jnp.maximum(most, 1)
        worst = jnp.where(counts, values, 0)[order]
        total = jnp.sum(jnp.where(chosen, worst, 0))
        return total / jnp.sum(chosen & counts[order]).astype(values.dtype)
    if risk == "worst":
        worst = jnp.max(jnp.where(counts, values, -jnp.inf))
        return jnp.where(number > 0, worst, jnp.nan)
    return jnp.sum(jnp.where(counts, values, 0)) / number.astype(values.dtype)


def as_risk(risk: Any) -> Any:
    """`"mean"`, `"worst"` or a `CVaR`."""
    if isinstance(risk, CVaR) or (isinstance(risk, str) and risk in ("mean", "worst")):
        return risk
    raise ValueError(f"`risk` must be 'mean', 'worst' or CVaR(fraction); got {risk!r}.")


def _name(observe: Any) -> str:
    inner = getattr(observe, "function", observe)
    inner = getattr(inner, "function", inner)
    name = getattr(inner, "__name__", type(inner).__name__)
    return "E" if name.lower() == "misalignment" else name
