"""`attnflow sweep basins`: where starts end against beta, with what is born and dies on the way."""

import io
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from cyclopts.types import NonNegativeInt, PositiveFloat, PositiveInt

from ..core.words import printable, printable_lines


def basins(
    case: str | None = None,
    /,
    *,
    beta: Annotated[str, Parameter(negative="")] = "0.1,3",
    points: PositiveInt = 8,
    starts: PositiveInt = 500,
    tokens: PositiveInt = 8,
    eigenvalues: str = "1,0.5,0.5",
    t1: PositiveFloat = 200.0,
    seed: NonNegativeInt = 0,
    out: Annotated[Path | None, Parameter(negative="")] = None,
) -> int:
    """Say where random starts end, value by value of beta, and where attractors are born and die.

    At each beta the same starts run until they rest. Ends are told apart up to symmetries, polished, and
    counted, with 95 % intervals; attractors are matched from value to value, and where one comes or goes its branch of
    equilibria is followed to the point at which its stability changes.

    Examples:

    - `attnflow sweep basins --out basins` (values diag(1, 1/2, 1/2), P = beta I, eight tokens on the sphere)
    - `attnflow sweep basins --tokens 4 --beta 0.3,1 --points 4 --eigenvalues 1,0.8,0.2`
    - `attnflow sweep basins my-case.toml --beta 0.5,2` (P of the case, times beta)

    Parameters
    ----------
    case
        A .toml or .json file, or a ready case, whose P is multiplied by beta. Its tokens, dimension and values are
        used, and --tokens and --eigenvalues are not.
    beta
        The first and the last value.
    points
        How many values (8), evenly apart.
    starts
        How many random starts (500), the same at each value.
    tokens
        How many tokens, on the sphere in as many dimensions as there are eigenvalues (8).
    eigenvalues
        Of U, which is diagonal.
    t1
        How long starts run before they are looked at (200).
    seed
        Seed of the starts (0).
    out
        Folder for basins.json and basins.png; nothing is written unless given.
    """
    from ..records import writable_folder
    from ._start import start_jax

    start_jax()
    import jax
    import numpy as np

    ends = _numbers("--beta", beta)
    if len(ends) != 2 or ends[0] == ends[1] or points < 2:
        raise ValueError(
            f"--beta must be two different values, and --points 2 at least; got {beta} and {points}."
        )
    values = np.linspace(ends[0], ends[1], points)
    if case is None:
        family, sample = _own(tokens, _numbers("--eigenvalues", eigenvalues))
    else:
        family, sample = _of_case(case)
    folder = None if out is None else writable_folder(out)
    from .. import attractors

    result = attractors.along(
        family(values[0]), sample, family, values, number=starts, key=jax.random.key(seed), t1=t1
    )
    print(printable_lines(result))
    if folder is not None:
        from ._account import write_account

        write_account(folder / "basins.json", _record(result, starts, seed))
        _write_picture(folder / "basins.png", result)
        for name in ("basins.json", "basins.png"):
            print(f"wrote {printable(folder / name)}")
    return 0


def _numbers(name: str, text: str) -> list[float]:
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if not numbers or not all(abs(x) < float("inf") for x in numbers):
        raise ValueError(f"{name} must be finite numbers with commas between them; got {text!r}.")
    return numbers


def _own(tokens: int, eigenvalues: list[float]) -> tuple[Any, Any]:
    import jax.numpy as jnp

    from .. import AttentionField, Sphere

    if len(eigenvalues) < 2:
        raise ValueError("--eigenvalues must be two at least: the dimension is their number.")
    dim = len(eigenvalues)
    sphere, U = Sphere(dim), jnp.diag(jnp.asarray(eigenvalues))
    return (
        lambda beta: AttentionField(sphere, P=beta * jnp.eye(dim), U=U, scale=1.0),
        lambda key: sphere.random(key, (tokens,)),
    )


def _of_case(case: str) -> tuple[Any, Any]:
    import equinox as eqx

    from .. import spec

    field, y0, _ = spec.read(case).build()
    return (
        lambda beta: eqx.tree_at(lambda f: f.P, field, beta * field.P),
        lambda key: field.manifold.random(key, (len(y0),)),
    )


def _record(result: Any, starts: int, seed: int) -> dict[str, Any]:
    def point(special: Any) -> dict[str, Any] | None:
        if special is None:
            return None
        return {"kind": special.kind, "beta": special.value, "width": special.width}

    tracks = [
        {
            "kind": track.kind,
            "masses": list(track.masses),
            "share": track.share.tolist(),
            "low": track.low.tolist(),
            "high": track.high.tolist(),
            "rightmost": [_rightmost(row) for row in track.rows],
            "born": point(track.born),
            "died": point(track.died),
        }
        for track in result
    ]
    failed = [got.failed for got in result.found]
    return {
        "beta": result.values.tolist(), "starts": starts, "seed": seed, "failed": failed, "attractors": tracks
    }  # fmt: skip


def _rightmost(row: Any) -> float | None:
    if row is None or not len(row.spectrum.outside):
        return None
    return float(row.spectrum.outside[0].real)


def _write_picture(path: Path, result: Any) -> None:
    from .. import plot
    from ..records import atomic_write

    above, _ = plot.attractors_along(result, xlabel=r"$\beta$")
    out = io.BytesIO()
    figure: Any = above.get_figure(root=True)
    figure.savefig(out, format="png", dpi=150)
    with atomic_write(path) as file:
        file.write(out.getvalue())
