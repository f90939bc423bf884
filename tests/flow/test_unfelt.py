"""Tokens too close for attention to tell apart: steps longer than a forcing's periods, and their bound."""

from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import attnflow as af
from attnflow import ensemble
from attnflow.flow._control import adaptive
from attnflow.flow._unfelt import Unfelt, unfelt
from attnflow.paper import field_theorem_3_2, field_theorem_4_2

SPHERE = af.Sphere(3)
# Every stage of Bosh3 in a step of 1 / K sees the same phase of this forcing, at which P is zero.
HIDDEN = 8 * np.pi


def close(key, spread, tokens=6):
    """Tokens within about that distance of one point."""
    y = jnp.array([[0.6, 0.0, 0.8]]) + spread * jr.normal(key, (tokens, 3)) / 3
    return SPHERE.project(y)


def bound_of(field, swing, tolerance) -> Unfelt:
    bound = unfelt(field, jnp.asarray(swing), jnp.asarray(tolerance))
    assert bound is not None
    return bound


def hidden_field(sign=1.0, amplitude=8.0):
    """K = 1, and P = A sin(8 pi t) M."""
    M = jr.normal(jr.key(2), (3, 3)) / 3
    P = af.schedules.Scaled(af.Sinusoid(amplitude, HIDDEN), M)
    return af.AttentionField(SPHERE, P, U=af.ScaledIdentity(sign, 3), scale=1.0)


@eqx.filter_jit
def end(field, y0, rtol, t1, solver, ts=None, dt=None):
    control = {} if dt is None else {"dt0": dt, "controller": diffrax.ConstantStepSize()}
    atol = None if dt is not None else 0.0
    rtol = None if dt is not None else rtol
    kept = {k: v for k, v in {"rtol": rtol, "atol": atol}.items() if v is not None}
    return af.simulate(
        field, y0, t1=t1, solver=solver, observe=af.misalignment, ts=ts, **kept, **control
    )


def test_velocities_differ_by_no_more_than_the_bound_whatever_P_is():
    """Random tokens, values and pairs of P as far apart as is allowed, the worst of many."""
    tolerance, swing = 1e-3, 3.0

    @eqx.filter_jit
    @eqx.filter_vmap(in_axes=(0, None, None))
    def worst(key, spread, identity):
        keys = jr.split(key, 4)
        y = close(keys[0], spread)
        U = None if identity else jr.normal(keys[1], (2, 3, 3))
        D = jr.normal(keys[2], (2, 3, 3))
        D = 2 * swing * D / jnp.linalg.norm(D, ord=2, axis=(1, 2), keepdims=True)
        P = 4 * jr.normal(keys[3], (2, 3, 3))
        one, other = (af.AttentionField(SPHERE, p, U=U)(0.0, y) for p in (P, P + D))
        bound = bound_of(af.AttentionField(SPHERE, P, U=U), swing, tolerance)
        apart = jnp.max(jnp.linalg.norm(one - other, axis=-1))
        h = bound.longest(y)
        return h * apart / tolerance, h * bound.speed

    keys = jr.split(jr.key(0), 300)
    for spread in (2.0, 0.1, 0.03, 0.0003):
        for identity in (True, False):
            moved, reached = worst(keys, jnp.asarray(spread), identity)
            assert moved.max() < 0.25, (spread, identity)
    assert reached.max() > 0.99  # and for tokens as close as the last it is as long as it may be


