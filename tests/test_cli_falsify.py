"""`attnflow falsify` as a person uses it."""

import dataclasses
import hashlib
import json
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import jax
import numpy as np
import pytest

import attnflow as af
from attnflow.claims import _falsify as searching
from attnflow.claims._counterexample import judge
from attnflow.search import CLAIMS, Counterexample
from attnflow.spec import AttentionTable, Case, Manifold, Tokens
from tests.test_cli import PROGRAM, in_process, refused

# V grows at the start: U turns the second token away from the top eigenvector.
CASE = Case(
    manifold=Manifold(dim=2),
    tokens=Tokens(rows=[[0.0, -1.0], [-1.0, 0.0]], project=True),
    attention=AttentionTable(
        P=[[-1.0, 0.0], [0.0, 3.0]], U=[[-1.9, 1.8], [1.8, -1.6]], mask="causal", scale=1.0
    ),
)
OWN = """
import dataclasses
from attnflow.search import CLAIMS

claim = dataclasses.replace(CLAIMS["4.5, V falls"], name="mine", statement="V never grows.")
second = dataclasses.replace(claim, name="the second")
number = 3
"""
RESISTS = ["falsify", "3.2, V falls", "--tokens", "2", "--dim", "2"]


def counterexample(claim) -> Counterexample:
    field, y0, _ = CASE.build()
    return Counterexample(claim, CASE, judge(claim, field, y0, key=jax.random.key(0)), "by hand")


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The text of a counterexample's file."""
    path = tmp_path_factory.mktemp("counterexample") / "c.json"
    counterexample(CLAIMS["4.5, V falls"]).write(path)
    return path.read_text()


@pytest.fixture
def own(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(OWN)
    return path


def account(path) -> dict:
    """What a search wrote, without when and where that was."""
    contents = json.loads(path.read_text())
    return {k: v for k, v in contents.items() if k not in ("seconds", "provenance")}


def with_digest(contents: dict) -> str:
    contents = {k: v for k, v in contents.items() if k != "digest"}
    canonical = json.dumps(contents, sort_keys=True, separators=(",", ":"))
    return json.dumps(contents | {"digest": hashlib.sha256(canonical.encode()).hexdigest()})


# === the list


def test_the_list_has_every_claim_with_what_it_says_and_its_source(capsys):
    status, out, err = in_process(capsys, "falsify", "--list")
    assert (status, err) == (0, "")
    blocks = out.strip("\n").split("\n\n")
    assert len(blocks) == len(CLAIMS)
    for block, claim in zip(blocks, CLAIMS.values(), strict=True):
        name, *text = block.splitlines()
        assert name == claim.name
        assert " ".join(line.strip() for line in text) == f"{claim.statement} ({claim.source})"
    assert max(map(len, out.splitlines())) <= 100


# === the check


def does_not_hold(capsys, path) -> str:
    """The one line on standard error that a file meets which is refused; the status is 1."""
    status, out, err = in_process(capsys, "falsify", "--check", path)
    assert (status, out) == (1, "")
    assert err.startswith("attnflow: ")
    assert err.count("\n") == 1
    return err


def test_a_counterexample_that_holds_is_shown(capsys, tmp_path, written):
    path = tmp_path / "c.json"
    path.write_text(written)
    status, out, err = in_process(capsys, "falsify", "--check", path)
    assert (status, err) == (0, "")
    first, second, *rest = out.splitlines()
    assert first == f"{path} holds"
    assert second == str(CLAIMS["4.5, V falls"])
    assert "open: at the start it grows at the rate 0.5045" in "\n".join(rest)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("-1.9", "-1.8"),  # of U
        ("3.0", "3.1"),  # of P
        ('"status": "open"', '"status": "no rest"'),
        ('"margin": 0.5', '"margin": 0.6'),
        ("4.5, V falls", "3.2, V falls"),
        ("by hand", "by Hand"),
    ],
)
def test_a_file_with_one_change_is_refused(capsys, tmp_path, written, old, new):
    assert old in written
    path = tmp_path / "c.json"
    path.write_text(written.replace(old, new, 1))
    assert f"{path} was altered after it was written" in does_not_hold(capsys, path)


