"""How a schedule stands in a file: the name of its kind, and what each argument may be."""

from typing import Any, Literal, get_origin

import jax
import numpy as np

_WORDS = ("numbers", "array", "schedule", "schedules")
_TYPES = (bool, int, float, list)


class InFile:
    """The table that stands for a schedule in a TOML or JSON file, `{type = "...", ...}`.

    **Arguments:**

    - `type`: the word that names the class there; no other class has it.
    - `arguments`: those of the class's `__init__`, each the name of a field that holds what was given.
      For each a kind, or `(kind, default)`. Kinds: `"numbers"` (one, or an array), `"array"`,
      `"schedule"` (numbers or another table), `"schedules"` (a list of them), `list` (of times),
      `float`, `int`, `bool`, or a `Literal` of words.

    **Raises:**

    `ValueError` on a kind that is none of these.

    ```python
    in_file = af.schedules.InFile("decaying", matrix="array", rate=("numbers", 1.0))
    ```
    """

    def __init__(self, type: str, /, **arguments: object):
        if not (isinstance(type, str) and type):
            raise ValueError(f"`type` must be a word; got {type!r}.")
        self.type = type
        self.kinds: dict[str, Any] = {}
        self.defaults: dict[str, Any] = {}
        for name, kind in arguments.items():
            if isinstance(kind, tuple):
                kind, self.defaults[name] = kind
            words = isinstance(kind, str) and kind in _WORDS
            if not (words or kind in _TYPES or get_origin(kind) is Literal):
                raise ValueError(
                    f"`{name}` must be {', '.join(map(repr, _WORDS))}, bool, int, float, list or a "
                    f"Literal; got {kind!r}."
                )
            self.kinds[name] = kind

    def __repr__(self) -> str:
        return f"InFile({self.type!r}, {', '.join(self.kinds)})"


def plain(value: Any) -> Any:
    """What a file holds for an argument: tables of schedules, numbers, lists, words."""
    if hasattr(value, "as_table"):
        return value.as_table()
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    if isinstance(value, jax.Array | np.ndarray):
        return np.asarray(value, np.float64).tolist()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise ValueError(f"a {type(value).__name__} has no form in a file.")
