"""A study: the tables of a case with `"$axis"` in places, a grid of axes, and how many trials."""

import math
import os
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from msgspec import Meta, UnsetType

from ..core.words import check_nesting
from ..spec import AttentionTable, Manifold, NoiseTable, Output, Solver, Time, Tokens
from ..spec.tables import Table
from ._axes import Axis, check_precision, placed, read_axis

_READY = files("attnflow.sweep") / "studies"
_MOST_TRAJECTORIES = 10**18  # what 64-bit numbers count
LISTED_POINTS = 10_000_000  # where points are looked at one by one
_MOST_VALUES = 100_000  # of all axes of a larger grid: each value is built and checked
_TABLES = ("manifold", "tokens", "attention", "noise", "time", "solver", "output")


class Horizon(Time, frozen=True):
    """`[time]` of a study: from `t0` to `t1`; what is observed is kept at `points` times.

    Without `points`, at the end alone. `until` ends a trajectory when its misalignment is that low.
    """

    points: Annotated[int, Meta(ge=2)] | None = None
    until: Annotated[float, Meta(gt=0)] | None = None


class StudyPoint(Table, frozen=True, kw_only=True):
    """The tables of a study with every axis put in: one point of the grid."""

    manifold: Manifold
    tokens: Tokens
    attention: AttentionTable
    noise: NoiseTable | None = None
    time: Horizon = Horizon()
    solver: Solver = Solver()
    output: Output = Output()

    @property
    def observed(self) -> list[str]:
        """The observables' names: misalignment, unless the table says."""
        names = self.output.observe
        return ["misalignment"] if isinstance(names, UnsetType) else list(names)


