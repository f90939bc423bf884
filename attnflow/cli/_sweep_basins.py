"""`attnflow sweep basins`: where starts end against beta, tokens or noise, with what is born and dies on the way."""

import io
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter
from cyclopts.types import NonNegativeInt, PositiveFloat, PositiveInt

from ..core.words import printable, printable_lines


def basins(
    case: str | None = None,
    /,
    *,
    over: Literal["beta", "tokens", "noise"] = "beta",
    beta: Annotated[str | None, Parameter(negative="")] = None,
    tokens: Annotated[str, Parameter(negative="")] = "8",
    noise: Annotated[str | None, Parameter(negative="")] = None,
    points: PositiveInt = 8,
    starts: PositiveInt = 500,
    eigenvalues: str = "1,0.5,0.5",
    t1: PositiveFloat = 200.0,
    seed: NonNegativeInt = 0,
    out: Path | None = None,
    shard: PositiveInt = 4096,
) -> int:
    """Say where random starts end, value by value, and where attractors are born and die.

    Over beta (or tokens, or noise) the same starts run until they rest. Ends are told apart up to symmetries, polished,
    and counted, with 95 % intervals; attractors are matched from value to value, and where one comes or goes its
    branch of equilibria is followed to the point at which its stability changes. Under noise nothing rests: starts
    run to t1, and are counted by where the field alone takes them from there.

    With --out, each shard is kept when it is done, and the same command goes on where one was ended;
    `attnflow sweep status OUT` says how much is there.

    Examples:

    - `attnflow sweep basins --out basins` (values diag(1, 1/2, 1/2), P = beta I, eight tokens on the sphere)
    - `attnflow sweep basins --tokens 4 --beta 0.3,1 --points 4 --eigenvalues 1,0.8,0.2`
    - `attnflow sweep basins --over tokens --tokens 2,9 --beta 1.5`
    - `attnflow sweep basins --over noise --noise 0,1 --beta 2 --tokens 4`
    - `attnflow sweep basins my-case.toml --beta 0.5,2` (P of the case, times beta)

    Parameters
    ----------
    case
        A .toml or .json file, or a ready case, whose P is multiplied by beta. Its dimension and values are used, and
        --eigenvalues are not; its number of tokens too, but over tokens.
    over
        What changes: beta, tokens or noise. That option takes the first and the last value, with a comma.
    beta
        Inverse temperature (0.1,3 where it changes, 2 where not; of a case 1).
    tokens
        How many tokens, on the sphere in as many dimensions as there are eigenvalues (8).
    noise
        Strength of independent noise (none; 0,1 where it changes).
    points
        How many values (8), evenly apart; numbers of tokens are rounded.
    starts
        How many random starts (500), the same at each value.
    eigenvalues
        Of U, which is diagonal.
    t1
        How long starts run before they are looked at (200).
    seed
        Seed of the starts (0).
    out
        Folder for the shards, basins.json and basins.png; nothing is written unless given.
    shard
        How many starts of one value a shard has (4096); fixed when the folder is begun.
    """
    from ..records import writable_folder
    from ._start import start_jax

    start_jax()
    import jax
    import jax.numpy as jnp
    import numpy as np

    options = {
        "beta": ("0.1,3" if over == "beta" else "2" if case is None else "1")
        if beta is None
        else beta,
        "tokens": tokens,
        "noise": ("0,1" if over == "noise" else "0") if noise is None else noise,
    }
    ends = _numbers(f"--{over}", options.pop(over))
    if len(ends) != 2 or ends[0] == ends[1] or points < 2:
        raise ValueError(
            f"--{over} must be two different values, and --points 2 at least, over {over}; got {ends} and {points}."
        )
    fixed = {name: _one(f"--{name}", text) for name, text in options.items()}
    values = np.linspace(ends[0], ends[1], points)
    if over == "tokens":
        values = np.unique(np.round(values))
        values = values if ends[0] < ends[1] else values[::-1]
    size = fixed.get("tokens", 1.0)
    many = int(size)
    if many < 1 or many != size:
        raise ValueError(f"--tokens must be a whole number, 1 or more; got {tokens}.")
    strength = fixed.get("noise", 1.0)
    if min(strength, *(values if over == "noise" else [0.0])) < 0:
        raise ValueError(f"--noise must be zero or more; got {noise}.")
    if case is None:
        family, draw = _own(_numbers("--eigenvalues", eigenvalues))
    else:
        family, draw, many = _of_case(case)
    if over != "tokens":
        fixed["tokens"] = many
    folder = None if out is None else writable_folder(out)
    from .. import Noise, attractors

    shaken = None
    if strength > 0:
        shaken = Noise(independent=strength)
    parameter: Any = family if over == "beta" else over
    sample: Any = draw if over == "tokens" else lambda key: draw(key, many)
    field = family(jnp.asarray(fixed.get("beta", values[0])))
    try:
        found = attractors.along(
            field, sample, parameter, values, number=starts, key=jax.random.key(seed), t1=t1,
            noise=shaken, store=out, shard=shard,
        )  # fmt: skip
    except KeyboardInterrupt:
        raise KeyboardInterrupt(_left(out)) from None
    print(printable_lines(found))
    if folder is not None:
        from ._account import write_account

        write_account(folder / "basins.json", _record(found, over, fixed, starts, seed))
        _write_picture(folder / "basins.png", found, over)
        for name in ("basins.json", "basins.png"):
            print(f"wrote {printable(folder / name)}")
    return 0


