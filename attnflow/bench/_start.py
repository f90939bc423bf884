"""How long commands take to start: in the first process, and in one that finds its programs kept."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ..core.lazy import renamed_argument

COMMANDS = (
    ("--help",),
    ("falsify", "--list"),
    ("info",),
    ("simulate", "figure2"),
    ("ensemble", "figure2", "--trajectories", "1000"),
)


class Start(NamedTuple):
    """Seconds of processor time of one command, first and later, and the programs it runs."""

    command: str
    first: float
    later: float
    programs: int


@renamed_argument("again", "repeats")
def start_times(commands: Sequence[Sequence[str]] = COMMANDS, *, repeats: int = 2) -> list[Start]:
    """Run commands of `attnflow` in processes of their own, beginning with an empty cache.

    **Arguments:**

    - `commands`: the words after `attnflow` of each.
    - `repeats`: how often each is run after the first time; the least counts.

    **Returns:**

    A list of `Start`: processor time (user and system, of all threads), not time on the clock, which
    other work on the machine lengthens.

    **Raises:**

    `RuntimeError` where a command fails.
    """
    starts = []
    for words in commands:
        with tempfile.TemporaryDirectory() as folder:
            first, programs = _run(words, folder)
            later = min(_run(words, folder)[0] for _ in range(repeats))
        starts.append(Start("attnflow " + " ".join(words), first, later, programs))
    return starts


def _run(words: Sequence[str], folder: str) -> tuple[float, int]:
    """Processor seconds, and how many programs were compiled or loaded."""
    clean = {name: x for name, x in os.environ.items() if name != "JAX_COMPILATION_CACHE_DIR"}
    env = {**clean, "XDG_CACHE_HOME": folder, "JAX_LOG_COMPILES": "1", "NO_COLOR": "1"}
    log = Path(folder) / "log"
    with open(log, "wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "attnflow", *words],
            stdout=subprocess.DEVNULL,
            stderr=file,
            env=env,
            cwd=os.getcwd(),
        )
        seconds = _wait(process)
    text = log.read_text(errors="replace")
    if process.returncode:
        raise RuntimeError(f"attnflow {' '.join(words)} failed: {text.strip().splitlines()[-1:]}")
    return seconds, text.count("Finished XLA compilation of")


def _wait(process: "subprocess.Popen[bytes]") -> float:
    if not hasattr(os, "wait4"):  # Windows: the clock has to do
        begun = time.perf_counter()
        process.wait()
        return time.perf_counter() - begun
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return used.ru_utime + used.ru_stime
