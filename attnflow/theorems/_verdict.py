"""Verdicts: whether a theorem applies to a field and a start, why, and what it then predicts."""

import re
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import equinox as eqx
import numpy as np

from ._hypothesis import Hypothesis, Plain
from ._quantities import Quantity


@dataclass(frozen=True)
class Prediction:
    """What a theorem says will happen.

    - `says`: the prediction in a sentence.
    - `limit`: where every token goes, shape `(dim,)`; `None` where the theorem does not say.
    - `v`: the axis of the theorem, shape `(dim,)`: of the widest open hemisphere that holds the tokens
      (3.2), or the top eigenvector of U on their side (4.5, 4.7); `None` elsewhere.
    - `basin`: from which starts.
    - `rate`: distances to the limit fall as $e^{-\\text{rate}\\,t}$ in the end (an asymptotic rate in
      the field's own time, its scale included); `None` where none is known.
    - `lyapunov`: an observer, `lyapunov(t, y)`, that never rises along the run; `None` without one.
    - `quantities`: what [`monitor`][attnflow.theory.monitor] watches.
    """

    says: str
    limit: np.ndarray | None = None
    v: np.ndarray | None = None
    basin: str = ""
    rate: float | None = None
    quantities: tuple[Quantity, ...] = ()

    @property
    def lyapunov(self) -> eqx.Module | None:
        """The first quantity that never rises."""
        falling = (q.observer for q in self.quantities if q.rule == "falls")
        return next(falling, None)

    def __str__(self) -> str:
        parts = [self.says]
        if self.limit is not None and len(self.limit) <= 6:
            parts.append(f"limit {np.array2string(self.limit, precision=4, separator=', ')}")
        if self.basin:
            parts.append(f"from {self.basin}")
        if self.rate is not None:
            parts.append(f"rate {self.rate:.4g}")
        return "; ".join(parts)


@dataclass(frozen=True)
class Verdict:
    """Whether one theorem applies.

    - `theorem`: its name, with its source.
    - `applies`: `True`; `False` where a hypothesis is broken; `None` where one cannot be decided.
    - `reason`: which hypotheses hold, are broken or undecided, with the numbers.
    - `hypotheses`: every one, as [`Hypothesis`][attnflow.theory.Hypothesis].
    - `prediction`: what follows; where `applies` is `None`, what follows if the undecided ones hold;
      `None` where the theorem does not apply.
    """

    theorem: str
    applies: bool | None
    reason: str
    hypotheses: tuple[Hypothesis, ...] = field(repr=False)
    prediction: Prediction | None = None

    def __bool__(self) -> bool:
        raise TypeError("a verdict may be undecided: compare `.applies` with True, False or None.")

    def __str__(self) -> str:
        answer = {True: "applies", False: "does not apply", None: "cannot be decided"}
        lines = [f"{self.theorem}: {answer[self.applies]}", f"  because   {self.reason}"]
        if self.prediction is not None:
            lines.append(f"  predicts  {self.prediction}")
        return "\n".join(lines)


def judge(
    theorem: str,
    hypotheses: list[Hypothesis],
    predict: Callable[..., Any],
    assume: tuple[str, ...] = (),
) -> Verdict:
    """The verdict that hypotheses lead to; `predict` is called only where none of them is broken."""
    known = tuple(
        replace(h, holds=True, says=Plain("assumed")) if h.holds is None and h.id in assume else h
        for h in hypotheses
    )
    broken = [h for h in known if h.holds is False]
    open_ = [h for h in known if h.holds is None]
    if broken:
        return Verdict(theorem, False, "; ".join(h.says for h in broken), known)
    applies = None if open_ else True
    shown = open_ or [h for h in known if not isinstance(h.says, Plain)] or known
    reason = "; ".join(h.says if open_ else str(h) for h in shown)
    return Verdict(theorem, applies, reason, known, predict())


def nothing() -> Prediction:
    """The prediction of a theorem that does not apply: never asked for."""
    raise AssertionError("a theorem with a broken hypothesis predicts nothing")


class Verdicts(dict[str, Verdict]):
    """[`Verdict`][]s by theorem. Printed, they are a table; keys are found in other spellings too:
    `"3.2"`, `"Theorem 3.2"` and `"theorem_3_2"` are one, as are `"causal"` and `"2411.04990"`.
    """

    @property
    def applying(self) -> dict[str, Verdict]:
        """Those that apply."""
        return {name: verdict for name, verdict in self.items() if verdict.applies is True}

    def __missing__(self, key: str) -> Verdict:
        plain = _plain(key)
        for name, verdict in self.items():
            if plain and (plain == _plain(name) or plain in _numbers(verdict.theorem)):
                return verdict
        raise KeyError(f"{key!r} is none of the theorems: {', '.join(self)}.")

    def __str__(self) -> str:
        mark = {True: "yes", False: "no", None: "?"}
        lines = []
        for name, v in self.items():
            text = v.reason if v.prediction is None else str(v.prediction)
            if v.applies is None:
                text = v.reason
            head = f"{name:<16} {mark[v.applies]:<4} "
            lines.append(
                textwrap.fill(text, 100, initial_indent=head, subsequent_indent=" " * len(head))
            )
        return "\n".join(lines)


def _plain(key: str) -> str:
    text = re.sub(r"(theorem|thm|remark|rem|arxiv|section)", "", str(key).lower())
    return re.sub(r"[^0-9a-z]+", ".", text).strip(".")


def _numbers(theorem: str) -> list[str]:
    return re.findall(r"\d+\.\d+", theorem)
