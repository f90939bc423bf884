"""Programs with options of XLA: only outermost, and only options that are known."""

import os
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attnflow.core import compiled as room
from attnflow.core.compiled import compiled, outermost
from tests.systems import generator


@pytest.fixture
def fresh():
    room.options.cache_clear()
    yield
    room.options.cache_clear()


def test_options_that_the_compiler_does_not_know_are_left_out_one_by_one(fresh, monkeypatch):
    before = jax.jit

    def refuse(function, compiler_options=None, **settings):
        if "xla_cpu_use_fusion_emitters" in (compiler_options or {}):
            raise RuntimeError("No such compile option")
        return before(function, compiler_options=compiler_options, **settings)

    monkeypatch.setattr(room.jax, "jit", refuse)
    known = {k: v for k, v in room.wanted.items() if k != "xla_cpu_use_fusion_emitters"}
    assert room.options() == known
    assert known["xla_cpu_prefer_vector_width"] == 512


def test_flags_for_other_programs_leave_the_bits_of_ours(fresh, monkeypatch):
    monkeypatch.setitem(room.wanted, "xla_backend_optimization_level", 3)  # as users have it

    def horner(x):  # fused to other roundings by an optimising compiler
        return ((x * x + 1.1) * x + 2.3) * x + 0.7

    x = jnp.asarray(generator("horner").normal(size=(64, 3)))
    ours = compiled(horner)(x)
    named = {"xla_backend_optimization_level": 3, "xla_cpu_use_fusion_emitters": False}
    np.testing.assert_array_equal(ours, jax.jit(horner, compiler_options=room.known(named))(x))
    if "xla_backend_optimization_level=0" in os.environ.get("XLA_FLAGS", ""):
        assert np.any(np.asarray(jax.jit(horner)(x)) != np.asarray(ours))


@pytest.mark.parametrize("axis", [-1, -2])
def test_a_sum_has_the_bits_that_it_has_beside_other_rows(axis):
    """Libraries that XLA may hand sums to add in an order that depends on how many there are."""
    x = generator("sums").normal(size=(128, 50, 30))
    add = compiled(lambda x: jnp.sum(x, axis=axis))
    every = np.asarray(add(x))
    for rows in (1, 2, 16):
        np.testing.assert_array_equal(add(x[:rows]), every[:rows])


def test_other_processors_are_given_no_option_of_a_cpu(fresh, monkeypatch):
    monkeypatch.setattr(room.jax, "default_backend", lambda: "gpu")
    assert room.options() == {}


def test_a_program_runs_inside_every_transformation_of_another():
    traces = []

    @compiled
    def double(x):
        traces.append(1)
        return 2 * jnp.sin(x)

    x = jnp.linspace(0.0, 1.0, 3)
    expected = 2 * np.sin(np.asarray(x))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.allclose(double(x), expected)
        assert np.allclose(jax.jit(double)(x), expected)
        assert np.allclose(jax.jit(lambda: double(x))(), expected)
        assert np.allclose(jax.vmap(double)(x), expected)
        assert np.allclose(jax.lax.map(double, x), expected)
        assert np.allclose(jax.grad(lambda x: double(x).sum())(x), 2 * np.cos(np.asarray(x)))
        assert jax.eval_shape(double, x).shape == (3,)
    count = len(traces)
    double(x + 1)
    assert len(traces) == count
    assert double.cache_size() == 1  # pyright: ignore[reportFunctionMemberAccess]


def test_what_is_traced_is_not_outermost():
    seen = []

    def look(x):
        seen.append(outermost())
        return x

    look(1.0), jax.jit(look)(1.0), jax.vmap(look)(jnp.ones(1))
    assert seen == [True, False, False]
