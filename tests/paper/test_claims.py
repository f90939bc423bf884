"""The table of claims: aligned, narrow, and false when a claim is."""

import numpy as np

from attnflow.paper import FigureData, PaperClaim, PaperReport

LONG = PaperClaim(4, "a claim of the paper " * 8, "measured 1.2e-03 and more, " * 6, True)
SHORT = PaperClaim(2, "claim", "1", False)


def test_the_table_is_aligned_and_at_most_110_columns_wide():
    lines = PaperReport((SHORT, LONG, LONG), ()).table().splitlines()
    assert max(map(len, lines)) <= 110
    column = lines[0].index("measured")
    assert all(line[column - 2 : column].isspace() for line in lines[2:-2])
    assert lines[1].replace("-", "").isspace()
    # Nothing is lost in the wrapping.
    text = " ".join(" ".join(lines).split())
    assert text.count("1.2e-03") == 2 * 6


def test_a_report_holds_only_if_every_claim_does():
    assert PaperReport((LONG, LONG), ()).holds
    failed = PaperReport((LONG, SHORT), ())
    assert not failed.holds
    assert "NO" in failed.table()
    assert failed.table().endswith("1 of 2 hold.")
    assert str(failed) == failed.table()


def test_a_figure_s_numbers_are_taken_by_name():
    data = FigureData({"E": np.ones(3)}, (SHORT,))
    np.testing.assert_array_equal(data["E"], np.ones(3))
