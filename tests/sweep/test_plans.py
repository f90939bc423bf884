"""Plans are rules: the same blocks as from a look at every point, and of any size."""

import itertools
import time
import tracemalloc

import msgspec
import numpy as np
import pytest

import attnflow as af
from attnflow.sweep._axes import canonical, point_id
from attnflow.sweep._draw import halves, mould
from attnflow.sweep._index import Box
from attnflow.sweep._plan import Plan
from attnflow.sweep._shard import make
from attnflow.sweep._store import Store
from attnflow.sweep._study import build_point
from tests.systems._studies import study

_RAMP = {"start": 0.1, "stop": 1.0, "count": 10}
_NINE = dict.fromkeys("abcdefghi", _RAMP)
_ENTRIES = [["$a", "$b", "$c"], ["$d", "$e", "$f"], ["$g", "$h", "$i"]]
_SINE = {"type": "sinusoid", "amplitude": "$a", "omega": "$b"}
_PROBE = {"seconds": 0.01, "first": 1.0, "bytes": 100, "measured": True}


def huge(**changes):
    """10^9 points of one shape: each entry of P is an axis."""
    tables = {"attention": {"P": _ENTRIES, "scale": 1.0}, "time": {"t1": 0.5}}
    return study(**{"grid": _NINE, "trials": 1} | tables | changes)


def begun(address, *history, size=4):
    """A store of these studies with no shard in it."""
    for k in range(len(history)):
        keys = [b.key for b in Plan(list(history[: k + 1]), [{}] * (k + 1)).blocks[-1]]
        sizes, probed = dict.fromkeys(keys, size), dict.fromkeys(keys, _PROBE)
        Store(address).add_study(history[k], sizes, probed)
    return address


def point_by_point(history):
    """The blocks from a look at every point: generation, tables, first trial, indices, ids, numbers."""
    out = []
    for generation, made in enumerate(history):
        before = history[generation - 1] if generation else None
        groups: dict = {}
        for index in itertools.product(*(range(len(a.values)) for a in made.axes.values())):
            where = dict(zip(made.axes, index, strict=True))
            coordinates = {n: made.axes[n].coordinates[k] for n, k in where.items()}
            old = before is not None and all(
                canonical(c) in map(canonical, before.axes[n].coordinates)
                for n, c in coordinates.items()
            )
            first = before.trials if before is not None and old else 0
            if first == made.trials:
                continue
            point = build_point(made.template, made.axes, where)
            shape, values = mould(point, made.references())
            options = msgspec.json.encode([point.time, point.solver, point.output])
            number = point_id({n: c for n, c in coordinates.items() if n not in made.paired})
            group = groups.setdefault((shape.shape, options, first), (shape, point, []))
            group[2].append((index, halves(number), values))
        out += [(generation, *key, *group) for key, group in groups.items()]
    return out


class Beats(af.Sinusoid):
    """A sinusoid of whole frequencies: what is a number of a `sinusoid` is a part of its shape."""

    in_file = af.schedules.InFile("beats", amplitude="numbers", omega=int)


_FIXED = {"label": "fixed", "value": [[1.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 3.0]]}
_SLOW = {"label": "slow", "value": {"type": "sinusoid", "amplitude": 1.0, "omega": 0.1}}
_DRAWN = {"type": "uniform", "shape": [3, 3], "low": "$low", "high": "$high", "seed": "trial"}
_MANY = {
    "tokens": {"count": "$n"},
    "attention": {"P": "$P", "mask": "$mask", "scale": "$beta"},
    "time": {"t1": "$T"},
    "solver": {"rtol": "$rtol"},
}
_GRID = {
    "beta": [0.5, 1],
    "n": [4, 8],
    "P": [_SLOW, _FIXED],
    "mask": ["full", "causal"],
    "T": [5.0, 20.0],
    "rtol": [1e-3],
}
_PERMUTED = {"n": [8, 2, 4], "beta": [2.0, 3.0, 0.5, 1.0], "P": [_FIXED, _SLOW]}
_BANK = {
    "one axis": (study(),),
    "one point": tuple(study(grid={}, attention={"P": 1.0}, trials=t) for t in (6, 7)),
    "kinds of all sorts": (study(grid=_GRID, **_MANY),),
    "of several tolerances": (study(grid=_GRID | {"rtol": [1e-3, 1e-4]}, **_MANY),),
    "paired": (study(grid=_GRID, paired=["beta", "T"], **_MANY),),
    "in float32": (study(grid=_GRID, dtype="float32", **_MANY),),
    "extended by trials": (study(grid=_GRID, **_MANY), study(grid=_GRID, trials=7, **_MANY)),
    "extended by values": (study(grid=_GRID, **_MANY), study(grid=_GRID | _PERMUTED, **_MANY)),
    "extended by both, twice": (
        study(grid=_GRID, **_MANY),
        study(grid=_GRID | {"n": [2, 8, 4]}, trials=8, **_MANY),
        study(grid=_GRID | _PERMUTED, trials=9, **_MANY),
    ),
    "inside one list": (
        study(
            grid={"a": [1.0, 2], "b": [3.0, 0]},
            attention={"P": [["$a", 0, 0], [0, "$b", 0], [0, 0, "$a"]]},
        ),
    ),
    "inside one table": (study(grid={"a": [1.0, 2.0], "b": [1, 0.5]}, attention={"P": _SINE}),),
    "a range of two axes": (
        study(
            grid={"low": [0.0, 0.5], "high": [1.0, 2.0], "n": [4, 8]},
            attention={"P": _DRAWN},
            tokens={"count": "$n"},
        ),
    ),
    "a type that is an axis": (
        study(
            grid={"kind": ["sinusoid", "beats"], "b": [1, 2], "n": [4, 8]},
            attention={"P": {"type": "$kind", "amplitude": 1.0, "omega": "$b"}},
            tokens={"count": "$n"},
        ),
    ),
}


