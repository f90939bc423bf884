"""Contraction to a common eigenvector: where it applies, runs obey its rate; where it does not, they need not."""

import json
from pathlib import Path

import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import attnflow as af
from attnflow.theorems._by_computer import CERTIFICATES

SPHERE = af.Sphere(3)
V = np.array([2.0, -1.0, 2.0]) / 3
TS = jnp.linspace(0.0, 4.0, 41)
NEAR = SPHERE.random_hemisphere(jr.key(1), (5,), v=jnp.asarray(V))


def keeps(rng, top, rest):
    """A matrix, not symmetric, with v as left and right eigenvector, of norm `rest` across it."""
    across = np.eye(3) - np.outer(V, V)
    M = across @ rng.normal(size=(3, 3)) @ across
    return top * np.outer(V, V) + M * (rest / np.linalg.norm(M, 2))


def moving(rng):
    return rng.normal(size=(2, 3, 3)) + af.Sinusoid(rng.normal(size=(2, 3, 3)), 7.0)


def drawn(seed, mask=None, rest=0.9, **options):
    """Two heads of different U, scores that move in time."""
    rng = np.random.default_rng(seed)
    U = np.stack([keeps(rng, 1.0, rest), keeps(rng, 0.6, rest * 0.6)])
    return af.AttentionField(SPHERE, moving(rng), U=U, mask=mask, **options)


def predicted(field, y0):
    """What the theorem says of a field and start to which it applies."""
    verdict = af.theory.verdicts(field, y0)["contraction"]
    assert verdict.applies is True, verdict.reason
    assert verdict.prediction is not None
    assert verdict.prediction.limit is not None
    assert verdict.prediction.rate is not None
    return verdict.prediction.limit, verdict.prediction.rate


MASKS = {
    "full": None,
    "causal": "causal",
    "only the first": np.eye(5, dtype=bool) | (np.arange(5) == 0),
}


@pytest.mark.parametrize(
    "mask", [m if m == "causal" else pytest.param(m, marks=pytest.mark.slow) for m in MASKS]
)
def test_runs_fall_at_the_rate_of_the_theorem_from_the_start_on(mask):
    for seed in range(3):
        field = drawn(seed, MASKS[mask])
        limit, rate = predicted(field, NEAR)
        assert rate == pytest.approx(0.1 * 1.6 / 3**0.5)
        np.testing.assert_allclose(limit, V, atol=1e-12)
        run = af.simulate(field, NEAR, t1=TS[-1], ts=TS)
        along = np.asarray(run.ys) @ V
        across = np.linalg.norm(np.asarray(run.ys) - along[..., None] * V, axis=-1)
        widest = (across / along).max(axis=1)
        bound = widest[0] * np.exp(-rate * np.asarray(TS))
        assert np.all(widest <= bound * (1 + 1e-6))
        assert np.all(np.diff(widest) < 0)


def test_the_rate_is_reached():
    """One token that attends to itself, U = diag(1, -mu): tan falls at exactly (1 + mu), and mu > 0 at 1 - mu."""
    field = af.AttentionField(af.Sphere(2), P=np.eye(2), U=np.diag([1.0, 0.4]), scale=1.0)
    y0 = af.Sphere(2).project(jnp.array([[1.0, 0.7]]))
    assert predicted(field, y0)[1] == pytest.approx(0.6)
    y1 = af.simulate(field, y0, t1=2.0).y1[0]
    assert float(y1[1] / y1[0]) == pytest.approx(0.7 * np.exp(-1.2), rel=1e-6)


def test_the_monitor_watches_it():
    field = drawn(4)
    watch = af.theory.monitor(field, NEAR)
    assert watch.verdicts["contraction"].applies is True
    good = watch.check(af.simulate(field, NEAR, t1=4.0, ts=TS, observe=watch.observe))
    assert good.holds, str(good)
    assert len([c for c in good.checks if c.theorem == "contraction"]) == 3
    other = drawn(4, scale=-1.0)
    bad = watch.check(af.simulate(other, NEAR, t1=4.0, ts=TS, observe=watch.observe))
    assert not bad.holds


