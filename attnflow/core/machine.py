"""What the machine gives this process."""

import os


def cores() -> int:
    """The cores this process may use: `ATTNFLOW_THREADS` if that is set, else those it is given."""
    asked = os.environ.get("ATTNFLOW_THREADS", "")
    if asked:
        if not asked.isdecimal() or int(asked) < 1:
            raise ValueError(f"ATTNFLOW_THREADS must be a positive whole number; got {asked!r}.")
        return int(asked)
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1
