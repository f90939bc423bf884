"""What a study may say, and what it is told when it says something else."""

import itertools

import numpy as np
import pytest

import attnflow as af
from attnflow.sweep._axes import point_id
from attnflow.sweep._plan import Plan, differences
from attnflow.sweep._study import build_point, from_builtins
from tests.systems._studies import TABLES, study


def plan(*history, size=4):
    bare = Plan(list(history), [{}] * len(history))
    sizes = [{b.key: size for b in blocks} for blocks in bare.blocks]
    return Plan(list(history), sizes)


def trajectories(made: Plan) -> list[tuple]:
    """Coordinates and trial of every trajectory, in the order of shards."""
    collected = []
    for shard in made.shards():
        axes = list(shard.block.study.axes.values())
        for point, trial in zip(*shard.rows(), strict=True):
            index = shard.block.indices(np.array([point]))[0]
            where = tuple(a.coordinates[k] for a, k in zip(axes, index, strict=True))
            collected.append((*where, int(trial)))
    return collected


# === axes


@pytest.mark.parametrize(
    ("axis", "values"),
    [
        ([1, 2.5], [1, 2.5]),
        ({"start": 0.1, "stop": 0.5, "count": 5}, [0.1, 0.2, 0.3, 0.4, 0.5]),
        ({"start": 0.0, "stop": 1.0, "step": 0.25}, [0, 0.25, 0.5, 0.75, 1.0]),
        ({"start": 0.0, "stop": 0.3, "step": 0.1}, [0, 0.1, 0.2, 0.3]),
        ({"start": 0.01, "stop": 100, "count": 5, "spacing": "log"}, [0.01, 0.1, 1, 10, 100]),
    ],
)
def test_lists_ranges_and_log_ranges(axis, values):
    assert study(grid={"beta": axis}).axes["beta"].coordinates == values


def test_an_integer_range_counts_each_number_once():
    axis = {"start": 2, "stop": 10, "count": 20, "spacing": "log", "integer": True}
    made = study(grid={"beta": [1.0], "n": axis}, tokens={"count": "$n"}).axes["n"]
    assert made.coordinates == [2, 3, 4, 5, 6, 7, 8, 9, 10]
    assert made.array.dtype == np.int64


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ([0.0, -0.0], r"\[1\]: 0.0 is there twice"),
        ([-0.0, 1.0, 0], r"\[2\]: 0 is there twice"),
        ([1, 1.0], r"\[1\]: 1.0 is there twice"),
        ([2**53, 2**53 + 1, 0.5], r"\[1\]: .* is there twice, for it is 9007199254740992 in the"),
        ({"start": 1.0, "stop": 1.0 + 1e-13, "count": 4}, r": 1.0 is there twice"),
        ({"start": 1.0, "stop": 1.0 + 1e-12, "step": 4e-13}, r": 1.0 is there twice"),
        ([1.0, float("nan")], r"\[1\]: a number must be finite; got nan"),
        ([1, 10**30], r"\[1\]: a whole number must be below 2\^63"),
        ({"start": 0.0, "stop": 1.0, "step": float("inf")}, "`step` must be finite"),
        ({"start": -1e308, "stop": 1e308, "count": 3}, "`stop` is too far from `start`"),
    ],
)
def test_no_two_labels_of_an_axis_are_one(values, why):
    with pytest.raises(ValueError, match=why) as caught:
        study(grid={"beta": values})
    assert str(caught.value).startswith("$.grid.beta")
    assert "\n" not in str(caught.value)


def test_words_that_are_one_in_the_dataset_are_refused():
    with pytest.raises(ValueError, match="there twice, for it is 'full' in the dataset"):
        study(grid={"mask": ["full", "full\0"]}, attention={"P": 1.0, "mask": "$mask"})
    with pytest.raises(ValueError, match="'slow' is there twice"):
        labelled = [{"label": "slow", "value": 1.0}, {"label": "slow", "value": 2.0}]
        study(grid={"beta": labelled})


def test_numbers_that_are_one_in_the_precision_of_the_study_are_refused():
    close = [1.0, 1.0 + 1e-9]
    assert study(grid={"beta": close}).axes["beta"].coordinates == close
    with pytest.raises(
        ValueError, match=r"\$\.grid\.beta\[1\].* for in float32 it is 1.0; drop one"
    ):
        study(grid={"beta": close}, dtype="float32")


