"""`attnflow search`: a search over schedules by a brief, and its result beside baselines."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter
from cyclopts.types import NonNegativeInt, PositiveInt

from ..core.words import printable, printable_lines

if TYPE_CHECKING:
    from ..search import Brief, Evaluation, Optimised


def search(
    spec: str | None = None,
    /,
    *,
    list_: Annotated[bool, Parameter(name="--list", negative="", show_default=False)] = False,
    show: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    steps: PositiveInt | None = None,
    seed: NonNegativeInt | None = None,
    constant: bool = True,
    out: Annotated[Path | None, Parameter(negative="")] = None,
) -> int:
    """Search for schedules P(t), U(t) that bring tokens together soon, or keep them apart.

    A brief is a TOML file: the tables of a case, and [search] with what is wanted and what may be
    changed. The gradient goes through the solver. The result is then compared, on starts that the
    search never used, with the schedule it began from, what theory allows, constants and random ones.

    With --out the same command continues a search that was stopped or killed, and ends with exactly
    the numbers of one that was not.

    Examples:

    - `attnflow search --list`
    - `attnflow search delay-values --out values`
    - `attnflow search accelerate --steps 300 --seed 1`
    - `attnflow search delay --show > mine.toml` (to start one's own from)
    - `attnflow search mine.toml --out mine` (again, to continue after Ctrl-C)

    Parameters
    ----------
    spec
        A .toml file, or a ready brief: accelerate, delay, delay-values, robust-delay.
    list_
        The ready briefs: their names, and what each asks.
    show
        Print a ready brief.
    steps
        How many steps (as the brief says).
    seed
        Seed of the first schedules and of the starts (as the brief says).
    constant
        Also search for the best constant P, for comparison; this takes one to three times as long
        as the search. --no-constant leaves it out.
    out
        Folder for the schedule (schedule.af), the account (report.json), the brief (brief.toml), where
        the search stands (search.af) and pictures (png); nothing is written unless given.
    """
    flags = {"--steps": steps, "--seed": seed, "--out": out}
    given = [name for name, value in flags.items() if value is not None]
    given += ["--no-constant"] * (not constant)
    alone = "--list" if list_ else "--show" if show else None
    extra = given + (["SPEC"] * (spec is not None) + ["--show"] * show if list_ else [])
    if alone is not None and extra:
        raise ValueError(f"{alone} stands by itself: leave out {', '.join(extra)}.")
    if spec is None and not list_:
        raise ValueError(
            "give a brief, as FILE.toml or by a name that attnflow search --list shows."
        )

    if list_:
        from ..search import brief_titles

        briefs = brief_titles()
        width = max(map(len, briefs))
        print("\n".join(f"{name:<{width}}  {printable(title)}" for name, title in briefs.items()))
        return 0

    from ._start import start_jax

    start_jax()
    from ..search import Brief

    assert spec is not None  # checked above
    if show:
        print(Brief.text(spec), end="")
        return 0
    brief = Brief.read(spec).with_flags(steps=steps, seed=seed)
    try:
        _search(brief, constant, out)
    except ValueError as error:  # the brief's own errors begin with the place in it
        raise ValueError(f"{spec}: {error}" if str(error)[0] == "$" else error) from error
    except ImportError as error:  # an extra that is not installed
        raise ValueError(str(error)) from error
    return 0


def _search(brief: "Brief", constant: bool, out: Path | None) -> None:
    from ..records import writable_folder

    folder = None if out is None else writable_folder(out)
    store = None if folder is None else folder / "search.af"
    if folder is not None:
        _keep_brief(brief, folder)
    if brief.title:
        print(printable(brief.title))
    try:
        optimised = brief.run(store)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(_left(store)) from None
    print(printable_lines(optimised))
    try:
        evaluation = brief.evaluate(optimised, constant=constant)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(_left(store)) from None
    print(printable_lines(evaluation))
    if folder is not None:
        for path in _write(folder, brief, optimised, evaluation):
            print(f"wrote {printable(path)}")


def _keep_brief(brief: "Brief", folder: Path) -> None:
    """The brief of a folder; another one is refused, whose search could not be gone on with."""
    import msgspec

    from ..records import atomic_write
    from ..search import Brief

    path = folder / "brief.toml"
    begun = (folder / "search.af").exists() and path.exists()
    if begun and _searched(Brief.read(path)) != _searched(brief):
        raise ValueError(
            f"{folder} holds a search by another brief, {path}: give that one, or another --out."
        )
    with atomic_write(path) as file:
        file.write(msgspec.toml.encode(brief))


def _searched(brief: "Brief") -> "Brief":
    """A brief without what the search itself does not depend on."""
    from msgspec.structs import replace

    return replace(brief, title="", search=replace(brief.search, held_back=None))


def _left(store: Path | None) -> str:
    if store is None:
        return "interrupted; with --out the same command would go on from there"
    if not store.exists():
        return "interrupted before the first steps were written; the same command starts anew"
    return f"interrupted: the steps before are in {store}; the same command goes on from there"


def _write(
    folder: Path, brief: "Brief", optimised: "Optimised", evaluation: "Evaluation"
) -> list[Path]:
    import msgspec

    from ..records import atomic_write, save
    from ._account import write_account

    written = [folder / "schedule.af", folder / "report.json"]
    save(written[0], optimised.schedule)
    account = {
        "brief": msgspec.to_builtins(brief),
        "found": optimised.record(),
        "standing": evaluation.record(),
    }
    write_account(written[1], account)
    for name, figure in _pictures(brief, optimised).items():
        written.append(folder / f"{name}.png")
        with atomic_write(written[-1]) as file:
            figure.savefig(file, format="png")
    return [*written, folder / "search.af", folder / "brief.toml"]


def _pictures(brief: "Brief", optimised: "Optimised") -> dict[str, Any]:
    from .. import plot

    y0 = brief.held_back()[0]
    axes = {
        "misalignment": plot.misalignment_of(
            optimised, y0, title=f"{optimised.goal} {optimised.objective.title}"
        ),
        "norms": plot.schedule_norms(optimised)[0],
        "attention": plot.attention_at(optimised, y0)[0],
    }
    if brief.manifold.build().dim == 3:
        axes["tokens"] = plot.tokens_of(optimised, y0)[0]
    return {name: plot.figure_of(ax) for name, ax in axes.items()}
