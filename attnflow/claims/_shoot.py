"""Starts on a set of measure zero: those that an unstable equilibrium draws in."""

from typing import Any

import diffrax
import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..flow import simulate
from ..model import AttentionField
from ..theory import equilibrium, spectrum
from ._claim import Claim, check_candidate
from ._conclusions import Margin
from ._evidence import LEAST, Evidence

_CLOSE = 1e-4  # radians: how near the equilibrium such a start has to come
_ASIDE = 1e-5  # how far beside it its neighbours start
_FAR = 0.1  # radians, about: when a token has left
_TIME, _EACH = 60, 10  # units of time, and points in each


def verify_null(claim: Claim, field: AttentionField, y0: Float[Array, "tokens dim"]) -> Evidence:
    """What a start on a null set is worth.

    It has to lie in the domain, come close to an unstable equilibrium that violates the claim, in a
    run at tight tolerance, and be alone: starts beside it do not violate it. Those on its two sides leave
    the equilibrium on two sides, so that one between them does not leave; and all between are in the domain.
    """
    check_candidate(claim, field)
    y0 = field.manifold.check_rows("y0", y0)
    outside = claim.outside(field, y0)
    if outside:
        return Evidence("outside the domain", "; ".join(str(h) for h in outside))

    # === how close it comes
    measured = Margin(field, claim.conclusion)
    unit = 1 / (field.heads * float(field.scale))
    time = _TIME * unit
    ts = jnp.linspace(0.0, time, _TIME * _EACH + 1)

    def followed(y):
        return simulate(
            field, y, t1=time, ts=ts, rtol=1e-13, atol=1e-14, solver=diffrax.Dopri8(),
            observe={"y": _tokens, "v": Fastest(field)}, throw=False,
        )  # fmt: skip

    run = followed(y0)
    slowest = int(np.nanargmin(np.asarray(run.ys["v"])))
    fixed = equilibrium(field, run.ys["y"][slowest], throw=False)
    seen: dict[str, Any] = {
        "time": float(ts[slowest]),
        "after": run.ys["y"][_EACH],
        "equilibrium": fixed.y,
        "moved": fixed.moved,
        "speed": fixed.speed,
        "margin": float(measured(jnp.zeros(()), fixed.y)),
    }
    if not fixed.converged or fixed.moved > _CLOSE:
        return Evidence("undecided", f"it comes no closer than {fixed.moved:.2g}", **seen)
    if seen["margin"] < LEAST:
        why = f"the equilibrium it comes to has the margin {seen['margin']:.2g}"
        return Evidence("transient", why, **seen)

    # === unstable, and alone
    local = spectrum(field, 0.0, fixed.y)
    seen |= {"rightmost": float(np.real(local.outside[0])), "error": local.margin}
    seen["family"] = local.family
    aside = field.manifold.to_tangent(y0, jnp.roll(y0, 1, axis=1))[-1]
    beside = [field.manifold.project(y0.at[-1].add(d * _ASIDE * aside)) for d in (1, -1)]
    others = [simulate(field, y, t1=4 * time, observe=measured, throw=False).ys[0] for y in beside]
    seen["other"] = other = float(max(others))
    if local.verdict != "unstable" or not other < LEAST:
        return Evidence("undecided", "starts beside it do the same", **seen)
    if not all(claim.outside(field, y0.at[-1].set(y[-1])) == [] for y in beside) or _near(y0):
        return Evidence("undecided", "the domain ends between it and a start beside it", **seen)
    one, two = (_leaves(np.asarray(followed(y).ys["y"]), np.asarray(fixed.y)) for y in beside)
    if one is None or two is None or not np.dot(one, two) < 0:
        return Evidence("undecided", "starts on its two sides leave on one side", **seen)
    why = (
        f"it comes within {fixed.moved:.1g} of an unstable equilibrium, margin {seen['margin']:.4g}; "
        f"starts {_ASIDE:g} beside it end at the margin {other:.1g}"
    )
    return Evidence("null set", why, **seen)


def _near(y0: Float[Array, "tokens dim"]) -> bool:
    """Whether the last token is as close to another, or to its antipode, as its neighbours are to it."""
    x = np.asarray(y0, np.float64)
    x = x / np.linalg.norm(x, axis=1, keepdims=True)
    return bool(np.abs(x[:-1] @ x[-1]).max() > np.cos(10 * _ASIDE))


def _leaves(path: np.ndarray, y: np.ndarray) -> np.ndarray | None:
    """Where the last token goes from its place in `y`, after it came closest to that; `None`: it stays."""
    away = path[:, -1] - y[-1]
    size = np.linalg.norm(away, axis=1)
    closest = int(np.nanargmin(size))
    far = np.flatnonzero(size[closest:] > _FAR)
    return None if not len(far) else away[closest + far[0]]


def _tokens(t, y):
    return y


class Fastest(eqx.Module):
    """The largest entry of the field, as an observer that does not change from run to run."""

    field: AttentionField

    def __call__(self, t, y):
        return jnp.max(jnp.abs(self.field(t, y)))
