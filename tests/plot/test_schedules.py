"""Pictures of a search: what they draw is what its schedules do."""

import dataclasses
import functools

import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from matplotlib.figure import Figure

import attnflow as af
from attnflow import plot
from attnflow.design._descent import Task
from attnflow.design._trainable import Ball, Model, with_schedule
from attnflow.flow import make_options
from attnflow.schedules import Bounded, Constant, Piecewise, Symmetric
from attnflow.search import ConsensusTime, Final, History, Optimised

SPHERE = af.Sphere(3)
Y0 = SPHERE.random_hemisphere(jr.key(3), (4,))
BEGIN, FOUND = Constant(jnp.zeros((1, 3, 3))), Constant(3 * jnp.eye(3)[None])


def optimised(first, found, *, bounds=None, mask="causal", t1=4.0, objective=None, field=None):
    """What a search that went from one schedule to another would return."""
    objective = Final() if objective is None else objective
    if field is None:
        field = af.AttentionField(SPHERE, P=jnp.zeros((1, 3, 3)), mask=mask)
    t0, t1 = jnp.asarray(0.0), jnp.asarray(t1)
    how = af.Integrator(rtol=1e-6, atol=1e-8)
    options = make_options(field, Y0.shape, Y0.dtype, how, t0=t0, t1=t1, **objective.asks(t0, t1))
    task = Task(
        objective, Model(field, bounds), None, options, "mean", jnp.asarray(1.0), 4, lanes=False
    )
    return Optimised(
        schedule=found,
        field=with_schedule(field, found),
        value=0.0,
        values=np.zeros(1),
        initial=first,
        objective=objective,
        goal="maximise",
        history=History(1),
        reason="all steps were taken",
        seconds=0.0,
        settings={},
        task=task,
        rerun=None,
    )


@functools.cache
def plain():
    return optimised(BEGIN, FOUND)


def lines(ax) -> dict:
    return {line.get_label(): np.asarray(line.get_xydata()) for line in ax.lines}


def texts(legend) -> list[str]:
    return [text.get_text() for text in legend.get_texts()]


# === misalignment


@pytest.mark.slow
def test_misalignment_is_that_of_both_runs_beside_what_theory_says():
    result = plain()
    ax = plot.misalignment_of(result, Y0, title="apart")
    drawn = lines(ax)
    assert texts(ax.get_legend()) == ["before", "found", "tanh reference", "limit"]
    at = [0, 150, 300]
    ts = jnp.asarray(drawn["found"][at, 0])
    np.testing.assert_allclose(ts, [0.0, 2.0, 4.0])
    for name, schedule in (("before", BEGIN), ("found", FOUND)):
        field = af.AttentionField(SPHERE, P=schedule, mask="causal")
        E = af.simulate(field, Y0, t1=4.0, ts=ts, observe=af.misalignment).ys
        np.testing.assert_allclose(drawn[name][at, 1], E, rtol=1e-4)
    reference = af.theory.reference_misalignment(result.field, Y0, ts)
    np.testing.assert_allclose(drawn["tanh reference"][at, 1], reference, rtol=1e-9)
    limit = af.theory.misalignment_bound(result.field, Y0, ts)
    np.testing.assert_allclose(drawn["limit"][at, 1], np.where(limit > 0, limit, np.nan), rtol=1e-9)
    assert (ax.get_xscale(), ax.get_yscale()) == ("linear", "log")
    assert ax.get_xlim() == (0.0, 4.0)
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_title()) == ("t", "E(t)", "apart")
    low, high = ax.get_ylim()
    shown = np.concatenate([drawn["before"][:, 1], drawn["found"][:, 1]])
    assert low < shown.min() < shown.max() < high < 10 * shown.max()


def test_what_theory_does_not_say_is_not_drawn():
    field = af.AttentionField(SPHERE, P=jnp.zeros((1, 3, 3)), mask="causal", normalisation="pre")
    ax = plot.misalignment_of(optimised(BEGIN, FOUND, field=field), Y0)
    assert texts(ax.get_legend()) == ["before", "found"]


