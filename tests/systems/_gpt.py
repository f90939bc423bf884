"""GPT-2 and GPT-Neo in plain NumPy float64, from a config and tensors as Hugging Face names them.

Query by query over the keys it sees, no mask and no stacked layers. Beside it small checkpoints whose
biases, gains and scores are large enough to be missed, and the files they are written to.
"""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ._inputs import generator
from ._oracle import misalignment

_ERF = np.vectorize(math.erf, otypes=[float])


def _tanh_gelu(x):
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


_ACTIVATIONS: dict[str, Callable] = {
    "gelu_new": _tanh_gelu,
    "gelu": lambda x: 0.5 * x * (1 + _ERF(x / math.sqrt(2))),
    "relu": lambda x: np.maximum(x, 0),
    "silu": lambda x: x / (1 + np.exp(-x)),
}


@dataclass(frozen=True)
class GPTOracle:
    """The model of `config.json`'s entries and of tensors by name, without the prefix `transformer.`."""

    config: Mapping[str, Any]
    tensors: Mapping[str, np.ndarray]

    @property
    def gpt2(self) -> bool:
        return self.config["model_type"] == "gpt2"

    @property
    def layers(self) -> int:
        return self.config["n_layer" if self.gpt2 else "num_layers"]

    def tensor(self, name: str) -> np.ndarray:
        return np.asarray(self.tensors[name], np.float64)

    def norm(self, name: str, x) -> np.ndarray:
        mean = x.mean(axis=-1, keepdims=True)
        root = np.sqrt(x.var(axis=-1, keepdims=True) + self.config["layer_norm_epsilon"])
        return (x - mean) / root * self.tensor(f"{name}.weight") + self.tensor(f"{name}.bias")

    def linear(self, name: str, x) -> np.ndarray:
        """GPT-2 keeps its matrices (in, out), GPT-Neo (out, in); some have no bias."""
        matrix = self.tensor(f"{name}.weight")
        out = np.einsum("...i,io->...o" if self.gpt2 else "...i,oi->...o", x, matrix)
        return out + self.tensor(f"{name}.bias") if f"{name}.bias" in self.tensors else out

    def queries_keys_values(self, layer: int, x) -> list[np.ndarray]:
        if self.gpt2:
            return np.split(self.linear(f"h.{layer}.attn.c_attn", x), 3, axis=-1)
        return [self.linear(f"h.{layer}.attn.attention.{part}_proj", x) for part in "qkv"]

    def scale(self, layer: int, width: int) -> float:
        scaled = self.config.get("scale_attn_weights", self.gpt2)
        by_layer = self.config.get("scale_attn_by_inverse_layer_idx", False)
        return (width**-0.5 if scaled else 1.0) / (layer + 1 if by_layer else 1)

    def window(self, layer: int) -> float:
        if self.gpt2:
            return math.inf
        kinds = [k for pattern, times in self.config["attention_types"] for k in times * pattern]
        return self.config["window_size"] if kinds[layer] == "local" else math.inf

    def attention(self, layer: int, x) -> np.ndarray:
        q, k, v = self.queries_keys_values(layer, x)
        width = x.shape[-1] // self.config["n_head" if self.gpt2 else "num_heads"]
        mixed = np.zeros_like(x)
        for left in range(0, x.shape[-1], width):
            head = slice(left, left + width)
            for i in range(len(x)):
                seen = slice(int(max(0, i + 1 - self.window(layer))), i + 1)
                score = self.scale(layer, width) * k[seen, head] @ q[i, head]
                weight = np.exp(score - score.max())
                mixed[i, head] = weight @ v[seen, head] / weight.sum()
        return self.linear(
            f"h.{layer}.attn." + ("c_proj" if self.gpt2 else "attention.out_proj"), mixed
        )

    def block(self, layer: int, h, feed_forward: bool = True) -> np.ndarray:
        h = h + self.attention(layer, self.norm(f"h.{layer}.ln_1", h))
        if not feed_forward:
            return h
        x = self.linear(f"h.{layer}.mlp.c_fc", self.norm(f"h.{layer}.ln_2", h))
        x = _ACTIVATIONS[self.config["activation_function"]](x)
        return h + self.linear(f"h.{layer}.mlp.c_proj", x)

    def embedding(self, ids) -> np.ndarray:
        return self.tensor("wte.weight")[ids] + self.tensor("wpe.weight")[: len(ids)]

    def hidden(self, ids, feed_forward: bool = True, start=None) -> np.ndarray:
        """(1 + layers, length, dim): the tokens before the first block and after each."""
        h = [self.embedding(ids) if start is None else start]
        for layer in range(self.layers):
            h.append(self.block(layer, h[-1], feed_forward))
        return np.stack(h)

    def looped(
        self,
        token_ids,
        passes: int,
        feed_forward: bool = True,
        *,
        positions_again: bool = False,
        norm_between: bool = True,
        norm_measured: bool = False,
    ) -> np.ndarray:
        """E, eq. (9), of shape (prompts, 1 + passes * layers); the keywords are mistakes to make."""
        return np.stack(
            [
                self._looped(
                    ids, passes, feed_forward, positions_again, norm_between, norm_measured
                )
                for ids in token_ids
            ]
        )

    def _looped(self, ids, passes, feed_forward, positions_again, norm_between, norm_measured):
        h = self.embedding(ids)
        E = [misalignment(h)]
        for number in range(passes):
            if number and positions_again:
                h = h + self.tensor("wpe.weight")[: len(ids)]
            after = self.hidden(ids, feed_forward, h)[1:]
            normed = self.norm("ln_f", after[-1])
            E += [misalignment(x) for x in after[:-1]]
            E.append(misalignment(normed if norm_measured else after[-1]))
            h = normed if norm_between else after[-1]
        return np.asarray(E)


