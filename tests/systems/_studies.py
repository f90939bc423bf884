"""Small studies of one shape, and stores begun with shards of a known size."""

import json
import os
from pathlib import Path
from typing import Any

import attnflow as af

TABLES: dict[str, Any] = {
    "manifold": {"dim": 3},
    "tokens": {"count": 8},
    "attention": {"P": "$beta", "scale": 1.0},
    "time": {"t1": 5.0, "points": 3},
    "solver": {"rtol": 1e-6, "atol": 1e-9},
}


def study(**changes: Any) -> af.sweep.Study:
    """Three betas, six trials, eight tokens on the sphere in R^3."""
    tables: dict[str, Any] = {"trials": 6, "grid": {"beta": [0.5, 1.0, 2.0]}, **TABLES}
    return af.sweep.Study(**tables | changes)


def fixed_probe(monkeypatch: Any, size: int = 4) -> None:
    """Shards of `size` trajectories, whatever the machine."""

    def probe(blocks, known, show=True):
        one = {"seconds": 10.0 / size, "first": 1.0, "bytes": 100, "measured": True}
        return {block.key: one for block in blocks}

    monkeypatch.setattr("attnflow.sweep._run.probe", probe)


def files(store: Any) -> dict[str, bytes]:
    """The data of a store, by name."""
    return {path.name: path.read_bytes() for path in sorted((store / "shards").iterdir())}


def keep_figures(name: str, figures: dict[str, Any]) -> None:
    """Put what a long test counted into the JSON file `$ATTNFLOW_FIGURES`, where that is set."""
    path = os.environ.get("ATTNFLOW_FIGURES")
    if path:
        before = json.loads(Path(path).read_text()) if Path(path).exists() else {}
        made = {**figures, "provenance": af.records.provenance()}
        Path(path).write_text(json.dumps({**before, name: made}, indent=1) + "\n")
