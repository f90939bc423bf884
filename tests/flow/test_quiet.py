"""What diffrax traces for attnflow: each step once, no chain of roundings, and the same numbers either way."""

import diffrax
import equinox.internal as eqxi
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import attnflow as af
from attnflow.flow import _quiet
from tests.systems import generator

SPHERE = af.Sphere(3)
Y0 = SPHERE.random(jr.key(0), (4,))
FIELD = af.AttentionField(SPHERE, P=jnp.eye(3))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_hundred_roundings_down_are_found_at_once(dtype):
    info, random = np.finfo(dtype), generator("roundings")
    powers = 10.0 ** random.integers(-30, 30, size=300)
    special = [0, -0.0, 1, 1 + info.eps, -1, 0.125, 20, info.tiny, -info.tiny, 3 * info.tiny]
    special += [info.max, info.min, np.inf, -np.inf, np.nan]
    x = np.concatenate([special, random.normal(size=300) * powers]).astype(dtype)
    step = jax.jit(eqxi.prevbefore)
    expected = jnp.asarray(x)
    for _ in range(100):
        expected = step(expected)
    np.testing.assert_array_equal(jax.jit(_quiet.hundred_before)(x), expected)


def test_a_program_traces_its_step_once_and_rounds_no_time_a_hundred_times(monkeypatch):
    steps, inner = [], af.ProjectedSolver.step

    def step(self, *args):
        steps.append(self)
        return inner(self, *args)

    monkeypatch.setattr(af.ProjectedSolver, "step", step)
    # With a drift that no other test has, or it would be known already.
    field = af.AttentionField(SPHERE, P=jnp.eye(3), drift=lambda t, y: jnp.sin(3 * t) * y)
    program = jax.jit(lambda y: af.simulate(field, y, t1=1.0).y1).trace(Y0)
    assert len(steps) == 1
    assert "nextafter" not in str(program.jaxpr)
    # Elsewhere than in programs of this library diffrax is what it was.
    assert "nextafter" in str(jax.make_jaxpr(_with_diffrax)(Y0))


def _with_diffrax(y0):
    return diffrax.diffeqsolve(
        diffrax.ODETerm(lambda t, y, args: -y), diffrax.Euler(), 0.0, 1.0, 0.1, y0
    ).ys


def test_a_module_that_is_built_otherwise_keeps_its_own(tmp_path, monkeypatch):
    (tmp_path / "other_loop.py").write_text("def loop(t, eqxi):\n    return eqxi.prevbefore(t)\n")
    monkeypatch.syspath_prepend(tmp_path)
    import other_loop  # pyright: ignore[reportMissingImports]

    by_hundreds = _quiet._goes_by_hundreds(other_loop)
    assert not by_hundreds
    assert _quiet._goes_by_hundreds(diffrax._integrate)
    with _quiet.without_callbacks():
        internal = _quiet._Internal(eqxi, by_hundreds)
        once = other_loop.loop(jnp.asarray(1.0), internal)
    assert once == np.nextafter(1.0, 0.0)


def test_a_run_by_hand_is_that_inside_a_program_of_ones_own_to_the_bit():
    """The one is not differentiated and loops plainly, the other keeps checkpoints."""
    options = {"t1": 2.0, "ts": jnp.array([0.5, 1.0, 2.0]), "event": lambda y: y[0] @ y[1] - 0.99}
    alone = af.simulate(FIELD, Y0, **options)
    inside = jax.jit(lambda y: af.simulate(FIELD, y, **options))(Y0)
    named = af.simulate(FIELD, Y0, adjoint=diffrax.RecursiveCheckpointAdjoint(), **options)
    for other in (inside, named):
        np.testing.assert_array_equal(alone.ys, other.ys)
        np.testing.assert_array_equal(alone.y1, other.y1)
        assert alone.stats["num_steps"] == other.stats["num_steps"]


def test_a_step_that_is_traced_once_sees_the_traced_numbers_that_a_drift_closes_over():
    def end(c):
        field = af.AttentionField(SPHERE, P=jnp.eye(3), drift=lambda t, y: c * jnp.roll(y, 1, -1))
        return af.simulate(field, Y0, t1=1.0, adjoint=diffrax.ForwardMode()).y1

    many = jax.jit(jax.vmap(lambda c: jax.jvp(end, (c,), (jnp.ones_like(c),))))
    ends, slopes = many(jnp.array([0.3, 0.3 + 1e-4, 0.3 + 2e-4]))
    quotient = (ends[2] - ends[0]) / 2e-4
    np.testing.assert_allclose(slopes[1], quotient, atol=1e-7)
    assert jnp.abs(quotient).max() > 0.1
