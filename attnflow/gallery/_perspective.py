"""Phase diagrams of "A mathematical perspective on Transformers", arXiv:2312.10794."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Key
from matplotlib.figure import Figure

from .. import ensemble
from ..closed_forms import equiangular_cosine, equiangular_time
from ..flow import iterate, simulate
from ..geometry import Sphere
from ..model import AttentionField, AttentionLayers
from ..observables import AlignedPairs, Energy
from ._claims import GalleryClaim, Measured, worst
from ._style import ORANGE, heat, label, legend, panels

PAPER = "2312.10794"
ALIGNED = 0.999  # cosine from which two tokens count as one, in the paper's diagrams
TOKENS, T1, BETAS = 32, 30.0, (0.1, 9.0)
STEP = 0.1  # of the first-order steps in the authors' published script


class _Size(NamedTuple):
    betas: int
    times: int
    trials: int
    dims: tuple[int, ...]
    tokens: int


_SIZES = {
    "tiny": _Size(3, 16, 2, (2, 32), 8),
    "small": _Size(10, 41, 4, (2, 8, 32, 128), TOKENS),
    "full": _Size(45, 200, 16, (2, 8, 32, 128), TOKENS),
}


def _mean_cosine(y: Float[Array, "tokens dim"]) -> Float[Array, ""]:
    tokens = y.shape[0]
    total = jnp.sum(jnp.sum(y, axis=0) ** 2) - jnp.sum(y**2)
    return total / (tokens * (tokens - 1))


def _identity(beta: Array | float, dim: int) -> AttentionField:
    return AttentionField(Sphere(dim), P=beta * jnp.eye(dim), scale=1.0)


def _simplex_start(tokens: int) -> Float[Array, "tokens dim"]:
    return jnp.eye(tokens)


def phase_identity(key: Key[Array, ""], size: str) -> Measured:
    """The share of pairs of tokens with cosine above 0.999, by time and beta, for Q = K = V = I."""
    s = _SIZES[size]
    betas, ts = np.linspace(*BETAS, s.betas), np.linspace(0.0, T1, s.times)
    grid = np.repeat(betas, s.trials)
    shares, cosines = [], []
    for k, dim in enumerate(s.dims):
        keys = jr.split(jr.fold_in(key, k), len(grid))

        def sample(own, dim=dim):
            y0 = Sphere(dim).random(jr.wrap_key_data(own["key"]), (s.tokens,))
            return _identity(own["beta"], dim), y0

        run = ensemble.run(
            _identity(1.0, dim),
            sample,
            each={"key": np.asarray(jr.key_data(keys)), "beta": grid},
            t1=T1,
            ts=ts,
            observe={"share": AlignedPairs(ALIGNED), "cosine": _mean_cosine},
            rtol=1e-7,
            atol=1e-9,
            progress=False,
        )
        shape = (s.betas, s.trials, s.times)
        shares.append(run.ys["share"].reshape(shape).mean(axis=1))
        cosines.append(run.ys["cosine"].reshape(shape).mean(axis=1))
    curve = equiangular_cosine(ts[None, :], betas[:, None], s.tokens)
    orthonormal = _orthonormal(betas, ts, s.tokens)
    crossing = equiangular_time(ALIGNED, betas, s.tokens)
    stepped = _stepped(betas, float(crossing.max()), s.tokens)
    gap = [float(np.abs(c - curve).max(axis=1).mean()) for c in cosines]
    late = stepped / crossing - 1
    claims = (
        GalleryClaim(
            f"{PAPER}, thm on orthogonal starts",
            "from orthonormal tokens all cosines stay equal and follow the scalar equation of gamma_beta",
            f"{s.tokens} tokens, {s.betas} beta: largest difference {worst(orthonormal - curve):.1e}",
            worst(orthonormal - curve) < 1e-7,
        ),
        GalleryClaim(
            f"{PAPER}, high dimension",
            "random tokens follow the same curve the better, the larger d is",
            "mean over beta of the largest distance of the mean cosine from gamma_beta: "
            + ", ".join(f"{g:.3f} (d = {d})" for g, d in zip(gap, s.dims, strict=True)),
            bool(np.all(np.diff(gap) < 0)),
        ),
        GalleryClaim(
            f"{PAPER}, the published script",
            "the transition of the diagram lies where gamma_beta(t) = 0.999",
            f"first-order steps of {STEP}, as in that script, cross {100 * late.min():.1f} to "
            f"{100 * late.max():.1f} % late; solved, at the curve to 1e-9",
            bool(late.min() > 0.01),
            contradicts=f"crossing times that first-order steps of {STEP} give",
        ),
    )
    arrays = {
        "beta": betas, "ts": ts, "dims": np.array(s.dims), "share": np.stack(shares),
        "cosine": np.stack(cosines), "gamma": curve, "crossing": crossing, "stepped": stepped,
        "orthonormal": orthonormal,
    }  # fmt: skip
    return Measured(arrays, claims)


def _orthonormal(betas: np.ndarray, ts: np.ndarray, tokens: int) -> np.ndarray:
    """The mean cosine along solved runs from orthonormal tokens."""

    @jax.jit
    def one(beta):
        run = simulate(
            _identity(beta, tokens), _simplex_start(tokens), t1=T1, ts=jnp.asarray(ts),
            observe=_mean_cosine, rtol=1e-10, atol=1e-12,
        )  # fmt: skip
        return run.ys

    return np.stack([np.asarray(one(beta)) for beta in betas])


def _stepped(betas: np.ndarray, last: float, tokens: int) -> np.ndarray:
    """When first-order steps take the cosine of orthonormal tokens over the threshold, between steps by a line."""
    depth = int(1.3 * last / STEP) + 2

    @jax.jit
    def one(beta):
        layers = AttentionLayers(_identity(beta, tokens), step=STEP)
        return iterate(layers, _simplex_start(tokens), depth=depth, observe=_mean_cosine).ys

    out = []
    for beta in betas:
        gap = np.log(np.maximum(1 - np.asarray(one(beta)), 1e-14))
        k = int(np.argmax(gap <= np.log(1 - ALIGNED)))
        part = (gap[k - 1] - np.log(1 - ALIGNED)) / (gap[k - 1] - gap[k])
        out.append(STEP * (k - 1 + part))
    return np.array(out)


def draw_phase_identity(data: Measured) -> Figure:
    """One map a dimension, under the curve of orthonormal tokens."""
    dims = data["dims"]
    figure, axes = panels(
        len(dims), "Share of pairs with cosine > 0.999 (Q = K = V = I)", width=3.2
    )
    for k, (ax, dim) in enumerate(zip(axes, dims, strict=True)):
        image = heat(ax, data["ts"], data["beta"], data["share"][k])
        ax.plot(data["crossing"], data["beta"], color=ORANGE, label=r"$\gamma_\beta(t) = 0.999$")
        ax.plot(
            data["stepped"],
            data["beta"],
            color=ORANGE,
            linestyle=":",
            label="first-order steps 0.1",
        )
        label(ax, "t", r"$\beta$" if k == 0 else "", f"d = {dim}")
        ax.set(xlim=(0, data["ts"][-1]), ylim=(data["beta"][0], data["beta"][-1]))
    legend(axes[-1], "upper left", colour="white")
    figure.colorbar(image, ax=axes, fraction=0.03)  # pyright: ignore[reportArgumentType, reportPossiblyUnboundVariable]
    return figure


# === other matrices


class _Matrices(NamedTuple):
    name: str
    shown: str
    symmetric: bool
    sign: int  # of U in terms of P; 0 for the identity


_KINDS = (
    _Matrices("gaussian", "KQ Gaussian, V = I", False, 0),
    _Matrices("goe", "KQ of GOE, V = I", True, 0),
    _Matrices("ascent", "KQ of GOE, V = +KQ", True, 1),
    _Matrices("descent", "KQ of GOE, V = -KQ", True, -1),
)
_DIM = {"tiny": 8, "small": 16, "full": 32}
_TRIALS = {"tiny": 3, "small": 5, "full": 16}


class _Quotient(eqx.Module):
    """The mean of y'Vy over tokens: the largest eigenvalue of V where all lie on the axis of its eigenvector."""

    field: AttentionField

    def __call__(self, t: Array, y: Float[Array, "tokens dim"]) -> Float[Array, ""]:
        assert self.field.U is not None
        return jnp.mean(jnp.sum(y * self.field.U.apply(t, y), axis=1))


