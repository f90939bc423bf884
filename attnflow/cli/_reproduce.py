"""`attnflow reproduce`: the paper's figures, and a table of its claims beside what was measured."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from cyclopts.types import NonNegativeInt


def reproduce(
    *,
    figure: Annotated[list[int] | None, Parameter(consume_multiple=True, negative="")] = None,
    out: Path = Path("attnflow-out"),
    seed: NonNegativeInt = 0,
) -> int:
    """Draw the figures of "Consensus is all you get" (arXiv:2412.02682) and check what they claim.

    Writes a PNG and the numbers of each figure, and ends with a table: claim of the paper, what was
    measured, whether it holds. The exit status is 1 when a line does not hold. All figures take
    about two minutes on two cores.

    Example: `attnflow reproduce --figure 2 3 --out figures`

    Parameters
    ----------
    figure
        Numbers of the figures to draw, such as 4 or 1 2 3; all that need no download unless given.
    out
        Folder for the files; made when it is not there.
    seed
        Seed of the random starts and matrices.
    """
    from ._start import start_jax

    if not start_jax():
        raise ValueError("reproduce needs 64-bit numbers: unset JAX_ENABLE_X64.")
    from .. import paper

    report = paper.reproduce(figure or None, out=out, seed=seed)
    print(report.table())
    print(f"Files are in {out}.")
    return 0 if report.holds else 1
