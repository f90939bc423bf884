"""The workload with a heavy tail and the gradients, small: they say what they measured."""

import diffrax
import pytest

from attnflow import bench


@pytest.mark.slow
def test_refilled_slots_waste_little_and_beat_a_lockstep():
    tail = bench.heavy_tail(256)
    assert 1 <= tail["evaluations made / alone"] < 3
    assert tail["largest / mean steps"] > 1.5
    assert tail["seconds / ideal"] > 1  # what is ideal is not beaten
    assert 0 < tail["part that came to t = 1000"] < 0.5


@pytest.mark.slow
def test_both_libraries_gradients_converge():
    case = bench.figure2_workload(t1=1.0)
    gradients = bench.gradients(
        case, lambda f: f.P.matrix, (1e-5, 1e-8), tight=1e-11, solver=diffrax.Dopri8()
    )
    for points in gradients.points.values():
        loose, close = (p.error for p in points)
        assert close < 1e-5
        assert close < loose
    assert "plain diffrax" in str(gradients)
    assert set(gradients.record()["runs"]) == {"attnflow", "plain diffrax"}