def test_tokens_on_the_other_side_go_to_the_other_vector():
    np.testing.assert_allclose(predicted(drawn(0), -NEAR)[0], -V, atol=1e-12)


rng = np.random.default_rng(9)
ASKEW = np.stack([keeps(rng, 1.0, 0.5), keeps(rng, 1.0, 0.5) + 1e-6 * np.eye(3, k=1)])
BLIND = np.eye(5, dtype=bool)
OUTSIDE = {
    "U = I": (af.AttentionField(SPHERE, np.eye(3)), NEAR, "top eigenvalue"),
    "larger across v": (drawn(0, rest=1.001), NEAR, "in head"),
    "a head with another v": (
        af.AttentionField(SPHERE, np.ones((2, 3, 3)), U=ASKEW),
        NEAR,
        "no left",
    ),
    "tokens on both sides": (drawn(0), NEAR.at[2].multiply(-1), "token"),
    "another kernel": (
        af.AttentionField(SPHERE, np.eye(3), U=keeps(rng, 1.0, 0.5), kernel="exp"),
        NEAR,
        "kernel",
    ),
    "a negative scale": (
        af.AttentionField(SPHERE, np.eye(3), U=keeps(rng, 1.0, 0.5), scale=-1.0),
        NEAR,
        "scale",
    ),
    "lambda below zero": (
        af.AttentionField(SPHERE, np.eye(3), U=-keeps(rng, 1.0, 0.5)),
        NEAR,
        "",
    ),
}


@pytest.mark.parametrize("kind", OUTSIDE)
def test_it_does_not_apply_outside_its_hypotheses(kind):
    field, y0, why = OUTSIDE[kind]
    verdict = af.theory.verdicts(field, y0)["contraction"]
    assert verdict.applies is False
    assert why in verdict.reason
    assert verdict.prediction is None


def test_masses_are_allowed():
    U = keeps(rng, 1.0, 0.5)
    heavy = af.AttentionField(SPHERE, np.eye(3), U=U, weights=np.array([1.0, 2, 3, 4, 5]))
    assert af.theory.verdicts(heavy, NEAR)["contraction"].applies is True


# === U that moves, and keeps v


def restless(rest, jumps=False):
    """Two heads: one of lambda 1 + sin/4 with a turning part across v, one that is constant or jumps."""
    rng = np.random.default_rng(3)
    along = np.outer(V, V)
    across = keeps(rng, 0.0, rest)
    swings = af.Sinusoid(np.stack([0.25 * along, 0 * along]), 2.0)
    turns = af.Sinusoid(np.stack([across, 0 * along]), 6.0)
    still = np.stack([along, keeps(rng, 0.6, 0.3)])
    U = still + swings + turns
    if jumps:
        pieces = np.stack([np.stack([0 * along, keeps(rng, 0.2, c)]) for c in (0.1, 0.3, 0.05)])
        U = U + af.Piecewise(jnp.array([0.5, 0.503]), pieces)
    return af.AttentionField(SPHERE, moving(rng), U=U)


@pytest.mark.parametrize("jumps", [False, True])
def test_a_U_that_moves_and_keeps_v_contracts_at_the_least_rate(jumps):
    field = restless(0.4, jumps)
    limit, rate = predicted(field, NEAR)
    np.testing.assert_allclose(limit, V, atol=1e-12)
    # 1 - 1/4 - 0.4, were both least at once, and 0.6 - 0.3 (with jumps: the worst piece), less a few per cent.
    least = (0.75 - 0.4 + (0.6 + 0.2 - 0.3 - 0.3 if jumps else 0.3)) / 3**0.5
    assert rate >= least * 0.93
    run = af.simulate(field, NEAR, t1=TS[-1], ts=TS)
    along = np.asarray(run.ys) @ V
    widest = (np.linalg.norm(np.asarray(run.ys) - along[..., None] * V, axis=-1) / along).max(
        axis=1
    )
    assert np.all(widest <= widest[0] * np.exp(-rate * np.asarray(TS)) * (1 + 1e-6))


