"""Hostile stores of sweeps, their checksums made to fit: one line, whatever is asked of them."""

import copy
import json

import msgspec
import pytest

from attnflow.cli import main
from attnflow.sweep._plan import Plan
from attnflow.sweep._store import Store, _line, checksum
from attnflow.sweep._study import from_builtins, read_study

_STUDY = (
    'title = "t"\ntrials = 2\n[manifold]\ndim = 3\n[tokens]\ncount = 3\n[attention]\nP = "$a"\n'
    "[time]\nt1 = 0.1\n[grid]\na = [1.0, 2.0]\n"
)


_PROBE = {"seconds": 0.01, "first": 1.0, "bytes": 37, "measured": True}


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    """What an honest store keeps of a study."""
    folder = tmp_path_factory.mktemp("store")
    (folder / "s.toml").write_text(_STUDY)
    study = read_study(str(folder / "s.toml"))
    repeated = from_builtins(msgspec.to_builtins(study))  # as a store gives it back
    sizes = {block.key: 4 for block in Plan([repeated], [{}]).blocks[0]}
    Store(str(folder / "store")).add_study(study, sizes, dict.fromkeys(sizes, _PROBE))
    return json.loads((folder / "store" / "studies" / "000.json").read_text())


def _store(folder, record):
    """A store of one study: `record` with a checksum that fits, or any bytes."""
    path = folder / "studies" / "000.json"
    path.parent.mkdir(parents=True)
    if isinstance(record, dict):
        record = {k: v for k, v in record.items() if k != "sha256"}
        record = _line({**record, "sha256": checksum(_line(record))})
    path.write_bytes(record)
    return str(folder)


def _put(*path, value):
    def change(record):
        part = record
        for step in path[:-1]:
            part = part[step]
        part[path[-1]] = value
        return record

    return change


def _without(name):
    return lambda record: {k: v for k, v in record.items() if k != name}


def _sized(size):
    return lambda record: {**record, "sizes": dict.fromkeys(record["sizes"], size)}


_RECORDS = {
    "nothing": lambda record: b"",
    "a list": lambda record: b"[]",
    "a list of a list": lambda record: b'[["sha256"]]',
    "a number": lambda record: b"3",
    "no text": lambda record: b"\xff\xfe",
    "nesting": lambda record: 10**5 * b"[",
    "a key twice": lambda record: b'{"sha256": 1, "sha256": 1}',
    "no format": _without("format"),
    "no study": _without("study"),
    "no sizes": _without("sizes"),
    "no versions": lambda record: _without("versions")({**record, "version": 99}),
    "another format": _put("format", value="\x1b[2J"),
    "versions that are a list": lambda record: {**record, "version": 99, "versions": []},
    "a study that is a list": _put("study", value=[]),
    "a study without a grid": _put("study", "grid", value=3),
    "an unknown table": _put("study", "\x1b[2J", value=3),
    "a dimension of 10^9": _put("study", "manifold", "dim", value=10**9),
    "an axis of 10^9": _put("study", "grid", "a", value={"start": 1, "stop": 2, "count": 10**9}),
    "an axis of words": _put("study", "grid", "a", value=["x", "y"]),
    "trials that are a word": _put("study", "trials", value="many"),
    "trials without end": _put("study", "trials", value=10**30),
    "no trials": _put("study", "trials", value=0),
    "sizes that are a list": _put("sizes", value=[]),
    "sizes of another study": _put("sizes", value={"x": 1}),
    "probes that are a list": _put("probe", value=[]),
    "probes of another study": _put("probe", value={"x": _PROBE}),
    "a probe of a word": lambda record: {**record, "probe": dict.fromkeys(record["probe"], "x")},
    "a probe of no seconds": lambda record: {
        **record,
        "probe": {key: {} for key in record["probe"]},
    },
    "a size of zero": _sized(0),
    "a size below zero": _sized(-1),
    "a size that is a word": _sized("4"),
    "a size that is true": _sized(True),
    "a size of a half": _sized(0.5),
}


