"""Ensembles by kernels: a block of starts at a time, each launch to the end of all of its trajectories."""

import contextlib
import functools
import math
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ..core.compiled import compiled
from ._advance import Crew, Inbox, join
from ._kernel import TILES, integrate, unfit
from ._lanes import CLOSED, Lanes
from ._stages import Stepper
from ._starts import Starts
from ._step import finish

# JAX's names of devices, and what lowers a kernel for them.
_PLATFORMS = {"gpu": "cuda", "cuda": "cuda", "tpu": "tpu", "cpu": "cpu"}
_MOST = {"cuda": 2**17, "tpu": 2**17, "cpu": 2**10}


class Launch(eqx.Module):
    """What one launch does with a block of starts.

    **Attributes:**

    - `crew`: how trajectories are made: a tile's lanes, as many at a time as a launch has.
    - `platform`: `"cuda"`, `"tpu"` or `"cpu"`.
    - `interpret`: whether the kernel is interpreted, by XLA, and not compiled.
    """

    crew: Crew
    platform: str = eqx.field(static=True)
    interpret: bool = eqx.field(static=True)

    def begin(self, inbox: Inbox) -> tuple[Stepper, Lanes]:
        """All starts of a block, side by side; lanes beyond the last one are closed."""
        shared, axes, rest = self.crew.parts(inbox)
        lanes = self.crew.begin(shared, axes, rest, inbox.numbers, inbox.own)
        there = jnp.arange(lanes.t.shape[0], dtype=jnp.int32) < inbox.count
        status = jnp.where(there, lanes.status, CLOSED).astype(jnp.int32)
        lanes = eqx.tree_at(lambda s: s.status, lanes, status)
        return Stepper(join(shared, lanes.own, rest), axes), lanes

    def ends(self, inbox: Inbox) -> dict[str, Any]:
        """The results of a block, a row a trajectory."""
        stepper, lanes = self.begin(inbox)
        return finish(stepper, integrate(stepper, lanes, self.platform, self.interpret))

    def unfit(self, inbox: Inbox) -> str | None:
        """Why the kernel is not for these trajectories; `None` where it is."""
        found: list[str | None] = []

        def look(launch: "Launch", inbox: Inbox) -> None:
            found.append(unfit(*launch.begin(inbox), launch.platform))

        eqx.filter_eval_shape(look, self, inbox)
        return found[0]


@functools.cache
def launch_program() -> Callable[..., dict[str, Any]]:
    """`Launch.ends`, compiled."""
    # What Pallas adds to JAX's settings as it is imported, for TPUs too where it interprets, is part of what JAX knows
    # a program by: imported while the first one is traced, it would have that one compiled again.
    with contextlib.suppress(ImportError):
        import jax.experimental.pallas.tpu  # noqa: F401 # pyright: ignore[reportUnusedImport]

    return compiled(Launch.ends)


class Launches:
    """Runs every trajectory of `starts` once, by kernels, and yields rows of results as they come.

    **Arguments:**

    - `maker`: of trajectories; `starts`: of which; `share`: the first, and how many of them.
    - `devices`: of one kind. Blocks go to each in turn.
    - `most`: how many trajectories a launch has at most; chosen by the kind of device where `None`.
    """

    def __init__(
        self, maker: Any, starts: Starts, share: tuple[int, int], devices: list[Any], most: Any
    ):
        self.starts, self.share, self.number = starts, share, share[1]
        self.rounds = self.refills = 0  # steps of all lanes of a tile, and launches
        self.places = [(device, most) for device in devices]
        kinds = {_PLATFORMS.get(device.platform) for device in devices}
        self.platform = kinds.pop() if len(kinds) == 1 else None
        self.tile = math.prod(TILES[self.platform]) if self.platform else 1
        most = _MOST.get(self.platform or "", 1) if most is None else most
        block = self.tile * -(-max(1, min(most, share[1])) // self.tile)
        self.block = block
        self.crew = Crew(maker, lanes=self.tile, few=block, block=block)
        self.launch = Launch(self.crew, self.platform or "", self.platform == "cpu")

    def why_not(self) -> str | None:
        """Why these trajectories are none for the kernel, in words."""
        if self.platform is None:
            return "`devices` are not all CPUs, all CUDA devices or all TPUs"
        return self.launch.unfit(self._inbox(self.places[0][0], self.share[0], 1))

    def _inbox(self, device: Any, first: int, count: int) -> Inbox:
        numbers = np.minimum(np.arange(first, first + self.block), first + count - 1)
        own = self.starts.rows(numbers, self.block)
        inbox = Inbox(own, jnp.asarray(numbers, jnp.int32), jnp.asarray(count, jnp.int32))
        return jax.device_put(inbox, device)

    def rows(self) -> Iterator[dict[str, Any]]:
        """Results, a block at a time; the next launch is under way while one is taken."""
        first, left = self.share
        under_way: deque[tuple[Any, int]] = deque()
        launches = [(device, _to(device, self.launch)) for device, _ in self.places]
        turn = 0
        while left or under_way:
            while left and len(under_way) <= len(launches):
                count, (device, launch) = min(self.block, left), launches[turn % len(launches)]
                under_way.append(
                    (launch_program()(launch, self._inbox(device, first, count)), count)
                )
                first, left, turn = first + count, left - count, turn + 1
                self.refills += 1
            rows, count = under_way.popleft()
            rows = jax.tree.map(np.asarray, rows)
            self.rounds += int(rows["steps"].reshape(-1, self.tile).max(axis=1).sum())
            yield jax.tree.map(lambda a, count=count: a[:count], rows)


def _to(device: Any, tree: Any) -> Any:
    arrays, rest = eqx.partition(tree, eqx.is_array)
    return eqx.combine(jax.device_put(arrays, device), rest)