def test_minus_zero_is_zero_and_whole_numbers_are_told_apart():
    made = study(grid={"beta": [-0.0, 1.0]})
    assert str(made.axes["beta"].coordinates) == "[0.0, 1.0]"
    assert point_id({"beta": -0.0}) == point_id({"beta": 0}) == point_id({"beta": 0.0})
    assert point_id({"n": 2**53}) != point_id({"n": 2**53 + 1})
    field, _, _ = af.sweep.trajectory(made, {"beta": -0.0})
    assert not np.asarray(field.P(0.0)).any()
    around = {"start": -0.3, "stop": 0.3, "step": 0.1}
    assert "-0.0," not in str(study(grid={"beta": around}).axes["beta"].coordinates)


def test_labelled_values_put_whole_tables_in():
    slow = {"label": "slow", "value": {"type": "sinusoid", "amplitude": 1.0, "omega": 0.1}}
    fixed = {"label": "fixed", "value": [[1.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 3.0]]}
    made = study(grid={"P": [slow, fixed]}, attention={"P": "$P"})
    assert made.axes["P"].coordinates == ["slow", "fixed"]
    assert plan(made).shapes == 2


BAD = {
    "grid": [
        ({"beta": []}, r"\$\.grid\.beta: an axis needs at least one value"),
        ({"beta": 3}, r"\$\.grid\.beta: Expected a list, or a table"),
        (
            {"beta": [1.0, "two"]},
            r"\$\.grid\.beta\[1\]: Expected a number, as before it; got a word",
        ),
        ({"beta": [1.0, 1]}, r"\$\.grid\.beta\[1\]: 1 is there twice"),
        ({"beta": [1.0, float("nan")]}, r"\$\.grid\.beta\[1\]: a number must be finite; got nan"),
        ({"beta": [[1.0]]}, r"\$\.grid\.beta\[0\]: Expected a number, a word"),
        ({"beta": {"start": 1}}, r"\$\.grid\.beta: Object missing required field `stop`"),
        ({"beta": {"start": 1, "stop": 2}}, r"\$\.grid\.beta: give `count`"),
        ({"beta": {"start": 2, "stop": 1, "count": 3}}, r"\$\.grid\.beta: `stop` must be above"),
        ({"beta": {"start": 1, "stop": 2, "cnt": 3}}, r"\$\.grid\.beta: .*unknown field `cnt`"),
        ({"beta": {"start": 0, "stop": 2, "count": 3, "spacing": "log"}}, "above zero"),
        ({"beta": {"start": 1, "stop": 2, "count": "3"}}, r"\$\.grid\.beta\.count: Expected `int"),
        ({"beta": [{"label": 1, "value": 2}]}, r"\$\.grid\.beta\[0\]\.label: Expected `str`"),
        ({"beta": ["big"]}, r"\$\.grid\.beta\[0\]: .*\(put in at \$\.attention\.P\)"),
        ({"beta": [1.0], "trial": [1]}, r"\$\.grid\.trial: an axis is named by a word"),
        ({"beta": [1.0], "n": [1]}, r"\$\.grid\.n: no table uses this axis"),
        ({"a": [1.0]}, r'\$\.attention\.P: "\$beta" is not an axis of \[grid\]; there are a'),
    ],
    "trials": [(0, r"\$\.trials: Expected `int` >= 1"), ("9", r"\$\.trials: Expected `int`")],
    "paired": [(["gamma"], r"\$\.paired\[0\]: 'gamma' is not an axis")],
    "dtype": [("float16", r"\$\.dtype: Invalid enum value 'float16'")],
    "colour": [("red", r"\$: Object contains unknown field `colour`")],
    "time": [
        ({"t1": "$beta", "t0": 1.0}, r"\$\.grid\.beta\[0\]|`t1` must be after `t0`"),
        ({"t1": 5.0, "pints": 3}, r"\$\.time: Object contains unknown field `pints`"),
        ({"t1": 5.0, "points": "$beta"}, r"\$\.time\.points: must be the same for the whole grid"),
    ],
    "tokens": [({"count": 0}, r"\$\.tokens\.count: Expected `int` >= 1")],
    "output": [({"observe": ["misalignmnt"]}, r"\$\.output\.observe\[0\]: Invalid enum value")],
}


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [(name, value, message) for name, cases in BAD.items() for value, message in cases],
)
def test_what_is_wrong_is_said_with_its_place(name, value, message):
    raw = {"trials": 6, "grid": {"beta": [0.5, 1.0, 2.0]}, **TABLES} | {name: value}
    with pytest.raises(ValueError, match=message):
        from_builtins(raw)


