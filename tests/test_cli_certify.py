"""`attnflow certify` as a person uses it."""

import dataclasses
import doctest
import hashlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

import attnflow as af
from attnflow.search import CLAIMS
from tests.test_cli import in_process, refused

ROOT = Path(__file__).parent.parent
KEPT = ROOT / "benchmarks" / "results" / "counterexamples" / "several-heads-common-v.json"
OWN = """
import dataclasses
from attnflow.search import CLAIMS

claim = dataclasses.replace(CLAIMS["several heads, common v"], name="mine")
"""


@pytest.fixture
def found(tmp_path):
    """A counterexample as a search leaves it, in a folder of its own."""
    folder = tmp_path / "heads"
    folder.mkdir()
    return Path(shutil.copy(KEPT, folder / "counterexample.json"))


@pytest.fixture(scope="module")
def proved():
    """The text of a certificate, and its statement."""
    certificate = af.certify.counterexample(af.search.read_counterexample(KEPT))
    return json.dumps(certificate.contents), certificate.statement


@pytest.fixture
def certificate(tmp_path, proved):
    path = tmp_path / "c.json"
    path.write_text(proved[0])
    return path


def with_digest(contents: dict) -> str:
    contents = {k: v for k, v in contents.items() if k != "digest"}
    digest = hashlib.sha256(json.dumps(contents, sort_keys=True).encode()).hexdigest()
    return json.dumps(contents | {"digest": digest})


# === a proof


def test_a_counterexample_is_proved_and_its_certificate_written_beside_it(capsys, found, proved):
    status, out, err = in_process(capsys, "certify", found)
    path = found.parent / "certificate.json"
    assert (status, err) == (0, "")
    assert out == f"proved: a stable equilibrium\n{proved[1]}\nwrote {path}\n"
    assert "So the claim 'several heads, common v'" in proved[1]
    assert sorted(found.parent.iterdir()) == [path, found]
    status, out, err = in_process(capsys, "certify", "--check", path)
    assert (status, out, err) == (0, f"{path} holds\n{proved[1]}\n", "")


def test_the_checker_needs_python_flint_alone(certificate, proved):
    checker = ROOT / "attnflow" / "checker"
    code = (
        f"import runpy, sys; runpy.run_path({str(checker)!r}, run_name='__main__');"
        "print([m for m in ('attnflow', 'jax', 'numpy') if m in sys.modules])"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, certificate], capture_output=True, text=True, check=True
    )
    *output, imported = run.stdout.splitlines()
    assert imported == "[]"
    words = proved[1].split()
    assert " ".join(output).split()[-len(words) :] == words


@pytest.mark.parametrize(
    ("words", "written"),
    [([], "mine-certificate.json"), (["--out", "new/proof.json"], "new/proof.json")],
)
def test_a_certificate_goes_where_it_is_asked_to(
    capsys, monkeypatch, tmp_path, found, words, written
):
    monkeypatch.chdir(tmp_path)
    found.rename("mine.json")
    status, out, _ = in_process(capsys, "certify", "mine.json", *words)
    assert status == 0
    assert out.endswith(f"\nwrote {written}\n")
    assert af.certify.check(written).proved


def test_a_counterexample_to_ones_own_claim_is_proved_with_its_file(capsys, tmp_path, found):
    (tmp_path / "mine.py").write_text(OWN)
    stored = af.search.read_counterexample(found)
    claim = dataclasses.replace(stored.claim, name="mine")
    dataclasses.replace(stored, claim=claim).write(found)
    assert "is about 'mine', no claim of the library" in refused(capsys, "certify", found)
    status, out, _ = in_process(capsys, "certify", found, "--claim", tmp_path / "mine.py")
    assert status == 0
    assert "the claim 'mine'" in " ".join(out.split())
    path = found.parent / "certificate.json"
    assert "give its claim too" in refused(capsys, "certify", "--check", path, status=1)
    words = ("certify", "--check", path, "--claim", tmp_path / "mine.py")
    assert in_process(capsys, *words)[0] == 0


def test_what_is_refuted_is_written_and_ends_with_status_1(capsys, monkeypatch, found):
    field = af.AttentionField(af.Sphere(2), 3 * jnp.eye(2))
    unstable = af.certify.equilibrium(field, jnp.array([[1.0, 0.0], [-1.0, 0.0]]))
    assert unstable.verdict == "refuted"
    monkeypatch.setattr(af.certify, "counterexample", lambda _: unstable)
    status, out, err = in_process(capsys, "certify", found)
    path = found.parent / "certificate.json"
    assert (status, err) == (1, "")
    assert out == f"{unstable}\nwrote {path}\n"
    assert "refuted: the equilibrium there is unstable" in out
    assert in_process(capsys, "certify", "--check", path)[0] == 0


def test_what_is_not_decided_says_why_and_writes_nothing(capsys, found):
    """A conclusion about a rate is not what certificates are about."""
    stored = af.search.read_counterexample(found)
    dataclasses.replace(stored, claim=CLAIMS["4.5, V falls"]).write(found)
    status, out, err = in_process(capsys, "certify", found)
    assert status == 1
    assert out == "not decided: the claim is about a rate, not about a limit\n"
    assert err == f"attnflow: {found}: not decided; no certificate was written\n"
    assert list(found.parent.iterdir()) == [found]


