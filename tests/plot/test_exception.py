"""The picture of the exceptional starts shows the curves it is given inside their wedge."""

import numpy as np
import pytest

from attnflow import plot

THETA = np.linspace(-3.0, 3.0, 31)


def test_curves_are_drawn_inside_the_wedge_of_both_antipodes():
    curves = np.stack([THETA / 3, np.sin(THETA) / 4])
    ax = plot.exceptional_starts(THETA, curves, labels=["one", "other"], title="starts")
    one, other = ax.lines[-2:]
    np.testing.assert_array_equal(one.get_ydata(), curves[0])
    np.testing.assert_array_equal(other.get_ydata(), curves[1])
    legend = ax.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["one", "other"]
    (wedge,) = ax.collections
    path = wedge.get_paths()[0]
    assert path.contains_point((2.0, 1.0))
    assert path.contains_point((-2.0, -1.0))
    assert not path.contains_point((2.0, 2.1))
    assert not path.contains_point((2.0, -0.1))
    assert ax.get_title() == "starts"
    assert ax.get_xlim() == ax.get_ylim() == (-np.pi, np.pi)


def test_it_draws_on_axes_that_are_given_and_one_curve_without_a_name():
    ax = plot.exceptional_starts(THETA, THETA / 2)
    assert plot.exceptional_starts(THETA, THETA / 3, ax) is ax
    assert ax.get_legend() is None


@pytest.mark.parametrize(
    ("beyond", "labels", "name"),
    [
        (np.zeros((2, 30)), None, "theta"),
        (np.zeros((7, 31)), None, "beyond"),
        (np.zeros((2, 31)), ["one"], "labels"),
    ],
)
def test_curves_that_do_not_fit_are_refused(beyond, labels, name):
    with pytest.raises(ValueError, match=f"`{name}`"):
        plot.exceptional_starts(THETA, beyond, labels=labels)
