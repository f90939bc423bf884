"""`attnflow sweep`: a study into a store, and what is in a store."""

import logging
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter
from cyclopts.types import NonNegativeInt, PositiveFloat, PositiveInt

from ..core.words import printable, printable_lines
from ._sweep_basins import basins

_HELP = """Run a grid of fields, many random starts each, into a store; an interrupted run can be continued.

A study is a TOML file: the tables of a case with "$axis" in places, a grid of axes, a number of trials. It is
cut into shards of about ten seconds, one file each; the same command continues an interrupted
run, and with more trials or axis values computes only the new ones. `attnflow.sweep.open(STORE)` gives the
results as an xarray dataset.

Example commands:

- `attnflow sweep phase-diagram --dry-run` (what it would take: nothing is written)
- `attnflow sweep phase-diagram --out phase` (again, to continue after Ctrl-C)
- `attnflow sweep mine.toml --out s3://bucket/mine --dask tcp://head:8786`
- `mpiexec -n 65 python -m mpi4py.futures -m attnflow sweep mine.toml --out /shared/mine --mpi`
- `attnflow sweep status phase --verify`
- `attnflow sweep export phase phase.nc`
- `attnflow sweep plot phase phase.png`
- `attnflow sweep show phase-diagram > mine.toml` (to start one's own from)
- `attnflow sweep basins --out basins` (where starts end against beta, tokens or noise, and what is born and dies)

Ready studies: basin, consensus-time, phase-diagram, random-values.
"""

sweep = App(name="sweep", help=_HELP)
sweep.command(basins)


@sweep.default
def run(
    spec: str,
    /,
    *,
    out: str | None = None,
    dry_run: Annotated[bool, Parameter(negative="")] = False,
    resume: bool = True,
    trials: PositiveInt | None = None,
    workers: PositiveInt | None = None,
    dask: str | None = None,
    mpi: Annotated[bool, Parameter(negative="")] = False,
    retries: NonNegativeInt = 2,
    shard_seconds: PositiveFloat = 10.0,
) -> int:
    """Run a study, or what of it is not in the store yet.

    Parameters
    ----------
    spec
        A .toml file, or a ready study: basin, consensus-time, phase-diagram, random-values.
    out
        The store: a folder, or an address such as s3://bucket/sweep.
    dry_run
        Time a few trajectories of each shape, say what the study would take, and write nothing.
    resume
        Continue a store that exists; with --no-resume an existing store is refused.
    trials
        Starts at each point (as the study says).
    workers
        Compute in so many processes on this machine, not in this one.
    dask
        Compute on the workers of the dask scheduler at this address.
    mpi
        Compute on the other ranks; start with `mpiexec -n N python -m mpi4py.futures -m attnflow`.
    retries
        How often a shard that failed is tried again.
    shard_seconds
        How long a shard should take here; fixed when the store is begun.
    """
    from ._start import start_jax

    start_jax()
    from msgspec.structs import replace

    af = _library()
    study = af.read_study(spec)
    if trials is not None:
        study = replace(study, trials=trials)
    if dry_run:
        print(printable_lines(af.estimate(study, out, shard_seconds=shard_seconds)))
        return 0
    if out is None:
        raise ValueError(
            "--out must say where the store is; --dry-run says what the study would take."
        )
    if not resume and af.Store(out).begun():
        raise ValueError(f"`{out}` holds a sweep already, and --no-resume was given.")
    try:
        with _lines(), _executor(workers, dask, mpi) as executor:
            state = af.run(study, out, executor, shard_seconds=shard_seconds, retries=retries)
    except KeyboardInterrupt:  # by now the workers of the pool have ended
        raise KeyboardInterrupt(_left(af, out)) from None
    print(printable_lines(state))
    if "://" not in out and state.trajectories_done:
        print(f"wrote {printable(_draw(af, out, Path(out) / 'overview.png'))}")
    return 0 if state.complete else 1


