"""`attnflow simulate`: one case, from a file, by name or by flags, run and summed up."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter
from cyclopts.types import NonNegativeFloat, NonNegativeInt, PositiveInt

from ..core.words import printable, printable_lines
from ._theorem_lines import theorem_lines

if TYPE_CHECKING:
    from ..spec import Case

_LABELS = {
    "misalignment": "misalignment E",
    "aligned_pairs": "aligned pairs",
    "order_parameter": "order parameter",
    "clusters": "clusters",
    "effective_rank": "effective rank",
    "hemisphere_margin": "hemisphere margin",
    "lyapunov": "Lyapunov V",
    "energy": "energy",
    "residual": "largest ||y| - 1|",
}


def simulate(
    case: str | None = None,
    /,
    *,
    tokens: PositiveInt | None = None,
    dim: PositiveInt | None = None,
    heads: PositiveInt | None = None,
    beta: float | None = None,
    mask: Literal["full", "causal"] | None = None,
    kernel: Literal["softmax", "exp", "hardmax"] | None = None,
    normalisation: Literal["post", "pre", "peri", "ngpt", "sqrt"] | None = None,
    noise: NonNegativeFloat | None = None,
    common: NonNegativeFloat | None = None,
    t1: float | None = None,
    seed: NonNegativeInt | None = None,
    rtol: NonNegativeFloat | None = None,
    atol: NonNegativeFloat | None = None,
    dtype: Literal["float64", "float32"] | None = None,
    theory: bool = True,
    out: Annotated[Path | None, Parameter(negative="")] = None,
) -> int:
    """Simulate one case and print how it ended, beside what theorems predict.

    Printed are observables at the start and at the end, and the paper's theorems: which apply, which
    hypothesis fails, what they predict, and whether the run agrees.

    Without a case: 10 tokens, uniform on the sphere in R^3, one head with P = I, full attention,
    until t = 20. Flags change that, or what a case says.

    Examples:

    - `attnflow simulate figure2 --out figure2`
    - `attnflow simulate --tokens 24 --dim 2 --beta 12 --t1 50`
    - `attnflow simulate my-case.toml --mask causal`
    - `attnflow simulate figure2 --noise 0.3`

    Parameters
    ----------
    case
        A .toml or .json file, or a ready case: antipode, clusters, figure2, figure4, figure5, triangle.
    tokens
        How many tokens, placed at random (10).
    dim
        Dimension of the space around the unit sphere (3).
    heads
        How many heads, each with P = beta I (1).
    beta
        P = beta I, the inverse temperature of attention (1).
    mask
        Who attends to whom (full); causal is to oneself and earlier tokens.
    kernel
        How logits become attention (softmax).
    normalisation
        Where layers normalise (post, as in the paper).
    noise
        Strength of a Brownian motion of each token, on its manifold (none).
    common
        Strength of one for all tokens, which turns them together (none).
    t1
        When to stop (20).
    seed
        Seed of the random starts and of noise (0).
    rtol
        Relative tolerance for each token (1e-9; 1e-5 in float32).
    atol
        Absolute tolerance for each token (1e-12; 1e-7 in float32).
    dtype
        Precision of the numbers (float64).
    theory
        Say which theorems apply, and watch what they predict; none are said of a run with noise.
    out
        Folder for the case, the numbers (npz) and pictures (png); nothing is written unless given.
    """
    from ..records import writable_folder
    from ._start import start_jax

    start_jax()
    from .. import spec

    source = _default() if case is None else spec.read(case)
    flags = {
        "tokens": tokens,
        "dim": dim,
        "heads": heads,
        "beta": beta,
        "mask": mask,
        "kernel": kernel,
        "normalisation": normalisation,
        "noise": noise,
        "common": common,
        "t1": t1,
        "seed": seed,
        "rtol": rtol,
        "atol": atol,
        "dtype": dtype,
    }
    chosen = _with_flags(source, {name: x for name, x in flags.items() if x is not None})
    folder = None if out is None else writable_folder(out)
    try:
        solution, watch = _run(chosen, theory)
    except ValueError as error:  # the case's own errors begin with the place in it
        raise ValueError(f"{case}: {error}" if case and str(error)[0] == "$" else error) from error
    if chosen.title:
        print(printable(chosen.title))
    print(printable_lines(dataclasses.replace(solution, ys=_of_case(solution.ys))))
    print(_table(solution.ys))
    if watch is not None:
        print(theorem_lines(watch, solution))
    if folder is not None:
        for path in _write(folder, chosen, solution):
            print(f"wrote {printable(path)}")
    return 0


def _default() -> "Case":
    from ..spec import AttentionTable, Case, Manifold, Tokens

    return Case(manifold=Manifold(dim=3), tokens=Tokens(count=10), attention=AttentionTable(P=1.0))


def _with_flags(case: "Case", flags: dict[str, Any]) -> "Case":
    """The case with the flags in place of what it says; refused where a flag would mean nothing."""
    from msgspec.structs import replace

    from ..spec import CaseNoise, Manifold

    if not flags:
        return case

    def some(*names: str) -> dict[str, Any]:
        return {name: flags[name] for name in names if name in flags}

    manifold, tokens, attention = case.manifold, case.tokens, case.attention
    if "dim" in flags:
        manifold = Manifold(dim=flags["dim"], space=manifold.space)
    noise = case.noise
    if "noise" in flags or "common" in flags:
        strengths = {"independent": flags.get("noise"), "common": flags.get("common")}
        given = {name: value for name, value in strengths.items() if value is not None}
        noise = CaseNoise(**given) if noise is None else replace(noise, **given)
    if noise is not None:
        noise = replace(noise, **some("seed"))
    if "tokens" in flags or ("seed" in flags and (noise is None or tokens.rows is None)):
        if tokens.rows is not None:
            name = "tokens" if "tokens" in flags else "seed"
            raise ValueError(f"--{name} is for random tokens; this case says where its tokens are.")
        tokens = replace(tokens, count=flags.get("tokens", tokens.count), **some("seed"))
    if "beta" in flags or "heads" in flags:
        attention = replace(attention, P=_scores(attention.P, flags))
    changed = ", ".join(f"--{name}" for name in flags)
    return replace(
        case,
        title=case.title and f"{case.title} (changed by {changed})",
        manifold=manifold,
        tokens=tokens,
        attention=replace(attention, **some("mask", "kernel", "normalisation")),
        noise=noise,
        time=replace(case.time, **some("t1")),
        solver=replace(case.solver, **some("rtol", "atol")),
        **some("dtype"),
    )


def _scores(P: Any, flags: dict[str, Any]) -> Any:
    """P as numbers that multiply the identity, one a head."""
    numbers = P if isinstance(P, list) else [P]
    if "beta" not in flags and not all(isinstance(x, int | float) for x in numbers):
        raise ValueError("--heads needs --beta here: the P of this case is not a multiple of I.")
    heads, beta = flags.get("heads", len(numbers)), flags.get("beta", numbers[0])
    return [beta] * heads if heads > 1 else beta


def _run(case: "Case", theory: bool) -> tuple[Any, Any]:
    """The solution, and the monitor of what theorems predict of it."""
    from ..flow import observed, simulate as run

    field, y0, options = case.build()
    observe, watch = case.observers(field), None
    # Theorems are about spheres and ellipsoids, and about flows without noise.
    if theory and not field.manifold.flat and case.noise is None:
        from ..theory import monitor

        watch = monitor(field, y0, t0=options["t0"])
        observe = {**observe, **watch.observe}
    solution = run(field, y0, **options)
    values = observed(solution.ts, solution.ys, observe) if observe else {}
    return dataclasses.replace(solution, ys={"tokens": solution.ys, **values}), watch


def _of_case(ys: dict[str, Any]) -> dict[str, Any]:
    """What the case asked for, without what theorems are held to."""
    return {name: value for name, value in ys.items() if name == "tokens" or name in _LABELS}


def _table(ys: dict[str, Any]) -> str:
    import numpy as np

    lines = [f"{'':<19} {'start':>12} {'end':>12}"]
    for name, label in _LABELS.items():
        if name in ys:
            values = np.asarray(ys[name])
            lines.append(f"{label:<19} {float(values[0]):>12.6g} {float(values[-1]):>12.6g}")
    return "\n".join(lines)


def _write(folder: Path, case: "Case", solution: Any) -> list[Path]:
    import json

    import numpy as np

    from .. import plot, spec
    from ..records import atomic_write, provenance

    stem = "simulation"
    written = [folder / f"{stem}.toml", folder / f"{stem}.npz"]
    spec.write(written[0], case)
    ys: dict[str, Any] = {name: np.asarray(x) for name, x in _of_case(solution.ys).items()}
    with atomic_write(written[1]) as file:
        np.savez(file, ts=np.asarray(solution.ts), provenance=json.dumps(provenance()), **ys)
    pictures = {}
    if "misalignment" in ys:
        pictures["misalignment"] = plot.curves(solution.ts, ys["misalignment"], ylabel="E(t)")
    if case.manifold.dim == 3 and case.manifold.space == "sphere":
        directions = ys["tokens"] / np.linalg.norm(ys["tokens"], axis=-1, keepdims=True)
        pictures["sphere"] = plot.sphere(solution.ts, directions)
    for name, axes in pictures.items():
        written.append(folder / f"{stem}-{name}.png")
        with atomic_write(written[-1]) as file:
            axes.get_figure(root=True).savefig(file, format="png")
    return written