@pytest.mark.parametrize("history", _BANK.values(), ids=_BANK)
def test_the_blocks_are_those_of_a_look_at_every_point(history):
    expected = point_by_point(history)
    made = Plan(list(history), [{}] * len(history))
    result = [*made.every_block]
    assert len(result) == len(expected)
    templates: dict = {}
    for block, (generation, shape, _, first, its, point, rows) in zip(
        result, expected, strict=True
    ):
        at = np.arange(block.points)
        assert (block.generation, block.first, len(at)) == (generation, first, len(rows))
        assert block.point == point
        assert block.mould == templates.setdefault(shape, its)
        assert [tuple(row) for row in block.indices(at).tolist()] == [row[0] for row in rows]
        np.testing.assert_array_equal(block.ids(at), np.stack([row[1] for row in rows]))
        for mine, theirs in zip(
            block.numbers(at[::-1]), zip(*(row[2] for row in rows), strict=True), strict=True
        ):
            assert mine.dtype == np.float64
            np.testing.assert_array_equal(mine[::-1], np.stack(theirs))
        for place in (0, len(rows) - 1):
            assert block.find(rows[place][0]) == place
        for k in range(len(block.study.axes)):
            assert block.along(k).tolist() == sorted({row[0][k] for row in rows})


@pytest.mark.parametrize(
    "hole", [None, [[1, 4], [0], [3, 5]], [[0], [0, 2], [2, 3, 5]], [[0, 1, 4], [0, 2], [5]]]
)
def test_a_box_is_counted_as_its_points_are(hole):
    values = [np.array(v) for v in ([0, 1, 4], [0, 2], [2, 3, 5])]
    gone = set() if hole is None else set(itertools.product(*hole))
    listed = [p for p in itertools.product(*(v.tolist() for v in values)) if p not in gone]
    box = Box(values, None if hole is None else [np.array(v) for v in hole])
    assert len(box) == len(listed)
    assert [tuple(row) for row in box.at(np.arange(len(box))).tolist()] == listed
    assert [box.find(p) for p in listed] == list(range(len(listed)))
    assert all(box.find(p) is None for p in [*gone, (2, 0, 3)])
    assert [box.along(k).tolist() for k in range(3)] == [
        sorted({p[k] for p in listed}) for k in range(3)
    ]


def test_a_shard_is_known_by_its_name():
    history = _BANK["extended by both, twice"]
    bare = Plan(list(history), [{}] * 3)
    made = Plan(list(history), [{b.key: 5 for b in its} for its in bare.blocks])
    shards = list(made.shards())
    assert made.shard_count == len(shards) == len({s.name for s in shards})
    assert sum(map(len, shards)) == made.trajectories
    for shard in shards:
        assert made.shard(shard.name) == shard
    for name in ("000-999999", "003-000000", "000-0000000", "x", "", "0-0"):
        assert made.shard(name) is None


# === of any size


def test_a_plan_of_a_thousand_million_points_takes_what_its_axes_take():
    cost = {}
    for name, values in (("small", [0.1, 0.2]), ("huge", _RAMP)):
        spec = huge(grid=dict.fromkeys("abcdefghi", values))
        tracemalloc.start()
        began = time.process_time()
        made = Plan([spec], [{}])
        (block,) = made.blocks[0]
        assert made.points == made.trajectories == {"small": 2**9, "huge": 10**9}[name]
        shard = Plan([spec], [{block.key: 64}]).shard(f"000-{made.points // 64 - 1:06d}")
        assert shard is not None
        places, _ = shard.rows()
        assert block.indices(places)[-1].tolist() == [len(a.values) - 1 for a in spec.axes.values()]
        assert block.ids(places).shape == (64, 2)
        cost[name] = time.process_time() - began, tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    # Five times the values of axes, two million times the points.
    assert cost["huge"][0] < 2.0
    assert cost["huge"][1] < 5 * cost["small"][1] < 2**24


