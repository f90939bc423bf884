"""Which beta synchronise the circle: the proved ranges of arXiv:2507.22857 and the gap between them."""

from typing import NamedTuple

import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Key
from matplotlib.figure import Figure

from .. import ensemble
from ..closed_forms import polygon
from ..flow import consensus
from ..geometry import Sphere
from ..linearisation import spectrum
from ..model import AttentionField
from ._claims import GalleryClaim, Measured, worst
from ._style import GREY, PALETTE, label, legend, panels

PAPER = "2507.22857"
PROVED, FAILS = -0.16, -2 / 3
T1 = 2000.0


class _Size(NamedTuple):
    tokens: tuple[int, ...]
    starts: int


_SIZES = {
    "tiny": _Size((3,), 40),
    "small": _Size((3, 5, 6), 60),
    "full": _Size((3, 4, 5, 6, 8, 12), 60),
}
BETAS = {
    "tiny": (-2.0, -0.4, 0.5),
    "small": (-1.6, -1.2, -1.0, -0.8, -0.6, -0.5, -0.4, -0.3, -0.16, 0.0, 1.0, 4.0),
    "full": tuple(np.concatenate([np.linspace(-2.0, 0.0, 21), [1.0, 2.0, 3.0, 4.0]]).tolist()),
}


def _field(beta: Array | float) -> AttentionField:
    return AttentionField(Sphere(2), P=beta * jnp.eye(2), kernel="exp", scale=1.0)


def synchronisation(key: Key[Array, ""], size: str) -> Measured:
    """The share of random starts on the circle that come to one point, by beta of either sign."""
    s, betas = _SIZES[size], np.array(BETAS[size])
    share = np.zeros((len(s.tokens), len(betas)))
    for i, tokens in enumerate(s.tokens):
        grid = np.repeat(betas, s.starts)
        keys = jr.split(jr.fold_in(key, tokens), len(grid))

        def sample(own, tokens=tokens):
            return _field(own["beta"]), Sphere(2).random(jr.wrap_key_data(own["key"]), (tokens,))

        run = ensemble.run(
            _field(1.0), sample, each={"key": np.asarray(jr.key_data(keys)), "beta": grid},
            t1=T1, until=consensus(1e-6), rtol=1e-6, atol=1e-9, progress=False,
        )  # fmt: skip
        share[i] = run.reached.reshape(len(betas), s.starts).mean(axis=1)
    fine = np.linspace(-1.2, 0.2, 57)
    triangle = polygon(3)
    top = np.array([_top(beta, triangle) for beta in fine])
    formula = np.exp(-fine / 2) * (-1 / 2 - 3 * fine / 4)
    root = float(np.interp(0.0, top, fine))
    above, between, below = betas >= PROVED, (betas < PROVED) & (betas > FAILS), betas < FAILS
    threes = np.array([n % 3 == 0 for n in s.tokens])
    claims = (
        GalleryClaim(
            f"{PAPER}, abstract",
            "beta >= -0.16: almost every start comes to one point",
            f"{s.starts} starts at each of {above.sum()} beta, {', '.join(map(str, s.tokens))} tokens: "
            f"{100 * share[:, above].min():.1f} % at least",
            bool(share[:, above].min() == 1.0),
        ),
        GalleryClaim(
            f"{PAPER}, abstract",
            "beta < -2/3: not so; three equal clusters a third of a turn apart are stable",
            f"leading rate of the triangle changes sign at beta = {root:.4f}; starts that do not come to one point: "
            f"up to {100 * (1 - share[threes][:, below].min()):.0f} % (beta = {betas[0]:g} to {betas[below][-1]:g})",
            bool(abs(root - FAILS) < 1e-3 and share[threes][:, below].min() < 1.0),
        ),
        GalleryClaim(
            "the gap between them",
            "-2/3 < beta < -0.16 is left open by the paper (proved for 3 to 8 tokens by this library's certify)",
            f"{s.starts} starts at each of {between.sum()} beta: {100 * share[:, between].min():.1f} % at least",
            bool(share[:, between].min() == 1.0),
        ),
        GalleryClaim(
            "of the triangle",
            "its two rates off the turn are -e^(-beta/2) (-1/2 - 3 beta/4)",
            f"largest difference {worst(top + formula):.1e}",
            worst(top + formula) < 1e-9,
        ),
    )
    arrays = {
        "beta": betas, "tokens": np.array(s.tokens), "share": share, "fine": fine, "triangle": top,
    }  # fmt: skip
    return Measured(arrays, claims)


def _top(beta: float, triangle: Array) -> float:
    """The rate of the triangle that is not of turning all tokens at once."""
    values = np.real(np.asarray(spectrum(_field(beta), 0.0, triangle).eigenvalues))
    return float(np.delete(values, np.argmin(np.abs(values))).max())


def draw_synchronisation(data: Measured) -> Figure:
    """The share by beta, and the triangle's rate."""
    figure, (left, right) = panels(2, "Synchronisation on the circle", width=4.8)
    left.axvspan(FAILS, PROVED, color="#efe3d3", label="left open")
    for k, tokens in enumerate(data["tokens"]):
        left.plot(
            data["beta"],
            data["share"][k],
            "o-",
            color=PALETTE[k],
            markersize=4,
            label=f"{tokens} tokens",
        )
    label(left, r"$\beta$", "share that comes to one point")
    left.set(ylim=(-0.03, 1.05), xlim=(data["beta"][0] - 0.05, 1.05))
    legend(left, loc="lower right")
    right.axhline(0, color=GREY, linewidth=0.8)
    right.axvspan(FAILS, PROVED, color="#efe3d3")
    right.plot(data["fine"], data["triangle"], color=PALETTE[4])
    label(right, r"$\beta$", "rate", "leading rate of the triangle")
    right.set_xlim(data["fine"][0], data["fine"][-1])
    return figure
