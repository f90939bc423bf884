"""Counterexamples as files: what is written is verified from scratch, what was altered is refused."""

import copy
import dataclasses
import json
from pathlib import Path

import jax.numpy as jnp
import jax.random as jr
import pytest

import attnflow as af
from attnflow import search
from attnflow.claims._counterexample import _digest

CLAIM = search.CLAIMS["symmetric U, causal, no hemisphere"]


@pytest.fixture(scope="module")
def found():
    """Two causal tokens that U = diag(1, -1) takes to e_1 and -e_1."""
    U = jnp.diag(jnp.array([1.0, -1.0]))
    field = af.AttentionField(af.Sphere(2), P=jnp.zeros((2, 2)), U=U, mask="causal", scale=1.0)
    y0 = af.Sphere(2).project(jnp.array([[0.8, 0.7], [-1.0, 0.1]]))
    evidence = search.verify(CLAIM, field, y0, key=jr.key(0))
    assert evidence.status == "open"
    case = search.case_of(field, y0, title=CLAIM.statement, t1=evidence.time)
    return search.Counterexample(CLAIM, case, evidence, "by hand")


@pytest.fixture
def file(found, tmp_path):
    path = tmp_path / "counterexample.json"
    found.write(path)
    return path


def test_a_file_says_what_it_breaks_and_is_verified_from_scratch(found, file):
    contents = json.loads(file.read_text())
    assert contents["claim"]["statement"] == CLAIM.statement
    assert contents["evidence"]["status"] == "open"
    assert contents["provenance"]["versions"]["attnflow"] == af.__version__
    checked = search.check_counterexample(file)
    assert checked.evidence.status == "open"
    assert checked.evidence.margin == pytest.approx(1.0)
    assert "2.0" not in str(checked)
    assert str(checked).splitlines()[:3] == str(found).splitlines()[:3]


def numbers(tree, path=()):
    """Where the numbers of a JSON tree are."""
    if isinstance(tree, dict):
        for name, value in tree.items():
            yield from numbers(value, (*path, name))
    elif isinstance(tree, list):
        for i, value in enumerate(tree):
            yield from numbers(value, (*path, i))
    elif isinstance(tree, int | float) and not isinstance(tree, bool):
        yield path


def put(tree, path, value):
    for step in path[:-1]:
        tree = tree[step]
    old, tree[path[-1]] = tree[path[-1]], value
    return old


def test_any_digit_that_is_altered_is_noticed(file, tmp_path):
    contents = json.loads(file.read_text())
    places = [p for p in numbers(contents) if p[0] in ("case", "evidence")]
    assert len(places) > 20
    for path in places:
        altered = copy.deepcopy(contents)
        old = put(altered, path, 0)
        put(altered, path, old + max(abs(old), 1) * 1e-15)
        if altered == contents:
            put(altered, path, old + 1)
        other = tmp_path / "altered.json"
        other.write_text(json.dumps(altered))
        with pytest.raises(ValueError, match="altered after it was written"):
            search.check_counterexample(other)


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        (("case", "attention", "U", 0, 0), -2.0, "outside the domain"),
        (("case", "attention", "mask"), "full", "outside the domain"),
        (("case", "tokens", "rows", 1, 0), 1.0, "'transient'"),
        (("case", "attention", "U", 1, 1), -1.01, "after"),
        (("case", "attention", "U", 0, 0), 1 + 1e-8, "after"),
        (("case", "attention", "P", 0, 1), 1e-8, "after"),
        (("evidence", "after", 1, 0), 0.5, "after"),
        (("evidence", "margin"), 0.9, "margin"),
        (("evidence", "rightmost"), -0.51, "rightmost"),
        (("evidence", "equilibrium", 0, 0), 0.99, "equilibrium"),
        (("evidence", "status"), "no rest", "'no rest'"),
        (("claim", "statement"), "All tokens are equal.", "another claim"),
        (("claim", "name"), "3.2", "another claim"),
        (("claim", "name"), "riemann", "about 'riemann', no claim of the library"),
        (("case", "attention", "P"), "high", "cannot be read"),
        (("evidence", "margin"), None, "margin"),
        (("evidence", "status"), 1, "cannot be read: evidence must have the parts"),
        (("case",), {}, "cannot be read"),
        (("stage",), None, "stage"),
    ],
)
def test_a_forged_digest_does_not_help(file, tmp_path, path, value, says):
    contents = json.loads(file.read_text())
    contents.pop("digest")
    put(contents, path, value)
    contents["digest"] = _digest(contents)
    other = tmp_path / "forged.json"
    other.write_text(json.dumps(contents))
    with pytest.raises(ValueError, match=says):
        search.check_counterexample(other)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"digest": ""}', "\x00"])
def test_other_files_are_refused(tmp_path, text):
    path = tmp_path / "other.json"
    path.write_text(text)
    with pytest.raises(ValueError, match="is no counterexample"):
        search.check_counterexample(path)
    with pytest.raises(OSError, match="nowhere"):
        search.check_counterexample(tmp_path / "nowhere.json")


def test_another_format_is_refused(file, tmp_path):
    contents = json.loads(file.read_text()) | {"format": "attnflow counterexample 9"}
    other = tmp_path / "other.json"
    other.write_text(json.dumps(contents))
    with pytest.raises(ValueError, match="is of the format 'attnflow counterexample 9'"):
        search.check_counterexample(other)


def test_a_claim_of_ones_own_is_checked_when_it_is_given(found, tmp_path):
    own = dataclasses.replace(CLAIM, name="mine", statement="Mine.")
    path = tmp_path / "mine.json"
    search.Counterexample(own, found.case, found.evidence).write(path)
    with pytest.raises(ValueError, match="about 'mine', no claim of the library"):
        search.check_counterexample(path)
    assert search.check_counterexample(path, claim=own).claim.name == "mine"
    with pytest.raises(ValueError, match="another claim"):
        search.check_counterexample(path, claim=CLAIM)


KEPT = sorted((Path(__file__).parents[2] / "benchmarks/results/counterexamples").glob("*.json"))


@pytest.mark.slow
@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.stem)
def test_the_counterexamples_that_are_kept_hold(path):
    assert search.check_counterexample(path).evidence.breaks


def test_three_extensions_to_several_heads_have_a_counterexample_that_is_kept():
    heads = [path.stem for path in KEPT if path.stem.startswith("several-heads")]
    assert heads == [
        "several-heads-common-v",
        "several-heads-own-U",
        "several-heads-own-positive-U",
    ]
