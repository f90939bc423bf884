"""`[noise]`: the noise of a run as it stands in a file."""

from typing import Annotated, Literal

import jax
from jaxtyping import Array, Key
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


class CaseNoise(NoiseTable, frozen=True):
    """`[noise]` of a case: also the `seed` of its path. An ensemble gives each trajectory a key of its own instead."""

    seed: Annotated[int, Meta(ge=0, le=2**32 - 1)] = 0

    def key(self) -> Key[Array, ""]:
        """The key of the path, another one than that of tokens drawn from the same seed."""
        return jax.random.fold_in(jax.random.key(self.seed), int.from_bytes(b"nois", "big"))
