"""Curves of looped transformers: means, bands, what is refused."""

import numpy as np
import pytest

from attnflow import plot
from attnflow.language import Architecture, looped


@pytest.fixture(scope="module")
def run():
    ids = np.random.default_rng(0).integers(0, 97, (5, 8))
    return looped(Architecture("gpt2", 97, 24, 16, 2, 2, 32), ids, passes=3, progress=False)


@pytest.mark.parametrize("quantity", ["E", "pairs", "rest", "length"])
def test_a_line_is_the_mean_over_prompts_against_passes(run, quantity):
    ax = plot.looped({"one": run, "two": run}, quantity=quantity, title="a title")
    x, y = ax.lines[0].get_data()
    np.testing.assert_allclose(x, np.arange(7) / 2)
    np.testing.assert_allclose(y, getattr(run, quantity).mean(axis=0))
    assert ax.get_yscale() == "log"
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["one", "two"]


def test_the_band_holds_the_prompts_between_the_quantiles(run):
    ax = plot.looped({"one": run}, level=0.0, log=False)
    (band,) = ax.collections
    heights = band.get_paths()[0].vertices
    at_start = heights[heights[:, 0] == 0][:, 1]
    np.testing.assert_allclose(
        [at_start.min(), at_start.max()], [run.E[:, 0].min(), run.E[:, 0].max()]
    )


def test_bad_arguments_are_refused(run):
    with pytest.raises(ValueError, match="`runs` must hold at least one"):
        plot.looped({})
    with pytest.raises(ValueError, match="`quantity` must be one of"):
        plot.looped({"one": run}, quantity="V")
    with pytest.raises(ValueError, match="`levels` must be"):
        plot.looped({"one": run}, level=0.7)
