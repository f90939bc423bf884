"""Looped transformers: GPT-2 XL at full size beside torch, in time and memory; where Figures 9 and 10 end.

    python benchmarks/looped.py [--quick] [--only NAME]

Sections go to benchmarks/results/looped-<backend>.json. `pass`: two of the paper's prompts through GPT-2 XL
without feed-forward, random weights held or drawn layer by layer, and the same through the `transformers`
library's modules in torch, each in a process of its own, one after the other; `curves`: E along many passes
of the models that `attnflow reproduce` draws by default; `gpu`: 100 prompts through the full models beside
the rate of one large matrix product, and E along their passes.
"""

import argparse
import json
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

import attnflow as af
from attnflow import bench

RESULTS = Path(__file__).parent / "results"
SIZE, PROMPTS, PASSES = "gpt2-xl", 2, 6


def flops(arch, prompts: int, length: int, feed_forward: bool) -> float:
    """Of the matrix products of a pass."""
    tokens = prompts * length
    projections = 8 * arch.dim**2 + (4 * arch.dim * arch.inner if feed_forward else 0)
    return arch.layers * tokens * (projections + 4 * length * arch.dim)


# === one process each


def ours(size: str, weights: str, hold: bool, passes: int) -> dict:
    """Seconds of the first and of later passes, and E after each."""
    ids = af.language.paper_prompts(PROMPTS)
    run = af.language.looped(
        size,
        ids,
        passes=passes,
        feed_forward=False,
        weights=weights,
        hold=hold,
        key=jr.key(0),
        progress=False,
    )
    return {
        "first": float(run.seconds[0]),
        "later": float(np.median(run.seconds[1:])),
        "E": run.E[:, :: run.architecture.layers].mean(axis=0).tolist(),
    }


def torch_s(size: str, redrawn: bool, passes: int) -> dict:
    """The same pass by the modules of `transformers`: random weights, feed-forward removed."""
    import torch
    from transformers import GPT2Config, GPT2Model

    arch = af.language.architecture(size)
    torch.manual_seed(0)
    config = GPT2Config(
        n_embd=arch.dim, n_layer=arch.layers, n_head=arch.heads, n_inner=1, use_cache=False
    )
    model = GPT2Model(config).eval()

    class Nothing(torch.nn.Module):
        def forward(self, x):
            return torch.zeros_like(x)

    for block in model.h:
        block.mlp = Nothing()
    curve: list[float] = []
    last: list[torch.Tensor] = []

    def measure(module, inputs, output):
        h = output[0] if isinstance(output, tuple) else output
        unit = torch.nn.functional.normalize(h.float(), dim=-1)
        last[:] = [((unit - unit[:, :1]) ** 2).sum(-1).mean(-1).mean() / 2]

    for block in model.h:
        block.register_forward_hook(measure)
    took = []
    with torch.no_grad():
        ids = torch.tensor(af.language.paper_prompts(PROMPTS), dtype=torch.long)
        h = model.wte(ids)
        for number in range(passes):
            if redrawn:
                for name, parameter in model.h.named_parameters():
                    if name.endswith("c_attn.weight"):
                        parameter.normal_(0, 0.02)
                    elif name.endswith("c_proj.weight"):
                        parameter.normal_(0, 0.02 / (2 * arch.layers) ** 0.5)
            if number == 1:
                model.wpe.weight.zero_()  # positions enter once
            began = time.perf_counter()
            h = model(inputs_embeds=h).last_hidden_state
            took.append(time.perf_counter() - began)
            curve.append(float(last[0]))
    return {
        "first": took[0],
        "later": float(np.median(took[1:])),
        "E": curve,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }


WORKERS = {
    "attnflow, held": lambda size, passes: ours(size, "fixed", True, passes),
    "attnflow, drawn layer by layer": lambda size, passes: ours(size, "redrawn", True, passes),
    "torch": lambda size, passes: torch_s(size, False, passes),
}


