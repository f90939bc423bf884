"""One trajectory of a study again: its field, its start, and how it was run."""

from typing import Any

import jax

from ..model import AttentionField
from ._axes import canonical
from ._blocks import blocks
from ._shard import run_options, trajectory as draw, wide
from ._study import Spec, as_study


def trajectory(
    spec: Spec, coordinates: dict[str, Any] | None = None, *, trial: int = 0
) -> tuple[AttentionField, jax.Array, dict[str, Any]]:
    """Field, start and options of one trajectory of a study, to look at it more closely.

    **Arguments:**

    - `spec`: as in [`run`][attnflow.sweep.run].
    - `coordinates`: a value for each axis.
    - `trial`: which start.

    **Returns:**

    `(field, y0, options)`, for `af.simulate(field, y0, **options)`. 64 bits must be on for a study in
    float64.

    **Raises:**

    `ValueError` for a point or trial that the study does not have.

    ```python
    field, y0, options = af.sweep.trajectory("phase-diagram", {"d": 2, "beta": 9.0}, trial=17)
    af.simulate(field, y0, **options)
    ```
    """
    study = as_study(spec)
    axes, coordinates = study.axes, coordinates or {}
    if set(coordinates) != set(axes):
        raise ValueError(
            f"`coordinates` must give {', '.join(axes) or 'nothing'}; got {coordinates}."
        )
    if isinstance(trial, bool) or not 0 <= trial < study.trials:
        raise ValueError(f"`trial` must be 0 to {study.trials - 1}; got {trial!r}.")
    single = {}
    for name, axis in axes.items():
        known = [canonical(c) for c in axis.coordinates]
        # Numbers as NumPy gives them are fine.
        coordinate = getattr(coordinates[name], "item", lambda name=name: coordinates[name])()
        if canonical(coordinate) not in known:
            raise ValueError(
                f"`coordinates` has {name} = {coordinate!r}, which is not on that axis."
            )
        single[name] = known.index(canonical(coordinate))
    for block in blocks(study, None, 0):
        place = block.find(tuple(single.values()))
        if place is not None:
            with wide():
                field, start, *noise = draw(block, place, trial)
                options = run_options(block)
            return field, start, options | ({"noise": noise[0]} if noise else {})
    raise AssertionError(coordinates)
