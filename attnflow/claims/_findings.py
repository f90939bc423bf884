"""What a search came to: the counterexample, or how hard it was tried."""

import os
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..records import WorkStore
from ._claim import Claim
from ._counterexample import Counterexample
from ._evidence import LEAST, STATUSES
from ._findings_file import (
    check_counterexample_part,
    check_counts,
    check_refused,
)
from ._provable import Provable, provable

EDGES = np.array([-np.inf, 0.0, *10.0 ** np.arange(-16, 2)])  # of the margins' histogram
_PLAIN_EDGES = [None if np.isinf(x) else float(x) for x in EDGES]
_FORMAT = "attnflow search 1"


@dataclass
class Findings:
    """What a search came to; `print` shows the report.

    **Attributes:**

    - `claim`, `seed`: searched, and from where. `seed` is the key's data.
    - `counterexample`: what broke it ([`Counterexample`][]), or `None`.
    - `tries`, `failed`: fields and starts that were run, and those of them that came to no end.
    - `best`: the largest margin at the horizon, of all tries.
    - `distribution`: how many margins lie between consecutive `edges`.
    - `refused`: candidates that did not pass, by [`Evidence`][]`.status`; `reasons`, the last of each.
    - `units`: pieces of work (a batch at one size) that are done: where a search is taken up again.
    - `seconds`: taken, over all runs.
    """

    claim: Claim
    seed: list[int]
    counterexample: Counterexample | None = None
    tries: int = 0
    failed: int = 0
    best: float = -np.inf
    distribution: np.ndarray = field(default_factory=lambda: np.zeros(len(EDGES) - 1, np.int64))
    refused: Counter[str] = field(default_factory=Counter)
    reasons: dict[str, str] = field(default_factory=dict)
    units: int = 0
    seconds: float = 0.0

    @property
    def broken(self) -> bool:
        """Whether a counterexample was found."""
        return self.counterexample is not None

    @property
    def provable(self) -> Provable | None:
        """What [`certify.claim`][attnflow.certify.claim] can prove of a claim that resisted; `None` if it is broken."""
        return None if self.broken else provable(self.claim)

    @property
    def edges(self) -> np.ndarray:
        """Of the margins' histogram: below zero, then decades."""
        return EDGES

    def count(self, margins: np.ndarray) -> None:
        """Add a batch's margins; NaN is a run that failed."""
        good = margins[np.isfinite(margins)]
        self.tries += len(margins)
        self.failed += len(margins) - len(good)
        self.distribution = self.distribution + np.histogram(good, EDGES)[0]
        self.best = float(max([self.best, *good]))

    # === on disk, to go on from

    def save(self, path: str | os.PathLike[str]) -> None:
        """The account so far as JSON, whole or not at all."""
        _store(path, self.claim, self.seed).record(
            {
                "counterexample": None
                if self.counterexample is None
                else self.counterexample.plain(),
                "tries": self.tries,
                "failed": self.failed,
                "best": self.best if np.isfinite(self.best) else None,
                "edges": _PLAIN_EDGES,
                "distribution": self.distribution.tolist(),
                "refused": dict(self.refused),
                "reasons": self.reasons,
                "units": self.units,
                "seconds": self.seconds,
            }
        )

    @classmethod
    def load(cls, path: str | os.PathLike[str], claim: Claim, seed: list[int]) -> "Findings":
        """An account to go on from; findings of nothing yet where there is no file.

        **Raises:**

        - `ValueError`: a file of another search: another claim, other sizes, another seed; or none, or one
          that holds a value of another kind.
        """
        was = _store(path, claim, seed).read()
        if was is None:
            return cls(claim, seed)
        try:
            check_counts(was, _PLAIN_EDGES)
            check_refused(was)
            counterexample = was["counterexample"]
            if counterexample is not None:
                check_counterexample_part(counterexample, claim.name)
                counterexample = Counterexample.of(claim, counterexample)
        except (ValueError, KeyError) as error:
            what = f"it has no {error}" if isinstance(error, KeyError) else str(error).rstrip(".")
            raise ValueError(f"{path} is not the account of a search: {what}.") from error
        return cls(
            claim,
            seed,
            counterexample,
            tries=was["tries"],
            failed=was["failed"],
            best=-np.inf if was["best"] is None else was["best"],
            distribution=np.asarray(was["distribution"], np.int64),
            refused=Counter(was["refused"]),
            reasons=was["reasons"],
            units=was["units"],
            seconds=was["seconds"],
        )

    # === in words

    def __str__(self) -> str:
        lines = [str(self.claim), ""]
        if self.counterexample is not None:
            lines += ["broken", str(self.counterexample), ""]
        else:
            lines.append("no counterexample found")
        sizes = ", ".join(f"{tokens} in R^{dim}" for tokens, dim in self.claim.sizes)
        lines.append(
            f"{self.tries} tries in {self.seconds:.0f} s ({self.units} batches; tokens: {sizes}), "
            f"{self.failed} failed"
        )
        lines.append(
            f"largest margin at the end of a run {self.best:.4g} (a violation from {LEAST:g} on)"
        )
        lines += [f"  {line}" for line in self._histogram()]
        for status, number in self.refused.most_common():
            lines.append(f"{number} refused as {status} ({STATUSES.get(status, '')})")
            lines.append(f"  the last: {self.reasons[status]}")
        return "\n".join(lines)

    def _histogram(self) -> list[str]:
        lines = []
        for k in np.flatnonzero(self.distribution):
            low, high, number = EDGES[k], EDGES[k + 1], int(self.distribution[k])
            bar = "#" * int(np.ceil(30 * number / self.distribution.max()))
            name = "below 0" if np.isinf(low) else f"{low:.0e} to {high:.0e}"
            lines.append(f"{name:>16} {number:>8} {bar}")
        return lines


def _store(path: str | os.PathLike[str], claim: Claim, seed: list[int]) -> WorkStore:
    asked = {
        "claim": claim.name,
        "statement": claim.statement,
        "sizes": [list(size) for size in claim.sizes],
        "seed": seed,
    }
    return WorkStore.of_file(path, _FORMAT, asked, "a search")


def seed_of(key: Any) -> list[int]:
    """A key's data, which tells it from others."""
    import jax

    return np.asarray(jax.random.key_data(key)).ravel().tolist()
