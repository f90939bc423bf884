"""One object for how to integrate: what keywords give, to the bit, wherever flows are run; checked once."""

import dataclasses
import inspect

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import attnflow as af

SPHERE = af.Sphere(3)
Y0 = SPHERE.random(jr.key(0), (4,))
FIELD = af.AttentionField(SPHERE, P=jnp.eye(3), mask="causal")
LOOSE = {"rtol": 1e-4, "atol": 1e-6, "solver": diffrax.Heun(), "reduce": False}
INTEGRATOR = af.Integrator(**LOOSE)


def simulated(**how):
    return af.simulate(FIELD, Y0, t1=1.0, **how).y1


def every(**how):
    result = af.ensemble.run(
        FIELD, Y0[None], t1=1.0, observe={"y": lambda y: y}, progress=False, **how
    )
    return result.ys["y"]


def averaged(**how):
    return af.ensemble.mean(lambda sol: sol.y1, FIELD, Y0[None], t1=1.0, **how)


def searched(**how):
    result = af.search.optimise(
        af.search.Final(), jnp.eye(3), field=FIELD, starts=Y0, t1=1.0, key=jr.key(0), steps=1,
        progress=False, **how,
    )  # fmt: skip
    return result.history.loss


RUNS = [simulated, every, averaged, pytest.param(searched, marks=pytest.mark.slow)]


@pytest.mark.parametrize("run", RUNS)
def test_an_integrator_is_its_keywords_to_the_bit_and_a_keyword_beside_it_comes_first(run):
    by_keyword = run(**LOOSE)
    np.testing.assert_array_equal(run(integrator=INTEGRATOR), by_keyword)
    looser = run(**{**LOOSE, "rtol": 1e-2, "atol": 1e-4})
    assert not np.array_equal(looser, by_keyword)
    np.testing.assert_array_equal(run(integrator=INTEGRATOR, rtol=1e-2, atol=1e-4), looser)
    np.testing.assert_array_equal(run(integrator=INTEGRATOR, rtol=None), by_keyword)


@pytest.mark.parametrize("run", RUNS)
def test_unknown_keywords_and_other_objects_are_refused_by_name(run, as_user):
    with pytest.raises((TypeError, ValueError), match="`rtoll` is no argument of .*`rtol`") as e:
        run(rtoll=1e-3)
    assert "\n" not in str(e.value)
    with pytest.raises(ValueError, match="`integrator` must be an Integrator, such as"):
        run(integrator=diffrax.Tsit5())


def test_an_integrator_alone_is_every_default():
    np.testing.assert_array_equal(simulated(integrator=af.Integrator()), simulated())
    assert repr(af.Integrator()) == "Integrator()"
    assert repr(INTEGRATOR) == "Integrator(rtol=0.0001, atol=1e-06, solver=Heun(), reduce='none')"


def test_numbers_are_data_and_no_program_is_traced_again():
    traces = []

    @eqx.filter_jit
    def end(integrator):
        traces.append(1)
        return af.simulate(FIELD, Y0, t1=1.0, integrator=integrator).y1

    first, second = (end(af.Integrator(rtol=r, atol=1e-8)) for r in (1e-3, 1e-7))
    assert len(traces) == 1
    assert not jnp.array_equal(first, second)
    repeated = eqx.filter_jit(lambda r: simulated(integrator=af.Integrator(rtol=r, atol=1e-8)))(
        1e-7
    )
    np.testing.assert_allclose(repeated, second, rtol=1e-14)


def test_a_tolerance_is_kept_in_double_precision_where_jax_has_none_yet(x64_off):
    before = af.Integrator(rtol=1e-9, dt0=0.1)
    jax.config.update("jax_enable_x64", True)
    assert before.rtol == 1e-9
    assert before.dt0 == 0.1


@pytest.mark.slow
def test_an_adjoint_differentiates_and_changes_no_run_of_an_ensemble():
    forward = af.Integrator(adjoint=diffrax.ForwardMode())
    slope = jax.jacfwd(lambda t: af.simulate(FIELD, Y0, t1=t, integrator=forward).y1)(1.0)
    np.testing.assert_allclose(slope, FIELD(1.0, simulated()), rtol=0, atol=1e-7)
    with pytest.raises(TypeError, match="`adjoint` must be diffrax.ForwardMode"):
        jax.jacfwd(lambda t: af.simulate(FIELD, Y0, t1=t, integrator=af.Integrator()).y1)(1.0)
    np.testing.assert_array_equal(every(integrator=forward), every())
    with pytest.raises(TypeError, match="`adjoint` is no argument of ensemble.run"):
        every(adjoint=diffrax.ForwardMode())


def test_another_with_one_part_replaced_is_checked_again(as_user):
    tighter = dataclasses.replace(INTEGRATOR, rtol=1e-6)
    assert (tighter.rtol, tighter.atol, tighter.reduce) == (1e-6, 1e-6, "none")
    with pytest.raises(ValueError, match="`rtol` and `atol` are not used by PIDController"):
        dataclasses.replace(INTEGRATOR, controller=diffrax.PIDController(1e-3, 1e-3))
    with pytest.raises(ValueError, match="`dt0` must be given with Euler"):
        simulated(integrator=af.Integrator(max_steps=100), solver=diffrax.Euler())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"rtol": -1.0}, "`rtol` and `atol` must be finite, zero or more"),
        ({"rtol": jnp.inf}, "`rtol` and `atol` must be finite, zero or more"),
        ({"atol": float("nan")}, "`rtol` and `atol` must be finite, zero or more"),
        ({"rtol": 0.0, "atol": 0.0}, "not both zero"),
        ({"rtol": "small"}, "`rtol` must be an array of real numbers"),
        ({"atol": jnp.ones(2)}, r"`atol` must be a number; got shape \(2,\)"),
        ({"dt0": 0.0}, "`dt0` must be positive and finite; got 0"),
        ({"solver": "Tsit5"}, "`solver` must be a diffrax solver, an object such as"),
        ({"solver": diffrax.Tsit5}, "`solver` must be a diffrax solver, an object such as"),
        ({"controller": 1e-3}, "`controller` must be a diffrax controller"),
        ({"adjoint": "forward"}, "`adjoint` must be a diffrax adjoint"),
        ({"solver": diffrax.Euler()}, "`dt0` must be given with Euler"),
        ({"controller": diffrax.ConstantStepSize()}, "`dt0` must be given with ConstantStepSize"),
        ({"solver": diffrax.Euler(), "dt0": 0.1, "rtol": 1e-3}, "are not used by ConstantStepSize"),
        ({"reduce": "fast"}, "`reduce` must be one of"),
        ({"max_steps": 0}, "`max_steps` must be a positive integer"),
        ({"max_steps": 10.5}, "`max_steps` must be a positive integer"),
    ],
)
def test_what_cannot_be_is_refused_when_it_is_made(given, message, as_user):
    with pytest.raises(ValueError, match=message) as caught:
        af.Integrator(**given)
    assert "\n" not in str(caught.value)


def test_signatures_are_about_half_of_what_their_keywords_are():
    most = {af.simulate: 9, af.ensemble.run: 13, af.ensemble.mean: 10, af.search.optimise: 12}
    for function, number in most.items():
        assert len(inspect.signature(inspect.unwrap(function)).parameters) <= number