def test_true_and_false_are_no_numbers_of_an_axis():
    labelled = [{"label": "a", "value": [[True, False], [False, True]]}]
    made = study(grid={"P": labelled}, attention={"P": "$P"}, manifold={"dim": 2})
    with pytest.raises(ValueError, match=r"\$\.attention\.P: Expected numbers; got true and false"):
        plan(made)


def test_the_value_of_an_axis_that_does_not_fit_is_named():
    with pytest.raises(ValueError, match=r"^\$\.grid\.n\[1\]: Expected `int` >= 1 .*tokens\.count"):
        study(grid={"beta": [1.0], "n": [2, 0]}, tokens={"count": "$n"})


def test_a_file_is_named_when_it_is_wrong(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("trials = 3\n[manifold]\ndim = 3\n")
    with pytest.raises(ValueError, match=r"mine\.toml: \$: Object missing required field `tokens`"):
        af.sweep.read_study(path)
    path.write_text("trials = = 3\n")
    with pytest.raises(ValueError, match=r"mine\.toml: .*line 1"):
        af.sweep.read_study(path)
    with pytest.raises(
        ValueError, match=r"neither a \.toml file nor one of the ready studies basin"
    ):
        af.sweep.read_study("phase")


@pytest.mark.parametrize("name", af.sweep.study_names())
def test_ready_studies_are_read_and_shown(name):
    assert af.sweep.read_study(name).title
    assert af.sweep.text(name).startswith("#")


# === plans


def test_a_plan_is_a_function_of_the_study():
    one, two = plan(study()), plan(study())
    assert [s.name for s in one.shards()] == [s.name for s in two.shards()]
    assert trajectories(one) == trajectories(two)
    assert one.trajectories == 18 == len(set(trajectories(one)))


def test_first_shards_tell_something_about_every_point():
    assert trajectories(plan(study(), size=3))[:3] == [(0.5, 0), (1.0, 0), (2.0, 0)]


def test_points_of_one_shape_are_compiled_once():
    made = study(
        grid={"beta": [0.5, 1.0], "n": [4, 8], "mask": ["full", "causal"], "T": [5.0, 9.0]},
        tokens={"count": "$n"},
        attention={"P": "$beta", "mask": "$mask"},
        time={"t1": "$T"},
    )
    assert plan(made).points == 16
    assert plan(made).shapes == 4
    assert sum(len(blocks) for blocks in plan(made).blocks) == 8


def test_the_number_of_a_point_follows_from_its_coordinates_alone():
    assert point_id({"a": 1, "b": 2.0}) == point_id({"b": 2, "a": 1.0})
    assert point_id({"a": 1.0}) != point_id({"b": 1.0})
    many = {point_id({"a": a, "b": b}) for a, b in itertools.product(range(100), range(100))}
    assert len(many) == 10_000
    # Numbers on disk depend on it.
    assert point_id({"beta": 0.5, "mask": "causal"}) == 11515495668711156729


def test_paired_axes_share_their_random_numbers():
    (block,) = plan(study(paired=["beta"])).blocks[0]
    assert len({tuple(row) for row in block.ids(np.arange(block.points)).tolist()}) == 1
    (block,) = plan(study()).blocks[0]
    assert len({tuple(row) for row in block.ids(np.arange(block.points)).tolist()}) == 3


def test_an_extension_runs_what_is_new_and_that_once():
    old = study()
    new = study(trials=9, grid={"beta": [0.25, 0.5, 1.0, 2.0]})
    both = plan(old, new)
    result = trajectories(both)
    assert sorted(result) == sorted(set(result)) == sorted(trajectories(plan(new)))
    assert result[:18] == trajectories(plan(old))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"seed": 1}, ["$.seed: the store has 0, the spec 1"]),
        ({"trials": 5}, ["$.trials: the store has 6, the spec 5"]),
        ({"grid": {"beta": [0.5, 1.0]}}, ["$.grid.beta: the store has 2.0, the spec does not"]),
        ({"time": {"t1": 6.0, "points": 3}}, ["$.time.t1: the store has 5.0, the spec 6.0"]),
        ({"attention": {"P": "$beta"}}, ["$.attention.scale: the store has 1.0, the spec nothing"]),
        ({"title": "another"}, []),
        ({"trials": 7, "grid": {"beta": {"start": 0.5, "stop": 2.0, "step": 0.5}}}, []),
    ],
)
def test_differences_are_told_and_extensions_are_none(changes, words):
    assert differences(study(), study(**changes)) == words


def test_a_point_is_built_from_its_index():
    made = study()
    point = build_point(made.template, made.axes, {"beta": 2})
    assert point.attention.P == 2.0
    assert point.observed == ["misalignment"]