@pytest.mark.parametrize("change", _RECORDS.values(), ids=_RECORDS)
def test_a_forged_study_is_refused(as_user, capsys, tmp_path, record, change):
    store = _store(tmp_path / "store", change(copy.deepcopy(record)))
    assert main(["sweep", "status", store]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert "\x1b" not in err
    assert "store" in err or "$" in err


def test_the_honest_study_is_read(as_user, capsys, tmp_path, record):
    store = _store(tmp_path / "store", record)
    assert main(["sweep", "status", store]) == 0
    assert "0 of 4" in capsys.readouterr().out


_OTHERS = {
    "a driver that is a list": ("driver.json", b"[]"),
    "a driver of controls": ("driver.json", b'{"host": "\\u001b[2J", "pid": []}'),
    "a dataset that is a list": ("dataset.json", b"[]"),
    "a dataset elsewhere": ("dataset.json", b'{"file": "../../etc/passwd", "shards": "x"}'),
    "a dataset of a list": ("dataset.json", b'{"file": [], "shards": {}}'),
    "a shard of nothing": ("shards/000-000000." + 32 * "0" + ".zarr.zip", b""),
    "a shard of no plan": ("shards/999-999999." + 32 * "0" + ".zarr.zip", b""),
    "a shard of no name": ("shards/\x1b[2J", b""),
    "provenance that is a list": ("provenance/000-000000.json", b"[]"),
    "nested provenance": ("provenance/000-000000.json", 10**5 * b"["),
}


@pytest.mark.parametrize(("name", "content"), _OTHERS.values(), ids=_OTHERS)
@pytest.mark.parametrize("verify", [[], ["--verify"]], ids=["status", "verify"])
def test_forged_files_beside_it_do_no_harm(
    as_user, capsys, tmp_path, record, name, content, verify
):
    store = _store(tmp_path / "store", record)
    path = tmp_path / "store" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    status = main(["sweep", "status", store, *verify])
    out, err = capsys.readouterr()
    assert status in (0, 1, 2)
    assert "\x1b" not in out + err
    assert err.count("\n") == (status == 2)


@pytest.mark.parametrize("outcomes", [[], {"x": 1}, {"99": 1}, {"0": "many"}, {"0": -1}])
def test_forged_outcomes_are_not_counted(as_user, capsys, tmp_path, record, outcomes):
    store = _store(tmp_path / "store", record)
    shard, origin = tmp_path / "store" / "shards", tmp_path / "store" / "provenance"
    shard.mkdir()
    origin.mkdir()
    (shard / ("000-000000." + 32 * "0" + ".zarr.zip")).write_bytes(b"")
    (origin / "000-000000.json").write_text(json.dumps({"outcomes": outcomes}))
    assert main(["sweep", "status", store]) == 0
    assert "4 of 4" in capsys.readouterr().out


# === of 10^9 points


@pytest.fixture(scope="module")
def huge(tmp_path_factory):
    """A store of as many shards as points, 10^9, none of them there."""
    axes = {name: {"start": 0.1, "stop": 1.0, "count": 10} for name in "abcdefghi"}
    names = iter(axes)
    entries = [[f"${next(names)}" for _ in range(3)] for _ in range(3)]
    study = from_builtins(
        {"grid": axes, "manifold": {"dim": 3}, "tokens": {"count": 3}, "attention": {"P": entries}}
    )
    sizes = {block.key: 1 for block in Plan([study], [{}]).blocks[0]}
    store = str(tmp_path_factory.mktemp("huge") / "store")
    Store(store).add_study(study, sizes, dict.fromkeys(sizes, _PROBE))
    return store


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("export", "all.nc"), "holds 0 trajectories, and 1,000,000,000 of"),
        (("export", "all.parquet"), "holds no shard yet"),
        (("compact",), "lacks 1000000000 shards"),
    ],
    ids=["netcdf", "parquet", "compact"],
)
def test_nothing_is_made_of_points_that_are_not_there(
    as_user, capsys, tmp_path, huge, command, words
):
    paths = [str(tmp_path / name) for name in command[1:]]
    assert main(["sweep", command[0], huge, *paths]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert words in err
    assert err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_store_of_very_many_shards_says_how_many(as_user, capsys, huge):
    assert main(["sweep", "status", huge]) == 0
    assert "0 of 1000000000" in capsys.readouterr().out


_SIZES = {
    "10^18 points": ({n: {"start": 0, "stop": 1, "count": 10**3} for n in "abcdef"}, 10, "10^18"),
    "10^10 points of long axes": (
        {n: {"start": 0, "stop": 1, "count": 10**5} for n in "ab"},
        1,
        "axes have 200,000 values",
    ),
}


@pytest.mark.parametrize(("axes", "trials", "words"), _SIZES.values(), ids=_SIZES)
def test_a_grid_beyond_any_plan_is_refused_with_its_size(refused, axes, trials, words):
    tables = {"manifold": {"dim": 3}, "tokens": {"count": 3}, "attention": {"P": 1.0}}
    refused(lambda: from_builtins({"grid": axes, "trials": trials, **tables}), words)
