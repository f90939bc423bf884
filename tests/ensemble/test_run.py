"""Ensembles: each trajectory is what `simulate` gives, whatever runs beside it, and says how it ended."""

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import attnflow as af
from attnflow.ensemble import Outcome, run
from attnflow.ensemble._run import _MANY
from attnflow.ensemble._workers import _enable_x64

COUNT, TOKENS, T1 = 24, 8, 40.0
TS = np.linspace(0.0, T1, 5)
NAN, OFF, ZERO, LONG = 3, 7, 11, 19  # trajectories made to fail
SPHERE = af.Sphere(3)


def make(beta):
    return af.AttentionField(SPHERE, P=beta * jnp.eye(3), mask="causal")


@pytest.fixture(scope="module")
def fields():
    beta = jnp.linspace(0.5, 2.0, COUNT).at[LONG].set(-400.0)
    fields = eqx.filter_vmap(make)(beta)
    spoilt = fields.P.value.at[NAN].set(jnp.nan)
    return eqx.tree_at(lambda f: f.P.value, fields, spoilt)


@pytest.fixture(scope="module")
def starts():
    tokens = SPHERE.random(jr.key(5), (COUNT, TOKENS))
    tokens = tokens.at[OFF, 2].mul(1.01).at[ZERO, 0].set(0.0)
    return np.asarray(tokens)


def go(fields, starts, chosen=slice(None), **options):
    """The one ensemble of this file: all calls share what is compiled for it."""
    fields = jax.tree.map(lambda x: x[chosen] if eqx.is_array(x) else x, fields)
    options = {"devices": jax.devices()[:1], "progress": False, **options}
    return run(
        fields,
        starts[chosen],
        field_axes=eqx.if_array(0),
        t1=T1,
        ts=TS,
        until={"consensus": af.consensus(1e-3), "late": late},
        observe={"E": af.misalignment, "n": af.ClusterCount(0.99), "y": whole},
        max_steps=400,
        **options,
    )


def late(t, y):
    return t > 35.0


def whole(y):
    return y


@pytest.fixture(scope="module")
def reference(fields, starts):
    return go(fields, starts)


def same_bits(result, reference, chosen):
    for name in ("t1", "outcome", "saved"):
        np.testing.assert_array_equal(getattr(result, name), getattr(reference, name)[chosen])
    for tree in ("ys", "stats", "event"):
        ours, theirs = getattr(result, tree), getattr(reference, tree)
        jax.tree.map(lambda a, b: np.testing.assert_array_equal(a, b[chosen]), ours, theirs)


def good():
    return np.setdiff1d(np.arange(COUNT), [NAN, OFF, ZERO, LONG])


def test_trajectories_are_those_of_simulate(fields, starts, reference):
    def one(field, y0):
        return af.simulate(
            field,
            y0,
            t1=T1,
            ts=TS,
            event={"consensus": af.consensus(1e-3), "late": late},
            observe={"E": af.misalignment, "n": af.ClusterCount(0.99), "y": whole},
        )

    pick = jax.tree.map(lambda x: x[good()] if eqx.is_array(x) else x, fields)
    sol = eqx.filter_jit(eqx.filter_vmap(one))(pick, jnp.asarray(starts[good()]))
    np.testing.assert_array_equal(
        np.asarray(sol.stats["num_steps"]), reference.stats["num_steps"][good()]
    )
    np.testing.assert_allclose(sol.t1, reference.t1[good()], rtol=1e-9)
    np.testing.assert_allclose(sol.ys["E"], reference.ys["E"][good()], atol=1e-11)
    np.testing.assert_allclose(sol.ys["y"], reference.ys["y"][good()], atol=1e-9)
    np.testing.assert_array_equal(sol.ys["n"], reference.ys["n"][good()])
    assert reference.ys["n"].dtype == np.asarray(sol.ys["n"]).dtype
    for name in ("consensus", "late"):
        np.testing.assert_array_equal(sol.event[name], reference.event[name][good()])
    assert {True, False} == set(np.asarray(sol.event["late"]).tolist())


def test_each_failure_is_told_and_spoils_no_other(reference):
    expected = {
        NAN: Outcome.NOT_FINITE,
        OFF: Outcome.BAD_START,
        ZERO: Outcome.BAD_START,
        LONG: Outcome.STEP_LIMIT,
    }
    for index, outcome in expected.items():
        assert reference.outcome[index] == outcome
        assert outcome.failed
    assert np.all(reference.outcome[good()] == Outcome.REACHED)
    np.testing.assert_array_equal(reference.reached, np.isin(np.arange(COUNT), good()))
    assert np.all(np.isnan(reference.ys["y"][OFF]))
    assert np.all(reference.ys["n"][OFF] == -1)
    assert reference.stats["num_steps"][LONG] == 400
    assert reference.outcomes[Outcome.BAD_START] == 2
    text = str(reference)
    assert "stopped being finite" in text
    assert "24 trajectories" in text


