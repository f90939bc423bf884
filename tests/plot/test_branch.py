"""The picture of a branch shows its spectrum, where it is stable and what crosses zero."""

import jax.numpy as jnp
import numpy as np
import pytest

import attnflow as af

CIRCLE = af.Sphere(2)


def triangle(beta):
    return af.AttentionField(CIRCLE, P=beta * jnp.eye(2), kernel="exp", scale=1.0)


@pytest.fixture(scope="module")
def followed():
    return af.theory.continuation(triangle, af.theory.polygon(3), np.linspace(-1.4, 0.4, 7))


def test_eigenvalues_the_stable_part_and_the_crossing_are_drawn(followed):
    ax = af.plot.branch(followed, xlabel="beta", title="triangle")
    heights = np.concatenate([np.ravel(line.get_ydata()) for line in ax.lines])
    closed = np.exp(-followed.parameter / 2) * (0.5 + 0.75 * followed.parameter)
    for value in closed:
        assert np.nanmin(np.abs(heights - value)) < 1e-9
    (text,) = [text.get_text() for text in ax.texts]
    assert text == "-0.666667"
    spans = [patch.get_extents().transformed(ax.transData.inverted()) for patch in ax.patches]
    assert min(span.x0 for span in spans) == pytest.approx(-1.4)
    assert max(span.x1 for span in spans) == pytest.approx(-2 / 3)
    assert (ax.get_xlabel(), ax.get_title()) == ("beta", "triangle")


def test_curves_pass_zero_where_the_crossing_is_however_far_apart_the_values_are():
    coarse = af.theory.continuation(triangle, af.theory.polygon(3), np.array([-1.0, 0.0]))
    ax = af.plot.branch(coarse)
    for line in ax.lines:
        x, height = np.ravel(line.get_xdata()), np.ravel(line.get_ydata())
        if len(x) == 2 and np.any(height != 0) and x[1] <= 0:  # a piece of a curve
            zero = x[np.argmin(np.abs(height))]
            assert zero == pytest.approx(-2 / 3)
            assert height.min() * height.max() == 0


def test_exact_zeros_keep_one_colour(followed):
    """The turn of all tokens is a zero to rounding of either sign: it is drawn as zero."""
    ax = af.plot.branch(followed)
    small = [y for line in ax.lines for y in np.ravel(line.get_ydata()) if 0 < abs(y) < 1e-9]
    assert small == []
    assert af.plot.branch(followed, ax) is ax
