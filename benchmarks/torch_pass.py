"""A pass of an encoder and of a Llama beside torch's `transformers`: seconds in turn, and peak memory.

    python benchmarks/torch_pass.py [--quick] [--only minilm|llama] [--memory]

Random weights of the same shapes on both sides, float32, all cores. In one process the two take turns, so that
what else the machine does meets both; the least of all turns counts, and the median is kept beside it. A pass of
attnflow also measures E after every block, and sends prompts through a layer one by one (torch all at once).
Compilation is apart. Memory is the largest resident size of a process that draws the weights and makes three passes,
over that of one that does so with a tiny model of the same family and depth (programs, libraries): in units of the
weights. It counts tokens, XLA's scratch and what drawing takes, three times: where freed buffers of 4 MB and more leave
the process, as in the commands (`give_back`); as glibc does it by itself, which keeps them for each thread; and where
all of 128 KB and more do, which is what is in use, and slow. Numbers go to benchmarks/results/torch-pass-cpu.json.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import jax
import jax.random as jr
import numpy as np

import attnflow as af
from attnflow.core.machine import cores, give_back
from attnflow.language import Architecture
from attnflow.language._memory import weight_bytes
from attnflow.records import atomic_write, provenance

FILE = Path(__file__).parent / "results" / "torch-pass-cpu.json"
CASES = {
    "minilm": (
        Architecture(
            "bert", 30522, 512, 384, 6, 12, 1536, activation="gelu", epsilon=1e-12, types=2
        ),
        32,
        128,
    ),
    "llama": (
        Architecture(
            "llama", 32000, 2048, 1024, 16, 16, 2816, activation="silu", rotary=(1e4,) * 16
        ),
        2,
        200,
    ),
}
# From how many bytes on freed buffers leave the process; 0: glibc decides.
SIZES = {"given_back": 4 * 2**20, "as_glibc_keeps": 0, "in_use": 2**17}
# Of the same families, as deep, so that programs are as many and as large, and their arrays next to nothing.
TINY = {
    name: replace(arch, vocabulary=97, positions=64, dim=2 * arch.heads, inner=64)
    for name, (arch, _, _) in CASES.items()
}


def theirs(arch: Architecture):
    """The same architecture of transformers, with weights of its own law."""
    import torch
    import transformers

    torch.set_num_threads(cores())
    shared = {
        "vocab_size": arch.vocabulary,
        "hidden_size": arch.dim,
        "num_hidden_layers": arch.layers,
        "num_attention_heads": arch.heads,
        "intermediate_size": arch.inner,
        "max_position_embeddings": arch.positions,
    }
    if arch.family == "bert":
        config = transformers.BertConfig(**shared)
        return transformers.BertModel(config, add_pooling_layer=False).eval()
    return transformers.LlamaModel(transformers.LlamaConfig(**shared)).eval()


def seconds(name: str, turns: int) -> dict:
    """Of a pass of each, in turn."""
    import torch

    arch, prompts, length = CASES[name]
    model, peer = af.language.random(arch, key=jr.key(0)), theirs(arch)
    ids = af.language.random_prompts(arch, prompts, length)
    rows = torch.from_numpy(np.asarray(ids, np.int64))

    def ours(passes: int) -> list[float]:
        run = af.language.looped(model, ids, passes=passes, chunk=1, progress=False)
        return run.seconds.tolist()

    def torch_pass() -> float:
        with torch.no_grad():
            h = peer.get_input_embeddings()(rows)
            began = time.perf_counter()
            peer(inputs_embeds=h, use_cache=False) if arch.family != "bert" else peer(
                inputs_embeds=h
            )
            return time.perf_counter() - began

    first = ours(1)[0]
    torch_pass()
    own, other = [], []
    for _ in range(turns):
        own += ours(2)
        other += [torch_pass(), torch_pass()]
    return {
        "prompts": prompts,
        "length": length,
        "parameters": arch.parameters,
        "first_pass": first,
        "attnflow": {"least": min(own), "median": float(np.median(own))},
        "torch": {"least": min(other), "median": float(np.median(other))},
        "ratio_of_least": min(own) / min(other),
        "ratio_of_medians": float(np.median(own) / np.median(other)),
        "versions": {"torch": torch.__version__, "threads": cores()},
    }


def peak(name: str) -> int:
    """The largest resident size of this process, in bytes, after drawing a model and three passes."""
    arch, prompts, length = CASES[name] if name in CASES else (TINY[name[5:]], 2, 8)
    model = jax.block_until_ready(af.language.random(arch, key=jr.key(0)))
    ids = af.language.random_prompts(arch, prompts, length)
    af.language.looped(model, ids, passes=3, chunk=1, progress=False)
    # Not getrusage, whose peak a child has from its parent.
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def memory(name: str) -> dict:
    """The peak of a process of its own over that of a tiny model, beside the weights."""
    weights = weight_bytes(CASES[name][0], "float32", True, blocks_alone=False)
    record: dict = {"weights": weights}
    for kind, size in SIZES.items():
        sizes = {}
        for case in (f"tiny-{name}", name):
            command = [sys.executable, __file__, "--peak", case, "--given-back", str(size)]
            sizes[case] = [
                int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
                for _ in range(3)
            ][1:]  # the first compiles, where programs are not kept yet
        # Of two each: threads share the work differently each time.
        over = float(np.median(sizes[name]) - np.median(sizes[f"tiny-{name}"]))
        most = max(sizes[name]) - min(sizes[f"tiny-{name}"])
        record[kind] = {
            "peak_over_tiny": over,
            "in_weights": over / weights,
            "most_in_weights": most / weights,
        }
    return record


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one turn; nothing is written")
    parser.add_argument("--only", choices=CASES)
    parser.add_argument("--memory", action="store_true", help="that alone, beside the times there")
    parser.add_argument("--peak", help=argparse.SUPPRESS)
    parser.add_argument("--given-back", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    af.programs.cache()
    if options.peak:
        if options.given_back and not give_back(options.given_back):
            sys.exit("this libc cannot be asked to give back what is freed")
        print(peak(options.peak))
        sys.exit()
    results = json.loads(FILE.read_text()) if FILE.exists() else {"cases": {}}
    for name in [options.only] if options.only else CASES:
        record = (
            results["cases"][name] if options.memory else seconds(name, 1 if options.quick else 5)
        )
        record["memory"] = memory(name)
        record.setdefault("load", os.getloadavg()[0])
        results["cases"][name] = record
        print(json.dumps({name: record}, indent=1), flush=True)
        if not options.quick:
            results["provenance"] = provenance()
            with atomic_write(FILE) as file:
                file.write(json.dumps(results, indent=1).encode())
