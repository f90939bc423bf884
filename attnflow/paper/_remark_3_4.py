"""Remark 3.4: how often random tokens share a hemisphere, and the remark's off-by-one."""

import math

import jax
import jax.random as jr
import numpy as np
from jaxtyping import Array, Key

from ..geometry import Sphere, hemisphere_margin
from ..theory import wendel
from ._claims import FigureData, PaperClaim

CASES = ((2, 2), (10, 3), (12, 5))  # tokens, dimension
TRIALS = 4000


@jax.jit
def _held(y):
    return jax.vmap(lambda y: hemisphere_margin(y)[0] > 0)(y)


def remark_3_4(key: Key[Array, ""], *, trials: int = TRIALS) -> FigureData:
    """Remark 3.4 by Monte Carlo: random tokens, each set tested by [`hemisphere_margin`][].

    **Arguments:**

    - `key`: of the tokens.
    - `trials`: how many sets for each number of tokens and dimension.

    **Returns:**

    `tokens`, `dim`, `frequency`, `error` (one standard deviation), `wendel` and `printed`: the sum as
    the remark prints it; all of shape (cases,).
    """
    rows, claims = [], []
    for case, (tokens, dim) in enumerate(CASES):
        y = Sphere(dim).random(jr.fold_in(key, case), (trials, tokens))
        frequency = float(np.mean(_held(y)))
        right, printed = wendel(tokens, dim), wendel(tokens, dim - 1)
        error = math.sqrt(right * (1 - right) / trials)
        rows.append((tokens, dim, frequency, error, right, printed))
        agrees = abs(frequency - right) <= 4 * error
        claims.append(
            PaperClaim(
                2,
                f"Rem. 3.4, erratum: {tokens} tokens on S^{dim - 1} share a hemisphere with "
                f"probability {printed:.4g} as printed (sum to n-1); Wendel: {right:.4g} (to n)",
                f"{frequency:.4f} +- {error:.4f} in {trials} draws: the printed sum is "
                f"{'one term short' if agrees else 'not the matter'}",
                agrees and abs(frequency - printed) > 4 * error,
            )
        )
    names = ("tokens", "dim", "frequency", "error", "wendel", "printed")
    columns = zip(*rows, strict=True)
    return FigureData(
        {name: np.array(c) for name, c in zip(names, columns, strict=True)}, tuple(claims)
    )
