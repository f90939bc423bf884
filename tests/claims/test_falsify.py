"""The search: it breaks what is false and not what is true, is the same each time, and goes on where it stopped."""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from scipy.integrate import solve_ivp

import attnflow as af
from attnflow import search
from attnflow.claims import _falsify
from attnflow.claims._ascend import ascend, mutate

TINY = ((2, 2),)


def at(name, *sizes):
    return dataclasses.replace(search.CLAIMS[name], sizes=sizes)


@pytest.fixture(scope="module")
def heads():
    return search.falsify(at("several heads, own U", *TINY), jr.key(0), 300.0, progress=False)


def test_several_heads_with_their_own_values_do_not_all_go_to_the_top(heads):
    """The extension of Theorem 4.5 that its paper believes in, broken by two tokens on the circle."""
    result = heads.counterexample
    assert result is not None
    assert heads.broken
    assert result.evidence.status == "open"
    assert np.asarray(result.case.tokens.rows).shape == (2, 2)
    field, y0 = result.build()
    assert result.claim.outside(field, y0) == []
    # By NumPy alone: the field at the limit, and that the limit is not v.
    y = np.asarray(result.evidence.equilibrium)
    P, U = (np.asarray(s.value) for s in (field.P, field.U))
    speed = 0.0
    for i in range(2):
        total = np.zeros(2)
        for p, u in zip(P, U, strict=True):
            weights = np.exp([y[i] @ p @ y[j] for j in range(i + 1)])
            total += u @ (weights @ y[: i + 1]) / weights.sum()
        speed = max(speed, np.linalg.norm(total - (y[i] @ total) * y[i]))
    assert speed < 1e-12
    v = np.linalg.eigh(U.sum(axis=0))[1][:, -1]
    v = v * np.sign(np.asarray(y0)[0] @ v)
    assert np.all(np.asarray(y0) @ v > 0)
    assert np.min(y @ v) < 0.9


@pytest.mark.slow
def test_the_integer_counterexample_to_several_heads_is_one_for_scipy_too():
    """P, U and tokens in whole numbers; NumPy's field and DOP853, far from v at t = 200."""
    P = np.array([[[-4.0, 8], [1, 11]], [[3, 11], [-10, 4]]])
    U = np.array([[[1.0, 0], [0, 0]], [[-1, -1], [-1, -1]]])
    y0 = np.array([[-1.0, 0], [0, 1]])

    def velocity(t, flat):
        y, out = flat.reshape(2, 2), np.zeros((2, 2))
        for i in range(2):
            for p, u in zip(P, U, strict=True):
                weights = np.exp(y[: i + 1] @ (y[i] @ p))
                out[i] += u @ (weights @ y[: i + 1]) / weights.sum()
            # Eq. (3): the tangent map of the projection, off the sphere as well.
            n2 = y[i] @ y[i]
            out[i] = (out[i] - y[i] * (y[i] @ out[i]) / n2) / np.sqrt(n2)
        return out.ravel()

    run = solve_ivp(velocity, (0, 200), y0.ravel(), method="DOP853", rtol=1e-12, atol=1e-14)
    end = run.y[:, -1].reshape(2, 2)
    v = np.linalg.eigh(U.sum(axis=0))[1][:, -1]
    v = v * np.sign(y0[0] @ v)
    assert np.all(y0 @ v > 0.5)
    assert np.linalg.eigvalsh(U.sum(axis=0))[-1] == pytest.approx((5**0.5 - 1) / 2)
    assert np.linalg.norm(end[0] - v) < 1e-9
    assert end[1] @ v < -0.1
    field = af.AttentionField(
        af.Sphere(2), P=jnp.asarray(P), U=jnp.asarray(U), mask="causal", scale=1.0
    )
    evidence = search.verify(
        search.CLAIMS["several heads, own U"], field, jnp.asarray(y0), key=jr.key(0)
    )
    assert evidence.status == "open"
    np.testing.assert_allclose(evidence.equilibrium, end, atol=1e-9)


