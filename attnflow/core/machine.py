"""What the machine gives this process."""

import os
from pathlib import Path


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