@pytest.mark.parametrize("slots", [1, 5, 64])
def test_slots_change_no_bit(fields, starts, reference, slots):
    same_bits(go(fields, starts, slots=slots), reference, np.arange(COUNT))


def test_order_and_company_change_no_bit(fields, starts, reference):
    shuffled = np.random.default_rng(0).permutation(COUNT)
    same_bits(go(fields, starts, shuffled), reference, shuffled)
    same_bits(go(fields, starts, np.array([12])), reference, np.array([12]))


def test_threads_change_no_bit(fields, starts, reference, monkeypatch):
    from attnflow.ensemble import _run

    often = np.tile(np.arange(COUNT), 7)  # more than two crews hold
    for count in (1, 3):
        monkeypatch.setattr(_run, "cores", lambda count=count: count)
        result = go(fields, starts, often)
        assert result.work["crews"] == count
        same_bits(result, reference, often)


def test_other_numbers_do_not_compile_again(fields, starts, reference):
    from attnflow.ensemble._advance import crew_programs

    before = crew_programs().advance.cache_size()
    warmer = eqx.tree_at(lambda f: f.P.value, fields, 1.1 * fields.P.value)
    go(warmer, np.roll(starts, 1, axis=0))
    go(fields, starts, np.arange(7), slots=3)
    assert crew_programs().advance.cache_size() == before


@pytest.mark.slow
def test_a_sampler_gives_trajectory_i_the_start_of_key_i():
    key = jr.key(2)

    def sample(key):
        beta_key, start_key = jr.split(key)
        return make(jr.uniform(beta_key)), SPHERE.random(start_key, (TOKENS,))

    def observe(y):
        return y[0]  # causal: the first token stands still

    def first(number):
        result = run(
            make(1.0), sample, number=number, key=key, t1=1.0, observe=observe, progress=False
        )
        assert len(result.records) == number
        assert result.trajectories == number
        return result.ys[:, 0]

    few, many = first(5), first(90)
    np.testing.assert_array_equal(few, many[:5])
    expected = [sample(jr.fold_in(key, i))[1][0] for i in range(5)]
    np.testing.assert_allclose(few, np.asarray(expected), atol=1e-15)


@pytest.mark.parametrize(
    ("solver", "options"),
    [
        pytest.param(diffrax.Dopri8(), {"rtol": 1e-6}, marks=pytest.mark.slow),
        pytest.param(
            diffrax.Heun(),
            {"dt0": 0.1, "controller": diffrax.ConstantStepSize()},
            marks=pytest.mark.slow,
        ),
        (diffrax.Euler(), {"dt0": 0.1}),
        pytest.param(diffrax.Kvaerno3(), {"rtol": 1e-5}, marks=pytest.mark.slow),
    ],
    ids=["dopri8", "heun", "euler", "kvaerno3"],
)
def test_any_solver_gives_what_simulate_gives(solver, options):
    field = make(1.0)
    starts = SPHERE.random(jr.key(1), (3, TOKENS))
    result = run(field, starts, t1=2.0, solver=solver, progress=False, **options)
    one = eqx.filter_jit(lambda y: af.simulate(field, y, t1=2.0, solver=solver, **options))
    for i, y0 in enumerate(starts):
        sol = one(y0)
        np.testing.assert_allclose(result.ys[i], sol.ys, atol=1e-12)
        assert result.stats["num_steps"][i] == sol.stats["num_steps"]


