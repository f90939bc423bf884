"""What a study would take: points, trajectories, shards, time and bytes, from a timed probe."""

from collections import Counter
from typing import Any, NamedTuple

from ..records.folders import Address
from ._plan import Plan, differences
from ._probe import probe, shard_bytes, shard_size
from ._status import in_bytes, in_words
from ._store import Store
from ._study import Spec, Study, as_study


class Estimate(NamedTuple):
    """What a study would take on this machine's cores; printed, a summary.

    **Attributes:**

    - `title`: of the study.
    - `axes`: how many values each has, and `points`: their product.
    - `trials`, `trajectories`: at each point, and in all that are not there yet.
    - `shapes`: how many compilations, and `compile_seconds` of the probes' first calls.
    - `shards`, `seconds`, `bytes` (at most, uncompressed): of what is not there yet.
    - `fastest`, `slowest`: seconds a trajectory, by shape.
    - `measured`: how many shapes were timed; others follow from these by their work.
    """

    title: str
    axes: dict[str, int]
    points: int
    trials: int
    trajectories: int
    shapes: int
    compile_seconds: float
    shards: int
    seconds: float
    bytes: float
    fastest: float
    slowest: float
    measured: int

    def __str__(self) -> str:
        grid = " x ".join(f"{name} ({count})" for name, count in self.axes.items()) or "one point"
        timed = "all timed" if self.measured == self.shapes else f"{self.measured} timed"
        lines = [self.title] if self.title else []
        lines += [
            f"{'grid':<14}{grid}: {self.points} point{'s' * (self.points != 1)}",
            f"{'trajectories':<14}{self.trajectories} to run, {self.trials} trials a point",
            f"{'shapes':<14}{self.shapes} ({timed}), compiled once each: "
            f"about {in_words(self.compile_seconds)}",
            f"{'shards':<14}{self.shards}",
            f"{'time':<14}about {in_words(self.seconds)} of computing on this machine "
            f"({1e3 * self.fastest:.3g} to {1e3 * self.slowest:.3g} ms a trajectory)",
            f"{'bytes':<14}at most {in_bytes(self.bytes)}",
        ]
        return "\n".join(lines)


def estimate(
    spec: Spec, store: Address | None = None, *, shard_seconds: float = 10.0, progress: bool = True
) -> Estimate:
    """Time a few trajectories of each shape and say what the study would take; nothing is written.

    **Arguments:**

    - `spec`, `shard_seconds`, `progress`: as in [`run`][attnflow.sweep.run].
    - `store`: where it would go: what is there already is left out.

    **Raises:**

    `ValueError` for a wrong spec, or one that the store would refuse.
    """
    study = as_study(spec)
    home = None if store is None else Store(store)
    plan, known = Plan([study], [{}]), {}
    if home is not None and home.begun():
        plan, known = _with_store(home, study)
    measured, sizes = dict(known), []
    for k, blocks in enumerate(plan.blocks):
        if k < len(plan.sizes) and plan.sizes[k]:
            sizes.append(plan.sizes[k])
            continue
        measured |= probe(blocks, measured, progress)
        sizes.append({b.key: shard_size(b, measured[b.key], shard_seconds) for b in blocks})
    plan = Plan(plan.history, sizes)
    there, files = Counter(), Counter()
    for shard, _ in [] if home is None else home.present(plan):
        there[id(shard.block)] += len(shard)
        files[id(shard.block)] += 1
    shards = trajectories = 0
    seconds = size = 0.0
    keys = set()
    for block, count in plan.sized_blocks():
        keys.add(block.key)
        each, new = measured[block.key], len(block) - there[id(block)]
        shards, trajectories = shards + count - files[id(block)], trajectories + new
        seconds += new * each["seconds"]
        size += shard_bytes(each, count - files[id(block)], new)
    each = [measured[key] for key in keys]
    return Estimate(
        title=study.title,
        axes={name: len(axis.values) for name, axis in study.axes.items()},
        points=plan.points,
        trials=study.trials,
        trajectories=trajectories,
        shapes=len(keys),
        compile_seconds=sum(e["first"] for e in each),
        shards=shards,
        seconds=seconds,
        bytes=size,
        fastest=min(e["seconds"] for e in each),
        slowest=max(e["seconds"] for e in each),
        measured=sum(e["measured"] for e in each),
    )


def _with_store(home: Store, study: Study) -> tuple[Plan, dict[str, Any]]:
    plan = home.plan()
    check_extends(home, plan, study)
    if differences(study, plan.study):
        plan = Plan([*plan.history, study], [*plan.sizes, {}])
    return plan, home.probe()


def check_extends(home: Store, plan: Plan, study: Study) -> None:
    """Refuse a study that does more than extend the store's."""
    changes = differences(plan.study, study)
    if changes:
        more = "" if len(changes) <= 4 else f"; and {len(changes) - 4} more"
        raise ValueError(
            f"`{home.address}` holds another study: {'; '.join(changes[:4])}{more}. Choose another "
            "store, or a spec that adds trials or axis values alone."
        )
