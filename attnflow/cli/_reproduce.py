"""`attnflow reproduce`: the paper's figures, and a table of its claims beside what was measured."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from cyclopts.types import NonNegativeInt, PositiveInt


def reproduce(
    *,
    figure: Annotated[list[int] | None, Parameter(consume_multiple=True, negative="")] = None,
    out: Path = Path("attnflow-out"),
    seed: NonNegativeInt = 0,
    full: Annotated[bool, Parameter(negative="")] = False,
    passes: PositiveInt | None = None,
    gpt2: Annotated[Path | None, Parameter(negative="")] = None,
    gpt_neo: Annotated[Path | None, Parameter(negative="")] = None,
    model: Annotated[list[Path] | None, Parameter(consume_multiple=True, negative="")] = None,
) -> int:
    """Draw the figures of "Consensus is all you get" (arXiv:2412.02682) and check what they claim.

    Writes a PNG and the numbers of each figure, and ends with a table: claim of the paper, what was
    measured, whether it holds. The exit status is 1 when a line does not hold. All figures that need
    no download take about five minutes on two cores.

    Figures 9 and 10 are of transformers with the paper's depth and heads, a quarter as wide and with
    four prompts, unless --full is given. Figures 7 and 8 need the folders of trained models.

    Examples:

    - `attnflow reproduce --figure 2 3 --out figures`
    - `attnflow reproduce --figure 7 8 --gpt2 folder/of/gpt2-xl --gpt-neo folder/of/gpt-neo-2.7B`
    - `attnflow reproduce --figure 7 8 --model folder/of/MiniLM SmolLM2-135M.gguf`

    Parameters
    ----------
    figure
        Numbers of the figures to draw, such as 4 or 1 2 3; all that need no download unless given.
    out
        Folder for the files; made when it is not there.
    seed
        Seed of the random starts and matrices.
    full
        Figures 7 to 10 at the paper's size, 100 prompts of 200 tokens: for a GPU. Each pass is kept
        in --out, and the same command goes on after the last.
    passes
        Through the models of Figures 7 to 10: 20, or 100 with --full, unless given.
    gpt2
        Folder of GPT-2 XL, for Figures 7 and 8 (config.json, model.safetensors).
    gpt_neo
        Folder of GPT-Neo 2.7B, likewise.
    model
        Folders or GGUF files of other models for Figures 7 and 8, of any family that loop knows.
    """
    from ._start import start_jax

    if not start_jax():
        raise ValueError("reproduce needs 64-bit numbers: unset JAX_ENABLE_X64.")
    from .. import paper

    try:
        report = paper.reproduce(
            figure or None,
            out=out,
            seed=seed,
            full=full,
            passes=passes,
            gpt2=gpt2,
            gpt_neo=gpt_neo,
            models=model or (),
        )
    except ImportError as error:  # safetensors
        raise ValueError(str(error)) from error
    print(report.table())
    print(f"Files are in {out}.")
    return 0 if report.holds else 1
