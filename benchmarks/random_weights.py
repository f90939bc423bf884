"""Weights that fluctuate: H heads with U_h = -D_h/H and P_h = D_h, after arXiv:2605.18870.

    python benchmarks/random_weights.py

Writes benchmarks/results/random-weights-<backend>.json and .png: the gallery's figure `fluctuating-weights` at full
size, 200 tokens on S^1 and S^2 until t = 20, H = 1, 10, 100. Measured is G^2, the square of the slope along which
tokens fall: the mean over tokens of |v_i|^2 over the mean over heads of l / sum_j exp(y_i'D_h y_j); mean over the
second half of the run. The laws of D_h are those of the paper's published code: Ornstein-Uhlenbeck about I, and weights
that oscillate, head h with the phase 2 pi h/H; and the latter with phases drawn at random.
"""

import math
from pathlib import Path

import jax

jax.config.update("jax_enable_x64", True)

import numpy as np

from attnflow import bench, gallery

RESULTS = Path(__file__).parent / "results"
LAWS = {
    "ou": "Ornstein-Uhlenbeck about I",
    "even": "oscillating, phases 2 pi h/H",
    "random": "oscillating, random phases",
}


def section(shown: gallery.GalleryFigure, law: str) -> dict:
    """By sphere and number of heads."""
    rows: dict = {}
    heads = shown["heads"]
    for dim in (2, 3):
        late = shown[f"{law}_{dim}"][:, :, len(shown["ts"]) // 2 :]  # heads, draws, times
        means = late.mean(axis=2)
        rows[f"S^{dim - 1}"] = {
            f"H = {h}": {
                "G^2": float(of.mean()),
                "standard error": float(of.std(ddof=1) / math.sqrt(len(of)))
                if len(of) > 1
                else None,
                "least": float(late[i].min()),
            }
            for i, (h, of) in enumerate(zip(heads, means, strict=True))
        }
        power = np.polyfit(np.log(heads), np.log(means.mean(axis=1)), 1)[0]
        rows[f"S^{dim - 1}"]["power of H"] = float(power)
    return rows


def main() -> None:
    """All laws, from the numbers of one figure."""
    shown = gallery.draw("fluctuating-weights", size="full")
    print(shown.table())
    sections = {LAWS[law]: (lambda law=law: section(shown, law)) for law in LAWS}
    bench.report("random-weights", sections, folder=RESULTS)
    name = f"random-weights-{jax.default_backend()}.png"
    shown.figure.savefig(RESULTS / name, dpi=100)


if __name__ == "__main__":
    main()
