"""What a store gives back: a lazy dataset, one file for other programs, a compacted one."""

import shutil

import numpy as np
import pytest

import attnflow as af
from attnflow.sweep import _dataset
from attnflow.sweep._store import Store
from tests.systems._studies import fixed_probe, study

RICH = {
    "grid": {"beta": [0.5, 1.0], "mask": ["full", "causal"]},
    "attention": {"P": "$beta", "mask": "$mask", "scale": 1.0},
    "output": {"observe": ["misalignment", "clusters"]},
    "time": {"t1": 5.0, "points": 3, "until": 0.1},
}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        fixed_probe(patch)
        where = tmp_path_factory.mktemp("results") / "store"
        assert af.sweep.run(study(**RICH), where, compact=False).complete
    return where


@pytest.fixture(scope="module")
def loaded(store):
    return af.sweep.open(store).load()


def test_the_dataset_is_labelled(loaded):
    assert dict(loaded.sizes) == {"beta": 2, "mask": 2, "trial": 6, "time": 3}
    assert list(loaded["misalignment"].dims) == ["beta", "mask", "trial", "time"]
    assert loaded["mask"].values.tolist() == ["full", "causal"]
    assert loaded["misalignment"].attrs == {"long_name": "misalignment E (eq. 9)", "units": "1"}
    assert loaded["clusters"].dtype == np.int64
    ended_early = loaded["outcome"] == af.ensemble.Outcome.REACHED
    assert ended_early.any()
    assert (loaded["ended"].values[ended_early] < 5).all()
    assert (loaded["clusters"].isel(time=-1).values[ended_early] == -1).all()


def test_nothing_is_read_until_it_is_asked_for(store, monkeypatch):
    read = []
    load = _dataset._Shards._load
    monkeypatch.setattr(
        _dataset._Shards, "_load", lambda s, file: read.append(file) or load(s, file)
    )
    data = af.sweep.open(store)
    first = len(read)
    assert first <= 1  # attributes
    one = data["misalignment"].sel(beta=1.0, mask="causal", trial=3)
    assert len(read) == first
    assert np.isfinite(one.values[0])
    assert len(read) <= first + 1
    assert len(Store(store).files()) == 6


@pytest.mark.parametrize(
    "key",
    [
        {},
        {"beta": 1},
        {"trial": slice(None, None, 2), "time": -1},
        {"trial": [5, 0, 3], "mask": 0},
        {"trial": [1, 1, 4], "beta": [1, 0, 1], "time": slice(1, 3)},
        {"trial": slice(None, None, -1)},
        {"beta": 0, "mask": 1, "trial": 2, "time": 1},
        {"trial": slice(0, 0)},
    ],
)
def test_any_index_gives_what_loading_all_gives(store, loaded, key):
    for name in ("misalignment", "clusters", "ended"):
        here = {k: v for k, v in key.items() if k in loaded[name].dims}
        lazy = af.sweep.open(store)[name].isel(here)
        assert lazy.load().identical(loaded[name].isel(here))


def test_chunks_of_dask_give_the_same(store, loaded):
    pytest.importorskip("dask")
    chunked = af.sweep.open(store).chunk({"trial": 2})
    mean = chunked["misalignment"].mean("trial").compute()
    assert np.allclose(mean, loaded["misalignment"].mean("trial"), equal_nan=True)


def test_a_compacted_store_opens_the_same_and_alone(store, loaded, tmp_path):
    zarr, xarray = pytest.importorskip("zarr"), pytest.importorskip("xarray")
    file = af.sweep.compact(store)
    assert af.sweep.compact(store) == file
    repeated = af.sweep.open(store).load()
    assert repeated.equals(loaded)
    assert repeated.attrs == loaded.attrs
    bare = xarray.open_zarr(zarr.storage.ZipStore(store / file, mode="r"), chunks=None).load()
    assert bare.equals(loaded)
    (store / file).unlink()


