"""`attnflow ensemble`: one case from many random starts, summed up as it runs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter
from cyclopts.types import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from ..core.words import printable, printable_lines

if TYPE_CHECKING:
    from ..spec import Case

_VALUES = 10**7  # of E(t) kept for the picture: 80 MB


def ensemble(
    case: str = "figure2",
    /,
    *,
    trajectories: PositiveInt = 1000,
    until: PositiveFloat | None = None,
    t1: float | None = None,
    seed: NonNegativeInt = 0,
    slots: PositiveInt | None = None,
    rtol: NonNegativeFloat | None = None,
    atol: NonNegativeFloat | None = None,
    dtype: Literal["float64", "float32"] | None = None,
    out: Annotated[Path | None, Parameter(negative="")] = None,
) -> int:
    """Run one case from many random starts; print the distribution of misalignment and consensus times.

    Each trajectory has steps of its own, and makes room for the next start as it ends. Start i, and the noise of a case
    that has any, depend on the seed and i alone: a longer run repeats a shorter one.

    Examples:

    - `attnflow ensemble figure2 --trajectories 100000` (10 tokens on the sphere, Figures 1-3)
    - `attnflow ensemble figure4 --trajectories 100 --out figure4` (50 tokens in R^500, Figure 4)
    - `attnflow ensemble figure5 --trajectories 10000 --until 1e-4 --t1 100`

    Parameters
    ----------
    case
        A .toml or .json file, or a ready case: clusters, figure2, figure4, figure5, triangle.
    trajectories
        How many starts, drawn by the law of the case's tokens.
    until
        End a trajectory when misalignment E falls to this, and print the times.
    t1
        When to stop at the latest (as the case says).
    seed
        Seed of the starts and of noise.
    slots
        How many trajectories are under way at once (chosen for the machine).
    rtol
        Relative tolerance for each token (1e-9; 1e-5 in float32).
    atol
        Absolute tolerance for each token (1e-12; 1e-7 in float32).
    dtype
        Precision of the numbers (float64).
    out
        Folder for the results (npz) and pictures (png); nothing is written unless given.
    """
    from ..records import writable_folder
    from ._start import start_jax

    start_jax()
    from msgspec.structs import replace

    from .. import spec

    chosen = spec.read(case)
    if chosen.tokens.count is None:
        raise ValueError(f"{case}: $.tokens says where the tokens are; an ensemble needs `count`.")
    times = {"t1": t1} if t1 is not None else {}
    tolerances = {k: v for k, v in {"rtol": rtol, "atol": atol}.items() if v is not None}
    chosen = replace(
        chosen,
        time=replace(chosen.time, **times),
        solver=replace(chosen.solver, **tolerances),
        **({} if dtype is None else {"dtype": dtype}),
    )
    folder = None if out is None else writable_folder(out)
    result, ts = _run(chosen, trajectories, until, seed, slots)
    if chosen.title:
        print(printable(chosen.title))
    print(printable_lines(result))
    print(_table(result, until))
    if folder is not None:
        for path in _write(folder, result, ts, until):
            print(f"wrote {printable(path)}")
    return 1 if result.failed.all() else 0


def _run(
    case: "Case", trajectories: int, until: float | None, seed: int, slots: int | None
) -> tuple[Any, Any]:
    import jax
    import jax.numpy as jnp
    import numpy as np

    from .. import ensemble
    from ..flow import consensus
    from ..observables import misalignment

    field, y0, options = case.build()
    # As many times as memory allows, the first and the last among them.
    points = max(2, min(case.time.points, _VALUES // trajectories))
    ts = jnp.asarray(np.linspace(case.time.t0, case.time.t1, points), y0.dtype)

    def sample(key):
        return case.tokens.draw(field.manifold, key).astype(y0.dtype)

    how: dict[str, Any] = {**options, "ts": ts}
    how.pop("key", None)  # of one path; here each trajectory has its own, by seed and number
    result = ensemble.run(
        field,
        sample,
        number=trajectories,
        key=jax.random.key(seed),
        until=None if until is None else consensus(until),
        observe={"misalignment": misalignment},
        slots=slots,
        **how,
    )
    return result, np.asarray(ts)


def _table(result: Any, until: float | None) -> str:
    from ..core.quantiles import quantile

    levels = (0.05, 0.25, 0.5, 0.75, 0.95)
    lines = [f"{'':<19}" + "".join(f"{f'{100 * q:g} %':>12}" for q in levels)]
    good = ~result.failed
    rows = {}
    if until is None:
        rows["misalignment E(t1)"] = result.ys["misalignment"][good, -1]
    else:
        rows["time of consensus"] = result.t1[result.reached]
    rows["steps"] = result.stats["num_steps"][good]
    for name, values in rows.items():
        if len(values):
            quantiles = quantile(values, levels)
            lines.append(f"{name:<19}" + "".join(f"{x:>12.6g}" for x in quantiles))
    return "\n".join(lines)


def _write(folder: Path, result: Any, ts: Any, until: float | None) -> list[Path]:
    import json

    import numpy as np

    from .. import plot
    from ..ensemble import Survival
    from ..records import atomic_write, provenance

    written = [folder / "ensemble.npz"]
    E = result.ys["misalignment"]
    with atomic_write(written[0]) as file:
        np.savez(
            file,
            ts=ts,
            misalignment=E,
            t1=result.t1,
            outcome=result.outcome,
            num_steps=result.stats["num_steps"],
            provenance=json.dumps(provenance()),
        )
    pictures = {}
    good = ~result.failed
    if until is None and good.any():
        label = f"median of {good.sum()} starts"
        pictures["misalignment"] = plot.quantiles(ts, E[good], label=label, ylabel="E(t)")
    if until is not None:
        survival = Survival(ts[1:])
        part = survival.finish(survival.summarise(result.records))
        pictures["survival"] = plot.curves(
            ts, np.concatenate([[1.0], part]), ylabel=f"part with E > {until:g}"
        )
    for name, axes in pictures.items():
        written.append(folder / f"ensemble-{name}.png")
        with atomic_write(written[-1]) as file:
            axes.get_figure(root=True).savefig(file, format="png")
    return written
