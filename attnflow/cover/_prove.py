"""Branch and bound over boxes: units of work, here or by an executor, gone on with after a kill."""

import hashlib
import json
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..records import WorkStore, progress as bar
from ._tree import OPEN, AbstractProblem, Boxes, Grown, grow, root_boxes
from ._types import Codes

UNIT = 20_000  # boxes that are looked at in one unit of work
_TOGETHER = 256  # boxes that a unit begins with, at most
_SHOWN = 1_000  # undecided boxes that are handed back, at most
_AHEAD = 256  # units that an executor is given at a time


@dataclass(frozen=True)
class Cover:
    """What a branch and bound came to.

    - `complete`: whether every box has a reason.
    - `symbols`: the tree, where it is complete.
    - `nodes`: how many boxes were looked at.
    - `covered`: the part of the roots that has reasons, 1 being all.
    - `undecided`: boxes without a reason, the smallest first, a thousand at most.
    """

    complete: bool
    symbols: Codes | None
    nodes: int
    covered: float
    undecided: Boxes


def prove(
    problem: AbstractProblem,
    *,
    boxes: int = 20_000_000,
    folder: str | Path | None = None,
    executor: Executor | None = None,
    progress: bool = True,
) -> Cover:
    """Halve a problem's root boxes until each box has a reason.

    Work is done in units: some boxes and their halves, level by level, until a unit has looked at
    20 000. What is open then is cut into further units, and the last made is done first, so that few wait
    at any time. A unit depends on its boxes alone: the tree is the same in whatever order they end.

    **Arguments:**

    - `problem`: roots, and what decides a box, see [`AbstractProblem`][attnflow.cover.AbstractProblem].
    - `boxes`: how many are looked at, at most; the last units may go a little beyond.
    - `folder`: where units are written as they end. The same call with the same folder goes on after a
      kill, to the same tree.
    - `executor`: where units are done: this process unless given, or anything with `submit` as in
      `concurrent.futures`; [`Pool`][attnflow.sweep.Pool] uses all cores, dask and MPI a cluster.
    - `progress`: a bar on a terminal: the part of the roots that has reasons.

    **Returns:**

    A [`Cover`][]. Its `complete` is true only where every box of the tree has a reason.

    **Raises:**

    - `ValueError`: a budget below one box, an executor without `submit`, or a folder of another problem.

    ```python
    tree = af.cover.prove(problem, folder="begun", executor=af.sweep.Pool())
    ```
    """
    # === check arguments
    if isinstance(boxes, bool) or not hasattr(boxes, "__index__") or boxes < 1:
        raise ValueError(f"`boxes` must be a whole number, one or more; got {boxes!r}.")
    if executor is not None and not hasattr(executor, "submit"):
        raise ValueError(
            "`executor` must have `submit`, as those of concurrent.futures have; got "
            f"{type(executor).__name__}."
        )
    unit = min(UNIT, int(boxes))
    store = None if folder is None else _Units(folder, problem, unit)

    # === run
    nodes, covered = 0, 0.0
    done: dict[tuple[int, ...], Grown] = {}
    lost: list[Boxes] = []
    waiting = [((0,), root_boxes(problem))]
    with (
        bar(total=1.0, description="boxes decided", unit="", show=progress) as shown,
        _units(problem, unit, store, executor) as (send, ended),
    ):
        while True:
            while waiting and nodes < boxes and send(*waiting[-1]):
                waiting.pop()
            got = ended()
            if got is None:
                break
            name, ready = got
            done[name] = ready
            nodes += ready.nodes
            covered += ready.volume / problem.roots
            if len(ready.undecided):
                lost.append(ready.undecided[:_SHOWN])
                lost = [Boxes.joined(lost)[:_SHOWN]]
            starts = range(0, len(ready.open), _TOGETHER)
            pieces = [ready.open[k : k + _TOGETHER] for k in starts]
            waiting += [((*name, k), p) for k, p in reversed(list(enumerate(pieces)))]
            shown.update(ready.volume / problem.roots)
            shown.set_postfix_str(f"{nodes} boxes")
    left = lost + [piece for _, piece in waiting]
    if left:
        rest = Boxes.joined(left)
        smallest = np.argsort(-rest.depth.sum(axis=1), kind="stable")[:_SHOWN]
        return Cover(False, None, nodes, covered, rest[smallest])
    return Cover(True, _whole(done), nodes, 1.0, root_boxes(problem)[:0])