# === the check


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"0.042404', '"0.052404'),  # of the equilibrium
        ('"-2"', '"-3"'),  # of U
        ("1e-24", "1e-25"),  # of the box
        ('"bits": 128', '"bits": 129'),
        ("exponentially stable", "stable"),
    ],
)
def test_a_certificate_with_one_change_is_refused(capsys, certificate, proved, old, new):
    assert old in proved[0]
    certificate.write_text(proved[0].replace(old, new, 1))
    output = refused(capsys, "certify", "--check", certificate, status=1)
    assert re.search(r"/c\.json proves nothing: not shown: .*altered", output)


def changed(contents: dict, part: str) -> dict:
    proof = contents["proof"]
    match part:
        case "words":
            contents["statement"][-1] += " And more."
        case "box":
            proof["radius"] = "1e-60"
        case "tokens":
            proof["tokens"][1][0] = "0.042405"
        case "field":
            contents["case"]["U"][0][0][0] = "3"
        case "stability":
            proof["stable"] = False
        case "hypothesis":
            contents["claim"]["facts"].append("one head")
        case "mask":
            contents["case"]["sees"][0] = [0, 1]
        case "family":
            proof["family"] = "still"
        case "missing":
            del proof["radius"]
        case "number":
            proof["radius"] = "small"
    return contents


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ("words", "proves nothing: not shown: what it says in words"),
        ("box", "proves nothing: not shown: one equilibrium in the box"),
        ("tokens", "proves nothing: not shown: one equilibrium in the box"),
        ("field", "proves nothing: not shown: "),
        ("stability", "proves nothing: not shown: "),
        ("hypothesis", "proves nothing: not shown: the claim's own facts"),
        ("mask", "proves nothing: not shown: "),
        ("family", "proves nothing: not shown: U that add up to zero"),
        (
            "missing",
            "proves nothing: not shown: the proof with its parts and no others: see ['radius']",
        ),
        ("number", "proves nothing: not shown: numbers as decimals in quotes"),
    ],
)
def test_a_change_with_a_digest_to_match_is_not_proved(capsys, certificate, proved, part, words):
    certificate.write_text(with_digest(changed(json.loads(proved[0]), part)))
    assert words in refused(capsys, "certify", "--check", certificate, status=1)


@pytest.mark.parametrize(
    ("kept", "words"),
    [
        (b"claim = None\n", "proves nothing: not shown: a file of JSON"),
        (b"", "proves nothing: not shown: a file of JSON"),
        (10**4 * b"[", "proves nothing: not shown: brackets at most"),
        (KEPT.read_bytes(), "it is of 'attnflow counterexample 1'"),
    ],
    ids=["a program", "nothing", "nesting", "a counterexample"],
)
def test_what_is_no_certificate_does_not_hold(capsys, tmp_path, kept, words):
    (tmp_path / "c.json").write_bytes(kept)
    assert words in refused(capsys, "certify", "--check", tmp_path / "c.json", status=1)


# === bad input


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ([], "give FILE, a counterexample.json that falsify wrote, or --check FILE"),
        (["c.json", "--check", "x"], "--check stands by itself: leave out FILE"),
        (["--check", "x", "--out", "y"], "--check stands by itself: leave out --out"),
        (["absent.json"], "absent.json"),
        (["--check", "absent.json"], "absent.json"),
        (["mine.py"], "mine.py is no counterexample"),
        (["proof.json"], "is of the format 'attnflow certificate 1'"),
        (
            ["--check", "proof.json", "--claim", "several heads"],
            "there is no claim 'several heads'",
        ),
        (["c.json", "--claim", "several heads"], "there is no claim 'several heads'. Did you mean"),
        (["c.json", "--claim", "4.5"], "c.json is about another claim than '4.5'"),
        (["c.json", "--claim", "mine.py:second"], "mine.py has no `second`; it has claim"),
        (["c.json", "--out", "."], "--out must be a file; . is a folder"),
        (["c.json", "--out", "c.json"], "--out must be another file than the counterexample"),
        (["c.json", "--out", "mine.py/proof.json"], "cannot write"),
    ],
)
def test_bad_words_are_refused_in_one_line(capsys, monkeypatch, tmp_path, proved, words, reason):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(OWN)
    (tmp_path / "proof.json").write_text(proved[0])
    shutil.copy(KEPT, tmp_path / "c.json")
    assert reason in refused(capsys, "certify", *words)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["c.json", "mine.py", "proof.json"]


def test_64_bits_turned_off_are_refused(capsys, monkeypatch, x64_off):
    monkeypatch.setenv("JAX_ENABLE_X64", "0")
    assert "unset JAX_ENABLE_X64" in refused(capsys, "certify", KEPT)


@pytest.mark.parametrize("words", [[KEPT], ["--check", KEPT]])
def test_without_python_flint_the_extra_is_named(capsys, monkeypatch, words):
    for name in [m for m in sys.modules if m.startswith("attnflow.certify")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr(af, "certify", raising=False)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    output = refused(capsys, "certify", *words)
    assert "certificates need python-flint" in output
    assert "pip install 'attnflow[certify]'" in output


# === the README


def test_the_readmes_triangle_is_certified():
    (text,) = re.findall(r"```pycon\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    example = doctest.DocTestParser().get_doctest(text, {"af": af, "jax": jax}, "README", None, 0)
    assert len(example.examples) == 4
    assert doctest.DocTestRunner(verbose=False).run(example).failed == 0
