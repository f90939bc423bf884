"""Pictures of sweeps show the numbers of the dataset, at the coordinates that it gives them."""

import subprocess
import sys

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from attnflow import plot
from attnflow.ensemble import Outcome
from attnflow.theory import equiangular_time

xarray = pytest.importorskip("xarray")

BETA, TIME = [0.5, 1.0, 2.0, 2.5], np.linspace(0.0, 10.0, 11)


def sweep(*, d=(2, 8, 32, 128), beta=BETA, trials=5):
    """A dataset as a sweep over `d` and `beta` gives it, of seeded numbers."""
    rng = np.random.default_rng(7)
    shape = (len(d), len(beta), trials)
    long = ("d", "beta", "trial", "time")
    values = {
        "misalignment": (long, rng.random((*shape, len(TIME))), {"long_name": "E"}),
        "aligned_pairs": (long, rng.random((*shape, len(TIME)))),
        "ended": (long[:3], rng.uniform(1, 9, shape), {"units": "layers"}),
        "outcome": (long[:3], np.full(shape, Outcome.REACHED)),
    }
    return xarray.Dataset(values, coords={"d": list(d), "beta": list(beta), "time": TIME})


def cells(ax):
    """What the picture's mesh holds: values, and the edges along x and y."""
    (mesh,) = (c for c in ax.collections if hasattr(c, "get_coordinates"))
    corners = mesh.get_coordinates()
    return mesh, corners[0, :, 0], corners[:, 0, 1]


