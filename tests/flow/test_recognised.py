"""A lambda written anew is compiled once; one that does something else is never taken for it."""

import functools
import math
import types
import warnings

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import attnflow as af
from attnflow.core.recognised import recognised


@pytest.fixture(scope="module")
def field():
    return af.AttentionField(af.Sphere(3), P=jnp.eye(3), mask="causal")


@pytest.fixture(scope="module")
def y0():
    return af.Sphere(3).random(jr.key(0), (8,))


def _count(y):
    _count.traces += 1
    return jnp.sum(y[:, 0])


_count.traces = 0


def test_a_lambda_of_the_same_line_is_traced_once(field, y0):
    def traces(shift):
        before = _count.traces

        def made(y):
            return _count(y) + shift

        value = af.simulate(field, y0, t1=0.5, observe=made).ys[0]
        return _count.traces - before, float(value)

    traces(1.0)
    repeated = [traces(1.0) for _ in range(3)]
    assert [n for n, _ in repeated] == [0, 0, 0]
    n, other = traces(4.0)
    assert n > 0, "another number in the closure is another function"
    assert other == pytest.approx(repeated[0][1] + 3.0, abs=1e-12)


def test_arrays_in_a_closure_are_compared_by_value(field, y0):
    def value(row):
        return float(af.simulate(field, y0, t1=0.5, observe=lambda y: jnp.sum(y @ row)).ys[0])

    rows = [np.array([1.0, 0.0, 0.0]), np.array([0.0, 1.0, 0.0])]
    y = af.simulate(field, y0, t1=0.5).y1
    for row in (*rows, *map(jnp.asarray, rows)):
        assert value(row) == pytest.approx(float(jnp.sum(y @ row)), abs=1e-12)
    held = rows[0].copy()
    first = value(held)
    held[:] = rows[1]
    assert value(held) == pytest.approx(value(rows[1]), abs=0) != first


def _fresh(source, **names):
    """A function made anew from its source, as a notebook's cell run again makes it."""
    space = {"jnp": jnp, "np": np, "math": math, **names}
    exec(source, space)
    return space["f"]


def _closed(value):
    return lambda y: jnp.sum(y) * value


def _nested(value):
    def inner(y):
        return jnp.sum(y) * value

    return lambda y: inner(y)


def _defaults(value):
    return lambda y, c=value: jnp.sum(y) * c


def _partial(value):
    return functools.partial(lambda c, y: jnp.sum(y) * c, value)


def _holder(value):
    return _closed(types.SimpleNamespace(x=value))


def _listed(value):
    return _closed([value])


def _keyed(value):
    return _closed({"c": value})


def _jitted(value):
    inner = jax.jit(lambda y: jnp.sum(y) * value)
    return lambda y: inner(y)


EQUAL = (_closed, _nested, _defaults, _partial, _listed, _keyed, _jitted)
VALUES = (0.0, -0.0, 1, 1.0, True, "1", (1,), (1.0,), np.float32(1), np.float64(1))


@pytest.mark.parametrize("make", EQUAL, ids=lambda f: f.__name__)
def test_functions_that_hold_equal_things_are_one(make):
    assert recognised(make(1.25)) is recognised(make(1.25))
    assert recognised(make(1.25)) is not recognised(make(1.5))


@pytest.mark.parametrize("make", [_closed, _nested, _defaults, _listed, _keyed])
def test_values_that_only_look_alike_are_told_apart(make):
    made = [recognised(make(v)) for v in VALUES]
    assert len({id(f) for f in made}) == len(VALUES)


def test_another_text_is_another_function():
    a = _fresh("f = lambda y: jnp.sum(y)")
    b = _fresh("f = lambda y: jnp.max(y)")
    assert recognised(a) is not recognised(b)


def test_a_global_name_that_changed_makes_another_function():
    space = {"jnp": jnp, "c": 1.0}

    def make():
        return eval("lambda y: jnp.sum(y) * c", space)

    first = recognised(make())
    assert recognised(make()) is first
    space["c"] = 2.0
    assert recognised(make()) is not first


def test_a_global_that_a_helper_reads_counts_too():
    space = {"jnp": jnp, "c": 1.0}
    exec("def helper(y):\n    return jnp.sum(y) * c", space)

    def make():
        return eval("lambda y: helper(y)", space)

    first = recognised(make())
    space["c"] = 2.0
    assert recognised(make()) is not first


def test_an_attribute_of_ones_own_module_counts_too():
    settings = types.ModuleType("my_settings")
    settings.c = 1.0
    space = {"jnp": jnp, "settings": settings}

    def make():
        return eval("lambda y: jnp.sum(y) * settings.c", space)

    first = recognised(make())
    assert recognised(make()) is first
    settings.c = 2.0
    assert recognised(make()) is not first


def test_a_remembered_function_whose_list_changed_is_not_taken():
    held = [7.25]
    first = recognised(_closed(held))
    held[0] = 2.0
    second = recognised(_closed([7.25]))
    assert second is not first


def test_what_cannot_be_compared_stands_for_itself_and_is_told_once():
    make = _holder
    first = make(1.0)
    assert recognised(first) is first
    with pytest.warns(UserWarning, match="'value' .SimpleNamespace.*outside the loop"):
        second = recognised(make(1.0))
    assert second is not first
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert recognised(make(1.0)) is not second


def test_a_traced_value_in_a_closure_is_never_remembered(field, y0):
    @jax.jit
    def value(c):
        return af.simulate(field, y0, t1=0.5, observe=lambda y: jnp.sum(y) * c).ys[0]

    assert float(value(2.0)) == pytest.approx(2 * float(value(1.0)), rel=1e-14)


def test_samplers_and_drifts_written_anew_are_compiled_once(field, y0):
    def run(shift):
        def sampler(key):
            return (_count(y0), af.Sphere(3).random(key, (8,)))[1]

        def drift(y):
            return 0.1 * shift * jnp.ones_like(y)

        moved = af.AttentionField(af.Sphere(3), P=jnp.eye(3), mask="causal", drift=drift)
        before = _count.traces
        af.ensemble.run(moved, sampler, number=4, key=jr.key(1), t1=0.5, progress=False)
        return _count.traces - before

    anew = run(1.0)
    assert run(1.0) < anew, "shapes are looked at anew, nothing is compiled"
    assert run(2.0) == anew