def _whole(done: dict[tuple[int, ...], Grown]) -> Codes:
    """The units' rows put into one another, where the one is open and the other goes on."""
    ready: dict[tuple[int, ...], list[Codes]] = {}
    for name in sorted(done, key=len, reverse=True):
        unit = done[name]
        opened = np.flatnonzero(unit.symbols == OPEN)
        pieces = -(-len(opened) // _TOGETHER)
        below = [row for k in range(pieces) for row in ready.pop((*name, k))]
        cuts = np.unique(np.concatenate([unit.starts, opened, opened + 1]))
        inside = dict(zip(opened.tolist(), below, strict=True))
        rows: list[list[Codes]] = [[] for _ in unit.starts]
        ends = [*cuts[1:].tolist(), len(unit.symbols)]
        owner = np.searchsorted(unit.starts, cuts, side="right") - 1
        for a, b, k in zip(cuts.tolist(), ends, owner.tolist(), strict=True):
            rows[k].append(inside[a] if a in inside else unit.symbols[a:b])
        ready[name] = [np.concatenate(parts) for parts in rows]
    return np.concatenate(ready[0,])


# === units, here or elsewhere


@contextmanager
def _units(
    problem: AbstractProblem, most: int, store: "_Units | None", executor: Executor | None
) -> Iterator[
    tuple[
        Callable[[tuple[int, ...], Boxes], bool], Callable[[], tuple[tuple[int, ...], Grown] | None]
    ]
]:
    """`send` takes a unit (false: not now); `ended` gives one that was done (None: none is under way)."""
    ready: list[tuple[tuple[int, ...], Grown]] = []
    flying: dict[Future, tuple[int, ...]] = {}

    def send(name: tuple[int, ...], boxes: Boxes) -> bool:
        if ready or len(flying) >= (1 if executor is None else _AHEAD):
            return False
        known = None if store is None else store.read(name)
        if known is not None:
            ready.append((name, known))
        elif executor is None:
            ready.append((name, _stored(store, name, grow(problem, boxes, most))))
        else:
            flying[executor.submit(grow, problem, boxes, most)] = name
        return True

    def ended() -> tuple[tuple[int, ...], Grown] | None:
        if ready:
            return ready.pop()
        if not flying:
            return None
        first = next(iter(wait(flying, return_when=FIRST_COMPLETED).done))
        name = flying.pop(first)
        return name, _stored(store, name, first.result())

    try:
        yield send, ended
    finally:
        for future in flying:
            future.cancel()


def _stored(store: "_Units | None", name: tuple[int, ...], unit: Grown) -> Grown:
    if store is not None:
        store.write(name, unit)
    return unit


class _Units:
    """A folder of units: one file each, whole or not at all, with a sum that shows damage."""

    def __init__(self, folder: str | Path, problem: AbstractProblem, unit: int):
        asked = {"asked": {"problem": problem.name, "unit": unit}}
        self.work = WorkStore(
            folder, "problem.json", "attnflow cover 1", asked, "a proof", "folder"
        )
        if self.work.read() is None:
            self.work.record()

    def _name(self, name: tuple[int, ...]) -> str:
        return f"{hashlib.sha256(repr(name).encode()).hexdigest()[:24]}.unit"

    def write(self, name: tuple[int, ...], unit: Grown) -> None:
        parts: list[Any] = [unit.symbols.astype("<u2"), unit.starts.astype("<i8")]
        for boxes in (unit.open, unit.undecided):
            parts += [part.astype("<i8") for part in boxes.parts]
        head = {"shapes": [p.shape for p in parts], "nodes": unit.nodes, "volume": unit.volume}
        body = json.dumps(head).encode() + b"\n" + b"".join(p.tobytes() for p in parts)
        packed = zlib.compress(body, 1)
        self.work.write(self._name(name), hashlib.sha256(packed).digest() + packed)

    def read(self, name: tuple[int, ...]) -> Grown | None:
        """A unit that was written, or `None`: it is done again where its file is damaged."""
        raw = self.work.unit(self._name(name))
        if raw is None or hashlib.sha256(raw[32:]).digest() != raw[:32]:
            return None
        line, _, rest = zlib.decompress(raw[32:]).partition(b"\n")
        head = json.loads(line)
        parts, k = [], 0
        for i, shape in enumerate(head["shapes"]):
            kind = np.dtype("<u2" if i == 0 else "<i8")
            count = int(np.prod(shape))
            parts.append(np.frombuffer(rest, kind, count, k).reshape(shape))
            k += count * kind.itemsize
        return Grown(
            parts[0].astype(np.uint16), parts[1], Boxes(*parts[2:5]), head["nodes"], head["volume"],
            Boxes(*parts[5:8]),
        )  # fmt: skip
