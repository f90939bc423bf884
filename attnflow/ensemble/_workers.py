"""Threads that work crews: one for each device, and on a CPU one for each core."""

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ..core.machine import one_blas_thread
from ._advance import Crew, Inbox, crew_programs
from ._lanes import RUNNING, Lanes
from ._order import Order
from ._starts import Starts

_CALL_SECONDS = 0.3

if hasattr(jax, "enable_x64"):
    _enable_x64 = jax.enable_x64
else:  # before jax 0.8
    from jax.experimental import enable_x64 as _enable_x64  # pyright: ignore


class Workers:
    """Runs every trajectory of `starts` once and yields rows of results as they come.

    XLA's CPU device leaves other cores idle on small systems, and runs programs of several threads
    side by side: so a CPU is given as many crews as it has cores.

    **Arguments:**

    - `crew`: what to run.
    - `starts`: of which, and `share`: the first and how many of them.
    - `places`: for each crew its device, and how many of its lanes it may use.
    """

    def __init__(
        self, crew: Crew, starts: Starts, share: tuple[int, int], places: list[tuple[Any, int]]
    ):
        self.crew, self.starts, self.places = crew, starts, places
        self.number = share[1]
        self.rounds = self.refills = 0
        self._x64 = bool(jax.config.read("jax_enable_x64"))
        self._order = Order(starts.data, share, sum(usable for _, usable in places))
        self._some = np.arange(share[0], share[0] + 1)  # one that there is
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._results: queue.Queue = queue.Queue(maxsize=4 * len(places))

    def rows(self) -> Iterator[dict[str, Any]]:
        """Results, some rows at a time, until all are there. An error in a thread is raised here."""
        first = dict(reversed(self.places))
        # One compilation for each device, before its crews start.
        with ThreadPoolExecutor(len(first)) as pool:
            for _ in pool.map(self._warm, first.keys(), first.values()):
                pass
        # Crews share the cores already: threads of the BLAS that factors span coordinates would wait
        # for the next factorisation on a core that a crew needs, spinning (1.3 times the time).
        with one_blas_thread():
            yield from self._all_rows()

    def _all_rows(self) -> Iterator[dict[str, Any]]:
        left = self.number
        threads = [threading.Thread(target=self._guarded, args=p, daemon=True) for p in self.places]
        for thread in threads:
            thread.start()
        try:
            while left:
                rows = self._results.get()
                if isinstance(rows, BaseException):
                    raise rows
                left -= len(rows["number"])
                yield rows
        finally:
            self._stop.set()
            while any(thread.is_alive() for thread in threads):
                with contextlib.suppress(queue.Empty):
                    self._results.get(timeout=0.02)

    @contextlib.contextmanager
    def _at(self, device: Any) -> Iterator[None]:
        # JAX's own contexts do not reach other threads: without 64 bits float64 would become float32.
        with jax.default_device(device), _enable_x64(self._x64):
            yield

    def _warm(self, device: Any, usable: int) -> None:
        with self._at(device):
            crew = _to(device, self.crew)
            inbox = self._inbox(device, self._some, 0)
            lanes = self._empty(crew, inbox, device, usable)
            jax.block_until_ready(
                crew_programs().advance(crew, lanes, inbox, jnp.array(False), _int(1))
            )

    def _empty(self, crew: Crew, inbox: Inbox, device: Any, usable: int) -> Lanes:
        # Committed to its device, as what `advance` returns is: else it would be compiled twice.
        return jax.device_put(crew_programs().empty(crew, inbox, jnp.asarray(usable)), device)

    def _guarded(self, device: Any, usable: int) -> None:
        try:
            with self._at(device):
                self._work(device, usable)
        except BaseException as error:  # handed to the thread that waits
            self._put(error)

    def _put(self, item: Any) -> None:
        while not self._stop.is_set():
            with contextlib.suppress(queue.Full):
                return self._results.put(item, timeout=0.1)

    def _take(self) -> np.ndarray:
        # Fewer at a time towards the end, so that no crew is left with the last ones; and where it is
        # learnt which are long, no more than are needed soon.
        left = self._order.left()
        share = max(self.crew.few, left // (4 * len(self.places)))
        if self._order.learns:
            share = min(share, self.crew.lanes)
        return self._order.take(min(share, self.crew.block))

    def _inbox(self, device: Any, numbers: np.ndarray, count: int) -> Inbox:
        own = self.starts.rows(numbers, self.crew.block)
        padded = np.full(self.crew.block, numbers[-1], np.int32)
        padded[: len(numbers)] = numbers
        return jax.device_put(Inbox(own, jax.device_put(padded), _int(count)), device)

    def _work(self, device: Any, usable: int) -> None:
        crew = _to(device, self.crew)
        lanes, rounds = None, 16
        waiting = self._some[:0]
        more = True
        while not self._stop.is_set():
            if more and len(waiting) == 0:
                waiting = self._take()
                more = len(waiting) > 0
                inbox = self._inbox(device, waiting if more else self._some, len(waiting))
            if lanes is None:
                if not more:
                    return
                lanes = self._empty(crew, inbox, device, usable)
            began = time.perf_counter()
            lanes, outbox, taken, work = crew_programs().advance(
                crew, lanes, inbox, jnp.array(not more), _int(rounds)
            )
            ended, taken, done = int(outbox.count), int(taken), int(work.rounds)
            seconds = time.perf_counter() - began
            with self._lock:
                self.rounds += done
                self.refills += int(work.refills)
            if ended:
                rows = _first(outbox.rows, ended)
                self._order.learn(rows["number"], rows["steps"])
                self._put(rows)
            if done == rounds:
                # Long enough to be worth a call, short enough for Ctrl-C and the bar.
                rounds = max(1, min(2**30, int(rounds * min(4.0, _CALL_SECONDS / seconds))))
            if taken and more:
                waiting = waiting[taken:]
                if len(waiting):
                    inbox = self._inbox(device, waiting, len(waiting))
            if not more and not bool(jnp.any(lanes.status >= RUNNING)):
                return


def _to(device: Any, tree: Any) -> Any:
    arrays, rest = eqx.partition(tree, eqx.is_array)
    return eqx.combine(jax.device_put(arrays, device), rest)


def _first(rows: Any, count: int) -> Any:
    return jax.tree.map(lambda a: np.asarray(a)[:count], rows)


def _int(value: int) -> Array:
    return jnp.asarray(value, jnp.int32)


def in_thread() -> Callable[[Callable[[], Any]], Any]:
    """A function that calls another in a thread as it would be called here: with as many bits."""
    x64, device = bool(jax.config.read("jax_enable_x64")), jax.config.jax_default_device  # pyright: ignore

    def call(function: Callable[[], Any]) -> Any:
        with jax.default_device(device), _enable_x64(x64):
            return function()

    return call
