"""Rényi centres of a sequence: tokens that come before every neighbour of theirs, and what they capture."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Bool, Float, Int, Real

from ..core.checks import check, floating, instance, shown
from ..core.eager import one_program
from ..geometry import AbstractManifold
from .directions import directions


class RenyiCentres(eqx.Module):
    """What [`renyi_centres`][] gives, all by token.

    **Attributes:**

    - `centres`: which tokens are Rényi centres, Boolean `(tokens,)`.
    - `strong`: which are strong centres; each of them is a Rényi centre as well.
    - `captured_by`: the nearest centre within the radius, as a token's number; a centre captures itself.
    - `share`: the part of all tokens that each captures, zero but for centres; it sums to one.
    - `strong_share`: the part of all tokens within the radius of some strong centre, a scalar.
    - `strong_shares`: the part of all tokens that each strong centre captures, the nearest one within the radius;
      zero but for strong centres, and it sums to `strong_share`.
    """

    centres: Bool[Array, " tokens"]
    strong: Bool[Array, " tokens"]
    captured_by: Int[Array, " tokens"]
    share: Float[Array, " tokens"]
    strong_share: Float[Array, ""]
    strong_shares: Float[Array, " tokens"]


def renyi_centres(
    y: Float[Array, "tokens dim"],
    radius: float | Float[Array, ""],
    manifold: AbstractManifold | None = None,
) -> RenyiCentres:
    r"""The Rényi centres of a sequence of tokens, and the part of the tokens that each captures.

    Token $j$ is a *Rényi centre* where it is further than $\delta$ from every earlier centre: a sequence parks its
    tokens one after another, as cars in Rényi's car parking. It is a *strong* centre where it is further than $\delta$
    from every earlier token, centre or none. Distances are angles. In causal attention with $\delta$ of order
    $\beta^{-1/2}$ tokens gather at such centres and stay for a time exponential in $\beta$
    (Karagodin, Polyanskiy, Rigollet, arXiv:2411.04990).

    **Arguments:**

    - `y`: tokens in the order of the sequence, one a row, of any length. Use `jax.vmap` for more axes.
    - `radius`: $\delta$, an angle from 0 to $\pi$.
    - `manifold`: whose inner product to take; `None` for the Euclidean one.

    **Returns:**

    A [`RenyiCentres`][]. A token without a direction, zero or NaN, gives shares that are NaN.

    **Raises:**

    `ValueError`: `y` is not tokens, or `radius` no angle.

    ```python
    angles = jnp.array([0.0, 0.8, 1.5])
    y = jnp.stack([jnp.cos(angles), jnp.sin(angles)], axis=1)
    found = af.renyi_centres(y, 1.0)
    found.centres, found.strong          # [True, False, True], [True, False, False]
    found.share                          # [1/3, 0, 2/3]: the second is nearer to the third
    ```
    """
    unit = directions(y, manifold)
    return _centres(unit, _angle(radius).astype(unit.dtype))


def _angle(radius: float | Float[Array, ""]) -> Array:
    delta = floating("radius", radius)
    if delta.ndim:
        raise ValueError(f"`radius` must be one angle; got shape {delta.shape}.")
    message = f"`radius` must be an angle from 0 to pi; got {shown(radius)}."
    return check(delta, lambda d: ~((d >= 0) & (d <= 3.1415927)), message)


@one_program
def _centres(unit: Array, delta: Array) -> RenyiCentres:
    tokens = unit.shape[0]
    order = jnp.arange(tokens)
    # angles by half chords, which resolve small ones
    chord = jax.lax.map(lambda row: jnp.sqrt(jnp.sum((unit - row[None]) ** 2, axis=1)), unit)
    angle = 2 * jnp.arcsin(jnp.minimum(chord / 2, 1))
    near = angle <= delta
    earlier = order[None, :] < order[:, None]
    strong = ~jnp.any(near & earlier, axis=1)

    def park(i: Array, centres: Array) -> Array:
        return centres.at[i].set(~jnp.any(near[i] & centres))

    centres = jax.lax.fori_loop(0, tokens, park, jnp.zeros(tokens, bool))
    captured = jnp.argmin(jnp.where(centres[None, :], angle, jnp.inf), axis=1)
    one = jnp.ones((), unit.dtype)
    share = jnp.zeros(tokens, unit.dtype).at[captured].add(one / tokens)
    reached = near & strong[None, :]
    some = jnp.any(reached, axis=1)
    strong_share = jnp.mean(some, dtype=unit.dtype)
    nearest = jnp.argmin(jnp.where(reached, angle, jnp.inf), axis=1)
    strong_shares = jnp.zeros(tokens, unit.dtype).at[nearest].add(jnp.where(some, one / tokens, 0))
    known = jnp.all(jnp.isfinite(unit))
    return RenyiCentres(
        centres,
        strong,
        captured,
        jnp.where(known, share, jnp.nan),
        jnp.where(known, strong_share, jnp.nan),
        jnp.where(known, strong_shares, jnp.nan),
    )


class Renyi(eqx.Module):
    """[`renyi_centres`][] as an observer, `obs(t, y)`.

    **Arguments:** as those of [`renyi_centres`][] after `y`.
    """

    radius: Float[Array, ""]
    manifold: AbstractManifold | None

    def __init__(self, radius: float | Float[Array, ""], manifold: AbstractManifold | None = None):
        self.radius = _angle(radius)
        what = "None, attnflow.Sphere(dim) or attnflow.Ellipsoid(W)"
        self.manifold = instance("manifold", manifold, AbstractManifold | None, what)

    def __call__(self, t: Real[ArrayLike, ""], y: Float[Array, "tokens dim"]) -> RenyiCentres:
        return renyi_centres(y, self.radius, self.manifold)