def in_its_own_process(name: str, size: str, passes: int) -> dict:
    """What a worker measures, its peak of memory among it."""
    words = [sys.executable, __file__, "--worker", name, "--size", size, "--passes", str(passes)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return json.loads(done.stdout.splitlines()[-1])


def pass_(quick: bool) -> dict:
    """Medians of later passes in seconds, and the peak of the process's memory in GB."""
    size, passes = ("gpt2", 3) if quick else (SIZE, PASSES)
    rounds: dict[str, list[dict]] = {name: [] for name in WORKERS}
    for _ in range(1 if quick else 2):
        for name in WORKERS:
            rounds[name].append(in_its_own_process(name, size, passes))
            print(name, rounds[name][-1], flush=True)
    arch = af.language.architecture(size)
    count = flops(arch, PROMPTS, 200, False)
    collected = {}
    for name, runs in rounds.items():
        later = float(np.median([run["later"] for run in runs]))
        collected[name] = {
            "seconds": later,
            "seconds_of_each_round": [run["later"] for run in runs],
            "first": [run["first"] for run in runs],
            "peak_gb": max(run["peak_gb"] for run in runs),
            "gflop_per_second": count / later / 1e9,
            "E": runs[0]["E"],
        }
    return {
        "size": size,
        "prompts": PROMPTS,
        "length": 200,
        "gflop": count / 1e9,
        **collected,
        "torch_over_attnflow": collected["torch"]["seconds"]
        / collected["attnflow, held"]["seconds"],
    }


# === where the curves end


def curves(quick: bool) -> dict:
    """E at the ends of passes: models a quarter as wide, 4 prompts of 100 tokens."""
    return _curves(af.paper.figure9, af.paper.figure10, 3 if quick else 100, full=False)


def _curves(figure9, figure10, passes: int, full: bool) -> dict:
    collected = {}
    for number, figure in ((9, figure9), (10, figure10)):
        data = figure(jr.fold_in(jr.key(0), number), passes=passes, full=full)
        for name in ("gpt2_full", "gpt2_attention", "gpt_neo_full", "gpt_neo_attention"):
            layers = round(1 / (data[f"{name}_depth"][1]))
            ends = data[f"{name}_E"][:, ::layers]
            collected[f"figure{number}: {name}"] = {
                "E_mean": [float(f"{e:.4g}") for e in ends.mean(axis=0)],
                "E_least": float(ends[:, -1].min()),
                "E_most": float(ends[:, -1].max()),
            }
            print(number, name, ends.mean(axis=0)[[0, 1, passes // 2, passes]], flush=True)
    return {"passes": passes, **collected}


def gpu(quick: bool) -> dict:
    """Full models, 100 prompts of 200 tokens: the share of a large matrix product's rate."""
    ids = af.language.paper_prompts(2 if quick else 100)
    collected = {}
    for dtype, precision in (
        ("bfloat16", "default"),
        ("float32", "default"),
        ("float32", "highest"),
    ):
        n = 8192
        a, b = (jr.normal(jr.key(k), (n, n), jnp.dtype(dtype)) for k in (0, 1))
        with jax.default_matmul_precision(precision):
            product = jax.jit(partial(jnp.matmul, preferred_element_type=jnp.float32))
            peak = 2 * n**3 / bench.clock(partial(product, a, b), 10).later
        for size in ("gpt2-xl", "gpt-neo-2.7B"):
            run = af.language.looped(
                size, ids, passes=4, dtype=dtype, precision=precision, chunk=25, progress=False
            )
            rate = flops(run.architecture, len(ids), 200, True) / float(np.median(run.seconds[1:]))
            collected[f"{size}, {dtype}, {precision}"] = {
                "seconds": float(np.median(run.seconds[1:])),
                "tflop_per_second": rate / 1e12,
                "product_tflop_per_second": peak / 1e12,
                "share": rate / peak,
            }
            print(size, dtype, precision, collected[f"{size}, {dtype}, {precision}"], flush=True)
    return collected


SECTIONS = {"pass": pass_, "curves": curves, "gpu": gpu}


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="less of everything; writes nothing")
    parser.add_argument("--only", choices=SECTIONS)
    parser.add_argument("--worker", choices=WORKERS, help=argparse.SUPPRESS)
    parser.add_argument("--size", help=argparse.SUPPRESS)
    parser.add_argument("--passes", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        result = WORKERS[given.worker](given.size, given.passes)
        print(json.dumps({**result, "peak_gb": bench.peak_mb() / 1024}))
        return
    there = jax.default_backend() != "cpu"
    expected = (given.only,) if given.only else ("curves", "gpu") if there else ("pass", "curves")
    sections = {name: (lambda f=SECTIONS[name]: f(given.quick)) for name in expected}
    bench.report("looped", sections, folder=RESULTS, only=given.only, write=not given.quick)


if __name__ == "__main__":
    main()