def test_the_same_key_gives_the_same_counterexample(heads):
    repeated = search.falsify(at("several heads, own U", *TINY), jr.key(0), 300.0, progress=False)
    assert repeated.counterexample.case == heads.counterexample.case
    assert repeated.counterexample.evidence.plain() == heads.counterexample.evidence.plain()
    assert (repeated.tries, repeated.units) == (heads.tries, heads.units)
    np.testing.assert_array_equal(repeated.distribution, heads.distribution)


def test_the_report_says_what_broke_and_how_hard_it_was_tried(heads):
    report = str(heads)
    for part in ("broken", "tokens", "P ", "U ", "causal attention", "open: a stable equilibrium"):
        assert part in report
    assert f"{heads.tries} tries" in report
    assert int(heads.distribution.sum()) == heads.tries - heads.failed


def test_a_search_that_is_over_is_not_gone_through_again(heads, monkeypatch, tmp_path):
    monkeypatch.setattr(_falsify, "_unit", None)
    heads.save(tmp_path / "search.json")
    repeated = search.falsify(heads.claim, jr.key(0), 1.0, store=tmp_path / "search.json")
    assert repeated.counterexample.plain() == heads.counterexample.plain()
    assert str(repeated) == str(heads)


def test_margins_are_counted_by_decades_and_runs_that_failed_apart():
    findings = search.Findings(RESISTS, [0])
    findings.count(np.array([-1.0, 0.0, 3e-10, 0.5, np.nan, 0.02]))
    findings.count(np.array([2e-10, np.inf]))
    assert (findings.tries, findings.failed, findings.best) == (8, 2, 0.5)
    counts = dict(zip(findings.edges[:-1].tolist(), findings.distribution.tolist(), strict=True))
    assert {low: n for low, n in counts.items() if n} == pytest.approx(
        {-np.inf: 1, 0.0: 1, 1e-10: 2, 1e-2: 1, 1e-1: 1}
    )
    report = str(findings)
    assert "no counterexample found" in report
    assert "8 tries" in report
    assert "2 failed" in report
    (row,) = [line for line in report.splitlines() if line.strip().startswith("1e-10 to 1e-09")]
    assert row.split()[3:] == ["2", "#" * 30]


# === a claim that resists, in steps of a clock of one's own


def _draw(key, tokens, dim):
    a, b = jr.split(key)
    return {"y": jr.normal(a, (tokens, dim)), "beta": jr.normal(b)}


def _build(x):
    field = af.AttentionField(af.Sphere(2), P=x["beta"] * jnp.eye(2), mask="causal", scale=1.0)
    return field, search.on_sphere(x["y"])


def _domain(field, y0):
    beta = float(field.P(0.0)[0, 0])
    return [af.theory.Hypothesis("a number", bool(np.isfinite(beta)), f"beta = {beta}")]


RESISTS = search.Claim(
    name="two causal tokens",
    statement="The second token comes to the first.",
    draw=_draw,
    build=_build,
    domain=_domain,
    conclusion=search.ToTheFirst(),
    sizes=TINY,
)


class Clock:
    """A clock that a second goes by on at each look."""

    def __init__(self):
        self.now = 0.0

    def monotonic(self):
        self.now += 1.0
        return self.now


@pytest.fixture
def clock(monkeypatch):
    monkeypatch.setattr(_falsify, "clock", Clock())


def test_an_account_of_another_search_is_refused(clock, monkeypatch, tmp_path):
    monkeypatch.setattr(_falsify, "_unit", lambda found, *_: found.count(np.zeros(3)))
    path = tmp_path / "search.json"
    search.falsify(RESISTS, jr.key(1), 3.0, store=path, progress=False)
    for claim, key in [
        (RESISTS, jr.key(2)),
        (dataclasses.replace(RESISTS, name="other"), jr.key(1)),
        (dataclasses.replace(RESISTS, sizes=((3, 2),)), jr.key(1)),
    ]:
        with pytest.raises(ValueError, match="is of a search with another"):
            search.falsify(claim, key, 3.0, store=path, progress=False)
    path.write_text("nothing")
    with pytest.raises(ValueError, match="is not the account of a search"):
        search.falsify(RESISTS, jr.key(1), 3.0, store=path, progress=False)


