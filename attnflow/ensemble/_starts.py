"""Where trajectories come from: arrays of starts and of fields, or a sampler of either."""

import dataclasses
from collections.abc import Callable
from typing import Any, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Bool, Float, Real

from ..core.arrays import cast_floats
from ..core.checks import floating, random_key, shaped, shown, whole
from ..core.recognised import recognised
from ..flow import Noise
from ..model import AttentionField

# Arrays of tokens, one trajectory after another; or a function of a key, or of a trajectory's own data,
# that gives tokens, or a field and tokens, or these and a noise.
GivenStarts: TypeAlias = (
    Real[ArrayLike, "trajectories tokens dim"]
    | Callable[
        ...,
        Float[Array, "tokens dim"]
        | tuple[AttentionField, Float[Array, "tokens dim"]]
        | tuple[AttentionField, Float[Array, "tokens dim"], Noise],
    ]
)
# Folded into a trajectory's key for its noise: the start is drawn from the key itself.
NOISE = 0x6E6F6973


class Recipe(eqx.Module):
    """How one trajectory's field and start follow from its number and its own data.

    **Attributes:**

    - `field`: the field, with `None` at leaves that differ from trajectory to trajectory.
    - `sample`: a function giving `y0` or `(field, y0)`, or `None` where starts are arrays.
    - `key`: the sampler's key; trajectory $i$ is given `fold_in(key, i)`, or without a key its own
      row of data.
    - `noise`, `noise_key`: of all trajectories; $i$ has the key `fold_in(fold_in(noise_key, i), NOISE)`.
    """

    field: AttentionField
    sample: Callable[..., Any] | None
    key: Any
    noise: Noise | None = None
    noise_key: Any = None

    def __call__(self, number: Array, own: Any) -> tuple[AttentionField, Array]:
        """Field and start of trajectory `number`; `own` holds its start and its field's leaves."""
        return self.draw(number, own)[:2]

    def draw(self, number: Array, own: Any) -> tuple[AttentionField, Array, Noise | None]:
        """The same, and its noise with its key."""
        if self.sample is None:
            start, leaves = own
            return eqx.combine(leaves, self.field), start, self._noise(self.noise, number, start)
        drawn: Any = self.sample(own if self.key is None else jax.random.fold_in(self.key, number))
        drawn = drawn if isinstance(drawn, tuple) else (self.field, drawn)
        field, start = drawn[:2]
        noise = drawn[2] if len(drawn) == 3 else self.noise
        return cast_floats(field, start.dtype), start, self._noise(noise, number, start)

    def _noise(self, noise: Any, number: Array, start: Array) -> Noise | None:
        if self.noise is None:
            if noise is not None:
                raise ValueError(
                    "`starts` returns a noise of each trajectory; pass `noise=` as well, of the same kinds."
                )
            return None
        if not isinstance(noise, Noise) or noise.kind != self.noise.kind:
            raise ValueError(
                f"`starts` must return a noise of the kinds of `noise=`, {self.noise.kind}; "
                f"got {noise.kind if isinstance(noise, Noise) else shown(noise)}."
            )
        if noise.key_words is None:
            if self.noise_key is None:
                raise ValueError(
                    "`key` must be given with noise, such as jax.random.key(0); with `each`, let the sampler "
                    "return (field, tokens, noise.with_key(key)); got None."
                )
            key = jax.random.fold_in(self.noise_key, number)
            noise = noise.with_key(jax.random.fold_in(key, NOISE))
        return noise.cast(start.dtype)


class Starts(eqx.Module):
    """All trajectories of a run: their number, and their data."""

    recipe: Recipe
    data: Any
    number: int = eqx.field(static=True)
    shape: tuple[int, int] = eqx.field(static=True)
    dtype: Any = eqx.field(static=True)

    def on_host(self) -> "Starts":
        """The same, with what lies in the host's memory as NumPy has it: rows are taken by no program of JAX's."""
        return dataclasses.replace(self, data=jax.tree.map(_on_host, self.data))

    def block(self, first: int, size: int) -> Any:
        """The data of `size` trajectories from `first` on, padded to a full block by the last one."""
        return self.rows(np.arange(first, first + size), size)

    def rows(self, numbers: np.ndarray, size: int) -> Any:
        """The data of trajectories by number, padded to `size` by the last one of all."""
        padded = np.full(size, self.number - 1)
        padded[: len(numbers)] = np.minimum(numbers, self.number - 1)
        first, last = int(padded[0]), int(padded[-1])
        straight = last - first == size - 1 and bool(np.all(np.diff(padded) == 1))

        def cut(array):
            return np.asarray(array[first : last + 1] if straight else array[padded])

        return jax.tree.map(cut, self.data)


def _on_host(array: Any) -> Any:
    there = isinstance(array, jax.Array) and all(d.platform == "cpu" for d in array.devices())
    return np.asarray(array) if there else array


