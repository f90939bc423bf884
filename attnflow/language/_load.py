"""`load`: a GPT-2 or GPT-Neo from a Hugging Face folder, tensor by tensor into stacked layers."""

import re
from collections.abc import Callable
from os import PathLike

import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array

from ._architecture import Architecture, read_config
from ._draw import as_dtype
from ._model import GPT, Attention, Block, FeedForward, Norm
from ._tensors import Tensors

_MASKS = re.compile(r"(^|\.)attn\.(attention\.)?(masked_)?bias$")
_LAYER = re.compile(r"^h\.(\d+)\.(.+)$")


def load(folder: str | PathLike, *, dtype: DTypeLike = "float32", feed_forward: bool = True) -> GPT:
    """The model of a Hugging Face folder: `config.json` and `model.safetensors`, whole or in shards.

    Names may or may not begin with `transformer.`, as the hub's GPT-2 and saved models differ; masks
    that were saved as buffers and output heads are passed over. GPT-2's matrices are kept as they
    are, `(in, out)`; GPT-Neo's, `(out, in)`, are transposed.

    **Arguments:**

    - `folder`: of the model.
    - `dtype`: of the weights, whatever they are stored in; see [`random`][].
    - `feed_forward`: `False` leaves the feed-forward's weights on the disk, two thirds of all.

    **Returns:**

    A [`GPT`][].

    **Raises:**

    `ValueError` naming file and tensor: a folder without config or weights, another architecture,
    a file that is cut short, a tensor that is missing, of another shape, or not of finite floats.

    ```python
    model = af.language.load("gpt2-xl")                     # a folder
    ```
    """
    arch, dtype = read_config(folder), as_dtype(dtype)
    tensors = Tensors(folder)
    names = _gpt2 if arch.family == "gpt2" else _gpt_neo
    _refuse_strangers(arch, tensors)

    def read(name: str, *shape: int) -> Array:
        return jnp.asarray(tensors.read(name, shape, dtype))

    def stacked(name: str, *shape: int, transposed: bool = False) -> Array:
        out = None
        for layer in range(arch.layers):
            one = tensors.read(f"h.{layer}.{name}", shape, dtype)
            one = one.T if transposed else one
            out = np.empty((arch.layers, *one.shape), dtype) if out is None else out
            out[layer] = one
        return jnp.asarray(out)

    d = arch.dim
    return GPT(
        tokens=read("wte.weight", arch.vocabulary, d),
        positions=read("wpe.weight", arch.positions, d),
        blocks=names(arch, stacked, feed_forward),
        norm=Norm(read("ln_f.weight", d), read("ln_f.bias", d)),
        architecture=arch,
    )


def _norm(stacked: Callable[..., Array], name: str, d: int) -> Norm:
    return Norm(stacked(f"{name}.weight", d), stacked(f"{name}.bias", d))


def _gpt2(arch: Architecture, stacked: Callable[..., Array], feed_forward: bool) -> Block:
    d, m = arch.dim, arch.inner
    attention = Attention(
        stacked("attn.c_attn.weight", d, 3 * d),
        stacked("attn.c_attn.bias", 3 * d),
        stacked("attn.c_proj.weight", d, d),
        stacked("attn.c_proj.bias", d),
    )
    if not feed_forward:
        return Block(_norm(stacked, "ln_1", d), attention, None, None)
    forward = FeedForward(
        stacked("mlp.c_fc.weight", d, m),
        stacked("mlp.c_fc.bias", m),
        stacked("mlp.c_proj.weight", m, d),
        stacked("mlp.c_proj.bias", d),
    )
    return Block(_norm(stacked, "ln_1", d), attention, _norm(stacked, "ln_2", d), forward)


def _gpt_neo(arch: Architecture, stacked: Callable[..., Array], feed_forward: bool) -> Block:
    d, m = arch.dim, arch.inner

    def turned(name: str, rows: int, columns: int) -> Array:
        return stacked(name, rows, columns, transposed=True)

    parts = [turned(f"attn.attention.{part}_proj.weight", d, d) for part in "qkv"]
    attention = Attention(
        jnp.concatenate(parts, axis=-1),
        None,
        turned("attn.attention.out_proj.weight", d, d),
        stacked("attn.attention.out_proj.bias", d),
    )
    if not feed_forward:
        return Block(_norm(stacked, "ln_1", d), attention, None, None)
    forward = FeedForward(
        turned("mlp.c_fc.weight", m, d),
        stacked("mlp.c_fc.bias", m),
        turned("mlp.c_proj.weight", d, m),
        stacked("mlp.c_proj.bias", d),
    )
    return Block(_norm(stacked, "ln_1", d), attention, _norm(stacked, "ln_2", d), forward)


def _refuse_strangers(arch: Architecture, tensors: Tensors) -> None:
    """More layers in the file than in the config: the model would silently be another one."""
    for name in tensors.names:
        found = _LAYER.match(name)
        if found and int(found[1]) >= arch.layers and not _MASKS.search(name):
            raise ValueError(
                f"{tensors.folder} has a tensor '{name}', but config.json says {arch.layers} layers."
            )
