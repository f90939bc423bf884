"""Measuring: times apart from compilation, errors against a reference, time at equal error."""

import argparse
import functools
import json
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from ..core.lazy import renamed_argument
from ..core.words import loads
from ..records import atomic_write, provenance


class Timing(NamedTuple):
    """Seconds of the first call, which compiles, and the median of the later ones."""

    first: float
    later: float


class Point(NamedTuple):
    """One run of a solver on a case: what was asked for, what came out, what it took.

    `error` is the root mean square over tokens and trajectories of the distance to the reference,
    the largest over the case's times; `seconds` are for one trajectory.
    """

    rtol: float
    error: float
    seconds: float


def clock(run: Callable[[], object], repeats: int = 3) -> Timing:
    """Times `run` once, and then `repeats` times."""
    took = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        jax.block_until_ready(run())
        took.append(time.perf_counter() - began)
    return Timing(took[0], float(np.median(took[1:] or took)))


@renamed_argument("found", "ys")
def distance(ys: np.ndarray, reference: np.ndarray) -> float:
    """The error of tokens `(trajectories, times, tokens, dim)`: see [`Point`][]."""
    squares = np.sum((ys - reference) ** 2, axis=-1)
    return float(np.sqrt(squares.mean(axis=(0, 2)).max()))


def at_error(points: Sequence[Point], error: float) -> float | None:
    """Seconds a trajectory takes at a given error: between two measured points, never beyond them.

    Straight lines on logarithmic axes. A solver that never errs by more than `error` takes what its
    cheapest run takes; one that never comes as near has no time.
    """
    good = [p for p in points if math.isfinite(p.error) and p.error > 0]
    reached = [p for p in good if p.error <= error]
    if not reached:
        return None
    cheapest = min(p.seconds for p in reached)
    for worse in good:
        for better in reached:
            if worse.error > error:
                part = math.log(worse.error / error) / math.log(worse.error / better.error)
                between = worse.seconds * (better.seconds / worse.seconds) ** part
                cheapest = min(cheapest, max(between, worse.seconds))
    return cheapest


def peak_mb() -> float:
    """The largest this process has been, MB."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def machine() -> dict[str, str | int | float | None]:
    """The kind of processor, the cores that this process may use, and how many processes wanted one of late."""
    import os
    import platform

    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    usable = (
        os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    )
    return {
        "processor": named[0] if named else platform.processor() or platform.machine(),
        "cores": len(usable),
        "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
    }


def run_sections(
    name: str, about: str, sections: dict[str, Callable[[bool], dict[str, Any]]], *, folder: Path
) -> None:
    """The command of a benchmark: `--quick` (smaller, nothing written), `--only SECTION`; prints what they give.

    **Arguments:**

    - `about`: what `--help` says.
    - `sections`: functions of whether it is to be quick, by name; see [`report`][attnflow.bench.report].
    """
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--quick", action="store_true", help="smaller, and nothing is written")
    parser.add_argument("--only", choices=list(sections), help="one section, put into the file")
    asked = parser.parse_args()

    def shown(section: Callable[[bool], dict[str, Any]]) -> dict[str, Any]:
        found = section(asked.quick)
        print(json.dumps(found, indent=1), flush=True)  # noqa: T201
        return found

    work = {title: functools.partial(shown, section) for title, section in sections.items()}
    report(name, work, folder=folder, only=asked.only, write=not asked.quick)


def report(
    name: str,
    sections: dict[str, Callable[[], dict[str, Any]]],
    *,
    folder: Path,
    only: str | None = None,
    write: bool = True,
) -> None:
    """Works the sections of a benchmark and writes them to `<folder>/<name>-<backend>.json`.

    **Arguments:**

    - `sections`: functions by name; what each gives is kept with the versions, the kind of processor, its cores and
      the load when it began.
    - `only`: the one section to work; it takes its place in the file.
    - `write`: with `False` nothing is written, only printed.
    """
    path = folder / f"{name}-{jax.default_backend()}.json"
    results = loads(path.read_text()) if only and path.exists() else {}
    for title, section in sections.items():
        if only in (None, title):
            where = {"machine": machine(), "provenance": provenance()}
            results[title] = {**section(), "peak MB": peak_mb(), **where}
            if write:  # after each, so that nothing is lost
                folder.mkdir(exist_ok=True)
                with atomic_write(path) as file:
                    file.write((json.dumps(results, indent=1) + "\n").encode())
