"""Public signatures are typed: every parameter, result and field; `Any` stands only where it is listed."""

import importlib
import inspect
import re
import typing
from collections.abc import Iterator
from pathlib import Path

import diffrax
import numpy as np
import pytest

import attnflow as af


def listed() -> dict[str, str]:
    """Where `Any` stays, each with its reason. This list may only become shorter."""
    lines = (Path(__file__).parent / "any.txt").read_text().splitlines()
    return dict(line.split(" : ") for line in lines if line and line[0] != "#")


def public(room: str) -> Iterator[tuple[str, object]]:
    """What a room's `__init__` imports as itself, or lists, that is attnflow's own."""
    module = importlib.import_module(f"attnflow.{room}")
    text = Path(str(module.__file__)).read_text()
    names = {*re.findall(r"\b(\w+) as \1\b", text), *getattr(module, "__all__", ())}
    for name in sorted(names):
        value = getattr(module, name)
        if str(getattr(value, "__module__", "")).startswith("attnflow"):
            yield f"{room}.{name}", value


def places(name: str, value: object) -> Iterator[tuple[str, object]]:
    """Each place of a signature, or field of a class, that wants a type; and the type, or `empty`."""
    if inspect.isclass(value):
        for field, kind in vars(value).get("__annotations__", {}).items():
            if not field.startswith("_"):
                yield f"{name}.{field}", kind
        for method, member in vars(value).items():
            if not method.startswith("_") or method == "__call__" or _written(value, method):
                yield from _of_function(f"{name}.{method}", member)
    elif callable(value):
        yield from _of_function(name, value)


def _written(cls: type, method: str) -> bool:
    """Whether an `__init__` was written by hand: those of dataclasses have the types of their fields."""
    inner = inspect.unwrap(vars(cls)[method]) if method == "__init__" else None
    code = getattr(inner, "__code__", None)
    return code is not None and "attnflow" in code.co_filename and "<" not in code.co_filename


def _of_function(name: str, member: typing.Any) -> Iterator[tuple[str, object]]:
    if isinstance(member, property):
        member = member.fget
    member = inspect.unwrap(getattr(member, "__func__", member))
    if not inspect.isfunction(member):
        return
    signature = inspect.signature(member)
    for number, parameter in enumerate(signature.parameters.values()):
        if number or parameter.name not in ("self", "cls"):
            yield f"{name}({parameter.name})", parameter.annotation
    if not name.endswith("__init__"):
        yield f"{name} ->", signature.return_annotation


def has_any(kind: object) -> bool:
    """Whether `Any` is somewhere in a type.

    `type[Any]` is any class; what NumPy's own types hold is NumPy's, and the state of a solver is diffrax's.
    """
    if kind is typing.Any:
        return True
    if isinstance(kind, str):
        return re.search(r"\bAny\b", kind) is not None
    origin = typing.get_origin(kind)
    if origin in (np.dtype, np.ndarray, type) or str(getattr(origin, "__module__", "")).startswith(
        "diffrax"
    ):
        return False
    parts = [p for arg in typing.get_args(kind) for p in (arg if isinstance(arg, list) else [arg])]
    return any(has_any(part) for part in parts)


ROOMS = [name for name in af.__all__ if inspect.ismodule(getattr(af, name))]
PLACES = {
    place: kind
    for room in ROOMS
    for name, value in public(room)
    for place, kind in places(name, value)
}


def test_any_is_seen_wherever_it_is_in_a_type():
    seen = [typing.Any, list[typing.Any], "dict[str, Any]", typing.Callable[[typing.Any], int]]
    assert all(has_any(kind) for kind in [*seen, int | list[typing.Any]])
    assert not any(has_any(kind) for kind in [int, "Anything", np.ndarray, np.typing.ArrayLike])
    assert not has_any(diffrax.AbstractSolver[typing.Any] | None)
    assert len(PLACES) > 1500


@pytest.mark.parametrize("room", ROOMS)
def test_every_public_parameter_result_and_field_has_a_type(room):
    own = {place: kind for place, kind in PLACES.items() if place.startswith(f"{room}.")}
    assert [place for place, kind in own.items() if kind is inspect.Parameter.empty] == []


def test_any_stands_only_where_it_is_listed_with_a_reason():
    anywhere = {place for place, kind in PLACES.items() if has_any(kind)}
    assert anywhere - set(listed()) == set(), "give it a type"
    assert set(listed()) - anywhere == set(), "gone: delete these lines from tests/rooms/any.txt"
