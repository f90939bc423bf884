"""The same sweep in other processes, on this machine and through schedulers; some of them die."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import msgspec
import pytest

import attnflow as af
from tests.systems._studies import files, fixed_probe, study

LOOPED = {"trials": 60}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An undisturbed run in this process."""
    with pytest.MonkeyPatch.context() as patch:
        fixed_probe(patch)
        store = tmp_path_factory.mktemp("executors") / "whole"
        assert af.sweep.run(study(**LOOPED), store).complete
    return store


@pytest.fixture(autouse=True)
def probed(monkeypatch):
    fixed_probe(monkeypatch)


def _triple(x):
    return 3 * x


def _die(_):
    os.kill(os.getpid(), signal.SIGKILL)


def _raise(_):
    raise ZeroDivisionError("as asked")


def _threads(_):
    from attnflow.core.machine import cores

    return cores(), os.environ["NPROC"]


# === the pool


@pytest.mark.slow
def test_a_pool_does_what_executors_do():
    with af.sweep.Pool(2) as pool:
        assert list(pool.map(_triple, range(5))) == [0, 3, 6, 9, 12]
        with pytest.raises(ZeroDivisionError, match="as asked"):
            pool.submit(_raise, 0).result()
        assert len(pool.pids) == 2
        assert pool.submit(_threads, 0).result() == (pool.threads, str(pool.threads))
    assert pool.pids == []


@pytest.mark.slow
def test_a_worker_that_dies_fails_its_own_task_and_is_replaced():
    with af.sweep.Pool(2) as pool:
        futures = [pool.submit(_die if k == 3 else _triple, k) for k in range(8)]
        with pytest.raises(af.sweep.WorkerDied, match="was ended by SIGKILL"):
            futures[3].result()
        assert [f.result() for k, f in enumerate(futures) if k != 3] == [0, 3, 6, 12, 15, 18, 21]


def test_workers_end_with_the_process_that_made_them():
    code = (
        "import sys; from attnflow.sweep import Pool\n"
        "import time\n"
        "if __name__ == '__main__':\n"
        "    pool = Pool(1); pool.submit(time.sleep, 0).result(); print(pool.pids[0], flush=True)\n"
        "    pool.submit(time.sleep, 600); time.sleep(600)\n"
    )
    driver = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert driver.stdout is not None
    pid = int(driver.stdout.readline())
    driver.kill()
    driver.wait()
    driver.stdout.close()
    for _ in range(100):
        if not _alive(pid):
            return
        time.sleep(0.1)
    raise AssertionError("the worker outlived its driver")


def _alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("name", ["workers", "threads"])
def test_a_pool_of_nothing_is_refused(name):
    with pytest.raises(ValueError, match=f"`{name}` must be a positive integer; got 0"):
        af.sweep.Pool(**{name: 0})


def test_a_number_of_threads_that_is_none_is_refused(monkeypatch):
    from attnflow.core.machine import cores

    monkeypatch.setenv("ATTNFLOW_THREADS", "many")
    with pytest.raises(ValueError, match="ATTNFLOW_THREADS must be a positive whole number"):
        cores()


# === sweeps through executors


@pytest.mark.slow
def test_a_sweep_through_a_pool_has_the_same_bytes(whole, tmp_path):
    with af.sweep.Pool(2) as pool:
        assert af.sweep.run(study(**LOOPED), tmp_path / "pool", pool).complete
    assert files(tmp_path / "pool") == files(whole)


@pytest.mark.slow
def test_a_shard_that_kills_its_worker_is_told_and_stops_no_other(tmp_path, monkeypatch):
    from attnflow.sweep import _run, _shard

    class Killed:
        """As a pool, but for one shard."""

        def __init__(self, pool):
            self.pool = pool

        def submit(self, fn, address, studies, name):
            if name == "000-000001":
                return self.pool.submit(_die, 0)
            return self.pool.submit(fn, address, studies, name)

    assert _run.make is _shard.make
    with af.sweep.Pool(2) as pool:
        state = af.sweep.run(study(), tmp_path / "kills", Killed(pool), retries=1)
    assert list(state.failed) == ["000-000001"]
    assert "WorkerDied: the worker was ended by SIGKILL" in state.failed["000-000001"]
    assert state.shards_done == state.shards - 1


