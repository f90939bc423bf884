"""A store's results as one file for other programs: netCDF, or a table in Parquet."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from ..records import atomic_write
from ..records.folders import Address
from ._dataset import from_shards
from ._pack import unpack
from ._plan import Plan
from ._store import Store


def export(store: Address, path: str | os.PathLike[str]) -> Path:
    """Write what a store holds as one file: `.nc` (netCDF) or `.parquet` (a table).

    The table has a row for each trajectory and time that is there, columns for axes, trial, time and
    each variable. What is missing is left out of it, and NaN (or -1, or outcome 0) in netCDF, which is
    refused for a large grid of which hardly anything is there.

    **Arguments:**

    - `store`: its folder or address; it need not be complete.
    - `path`: the file; its ending says the format. An older one is replaced.

    **Raises:**

    `ValueError` for another ending, a package that is not installed, no store, or a damaged one;
    `OSError` when the file cannot be written.
    """
    path = Path(path)
    write = {".nc": _write_netcdf, ".parquet": _write_parquet}.get(path.suffix)
    if write is None:
        raise ValueError(f"`path` must end in .nc or .parquet; got {os.fspath(path)!r}.")
    home = Store(store)
    plan = home.plan()
    write(home, plan, path)
    return path


def _write_netcdf(home: Store, plan: Plan, path: Path) -> None:
    _need("netCDF4", "netCDF files", "netcdf")
    data = from_shards(home, plan)
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder) / "data.nc"
        data.to_netcdf(written, engine="netcdf4")
        with atomic_write(path) as file, open(written, "rb") as source:
            shutil.copyfileobj(source, file)


def _write_parquet(home: Store, plan: Plan, path: Path) -> None:
    _need("pyarrow", "Parquet files", "parquet")
    import pyarrow as pa
    import pyarrow.parquet as pq

    tables = _tables(home, plan)
    first = next(tables, None)
    if first is None:
        raise ValueError(f"`{home.address}` holds no shard yet; there is nothing to export.")
    with atomic_write(path) as file:
        schema = pa.table(first).schema
        with pq.ParquetWriter(file, schema) as writer:
            writer.write_table(pa.table(first, schema=schema))
            for table in tables:
                writer.write_table(pa.table(table, schema=schema))


def _tables(home: Store, plan: Plan) -> Iterator[dict[str, np.ndarray]]:
    for _, file in home.present(plan):
        data = unpack(home.read(file)).load()
        count, times = data.sizes["trajectory"], data.sizes.get("time", 1)
        columns = {}
        for name in (*plan.study.axes, "trial"):
            columns[name] = np.repeat(data[name].values, times)
        if "time" in data.sizes:
            columns["time"] = np.tile(data["time"].values, count)
        for name, array in data.data_vars.items():
            values = array.values
            columns[str(name)] = values.ravel() if values.ndim == 2 else np.repeat(values, times)
        yield columns


def _need(package: str, what: str, extra: str) -> None:
    if find_spec(package) is None:
        raise ValueError(
            f"{what} need {package}, which is not installed: pip install 'attnflow[{extra}]'."
        )
