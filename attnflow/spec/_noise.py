"""`[noise]`: the noise of a run as it stands in a file."""

from typing import Annotated, Literal

from msgspec import Meta

from ..flow import Noise
from .tables import Positive, Table

Strength = Annotated[float, Meta(ge=0)]


class NoiseTable(Table, frozen=True):
    """`[noise]`: the arguments of [`Noise`][attnflow.Noise], under their own names."""

    independent: Strength | None = None
    common: Strength | None = None
    values: Strength | None = None
    calculus: Literal["stratonovich", "ito"] = "stratonovich"
    tol: Positive | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.independent is None and self.common is None and self.values is None:
            raise ValueError("give `independent`, `common` or `values`, the strength of a noise")

    def build(self) -> Noise:
        """The noise, without a key."""
        return Noise(
            independent=self.independent,
            common=self.common,
            values=self.values,
            calculus=self.calculus,
            tol=self.tol,
        )
