"""Falsification measured: how fast false claims are broken, and that true ones are not.

    python benchmarks/falsification.py [--quick] [--only NAME] [--hour]

Writes benchmarks/results/falsification-<backend>.json, a section a name, and the counterexamples of
`several heads` to benchmarks/results/counterexamples/. Times include compilation, which the first seed
of each claim pays.
"""

import argparse
import dataclasses
import functools
import json
from pathlib import Path

import jax

jax.config.update("jax_enable_x64", True)

from attnflow import bench, search

RESULTS = Path(__file__).parent / "results"
CIRCLE, SPHERE = ((2, 2), (3, 2), (4, 2)), ((4, 3), (6, 3))
FALSE = {
    "no hemisphere, S^1": ("no hemisphere", CIRCLE),
    "no hemisphere, S^2": ("no hemisphere", SPHERE),
    "symmetric U, full, no hemisphere": ("symmetric U, full, no hemisphere", None),
    "symmetric U, causal, no hemisphere": ("symmetric U, causal, no hemisphere", None),
    "heads that cancel": ("heads that cancel", None),
    "4.2 as printed": ("4.2 as printed", None),
}
TRUE = ("3.2", "4.2", "4.5")
HEADS = (
    "several heads, own U",
    "several heads, own positive U",
    "several heads, common v",
    "several heads, one v",
)


def _claim(name: str, sizes=None) -> search.Claim:
    claim = search.CLAIMS[name]
    return claim if sizes is None else dataclasses.replace(claim, sizes=sizes)


def _row(found: search.Findings) -> dict:
    row = {
        "broken": found.broken,
        "seconds": found.seconds,
        "tries": found.tries,
        "failed": found.failed,
        "batches": found.units,
        "largest margin": found.best,
        "refused": dict(found.refused),
    }
    if found.counterexample is not None:
        row |= {
            "status": found.counterexample.evidence.status,
            "stage": found.counterexample.stage,
            "margin": found.counterexample.evidence.margin,
            "shortest form": str(found.counterexample).splitlines()[:4],
        }
    return row


def _seeds(claim: search.Claim, seeds: int, budget: float) -> dict:
    jax.clear_caches()  # programs of a dozen claims are more than a process may map
    rows = {}
    for seed in range(seeds):
        findings = search.falsify(claim, jax.random.key(seed), budget, progress=False)
        rows[f"seed {seed}"] = row = _row(findings)
        print(claim.name, claim.sizes, f"seed {seed}:", json.dumps(row), flush=True)
    return rows


def false_claims(quick: bool, hour: bool) -> dict:
    """Claims known to be false: 5 seeds each, at most 10 minutes."""
    out = {}
    for name, (claim, sizes) in FALSE.items():
        rows = _seeds(_claim(claim, sizes), 1 if quick else 5, 600.0)
        out[name] = {
            "broken": f"{sum(r['broken'] for r in rows.values())} of {len(rows)}",
            "longest, seconds": max(r["seconds"] for r in rows.values()),
            "seeds": rows,
        }
    return out


def theorems(quick: bool, hour: bool) -> dict:
    """The paper's theorems, beta up to 12: 20 seeds each."""
    out = {}
    for name in TRUE:
        rows = _seeds(_claim(name), 2 if quick else 20, 12.0)
        out[name] = {
            "broken": f"{sum(r['broken'] for r in rows.values())} of {len(rows)}",
            "tries": sum(r["tries"] for r in rows.values()),
            "refused": {
                status: sum(r["refused"].get(status, 0) for r in rows.values())
                for status in search.STATUSES
            },
            "seeds": rows,
        }
    return out


def several_heads(quick: bool, hour: bool) -> dict:
    """Several heads, each with its own symmetric U: seeds until the budget ends; the shortest form is kept."""
    out = {}
    folder = RESULTS / "counterexamples"
    budget = 60.0 if quick else 900.0 if hour else 300.0
    for name in HEADS:
        jax.clear_caches()
        spent, seed, rows, shortest = 0.0, 0, {}, None
        while spent < budget:
            key = jax.random.key(seed)
            findings = search.falsify(_claim(name), key, budget - spent, progress=False)
            rows[f"seed {seed}"] = _row(findings)
            print(name, f"seed {seed}:", json.dumps(rows[f"seed {seed}"]), flush=True)
            spent, seed = spent + findings.seconds, seed + 1
            here = findings.counterexample
            if here is not None and (shortest is None or _length(here) < _length(shortest)):
                shortest = here
        out[name] = {
            "broken": f"{sum(r['broken'] for r in rows.values())} of {len(rows)}",
            "seconds": spent,
            "tries": sum(r["tries"] for r in rows.values()),
            "by stage": {
                stage: sum(r.get("stage") == stage for r in rows.values())
                for stage in ("random starts", "gradients", "mutation")
            },
        }
        if shortest is not None:
            out[name]["shortest form"] = str(shortest).splitlines()
            if not quick:
                folder.mkdir(parents=True, exist_ok=True)
                shortest.write(folder / f"{name.replace(',', '').replace(' ', '-')}.json")
    return out


def _length(found: search.Counterexample) -> tuple[int, int]:
    """How long a counterexample is to write down: tokens and dimensions, then characters."""
    rows = found.case.tokens.rows
    assert rows is not None
    return len(rows) * len(rows[0]), sum(map(len, str(found).splitlines()[:3]))


SECTIONS = {f.__name__: f for f in (false_claims, theorems, several_heads)}


def main() -> None:
    """Run the sections asked for and write what they gave."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="smaller, and nothing is written")
    parser.add_argument(
        "--hour", action="store_true", help="an hour for the claims on several heads"
    )
    parser.add_argument("--only", choices=list(SECTIONS), help="one section, put into the file")
    options = parser.parse_args()
    sections = {
        name: functools.partial(section, options.quick, options.hour)
        for name, section in SECTIONS.items()
    }
    bench.report(
        "falsification", sections, folder=RESULTS, only=options.only, write=not options.quick
    )


if __name__ == "__main__":
    main()
