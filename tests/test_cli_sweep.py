"""`attnflow sweep` as a person uses it."""

import os
import signal
import subprocess
import sys
import time

import pytest

import attnflow as af
from tests.systems._studies import fixed_probe
from tests.test_cli import PROGRAM, in_process, refused

SPEC = """
title = "Two betas"
trials = 6
[grid]
beta = [0.5, 1.0]
[manifold]
dim = 3
[tokens]
count = 8
[attention]
P = "$beta"
scale = 1.0
[time]
t1 = 5.0
points = 3
[solver]
rtol = 1e-6
atol = 1e-9
"""


@pytest.fixture
def spec(tmp_path, monkeypatch):
    fixed_probe(monkeypatch)
    path = tmp_path / "mine.toml"
    path.write_text(SPEC)
    return path


@pytest.mark.slow
def test_a_sweep_from_start_to_export(capsys, spec, tmp_path):
    store = tmp_path / "store"
    status, out, err = in_process(capsys, "sweep", spec, "--out", store)
    assert status == 0
    assert "trajectories  12 of 12 (100%)" in out
    assert f"wrote {store}/overview.png" in out
    lines = [line for line in err.splitlines() if "trajectories in" in line]
    assert len(lines) == 3  # one a shard
    status, out, err = in_process(capsys, "sweep", spec, "--out", store, "--trials", "8")
    assert (status, err.count("trajectories in")) == (0, 1)
    assert "trajectories  16 of 16 (100%)" in out
    status, out, _ = in_process(capsys, "sweep", "status", store, "--verify")
    assert status == 0
    assert "came to t1" in out
    for name, magic in (("x.nc", b"\x89HDF"), ("x.parquet", b"PAR1"), ("x.png", b"\x89PNG")):
        command = "plot" if name.endswith("png") else "export"
        status, out, _ = in_process(capsys, "sweep", command, store, tmp_path / name)
        assert (status, out) == (0, f"wrote {tmp_path / name}\n")
        assert (tmp_path / name).read_bytes()[:4] == magic
    assert in_process(capsys, "sweep", "compact", store)[0] == 0
    assert "holds a sweep already" in refused(
        capsys, "sweep", spec, "--out", store, "--trials", "8", "--no-resume"
    )
    assert "$.trials: the store has 8, the spec 6" in refused(capsys, "sweep", spec, "--out", store)
    shard = sorted((store / "shards").iterdir())[0]
    shard.write_bytes(shard.read_bytes()[:-1])
    status, out, _ = in_process(capsys, "sweep", "status", store, "--verify")
    assert status == 1
    assert "damaged       shard 000-000000" in out


def test_a_dry_run_writes_nothing(capsys, spec, tmp_path):
    status, out, _ = in_process(capsys, "sweep", spec, "--out", tmp_path / "none", "--dry-run")
    assert status == 0
    assert "beta (2): 2 points" in out
    assert "12 to run, 6 trials a point" in out
    assert not (tmp_path / "none").exists()


def test_a_ready_study_is_shown_and_read_back(capsys, tmp_path):
    status, out, _ = in_process(capsys, "sweep", "show", "basin")
    assert status == 0
    (tmp_path / "basin.toml").write_text(out)
    assert af.sweep.read_study(tmp_path / "basin.toml") == af.sweep.read_study("basin")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nothing.toml", "--out", "x"], "No such file"),
        (["nothing", "--out", "x"], "neither a .toml file nor one of the ready studies"),
        (["basin"], "--out must say where the store is"),
        (["basin", "--out", "x", "--workers", "2", "--mpi"], "exclude one another"),
        (["status", "nothing-here"], "holds no sweep"),
        (["export", "nothing-here", "x.csv"], "must end in .nc or .parquet"),
        (["plot", "nothing-here", "x.jpg"], "must end in .png"),
        (["show", "mine"], "is not one of the ready studies"),
        (["basin", "--trials", "0", "--out", "x"], "trials"),
    ],
)
def test_bad_input_is_one_line(capsys, monkeypatch, tmp_path, arguments, words):
    monkeypatch.chdir(tmp_path)
    assert words in refused(capsys, "sweep", *arguments)
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_value_is_named_with_its_place(capsys, spec):
    spec.write_text(SPEC.replace("beta = [0.5, 1.0]", 'beta = [0.5, "x"]'))
    output = refused(capsys, "sweep", spec, "--out", "x")
    assert "mine.toml: $.grid.beta[1]: Expected a number, as before it; got a word" in output


def test_sweeps_without_their_packages_say_what_to_install(capsys, monkeypatch, spec):
    for name in [m for m in sys.modules if m.startswith("attnflow.sweep")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr(af, "sweep", raising=False)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    output = refused(capsys, "sweep", spec, "--out", "x")
    assert "sweeps need xarray and zarr" in output
    assert "pip install 'attnflow[sweep]'" in output


@pytest.mark.slow
def test_ctrl_c_ends_cleanly_and_says_how_to_go_on(tmp_path):
    path, store = tmp_path / "mine.toml", tmp_path / "store"
    path.write_text(SPEC.replace("trials = 6", "trials = 400000"))
    command = [*PROGRAM, "sweep", path, "--out", store, "--shard-seconds", "0.5", "--workers", "2"]
    run = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, process_group=0)
    for _ in range(2400):
        if len(list((store / "shards").glob("*.zip")) if store.exists() else []) > 2:
            break
        time.sleep(0.1)
    os.killpg(run.pid, signal.SIGINT)
    _, err = run.communicate(timeout=30)
    assert run.returncode == 130
    assert "Traceback" not in err
    last = err.splitlines()[-1]
    assert last.startswith("attnflow: interrupted: ")
    assert "the same command goes on from there" in last
    state = af.sweep.status(store, verify=True)
    assert 2 < state.shards_done < state.shards
    assert not state.damaged
    assert not list((store / "shards").glob(".*"))
    assert state.driver is None
