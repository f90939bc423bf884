"""What kind of transformer: its family, sizes and options, by name or from a config.json."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from os import PathLike
from pathlib import Path
from typing import Any

from ..core.arguments import shown, whole
from ..core.words import loads
from ._activations import ACTIVATIONS
from .families import FAMILIES, Config, Family

_SIZES = ("vocabulary", "positions", "dim", "layers", "heads", "inner")
_SIZES_OR_NONE = ("key_heads", "head_width", "rotated", "embedding", "groups")
_BIASES = ("qkv", "out", "up", "down")


@dataclass(frozen=True)
class Architecture:
    r"""The sizes and options of a transformer, beside what its family says ([`Family`][]).

    **Attributes:**

    - `family`: `"gpt2"`, `"gpt_neo"`, `"llama"`, `"bert"`, ...: a key of `attnflow.language.FAMILIES`.
    - `vocabulary`, `positions`: numbers of token ids and of positions.
    - `dim`: $d$, the length of a token; `layers`; `heads`; `inner`: the feed-forward's width.
    - `activation`: of the feed-forward, a name of Hugging Face's.
    - `epsilon`: added to the variance or mean square by normalisations.
    - `scaled`: scores are divided by the root of a head's width (GPT-Neo never does).
    - `scaled_by_layer`: and by the number of the layer, from one.
    - `windows`: for each layer how many keys back a query sees, itself included; `None` for all.
    - `deviation`: of random weights.
    - `key_heads`: heads of keys and values, which divide those of queries; `None` for as many.
    - `head_width`: of a head, $d$ over `heads` where `None`.
    - `score_scale`: what scores are multiplied by, in place of `scaled`.
    - `rotary`: for each layer the base of its rotary positions; empty without.
    - `rotated`: how many coordinates of a head are rotated; `None` for all.
    - `parallel`: attention and feed-forward read the same tokens, $h + a(N_1 h) + f(N_2 h)$.
    - `biases`: which of `"qkv"`, `"out"`, `"up"`, `"down"` have biases; `None`: as the family has them.
    - `types`: rows of an embedding of token types, the first of which every token gets.
    - `embedding`: length of a token's embedding before it is mapped to `dim`; `None` where it is `dim`.
    - `groups`: of layers with the same weights, one after the other; `None` where each has its own.
    - `padding`: the id whose random embedding is zero.
    """

    family: str
    vocabulary: int
    positions: int
    dim: int
    layers: int
    heads: int
    inner: int
    activation: str = "gelu_new"
    epsilon: float = 1e-5
    scaled: bool = True
    scaled_by_layer: bool = False
    windows: tuple[int | None, ...] = ()
    deviation: float = 0.02
    key_heads: int | None = None
    head_width: int | None = None
    score_scale: float | None = None
    rotary: tuple[float, ...] = ()
    rotated: int | None = None
    parallel: bool = False
    biases: tuple[str, ...] | None = None
    types: int = 0
    embedding: int | None = None
    groups: int | None = None
    padding: int | None = None

    def __post_init__(self) -> None:
        if self.family not in FAMILIES:
            known = ", ".join(map(repr, FAMILIES))
            raise ValueError(f"`family` must be one of {known}; got {self.family!r}.")
        for name in (*_SIZES, *_SIZES_OR_NONE):
            value = getattr(self, name)
            if value is None and name in _SIZES_OR_NONE:
                continue
            object.__setattr__(self, name, whole(name, value))
        if self.head_width is None and self.dim % self.heads:
            raise ValueError(
                f"`dim` must be a multiple of `heads`; got {self.dim} and {self.heads}."
            )
        if self.heads % self.kv_heads:
            raise ValueError(
                f"`heads` must be a multiple of `key_heads`; got {self.heads} and {self.key_heads}."
            )
        if self.layers % (self.groups or 1):
            raise ValueError(
                f"`layers` must be a multiple of `groups`; got {self.layers} and {self.groups}."
            )
        turned = self.width if self.rotated is None else self.rotated
        if self.rotary and (turned % 2 or turned > self.width):
            raise ValueError(
                f"`rotated` must be even and at most {self.width}, a head's width; got {turned}."
            )
        if not isinstance(self.activation, str) or self.activation not in ACTIVATIONS:
            known = ", ".join(ACTIVATIONS)
            raise ValueError(f"`activation` must be one of {known}; got {self.activation!r}.")
        for name in ("epsilon", "deviation"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, float | int) or not value >= 0:
                raise ValueError(f"`{name}` must be a number, zero or more; got {value!r}.")
        if self.biases is not None and not set(self.biases) <= set(_BIASES):
            raise ValueError(f"`biases` must be of {', '.join(_BIASES)}; got {self.biases!r}.")
        windows = tuple(self.windows)
        if all(w is None for w in windows):  # so that `dataclasses.replace` may change the layers
            windows = (None,) * self.layers
        if len(windows) != self.layers or any(w is not None and w < 1 for w in windows):
            raise ValueError(
                f"`windows` must be one number or None for each of {self.layers} layers; "
                f"got {len(windows)} of them."
            )
        rotary = tuple(self.rotary)
        if len(set(rotary)) == 1:
            rotary = (rotary[0],) * self.layers
        if len(rotary) not in (0, self.layers):
            raise ValueError(
                f"`rotary` must be one base for each of {self.layers} layers; got {len(rotary)}."
            )
        object.__setattr__(self, "windows", windows)
        object.__setattr__(self, "rotary", rotary)

    @property
    def of(self) -> Family:
        """The family, with all that holds for its members."""
        return FAMILIES[self.family]

    @property
    def width(self) -> int:
        """$w$, of a head: $d/h$ unless `head_width` says otherwise."""
        return self.dim // self.heads if self.head_width is None else self.head_width

    @property
    def kv_heads(self) -> int:
        """Heads of keys and values."""
        return self.heads if self.key_heads is None else self.key_heads

    @property
    def scales(self) -> tuple[float, ...]:
        """What each layer multiplies $q^\\top k$ by."""
        first = self.width**-0.5 if self.scaled else 1.0
        first = first if self.score_scale is None else self.score_scale
        return tuple(
            first / (layer + 1) if self.scaled_by_layer else first for layer in range(self.layers)
        )

    @property
    def output_deviation(self) -> float:
        r"""Of the random matrices that write to the residual stream: GPT-2's over $\sqrt{2\,\text{layers}}$."""
        if self.of.shrunk:
            return self.deviation / math.sqrt(2 * self.layers)
        return self.deviation

    @property
    def own_layers(self) -> int:
        """Layers that have weights of their own."""
        return self.layers if self.groups is None else self.groups

    def group(self, layer: int) -> int:
        """Whose weights a layer has."""
        return layer * self.own_layers // self.layers

    def biased(self, matrix: str) -> bool:
        """Whether `"qkv"`, `"out"`, `"up"` or `"down"` has a bias."""
        return matrix in (self.of.biases if self.biases is None else self.biases)

    @property
    def longest(self) -> int | None:
        """Of a prompt: the positions of a learned embedding; `None` where positions are rotations."""
        return self.positions if "positions" in self.of.names else None

    @property
    def parameters(self) -> int:
        """How many numbers the weights are, without an output embedding."""
        return sum(math.prod(shape) for shape in self.shapes.values())

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Of the weights by name, with the axis of layers, matrices `(in, out)`."""
        d, m, w, e = self.dim, self.inner, self.width, self.embedding or self.dim
        q, kv, names = self.heads * w, self.kv_heads * w, self.of.names
        widths = {"qkv": q + 2 * kv, "out": d, "up": m, "down": d}
        inputs = {"qkv": d, "out": q, "up": d, "down": m}
        result: dict[str, tuple[int, ...]] = {"tokens": (self.vocabulary, e)}
        result |= {"positions": (self.positions, e)} if "positions" in names else {}
        result |= {"types": (self.types, e)} if self.types else {}
        if "projection" in names:
            result |= {"projection": (e, d), "projection_bias": (d,)}
        for name in ("embedding_norm", "norm"):
            if name in names:
                result |= self._norm(name, e if name == "embedding_norm" else d)
        n = self.own_layers
        for name in _BIASES:
            result[name] = (n, inputs[name], widths[name])
            if self.biased(name):
                result[f"{name}_bias"] = (n, widths[name])
        if self.of.gated:
            result["gate"] = (n, d, m)
            if self.biased("up"):
                result["gate_bias"] = (n, m)
        for name in names:
            if name in ("query_norm", "key_norm"):
                result |= self._norm(name, n, w)
            elif name.endswith("_norm") and name not in result and name != "embedding_norm":
                result |= self._norm(name, n, d)
        return result

    def _norm(self, name: str, *shape: int) -> dict[str, tuple[int, ...]]:
        return {name: shape} if self.of.rms else {name: shape, f"{name}_bias": shape}

    def record(self) -> dict[str, Any]:
        """As plain values: what stores have always held, and what differs from the defaults beside it."""
        plain = {**vars(self), "windows": list(self.windows)}
        defaults = {f.name: f.default for f in fields(self)}
        late = list(defaults)[list(defaults).index("deviation") + 1 :]
        for name in late:
            if plain[name] == defaults[name]:
                del plain[name]
            elif isinstance(plain[name], tuple):
                plain[name] = list(plain[name])
        return plain

    @staticmethod
    def of_record(record: Mapping[str, Any]) -> "Architecture":
        """What [`record`][attnflow.language.Architecture.record] was made of."""
        plain: dict[str, Any] = {
            name: tuple(x) if isinstance(x, list) else x for name, x in record.items()
        }
        return Architecture(**plain)

    def __str__(self) -> str:
        size = f"{self.parameters / 1e9:.2f} B" if self.parameters > 1e8 else f"{self.parameters:,}"
        return (
            f"{self.family}: {self.layers} layers of {self.heads} heads, d = {self.dim}, "
            f"{size} parameters"
        )


SIZES: dict[str, Architecture] = {
    name: Architecture(family.name, **entries)
    for family in FAMILIES.values()
    for name, entries in family.sizes.items()
}
"""The published sizes by name."""


def architecture(name: str) -> Architecture:
    """The published size of that name, a key of `attnflow.language.SIZES`: `"gpt2-xl"`, `"mistral-7b"`, ...

    **Raises:**

    `ValueError` on another name.
    """
    if name not in SIZES:
        raise ValueError(f"`model` must be a folder or one of {', '.join(SIZES)}; got {name!r}.")
    return SIZES[name]


def config_of(folder: str | PathLike[str]) -> Architecture:
    """The architecture that a Hugging Face folder's `config.json` describes."""
    path = Path(folder) / "config.json"
    if not Path(folder).is_dir():
        raise ValueError(f"`folder` must be a folder with a config.json; {folder} is none.")
    try:
        config = loads(path.read_text())
    except FileNotFoundError:
        raise ValueError(
            f"{folder} has no config.json: give the folder of a Hugging Face model."
        ) from None
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be read as JSON: {error}.") from None
    if not isinstance(config, dict):
        raise ValueError(f"{path} must hold a JSON object; got a {type(config).__name__}.")
    try:
        return from_config(config)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def from_config(config: Mapping[str, Any]) -> Architecture:
    """The architecture of a Hugging Face configuration, its defaults filled in as they are there."""
    name, inner = config.get("model_type"), config.get("text_config")
    if isinstance(inner, Mapping) and inner.get("model_type") in FAMILIES:
        return from_config(inner)  # of a model that sees pictures too
    if not isinstance(name, str) or name not in FAMILIES:
        known = ", ".join(map(repr, FAMILIES))
        raise ValueError(f"'model_type' must be one of {known}; got {name!r}.")
    # Scales stand beside such weights: read as they are, these would be others.
    packed = config.get("quantization_config")
    if packed is not None:
        method = packed.get("quant_method") if isinstance(packed, Mapping) else packed
        raise ValueError(
            f"'quantization_config' must not be there: weights packed by {shown(method)} are not read; take the "
            "model's own weights, or a GGUF file."
        )
    return Architecture(name, **FAMILIES[name].entries(Config(config)))
