"""Peers solve the same problem: as their tolerance falls they meet attnflow's tokens."""

import subprocess
import sys

import diffrax
import numpy as np
import pytest

from attnflow import bench

PEERS = [
    "diffrax Tsit5, vmapped",
    "jax.experimental.ode, vmapped",
    pytest.param("torchdiffeq dopri5", marks=pytest.mark.slow),
    "SciPy RK45",
    "SciPy DOP853",
    "SciPy LSODA",
    "CVODE Adams, scikit-sundae",
]


@pytest.fixture(scope="module")
def solved():
    case = bench.figure2_workload(t1=1.0)
    starts = case.starts(2)
    return case, starts, bench.ours(diffrax.Dopri8())(case, starts, 1e-11)


@pytest.mark.parametrize("name", PEERS)
@pytest.mark.parametrize("rtol", [1e-8])
def test_peers_come_to_the_same_tokens(solved, name, rtol):
    case, starts, reference = solved
    peer = bench.peers()[name]
    if not peer.installed:
        pytest.skip(f"{peer.package} is not installed")
    tokens = peer.solve(case, starts, rtol)
    assert tokens.shape == (2, 4, 10, 3)
    assert bench.distance(tokens, reference) < 1e-6


BY_HAND = """
import sys
import jax
jax.config.update("jax_enable_x64", True)
import numpy as np
from attnflow import bench

case = bench.figure2_workload(t1=1.0)
found = bench.peers()["numba, by hand, parallel"].solve(case, case.starts(2), 1e-8)
np.save(sys.argv[1], found)
"""


@pytest.mark.slow
def test_the_loop_by_hand_comes_to_the_same_tokens(solved, tmp_path):
    pytest.importorskip("numba")
    # In a process of its own: here every function is wrapped to check its types, and numba cannot
    # compile what wraps them.
    path = tmp_path / "found.npy"
    subprocess.run([sys.executable, "-c", BY_HAND, str(path)], check=True)
    assert bench.distance(np.load(path), solved[2]) < 1e-6


@pytest.mark.slow
def test_a_causal_case_with_kinks_is_the_same_for_numpy_and_attnflow():
    case = bench.figure4_workload(20, separable=True, t1=4.0)
    starts = case.starts(1)
    ours = bench.ours()(case, starts, 1e-9)
    assert bench.distance(bench.peers()["SciPy DOP853"].solve(case, starts, 1e-10), ours) < 1e-7


def test_a_peer_whose_package_is_missing_says_so():
    assert not bench.Peer(lambda *_: np.empty(0), "no_such_package").installed


def test_another_python_that_fails_shows_its_last_words(solved):
    case, starts, _ = solved
    # This Python has no torchode, or it has: then an impossible tolerance fails.
    with pytest.raises(RuntimeError, match="ended with"):
        bench.torchode(sys.executable)(case, starts[:, :, :2], [1e-3], 1)