@pytest.mark.slow
def test_jumps_and_kinks_are_stepped_to_as_simulate_does():
    jumps = af.Piecewise(jnp.array([0.7, 1.1]), jr.normal(jr.key(0), (3, 3, 3)))
    kinks = af.Modulated(af.Sinusoid(2.0, jnp.array([3.0, 2.0, 1.0]), rectified=True), jnp.eye(3))
    field = af.AttentionField(SPHERE, P=jumps + kinks)
    starts = SPHERE.random(jr.key(1), (4, TOKENS))
    result = run(field, starts, t1=2.0, progress=False)
    one = eqx.filter_jit(lambda y: af.simulate(field, y, t1=2.0))
    for i, y0 in enumerate(starts):
        sol = one(y0)
        np.testing.assert_allclose(result.ys[i], sol.ys, atol=1e-12)
        assert result.stats["num_steps"][i] == sol.stats["num_steps"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "dim", [8, pytest.param(40, marks=pytest.mark.slow)], ids=["few lanes", "one lane"]
)
def test_reduced_and_plain_runs_agree(dim):
    sphere = af.Sphere(dim)
    D = af.Sinusoid(1.0, jnp.linspace(0.5, 1.0, 2 * dim).reshape(2, dim))
    field = af.AttentionField(sphere, P=af.Modulated(D, jr.normal(jr.key(0), (2, dim, dim))))
    tokens = 6 if dim == 8 else 36
    starts = sphere.random(jr.key(1), (5, tokens))
    starts = starts.at[2, 3].set(starts[2, 1]).at[3, 0].set(-starts[3, 1])
    options = {"t1": 2.0, "rtol": 1e-8, "observe": {"y": whole}, "progress": False}
    reduced, plain = (run(field, starts, reduce=r, **options) for r in (True, False))
    assert (reduced.reduction, plain.reduction) == ("span", "none")
    np.testing.assert_allclose(reduced.ys["y"], plain.ys["y"], atol=1e-12)
    np.testing.assert_array_equal(reduced.stats["num_steps"], plain.stats["num_steps"])
    backwards = run(field, starts[::-1], slots=1, **options)
    np.testing.assert_array_equal(backwards.ys["y"][::-1], reduced.ys["y"])


@pytest.mark.slow
def test_an_event_that_holds_at_the_start_ends_it_there():
    field = make(1.0)
    starts = jnp.stack([SPHERE.random(jr.key(1), (TOKENS,)), jnp.tile(jnp.eye(3)[:1], (TOKENS, 1))])
    result = run(field, starts, t1=3.0, until=af.consensus(1e-6), progress=False)
    assert result.outcome.tolist() == [Outcome.TIME_UP, Outcome.REACHED]
    np.testing.assert_array_equal(result.t1, [3.0, 0.0])
    np.testing.assert_allclose(result.ys[1, 0], starts[1], atol=1e-15)


def test_float32_starts_give_float32_and_the_same_bits_in_any_slot():
    starts = SPHERE.random(jr.key(1), (70, TOKENS), dtype=jnp.float32)
    result = run(make(1.0), starts, t1=1.0, progress=False)
    assert {result.ys.dtype, result.t1.dtype} == {np.dtype(np.float32)}
    few = run(make(1.0), starts[60:], t1=1.0, slots=3, progress=False)
    np.testing.assert_array_equal(few.ys, result.ys[60:])


def test_wide_crews_of_many_trajectories_give_the_bits_of_narrow_ones():
    starts = np.asarray(SPHERE.random(jr.key(1), (_MANY, TOKENS)))
    many = run(make(1.0), starts, t1=1.0, progress=False)
    assert many.work["lanes"] == 128
    few = run(make(1.0), starts[-70:], t1=1.0, progress=False)
    assert few.work["lanes"] == 64
    np.testing.assert_array_equal(few.ys, many.ys[-70:])


def test_64_bits_of_a_context_reach_every_thread(x64_off):
    with _enable_x64(True):
        starts = np.asarray(SPHERE.random(jr.key(1), (3, TOKENS), dtype=jnp.float64))
        result = run(make(1.0), starts, t1=1.0, progress=False)
        assert result.ys.dtype == np.float64
        assert np.abs(np.linalg.norm(result.ys, axis=-1) - 1).max() < 1e-14
    with pytest.raises(ValueError, match="64 bits"):
        run(make(1.0), starts, t1=1.0)


SAMPLER = {"number": 2, "key": jr.key(0)}