def test_an_incomplete_store_is_not_compacted(store, tmp_path):
    shutil.copytree(store, tmp_path / "part")
    next((tmp_path / "part" / "shards").iterdir()).unlink()
    with pytest.raises(ValueError, match="lacks 1 shards; run the sweep to its end"):
        af.sweep.compact(tmp_path / "part")


def test_netcdf_holds_the_dataset(store, loaded, tmp_path):
    xarray = pytest.importorskip("xarray")
    pytest.importorskip("netCDF4")
    path = af.sweep.export(store, tmp_path / "data.nc")
    with xarray.open_dataset(path, engine="netcdf4") as data:
        assert data.load().equals(loaded)


def test_parquet_holds_a_row_for_each_trajectory_and_time(store, loaded, tmp_path):
    pq = pytest.importorskip("pyarrow.parquet")
    table = pq.read_table(af.sweep.export(store, tmp_path / "data.parquet")).to_pydict()
    assert len(table["beta"]) == loaded["misalignment"].size
    for k in range(0, len(table["beta"]), 7):
        where = {name: table[name][k] for name in ("beta", "mask", "trial", "time")}
        result = float(loaded["misalignment"].sel(where))
        assert result == table["misalignment"][k] or (
            np.isnan(result) and table["misalignment"][k] != result
        )


def test_another_format_or_a_missing_package_is_refused(store, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"`path` must end in \.nc or \.parquet; got .*data\.csv"):
        af.sweep.export(store, tmp_path / "data.csv")
    monkeypatch.setattr("attnflow.sweep._export.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"Parquet files need pyarrow.*attnflow\[parquet\]"):
        af.sweep.export(store, tmp_path / "data.parquet")


@pytest.mark.slow
def test_times_follow_the_axis_that_changes_their_end(tmp_path, monkeypatch):
    fixed_probe(monkeypatch)
    made = study(
        trials=2,
        grid={"beta": [1.0], "T": [2.0, 4.0]},
        time={"t1": "$T", "points": 3},
    )
    af.sweep.run(made, tmp_path / "T", compact=False)
    data = af.sweep.open(tmp_path / "T")
    assert data["t"].values.tolist() == [[0, 1, 2], [0, 2, 4]]
    assert np.allclose(data["ended"].sel(T=4.0), 4.0)
    both = data["misalignment"].values
    assert np.allclose(both[0, 0, :, 0], data["misalignment"].sel(T=2.0, beta=1.0).isel(time=0))


@pytest.mark.slow
def test_an_estimate_says_what_would_be_run(monkeypatch, tmp_path):
    made = study(grid={"beta": {"start": 0.1, "stop": 9.0, "count": 10}}, trials=10_000_000)
    estimate = af.sweep.estimate(made, progress=False)
    assert (estimate.points, estimate.trajectories, estimate.shapes) == (10, 10**8, 1)
    assert estimate.shards > 100
    assert estimate.seconds == pytest.approx(1e8 * estimate.slowest)
    assert estimate.fastest == estimate.slowest > 1e-6
    assert "beta (10): 10 points" in str(estimate)
    fixed_probe(monkeypatch)
    af.sweep.run(study(), tmp_path / "there")
    rest = af.sweep.estimate(study(trials=8), tmp_path / "there", progress=False)
    assert rest.trajectories == 6


@pytest.mark.slow
def test_the_phase_diagrams_border_is_the_equiangular_time(tmp_path):
    from msgspec.structs import replace

    ready = af.sweep.read_study("phase-diagram")
    few = replace(
        ready,
        trials=16,
        grid={"d": [128], "beta": [0.5, 2.0, 4.0]},
        time={"t1": 9.0, "points": 91},
    )
    af.sweep.run(few, tmp_path / "phase")
    data = af.sweep.open(tmp_path / "phase")["aligned_pairs"].isel(d=0)
    exact = af.theory.equiangular_time(0.999, data["beta"].values, 32)
    for beta, time in zip(data["beta"].values, exact, strict=True):
        half = data["time"].values[np.argmax(data.sel(beta=beta).values >= 0.5, axis=-1)]
        assert half.min() - 0.1 <= time <= half.max()
