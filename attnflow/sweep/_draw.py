"""One trajectory from its numbers: the tables of its point, its coordinates and its random key."""

import json
import zlib
from typing import Any, NamedTuple

import equinox as eqx
import jax
import msgspec
import numpy as np
from jaxtyping import Array, Key
from msgspec.structs import force_setattr

from ..flow import Noise
from ..model import AttentionField
from ..spec import AttentionTable, Manifold, NoiseTable, Tokens
from ..spec.tables import DRAWN, Table, check_rectangular
from ._study import StudyPoint, show_path

# Lists that choose shapes or structure, and are no numbers of the field.
_STRUCTURAL = ("type", "shape", "mask", "frozen")


class _Model(Table, frozen=True):
    """The tables that make a trajectory."""

    manifold: Manifold
    tokens: Tokens
    attention: AttentionTable
    noise: NoiseTable | None = None


class Mould(NamedTuple):
    """What the points of one shape have in common; they differ in the numbers at `slots`.

    **Attributes:**

    - `shape`: JSON of the tables with shapes at the slots: equal for points of one shape, which are
      compiled once.
    - `template`: JSON of one such point's tables.
    - `slots`: paths of the numbers and arrays that axes put in.
    """

    shape: str
    template: str
    slots: tuple[tuple[str | int, ...], ...]


def mould(point: StudyPoint, references: list[tuple[tuple, str]]) -> tuple[Mould, list[np.ndarray]]:
    """The mould of a point, and its own numbers at the slots."""
    names = _Model.__struct_fields__
    model = _Model(**{name: getattr(point, name) for name in names})
    slots: list[tuple] = []
    for path, _ in references:
        if path[0] in model.__struct_fields__:
            slots += _numbers_at(model, path)
    for path in slots:
        if np.asarray(_get(model, path)).dtype == bool:
            raise ValueError(f"{show_path(path)}: Expected numbers; got true and false")
    values = [np.asarray(_get(model, path), np.float64) for path in slots]
    template = msgspec.json.encode(model).decode()
    bare = json.loads(template)
    for path, value in zip(slots, values, strict=True):
        _get(bare, path[:-1])[path[-1]] = list(value.shape)
    shape = json.dumps([bare, slots], sort_keys=True)
    return Mould(shape, template, tuple(slots)), values


def _numbers_at(model: Any, path: tuple) -> list[tuple]:
    # Paths of all numbers at or below `path` that are no part of the structure.
    if any(part in _STRUCTURAL for part in path):
        return []
    return list(_numbers(_get(model, path), path, in_list=isinstance(path[-1], int)))


def _numbers(value: Any, path: tuple, in_list: bool):
    if isinstance(value, bool):
        return
    if isinstance(value, float) or (isinstance(value, int) and in_list):
        yield path
    elif isinstance(value, list):
        if any(isinstance(item, Table) for item in value):
            for k, item in enumerate(value):
                yield from _numbers(item, (*path, k), in_list=False)
        elif not any(isinstance(item, str | bool) for item in value):
            check_rectangular(str(path[-1]), value)
            yield path
    elif isinstance(value, Table):
        for name in value.__struct_fields__:
            if name not in _STRUCTURAL:
                yield from _numbers(getattr(value, name), (*path, name), in_list=False)


def _get(value: Any, path: tuple) -> Any:
    for part in path:
        value = getattr(value, part) if isinstance(value, msgspec.Struct) else value[part]
    return value


def _put(model: Any, path: tuple, new: Any) -> None:
    # Past the checks of a table, which are made for numbers that are known.
    holder, last = _get(model, path[:-1]), path[-1]
    if isinstance(holder, msgspec.Struct):
        force_setattr(holder, str(last), new)
    else:
        holder[last] = new


class Draw(eqx.Module):
    """A trajectory's field and start, from `(point, trial, numbers)`: the sampler of a shard.

    `point` is the point's 64-bit number as two `uint32`, the higher half first; `trial` one; `numbers`
    fill the slots. The key is `fold_in(fold_in(fold_in(key(seed), high), low), trial)`; tokens, noise and each
    array drawn by trial fold in the CRC-32 of their place in the tables.
    """

    template: str = eqx.field(static=True)
    slots: tuple = eqx.field(static=True)
    dtype: str = eqx.field(static=True)
    seed: Array

    def __call__(
        self, row: Any
    ) -> tuple[AttentionField, Array] | tuple[AttentionField, Array, Noise]:
        """Traceable; 64 bits must be on."""
        point, trial, numbers = row
        model = msgspec.json.decode(self.template, type=_Model)
        for path, number in zip(self.slots, numbers, strict=True):
            _put(model, path, number)
        key = trajectory_key(self.seed, point, trial)
        for path in _drawn_by_trial(model, ()):
            _put(model, path, _get(model, path).draw(_at(key, path)))
        manifold = model.manifold.build()
        tokens = model.tokens
        if tokens.rows is None:
            start = tokens.draw(manifold, _at(key, ("tokens",)))
        else:
            start = tokens.build(manifold)
        made = model.attention.build(manifold), start.astype(self.dtype)
        if model.noise is None:
            return made
        return *made, model.noise.build().with_key(_at(key, ("noise",)))


def trajectory_key(seed: Array, point: Array, trial: Array) -> Key[Array, ""]:
    """The key of one trajectory."""
    key = jax.random.key(seed)
    for number in (point[0], point[1], trial):
        key = jax.random.fold_in(key, number)
    return key


def _at(key: Key[Array, ""], path: tuple) -> Key[Array, ""]:
    return jax.random.fold_in(key, zlib.crc32(".".join(map(str, path)).encode()))


def _drawn_by_trial(value: Any, path: tuple):
    if isinstance(value, tuple(DRAWN.values())):
        if value.seed == "trial":
            yield path
    elif isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            yield from _drawn_by_trial(getattr(value, name), (*path, name))
    elif isinstance(value, list):
        for k, item in enumerate(value):
            yield from _drawn_by_trial(item, (*path, k))


def halves(number: int) -> np.ndarray:
    """A 64-bit number as two `uint32`, the higher half first."""
    return np.asarray([number >> 32, number & 0xFFFFFFFF], np.uint32)
