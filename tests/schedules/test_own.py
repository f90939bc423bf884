"""A schedule of one's own, one class with the public interface alone, goes wherever those of the library go."""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import attnflow as af
from attnflow.model.many import columns as many
from tests.systems._studies import fixed_probe

SPHERE = af.Sphere(3)
Y0 = SPHERE.random_hemisphere(jr.key(3), (4,), v=jnp.array([1.0, 0.0, 0.0]))
TIMES = jnp.array([0.3, 0.9])
M = jnp.array([[1.0, 0.4, 0.0], [-0.2, 0.5, 0.1], [0.3, 0.0, -0.6]])


class Fading(af.schedules.AbstractSchedule):
    """$M(t) = e^{-rt} M$, which says all that it knows."""

    matrix: jax.Array = eqx.field(converter=jnp.asarray)
    rate: jax.Array = eqx.field(converter=jnp.asarray)

    never_trained: ClassVar = ()
    trained_if_asked: ClassVar = ("rate",)
    in_file: ClassVar = af.schedules.InFile("fading", matrix="array", rate=("numbers", 1.0))

    def __call__(self, t):
        return jnp.exp(-self.rate * t) * self.matrix

    @property
    def frequency(self):
        return None

    @property
    def jump_times(self):
        return None

    def is_constant(self):
        return False

    def is_symmetric(self):
        return bool(jnp.all(self.matrix == self.matrix.T))

    def range_from(self, t0):
        first, rate = np.asarray(self(t0), np.float64), float(self.rate)
        return af.schedules.Range(first / 2, np.abs(first) / 2, rate * np.abs(first))


class Quiet(af.schedules.AbstractSchedule):
    """The same, which says what it must."""

    matrix: jax.Array
    rate: jax.Array

    def __call__(self, t):
        return jnp.exp(-self.rate * t) * self.matrix

    @property
    def frequency(self):
        return None

    @property
    def jump_times(self):
        return None


def field(P, **options):
    return af.AttentionField(SPHERE, P=P, **options)


def tokens(y):
    return y


@pytest.fixture(scope="module")
def ended():
    """What tokens come to under a function with the same values."""
    function = af.Function(lambda t: jnp.exp(-0.5 * t) * M)
    return af.simulate(field(function), Y0, t1=2.0, rtol=1e-9, atol=1e-11).y1


