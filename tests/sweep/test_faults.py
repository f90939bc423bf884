"""A hundred kills: after them every trajectory is there once, in the bytes of an undisturbed run."""

import os
import random
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import attnflow as af
from tests.systems._studies import files, fixed_probe, keep_figures, study

pytestmark = pytest.mark.slow

# 150 shards, each about a tenth of a second.
MANY = {"trials": 2000}
SIZE = 40

DRIVER = """
import sys
import attnflow as af
if __name__ == "__main__":
    store, workers = sys.argv[1:]
    if workers == "0":
        af.sweep.run(af.sweep.read_study(store + ".toml"), store, progress=False)
    else:
        with af.sweep.Pool(int(workers)) as pool:
            af.sweep.run(af.sweep.read_study(store + ".toml"), store, pool, retries=50, progress=False)
"""


def begun(store):
    """A store whose plan is fixed and that holds nothing yet."""
    import msgspec

    from attnflow.sweep import _run
    from attnflow.sweep._store import Store

    store.with_name(store.name + ".toml").write_bytes(msgspec.toml.encode(study(**MANY)))
    with pytest.MonkeyPatch.context() as patch:
        fixed_probe(patch, SIZE)
        _run._begin(Store(store), study(**MANY), 10.0, False)
    return store


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    store = begun(tmp_path_factory.mktemp("faults") / "whole")
    assert af.sweep.run(study(**MANY), store).complete
    return store


@pytest.fixture
def quick(tmp_path_factory, monkeypatch):
    """Drivers that start again find what was compiled."""
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path_factory.mktemp("compiled")))
    monkeypatch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.5")


def drive(store, workers=0):
    return subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(store), str(workers)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def count(store) -> int:
    folder = store / "shards"
    return len(list(folder.glob("*.zip"))) if folder.exists() else 0


def wait_for_more(store, driver, before: int) -> None:
    """Until a driver has made a shard, or has nothing left to make."""
    for _ in range(1200):
        if count(store) > before or driver.poll() is not None:
            return
        time.sleep(0.05)
    raise AssertionError("the driver made no shard in a minute")


def check(store, whole):
    assert files(store) == files(whole)
    assert af.sweep.status(store, verify=True).complete
    data = af.sweep.open(store)
    assert (data["outcome"] > 0).all()
    assert data["misalignment"].equals(af.sweep.open(whole)["misalignment"])
    assert np.isfinite(data["misalignment"]).all()


def test_fifty_kills_of_the_driver_lose_and_repeat_nothing(whole, tmp_path, quick):
    store, chosen = begun(tmp_path / "drivers"), random.Random(1)
    counts = []
    for _ in range(50):
        driver = drive(store)
        if chosen.random() < 0.7:  # at work
            wait_for_more(store, driver, counts[-1] if counts else 0)
            time.sleep(chosen.uniform(0.0, 1.0))
        else:  # at any moment of its start
            time.sleep(chosen.uniform(0.0, 4.0))
        driver.send_signal(signal.SIGKILL)
        driver.wait()
        counts.append(count(store))
    assert counts == sorted(counts)
    mid = sum(a < b for a, b in zip([0, *counts], counts, strict=False))
    assert len(set(counts)) > 5  # they met it at work
    left = len(files(whole)) - counts[-1]
    assert af.sweep.run(study(**MANY), store).complete
    check(store, whole)
    keep_figures(
        "kills of the driver",
        {
            "kills": len(counts),
            "drivers that had made shards": mid,
            "shards": len(files(whole)),
            "shards left after the last": left,
            "trajectories": 3 * MANY["trials"],
            "files that differ": 0,
        },
    )


def test_fifty_kills_of_workers_lose_and_repeat_nothing(whole, tmp_path, quick):
    store, chosen = begun(tmp_path / "workers"), random.Random(2)
    killed: list[int] = []
    rounds = 0
    stop = threading.Event()
    with af.sweep.Pool(2) as pool:

        def kill():
            while len(killed) < 50 and not stop.wait(chosen.uniform(0.5, 4.0)):
                pids = pool.pids
                if pids:
                    killed.append(chosen.choice(pids))
                    os.kill(killed[-1], signal.SIGKILL)

        thread = threading.Thread(target=kill)
        thread.start()
        # One that is not there for long may be met again and again: it is tried as often as it takes.
        try:
            while len(killed) < 50:
                state = af.sweep.run(study(**MANY), store, pool, retries=50)
                rounds += 1
                if state.complete and len(killed) < 50:
                    for path in list((store / "shards").iterdir())[::2]:
                        path.unlink()
        finally:
            stop.set()
            thread.join()
        assert af.sweep.run(study(**MANY), store, pool, retries=50).complete
    check(store, whole)
    keep_figures(
        "kills of workers",
        {
            "kills": len(killed),
            "runs, half of the shards taken away between them": rounds,
            "shards": len(files(whole)),
            "trajectories": 3 * MANY["trials"],
            "files that differ": 0,
        },
    )
