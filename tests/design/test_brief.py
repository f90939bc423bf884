"""Briefs: read strictly, each error one line with its place; what a search is given is what they say."""

from types import SimpleNamespace

import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import attnflow as af
from attnflow import schedules
from attnflow.design import _brief
from attnflow.search import Brief, ConsensusTime, CVaR, Evolution, Final, Integral

SMALL = """
title = "small"

[manifold]
dim = 3

[tokens]
count = 4

[attention]
mask = "causal"

[time]
t1 = 8.0

[search]
steps = 7

[search.P]
family = "constant"
sd = 1.0
"""
LOG = 'family = "piecewise"\npieces = 4\nspacing = "log"'


def brief(tmp_path, text=SMALL) -> Brief:
    path = tmp_path / "brief.toml"
    path.write_text(text)
    return Brief.read(path)


def changed(search: str = "", P: str | None = None, **others: str) -> str:
    """The small brief with lines added to [search], others in place of [search.P], tables replaced."""
    text = SMALL.replace("steps = 7\n", f"steps = 7\n{search}\n")
    if P is not None:
        text = text.replace('family = "constant"\nsd = 1.0\n', f"{P}\n")
    for name, table in others.items():
        head, _, rest = text.partition(f"[{name}]\n")
        tail = rest[rest.index("\n[") :]
        text = f"{head}[{name}]\n{table}\n{tail}"
    return text


# === files


@pytest.mark.parametrize("name", Brief.names())
def test_a_ready_brief_says_what_it_asks_and_its_case_can_be_built(name):
    text = Brief.text(name)
    assert text.startswith("# ")
    assert len([line for line in text.splitlines() if line.startswith("#")]) >= 3
    one = Brief.read(name)
    assert one.title
    field, y0, options = one.case().build()
    assert y0.shape == (one.tokens.count, one.manifold.dim)
    assert y0.dtype == one.dtype
    assert float(options["t1"]) == one.time.t1
    assert field.heads == ((one.search.P and one.search.P.heads) or 1)


def test_the_four_ready_briefs_are_there():
    assert Brief.names() == ("accelerate", "delay", "delay-values", "robust-delay")


def test_accelerate_ends_where_the_tanh_reference_is_at_a_twentieth():
    field, y0, options = Brief.read("accelerate").case().build()
    E = af.theory.reference_misalignment(field, y0, jnp.asarray(options["t1"]))
    assert float(E) == pytest.approx(0.05, rel=5e-3)


