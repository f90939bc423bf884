"""Entries of a config.json, with Hugging Face's defaults and refusals that name the entry."""

from collections.abc import Mapping
from typing import Any

from ...core.arguments import whole


class Config:
    """The entries of a configuration; each reader takes a default and the entry's names, aliases last."""

    def __init__(self, entries: Mapping[str, Any]):
        self.entries = entries

    def get(self, default: Any, *names: str) -> Any:
        """The first of the names that is there and not null."""
        entries = self.entries
        return next((entries[name] for name in names if entries.get(name) is not None), default)

    def name(self, *names: str) -> str:
        """Which of the names is there; the first where none is."""
        return next((n for n in names if self.entries.get(n) is not None), names[0])

    def size(self, default: Any, *names: str) -> int:
        """A whole number, one or more."""
        value = self.get(default, *names)
        return whole(self.name(*names), value)

    def number(self, default: float | None, *names: str) -> float:
        """A number above zero."""
        value = self.get(default, *names)
        if isinstance(value, bool) or not isinstance(value, float | int) or not 0 < value < 1e30:
            name = self.name(*names)
            raise ValueError(f"'{name}' must be a positive number; got {value!r}.")
        return float(value)

    def flag(self, default: bool, *names: str) -> bool:
        """True or false."""
        return bool(self.get(default, *names))

    def refuse(self, name: str, allowed: Any, why: str) -> None:
        """A `ValueError` unless the entry is absent, null or the allowed one."""
        value = self.entries.get(name)
        if value is not None and value != allowed:
            raise ValueError(f"'{name}' must be {_json(allowed)}: {why}; got {value!r}.")

    def heads(
        self, dim: int, heads: int, named: str = "'num_attention_heads' must divide 'hidden_size'"
    ) -> Any:
        """Refuses heads that do not divide the length of a token."""
        if dim % heads:
            raise ValueError(f"{named}; got {heads} and {dim}.")

    def padding(self, default: int | None, vocabulary: int) -> int | None:
        """The token whose random embedding is zero; one outside the vocabulary is none."""
        value = self.entries.get("pad_token_id", default)
        valid = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < vocabulary
        return value if valid else None


def _json(value: Any) -> str:
    return {True: "true", False: "false", None: "null"}.get(value, repr(value))


def rotary_base(config: Config, default: float = 10000.0, kind: str | None = None) -> float:
    """The base of rotary positions, of old entries or new; every scaling but none is refused by name.

    **Arguments:**

    - `config`: of a model.
    - `default`: where the configuration has no such entry.
    - `kind`: of layers, where the entries differ by kind: `"full_attention"`.
    """
    parameters = rotary_parameters(config, kind)
    value = parameters.get("rope_theta", config.get(default, "rope_theta"))
    if isinstance(value, bool) or not isinstance(value, float | int) or not 1 < value < 1e30:
        raise ValueError(f"'rope_theta' must be a number above one; got {value!r}.")
    return float(value)


def rotary_parameters(config: Config, kind: str | None = None) -> Mapping[str, Any]:
    """`rope_parameters`, of one kind of layers if they differ by kind; `rope_scaling` is refused beside it."""
    result: Mapping[str, Any] = {}
    for name in ("rope_parameters", "rope_scaling"):
        entry = config.entries.get(name)
        if entry is None:
            continue
        if not isinstance(entry, Mapping):
            raise ValueError(f"'{name}' must be an object or null; got {entry!r}.")
        if kind is not None and isinstance(entry.get(kind), Mapping):
            entry = entry[kind]
        scaling = entry.get("rope_type", entry.get("type", "default"))
        if scaling != "default":
            raise ValueError(
                f"'{name}' must be of type 'default': scalings of rotary positions are not built; "
                f"got {scaling!r}."
            )
        result = {**result, **entry}
    return result


def windows_of(config: Config, layers: int, window: Any, sliding: Any) -> tuple[int | None, ...]:
    """By layer how many keys back a query sees: `layer_types` if given, else where `sliding(layer)`."""
    types = config.entries.get("layer_types")
    if types is None:
        types = ["sliding_attention" if sliding(k) else "full_attention" for k in range(layers)]
    known = ("sliding_attention", "full_attention")
    if not isinstance(types, list) or any(kind not in known for kind in types):
        raise ValueError(
            f"'layer_types' must be a list of 'full_attention' and 'sliding_attention'; got {types!r:.80}."
        )
    if len(types) != layers:
        raise ValueError(
            f"'layer_types' must name the {layers} layers of 'num_hidden_layers'; got {len(types)}."
        )
    if "sliding_attention" not in types:
        return (None,) * layers
    if isinstance(window, bool) or not isinstance(window, int) or window < 1:
        raise ValueError(
            f"'sliding_window' must be a whole number, one or more, as layers slide; got {window!r}."
        )
    return tuple(window if kind == "sliding_attention" else None for kind in types)