@pytest.mark.slow
def test_a_time_of_consensus_is_where_the_curve_meets_the_threshold_on_a_long_axis():
    pieces = Piecewise(jnp.asarray([10.0, 200.0]), jnp.stack([3 * jnp.eye(3)[None]] * 3))
    result = optimised(pieces, pieces, t1=5000.0, objective=ConsensusTime(0.01))
    ax = plot.misalignment_of(result, Y0)
    curve = lines(ax)["found"]
    end = af.simulate(result.field, Y0, t1=5000.0, event=af.consensus(0.01)).t1
    assert curve[-1, 0] == pytest.approx(float(end), rel=1e-4)
    assert curve[-1, 1] == pytest.approx(0.01, rel=1e-6)
    assert ax.get_xscale() == "log"
    low, high = ax.get_xlim()
    assert 0 < low <= 1.0
    assert high == pytest.approx(5000.0)
    assert "E = 0.01" in [text.get_text() for text in ax.texts]


# === norms


def test_norms_and_singular_values_jump_where_the_schedule_does():
    values = jr.normal(jr.key(0), (2, 2, 3, 3))
    pieces = Piecewise(jnp.asarray([1.0]), values)
    ball = Ball(jnp.asarray(5.0), "frobenius")
    bounded = ball(pieces)
    left, right = plot.schedule_norms(optimised(BEGIN, bounded, bounds=ball))
    heads = [line for line in left.lines if str(line.get_label()).startswith("head")]
    assert texts(left.get_legend()) == ["before", "head 1", "head 2", "bound 5"]
    for head, line in enumerate(heads):
        x, y = np.asarray(line.get_xydata()).T
        for piece, side in ((0, x < 1.0), (1, x >= 1.0)):
            exact = np.linalg.norm(np.asarray(bounded(float(piece) * 2))[head])
            np.testing.assert_allclose(y[side], exact, rtol=1e-12)
    x = np.asarray(heads[0].get_xdata())
    assert {1.0, np.nextafter(1.0, 0.0)} <= set(x)  # upright
    assert (x[0], x[-1]) == (0.0, 4.0)
    singular = np.linalg.svd(np.asarray(bounded(0.0)), compute_uv=False)
    assert right.get_title() == "singular values of P(t)"
    begin = sorted(line.get_ydata()[0] for line in right.lines)
    np.testing.assert_allclose(begin, np.sort(singular.ravel()), rtol=1e-12)
    assert left.get_ylim()[1] > 5.0


def test_symmetric_values_have_eigenvalues_between_their_bounds():
    U = Bounded(Symmetric(jr.normal(jr.key(1), (3, 3))), 1.0, "spectral")
    ball = Ball(jnp.asarray(1.0), "spectral")
    first = {"P": BEGIN, "U": Bounded(Symmetric(jnp.eye(3)), 1.0, "spectral")}
    result = optimised(first, {"P": FOUND, "U": U}, bounds={"P": None, "U": ball})
    axes = plot.schedule_norms(result)
    assert [ax.get_title() for ax in axes] == [
        "Frobenius norm of P(t)",
        "eigenvalues of P(t)",
        "Frobenius norm of U(t)",
        "eigenvalues of U(t)",
    ]
    heights = np.sort([line.get_ydata()[0] for line in axes[3].lines])
    assert heights[0] == -1.0
    assert heights[-1] == 1.0
    np.testing.assert_allclose(heights[1:-1], np.linalg.eigvalsh(np.asarray(U(0.0))), atol=1e-14)
    assert texts(axes[3].get_legend()) == ["bound 1"]


