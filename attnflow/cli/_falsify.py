"""`attnflow falsify`: a search for what breaks a claim, and the check of a counterexample."""

import dataclasses
import importlib.util
import re
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter
from cyclopts.types import NonNegativeInt, PositiveFloat

from ..core.words import printable, printable_lines

if TYPE_CHECKING:
    from ..search import Claim, Counterexample, Findings, Provable

_SEED, _BUDGET = 0, 600.0
_FILE = re.compile(r"(?P<path>.+\.py)(:(?P<name>\w+))?")
_LISTED = "attnflow falsify --list names those of the library"


def falsify(
    claim: str | None = None,
    /,
    *,
    list_: Annotated[bool, Parameter(name="--list", negative="", show_default=False)] = False,
    check: Annotated[Path | None, Parameter(negative="")] = None,
    seed: NonNegativeInt | None = None,
    budget: PositiveFloat | None = None,
    tokens: int | None = None,
    dim: int | None = None,
    out: Annotated[Path | None, Parameter(negative="")] = None,
) -> int:
    """Search for a field and a start that break a claim, or check a counterexample.

    Random fields and starts in the claim's domain are run, then better ones by gradients and
    mutation. A candidate counts only if it survives more: a far longer run, another solver, the
    spectrum of its limit, starts beside its own. It is then reduced to few tokens and short
    decimals. If none is found, the number of tries is printed and, where `attnflow certify` can prove
    the claim, the command for that.

    With --out the same command continues a search that ended, was stopped or was killed, and gives
    the result of one that never stopped. Exit status: 0, whether the claim is broken or not; 1
    if --check fails: the file is refused, or its numbers are not reproduced.

    A claim of your own is a Python file that defines an `attnflow.search.Claim` by the name
    `claim`, or by another that you give after a colon. The file is run. `help(attnflow.search.Claim)`
    shows how one is written.

    Examples:

    - `attnflow falsify --list`
    - `attnflow falsify "several heads, own U" --out heads`
    - `attnflow falsify --check heads/counterexample.json`
    - `attnflow falsify "no hemisphere" --tokens 4 --dim 3 --seed 1 --budget 60`
    - `attnflow falsify mine.py:second --out mine` (again, to continue after Ctrl-C)

    Parameters
    ----------
    claim
        A name that --list shows, in quotes, or a claim of your own as FILE.py or FILE.py:NAME.
    list_
        Every claim of the library: its name, what it says and where it is from.
    check
        Verify a counterexample.json, whoever wrote it: everything is computed anew from its
        numbers. If the claim is one of your own, give it too.
    seed
        Where the search begins (0). What is found depends on the claim and the seed alone.
    budget
        Seconds in this run after which no new batch is begun (600).
    tokens
        How many tokens, in place of the claim's sizes; with --dim.
    dim
        The dimension of their space; with --tokens.
    out
        Folder for the account so far (search.json) and, if broken, counterexample.json and its
        picture (png); nothing is written unless given.
    """
    given = {"seed": seed, "budget": budget, "tokens": tokens, "dim": dim, "out": out}
    flags = [f"--{name}" for name, value in given.items() if value is not None]
    if list_:
        extra = ["CLAIM"] * (claim is not None) + ["--check"] * (check is not None) + flags
        _none_of("--list", extra)
    if check is not None:
        _none_of("--check", flags)
    if (tokens is None) != (dim is None):
        raise ValueError("--tokens and --dim make a size together: give both, or neither.")
    if claim is None and check is None and not list_:
        raise ValueError(f"give a claim, by name or as FILE.py, or --check FILE; {_LISTED}.")
    if list_:
        print(_library())
        return 0

    from ._start import start_jax

    bits = start_jax()
    if not bits:
        raise ValueError("falsify needs 64-bit numbers: unset JAX_ENABLE_X64.")
    if check is not None:
        example = _check(check, claim)
        print(f"{printable(check)} holds")
        print(printable_lines(f"{example.claim}\n{example}"))
        return 0
    assert claim is not None
    chosen = _claim(claim)
    if tokens is not None and dim is not None:
        chosen = dataclasses.replace(chosen, sizes=((tokens, dim),))
    _search(
        chosen,
        _SEED if seed is None else seed,
        _BUDGET if budget is None else budget,
        out,
        claim,
    )
    return 0