def gpt_checkpoint(family: str, *names, **options) -> tuple[dict, dict[str, np.ndarray]]:
    """A config and float64 tensors in which every part of the model moves the tokens.

    3 layers of 4 heads, d = 32, 97 ids, 16 positions; `options` are entries of the config, and the
    numbers depend on `family` and `names`.
    """
    rng, d, layers = generator("gpt", family, *names), 32, 3
    shared = {"vocab_size": 97, "layer_norm_epsilon": 1e-5, "activation_function": "gelu_new"}
    if family == "gpt2":
        config = {"model_type": family, "n_embd": d, "n_layer": layers, "n_head": 4}
        config |= {"n_positions": 16, "n_inner": None, **shared, **options}
        inner = config["n_inner"] or 4 * d
    else:
        config = {"model_type": family, "hidden_size": d, "num_layers": layers, "num_heads": 4}
        config |= {"max_position_embeddings": 16, "intermediate_size": None, "window_size": 4}
        config |= {"attention_types": [[["global", "local"], 1], [["global"], 1]]}
        config |= {**shared, **options}
        inner = config["intermediate_size"] or 4 * d
    tensors = {}

    def drawn(name, *shape, deviation, mean=0.0):
        tensors[name] = mean + deviation * rng.normal(size=shape)

    def norm(name):
        tensors[f"{name}.weight"] = rng.uniform(0.7, 1.3, d)
        drawn(f"{name}.bias", d, deviation=0.3)

    def linear(name, rows, columns, deviation, bias=0.0):
        shape = (rows, columns) if family == "gpt2" else (columns, rows)
        drawn(f"{name}.weight", *shape, deviation=deviation)
        if bias is not None:
            drawn(f"{name}.bias", columns, deviation=0.3, mean=bias)

    drawn("wte.weight", 97, d, deviation=0.7)
    drawn("wpe.weight", 16, d, deviation=0.5)
    for layer in range(layers):
        at = f"h.{layer}"
        norm(f"{at}.ln_1")
        if family == "gpt2":
            linear(f"{at}.attn.c_attn", d, 3 * d, 0.2)
            linear(f"{at}.attn.c_proj", d, d, 0.2)
        else:  # scores are not divided here
            for part in "qkv":
                linear(f"{at}.attn.attention.{part}_proj", d, d, 0.15, bias=None)
            linear(f"{at}.attn.attention.out_proj", d, d, 0.2)
        norm(f"{at}.ln_2")
        # About -2, where gelu is small, its two forms differ most beside what it is.
        linear(f"{at}.mlp.c_fc", d, inner, 0.1, bias=-2.0)
        linear(f"{at}.mlp.c_proj", inner, d, 1.0)
    norm("ln_f")
    return config, tensors


def gpt_prompts(prompts: int = 3, length: int = 12, vocabulary: int = 97) -> np.ndarray:
    """Token ids of (prompts, length), the same in every run."""
    return generator("gpt prompts").integers(0, vocabulary, (prompts, length))


def gpt_masks(config: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The buffers that older checkpoints hold beside their weights."""
    positions, gpt2 = 16, config["model_type"] == "gpt2"
    attention = "attn" if gpt2 else "attn.attention"
    masks = {}
    for layer in range(3):
        tril = np.tril(np.ones((1, 1, positions, positions), np.float32 if gpt2 else np.uint8))
        masks[f"h.{layer}.{attention}.bias"] = tril
        masks[f"h.{layer}.{attention}.masked_bias"] = np.asarray(-1e9, np.float32)
    return masks


def write_folder(
    folder,
    config: Mapping[str, Any],
    tensors: Mapping[str, np.ndarray],
    *,
    prefix: bool = False,
    shards: int = 1,
    dtype: str = "F32",
    masks: bool = False,
) -> Path:
    """A Hugging Face folder: config.json and safetensors, with an index if there are several."""
    import ml_dtypes
    from safetensors.numpy import save_file

    kinds = {"F64": np.float64, "F32": np.float32, "F16": np.float16, "BF16": ml_dtypes.bfloat16}
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(dict(config)))
    tensors = {name: np.asarray(x).astype(kinds[dtype]) for name, x in tensors.items()}
    tensors |= gpt_masks(config) if masks else {}
    if prefix:  # as a model with an output head is saved
        head = {"lm_head.weight": tensors["wte.weight"].copy()}
        tensors = {f"transformer.{name}": x for name, x in tensors.items()} | head
    if shards == 1:
        save_file(tensors, folder / "model.safetensors")
        return folder
    weight_map = {}
    for shard in range(shards):
        file = f"model-{shard + 1:05d}-of-{shards:05d}.safetensors"
        part = dict(list(tensors.items())[shard::shards])
        weight_map |= dict.fromkeys(part, file)
        save_file(part, folder / file)
    index = {"metadata": {}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder
