"""Proofs over all states measured: synchronisation on the circle, counts of equilibria, what their checks cost.

    python benchmarks/covers.py [--only SECTION]

Writes benchmarks/results/covers-cpu.json, a section a name, and certificates of up to a megabyte to
benchmarks/results/certificates/covers/. Times are of one run, in one process.
"""

import argparse
import json
import os
import platform
import time
from collections.abc import Iterator
from pathlib import Path

import flint
import numpy as np

from attnflow import __version__
from attnflow.checker import cover as checker
from attnflow.cover import Census, Synchronisation, census, census_range, synchronisation

RESULTS = Path(__file__).parent / "results"
FOLDER = RESULTS / "certificates" / "covers"
MOST_BYTES = 2**20
Rows = Iterator[tuple[str, dict]]

# By tokens: the lower end of beta that is proved, and where a stable equilibrium is looked for.
LOWEST = {
    4: ("-2.2124", -2.2125),
    5: ("-1.4428", -1.443),
    7: ("-1.71", -1.717),
    8: ("-0.9", -1.2223),
}
SIDES = {4: (1, 1, 2), 5: (1, 2, 2), 7: (1, 3, 3), 8: (2, 3, 3)}


def _row(result: Synchronisation, name: str) -> dict:
    """Figures of a proof, its certificate and its check."""
    row = {
        "beta": [str(b) for b in result.beta],
        "proved": result.proved,
        "boxes": result.boxes,
        "leaves": result.reasons,
        "seconds": round(result.seconds, 2),
    }
    if result.proved:
        path = FOLDER / f"{name}.json"
        FOLDER.mkdir(exist_ok=True, parents=True)
        begun = time.perf_counter()
        result.save(path)
        row["seconds to check and write"] = round(time.perf_counter() - begun, 2)
        row["bytes"] = path.stat().st_size
        row["statement"] = checker.read(path.read_bytes())["statement"]
        if row["bytes"] > MOST_BYTES:
            path.unlink()
    print(name, json.dumps(row), flush=True)
    return row


def gap() -> Rows:
    """The published gap, -2/3 < beta < -0.16, for l = 3 to 8."""
    for n in range(3, 9):
        yield f"{n} tokens", _row(synchronisation(n, ("-2/3", "-0.16")), f"gap-{n}")


def lowest() -> Rows:
    """How far below -2/3 synchronisation is proved, and a stable equilibrium that is certified just below.

    Multiples of 3: -2/3 itself, on both sides (three groups of equal weight at 120 degrees are stable below).
    """
    import jax

    jax.config.update("jax_enable_x64", True)
    import jax.numpy as jnp

    from attnflow import AttentionField, Sphere, certify

    for n, (proved, below) in LOWEST.items():
        row: dict = {}
        if proved is not None:
            row = _row(synchronisation(n, (proved, "-0.16")), f"lowest-{n}")
        angles = _isosceles(SIDES[n], below)
        field = AttentionField(Sphere(2), P=below * jnp.eye(2), kernel="exp")
        y = jnp.asarray(np.stack([np.cos(angles), np.sin(angles)], axis=1))
        made = certify.equilibrium(field, y)
        row["stable"] = {"beta": below, "certified": made.stable, "groups": SIDES[n]}
        row["stable"]["angles"] = [round(float(a), 6) for a in angles]
        print(n, json.dumps(row["stable"]), flush=True)
        yield f"{n} tokens", row


def _isosceles(sizes: tuple[int, int, int], beta: float) -> np.ndarray:
    """Angles of an equilibrium of three groups, the two of one size at +x and -x from the third."""
    alone = next(k for k in sizes if sizes.count(k) == 1)
    twin = next(k for k in sizes if sizes.count(k) == 2)
    # alone k(x) = -twin k(2x): the root where the pull on a twin goes from ahead to behind.
    x = np.linspace(1.2, 3.0, 200_001)

    def pull(x):
        return -alone * np.exp(beta * np.cos(x)) * np.sin(x) - twin * np.exp(
            beta * np.cos(2 * x)
        ) * np.sin(2 * x)

    values = pull(x)
    (roots,) = np.nonzero((values[:-1] > 0) & (values[1:] <= 0))
    lo, hi = x[roots[0]], x[roots[0] + 1]
    for _ in range(80):
        mid = (lo + hi) / 2
        lo, hi = (mid, hi) if pull(mid) > 0 else (lo, mid)
    return np.concatenate([np.zeros(alone), np.full(twin, lo), np.full(twin, -lo)])


