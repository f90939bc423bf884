"""Llama, Mistral, Qwen, both Gemmas, GPT-NeoX, BERT, DistilBERT and ALBERT in plain NumPy float64.

From a config and tensors as Hugging Face names them, query by query and head by head; rotations are
products of complex numbers. `mistakes` are what a reader of these files may get wrong, one word each.
Beside it small checkpoints in which every part moves the tokens.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ._gpt import _ACTIVATIONS
from ._inputs import generator
from ._oracle import misalignment

DECODERS = ("llama", "mistral", "qwen2", "qwen3", "gemma", "gemma3_text", "gpt_neox")
GEMMAS = ("gemma", "gemma3_text")
ENCODERS = ("bert", "distilbert", "albert")
ACTIVATIONS = {**_ACTIVATIONS, "gelu_pytorch_tanh": _ACTIVATIONS["gelu_new"]}

D, LAYERS, HEADS, KEY_HEADS, INNER, VOCABULARY, POSITIONS = 32, 4, 4, 2, 48, 97, 16


class FamilyOracle:
    """The model of `config.json`'s entries and of tensors by name, without a prefix."""

    def __init__(self, config: Mapping[str, Any], tensors: Mapping[str, np.ndarray], *mistakes):
        self.config, self.tensors, self.mistakes = config, tensors, set(mistakes)
        self.family = config["model_type"]

    def wrong(self, mistake: str) -> bool:
        return mistake in self.mistakes

    def entry(self, *names: str):
        return next(self.config[name] for name in names if name in self.config)

    @property
    def layers(self) -> int:
        return self.entry("num_hidden_layers", "n_layers")

    @property
    def epsilon(self) -> float:
        return self.config.get("rms_norm_eps", self.config.get("layer_norm_eps", 1e-12))

    def norm(self, name: str, x) -> np.ndarray:
        gain = self.tensors[f"{name}.weight"]
        if self.family in GEMMAS and not self.wrong("gain without one"):
            gain = 1 + gain
        if f"{name}.bias" not in self.tensors:
            if self.wrong("mean taken off"):
                x = x - x.mean(axis=-1, keepdims=True)
            return x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + self.epsilon) * gain
        bias = self.tensors[f"{name}.bias"]
        if self.wrong("no mean taken off"):
            return x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + self.epsilon) * gain + bias
        off = x - x.mean(axis=-1, keepdims=True)
        bias = 0 if self.wrong("norms without bias") else bias
        return off / np.sqrt((off**2).mean(axis=-1, keepdims=True) + self.epsilon) * gain + bias

    def linear(self, name: str, x) -> np.ndarray:
        out = np.einsum("...i,oi->...o", x, self.tensors[f"{name}.weight"])
        biased = f"{name}.bias" in self.tensors and not self.wrong("no biases of matrices")
        return out + self.tensors[f"{name}.bias"] if biased else out

    def at(self, layer: int) -> str:
        """What the names of a layer's tensors begin with."""
        if self.family == "albert":
            groups = self.config["num_hidden_groups"]
            group = layer % groups if self.wrong("groups in turn") else layer * groups // LAYERS
            return f"encoder.albert_layer_groups.{group}.albert_layers.0"
        if self.family == "distilbert":
            return f"transformer.layer.{layer}"
        return f"{'encoder.layer' if self.family == 'bert' else 'layers'}.{layer}"

    # === positions

    def base(self, layer: int) -> float:
        if self.wrong("base ten times"):
            return 1e5
        if self.family == "gpt_neox":
            return float(self.config["rotary_emb_base"])
        local = self.window(layer) < math.inf and self.family == "gemma3_text"
        if self.wrong("one base for all layers"):
            local = False
        return float(self.config["rope_local_base_freq" if local else "rope_theta"])

    def rotated(self, layer: int, position: int, x) -> np.ndarray:
        if self.wrong("no rotations"):
            return x
        size = len(x)
        if self.family == "gpt_neox" and not self.wrong("whole heads rotated"):
            size = int(size * self.config["rotary_pct"])
        half = size // 2
        first = slice(0, size, 2) if self.wrong("neighbours paired") else slice(0, half)
        second = slice(1, size, 2) if self.wrong("neighbours paired") else slice(half, size)
        angle = position * self.base(layer) ** (-2 * np.arange(half) / size)
        z = (x[first] + 1j * x[second]) * np.exp(1j * angle)
        out = x.copy()
        out[first], out[second] = z.real, z.imag
        return out

    def window(self, layer: int) -> float:
        if self.wrong("window ignored"):
            return math.inf
        width = self.config.get("sliding_window")
        if self.family == "gemma3_text":
            slides = (layer + 1) % self.config["sliding_window_pattern"] != 0
        elif self.family.startswith("qwen"):
            slides = self.config["use_sliding_window"] and layer >= self.config["max_window_layers"]
        else:
            slides = self.family == "mistral" and width is not None
        return width + self.wrong("window wider by one") if slides else math.inf

    # === attention

    def queries_keys_values(self, layer: int, x) -> list[np.ndarray]:
        """Each (length, heads, width)."""
        at, length = self.at(layer), len(x)
        if self.family == "gpt_neox":
            fused = self.linear(f"{at}.attention.query_key_value", x)
            if self.wrong("thirds in blocks"):
                return list(fused.reshape(length, 3, HEADS, -1).transpose(1, 0, 2, 3))
            by_head = fused.reshape(length, HEADS, -1)
            return np.split(by_head, 3, axis=-1)
        names = {
            "bert": [f"attention.self.{part}" for part in ("query", "key", "value")],
            "albert": [f"attention.{part}" for part in ("query", "key", "value")],
            "distilbert": [f"attention.{part}_lin" for part in "qkv"],
        }.get(self.family, [f"self_attn.{part}_proj" for part in "qkv"])
        parts = [self.linear(f"{at}.{name}", x) for name in names]
        keys = self.config.get("num_key_value_heads", HEADS)
        return [p.reshape(length, n, -1) for p, n in zip(parts, (HEADS, keys, keys), strict=True)]

    def scale(self, width: int) -> float:
        if self.wrong("scores not divided"):
            return 1.0
        if self.family == "gemma3_text" and not self.wrong("divided by a head's width"):
            width = self.config["query_pre_attn_scalar"]
        return width**-0.5

    def attention(self, layer: int, x) -> np.ndarray:
        q, k, v = self.queries_keys_values(layer, x)
        at, length = self.at(layer), len(x)
        group = HEADS // k.shape[1]
        out = np.zeros(q.shape)
        for head in range(HEADS):
            own = head % k.shape[1] if self.wrong("groups of heads in turn") else head // group
            queries, keys = q[:, head], k[:, own]
            normed = f"{at}.self_attn.q_norm.weight" in self.tensors
            normed = normed and not self.wrong("queries and keys not normed")
            before = not self.wrong("normed after rotation")
            if normed and before:
                queries = self.norm(f"{at}.self_attn.q_norm", queries)
                keys = self.norm(f"{at}.self_attn.k_norm", keys)
            if self.family in DECODERS:
                queries = np.stack([self.rotated(layer, i, r) for i, r in enumerate(queries)])
                keys = np.stack([self.rotated(layer, i, r) for i, r in enumerate(keys)])
            if normed and not before:
                queries = self.norm(f"{at}.self_attn.q_norm", queries)
                keys = self.norm(f"{at}.self_attn.k_norm", keys)
            causal = (self.family in DECODERS) != self.wrong("the other mask")
            for i in range(length):
                first = int(max(0, i + 1 - self.window(layer)))
                seen = slice(first, i + 1) if causal else slice(0, length)
                score = self.scale(q.shape[-1]) * keys[seen] @ queries[i]
                weight = np.exp(score - score.max())
                out[i, head] = weight @ v[seen, own] / weight.sum()
        name = {
            "gpt_neox": "attention.dense",
            "bert": "attention.output.dense",
            "albert": "attention.dense",
            "distilbert": "attention.out_lin",
        }.get(self.family, "self_attn.o_proj")
        return self.linear(f"{at}.{name}", out.reshape(length, -1))

    # === blocks

    def feed_forward(self, layer: int, x) -> np.ndarray:
        at = self.at(layer)
        act = ACTIVATIONS[self.entry("hidden_act", "hidden_activation", "activation")]
        if self.wrong("the other gelu"):
            act = ACTIVATIONS["gelu" if act is ACTIVATIONS["gelu_new"] else "gelu_new"]
        up, down = {
            "gpt_neox": ("mlp.dense_h_to_4h", "mlp.dense_4h_to_h"),
            "bert": ("intermediate.dense", "output.dense"),
            "albert": ("ffn", "ffn_output"),
            "distilbert": ("ffn.lin1", "ffn.lin2"),
        }.get(self.family, ("mlp.up_proj", "mlp.down_proj"))
        up, gate = self.linear(f"{at}.{up}", x), None
        if f"{at}.mlp.gate_proj.weight" in self.tensors:
            gate = self.linear(f"{at}.mlp.gate_proj", x)
        if self.wrong("gate and up exchanged"):
            gate, up = up, gate
        inner = act(up) if gate is None else act(gate) * up
        return self.linear(f"{at}.{down}", inner)

    def block(self, layer: int, h, feed_forward: bool) -> np.ndarray:
        at = self.at(layer)
        if self.family in ENCODERS:
            first, second = {
                "bert": ("attention.output.LayerNorm", "output.LayerNorm"),
                "albert": ("attention.LayerNorm", "full_layer_layer_norm"),
                "distilbert": ("sa_layer_norm", "output_layer_norm"),
            }[self.family]
            if self.wrong("norms before the sum"):
                h = h + self.attention(layer, self.norm(f"{at}.{first}", h))
                ff = self.feed_forward(layer, self.norm(f"{at}.{second}", h))
                return h + ff if feed_forward else h
            if self.wrong("norms exchanged"):
                first, second = second, first
            h = self.norm(f"{at}.{first}", h + self.attention(layer, h))
            if feed_forward:
                h = self.norm(f"{at}.{second}", h + self.feed_forward(layer, h))
            return h
        first, second = f"{at}.input_layernorm", f"{at}.post_attention_layernorm"
        sandwich = self.family == "gemma3_text"
        added = self.attention(layer, self.norm(first, h))
        if sandwich:
            if not self.wrong("no norms after"):
                added = self.norm(second, added)
            second = f"{at}.pre_feedforward_layernorm"
        after = h + added
        if not feed_forward:
            return after
        parallel = self.config.get("use_parallel_residual", False)
        read = h if parallel != self.wrong("the other order") else after
        added = self.feed_forward(layer, self.norm(second, read))
        if sandwich and not self.wrong("no norms after"):
            added = self.norm(f"{at}.post_feedforward_layernorm", added)
        return after + added

    def embedding(self, ids) -> np.ndarray:
        if self.family in DECODERS:
            name = "embed_in" if self.family == "gpt_neox" else "embed_tokens"
            scaled = self.family in GEMMAS and not self.wrong("embedding not scaled")
            return self.tensors[f"{name}.weight"][ids] * (D**0.5 if scaled else 1.0)
        at = "embeddings"
        h = self.tensors[f"{at}.word_embeddings.weight"][ids]
        if not self.wrong("no positions"):
            h = h + self.tensors[f"{at}.position_embeddings.weight"][: len(ids)]
        if f"{at}.token_type_embeddings.weight" in self.tensors and not self.wrong("no types"):
            h = h + self.tensors[f"{at}.token_type_embeddings.weight"][0]
        if not self.wrong("embedding not normed"):
            h = self.norm(f"{at}.LayerNorm", h)
        if self.family == "albert":
            h = self.linear("encoder.embedding_hidden_mapping_in", h)
        return h

    def final(self, h) -> np.ndarray:
        if self.family in ENCODERS or self.wrong("no final norm"):
            return h
        return self.norm("final_layer_norm" if self.family == "gpt_neox" else "norm", h)

    def hidden(self, ids, feed_forward: bool = True, start=None) -> np.ndarray:
        """(1 + layers, length, dim): the tokens before the first block and after each."""
        h = [self.embedding(ids) if start is None else start]
        for layer in range(self.layers):
            h.append(self.block(layer, h[-1], feed_forward))
        return np.stack(h)

    def looped(self, token_ids, passes: int, feed_forward: bool = True) -> np.ndarray:
        """E, eq. (9), of shape (prompts, 1 + passes * layers)."""
        rows = []
        for ids in token_ids:
            h = self.embedding(ids)
            row = [misalignment(h)]
            for _ in range(passes):
                after = self.hidden(ids, feed_forward, h)[1:]
                row += [misalignment(x) for x in after]
                h = self.final(after[-1])
            rows.append(row)
        return np.asarray(rows)


