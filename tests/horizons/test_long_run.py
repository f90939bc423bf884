"""Long runs: staircases to the last merge, against closed forms, other solvers and plain log time."""

import math

import diffrax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import attnflow as af

ANGLES = np.array([0.0, 0.22, 0.45, 0.98, 1.34])
CLOSE = np.array([0.0, 0.09, 0.2, 0.38, 0.55])
PLATEAUS = [0.20, 0.28, 0.44, 0.52, 1.00]


def on_circle(angles):
    return jnp.stack([jnp.cos(jnp.asarray(angles)), jnp.sin(jnp.asarray(angles))], axis=1)


def staircase(beta, tokens=5, dim=2, **options):
    mask = jnp.full((tokens, tokens), -beta)
    options = {"P": beta * jnp.eye(dim), "mask": mask, "kernel": "exp", "scale": 1.0, **options}
    return af.AttentionField(af.Sphere(dim), **options)


@pytest.fixture(scope="module")
def runs():
    betas = (500.0, 1000.0, 1500.0, 2000.0, 3000.0, 4000.0)
    return {beta: af.long_run(staircase(beta), on_circle(ANGLES)) for beta in betas}


def test_the_staircase_has_its_plateaus_at_every_beta_up_to_the_last_merge(runs):
    for run in runs.values():
        assert run.ended == "one cluster"
        np.testing.assert_array_equal(run.merges.clusters, [4, 3, 2, 1])
        np.testing.assert_array_equal(run.merges.sizes, [2, 3, 2, 5])
        np.testing.assert_array_equal(run.merges.pairs, [[0, 1], [2, 5], [3, 4], [6, 7]])
        np.testing.assert_allclose(run.energy, PLATEAUS, atol=1e-6)
        np.testing.assert_allclose(run.levels, PLATEAUS, atol=1e-14)
        assert np.all(np.diff(run.energies) > -1e-12)
        assert np.all(np.diff(run.log_t[1:]) >= 0)


def test_merges_come_at_ln_t_in_proportion_to_beta(runs):
    slope = (runs[4000.0].merges.log_t - runs[2000.0].merges.log_t) / 2000
    # AB at 0.22; then C with their centre; then DE at 0.36; then the two that are left, up to what has crept
    gaps = np.array([0.22, 0.34, 0.36, 1.16 - 0.67 / 3])
    # What multiplies the exponential is beta to some power near one: its logarithm is in the slope too.
    np.testing.assert_allclose(slope, 1 - np.cos(gaps) - math.log(2) / 2000, atol=3e-5)


def test_the_exponential_kernel_keeps_the_centroid_of_angles_and_softmax_does_not(runs):
    for run in runs.values():
        assert run.angles is not None
        assert abs(run.angles.mean() - ANGLES.mean()) < 1e-13
    soft = af.long_run(staircase(500.0, kernel="softmax"), on_circle(ANGLES))
    assert soft.angles is not None
    assert abs(soft.angles.mean() - ANGLES.mean()) > 0.05


