"""What a wrong value does: an error at once where it is known, NaN or an error under `jit`."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import attnflow as af

SPHERE = af.Sphere(3)
FIELD = af.AttentionField(SPHERE, P=jnp.eye(3))
GOOD = SPHERE.random(jax.random.key(0), (5,))
OFF = "`y0` must lie on the manifold to 0.0001 .closer rows are projected.; got a token off it"


def end(y0):
    return af.simulate(FIELD, y0, t1=0.5).y1


@functools.cache
def good_end():
    """Where the good start ends, by a program of the library itself."""
    return np.asarray(end(GOOD))


@pytest.mark.parametrize("call", [jax.vmap(end), eqx.filter_vmap(end)], ids=["jax", "equinox"])
def test_an_eager_vmap_is_looked_through(call, as_user):
    with pytest.raises(ValueError, match=OFF) as caught:
        call(jnp.stack([GOOD, 2 * GOOD]))
    assert len(str(caught.value).splitlines()) == 1


def test_an_eager_gradient_is_looked_through(as_user):
    with pytest.raises(ValueError, match=OFF):
        jax.grad(lambda y: jnp.sum(end(y)))(2 * GOOD)


def test_a_run_that_fails_says_so_under_an_eager_gradient():
    with pytest.raises(RuntimeError, match="The run did not end"):
        jax.grad(lambda y: jnp.sum(af.simulate(FIELD, y, t1=5.0, max_steps=2).y1))(GOOD)


def test_under_jit_refused_values_are_nan_in_their_own_lane_alone():
    out = np.asarray(jax.jit(jax.vmap(end))(jnp.stack([GOOD, 2 * GOOD])))
    assert np.isnan(out[1]).all()
    np.testing.assert_allclose(out[0], good_end(), atol=1e-13)


def test_under_jit_a_refused_lane_takes_no_steps():
    def steps(y0):
        return af.simulate(FIELD, y0, t1=0.5, throw=False).stats["num_steps"]

    taken = np.asarray(jax.jit(jax.vmap(steps))(jnp.stack([GOOD, 2 * GOOD])))
    assert taken[0] == steps(GOOD)
    assert taken[1] <= 1


def test_under_jit_a_bad_time_and_a_bad_matrix_are_nan():
    late = jax.jit(lambda t1: af.simulate(FIELD, GOOD, t1=t1).y1)
    assert np.isnan(late(-1.0)).all()
    assert np.isfinite(late(0.5)).all()
    build = jax.jit(lambda W: af.Ellipsoid(W).L)
    assert np.isnan(build(-jnp.eye(3))).all()
    assert np.isfinite(build(jnp.eye(3))).all()


def test_asking_twice_compiles_nothing_anew():
    counted = []
    call = jax.jit(lambda x: counted.append(1) or x + 1)
    call(1.0)
    af.raise_under_jit(False)
    call(1.0)
    assert len(counted) == 1


def test_a_switch_that_is_none_is_refused(as_user):
    with pytest.raises(ValueError, match="`on` must be True or False; got 'yes'"):
        af.raise_under_jit("yes")


def test_diffrax_keeps_its_own_checks_for_others():
    import diffrax

    good_end()  # attnflow's programs leave them out
    term = diffrax.ODETerm(lambda t, y, args: -y)

    @eqx.filter_jit
    def theirs(ts):
        saveat = diffrax.SaveAt(ts=ts)
        return diffrax.diffeqsolve(term, diffrax.Tsit5(), 0.0, 1.0, 0.1, 1.0, saveat=saveat).ys

    with pytest.raises(RuntimeError, match="must be increasing"):
        jax.block_until_ready(theirs(jnp.array([0.5, 0.2])))


def test_a_gradient_that_the_solver_cannot_carry_is_nan():
    from diffrax import _adjoint

    from attnflow.flow._quiet import without_callbacks

    def lost(x, factor):
        with without_callbacks():
            return factor * jnp.sum(_adjoint.eqxi.nondifferentiable_backward(x, symbolic=False))

    slope = jax.jit(jax.grad(lost))
    assert np.isnan(slope(jnp.ones(2), 1.0)).all()
    np.testing.assert_array_equal(slope(jnp.ones(2), 0.0), 0)
