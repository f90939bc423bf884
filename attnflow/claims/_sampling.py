"""Free numbers of one try, drawn at random, and the tokens and scores they stand for."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float

from ..schedules import Fourier, Piecewise
from . import _constraints as onto

LARGEST = 12.0  # of |P_eta|_F / sqrt(d): beta I with beta below it
_JUMPS = 6
SQUARE = (-1, -1)


def sampler(heads: int = 1, values: int = 0, **extra: tuple[int, ...]) -> Callable[..., Any]:
    """Free numbers `y` (tokens), `P` (heads), `U` (as many as `values`), `height`, and `extra` ones.

    `extra` gives shapes in which -1 stands for the dimension. Scores are multiples of the identity,
    close to one, or neither; of either sign, and of sizes over two decades and more.
    """

    def draw(key, tokens: int, dim: int):
        keys = jr.split(key, 6)
        size = 10 ** jr.uniform(keys[0], minval=-1.0, maxval=1.5)
        kind = jr.randint(keys[1], (), 0, 6)
        spread = jnp.where(kind < 2, 0.0, jnp.where(kind < 4, 0.1, 1.0))
        sign = jnp.where(kind == 1, 1.0, jnp.where(kind == 5, 0.0, -1.0))
        x = {
            "y": jr.normal(keys[2], (tokens, dim)),
            "P": size * spread * jr.normal(keys[3], (heads, dim, dim))
            + size * sign * jnp.eye(dim)[None],
            "height": jr.normal(keys[4]),
        }
        if values:
            x["U"] = jr.normal(keys[5], (values, dim, dim))
        for number, (name, shape) in enumerate(extra.items()):
            shape = tuple(dim if n == -1 else n for n in shape)
            x[name] = jr.normal(jr.fold_in(key, number), shape)
        return x

    return draw


def one_or_many(x: Float[Array, "heads dim dim"]) -> Array:
    """The matrix itself where there is one head."""
    return x[0] if x.shape[0] == 1 else x


def scores(x) -> Array:
    """P, constant."""
    dim = x["y"].shape[1]
    return one_or_many(onto.in_ball(x["P"], LARGEST * dim**0.5))


def moving_scores(x) -> Fourier:
    """P(t): a constant and one frequency between 0.1 and 20, from numbers `cosine`, `sine`, `rate`."""
    dim, heads = x["y"].shape[1], x["P"].shape[0]
    tied = x["cosine"].shape[0] == 1  # the same change in all heads
    shape = (heads, dim, dim)
    parts = [jnp.broadcast_to(x[n], shape) if tied else x[n] for n in ("cosine", "sine")]
    cosine, sine = (one_or_many(onto.in_ball(4 * p, LARGEST)) for p in parts)
    omega = jnp.exp(onto.between(x["rate"], math.log(0.1), math.log(20.0)))
    return Fourier(scores(x), cosine[None], sine[None], omega)


def jumping_scores(x) -> Piecewise:
    """P(t), constant but for a few jumps, from numbers `gaps` and `later`."""
    dim = x["y"].shape[1]
    later = onto.in_ball(8 * x["later"], LARGEST * dim**0.5)
    times = jnp.cumsum(0.01 + jax.nn.softplus(x["gaps"]))
    return Piecewise(times, jnp.concatenate([scores(x)[None], later]))


MOVING = {"cosine": (1, -1, -1), "sine": (1, -1, -1), "rate": ()}
JUMPING = {"gaps": (_JUMPS,), "later": (_JUMPS, -1, -1)}
