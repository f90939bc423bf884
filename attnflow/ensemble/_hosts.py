"""Several hosts: which trajectories are whose, and their results brought together."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ._result import Records


def share_of(number: int, index: int, count: int) -> tuple[int, int]:
    """The first trajectory of process `index` among `count`, and how many it has."""
    if number < count:
        raise ValueError(
            f"`starts` must be at least as many as there are processes; got {number} trajectories "
            f"and {count} processes."
        )
    each, more = divmod(number, count)
    return index * each + min(index, more), each + (index < more)


def gather(records: Records) -> Records:
    """The records of all processes together, in the order of starts, on every process.

    **Arguments:**

    - `records`: `result.records` of this process. With one process they are returned as they are.

    ```python
    jax.distributed.initialize()
    result = af.ensemble.run(field, sample, number=10**6, key=key, t1=20.0, observe=af.misalignment)
    everything = af.ensemble.gather(result.records)          # 10^6 of them, on each process
    ```
    """
    if jax.process_count() == 1:
        return records
    from jax.experimental import multihost_utils

    tree = {name: getattr(records, name) for name in _EACH}
    counts = multihost_utils.process_allgather(jnp.asarray(len(records)))
    most = int(np.max(counts))

    def together(array: np.ndarray) -> np.ndarray:
        # Processes exchange arrays of one length.
        padded = np.concatenate([array, np.repeat(array[-1:], most - len(array), axis=0)])
        parts = multihost_utils.process_allgather(jnp.asarray(padded))
        return np.concatenate([part[:n] for part, n in zip(np.asarray(parts), counts, strict=True)])

    gathered: dict[str, Any] = jax.tree.map(together, tree)
    return Records(ts=records.ts, **gathered)


_EACH = ("number", "ys", "saved", "t1", "outcome", "event", "stats")