def ticks(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


# === heat_map


def test_a_heat_map_shows_means_over_trials_at_the_coordinates():
    data = sweep()
    array = data["misalignment"].sel(time=3.0)
    ax = plot.heat_map(array)
    mesh, x, y = cells(ax)
    np.testing.assert_allclose(mesh.get_array(), array.values.mean(axis=2))
    np.testing.assert_allclose(x, [0.25, 0.75, 1.5, 2.25, 2.75])
    np.testing.assert_allclose(y, [1, 4, 16, 64, 256])  # a factor of four, so geometric
    assert (ax.get_xscale(), ax.get_yscale()) == ("linear", "log")
    assert ticks(ax.yaxis) == ["2", "8", "32", "128"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("β", "d")
    assert ax.get_xlim() == pytest.approx((0.25, 2.75))
    bar = plot.figure_of(ax).axes[1]
    assert bar.get_ylabel() == "E, mean over trials"


def test_a_heat_map_is_turned_by_naming_its_axes():
    array = sweep()["misalignment"].sel(time=3.0)
    turned, _, _ = cells(plot.heat_map(array, x="d"))
    np.testing.assert_allclose(turned.get_array(), array.values.mean(axis=2).T)
    same, _, _ = cells(plot.heat_map(array, y="beta"))
    np.testing.assert_allclose(same.get_array(), array.values.mean(axis=2).T)
    trials, _, _ = cells(plot.heat_map(array.sel(d=8), x="trial"))
    np.testing.assert_allclose(trials.get_array(), array.sel(d=8).values)


def test_cells_without_a_number_are_grey_and_others_leave_nan_out():
    array = sweep()["ended"].copy()
    array[1, 2] = np.nan
    array[0, 0, 1:] = np.nan
    ax = plot.heat_map(array)
    mesh, _, _ = cells(ax)
    shown = mesh.get_array()
    assert shown.mask.sum() == 1
    assert shown.mask[1, 2]
    assert shown[0, 0] == array.values[0, 0, 0]
    plot.figure_of(ax).draw_without_rendering()
    faces = [to_hex(face) for face in mesh.get_facecolor()]
    assert faces.count("#c9c9c9") == 1
    assert faces[1 * 4 + 2] == "#c9c9c9"


def test_a_heat_map_without_any_number_is_all_grey():
    ax = plot.heat_map(sweep()["ended"] * np.nan)
    plot.figure_of(ax).draw_without_rendering()
    assert {to_hex(face) for face in cells(ax)[0].get_facecolor()} == {"#c9c9c9"}


def test_numbers_out_of_order_are_put_in_order_and_text_is_not():
    array = sweep(beta=[2.0, 0.5, 1.5, 1.0])["ended"]
    mesh, x, _ = cells(plot.heat_map(array))
    np.testing.assert_allclose(x, [0.25, 0.75, 1.25, 1.75, 2.25])
    np.testing.assert_allclose(mesh.get_array(), array.values.mean(axis=2)[:, [1, 3, 2, 0]])
    kernels = array.rename(beta="kernel").assign_coords(kernel=["softmax", "exp", "relu", "max"])
    ax = plot.heat_map(kernels)
    mesh, x, _ = cells(ax)
    np.testing.assert_allclose(x, [-0.5, 0.5, 1.5, 2.5, 3.5])
    np.testing.assert_allclose(mesh.get_array(), array.values.mean(axis=2))
    assert ticks(ax.xaxis) == ["softmax", "exp", "relu", "max"]
    infinite = plot.heat_map(array.assign_coords(beta=[0.5, 1.0, 2.0, np.inf]))
    assert ticks(infinite.xaxis) == ["0.5", "1", "2", "inf"]
    np.testing.assert_allclose(cells(plot.heat_map(array.isel(beta=[0])))[1], [1.5, 2.5])
    bare = array.drop_vars("beta")
    assert ticks(plot.heat_map(bare).xaxis) == ["0", "1", "2", "3"]


def test_a_heat_map_s_colours_and_texts_can_be_said():
    ax = plot.heat_map(
        sweep()["ended"], limits=(0.0, 20.0), label="T", xlabel="", ylabel="dim", title="ends",
        colours="magma",
    )  # fmt: skip
    mesh, _, _ = cells(ax)
    assert mesh.get_clim() == (0.0, 20.0)
    assert mesh.get_cmap().name == "magma"
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_title()) == ("", "dim", "ends")
    assert plot.figure_of(ax).axes[1].get_ylabel() == "T"
    bar = plot.figure_of(plot.heat_map(sweep()["ended"])).axes[1]
    assert bar.get_ylabel() == "ended [layers], mean over trials"


# === bands


def test_bands_are_the_quantiles_over_trials_against_time():
    array = sweep(trials=21)["misalignment"].sel(d=8, beta=1.0)
    ax = plot.bands(array, levels=(0.1, 0.25))
    np.testing.assert_allclose(ax.lines[0].get_xdata(), TIME)
    np.testing.assert_allclose(ax.lines[0].get_ydata(), np.median(array.values, axis=0))
    for band, q in zip(ax.collections, (0.1, 0.25), strict=True):
        box = band.get_paths()[0].get_extents()
        low, high = np.quantile(array.values, [q, 1 - q], axis=0)
        assert (box.y0, box.y1) == pytest.approx((low.min(), high.max()))
    legend = ax.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == [
        "10% to 90%", "25% to 75%", "median",
    ]  # fmt: skip
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("t", "E")


def test_a_further_dimension_gives_a_colour_to_each_of_its_values():
    array = sweep()["misalignment"].sel(d=8)
    ax = plot.bands(array, log=True)
    np.testing.assert_allclose(
        [line.get_ydata() for line in ax.lines], np.median(array.values, axis=1)
    )
    assert len({line.get_color() for line in ax.lines}) == 4
    assert len(ax.collections) == 8
    legend = ax.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == [
        "β = 0.5", "β = 1", "β = 2", "β = 2.5", "5% to 95%", "25% to 75%",
    ]  # fmt: skip
    assert ax.get_yscale() == "log"


def test_bands_go_along_the_dimension_that_is_left_or_named():
    ended = sweep()["ended"]
    ax = plot.bands(ended.sel(beta=2.0))
    np.testing.assert_allclose(ax.lines[0].get_xdata(), [2, 8, 32, 128])
    np.testing.assert_allclose(
        ax.lines[0].get_ydata(), np.median(ended.sel(beta=2.0).values, axis=1)
    )
    assert ax.get_xscale() == "log"
    named = plot.bands(ended, along="beta")
    np.testing.assert_allclose(
        [line.get_ydata() for line in named.lines], np.median(ended.values, axis=2)
    )
    backwards = plot.bands(ended.sel(d=8).isel(beta=[3, 2, 1, 0]))
    np.testing.assert_allclose(backwards.lines[0].get_xdata(), BETA)
    np.testing.assert_allclose(
        backwards.lines[0].get_ydata(), np.median(ended.sel(d=8).values, axis=1)
    )


def test_bands_leave_nan_out_and_have_a_gap_where_nothing_is_left():
    array = sweep()["misalignment"].sel(d=8, beta=1.0).copy()
    array[:, 7:] = np.nan
    array[1:, 6] = np.nan
    shown = np.asarray(plot.bands(array).lines[0].get_ydata())
    np.testing.assert_array_equal(np.isnan(shown), TIME >= 7)
    assert shown[6] == array.values[0, 6]


def test_quantiles_have_the_same_gap():
    values = np.ones((3, 4))
    values[:, 2] = np.nan
    shown = plot.quantiles(np.arange(4.0), values).lines[0].get_ydata()
    np.testing.assert_array_equal(shown, [1, 1, np.nan, 1])


# === survival


def cohort(ended, outcome):
    return xarray.Dataset(
        {"ended": ("trial", np.asarray(ended, float)), "outcome": ("trial", np.asarray(outcome))}
    )


def steps(line):
    return np.asarray(line.get_xdata()), np.asarray(line.get_ydata())


def test_survival_is_kaplan_and_meier_s():
    # Freireich et al. 1963, the 6-MP arm, as every textbook has it.
    weeks = [6, 6, 6, 6, 7, 9, 10, 10, 11, 13, 16, 17, 19, 20, 22, 23, 25, 32, 32, 34, 35]
    relapse = [1, 1, 1, 0, 1, 0, 1, 0, 0, 1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0]
    ax = plot.survival(cohort(weeks, [1 if event else 2 for event in relapse]))
    times, left = steps(ax.lines[0])
    assert ax.lines[0].get_drawstyle() == "steps-post"
    assert (times[0], left[0]) == (0, 1)
    known = {6: 0.857, 7: 0.807, 10: 0.753, 13: 0.690, 16: 0.627, 22: 0.538, 23: 0.448}
    for week, part in known.items():
        assert left[times == week][0] == pytest.approx(part, abs=6e-4)
    marks, _ = steps(ax.lines[1])
    assert set(marks) == {6, 9, 10, 11, 17, 19, 20, 25, 32, 34, 35}
    assert left[-1] == left[times == 23][0]


def test_failures_leave_the_count_and_bad_starts_and_missing_were_never_in_it():
    ax = plot.survival(
        cohort(
            [1.0, 2.0, 2.5, 2.6, 3.0, 4.0, 0.0, np.nan, 3.5],
            [1, Outcome.NOT_FINITE, Outcome.STEP_LIMIT, Outcome.SOLVER_FAILED, 1, 2, 5, 0, 0],
        )
    )
    times, left = steps(ax.lines[0])
    np.testing.assert_allclose(times, [0, 1, 2, 2.5, 2.6, 3, 4])
    np.testing.assert_allclose(left, [1, 5 / 6, 5 / 6, 5 / 6, 5 / 6, 5 / 12, 5 / 12])


def test_infinities_are_drawn_as_values():
    never = np.full((2, 3, 4), np.inf)
    never[:, 0] = [1.0, 2.0, 3.0, 4.0]  # and of the second half the trials never end
    never[:, 1, :2] = 5.0
    data = xarray.DataArray(
        never, dims=("d", "beta", "trial"), coords={"d": [2, 3], "beta": [1.0, 2.0, 3.0]}
    )
    ax = plot.heat_map(data)
    mesh, _, _ = cells(ax)
    values = np.asarray(mesh.get_array()).reshape(2, 3)
    assert not np.ma.getmaskarray(mesh.get_array()).any()
    assert (values[:, 0] == 2.5).all()
    assert (values[:, 1:] > mesh.get_clim()[1]).all()
    plot.figure_of(ax).draw_without_rendering()
    top = to_hex(mesh.cmap.get_over())
    assert [to_hex(face) == top for face in mesh.get_facecolor()].count(True) >= 4
    assert plot.heat_map(data * np.inf).collections  # none is finite
    ax = plot.bands(data.isel(d=0), along="beta", levels=[0.25])
    (line,) = ax.get_lines()
    np.testing.assert_array_equal(line.get_ydata(), [2.5, np.inf, np.inf])
    ax = plot.quantiles([0.0, 1.0], [[1.0, np.inf], [2.0, np.inf], [np.inf, np.inf]])
    np.testing.assert_array_equal(ax.get_lines()[0].get_ydata(), [2.0, np.inf])
    # Those that are said to end at infinity are under way all the time.
    ax = plot.survival(cohort([1.0, 2.0, np.inf, np.inf], [1, 1, 2, 1]))
    np.testing.assert_allclose(steps(ax.get_lines()[0])[1], [1.0, 0.75, 0.5])


def test_survival_has_a_curve_for_each_value_of_a_dimension():
    data = sweep().sel(d=[8, 32])
    ax = plot.survival(data.sel(beta=2.0))
    curves = ax.lines[::2]
    assert [line.get_label() for line in curves] == ["d = 8", "d = 32"]
    for line, d in zip(curves, (8, 32), strict=True):
        times, left = steps(line)
        ends = np.sort(data["ended"].sel(d=d, beta=2.0).values)
        np.testing.assert_allclose(times, [0, *ends])
        np.testing.assert_allclose(left, [1, 0.8, 0.6, 0.4, 0.2, 0], atol=1e-12)
    assert len({line.get_color() for line in curves}) == 2
    assert ax.get_ylim()[0] == 0
    assert plot.survival(data.sel(d=8), along="beta", log=True).get_yscale() == "log"


def test_survival_of_nothing_is_one():
    times, left = steps(plot.survival(cohort([np.nan, 0.0], [0, 5])).lines[0])
    assert (times.tolist(), left.tolist()) == ([0], [1])


# === phase_diagram


def test_a_phase_diagram_has_the_equiangular_time_on_the_mean_over_trials():
    data = sweep()
    ax = plot.phase_diagram(data, tokens=16, d=32)
    mesh, x, y = cells(ax)
    expected = data["aligned_pairs"].sel(d=32).mean("trial").transpose("time", "beta").values
    np.testing.assert_allclose(mesh.get_array(), expected)
    np.testing.assert_allclose((x[0], x[-1], y[0], y[-1]), (0.25, 2.75, -0.5, 10.5))
    assert mesh.get_clim() == (0.0, 1.0)
    (curve,) = ax.lines
    beta, when = steps(curve)
    np.testing.assert_allclose(when, equiangular_time(0.999, beta, 16))
    assert (beta[0], beta[-1]) == pytest.approx((0.25, 2.75))
    legend = ax.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["equiangular (d → ∞)"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("β", "t")
    assert ax.get_ylim() == pytest.approx((-0.5, 10.5))


def test_a_phase_diagram_takes_data_without_d_and_another_threshold_and_kernel():
    data = sweep().sel(d=8)
    ax = plot.phase_diagram(
        data, tokens=16, threshold=0.9, kernel="exp", variable="misalignment", label="part"
    )
    beta, when = steps(ax.lines[0])
    np.testing.assert_allclose(when, equiangular_time(0.9, beta, 16, kernel="exp"))
    np.testing.assert_allclose(
        cells(ax)[0].get_array(), data["misalignment"].mean("trial").values.T
    )
    assert plot.figure_of(ax).axes[1].get_ylabel() == "part"
    repeated = plot.phase_diagram(data.drop_vars("d"), tokens=16)
    assert cells(repeated)[0].get_array().shape == (11, 4)
    assert plot.phase_diagram(data, tokens=16, d=8).lines


def test_a_curve_far_above_the_picture_leaves_it_as_it_is():
    ax = plot.phase_diagram(sweep(beta=[0.0, 20.0, 40.0, 60.0]), tokens=16, d=8)
    assert ax.get_ylim() == pytest.approx((-0.5, 10.5))
    assert steps(ax.lines[0])[1].max() == pytest.approx(105.0)
    plot.figure_of(ax).draw_without_rendering()


# === what is refused


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (
            lambda d: plot.heat_map(d["misalignment"]),
            r"`array` must have no .*'beta' too.*\.sel\(b",
        ),
        (lambda d: plot.heat_map(d["misalignment"], x="d", y="beta"), r"\.sel\(time=\.\.\.\)"),
        (lambda d: plot.heat_map(d["ended"].sel(d=8)), "`array` must have two .* has 'beta'"),
        (lambda d: plot.heat_map(d["ended"], x="time"), "`array` must have the dimension 'time'"),
        (lambda d: plot.heat_map(d["ended"], x="d", y="d"), "`x` and `y` must be two"),
        (lambda d: plot.heat_map(d["ended"], limits=(1.0, 1.0)), "`limits` must be two increasing"),
        (lambda d: plot.heat_map(d), "`array` must be one variable .*'misalignment'"),
        (lambda d: plot.heat_map(np.ones((2, 3))), "`array` must be an xarray.DataArray.*ndarray"),
        (lambda d: plot.bands(d["misalignment"]), r"`array` must have no .*\.sel\(beta=\.\.\.\)"),
        (lambda d: plot.bands(d["ended"]), "`along` must be one of the dimensions 'd', 'beta'"),
        (lambda d: plot.bands(d["ended"], along="time"), "must have the dimension 'time'"),
        (lambda d: plot.bands(d["ended"], along="trial"), "`along` must be a dimension other"),
        (lambda d: plot.bands(d["ended"].mean("trial")), "must have the dimension 'trial'"),
        (lambda d: plot.bands(d["ended"].sel(d=8), levels=(0.5,)), "`levels` must"),
        (lambda d: plot.survival(d), r"`data` must have no .*'beta' too.*\.sel\(beta=\.\.\.\)"),
        (lambda d: plot.survival(d, along="trial"), "`along` must be a dimension other"),
        (lambda d: plot.survival(d, along="time"), "`data` must have the dimension 'time'"),
        (lambda d: plot.survival(d["ended"]), "`data` must be an xarray.Dataset; got DataArray"),
        (lambda d: plot.survival(d[["ended"]]), "`data` must have a variable 'outcome'.*'ended'"),
        (lambda d: plot.phase_diagram(d, tokens=8), "`d` must be .* 2, 8, 32, 128; got None"),
        (lambda d: plot.phase_diagram(d, tokens=8, d=9), "`d` must be a value .*; got 9"),
        (lambda d: plot.phase_diagram(d.sel(d=8), tokens=8, d=9), "`d` must be left out"),
        (lambda d: plot.phase_diagram(d, tokens=8, d=8, variable="E"), "have a variable 'E'"),
        (lambda d: plot.phase_diagram(d, tokens=8, d=8, variable="ended"), "dimension 'time'"),
        (lambda d: plot.phase_diagram(d, tokens=1, d=8), "`tokens` must"),
        (
            lambda d: plot.phase_diagram(d.expand_dims(heads=[1, 2]), tokens=8, d=8),
            r"`data` must have no .*\.sel\(heads=\.\.\.\)",
        ),
        (
            lambda d: plot.phase_diagram(d.assign_coords(beta=list("abcd")), tokens=8, d=8),
            "`data` must have numbers as 'beta'",
        ),
    ],
)
def test_data_of_another_shape_are_refused_with_what_to_do(draw, message):
    with pytest.raises(ValueError, match=message):
        draw(sweep())


