"""`looped`: a transformer whose output enters it again, and how far apart its tokens are."""

import hashlib
import time
import warnings
from collections.abc import Sequence
from functools import partial
from os import PathLike
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jax.typing import DTypeLike
from jaxtyping import Array, ArrayLike, Int, Key

from ..core.checks import choose, whole
from ..core.compiled import compiled
from ..core.types import Device
from ..records import progress as bar
from ._architecture import Architecture
from ._draw import (
    as_architecture,
    as_dtype,
    as_key,
    embedding_parts,
    final_norm,
    held_blocks,
    position_rows,
    token_rows,
)
from ._memory import check_fits
from ._model import Transformer, check_feed_forward, entered
from ._modules import Norm, without_feed_forward
from ._pass import CONTROLS, PassPlan, WeightSource, measure, one_pass
from ._prompts import as_prompts
from ._result import Looped
from ._store import LoopStore, together

_WEIGHTS = ("trained", "fixed", "redrawn")
_CHUNK = 10


def looped(
    model: Transformer | Architecture | str,
    token_ids: Int[ArrayLike, "..."] | Sequence[Sequence[int]],
    *,
    passes: int,
    feed_forward: bool = True,
    weights: str | None = None,
    key: Key[Array, ""] | None = None,
    control: str = "none",
    keep: str | None = None,
    store: str | PathLike[str] | None = None,
    hold: bool = True,
    chunk: int = _CHUNK,
    dtype: DTypeLike | None = None,
    precision: str = "highest",
    devices: Sequence[Device] | None = None,
    progress: bool = True,
) -> Looped:
    r"""Passes through a model one after the other, and the misalignment of its tokens after every block.

    The tokens start as the prompt's embedding. A pass is all blocks and then the final norm (which
    BERT and its like have not), whose output enters the next pass; the positions of an embedding are
    not added again, those that rotate queries and keys act in every pass (paper, section 5.2). $E$ is
    eq. (9) on the residual stream, before the final norm, in float32 or better.

    **Arguments:**

    - `model`: a [`Transformer`][]; for random weights also an [`Architecture`][] or the name of a size.
    - `token_ids`: `(prompts, length)`, such as [`paper_prompts`][]; or prompts of different lengths, a
      list of lists. Shorter ones are filled up on the right; nothing attends to that, and nothing is
      measured of it: each prompt does what it does alone.
    - `passes`: how many, one or more.
    - `feed_forward`: `False` leaves $h \leftarrow h + \text{attention}(N_1(h))$ of every block.
    - `weights`: `"trained"`, the model's own; `"fixed"`, random ones by the law of [`random`][]; or
      `"redrawn"`, random ones that are drawn anew before each pass. `None` is the first of these
      that `model` allows.
    - `key`: of random weights; `jax.random.key(0)` unless given. The first pass of `"redrawn"` has
      the weights of `"fixed"`.
    - `control`: `"normalisation"`, blocks add nothing, which leaves the norms of the residual stream;
      `"no-values"`, value matrices are zero, so that blocks add what their biases make;
      `"no-biases"`, all biases are zero, of normalisations too.
    - `keep`: `"last"` keeps the tokens that the last pass ends with, in `.last`: see [`clusters`][].
    - `store`: a folder that each pass is written to. A run that was stopped or killed goes on there
      after its last whole pass and ends with the same bits; more `passes` can be asked for later.
    - `hold`: keep fixed random weights in memory. `False` draws each layer when it is its turn, in
      every pass: slower, in the memory of one layer.
    - `chunk`: prompts that go through a layer together, which bounds the memory of scores.
    - `dtype`: of random weights, `"float32"` unless given; a model has its own.
    - `precision`: of matrix products, as `jax.default_matmul_precision` takes it. The default never
      lets a GPU round float32 products to TF32.
    - `devices`: prompts are shared among them; all of this process unless given.
    - `progress`: a bar of passes with the time left, on a terminal.

    **Returns:**

    A [`Looped`][]: `.E` is `(prompts, 1 + passes * layers)`.

    **Raises:**

    `ValueError` on bad arguments, ids outside the vocabulary, more tokens than positions, random weights
    that do not fit into the memory that is free, or a store of another run.

    ```python
    ids = af.language.paper_prompts(4)
    run = af.language.looped("gpt2", ids, passes=3, feed_forward=False, weights="fixed")
    run.E                                                    # (4, 37)
    ```
    """
    # === check arguments
    weights = _weights(model, weights)
    arch = as_architecture(model)
    ids, lengths = as_prompts(arch, token_ids)
    passes, chunk = whole("passes", passes), whole("chunk", chunk)
    choose("control", control, CONTROLS)
    choose("keep", keep or "nothing", ("last", "nothing"))
    choose("precision", precision, ("default", "high", "highest"))
    if isinstance(model, Transformer) and weights == "trained":
        if dtype is not None and as_dtype(dtype) != model.dtype:
            raise ValueError(
                f"`dtype` is of random weights; this model's are {model.dtype}: load it as another."
            )
        check_feed_forward(model, feed_forward)
        dtype, key = model.dtype, None
    else:
        default = model.dtype if isinstance(model, Transformer) else "float32"
        dtype = as_dtype(default if dtype is None else dtype)
        key = as_key(jr.key(0) if key is None else key)
        if weights == "fixed" and hold:
            remedy = (
                "Draw them layer by layer with hold=False (--no-hold), or take a smaller dtype."
            )
            check_fits(arch, dtype, bool(feed_forward), blocks_alone=True, remedy=remedy)
    devices = list(jax.local_devices() if devices is None else devices)
    chunk = min(chunk, len(ids))
    chunk += -chunk % len(devices)

    settings = {
        "weights": weights,
        "feed_forward": bool(feed_forward),
        "control": control,
        "dtype": jnp.dtype(dtype).name,
        "precision": precision,
        "prompts": len(ids),
        "length": ids.shape[1],
        "chunk": chunk,
        "ids": _digest(ids),
    }
    if lengths is not None:
        settings["lengths"] = lengths.tolist()
    if store is not None:  # reads every weight, which a run without a store need not wait for
        settings["source"] = _digest(model) if key is None else _digest(jr.key_data(key))
    folder = None if store is None else LoopStore(store, settings, arch)

    # === where it stands
    done = [] if folder is None else folder.passes(passes)
    at, tokens = (0, None) if folder is None else folder.tokens(len(done))
    done = done[:passes] if len(done) >= passes else done[:at]
    if len(done) == passes and (keep is None or at == passes):
        return together(done, arch, settings, tokens if keep else None)
    done = done[:at]

    # === run
    mesh = Mesh(np.asarray(devices), ("prompts",))
    everywhere = NamedSharding(mesh, PartitionSpec())
    shared = NamedSharding(mesh, PartitionSpec(None, "prompts"))
    plan = PassPlan(arch, bool(feed_forward), control, jnp.dtype(dtype).name, precision)
    source, norm = jax.device_put(
        _source(model, arch, weights, key, bool(feed_forward), dtype, hold), everywhere
    )
    if tokens is None:
        tokens = _embedded(model, arch, ids, key, dtype)
    own = None if lengths is None else jnp.asarray(lengths)
    start = {name: np.asarray(x) for name, x in _of_each(jnp.asarray(tokens), own).items()}
    h = jax.device_put(_in_chunks(tokens, chunk), shared)
    del tokens  # a copy of `h`, which is used up
    if own is not None:
        own = jax.device_put(_in_chunks(own, chunk), shared)
    finite = all(bool(np.isfinite(before["E"]).all()) for before in done)
    with bar(total=passes, initial=len(done), unit="pass", show=progress) as ticks:
        for number in range(len(done) + 1, passes + 1):
            began = time.perf_counter()
            draw = jnp.asarray(number - 1 if weights == "redrawn" else 0)
            fixed = jax.device_put(draw, everywhere)
            h, measured, after = one_pass((plan, source, norm, fixed, own), h)
            result = {name: _by_prompt(x, len(ids)) for name, x in measured.items()}
            result |= {f"after_{name}": _by_prompt(x, len(ids)) for name, x in after.items()}
            result["seconds"] = np.asarray(time.perf_counter() - began)
            if number == 1:
                result |= {f"start_{name}": x for name, x in start.items()}
            if finite and not (finite := bool(np.isfinite(result["E"]).all())):
                _warn(number, result["E"])
            done.append(result)
            if folder is not None:
                folder.write(number, result, np.asarray(h).reshape(-1, *h.shape[2:])[: len(ids)])
            ticks.set_postfix_str(f"E {result['E'][:, -1].mean():.2e}", refresh=False)
            ticks.update()
    last = np.asarray(h).reshape(-1, *h.shape[2:])[: len(ids)] if keep else None
    return together(done, arch, settings, last)


