"""Hostile input on the functions of search: one line that names the argument, before anything is compiled."""

import jax.random as jr
import numpy as np
import pytest

import attnflow as af
from attnflow import search

_FIELD = af.AttentionField(af.Sphere(3), P=np.eye(3))
_Y = af.Sphere(3).random(jr.key(0), (4,))
_KEY, _CLAIM = jr.key(0), search.CLAIMS["no hemisphere"]
_EVIDENCE = search.Evidence("open", "because")


def _optimise(**given):
    known = {"schedule": lambda key: jr.normal(key, (3, 3)), "field": _FIELD, "starts": _Y}
    known |= {"t1": 0.5, "objective": search.Final(), "key": _KEY, "steps": 1, "progress": False}
    known |= given
    return search.optimise(known.pop("objective"), known.pop("schedule"), **known)


_WRONG = {
    "a word": "x",
    "a dictionary": {},
    "objects": np.array([object()], dtype=object),
    "mixed": [1, "word"],
    "NaN": float("nan"),
}
_ARGUMENTS = {
    "falsify claim": (lambda x: search.falsify([x], _KEY, progress=False), "`claim`"),
    "falsify key": (lambda x: search.falsify("3.2", x, progress=False), "`key`"),
    "falsify budget": (lambda x: search.falsify("3.2", _KEY, x, progress=False), "`budget`"),
    "objective": (lambda x: _optimise(objective=x), "`objective`"),
    "field": (lambda x: _optimise(field=x), "`field`"),
    "starts": (lambda x: _optimise(starts=x), "`starts`"),
    "t1": (lambda x: _optimise(t1=x), "`t1`"),
    "key": (lambda x: _optimise(key=x), "`key`"),
    "goal": (lambda x: _optimise(goal=x), "`goal`"),
    "optimiser": (lambda x: _optimise(optimiser=x), "`optimiser`"),
    "rate": (lambda x: _optimise(rate=x), "`rate`"),
    "steps": (lambda x: _optimise(steps=x), "`steps`"),
    "risk": (lambda x: _optimise(risk=x), "`risk`"),
    "restarts": (lambda x: _optimise(restarts=x), "`restarts`"),
    "chunk": (lambda x: _optimise(chunk=x), "`chunk`"),
    "patience": (lambda x: _optimise(patience=x), "`patience`"),
    "progress": (lambda x: _optimise(progress=x), "`progress`"),
    "report": (lambda x: _optimise(report=x), "`report`"),
    "case_of field": (lambda x: search.case_of(x, _Y), "`field`"),
    "case_of y0": (lambda x: search.case_of(_FIELD, x), "`y0`"),
    "case_of t1": (lambda x: search.case_of(_FIELD, _Y, t1=x), "`t1`"),
    "earn claim": (lambda x: search.earn(x, _FIELD, _Y, key=_KEY), "`claim`"),
    "earn field": (lambda x: search.earn(_CLAIM, x, _Y, key=_KEY), "`field`"),
    "earn y0": (lambda x: search.earn(_CLAIM, _FIELD, x, key=_KEY), "`y0`"),
    "earn key": (lambda x: search.earn(_CLAIM, _FIELD, _Y, key=x), "`key`"),
    "earn horizon": (lambda x: search.earn(_CLAIM, _FIELD, _Y, key=_KEY, horizon=x), "`horizon`"),
    "earn_null claim": (lambda x: search.earn_null(x, _FIELD, _Y), "`claim`"),
    "earn_null y0": (lambda x: search.earn_null(_CLAIM, _FIELD, x), "`y0`"),
    "shrink claim": (lambda x: search.shrink(x, _FIELD, _Y, _EVIDENCE, key=_KEY), "`claim`"),
    "shrink evidence": (lambda x: search.shrink(_CLAIM, _FIELD, _Y, x, key=_KEY), "`evidence`"),
    "read claim": (lambda x: search.read("nowhere", claim=x), "`claim`"),
    "standing found": (lambda x: search.standing(x, _Y), "`found`"),
    "baselines found": (lambda x: search.baselines(x, _KEY), "`found`"),
    "best_constant found": (lambda x: search.best_constant(x, _KEY), "`found`"),
    "fraction": (lambda x: search.CVaR(x), "`fraction`"),
    "threshold": (lambda x: search.ConsensusTime(x), "`threshold`"),
    "log of a time": (lambda x: search.ConsensusTime(0.1, log=x), "`log`"),
    "log": (lambda x: search.Final(log=x), "`log`"),
    "points": (lambda x: search.Integral(points=x), "`points`"),
    "function": (lambda x: search.OfRun(x), "`function`"),
    "sigma": (lambda x: search.Evolution(x), "`sigma`"),
    "population": (lambda x: search.Evolution(population=x), "`population`"),
}


@pytest.mark.parametrize("value", _WRONG.values(), ids=_WRONG)
@pytest.mark.parametrize(("call", "words"), _ARGUMENTS.values(), ids=_ARGUMENTS)
def test_an_argument_of_a_wrong_kind_is_named(refused, call, words, value):
    refused(lambda: call(value), words)
