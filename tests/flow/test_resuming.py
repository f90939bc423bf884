"""A stopped run continues bit for bit when the next step size is kept."""

import diffrax
import jax.numpy as jnp
import jax.random as jr
import pytest

import attnflow as af

SPHERE = af.Sphere(3)
FIELD = af.AttentionField(SPHERE, jr.normal(jr.key(0), (3, 3)), scale=1.0)
Y0 = SPHERE.random(jr.key(1), (8,))
SAVE = diffrax.SaveAt(t1=True, solver_state=True, controller_state=True, made_jump=True)


def run(t0, y0, max_steps, **state):
    return diffrax.diffeqsolve(
        diffrax.ODETerm(FIELD),
        af.ProjectedSolver(diffrax.Tsit5(), SPHERE),
        t0,
        jnp.asarray(12.0),
        state.pop("dt0", None),
        y0,
        saveat=SAVE,
        stepsize_controller=af.ResumableController(diffrax.PIDController(1e-8, 1e-10)),
        max_steps=max_steps,
        throw=False,
        **state,
    )


@pytest.mark.slow
def test_a_run_in_pieces_is_the_run_in_one():
    whole = run(jnp.asarray(0.0), Y0, 4096)
    piece = run(jnp.asarray(0.0), Y0, 10)
    steps = int(piece.stats["num_steps"])
    for _ in range(50):
        if piece.result == diffrax.RESULTS.successful:
            break
        t = piece.ts[-1]
        piece = run(
            t,
            piece.ys[-1],
            10,
            dt0=piece.controller_state.tnext - t,
            solver_state=piece.solver_state,
            controller_state=piece.controller_state,
            made_jump=piece.made_jump,
        )
        steps += int(piece.stats["num_steps"])
    assert steps == int(whole.stats["num_steps"]) > 20
    assert jnp.array_equal(piece.ys, whole.ys)


def test_only_adaptive_controllers_have_a_step_to_keep(as_user):
    with pytest.raises(ValueError, match="`controller` must be adaptive"):
        af.ResumableController(diffrax.ConstantStepSize())