def _warn(number: int, E: np.ndarray) -> None:
    lost = ~np.isfinite(E)
    layer, prompts = int(lost.any(axis=0).argmax()) + 1, int(lost.any(axis=1).sum())
    warnings.warn(
        f"E is not finite from pass {number}, layer {layer} on, in {prompts} of {len(E)} prompts: tokens "
        'overflowed. A wider `dtype`, such as "float32" or "float64", holds more.',
        stacklevel=3,
    )


def _weights(model: Any, weights: str | None) -> str:
    if weights is None:
        return "trained" if isinstance(model, Transformer) else "fixed"
    choose("weights", weights, _WEIGHTS)
    if weights == "trained" and not isinstance(model, Transformer):
        raise ValueError(
            "`weights` 'trained' needs a model with weights: attnflow.language.load(folder)."
        )
    return weights


def _source(
    model: Any,
    arch: Architecture,
    weights: str,
    key: Array | None,
    feed_forward: bool,
    dtype: Any,
    hold: bool,
) -> tuple[WeightSource, Norm | None]:
    """The weights of the blocks, or what they are drawn from; and the final norm."""
    if key is None:
        blocks = model.blocks if feed_forward else without_feed_forward(model.blocks)
        return WeightSource(blocks, None), model.norm
    if weights == "fixed" and hold:
        drawn = held_blocks(arch, key, feed_forward, dtype)
        return WeightSource(drawn, None), final_norm(arch, dtype)
    return WeightSource(None, key), final_norm(arch, dtype)


