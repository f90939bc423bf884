"""What the machine gives this process."""

import ctypes
import functools
import os
import sys
from pathlib import Path
from typing import Any

_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1  # glibc's numbers of these options


def cores() -> int:
    """The cores this process may use: `ATTNFLOW_THREADS` if that is set, else those it is given."""
    setting = os.environ.get("ATTNFLOW_THREADS", "")
    if setting:
        if not setting.isdecimal() or int(setting) < 1:
            raise ValueError(f"ATTNFLOW_THREADS must be a positive whole number; got {setting!r}.")
        return int(setting)
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1


def one_blas_thread() -> Any:
    """A context in which products and factorisations of NumPy, SciPy and XLA's LAPACK calls take one thread each."""
    return _libraries(len(sys.modules)).limit(limits=1, user_api="blas")


@functools.lru_cache(maxsize=1)
def _libraries(modules: int) -> Any:
    from threadpoolctl import ThreadpoolController

    # To look at all that is loaded takes a millisecond, and many with thousands of compiled programs: as long as
    # nothing is imported there is no other.
    return ThreadpoolController()


def free_memory() -> int | None:
    """Bytes that this process may still take: of the machine, or of its control group; `None` if unknown."""
    limits = [_meminfo(), _group()]
    known = [size for size in limits if size is not None]
    return min(known) if known else None


def _meminfo() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(int(x.split()[1]) * 1024 for x in lines if x.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError, IndexError):
        return None


def _group() -> int | None:
    """What the second version of control groups leaves: its limit without what cannot be given back."""
    root = Path("/sys/fs/cgroup")
    try:
        limit = int((root / "memory.max").read_text())  # "max" where there is none
        used = int((root / "memory.current").read_text())
        stats = dict(x.split() for x in (root / "memory.stat").read_text().splitlines())
        return max(0, limit - used + int(stats.get("file", 0)))
    except (OSError, ValueError):
        return None


def give_back(size: int = 4 * 2**20) -> bool:
    """Have buffers of `size` bytes and more leave this process when they are freed; whether that can be asked.

    glibc learns to keep what is freed, up to 32 MB a buffer, apart for each thread that asked for it: XLA's scratch,
    which every thread of its pool asks for in turn, is then held several times over. Matrix products pack their factors
    into buffers below 4 MB, thousands of times a pass: with a `size` of 1 MB a pass of MiniLM takes half as much time
    again.
    For all of the process, so for commands, not for a library that others call.
    """
    try:
        libc = ctypes.CDLL(None)
        return all(libc.mallopt(what, size) == 1 for what in (_MMAP_THRESHOLD, _TRIM_THRESHOLD))
    except (OSError, AttributeError, TypeError):  # another libc, or none that can be asked
        return False