@sweep.command
def status(store: str, /, *, verify: Annotated[bool, Parameter(negative="")] = False) -> int:
    """Say what is in a store; a running sweep is not disturbed.

    Parameters
    ----------
    store
        The folder or address given as --out.
    verify
        Read every shard and compare its bytes with its checksum.
    """
    basins_there = _basins_in(store)
    if basins_there is not None:
        print(printable_lines(basins_there))
        return 1 if basins_there.damaged else 0
    state = _library().status(store, verify=verify)
    print(printable_lines(state))
    return 1 if state.damaged else 0


@sweep.command
def export(store: str, path: Path, /) -> None:
    """Write what a store holds as one file: netCDF (.nc) or a table in Parquet (.parquet).

    Parameters
    ----------
    store
        The folder or address given as --out; it need not be complete.
    path
        The file; its ending says the format.
    """
    print(f"wrote {printable(_library().export(store, path))}")


@sweep.command
def plot(store: str, path: Path, /) -> None:
    """Draw what a store holds: its phase diagram, or a heat map over its first two axes.

    Parameters
    ----------
    store
        The folder or address given as --out; it need not be complete.
    path
        The picture, .png.
    """
    if path.suffix != ".png":
        raise ValueError(f"the picture must end in .png; got {path}.")
    print(f"wrote {printable(_draw(_library(), store, path))}")


@sweep.command
def compact(store: str, /) -> None:
    """Put all shards of a complete store into one dataset, as `attnflow sweep` does at its end.

    Parameters
    ----------
    store
        The folder or address given as --out.
    """
    print(f"wrote {printable(_library().compact(store))}")


@sweep.command
def show(spec: str, /) -> None:
    """Print a ready study, to start one's own from.

    Parameters
    ----------
    spec
        basin, consensus-time or phase-diagram.
    """
    print(_library().text(spec), end="")


def _basins_in(store: str) -> Any:
    """What `attnflow sweep basins` has left there; `None` where it is another's store."""
    if "://" in store or not Path(store, "along.json").is_file():
        return None
    from ..attractors import stored

    return stored(store)


def _library() -> Any:
    try:
        from .. import sweep as library
    except ImportError as error:
        raise ValueError(str(error)) from error
    return library


def _draw(af: Any, store: str, path: Path) -> Path:
    from ..records import atomic_write
    from ._sweep_picture import picture

    content = picture(af.open(store))
    with atomic_write(path) as file:
        file.write(content)
    return path


def _left(af: Any, out: str) -> str:
    try:
        state = af.status(out)
        af.Store(out).clean()
    except ValueError:
        return "interrupted before the store was begun; nothing was written"
    return (
        f"interrupted: {state.shards_done} of {state.shards} shards are in {out}; the same command goes "
        "on from there"
    )


class _lines:
    """A line for each shard on standard error where no bar can be drawn."""

    def __enter__(self) -> None:
        import sys

        self.logger = logging.getLogger("attnflow.sweep")
        self.handler = logging.StreamHandler()
        self.handler.setFormatter(logging.Formatter("attnflow: %(message)s"))
        # On a terminal the bar says what went well.
        level = logging.WARNING if sys.stderr.isatty() else logging.INFO
        self.before = self.logger.level
        self.logger.setLevel(level)
        self.logger.addHandler(self.handler)

    def __exit__(self, *_: Any) -> None:
        self.logger.removeHandler(self.handler)
        self.logger.setLevel(self.before)


def _executor(workers: int | None, dask: str | None, mpi: bool) -> Any:
    from contextlib import nullcontext

    if sum((workers is not None, dask is not None, mpi)) > 1:
        raise ValueError("--workers, --dask and --mpi exclude one another; give one.")
    if workers is not None:
        return _library().Pool(workers)
    if dask is not None:
        return _dask(dask)
    if mpi:
        try:
            from mpi4py.futures import MPIPoolExecutor
        except (ImportError, RuntimeError) as error:
            raise ValueError(
                f"--mpi needs mpi4py and an MPI library: pip install 'attnflow[mpi]' ({error})."
            ) from error
        return MPIPoolExecutor()
    return nullcontext()


def _dask(address: str) -> Any:
    try:
        from distributed import Client
    except ImportError as error:
        raise ValueError("--dask needs dask.distributed: pip install 'attnflow[dask]'.") from error
    return Client(address, timeout="30s").get_executor()
