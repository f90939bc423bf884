"""`attnflow bench`: this machine's speed, beside the peers that are installed, at equal error."""

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter
from cyclopts.types import PositiveInt


def bench(
    what: Literal["flows", "start"] = "flows",
    *,
    only: Annotated[
        list[Literal["W1", "W1s", "W2", "W3", "W4"]] | None,
        Parameter(consume_multiple=True, negative=""),
    ] = None,
    trajectories: PositiveInt | None = None,
    peers: bool = True,
    out: Annotated[Path | None, Parameter(negative="")] = None,
) -> int:
    """Measure how fast flows run here, beside other solvers at the same achieved error.

    Times are milliseconds a trajectory on all cores, in float64, without compilation; in brackets,
    how many times attnflow's. About three minutes on two cores with few peers installed. The whole
    of it, with all peers, is in the scripts of the benchmarks folder.

    - W1: 50 causal tokens in R^500 (Figure 4), T = 50; W1s: the same with one frequency a head
    - W2: 10 tokens on the sphere (Figures 1-3), T = 20
    - W3: a workload with a heavy tail: what refilling slots wastes
    - W4: the gradient of E(T), against the forward run and against plain diffrax

    Peers, where installed: numba, torchdiffeq, scipy, scikit-sundae; diffrax and jax are always there.

    `attnflow bench start` measures something else: how long commands with little to do take, in the
    first run and in later ones, which find their compiled programs kept.

    Example: `attnflow bench --only W2 W4 --out bench.json`

    Parameters
    ----------
    what
        Speed of flows, or of starting.
    only
        Which of W1, W1s, W2, W3, W4; all unless given.
    trajectories
        How many starts of W1 and W1s (4), W2 (512) and W3 (1024, a multiple of 16).
    peers
        Measure the peers too.
    out
        A JSON file for the numbers, with versions and device.
    """
    from ..records import atomic_write, provenance, writable_folder
    from ._start import start_jax

    if what == "start" and (only is not None or trajectories is not None):
        raise ValueError("--only and --trajectories are for flows; drop them.")
    if not start_jax():
        raise ValueError("bench needs 64-bit numbers: unset JAX_ENABLE_X64.")
    if out is not None:
        writable_folder(out.parent)
        if out.is_dir():
            raise ValueError(f"--out must be a file; {out} is a folder.")
    sections = {name: part for name, part in _SECTIONS.items() if only is None or name in only}
    results: dict[str, Any] = {}
    if what == "start":
        results["start"], sections = _starts(), {}
    for name, part in sections.items():
        results[name] = part(name, trajectories, peers)
    if out is not None:
        with atomic_write(out) as file:
            figures = {**results, "provenance": provenance()}
            file.write((json.dumps(figures, indent=1) + "\n").encode())
        print(f"wrote {out}")
    return 0


def _starts() -> list[dict[str, Any]]:
    from ..bench import start_times

    rows = start_times()
    print(f"{'seconds of processor time':<46} {'first':>7} {'later':>7} {'programs':>9}")
    for row in rows:
        print(f"{row.command:<46} {row.first:>7.2f} {row.later:>7.2f} {row.programs:>9}")
    return [row._asdict() for row in rows]


def _versus(name: str, trajectories: int | None, peers: bool) -> dict[str, Any]:
    import diffrax

    from .. import bench
    from ..records import progress

    make, count, rtols, errors, tight = {
        "W1": (lambda: bench.figure4_workload(t1=50.0), 4, (1e-3, 1e-4, 1e-5), (1e-3, 1e-4), 1e-7),
        "W1s": (
            lambda: bench.figure4_workload(separable=True, t1=50.0),
            4,
            (1e-3, 1e-4, 1e-5, 1e-6),
            (1e-3, 1e-4),
            1e-8,
        ),
        "W2": (bench.figure2_workload, 512, (1e-4, 1e-6, 1e-8), (1e-4, 1e-5, 1e-6), 1e-11),
    }[name]
    case = make()
    print(f"{name}: {case.title}")
    starts = case.starts(count if trajectories is None else trajectories)
    solver = diffrax.Tsit5() if name == "W1" else diffrax.Dopri8()
    reference = bench.ours(solver)(case, starts, tight)
    contenders = {"attnflow": bench.Peer(bench.ours(), "attnflow")}
    if peers:
        contenders |= {k: p for k, p in bench.peers().items() if p.installed}
    ladders = {}
    with progress(total=len(contenders), description=name, unit="solver") as bar:
        for label, peer in contenders.items():
            bar.set_postfix_str(label)
            ladders |= bench.compare_solvers(
                case, starts, reference, {label: peer}, rtols, few=1, patience=10.0
            )
            bar.update(1)
    print(bench.table(ladders, errors), end="\n\n")
    return {
        "what": case.title,
        "trajectories": len(starts),
        "points (rtol, error, seconds)": {k: [[*p] for p in v] for k, v in ladders.items()},
    }


def _tail(name: str, trajectories: int | None, peers: bool) -> dict[str, Any]:
    from .. import bench

    count = 1024 if trajectories is None else max(16, trajectories // 16 * 16)
    print(f"{name}: 8 tokens on S^1, beta in 1..4, until E < 1e-4 or t = 1000")
    tail = bench.heavy_tail(count)
    for key, value in tail.items():
        print(f"  {key}: {value:.4g}")
    print()
    return tail


def _gradient(name: str, trajectories: int | None, peers: bool) -> dict[str, Any]:
    import diffrax

    from .. import bench

    case = bench.figure2_workload(t1=10.0)
    print(f"{name}: gradient of E(T) in P', one trajectory, {case.title}")
    gradients = bench.gradients(
        case, lambda f: f.P.matrix, (1e-5, 1e-7), tight=1e-11, solver=diffrax.Dopri8()
    )
    print(gradients)
    ratios = ", ".join(f"{row['gradient / forward']:.2g}" for row in gradients.rows["attnflow"])
    print(f"gradient / forward run of attnflow: {ratios}", end="\n\n")
    return {"what": case.title, **gradients.record()}


_SECTIONS = {"W1": _versus, "W1s": _versus, "W2": _versus, "W3": _tail, "W4": _gradient}
