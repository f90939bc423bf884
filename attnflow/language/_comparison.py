"""`Comparison`: misalignment by layer of a network, of eq. (1) and of eq. (6), and what sets them apart."""

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from ._architecture import Architecture

_ROWS = 16


@dataclass(frozen=True, eq=False)
class Comparison:
    r"""What [`compare`][] returns: E (eq. 9) where layers end, by prompt, of a network and of the equations.

    **Attributes:**

    - `E`: arrays `(prompts, 1 + passes * layers)` by name: `"network"`, the residual stream, its embedding
      first, before the final norm; `"network, centred"`, the same without the tokens' means, on
      $\Pi h$; `"eq. (1)"`; `"eq. (6)"`.
    - `length`: mean $|\Pi h_i|$ of the network's tokens in units of `radius`, likewise.
    - `radius`: the length that the equations give every token.
    - `architecture`, `passes`, `feed_forward`, `biases`: what was compared.
    - `assumptions`: sentences: what the equations assume and this network does not do, with numbers.
    """

    E: Mapping[str, Float[np.ndarray, "prompts saves"]]
    length: Float[np.ndarray, "prompts saves"]
    radius: float
    architecture: Architecture
    passes: int
    feed_forward: bool
    biases: str
    assumptions: tuple[str, ...]

    @property
    def mean(self) -> dict[str, Float[np.ndarray, " saves"]]:
        """E of each, averaged over prompts."""
        return {name: values.mean(axis=0) for name, values in self.E.items()}

    @property
    def layer(self) -> Float[np.ndarray, " saves"]:
        """Layers done at each column, which is the time of eq. (6)."""
        return np.arange(self.length.shape[1], dtype=np.float64)

    def record(self) -> dict[str, Any]:
        """The averages over prompts, and the assumptions, as plain values."""
        return {
            "passes": self.passes,
            "feed_forward": self.feed_forward,
            "biases": self.biases,
            "radius": self.radius,
            "prompts": int(self.length.shape[0]),
            "E": {name: [float(e) for e in values] for name, values in self.mean.items()},
            "length": [float(x) for x in self.length.mean(axis=0)],
            "assumptions": list(self.assumptions),
        }

    def __str__(self) -> str:
        saves, mean = self.length.shape[1], self.mean
        rows = np.unique(np.linspace(0, saves - 1, min(saves, _ROWS)).round().astype(int))
        lines = [
            f"{self.architecture}; {'with' if self.feed_forward else 'without'} feed-forward; "
            f"{self.passes} pass{'es' if self.passes > 1 else ''}, {self.length.shape[0]} prompts",
            "E, averaged over prompts; |h| without its mean, over the radius",
            "layers  " + "  ".join(f"{name:>16}" for name in mean) + f"  {'|h|/r':>8}",
        ]
        size = self.length.mean(axis=0)
        for k in rows:
            values = "  ".join(f"{values[k]:16.4e}" for values in mean.values())
            lines.append(f"{k:6d}  {values}  {size[k]:8.3g}")
        lines.append("What sets the equations apart from this network:")
        for sentence in self.assumptions:
            lines.append(
                textwrap.fill(sentence, 96, initial_indent="  - ", subsequent_indent="    ")
            )
        return "\n".join(lines)