def test_a_brief_survives_being_written(tmp_path):
    import msgspec

    for name in Brief.names():
        one = Brief.read(name)
        path = tmp_path / f"{name}.toml"
        path.write_bytes(msgspec.toml.encode(one))
        assert Brief.read(path) == one


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (changed("goal = 'grow'"), "$.search.goal: Invalid enum value 'grow'"),
        (changed("gaol = 'minimise'"), "$.search: Object contains unknown field `gaol`"),
        (changed("steps = 0").replace("steps = 7\n", ""), "$.search.steps: Expected `int` >= 1"),
        (changed("log = 1"), "$.search.log: Expected `bool | null`, got `int`"),
        (changed("objective = 'integral'\nlog = true"), "$.search: `log` is for"),
        (changed("threshold = 0.1"), "$.search: `threshold` is for the objective consensus-time"),
        (changed("number = 3\nstarts = 3"), "$.search: give `number` (fresh starts) or `starts`"),
        (changed("risk = 1.5"), "$.search: `risk` as a fraction must be in ]0, 1[; got 1.5"),
        (changed("risk = 'median'"), "$.search.risk"),
        (changed("optimiser = 'lbfgs'\nrate = 0.1"), "$.search: `rate` is not used by lbfgs"),
        (changed("optimiser = 'lbfgs'\nnumber = 2"), "$.search: `number`: lbfgs needs the same"),
        (changed("optimiser = 'cma'\nrestarts = 2"), "$.search: `restarts` must be 1 with cma"),
        (changed("held_back = 9"), "$.search: `held_back` is for `number` or `starts`"),
        (changed("restarts = 2", P="sd = 0.0"), "$.search: `restarts` would all begin at the same"),
        (SMALL[: SMALL.index("[search.P]")], "$.search: a table [search.P] or [search.U] must say"),
        (SMALL[: SMALL.index("[search]")], "Object missing required field `search`"),
        (changed(P="pieces = 3"), "$.search.P: `pieces` is for other families than constant"),
        (changed(P="family = 'piecewise'"), "$.search.P: `pieces` must say how many pieces"),
        (changed(P="family = 'fourier'"), "$.search.P: `pieces` must say how many modes"),
        (
            changed(P="family = 'interpolated'\npieces = 1"),
            "$.search.P: `pieces` must be 2 or more",
        ),
        (changed(P="spacing = 'log'"), "$.search.P: `spacing` is for piecewise and interpolated"),
        (changed(P="first = 0.1"), '$.search.P: `first` is for spacing = "log"'),
        (changed(P=f"{LOG}\nfirst = 8.0"), "$.search.P: `first` must be below the time 8; got 8"),
        (changed(P="period = 2.0"), "$.search.P: `period` is for the family fourier"),
        (changed(P="norm = 'spectral'"), "$.search.P: `norm` is that of a `bound`"),
        (changed(P="bound = -1.0"), "$.search.P.bound: Expected `float` > 0.0"),
        (changed(P="rank = 1\nsymmetric = true"), "$.search.P: `rank` and `symmetric` exclude"),
        (changed(P="rank = 1\nidentity = 1.0"), "$.search.P: `rank` begins at random"),
        (changed(P="heads = 2\n[search.U]\nheads = 3"), "$.search.U: `heads` must be that of P, 2"),
        (changed(attention="P = 1.0"), "$.attention.P: is searched over; say in [search.P]"),
        (SMALL.replace("search.P", "search.U"), "$.attention: needs `P`, unless [search.P]"),
        (
            changed("number = 2", tokens="rows = [[1.0, 0.0, 0.0]]"),
            "$.tokens: `number` and `starts` draw tokens",
        ),
        (changed(time="t1 = -1.0"), "$.time: `t1` must be after `t0`"),
        (SMALL + "\n[output]\n", "Object contains unknown field `output`"),
        (SMALL + "[search", "Invalid"),
    ],
)
def test_a_bad_brief_is_refused_in_one_line_with_its_place(tmp_path, text, reason):
    with pytest.raises(ValueError, match=r".") as caught:
        brief(tmp_path, text)
    line = str(caught.value)
    assert "\n" not in line
    place, _, what = line.partition(": ")
    assert place == str(tmp_path / "brief.toml")
    assert what.startswith(reason) or reason == "Invalid"


def test_an_unknown_name_is_refused_with_those_there_are():
    with pytest.raises(ValueError, match=r"`nope` is neither a .toml file .* accelerate, delay"):
        Brief.read("nope")
    with pytest.raises(ValueError, match="`nope` is not one of the ready briefs accelerate"):
        Brief.text("nope")
    with pytest.raises(OSError, match="absent"):
        Brief.read("absent.toml")


# === schedules to begin with


def begun(tmp_path, P, key=0):
    return brief(tmp_path, changed(P=P)).begin(jr.key(key))


def test_pieces_are_equal_or_grow_by_a_common_factor(tmp_path):
    even = begun(tmp_path, 'family = "piecewise"\npieces = 4')
    np.testing.assert_allclose(even.times, [2.0, 4.0, 6.0])
    uneven = begun(tmp_path, f"{LOG}\nfirst = 0.125")
    np.testing.assert_allclose(uneven.times, [0.125, 0.5, 2.0])
    np.testing.assert_allclose(begun(tmp_path, LOG).times, [0.008, 0.08, 0.8])


def test_knots_hold_both_ends(tmp_path):
    knots = 'family = "interpolated"\npieces = 5'
    np.testing.assert_allclose(begun(tmp_path, knots).ts, [0.0, 2.0, 4.0, 6.0, 8.0])
    log = begun(tmp_path, f'{knots}\nspacing = "log"\nfirst = 1.0')
    np.testing.assert_allclose(log.ts, [0.0, 1.0, 2.0, 4.0, 8.0])
    assert log.ts[-1] == 8.0
    assert isinstance(log, schedules.Interpolated)


