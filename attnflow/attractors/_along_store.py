"""A study of attractors on disk: a file for each shard of starts at each value, and what is there."""

import json
import re
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..linearisation import spectrum
from ..model import AttentionField
from ..records import WorkStore, digest_of, opened_arrays, packed_arrays
from ..records.folders import Address, open_folder
from ._found import Attractor, Attractors
from ._varied import Varied

_ACCOUNT, _FORMAT, _WORK = "along.json", "attnflow attractors along 1", "a study of attractors"
_NAME = re.compile(r"^value-(\d+)-shard-(\d+)\.npz$")
_PLAIN = ("kind", "shape", "masses", "count", "share", "low", "high", "number", "period")


@dataclass(frozen=True)
class StoredAlong:
    """What [`stored`][attnflow.attractors.stored] returns; printed, a summary.

    **Attributes:**

    - `address`: of the store.
    - `values`, `starts`: how many values there are, and starts at each.
    - `shards`, `done`: how many files there will be, and how many there are.
    - `damaged`: the names of those that are not as they were written; they are computed again.
    """

    address: str
    values: int
    starts: int
    shards: int
    done: int
    damaged: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """Whether all is there."""
        return self.done == self.shards and not self.damaged

    def __str__(self) -> str:
        lines = [
            f"{'store':<10}{self.address}",
            f"{'values':<10}{self.values}, {self.starts} starts at each",
            f"{'shards':<10}{self.done} of {self.shards}",
        ]
        return "\n".join([*lines, *(f"{'damaged':<10}{name}" for name in self.damaged)])


def stored(store: Address) -> StoredAlong | None:
    """How much of a study of [`along`][attnflow.attractors.along] a folder holds; `None` where it holds none.

    Every file is read and held against its checksums; a run that is under way is not disturbed.

    **Raises:**

    `ValueError` where the account of the study cannot be read.
    """
    account = WorkStore(store, _ACCOUNT, _FORMAT, None, _WORK).read()
    if account is None:
        return None
    try:
        values, starts, shard = (account["asked"][name] for name in ("values", "starts", "shard"))
        shards = len(values) * -(-starts // shard)
    except (KeyError, TypeError, ZeroDivisionError):
        raise ValueError(
            f"{_ACCOUNT} of {store} does not say which values, starts and shards it is of; give another store."
        ) from None
    folder = open_folder(store)
    names = [name for name in folder.names("") if _NAME.match(name)]
    damaged = tuple(name for name in names if opened_arrays(folder.read(name)) is None)
    return StoredAlong(
        folder.address, len(values), starts, shards, len(names) - len(damaged), damaged
    )  # fmt: skip


class AlongStore:
    """A folder of `along.json` and `value-000-shard-00000.npz`, ..., each written whole or not at all."""

    def __init__(self, store: Address, given: Varied, values: np.ndarray, count: int, shard: int):
        self.given, self.values = given, values
        fields = [given.field(float(value)) for value in values]
        first = [np.round(given.source(float(value)).block(0, 1), 6) for value in values]
        key = None if given.key is None else _words(given.key)
        asked = {
            "parameter": given.what,
            "values": [float(value) for value in values],
            "starts": count,
            "shard": shard,
            "t1": given.t1,
            "options": {name: repr(option) for name, option in sorted(given.options.items())},
            "fields": digest_of(fields, [repr(field) for field in fields]),
            "first starts": digest_of(first, key),
            "noise": None if given.noise is None else digest_of(given.noise, repr(given.noise)),
        }
        self.work = WorkStore(store, _ACCOUNT, _FORMAT, {"asked": asked}, _WORK)
        if self.work.read() is None:
            self.work.record()

    def read(self, value: int, shard: int) -> Attractors | None:
        """A shard that is done; `None` where it is not there or not as it was written."""
        arrays = opened_arrays(self.work.unit(_name(value, shard)))
        if arrays is None:
            return None
        return _unpacked(self.given.field(float(self.values[value])), arrays)

    def write(self, value: int, shard: int, found: Attractors) -> Attractors:
        """Keep a shard that is done, and return it as it will be read."""
        content = _packed(found)
        self.work.write(_name(value, shard), content)
        arrays = opened_arrays(content)
        assert arrays is not None
        return _unpacked(self.given.field(float(self.values[value])), arrays)


def _words(key: Any) -> list[int]:
    data = jax.random.key_data(key) if jnp.issubdtype(key.dtype, jax.dtypes.prng_key) else key
    return np.asarray(data).ravel().tolist()


def _name(value: int, shard: int) -> str:
    return f"value-{value:03d}-shard-{shard:05d}.npz"


def _packed(found: Attractors) -> bytes:
    rows = [{name: getattr(row, name) for name in _PLAIN} for row in found.rows]
    head = {"rows": rows, "number": found.number, "failed": found.failed, "t1": found.t1}
    arrays = {"labels": found.labels, "head": np.frombuffer(json.dumps(head).encode(), np.uint8)}
    for k, row in enumerate(found.rows):
        arrays |= {f"state-{k}": row.state, f"start-{k}": row.start}
        if row.multipliers is not None:
            arrays[f"multipliers-{k}"] = row.multipliers
    return packed_arrays(arrays)


def _unpacked(field: AttentionField, arrays: dict[str, np.ndarray]) -> Attractors:
    head = json.loads(arrays["head"].tobytes())
    rows = []
    for k, plain in enumerate(head["rows"]):
        state = arrays[f"state-{k}"]
        rows.append(
            Attractor(
                **{**plain, "masses": tuple(plain["masses"])},
                state=state,
                spectrum=spectrum(field, 0.0, jnp.asarray(state)),
                start=arrays[f"start-{k}"],
                multipliers=arrays.get(f"multipliers-{k}"),
            )
        )
    return Attractors(tuple(rows), arrays["labels"], head["number"], head["failed"], head["t1"])
