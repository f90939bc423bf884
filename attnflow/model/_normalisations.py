"""Where the normalisation stands: Post (the paper), Pre, Peri, Mix, nGPT, square-root scaling.

With $x = r\\theta$, $|\\theta| = 1$ and $A$ the attention's sum, each is $\\dot\\theta = \\Pi_\\theta A/s$ with a
speed factor $s$ of its own (Karagodin et al., arXiv:2510.22026). All keep a state of shape
`(tokens, dim)`: those with a radius carry it in the length of the token.
"""

import abc
from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..core.checks import choose, finite, shaped
from ..core.types import Scalar, Tokens
from ..geometry import AbstractManifold
from ..schedules import AbstractSchedule, GivenSchedule, as_schedule


class AbstractNormalisation(eqx.Module):
    """How the attention's sum $A$ moves a token, continuously and by a layer."""

    projected: eqx.AbstractClassVar[bool]
    """Whether tokens stay on the manifold (and solvers project onto it)."""

    starts_on_manifold: eqx.AbstractClassVar[bool]
    """Whether tokens must start on the manifold."""

    @abc.abstractmethod
    def velocity(
        self,
        manifold: AbstractManifold,
        t: Scalar,
        y: Tokens,
        A: Tokens,
    ) -> Tokens:
        """The state's time derivative."""

    @abc.abstractmethod
    def layer(
        self,
        manifold: AbstractManifold,
        t: Scalar,
        y: Tokens,
        A: Tokens,
    ) -> Tokens:
        """What a layer adds to the state before it normalises, for a step of one."""

    def keeps(self, t: Scalar) -> bool | Array:
        """Whether the state is on the manifold at time t."""
        return self.projected

    @property
    def parts(self) -> tuple[AbstractSchedule, ...]:
        """The schedules inside, whose frequencies and jumps the solver must know."""
        return ()


def _unit(manifold: AbstractManifold, A: Array) -> Array:
    norm = manifold.norm(A)[..., None]
    return jnp.where(norm > 0, A / jnp.where(norm > 0, norm, 1), 0)


class Post(AbstractNormalisation):
    r"""$\dot y = T_y\pi_W A$: the paper's eq. (6); $s = 1$."""

    projected: ClassVar[bool] = True
    starts_on_manifold: ClassVar[bool] = True

    def velocity(self, manifold: AbstractManifold, t: Scalar, y: Tokens, A: Tokens) -> Tokens:
        return manifold.to_tangent(y, A)

    def layer(self, manifold: AbstractManifold, t: Scalar, y: Tokens, A: Tokens) -> Tokens:
        return A


class Pre(AbstractNormalisation):
    r"""$\dot x = A(x/|x|_W)$, not projected: $s = r$, $\dot r = \langle\theta, A\rangle$."""

    projected: ClassVar[bool] = False
    starts_on_manifold: ClassVar[bool] = False

    def velocity(self, manifold: AbstractManifold, t: Scalar, y: Tokens, A: Tokens) -> Tokens:
        return A

    def layer(self, manifold: AbstractManifold, t: Scalar, y: Tokens, A: Tokens) -> Tokens:
        return A


class Peri(AbstractNormalisation):
    r"""$\dot x = A/|A|_W$, $A = A(x/|x|_W)$: $s = r|A|$, $\dot r = \langle\theta, A\rangle/|A|$."""

    projected: ClassVar[bool] = False
    starts_on_manifold: ClassVar[bool] = False

    def velocity(self, manifold: AbstractManifold, t: Scalar, y: Tokens, A: Tokens) -> Tokens:
        return _unit(manifold, A)

    def layer(self, manifold: AbstractManifold, t: Scalar, y: Tokens, A: Tokens) -> Tokens:
        return _unit(manifold, A)


class Mix(AbstractNormalisation):
    r"""Post until time `switch`, Pre from then on: $s = 1$, then $s = r$.

    **Arguments:**

    - `switch`: the time of the change; the solver steps to it.
    """

    switch: Float[Array, ""]
    projected: ClassVar[bool] = False
    starts_on_manifold: ClassVar[bool] = True

    def __init__(self, switch: Scalar):
        self.switch = finite("switch", switch)
        shaped("switch", self.switch.shape, ())

    def keeps(self, t: Scalar) -> bool | Array:
        return jnp.asarray(t) < self.switch.astype(jnp.result_type(t))

    def velocity(self, manifold: AbstractManifold, t: Scalar, y: Tokens, A: Tokens) -> Tokens:
        return jnp.where(self.keeps(t), manifold.to_tangent(y, A), A)

    def layer(self, manifold: AbstractManifold, t: Scalar, y: Tokens, A: Tokens) -> Tokens:
        return A

    @property
    def parts(self) -> tuple[AbstractSchedule, ...]:
        from ..schedules import Piecewise

        return (Piecewise(self.switch[None], jnp.arange(2.0)),)


class NGPT(AbstractNormalisation):
    r"""$\dot\theta = \alpha(t)\, T_\theta\pi_W\, A/|A|_W$: $s = |A|/\alpha$.

    **Arguments:**

    - `alpha`: a positive scalar or a scalar schedule.
    """

    alpha: AbstractSchedule
    projected: ClassVar[bool] = True
    starts_on_manifold: ClassVar[bool] = True

    def __init__(self, alpha: GivenSchedule = 1.0):
        self.alpha = as_schedule("alpha", alpha)
        shaped("alpha", self.alpha.shape, ())

    def velocity(self, manifold: AbstractManifold, t: Scalar, y: Tokens, A: Tokens) -> Tokens:
        return manifold.to_tangent(y, self.layer(manifold, t, y, A))

    def layer(self, manifold: AbstractManifold, t: Scalar, y: Tokens, A: Tokens) -> Tokens:
        return self.alpha(t).astype(A.dtype) * _unit(manifold, A)

    @property
    def parts(self) -> tuple[AbstractSchedule, ...]:
        return (self.alpha,)


class SquareRoot(AbstractNormalisation):
    r"""$\dot\theta = T_\theta\pi_W\, A/\sqrt{t+1}$: $s = \sqrt{t+1}$."""

    projected: ClassVar[bool] = True
    starts_on_manifold: ClassVar[bool] = True

    def velocity(self, manifold: AbstractManifold, t: Scalar, y: Tokens, A: Tokens) -> Tokens:
        return manifold.to_tangent(y, self.layer(manifold, t, y, A))

    def layer(self, manifold: AbstractManifold, t: Scalar, y: Tokens, A: Tokens) -> Tokens:
        return A / jnp.sqrt(t + 1)


# Those that are made of the tokens' directions, or of a length on the manifold.
ON_A_SPHERE = (Pre, Peri, Mix, NGPT)

_NAMES = {"post": Post, "pre": Pre, "peri": Peri, "ngpt": NGPT, "sqrt": SquareRoot}


def as_normalisation(normalisation: str | AbstractNormalisation) -> AbstractNormalisation:
    """`"post"`, `"pre"`, `"peri"`, `"ngpt"`, `"sqrt"` or a normalisation module (`Mix(switch)` is one)."""
    if isinstance(normalisation, AbstractNormalisation):
        return normalisation
    if isinstance(normalisation, str) and normalisation == "mix":
        raise ValueError("`normalisation` 'mix' needs its time; pass attnflow.Mix(switch=...).")
    return _NAMES[choose("normalisation", normalisation, tuple(_NAMES))]()
