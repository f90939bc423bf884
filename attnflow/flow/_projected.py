"""Steps that end on the manifold, at the order of the solver they wrap."""

from collections.abc import Callable
from typing import Any

import diffrax
import equinox as eqx
import jax

from ..core.types import PyTree
from ..geometry import AbstractManifold
from ._wrapped import BoolScalar, ForwardingSolver, RealScalar


class _ProjectedInterpolation(diffrax.AbstractLocalInterpolation):
    """A solver's own interpolation of a step, its values projected."""

    inner: diffrax.AbstractLocalInterpolation
    manifold: AbstractManifold

    @property
    def t0(self):  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.inner.t0

    @property
    def t1(self):  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.inner.t1

    def evaluate(self, t0, t1=None, left: bool = True):
        if t1 is not None:
            difference = (self.evaluate(t1, left=left), self.evaluate(t0, left=left))
            return jax.tree.map(lambda after, before: after - before, *difference)
        return _project(self.manifold, self.inner.evaluate(t0, left=left))


class _Interpolator(eqx.Module):
    """The class-like object diffrax calls to interpolate a step.

    It may hold no arrays, since diffrax keeps it among static data: the manifold travels with
    the step's dense information.
    """

    make: Callable[..., diffrax.AbstractLocalInterpolation] = eqx.field(static=True)

    def __call__(
        self, *, t0: Any, t1: Any, manifold: Any, **dense_info: Any
    ) -> diffrax.AbstractLocalInterpolation:
        return _ProjectedInterpolation(self.make(t0=t0, t1=t1, **dense_info), manifold)


def _project(manifold: AbstractManifold, y: Any) -> Any:
    return manifold.project(y) if isinstance(y, jax.Array) else y


class ProjectedSolver(ForwardingSolver):
    r"""Any `diffrax` solver, with tokens projected onto the manifold after each step.

    The projection $\pi_W$ moves a step of a method of order $p$ by $O(h^{p+1})$, so the order is kept;
    dense output interpolates the *unprojected* step and projects its values, so that saves between
    steps keep the interpolant's order too. A state that is not a bare array of tokens, such as the
    augmented state of `BacksolveAdjoint`, is left alone.

    **Arguments:**

    - `solver`: a `diffrax` solver: explicit or implicit, adaptive or not.
    - `manifold`: [`Sphere`][] or [`Ellipsoid`][].

    ```python
    diffrax.diffeqsolve(
        diffrax.ODETerm(field), af.ProjectedSolver(diffrax.Tsit5(), sphere),
        t0=0.0, t1=20.0, dt0=None, y0=y0,
        stepsize_controller=diffrax.PIDController(rtol=1e-9, atol=1e-12),
    )
    ```
    """

    solver: diffrax.AbstractSolver[Any]
    manifold: AbstractManifold

    @property
    def interpolation_cls(self) -> "_Interpolator":  # pyright: ignore[reportIncompatibleVariableOverride]
        return _Interpolator(self.solver.interpolation_cls)

    def step(
        self,
        terms: PyTree[diffrax.AbstractTerm[Any, Any]],
        t0: RealScalar,
        t1: RealScalar,
        y0: PyTree,
        args: PyTree,
        solver_state: PyTree,
        made_jump: BoolScalar,
    ) -> tuple[PyTree, PyTree, dict[str, PyTree], PyTree, diffrax.RESULTS]:
        y1, error, dense_info, state, result = self.solver.step(
            terms, t0, t1, y0, args, solver_state, made_jump
        )
        dense_info = {**dense_info, "manifold": self.manifold}
        return _project(self.manifold, y1), error, dense_info, state, result