def test_a_file_that_is_no_counterexample_is_refused(capsys, own):
    assert f"{own} is no counterexample" in does_not_hold(capsys, own)


def changed(contents: dict, part: str) -> dict:
    match part:
        case "case":
            contents["case"]["attention"]["U"][0][0] = -1.901
        case "domain":
            contents["case"]["attention"]["mask"] = "full"
        case "margin":
            contents["evidence"]["margin"] += 1e-4
        case "status":
            contents["evidence"]["status"] = "no rest"
        case "claim":
            contents["claim"]["name"] = "3.2, V falls"
        case "missing":
            del contents["evidence"]["status"]
        case "kind":
            contents["claim"] = "4.5, V falls"
        case "rows":
            contents["case"]["tokens"]["rows"][0] = [0.0, 0.0]
    return contents


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ("case", "says margin = "),
        ("domain", "run again it is 'outside the domain'"),
        ("margin", "says margin = "),
        ("status", "says 'no rest'; run again it is 'open'"),
        ("claim", "is about another claim than '3.2, V falls'"),
        ("missing", "c.json cannot be read: evidence must have the parts"),
        ("kind", "c.json cannot be read: TypeError("),
        ("rows", "c.json: $.tokens: `rows` must have finite, non-zero rows"),
    ],
)
def test_a_change_with_a_digest_to_match_does_not_come_out_again(
    capsys, tmp_path, written, part, words
):
    path = tmp_path / "c.json"
    path.write_text(with_digest(changed(json.loads(written), part)))
    assert words in does_not_hold(capsys, path)


def test_a_counterexample_to_ones_own_claim_is_checked_with_its_file(capsys, tmp_path, own):
    claim = dataclasses.replace(CLAIMS["4.5, V falls"], name="mine", statement="V never grows.")
    path = tmp_path / "c.json"
    counterexample(claim).write(path)
    assert "is about 'mine', no claim of the library" in does_not_hold(capsys, path)
    status, out, _ = in_process(capsys, "falsify", own, "--check", path)
    assert status == 0
    assert out.startswith(f"{path} holds\nmine: V never grows.")


# === the search


@pytest.mark.slow
def test_what_a_search_finds_is_printed_written_and_drawn(capsys, monkeypatch, tmp_path, own):
    calls = []

    def falsify(claim, key, budget, *, store):
        calls.append((claim.name, claim.sizes, jax.random.key_data(key).tolist(), budget, store))
        return af.search.Findings(claim, [0, 7], counterexample(claim))

    monkeypatch.setattr(af.search, "falsify", falsify)
    out = tmp_path / "new" / "out"
    words = [f"{own}:second", "--tokens", "5", "--dim", "4", "--seed", "7", "--out", out]
    status, output, err = in_process(capsys, "falsify", *words)
    assert (status, err) == (0, "")
    assert calls == [("the second", ((5, 4),), [0, 7], 600.0, out / "search.json")]
    assert output.startswith("the second: V never grows.")
    assert "\nbroken\n" in output
    files = ("counterexample.json", "counterexample.png", "search.json")
    assert output.endswith("".join(f"wrote {out}/{name}\n" for name in files))
    assert (out / "counterexample.png").read_bytes().startswith(b"\x89PNG")
    path = out / "counterexample.json"
    assert in_process(capsys, "falsify", words[0], "--check", path)[0] == 0


def test_without_a_folder_nothing_is_written(capsys, monkeypatch, tmp_path, own):
    calls = []

    def falsify(claim, key, budget, *, store):
        calls.append((claim.sizes, budget, store))
        return af.search.Findings(claim, [0, 0])

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(af.search, "falsify", falsify)
    status, output, _ = in_process(capsys, "falsify", "4.5", "--budget", "2.5")
    assert (status, calls) == (0, [(CLAIMS["4.5"].sizes, 2.5, None)])
    assert "no counterexample found" in output
    assert [path.name for path in tmp_path.iterdir()] == ["mine.py"]


