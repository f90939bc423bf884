"""What the figures share: the observers of a run on S², measured on a fine grid of times."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from ..flow import simulate
from ..geometry import hemisphere_margin
from ..model import AttentionField
from ..observables import Residual, lyapunov_each, misalignment
from ._claims import PaperClaim

TOKENS = 10


def run(
    field: AttentionField,
    y0: Float[Array, "tokens 3"],
    v: Float[Array, " 3"],
    *,
    t1: float,
    saves: int,
) -> dict[str, np.ndarray]:
    """A run on S² with what the claims need: tokens, each `1 - v·y_i`, E, and the residual."""
    ts = jnp.linspace(0.0, t1, saves)
    sol = simulate(field, y0, t1=t1, ts=ts, observe=_tokens)
    ys = sol.ys
    measured = _measure(field, ys, v)
    return {"ts": np.asarray(ts), "ys": np.asarray(ys), "v": np.asarray(v)} | {
        name: np.asarray(value) for name, value in measured.items()
    }


def _tokens(y):
    return y


@jax.jit
def _measure(field: AttentionField, ys: Array, v: Array) -> dict[str, Any]:
    residual = Residual(field.manifold)
    return {
        "V_each": jax.vmap(lambda y: lyapunov_each(y, v))(ys),
        "E": jax.vmap(misalignment)(ys),
        "height": jax.vmap(lambda y: jnp.min(y @ v))(ys),
        "residual": jax.vmap(lambda y: residual(jnp.zeros(()), y))(ys),
        "margin": hemisphere_margin(ys[0])[0],
    }


def start(field: AttentionField, key: Key[Array, ""], v: Float[Array, " 3"]) -> Array:
    """Random tokens in the open hemisphere of `v`."""
    return field.manifold.random_hemisphere(key, (TOKENS,), v=v)


def stays_on_sphere(figure: int, residual: np.ndarray) -> PaperClaim:
    """The claim that tokens move on the sphere."""
    worst = float(np.max(residual))
    return PaperClaim(
        figure,
        "eq. (6): tokens stay on the sphere",
        f"largest ||y_i| - 1| = {worst:.1e}",
        worst <= 1e-12,
    )


def stays_in_hemisphere(figure: int, source: str, height: np.ndarray) -> PaperClaim:
    """The claim that the tokens start and remain in the open hemisphere of `v`."""
    return PaperClaim(
        figure,
        f"{source}: all tokens start and remain in the open hemisphere of v",
        f"least v.y_i: {height[0]:.3g} at t = 0, {np.min(height):.3g} over all times",
        bool(np.min(height) > 0),
    )


def decreases(
    figure: int, claim: str, name: str, values: np.ndarray, until: np.ndarray, ts: np.ndarray
) -> PaperClaim:
    """The claim that `values` decrease strictly between saves as long as `until` holds."""
    steps = np.diff(values)[until[:-1]]
    end = float(ts[:-1][until[:-1]][-1])
    worst = float(np.max(steps))
    return PaperClaim(
        figure,
        claim,
        f"largest change of {name} between saves {ts[1] - ts[0]:.2g} apart: {worst:.1e}, "
        f"up to t = {end:.3g}",
        worst < 0,
    )
