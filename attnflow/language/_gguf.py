"""Models of GGUF files: their metadata as a config, their tensors dequantised one at a time."""

from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from ..core.arguments import shown
from ._architecture import Architecture, config_of, from_config
from ._gguf_file import GGUFFile
from .families import FAMILIES, Family

# By the name that a config.json has for it.
_ENTRIES = {
    "hidden_size": "embedding_length",
    "num_hidden_layers": "block_count",
    "intermediate_size": "feed_forward_length",
    "num_attention_heads": "attention.head_count",
    "num_key_value_heads": "attention.head_count_kv",
    "rms_norm_eps": "attention.layer_norm_rms_epsilon",
    "head_dim": "attention.key_length",
    "rope_theta": "rope.freq_base",
    "rope_local_base_freq": "rope.freq_base_swa",
    "max_position_embeddings": "context_length",
    "sliding_window": "attention.sliding_window",
}
# What would change every number, and the value that changes none.
_REFUSED = {
    "rope.scale_linear": (1, "scalings of rotary positions"),
    "rope.scaling.factor": (1, "scalings of rotary positions"),
    "attn_logit_softcapping": (0, "capped scores"),
    "attention.scale": (0, "scales of scores"),
    "embedding_scale": (0, "scales of embeddings"),
    "residual_scale": (0, "scales of residuals"),
}
_GEMMA_27B = 62  # its layers; there alone scores are not divided by the root of a head's width


