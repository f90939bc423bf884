"""The header of a GGUF file: metadata and where tensors are; nothing beyond the file's end is believed."""

import math
import mmap
import struct
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..core.words import printable

_NUMBERS = {
    0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d",
}  # fmt: skip
_STRING, _ARRAY = 8, 9
_KEPT = 64  # items of an array; vocabularies are passed over until they are asked for
_MOST_DIMENSIONS = 4


class Stored(NamedTuple):
    """A tensor of the file: its shape as NumPy has it, its type and its first byte."""

    shape: tuple[int, ...]
    kind: int
    start: int


class GGUFFile:
    """Metadata (`entries`) and tensors (`tensors`) of a file, by name.

    An array of more than 64 items is passed over, and read where it is asked for (`array`): the reader of the
    `gguf` package makes a vocabulary an object for each of its words, which takes longer than all tensors.
    """

    def __init__(self, path: Path):
        if find_spec("gguf") is None:
            raise ImportError(
                "GGUF files need gguf, not installed here: pip install 'attnflow[gguf]'."
            )
        self.path, self.entries, self.tensors = path, {}, {}
        self._long: dict[str, int] = {}
        try:
            with open(path, "rb") as file:
                self._bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            self._read()
        except (ValueError, struct.error, OverflowError, UnicodeDecodeError) as error:
            raise ValueError(
                f"{path} cannot be read as GGUF ({printable(str(error))[:80]}): it is cut short or "
                "something else."
            ) from None

    def _read(self) -> None:
        if self._bytes[:4] != b"GGUF":
            raise ValueError("it does not begin with GGUF")
        self._at = 4
        version = self._number(4)
        if version not in (2, 3):
            raise ValueError(f"version 2 or 3 is read; got {version}")
        tensors, entries = self._number(10), self._number(10)
        for _ in range(entries):
            name, kind, start = self._string(), self._number(4), self._at
            self.entries[name] = self._value(kind)
            if kind == _ARRAY and self.entries[name] is None:
                self._long[name] = start
        result = {}
        for _ in range(tensors):
            name, count = self._string(), self._number(4)
            if count > _MOST_DIMENSIONS:
                raise ValueError(f"tensor {name!r} has {count} dimensions")
            shape = tuple(self._number(10) for _ in range(count))[::-1]
            result[name] = Stored(shape, self._number(4), self._number(10))
        align = self.entries.get("general.alignment", 32)
        if not isinstance(align, int) or align < 1:
            raise ValueError(f"alignment {align!r}")
        data = self._at + -self._at % align
        for name, stored in result.items():
            self.tensors[name] = stored._replace(start=data + stored.start)

    def _number(self, kind: int) -> Any:
        (value,) = struct.unpack_from(_NUMBERS[kind], self._bytes, self._at)
        self._at += struct.calcsize(_NUMBERS[kind])
        return value

    def _skip(self, size: int) -> int:
        """Where `size` bytes begin that are passed over."""
        start = self._at
        if size > len(self._bytes) - start:
            raise ValueError(f"{size} bytes are said to follow byte {start}")
        self._at += size
        return start

    def _string(self) -> str:
        size = self._number(10)
        start = self._skip(size)
        return self._bytes[start : start + size].decode()

    def _value(self, kind: int) -> Any:
        if kind in _NUMBERS:
            return self._number(kind)
        if kind == _STRING:
            return self._string()
        if kind != _ARRAY:
            raise ValueError(f"a value of type {kind}")
        inner, count = self._number(4), self._number(10)
        if inner == _ARRAY:
            raise ValueError("an array of arrays")
        if count <= _KEPT:
            return [self._value(inner) for _ in range(count)]
        if inner in _NUMBERS:
            self._skip(count * struct.calcsize(_NUMBERS[inner]))
        elif inner == _STRING:
            for _ in range(count):
                self._skip(self._number(10))
        else:
            raise ValueError(f"an array of {count} values of type {inner}")
        return None

    def array(self, name: str) -> list[Any]:
        """All items of an array of the metadata, however long.

        **Raises:**

        `ValueError` where there is no such array.
        """
        if name not in self._long:
            kept = self.entries.get(name)
            if not isinstance(kept, list):
                raise ValueError(f"there is no array '{name}'")
            return kept
        self._at = self._long[name]
        kind, count = self._number(4), self._number(10)
        try:
            return [self._value(kind) for _ in range(count)]
        except (struct.error, UnicodeDecodeError) as error:
            raise ValueError(f"'{name}' cannot be read: {printable(str(error))[:80]}") from None

    def read(self, name: str) -> np.ndarray:
        """A tensor in float32, dequantised.

        **Raises:**

        `ValueError` naming file and tensor: a type that `gguf` does not dequantise, or a file cut short.
        """
        import gguf

        stored = self.tensors[name]
        try:
            kind = gguf.GGMLQuantizationType(stored.kind)
            block, size = gguf.GGML_QUANT_SIZES[kind]
            if not stored.shape or stored.shape[-1] % block:
                raise ValueError(f"rows of {stored.shape} are not of whole blocks")
            rows = (*stored.shape[:-1], stored.shape[-1] // block * size)
            count = math.prod(rows)
            if count > len(self._bytes) - stored.start:
                raise ValueError("the file is cut short")
            data = np.frombuffer(self._bytes, np.uint8, count, stored.start).reshape(rows)
            return gguf.quants.dequantize(data, kind)
        except (NotImplementedError, ValueError, KeyError) as error:
            raise ValueError(
                f"{self.path}: tensor '{name}' of type {stored.kind} cannot be read "
                f"({printable(str(error))[:80]}): take a whole file, or one of another quantisation."
            ) from None