class Study(Table, frozen=True, kw_only=True):
    """What a sweep runs: a grid of fields, and so many random starts at each of its points.

    The tables are those of a [`Case`][attnflow.spec.Case], as dictionaries. Where a value is
    `"$name"`, the axis `name` of `grid` is put in. Each axis is a list (numbers, words, Booleans, or
    tables `{label = ..., value = ...}`), or a range `{start, stop, count}`, `{start, stop, step}`, with
    `spacing = "log"` and `integer = true` if wanted.

    A trajectory's random numbers follow from `seed`, its point's coordinates and its trial alone; with
    more trials or axis values it stays the same. Arrays `{type = "uniform", seed = "trial", ...}` are
    drawn anew for each.

    **Arguments:**

    - `title`: a line about it.
    - `trials`: starts at each point.
    - `seed`: of everything drawn by trial.
    - `dtype`: `"float64"` or `"float32"`.
    - `paired`: axes along which trajectories of the same trial share their random numbers, so that
      only what the axis says differs.
    - `grid`: axes by name; none for a single point.
    - `manifold`, `tokens`, `attention`, `noise`, `time`, `solver`, `output`: tables. `noise` is `independent`,
      `common`, `values`, `calculus`, `tol`, as of [`Noise`][attnflow.Noise], none unless given; each trajectory has
      its own. `time` is `t0`, `t1`, `points` (times kept; the end alone unless given), `until` (misalignment that
      ends a trajectory); `output.observe` is misalignment unless given.

    **Raises:**

    `ValueError` of one line that starts with the place, `$.grid.beta[1]: ...`.

    ```python
    study = af.sweep.Study(
        trials=100,
        grid={"beta": [0.5, 1.0, 2.0], "mask": ["full", "causal"]},
        manifold={"dim": 3}, tokens={"count": 8},
        attention={"P": "$beta", "mask": "$mask"},
        time={"t1": 200.0, "until": 1e-3},
    )
    af.sweep.run(study, "store")
    ```
    """

    title: str = ""
    trials: Annotated[int, Meta(ge=1, le=2**32 - 1)] = 1
    seed: Annotated[int, Meta(ge=0, le=2**32 - 1)] = 0
    dtype: Literal["float64", "float32"] = "float64"
    paired: list[str] = msgspec.field(default_factory=list)
    grid: dict[str, Any] = msgspec.field(default_factory=dict)
    manifold: dict[str, Any]
    tokens: dict[str, Any]
    attention: dict[str, Any]
    noise: dict[str, float | str] = msgspec.field(default_factory=dict)
    time: dict[str, Any] = msgspec.field(default_factory=dict)
    solver: dict[str, Any] = msgspec.field(default_factory=dict)
    output: dict[str, Any] = msgspec.field(default_factory=dict)

    def __post_init__(self) -> None:
        axes = self.axes
        _check_size(axes, self.trials, has_dependent_axes(self.template))
        for axis in axes.values():
            check_precision(axis, self.dtype)
        used = {name for _, name in self.references()}
        for name in axes:
            if name not in used:
                raise ValueError(
                    f'$.grid.{name}: no table uses this axis; write "${name}" where it belongs'
                )
        for k, name in enumerate(self.paired):
            if name not in axes:
                raise ValueError(f"$.paired[{k}]: {name!r} is not an axis; there are {_list(axes)}")
        first, template = dict.fromkeys(axes, 0), self.template
        clash = set(axes) & set(build_point(template, axes, first).observed)
        if clash:
            raise ValueError(f"$.grid.{min(clash)}: an observable has this name; choose another")
        for name, axis in axes.items():
            for k in range(1, len(axis.values)):
                build_point(template, axes, first | {name: k})

    # === axes and points

    @property
    def axes(self) -> dict[str, Axis]:
        """The axes by name, in the order of the file."""
        return {name: read_axis(name, raw) for name, raw in self.grid.items()}

    @property
    def template(self) -> dict[str, Any]:
        """The tables, with references to axes in them."""
        return {name: table for name in _TABLES if (table := getattr(self, name))}

    def references(self) -> list[tuple[tuple[str | int, ...], str]]:
        """Where the tables refer to an axis, and to which."""
        references = list(_references(self.template, ()))
        for path, name in references:
            if name not in self.grid:
                raise ValueError(
                    f'{show_path(path)}: "${name}" is not an axis of [grid]; there are '
                    f"{_list(self.grid)}"
                )
            for once in ("t0", "points"):
                if path[:2] == ("time", once):
                    raise ValueError(f"$.time.{once}: must be the same for the whole grid")
            if path[:2] == ("output", "observe"):
                raise ValueError("$.output.observe: must be the same for the whole grid")
        return references


def _check_size(axes: dict[str, Axis], trials: int, dependent: bool) -> None:
    """Refuse a grid that no plan can hold; a plan holds what the values of the axes do, and no point."""
    counts = [len(axis.values) for axis in axes.values()]
    points = math.prod(counts)
    shown = f"{' x '.join(f'{count:,}' for count in counts)} is {points:,} points"
    if points * trials > _MOST_TRAJECTORIES:
        raise ValueError(
            f"$.grid: {shown} of {trials:,} trials, more than the 10^18 trajectories that can be "
            "numbered; give fewer values or trials"
        )
    if points <= LISTED_POINTS:
        return
    if dependent:
        raise ValueError(
            f"$.grid: {shown}, more than the {LISTED_POINTS:,} that can be looked at one by one, as "
            "they must be where two axes are in one table whose type is an axis or uniform; give "
            "fewer values, or make several sweeps"
        )
    if sum(counts) > _MOST_VALUES:
        raise ValueError(
            f"$.grid: {shown}, and its axes have {sum(counts):,} values, more than the "
            f"{_MOST_VALUES:,} of so large a grid; give fewer values, or make several sweeps"
        )


def has_dependent_axes(template: Any) -> bool:
    """Whether what one axis puts in may be right or wrong, or mean another thing, by another's value.

    That is so in a table whose `type` is an axis, and in a `uniform` one, whose `low` is below its `high`.
    Elsewhere each value is judged by itself.
    """
    if isinstance(template, list):
        return any(map(has_dependent_axes, template))
    if not isinstance(template, dict):
        return False
    kind = template.get("type")
    depends = isinstance(kind, str) and (kind == "uniform" or kind.startswith("$"))
    if depends and len({name for _, name in _references(template, ())}) > 1:
        return True
    return any(map(has_dependent_axes, template.values()))


