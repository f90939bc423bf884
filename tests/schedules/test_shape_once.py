"""A schedule's shape is found once for all schedules of one kind, and never mixed up between kinds."""

import jax
import jax.numpy as jnp
import pytest

import attnflow as af
from attnflow.schedules import _knowledge


@pytest.fixture(autouse=True)
def _none_known(monkeypatch):
    monkeypatch.setattr(_knowledge, "_SHAPES", {})


def test_the_shape_of_one_kind_of_schedule_is_traced_once(monkeypatch):
    traced = []
    was = jax.eval_shape
    monkeypatch.setattr(jax, "eval_shape", lambda *a: traced.append(a) or was(*a))
    for size in (1.0, 2.0, 3.0):
        assert af.Sinusoid(size * jnp.eye(3), 1.0, 0.0).shape == (3, 3)
    assert len(traced) == 1


def test_schedules_that_differ_in_shape_class_or_function_are_told_apart():
    def of(rows):
        return lambda t: jnp.zeros((rows, rows)) + t

    assert af.Sinusoid(jnp.eye(3), 1.0, 0.0).shape == (3, 3)
    assert af.Sinusoid(jnp.ones((2, 3, 3)), 1.0, 0.0).shape == (2, 3, 3)
    assert af.Constant(jnp.eye(3)).shape == (3, 3)
    assert af.Function(of(4)).shape == (4, 4)
    assert af.Function(of(5)).shape == (5, 5)


def test_no_more_shapes_are_kept_than_said(monkeypatch):
    monkeypatch.setattr(_knowledge, "_MOST_SHAPES", 4)
    for dim in range(2, 12):
        assert af.Constant(jnp.eye(dim)).shape == (dim, dim)
        assert len(_knowledge._SHAPES) <= 4


def test_inside_a_vmap_the_shape_is_that_of_one_lane():
    many = jax.vmap(af.Constant)(jnp.ones((5, 3, 3)))
    assert many.shape == (5, 3, 3)
    seen = []
    jax.vmap(lambda s: seen.append(s.shape) or s(0.0))(many)
    assert seen == [(3, 3)]


def test_the_frequency_is_the_same_number_with_and_without_values_known():
    schedule = af.Sinusoid(jnp.eye(3), 1.7, 0.0, rectified=True)
    assert float(schedule.frequency) == pytest.approx(2 * 1.7 / (2 * jnp.pi), rel=1e-6)
    assert float(jax.jit(lambda s: s.frequency)(schedule)) == pytest.approx(
        float(schedule.frequency), rel=1e-6
    )