def _config(family: str) -> dict[str, Any]:
    shared = {"model_type": family, "vocab_size": VOCABULARY}
    sizes = {"hidden_size": D, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS}
    more = {"intermediate_size": INNER, "max_position_embeddings": POSITIONS}
    if family == "distilbert":
        own = {"dim": D, "n_layers": LAYERS, "n_heads": HEADS, "hidden_dim": INNER}
        own |= {"max_position_embeddings": POSITIONS, "activation": "gelu"}
        return shared | own
    config = shared | sizes | more
    if family in ENCODERS:
        config |= {"hidden_act": "gelu", "type_vocab_size": 2, "layer_norm_eps": 1e-12}
        if family == "albert":
            config |= {"embedding_size": 12, "num_hidden_groups": 2, "hidden_act": "gelu_new"}
        return config
    if family == "gpt_neox":
        own = {"hidden_act": "gelu", "rotary_pct": 0.5, "rotary_emb_base": 10000}
        return config | own | {"use_parallel_residual": True, "layer_norm_eps": 1e-5}
    config |= {"num_key_value_heads": KEY_HEADS, "hidden_act": "silu", "rms_norm_eps": 1e-5}
    config |= {"rope_theta": 10000.0}
    if family == "mistral":
        config |= {"sliding_window": 4}
    if family.startswith("qwen"):
        config |= {"use_sliding_window": True, "sliding_window": 4, "max_window_layers": 2}
    if family == "qwen3":
        config |= {"head_dim": 12}
    if family == "gemma":
        config |= {"head_dim": 12, "hidden_act": "gelu_pytorch_tanh"}
    if family == "gemma3_text":
        del config["hidden_act"]
        config |= {"head_dim": 12, "query_pre_attn_scalar": 5, "sliding_window": 4}
        config |= {"sliding_window_pattern": 2, "rope_theta": 1e6, "rope_local_base_freq": 1e4}
        config |= {"hidden_activation": "gelu_pytorch_tanh"}
    return config