@pytest.mark.slow
def test_dask_workers_that_are_killed_lose_nothing(whole, tmp_path):
    distributed = pytest.importorskip("distributed")
    store = tmp_path / "dask"
    with (
        distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address=None,
            env={"ATTNFLOW_THREADS": "1"},
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        killed = []
        stop = threading.Event()

        def kill():
            # Once each worker has a shard under way; the nanny starts another in its place.
            chosen = random.Random(0)
            while not stop.wait(chosen.uniform(2, 4)):
                if len(killed) < 3 and list((store / "shards").glob("*.zip")):
                    pids = list(client.run(os.getpid).values())
                    os.kill(chosen.choice(pids), signal.SIGKILL)
                    killed.append(1)

        thread = threading.Thread(target=kill)
        thread.start()
        try:
            with _quiet():
                state = af.sweep.run(study(**LOOPED), store, client.get_executor())
        finally:
            stop.set()
            thread.join()
    assert killed
    assert state.complete
    assert not state.failed
    assert files(store) == files(whole)


class _quiet:
    """Lines of a scheduler about workers that died are no failures here."""

    def __enter__(self):
        import logging

        for name in ("distributed.nanny", "distributed.scheduler", "distributed.worker"):
            logging.getLogger(name).setLevel(logging.CRITICAL)

    def __exit__(self, *_):
        return None


@pytest.mark.slow
def test_two_ranks_of_mpi_give_the_same_bytes(whole, tmp_path):
    pytest.importorskip("mpi4py.futures", exc_type=ImportError)
    beside = Path(sys.executable).with_name("mpiexec")
    if not beside.exists():
        pytest.skip("no mpiexec beside this Python")
    spec = tmp_path / "study.toml"
    spec.write_bytes(msgspec.toml.encode(study(**LOOPED)))
    store = tmp_path / "mpi"
    af.sweep.run(study(trials=1), store)  # begins the store, with shards of a known size
    command = [beside, "-n", "2", sys.executable, "-m", "mpi4py.futures", "-m", "attnflow"]
    ran = subprocess.run(
        [*command, "sweep", spec, "--out", store, "--mpi"],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ran.returncode == 0, ran.stderr
    pids = set()
    for line in ran.stderr.splitlines():
        if "trajectories in" in line:
            pids.add(line.rpartition("process ")[2])
    assert len(pids) == 1  # of the second rank, which is not the driver
    data, expected = af.sweep.open(store), af.sweep.open(whole)
    assert data["misalignment"].equals(expected["misalignment"])


# === other processes


@pytest.mark.slow
def test_several_devices_work_a_shard_to_the_same_bytes(whole, tmp_path):
    store = tmp_path / "devices"
    af.sweep.run(study(trials=1), store)  # begins the store, with shards of a known size
    code = (
        "import sys, jax, msgspec, attnflow as af\n"
        "assert jax.local_device_count() == 2\n"
        "study = af.sweep.read_study(sys.argv[1])\n"
        "print(af.sweep.run(study, sys.argv[2]).complete)\n"
    )
    spec = tmp_path / "study.toml"
    spec.write_bytes(msgspec.toml.encode(study(trials=7)))
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    ran = subprocess.run(
        [sys.executable, "-c", code, spec, store],
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ | flags,
    )
    assert ran.stdout == "True\n", ran.stderr
    data, expected = af.sweep.open(store), af.sweep.open(whole)
    assert data["misalignment"].equals(expected["misalignment"].isel(trial=slice(0, 7)))


@pytest.mark.slow
def test_two_drivers_in_two_processes_exclude_each_other(tmp_path):
    code = (
        "import sys\n"
        "from attnflow.records.folders import LocalFolder\n"
        "from pathlib import Path\n"
        "with LocalFolder(Path(sys.argv[1])).lock():\n"
        "    print('held', flush=True); sys.stdin.read()\n"
    )
    store = tmp_path / "busy"
    other = subprocess.Popen(
        [sys.executable, "-c", code, store],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert other.stdout is not None
    assert other.stdout.readline() == "held\n"
    with pytest.raises(ValueError, match=f"another driver \\(process {other.pid} on .* is at work"):
        af.sweep.run(study(trials=1), store)
    other.kill()
    other.communicate()
    assert af.sweep.run(study(trials=1), store).complete


SMALL_DISK = """
import subprocess, sys
from pathlib import Path
import attnflow as af
import tests.systems._studies as s
import pytest
if __name__ == "__main__":
    disk, seen = sys.argv[1], ""
    with pytest.MonkeyPatch.context() as patch:
        s.fixed_probe(patch)
        try:
            af.sweep.run(s.study(trials=60), disk + "/store")
        except OSError as error:
            seen = str(error)
    assert "No space left on device; free some space or choose another disk" in seen, seen
    found = af.sweep.status(disk + "/store", verify=True)
    assert 0 < found.shards_done < found.shards and not found.damaged
    assert int((af.sweep.open(disk + "/store")["outcome"] > 0).sum()) == found.trajectories_done
    subprocess.run(["mount", "-o", "remount,size=50M", disk], check=True)
    assert af.sweep.run(s.study(trials=60), disk + "/store").complete
    print("went on")
"""


@pytest.mark.slow
def test_a_disk_that_is_really_full_is_said_and_gone_on_from(tmp_path):
    script = 'mount -t tmpfs -o size=400k none "$1" && exec "$2" -c "$3" "$1"'
    may = ["unshare", "--map-root-user", "--mount", "sh", "-c"]
    try:
        able = subprocess.run([*may, 'mount -t tmpfs none "$0"', tmp_path], capture_output=True)
    except FileNotFoundError:
        pytest.skip("no unshare here")
    if able.returncode:
        pytest.skip("a file system of its own cannot be mounted here")
    ran = subprocess.run(
        [*may, script, "sh", tmp_path, sys.executable, SMALL_DISK],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=Path(__file__).parent.parent.parent,
    )
    assert ran.stdout.endswith("went on\n"), ran.stderr
