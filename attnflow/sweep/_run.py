"""`run`: every trajectory of a study into a store, whatever happens on the way."""

import errno
import logging
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from typing import Any, Protocol, runtime_checkable

from ..core.checks import whole
from ..ensemble import Outcome
from ..records import progress as bar, versions
from ..records.folders import Address
from ._compact import compact as compact_store
from ._estimate import check_extends
from ._plan import Plan, Shard, is_same
from ._probe import probe, shard_size
from ._shard import make
from ._status import Status, status
from ._store import Store
from ._study import Spec, Study, as_study

logger = logging.getLogger("attnflow.sweep")

_IN_FLIGHT = 4096  # tasks that an executor is given at a time
# What no other shard would fare better with.
_HOPELESS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)


@runtime_checkable
class Submits(Protocol):
    """What computes elsewhere: executors of `concurrent.futures`, clients of dask."""

    def submit(self, fn: Callable[..., object], /, *args: object) -> Future[object]:
        """The promise of `fn(*args)`."""
        ...


def run(
    spec: Spec,
    store: Address,
    executor: Submits | None = None,
    *,
    shard_seconds: float = 10.0,
    retries: int = 2,
    compact: bool = True,
    progress: bool = True,
) -> Status:
    r"""Run a study into a store, or what of it is not there yet.

    The study is cut into shards: consecutive trajectories, one file each, whose bytes follow from the
    study and the versions of the packages alone. A run that was ended, killed, or met a full disk is
    gone on with by the same call: what is there and verifies is kept. With more trials or more axis
    values than the store has, what is new is added and every earlier number stays; any other
    difference is refused.

    **Arguments:**

    - `spec`: a [`Study`][attnflow.sweep.Study], the path of a `.toml` file, or a ready study's name.
    - `store`: a folder, or an address that fsspec knows (`s3://bucket/sweep`). One driver at a time works
      on it; the lock of one that was killed ends with it in a folder, and after two minutes elsewhere.
    - `executor`: where shards are computed: this process unless given, or anything with `submit` as in
      `concurrent.futures`. The store's address must mean the same place there.
    - `shard_seconds`: how long a shard should take on this machine's cores; fixed when the store is
      begun, by a timed probe of its shapes.
    - `retries`: how often a shard that failed is tried again. One that keeps failing is told in the
      result and stops nothing else.
    - `compact`: put all into one dataset at the end.
    - `progress`: a bar on a terminal. A line for each shard goes to the logger `attnflow.sweep`.

    From a laptop to a cluster it is the one line that makes the executor:

    ```python
    af.sweep.run(spec, store)                                    # this process, all its cores
    af.sweep.run(spec, store, af.sweep.Pool())                   # a process for each core
    af.sweep.run(spec, store, dask.distributed.Client("tcp://head:8786").get_executor())
    af.sweep.run(spec, store, mpi4py.futures.MPIPoolExecutor())  # mpiexec -n 65 python -m mpi4py.futures
    af.sweep.run(spec, store, executorlib.SlurmClusterExecutor())
    ```

    With SLURM either `dask_jobqueue.SLURMCluster` (scale it, then the dask line on its client) or
    executorlib submits the jobs; a job array is not needed. Give each worker one thread of dask's and
    set `ATTNFLOW_THREADS` to the cores it may use. Several accelerators of a worker are all used in
    each shard.

    **Returns:**

    A [`Status`][attnflow.sweep.Status]: what is there, and `failed` shards with their errors.

    **Raises:**

    `ValueError` when the spec is wrong, differs from the store's, or another driver is at work on the
    store; `OSError` when the store cannot be written (no shard that was is lost).
    """
    # === check arguments
    study = as_study(spec)
    retries = whole("retries", retries, least=0)
    if not shard_seconds > 0:
        raise ValueError(f"`shard_seconds` must be positive; got {shard_seconds!r}.")
    if executor is not None and not hasattr(executor, "submit"):
        raise ValueError(
            "`executor` must have `submit`, as those of concurrent.futures have; got "
            f"{type(executor).__name__}."
        )

    # === run
    home = Store(store)
    with home.folder.lock():
        home.folder.clean()
        plan = _begin(home, study, shard_seconds, progress)
        for name, good in home.verified(put_aside=True):
            if not good:
                warnings.warn(
                    f"shard {name} was damaged; it is in damaged/ and runs again.", stacklevel=2
                )
        there = {shard.name: len(shard) for shard, _ in home.present(plan)}
        todo = (shard for shard in plan.shards() if shard.name not in there)
        failed: dict[str, str] = {}
        done = sum(there.values())
        with bar(
            total=plan.trajectories,
            initial=done,
            description="trajectories",
            unit="",
            show=progress,
        ) as shown:
            for shard, receipt in _made(executor, home, plan, todo, retries):
                if isinstance(receipt, BaseException):
                    failed[shard.name] = _words(receipt)
                    logger.error("shard %s failed: %s", shard.name, failed[shard.name])
                    continue
                _report(shown, receipt)
        if compact and not failed:
            compact_store(home.address)
    state = status(home.address)
    state.failed.update(failed)
    return state