@pytest.mark.parametrize("values", ["identity", "any", "reflection"])
def test_diameters_grow_no_faster_than_is_taken(values):
    """Against weights that switch at random between tokens, far worse than those of any P."""
    rng = np.random.default_rng(4)
    U = {"identity": np.eye(3), "any": rng.normal(size=(3, 3)), "reflection": -np.eye(3)}[values]
    field = af.AttentionField(
        SPHERE, jnp.eye(3), U=af.ScaledIdentity(U[0, 0], 3) if values != "any" else jnp.asarray(U)
    )
    bound = bound_of(field, 1.0, 1e-3)
    K, rate = float(bound.speed), float(bound.rate)
    scale, h = float(field.scale), 1e-3

    def diameter(y):
        return np.linalg.norm(y[:, :, None] - y[:, None], axis=-1).max(axis=(1, 2))

    y = np.asarray(jax.vmap(lambda k: close(k, 0.1))(jr.split(jr.key(1), 200)))
    first, t = diameter(y), 0.0
    assert first.max() < 0.3
    while t < 0.2 / K:
        choice = rng.integers(0, 6, size=y.shape[:2])
        moved = scale * np.take_along_axis(y, choice[:, :, None], axis=1) @ U.T
        y = y + h / K * (moved - np.sum(moved * y, axis=-1, keepdims=True) * y)
        y /= np.linalg.norm(y, axis=-1, keepdims=True)
        t += h / K
        assert np.all(diameter(y) <= first * np.exp(rate * K * t) * (1 + 1e-4))


def test_a_forcing_hidden_at_every_stage_moves_tokens_by_less_than_the_tolerance():
    field, t1 = hidden_field(), 6.0
    for rtol, spread, grows in ((1e-3, 0.02, True), (1e-3, 0.5, False), (1e-5, 0.002, True)):
        y0 = close(jr.key(0), spread)
        run = end(field, y0, rtol, t1, diffrax.Bosh3())
        exact = end(field, y0, None, t1, diffrax.Dopri8(), dt=1 / 256)
        assert not grows or int(run.stats["num_steps"]) < 0.6 * t1 * HIDDEN / (2 * np.pi)
        assert jnp.max(jnp.linalg.norm(run.y1 - exact.y1, axis=-1)) < 5 * rtol


def test_tokens_that_drift_apart_meet_every_period_again():
    """U = -I: the step grows while they are close, and shrinks before the forcing is felt."""
    field, y0, t1, rtol = hidden_field(-1.0, 2.0), close(jr.key(0), 1e-4), 9.0, 1e-8
    run = end(field, y0, rtol, t1, diffrax.Tsit5())
    exact = end(field, y0, None, t1, diffrax.Dopri8(), dt=1 / 256)
    assert run.ys[-1] > 0.01
    grown = jnp.exp(t1)  # of two tokens' distance, at most
    assert jnp.max(jnp.linalg.norm(run.y1 - exact.y1, axis=-1)) < rtol * grown
    early = end(field, y0, rtol, t1 / 2, diffrax.Tsit5())
    later = run.stats["num_steps"] - early.stats["num_steps"]
    assert early.stats["num_steps"] < 0.8 * later
    assert later > t1 / 2 * HIDDEN / (2 * np.pi)


def test_steps_of_figure_2_are_bounded_by_the_tolerance_once_its_tokens_are_close():
    field = field_theorem_3_2()
    y0 = jax.vmap(lambda k: SPHERE.random(k, (10,)))(jr.split(jr.key(0), 3))
    runs = [
        ensemble.run(field, y0, t1=t1, rtol=1e-3, atol=0.0, observe=af.misalignment) for t1 in (12.0, 20.0)
    ]  # fmt: skip
    steps = [np.asarray(run.stats["num_steps"]) for run in runs]
    periods = 8.0 * 5.0  # the fastest frequency is five
    assert np.all(steps[1] - steps[0] < 0.3 * periods)
    alone = af.simulate(field, y0[0], t1=20.0, rtol=1e-3, atol=0.0)
    assert alone.stats["num_steps"] == steps[1][0]


class Faster(af.AttentionField):
    """A flow of somebody's own."""

    def _velocity(self, t, y, args):
        return 9 * super()._velocity(t, y, args)


OTHERS = {
    "drift": {"drift": lambda t, y: jnp.zeros_like(y)},
    "not softmax": {"kernel": "exp"},
    "lengths": {"normalisation": "pre"},
    "nobody to attend to": {"mask": af.model.NoSelf("causal")},
    "seen by nobody": {"weights": jnp.arange(6.0), "mask": "causal"},
    "held": {"frozen": jnp.arange(6) < 1},
    "moving values": {"U": af.ScaledIdentity(af.Sinusoid(0.1, 3.0) + 1.0, 3)},
    "ellipsoid": {"manifold": af.Ellipsoid(jnp.diag(jnp.array([1.0, 2.0, 3.0])))},
    "no sphere": {"manifold": af.geometry.Euclidean(3)},
}