def _drawn(key: Array, kind: _Matrices, dim: int) -> tuple[Array, Array]:
    """KQ and V as the paper draws them: entries of variance one, V of order one."""
    first, second = jr.split(key)
    G = jr.normal(first, (dim, dim))
    B = (G + G.T) / jnp.sqrt(2.0)
    if not kind.symmetric:
        B = G @ jr.normal(second, (dim, dim)) / jnp.sqrt(float(dim))
    V = jnp.eye(dim) if kind.sign == 0 else kind.sign * B / jnp.sqrt(dim + 1.0)
    return B, V


def _largest(keys: Array, kind: _Matrices, dim: int) -> np.ndarray:
    """The largest eigenvalue of the symmetric part of each run's V."""

    def one(key):
        V = _drawn(jr.split(key)[1], kind, dim)[1]
        return jnp.linalg.eigvalsh((V + V.T) / 2)[-1]

    return np.asarray(jax.jit(jax.vmap(one))(keys))


def phase_matrices(key: Key[Array, ""], size: str) -> Measured:
    """The same share for random matrices: KQ Gaussian and of the GOE with V = I, and V = KQ, V = -KQ."""
    s, dim, trials = _SIZES[size], _DIM[size], _TRIALS[size]
    tokens = dim  # so many lie in an open hemisphere almost surely (Wendel)
    betas, ts = np.linspace(*BETAS, s.betas), np.linspace(0.0, T1, s.times)
    grid = np.repeat(betas, trials)
    shares, energies, quotients = {}, {}, {}
    for k, kind in enumerate(_KINDS):
        keys = jr.split(jr.fold_in(key, k), len(grid))

        def sample(own, kind=kind):
            start, matrices = jr.split(jr.wrap_key_data(own["key"]))
            B, V = _drawn(matrices, kind, dim)
            field = AttentionField(Sphere(dim), P=own["beta"] * B, U=V, scale=1.0)
            return field, Sphere(dim).random(start, (tokens,))

        run = ensemble.run(
            AttentionField(Sphere(dim), P=jnp.eye(dim), U=jnp.eye(dim), scale=1.0),
            sample,
            each={"key": np.asarray(jr.key_data(keys)), "beta": grid},
            t1=T1,
            ts=ts,
            observe={
                "share": AlignedPairs(ALIGNED),
                "energy": ensemble.OfField(Energy),
                "onto": ensemble.OfField(_Quotient),
            },
            rtol=1e-7,
            atol=1e-9,
            progress=False,
        )
        shares[kind.name] = run.ys["share"].reshape(s.betas, trials, s.times).mean(axis=1)
        energies[kind.name] = np.log(np.abs(run.ys["energy"]))
        top = _largest(keys, kind, dim)
        quotients[kind.name] = (run.ys["onto"] / top[:, None]).mean(axis=0)
    up = np.diff(energies["ascent"], axis=1)
    # E = (1/2 b l^2) sum exp(y'Py) with b negative where U = -KQ: its size falls.
    down = np.diff(energies["descent"], axis=1)
    onto = quotients["descent"]
    ends = {name: share[:, -1] for name, share in shares.items()}
    low = betas < 0.5
    claims = (
        GalleryClaim(
            f"{PAPER}, gradient flow",
            "V = KQ symmetric: the flow climbs the interaction energy sum_ij exp(beta x_i'KQ x_j)",
            f"{up.shape[0]} runs: its logarithm changes by at least {up.min():.1e} between saves, "
            f"and grows by up to {up.sum(axis=1).max():.1f}",
            bool(up.min() > -1e-6),
        ),
        GalleryClaim(
            f"{PAPER}, gradient flow",
            "V = -KQ symmetric: it descends that energy",
            f"{down.shape[0]} runs: its logarithm changes by at most {down.max():.1e} between saves, "
            f"and falls by up to {-down.sum(axis=1).min():.1f}",
            bool(down.max() < 1e-6),
        ),
        GalleryClaim(
            f"{PAPER}, lemma on hemispheres",
            "V = I, any Q and K: tokens that start in an open hemisphere come to one point",
            f"{tokens} tokens in R^{dim}, share of aligned pairs at t = {T1:g} for beta = 0.1 (others need longer): "
            f"Gaussian {ends['gaussian'][low].min():.3f}, GOE {ends['goe'][low].min():.3f} at least",
            bool(min(ends["gaussian"][low].min(), ends["goe"][low].min()) > 0.99),
        ),
        GalleryClaim(
            "of that descent",
            "V = -KQ: tokens come to one point, on the axis of KQ's least eigenvalue",
            f"mean of x_i'Vx_i over the largest eigenvalue of V: {onto[0]:+.2f} at t = 0, {onto[-1]:.4f} "
            f"at t = {T1:g}; share of aligned pairs {ends['descent'].mean():.3f}",
            bool(onto[-1] > 0.99 and ends["descent"].min() > 0.99),
        ),
    )
    arrays = {"beta": betas, "ts": ts}
    arrays |= {f"share_{name}": share for name, share in shares.items()}
    arrays |= {f"onto_{name}": value for name, value in quotients.items()}
    arrays |= {
        "energy_ascent": energies["ascent"].reshape(s.betas, trials, s.times)[:, 0],
        "energy_descent": energies["descent"].reshape(s.betas, trials, s.times)[:, 0],
    }
    return Measured(arrays, claims)


def draw_phase_matrices(data: Measured) -> Figure:
    """One map a kind of matrices."""
    figure, axes = panels(4, "Share of pairs with cosine > 0.999, random matrices", width=3.2)
    for k, (ax, kind) in enumerate(zip(axes, _KINDS, strict=True)):
        image = heat(ax, data["ts"], data["beta"], data[f"share_{kind.name}"])
        label(ax, "t", r"$\beta$" if k == 0 else "", kind.shown)
    figure.colorbar(image, ax=axes, fraction=0.03)  # pyright: ignore[reportArgumentType, reportPossiblyUnboundVariable]
    return figure
