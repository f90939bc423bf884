"""Draws what the benchmarks found: work against precision, peers, dimensions.

    python benchmarks/draw.py [--backend cpu] [--out FOLDER]

Reads benchmarks/results/*-<backend>.json and writes solvers.png, peers.png and dimension.png beside
them (or into FOLDER).
"""

import argparse
import json
from pathlib import Path

from matplotlib import colormaps
from matplotlib.figure import Figure

RESULTS = Path(__file__).parent / "results"
MARKERS = "osD^vP*X<>hpd"


def work_precision(panels: dict[str, dict[str, list]], titles: dict[str, str]) -> Figure:
    """One panel a problem: milliseconds a trajectory against the achieved error, a line a solver."""
    rows = -(-len(panels) // 3)
    columns = min(3, len(panels))
    figure = Figure(figsize=(4.2 * columns, 3.9 * rows + 0.6), dpi=150, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    names = list(dict.fromkeys(name for panel in panels.values() for name in panel))
    for place, (problem, panel) in zip(axes, panels.items(), strict=False):
        for k, name in enumerate(names):
            points = [(error, 1e3 * seconds) for _, error, seconds in panel.get(name, [])]
            points = [p for p in points if p[0] is not None and 1e-14 < p[0] < 1]
            style = "--" if "constant" in name else "-"
            if points:
                place.loglog(
                    *zip(*points, strict=True),
                    style + MARKERS[k % len(MARKERS)],
                    color=colormaps["tab20"](2 * k % 20 + k // 10),
                    label=name,
                    markersize=4,
                    linewidth=2.2 if name == "attnflow" else 1.1,
                )
        place.invert_xaxis()
        place.set_title(titles[problem], fontsize=8)
        place.set_xlabel("error (root mean square over tokens, largest of four times)", fontsize=7)
        place.set_ylabel("milliseconds a trajectory", fontsize=8)
        place.tick_params(labelsize=7)
        place.grid(alpha=0.3)
    for place in axes[len(panels) :]:
        place.set_axis_off()
    lines = {}
    for place in axes:
        for line, label in zip(*place.get_legend_handles_labels(), strict=True):
            lines.setdefault(label, line)
    figure.legend(lines.values(), lines.keys(), loc="outside lower center", ncols=4, fontsize=7)
    return figure


def solvers(results: dict) -> Figure:
    """diffrax solvers through `simulate`."""
    panels = {
        problem: {name: s["points"] for name, s in result["solvers"].items()}
        for problem, result in results.items()
    }
    return work_precision(panels, {p: _wrapped(result["what"]) for p, result in results.items()})


def peers(results: dict) -> Figure:
    """attnflow's ensembles beside peers."""
    cases = {name: result for name, result in results.items() if name != "sizes"}
    panels = {name: result["points (rtol, error, seconds)"] for name, result in cases.items()}
    return work_precision(panels, {n: _wrapped(f"{n}: {c['what']}") for n, c in cases.items()})


def dimension(results: dict) -> Figure:
    """Set-up, integration and plain runs against d, P separable."""
    figure = Figure(figsize=(6.0, 4.0), dpi=150, layout="constrained")
    place = figure.subplots()
    rows = {int(n.split("=")[1]): row for n, row in results.items() if n.startswith("separable")}
    whole = {d: row for d, row in rows.items() if "compared until" not in row}
    quantities = {
        "run plain, milliseconds": "whole run, plain",
        "run reduced, milliseconds": "whole run, span coordinates",
        "set-up, milliseconds": "of which set-up",
    }
    for k, (key, label) in enumerate(quantities.items()):
        these = whole if "plain" in key else rows
        points = [(d, row[key]) for d, row in sorted(these.items()) if key in row]
        place.loglog(*zip(*points, strict=True), "-" + MARKERS[k], label=label)
    for d, row in whole.items():
        place.annotate(
            f"{row['plain / reduced']:.0f}×",
            (d, row["run plain, milliseconds"]),
            textcoords="offset points",
            xytext=(0, -16),
            fontsize=9,
            ha="center",
        )
    place.set_xticks(sorted(rows), [str(d) for d in sorted(rows)])
    place.minorticks_off()
    place.set_xlabel("d")
    place.set_ylabel("milliseconds")
    place.set_title("50 causal tokens, two heads, separable P, T = 2√d", fontsize=10)
    place.grid(alpha=0.3)
    place.legend(fontsize=8)
    return figure


def _wrapped(text: str, width: int = 58) -> str:
    lines = [""]
    for word in text.split():
        if len(lines[-1]) + len(word) > width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return "\n".join(lines)


def main() -> None:
    """Draw every result that is there."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backend", default="cpu", help="whose results")
    parser.add_argument("--out", type=Path, default=RESULTS, help="where pictures go")
    options = parser.parse_args()
    for draw in (solvers, peers, dimension):
        path = RESULTS / f"{draw.__name__}-{options.backend}.json"
        if path.exists():
            picture = options.out / f"{draw.__name__}-{options.backend}.png"
            draw(json.loads(path.read_text())).savefig(picture)
            print(picture)


if __name__ == "__main__":
    main()
