"""`Spectra`: numbers of every head, by layer, and what Theorem 4.5 says of it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from ..theorems import PAPER, judge
from ..theory import Prediction, Verdict, conditions as given
from ._architecture import Architecture

Numbers = Float[np.ndarray, "layers heads"]

_COLUMNS = (
    ("top", "top of U"),
    ("symmetric_top", "top of sym U"),
    ("asymmetry", "asymmetry of U"),
    ("beta", "beta of P"),
    ("logit", "largest score"),
)


@dataclass(frozen=True, eq=False)
class Spectra:
    r"""What [`spectra`][] returns: arrays `(layers, heads)`. `print` shows the ranges over heads.

    **Attributes:**

    - `top`: the largest real part of an eigenvalue of $U$, on the hyperplane $\mathbf 1^\perp$.
    - `symmetric_top`, `symmetric_second`: the two largest eigenvalues of $\tfrac12(U + U^\top)$ there.
    - `symmetric_size`: the largest absolute value of its eigenvalues.
    - `asymmetry`: $|U - U^\top|_F / 2|U|_F$: 0 for a symmetric $U$, 1 for an antisymmetric one, and about
      $1/\sqrt2$ for a random one.
    - `beta`: $\mathrm{tr}\,P/(d-1)$: the multiple of the identity nearest to $P$, in the Frobenius norm.
    - `logit`: $|P|_2$, the largest score of two unit tokens (without the bias of keys).
    - `P_asymmetry`: that of $P$. `P_distance`: $|P - \beta I|_F/|P|_F$, 0 where $P$ is a multiple of the
      identity and near 1 for a random one.
    - `architecture`: of the model; `radius`: the length of a token; `eps`: rounding of the weights.
    """

    top: Numbers
    symmetric_top: Numbers
    symmetric_second: Numbers
    symmetric_size: Numbers
    asymmetry: Numbers
    beta: Numbers
    logit: Numbers
    P_asymmetry: Numbers
    P_distance: Numbers
    architecture: Architecture
    radius: float
    eps: float

    def verdict(self, layer: int, head: int) -> Verdict:
        """Whether the matrices of a head, alone, are what Theorem 4.5 asks for, and why.

        Causal attention and the sphere are granted; so are one head and no biases, which a whole
        layer has not, and a start inside the theorem's hemisphere.
        """
        k = self._index(layer, head)
        slack = 8 * self.architecture.dim**0.5 * self.eps
        off, size = 2 * float(self.asymmetry[k]), float(self.symmetric_size[k])
        symmetric = off <= slack
        says = f"|U - U'| is {off:.3g} |U| (Frobenius), and rounding explains {slack:.1g}"
        result = given.Top(
            float(self.symmetric_top[k]),
            float(self.symmetric_second[k]),
            np.zeros(0),
            slack * size,
        )
        says = given.Plain("U = U' to rounding") if symmetric else says
        hypotheses = [given.symmetric_values.answer(symmetric, says)]
        if symmetric:
            hypotheses += [given.simple_top(result), given.positive_top(result)]

        def predict() -> Prediction:
            return Prediction(
                "the head alone takes tokens to the top eigenvector v of U",
                basin="every start with v'y_i > 0 for all i",
            )

        name = f"Theorem 4.5 ({PAPER}), layer {layer}, head {head} alone"
        return judge(name, hypotheses, predict)

    def _index(self, layer: int, head: int) -> tuple[int, int]:
        for name, value, most in zip(("layer", "head"), (layer, head), self.top.shape, strict=True):
            if isinstance(value, bool) or not 0 <= value < most:
                raise ValueError(f"`{name}` must be from 0 to {most - 1}; got {value!r}.")
        return layer, head

    @property
    def applies(self) -> Bool[np.ndarray, "layers heads"]:
        """Where [`verdict`][attnflow.language.Spectra.verdict] says that Theorem 4.5 applies."""
        layers, heads = self.top.shape
        return np.array(
            [[self.verdict(k, h).applies is True for h in range(heads)] for k in range(layers)]
        )

    def record(self) -> dict[str, Any]:
        """All numbers as lists by layer, plain values."""
        names = [name for name, _ in _COLUMNS] + [
            "symmetric_second",
            "symmetric_size",
            "P_asymmetry",
            "P_distance",
        ]
        result: dict[str, Any] = {name: getattr(self, name).tolist() for name in names}
        return result | {"radius": self.radius, "applies": self.applies.tolist()}

    def __str__(self) -> str:
        layers, applies = self.top.shape[0], self.applies
        lines = [
            f"{self.architecture}; least and most over the heads of a layer",
            "layer  " + "  ".join(f"{title:>19}" for _, title in _COLUMNS) + "  4.5 holds for",
        ]
        for k in [*range(layers), slice(None)]:
            name = "all" if isinstance(k, slice) else str(k)
            if name == "all" and layers == 1:
                break
            ranges = (_range(getattr(self, column)[k]) for column, _ in _COLUMNS)
            of = applies[k].size
            lines.append(f"{name:>5}  " + "  ".join(ranges) + f"  {applies[k].sum()} of {of}")
        if not applies.any():
            worst = np.unravel_index(np.argmin(self.asymmetry), self.asymmetry.shape)
            reason = self.verdict(int(worst[0]), int(worst[1])).reason
            lines.append(
                f"Theorem 4.5 holds for none, not for the most symmetric either: {reason}."
            )
        return "\n".join(lines)


def _range(values: np.ndarray) -> str:
    low, high = f"{values.min():.3g}", f"{values.max():.3g}"
    return f"{low + ' .. ' + high:>19}"
