"""`phase_study`: the ready phase diagram, for other numbers of tokens, dimensions and strengths."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import ArrayLike, Float
from msgspec.structs import replace

from ..core.arguments import number, numbers, shown, whole
from ._study import Study, read_study


def phase_study(
    beta: Sequence[float] | Float[ArrayLike, " betas"],
    *,
    d: int | Sequence[int],
    tokens: int,
    t1: float,
    trials: int = 4,
    points: int = 61,
) -> Study:
    r"""The ready study `phase-diagram` over one's own $\beta$, dimensions, tokens and times.

    Full attention on the sphere, $P = \beta I$, $U = I$, rows that sum to one, random starts: how many pairs of
    tokens are together by time t. It is run by [`run`][attnflow.sweep.run] and drawn by `attnflow.plot.phase_diagram`;
    under a model's heads by `attnflow.plot.phase_place`.

    **Arguments:**

    - `beta`: two values or more, that increase; negative ones drive tokens apart.
    - `d`: the dimension, or several.
    - `tokens`: how many.
    - `t1`: the last time.
    - `trials`: random starts of each point, the same for every $\beta$.
    - `points`: times kept, evenly spaced.

    **Raises:**

    `ValueError` on other numbers.

    ```python
    study = af.sweep.phase_study([0.5, 1.0, 2.0, 4.0], d=64, tokens=16, t1=10.0)
    ```
    """
    values = numbers("beta", beta)
    if values.ndim != 1 or len(values) < 2 or not (np.diff(values) > 0).all():
        raise ValueError(f"`beta` must be two increasing numbers or more; got {shown(beta)}.")
    dims = [whole("d", n) for n in (d if isinstance(d, list | tuple) else [d])]
    ready = read_study("phase-diagram")
    count = whole("tokens", tokens)
    return replace(
        ready,
        title=f"Phase diagram: pairs of {count} tokens with a cosine of .999, by beta and time",
        trials=whole("trials", trials),
        grid={"d": dims, "beta": values.tolist()},
        tokens={**ready.tokens, "count": count},
        time={"t1": number("t1", t1, above=0.0), "points": whole("points", points)},
    )
