"""Contenders on one case at a ladder of tolerances, and the table of their times at equal error."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from threadpoolctl import threadpool_limits

from ..core.lazy import renamed_argument
from ._cases import Workload
from ._measure import Point, at_error, clock, distance
from ._peers import Peer


def compare_solvers(
    case: Workload,
    starts: np.ndarray,
    reference: np.ndarray,
    contenders: Mapping[str, Peer],
    rtols: Iterable[float],
    *,
    few: int = 4,
    patience: float = 60.0,
) -> dict[str, list[Point]]:
    """Every contender's points, in the order of `rtols`.

    **Arguments:**

    - `starts`: `(trajectories, tokens, dim)`; contenders that work `singly` get the first `few`, and
      those for which a state is too large are left out.
    - `reference`: tokens of all starts at the case's times.
    - `patience`: seconds; a contender that took longer at one tolerance is not asked for tighter ones.

    **Raises:**

    Nothing for a contender that fails: it has the points that it made until then.
    """
    ladders: dict[str, list[Point]] = {}
    for name, peer in contenders.items():
        if starts[0].size > peer.most:
            continue
        ladders[name] = []
        some = starts[:few] if peer.singly else starts
        for rtol in rtols:
            last = [np.empty(0)]

            def go(rtol=rtol, peer=peer, some=some, last=last):
                last[0] = peer.solve(case, some, rtol)

            try:
                # Parallel loops have the cores; BLAS inside them would fight over these.
                with threadpool_limits(1 if peer.package == "numba" else None, user_api="blas"):
                    timing = clock(
                        go, 0 if ladders[name] and ladders[name][-1].seconds * len(some) > 5 else 2
                    )
            except (RuntimeError, ValueError) as failure:
                print(f"{name} at rtol {rtol:g}: {failure}"[:200])  # noqa: T201
                break
            error = distance(last[0], reference[: len(some)])
            ladders[name].append(Point(rtol, error, timing.later / len(some)))
            if timing.later > patience:
                break
    return ladders


@renamed_argument("found", "ladders")
def at_errors(
    ladders: Mapping[str, Sequence[Point]], errors: Sequence[float]
) -> dict[str, dict[str, float | None]]:
    """Milliseconds a trajectory by contender and error; `None` where the error was not reached."""

    def cell(points: Sequence[Point], error: float) -> float | None:
        seconds = at_error(points, error)
        return None if seconds is None else 1e3 * seconds

    return {name: {f"{e:g}": cell(points, e) for e in errors} for name, points in ladders.items()}


@renamed_argument("found", "ladders")
def table(ladders: Mapping[str, Sequence[Point]], errors: Sequence[float]) -> str:
    """Milliseconds a trajectory at equal error, and in brackets how many times the first contender's."""
    cells = at_errors(ladders, errors)
    ours = cells[next(iter(cells))]
    width = max(len(name) for name in cells) + 2
    lines = ["ms at error".ljust(width) + "".join(f"{e:>20.0e}" for e in errors)]
    for name, row in cells.items():
        line = name.ljust(width)
        for error in errors:
            value, base = row[f"{error:g}"], ours[f"{error:g}"]
            times = "" if value is None or base is None else f"({value / base:.2f})"
            line += f"{'–' if value is None else f'{value:.4g}'} {times}".rjust(20)
        lines.append(line)
    return "\n".join(lines)