@pytest.mark.slow
def test_a_claim_of_ones_own_is_broken_by_a_search(capsys, tmp_path, own):
    out = tmp_path / "out"
    words = ["falsify", f"{own}:second", "--tokens", "2", "--dim", "2", "--out", out]
    status, output, err = in_process(capsys, *words)
    assert (status, err) == (0, "")
    assert "tokens: 2 in R^2)" in output
    path = out / "counterexample.json"
    status, output, _ = in_process(capsys, "falsify", f"{own}:second", "--check", path)
    assert status == 0
    assert "holds\nthe second: V never grows." in output


def counted(found, key, tokens, dim) -> None:
    """A batch that breaks nothing, in no time: margins drawn from its key."""
    found.count(np.asarray(jax.random.uniform(key, (7,))) / 1e4)
    found.refused["transient"] += tokens
    found.reasons["transient"] = f"the margin falls to {found.best}"


def units(monkeypatch, number: int, then=None, batch=None) -> None:
    """A clock by which a budget of 100 seconds is so many batches; or `then` is raised after them."""
    done, real = [0], batch or searching._unit

    def unit(*arguments):
        if then is not None and done[0] == number:
            raise then
        real(*arguments)
        done[0] += 1

    def now() -> float:
        return 100.0 * done[0] / (number if then is None else number + 1)

    monkeypatch.setattr(searching, "_unit", unit)
    monkeypatch.setattr(searching, "clock", SimpleNamespace(monotonic=now))


def test_a_search_that_was_stopped_goes_on_to_the_same_end(capsys, monkeypatch, tmp_path):
    words = [*RESISTS, "--budget", "100", "--seed", "3", "--out"]
    one, two = tmp_path / "one", tmp_path / "two"
    with monkeypatch.context() as m:
        units(m, 3, batch=counted)
        status, output, _ = in_process(capsys, *words, one)
    assert status == 0
    assert "no counterexample found" in output
    handed_on = "certify cannot prove it: proofs are about consensus from almost every start\n"
    assert output.endswith(f"{handed_on}wrote {one}/search.json\n")
    with monkeypatch.context() as m:
        units(m, 2, KeyboardInterrupt(), counted)
        status, _, err = in_process(capsys, *words, two)
    assert status == 130
    assert err == (
        f"attnflow: interrupted: the batches before are in {two}/search.json; "
        "the same command goes on from there\n"
    )
    assert account(two / "search.json")["units"] == 2
    with monkeypatch.context() as m:
        units(m, 1, batch=counted)
        assert in_process(capsys, *words, two)[0] == 0
    assert account(two / "search.json") == account(one / "search.json")
    assert account(one / "search.json")["units"] == 3
    assert [path.name for path in two.iterdir()] == ["search.json"]
    assert "is of a search with another 'seed'" in refused(capsys, *RESISTS, "--out", two)


@pytest.mark.parametrize("out", [[], ["--out", "x"]])
def test_ctrl_c_in_the_first_batch_says_what_there_is_to_go_on_from(
    capsys, monkeypatch, tmp_path, out
):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(searching, "_unit", interrupt)
    status, output, err = in_process(capsys, *RESISTS, *out)
    assert (status, output) == (130, "")
    words = "in the first batch; nothing was written" if out else "with --out the same command"
    assert words in err