def test_a_U_that_is_larger_across_v_for_a_moment_is_seen():
    """Over a period of 2 pi, for 0.003: no grid has it, the table's own times do."""
    rng = np.random.default_rng(3)
    pieces = np.stack([keeps(rng, 1.0, 0.5), keeps(rng, 1.0, 1.4), keeps(rng, 1.0, 0.5)])
    short = af.Piecewise(jnp.array([0.5, 0.503]), pieces)
    swings = af.Sinusoid(0.01 * np.outer(V, V), 1.0)
    verdict = af.theory.verdicts(af.AttentionField(SPHERE, np.eye(3), U=short + swings), NEAR)
    assert verdict["contraction"].applies is False
    assert "in head" in verdict["contraction"].reason


def test_a_gap_that_steps_are_too_long_to_show_is_undecided():
    """lambda less mu is 0.05 at least, and moves by 40 a unit of time: 1024 times a period do not show it."""
    rng = np.random.default_rng(3)
    swings = af.Sinusoid(0.45 * np.outer(V, V), 0.5)
    fast = af.Sinusoid(keeps(rng, 0.0, 0.25), 160.0)
    U = keeps(rng, 1.0, 0.0001) + swings + fast
    verdict = af.theory.verdicts(af.AttentionField(SPHERE, np.eye(3), U=U), NEAR)["contraction"]
    assert verdict.applies is None
    assert "between which it may fall" in verdict.reason


def test_a_U_that_turns_v_or_is_not_known_to_repeat_is_refused_or_undecided():
    turning = 0.1 * np.outer(V, np.cross(V, [1.0, 0, 0]))
    U = keeps(rng, 1.0, 0.5)
    leaves = af.AttentionField(SPHERE, np.eye(3), U=U + af.Sinusoid(turning, 1.0))
    assert "no left and right" in af.theory.verdicts(leaves, NEAR)["contraction"].reason
    keeps_v = 0.1 * np.outer(V, V)
    two = U + af.Sinusoid(keeps_v, 1.0) + af.Sinusoid(keeps_v, 2**0.5)
    verdict = af.theory.verdicts(af.AttentionField(SPHERE, np.eye(3), U=two), NEAR)["contraction"]
    assert verdict.applies is None
    assert "not known to repeat" in verdict.reason


# === several heads with one top eigenvector


def top_heavy(seed, lowest):
    """Symmetric, top eigenvector v with eigenvalue 1, the others from `lowest` to 0.8."""
    Q = np.linalg.qr(np.column_stack([V, np.random.default_rng(seed).normal(size=(3, 2))]))[0]
    return (Q * np.array([1.0, lowest, 0.8])) @ Q.T


def test_causal_heads_with_one_top_eigenvector_come_to_it_however_negative_the_rest():
    U = np.stack([top_heavy(0, -6.0), top_heavy(1, -3.0)])
    field = af.AttentionField(SPHERE, moving(np.random.default_rng(0)), U=U, mask="causal")
    verdicts = af.theory.verdicts(field, NEAR)
    assert verdicts["one v"].applies is True, verdicts["one v"].reason
    assert verdicts["contraction"].applies is False
    watch = af.theory.monitor(field, NEAR)
    ts = jnp.linspace(0.0, 60.0, 61)
    report = watch.check(af.simulate(field, NEAR, t1=60.0, ts=ts, observe=watch.observe))
    assert report.holds, str(report)
    assert report.distances["one v"] < 1e-4
    full = af.AttentionField(SPHERE, moving(np.random.default_rng(0)), U=U)
    assert af.theory.verdicts(full, NEAR)["one v"].applies is False
    other = np.stack([top_heavy(0, -6.0), np.diag([1.0, 2.0, 0.5])])
    apart = af.AttentionField(SPHERE, np.ones((2, 3, 3)), U=other, mask="causal")
    assert "heads differ" in af.theory.verdicts(apart, NEAR)["one v"].reason


