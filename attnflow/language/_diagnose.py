"""`diagnose`: does a model's loop collapse, to what, by which part of it, where is it, what do theorems say."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import ArrayLike, Int

from ..core.arguments import instance
from ._clusters import clusters
from ._looped import looped
from ._model import Transformer
from ._prompts import as_prompts
from ._rest import Rest, rest
from ._result import Looped
from ._spectra import spectra
from ._spectra_table import Spectra
from ._temperatures import Temperatures, temperatures

_CONSENSUS = 1e-4  # of E: what float32 runs of all sizes pass on their way to rounding
_APART = 0.01
_SHOWN = 8  # heads of the table


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """What [`diagnose`][] returns; printed, a page.

    **Attributes:**

    - `runs`: [`Looped`][] by name: `"whole"`, `"no feed-forward"`, and each control's.
    - `clusters`: sizes at the end by name of run, for each prompt.
    - `rests`: by name of run, where the first prompts end: [`Rest`][].
    - `temperatures`, `spectra`: of the heads.
    - `hypotheses`: what the paper's theorems ask, each with whether the model has it and why.
    """

    runs: dict[str, Looped]
    clusters: dict[str, list[list[int]]]
    rests: dict[str, list[Rest]]
    temperatures: Temperatures
    spectra: Spectra
    hypotheses: list[tuple[str, bool, str]]

    def collapsed(self, name: str) -> int:
        """How many prompts of a run end in consensus, E below 1e-4."""
        return int(np.sum(self.runs[name].E[:, -1] < _CONSENSUS))

    def record(self) -> dict[str, Any]:
        """All of it, plain values."""
        return {
            "architecture": self.temperatures.architecture.record(),
            "runs": {name: run.record() for name, run in self.runs.items()},
            "clusters": self.clusters,
            "rests": {name: [r.record() for r in result] for name, result in self.rests.items()},
            "heads": self.temperatures.record(),
            "spectra": self.spectra.record(),
            "hypotheses": [list(h) for h in self.hypotheses],
        }

    def __str__(self) -> str:
        first = next(iter(self.runs.values()))
        prompts, passes, layers = len(first.E), first.passes, first.architecture.layers
        lines = [
            str(first.architecture),
            "",
            f"Does it collapse? {prompts} prompts of {first.shown_length} ids, {passes} passes",
            f"{'run':24}{'E at first':>12}{'1 pass':>12}{f'{passes} passes':>12}  consensus  clusters (first prompt)",
        ]
        for name, run in self.runs.items():
            E = run.E[:, ::layers].mean(axis=0)
            groups = self.clusters[name][0]
            listed = " + ".join(map(str, groups[:6])) + (" + ..." if len(groups) > 6 else "")
            lines.append(
                f"{name:24}{E[0]:12.3e}{E[1]:12.3e}{E[-1]:12.3e}  {self.collapsed(name):3d} of "
                f"{prompts:3d}  {listed}"
            )
        lines += ["", *self._verdict(), "", "Where prompts end"]
        for name, result in self.rests.items():
            lines += [f"  {name}, prompt {k + 1}: {r}" for k, r in enumerate(result)]
        beta, dim, time = self.temperatures.place
        lines += [
            "",
            f"Where is it? beta {beta:.3g} (median over heads, slope of scores against cosines), d = {dim}, "
            f"t = {time:.3g} a pass",
            "sharpest heads  layer  head   spread     beta     self  token 1  entropy",
        ]
        for row in self.temperatures.rows()[:_SHOWN]:
            lines.append(
                f"{'':16}{row['layer']:5d}{row['head']:6d}{row['spread']:9.3g}{row['beta']:9.3g}"
                f"{row['self_share']:9.3g}{row['first_share']:9.3g}{row['entropy']:9.3g}"
            )
        lines += ["", "What do the theorems ask, and has it that?"]
        lines += [
            f"  {'yes' if ok else 'no ':3}  {name}: {why}" for name, ok, why in self.hypotheses
        ]
        return "\n".join(lines)

    def _verdict(self) -> list[str]:
        """What the controls say of the cause."""
        sentences = []
        prompts = len(self.runs["whole"].E)
        for name in ("whole", "no feed-forward"):
            count = self.collapsed(name)
            word = "all" if count == prompts else "none" if count == 0 else f"{count}"
            sentences.append(f"{name}: {word} of {prompts} prompts come to consensus.")
        norms = self.collapsed("norms alone")
        if norms == prompts:
            sentences.append("The norms alone do that too: it is no work of attention.")
        elif "value weights zero" in self.runs and self.collapsed("value weights zero") == prompts:
            sentences.append(
                "With value weights zero it does that too: norms, biases and feed-forward suffice."
            )
        else:
            run = self.runs["norms alone"]
            apart = int(np.sum(run.E[:, -1] > _APART))
            if apart and run.architecture.of.post_norm:
                sentences.append(
                    f"The norms alone keep tokens of {apart} prompts apart, E above {_APART}."
                )
        return sentences


def diagnose(
    model: Transformer,
    token_ids: Int[ArrayLike, "..."] | Sequence[Sequence[int]],
    *,
    passes: int = 50,
    chunk: int = 10,
    rests: int = 2,
    threshold: float = 0.999,
    progress: bool = True,
) -> Diagnosis:
    """Loops with and without feed-forward and with each control, heads, rests, and what theorems ask.

    **Arguments:**

    - `model`: a [`Transformer`][] with its feed-forward.
    - `token_ids`: prompts, `(prompts, length)` of two tokens or more, or a list of lists; see
      [`random_prompts`][].
    - `passes`, `chunk`: of [`looped`][].
    - `rests`: of how many prompts the end is looked at by [`rest`][].
    - `threshold`: the least cosine within a cluster.
    - `progress`: a bar for each run, on a terminal.

    **Returns:**

    A [`Diagnosis`][].

    **Raises:**

    `ValueError` as [`looped`][] does.

    ```python
    print(af.language.diagnose(model, ids))
    ```
    """
    arch = instance(
        "model", model, Transformer, "a Transformer, as language.load gives"
    ).architecture
    ids, lengths = as_prompts(arch, token_ids)
    if lengths is not None:
        ids = [row[:n].tolist() for row, n in zip(ids, lengths, strict=True)]
    runs: dict[str, Looped] = {}
    for name, feed_forward, control in _runs(model):
        runs[name] = looped(
            model,
            ids,
            passes=passes,
            feed_forward=feed_forward,
            control=control,
            keep="last",
            chunk=chunk,
            progress=progress,
        )
    ends = {}
    for name, feed_forward in (("whole", True), ("no feed-forward", False)):
        last = runs[name].last
        assert last is not None
        ends[name] = [
            rest(
                model,
                jnp.asarray(h[:n]),
                feed_forward=feed_forward,
                passes=passes,
                threshold=threshold,
            )
            for h, n in zip(last[:rests], runs[name].lengths, strict=False)
        ]
    return Diagnosis(
        runs=runs,
        clusters={name: clusters(run, threshold=threshold) for name, run in runs.items()},
        rests=ends,
        temperatures=temperatures(model, ids),
        spectra=(result := spectra(model)),
        hypotheses=_hypotheses(model, result),
    )


def _runs(model: Transformer) -> list[tuple[str, bool, str]]:
    result = [
        ("whole", True, "none"),
        ("no feed-forward", False, "none"),
        ("value weights zero", True, "no-values"),
    ]
    arch = model.architecture
    if not arch.of.rms or any(arch.biased(m) for m in ("qkv", "out", "up", "down")):
        result.append(("biases zero", True, "no-biases"))
    return [*result, ("norms alone", True, "normalisation")]


def _hypotheses(model: Transformer, result: Spectra) -> list[tuple[str, bool, str]]:
    """What the paper's theorems 3.2, 4.1 and 4.5 ask of the model, in its own numbers."""
    arch = model.architecture
    family, heads = arch.of, arch.heads
    biased = [m for m in ("qkv", "out", "up", "down") if arch.biased(m)]
    scores = not arch.rotary and not family.normed_scores
    matrix = (
        "the rotation of positions changes it with distance" if arch.rotary else "normed queries"
    )
    low, high = float(np.nanmin(result.asymmetry)), float(np.nanmax(result.asymmetry))
    number = int(result.applies.sum())
    return [
        (
            "full attention (3.2)",
            not family.causal,
            "every token sees all" if not family.causal else "it is causal",
        ),
        (
            "causal attention (4.1, 4.5)",
            family.causal,
            "a token sees those before it" if family.causal else "every token sees all",
        ),
        (
            "norms after each sum (eq. 1)",
            family.post_norm,
            "as in eq. (1)" if family.post_norm else "norms stand before sub-layers: lengths grow",
        ),
        (
            "norms without mean and bias (an ellipsoid)",
            family.rms,
            "RMS norms" if family.rms else "layer normalisation: a mean is taken off, a bias added",
        ),
        ("scores y'Py of one matrix", scores, "they are" if scores else matrix),
        ("one head (4.1, 4.5)", heads == 1, f"{heads} heads"),
        (
            "U symmetric (4.5)",
            number > 0,
            f"asymmetry {low:.2g} to {high:.2g} (0.71 is a random matrix's); 4.5 holds for {number} heads "
            "alone",
        ),
        ("no biases", not biased, f"biases of {', '.join(biased)}" if biased else "none"),
        ("no feed-forward", False, "it has one; the paper's flow has none"),
    ]
