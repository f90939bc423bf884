"""A pool of processes that outlives its workers: one that dies is replaced, and its task says so."""

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any

from ..core.checks import whole
from ..core.machine import cores

_WATCH = 0.5  # seconds between two looks at whether the parent is still there


class WorkerDied(RuntimeError):
    """The process that worked on a task is gone: killed, out of memory, or crashed."""


class Pool(Executor):
    """Spawned processes on this machine, each with its share of the cores.

    A worker that dies (by a signal, for want of memory) fails its own task with [`WorkerDied`][] and is
    replaced; other tasks go on. Workers end when the process that made them does, however it ends.

    **Arguments:**

    - `workers`: how many; one for each core unless given.
    - `threads`: of each; cores divided by workers unless given.

    ```python
    if __name__ == "__main__":                               # as ever with spawned processes
        with af.sweep.Pool() as pool:
            af.sweep.run("phase-diagram", "store", pool)
    ```
    """

    def __init__(self, workers: int | None = None, threads: int | None = None):
        for name, value in (("workers", workers), ("threads", threads)):
            if value is not None:
                whole(name, value)
        self.workers: int = cores() if workers is None else workers
        self.threads: int = max(1, cores() // self.workers) if threads is None else threads
        self._hands = ThreadPoolExecutor(self.workers, "attnflow-pool")
        self._own = threading.local()
        self._guard = threading.Lock()
        self._all: set[_Worker] = set()
        self._closed = False

    @property
    def pids(self) -> list[int]:
        """Process numbers of the workers that are there now."""
        with self._guard:
            return [pid for worker in self._all if (pid := worker.process.pid) is not None]

    def submit(
        self, fn: Callable[..., object], /, *args: object, **kwargs: object
    ) -> Future[object]:
        """As in `concurrent.futures`."""
        return self._hands.submit(self._work, fn, args, kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Let tasks end (`wait`), or end the workers now."""
        if not wait or cancel_futures:
            self._kill()
        self._hands.shutdown(wait=True, cancel_futures=cancel_futures or not wait)
        self._kill()

    def __exit__(self, kind: Any, *_: Any) -> bool | None:
        self.shutdown(wait=kind is None, cancel_futures=kind is not None)
        return None

    def _kill(self) -> None:
        with self._guard:
            self._closed = True
            for worker in self._all:
                worker.process.kill()
            for worker in self._all:
                worker.process.join()
            self._all.clear()

    def _work(self, fn: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        worker = getattr(self._own, "worker", None)
        if worker is None:
            with self._guard:
                if self._closed:
                    raise WorkerDied("the pool is closed")
                worker = self._own.worker = _Worker(self.threads)
                self._all.add(worker)
        try:
            good, value = worker.ask(fn, args, kwargs)
        except (EOFError, OSError) as error:
            self._own.worker = None
            worker.process.join()
            with self._guard:
                self._all.discard(worker)
            raise WorkerDied(f"the worker {_how(worker.process.exitcode)}") from error
        if good:
            return value
        raise value


class _Worker:
    """One process and the pipe to it."""

    def __init__(self, threads: int):
        context = multiprocessing.get_context("spawn")
        self.pipe, other = context.Pipe()
        self.process = context.Process(
            target=_serve, args=(other, os.getpid(), threads), daemon=True
        )
        self.process.start()
        other.close()

    def ask(self, fn: Callable[..., Any], args: Any, kwargs: Any) -> tuple[bool, Any]:
        """What `fn` returned or raised in the process."""
        self.pipe.send((fn, args, kwargs))
        return self.pipe.recv()


def _how(code: int | None) -> str:
    if code is not None and code < 0:
        with contextlib.suppress(ValueError):
            return f"was ended by {signal.Signals(-code).name}" + (
                " (out of memory, perhaps)" if -code == signal.SIGKILL else ""
            )
    return f"ended with status {code}"


def _serve(pipe: Any, parent: int, threads: int) -> None:
    # Ctrl-C is for the driver, which ends its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Read when XLA makes its threads, which is later than this.
    os.environ["NPROC"] = os.environ["ATTNFLOW_THREADS"] = str(threads)
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()
    while True:
        try:
            fn, args, kwargs = pipe.recv()
        except EOFError:
            return
        try:
            answer = (True, fn(*args, **kwargs))
        except Exception as error:
            answer = (False, error)
        try:
            pipe.send(answer)
        except BrokenPipeError:
            return
        except Exception:  # an answer that cannot be sent
            pipe.send((False, RuntimeError(repr(answer[1]))))


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_WATCH)
    os._exit(1)
