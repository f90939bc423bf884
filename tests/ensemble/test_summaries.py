"""Summaries made chunk by chunk: what the whole would give, in any order of arrival."""

import functools

import numpy as np
import pytest

from attnflow.core.quantiles import quantile
from attnflow.ensemble import Histogram, Mean, Outcome, Quantiles, Records, Survival
from attnflow.ensemble._sink import CHUNK, Sink

COUNT = 3 * CHUNK + 17


def rows(seed=0, failing=True):
    rng = np.random.default_rng(seed)
    status = np.where(rng.random(COUNT) < 0.7, Outcome.REACHED, Outcome.TIME_UP)
    if failing:
        status = np.where(rng.random(COUNT) < 0.1, Outcome.NOT_FINITE, status)
    ended = np.where(status == Outcome.TIME_UP, 10.0, 10.0 * rng.random(COUNT))
    return {
        "number": np.arange(COUNT, dtype=np.int32),
        "status": status.astype(np.int8),
        "t1": ended,
        "steps": rng.integers(5, 50, COUNT, dtype=np.int32),
        "accepted": np.full(COUNT, 5, np.int32),
        "ys": {"x": rng.normal(size=(COUNT, 2)), "n": rng.integers(0, 9, (COUNT, 2), np.int32)},
        "saved": np.where(status == Outcome.NOT_FINITE, 1, 2).astype(np.int32),
        "event": None,
    }


def x(records: Records):
    return records.ys["x"][:, 0]


def summaries():
    return {
        "mean": Mean(x),
        "both": Mean(lambda r: r.ys["x"]),
        "histogram": Histogram(x, np.linspace(-2, 2, 9)),
        "quantiles": Quantiles(x, [0.0, 0.1, 0.5, 0.9, 1.0]),
        "survival": Survival(np.linspace(0.5, 9.5, 10)),
    }


def pour(all_rows, order, keep=False, pieces=50):
    sink = Sink(0, COUNT, all_rows, np.array([0.0, 1.0]), summaries(), keep)
    for piece in np.array_split(order, pieces):
        sink.add({k: _pick(v, piece) for k, v in all_rows.items()})
    return sink.result()


def _pick(value, index):
    if isinstance(value, dict):
        return {k: v[index] for k, v in value.items()}
    return None if value is None else value[index]


def test_summaries_are_those_of_the_whole():
    data = rows()
    _, result = pour(data, np.arange(COUNT))
    good = data["status"] != Outcome.NOT_FINITE
    values = data["ys"]["x"][good]
    assert result["mean"].count == good.sum()
    np.testing.assert_allclose(result["mean"].mean, values[:, 0].mean(), rtol=1e-12)
    np.testing.assert_allclose(result["mean"].std, values[:, 0].std(ddof=1), rtol=1e-12)
    error = values[:, 0].std(ddof=1) / np.sqrt(good.sum())
    np.testing.assert_allclose(result["mean"].error, error, rtol=1e-12)
    np.testing.assert_allclose(result["both"].mean, values.mean(axis=0), rtol=1e-12)
    expected = np.histogram(values[:, 0], np.linspace(-2, 2, 9))[0]
    np.testing.assert_array_equal(result["histogram"], expected)
    exact = np.quantile(values[:, 0], [0.0, 0.1, 0.5, 0.9, 1.0], method="inverted_cdf")
    np.testing.assert_allclose(result["quantiles"], exact, rtol=0.006)
    assert "mean of" in str(result["mean"])
    assert "shape (2,)" in str(result["both"])


def test_the_order_of_arrival_changes_no_bit():
    data = rows()
    _, first = pour(data, np.arange(COUNT))
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(COUNT)
        stored, other = pour(data, order, keep=seed == 0, pieces=1 + 30 * seed)
        for name, value in first.items():
            np.testing.assert_array_equal(np.hstack([*value]), np.hstack([*other[name]]))
        if stored is not None:
            np.testing.assert_array_equal(stored.t1, data["t1"])


def test_survival_without_failures_is_the_part_still_under_way():
    data = rows(failing=False)
    _, result = pour(data, np.arange(COUNT))
    ended = np.where(data["status"] == Outcome.REACHED, data["t1"], np.inf)
    expected = [(ended > t).mean() for t in np.linspace(0.5, 9.5, 10)]
    np.testing.assert_allclose(result["survival"], expected, rtol=1e-12)


def test_survival_lets_failures_leave_the_count():
    # Ten trajectories: 4 reach by t = 1, 3 fail in (1, 2], 2 reach in (2, 3], 1 lives on.
    records = Records(
        number=np.arange(10),
        ts=None,
        ys=None,
        saved=np.ones(10, int),
        t1=np.array([0.5, 0.6, 0.7, 1.0, 1.5, 1.6, 2.0, 2.5, 3.0, 9.0]),
        outcome=np.array([1, 1, 1, 1, 3, 3, 3, 1, 1, 2]),
        event=None,
        stats={},
    )
    survival = Survival([1.0, 2.0, 3.0])
    parts = survival.finish(survival.summarise(records))
    np.testing.assert_allclose(parts, [0.6, 0.6, 0.6 * (1 - 2 / 3)])


