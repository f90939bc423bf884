"""What theorems predict of a run, beside what it did."""

import textwrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..flow import Solution
    from ..theory import Monitor

_ALWAYS = ("3.2", "4.2", "4.5", "4.7")  # the paper's, whether they apply or not


def theorem_lines(watch: "Monitor", solution: "Solution") -> str:
    """A line or more for each of the paper's theorems, and for every other that applies."""
    report = watch.check(solution)
    lines = ["", "what theorems say of this field and start, and what the run did"]
    for key, verdict in watch.verdicts.items():
        if key not in _ALWAYS and verdict.applies is not True:
            continue
        answer = {True: "applies", False: "does not apply", None: "cannot be decided"}
        what = verdict.reason if verdict.applies is not True else str(verdict.prediction)
        lines.append(_wrapped(f"{key:<16} ", f"{answer[verdict.applies]}: {what}"))
        outcomes = [
            f"{'held' if check.holds else _broken(check)}: {check.quantity} {check.claim}"
            for check in report.checks
            if check.theorem == key
        ]
        if key in report.distances:
            outcomes.append(f"distance from the limit at the end: {report.distances[key]:.3g}")
        lines += [_wrapped(f"{'':<16} ", text) for text in outcomes]
    if report.first is not None:
        first = report.first
        lines.append(f"first violation: {first.quantity} ({first.theorem}) at t = {first.time:.6g}")
    return "\n".join(lines)


def _broken(check) -> str:
    return f"VIOLATED from t = {check.time:.6g} on, by up to {check.excess:.3g}"


def _wrapped(head: str, text: str) -> str:
    return textwrap.fill(text, 100, initial_indent=head, subsequent_indent=" " * len(head))