def _left(out: Path | None) -> str:
    from .. import attractors

    state = None if out is None else attractors.stored(out)
    if state is None:
        return "interrupted; nothing was written (with --out, shards are kept)"
    return f"interrupted: {state.done} of {state.shards} shards are in {out}; the same command goes on from there"


def _one(name: str, text: str) -> float:
    numbers = _numbers(name, text)
    if len(numbers) != 1:
        raise ValueError(f"{name} must be one number unless it is what --over names; got {text!r}.")
    return numbers[0]


def _numbers(name: str, text: str) -> list[float]:
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if not numbers or not all(abs(x) < float("inf") for x in numbers):
        raise ValueError(f"{name} must be finite numbers with commas between them; got {text!r}.")
    return numbers


def _own(eigenvalues: list[float]) -> tuple[Any, Any]:
    import jax.numpy as jnp

    from .. import AttentionField, Sphere

    if len(eigenvalues) < 2:
        raise ValueError("--eigenvalues must be two at least: the dimension is their number.")
    dim = len(eigenvalues)
    sphere, U = Sphere(dim), jnp.diag(jnp.asarray(eigenvalues))
    return (
        lambda beta: AttentionField(sphere, P=beta * jnp.eye(dim), U=U, scale=1.0),
        lambda key, tokens: sphere.random(key, (tokens,)),
    )


def _of_case(case: str) -> tuple[Any, Any, int]:
    import equinox as eqx

    from .. import spec

    read = spec.read(case)
    if read.noise is not None:
        raise ValueError(
            f"{case}: $.noise: basins are those of a flow without noise; drop the table."
        )
    field, y0, _ = read.build()
    return (
        lambda beta: eqx.tree_at(lambda f: f.P, field, beta * field.P),
        lambda key, tokens: field.manifold.random(key, (tokens,)),
        len(y0),
    )


def _record(
    found: Any, over: str, fixed: dict[str, float], starts: int, seed: int
) -> dict[str, Any]:
    def point(special: Any) -> dict[str, Any] | None:
        if special is None:
            return None
        names = ("beyond",) if hasattr(special, "beyond") else ("width",)
        return {
            "kind": special.kind, over: special.value, **{n: getattr(special, n) for n in names}
        }  # fmt: skip

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
        for track in found
    ]
    failed = [got.failed for got in found.found]
    return {
        **fixed, "over": over, over: found.values.tolist(), "starts": starts, "seed": seed, "failed": failed,
        "attractors": tracks,
    }  # fmt: skip


def _rightmost(row: Any) -> float | None:
    if row is None or not len(row.spectrum.outside):
        return None
    return float(row.spectrum.outside[0].real)


def _write_picture(path: Path, found: Any, over: str) -> None:
    from .. import plot
    from ..records import atomic_write

    words = {"beta": r"$\beta$", "tokens": "number of tokens", "noise": "strength of noise"}
    above, _ = plot.attractors_along(found, xlabel=words[over])
    out = io.BytesIO()
    figure: Any = above.get_figure(root=True)
    figure.savefig(out, format="png", dpi=150)
    with atomic_write(path) as file:
        file.write(out.getvalue())