def test_saves_that_did_not_happen_are_marked():
    stored, _ = pour(rows(), np.arange(COUNT), keep=True)
    lost = stored.saved == 1
    assert lost.any()
    assert np.all(np.isnan(stored.ys["x"][lost, 1]))
    assert stored.ys["n"].dtype == np.int32
    assert np.all(stored.ys["n"][lost, 1] == -1)
    assert np.all(np.isfinite(stored.ys["x"][~lost]))


def numbers(values):
    values = np.asarray(values, float)
    return Records(
        number=np.arange(len(values)),
        ts=None,
        ys=values,
        saved=np.ones(len(values), int),
        t1=values,
        outcome=np.ones(len(values), int),
        event=None,
        stats={},
    )


def summary_of(summary, *chunks):
    """The summary of values that come in chunks."""
    states = [summary.summarise(numbers(chunk)) for chunk in chunks]
    return summary.finish(functools.reduce(summary.merge, states))


def test_infinities_are_values():
    inf = np.inf
    q = Quantiles(lambda r: r.ys, [0.0, 0.5, 0.75, 1.0])
    np.testing.assert_allclose(
        summary_of(q, [1.0, 2.0], [inf, inf]), [1.0, 2.0, inf, inf], rtol=6e-3
    )
    np.testing.assert_allclose(summary_of(q, [-inf, 0.0], [3.0, inf]), [-inf, 0, 3, inf], rtol=6e-3)
    np.testing.assert_array_equal(summary_of(q, [inf], [inf]), [inf] * 4)
    np.testing.assert_allclose(
        summary_of(q, [1e307], [1.7e308])[[0, 3]], [1e307, 1.7e308], rtol=6e-3
    )
    mean = Mean(lambda r: r.ys)
    for chunks in (
        ([1.0, inf], [2.0]),
        ([1.0], [inf, 2.0]),
        ([inf], [inf]),
        ([inf], []),
        ([], [inf]),
    ):
        result = summary_of(mean, *chunks)
        assert result.mean == inf
        assert np.isnan(result.std)
        assert np.isnan(result.error)
        assert "inf" in str(result)
    assert np.isnan(summary_of(mean, [inf], [-inf]).mean)
    assert summary_of(mean, [1.0], [2.0]) == (1.5, np.sqrt(0.5), 0.5, 2)
    counts = summary_of(Histogram(lambda r: r.ys, [0.0, 1.0, inf]), [0.5, inf], [3.0, np.nan])
    np.testing.assert_array_equal(counts, [1, 2])
    counts = summary_of(Histogram(lambda r: r.ys, [0.0, 1.0]), [0.5, inf])
    np.testing.assert_array_equal(counts, [1])
    part = summary_of(Survival([1.0, 2.0]), [0.5, inf], [inf, 1.5])
    np.testing.assert_allclose(part, [0.75, 0.5])


def test_quantiles_of_rows_with_infinities_are_those_of_their_order():
    rows = np.array([[1.0, 1.0, -np.inf], [2.0, np.inf, 2.0], [np.inf, np.inf, np.inf]])
    np.testing.assert_array_equal(quantile(rows, 0.5), [2.0, np.inf, 2.0])
    np.testing.assert_array_equal(quantile(rows, 0.75), [np.inf, np.inf, np.inf])
    np.testing.assert_array_equal(quantile(rows, 0.1)[:2], [1.2, np.inf])
    assert quantile(rows, 0.1)[2] == -np.inf
    with_nan = np.concatenate([rows, np.full((1, 3), np.nan)])
    np.testing.assert_array_equal(quantile(with_nan, 0.5, np.nanquantile), quantile(rows, 0.5))
    assert np.isnan(quantile(with_nan, 0.5)).all()
    plain = np.random.default_rng(0).normal(size=(7, 3))
    np.testing.assert_array_equal(
        quantile(plain, [0.1, 0.5]), np.quantile(plain, [0.1, 0.5], axis=0)
    )


def test_quantiles_of_zeros_signs_and_extremes():
    q = Quantiles(lambda r: r.ys, [0.0, 0.25, 0.5, 1.0])
    result = q.finish(q.summarise(numbers([-5.0, 0.0, 0.0, 1e-250, 3e200])))
    np.testing.assert_allclose(result, [-5.0, 0.0, 0.0, 3e200], rtol=0.006)
    assert np.all(np.isnan(q.finish(q.summarise(numbers([])))))


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: Histogram(x, [1.0]), "`edges`"),
        (lambda: Histogram(x, [1.0, 1.0]), "`edges`"),
        (lambda: Quantiles(x, [1.5]), "`levels`"),
        (lambda: Survival([2.0, 1.0]), "`times`"),
    ],
)
def test_bad_arguments_are_refused_by_name(make, named):
    with pytest.raises(ValueError, match=named):
        make()


def test_a_function_that_gives_one_number_for_all_is_refused():
    sink = Sink(0, COUNT, rows(), None, {"mean": Mean(lambda r: 1.0)}, keep=False)
    with pytest.raises(ValueError, match="one value for each"):
        sink.add(rows())
