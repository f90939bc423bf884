"""Signatures of the package are checked in tests: types, shapes, axes of one name, results, fields of records."""

import importlib
import sys
from collections.abc import Iterator

import jax.numpy as jnp
import pytest
from jaxtyping import TypeCheckError as WrongType

import attnflow as af
from attnflow.core.arguments import whole
from attnflow.theorems import Prediction

SOURCE = """
from dataclasses import dataclass
from jaxtyping import Array, Float

def number(x: float) -> int:
    return x

def outer():
    def inner(word: str) -> str:
        return word
    return inner

@dataclass
class Record:
    name: str
    rows: Float[Array, "tokens dim"]

class Thing:
    @property
    def size(self) -> int:
        return "large"

    @staticmethod
    def said(word: str) -> str:
        return word
"""


@pytest.fixture
def module(tmp_path, monkeypatch) -> Iterator[object]:
    """One that is imported as the package's are."""
    (tmp_path / "some.py").write_text(SOURCE)
    monkeypatch.setattr(af, "__path__", [*af.__path__, str(tmp_path)])
    yield importlib.import_module("attnflow.some")
    del sys.modules["attnflow.some"]


def test_types_and_shapes_of_arguments_and_results_are_checked(module):
    assert module.number(3) == 3  # an int is accepted where a float is asked for
    for call in (
        lambda: module.number("3"),
        lambda: module.number(3.5),
        lambda: module.outer()(3),
        lambda: module.Thing().size,
        lambda: module.Thing.said(3),
    ):
        with pytest.raises(WrongType):
            call()
    rows = jnp.ones((2, 3))
    assert module.Record("a", rows).rows is rows
    for wrong in ((3, rows), ("a", rows[0])):
        with pytest.raises(WrongType):
            module.Record(*wrong)


def test_those_of_the_package_are():
    with pytest.raises(WrongType):
        whole(3, 3)
    with pytest.raises(WrongType):
        Prediction(3)
    with pytest.raises(WrongType):
        af.misalignment(jnp.ones(3))
    with pytest.raises(WrongType):  # as many weights as tokens
        af.misalignment(jnp.ones((2, 3)), weights=jnp.ones(3))


def test_as_user_nothing_is(as_user, module):
    assert module.number("3") == "3"
    assert module.outer()(3) == 3
    assert module.Record(3, 3).rows == 3