def test_a_fourier_sum_has_its_modes_and_period(tmp_path):
    whole = begun(tmp_path, 'family = "fourier"\npieces = 2\nheads = 3')
    assert whole.cosine.shape == whole.sine.shape == (2, 3, 3, 3)
    assert float(whole.omega) == pytest.approx(2 * np.pi / 8)
    half = begun(tmp_path, 'family = "fourier"\npieces = 2\nperiod = 4.0')
    assert float(half.omega) == pytest.approx(2 * np.pi / 4)


def test_it_begins_at_a_multiple_of_the_identity_with_normal_numbers_added(tmp_path):
    exact = begun(tmp_path, 'family = "piecewise"\npieces = 2\nidentity = -2.0\nsd = 0.0')
    np.testing.assert_array_equal(exact.values, -2 * np.broadcast_to(np.eye(3), (2, 1, 3, 3)))
    many = 'family = "piecewise"\npieces = 400\nidentity = 1.0\nsd = 0.5'
    noise = np.asarray(begun(tmp_path, many).values) - np.eye(3)
    assert noise.mean() == pytest.approx(0, abs=0.03)
    assert noise.std() == pytest.approx(0.5, rel=0.05)
    other = np.asarray(begun(tmp_path, many, key=1).values) - np.eye(3)
    assert abs(np.corrcoef(noise.ravel(), other.ravel())[0, 1]) < 0.06


def test_symmetric_and_low_rank_schedules_are_that_exactly(tmp_path):
    P = begun(tmp_path, 'family = "fourier"\npieces = 2\nsymmetric = true')(jnp.asarray(0.7))
    np.testing.assert_array_equal(P, np.swapaxes(P, -1, -2))
    P = begun(tmp_path, "rank = 2\nheads = 2\nsd = 1.0")
    assert isinstance(P, schedules.Factored)
    assert P.shape == (2, 3, 3)
    singular = np.linalg.svd(np.asarray(P(0.0)), compute_uv=False)
    assert (singular[:, 2] < 1e-14).all()
    assert (singular[:, 1] > 1e-3).all()


def test_values_are_shared_by_heads_unless_they_are_said_to_have_their_own(tmp_path):
    both = brief(tmp_path, changed(P="heads = 2\n[search.U]\nidentity = 1.0"))
    begun = both.begin(jr.key(0))
    assert (begun["P"].shape, begun["U"].shape) == ((2, 3, 3), (3, 3))
    assert not np.allclose(begun["P"](0.0)[0], begun["U"](0.0) - np.eye(3))
    own = brief(tmp_path, changed(P="heads = 2\n[search.U]\nheads = 2")).begin(jr.key(0))
    assert own["U"].shape == (2, 3, 3)
    alone = SMALL.replace("search.P", "search.U").replace("[attention]", "[attention]\nP = 1.0")
    assert list(brief(tmp_path, alone).begin(jr.key(0))) == ["U"]


# === starts


def test_a_single_start_is_that_of_the_tokens_and_is_reported_on(tmp_path):
    one = brief(tmp_path)
    y0 = af.Sphere(3).random(jr.key(0), (4,))
    np.testing.assert_array_equal(one.starts(), y0)
    np.testing.assert_array_equal(one.held_back(), y0[None])


def test_starts_held_back_are_none_of_the_search_s_and_the_same_each_time(tmp_path):
    fixed = brief(tmp_path, changed("starts = 5\nheld_back = 6"))
    starts, held = fixed.starts(), fixed.held_back()
    assert (starts.shape, held.shape) == ((5, 4, 3), (6, 4, 3))
    assert np.abs(np.asarray(starts)[:, None] - np.asarray(held)[None]).max(axis=(2, 3)).min() > 0.1
    np.testing.assert_array_equal(held, fixed.held_back())
    other = fixed.with_flags(seed=1)
    assert not np.allclose(other.held_back(), held)
    assert not np.allclose(other.starts(), starts)


def test_fresh_starts_are_of_the_law_and_dtype_of_the_brief(tmp_path):
    text = changed("number = 2", tokens='count = 50\nlaw = "hemisphere"\nv = [0.0, 0.0, 1.0]')
    fresh = brief(tmp_path, 'dtype = "float32"\n' + text)
    y = fresh.starts()(jr.key(3))
    assert (y.shape, y.dtype) == ((50, 3), jnp.float32)
    assert (np.asarray(y)[:, 2] > 0).all()
    assert fresh.held_back().shape == (64, 50, 3)


