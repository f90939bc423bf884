"""`attnflow certify`: a proof of a counterexample, and the check of one."""

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from ..core.words import printable, printable_lines
from ._falsify import _claim, _none_of


def certify(
    file: Path | None = None,
    /,
    *,
    check: Annotated[Path | None, Parameter(negative="")] = None,
    out: Annotated[Path | None, Parameter(negative="")] = None,
    claim: str | None = None,
    tokens: int | None = None,
    beta: Annotated[str | None, Parameter(negative="")] = None,
) -> int:
    """Prove a counterexample that `attnflow falsify` wrote, or a claim that it could not break; or check a proof.

    A search computes with rounded numbers. Here its counterexample is proved in ball arithmetic: that
    there is an equilibrium at these tokens, which signs its eigenvalues have (so that an open set of
    starts goes there), that each hypothesis of the claim holds, and that its conclusion fails. This takes
    seconds; if the equilibrium is outside the claim's domain, a solution that starts inside and ends
    there is enclosed too, which takes a minute or so.

    What is proved is printed, with all of its numbers, and written as a certificate: a file that anyone
    can check with python-flint and the program attnflow/checker, which uses nothing else of attnflow.
    --check runs it. It also takes what `af.certify.synchronisation(...).save` and
    `af.certify.census(...).save` wrote, which are proofs over all states.

    With --tokens and --beta another thing is proved: almost every start on the circle (full attention,
    U = I, P = beta I) comes to consensus, for every beta of a range. This takes a second for 3 to 5 tokens
    above -2/3; nothing is written where it is not decided. With --claim and --tokens it is a claim that
    `attnflow falsify` could not break, if its hypotheses are those of this theorem; the range is theirs.

    Certificates are about fields that are constant in time, and counterexamples that come to rest or
    lie on a null set; others are "not decided", and nothing is written. Exit status: 0 if something is
    proved or --check holds; 1 if it is refuted (for example, the equilibrium is unstable: a certificate
    of that is written), not decided, or --check fails; 2 on bad input.

    Needs python-flint: `pip install 'attnflow[certify]'`.

    Examples:

    - `attnflow certify heads/counterexample.json` (writes heads/certificate.json)
    - `attnflow certify --check heads/certificate.json`
    - `attnflow certify mine/counterexample.json --claim mine.py:second --out proof.json`
    - `attnflow certify --tokens 5 --beta=-2/3,-0.16` (writes synchronisation-5.json)
    - `attnflow certify --claim circle --tokens 5` (the same, after `attnflow falsify circle`)

    Parameters
    ----------
    file
        A counterexample.json.
    check
        Check a certificate by its numbers. If the claim is one of your own, give --claim too.
    out
        Where the certificate is written. Unless given, beside FILE: certificate.json if FILE is
        counterexample.json, else the name of FILE with -certificate added.
    claim
        The claim, if it is one of your own: FILE.py or FILE.py:NAME, as in falsify. With --tokens: the claim
        to prove, one of your own or of the library.
    tokens
        How many, 2 to 9, for a proof that they synchronise on the circle.
    beta
        The range for that, LOW,HIGH: decimals or fractions. A claim may have one of its own.
    """
    if check is not None:
        extra = ["FILE"] * (file is not None) + ["--out"] * (out is not None)
        extra += ["--tokens"] * (tokens is not None) + ["--beta"] * (beta is not None)
        _none_of("--check", extra)
    elif tokens is not None or beta is not None:
        _none_of("--tokens", ["FILE"] * (file is not None))
        return _synchronises(tokens, beta, out, claim)
    elif file is None and claim is not None:
        raise ValueError(
            "give --tokens with --claim, or FILE, a counterexample.json to that claim."
        )
    elif file is None:
        raise ValueError("give FILE, a counterexample.json that falsify wrote, or --check FILE.")

    from ._start import start_jax

    bits = start_jax()
    if check is not None:
        print(printable_lines(f"{printable(check)} holds\n{_proved_lines(check, claim)}"))
        return 0
    assert file is not None
    if not bits:
        raise ValueError("certify needs 64-bit numbers: unset JAX_ENABLE_X64.")
    return _prove(file, _beside(file) if out is None else out, claim)


def _synchronises(tokens: int | None, beta: str | None, out: Path | None, words: str | None) -> int:
    """A proof of synchronisation, or of what a claim says of it, printed and written."""
    parts = [] if beta is None else [part.strip() for part in beta.split(",")]
    if tokens is None or (beta is None and words is None) or len(parts) not in (0, 2):
        raise ValueError("give both, as in --tokens 5 --beta=-2/3,-0.16, or --claim and --tokens.")
    ends = (parts[0], parts[1]) if parts else None
    target = Path(f"synchronisation-{tokens}.json") if out is None else out
    if target.is_dir():
        raise ValueError(f"--out must be a file; {target} is a folder.")
    from ..records import writable_folder

    writable_folder(target.parent)
    if words is not None:
        from ._start import start_jax

        start_jax()
        result = _library().claim(_claim(words), tokens, ends)
    else:
        from ..cover import synchronisation

        assert ends is not None
        result = synchronisation(tokens, ends)
    print(printable_lines(result))
    if not result.proved:
        return 1
    try:
        result.save(target)
    except ImportError as error:
        raise ValueError(str(error)) from error
    print(f"wrote {printable(target)}")
    return 0


def _library() -> Any:
    try:
        from .. import certify as library
    except ImportError as error:
        raise ValueError(str(error)) from error
    return library


def _proved_lines(path: Path, words: str | None) -> str:
    """What a certificate proves; that it proves nothing is the answer, not a wrong question."""
    library = _library()
    own = None if words is None else _claim(words)
    try:
        return library.check(path, claim=own).statement
    except ValueError as error:
        raise RuntimeError(str(error)) from error


def _beside(file: Path) -> Path:
    whole = file.name == "counterexample.json"
    return file.with_name("certificate.json" if whole else f"{file.stem}-certificate.json")


def _prove(file: Path, target: Path, claim: str | None) -> int:
    library = _library()
    from .. import search
    from ..records import writable_folder

    example = search.read_counterexample(file, claim=None if claim is None else _claim(claim))
    if target.is_dir():
        raise ValueError(f"--out must be a file; {target} is a folder.")
    if target.resolve() == file.resolve():
        raise ValueError(f"--out must be another file than the counterexample; got {target}.")
    writable_folder(target.parent)
    certificate = library.counterexample(example)
    print(printable_lines(certificate))
    if certificate.contents is None:
        raise RuntimeError(f"{file}: {certificate.verdict}; no certificate was written")
    certificate.write(target)
    print(f"wrote {printable(target)}")
    return 0 if certificate.proved else 1