# Options that a reader may get wrong: the family and entries of its config.
FAMILY_OPTIONS = {
    "llama, every option": (
        "llama",
        {"attention_bias": True, "mlp_bias": True, "head_dim": 12, "rope_theta": 500.0},
    ),
    "gpt_neox, one after the other": (
        "gpt_neox",
        {"use_parallel_residual": False, "attention_bias": False, "rotary_pct": 0.25},
    ),
}


def family_checkpoint(family: str, *names, **options) -> tuple[dict, dict[str, np.ndarray]]:
    """A config and float64 tensors: 4 layers of 4 heads, d = 32, 97 ids, 16 positions.

    `options` are entries of the config; the numbers depend on `family` and `names`.
    """
    rng = generator("family", family, *names)
    config = _config(family) | options
    tensors: dict[str, np.ndarray] = {}
    head = config.get("head_dim") or D // HEADS
    keys = config.get("num_key_value_heads", HEADS)
    layered = family in (*ENCODERS, "gpt_neox")

    def norm(name, size=D):
        if family in GEMMAS:
            tensors[f"{name}.weight"] = rng.uniform(-0.5, 0.5, size)
            return
        tensors[f"{name}.weight"] = rng.uniform(0.5, 1.5, size)
        if layered:
            tensors[f"{name}.bias"] = 0.4 * rng.normal(size=size)

    def linear(name, rows, columns, deviation, bias=layered, mean=0.0):
        tensors[f"{name}.weight"] = deviation * rng.normal(size=(rows, columns))
        if bias:
            tensors[f"{name}.bias"] = mean + 0.3 * rng.normal(size=rows)

    def rows(name, count, size, deviation):
        tensors[f"{name}.weight"] = deviation * rng.normal(size=(count, size))

    if family in ENCODERS:
        size = config.get("embedding_size", D)
        rows("embeddings.word_embeddings", VOCABULARY, size, 0.7)
        rows("embeddings.position_embeddings", POSITIONS, size, 0.5)
        if family != "distilbert":
            rows("embeddings.token_type_embeddings", 2, size, 0.5)
        norm("embeddings.LayerNorm", size)
        if family == "albert":
            linear("encoder.embedding_hidden_mapping_in", D, size, 0.3)
    else:
        rows("embed_in" if family == "gpt_neox" else "embed_tokens", VOCABULARY, D, 0.7)
        norm("final_layer_norm" if family == "gpt_neox" else "norm")
    oracle = FamilyOracle(config, tensors)
    for layer in range(config.get("num_hidden_groups", LAYERS)):
        at = oracle.at(layer)
        if family == "albert":
            at = f"encoder.albert_layer_groups.{layer}.albert_layers.0"
        if family in ENCODERS:
            parts = {
                "bert": "attention.self.query attention.self.key attention.self.value "
                "attention.output.dense intermediate.dense output.dense "
                "attention.output.LayerNorm output.LayerNorm",
                "albert": "attention.query attention.key attention.value attention.dense ffn "
                "ffn_output attention.LayerNorm full_layer_layer_norm",
                "distilbert": "attention.q_lin attention.k_lin attention.v_lin attention.out_lin "
                "ffn.lin1 ffn.lin2 sa_layer_norm output_layer_norm",
            }[family].split()
            for name, deviation in zip(parts[:4], (0.3, 0.3, 0.3, 0.3), strict=True):
                linear(f"{at}.{name}", D, D, deviation)
            linear(f"{at}.{parts[4]}", INNER, D, 0.1, mean=-2.0)
            linear(f"{at}.{parts[5]}", D, INNER, 5.0)
            norm(f"{at}.{parts[6]}")
            norm(f"{at}.{parts[7]}")
            continue
        norm(f"{at}.input_layernorm")
        norm(f"{at}.post_attention_layernorm")
        if family == "gpt_neox":
            bias = config.get("attention_bias", True)
            linear(f"{at}.attention.query_key_value", 3 * D, D, 0.25, bias=bias)
            linear(f"{at}.attention.dense", D, D, 0.25, bias=bias)
            linear(f"{at}.mlp.dense_h_to_4h", INNER, D, 0.1, mean=-2.0)
            linear(f"{at}.mlp.dense_4h_to_h", D, INNER, 1.2)
            continue
        bias = config.get("attention_bias", False)
        qkv = bias or family == "qwen2"
        linear(f"{at}.self_attn.q_proj", HEADS * head, D, 0.25, bias=qkv)
        linear(f"{at}.self_attn.k_proj", keys * head, D, 0.25, bias=qkv)
        linear(f"{at}.self_attn.v_proj", keys * head, D, 0.25, bias=qkv)
        linear(f"{at}.self_attn.o_proj", D, HEADS * head, 0.3, bias=bias)
        bias = config.get("mlp_bias", False)
        linear(f"{at}.mlp.gate_proj", INNER, D, 0.2, bias=bias)
        linear(f"{at}.mlp.up_proj", INNER, D, 0.2, bias=bias)
        down = 10.0 if family == "gemma" else 0.4  # by which its gelus differ enough
        linear(f"{at}.mlp.down_proj", D, INNER, down, bias=bias)
        if family in ("qwen3", "gemma3_text"):
            norm(f"{at}.self_attn.q_norm", head)
            norm(f"{at}.self_attn.k_norm", head)
        if family == "gemma3_text":
            norm(f"{at}.pre_feedforward_layernorm")
            norm(f"{at}.post_feedforward_layernorm")
    return config, tensors
