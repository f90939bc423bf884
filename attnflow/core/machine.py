"""What the machine gives this process."""

import os


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
