"""A brief: the tables of a case, and what is searched over, for and how, as it stands in a file."""

import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import jax
import jax.numpy as jnp
import jax.random as jr
import msgspec
from jaxtyping import Array, Float, Key
from msgspec.structs import replace

from ..core.words import check_nesting
from ..spec import AttentionTable, Case, Manifold, Solver, Time, Tokens
from ..spec.tables import Table, at_table, with_place
from . import _builtin
from ._brief_tables import Given, Search
from ._objectives import CVaR
from ._optimise import optimise
from ._optimised import Optimised
from ._trainable import Searched
from ._values import SearchStarts

if TYPE_CHECKING:
    from ._evaluate import Evaluation

_SEARCH, _FIXED, _HELD, _BASELINES = range(4)  # what the seed is folded with
_DRAWN = 64  # starts of the report, unless given


class Brief(Table, frozen=True, kw_only=True):
    """What a search over schedules needs, as it stands in a file; `run` does it.

    The tables are those of a [`Case`][attnflow.spec.Case] (`manifold`, `tokens`, `attention`, `time`,
    `solver`), and `search` with `search.P` and `search.U`. In `attention` what is searched over is left
    out: the other matrix is as given there, U = I unless it is.

    **Raises:**

    `ValueError` of one line that starts with the place, `$.search.P: ...`.

    ```python
    brief = af.search.Brief.read("accelerate")
    found = brief.run(store="search.af")
    print(found, brief.evaluate(found))
    ```
    """

    title: str = ""
    manifold: Manifold
    tokens: Tokens
    attention: Given = Given()
    time: Time = Time()
    solver: Solver = Solver()
    dtype: Literal["float64", "float32"] = "float64"
    search: Search

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, over in self.search.over.items():
            if getattr(self.attention, name) is not None:
                raise ValueError(
                    f"$.attention.{name}: is searched over; say in [search.{name}] where it begins"
                )
            with at_table(f"$.search.{name}"):
                if over.spacing == "log":
                    over.times(self.time.t0, self.time.t1)
                if name == "U" and "P" in self.search.over and over.heads is not None:
                    heads = self.search.over["P"].heads or 1
                    if over.heads != heads:
                        raise ValueError(
                            f"`heads` must be that of P, {heads}, or left out; got {over.heads}"
                        )
        if self.search.P is None and self.attention.P is None:
            raise ValueError("$.attention: needs `P`, unless [search.P] says what it may be")
        if not self.search.single and self.tokens.count is None:
            raise ValueError(
                "$.tokens: `number` and `starts` draw tokens: give `count`, not `rows`"
            )

    # === what it is made of

    @staticmethod
    def names() -> tuple[str, ...]:
        """The names of the ready briefs, such as `"accelerate"`."""
        return _builtin.names()

    @staticmethod
    def text(name: str) -> str:
        """The file of a ready brief, comments and all; a `ValueError` for a name that is not one."""
        return _builtin.text(name)

    @staticmethod
    def read(source: str | os.PathLike[str]) -> "Brief":
        """A brief from a `.toml` file, or a ready one by name.

        **Raises:**

        `ValueError` of one line, `file: $.place: what is wrong`; `OSError` when it cannot be read.
        """
        name = os.fspath(source)
        if name in Brief.names():
            return _decode(Brief.text(name).encode(), f"{name}.toml")
        if Path(name).suffix != ".toml":
            raise ValueError(
                f"`{name}` is neither a .toml file nor one of the ready briefs "
                f"{', '.join(Brief.names())}."
            )
        return _decode(Path(name).read_bytes(), name)

    def case(self) -> Case:
        """The case that the search begins from, zeros in place of what is searched over."""
        attention = {name: getattr(self.attention, name) for name in Given.__struct_fields__}
        if self.search.P is not None:
            attention["P"] = [0.0] * (self.search.P.heads or 1)
        return Case(
            title=self.title,
            manifold=self.manifold,
            tokens=self.tokens,
            attention=AttentionTable(**attention),
            time=self.time,
            solver=self.solver,
            dtype=self.dtype,
        )

    def begin(self, key: Key[Array, ""]) -> Searched:
        """The schedule to begin with: of P alone, or by name."""
        dim, dtype = self.manifold.build().dim, jnp.dtype(self.dtype)
        made = {}
        for (name, over), k in zip(self.search.over.items(), jr.split(key), strict=False):
            heads = () if over.heads is None and name == "U" else (over.heads or 1,)
            with at_table(f"$.search.{name}"):
                made[name] = over.begin(k, heads, dim, self.time, dtype)
        return made["P"] if list(made) == ["P"] else made

    def sampler(self) -> Callable[[Key[Array, ""]], Float[Array, "tokens dim"]]:
        """Tokens by the law of `[tokens]`, from any key."""
        manifold, tokens, dtype = self.manifold.build(), self.tokens, jnp.dtype(self.dtype)
        return lambda key: tokens.draw(manifold, key).astype(dtype)

    def starts(self) -> SearchStarts:
        """As `optimise` takes them: one start, a fixed set, or the sampler."""
        if self.search.number is not None:
            return self.sampler()
        if self.search.starts is not None:
            return self._drawn(_FIXED, self.search.starts)
        return self.case().build()[1]

    def held_back(self) -> Float[Array, "n tokens dim"]:
        """The starts of the report: others than the search had, but for a search from one start."""
        if self.search.single:
            return self.case().build()[1][None]
        return self._drawn(_HELD, self.search.held_back or _DRAWN)

    def _drawn(self, fold: int, count: int) -> Array:
        keys = jr.split(self._key(fold), count)
        return jax.vmap(self.sampler())(keys)

    def _key(self, fold: int) -> Array:
        return jr.fold_in(jr.key(self.search.seed), fold)

    # === the search

    def run(
        self,
        store: str | os.PathLike[str] | None = None,
        progress: bool = True,
        report: Callable[[dict[str, float]], object] | None = None,
    ) -> Optimised:
        """Do the search.

        **Arguments:**

        - `store`: a file to go on from, as in [`optimise`][attnflow.search.optimise].
        - `progress`: a bar on a terminal. `report`: called after each step with its numbers.

        **Raises:**

        `ValueError` that starts with the place in the brief; `RuntimeError` where no step could be
        taken; `ImportError` where the package `cma` is asked for and not there.
        """
        search = self.search
        field, _, options = self.case().build()
        del options["ts"]
        bounds = {name: over.bounds for name, over in search.over.items()}
        schedule = self.begin
        return optimise(
            search.build_objective(),
            schedule,
            field=field,
            starts=self.starts(),
            key=self._key(_SEARCH),
            goal=search.goal,
            bounds=bounds["P"] if list(bounds) == ["P"] else bounds,
            steps=search.steps,
            number=search.number,
            risk=search.risk if isinstance(search.risk, str) else CVaR(search.risk),
            restarts=search.restarts,
            chunk=search.chunk,
            patience=search.patience,
            store=store,
            progress=progress,
            report=report,
            **search.build_optimiser(),
            **options,
        )

    def evaluate(
        self, optimised: Optimised, *, constant: bool = True, progress: bool = True
    ) -> "Evaluation":
        """The schedule found beside its baselines, on the starts held back.

        **Arguments:**

        - `optimised`: what `run` gave.
        - `constant`: search for the best constant P too, which takes as long as the search did. No
          baselines are made where P is not searched over or has no bound.
        - `progress`: a bar on a terminal.
        """
        from ._baselines import baselines
        from ._evaluate import evaluate

        key = self._key(_BASELINES)
        P = self.search.P
        known = P is not None and P.bound is not None
        others = baselines(optimised, key, constant=constant) if known else {}
        return evaluate(optimised, self.held_back(), baselines=others, key=key, progress=progress)

    def standing(
        self, found: Optimised, *, constant: bool = True, progress: bool = True
    ) -> "Evaluation":
        """The old name of `evaluate`."""
        message = "Brief.standing is called Brief.evaluate now."
        warnings.warn(message, DeprecationWarning, stacklevel=2)
        return self.evaluate(found, constant=constant, progress=progress)

    def with_flags(self, *, steps: int | None = None, seed: int | None = None) -> "Brief":
        """The brief with another number of steps, or another seed (that of `[tokens]` stays)."""
        given = {"steps": steps, "seed": seed}
        flags = {name: value for name, value in given.items() if value is not None}
        return replace(self, search=replace(self.search, **flags)) if flags else self


def _decode(text: bytes, name: str) -> Brief:
    try:
        check_nesting(text, 24)
        return msgspec.toml.decode(text, type=Brief)
    except (ValueError, RecursionError) as error:
        # What a brief says of its own parts begins with the place already.
        message = str(error)
        own, _, _ = message.rpartition(" - at `")
        placed = (
            own if own.startswith("$") else message if message[0] == "$" else with_place(message)
        )
        raise ValueError(f"{name}: {placed}".replace("\n", " ")) from error