@pytest.mark.slow
def test_a_search_that_was_killed_goes_on_to_the_same_end(capsys, monkeypatch, tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    with subprocess.Popen([*PROGRAM, *RESISTS, "--out", two], stdout=subprocess.DEVNULL) as run:
        for _ in range(1200):
            if (two / "search.json").exists() and account(two / "search.json")["units"] > 2:
                break
            time.sleep(0.05)
        run.send_signal(signal.SIGKILL)
    done = account(two / "search.json")["units"]
    assert done > 2
    for folder, number in ((two, 2), (one, done + 2)):
        with monkeypatch.context() as m:
            units(m, number)
            assert in_process(capsys, *RESISTS, "--budget", "100", "--out", folder)[0] == 0
    assert account(two / "search.json") == account(one / "search.json")


@pytest.mark.slow
def test_a_search_ends_at_the_same_counterexample_whether_it_was_stopped_or_not(
    capsys, monkeypatch, tmp_path
):
    """The claim breaks in a later batch; each number of the file is looked at by the check."""
    words = ["falsify", "no hemisphere", "--out"]
    one, two = tmp_path / "one", tmp_path / "two"
    assert in_process(capsys, *words, one)[0] == 0
    with monkeypatch.context() as m:
        units(m, 1)
        assert in_process(capsys, *words, two, "--budget", "100")[0] == 0
    assert not (two / "counterexample.json").exists()
    assert in_process(capsys, *words, two)[0] == 0
    files = [json.loads((f / "counterexample.json").read_text()) for f in (one, two)]
    for name in ("claim", "case", "evidence", "stage"):
        assert files[0][name] == files[1][name]
    assert account(one / "search.json") == account(two / "search.json")
    path = one / "counterexample.json"
    assert in_process(capsys, "falsify", "--check", path)[0] == 0
    contents = json.loads(path.read_text())
    contents["case"]["tokens"]["rows"][0][0] += 0.1
    contents["evidence"]["equilibrium"][0][0] += 1e-3
    path.write_text(with_digest(contents))
    assert "says after = tokens that come out elsewhere" in does_not_hold(capsys, path)


# === bad input


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ([], "give a claim, by name or as FILE.py, or --check FILE; attnflow falsify --list"),
        (["no hemispere"], "there is no claim 'no hemispere'. Did you mean 'no hemisphere'?"),
        (["qqq"], "there is no claim 'qqq'. attnflow falsify --list names those of the library"),
        (["4.5", "--tokens", "3"], "--tokens and --dim make a size together"),
        (["4.5", "--dim", "3"], "--tokens and --dim make a size together"),
        (["4.5", "--tokens", "1", "--dim", "2"], "`sizes` must hold pairs (tokens, dim)"),
        (["4.5", "--budget", "0"], "Must be > 0"),
        (["4.5", "--seed", "-1"], "--seed"),
        (["4.5", "--list"], "--list stands by itself: leave out CLAIM"),
        (["--list", "--seed", "1"], "--list stands by itself: leave out --seed"),
        (["--list", "--check", "x"], "--list stands by itself: leave out --check"),
        (["--check", "x", "--budget", "3", "--out", "y"], "leave out --budget, --out"),
        (["--check", "absent.json"], "absent.json"),
        (["absent.py"], "absent.py is not there, or no file"),
        (["broken.py"], "broken.py does not run: ZeroDivisionError: division by zero"),
        (["broken.py:x"], "broken.py does not run: ZeroDivisionError"),
        (["syntax.py"], "syntax.py does not run: SyntaxError"),
        (["leaves.py"], "leaves.py does not run: SystemExit: 3"),
        (["mine.py:third"], "mine.py has no `third`; it has claim, second: give mine.py:claim"),
        (["empty.py"], "empty.py has no `claim`; nor any claim"),
        (["mine.py:number"], "`number` in mine.py must be a attnflow.search.Claim; it is a int"),
        (["mine.py:"], "there is no claim 'mine.py:'"),
    ],
)
def test_bad_words_are_refused_in_one_line(
    capsys, monkeypatch, tmp_path, as_user, own, words, reason
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.py").write_text("1 / 0\n")
    (tmp_path / "syntax.py").write_text("claim = (\n")
    (tmp_path / "leaves.py").write_text("raise SystemExit(3)\n")
    (tmp_path / "empty.py").write_text("")
    before = {name for name in sys.modules if name.startswith("_attnflow_claim_")}
    assert reason in refused(capsys, "falsify", *words)
    assert not {p.name for p in tmp_path.iterdir()} & {"x", "y"}
    after = {name for name in sys.modules if name.startswith("_attnflow_claim_")}
    assert after - before <= {"_attnflow_claim_mine", "_attnflow_claim_empty"}


def test_64_bits_turned_off_are_refused(capsys, monkeypatch, x64_off):
    monkeypatch.setenv("JAX_ENABLE_X64", "0")
    assert "unset JAX_ENABLE_X64" in refused(capsys, "falsify", "4.5")


def test_an_output_folder_below_a_file_is_refused_before_the_search(capsys, tmp_path):
    (tmp_path / "file").write_text("")
    assert "cannot write" in refused(capsys, *RESISTS, "--out", tmp_path / "file" / "out")
