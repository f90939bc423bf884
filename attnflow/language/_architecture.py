"""What kind of transformer: GPT-2 or GPT-Neo, its sizes and options, by name or from a config.json."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from ..core.checks import shown, whole
from ..core.words import loads
from ._activations import ACTIVATIONS

FAMILIES = ("gpt2", "gpt_neo")


@dataclass(frozen=True)
class Architecture:
    r"""The sizes and options of a GPT-2 or GPT-Neo.

    **Attributes:**

    - `family`: `"gpt2"` or `"gpt_neo"`.
    - `vocabulary`, `positions`: numbers of token ids and of positions.
    - `dim`: $d$, the length of a token; `layers`; `heads`; `inner`: the feed-forward's width.
    - `activation`: of the feed-forward, a name of Hugging Face's.
    - `epsilon`: added to the variance by layer normalisation.
    - `scaled`: scores are divided by $\sqrt{d/h}$ (GPT-2's default; GPT-Neo never does).
    - `scaled_by_layer`: and by the number of the layer, from one.
    - `windows`: for each layer how many keys back a query sees, itself included; `None` for all.
    - `deviation`: of random weights.
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

    def __post_init__(self) -> None:
        if self.family not in FAMILIES:
            raise ValueError(f"`family` must be 'gpt2' or 'gpt_neo'; got {self.family!r}.")
        for name in ("vocabulary", "positions", "dim", "layers", "heads", "inner"):
            object.__setattr__(self, name, whole(name, getattr(self, name)))
        if self.dim % self.heads:
            raise ValueError(
                f"`dim` must be a multiple of `heads`; got {self.dim} and {self.heads}."
            )
        if not isinstance(self.activation, str) or self.activation not in ACTIVATIONS:
            known = ", ".join(ACTIVATIONS)
            raise ValueError(f"`activation` must be one of {known}; got {self.activation!r}.")
        for name in ("epsilon", "deviation"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, float | int) or not value >= 0:
                raise ValueError(f"`{name}` must be a number, zero or more; got {value!r}.")
        windows = tuple(self.windows)
        if all(w is None for w in windows):  # so that `dataclasses.replace` may change the layers
            windows = (None,) * self.layers
        if len(windows) != self.layers or any(w is not None and w < 1 for w in windows):
            raise ValueError(
                f"`windows` must be one number or None for each of {self.layers} layers; "
                f"got {len(windows)} of them."
            )
        object.__setattr__(self, "windows", windows)

    @property
    def width(self) -> int:
        """$w = d/h$, of a head."""
        return self.dim // self.heads

    @property
    def scales(self) -> tuple[float, ...]:
        """What each layer multiplies $q^\\top k$ by."""
        first = self.width**-0.5 if self.scaled else 1.0
        return tuple(
            first / (layer + 1) if self.scaled_by_layer else first for layer in range(self.layers)
        )

    @property
    def output_deviation(self) -> float:
        r"""Of the random matrices that write to the residual stream: GPT-2's over $\sqrt{2\,\text{layers}}$."""
        if self.family == "gpt2":
            return self.deviation / math.sqrt(2 * self.layers)
        return self.deviation

    @property
    def biased(self) -> bool:
        """Whether queries, keys and values have biases: GPT-2's have."""
        return self.family == "gpt2"

    @property
    def parameters(self) -> int:
        """How many numbers the weights are (the output embedding is the input's)."""
        d, m = self.dim, self.inner
        attention = 4 * d * d + d + (3 * d if self.biased else 0)
        block = attention + 2 * d * m + m + d + 4 * d
        return (self.vocabulary + self.positions) * d + self.layers * block + 2 * d

    def __str__(self) -> str:
        size = f"{self.parameters / 1e9:.2f} B" if self.parameters > 1e8 else f"{self.parameters:,}"
        return (
            f"{self.family}: {self.layers} layers of {self.heads} heads, d = {self.dim}, "
            f"{size} parameters"
        )


def _gpt2(layers: int, dim: int, heads: int) -> Architecture:
    return Architecture("gpt2", 50257, 1024, dim, layers, heads, 4 * dim)


def _gpt_neo(layers: int, dim: int, heads: int) -> Architecture:
    windows = (None, 256) * (layers // 2)
    return Architecture(
        "gpt_neo", 50257, 2048, dim, layers, heads, 4 * dim, scaled=False, windows=windows
    )


SIZES: dict[str, Architecture] = {
    "gpt2": _gpt2(12, 768, 12),
    "gpt2-medium": _gpt2(24, 1024, 16),
    "gpt2-large": _gpt2(36, 1280, 20),
    "gpt2-xl": _gpt2(48, 1600, 25),
    "gpt-neo-125M": _gpt_neo(12, 768, 12),
    "gpt-neo-1.3B": _gpt_neo(24, 2048, 16),
    "gpt-neo-2.7B": _gpt_neo(32, 2560, 20),
}
"""The published sizes by name."""


def architecture(name: str) -> Architecture:
    """The published size of that name: `"gpt2"`, `"gpt2-medium"`, `"gpt2-large"`, `"gpt2-xl"`,
    `"gpt-neo-125M"`, `"gpt-neo-1.3B"`, `"gpt-neo-2.7B"`.

    **Raises:**

    `ValueError` on another name.
    """
    if name not in SIZES:
        raise ValueError(f"`model` must be a folder or one of {', '.join(SIZES)}; got {name!r}.")
    return SIZES[name]


def read_config(folder: str | PathLike) -> Architecture:
    """The architecture that a Hugging Face folder's `config.json` describes.

    **Raises:**

    `ValueError` naming the file and the entry: no config, one that is not JSON, an architecture
    other than GPT-2 and GPT-Neo, an unknown activation, cross attention, sizes that do not fit.
    """
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
    family = config.get("model_type")
    if family == "gpt2":
        return _from_gpt2(config)
    if family == "gpt_neo":
        return _from_gpt_neo(config)
    raise ValueError(f"'model_type' must be 'gpt2' or 'gpt_neo'; got {family!r}.")


def _get(config: Mapping[str, Any], default: Any, *names: str) -> Any:
    """The first of the names that is there and not null: they are aliases."""
    return next((config[name] for name in names if config.get(name) is not None), default)


def _size(config: Mapping[str, Any], default: Any, *names: str) -> int:
    """`_get` of a whole number, one or more."""
    value = _get(config, default, *names)
    return whole(next((n for n in names if config.get(n) is not None), names[0]), value)


def _shared(config: Mapping[str, Any], dim: int, heads: int) -> dict[str, Any]:
    if dim % heads:
        raise ValueError(
            "'num_attention_heads' (n_head, num_heads) must divide 'hidden_size' (n_embd); "
            f"got {heads} and {dim}."
        )
    return {
        "dim": dim,
        "heads": heads,
        "vocabulary": _size(config, 50257, "vocab_size"),
        "activation": _get(config, "gelu_new", "activation_function"),
        "epsilon": _get(config, 1e-5, "layer_norm_epsilon"),
        "deviation": _get(config, 0.02, "initializer_range"),
    }


def _from_gpt2(config: Mapping[str, Any]) -> Architecture:
    if config.get("add_cross_attention"):
        raise ValueError("'add_cross_attention' must be false: there is nothing to attend to.")
    dim = _size(config, 768, "n_embd", "hidden_size")
    return Architecture(
        family="gpt2",
        positions=_size(config, 1024, "n_positions", "max_position_embeddings"),
        layers=_size(config, 12, "n_layer", "num_hidden_layers"),
        inner=_size(config, 4 * dim, "n_inner"),
        scaled=bool(_get(config, True, "scale_attn_weights")),
        scaled_by_layer=bool(_get(config, False, "scale_attn_by_inverse_layer_idx")),
        **_shared(config, dim, _size(config, 12, "n_head", "num_attention_heads")),
    )


def _from_gpt_neo(config: Mapping[str, Any]) -> Architecture:
    dim = _size(config, 2048, "hidden_size")
    layers = _size(config, 24, "num_layers", "num_hidden_layers")
    return Architecture(
        family="gpt_neo",
        positions=_size(config, 2048, "max_position_embeddings"),
        layers=layers,
        inner=_size(config, 4 * dim, "intermediate_size"),
        scaled=False,
        windows=_windows(config, layers, _size(config, 256, "window_size")),
        **_shared(config, dim, _size(config, 16, "num_heads", "num_attention_heads")),
    )


_MOST_LAYERS = 10**5


def _windows(config: Mapping[str, Any], layers: int, window: int) -> tuple[int | None, ...]:
    """`attention_types`, `[[["global", "local"], 12]]`, laid out by layer."""
    types = _get(config, [[["global", "local"], 12]], "attention_types")
    laid_out = config.get("attention_layers") if config.get("attention_types") is None else None
    try:
        most = sum(len(pattern) * max(times, 0) for pattern, times in types)
        if laid_out is None and most > _MOST_LAYERS:
            raise ValueError(f"'attention_types' must be of fewer layers; got {shown(most)}.")
    except (TypeError, ValueError) as error:
        if str(error).startswith("'attention_types'"):
            raise
    try:
        kinds = [kind for pattern, times in types for _ in range(times) for kind in pattern]
        kinds = kinds if laid_out is None else list(laid_out)
    except (TypeError, ValueError):
        raise ValueError(
            "'attention_types' must be pairs of a list of kinds and a number; "
            f"got {json.dumps(types)}."
        ) from None
    unknown = next((kind for kind in kinds if kind not in ("global", "local")), None)
    if unknown is not None:
        raise ValueError(f"'attention_types' must name 'global' and 'local'; got {unknown!r}.")
    if len(kinds) != layers:
        raise ValueError(
            f"'attention_types' must cover the {layers} layers of 'num_layers'; got {len(kinds)}."
        )
    return tuple(None if kind == "global" else window for kind in kinds)
