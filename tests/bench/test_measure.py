"""Measuring: times at equal error lie between measured points; what is written is what was worked."""

import json

import numpy as np
import pytest

from attnflow import bench
from attnflow.bench import Point

LADDER = [Point(10.0**-k, 10.0**-k, 2.0**k) for k in range(1, 6)]


def test_between_two_points_time_and_error_are_a_power_law():
    assert bench.at_error(LADDER, 10**-2.5) == pytest.approx(2**2.5)
    assert bench.at_error(LADDER[::-1], 10**-2.5) == pytest.approx(2**2.5)


def test_an_error_never_reached_has_no_time():
    assert bench.at_error(LADDER, 1e-6) is None
    assert bench.at_error([], 1e-6) is None
    assert bench.at_error([Point(1e-3, np.nan, 1.0)], 1.0) is None


def test_a_solver_that_is_always_better_takes_what_its_cheapest_run_takes():
    assert bench.at_error(LADDER[2:], 0.5) == 8.0


def test_time_at_an_error_never_falls_below_that_of_the_looser_point():
    # Noise: the tighter run was measured to be the faster one.
    assert bench.at_error([Point(1e-1, 1e-1, 2.0), Point(1e-3, 1e-3, 1.0)], 1e-2) == 1.0


def test_distance_is_the_worst_time_of_the_root_mean_square_over_tokens():
    result = np.zeros((2, 3, 4, 2))
    result[:, 1, :, 0] = 3.0
    result[0, 2, 0, 1] = 1.0
    assert bench.distance(result, np.zeros_like(result)) == 3.0


def test_the_first_call_is_apart():
    slow = iter([0.05, 0.0, 0.0, 0.0])
    import time

    timing = bench.clock(lambda: time.sleep(next(slow)), 3)
    assert timing.first >= 0.05 > timing.later


def test_the_table_has_every_contender_and_a_ratio():
    text = bench.table(
        {"ours": LADDER, "slow": [p._replace(seconds=8 * p.seconds) for p in LADDER]}, [1e-3]
    )
    assert "8000 (1.00)" in text
    assert "6.4e+04 (8.00)" in text
    assert "–" in bench.table({"ours": LADDER}, [1e-9])


def test_contenders_that_fail_or_are_slow_keep_what_they_have():
    case = bench.figure2_workload(t1=1.0)
    starts = case.starts(3)
    reference = np.zeros((3, 4, 10, 3))
    calls = []

    def fails(case, starts, rtol):
        if rtol < 1e-3:
            raise RuntimeError("no convergence")
        calls.append(len(starts))
        return reference[: len(starts)] + rtol

    ladders = bench.compare_solvers(
        case,
        starts,
        reference,
        {"a": bench.Peer(fails, "numpy"), "b": bench.Peer(fails, "numpy", singly=True)},
        (1e-2, 1e-4, 1e-5),
        few=2,
    )
    assert [len(points) for points in ladders.values()] == [1, 1]
    assert set(calls) == {3, 2}
    assert ladders["a"][0].error == pytest.approx(1e-2 * 3**0.5)
    impatient = {"a": bench.Peer(lambda c, s, r: reference, "numpy")}
    assert (
        len(bench.compare_solvers(case, starts, reference, impatient, (1, 2), patience=0.0)["a"])
        == 1
    )


def test_one_section_takes_its_place_in_the_file(tmp_path):
    sections = {"a": lambda: {"x": 1}, "b": lambda: {"x": 2}}
    bench.report("t", sections, folder=tmp_path)
    (path,) = tmp_path.iterdir()
    first = json.loads(path.read_text())
    assert (first["a"]["x"], first["b"]["x"]) == (1, 2)
    assert "jax" in json.dumps(first["a"]["provenance"])
    assert first["a"]["machine"]["cores"] >= 1
    assert first["a"]["machine"]["processor"]
    bench.report("t", {"a": lambda: {"x": 3}, "b": sections["b"]}, folder=tmp_path, only="a")
    second = json.loads(path.read_text())
    assert (second["a"]["x"], second["b"]) == (3, first["b"])
    bench.report("u", sections, folder=tmp_path, write=False)
    assert len(list(tmp_path.iterdir())) == 1
