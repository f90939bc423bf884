"""Solvers inside two others, and errors that are infinite: what diffrax sees of a solver goes through every wrapper."""

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import attnflow as af
from attnflow.flow import TokenNorm
from tests.systems import generator, random_rows

_RNG = generator("wrapped solvers")
START = jnp.asarray(random_rows(_RNG, 3, np.eye(4)))
A, B = (jnp.asarray(_RNG.normal(size=(4, 4))) for _ in range(2))


def jumping(s=1.0):
    """P jumps, so that a projected solver has one that minds sides inside it, and the solver inside that."""
    P = af.Piecewise([0.47], jnp.stack([s * A, B]))
    return af.AttentionField(af.Sphere(4), P=P, mask="causal", scale=1.0)


def test_an_implicit_solver_takes_the_same_steps_in_span_coordinates_over_a_jump():
    """Their manifold is a form: an implicit step without a solution has to be tried again with a shorter one."""
    options = {"t1": 2.0, "rtol": 1e-4, "atol": 0.0, "max_steps": 200}
    solver = diffrax.Kvaerno5()
    reduced, plain = (
        af.simulate(jumping(), START, solver=solver, reduce=how, **options) for how in (True, False)
    )
    assert (reduced.reduction, plain.reduction) == ("span", "none")
    assert int(reduced.stats["num_steps"]) == int(plain.stats["num_steps"])
    assert int(plain.stats["num_rejected_steps"]) > 0
    np.testing.assert_allclose(reduced.y1, plain.y1, atol=1e-6)
    exact = af.simulate(jumping(), START, **(options | {"rtol": 1e-8, "max_steps": 500})).y1
    np.testing.assert_allclose(plain.y1, exact, atol=2e-3)


def test_an_implicit_solver_with_constant_steps_is_asked_for_tolerances_of_its_own():
    with pytest.raises(
        ValueError, match=r"Kvaerno3 with constant steps needs tolerances of its own"
    ):
        af.simulate(
            jumping(),
            START,
            t1=1.0,
            solver=diffrax.Kvaerno3(),
            controller=diffrax.ConstantStepSize(),
            dt0=0.1,
        )


@pytest.mark.parametrize("adjoint", [diffrax.ForwardMode(), diffrax.DirectAdjoint()])
def test_forward_derivatives_over_a_jump_are_the_difference_quotient(adjoint):
    @jax.jit
    def end(s):
        controller, steps = diffrax.ConstantStepSize(), {"dt0": 0.1, "max_steps": 16}
        options = {"adjoint": adjoint, "controller": controller, "throw": False} | steps
        return af.simulate(jumping(s), START, t1=1.0, **options).y1

    one, h = jnp.asarray(1.0), 1e-5
    _, slope = jax.jvp(end, (one,), (one,))
    np.testing.assert_allclose(slope, (end(one + h) - end(one - h)) / (2 * h), atol=1e-8)


@pytest.mark.parametrize(
    "manifold", [af.Sphere(3), af.Ellipsoid(jnp.diag(jnp.array([1.0, 2.0, 3.0])))]
)
def test_the_norm_of_an_infinite_error_is_infinite_and_of_nan_is_nan(manifold):
    norm, error = TokenNorm(manifold), np.ones((2, 3))
    assert np.isfinite(norm(jnp.asarray(error)))
    for value in (np.inf, -np.inf):
        error[1, 2] = value
        assert norm(jnp.asarray(error)) == np.inf
    error[0, 0] = np.nan
    assert np.isnan(norm(jnp.asarray(error)))