def weighted() -> Rows:
    """Tokens of the weights 1, 1, 2: four tokens of which two are one."""
    result = synchronisation(3, ("-2.2", "-0.16"), weights=[1, 1, 2])
    yield "1, 1, 2", _row(result, "weighted-1-1-2")


# V and beta: P = beta V, U = V.
VALUES = {"2, -3": (1.5, 2, -3), "-0.4, -4": (0.03, -0.4, -4), "3, 2": (1.5, 3, 2)}
CAUSAL = {
    "simple-top": ([[1, 0], [0, 2]], [[1, 0], [0, -0.5]]),
    "not-symmetric": ([[-1.5, 0.5], [1, 0.7]], [[1, 0.2], [0.1, 0.3]]),
    "negative": ([[1, -0.4], [0.3, 1]], [[-1, 0.2], [0.1, -0.3]]),
}


def counts() -> Rows:
    """Complete counts of equilibria: full attention, U a multiple of P; a range of eigenvalues; causal attention."""
    for tokens in (2, 3):
        for name, (beta, p, q) in VALUES.items():
            V = np.diag([float(p), float(q)])
            P = np.diag([round(beta * p, 12), round(beta * q, 12)])
            made = census(P, V, tokens, progress=False)
            yield f"{tokens} tokens, V = diag({name})", _counted(made, f"count-{tokens}-{p}-{q}")
    made = census_range((0.5, 0.502), (-1.502, -1.5), 2, progress=False)
    yield "2 tokens, p in [0.5, 0.502], q in [-1.502, -1.5]", _counted(made, "count-range")
    for name, (P, U) in CAUSAL.items():
        made = census(np.array(P, float), np.array(U, float), 3, mask="causal")
        yield f"3 tokens, causal, {name}", _counted(made, f"count-causal-{name}")


def _counted(made: Census, name: str) -> dict:
    """Figures of a count, its certificate and its check."""
    row = {"equilibria": made.equilibria, "stable": made.stable, "boxes": made.boxes}
    row["seconds"] = round(made.seconds, 2)
    path = FOLDER / f"{name}.json"
    begun = time.perf_counter()
    made.save(path)
    row["seconds to check and write"] = round(time.perf_counter() - begun, 2)
    row["bytes"] = path.stat().st_size
    row["statement"] = json.loads(path.read_text())["statement"]
    print(name, json.dumps(row), flush=True)
    return row


def sound() -> Rows:
    """Ranges where something else is stable: nothing is proved, by the search for it or by boxes alone."""
    from fractions import Fraction

    from attnflow.cover import Circle, prove

    for n, lo, hi in ((3, "-0.9", "-0.7"), (5, "-2.4", "-2.0"), (6, "-0.75", "-0.7")):
        result = synchronisation(n, (lo, hi))
        boxes = prove(Circle((Fraction(1),) * n, (Fraction(lo), Fraction(hi))), boxes=200_000)
        yield (
            f"{n} tokens, {lo} to {hi}",
            {
                "proved": result.proved,
                "why": result.why,
                "boxes alone": boxes.complete,
                "covered after 200 000 boxes": boxes.covered,
            },
        )


SECTIONS = {f.__name__: f for f in (gap, lowest, weighted, counts, sound)}


def main() -> None:
    """All sections, or one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=SECTIONS)
    only = parser.parse_args().only
    path = RESULTS / "covers-cpu.json"
    results = json.loads(path.read_text()) if path.exists() else {}
    results["where"] = {
        "attnflow": __version__,
        "numpy": np.__version__,
        "python-flint": flint.__version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
    }
    for name, section in SECTIONS.items():
        if only in (None, name):
            for row, figures in section():
                results.setdefault(name, {})[row] = figures
                path.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