@pytest.mark.parametrize("draw", [lambda d: plot.bands(d["misalignment"]), plot.survival])
def test_more_than_six_colours_are_refused(draw):
    data = sweep(beta=np.arange(7.0)).sel(d=8)
    with pytest.raises(
        ValueError, match=r"at most 6 values of 'beta'.* got 7.*\.sel\(beta=\[\.\.\."
    ):
        draw(data)
    assert draw(data.isel(beta=slice(6))).lines


# === as for the other pictures


def test_sweeps_are_drawn_without_a_display_and_on_given_axes(monkeypatch, tmp_path):
    before = dict(matplotlib.rcParams)
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)  # importing it now fails
    data = sweep()
    axes = Figure().subplots(2, 2).ravel()
    drawn = [
        plot.heat_map(data["ended"], axes[0]),
        plot.bands(data["misalignment"].sel(d=8), axes[1]),
        plot.survival(data.sel(d=8), axes[2]),
        plot.phase_diagram(data, axes[3], tokens=8, d=8),
    ]
    assert all(ax is given for ax, given in zip(drawn, axes, strict=True))
    plot.save(axes[0], tmp_path / "all.png")
    assert (tmp_path / "all.png").read_bytes().startswith(b"\x89PNG")
    assert dict(matplotlib.rcParams) == before


def test_pictures_import_neither_xarray_nor_jax():
    code = "import sys, attnflow.plot; print([m for m in ('xarray', 'jax') if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
