"""Where a model stands: a table by head that sorts, beside random weights, in files and as a picture."""

import json

import jax.random as jr
import numpy as np
import pytest

import attnflow as af
from attnflow.language import PhasePlace
from tests.systems import family_checkpoint, gpt_prompts, write_folder

IDS = gpt_prompts(2, 6)


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    config, tensors = family_checkpoint("bert", "rest")
    folder = write_folder(tmp_path_factory.mktemp("bert"), config, tensors, dtype="F64")
    model = af.language.load(folder, dtype="float64")
    return model, af.language.place(model, IDS)


def test_the_random_side_is_that_of_the_same_law_and_the_other_is_the_model(both):
    model, found = both
    other = af.language.random(model.architecture, key=jr.key(0), dtype="float64")
    for kind, of in (("trained", model), ("random", other)):
        alone = af.language.temperatures(of, IDS)
        np.testing.assert_array_equal(found.temperatures[kind].beta, alone.beta)
        assert found.point(kind) == alone.place
    assert found.spectra["random"].beta.std() < 0.1 * found.spectra["trained"].beta.std()
    again = af.language.place(model, IDS, key=jr.key(1))
    assert again.point("trained") == found.point("trained")
    assert again.point("random") != found.point("random")


def test_rows_are_sorted_by_any_column_with_what_is_no_number_last(both):
    _, found = both
    for name in ("spread", "P_distance", "symmetric_top", "beta_of_P"):
        column = [row[name] for row in found.rows(sort=name)]
        assert column == sorted(column, reverse=True)
    first = found.rows(sort="top")[0]
    assert first["top"] == found.spectra["trained"].top.max()
    assert first["spread"] == found.temperatures["trained"].spread[first["layer"], first["head"]]
    table = found.spectra["trained"]
    broken = {
        **vars(table),
        "P_distance": np.where(table.P_distance > 0.99, np.nan, table.P_distance),
    }
    spectra = {**found.spectra, "trained": type(table)(**broken)}
    rows = PhasePlace(found.temperatures, spectra, 6).rows(sort="P_distance")
    known = [not np.isnan(row["P_distance"]) for row in rows]
    assert known == sorted(known, reverse=True)
    assert not all(known)
    for words, wrong in (({"sort": "size"}, "`sort`"), ({"weights": "none"}, "`weights`")):
        with pytest.raises(ValueError, match=f"{wrong} must be one of"):
            found.rows(**words)


def test_the_table_goes_to_parquet_and_json_and_is_printed_side_by_side(both, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet", reason="the file is read back")
    _, found = both
    found.to_parquet(tmp_path / "heads.parquet")
    rows = parquet.read_table(tmp_path / "heads.parquet").to_pylist()
    assert len(rows) == 2 * found.spectra["trained"].top.size
    assert rows[0] == {"weights": "trained"} | found.rows()[0]
    account = json.loads(json.dumps(found.record()))
    assert account["random"]["place"]["beta"] == found.point("random")[0]
    beta, dim, _ = found.point()
    assert f"trained:  beta {beta:.3g} (median), d = {dim}" in str(found)


def test_the_picture_has_the_heads_of_both_and_the_two_marks(both):
    _, found = both
    ax = af.plot.phase_place(found)
    lines = {line.get_label(): line for line in ax.lines}
    for kind in ("trained", "random"):
        beta, _, time = found.point(kind)
        assert lines[f"one pass, {kind}"].get_xydata().tolist() == [[beta, time]]
        heads = lines[f"heads, {kind} weights"]
        assert len(heads.get_xdata()) == found.temperatures[kind].beta.size
    curve = lines[r"together, $P = \beta I$, $U = I$"].get_xydata()
    middle = curve[len(curve) // 2]
    assert middle[1] == pytest.approx(af.theory.equiangular_time(0.999, middle[0], 6), rel=1e-9)
    with pytest.raises(ValueError, match=r"language\.place gives"):
        af.plot.phase_place(3)


def test_on_runs_of_a_sweep_heads_stand_in_their_picture_or_at_its_edge(both):
    xarray = pytest.importorskip("xarray", reason="runs of a sweep are its datasets")
    _, found = both
    times = np.linspace(0.0, 40.0, 5)
    beta = np.sort(found.temperatures["trained"].beta.ravel())
    left, right = beta[1], beta[-2]  # so that heads are beyond both ends
    grid = np.linspace(left, right, 4)
    pairs = np.zeros((2, 4, 1, 5))
    pairs[1] = 1.0
    data = xarray.Dataset(
        {"aligned_pairs": (("d", "beta", "trial", "time"), pairs)},
        {"d": [2, 10_000], "beta": grid, "time": times},
    )
    nearest = 0 if found.point()[1] < 100 else 1
    ax = af.plot.phase_place(found, runs=data)
    (image,) = [c for c in ax.collections if c.get_array() is not None]
    assert set(np.ravel(image.get_array())) == {float(nearest)}
    drawn = sum(len(line.get_xdata()) for line in ax.lines if line.get_marker() in "<.>")
    assert drawn == 2 * found.temperatures["trained"].beta.size
    edges = ax.get_xlim()
    for mark, at, end in (("<", edges[0], 0), (">", edges[1], -1)):
        points = [line for line in ax.lines if line.get_marker() == mark and len(line.get_xdata())]
        assert all(set(line.get_xdata()) == {at} for line in points)
        assert bool(points) == bool((beta[end] < at) if mark == "<" else (beta[end] > at))
    end = found.temperatures["trained"].time.sum()
    short = data.assign_coords(time=np.linspace(0.0, 0.6 * end, 5))  # the last layers end above
    ax = af.plot.phase_place(found, runs=short)
    heads = [line for line in ax.lines if line.get_marker() in "<.>^"]
    assert sum(len(line.get_xdata()) for line in heads) == drawn
    assert max(np.max(line.get_ydata(), initial=0) for line in heads) == ax.get_ylim()[1]
    with pytest.raises(ValueError, match="must have the dimension 'beta'"):
        af.plot.phase_place(found, runs=data.rename(beta="strength"))


def test_the_window_has_nearly_all_heads_and_one_pass(both):
    _, found = both
    (low, high), t1 = found.window()
    every = np.concatenate([t.beta.ravel() for t in found.temperatures.values()])
    assert low <= -1
    assert high >= 9
    assert np.mean((every >= low) & (every <= high)) > 0.95
    assert t1 > max(found.point(kind)[2] for kind in ("trained", "random"))
    assert t1 > af.theory.equiangular_time(0.999, 1.0, found.tokens)
