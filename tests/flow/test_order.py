"""Projection costs no order: constant steps, at the end and through dense output."""

import diffrax
import jax.numpy as jnp
import numpy as np
import pytest

import attnflow as af
from tests.systems import Oracle, dop853, generator, random_rows, random_spd

T1 = 2.0
# The end, and times everywhere within steps, so that the largest error between does not depend on
# where in a step a time falls.
TS = np.append(np.linspace(0.0123, 1.987, 97), T1)

# order at the end, order between steps (of the solver's own interpolant, where that is lower: the
# one diffrax has for Dopri8 is a polynomial of degree 6, of order 5), numbers of steps
SOLVERS = {
    "Euler": (diffrax.Euler, 1, 1, (40, 80)),
    "Heun": (diffrax.Heun, 2, 2, (20, 40)),
    "Bosh3": (diffrax.Bosh3, 3, 3, (20, 40)),
    "Tsit5": (diffrax.Tsit5, 5, 4, (10, 20)),
    "Dopri5": (diffrax.Dopri5, 5, 4, (10, 20)),
    "Dopri8": (diffrax.Dopri8, 8, 5, (5, 6)),
}


def case(kind):
    rng = generator("order", kind)
    W = np.eye(3) if kind == "sphere" else random_spd(rng, 3)
    oracle = Oracle(
        W=W,
        P=0.6 * rng.normal(size=(2, 3, 3)),
        U=0.6 * rng.normal(size=(2, 3, 3)),
        allowed=np.tri(8, dtype=bool),
    )
    return oracle, random_rows(rng, 8, W)


def run(oracle, y0, solver, steps):
    # An Ellipsoid also for the sphere, so that the two are one compiled run; not reduced, so that
    # the projection is the one of the ellipsoid.
    field = af.AttentionField(
        af.Ellipsoid(jnp.asarray(oracle.W)),
        jnp.asarray(oracle.P),
        U=jnp.asarray(oracle.U),
        mask="causal",
    )
    return af.simulate(
        field,
        jnp.asarray(y0),
        t1=T1,
        ts=jnp.asarray(TS),
        solver=solver,
        controller=diffrax.ConstantStepSize(),
        dt0=T1 / steps,
        reduce=False,
    )


def slopes(errors, steps):
    return np.diff(np.log(errors)) / -np.diff(np.log(steps))


@pytest.mark.slow
@pytest.mark.parametrize("name", SOLVERS)
def test_order_of_convergence_of_projected_solvers(name):
    make, order, dense_order, steps = SOLVERS[name]
    for kind in ("sphere", "ellipsoid"):
        oracle, y0 = case(kind)
        expected = dop853(oracle.velocity, y0, TS, rtol=1e-13, atol=1e-14)
        errors = []
        for n in steps:
            sol = run(oracle, y0, make(), n)
            assert int(sol.stats["num_steps"]) == n
            ys = np.asarray(sol.ys)
            assert np.abs(oracle.norm(ys) - 1).max() < 1e-14
            errors.append(np.abs(ys - expected).max(axis=(1, 2)))
        errors = np.array(errors)
        between, end = errors[:, :-1].max(axis=1), errors[:, -1]
        assert end[-1] > 1e-12  # the reference is finer than what it judges
        assert slopes(end, steps)[-1] > order - 0.25, (kind, slopes(end, steps))
        assert slopes(between, steps)[-1] > dense_order - 0.25, (kind, slopes(between, steps))


def test_projected_sphere_in_raw_diffrax_is_the_recipe():
    """`diffeqsolve(ODETerm(field), ProjectedSolver(Tsit5(), sphere), ...)`, adaptive, dense."""
    oracle, y0 = case("sphere")
    sphere = af.Sphere(3)
    field = af.AttentionField(sphere, jnp.asarray(oracle.P), U=jnp.asarray(oracle.U), mask="causal")
    sol = diffrax.diffeqsolve(
        diffrax.ODETerm(field),
        af.ProjectedSolver(diffrax.Tsit5(), sphere),
        t0=0.0,
        t1=T1,
        dt0=None,
        y0=jnp.asarray(y0),
        saveat=diffrax.SaveAt(ts=jnp.asarray(TS), dense=True),
        stepsize_controller=diffrax.PIDController(rtol=1e-10, atol=1e-12),
    )
    expected = dop853(oracle.velocity, y0, TS)
    assert np.abs(np.asarray(sol.ys) - expected).max() < 1e-8
    np.testing.assert_allclose(sol.evaluate(TS[30]), expected[30], atol=1e-8)
    within = np.asarray(sol.evaluate(1.0)) - np.asarray(sol.evaluate(0.5))
    np.testing.assert_allclose(within, sol.evaluate(0.5, 1.0), atol=1e-14)
