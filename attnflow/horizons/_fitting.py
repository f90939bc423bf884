"""Which fields, distances and ends fit a long run: those for which a merged token is exact."""

import math

import jax
import numpy as np
from jaxtyping import ArrayLike, Float

from ..core.checks import instance, number
from ..model import AttentionField
from ..theorems import conditions as given
from ._tree import Tree

_LEAST = 1e-13  # no distance below this is more than rounding


def distances(
    tree: Tree, beta: float, merge: float | None, near: float | None
) -> tuple[float, float]:
    """The merge distance and that of clusters that count as one, below all of the tokens' own."""
    least = float(tree.chords().min(initial=np.inf))
    least = 2.0 if math.isinf(least) else least
    if merge is not None and not _LEAST <= number("merge", merge, above=0.0) < least:
        raise ValueError(
            f"`merge` must be from {_LEAST} to below the smallest distance of tokens, {least:.3g}; "
            f"got {merge}."
        )
    if near is None:
        near = max(min(least / 2, beta**-0.5 if beta > 0 else least), merge or 0.0)
    elif not (merge or _LEAST) <= number("near", near, above=0.0) < least:
        raise ValueError(
            "`near` must be from the merge distance to below the smallest of tokens, "
            f"{least:.3g}; got {near}."
        )
    return max(1e-6 * near, _LEAST) if merge is None else float(merge), float(near)


_ASKED = (
    given.sphere,
    given.one_head,
    given.full,
    given.softmax_or_exp,
    given.post,
    given.moving,
    given.no_drift,
    given.positive_scale,
    given.multiple_scores,
    given.identity_values,
)


def fitting(field: AttentionField, y0: Float[ArrayLike, "tokens dim"]) -> tuple[float, float]:
    """The bias and beta of a field that a merged token obeys as well as its parts did."""
    instance("field", field, AttentionField, "an AttentionField")
    if jax.dtypes.canonicalize_dtype(np.float64) != np.float64:
        raise ValueError(
            "`long_run` computes in float64; call jax.config.update('jax_enable_x64', True)."
        )
    for h in given.checked(field, y0, _ASKED):
        if h.holds is not True:
            raise ValueError(
                "`field` does not fit a long run, whose merged tokens have to move as their parts did: "
                f"{h.name} is needed; {h.says}."
            )
    bias = field.mask.bias()
    values = np.zeros(1) if bias is None else np.asarray(bias, np.float64)
    if np.ptp(values) > 0:
        raise ValueError(
            "`field` must have a bias that is one number for all pairs here; "
            f"got {values.min():.6g} to {values.max():.6g}."
        )
    beta = float(np.asarray(field.P(0.0)).reshape(-1, field.dim, field.dim)[0, 0, 0])
    if beta < 0:
        raise ValueError(f"`field` must attract, P = beta I with beta >= 0; got beta = {beta:.6g}.")
    return float(values.flat[0]), beta
