"""Pictures show what they are given, need no display and change no global setting."""

import sys

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from attnflow import plot

TS = np.linspace(0.0, 1.0, 30)


def paths():
    """Three tokens on quarter turns: in front of, behind and around the ball seen from +x."""
    s = TS[:, None] * np.pi / 2
    front = np.concatenate([np.cos(s / 2), np.sin(s / 2), 0 * s], 1)
    behind = np.concatenate([-np.cos(s / 2 + 0.3), np.sin(s / 2 + 0.3), 0 * s], 1)
    around = np.concatenate([np.sin(s - np.pi / 4), 0 * s, np.cos(s - np.pi / 4)], 1)
    return np.stack([front, behind, around], axis=1)


def markers(ax, colour):
    """Marker positions and opacities of the scatters of one face colour."""
    collected = []
    for scatter in ax.collections:
        if len(scatter.get_offsets()) and to_hex(scatter.get_facecolor()[0]) == to_hex(colour):
            collected += [
                (tuple(xy), scatter.get_alpha()) for xy in np.asarray(scatter.get_offsets())
            ]
    return collected


def test_starts_are_white_and_ends_grey_and_the_far_side_is_faint():
    ys = paths()
    ax = plot.sphere(TS, ys, view=(0.0, 0.0))
    # Seen from +x the screen shows (y, z), and x is the depth.
    for points, colour in ((ys[0], "white"), (ys[-1], "#8a8a8a")):
        shown = markers(ax, colour)
        assert len(shown) == 3
        for x, y, z in points:
            alpha = next(a for (u, v), a in shown if np.allclose((u, v), (y, z), atol=1e-9))
            assert (alpha == 1.0) == (x >= 0)


def test_paths_are_blue_solid_in_front_and_dashed_behind():
    ax = plot.sphere(TS, paths(), view=(0.0, 0.0))
    blue = [line for line in ax.lines if line.get_color() == "#1f5fa8"]
    points = [int(np.isfinite(line.get_xdata()).sum()) for line in blue]
    assert [line.get_linestyle() for line in blue] == ["--", "-"] * 3
    assert [(line.get_alpha() or 1) < 0.5 for line in blue] == [True, False] * 3
    behind, front = points[::2], points[1::2]
    assert behind[0] == 0 < front[0]
    assert front[1] == 0 < behind[1]
    assert behind[2] == pytest.approx(front[2], abs=8)


def test_a_hemisphere_s_axis_and_edge_are_marked():
    plain, marked = plot.sphere(TS, paths()), plot.sphere(TS, paths(), v=[0.0, 0.0, 2.0])
    assert "v" in [text.get_text() for text in marked.texts]
    orange = [line for line in marked.lines if line.get_color() == "#c8641e"]
    assert len(orange) == 4  # the edge in front and behind, a stalk, its foot
    assert not [line for line in plain.lines if line.get_color() == "#c8641e"]


def test_saves_that_did_not_happen_are_left_out():
    ts, ys = TS.copy(), paths()
    ts[20:], ys[20:] = np.nan, np.nan
    ends = markers(plot.sphere(ts, ys, view=(0.0, 0.0)), "#8a8a8a")
    assert any(np.allclose(xy, ys[19, 0, 1:], atol=1e-9) for xy, _ in ends)


@pytest.mark.parametrize(
    ("ts", "ys", "v", "name"),
    [
        (TS, np.ones((30, 3)), None, "ys"),
        (TS, np.ones((30, 2, 4)), None, "ys"),
        (TS[:5], np.ones((30, 2, 3)), None, "ys"),
        (TS, np.full((30, 2, 3), np.nan), None, "ys"),
        (TS, np.ones((30, 2, 3)), np.zeros(3), "v"),
        (TS, np.ones((30, 2, 3)), np.ones(2), "v"),
    ],
)
def test_sphere_refuses_what_is_not_on_a_sphere(ts, ys, v, name):
    with pytest.raises(ValueError, match=f"`{name}` must"):
        plot.sphere(ts, ys, v=v)


