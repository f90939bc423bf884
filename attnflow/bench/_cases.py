"""The fixed problems of the benchmarks: plain numbers, from which every peer builds its own field."""

import dataclasses
from typing import Any, cast

import jax
import jax.random as jr
import numpy as np

from ..core.compiled import compiled
from ..geometry import Sphere
from ..model import AttentionField
from ..paper import field_theorem_3_2, field_theorem_4_2, starts as cube_starts
from ..schedules import Modulated, Sinusoid


@dataclasses.dataclass(frozen=True)
class Workload:
    r"""Attention on a sphere with $P_\eta(t) = D_\eta(t) P'_\eta$, $U = I$, and how long it runs.

    **Attributes:**

    - `name`, `title`: in tables and in words.
    - `field`: the same flow, for attnflow.
    - `amplitude`, `omega`, `phase`: of the diagonal of $D$, `(heads, dim)` each.
    - `rectified`: whether the diagonal is $|A \sin(\omega t + \varphi)|$.
    - `matrix`: $P'$, `(heads, dim, dim)`.
    - `causal`, `scale`: the mask, and what a row of attention sums to.
    - `t1`: the end; errors are measured at `ts`.
    - `tokens`: how many.
    """

    name: str
    title: str
    field: AttentionField
    amplitude: np.ndarray
    omega: np.ndarray
    phase: np.ndarray
    rectified: bool
    matrix: np.ndarray
    causal: bool
    scale: float
    tokens: int
    t1: float

    @property
    def dim(self) -> int:
        """$d$."""
        return self.matrix.shape[-1]

    @property
    def ts(self) -> np.ndarray:
        """The times at which errors are measured: four, evenly, the last of them the end."""
        return np.linspace(0, self.t1, 5)[1:]

    def starts(self, count: int) -> np.ndarray:
        """So many starts, `(count, tokens, dim)`; the first ones are the same for any number."""
        if self.dim > 3:
            return np.asarray(cube_starts(jr.key(1), count, self.tokens, self.dim))
        return np.asarray(_uniform(np.arange(count), self.tokens, self.dim), float)


@compiled
def _uniform(numbers, tokens, dim):
    draw = lambda i: Sphere(dim).random(jr.fold_in(jr.key(1), i), (tokens,))  # noqa: E731
    return jax.vmap(draw)(numbers)


def _case(
    name: str, title: str, field: AttentionField, *, rectified: bool, tokens: int, t1: float
) -> Workload:
    P: Any = field.P
    if isinstance(P, Modulated):
        sine, matrix = P.diagonal, P.matrix
    else:
        sine, matrix = P.coefficient, P.schedule.value
    sine, matrix = cast(Sinusoid, sine), np.asarray(matrix, float)
    heads, dim = matrix.shape[:2]

    def entries(value) -> np.ndarray:
        value = np.asarray(value, float)
        value = value[:, None] if value.ndim == 1 else value
        return np.broadcast_to(value, (heads, dim)).copy()

    return Workload(
        name=name,
        title=title,
        field=field,
        amplitude=entries(sine.amplitude),
        omega=entries(sine.omega),
        phase=entries(sine.phase),
        rectified=rectified,
        matrix=matrix,
        causal=field.mask.allowed(tokens) is not None,
        scale=dim**-0.5,
        tokens=tokens,
        t1=t1,
    )


def figure4_workload(dim: int = 500, *, separable: bool = False, t1: float = 200.0) -> Workload:
    """W1: 50 causal tokens on S^499, the paper's Figure 4; `separable` (W1s): one frequency a head."""
    name = "W1s" if separable else "W1"
    what = "one frequency a head" if separable else "1000 frequencies"
    return _case(
        name,
        f"50 causal tokens on S^{dim - 1}, 2 heads, {what}, T = {t1:g} (Fig. 4)",
        field_theorem_4_2(jr.key(0), dim, shared_frequency=separable),
        rectified=True,
        tokens=50,
        t1=t1,
    )


def figure2_workload(t1: float = 20.0) -> Workload:
    """W2: 10 tokens on S^2, full attention, the field of the paper's Figures 1-3."""
    title = f"10 tokens on S^2, 2 heads, full attention, T = {t1:g} (Figs. 1-3)"
    return _case("W2", title, field_theorem_3_2(), rectified=False, tokens=10, t1=t1)
