"""What step size controllers that wrap another have in common: its tolerances and norm."""

import diffrax
import equinox as eqx


class WrappedController(diffrax.AbstractAdaptiveStepSizeController):
    """An adaptive controller around another, whose tolerances and norm are the inner one's."""

    controller: eqx.AbstractVar[diffrax.AbstractAdaptiveStepSizeController]

    @property
    def rtol(self):  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.controller.rtol

    @property
    def atol(self):  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.controller.atol

    @property
    def norm(self):  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.controller.norm