# === what the search is given


@pytest.fixture
def asked(monkeypatch):
    """What `optimise` was asked, in place of doing it."""
    calls = []

    def optimise(objective, schedule, **options):
        calls.append(SimpleNamespace(objective=objective, schedule=schedule, **options))
        field = af.AttentionField(af.Sphere(3), P=jnp.eye(3))
        return af.search.Optimised(
            field.P, field, 0.0, np.zeros(1), field.P, Final(), "minimise", af.search.History(1), "",
            0.0, {}, None, None,
        )  # fmt: skip

    monkeypatch.setattr(_brief, "optimise", optimise)
    return calls


def test_a_search_is_given_what_the_brief_says(tmp_path, asked):
    more = "goal = 'maximise'\nobjective = 'consensus-time'\nthreshold = 0.1\nnumber = 3\nrisk = 0.25\n"
    more += "restarts = 2\npatience = 5\nchunk = 2\nrate = 0.5"
    text = changed(more, P="bound = 4.0\nnorm = 'spectral'") + "\n[solver]\nrtol = 1e-4\n"
    brief(tmp_path, text).run(store=tmp_path / "s.af", progress=False)
    (call,) = asked
    assert isinstance(call.objective, ConsensusTime)
    assert (float(call.objective.threshold), call.objective.log) == (0.1, True)
    assert (call.goal, call.number, call.steps, call.restarts) == ("maximise", 3, 7, 2)
    assert (call.patience, call.chunk, call.rtol) == (5, 2, 1e-4)
    assert isinstance(call.risk, CVaR)
    assert float(call.risk.fraction) == 0.25
    assert call.bounds == (4.0, "spectral")
    assert call.rate == 0.5
    assert not hasattr(call, "optimiser")  # Adam
    assert (call.store, call.progress, call.t1) == (tmp_path / "s.af", False, 8.0)
    assert call.schedule(jr.key(0)).shape == (1, 3, 3)
    assert callable(call.starts)


def test_two_schedules_have_their_bounds_by_name(tmp_path, asked):
    text = changed(P="bound = 4.0\n[search.U]\nbound = 1.0\nnorm = 'spectral'")
    brief(tmp_path, text).run()
    assert asked[0].bounds == {"P": (4.0, "frobenius"), "U": (1.0, "spectral")}
    assert sorted(asked[0].schedule(jr.key(0))) == ["P", "U"]


def objective(tmp_path, lines):
    return brief(tmp_path, changed(lines)).search.build_objective()


def test_objectives_and_optimisers_are_those_named(tmp_path):
    final = objective(tmp_path, "log = true")
    assert isinstance(final, Final)
    assert final.log
    assert not objective(tmp_path, "").log
    assert isinstance(objective(tmp_path, "objective = 'integral'"), Integral)
    plain = objective(tmp_path, "objective = 'consensus-time'\nlog = false")
    assert (float(plain.threshold), plain.log) == (0.01, False)

    def engine(lines):
        return brief(tmp_path, changed(lines)).search.build_optimiser()

    evolution = engine("optimiser = 'cma'\nrate = 2.0")["optimiser"]
    assert isinstance(evolution, Evolution)
    assert evolution.sigma == 2.0
    assert engine("") == {}
    (name,) = lbfgs = engine("optimiser = 'lbfgs'")
    assert name == "optimiser"
    assert lbfgs[name] is engine("optimiser = 'lbfgs'")[name]  # nothing compiles again


def test_flags_change_steps_and_seed_and_nothing_else(tmp_path):
    one = brief(tmp_path)
    assert one.with_flags() is one
    other = one.with_flags(steps=3, seed=9)
    assert (other.search.steps, other.search.seed) == (3, 9)
    assert other.with_flags(steps=7, seed=0) == one


def test_shapes_that_do_not_fit_are_named_by_their_table(tmp_path):
    bad = brief(tmp_path, changed(attention="U = [[1.0, 0.0], [0.0, 1.0]]"))
    with pytest.raises(ValueError, match=r"^\$\.attention: "):
        bad.run()


def test_float64_needs_64_bits(tmp_path, x64_off):
    with pytest.raises(ValueError, match=r"^\$\.dtype: float64 needs"):
        brief(tmp_path).run()