def _none_of(flag: str, others: list[str]) -> None:
    if others:
        raise ValueError(f"{flag} stands by itself: leave out {', '.join(others)}.")


def _library() -> str:
    from ..search import STATEMENTS

    def block(name: str, statement: str, source: str) -> str:
        lines = (statement, f"({source})")
        return "\n".join([name, *(_wrapped(printable(line)) for line in lines)])

    return "\n\n".join(block(**words) for words in STATEMENTS)


def _wrapped(text: str) -> str:
    return textwrap.fill(text, 88, initial_indent="    ", subsequent_indent="    ")


# === which claim


def _claim(words: str) -> "Claim":
    """The library's claim of that name, or the one that a file makes."""
    import difflib

    from ..search import CLAIMS

    if words in CLAIMS:
        return CLAIMS[words]
    if match := _FILE.fullmatch(words):
        return _own(Path(match["path"]), match["name"] or "claim")
    near = difflib.get_close_matches(words, CLAIMS, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"there is no claim {words!r}.{hint} {_LISTED}; one's own is a FILE.py.")


def _own(path: Path, name: str) -> "Claim":
    from ..search import Claim

    if not path.is_file():
        raise ValueError(f"{path} is not there, or no file.")
    # Known by name while it runs and after: what it defines may ask where it is from.
    module_name = f"_attnflow_claim_{path.stem}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[module_name]
        raise ValueError(f"{path} does not run: {type(error).__name__}: {error}") from error
    if not hasattr(module, name):
        there = [n for n, value in vars(module).items() if isinstance(value, Claim)]
        what = f"it has {', '.join(there)}: give {path}:{there[0]}" if there else "nor any claim"
        raise ValueError(f"{path} has no `{name}`; {what}.")
    claim = getattr(module, name)
    if not isinstance(claim, Claim):
        kind = type(claim).__name__
        raise ValueError(f"`{name}` in {path} must be a attnflow.search.Claim; it is a {kind}.")
    return claim


# === what is done with it


def _check(path: Path, words: str | None) -> "Counterexample":
    from .. import search

    own = None if words is None else _claim(words)
    try:
        return search.check_counterexample(path, claim=own)
    except ValueError as error:
        message = str(error)
        raise RuntimeError(message if str(path) in message else f"{path}: {message}") from error


def _search(claim: "Claim", seed: int, budget: float, out: Path | None, words: str) -> None:
    import jax

    from .. import search
    from ..records import writable_folder

    folder = None if out is None else writable_folder(out)
    store = None if folder is None else folder / "search.json"
    try:
        findings = search.falsify(claim, jax.random.key(seed), budget, store=store)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(_left(store)) from None
    print(printable_lines(findings))
    if (resisted := findings.provable) is not None:
        print(printable_lines(_handed_on(resisted, words)))
    if folder is not None:
        for path in _write(folder, findings):
            print(f"wrote {printable(path)}")


def _handed_on(resisted: "Provable", words: str) -> str:
    """What a claim that resisted is proved with, or why it cannot be."""
    if not resisted.reach:
        return f"certify cannot prove it: {resisted.why}"
    many = f" (or {', '.join(map(str, resisted.tokens[1:]))})" if resisted.tokens[1:] else ""
    return f"to prove: {resisted.command(words)}{many}"


def _left(store: Path | None) -> str:
    if store is None:
        return "interrupted; with --out the same command would go on from there"
    if not store.exists():
        return "interrupted in the first batch; nothing was written"
    return f"interrupted: the batches before are in {store}; the same command goes on from there"


def _write(folder: Path, findings: "Findings") -> list[Path]:
    from .. import plot
    from ..records import atomic_write

    account = folder / "search.json"
    broken = findings.counterexample
    if broken is None:
        return [account]
    written = [folder / "counterexample.json", folder / "counterexample.png"]
    broken.write(written[0])
    figure: Any = plot.figure_of(plot.counterexample(broken)[0])
    with atomic_write(written[1]) as file:
        figure.savefig(file, format="png")
    return [*written, account]
