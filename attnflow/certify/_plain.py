"""Fields, tokens and balls as exact decimals, which is all that a certificate holds."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from ..geometry import AbstractManifold, Ellipsoid, Sphere
from ..model import AttentionField, Exponential, Post, Softmax
from ..model.demands import demand_curved
from ..schedules import AbstractSchedule, Constant

Rows = list[list[str]]


def rows_of(x: Any) -> Rows:
    """A matrix as decimals that give back its float64 entries."""
    return [[decimal(value) for value in row] for row in np.asarray(x, np.float64)]


def decimal(x: float) -> str:
    """The shortest decimal that gives back the float64 number."""
    text = repr(float(x) + 0.0)  # no -0.0
    return text.removesuffix(".0")


def plain_case(field: AttentionField, tokens: int) -> dict[str, Any]:
    """The field as a certificate has it: matrices of each head, W, who sees whom, the kernel.

    The scale is left out: where P and U are constant a positive one is a unit of time.

    **Raises:**

    - `ValueError`: a part of the field that no certificate is about.
    """
    demand_curved(field)
    fits = {
        "kernel 'softmax' or 'exp'": isinstance(field.kernel, Softmax | Exponential),
        "normalisation 'post'": isinstance(field.normalisation, Post),
        "no masses (`weights`)": field.weights is None,
        "no `frozen` tokens": field.frozen is None,
        "no `drift`": field.drift is None,
        "a mask without a bias": field.mask.bias() is None,
        "a positive `scale`": float(field.scale) > 0,
    }
    wrong = [name for name, holds in fits.items() if not holds]
    if wrong:
        raise ValueError(f"`field` must have {wrong[0]} to be certified; it has another.")
    dim, heads = field.dim, field.heads
    allowed = field.mask.allowed(tokens)
    pairs = np.ones((tokens, tokens), bool) if allowed is None else np.asarray(allowed)
    if not pairs.any(axis=-1).all():
        raise ValueError(
            "`field` must let every token attend to somebody to be certified; "
            f"token {int(np.argmin(pairs.any(axis=-1)))} may to nobody."
        )
    U = np.eye(dim) if field.U is None else _constant("U", field.U)
    return {
        "P": [rows_of(M) for M in _per_head(_constant("P", field.P), heads, dim)],
        "U": [rows_of(M) for M in _per_head(U, heads, dim)],
        "W": [rows_of(_metric(field.manifold))],
        "sees": [[int(j) for j in np.flatnonzero(row)] for row in pairs],
        "softmax": isinstance(field.kernel, Softmax),
    }


def built_field(case: dict[str, Any]) -> AttentionField:
    """The field of a certificate's numbers, in float64, with the scale 1."""
    P, U, W = (np.array(case[name], float) for name in "PUW")
    mask = np.zeros((len(case["sees"]),) * 2, bool)
    for i, sees in enumerate(case["sees"]):
        mask[i, sees] = True
    sphere = bool(np.all(W[0] == np.eye(len(W[0]))))
    return AttentionField(
        Sphere(len(W[0])) if sphere else Ellipsoid(jnp.asarray(W[0])),
        P=jnp.asarray(P),
        U=jnp.asarray(U),
        mask=jnp.asarray(mask),
        kernel="softmax" if case["softmax"] else "exp",
        scale=1.0,
    )


def _metric(manifold: AbstractManifold) -> np.ndarray:
    return np.eye(manifold.dim) if isinstance(manifold, Sphere) else np.asarray(manifold.W)


def _per_head(M: np.ndarray, heads: int, dim: int) -> np.ndarray:
    return np.broadcast_to(M.reshape(-1, dim, dim), (heads, dim, dim))


def _constant(name: str, schedule: AbstractSchedule) -> np.ndarray:
    # The numbers given, and not those of a formula, which are rounded.
    coefficient = schedule.identity_coefficient()
    given = schedule if coefficient is None else coefficient
    if isinstance(given, Constant) and given.is_constant():
        return np.asarray(schedule(jnp.zeros(())), np.float64)
    raise ValueError(
        f"`field.{name}` must be constant in time to be certified; "
        f"got a schedule of type {type(schedule).__name__}."
    )


def digits(x: Any, many: int) -> str:
    """The midpoint of a ball as a decimal of so many digits."""
    return x.mid().str(many, radius=False)
