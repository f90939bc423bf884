"""How many clusters tokens form, against the inverse temperature and the dimension."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Unpack

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Int, Key, Real

from ..core.arguments import numbers as as_numbers
from ..core.checks import random_key, typed_key, whole
from ..core.recognised import recognised
from ..core.types import Numbers, Scalar
from ..ensemble import RunOptions, run
from ..geometry import Sphere
from ..model import AttentionField
from ..observables import ClusterCount


@dataclass(frozen=True, eq=False)
class ClusterNumbers:
    """What [`cluster_numbers`][] gives.

    **Attributes:**

    - `dims`, `betas`: what was asked for; `ts`: the times, `(times,)`, the end alone unless they were given.
    - `counts`: how many clusters there were, `(dims, betas, number, times)`; -1 where a run failed.
    """

    dims: tuple[int, ...]
    betas: Float[np.ndarray, " betas"]
    ts: Float[np.ndarray, " times"]
    counts: Int[np.ndarray, "dims betas number times"]

    @property
    def mean(self) -> Float[np.ndarray, "dims betas times"]:
        """Over the runs that did not fail; NaN where all did."""
        good = self.counts >= 0
        total = np.where(good, self.counts, 0).sum(axis=2)
        return total / np.where(good.any(axis=2), good.sum(axis=2), np.nan)

    @property
    def error(self) -> Float[np.ndarray, "dims betas times"]:
        """The standard error of the mean; NaN for fewer than two runs."""
        good = self.counts >= 0
        many = good.sum(axis=2)
        off = np.where(good, self.counts - self.mean[:, :, None], 0.0)
        most = np.where(many > 1, many * (many - 1.0), np.nan)
        return np.sqrt((off**2).sum(axis=2) / most)

    def __str__(self) -> str:
        head = f"{'dim':>5} " + " ".join(f"{beta:>14.4g}" for beta in self.betas)
        lines = ["number of clusters at the last time, by dimension and beta", head]
        for dim, mean, error in zip(self.dims, self.mean, self.error, strict=True):
            cells = (
                f"{m:>8.3f} ±{e:>5.2f}" for m, e in zip(mean[:, -1], error[:, -1], strict=True)
            )
            lines.append(f"{dim:>5} " + " ".join(cells))
        return "\n".join(lines)


def cluster_numbers(
    betas: Numbers,
    dims: Sequence[int],
    *,
    tokens: int,
    number: int,
    key: Key[Array, ""],
    t1: Scalar,
    ts: Real[ArrayLike, " times"] | None = None,
    threshold: Numbers = 0.999,
    field: Callable[[int, Float[Array, ""]], AttentionField] | None = None,
    **options: Unpack[RunOptions],
) -> ClusterNumbers:
    r"""How many clusters random starts have formed by time $t_1$, for each inverse temperature and dimension.

    All runs of a dimension are one ensemble, so that slow ones hold nobody up. The $k$-th start of a dimension is
    the same for every beta, drawn by `fold_in(fold_in(key, dim), k)`: differences between betas are of the dynamics.
    In time the number falls to one through plateaus that last exponentially long in $\beta$ (arXiv:2410.06833): it is a
    number at a time. The first clusters of uniform starts are about as many as the fastest growing mode has maxima
    (arXiv:2410.23228).

    **Arguments:**

    - `betas`: inverse temperatures, `(betas,)`.
    - `dims`: dimensions $d$.
    - `tokens`, `number`: tokens of a start, and starts of each beta and dimension.
    - `key`: of the starts, uniform on the field's manifold.
    - `t1`, `ts`: when to stop, and when to count: at $t_1$ unless given.
    - `threshold`: the least cosine of neighbours, as of [`clusters`][attnflow.clusters]; a number, or one a beta.
    - `field`: a function of the dimension and beta; $P = \beta I$ on the unit sphere with `scale=1` unless given.

    Further `options` are those of [`ensemble.run`][attnflow.ensemble.run].

    **Returns:**

    [`ClusterNumbers`][]; printed, it is a table.

    **Raises:**

    `ValueError` for bad arguments; runs that fail are counted as -1 and raise nothing.

    ```python
    key = jax.random.key(0)
    found = af.attractors.cluster_numbers([1.0, 9.0, 81.0], [2, 3], tokens=32, number=50, key=key, t1=20.0)
    found.mean[..., -1]                                      # (2, 3)
    ```
    """
    make = _on_the_sphere if field is None else field
    if not callable(make) or isinstance(make, AttentionField):
        raise ValueError(f"`field` must be a function of dim and beta; got {type(field).__name__}.")
    make = recognised(make)
    values = as_numbers("betas", betas)
    if values.ndim != 1 or values.size == 0 or not np.isfinite(values).all():
        raise ValueError(f"`betas` must be a vector of finite numbers; got shape {values.shape}.")
    if isinstance(dims, int) or not hasattr(dims, "__iter__") or not len(list(dims)):
        raise ValueError("`dims` must be a list of dimensions, such as [2, 3]; got none.")
    taken = sorted({"each", "field_axes", "keep", "observe", "summaries"} & set(options))
    if taken:
        raise ValueError(f"`{taken[0]}` is not for cluster_numbers, which sets it; drop it.")
    sizes = tuple(whole("dims", dim) for dim in dims)
    tokens, number = whole("tokens", tokens), whole("number", number)
    key = typed_key(random_key("key", key))
    cosines = as_numbers("threshold", threshold)
    if cosines.shape not in ((), values.shape) or not (np.abs(cosines) <= 1).all():
        raise ValueError(
            "`threshold` must be a cosine, or one for each beta, in [-1, 1]; "
            f"got shape {cosines.shape}."
        )
    cosines = np.broadcast_to(cosines, values.shape)
    trial = np.tile(np.arange(number, dtype=np.uint32), len(values))
    counts = []
    for dim in sizes:
        keys = jax.vmap(jax.random.fold_in, (None, 0))(jax.random.fold_in(key, dim), trial)
        each = {
            "beta": np.repeat(values, number).astype(jnp.result_type(float)),
            "key": np.asarray(jax.random.key_data(keys)),
        }
        sample = _Sample(make, dim, tokens, str(jax.random.key_impl(key)))  # pyright: ignore
        first = make(dim, jnp.asarray(values[0]))
        if not isinstance(first, AttentionField):
            raise ValueError(
                f"`field` must give an AttentionField; got {type(first).__name__} for dim = {dim}."
            )
        keywords: Any = {**options, "each": each}
        done = run(first, sample, t1=t1, ts=ts, **keywords)
        ys = np.asarray(done.ys)
        found = np.asarray(_counts(ys, np.repeat(cosines, number)))
        found = np.where(done.failed[:, None], -1, found)
        counts.append(found.reshape(len(values), number, -1))
    times = np.atleast_1d(np.asarray(t1 if ts is None else ts, np.float64))
    return ClusterNumbers(sizes, values, times, np.stack(counts))


def _on_the_sphere(dim: int, beta: Array) -> AttentionField:
    return AttentionField(Sphere(dim), P=beta * jnp.eye(dim), scale=1.0)


class _Sample(eqx.Module):
    """The field of a beta, and a start of it from a key."""

    make: Callable[..., AttentionField] = eqx.field(static=True)
    dim: int = eqx.field(static=True)
    tokens: int = eqx.field(static=True)
    impl: str = eqx.field(static=True)

    def __call__(self, row: Any) -> tuple[AttentionField, Array]:
        field = self.make(self.dim, row["beta"])
        key = jax.random.wrap_key_data(row["key"], impl=self.impl)
        return field, field.manifold.random(key, (self.tokens,), dtype=row["beta"].dtype)


@jax.jit
def _counts(ys: Array, cosines: Array) -> Array:
    """Clusters at each save of each trajectory; zero where tokens have no direction."""

    def count(save: Array, cosine: Array) -> Array:
        return ClusterCount(cosine)(jnp.zeros((), save.dtype), save)

    return jax.vmap(lambda saves, c: jax.vmap(lambda y: count(y, c))(saves))(ys, cosines)