@pytest.mark.parametrize("what", OTHERS)
def test_other_fields_have_no_such_steps(what):
    P = af.schedules.Scaled(af.Sinusoid(1.0, HIDDEN), jnp.eye(3))
    field = af.AttentionField(**{"manifold": SPHERE, "P": P} | OTHERS[what])
    assert unfelt(field, jnp.ones(()), jnp.ones(())) is None
    own: Any = Faster
    assert unfelt(own(SPHERE, P), jnp.ones(()), jnp.ones(())) is None
    times = jnp.zeros(()), jnp.ones(())
    bound_of(
        eqx.tree_at(lambda f: f.P, hidden_field(), P), 1.0, 1.0
    )  # there is one for the paper's
    controller = adaptive(field, 1e-3, 0.0, *times).wrap(1)
    far, solver, term = close(jr.key(0), 0.0), diffrax.Tsit5(), diffrax.ODETerm(field)
    first, _ = controller.init(term, 0.0, 9.0, far, 5.0, None, solver.func, 5)
    assert field.frequency is not None
    assert first <= 0.59 / field.frequency


def test_what_is_no_array_of_tokens_is_never_close_and_what_is_not_finite_is_not():
    bound = Unfelt(*(jnp.asarray(x) for x in (1.0, 0.48, 1e-9, 1e-3)))
    y = close(jr.key(0), 0.0)
    assert bound.longest(y) == 1.0
    assert bound.longest((y, y, None, None)) == 0
    field = hidden_field()
    controller = adaptive(field, 1e-3, 0.0, jnp.zeros(()), jnp.ones(())).wrap(1)
    term, solver = diffrax.ODETerm(field), diffrax.Bosh3()
    first, state = controller.init(term, 0.0, 1.0, y, 0.1, None, solver.func, 3)
    _, t0, t1, *_ = controller.adapt_step_size(
        0.0, first, y, y * jnp.nan, None, jnp.zeros_like(y), 3, state
    )
    assert field.frequency is not None
    assert 0 < t1 - t0 <= 0.59 / field.frequency


def test_a_step_taken_up_again_behind_a_kink_is_no_longer_than_tokens_allow_there():
    """It was cut short while they were close; by its end they are not."""
    P = af.schedules.Scaled(af.Sinusoid(2.0, 10.0, rectified=True), jnp.eye(3))
    field = eqx.tree_at(lambda f: f.P, hidden_field(), P)
    controller = adaptive(field, 1e-3, 0.0, jnp.zeros(()), jnp.ones(())).wrap(1)
    term, solver = diffrax.ODETerm(field), diffrax.Tsit5()
    near, far = close(jr.key(0), 0.0), close(jr.key(0), 2.0)
    first, state = controller.init(term, 0.0, 9.0, near, 0.9, None, solver.func, 5)
    assert first < np.pi / 10  # at the kink
    _, t0, t1, *_ = controller.adapt_step_size(0.0, first, near, far, None, 0 * near, 5, state)
    assert field.frequency is not None
    assert t1 - t0 <= 0.59 / field.frequency


def test_no_matrix_is_looked_at_where_kinks_by_the_hundred_set_the_steps():
    """32 matrices' norms for each trajectory were ten times the cost of a run of Fig. 4."""
    field = field_theorem_4_2(jr.key(0), 40)  # 80 rectified sines of their own frequencies

    def first(y0, t1):
        controller = adaptive(field, 1e-3, 0.0, jnp.zeros(()), t1)
        solver = diffrax.Bosh3()
        term = diffrax.ODETerm(field)
        return controller.init(term, 0.0, t1, y0, 0.1, None, solver.func, 3)[0]

    program = jax.make_jaxpr(first)(jnp.zeros((5, 40)), jnp.ones(()))
    assert max(v.aval.size for e in program.eqns for v in e.outvars) < 40 * 40