def _begin(home: Store, study: Study, shard_seconds: float, show: bool) -> Plan:
    """The store's plan, begun, extended or found to be the same; a `ValueError` where it differs."""
    before, known = [], {}
    if home.begun():
        plan = home.plan()
        check_extends(home, plan, study)
        _compare_versions(home.made_with())
        if is_same(plan.study, study):
            return plan
        before, known = plan.history, home.probe()
    history = [*before, study]
    blocks = Plan(history, [{}] * len(history)).blocks[-1]
    measured = probe(blocks, known, show)
    sizes = {b.key: shard_size(b, measured[b.key], shard_seconds) for b in blocks}
    home.add_study(study, sizes, measured)
    return home.plan()


def _compare_versions(then: dict[str, str]) -> None:
    now = versions()
    changed = [
        f"{name} {then[name]} (now {now.get(name)})"
        for name in ("attnflow", "jax", "jaxlib", "diffrax")
        if then.get(name) != now.get(name)
    ]
    if changed:
        warnings.warn(
            f"the store was begun with {', '.join(changed)}: new shards may differ in the last digits.",
            stacklevel=4,
        )


def _report(shown: Any, receipt: dict[str, Any]) -> None:
    outcomes = {Outcome(int(how)): count for how, count in receipt["outcomes"].items()}
    lost = sum(count for how, count in outcomes.items() if how.failed)
    shown.update(receipt["trajectories"])
    shown.lost = getattr(shown, "lost", 0) + lost
    shown.set_postfix_str(f"{shown.lost} failed" if shown.lost else "")
    logger.info(
        "shard %s: %d trajectories in %.2f s, %d failed, process %d on %s",
        receipt["shard"],
        receipt["trajectories"],
        receipt["seconds"],
        lost,
        receipt["process"],
        receipt["host"],
    )


def _words(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())


# === shards, one after another or through an executor


def _made(
    executor: Any, home: Store, plan: Plan, todo: Iterator[Shard], retries: int
) -> Iterator[tuple[Shard, Any]]:
    """Each shard with its receipt, or with the error that it kept meeting."""
    studies = len(plan.history)
    if executor is None:
        for shard in todo:
            yield shard, _here(home.address, studies, shard, retries)
        return
    with _cancelled_at_the_end() as flying:
        tries: Counter[str] = Counter()

        def send(shard: Shard) -> None:
            try:
                future = executor.submit(make, home.address, studies, shard.name)
            except Exception as error:  # a pool that broke takes no more
                future = Future()
                future.set_exception(error)
            flying[future] = shard

        for shard in todo:
            send(shard)
            if len(flying) >= _IN_FLIGHT:
                break
        while flying:
            ended, _ = wait(flying, timeout=0.5, return_when=FIRST_COMPLETED)
            for future in ended:
                shard = flying.pop(future)
                try:
                    receipt: Any = future.result()
                except Exception as error:
                    if _hopeless(error):
                        raise
                    tries[shard.name] += 1
                    if tries[shard.name] <= retries:
                        logger.warning("shard %s runs again: %s", shard.name, _words(error))
                        send(shard)
                        continue
                    receipt = error
                del tries[shard.name]
                yield shard, receipt
                following = next(todo, None)
                if following is not None:
                    send(following)


@contextmanager
def _cancelled_at_the_end() -> Iterator[dict[Future, Shard]]:
    flying: dict[Future, Shard] = {}
    try:
        yield flying
    finally:
        for future in flying:
            future.cancel()


def _here(address: str, studies: int, shard: Shard, retries: int) -> Any:
    for attempt in range(retries + 1):
        try:
            return make(address, studies, shard.name)
        except Exception as error:
            if _hopeless(error):
                raise
            if attempt == retries:
                return error
            logger.warning("shard %s runs again: %s", shard.name, _words(error))
            time.sleep(0.1)
    return None


def _hopeless(error: BaseException) -> bool:
    return isinstance(error, OSError) and error.errno in _HOPELESS
