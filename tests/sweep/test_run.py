"""Sweeps in this process: every trajectory once, whatever was there before and whatever went wrong."""

import dataclasses
import errno
import json
import logging
from concurrent.futures import ThreadPoolExecutor

import jax
import numpy as np
import pytest

import attnflow as af
from attnflow.sweep import _pack, _shard
from attnflow.sweep._store import Store
from tests.systems._studies import files, fixed_probe, study


@pytest.fixture(autouse=True)
def probed(monkeypatch):
    fixed_probe(monkeypatch)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An undisturbed run, and its files."""
    with pytest.MonkeyPatch.context() as patch:
        fixed_probe(patch)
        store = tmp_path_factory.mktemp("sweep") / "whole"
        state = af.sweep.run(study(), store)
    assert state.complete
    return store


def some_shard(store):
    return sorted((store / "shards").iterdir())[1]


# === numbers


def test_a_sweep_gives_what_simulate_gives(whole):
    data = af.sweep.open(whole)
    assert data["misalignment"].dims == ("beta", "trial", "time")
    assert dict(data.sizes) == {"beta": 3, "trial": 6, "time": 3}
    for beta, trial in ((0.5, 0), (2.0, 5)):
        field, y0, options = af.sweep.trajectory(study(), {"beta": beta}, trial=trial)
        sol = af.simulate(field, y0, **options, observe=af.misalignment)
        result = data["misalignment"].sel(beta=beta, trial=trial)
        assert np.allclose(result, sol.ys, rtol=1e-9, atol=0)
        assert np.allclose(result["time"], sol.ts)


def test_bytes_depend_on_neither_run_nor_order(whole, tmp_path):
    af.sweep.run(study(), tmp_path / "again")
    assert files(tmp_path / "again") == files(whole)
    dataset = [next(s.glob("dataset.*.zip")).read_bytes() for s in (whole, tmp_path / "again")]
    assert dataset[0] == dataset[1]


def test_numbers_do_not_depend_on_the_size_of_shards(whole, tmp_path, monkeypatch):
    fixed_probe(monkeypatch, 7)
    af.sweep.run(study(), tmp_path / "other")
    assert len(files(tmp_path / "other")) == 3 != len(files(whole))
    assert af.sweep.open(tmp_path / "other")["misalignment"].equals(
        af.sweep.open(whole)["misalignment"]
    )


def test_more_trials_and_values_keep_every_earlier_number(whole, tmp_path):
    store = tmp_path / "grows"
    af.sweep.run(study(trials=3, grid={"beta": [1.0, 2.0]}), store)
    first = files(store)
    state = af.sweep.run(study(), store)
    assert state.complete
    assert first.items() <= files(store).items()
    assert af.sweep.open(store)["misalignment"].equals(af.sweep.open(whole)["misalignment"])


@pytest.mark.slow
def test_float32_is_drawn_in_64_bits_and_kept_in_32(tmp_path):
    af.sweep.run(study(trials=1, dtype="float32", solver={}), tmp_path / "f32")
    data = af.sweep.open(tmp_path / "f32")
    assert data["misalignment"].dtype == np.float32
    _, y0, _ = af.sweep.trajectory(study(dtype="float32"), {"beta": 1.0})
    _, wide, _ = af.sweep.trajectory(study(), {"beta": 1.0})
    assert np.array_equal(y0, wide.astype("float32"))


@pytest.mark.slow
def test_arrays_drawn_by_trial_differ_and_come_back(tmp_path):
    random = {"type": "uniform", "shape": [3, 3], "low": -1.0, "seed": "trial"}
    made = study(attention={"P": {"type": "constant", "value": random}, "scale": "$beta"})
    drawn = [af.sweep.trajectory(made, {"beta": 1.0}, trial=k)[0].P(0.0) for k in (0, 1, 0)]
    assert np.array_equal(drawn[0], drawn[2])
    assert not np.allclose(drawn[0], drawn[1])
    af.sweep.run(made, tmp_path / "drawn")
    field, y0, options = af.sweep.trajectory(made, {"beta": 2.0}, trial=4)
    sol = af.simulate(field, y0, **options, observe=af.misalignment)
    data = af.sweep.open(tmp_path / "drawn")["misalignment"].sel(beta=2.0, trial=4)
    assert np.allclose(data, sol.ys, rtol=1e-8)


@pytest.mark.slow
def test_the_energy_is_that_of_each_trajectorys_own_field(tmp_path):
    made = study(trials=1, output={"observe": ["energy", "residual"]})
    af.sweep.run(made, tmp_path / "energy")
    field, y0, options = af.sweep.trajectory(made, {"beta": 2.0})
    sol = af.simulate(field, y0, **options, observe=af.Energy(field))
    data = af.sweep.open(tmp_path / "energy")
    assert np.allclose(data["energy"].sel(beta=2.0, trial=0), sol.ys, rtol=1e-9)
    assert data["residual"].max() < 1e-12


@pytest.mark.slow
def test_shapes_are_compiled_once(tmp_path, monkeypatch):
    from attnflow.ensemble import _advance

    fixed_probe(monkeypatch, 2)
    counted = []
    before = _advance.Crew.advance

    def advance(self, *args):
        counted.append(jax.tree.leaves(args[0])[0].shape)
        return before(self, *args)

    monkeypatch.setattr(_advance.Crew, "advance", advance)
    _advance.crew_programs.cache_clear()
    af.sweep.run(study(grid={"beta": [0.3, 0.6, 0.9]}, tokens={"count": 5}), tmp_path / "once")
    _advance.crew_programs.cache_clear()
    assert len(files(tmp_path / "once")) == 9
    assert len(counted) == 1


@pytest.mark.slow
def test_a_trajectory_that_fails_says_so_and_spoils_no_other(tmp_path):
    made = study(solver={"rtol": 1e-6, "atol": 1e-9, "max_steps": 12})
    state = af.sweep.run(made, tmp_path / "short")
    assert state.complete
    assert state.outcomes[af.ensemble.Outcome.STEP_LIMIT] > 0
    data = af.sweep.open(tmp_path / "short")
    stopped = data["outcome"] == af.ensemble.Outcome.STEP_LIMIT
    assert np.isnan(data["misalignment"].isel(time=-1).values[stopped]).all()


# === resuming, and what is wrong with a store


def test_what_is_there_is_not_computed_again(whole, monkeypatch):
    monkeypatch.setattr(_shard, "compute", None)
    assert af.sweep.run(study(), whole).complete


def test_a_run_that_stopped_goes_on_to_the_same_bytes(whole, tmp_path, monkeypatch):
    store, calls = tmp_path / "stopped", []
    compute = _shard.compute

    def some(*args):
        calls.append(args)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return compute(*args)

    monkeypatch.setattr(_shard, "compute", some)
    with pytest.raises(KeyboardInterrupt):
        af.sweep.run(study(), store)
    assert len(files(store)) == 2
    partial = af.sweep.open(store)
    assert int((partial["outcome"] > 0).sum()) == 8
    assert partial.attrs["trajectories"] == "8 of 18"
    assert np.isnan(partial["misalignment"]).sum() == 10 * 3
    assert af.sweep.run(study(), store).complete
    assert files(store) == files(whole)


@pytest.mark.parametrize("harm", ["flip", "truncate", "empty"])
def test_a_damaged_shard_is_found_said_and_repaired(whole, tmp_path, harm):
    store = tmp_path / "harmed"
    af.sweep.run(study(), store, compact=False)
    path = some_shard(store)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes({"flip": bytes(content), "truncate": content[:-100], "empty": b""}[harm])
    assert af.sweep.status(store).complete  # names alone do not tell
    name = path.name[:10]
    assert af.sweep.status(store, verify=True).damaged == [name]
    with pytest.raises(af.sweep.Damaged, match=rf"shards/{name}.* is damaged"):
        af.sweep.open(store)["misalignment"].load()
    with pytest.raises(af.sweep.Damaged, match="is damaged"):
        af.sweep.export(store, tmp_path / "x.parquet")
    with pytest.warns(UserWarning, match=f"shard {name} was damaged"):
        af.sweep.run(study(), store)
    assert files(store) == files(whole)
    assert [p.name for p in (store / "damaged").iterdir()] == [path.name]


def test_a_damaged_dataset_is_never_read(tmp_path):
    store = tmp_path / "harmed"
    af.sweep.run(study(), store)
    (path,) = store.glob("dataset.*.zip")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(af.sweep.Damaged, match="dataset.*is damaged"):
        af.sweep.open(store)
    assert af.sweep.status(store, verify=True).damaged == [path.name]
    assert af.sweep.run(study(), store).complete
    assert not af.sweep.status(store, verify=True).damaged
    path.unlink()
    assert np.isfinite(af.sweep.open(store)["misalignment"]).all()


def test_what_a_killed_writer_left_is_no_shard_and_goes(whole, tmp_path):
    store = tmp_path / "left"
    af.sweep.run(study(), store)
    path = some_shard(store)
    left = path.with_name(f".{path.name}.0123456789abcdef.tmp")
    path.rename(left)
    assert af.sweep.status(store).shards_done == 4
    assert af.sweep.run(study(), store).complete
    assert not left.exists()
    assert files(store) == files(whole)


def test_what_a_killed_writer_left_is_taken_away_unless_a_driver_is_at_work(tmp_path):
    left = tmp_path / "shards" / ".000-000001.zip.0123456789abcdef.tmp"
    left.parent.mkdir()
    left.write_bytes(b"a part")
    store = af.sweep.Store(tmp_path)
    with store.folder.lock():
        store.clean()
        assert left.exists()
    store.clean()
    assert not left.exists()


def test_two_results_for_one_shard_are_refused(tmp_path):
    store = tmp_path / "two"
    af.sweep.run(study(trials=1), store)
    home = Store(store)
    (name, file), *_ = home.files().items()
    home.write(name, home.read(file) + b"x", {})
    for ask in (af.sweep.open, af.sweep.status, lambda s: af.sweep.run(study(trials=1), s)):
        with pytest.raises(af.sweep.Damaged, match=f"shard {name} has two results"):
            ask(store)


def test_an_altered_study_is_refused(tmp_path):
    store = tmp_path / "altered"
    af.sweep.run(study(trials=1), store)
    path = store / "studies" / "000.json"
    path.write_text(path.read_text().replace('"seed"', '"seeds"').replace("0.5", "0.6"))
    for ask in (af.sweep.open, af.sweep.status, lambda s: af.sweep.run(study(trials=1), s)):
        with pytest.raises(af.sweep.Damaged, match=r"studies/000\.json is not what was written"):
            ask(store)


def test_another_study_is_refused_with_the_difference(whole):
    with pytest.raises(
        ValueError, match=r"holds another study: \$\.seed: the store has 0, the spec 3"
    ):
        af.sweep.run(study(seed=3), whole)
    with pytest.raises(ValueError, match=r"\$\.trials: the store has 6, the spec 2"):
        af.sweep.estimate(study(trials=2), whole)


def test_another_version_is_said(whole, monkeypatch):
    monkeypatch.setattr("attnflow.sweep._run.versions", lambda: {"jax": "9.9.9"})
    with pytest.warns(UserWarning, match=r"the store was begun with .*jax .*\(now 9\.9\.9\)"):
        af.sweep.run(study(), whole)


def test_a_second_driver_is_refused(tmp_path):
    store = Store(tmp_path / "busy")
    with store.folder.lock():
        with pytest.raises(ValueError, match=r"is in use: another driver \(process \d+ on "):
            af.sweep.run(study(), tmp_path / "busy")
        assert store.folder.driver()["pid"]
    assert store.folder.driver() is None
    assert af.sweep.run(study(trials=1), tmp_path / "busy").complete


def test_no_store_is_said(tmp_path):
    for ask in (af.sweep.open, af.sweep.status):
        with pytest.raises(ValueError, match="holds no sweep"):
            ask(tmp_path / "nothing")


# === failures on the way


def test_a_shard_that_always_fails_is_told_and_stops_no_other(tmp_path, monkeypatch, caplog):
    make, tries = _shard.make, []

    def fails(address, studies, name):
        if name.endswith("2"):
            tries.append(name)
            raise ZeroDivisionError("no such number")
        return make(address, studies, name)

    monkeypatch.setattr("attnflow.sweep._run.make", fails)
    with caplog.at_level(logging.INFO, "attnflow.sweep"):
        state = af.sweep.run(study(), tmp_path / "one-fails", retries=1)
    assert state.failed == {"000-000002": "ZeroDivisionError: no such number"}
    assert (state.shards_done, state.shards, len(tries)) == (4, 5, 2)
    assert "failed        shard 000-000002: ZeroDivisionError" in str(state)
    assert caplog.text.count("trajectories in") == 4
    monkeypatch.undo()
    fixed_probe(monkeypatch)
    assert af.sweep.run(study(), tmp_path / "one-fails").complete


def test_a_full_disk_is_one_clear_error_and_nothing_is_lost(whole, tmp_path, monkeypatch):
    store, written = tmp_path / "full", []

    def fsync(descriptor):
        written.append(descriptor)
        if len(written) > 8:
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", fsync)
        with pytest.raises(OSError, match=r"cannot write `.*`: No space left.*free some space"):
            af.sweep.run(study(), store)
    assert 0 < len(files(store)) < 5
    assert np.isfinite(af.sweep.open(store)["ended"]).any()
    assert af.sweep.run(study(), store).complete
    assert files(store) == files(whole)


class _Broken:
    """An executor that takes nothing any more."""

    def submit(self, *_):
        raise RuntimeError("cannot schedule new futures")


def test_an_executor_that_broke_fails_its_shards_and_no_more(tmp_path):
    state = af.sweep.run(study(trials=2), tmp_path / "broken", _Broken(), retries=1)
    assert state.failed == dict.fromkeys(
        ("000-000000", "000-000001"), "RuntimeError: cannot schedule new futures"
    )


def test_any_executor_of_the_standard_library_will_do(whole, tmp_path):
    with ThreadPoolExecutor(2) as threads:
        assert af.sweep.run(study(), tmp_path / "threads", threads).complete
    assert files(tmp_path / "threads") == files(whole)


# === elsewhere


def test_a_store_may_be_anywhere_that_fsspec_knows(whole):
    fsspec = pytest.importorskip("fsspec")
    address = "memory://sweeps/one"
    state = af.sweep.run(study(), address)
    assert state.complete
    system = fsspec.filesystem("memory")
    names = sorted(p.rpartition("/")[2] for p in system.ls("/sweeps/one/shards", detail=False))
    assert names == list(files(whole))
    assert af.sweep.open(address)["misalignment"].equals(af.sweep.open(whole)["misalignment"])
    assert Store(address).folder.driver() is None
    with Store(address).folder.lock(), pytest.raises(ValueError, match="is in use"):
        af.sweep.run(study(), address)


def test_an_unknown_address_is_refused():
    with pytest.raises(ValueError, match="`store` 'nowhere://x' cannot be opened"):
        af.sweep.run(study(), "nowhere://x")


# === what is in a shard


def test_a_shard_is_labelled_and_says_where_it_is_from(whole):
    data = _pack.unpack(some_shard(whole).read_bytes())
    assert data["misalignment"].dims == ("trajectory", "time")
    assert set(data.coords) == {"beta", "trial", "time"}
    assert data["outcome"].attrs["flag_meanings"].split()[:3] == ["missing", "reached", "time_up"]
    assert json.loads(data.attrs["versions"])["jax"] == jax.__version__
    assert json.loads(data.attrs["study"])["attention"] == {"P": "$beta", "scale": 1.0}
    assert (data.attrs["dtype"], data.attrs["device"]) == ("float64", "cpu")
    made = Store(whole).provenance(some_shard(whole).name[:10])
    assert {"host", "started", "seconds", "devices", "platform"} <= set(made)
    assert "started" not in json.dumps(data.attrs)


@dataclasses.dataclass
class _Bare:
    submitted: int = 0


def test_arguments_that_are_none_are_refused(tmp_path, as_user):
    bad = {"retries": -1, "shard_seconds": 0.0, "executor": _Bare()}
    for name, value in bad.items():
        with pytest.raises(ValueError, match=f"`{name}` must"):
            af.sweep.run(study(), tmp_path, **{name: value})
    with pytest.raises(ValueError, match="`spec` must be a Study"):
        af.sweep.run(3, tmp_path)
    with pytest.raises(ValueError, match="which is not on that axis"):
        af.sweep.trajectory(study(), {"beta": 9.0})
    with pytest.raises(ValueError, match="`trial` must be 0 to 5"):
        af.sweep.trajectory(study(), {"beta": 1.0}, trial=6)