def gather_starts(
    field: Any,
    starts: Any,
    field_axes: Any,
    number: Any,
    key: Any,
    each: Any = None,
    noise: Noise | None = None,
) -> Starts:
    """The arguments of `run` as `Starts`, refused with one line where they do not fit together."""
    if not isinstance(field, AttentionField):
        raise ValueError(f"`field` must be an AttentionField; got {type(field).__name__}.")
    if callable(starts):
        starts = recognised(starts)
        if field_axes is not None:
            raise ValueError(
                "`field_axes` is for fields given as arrays; with a sampler let it return "
                "(field, y0), or pass an array of starts."
            )
        if each is not None:
            return _sampled_of(field, starts, number, key, each, noise)
        return _sampled(field, starts, number, key, noise)
    if each is not None:
        raise ValueError("`each` is for a sampler; starts given as an array need none. Drop it.")
    if key is not None and noise is None:
        raise ValueError("`key` is for a sampler; starts given as an array need none. Drop it.")
    if noise is not None:
        if key is None:
            raise ValueError("`key` must be given with noise, such as jax.random.key(0); got None.")
        key = random_key("key", key)
    if not isinstance(starts, np.ndarray):
        starts = floating("starts", starts)
    shaped("starts", starts.shape, ("trajectories", "tokens", field.dim), also=", or be a sampler")
    dtype = _dtype("starts", starts.dtype)
    count = starts.shape[0]
    if number is not None and whole("number", number) != count:
        raise ValueError(f"`number` is for a sampler; got {number} and {count} starts. Drop it.")
    own, shared = split_field(cast_floats(field, dtype), field_axes, count)
    recipe = Recipe(shared, None, None, noise, key)
    return Starts(recipe, (starts, own), count, starts.shape[1:], dtype)


def _sampled(field: AttentionField, sample: Any, number: Any, key: Any, noise: Any) -> Starts:
    if (
        isinstance(number, bool)
        or not isinstance(number, int | np.integer)
        or not 0 < number < 2**31
    ):
        raise ValueError(
            f"`number` must say how many trajectories to draw from the sampler, 1 to 2^31 - 1; "
            f"got {shown(number)}."
        )
    if key is None:
        raise ValueError("`key` must be given with a sampler, such as jax.random.key(0); got None.")
    key = random_key("key", key)
    shape, dtype = _drawn(field, sample, key)
    recipe = Recipe(cast_floats(field, dtype), sample, key, noise, key)
    return Starts(recipe, None, int(number), shape, dtype)


def _sampled_of(
    field: AttentionField, sample: Any, number: Any, key: Any, each: Any, noise: Any
) -> Starts:
    if number is not None or key is not None:
        raise ValueError(
            "`each` says how many trajectories there are and what each is drawn from; "
            "drop `number` and `key`."
        )
    rows = jax.tree.map(np.asarray, each)
    sizes = {row.shape[:1] for row in jax.tree.leaves(rows)}
    if len(sizes) != 1 or sizes & {(), (0,)}:
        raise ValueError(
            "`each` must hold arrays with one leading axis of trajectories; got shapes "
            f"{[row.shape for row in jax.tree.leaves(rows)]}."
        )
    (count,) = sizes.pop()
    shape, dtype = _drawn(field, sample, jax.tree.map(lambda row: jnp.asarray(row[0]), rows))
    recipe = Recipe(cast_floats(field, dtype), sample, None, noise)
    return Starts(recipe, rows, count, shape, dtype)


def _drawn(field: AttentionField, sample: Any, of: Any) -> tuple[Any, Any]:
    # Shape and dtype of the tokens that a sampler returns.
    drawn: Any = eqx.filter_eval_shape(sample, of)
    dim, start = field.dim, drawn
    if isinstance(drawn, tuple) and len(drawn) in (2, 3) and isinstance(drawn[0], AttentionField):
        dim, start = drawn[0].dim, drawn[1]
    start: Any
    if not hasattr(start, "shape") or len(start.shape) != 2 or start.shape[1] != dim:
        got = getattr(start, "shape", type(start).__name__)
        raise ValueError(
            f"`starts` as a sampler must return tokens of shape (tokens, {dim}), or (field, tokens); "
            f"got {got}."
        )
    return start.shape, _dtype("starts", start.dtype)


def _dtype(name: str, dtype: Any) -> Any:
    if dtype not in (jnp.float32, jnp.float64):
        raise ValueError(f"`{name}` must be float32 or float64; got {dtype}.")
    if jnp.asarray(np.zeros((), dtype)).dtype != dtype:
        raise ValueError(
            f"`{name}` is float64, and JAX has 64 bits turned off: call "
            'jax.config.update("jax_enable_x64", True) first, or pass float32.'
        )
    return jnp.dtype(dtype)


def split_field(field: AttentionField, axes: Any, count: int) -> tuple[Any, Any]:
    """The field's leaves that have a leading axis of trajectories, and the field without them."""
    if axes is None:
        return jax.tree.map(lambda _: None, field), field
    try:
        marks = jax.tree.map(
            lambda axis, part: jax.tree.map(lambda leaf: _marked(axis, leaf), part),
            axes,
            field,
            is_leaf=lambda x: x is None or (callable(x) and not isinstance(x, eqx.Module)),
        )
    except ValueError as error:
        raise ValueError(
            "`field_axes` must be None, eqx.if_array(0), or a pytree like the field with 0 and None "
            f"at its leaves; got {shown(axes)}, which does not fit."
        ) from error
    own = eqx.filter(field, marks)
    for leaf in jax.tree.leaves(own):
        if leaf.ndim == 0 or leaf.shape[0] != count:
            raise ValueError(
                f"`field_axes` marks an array of shape {leaf.shape}; a marked array needs a leading "
                f"axis of {count}, one entry for each start."
            )
    return own, eqx.filter(field, marks, inverse=True)


def _marked(axis: Any, leaf: Any) -> bool:
    chosen = axis(leaf) if callable(axis) else axis
    if chosen not in (0, None):
        raise ValueError(f"`field_axes` may hold 0 and None only; got {chosen!r}.")
    return chosen == 0 and eqx.is_array(leaf)


def start_is_good(field: AttentionField, y0: Array) -> Bool[Array, ""]:
    """Whether tokens may start here: finite, not zero and, where they must be, on the manifold."""
    good = field.manifold.are_places(y0)
    if field.normalisation.starts_on_manifold:
        good &= jnp.all(field.manifold.residual(y0) <= 1e-4)
    return good
