"""What a family of transformers is: names of its tensors, places of its norms, how its config is read."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ._config import Config

NamesOf = Mapping[str, str | tuple[str, str, str]]


@dataclass(frozen=True, eq=False)
class Family:
    r"""A family of transformers as data: all that sets it apart from the others.

    Loading, random weights, passes, heads and refusals follow from it. Sizes, and options that differ
    within a family, are in an [`Architecture`][attnflow.language.Architecture].

    **Attributes:**

    - `name`: the `model_type` of its config.json.
    - `entries`: from a config to the arguments of an `Architecture`, by name.
    - `names`: what tensors are called, without `.weight` and `.bias`, `{}` for the layer. Keys are
      `tokens`, `positions`, `types`, `embedding_norm`, `projection`, `norm`; of a layer
      `attention_norm`, `qkv` (one name or three), `query_norm`, `key_norm`, `out`,
      `attention_out_norm`, `feed_forward_norm`, `gate`, `up`, `down`, `feed_forward_out_norm`. What has
      no name is not there.
    - `prefixes`: what names may begin with, or not.
    - `ignored`: a regular expression of tensors of a layer that are no weights (masks).
    - `renamed`: endings of names in older files, and what they are now.
    - `post_norm`: norms come after a sub-layer's residual sum, $N(h + f(h))$, not before it.
    - `causal`: a token attends to itself and those before it; otherwise to all.
    - `rms`: norms divide by the root mean square: no mean is taken off, no bias added.
    - `gain_offset`: what is added to a stored gain (Gemma keeps gains less one).
    - `linear`: matrices are stored `(out, in)`, not `(in, out)`.
    - `fused`: how one tensor holds queries, keys and values: `"thirds"`, or head by head (`"heads"`).
    - `biases`: which of `qkv`, `out`, `up`, `down` have biases, unless the architecture says otherwise.
    - `embedding_scaled`: the token embedding is multiplied by $\sqrt d$.
    - `shrunk`: random matrices that write to the residual stream are smaller by $\sqrt{2\,\text{layers}}$.
    - `sizes`: published ones by name: arguments of `Architecture`.
    - `gguf`: the names in GGUF files, by key as in `names`; empty where none is read.
    - `gguf_permuted`: rows of queries and keys are interleaved in GGUF files, as Llama's are.
    """

    name: str
    entries: Callable[[Config], dict[str, Any]]
    names: NamesOf
    prefixes: tuple[str, ...] = ()
    ignored: str = r"$^"
    renamed: Mapping[str, str] = field(default_factory=dict)
    post_norm: bool = False
    causal: bool = True
    rms: bool = False
    gain_offset: float = 0.0
    linear: bool = True
    fused: Literal["thirds", "heads"] = "thirds"
    biases: tuple[str, ...] = ("qkv", "out", "up", "down")
    embedding_scaled: bool = False
    shrunk: bool = False
    sizes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    gguf: NamesOf = field(default_factory=dict)
    gguf_permuted: bool = False

    @property
    def gated(self) -> bool:
        r"""The feed-forward is $(\varphi(xG) \star xA)B$."""
        return "gate" in self.names

    @property
    def normed_scores(self) -> bool:
        """Queries and keys are normalised head by head."""
        return "query_norm" in self.names

    @property
    def sandwiched(self) -> bool:
        """What a sub-layer adds is normalised before it is added."""
        return "attention_out_norm" in self.names