def test_of_many_singular_values_the_largest_are_drawn():
    sphere = af.Sphere(20)
    field = af.AttentionField(sphere, P=jnp.zeros((1, 20, 20)))
    P = Constant(jnp.diag(jnp.arange(20.0))[None].at[0, 0, 1].set(0.5))
    result = dataclasses.replace(
        optimised(Constant(jnp.zeros((1, 20, 20))), P, field=field), goal="minimise"
    )
    right = plot.schedule_norms(result)[1]
    assert right.get_title() == "singular values of P(t), the 12 largest"
    heights = sorted(line.get_ydata()[0] for line in right.lines)
    np.testing.assert_allclose(heights, np.arange(8.0, 20.0), rtol=1e-12)


# === attention and tokens


def test_attention_is_that_of_the_found_run_in_one_scale_of_colours():
    result = plain()
    axes = plot.attention_at(result, Y0, [0.0, 4.0])
    y1 = af.simulate(result.field, Y0, t1=4.0).y1
    for ax, t, y in zip(axes, (0.0, 4.0), (Y0, y1), strict=True):
        exact = np.asarray(result.field.attention(t, y))[0] / float(result.field.scale)
        np.testing.assert_allclose(ax.images[0].get_array(), exact, atol=1e-5)
        assert ax.images[0].get_clim() == (0.0, 1.0)  # the first token sees itself alone
        assert ax.get_title() == f"t = {t:g}"
    assert axes[0].get_ylabel() == "token i"
    assert len(plot.attention_at(result, Y0)) == 4
    assert len(plot.attention_at(result, Y0, [2.0])) == 1


def test_tokens_are_drawn_before_and_found_from_the_same_place():
    result = plain()
    before, after = plot.tokens_of(result, Y0)
    E = float(af.misalignment(af.simulate(result.field, Y0, t1=4.0).y1))
    assert after.get_title() == f"found: E = {E:.3g} at t = 4"
    assert before.get_title().startswith("before: E = ")

    def starts(ax):
        white = [s for s in ax.collections if len(s.get_offsets()) and s.get_facecolor()[0][0] == 1]
        return np.sort(np.concatenate([s.get_offsets() for s in white]), axis=0)

    np.testing.assert_allclose(starts(before), starts(after), atol=1e-9)
    assert len(starts(after)) == 4


# === arguments


def test_pictures_are_drawn_on_the_axes_given():
    figure = Figure()
    axes = [figure.add_subplot(1, 7, k + 1) for k in range(7)]
    assert plot.misalignment_of(plain(), Y0, axes[0]) is axes[0]
    assert list(plot.schedule_norms(plain(), axes[1:3])) == axes[1:3]
    assert list(plot.tokens_of(plain(), Y0, axes[3:5])) == axes[3:5]
    assert list(plot.attention_at(plain(), Y0, [0.0, 4.0], axes[5:])) == axes[5:]


def test_what_cannot_be_drawn_is_refused():
    one = [Figure().add_subplot()]
    with pytest.raises(ValueError, match=r"`axes` must be 2; got 1\."):
        plot.schedule_norms(plain(), one)
    with pytest.raises(ValueError, match=r"`axes` must be two; got 1\."):
        plot.tokens_of(plain(), Y0, one)
    with pytest.raises(ValueError, match=r"`axes` must be 2; got 1\."):
        plot.attention_at(plain(), Y0, [0.0, 4.0], one)
    with pytest.raises(ValueError, match="`times` must be a vector of increasing times"):
        plot.attention_at(plain(), Y0, [2.0, 1.0])
    with pytest.raises(ValueError, match="`times` must lie between 0 and 4"):
        plot.attention_at(plain(), Y0, [0.0, 5.0])
    field = af.AttentionField(af.Sphere(4), P=jnp.zeros((1, 4, 4)))
    P = Constant(jnp.zeros((1, 4, 4)))
    with pytest.raises(
        ValueError, match=r"`optimised` must be of tokens in R\^3; these are in R\^4"
    ):
        plot.tokens_of(optimised(P, P, field=field), Y0)
