"""What a store holds: how much of its study, how trajectories ended, who is at work on it."""

from collections import Counter
from typing import Any

from ..ensemble import Outcome
from ..records.folders import Address
from ._compact import damaged_dataset
from ._probe import shard_bytes
from ._store import Store


class Status:
    """The state of a store; printed, a summary.

    **Attributes:**

    - `address`, `title`: of the store, of its study.
    - `points`, `shapes`: of the grid, and how many compilations they need.
    - `shards`, `shards_done`, `trajectories`, `trajectories_done`: counted.
    - `outcomes`: how trajectories ended, by [`Outcome`][attnflow.ensemble.Outcome], where that is known.
    - `seconds_left`: of computing, as the probe measured it, on cores as it had.
    - `bytes`: of all files at most, as the probe measured it.
    - `failed`: shards that kept failing in this run, with their errors.
    - `damaged`: shards, and the compacted dataset, whose bytes are not those that were written; looked
      for with `verify`.
    - `driver`: who is at work on the store, or `None`.
    """

    def __init__(self, **what: Any):
        self.address: str = what["address"]
        self.title: str = what["title"]
        self.points: int = what["points"]
        self.shapes: int = what["shapes"]
        self.shards: int = what["shards"]
        self.shards_done: int = what["shards_done"]
        self.trajectories: int = what["trajectories"]
        self.trajectories_done: int = what["trajectories_done"]
        self.outcomes: dict[Outcome, int] = what["outcomes"]
        self.seconds_left: float = what["seconds_left"]
        self.bytes: float = what["bytes"]
        self.damaged: list[str] = what["damaged"]
        self.driver: dict[str, Any] | None = what["driver"]
        self.failed: dict[str, str] = {}

    @property
    def complete(self) -> bool:
        """Whether all is there, as far as names tell."""
        return self.shards_done == self.shards and not self.damaged

    def __str__(self) -> str:
        lines = [self.title] if self.title else []
        part = self.trajectories_done / self.trajectories
        lines += [
            f"{'store':<14}{self.address}",
            f"{'grid':<14}{self.points} points of {self.shapes} shape{'s' * (self.shapes != 1)}",
            f"{'shards':<14}{self.shards_done} of {self.shards}",
            f"{'trajectories':<14}{self.trajectories_done} of {self.trajectories} ({part:.0%})",
        ]
        for how, count in sorted(self.outcomes.items()):
            lines.append(f"  {count:>10}  {how.words}")
        if not self.complete:
            lines.append(
                f"{'time left':<14}{in_words(self.seconds_left)} on a machine like the first"
            )
        if self.driver is not None:
            who = f"process {self.driver.get('pid', '?')} on {self.driver.get('host', '?')}"
            lines.append(f"{'at work':<14}{who}")
        for name in self.damaged:
            what = name if "." in name else f"shard {name}"
            lines.append(f"damaged       {what}; run the sweep again to repair it")
        for name, error in self.failed.items():
            lines.append(f"failed        shard {name}: {error}")
        return "\n".join(lines)


def status(store: Address, *, verify: bool = False) -> Status:
    """What is in a store now; a running sweep is not disturbed.

    **Arguments:**

    - `store`: its folder or address.
    - `verify`: read every shard, and the compacted dataset, and compare bytes with checksums.

    **Raises:**

    `ValueError` where there is no store.
    """
    home = Store(store)
    plan, probe = home.plan(), home.probe()
    there = home.present(plan)
    damaged = [name for name, good in home.verified() if not good] if verify else []
    bad = set(damaged)
    if verify:
        damaged += damaged_dataset(home)
    done: Counter[int] = Counter()
    outcomes: dict[Outcome, int] = {}
    whole = [shard for shard, _ in there if shard.name not in bad]
    for shard in whole:
        done[id(shard.block)] += len(shard)
        for how, count in _outcomes(home.provenance(shard.name)):
            outcomes[how] = outcomes.get(how, 0) + count
    left, size = 0.0, 0.0
    for block, shards in plan.sized_blocks():
        measured = probe[block.key]
        size += shard_bytes(measured, shards, len(block))
        left += (len(block) - done[id(block)]) * measured["seconds"]
    return Status(
        address=home.address,
        title=plan.study.title,
        points=plan.points,
        shapes=plan.shapes,
        trajectories=plan.trajectories,
        trajectories_done=sum(done.values()),
        shards=plan.shard_count,
        shards_done=len(whole),
        outcomes=outcomes,
        seconds_left=left,
        bytes=size,
        damaged=damaged,
        driver=home.folder.driver(),
    )


def in_words(seconds: float) -> str:
    """A duration with two digits."""
    for unit, size in (("years", 31557600), ("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.2g} {unit}"
    return f"{seconds:.2g} seconds"


def in_bytes(number: float) -> str:
    """A size with two digits."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if number < 1000 or unit == "TB":
            return f"{number:.3g} {unit}"
        number /= 1000
    raise AssertionError


def _outcomes(provenance: dict[str, Any] | None) -> list[tuple[Outcome, int]]:
    """How many trajectories of a shard ended how; nothing of a file that says something else."""
    known = {str(int(how)): how for how in Outcome}
    outcomes = (provenance or {}).get("outcomes")
    pairs = outcomes.items() if isinstance(outcomes, dict) else ()
    return [(known[how], n) for how, n in pairs if how in known and type(n) is int and n >= 0]
