"""A proof that MiniLM's attention, looped, has an equilibrium of two clusters that attracts.

    ATTNFLOW_TRAINED=wheels python benchmarks/two_clusters.py [--prompts N]

Random prompts of the model's own vocabulary are looped without feed-forward; the first that ends in two clusters is
polished by `attnflow.language.rest` and proved by `prove_clusters`, in ball arithmetic. Numbers go to
benchmarks/results/two-clusters-cpu.json.
"""

import argparse
import json
import time
from pathlib import Path

import jax

jax.config.update("jax_enable_x64", True)

import attnflow as af
from attnflow import bench
from attnflow.language import (
    TRAINED,
    load,
    looped,
    prove_clusters,
    random_prompts,
    rest,
    trained,
)
from attnflow.records import atomic_write, provenance

FILE = Path(__file__).parent / "results" / "two-clusters-cpu.json"
LENGTH, PASSES = 16, 60

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prompts", type=int, default=4)
    options = parser.parse_args()
    af.programs.cache()
    model = load(trained("minilm"), dtype="float64")
    ids = random_prompts(model.architecture, options.prompts, LENGTH)
    run = looped(model, ids, passes=PASSES, feed_forward=False, keep="last", progress=False)
    ends = [rest(model, h, feed_forward=False, passes=200, tolerance=1e-12) for h in run.last]
    number = next(
        k for k, end in enumerate(ends) if len(end.clusters) == 2 and min(end.clusters) > 1
    )
    began = time.perf_counter()
    proof = prove_clusters(model, ends[number].tokens)
    print(proof, flush=True)
    account = {
        "checkpoint": "minilm",
        "sha256": TRAINED["minilm"].sha256,
        "prompt": ids[number].tolist(),
        "rest": ends[number].record(),
        "proof": proof.record(),
        "members": proof.members.tolist(),
        "centres": proof.centres.tolist(),
        "seconds": time.perf_counter() - began,
        "machine": bench.machine(),
        "provenance": provenance(),
    }
    with atomic_write(FILE) as file:
        file.write(json.dumps(account, indent=1).encode())
