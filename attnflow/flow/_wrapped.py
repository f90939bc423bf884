"""What step size controllers and solvers that wrap another have in common."""

from typing import Any, TypeAlias

import diffrax
import equinox as eqx
import numpy as np
from jaxtyping import Array, Bool, Real

# One number and one Boolean as diffrax takes them.
RealScalar: TypeAlias = Real[Array, ""] | Real[np.ndarray, ""] | float | int
BoolScalar: TypeAlias = Bool[Array, ""] | Bool[np.ndarray, ""] | bool


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
