"""`clusters`: the groups that the tokens of a looped model end in."""

import jax.numpy as jnp
import numpy as np

from ..core.checks import instance
from ..observables import clusters as labels
from ._result import Looped


def clusters(looped: Looped, *, threshold: float = 0.999) -> list[list[int]]:
    r"""The sizes of the clusters of the last state, largest first, of every prompt.

    A cluster is a connected component of tokens with $\cos\angle(h_i, h_j) \ge$ `threshold`
    ([`attnflow.clusters`][]). One of all tokens is consensus; two are what bipartite consensus has.

    **Arguments:**

    - `looped`: a run with `keep="last"`.
    - `threshold`: the least cosine of neighbours, in [-1, 1].

    **Raises:**

    `ValueError` where the run did not keep its last state, or a token of it has no direction.

    ```python
    run = af.language.looped(model, ids, passes=50, keep="last")
    af.language.clusters(run)                                # [[200], [120, 80], ...]
    ```
    """
    instance("looped", looped, Looped, "what language.looped gives")
    if looped.last is None:
        raise ValueError('`looped` must have kept its last state: run looped(..., keep="last").')
    result = []
    for tokens, length in zip(looped.last, looped.lengths, strict=True):
        sizes = np.bincount(np.asarray(labels(jnp.asarray(tokens[:length]), threshold)))
        result.append(sorted((int(n) for n in sizes), reverse=True))
    return result