# === U = I


def test_a_P_that_jumps_is_no_obstacle_to_consensus_in_a_hemisphere():
    P = af.Piecewise(jnp.array([0.7, 1.9]), np.random.default_rng(5).normal(size=(3, 3, 3)))
    field = af.AttentionField(SPHERE, P)
    verdicts = af.theory.verdicts(field, NEAR)
    assert verdicts["3.2"].applies is False
    assert verdicts["linear consensus"].applies is True, verdicts["linear consensus"].reason
    watch = af.theory.monitor(field, NEAR)
    report = watch.check(af.simulate(field, NEAR, t1=4.0, ts=TS, observe=watch.observe))
    assert report.holds, str(report)
    assert {c.quantity for c in report.checks if c.theorem == "linear consensus"} == {
        "spread of y / v'y",
        "least v'y",
    }


def test_its_rate_from_the_start_on_is_a_lower_bound():
    field = af.AttentionField(SPHERE, 0.3 * np.eye(3), scale=1.0)
    prediction = af.theory.verdicts(field, NEAR)["linear consensus"].prediction
    assert prediction is not None
    assert prediction.v is not None
    heights = np.asarray(NEAR) @ prediction.v
    rate = heights.min() * np.exp(-2 * np.linalg.norm(0.3 * np.eye(3)))
    assert f"exp(-{rate:.3g} t)" in prediction.says
    ys = np.asarray(af.simulate(field, NEAR, t1=4.0, ts=TS).ys)
    z = ys / (ys @ prediction.v)[..., None]
    spread = np.ptp(z, axis=1).max(axis=1)
    assert np.all(spread <= spread[0] * np.exp(-rate * np.asarray(TS)) * (1 + 1e-6))


# === by computer

CIRCLE = af.Sphere(2)
SPREAD = np.stack([np.cos([0.1, 2.0, 4.3]), np.sin([0.1, 2.0, 4.3])], axis=1)


@pytest.mark.parametrize(
    ("beta", "applies"), [(-0.17, True), (-0.66, True), (-0.67, False), (-0.1, False)]
)
def test_the_gap_is_known_by_computer(beta, applies):
    for kernel in ("softmax", "exp"):
        field = af.AttentionField(CIRCLE, beta * np.eye(2), kernel=kernel)
        verdicts = af.theory.verdicts(field, SPREAD)
        assert verdicts["by computer"].applies is applies, verdicts["by computer"].reason
        if applies:
            assert verdicts["synchronisation"].applies is False
            assert "certificate gap-3" in verdicts["by computer"].theorem


def test_it_is_about_certificates_that_are_kept():
    folder = Path(__file__).parents[2] / "benchmarks/results/certificates/covers"
    for tokens, (name, lowest) in CERTIFICATES.items():
        made = json.loads((folder / f"{name}.json").read_text())
        lo = made["beta"][0]
        assert len(made["weights"]) == tokens
        value = float(lo) if "/" not in lo else -2 / 3
        assert value == pytest.approx(lowest)
        assert made["beta"][1] == "-0.16"


def test_other_numbers_of_tokens_or_dimensions_are_not_known_by_computer():
    y = SPHERE.random(jr.key(0), (3,))
    field = af.AttentionField(SPHERE, -0.3 * np.eye(3))
    assert af.theory.verdicts(field, y)["by computer"].applies is False
    a = np.linspace(0, 6, 12)
    many = np.stack([np.cos(a), np.sin(a)], axis=1)
    verdicts = af.theory.verdicts(af.AttentionField(CIRCLE, -0.3 * np.eye(2)), many)["by computer"]
    assert "no certificate for 12 tokens" in verdicts.reason
