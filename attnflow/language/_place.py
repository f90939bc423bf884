"""`place`: where a model stands on the phase diagram of eq. (6), beside random weights of the same law."""

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any

import jax.random as jr
import numpy as np
from jaxtyping import Array, ArrayLike, Int, Key

from ._draw import as_key, random
from ._model import Transformer, check_feed_forward
from ._prompts import as_prompts
from ._spectra import spectra
from ._spectra_table import Spectra
from ._temperatures import COLUMNS, Temperatures, temperatures, write_parquet

_OF_MATRICES = ("top", "symmetric_top", "asymmetry", "beta_of_P", "P_distance")
_KINDS = ("trained", "random")


@dataclass(frozen=True, eq=False)
class PhasePlace:
    r"""What [`place`][] returns: of a model's weights, and of random ones by the law of [`random`][].

    **Attributes:**

    - `temperatures`, `spectra`: by `"trained"` and `"random"`, [`Temperatures`][] and [`Spectra`][].
    - `tokens`: of the longest prompt.
    """

    temperatures: dict[str, Temperatures]
    spectra: dict[str, Spectra]
    tokens: int

    def point(self, weights: str = "trained") -> tuple[float, int, float]:
        r"""$(\beta, d, t)$: median $\beta$ over heads, dimension, time of one pass."""
        return self.temperatures[weights].place

    def window(self) -> tuple[tuple[float, float], float]:
        r"""Ends of $\beta$ and the last time of a phase diagram that shows the model.

        All heads but the outermost hundredth on each side, at least -1 to 9 and at most -30 to 30; times up to
        a quarter more than a pass takes, and to where tokens under $\beta = 1$ are together.
        """
        from ..closed_forms import equiangular_time

        every = np.concatenate([t.beta.ravel() for t in self.temperatures.values()])
        low, high = np.quantile(every[np.isfinite(every)], (0.01, 0.99))
        ends = (max(min(np.floor(low), -1.0), -30.0), min(max(np.ceil(high), 9.0), 30.0))
        passes = [self.point(kind)[2] for kind in _KINDS]
        together = float(equiangular_time(0.999, 1.0, self.tokens))
        return (float(ends[0]), float(ends[1])), float(np.ceil(1.25 * max(*passes, together)))

    def rows(self, sort: str = "spread", weights: str = "trained") -> list[dict[str, Any]]:
        """A dict for each head, of all columns, the largest of the column `sort` first.

        Beside those of [`Temperatures`][]: `top`, `symmetric_top`, `asymmetry` of U, `beta_of_P` (tr P over the
        dimension) and `P_distance`, that of P from its multiple of the identity.

        **Raises:**

        `ValueError` where there is no such column or kind of weights.
        """
        names = (*COLUMNS, *_OF_MATRICES)
        if sort not in names:
            raise ValueError(f"`sort` must be one of {', '.join(names)}; got {sort!r}.")
        if weights not in _KINDS:
            raise ValueError(f"`weights` must be one of {', '.join(_KINDS)}; got {weights!r}.")
        table = self.spectra[weights]
        result = self.temperatures[weights].rows()
        for row in result:
            k = (row["layer"], row["head"])
            for name in _OF_MATRICES:
                column = table.beta if name == "beta_of_P" else getattr(table, name)
                row[name] = float(column[k])
        # NaN, of matrices that are none, last.
        return sorted(result, key=lambda row: np.nan_to_num(-row[sort], nan=np.inf))

    def to_parquet(self, path: str | PathLike[str]) -> None:
        """A Parquet file with a row for each head and kind of weights; needs `attnflow[parquet]`."""
        write_parquet(
            [{"weights": kind} | row for kind in _KINDS for row in self.rows(weights=kind)], path
        )

    def record(self) -> dict[str, Any]:
        """All numbers, plain values."""
        return {
            kind: {
                "place": dict(zip(("beta", "d", "t"), self.point(kind), strict=True)),
                "time": self.temperatures[kind].time.tolist(),
                "heads": self.rows(weights=kind),
            }
            for kind in _KINDS
        } | {"tokens": self.tokens}

    def __str__(self) -> str:
        lines = [
            str(self.temperatures["trained"].architecture),
            "least, median and most over heads:        trained                    random, same law",
        ]
        kinds = {kind: self.rows(weights=kind) for kind in _KINDS}
        for name in (*COLUMNS, *_OF_MATRICES):
            ranges = [_range([row[name] for row in rows]) for rows in kinds.values()]
            lines.append(f"{name.replace('_', ' '):30}" + "  ".join(ranges))
        for kind in _KINDS:
            beta, dim, time = self.point(kind)
            lines.append(
                f"{kind + ':':9} beta {beta:.3g} (median), d = {dim}, t = {time:.3g} a pass"
            )
        return "\n".join(lines)


def place(
    model: Transformer,
    token_ids: Int[ArrayLike, "..."] | Sequence[Sequence[int]],
    *,
    key: Key[Array, ""] | None = None,
    feed_forward: bool = True,
) -> PhasePlace:
    r"""Where a model stands on the phase diagram: $\beta$ of its heads and the time of its layers.

    Both are of the model's own tokens ([`temperatures`][]), and stand beside its matrices ([`spectra`][]). The same
    of random weights, by the law that such a model begins its training with, says what training did.

    **Arguments:**

    - `model`: a [`Transformer`][].
    - `token_ids`: prompts of two tokens or more.
    - `key`: of the random weights; `jax.random.key(0)` unless given.
    - `feed_forward`: of the pass.

    **Returns:**

    [`PhasePlace`][]; printed, the two side by side. `attnflow.plot.phase_place` draws it.

    **Raises:**

    `ValueError` as [`temperatures`][] does.

    ```python
    result = af.language.place(model, ids)
    result.rows(sort="P_distance")[-3:]                       # heads whose P is nearest to beta I
    ```
    """
    check_feed_forward(model, feed_forward)
    ids, lengths = as_prompts(model.architecture, token_ids)
    key = as_key(jr.key(0) if key is None else key)
    prompts: Any = ids
    if lengths is not None:
        prompts = [row[:n].tolist() for row, n in zip(ids, lengths, strict=True)]
    models = {
        "trained": model,
        "random": random(model.architecture, key=key, dtype=model.dtype),
    }
    return PhasePlace(
        temperatures={
            kind: temperatures(m, prompts, feed_forward=feed_forward) for kind, m in models.items()
        },
        spectra={kind: spectra(m) for kind, m in models.items()},
        tokens=int(ids.shape[1]),
    )


def _range(values: list[float]) -> str:
    known = np.asarray(values)[np.isfinite(values)]
    if not len(known):
        return f"{'-':>26}"
    low, middle, high = np.min(known), np.median(known), np.max(known)
    return f"{f'{low:.3g}  {middle:.3g}  {high:.3g}':>26}"