def test_the_first_shard_of_a_thousand_million_points_is_that_of_a_small_grid(tmp_path):
    few = huge(grid={n: [0.1] for n in "abcdefgh"} | {"i": [0.1, 0.2, 0.3, 0.4]})
    for name, spec in (("huge", huge()), ("few", few)):
        receipt = make(begun(str(tmp_path / name), spec), 1, "000-000000")
        assert receipt["trajectories"] == 4
    one, two = af.sweep.open(tmp_path / "huge"), af.sweep.open(tmp_path / "few")
    all_of_them = one["misalignment"]
    assert all_of_them.shape == (*9 * [10], 1)
    part = all_of_them[(*8 * [0], slice(4), 0)].values
    assert np.all(np.isfinite(part))
    np.testing.assert_array_equal(part, two["misalignment"].values.ravel())
    assert np.isnan(all_of_them[(*8 * [-1], slice(None, None, -2), 0)].values).all()
    assert np.isnan(all_of_them[(*8 * [0], [4, -1, 4], 0)].values).all()
    repeated = all_of_them[(*8 * [0], [3, 1, 3], 0)].values
    np.testing.assert_array_equal(repeated, part[[3, 1, 3]])
    state = af.sweep.status(tmp_path / "huge")
    assert (state.shards, state.shards_done) == (250_000_000, 1)
    assert (state.trajectories, state.trajectories_done) == (10**9, 4)
    assert "1000000000 points of 1 shape" in str(state)
    with pytest.raises(ValueError, match=r"holds 4 traj.* 1,000,000,000 of misalignment .* 8 GB"):
        all_of_them.load()
    table = pytest.importorskip("pyarrow.parquet")
    path = af.sweep.export(tmp_path / "huge", tmp_path / "there.parquet")
    assert table.read_table(path)["misalignment"].to_pylist() == part.tolist()
    pytest.importorskip("netCDF4")
    with pytest.raises(ValueError, match="export what is there as .parquet"):
        af.sweep.export(tmp_path / "huge", tmp_path / "all.nc")
    assert not (tmp_path / "all.nc").exists()
    with pytest.raises(ValueError, match="lacks 249999999 shards"):
        af.sweep.compact(tmp_path / "huge")


def test_a_large_store_is_extended_and_estimated_without_its_points(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "attnflow.sweep._estimate.probe",
        lambda blocks, known, show: {b.key: _PROBE for b in blocks},
    )
    more = huge(trials=2, grid=_NINE | {"i": {"start": 0.1, "stop": 2.0, "count": 20}})
    address = begun(str(tmp_path / "s"), huge())
    (tmp_path / "s" / "shards").mkdir()
    for number in ("000000", "249999999"):
        (tmp_path / "s" / "shards" / f"000-{number}.{32 * '0'}.zarr.zip").touch()
    estimate = af.sweep.estimate(more, address, progress=False)
    # Shards of ten seconds, 1000 trajectories, for the 3 * 10^9 that are new.
    assert (estimate.points, estimate.shards) == (2 * 10**9, 250_000_000 - 2 + 3_000_000)
    assert estimate.trajectories == 4 * 10**9 - 8
    assert af.sweep.status(address).shards_done == 2
    new = Plan([huge(), more], [{}, {}]).blocks[1]
    assert sorted((b.first, b.points) for b in new) == [(0, 10**9), (1, 10**9)]


_TOO_LARGE = {
    "trajectories": ({"trials": 2**32 - 1}, r"1,000,000,000 points of 4,294,967,295 trials"),
    "values": (
        {"grid": _NINE | {n: {**_RAMP, "count": 60_000} for n in "ab"}},
        r"axes have 120,070 values, more than the 100,000",
    ),
    "listed": (
        {
            "grid": {n: {**_RAMP, "count": 4000} for n in ("low", "high")},
            "attention": {"P": _DRAWN},
        },
        r"16,000,000 points, more than the 10,000,000 that can be looked at one by one",
    ),
}


@pytest.mark.parametrize(("changes", "words"), _TOO_LARGE.values(), ids=_TOO_LARGE)
def test_what_is_too_large_is_refused_with_its_size(changes, words):
    with pytest.raises(ValueError, match=words) as caught:
        huge(**changes)
    assert str(caught.value).startswith("$.grid: ")
    assert "\n" not in str(caught.value)


def test_too_many_kinds_are_refused_and_equal_numbers_too(monkeypatch):
    grid = {
        "T": {"start": 1.0, "stop": 9.0, "count": 400},
        "n": {"start": 1, "stop": 400, "step": 1, "integer": True},
        "a": {**_RAMP, "count": 100},
    }
    many = study(grid=grid, attention={"P": "$a"}, time={"t1": "$T"}, tokens={"count": "$n"})
    with pytest.raises(ValueError, match=r"160,000 kinds .* more than 100,000"):
        Plan([many], [{}])
    monkeypatch.setattr("attnflow.sweep._blocks.number_of", lambda words: 7)
    with pytest.raises(ValueError, match="two points have the same 64-bit number"):
        Plan([study()], [{}])
