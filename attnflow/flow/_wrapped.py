"""What step size controllers and solvers that wrap another have in common."""

from functools import partial
from typing import Any, TypeAlias

import diffrax
import equinox as eqx
import numpy as np
from jaxtyping import Array, Bool, Real

# One number and one Boolean as diffrax takes them.
RealScalar: TypeAlias = Real[Array, ""] | Real[np.ndarray, ""] | float | int
BoolScalar: TypeAlias = Bool[Array, ""] | Bool[np.ndarray, ""] | bool


# What a root finder of diffrax holds where its tolerances are to be those of the step controller.
_UNSET = diffrax.Kvaerno3().root_finder.rtol
# How stages are looped over under these adjoints.
_STAGES = {diffrax.ForwardMode: "lax", diffrax.DirectAdjoint: "bounded"}


class WrappedController(diffrax.AbstractAdaptiveStepSizeController[Any, Any]):
    """An adaptive controller around another, whose tolerances and norm are the inner one's."""

    controller: eqx.AbstractVar[diffrax.AbstractAdaptiveStepSizeController[Any, Any]]

    @property
    def rtol(self) -> Any:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.controller.rtol

    @property
    def atol(self) -> Any:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.controller.atol

    @property
    def norm(self) -> Any:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.controller.norm

    def longest(self, state: Any) -> Any:
        """How long the next step may be, by this controller's own state and whatever the tolerance."""
        return np.inf


class ForwardingSolver(diffrax.AbstractWrappedSolver[Any]):
    """A solver around another, which is what the inner one is but for its steps."""

    solver: eqx.AbstractVar[diffrax.AbstractSolver[Any]]

    @property
    def term_structure(self) -> Any:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.solver.term_structure

    @property
    def interpolation_cls(self) -> Any:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.solver.interpolation_cls

    @property
    def term_compatible_contr_kwargs(self) -> Any:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.solver.term_compatible_contr_kwargs

    # Implicit solvers and some adjoints look for these on the solver they are given.
    @property
    def root_finder(self) -> Any:
        return self.solver.root_finder  # pyright: ignore[reportAttributeAccessIssue]

    @property
    def root_find_max_steps(self) -> Any:
        return self.solver.root_find_max_steps  # pyright: ignore[reportAttributeAccessIssue]

    @property
    def scan_kind(self) -> Any:
        return self.solver.scan_kind  # pyright: ignore[reportAttributeAccessIssue]

    def order(self, terms: Any) -> int | None:
        return self.solver.order(terms)

    def strong_order(self, terms: Any) -> Any:
        return self.solver.strong_order(terms)

    def error_order(self, terms: Any) -> Any:
        return self.solver.error_order(terms)

    def init(self, terms: Any, t0: Any, t1: Any, y0: Any, args: Any) -> Any:
        return self.solver.init(terms, t0, t1, y0, args)

    def func(self, terms: Any, t0: Any, y0: Any, args: Any) -> Any:
        return self.solver.func(terms, t0, y0, args)


class OnceTraced(ForwardingSolver):
    """A solver whose step is traced once: diffrax traces its loop's body three times, twice for its types alone."""

    solver: diffrax.AbstractSolver[Any]

    def step(self, *args: Any) -> Any:
        return _step(self.solver, *args)


_jit: Any = eqx.filter_jit  # its types know no `inline`


@partial(_jit, inline=True)
def _step(solver, *args):
    return solver.step(*args)


def inner_solver(solver: Any) -> Any:
    """The solver inside the projection, and inside what minds the sides of breaks."""
    while isinstance(solver, ForwardingSolver):
        solver = solver.solver
    return solver


def with_tolerances(solver: Any, controller: Any) -> Any:
    """An implicit solver whose root finder has the step controller's tolerances, where it has none.

    diffrax does so itself, but for a solver that is wrapped twice.
    """
    inner = inner_solver(solver)
    if not isinstance(inner, diffrax.AbstractImplicitSolver):
        return solver
    unset = [
        name for name in ("rtol", "atol", "norm") if getattr(inner.root_finder, name) is _UNSET
    ]
    if not unset:
        return solver
    if not isinstance(controller, diffrax.AbstractAdaptiveStepSizeController):
        raise ValueError(
            f"`solver` {type(inner).__name__} with constant steps needs tolerances of "
            "its own: pass root_finder=diffrax.VeryChord(rtol=..., atol=..., norm=...)."
        )

    def place(s):
        finder = inner_solver(s).root_finder
        return [getattr(finder, name) for name in unset]

    return eqx.tree_at(place, solver, [getattr(controller, name) for name in unset])


def with_forward_stages(solver: Any, adjoint: diffrax.AbstractAdjoint) -> Any:
    """A Runge-Kutta solver whose loop over stages can be differentiated forwards, where the adjoint is one for that.

    diffrax does so itself, but for a solver that is wrapped twice.
    """
    inner = inner_solver(solver)
    kind = next((kind for of, kind in _STAGES.items() if isinstance(adjoint, of)), None)
    kinds = (diffrax.AbstractRungeKutta, diffrax.AbstractSRK)
    if kind is None or not isinstance(inner, kinds) or inner.scan_kind is not None:
        return solver
    place = lambda s: inner_solver(s).scan_kind  # noqa: E731
    return eqx.tree_at(place, solver, kind, is_leaf=lambda x: x is None)
