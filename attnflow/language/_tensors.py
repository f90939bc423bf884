"""The tensors of a folder's safetensors files, one at a time: single file or shards, never pickle."""

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from os import PathLike
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from ..core.words import loads

_SINGLE, _INDEX = "model.safetensors", "model.safetensors.index.json"
_FLOATS = {"F64", "F32", "F16", "BF16"}


class Tensors:
    """A folder's tensors by name, without its prefix; nothing is read before it is asked for.

    **Arguments:**

    - `folder`: with `model.safetensors`, or `model.safetensors.index.json` and its shards.
    - `prefixes`: what is left out of names that begin with it.
    - `renamed`: endings of names in older files, and what they are now.

    **Raises:**

    `ValueError` naming the file: none there, only a pickle, truncated, a shard that is missing.
    `ImportError` without `safetensors`.
    """

    def __init__(
        self,
        folder: str | PathLike[str],
        prefixes: Sequence[str] = (),
        renamed: Mapping[str, str] = MappingProxyType({}),
    ):
        if find_spec("safetensors") is None:
            raise ImportError(
                "weights need safetensors, not installed here: pip install 'attnflow[language]'."
            )
        self.folder = Path(folder)
        self._open: dict[Path, Any] = {}
        self._where: dict[str, tuple[Path, str]] = {}
        for name, path in self._listed():
            self._where[_short(name, prefixes, renamed)] = (path, name)

    def _listed(self) -> list[tuple[str, Path]]:
        single, index = self.folder / _SINGLE, self.folder / _INDEX
        if single.exists():
            return [(name, single) for name in self._file(single).keys()]  # noqa: SIM118
        if not index.exists():
            raise ValueError(_nothing(self.folder))
        try:
            listed = loads(index.read_text())["weight_map"]
            pairs = [(str(name), self.folder / Path(file).name) for name, file in listed.items()]
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            raise ValueError(f"{index} must hold a JSON object with a 'weight_map'.") from None
        for path in {path for _, path in pairs}:
            if not path.exists():
                raise ValueError(f"{path} is missing: {_INDEX} names it.")
        return pairs

    def _file(self, path: Path) -> Any:
        if path not in self._open:
            from safetensors import SafetensorError, safe_open

            try:
                self._open[path] = safe_open(str(path), framework="np")
            except (SafetensorError, OSError) as error:
                raise ValueError(
                    f"{path} cannot be read as safetensors ({error}): it is cut short or something else."
                ) from None
        return self._open[path]

    @property
    def names(self) -> tuple[str, ...]:
        """All names, without the prefix."""
        return tuple(self._where)

    def read(self, name: str, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """The tensor of that name, which must have that shape and be of finite real numbers."""
        if name not in self._where:
            raise ValueError(
                f"{self.folder} has no tensor '{name}', which its config.json asks for."
            )
        path, full = self._where[name]
        from safetensors import SafetensorError

        try:
            described = self._file(path).get_slice(full)
            got, kind = tuple(described.get_shape()), described.get_dtype()
            if got != shape:
                raise ValueError(
                    f"{path}: tensor '{full}' must have shape {shape} by config.json; got {got}."
                )
            if kind not in _FLOATS:
                raise ValueError(
                    f"{path}: tensor '{full}' must be F32, F16, BF16 or F64; got {kind}: take "
                    "the model's own weights, or a GGUF file of packed ones."
                )
            with np.errstate(over="ignore"):  # what is too large becomes infinite, and is refused
                array = np.asarray(self._file(path).get_tensor(full)).astype(dtype)
        except (SafetensorError, OSError) as error:
            raise ValueError(f"{path}: tensor '{full}' cannot be read: {error}.") from None
        if not np.isfinite(array).all():
            raise ValueError(
                f"{path}: tensor '{full}' must be finite as {np.dtype(dtype).name}; got NaN or infinity."
            )
        return array


def _short(name: str, prefixes: Sequence[str], renamed: Mapping[str, str]) -> str:
    prefix = next((p for p in prefixes if name.startswith(p)), "")
    name = name.removeprefix(prefix)
    old = next((o for o in renamed if name.endswith(o)), "")
    return name.removesuffix(old) + renamed[old] if old else name


def _nothing(folder: Path) -> str:
    pickles = sorted(folder.glob("*.bin")) + sorted(folder.glob("*.pt"))
    if pickles:
        return (
            f"{folder} has no {_SINGLE}, only {pickles[0].name}, a pickle, which is never read: make "
            "a folder of it with `attnflow convert`."
        )
    return f"{folder} has neither {_SINGLE} nor {_INDEX}."