@pytest.mark.parametrize(
    ("starts", "options", "named"),
    [
        (np.zeros((4, 3)), {}, "`starts`"),
        (np.zeros((4, 5, 2)), {}, "`starts`"),
        (np.zeros((0, 5, 3)), {}, "`starts`"),
        (np.zeros((4, 5, 3), np.float16), {}, "`starts`"),
        ("all", {}, "`starts`"),
        (lambda key: jnp.zeros((4,)), SAMPLER, "`starts`"),
        (lambda key: jnp.zeros((4, 3)), {"key": jr.key(0)}, "`number`"),
        (lambda key: jnp.zeros((4, 3)), {"number": 0, "key": jr.key(0)}, "`number`"),
        (lambda key: jnp.zeros((4, 3)), {"number": 2}, "`key`"),
        (lambda key: jnp.zeros((4, 3)), {**SAMPLER, "field_axes": None, "slots": 0}, "`slots`"),
        (np.ones((4, 5, 3)), {"number": 3}, "`number`"),
        (np.ones((4, 5, 3)), {"key": jr.key(0)}, "`key`"),
        (np.ones((4, 5, 3)), {"field_axes": eqx.if_array(0)}, "`field_axes`"),
        (np.ones((4, 5, 3)), {"field_axes": eqx.if_array(1)}, "`field_axes`"),
        (np.ones((4, 5, 3)), {"slots": 2.5}, "`slots`"),
        (np.ones((4, 5, 3)), {"devices": []}, "`devices`"),
        (np.ones((4, 5, 3)), {"until": diffrax.Event(late)}, "`until`"),
        (np.ones((4, 5, 3)), {"summaries": {"E": af.misalignment}}, "`summaries`"),
        (np.ones((4, 5, 3)), {"t1": -1.0}, "`t1`"),
        (np.ones((4, 5, 3)), {"rtol": -1.0}, "`rtol`"),
    ],
)
def test_bad_arguments_are_refused_by_name(as_user, starts, options, named):
    with pytest.raises(ValueError, match=named) as caught:
        run(make(1.0), starts, **{"t1": 1.0, "progress": False, **options})
    assert "\n" not in str(caught.value)


def test_a_field_that_is_none_is_refused(as_user):
    with pytest.raises(ValueError, match="`field`"):
        run(None, np.ones((4, 5, 3)), t1=1.0)


def test_refused_where_only_summaries_are_kept():
    result = run(
        make(1.0), SPHERE.random(jr.key(1), (3, TOKENS)), t1=1.0, keep=False, progress=False
    )
    with pytest.raises(AttributeError, match="keep=False"):
        _ = result.ys
    with pytest.raises(AttributeError, match="no attribute"):
        _ = result.nothing


def test_an_observer_that_raises_is_heard():
    def broken(y):
        raise RuntimeError("no such thing")

    with pytest.raises(RuntimeError, match="no such thing"):
        run(make(1.0), SPHERE.random(jr.key(1), (3, TOKENS)), t1=1.0, observe=broken)


# === each trajectory from data of its own


class _Shifted(eqx.Module):
    """A sampler of fields and starts from rows of data."""

    sphere: af.Sphere

    def __call__(self, row):
        number, beta = row
        P = af.ScaledIdentity(beta, 3)
        y0 = self.sphere.random(jax.random.key(number), (4,))
        return af.AttentionField(self.sphere, P=P), y0


@pytest.mark.slow
def test_a_sampler_may_be_given_data_of_each_trajectory():
    sphere = af.Sphere(3)
    numbers, betas = np.arange(9, dtype=np.uint32), np.linspace(0.0, 2.0, 9)
    field, _ = _Shifted(sphere)((numbers[0], betas[0]))
    result = af.ensemble.run(
        field,
        _Shifted(sphere),
        each=(numbers, betas),
        t1=2.0,
        observe={"E": af.misalignment, "energy": af.ensemble.OfField(af.Energy)},
    )
    assert result.trajectories == 9
    for k in (0, 8):
        own, y0 = _Shifted(sphere)((numbers[k], betas[k]))
        sol = af.simulate(own, y0, t1=2.0, observe={"E": af.misalignment, "e": af.Energy(own)})
        assert result.ys["E"][k] == pytest.approx(np.asarray(sol.ys["E"]), rel=1e-8)
        assert result.ys["energy"][k] == pytest.approx(np.asarray(sol.ys["e"]), rel=1e-8)


def test_data_of_each_trajectory_that_does_not_fit_is_refused(getkey):
    sphere = af.Sphere(3)
    field = af.AttentionField(sphere, P=jnp.eye(3))
    sampler = _Shifted(sphere)
    rows = (np.arange(3, dtype=np.uint32), np.ones(3))
    with pytest.raises(ValueError, match="drop `number` and `key`"):
        af.ensemble.run(field, sampler, each=rows, number=3, t1=1.0)
    with pytest.raises(ValueError, match="`each` must hold arrays with one leading axis"):
        af.ensemble.run(field, sampler, each=(rows[0], np.ones(2)), t1=1.0)
    with pytest.raises(ValueError, match="`each` is for a sampler"):
        af.ensemble.run(field, sphere.random(getkey(), (2, 4)), each=rows, t1=1.0)
    with pytest.raises(TypeError, match="OfField is an observer of ensembles"):
        af.simulate(
            field, sphere.random(getkey(), (4,)), t1=1.0, observe=af.ensemble.OfField(af.Energy)
        )