def test_it_is_simulated_alone_and_many_at_a_time(ended):
    sol = af.simulate(field(Fading(M, 0.5)), Y0, t1=2.0, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(sol.y1, ended, atol=1e-12)
    both = jnp.stack([Y0, Y0[::-1]])
    ensemble = af.ensemble.run(
        field(Fading(M, 0.5)), both, t1=2.0, rtol=1e-9, atol=1e-11, observe=tokens, progress=False
    )
    np.testing.assert_allclose(ensemble.ys[:, 0], jnp.stack([ended, ended[::-1]]), atol=1e-8)


def test_verdicts_decide_by_what_it_says_and_leave_open_what_it_does_not():
    verdict = af.theory.verdicts(field(Fading(M, 0.5)), Y0)["3.2"]
    assert verdict.applies is True
    quiet = af.theory.verdicts(field(Quiet(M, jnp.asarray(0.5))), Y0)["3.2"]
    assert quiet.applies is None
    assert {h.id for h in quiet.hypotheses if h.holds is None} == {
        "P bounded",
        "P uniformly continuous",
    }
    # Of a sum it follows; of what is made of a quiet one, nothing does.
    assert af.theory.verdicts(field(Fading(M, 0.5) + M), Y0)["3.2"].applies is True
    bounded = af.Bounded(Quiet(M, jnp.asarray(0.5)), 2.0)
    open_ = [
        h.id for h in af.theory.verdicts(field(bounded), Y0)["3.2"].hypotheses if h.holds is None
    ]
    assert open_ == ["P uniformly continuous"]
    for P in (Fading(M, 0.5), Quiet(M, jnp.asarray(0.5))):
        with pytest.raises(ValueError, match="a P that time does not change for .*; got"):
            af.theory.energy_rate(field(P), 0.0, Y0)


def test_a_search_trains_what_it_says_and_refuses_to_guess(as_user):
    options = {
        "field": field(M), "starts": Y0, "t1": 1.0, "key": jr.key(1), "steps": 3, "rtol": 1e-5, "atol": 1e-7,
        "progress": False,
    }  # fmt: skip
    goal = af.search.Final(log=True)
    optimised = af.search.optimise(goal, Fading(M, 0.5), bounds=4.0, **options)
    best = optimised.schedule.schedule
    assert type(best) is Fading
    assert float(best.rate) == 0.5
    assert not np.array_equal(best.matrix, M)
    with pytest.raises(
        ValueError, match=r"`schedule` of type Quiet does not say whether `\.matrix`"
    ):
        af.search.optimise(goal, Quiet(M, jnp.asarray(0.5)), **options)


def test_it_is_saved_and_stated_in_a_file(tmp_path, as_user):
    made = 2.0 * Fading(M, 0.5)
    af.save(tmp_path / "made.af", field(made))
    loaded = af.load(tmp_path / "made.af", classes=[Fading])
    assert eqx.tree_equal(loaded, field(made))

    case = af.spec.Case(
        manifold=af.spec.Manifold(dim=3),
        tokens=af.spec.Tokens(rows=Y0.tolist()),
        attention=af.spec.AttentionTable(P=made.as_table()),
    )
    for name in ("case.toml", "case.json"):
        af.spec.write(tmp_path / name, case)
        repeated = af.spec.read(tmp_path / name)
        assert repeated == case
        assert eqx.tree_equal(repeated.build()[0].P, made)
    wrong = tmp_path / "wrong.toml"
    wrong.write_text((tmp_path / "case.toml").read_text().replace("rate", "speed"))
    with pytest.raises(ValueError, match=r": \$\.attention\.P\.schedule: Object contains unknown"):
        af.spec.read(wrong)
    with pytest.raises(ValueError, match="a schedule of type Quiet has no form in a file"):
        (2.0 * Quiet(M, jnp.asarray(0.5))).as_table()


def test_a_grid_of_it_is_swept(tmp_path, monkeypatch):
    fixed_probe(monkeypatch)
    study = af.sweep.Study(
        trials=1,
        grid={"rate": [0.25, 0.5]},
        manifold={"dim": 3},
        tokens={"count": 4},
        attention={"P": {"type": "fading", "matrix": M.tolist(), "rate": "$rate"}},
        time={"t1": 2.0},
    )
    af.sweep.run(study, tmp_path / "store", progress=False)
    data = af.sweep.open(tmp_path / "store")
    made, y0, options = af.sweep.trajectory(study, {"rate": 0.5})
    assert type(made.P) is Fading
    assert float(made.P.rate) == 0.5
    expected = af.simulate(made, y0, **options, observe=af.misalignment).ys
    np.testing.assert_allclose(data["misalignment"].sel(rate=0.5, trial=0), expected[-1], rtol=1e-6)


# === what follows from other values than a class was made for


class Doubled(af.Piecewise):
    """Twice what the table holds: nothing that Piecewise says of its values is so."""

    def __call__(self, t):
        return 2.0 * super().__call__(t)


class Flipped(af.ScaledIdentity):
    """No multiple of the identity."""

    def __call__(self, t):
        return jnp.flip(super().__call__(t), axis=-1)


class Growing(af.Constant):
    """No constant."""

    def __call__(self, t):
        return jnp.exp(t) * super().__call__(t)


class Squared(af.Symmetric):
    """Another map than that of its class."""

    def at(self, S):
        return S @ S


class Warped(af.schedules.AbstractSchedule):
    """$S(t)\\,e^t$: time enters beside the schedule inside."""

    schedule: af.schedules.AbstractSchedule

    def __call__(self, t):
        return jnp.exp(t) * self.schedule(t)

    @property
    def frequency(self):
        return self.schedule.frequency

    @property
    def jump_times(self):
        return self.schedule.jump_times


def test_a_class_with_other_values_inherits_no_knowledge_of_values():
    steps = Doubled([0.5], jnp.stack([M, 3 * M]))
    left, right = jr.normal(jr.key(1), (2, 3)), jr.normal(jr.key(2), (3, 2))
    for schedule in (steps, Squared(af.Constant(M)), Squared(steps)):
        for t in (0.2, 0.9):
            expected = left @ schedule(t) @ right
            np.testing.assert_allclose(schedule.congruence(left, right)(t), expected, atol=1e-12)
            np.testing.assert_allclose(
                schedule.apply(t, right.T), (schedule(t) @ right).T, atol=1e-12
            )
    assert np.all(np.isinf(steps.range_from(0.0).radius))
    assert steps.limits_known() is False
    assert steps.angular_frequencies() is None
    assert steps.mapped(lambda S: S) is None
    with pytest.raises(ValueError, match="a schedule of type Doubled has no form in a file"):
        steps.as_table()
    assert Squared(af.Constant(M)).is_symmetric() is False
    # It is a map of a constant, whatever the map is.
    assert Squared(af.Constant(M)).is_constant() is True


def test_a_run_takes_the_values_of_the_class_and_not_of_its_base():
    for own in (Flipped(1.0, 3), Growing(M)):
        plain = af.Function(lambda t, own=own: own(t))
        made, meant = (af.AttentionField(SPHERE, P=M, U=U) for U in (own, plain))
        axes = jax.tree.map(lambda _: None, made)
        both = np.stack([Y0, -Y0])

        @jax.jit
        def velocities(t, ys, made=made, meant=meant, axes=axes):
            in_columns = many(made, axes, t, jnp.moveaxis(ys, 0, -1))
            return jax.vmap(made)(t, ys), jnp.moveaxis(in_columns, -1, 0), jax.vmap(meant)(t, ys)

        alone, together, expected = velocities(TIMES, both)
        np.testing.assert_allclose(alone, expected, atol=1e-12)
        np.testing.assert_allclose(together, expected, atol=1e-12)
        assert made.reduce(Y0[:2]).lift.name == "none"


def test_nothing_follows_from_parts_where_time_enters_beside_them():
    warped = Warped(af.Constant(M))
    assert warped.is_constant() is False
    assert np.all(np.isinf(warped.range_from(0.0).radius))
    assert warped.angular_frequencies() is None
    assert warped.limits_known() is True  # it says that it never jumps
    assert af.theory.verdicts(field(warped), Y0)["3.2"].applies is None
    jumping = Warped(af.Piecewise([0.5], jnp.stack([M, 3 * M])))
    assert jumping.limits_known() is False
    assert jumping.break_times.tolist() == [0.5, 0.5]


def test_a_word_that_two_classes_have_is_refused():
    def another(name):
        members = {
            "__call__": lambda self, t: jnp.eye(3),
            "frequency": None,
            "jump_times": None,
            "in_file": af.schedules.InFile("twofold"),
        }
        return type(name, (af.schedules.AbstractSchedule,), members)

    first, repeated = another("First"), another("First")
    assert type(af.spec.AttentionTable(P={"type": "twofold"}).build(SPHERE).P) is repeated
    second = another("Second")
    with pytest.raises(ValueError, match=r"type 'twofold' is that of .*First and .*Second"):
        af.spec.AttentionTable(P={"type": "twofold"})
    del first, second


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: af.schedules.InFile(""), "`type` must be a word"),
        (lambda: af.schedules.InFile("x", rate="number"), "`rate` must be 'numbers', 'array'"),
        (
            lambda: af.Modulated(jnp.ones(3), M, M).as_table(),
            "a Modulated with a `left` has no form",
        ),
        (lambda: af.Function(lambda t: M).as_table(), "type Function has no form in a file"),
    ],
)
def test_what_files_cannot_hold_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
