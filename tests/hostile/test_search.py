"""Hostile input on the functions of search: one line that names the argument, before anything is compiled."""

import jax.random as jr
import numpy as np
import pytest

import attnflow as af
from attnflow import search
from tests.hostile._wrong import wrong_but

_FIELD = af.AttentionField(af.Sphere(3), P=np.eye(3))
_Y = af.Sphere(3).random(jr.key(0), (4,))
_KEY, _CLAIM = jr.key(0), search.CLAIMS["no hemisphere"]
_EVIDENCE = search.Evidence("open", "because")


def _optimise(**given):
    known = {"schedule": lambda key: jr.normal(key, (3, 3)), "field": _FIELD, "starts": _Y}
    known |= {"t1": 0.5, "objective": search.Final(), "key": _KEY, "steps": 1, "progress": False}
    known |= given
    return search.optimise(known.pop("objective"), known.pop("schedule"), **known)


_WRONG = wrong_but("infinite", "an integer beyond 64 bits")
_ARGUMENTS = {
    "falsify claim": (lambda x: search.falsify([x], _KEY, progress=False), "`claim`"),
    "falsify key": (lambda x: search.falsify("3.2", x, progress=False), "`key`"),
    "falsify budget": (lambda x: search.falsify("3.2", _KEY, x, progress=False), "`budget`"),
    "objective": (lambda x: _optimise(objective=x), "`objective`"),
    "field": (lambda x: _optimise(field=x), "`field`"),
    "starts": (lambda x: _optimise(starts=x), "`starts`"),
    "t1": (lambda x: _optimise(t1=x), "`t1`"),
    "schedule": (lambda x: _optimise(schedule=x), "`schedule`"),
    "schedule of a key": (lambda x: _optimise(schedule=lambda key: x), "`schedule`"),
    "schedule by name": (lambda x: _optimise(schedule={"P": x}), "`schedule`"),
    "bounds": (lambda x: _optimise(bounds=x), "`bounds`"),
    "bounds and norm": (lambda x: _optimise(bounds=(1.0, x)), "`bounds`"),
    "trainable": (lambda x: _optimise(trainable=x), "`trainable`"),
    "number": (lambda x: _optimise(starts=lambda key: _Y[None], number=x), "`number`"),
    "number of given starts": (lambda x: _optimise(number=x), "`number`"),
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
    "verify claim": (lambda x: search.verify(x, _FIELD, _Y, key=_KEY), "`claim`"),
    "verify field": (lambda x: search.verify(_CLAIM, x, _Y, key=_KEY), "`field`"),
    "verify y0": (lambda x: search.verify(_CLAIM, _FIELD, x, key=_KEY), "`y0`"),
    "verify key": (lambda x: search.verify(_CLAIM, _FIELD, _Y, key=x), "`key`"),
    "verify horizon": (
        lambda x: search.verify(_CLAIM, _FIELD, _Y, key=_KEY, horizon=x),
        "`horizon`",
    ),
    "verify_null claim": (lambda x: search.verify_null(x, _FIELD, _Y), "`claim`"),
    "verify_null y0": (lambda x: search.verify_null(_CLAIM, _FIELD, x), "`y0`"),
    "shrink claim": (lambda x: search.shrink(x, _FIELD, _Y, _EVIDENCE, key=_KEY), "`claim`"),
    "shrink evidence": (lambda x: search.shrink(_CLAIM, _FIELD, _Y, x, key=_KEY), "`evidence`"),
    "read claim": (lambda x: search.read_counterexample("nowhere", claim=x), "`claim`"),
    "evaluate optimised": (lambda x: search.evaluate(x, _Y), "`optimised`"),
    "baselines optimised": (lambda x: search.baselines(x, _KEY), "`optimised`"),
    "best_constant optimised": (lambda x: search.best_constant(x, _KEY), "`optimised`"),
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


_NONE = {
    "no schedule": (lambda: _optimise(schedule=None), "`schedule`"),
    "a schedule of True": (lambda: _optimise(schedule=np.ones((3, 3), bool)), "`schedule`"),
    "a schedule of another dimension": (lambda: _optimise(schedule=np.ones((2, 2))), "`"),
    "a schedule by no name": (lambda: _optimise(schedule={}), "`schedule`"),
    "a schedule of another name": (lambda: _optimise(schedule={"Q": np.eye(3)}), "`schedule`"),
    "bounds of zero": (lambda: _optimise(bounds=0.0), "`bounds`"),
    "bounds below zero": (lambda: _optimise(bounds=-1.0), "`bounds`"),
    "bounds without end": (lambda: _optimise(bounds=float("inf")), "`bounds`"),
    "bounds that are True": (lambda: _optimise(bounds=True), "`bounds`"),
    "bounds of many": (lambda: _optimise(bounds=[1.0, 2.0, 3.0]), "`bounds`"),
    "bounds by no name": (lambda: _optimise(bounds={"P": 1.0}), "`bounds`"),
    "nothing that is free": (lambda: _optimise(trainable=lambda leaf: False), "`trainable`"),
    "all that is free": (lambda: _optimise(trainable=True), "`trainable`"),
    "no start": (lambda: _optimise(starts=lambda key: _Y[None], number=0), "`number`"),
    "starts without end": (
        lambda: _optimise(starts=lambda key: _Y[None], number=10**30),
        "`number`",
    ),
    "starts nobody counts": (lambda: _optimise(starts=lambda key: _Y[None]), "`number`"),
}


@pytest.mark.parametrize(("call", "words"), _NONE.values(), ids=_NONE)
def test_what_cannot_be_searched_over_is_refused(refused, call, words):
    refused(call, words)


_SIZES = {
    "steps": lambda n: _optimise(steps=n),
    "restarts": lambda n: _optimise(restarts=n),
    "chunk": lambda n: _optimise(chunk=n),
    "patience": lambda n: _optimise(patience=n),
    "number": lambda n: _optimise(starts=lambda key: _Y[None], number=n),
    "population": lambda n: search.Evolution(population=n),
}


@pytest.mark.parametrize("size", [10**9, 10**18])
@pytest.mark.parametrize("name", _SIZES)
def test_a_size_that_never_ends_is_refused_at_once(refused, name, size):
    refused(lambda: _SIZES[name](size), f"`{name}` must be")
    refused(lambda: _SIZES[name](size), f"got {size}")


_BRIEF = """
[manifold]
dim = 3
[tokens]
count = 4
[attention]
mask = "causal"
[time]
t1 = 8.0
[search]
steps = 7
[search.P]
family = "piecewise"
pieces = 4
"""


@pytest.mark.parametrize("size", [10**9, 10**18])
@pytest.mark.parametrize("line", ["steps = 7", "pieces = 4", "count = 4", "dim = 3"])
def test_a_brief_of_such_a_size_is_refused(refused, tmp_path, line, size):
    path = tmp_path / "brief.toml"
    name = line.split(" ")[0]
    path.write_text(_BRIEF)
    search.Brief.read(path)
    path.write_text(_BRIEF.replace(line, f"{name} = {size}"))
    refused(lambda: search.Brief.read(path).starts(), name)
