"""Starts by the chunk and where they end: an ensemble in memory that does not grow with the number of starts."""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Key, Real

from ..core.arrays import cast_floats
from ..core.checks import floating, random_key, shaped, whole
from ..core.compiled import compiled
from ..core.recognised import recognised
from ..core.types import Scalar, Tokens
from ..ensemble import run
from ..flow import Integrator
from ..model import AttentionField

# Arrays of tokens, one start after another; or a function of a key that draws them.
Starts: TypeAlias = (
    Real[ArrayLike, "starts tokens dim"] | Callable[[Key[Array, ""]], Float[Array, "tokens dim"]]
)

_CHUNK, _CHUNK_BYTES = 2**15, 2**26


class Ends(NamedTuple):
    """Where some starts ended: tokens, the largest speed of a token there, and whether the run failed."""

    ys: np.ndarray  # (states, tokens, dim)
    speeds: np.ndarray  # (states,)
    failed: np.ndarray  # (states,)


class Speed(eqx.Module):
    """The largest speed of a token, less a threshold: the event that ends a run at rest, and what is observed."""

    field: AttentionField
    threshold: Float[Array, ""]

    def __call__(self, t: Scalar, y: Tokens, args: object = None) -> Float[Array, ""]:
        field = cast_floats(self.field, y.dtype)
        speed = jnp.max(field.manifold.norm(field(t, y)))
        return speed - self.threshold.astype(y.dtype)


def _tokens(y: Tokens) -> Tokens:
    return y


def ends_of(
    field: AttentionField, starts: np.ndarray, t0: float, t1: float, rest: float,
    integrator: Integrator, options: dict[str, Any],
) -> Ends:  # fmt: skip
    """Run all `starts` to `t1`, or until no token is faster than `rest`."""
    still = Speed(field, jnp.asarray(rest))
    result = run(
        field,
        starts,
        t0=t0,
        t1=t1,
        until=still,
        observe={"y": _tokens, "speed": Speed(field, jnp.zeros(()))},
        integrator=integrator,
        progress=False,
        **options,
    )
    return Ends(result.ys["y"][:, 0], result.ys["speed"][:, 0], result.failed)


class Source:
    """Starts by number: rows of an array, or drawn from `fold_in(key, i)` as `ensemble.run` draws them."""

    def __init__(self, field: AttentionField, starts: Any, number: Any, key: Any, most: int | None):
        self.sampled = callable(starts)
        if self.sampled:
            if key is None:
                raise ValueError(
                    "`key` must be given with a sampler, such as jax.random.key(0); got None."
                )
            self.sample, self.key = recognised(starts), random_key("key", key)
            if number is None and most is None:
                raise ValueError(
                    "`number` must say how many starts to draw from the sampler, or `precision` how "
                    "narrow the intervals of shares shall be; got None for both."
                )
            self.number = whole("number", most if number is None else number)
            shape: Any = eqx.filter_eval_shape(self.sample, self.key)
            if not hasattr(shape, "shape") or len(shape.shape) != 2 or shape.shape[1] != field.dim:
                got = getattr(shape, "shape", type(shape).__name__)
                raise ValueError(
                    f"`starts` as a sampler must return tokens of shape (tokens, {field.dim}); got {got}."
                )
            self.shape, self.dtype = shape.shape, shape.dtype
        else:
            if key is not None:
                raise ValueError(
                    "`key` is for a sampler; starts given as an array need none. Drop it."
                )
            rows = starts if isinstance(starts, np.ndarray) else floating("starts", starts)
            shaped("starts", rows.shape, ("starts", "tokens", field.dim), also=", or be a sampler")
            if number is not None and whole("number", number) != len(rows):
                raise ValueError(
                    f"`number` is for a sampler; got {number} and {len(rows)} starts. Drop it."
                )
            self.rows, self.number, self.shape = rows, len(rows), rows.shape[1:]
            self.dtype = np.dtype(rows.dtype)
        size = int(np.prod(self.shape)) * self.dtype.itemsize
        self.chunk = max(1, min(_CHUNK, _CHUNK_BYTES // size))

    def block(self, first: int, count: int) -> np.ndarray:
        """Starts `first` to `first + count - 1`."""
        if not self.sampled:
            return np.asarray(self.rows[first : first + count])
        # A few sizes, so that not every number of starts compiles a program of its own.
        padded = min(self.chunk, 1 << (count - 1).bit_length())
        numbers = jnp.arange(padded, dtype=jnp.uint32) + jnp.asarray(first, jnp.uint32)
        drawn = _draw(self.sample, self.key, numbers)
        return np.asarray(drawn)[:count]


@compiled
def _draw(sample: Any, key: Array, numbers: Array) -> Array:
    return jax.vmap(lambda i: sample(jax.random.fold_in(key, i)))(numbers)