class GGUFTensors:
    """A GGUF file's tensors by the names of its family, and the architecture that its metadata describe.

    **Arguments:**

    - `path`: of the file.

    **Raises:**

    `ValueError` naming the file and what is wrong in it; `ImportError` without `gguf`.
    """

    def __init__(self, path: str | PathLike[str]):
        self.folder = Path(path)
        self._file = GGUFFile(self.folder)
        self._tensors = self._file.tensors
        self.family = self._family()
        try:
            self.architecture = from_config(self._config())
        except ValueError as error:
            raise ValueError(f"{self.folder}: {error}") from None
        self._where = self._names()
        self._refuse_strangers()

    def _family(self) -> Family:
        name = self._entry("general.architecture")
        readable = {f.name.removesuffix("_text"): f for f in FAMILIES.values() if f.gguf}
        # Mistral's files call themselves llama.
        readable.pop("mistral", None)
        if name not in readable:
            raise ValueError(
                f"{self.folder} is of architecture {name!r}; GGUF files are read of "
                f"{', '.join(readable)}: take the model's Hugging Face folder."
            )
        return readable[name]

    def _entry(self, name: str) -> Any:
        return self._file.entries.get(name)

    def _config(self) -> dict[str, Any]:
        kind = self.family.name.removesuffix("_text")
        result = {name: self._entry(f"{kind}.{key}") for name, key in _ENTRIES.items()}
        for name, value in result.items():
            if isinstance(value, list):
                raise ValueError(
                    f"'{kind}.{_ENTRIES[name]}' must be one number for all layers; got a list."
                )
        scaling = self._entry(f"{kind}.rope.scaling.type")
        if scaling not in (None, "none") or "rope_freqs.weight" in self._tensors:
            raise ValueError(
                f"'{kind}.rope.scaling.type' must be 'none', and no tensor 'rope_freqs.weight' there: "
                f"scalings of rotary positions are not built; got {scaling!r}."
            )
        for name, (none, what) in _REFUSED.items():
            if (value := self._entry(f"{kind}.{name}")) not in (None, none):
                raise ValueError(
                    f"'{kind}.{name}' must not be there: {what} are not built; got {shown(value)}."
                )
        if "token_embd.weight" not in self._tensors:
            raise ValueError("there is no tensor 'token_embd.weight'.")
        width = self._entry(f"{kind}.attention.value_length")
        if width is not None and result["head_dim"] is not None and width != result["head_dim"]:
            raise ValueError(f"'{kind}.attention.value_length' must be that of keys; got {width}.")
        turned = self._entry(f"{kind}.rope.dimension_count")
        d, heads = result["hidden_size"], result["num_attention_heads"]
        whole = isinstance(d, int) and isinstance(heads, int) and heads > 0
        share = d // heads if whole else None
        head = share if result["head_dim"] is None else result["head_dim"]
        if turned not in (None, head):
            raise ValueError(
                f"'{kind}.rope.dimension_count' must be a head's width, {head}; got {shown(turned)}."
            )
        result["vocab_size"] = int(self._tensors["token_embd.weight"].shape[0])
        if kind == "gemma3":
            scalar = share if result["num_hidden_layers"] == _GEMMA_27B else result["head_dim"]
            result["query_pre_attn_scalar"] = scalar
        result = {name: value for name, value in result.items() if value is not None}
        return result | {"model_type": self.family.name}

    def _names(self) -> dict[str, tuple[str, int | None, str]]:
        """From a family's name to the file's, heads whose rows are interleaved, and the slot."""
        arch, result = self.architecture, {}
        permuted = (arch.heads, arch.kv_heads, None)
        for slot, ours in self.family.names.items():
            theirs = self.family.gguf[slot]
            pairs = [(ours, theirs)] if isinstance(ours, str) else zip(ours, theirs, strict=True)
            for k, (own, other) in enumerate(pairs):
                turned = self.family.gguf_permuted and slot == "qkv"
                count = permuted[k] if turned else None
                layers = range(arch.own_layers) if "{}" in str(own) else (0,)
                for ending in (".weight", ".bias"):
                    for layer in layers:
                        full = str(other).format(layer) + ending
                        result[str(own).format(layer) + ending] = (full, count, slot)
        return result

    def _refuse_strangers(self) -> None:
        biased = {f"{slot}_bias" for slot in self.family.names} & set(self.architecture.shapes)
        known = {
            full
            for full, _, slot in self._where.values()
            if full.endswith(".weight") or f"{slot}_bias" in biased
        }
        for name in self._tensors:
            if name.startswith("blk.") and name not in known:
                raise ValueError(
                    f"{self.folder} has a tensor '{name}', which a {self.family.name} by its metadata "
                    "has not."
                )

    @property
    def names(self) -> tuple[str, ...]:
        """The family's names of what is there."""
        return tuple(name for name, (full, *_) in self._where.items() if full in self._tensors)

    def read(self, name: str, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """The tensor of that name, which must have that shape and be of finite real numbers."""
        full, heads, slot = self._where[name]
        if full not in self._tensors:
            raise ValueError(f"{self.folder} has no tensor '{full}', which its metadata ask for.")
        stored = self._tensors[full].shape
        if stored != shape:
            raise ValueError(
                f"{self.folder}: tensor '{full}' must have shape {shape} by its metadata; got {stored}."
            )
        array = self._file.read(full)
        if heads is not None:  # pairs of coordinates that rotate together are neighbours there
            rows = array.reshape(heads, shape[0] // heads // 2, 2, *shape[1:])
            array = rows.swapaxes(1, 2).reshape(shape)
        # Gains are stored whole there.
        if slot.endswith("norm") and self.family.gain_offset:
            array = array - np.float32(self.family.gain_offset)
        with np.errstate(over="ignore"):
            array = array.astype(dtype)
        if not np.isfinite(array).all():
            raise ValueError(
                f"{self.folder}: tensor '{full}' must be finite as {np.dtype(dtype).name}; "
                "got NaN or infinity."
            )
        return array


def is_gguf(path: str | PathLike[str]) -> bool:
    """Whether a path is that of a file, by its name a GGUF."""
    path = Path(path)
    return path.suffix.lower() == ".gguf" and path.is_file()


def read_config(folder: str | PathLike[str]) -> Architecture:
    """The architecture that a Hugging Face folder's `config.json` describes, or a GGUF file's metadata.

    **Raises:**

    `ValueError` naming the file and the entry: no config, one that is not JSON, an architecture
    that is not known, an unknown activation, options that are not built, sizes that do not fit.
    """
    return GGUFTensors(folder).architecture if is_gguf(folder) else config_of(folder)