def test_an_account_of_version_0_9_is_gone_on_from(tmp_path):
    path = tmp_path / "search.json"
    path.write_text((Path(__file__).parent / "search-0.9.json").read_text())
    findings = search.Findings.load(path, search.CLAIMS["no hemisphere"], [0, 5])
    assert (findings.tries, findings.failed, findings.units, findings.best) == (9, 2, 3, 0.5)
    assert findings.refused == {"transient": 2}
    findings.save(path)
    again = search.Findings.load(path, search.CLAIMS["no hemisphere"], [0, 5])
    assert str(again) == str(findings)


def test_bad_arguments_are_refused(x64_off):
    with pytest.raises(ValueError, match="`claim` must be one of"):
        search.falsify("riemann", jr.key(0), 1.0)
    for budget in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="`budget` must be a positive number"):
            search.falsify("3.2", jr.key(0), budget)
    with pytest.raises(ValueError, match="needs float64"):
        search.falsify("3.2", jr.key(0), 1.0)


def test_a_size_that_a_claim_is_not_made_for_is_refused():
    with pytest.raises(
        ValueError, match=r"`sizes` has 3 tokens in R\^3, for which 'circle' builds"
    ):
        search.falsify(at("circle", (3, 3)), jr.key(0), 1.0, progress=False)


# === better tries from good ones


@pytest.mark.slow
def test_ascent_raises_the_margin_of_every_row(getkey):
    claim = search.CLAIMS["4.5, V falls"]
    numbers = jax.vmap(lambda k: claim.draw(k, 3, 2))(jr.split(getkey(), 8))

    def margins(x):
        field, y = claim.build(x)
        return claim.conclusion.margin(field, jnp.zeros(()), y)

    before, after = jax.vmap(margins)(numbers), jax.vmap(margins)(ascend(claim, numbers))
    assert bool(jnp.all(after >= before))
    assert float(jnp.mean(after > before + 0.05)) > 0.7


def test_children_are_near_their_parents_each_by_a_size_of_its_own(getkey):
    parents = {"y": jr.normal(getkey(), (4, 3, 2)), "height": jr.normal(getkey(), (4,))}
    children = mutate(getkey(), parents, 64)
    assert children["y"].shape == (64, 3, 2)
    away = jnp.abs(children["y"] - jnp.repeat(parents["y"], 16, axis=0)).max(axis=(1, 2))
    assert float(away.min()) < 0.05
    assert 0.5 < float(away.max()) < 10
    assert len(np.unique(np.asarray(children["height"]))) == 64


# === the claims of the library


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("no hemisphere", ((2, 2), (3, 2), (4, 2))),
        ("no hemisphere", ((4, 3), (6, 3))),
        ("symmetric U, full, no hemisphere", TINY),
        ("symmetric U, causal, no hemisphere", TINY),
        ("heads that cancel", TINY),
        ("4.2 as printed", ((3, 2),)),
    ],
)
def test_false_claims_are_broken_and_the_files_hold(tmp_path, name, sizes):
    for seed in (11, 12):
        findings = search.falsify(at(name, *sizes), jr.key(seed), 600.0, progress=False)
        assert findings.broken, str(findings)
        path = tmp_path / f"{seed}.json"
        findings.counterexample.write(path)
        assert (
            search.check_counterexample(path).evidence.status
            == findings.counterexample.evidence.status
        )


@pytest.mark.slow
@pytest.mark.parametrize("name", ["3.2", "4.2", "4.5", "several heads, one v"])
def test_true_claims_are_not_broken(name):
    for seed in (11, 12):
        findings = search.falsify(at(name, (3, 2)), jr.key(seed), 10.0, progress=False)
        assert not findings.broken, str(findings)
        assert findings.tries > 256
