"""The picture of a cover: every box that the cut goes through, in the colour of its reason."""

import numpy as np
import pytest
from matplotlib.collections import PatchCollection

from attnflow import plot
from attnflow.cover import synchronisation


@pytest.fixture(scope="module")
def three():
    return synchronisation(3, ("-2/3", -0.16), progress=False)


def areas(ax):
    """By colour, the area of the boxes drawn."""
    return [
        sum(float(np.prod(np.ptp(p.vertices, axis=0))) for p in c.get_paths())
        for c in ax.collections
        if isinstance(c, PatchCollection)
    ]


@pytest.mark.parametrize("beta", [-0.66, -0.2])
def test_the_boxes_of_a_cut_fill_the_square_and_the_legend_says_why(three, beta):
    ax = plot.cover(three, beta=beta)
    assert sum(areas(ax)) == pytest.approx(3.25**2)
    words = [text.get_text() for text in ax.get_legend().get_texts()]
    assert any(w.startswith("no equilibrium") for w in words)
    assert any(w.startswith("growth") for w in words)


def test_more_tokens_are_cut_along_the_other_gaps():
    result = synchronisation(4, ("-2/3", -0.16), progress=False)
    assert sum(areas(plot.cover(result, gaps=(1.6,)))) == pytest.approx(3.25**2)
    with pytest.raises(ValueError, match="`gaps` must be 1 numbers"):
        plot.cover(result, gaps=(1.6, 1.0))


def test_what_has_no_boxes_is_refused(three):
    with pytest.raises(ValueError, match="must be proved"):
        plot.cover(synchronisation(3, (-0.9, -0.7), progress=False))
    with pytest.raises(ValueError, match="3 tokens or more"):
        plot.cover(synchronisation(2, (-0.9, -0.7), progress=False))
