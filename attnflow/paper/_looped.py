"""Figures 7 to 10: looped GPT-2 XL and GPT-Neo 2.7B, with their own weights and with random ones."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

import jax.random as jr
import numpy as np
from jaxtyping import Array, Key
from matplotlib.figure import Figure

from .. import language
from ..language import SIZES, Architecture, Looped, paper_prompts, random_prompts
from ..plot import draw_looped
from ._claims import FigureData, PaperClaim

# The paper's section 5.2; how many passes its figures show is not published.
FULL_PASSES, FULL_PROMPTS, LENGTH = 100, 100, 200
# Depth, heads and law are the paper's; a quarter of the width, four prompts cut in half.
PASSES, PROMPTS, CUT, NARROWER = 20, 4, 100, 4

NAMES = {"gpt2": "GPT-2 XL", "gpt_neo": "GPT-Neo 2.7B"}
_SIZES = {"gpt2": "gpt2-xl", "gpt_neo": "gpt-neo-2.7B"}
_CONTROLS = {
    "normalisation": "normalisation alone",
    "no-values": "value matrices zero",
    "no-biases": "biases zero",
}
RUNS = 4  # of a figure with random weights: two models, with and without feed-forward


def figure9(
    key: Key[Array, ""],
    *,
    full: bool = False,
    passes: int | None = None,
    store: str | PathLike[str] | None = None,
    tick: Callable[[], object] | None = None,
) -> FigureData:
    """Figure 9: E along the passes of both models with random weights that stay.

    **Arguments:**

    - `key`: of the weights.
    - `full`: the paper's models, 100 prompts of 200 tokens: some 160 TFLOP a pass with feed-forward.
      Otherwise models of the same depth, heads and law, a quarter as wide, and 4 prompts of 100.
    - `passes`: 20, or 100 in `full`, unless given.
    - `store`: a folder to keep passes in and go on from; see [`looped`][attnflow.language.looped].
    - `tick`: called after each of the four runs.

    **Returns:**

    For each run, named by model and `full` or `attention`: `..._E` (prompts, saves), `..._rest` and
    `..._depth` (saves,), the passes done; `gpt2_dim` and `gpt_neo_dim`.
    """
    return _random(9, "fixed", key, full, passes, store, tick)


def figure10(
    key: Key[Array, ""],
    *,
    full: bool = False,
    passes: int | None = None,
    store: str | PathLike[str] | None = None,
    tick: Callable[[], object] | None = None,
) -> FigureData:
    """Figure 10: as [`figure9`][], with weights that are drawn anew before each pass."""
    return _random(10, "redrawn", key, full, passes, store, tick)


def figure7(
    gpt2: str | PathLike[str] | None = None,
    gpt_neo: str | PathLike[str] | None = None,
    *,
    models: Sequence[str | PathLike[str]] = (),
    full: bool = False,
    passes: int | None = None,
    store: str | PathLike[str] | None = None,
    tick: Callable[[], object] | None = None,
) -> FigureData:
    """Figure 7: E along the passes of both models with their own weights, without feed-forward.

    Beside the paper's curves are controls that tell what attention has to do with it: the final norm
    alone, value matrices zero (blocks then add what their biases make), biases zero.

    **Arguments:**

    - `gpt2`, `gpt_neo`: folders of the two models; see [`load`][attnflow.language.load].
    - `models`: folders or GGUF files of others, of any family, beside them or in their place; their
      prompts are random ids of their own vocabularies.
    - `full`: 100 prompts of 200 tokens; otherwise 4 of 100.
    - `passes`, `store`, `tick`: as in [`figure9`][].

    **Returns:**

    As [`figure9`][]; names end with `paper` or the control's name. Those of `models` begin with
    `model1`, `model2`, ..., whose titles are in `model1_title`, ...
    """
    return _trained(7, gpt2, gpt_neo, models, full, passes, store, tick)


def figure8(
    gpt2: str | PathLike[str] | None = None,
    gpt_neo: str | PathLike[str] | None = None,
    *,
    models: Sequence[str | PathLike[str]] = (),
    full: bool = False,
    passes: int | None = None,
    store: str | PathLike[str] | None = None,
    tick: Callable[[], object] | None = None,
) -> FigureData:
    """Figure 8: as [`figure7`][], with feed-forward."""
    return _trained(8, gpt2, gpt_neo, models, full, passes, store, tick)


def _random(
    number: int,
    weights: str,
    key: Array,
    full: bool,
    passes: int | None,
    store: Any,
    tick: Callable[[], object] | None,
) -> FigureData:
    arrays: dict[str, np.ndarray] = {}
    claims = []
    for k, family in enumerate(NAMES):
        model = SIZES[_SIZES[family]] if full else _narrow(SIZES[_SIZES[family]])
        for kind, feed_forward in (("full", True), ("attention", False)):
            name = f"{family}_{kind}"
            run = _run(
                model,
                full,
                passes,
                store,
                f"figure{number}-{name}",
                weights=weights,
                feed_forward=feed_forward,
                key=jr.fold_in(key, k),
            )
            arrays |= _arrays(name, run) | {f"{family}_dim": np.asarray(model.dim)}
            claims.append(_claim(number, f"{NAMES[family]}, {_of(kind, weights)}", run))
            if tick is not None:
                tick()
    return FigureData(arrays, tuple(claims))


def _of(kind: str, weights: str) -> str:
    model = "full model" if kind == "full" else "attention alone"
    return f"{model}, random weights {'fixed' if weights == 'fixed' else 'redrawn each pass'}"


def _trained(
    number: int,
    gpt2: Any,
    gpt_neo: Any,
    models: Sequence[str | PathLike[str]],
    full: bool,
    passes: int | None,
    store: Any,
    tick: Callable[[], object] | None,
) -> FigureData:
    arrays: dict[str, np.ndarray] = {}
    claims = []
    given = {"gpt2": gpt2, "gpt_neo": gpt_neo}
    folders = {family: folder for family, folder in given.items() if folder is not None}
    folders |= {f"model{k}": folder for k, folder in enumerate(models, start=1)}
    if not folders:
        raise ValueError("`models` must name at least one trained model; got none.")
    for family, folder in folders.items():
        model = language.load(folder, feed_forward=number == 8)
        arch = model.architecture
        if family in NAMES and arch.family != family:
            raise ValueError(
                f"`{family}` must be the folder of a {family} model; "
                f"{folder} is of a {arch.family}."
            )
        title = NAMES.get(family, f"{Path(folder).stem} ({arch.family})")
        arrays[f"{family}_title"] = np.asarray(title)
        for kind, control in (("paper", "none"), *((c, c) for c in _CONTROLS)):
            name = f"{family}_{kind}"
            run = _run(
                model,
                full,
                passes,
                store,
                f"figure{number}-{name}",
                feed_forward=number == 8,
                control=control,
            )
            arrays |= _arrays(name, run) | {f"{family}_dim": np.asarray(arch.dim)}
            if kind == "paper":
                what = "full model" if number == 8 else "feed-forward removed"
                own = family not in NAMES
                claims.append(_claim(number, f"{title}, {what}, trained weights", run, own))
        if tick is not None:
            tick()
    return FigureData(arrays, tuple(claims))


def _run(model: Any, full: bool, passes: int | None, store: Any, name: str, **options) -> Looped:
    prompts, length = (FULL_PROMPTS, LENGTH) if full else (PROMPTS, CUT)
    if isinstance(model, Architecture):
        ids = paper_prompts(prompts, LENGTH)[:, :length]
    else:
        arch = model.architecture
        ids = random_prompts(arch, prompts, min(length, arch.longest or length))
    return language.looped(
        model,
        ids,
        passes=(FULL_PASSES if full else PASSES) if passes is None else passes,
        store=None if store is None else Path(store) / name,
        progress=full,
        **options,
    )


def _narrow(arch: Architecture) -> Architecture:
    return replace(arch, dim=arch.dim // NARROWER, inner=arch.inner // NARROWER)


def _arrays(name: str, run: Looped) -> dict[str, np.ndarray]:
    return {f"{name}_depth": run.depth, f"{name}_E": run.E, f"{name}_rest": run.rest}


_NEAR = 0.01  # of E, where tokens count as having come to consensus


def _claim(number: int, what: str, run: Looped, own: bool = False) -> PaperClaim:
    """That E falls: its mean over prompts is less at the end than after the first pass.

    Of a model of one's `own`, none of the paper's, more is asked: a mean of 0.01 within the paper's hundred
    passes, or that it comes there by then at the pace of the second half of the run.
    """
    ends = run.E[:, :: run.architecture.layers]
    mean, last = ends.mean(axis=0), run.passes
    first, half = min(1, last - 1), last // 2
    rate = float(np.exp(np.log(mean[last] / mean[first]) / (last - first)))
    holds, words = bool(mean[last] < mean[first]), ""
    if own and mean[last] > _NEAR:
        pace = float(np.log(mean[last] / mean[half]) / (last - half))
        needed = np.log(_NEAR / mean[last]) / pace if pace < 0 else np.inf
        holds &= bool(last + needed <= FULL_PASSES)
        when = f"{last + needed:.0f} passes" if np.isfinite(needed) else "no number of passes"
        words = f"; at the pace of the last {last - half} it is at {_NEAR} after {when}"
    return PaperClaim(
        number,
        f"Fig. {number}: tokens of {what} approach consensus",
        f"mean E = {mean[0]:.3f} at the embedding, {mean[1]:.3f} after 1 pass, {mean[last]:.2e} after "
        f"{last} (times {rate:.3f} a pass); it falls for {np.sum(ends[:, last] < ends[:, first])} of "
        f"{len(ends)} prompts{words}",
        holds,
    )


def draw_figure9(data: FigureData) -> Figure:
    """Figure 9 from the numbers of [`figure9`][]: the full model, and attention alone."""
    return _draw_random(data, "Figure 9. Random weights, fixed")


def draw_figure10(data: FigureData) -> Figure:
    """Figure 10 from the numbers of [`figure10`][]."""
    return _draw_random(data, "Figure 10. Random weights, drawn anew before each pass")


def draw_figure7(data: FigureData) -> Figure:
    """Figure 7 from the numbers of [`figure7`][], with its controls for each model."""
    return _draw_trained(data, "Figure 7. Trained weights, feed-forward removed")


def draw_figure8(data: FigureData) -> Figure:
    """Figure 8 from the numbers of [`figure8`][]."""
    return _draw_trained(data, "Figure 8. Trained weights, full model")


def _draw_random(data: FigureData, title: str) -> Figure:
    figure = Figure(figsize=(9.0, 3.8), dpi=150, layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for ax, kind, words in zip(
        panels, ("full", "attention"), ("full model", "attention alone"), strict=True
    ):
        draw_looped(dict(_curves(data, kind)), ax, title=words)
    figure.suptitle(_titled(title, data))
    return figure


def _titled(title: str, data: FigureData) -> str:
    prompts = next(len(x) for name, x in data.arrays.items() if name.endswith("_E"))
    return f"{title} (mean of {prompts} prompts, 10 % to 90 %)"


def _draw_trained(data: FigureData, title: str) -> Figure:
    names = _titles(data)
    figure = Figure(figsize=(4.5 + 5.5 * len(names), 3.8), dpi=150, layout="constrained")
    panels = figure.subplots(1, 1 + len(names), sharey=True)
    of_paper = all(family in NAMES for family in names)
    draw_looped(
        dict(_curves(data, "paper")),
        panels[0],
        title="as in the paper" if of_paper else "as trained",
    )
    for ax, (family, name) in zip(panels[1:], names.items(), strict=True):
        kinds = {"paper": "trained", **_CONTROLS}
        shown = {w: _pair(data, f"{family}_{kind}") for kind, w in kinds.items()}
        draw_looped(shown, ax, title=f"{name} and controls")
        # Beside the axes: curves may lie anywhere.
        ax.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    figure.suptitle(_titled(title, data))
    return figure


def _curves(data: FigureData, kind: str) -> Iterator[tuple[str, tuple[np.ndarray, np.ndarray]]]:
    for family, name in _titles(data).items():
        yield f"{name} (d = {data[f'{family}_dim']})", _pair(data, f"{family}_{kind}")


def _titles(data: FigureData) -> dict[str, str]:
    """Of the models by the names of their arrays."""
    own = {n.removesuffix("_title"): str(x) for n, x in data.arrays.items() if n.endswith("_title")}
    return own or NAMES


def _pair(data: FigureData, name: str) -> tuple[np.ndarray, np.ndarray]:
    return data[f"{name}_depth"], data[f"{name}_E"]
