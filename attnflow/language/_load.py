"""`load`: a transformer from files, tensor by tensor into stacked layers, by its family's names."""

import re
from os import PathLike
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array

from ._architecture import Architecture, config_of
from ._draw import as_dtype
from ._gguf import GGUFTensors, is_gguf
from ._memory import check_fits
from ._model import Transformer
from ._modules import Attention, FeedForward, Norm, TransformerBlock
from ._tensors import Tensors

_OF_FEED_FORWARD = ("feed_forward_norm", "gate", "up", "down", "feed_forward_out_norm")


@runtime_checkable
class Reader(Protocol):
    """Tensors by the family's names."""

    folder: Path

    @property
    def names(self) -> tuple[str, ...]: ...

    def read(self, name: str, shape: tuple[int, ...], dtype: Any) -> np.ndarray: ...


def load(
    folder: str | PathLike[str], *, dtype: DTypeLike = "float32", feed_forward: bool = True
) -> Transformer:
    """The model of a Hugging Face folder, or of a GGUF file.

    A folder has a `config.json` and `model.safetensors`, whole or in shards.

    Its family is the config's `model_type`, one of `attnflow.language.FAMILIES`. Names may or may not
    begin with the family's prefix (`transformer.`, `model.`, `bert.`), as hub files and saved models
    differ; masks that were saved as buffers and output heads are passed over. Matrices are kept
    `(in, out)`, whichever way they are stored. Of a GGUF file each tensor is dequantised in its turn;
    Llama (and Mistral), Qwen2, Qwen3, Gemma and Gemma 3 are read. Pickles are not: see [`convert`][].

    **Arguments:**

    - `folder`: of the model, or a file `.gguf`, for which `attnflow[gguf]` is needed.
    - `dtype`: of the weights, whatever they are stored in; see [`random`][].
    - `feed_forward`: `False` leaves the feed-forward's weights on the disk, two thirds of all.

    **Returns:**

    A [`Transformer`][].

    **Raises:**

    `ValueError` naming file and tensor: a folder without config or weights, another architecture,
    a file that is cut short, a tensor that is missing, of another shape, not of finite floats, or that
    such a model has not.

    ```python
    model = af.language.load("gpt2-xl")                     # a folder
    ```
    """
    dtype = as_dtype(dtype)
    if is_gguf(folder):
        file = GGUFTensors(folder)
        return assembled(file.architecture, file, dtype, feed_forward)
    arch = config_of(folder)
    tensors = Tensors(folder, arch.of.prefixes, arch.of.renamed)
    return assembled(arch, tensors, dtype, feed_forward)


def assembled(arch: Architecture, tensors: Reader, dtype: Any, feed_forward: bool) -> Transformer:
    """The model of tensors, read one at a time."""
    _refuse_strangers(arch, tensors)
    remedy = "Take a smaller dtype, or leave the feed-forward on the disk."
    check_fits(arch, dtype, feed_forward, blocks_alone=False, remedy=remedy)
    shapes = arch.shapes

    def whole(name: str) -> Array | None:
        if name not in shapes:
            return None
        matrix = name.removesuffix("_bias")
        read = _tensor(arch, tensors, name, matrix, shapes[name], None, dtype)
        return jnp.asarray(read)

    def stacked(name: str) -> Array | None:
        if name not in shapes or (not feed_forward and name.startswith(_OF_FEED_FORWARD)):
            return None
        out = np.empty(shapes[name], dtype)
        for layer in range(arch.own_layers):
            matrix = name.removesuffix("_bias")
            out[layer] = _tensor(arch, tensors, name, matrix, shapes[name][1:], layer, dtype)
        return jax.device_put(out)  # where it lies, and by no program of its shape

    def norm(name: str, read: Any) -> Norm | None:
        gain = read(name)
        return None if gain is None else Norm(gain, read(f"{name}_bias"), not arch.of.rms)

    def needed(name: str) -> Array:
        result = whole(name) if name == "tokens" else stacked(name)
        assert result is not None
        return result

    attention = Attention(
        needed("qkv"),
        stacked("qkv_bias"),
        needed("out"),
        stacked("out_bias"),
        norm("query_norm", stacked),
        norm("key_norm", stacked),
    )
    forward = None
    if feed_forward:
        forward = FeedForward(
            needed("up"),
            stacked("up_bias"),
            needed("down"),
            stacked("down_bias"),
            stacked("gate"),
            stacked("gate_bias"),
        )
    first = norm("attention_norm", stacked)
    assert first is not None
    blocks = TransformerBlock(
        first,
        attention,
        norm("feed_forward_norm", stacked),
        forward,
        norm("attention_out_norm", stacked),
        norm("feed_forward_out_norm", stacked),
    )
    return Transformer(
        tokens=needed("tokens"),
        positions=whole("positions"),
        blocks=blocks,
        norm=norm("norm", whole),
        architecture=arch,
        types=whole("types"),
        embedding_norm=norm("embedding_norm", whole),
        projection=whole("projection"),
        projection_bias=whole("projection_bias"),
    )


def _tensor(
    arch: Architecture,
    tensors: Reader,
    name: str,
    slot: str,
    shape: tuple[int, ...],
    layer: int | None,
    dtype: Any,
) -> np.ndarray:
    """A weight as it is kept here, of one or three tensors as the family keeps it."""
    family, stored = arch.of, arch.of.names[slot]
    ending = ".bias" if name.endswith("_bias") else ".weight"
    matrix = len(shape) == 2 and slot not in ("tokens", "positions", "types")
    turned = matrix and family.linear

    def one(stem: str, shape: tuple[int, ...]) -> np.ndarray:
        full = stem.format(layer) + ending
        read = tensors.read(full, shape[::-1] if turned else shape, dtype)
        return read.T if turned else read

    if not isinstance(stored, str):
        q, kv = arch.heads * arch.width, arch.kv_heads * arch.width
        parts = [
            one(stem, (*shape[:-1], columns))
            for stem, columns in zip(stored, (q, kv, kv), strict=True)
        ]
        return np.concatenate(parts, axis=-1)
    result = one(stored, shape)
    if slot == "qkv" and family.fused == "heads":
        by_head = result.reshape(*shape[:-1], arch.heads, 3, arch.width)
        return by_head.swapaxes(-2, -3).reshape(shape)
    gain = ending == ".weight" and slot.endswith("norm")
    return result + np.asarray(family.gain_offset, dtype) if gain and family.gain_offset else result


def _refuse_strangers(arch: Architecture, tensors: Reader) -> None:
    """A tensor of a layer that the model has not: it would silently be another model."""
    family = arch.of
    known, masks = set(), re.compile(family.ignored)
    for stored in family.names.values():
        known |= {stored} if isinstance(stored, str) else set(stored)
    numbered = re.compile(r"^(\D*?)(\d+)(\..+?)(\.weight|\.bias)?$")
    starts = {stem.partition("{}")[0] for stem in known if "{}" in stem}
    shapes = arch.shapes
    for name in tensors.names:
        result = numbered.match(name)
        if not result or result[1] not in starts or masks.search(name):
            continue
        if int(result[2]) >= arch.own_layers:
            raise ValueError(
                f"{tensors.folder} has a tensor '{name}', but config.json says {arch.own_layers} layers."
            )
        stem = f"{result[1]}{{}}{result[3]}"
        slot = next((s for s, x in family.names.items() if stem == x or stem in x), None)
        biased = slot is not None and f"{slot}_bias" in shapes
        if stem not in known or (result[4] == ".bias" and not biased):
            raise ValueError(
                f"{tensors.folder} has a tensor '{name}', which a {family.name} by its config.json has not."
            )
