"""`attnflow gallery`: figures of the field's papers, and a table of their claims beside what was measured."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from cyclopts.types import NonNegativeInt


def gallery(
    *names: str,
    all_: Annotated[bool, Parameter(name="--all", negative="")] = False,
    list_: Annotated[bool, Parameter(name="--list", negative="")] = False,
    full: Annotated[bool, Parameter(negative="")] = False,
    out: Path = Path("attnflow-gallery"),
    seed: NonNegativeInt = 0,
) -> int:
    """Draw figures of the field's papers anew and check what they claim.

    Writes a PNG, the numbers (npz) and an account (JSON) of each figure, and ends with a table: what is claimed, with
    its paper's arXiv number, what was measured, and whether it holds; a line that speaks against a published
    number names it. The exit status is 1 when a line fails. All figures, small, take some minutes on two cores.

    Examples:

    - `attnflow gallery --list`
    - `attnflow gallery staircase polytope --out figures`
    - `attnflow gallery --all`

    Parameters
    ----------
    names
        Which figures, such as staircase or phase-identity.
    all_
        All of them.
    list_
        Name them, with their papers, and draw none.
    full
        With more tokens, finer maps or more draws: up to some minutes each.
    out
        Folder for the files; made when it is not there.
    seed
        Seed of the random starts and matrices.
    """
    if list_ and (names or all_ or full):
        raise ValueError("--list draws nothing; drop names, --all and --full.")
    if not list_ and not names and not all_:
        raise ValueError("name some figures, or use --all; attnflow gallery --list names them.")
    if names and all_:
        raise ValueError("give names or --all, not both.")
    from ._start import start_jax

    if not start_jax():
        raise ValueError("gallery needs 64-bit numbers: unset JAX_ENABLE_X64.")
    from .. import gallery

    if list_:
        for entry in gallery.catalogue().values():
            print(f"{entry.name:<20} arXiv:{entry.paper}  {entry.shows}")
        return 0
    report = gallery.exhibit(names or None, out=out, size="full" if full else "small", seed=seed)
    print(report.table())
    print(f"Files are in {out}.")
    return 0 if report.holds else 1
