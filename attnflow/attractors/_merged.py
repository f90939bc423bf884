"""Tables of one field's attractors, of some starts each, as one table of all."""

import dataclasses

import numpy as np

from ..model import AttentionField
from ._found import Attractor, Attractors
from ._invariants import Invariants
from ._recognise import PERIOD, SAME
from ._shares import wilson

_MULTIPLIERS = 1e-3  # how far multipliers of one cycle may differ


def merged(field: AttentionField, parts: list[Attractors]) -> Attractors:
    """One table: rows that are one state up to symmetries are put together, with the first one's state and start."""
    if len(parts) == 1:
        return parts[0]
    rows: list[Attractor] = []
    labels, before = [], 0
    for part in parts:
        place = np.full(len(part.rows) + 1, -1, np.int16)  # the last is for -1, a run that failed
        known = len(rows)  # rows of one part are told apart already
        for k, row in enumerate(part.rows):
            moved = dataclasses.replace(row, number=row.number + before)
            same = [i for i, other in enumerate(rows[:known]) if _alike(field, other, row)]
            if same:
                rows[same[0]] = dataclasses.replace(
                    rows[same[0]], count=rows[same[0]].count + row.count
                )
            else:
                rows.append(moved)
            place[k] = same[0] if same else len(rows) - 1
        labels.append(place[part.labels])
        before += part.number
    order = sorted(range(len(rows)), key=lambda k: (-rows[k].count, rows[k].number))
    back = np.full(len(rows) + 1, -1, np.int16)
    back[order] = np.arange(len(rows), dtype=np.int16)
    return Attractors(
        rows=tuple(_counted(rows[k], before) for k in order),
        labels=back[np.concatenate(labels)],
        number=before,
        failed=sum(part.failed for part in parts),
        t1=parts[0].t1,
    )


def _counted(row: Attractor, number: int) -> Attractor:
    low, high = wilson(row.count, number)
    return dataclasses.replace(row, share=row.count / number, low=low, high=high)


def _alike(field: AttentionField, a: Attractor, b: Attractor) -> bool:
    """Whether two rows are of one state: by invariants as `find` has it, cycles by their periods and multipliers."""
    if (a.kind, a.shape, a.masses) != (b.kind, b.shape, b.masses):
        return a.kind == b.kind == "no rest"
    if a.period is not None and b.period is not None:
        if abs(a.period - b.period) > PERIOD * a.period:
            return False
        sizes = [np.sort(np.abs(np.asarray(row.multipliers))) for row in (a, b)]
        return bool(np.abs(sizes[0] - sizes[1]).max(initial=0) <= _MULTIPLIERS)
    if a.spectrum.at_rest != b.spectrum.at_rest:
        return False
    if not a.spectrum.at_rest:
        return True
    numbers = Invariants(field, 0.0, a.start)(np.stack([a.state, b.state]))
    return bool(np.abs(numbers[0] - numbers[1]).max(initial=0) <= SAME)