def build_point(
    template: dict[str, Any], axes: dict[str, Axis], index: dict[str, int]
) -> StudyPoint:
    """The tables with axes put in; an error about a value says which value of which axis it is."""
    tables = _filled(template, {name: axes[name].values[k] for name, k in index.items()})
    try:
        return msgspec.convert(tables, StudyPoint)
    except msgspec.ValidationError as error:
        where, _, what = placed(str(error)).partition(": ")
        for path, name in _references(template, ()):
            shown = show_path(path)[1:]
            if where == shown or where.startswith((shown + ".", shown + "[")):
                axis, k = axes[name], index[name]
                rest_of_path = (".value" if axis.labelled else "") + where[len(shown) :]
                raise ValueError(
                    f"$.grid.{name}[{k}]{rest_of_path}: {what} (put in at ${shown})"
                ) from error
        raise ValueError(f"${where}: {what}") from error


def _references(value: Any, path: tuple) -> Iterator[tuple[tuple, str]]:
    if isinstance(value, str) and value.startswith("$"):
        yield path, value[1:]
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _references(item, (*path, key))
    elif isinstance(value, list):
        for k, item in enumerate(value):
            yield from _references(item, (*path, k))


def _filled(value: Any, chosen: dict[str, Any]) -> Any:
    if isinstance(value, str) and value.startswith("$"):
        return chosen[value[1:]]
    if isinstance(value, dict):
        return {key: _filled(item, chosen) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, chosen) for item in value]
    return value


def show_path(path: tuple[str | int, ...]) -> str:
    """`$.attention.P[0]`."""
    return "$" + "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in path)


def _list(names: Any) -> str:
    return ", ".join(names) or "none"


# === files


def study_names() -> tuple[str, ...]:
    """The names of the ready studies, such as `"phase-diagram"`."""
    return tuple(sorted(entry.name.removesuffix(".toml") for entry in _READY.iterdir()))


def text(name: str) -> str:
    """The file of a ready study; a `ValueError` for a name that is not one."""
    if name not in study_names():
        raise ValueError(f"`{name}` is not one of the ready studies {', '.join(study_names())}.")
    return (_READY / f"{name}.toml").read_text()


def read_study(source: str | os.PathLike[str]) -> Study:
    """A study from a `.toml` file, or a ready one by name.

    **Raises:**

    `ValueError` of one line, `file: $.place: what is wrong`; `OSError` when it cannot be read.
    """
    name = os.fspath(source)
    path: Any = Path(name)
    if name in study_names():
        path, name = _READY / f"{name}.toml", f"{name}.toml"
    elif path.suffix != ".toml":
        raise ValueError(
            f"`{name}` is neither a .toml file nor one of the ready studies {', '.join(study_names())}."
        )
    try:
        text = path.read_bytes()
        check_nesting(text, 24)
        return from_builtins(msgspec.toml.decode(text))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{name}: {error}".replace("\n", " ")) from error


def from_builtins(raw: Any) -> Study:
    """A study from plain dictionaries and lists; a `ValueError` that starts with the place."""
    try:
        return msgspec.convert(raw, Study)
    except msgspec.ValidationError as error:
        where, _, what = placed(str(error)).partition(": ")
        raise ValueError(what if what.startswith("$") else f"${where}: {what}") from error


# A study, the path of its file, or the name of a ready one.
Spec: TypeAlias = Study | str | os.PathLike[str]


def as_study(spec: Spec) -> Study:
    """What `spec=` may be: a study, a path, a ready name."""
    if isinstance(spec, Study):
        return spec
    if isinstance(spec, str | os.PathLike):
        return read_study(spec)
    raise ValueError(f"`spec` must be a Study, a path or a name; got {type(spec).__name__}.")
