"""`open`: a store as one lazy dataset, complete or not."""

import xarray as xr

from ..records.folders import Address
from ._compact import read_compact
from ._dataset import from_shards
from ._store import Store


def open(store: Address) -> xr.Dataset:
    """The results of a sweep as a dataset that reads what is asked for, when it is asked for.

    Dimensions are the axes of the grid, `trial`, and `time` where times were asked for. What is not
    there yet is missing: NaN, -1 for counts, 0 for `outcome`. It may be opened while the sweep runs;
    what is there then is what is seen. `.chunk()` makes it a dataset of dask's. A grid may be of any size: to
    read a large part of it of which hardly anything is there is refused.

    **Arguments:**

    - `store`: its folder or address.

    **Returns:**

    An `xarray.Dataset`: the observables; `ended` (when a trajectory ended), `outcome` (how:
    `flag_meanings` of its attributes, and [`Outcome`][attnflow.ensemble.Outcome]), `steps`. The study
    and the versions are in its attributes.

    **Raises:**

    `ValueError` where there is no store; the same, naming the file, when something is read that is
    not what was written.

    ```python
    data = af.sweep.open("store")
    data["misalignment"].sel(beta=2.0).mean("trial")
    ```
    """
    home = Store(store)
    plan = home.plan()
    whole = read_compact(home, plan)
    return from_shards(home, plan) if whole is None else whole
