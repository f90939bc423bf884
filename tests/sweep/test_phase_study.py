"""The ready phase diagram for other numbers: what is replaced, what stays, what is refused."""

import numpy as np
import pytest

import attnflow as af


def test_it_is_the_ready_study_with_other_axes_and_counts():
    study = af.sweep.phase_study([-1.0, 0.5, 2.0], d=[8, 64], tokens=5, t1=3, trials=2, points=7)
    ready = af.sweep.read_study("phase-diagram")
    assert study.axes["beta"].values == [-1.0, 0.5, 2.0]
    assert study.axes["d"].values == [8, 64]
    assert study.tokens == {"count": 5}
    assert study.time == {"t1": 3.0, "points": 7}
    assert study.trials == 2
    for name in ("attention", "manifold", "output", "solver", "paired", "seed"):
        assert getattr(study, name) == getattr(ready, name)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"beta": [1.0]}, "`beta` must be two increasing numbers"),
        ({"beta": [2.0, 1.0]}, "`beta` must be two increasing numbers"),
        ({"beta": [0.0, np.nan]}, "`beta` must be two increasing numbers"),
        ({"t1": np.inf}, "`t1` must be a positive number"),
        ({"d": 0}, "`d` must be a positive integer"),
        ({"tokens": 2.5}, "`tokens` must be a positive integer"),
    ],
)
def test_other_numbers_meet_one_line(as_user, change, said):
    with pytest.raises(ValueError, match=said):
        af.sweep.phase_study(**{"beta": [0.0, 1.0], "d": 4, "tokens": 3, "t1": 1.0} | change)
