"""Matrices P(t) that a lane keeps for stages of one time: same bits, fewer evaluations."""

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import attnflow as af
import attnflow.ensemble._run as runs
from attnflow.ensemble._stages import keeps_matrices
from attnflow.flow import assemble, make_options

TOKENS, DIM = 30, 60  # of so many a crew has one lane
LOOKED = []


class Looked(af.schedules.AbstractSchedule):
    """cos(3t) M, which notes the times that it is looked at."""

    matrix: jax.Array

    def __call__(self, t):
        jax.debug.callback(lambda t: LOOKED.append(float(t)), t)
        return jnp.cos(3 * t) * self.matrix

    @property
    def frequency(self):
        return jnp.asarray(3 / (2 * np.pi))

    @property
    def jump_times(self):
        return None


def starts(count=2):
    return np.asarray(
        jax.vmap(lambda k: af.Sphere(DIM).random(k, (TOKENS,)))(jr.split(jr.key(1), count))
    )


def end(field, **options):
    return af.ensemble.run(
        field,
        starts(),
        t1=6.0,
        observe={"y": lambda y: y},
        slots=1,
        atol=0.0,
        progress=False,
        **options,
    )


@pytest.fixture
def kept(monkeypatch):
    """What was said of each ensemble, and a switch that says no."""
    said = []

    def ask(problem):
        said.append(keeps_matrices(problem))
        return said[-1] and kept.allowed

    kept = ask
    kept.said, kept.allowed = said, True
    monkeypatch.setattr(runs, "keeps_matrices", ask)
    return kept


def modulated():
    keys = jr.split(jr.key(2), 3)
    diagonal = af.Sinusoid(
        jnp.full((2, DIM), 8.0),
        jr.uniform(keys[0], (2, DIM)),
        jr.uniform(keys[1], (2, DIM)),
        rectified=True,
    )
    return af.AttentionField(
        af.Sphere(DIM), af.Modulated(diagonal, jr.normal(keys[2], (2, DIM, DIM)))
    )


def jumping():
    values = jr.normal(jr.key(3), (3, 2, DIM, DIM))
    P = af.schedules.Piecewise(jnp.array([1.0, 2.5]), values)
    return af.AttentionField(
        af.Sphere(DIM), P, U=jnp.eye(DIM) + 0.1 * jr.normal(jr.key(4), (DIM, DIM))
    )


@pytest.mark.parametrize(
    ("make", "solver"),
    [(modulated, diffrax.Heun()), (modulated, diffrax.Tsit5()), (jumping, diffrax.Heun())],
)
def test_runs_have_the_bits_of_those_that_keep_nothing(kept, make, solver):
    field = make()
    ours = end(field, solver=solver, rtol=1e-3)
    kept.allowed = False
    plain = end(field, solver=solver, rtol=1e-3)
    assert kept.said == [True, True]
    np.testing.assert_array_equal(ours.ys["y"], plain.ys["y"])
    np.testing.assert_array_equal(ours.stats["num_steps"], plain.stats["num_steps"])
    if make is modulated:  # rejected steps are among them
        assert (ours.stats["num_steps"] > ours.stats["num_accepted_steps"]).any()


def test_each_step_of_heun_s_looks_at_one_time_less(kept):
    P = Looked(jr.normal(jr.key(5), (2, DIM, DIM)))
    field = af.AttentionField(af.Sphere(DIM), P, U=jnp.eye(DIM).at[0, 1].set(0.5))
    counts = []
    for kept.allowed in (True, False):
        LOOKED.clear()
        result = end(field, solver=diffrax.Heun(), rtol=3e-3)
        jax.effects_barrier()
        counts.append(len(LOOKED))
    steps = int(result.stats["num_steps"].sum())
    assert result.reduction == "none"
    assert steps > 100
    # The crew is warmed up by a round of its own, of a step at most.
    assert 0 <= counts[1] - counts[0] - steps <= 2


def test_solvers_that_look_at_no_time_twice_keep_nothing():
    def keeps(field, solver):
        options = make_options(
            field, (TOKENS, DIM), float, af.Integrator(solver=solver), t0=0.0, t1=1.0
        )
        return keeps_matrices(
            eqx.filter_eval_shape(lambda y: assemble(field, y, options), starts(1)[0])
        )

    field = modulated()
    solvers = (
        diffrax.Heun(),
        diffrax.Bosh3(),
        diffrax.Ralston(),
        diffrax.Tsit5(),
        diffrax.Dopri8(),
    )
    assert [keeps(field, s) for s in solvers] == [True, False, False, True, True]
    assert not keeps(field, diffrax.Kvaerno3())
    assert not keeps(af.AttentionField(af.Sphere(DIM), jnp.eye(DIM)), diffrax.Heun())