def _embedded(model: Any, arch: Architecture, ids: Any, key: Array | None, dtype: Any) -> Array:
    """What enters the first block, of all prompts; of random embeddings only the rows that are used."""
    if key is None:
        return jnp.stack([model.embed(row) for row in jnp.asarray(ids)])
    return _drawn_rows(arch, key, jnp.asarray(ids), dtype)


@partial(jax.jit, static_argnums=(0, 3))
def _drawn_rows(arch: Architecture, key: Array, ids: Array, dtype: Any) -> Array:
    tokens = token_rows(arch, key, ids).astype(dtype)
    places = None
    if arch.longest is not None:
        places = position_rows(arch, key, jnp.arange(ids.shape[1])).astype(dtype)
    return entered(arch, embedding_parts(arch, key, dtype), tokens, places)


@compiled
def _of_each(tokens: Array, lengths: Array | None) -> dict[str, Array]:
    """What [`measure`][] gives of each prompt, one after the other."""
    if lengths is None:
        return jax.lax.map(measure, tokens)
    return jax.lax.map(lambda x: measure(*x), (tokens, lengths))


def _in_chunks(tokens: Any, chunk: int) -> Array:
    """`(chunks, chunk, ...)`: the last chunk is filled up with the last prompt."""
    missing = -len(tokens) % chunk
    tokens = jnp.asarray(tokens)
    if missing:
        tokens = jnp.concatenate([tokens, jnp.repeat(tokens[-1:], missing, axis=0)])
    return tokens.reshape(-1, chunk, *tokens.shape[1:])


def _by_prompt(values: Array, prompts: int) -> np.ndarray:
    """`(*layers, chunks, chunk)` as `(prompts, *layers)`."""
    flat = np.asarray(values)
    flat = flat.reshape(*flat.shape[:-2], -1)[..., :prompts]
    return np.moveaxis(flat, -1, 0)


def _digest(tree: Any) -> str:
    """SHA-256 of the arrays of a pytree, one after the other."""
    digest = hashlib.sha256()
    for leaf in jax.tree.leaves(tree):
        array = np.ascontiguousarray(leaf)
        digest.update(f"{array.dtype}{array.shape}".encode())
        digest.update(array.data if array.dtype.kind == "f" else array.tobytes())
    return digest.hexdigest()
