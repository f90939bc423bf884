"""`Looped`: what a looped model's tokens did, by prompt and layer."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from ._architecture import Architecture


@dataclass(frozen=True, eq=False)
class Looped:
    r"""Misalignment along the passes of a looped model, by prompt.

    Columns are the embedding, then the residual stream after every block of every pass: `depth` is
    the passes done at each. The final norm stands between the last block of a pass and the first of
    the next; what it gives is in `after_norm`.

    **Attributes:**

    - `E`: eq. (9), `(prompts, 1 + passes * layers)`.
    - `pairs`: mean over all pairs of tokens of $\tfrac12|\hat h_i - \hat h_j|^2$, likewise.
    - `rest`: the same without token 1, which trained models use as a sink of attention.
    - `length`: mean length $|h_i|$ of a token, likewise.
    - `after_norm`: those four on the final norm's output, each `(prompts, passes)`.
    - `architecture`: of the model.
    - `settings`: what was run, plain values.
    - `seconds`: of each pass, `(passes,)`.
    - `last`: tokens that the last pass ends with, `(prompts, length, dim)`, which would enter the
      next; `None` unless asked for by `keep="last"`. NaN where a shorter prompt has no token.
    """

    E: Float[np.ndarray, "prompts saves"]
    pairs: Float[np.ndarray, "prompts saves"]
    rest: Float[np.ndarray, "prompts saves"]
    length: Float[np.ndarray, "prompts saves"]
    after_norm: Mapping[str, np.ndarray]
    architecture: Architecture
    settings: Mapping[str, Any]
    seconds: Float[np.ndarray, " passes"]
    last: Float[np.ndarray, "prompts length dim"] | None = None

    @property
    def passes(self) -> int:
        """How many."""
        return len(self.seconds)

    @property
    def lengths(self) -> Int[np.ndarray, " prompts"]:
        """Tokens of each prompt."""
        same = [self.settings["length"]] * len(self.E)
        return np.asarray(self.settings.get("lengths", same))

    @property
    def depth(self) -> Float[np.ndarray, " saves"]:
        """Passes done at each column: 0 at the embedding, a whole number after a last block."""
        return np.arange(self.E.shape[1]) / self.architecture.layers

    @property
    def shown_length(self) -> str:
        """Of the prompts: a number, or the least and the most."""
        least, most = self.lengths.min(), self.lengths.max()
        return str(most) if least == most else f"{least} to {most}"

    def record(self) -> dict[str, Any]:
        """Settings and the mean and spread of E over prompts at the end of each pass, plain values."""
        ends = self.E[:, :: self.architecture.layers]
        return {
            "settings": dict(self.settings),
            "E_mean": [float(e) for e in ends.mean(axis=0)],
            "E_deviation": [float(e) for e in ends.std(axis=0)],
            "seconds": [float(s) for s in self.seconds],
        }

    def __str__(self) -> str:
        s, ends = self.settings, self.E[:, :: self.architecture.layers]
        kind = {"trained": "its own weights", "fixed": "random weights, fixed"}.get(
            s["weights"], "random weights, drawn anew before each pass"
        )
        lines = [
            f"{self.architecture}; {kind}; {'with' if s['feed_forward'] else 'without'} feed-forward"
            + ("" if s["control"] == "none" else f"; control: {s['control']}"),
            f"{self.E.shape[0]} prompts of {self.shown_length} tokens, {s['dtype']}",
            "E: mean of 1 - cos between token 1 and the others of a prompt",
            "passes        E (mean, least, most of the prompts)",
        ]
        listed = sorted({0, 1, 2, 5, 10, self.passes} | set(range(0, self.passes, 20)))
        for p in (p for p in listed if p <= self.passes):
            e = ends[:, p]
            lines.append(f"{p:6d}        {e.mean():.3e}  {e.min():.3e}  {e.max():.3e}")
        return "\n".join(lines)