def test_curves_draw_each_row_with_its_label():
    values = np.stack([TS, TS**2])
    ax = plot.curves(TS, values, labels=["a", "b"], xlabel="time", ylabel="E")
    np.testing.assert_array_equal([line.get_ydata() for line in ax.lines], values)
    legend = ax.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["a", "b"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("time", "E")
    assert len({line.get_color() for line in ax.lines}) == 2
    assert len(plot.curves(TS, TS).lines) == 1
    many = plot.curves(TS, np.tile(TS, (50, 1)))
    assert len({line.get_color() for line in many.lines}) == 1


def test_a_logarithmic_axis_leaves_out_what_is_not_positive():
    ax = plot.curves(TS, TS - 0.5, log=True)
    assert ax.get_yscale() == "log"
    shown = np.asarray(ax.lines[0].get_ydata())
    np.testing.assert_array_equal(np.isnan(shown), TS <= 0.5)


def test_quantiles_band_the_middle_of_many_curves():
    values = np.arange(101.0)[:, None] * np.ones(30)
    ax = plot.quantiles(TS, values, levels=(0.1, 0.25))
    np.testing.assert_allclose(np.asarray(ax.lines[0].get_ydata()), 50.0)
    bands = [band.get_paths()[0].get_extents() for band in ax.collections]
    assert [(round(b.y0), round(b.y1)) for b in bands] == [(10, 90), (25, 75)]


def test_gram_shows_cosines_from_minus_one_to_one():
    matrix = np.array([[1.0, -0.3], [-0.3, 1.0]])
    image = plot.gram(matrix).images[0]
    np.testing.assert_array_equal(image.get_array(), matrix)
    assert image.get_clim() == (-1, 1)


@pytest.mark.parametrize(
    ("draw", "name"),
    [
        (lambda: plot.curves(TS, np.ones((2, 7))), "values"),
        (lambda: plot.curves(np.ones((2, 2)), np.ones((2, 2))), "ts"),
        (lambda: plot.curves(TS, TS, labels=["a", "b"]), "labels"),
        (lambda: plot.quantiles(TS, TS, levels=(0.6,)), "levels"),
        (lambda: plot.gram(np.ones((2, 3))), "cosines"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(draw, name):
    with pytest.raises(ValueError, match=f"`{name}` must"):
        draw()


def test_drawing_needs_no_display_and_changes_no_setting(monkeypatch, tmp_path):
    before = dict(matplotlib.rcParams)
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)  # importing it now fails
    for ax in (
        plot.sphere(TS, paths(), v=[1.0, 0.0, 0.0], title="t"),
        plot.curves(TS, TS),
        plot.quantiles(TS, np.ones((3, 30))),
        plot.gram(np.eye(3)),
    ):
        assert isinstance(plot.figure_of(ax), Figure)
        plot.save(ax, tmp_path / "picture.png")
        assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")
    assert dict(matplotlib.rcParams) == before


def test_given_axes_are_drawn_on():
    figure = Figure()
    left, right = figure.subplots(1, 2)
    assert plot.curves(TS, TS, left) is left
    assert plot.sphere(TS, paths(), right) is right
    assert left.lines
    assert right.lines


@pytest.mark.parametrize("sign", [1, -1])
def test_a_band_whose_edge_is_infinite_goes_on_to_the_end_of_the_picture(sign):
    values = sign * np.tile(np.arange(1.0, 10.0)[:, None], (1, 4))
    values[7:, 2:] = sign * np.inf
    ax = plot.quantiles(np.arange(4.0), values, levels=(0.05,))
    (points,) = (path.vertices for path in ax.collections[0].get_paths())
    assert np.isfinite(points).all()
    last = sign * points[points[:, 0] == 3.0][:, 1]
    # Of all finite edges, 1.4 to 8.6, a twentieth beyond.
    assert last.max() == pytest.approx(8.6 + 0.05 * 7.2)
    assert last.min() == pytest.approx(1.4)
