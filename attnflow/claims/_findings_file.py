"""The file of a search that goes on, as it comes from anybody: every value of its kind before it is used."""

import math
from typing import Any

from ..core.checks import shown
from ..core.words import printable
from ._counterexample_file import case_of_file, check_evidence
from ._evidence import STATUSES, Evidence

_MOST = 2**53  # of a count
_PARTS = {"format", "claim", "case", "evidence", "stage"}


def check_counts(was: dict[str, Any], edges: list[float | None]) -> None:
    """Refuse counts that are none, that disagree, or that are over another histogram's `edges`.

    **Raises:**

    - `ValueError`: in words that name the part; `KeyError`: a part that is missing.
    """
    for name in ("tries", "failed", "units"):
        _count(name, was[name])
    if was["best"] is not None:
        _number("best", was["best"])
    if _number("seconds", was["seconds"]) < 0:
        raise ValueError(f"seconds must be zero or more; got {was['seconds']}")
    if was["edges"] != edges:
        raise ValueError("edges must be those that margins are counted by here")
    bins, expected = was["distribution"], len(edges) - 1
    if not isinstance(bins, list) or len(bins) != expected:
        raise ValueError(f"distribution must be a list of {expected} counts; got {shown(bins)}")
    counted = was["failed"] + sum(_count("distribution", n) for n in bins)
    if counted > was["tries"]:
        raise ValueError(f"tries must be {counted} or more, by the counts; got {was['tries']}")


def check_refused(was: dict[str, Any]) -> None:
    """Refuse candidates refused that have no known status, no count, or no reason; errors as `check_counts`."""
    refused, reasons = was["refused"], was["reasons"]
    for name, part in (("refused", refused), ("reasons", reasons)):
        if not isinstance(part, dict):
            raise ValueError(f"{name} must be a table by status; got {shown(part)}")
        if odd := [status for status in part if status not in STATUSES]:
            raise ValueError(f"{name} has the unknown status {printable(odd[0])[:60]!r}")
    for status, number in refused.items():
        _count("refused", number)
        if not isinstance(reasons.get(status), str):
            raise ValueError(f"reasons must say why in words for {status!r}")


def check_counterexample_part(counterexample: Any, claim: str) -> None:
    """Refuse a counterexample that is not of this claim, or no case or evidence of numbers."""
    if not isinstance(counterexample, dict) or set(counterexample) != _PARTS:
        raise ValueError(f"counterexample must be a table of {', '.join(sorted(_PARTS))}")
    if (
        not isinstance(counterexample["claim"], dict)
        or counterexample["claim"].get("name") != claim
    ):
        raise ValueError(f"counterexample must be to {claim!r}")
    rows: list[Any] = case_of_file(counterexample["case"]).tokens.rows or []
    Evidence.of(counterexample["evidence"])
    check_evidence(counterexample["evidence"], len(rows), len(rows[0]))


def _count(name: str, value: Any) -> int:
    if type(value) is not int or not 0 <= value <= _MOST:
        raise ValueError(f"{name} must be counted in whole numbers; got {shown(value)}")
    return value


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{name} must be a finite number; got {shown(value)}")
    return value
