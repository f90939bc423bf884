"""All figures at once: PNGs, the numbers behind them, and the table of claims."""

import inspect
from collections.abc import Callable, Sequence
from os import PathLike
from pathlib import Path
from typing import NamedTuple

import jax.numpy as jnp
import jax.random as jr
import numpy as np

from ..core.checks import whole
from ..records import atomic_write, progress, writable_folder
from ._claims import FigureData, PaperClaim, PaperReport
from ._exception_4_2 import draw_exception_4_2, exception_4_2
from ._looped import (
    NAMES,
    RUNS,
    draw_figure7,
    draw_figure8,
    draw_figure9,
    draw_figure10,
    figure7,
    figure8,
    figure9,
    figure10,
)
from ._remark_3_4 import remark_3_4
from ._theorem_3_2 import draw_figure1, draw_figure2, draw_figure3, figure1, figure2, figure3
from ._theorem_4_2 import CHUNK, TRAJECTORIES, draw_figure4, figure4
from ._theorem_4_5 import draw_figure5, draw_figure6, figure5, figure6


class _Part(NamedTuple):
    """A file's worth of work: its figure, its name, what computes and what draws it."""

    figure: int
    name: str
    compute: Callable[..., FigureData]
    draw: Callable[[FigureData], object] | None
    run: int  # parts of one run share a key
    size: int = 1  # for the progress bar


_PARTS = (
    _Part(1, "figure1", figure1, draw_figure1, run=1),
    _Part(2, "figure2", figure2, draw_figure2, run=2),
    _Part(2, "remark-3.4", remark_3_4, None, run=7),
    _Part(3, "figure3", figure3, draw_figure3, run=2),
    _Part(4, "figure4", figure4, draw_figure4, run=4, size=TRAJECTORIES // CHUNK),
    _Part(4, "theorem-4.2-exception", exception_4_2, draw_exception_4_2, run=8),
    _Part(5, "figure5", figure5, draw_figure5, run=5),
    _Part(6, "figure6", figure6, draw_figure6, run=5),
    _Part(7, "figure7", figure7, draw_figure7, run=0, size=len(NAMES)),
    _Part(8, "figure8", figure8, draw_figure8, run=0, size=len(NAMES)),
    _Part(9, "figure9", figure9, draw_figure9, run=9, size=RUNS),
    _Part(10, "figure10", figure10, draw_figure10, run=10, size=RUNS),
)
FIGURES = tuple(sorted({part.figure for part in _PARTS}))
_TRAINED = (7, 8)  # these need the models' files


def reproduce(
    figures: Sequence[int] | None = None,
    *,
    out: str | PathLike[str],
    seed: int = 0,
    full: bool = False,
    passes: int | None = None,
    gpt2: str | PathLike[str] | None = None,
    gpt_neo: str | PathLike[str] | None = None,
    models: Sequence[str | PathLike[str]] = (),
) -> PaperReport:
    """The paper's figures, drawn and measured.

    For each figure a PNG (`figure1.png`, ...) and its numbers (`figure1.npz`, ...) are written to
    `out`, each file whole or not at all, and the table of claims to `claims.txt`. Figure 2 brings
    the Monte Carlo of Remark 3.4 along, Figure 4 the exceptional start of Theorem 4.2. A figure's
    numbers depend on `seed` alone, not on which others are drawn.

    **Arguments:**

    - `figures`: which of 1 to 10; all but 7 and 8 by default, and these too if the folders are given.
    - `out`: a folder; it is made if it is not there.
    - `seed`: of the random starts and matrices.
    - `full`: Figures 7 to 10 at the paper's size, for which a GPU is advised; each pass is kept in
      `out`, and the same call goes on after the last. See [`figure9`][].
    - `passes`: through the looped models of Figures 7 to 10.
    - `gpt2`, `gpt_neo`: folders of GPT-2 XL and GPT-Neo 2.7B, for Figures 7 and 8.
    - `models`: folders or GGUF files of other models for these, of any family; the two may then be
      left out.

    **Returns:**

    A [`PaperReport`][]: `.claims`, `.table()`, `.holds`, `.files`.

    **Raises:**

    - `ValueError`: a figure that does not exist or lacks its folders, or a seed that is not a
      non-negative integer.
    - `OSError`: a folder that cannot be made or written.
    - `RuntimeError`: 64-bit numbers are off (`jax.config.update("jax_enable_x64", True)`).

    All before any work is done.

    ```python
    report = af.paper.reproduce([1, 3], out="figures")
    print(report.table())
    ```
    """
    # === check arguments
    folders = {"gpt2": gpt2, "gpt_neo": gpt_neo}
    chosen = _chosen(figures, folders, bool(models))
    seed = whole("seed", seed, least=0)
    if jnp.zeros(()).dtype != jnp.float64:
        raise RuntimeError(
            "The paper's figures need 64-bit numbers; call jax.config.update('jax_enable_x64', True) "
            "first."
        )
    folder = writable_folder(out)

    # === run
    given = {"full": full, "passes": passes, "store": folder if full else None}
    given |= {"models": tuple(models), **folders}
    parts = [part for part in _PARTS if part.figure in chosen]
    claims: list[PaperClaim] = []
    files: list[Path] = []
    with progress(total=sum(part.size for part in parts), unit="part") as bar:
        for part in parts:
            bar.set_description(part.name)
            data = part.compute(**_arguments(part, seed, bar.update, given))
            claims += data.claims
            files.append(_write_numbers(folder / f"{part.name}.npz", data))
            if part.draw is not None:
                files.append(_write_png(folder / f"{part.name}.png", part.draw(data)))
            if part.size == 1:
                bar.update()
    report = PaperReport(tuple(claims), (*files, folder / "claims.txt"))
    with atomic_write(folder / "claims.txt") as file:
        file.write((report.table() + "\n").encode())
    return report


def _chosen(figures: Sequence | None, folders: dict, others: bool = False) -> tuple[int, ...]:
    missing = [name for name, folder in folders.items() if folder is None and not others]
    if figures is None:
        return tuple(f for f in FIGURES if f not in _TRAINED or not missing)
    for figure in figures:
        if isinstance(figure, bool) or figure not in FIGURES:
            raise ValueError(
                f"`figures` must be among {', '.join(map(str, FIGURES))}; got {figure!r}."
            )
    if not figures:
        raise ValueError("`figures` must name at least one figure; got none. Use None for all.")
    trained = [figure for figure in figures if figure in _TRAINED]
    if trained and missing:
        raise ValueError(
            f"figure {trained[0]} is of trained models: give the folder of each as `gpt2` and "
            f"`gpt_neo`; {' and '.join(f'`{name}`' for name in missing)} "
            f"{'is' if len(missing) == 1 else 'are'} missing. Others can be given as `models` (--model)."
        )
    return tuple(figures)


def _arguments(part: _Part, seed: int, tick: Callable[[], object], given: dict) -> dict:
    accepted = inspect.signature(part.compute).parameters
    offered = {"key": jr.fold_in(jr.key(seed), part.run), "tick": tick, **given}
    return {name: value for name, value in offered.items() if name in accepted}


def _write_numbers(path: Path, data: FigureData) -> Path:
    with atomic_write(path) as file:
        np.savez_compressed(file, allow_pickle=False, **data.arrays)
    return path


def _write_png(path: Path, figure) -> Path:
    with atomic_write(path) as file:
        figure.savefig(file, format="png")
    return path
