"""Hostile accounts of searches, which a search would go on from: one line that names the file and the part."""

import copy
import json

import jax.random as jr
import pytest

from attnflow import search
from attnflow.claims._findings import Findings, seed_of

_CLAIM = search.CLAIMS["several heads, own U"]
_SEED = seed_of(jr.key(0))
_CASE = {
    "manifold": {"dim": 2},
    "tokens": {"rows": [[1.0, 0.0], [0.0, 1.0]], "project": True},
    "attention": {"P": [[[1.0, 0.0], [0.0, 1.0]]], "mask": "causal", "scale": 1.0},
}


def _found(**parts):
    plain = {
        "format": "attnflow counterexample 1",
        "claim": {"name": _CLAIM.name, "statement": _CLAIM.statement, "source": _CLAIM.source},
        "case": _CASE,
        "evidence": search.Evidence("open", "because", margin=1.0).plain(),
        "stage": "gradients",
    }
    return plain | parts


@pytest.fixture(scope="module")
def honest(tmp_path_factory):
    """An account that `save` wrote, with counts in it, and a counterexample beside."""
    path = tmp_path_factory.mktemp("search") / "search.json"
    findings = Findings(_CLAIM, _SEED, tries=9, failed=2, best=0.5, units=3, seconds=1.5)
    findings.distribution[3] = 7
    findings.refused["transient"], findings.reasons["transient"] = 2, "it falls"
    findings.save(path)
    return json.loads(path.read_text()) | {"counterexample": _found()}


def _put(name, value):
    return lambda was: json.dumps({**was, name: value})


def _without(name):
    return lambda was: json.dumps({k: v for k, v in was.items() if k != name})


def _bins(value):
    return lambda was: json.dumps({**was, "distribution": [value, *was["distribution"][1:]]})


def _evidence(name, value):
    return _put("counterexample", _found(evidence=_found()["evidence"] | {name: value}))


def _case(**parts):
    return _put("counterexample", _found(case=_CASE | parts))


_FILES = {
    "nothing": (lambda was: "", "not the account"),
    "no text": (lambda was: b"\xff\xfe", "not the account"),
    "a list": (lambda was: "[]", "table"),
    "a number": (lambda was: "3", "table"),
    "nesting": (lambda was: 10**5 * "[", "nested"),
    "20 MB": (lambda was: json.dumps({**was, "x": 2 * 10**7 * "a"}), "bytes"),
    "a key twice": (lambda was: json.dumps(was).replace("{", '{"tries": 1, ', 1), "twice"),
    "digits": (lambda was: json.dumps(was).replace('"tries": 9', '"tries": ' + 5000 * "9"), "digit"),
    "NaN": (_put("best", float("nan")), "finite"),
    "infinite seconds": (_put("seconds", float("inf")), "finite"),
    "a format that is a list": (_put("format", []), "its format is"),
    "a format of controls": (_put("format", "\x1b[2J"), "its format is"),
    "a claim that is a list": (_put("claim", []), "of a search with another"),
    "a statement without end": (_put("statement", 10**5 * "a"), "of a search with another"),
    "sizes of words": (_put("sizes", "x"), "of a search with another"),
    "sizes without end": (_put("sizes", 10**4 * [[2, 2]]), "of a search with another"),
    "another seed": (_put("seed", [1, 2]), "of a search with another"),
    "no tries": (_without("tries"), "'tries'"),
    "no edges": (_without("edges"), "'edges'"),
    "no reasons": (_without("reasons"), "'reasons'"),
    "no counterexample": (_without("counterexample"), "'counterexample'"),
    "tries that are a word": (_put("tries", "many"), "tries"),
    "tries that are true": (_put("tries", True), "tries"),
    "tries of a half": (_put("tries", 9.5), "tries"),
    "tries below zero": (_put("tries", -1), "tries"),
    "tries without end": (_put("tries", 10**30), "tries"),
    "fewer tries than counted": (_put("tries", 8), "tries"),
    "failed that is nothing": (_put("failed", None), "failed"),
    "units that are a list": (_put("units", [1]), "units"),
    "units of 10^30": (_put("units", 10**30), "units"),
    "best that is a word": (_put("best", "all"), "best"),
    "best that is true": (_put("best", True), "best"),
    "seconds that are a word": (_put("seconds", "1"), "seconds"),
    "seconds below zero": (_put("seconds", -1.0), "seconds"),
    "seconds that are nothing": (_put("seconds", None), "seconds"),
    "a distribution that is a number": (_put("distribution", 3), "distribution"),
    "a distribution of one": (_put("distribution", [1]), "distribution"),
    "a distribution of words": (_bins("x"), "distribution"),
    "a distribution of halves": (_bins(0.5), "distribution"),
    "a distribution below zero": (_bins(-1), "distribution"),
    "other edges": (_put("edges", [None, 0, 1]), "edges"),
    "refused that is a list": (_put("refused", []), "refused"),
    "refused of an unknown status": (_put("refused", {"\x1b[2J": 1}), "refused"),
    "refused in words": (_put("refused", {"transient": "x"}), "refused"),
    "refused without a reason": (_put("refused", {"rounding": 1}), "reasons"),
    "reasons that are a list": (_put("reasons", []), "reasons"),
    "a reason that is a number": (_put("reasons", {"transient": 1}), "reasons"),
    "a counterexample that is a list": (_put("counterexample", []), "counterexample"),
    "a counterexample of nothing": (_put("counterexample", {}), "counterexample"),
    "a counterexample to another claim": (
        _put("counterexample", _found(claim={"name": "3.2"})), "counterexample",
    ),
    "a stage that is a number": (_put("counterexample", _found(stage=1)), "stage"),
    "a case that is a word": (_put("counterexample", _found(case="x")), "object"),
    "a case without tokens": (_case(tokens={}), "rows"),
    "a case of 10^9 dimensions": (_case(manifold={"dim": 10**9}), "dim"),
    "a case of words": (_case(tokens={"rows": [["a", "b"], ["c", "d"]]}), "rows"),
    "evidence that is a word": (_put("counterexample", _found(evidence="x")), "evidence"),
    "evidence of an unknown status": (_evidence("status", "proved"), "status"),
    "a margin that is a word": (_evidence("margin", "large"), "margin"),
    "an equilibrium of words": (_evidence("equilibrium", [["a", "b"], ["c", "d"]]), "equilibrium"),
    "an equilibrium of other tokens": (_evidence("equilibrium", [[1.0, 0.0]]), "equilibrium"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "words"), _FILES.values(), ids=_FILES)
def test_a_forged_account_is_refused(refused, tmp_path, honest, change, words):
    path = tmp_path / "search.json"
    data = change(copy.deepcopy(honest))
    path.write_bytes(data if isinstance(data, bytes) else data.encode())

    def load():
        search.falsify(_CLAIM, jr.key(0), 1.0, store=path, progress=False)

    refused(load, words)
    refused(load, "search.json")


def test_the_honest_one_is_read_and_shown(tmp_path, honest):
    path = tmp_path / "search.json"
    path.write_text(json.dumps(honest))
    findings = search.falsify(_CLAIM, jr.key(0), 1.0, store=path, progress=False)
    assert (findings.tries, findings.failed, findings.units, findings.best) == (9, 2, 3, 0.5)
    assert "2 refused as transient" in str(findings)
    assert findings.counterexample is not None
    assert findings.counterexample.evidence.margin == 1.0
