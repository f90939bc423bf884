"""What is varied by `along`: the field, the number of tokens or the noise; and where starts end at a value of it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

from ..core.checks import random_key, typed_key
from ..core.recognised import recognised
from ..ensemble import run
from ..flow import Noise
from ..model import AttentionField
from ._ends import Source
from ._find import find
from ._found import Attractors
from ._parameter import Family, family_of

_NOISE = 0x6E6F6973


class _OfTokens(eqx.Module):
    """A sampler of so many tokens, of one that is told how many."""

    function: Callable[..., Array] = eqx.field(static=True)
    tokens: int = eqx.field(static=True)

    def __call__(self, key: Key[Array, ""]) -> Array:
        return self.function(key, self.tokens)


class _Shaken(eqx.Module):
    """A given start of given number, with the noise of its own key."""

    field: AttentionField
    noise: Noise
    key_words: Array
    kind: str = eqx.field(static=True)

    def __call__(self, row: Any) -> tuple[AttentionField, Array, Noise]:
        key = jax.random.wrap_key_data(self.key_words, impl=self.kind)
        own = jax.random.fold_in(jax.random.fold_in(key, row["number"]), _NOISE)
        return self.field, row["y"], self.noise.with_key(own)


@dataclass(frozen=True)
class Varied:
    """What [`along`][attnflow.attractors.along] goes through: a field, starts and noise at each value.

    **Attributes:**

    - `what`: `"field"`, `"tokens"` or `"noise"`.
    - `family`: the field at a value; of the last two the same at each.
    - `starts`, `number`, `key`: as given; with tokens a sampler that is told how many.
    - `noise`: beside attention until `t1`, of strength one where it is what varies.
    - `t1`, `options`: of each run.
    """

    what: Literal["field", "tokens", "noise"]
    family: Family
    starts: Any
    number: int | None
    key: Any
    noise: Noise | None
    t1: float
    options: dict[str, Any]

    def field(self, value: float) -> AttentionField:
        """The field at a value."""
        return self.family(jnp.asarray(value))

    def source(self, value: float) -> Source:
        """The starts at a value."""
        starts = self.starts
        if self.what == "tokens":
            starts = _OfTokens(starts, int(value))
        key = self.key if callable(starts) else None
        return Source(self.field(value), starts, self.number, key, None)

    def ends(self, value: float, first: int, count: int) -> Attractors:
        """Where starts `first` to `first + count - 1` end; with noise, where the field takes them that it has left."""
        field, block = self.field(value), self.source(value).block(first, count)
        options = dict(self.options)
        strength = value if self.what == "noise" else 1.0
        if self.noise is not None:
            how = {"dt0": options.pop("dt0")} if "dt0" in options else {}
            if strength > 0:
                block = self._shaken(field, block, first, strength, how)
        return find(field, block, t1=self.t1, progress=False, **options)

    def _shaken(
        self, field: AttentionField, block: np.ndarray, first: int, strength: float, how: dict
    ) -> np.ndarray:
        assert self.noise is not None
        key = typed_key(self.key)
        sampler = _Shaken(
            field, _times(strength, self.noise), jax.random.key_data(key), str(jax.random.key_impl(key))
        )  # fmt: skip
        rows = {"y": block, "number": np.arange(first, first + len(block), dtype=np.uint32)}
        done = run(
            field, sampler, each=rows, t1=self.t1, noise=self.noise, progress=False,
            observe={"y": _tokens}, **how,
        )  # fmt: skip
        # A run that failed goes on as what it is, and `find` counts it as failed.
        return np.asarray(done.ys["y"][:, 0])


def varied(
    field: AttentionField, starts: Any, parameter: Any, values: np.ndarray, number: int | None, key: Any,
    noise: Noise | None, t1: float, options: dict[str, Any],
) -> Varied:  # fmt: skip
    """What is varied, checked against the values."""
    if noise is not None and key is None:
        raise ValueError("`key` must be given with noise, such as jax.random.key(0); got None.")
    key = None if key is None else random_key("key", key)
    given = (starts, number, key, noise, t1, options)
    if not isinstance(parameter, str):
        return Varied("field", family_of(field, parameter, float(values[0]))[0], *given)
    if parameter == "tokens":
        if not callable(starts):
            raise ValueError(
                "`starts` must be a function of a key and a number of tokens where the tokens vary, such as "
                f"lambda key, tokens: sphere.random(key, (tokens,)); got {type(starts).__name__}."
            )
        if np.any(values < 1) or np.any(values != np.round(values)):
            raise ValueError(f"`values` must be whole numbers of tokens, 1 or more; got {values}.")
        given = (recognised(starts), *given[1:])
    elif parameter == "noise":
        if noise is None:
            raise ValueError(
                "`noise` must be given where its strength varies, such as noise=af.Noise(independent=1.0): values "
                "multiply it."
            )
        if np.any(values < 0):
            raise ValueError(f"`values` must be strengths of noise, zero or more; got {values}.")
    else:
        raise ValueError(f'`parameter` must be a function, "tokens" or "noise"; got {parameter!r}.')
    return Varied(parameter, lambda value: field, *given)  # pyright: ignore[reportArgumentType]


def _times(strength: float, noise: Noise) -> Noise:
    return eqx.tree_at(
        lambda n: [getattr(n, name) for name in n.parts],
        noise,
        [strength * getattr(noise, name) for name in noise.parts],
    )


def _tokens(y: Array) -> Array:
    return y