@pytest.mark.parametrize(
    "options",
    [
        {"solver": diffrax.Dopri8()},
        {"rtol": 1e-7, "atol": 1e-10},
        {"merge": 1e-10},
        {"merge": 1e-9, "rtol": 1e-7},
        {"merge": 1e-4},
        pytest.param({"solver": diffrax.Kvaerno5(), "rtol": 1e-8}, marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_merge_times_do_not_depend_on_solver_tolerance_or_merge_distance(options):
    y0 = on_circle(CLOSE)
    one = af.long_run(staircase(4000.0), y0)
    two = af.long_run(staircase(4000.0), y0, **options)
    assert one.merges.log_t[-1] > 250
    np.testing.assert_allclose(two.merges.log_t, one.merges.log_t, rtol=0, atol=1e-5)


@pytest.mark.parametrize("weights", [None, [1.0, 0.5, 3.0, 2.0, 1.0]])
@pytest.mark.parametrize(("beta", "gap"), [(4000.0, 0.6), (1e4, 2.9)])
def test_two_clusters_merge_at_the_integral_of_their_gap(beta, gap, weights):
    # The gap obeys g' = -e^(-beta (1 - cos g)) sin g: underflow many times over, and e^19703 as a time.
    run = af.long_run(staircase(beta, weights=weights), on_circle([0.0, 0.0, gap, gap, gap]))
    passed = np.concatenate(
        [[0.0], np.geomspace(1e-12, gap - 2 * np.arcsin(run.near / 2), 200_001)]
    )
    g = gap - passed
    top = beta * (1 - np.cos(gap))
    integral = np.trapezoid(np.exp(beta * (1 - np.cos(g)) - top) / np.sin(g), passed)
    assert run.merges.log_t[-1] == pytest.approx(top + math.log(integral), abs=1e-6)


def test_a_short_run_is_that_of_simulate():
    y0 = af.Sphere(3).random(jr.key(3), (6,))
    field = staircase(9.0, 6, 3)
    sol = af.simulate(field, y0, t1=4.0)
    run = af.long_run(field, y0, log_t1=math.log(4.0))
    assert run.ended == "log_t1"
    np.testing.assert_allclose(run.y1, sol.y1, atol=1e-7)
    ts = np.array([0.0, 0.5, 3.0])
    run = af.long_run(field, y0, clock="t", end=4.0, saves=ts)
    assert run.ended == "t"
    assert run.ticks[-1] == pytest.approx(4.0, rel=1e-12)
    np.testing.assert_allclose(run.saved.ys, af.simulate(field, y0, t1=4.0, ts=ts).ys, atol=1e-7)


def test_a_short_run_with_softmax_and_masses_is_that_of_simulate():
    y0 = on_circle(3 * ANGLES)
    field = staircase(9.0, kernel="softmax", mask=None, weights=[1.0, 2.0, 0.5, 1.0, 1.0])
    sol = af.simulate(field, y0, t1=2.0)
    run = af.long_run(field, y0, log_t1=math.log(2.0))
    np.testing.assert_allclose(run.y1, sol.y1, atol=1e-7)


def test_on_the_sphere_too_clusters_merge_beyond_any_float():
    y0 = af.Sphere(3).random(jr.key(0), (6,))
    field = staircase(2000.0, 6, 3)
    run = af.long_run(field, y0)
    other = af.long_run(field, y0, merge=1e-10, rtol=1e-8)
    assert run.ended == "one cluster"
    assert run.merges.log_t[-1] > 745
    np.testing.assert_allclose(run.merges.log_t, other.merges.log_t, atol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(run.y1, axis=1), 1, atol=1e-15)


def test_plain_log_time_fails_near_forty_and_this_does_not(runs):
    beta = 1000.0

    def plain(s, angles, args):
        gap = angles[None, :] - angles[:, None]
        return jnp.exp(s) * jnp.mean(jnp.exp(beta * (jnp.cos(gap) - 1)) * jnp.sin(gap), axis=1)

    sol = diffrax.diffeqsolve(
        diffrax.ODETerm(plain),
        diffrax.Kvaerno3(),  # which goes furthest of those tried
        -2.0,
        62.0,
        1e-3,
        jnp.asarray(CLOSE),
        stepsize_controller=diffrax.PIDController(1e-6, 1e-8),
        saveat=diffrax.SaveAt(steps=True),
        max_steps=4000,
        throw=False,
    )
    reached = np.asarray(sol.ts)[np.isfinite(np.asarray(sol.ts))].max()
    assert sol.result != diffrax.RESULTS.successful
    assert 30 < reached < 50
    run = af.long_run(staircase(beta), on_circle(CLOSE))
    assert run.merges.log_t[-1] == pytest.approx(62.22, abs=0.01)


@pytest.mark.parametrize("clock", ["t", "log_t", "length"])
def test_by_any_clock_two_tokens_move_as_their_closed_form(clock):
    # beta = 0: tan(g/2) falls as e^-t, and the length of the path is sqrt(m1 m2) times what the gap has lost.
    gap, share = 2.0, math.sqrt(0.25 * 0.75)
    t = np.array([1e-6, 0.3, 1.0, 4.0])
    g = 2 * np.arctan(np.tan(gap / 2) * np.exp(-t))
    lengths = share * (gap - g)
    saves = {"t": t, "log_t": np.log(t), "length": lengths}[clock]
    field = staircase(0.0, 2, weights=[1.0, 3.0])
    run = af.long_run(field, on_circle([0.3, 0.3 + gap]), clock=clock, saves=saves)
    kept = run.saved
    np.testing.assert_array_equal(kept.at, saves)
    np.testing.assert_allclose(kept.log_t, np.log(t), rtol=0, atol=1e-8)
    np.testing.assert_allclose(kept.lengths, lengths, rtol=1e-8, atol=1e-12)
    apart = 2 * np.arcsin(np.linalg.norm(kept.ys[:, 1] - kept.ys[:, 0], axis=1) / 2)
    np.testing.assert_allclose(apart, g, atol=1e-8)
    ticks = {"t": np.exp(run.log_t), "log_t": run.log_t, "length": run.lengths}[clock]
    np.testing.assert_array_equal(run.ticks, ticks)
    assert run.length == pytest.approx(share * gap, abs=1e-6)
    short = af.long_run(
        field, on_circle([0.3, 0.3 + gap]), clock=clock, saves=saves[:2], end=saves[2]
    )
    assert short.ended == ("log_t1" if clock == "log_t" else clock)
    assert short.log_t1 == pytest.approx(math.log(t[2]), abs=1e-8)
    assert short.length == pytest.approx(lengths[2], rel=1e-8)
    np.testing.assert_allclose(short.saved.log_t, np.log(t[:2]), rtol=0, atol=1e-8)


def test_the_clock_of_length_reads_ln_t_where_the_gap_is_known():
    beta, gap = 4000.0, 0.6
    lost = np.array([1e-3, 0.2, 0.5])
    run = af.long_run(staircase(beta, 2), on_circle([0.0, gap]), clock="length", saves=lost / 2)
    top = beta * (1 - np.cos(gap))
    for log_t, until in zip(run.saved.log_t, lost, strict=True):
        passed = np.concatenate([[0.0], np.geomspace(1e-12, until, 200_001)])
        slowness = np.exp(beta * (1 - np.cos(gap - passed)) - top) / np.sin(gap - passed)
        assert log_t == pytest.approx(top + math.log(np.trapezoid(slowness, passed)), abs=1e-6)
    np.testing.assert_array_less(600.0, run.saved.log_t)  # e^600 by the length of the path


def test_whatever_the_clock_the_run_is_the_same(runs):
    run = runs[500.0]
    middles = (run.merges.log_t[1:] + run.merges.log_t[:-1]) / 2
    by_log = af.long_run(staircase(500.0), on_circle(ANGLES), saves=np.array([-3.0, *middles, 1e4]))
    np.testing.assert_allclose(by_log.saved.energies, PLATEAUS, atol=1e-6)
    by_t = af.long_run(staircase(500.0), on_circle(ANGLES), clock="t", saves=np.exp(middles))
    part = np.linspace(0, 0.99 * run.length, 12)
    by_length = af.long_run(staircase(500.0), on_circle(ANGLES), clock="length", saves=part)
    for other in (by_log, by_t, by_length):
        np.testing.assert_allclose(other.merges.log_t, run.merges.log_t, rtol=0, atol=1e-7)
        np.testing.assert_allclose(other.length, run.length, rtol=1e-9)
        assert np.all(np.diff(other.lengths) >= 0)
    np.testing.assert_allclose(by_t.saved.ys, by_log.saved.ys[1:-1], atol=1e-9)
    np.testing.assert_allclose(by_t.saved.log_t, middles, rtol=0, atol=1e-9)
    np.testing.assert_array_equal(by_length.saved.lengths.shape, (12,))
    np.testing.assert_allclose(by_length.saved.lengths, part, rtol=1e-9)
    assert np.all(np.diff(by_length.saved.log_t) >= 0)


def test_saves_beyond_balanced_forces_are_nan_and_beyond_one_cluster_at_rest():
    run = af.long_run(staircase(10.0), on_circle(2 * np.pi / 5 * np.arange(5)), saves=np.ones(1))
    assert np.isnan(run.saved.ys).all()
    run = af.long_run(staircase(0.0), on_circle(ANGLES), saves=np.array([1e6]))
    np.testing.assert_array_equal(run.saved.ys[0], run.y1)


def differences(log_t, step):
    """Central differences of merges' ln t, `log_t(±step)`."""
    return (log_t(step) - log_t(-step)) / (2 * step)


def test_gradients_of_merge_times_are_those_of_differences():
    beta, near = 500.0, 0.02

    def log_t(angles=ANGLES, more=0.0):
        field = staircase(beta, P=(beta + more) * jnp.eye(2))
        return af.long_run(field, on_circle(angles), near=near).merges.log_t

    merges = af.long_run(staircase(beta), on_circle(ANGLES), near=near, gradients=True).merges
    assert merges.by_start is not None
    by_length = af.long_run(
        staircase(beta),
        on_circle(ANGLES),
        near=near,
        gradients=True,
        clock="length",
        saves=np.array([0.05]),
    ).merges
    np.testing.assert_allclose(by_length.by_start, merges.by_start, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(by_length.by_beta, merges.by_beta, rtol=1e-6)
    np.testing.assert_allclose(
        merges.by_beta, differences(lambda h: log_t(more=h), 1e-3), rtol=1e-6
    )
    along = np.stack([-np.sin(ANGLES), np.cos(ANGLES)], axis=1)
    by_angle = np.einsum("mid,id->mi", merges.by_start, along)
    np.testing.assert_allclose(merges.by_start, by_angle[:, :, None] * along, atol=1e-12)
    third = np.eye(5)[2]
    measured = differences(lambda h: log_t(ANGLES + h * third), 1e-6)
    np.testing.assert_allclose(by_angle[:, 2], measured, rtol=1e-6, atol=1e-6)
    # All angles moved by one change nothing.
    assert np.abs(by_angle.sum(axis=1)).max() < 1e-6 * np.abs(by_angle).max()


@pytest.mark.slow
@pytest.mark.parametrize("kernel", ["exp", "softmax"])
def test_gradients_on_the_sphere_are_those_of_differences(kernel):
    beta, near = 60.0, 0.05
    y0 = np.asarray(af.Sphere(3).random(jr.key(3), (4,)))

    def field(more=0.0):
        bias = {} if kernel == "exp" else {"mask": None}
        return staircase(beta, 4, 3, kernel=kernel, P=(beta + more) * jnp.eye(3), **bias)

    run = af.long_run(field(), y0, near=near, gradients=True)
    assert run.merges.by_start is not None
    measured = differences(lambda h: af.long_run(field(h), y0, near=near).merges.log_t, 1e-4)
    np.testing.assert_allclose(run.merges.by_beta, measured, rtol=1e-4, atol=1e-6)
    move = np.asarray(af.Sphere(3).to_tangent(y0, jr.normal(jr.key(4), y0.shape)))

    def moved(h):
        y = y0 + h * move
        y = y / np.linalg.norm(y, axis=1, keepdims=True)
        return af.long_run(field(), y, near=near).merges.log_t

    predicted = np.einsum("mid,id->m", run.merges.by_start, move)
    np.testing.assert_allclose(predicted, differences(moved, 1e-5), rtol=1e-4, atol=1e-4)
    assert np.abs(np.einsum("mid,id->mi", run.merges.by_start, y0)).max() < 1e-9


def test_labels_follow_the_tree(runs):
    run = runs[4000.0]
    np.testing.assert_array_equal(run.labels(0.0), [0, 1, 2, 3, 4])
    np.testing.assert_array_equal(run.labels(100.0), [0, 0, 1, 2, 3])
    np.testing.assert_array_equal(run.labels(260.0), [0, 0, 0, 1, 1])
    np.testing.assert_array_equal(run.labels(1e5), [0] * 5)
    assert "merges at ln t" in str(run)


def test_tokens_at_one_place_are_one_from_the_start():
    run = af.long_run(staircase(500.0), on_circle([0.0, 0.0, 0.5, 0.5, 0.5]))
    np.testing.assert_array_equal(run.merges.log_t[:3], -np.inf)
    assert run.merges.log_t[3] > 20
    np.testing.assert_array_equal(run.merges.clusters, [4, 3, 2, 1])
    np.testing.assert_allclose(run.energy, [0.52] * 4 + [1.0], atol=1e-6)


def test_forces_that_cancel_end_the_run_as_balanced():
    run = af.long_run(staircase(10.0), on_circle(2 * np.pi / 5 * np.arange(5)))
    assert (run.ended, len(run.merges.log_t)) == ("balanced", 0)
    assert run.energy.shape == (1,)


def test_no_scores_and_one_token():
    run = af.long_run(staircase(0.0), on_circle(ANGLES))
    np.testing.assert_allclose(run.energy, 1.0)
    alone = af.long_run(staircase(5.0, 1), on_circle([0.3]))
    assert alone.ended == "one cluster"


Y = on_circle(ANGLES)
I2 = jnp.eye(2)


@pytest.mark.parametrize(
    ("field", "options", "says"),
    [
        (staircase(9.0), {"merge": 0.5}, "`merge` must be .* smallest distance of tokens, 0.22"),
        (staircase(9.0), {"merge": -1.0}, "`merge` must be a positive number"),
        (staircase(9.0), {"merge": 1e-20}, "`merge` must be from 1e-13"),
        (staircase(9.0), {"near": 0.3}, "`near` must be from the merge distance"),
        (staircase(9.0), {"log_t1": math.nan}, "`log_t1` must be one number"),
        (staircase(9.0), {"rtol": 0.0}, "`rtol` must be a positive number"),
        (staircase(9.0), {"solver": diffrax.Euler()}, "`solver` must be an adaptive solver"),
        (staircase(9.0), {"clock": "arc"}, "`clock` must be one of 'log_t', 't', 'length'"),
        (staircase(9.0), {"clock": "t", "log_t1": 800.0}, '`clock` "t" does not fit: ln t = 800'),
        (staircase(4000.0), {"clock": "t"}, '`clock` "t" does not fit: the run goes on'),
        (staircase(9.0), {"clock": "length", "end": 9.0}, '`clock` "length" does not fit: the path is 0.5'),
        (staircase(9.0), {"clock": "length", "log_t1": 9.0}, "`log_t1` is a time"),
        (staircase(9.0), {"end": 9.0, "log_t1": 9.0}, "`end` and `log_t1` both say"),
        (staircase(9.0), {"clock": "t", "end": 0.0}, "`end` must be positive"),
        (staircase(9.0), {"end": math.nan}, "`end` must be one number"),
        (staircase(9.0), {"saves": np.array([2.0, 1.0])}, "`saves` must be a list of finite numbers that grow"),
        (staircase(9.0), {"saves": 1.0}, "`saves` must be a list of finite numbers that grow; got 1"),
        (staircase(9.0), {"clock": "t", "saves": np.array([-1.0])}, "`saves` must not be negative"),
        (staircase(9.0), {"log_t1": 1.0, "saves": np.array([2.0])}, "`saves` must not be beyond the end"),
        (staircase(-9.0), {}, "`field` must attract"),
        (staircase(9.0, mask="causal"), {}, "full attention is needed"),
        (staircase(9.0, U=-I2), {}, "U = I"),
        (staircase(9.0, kernel="hardmax"), {}, "softmax or exp is needed"),
        (staircase(9.0, weights=[1.0, 1, 1, 1, 0]), {}, "positive weights"),
        (staircase(9.0, mask=jnp.diag(jnp.ones(5))), {}, "a bias differs within a row"),
        (staircase(9.0, mask=jnp.ones((5, 5)) * jnp.arange(5.0)[:, None]), {}, "bias that is one"),
        (af.AttentionField(af.Sphere(2), P=jnp.diag(jnp.array([1.0, 2.0]))), {}, "P = beta I"),
        (af.AttentionField(af.Ellipsoid(2 * I2), P=I2), {}, "`field` does not fit|on the manifold|`y0`"),
        (staircase(9.0, frozen=jnp.arange(5) == 0), {}, "tokens that move is needed"),
        ("a field", {}, "`field` must be an AttentionField"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_in_one_line(field, options, says, as_user):
    with pytest.raises(ValueError, match=says) as caught:
        af.long_run(field, Y, **options)
    assert "\n" not in str(caught.value)


def test_single_precision_is_refused(x64_off, as_user):
    with pytest.raises(ValueError, match="jax_enable_x64"):
        af.long_run(staircase(9.0), on_circle(ANGLES))
