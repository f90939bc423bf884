"""`Noise`: Brownian motion of tokens on their manifold, each its own or common to all."""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Key, UInt

from ..core.checks import check, choose, finite, random_key, shaped
from ..core.types import Scalar

PARTS = ("independent", "common", "values")


class Noise(eqx.Module):
    r"""Noise that moves tokens on their manifold, beside attention.

    $$dy_i = f_i(t, y)\,dt + s_1\, \Pi_{y_i} \circ dB_i + s_2\, d\Omega \circ y_i
    + s_3\, T_{y_i}\pi \sum_\eta dW_\eta\, A^\eta_i(t, y), \qquad \Pi_y = I - y y^\top$$

    on the sphere, and on an ellipsoid the same of the whitened tokens $x = L^\top y$ (but for $W$, which acts on $y$).
    A token under $s_1$ or $s_2$ alone is a Brownian motion of the sphere of speed $s$: its generator is
    $\tfrac{s^2}{2}\Delta$, and $\mathbb E\langle y(t), y(0)\rangle = e^{-(d-1)s^2t/2}$.

    - `independent`, $s_1$: a Brownian motion $B_i$ in $\mathbb R^d$ for each token, projected to its tangent space.
    - `common`, $s_2$: one for all, $\Omega$ skew with independent Brownian entries above the diagonal. It turns all
      tokens together, so that without attention (and, for $P = \beta I$, $U = I$, with it) their cosines do not feel
      it.
    - `values`, $s_3$: value matrices that are white noise in time, common to all tokens: $W_\eta$ has $d \times d$
      independent Brownian entries and $A^\eta_i = \sum_j \alpha^\eta_{ij} y_j$ is what token $i$ attends to. It is
      the limit of many layers, each with value matrices drawn anew
      ([`antipodal_exponent`][attnflow.theory.antipodal_exponent] says what becomes of two tokens).

    **Which calculus.** Of the first two the integrals are Stratonovich's, $\circ\,d$. Itô's differ from them by
    $-\tfrac{d-1}{2}s^2 y_i\,dt$ alone, which points inward and is what keeps a token on the sphere: with it both are
    the same process, and `calculus` changes nothing. Of `values` they are two processes:

    - `"stratonovich"` (the default): the limit of a flow whose value matrices change fast, such as
      [`random_layers`][attnflow.schedules.random_layers]`(white=True)` of shorter and shorter intervals;
    - `"ito"`: the increment is multiplied by attention at the step's beginning, and the token projected: the limit of
      layers $y_i \leftarrow \pi(y_i + s_3 L^{-1/2}\sum_\eta V_\eta A^\eta_i)$ with $V$ drawn anew in each, $L \to
      \infty$.

    **How it is solved.** Unless a `solver` is given, by symmetric splitting: half a step of noise, a whole one of
    attention (Runge-Kutta of order 4), half a step of noise. The steps of the first two kinds of noise are rotations
    and geodesics, of a variance corrected for curvature. Expectations are of order 2 in the step (order 1 with
    `values`), paths of order 1/2, as for any solver without Lévy areas; without noise order 4. Steps are constant,
    `dt0`: by default 0.01, or less if the run is short or its schedules fast. Saves between steps lie on the
    geodesic: let `ts` be multiples of `dt0`. Diffrax's Euler, Heun, Midpoint, Ralston and EulerHeun may be given as
    `solver=`; tokens are projected after each step.

    A run is a function of its key, the same by itself, in an ensemble and inside a program of your own. By default
    each step draws its own increments, and another `dt0` is another path; with `tol` they are those of a Brownian tree
    (`diffrax.VirtualBrownianTree`), the same path whatever the steps.

    **Arguments:**

    - `independent`, `common`, `values`: $s_1, s_2, s_3$, zero or more; a kind that is not given costs nothing.
    - `calculus`: `"stratonovich"` or `"ito"`, see above.
    - `tol`: the time to which the Brownian tree is resolved, at most half a step; `None` for no tree.

    **Raises:**

    `ValueError` where no kind is given, or a number is negative or not finite.

    ```python
    noise = af.Noise(independent=0.3, common=0.1)
    sol = af.simulate(field, y0, t1=20.0, dt0=0.05, noise=noise, key=jax.random.key(0))
    ```
    """

    independent: Float[Array, ""] | None
    common: Float[Array, ""] | None
    values: Float[Array, ""] | None
    tol: Float[Array, ""] | None
    key_words: UInt[Array, " words"] | None
    key_kind: str = eqx.field(static=True)
    calculus: str = eqx.field(static=True)

    def __init__(
        self,
        *,
        independent: Scalar | None = None,
        common: Scalar | None = None,
        values: Scalar | None = None,
        calculus: str = "stratonovich",
        tol: Scalar | None = None,
    ):
        self.independent = _strength("independent", independent)
        self.common = _strength("common", common)
        self.values = _strength("values", values)
        if independent is None and common is None and values is None:
            raise ValueError(
                "`Noise` must be given `independent`, `common` or `values`, a number; got none."
            )
        self.calculus = choose("calculus", calculus, ("stratonovich", "ito"))
        self.tol = None if tol is None else _strength("tol", tol)
        if self.tol is not None:
            self.tol = check(
                self.tol, lambda x: ~(x > 0), "`tol` must be a positive time; got zero."
            )
        self.key_words, self.key_kind = None, ""

    def with_key(self, key: Key[Array, ""]) -> "Noise":
        """The same noise, of this key: what a sampler of [`ensemble.run`][attnflow.ensemble.run] returns."""
        kept = random_key("key", key)
        if not jnp.issubdtype(kept.dtype, jax.dtypes.prng_key):
            kept = jax.random.wrap_key_data(kept)
        # Numbers, and not a key: lanes of an ensemble are made, picked and stored as plain arrays.
        return self._with(
            key_words=jax.random.key_data(kept), key_kind=str(jax.random.key_impl(kept))
        )

    def cast(self, dtype: DTypeLike) -> "Noise":
        """The same noise, its numbers of that dtype."""
        names = (*self.parts, *(("tol",) if self.tol is not None else ()))
        return self._with(**{name: getattr(self, name).astype(dtype) for name in names})

    def _with(self, **changes: Any) -> "Noise":
        other = object.__new__(type(self))
        for field in dataclasses.fields(self):
            value = changes.get(field.name, getattr(self, field.name))
            object.__setattr__(other, field.name, value)
        return other

    @property
    def kind(self) -> tuple[str, ...]:
        """All that is no number: the kinds of noise, the calculus, whether increments are those of a tree."""
        return (*self.parts, self.calculus, "of steps" if self.tol is None else "of a tree")

    @property
    def parts(self) -> tuple[str, ...]:
        """The kinds that are there."""
        return tuple(name for name in PARTS if getattr(self, name) is not None)


def _strength(name: str, value: Any) -> Array | None:
    if value is None:
        return None
    array = finite(name, value)
    shaped(name, array.shape, ())
    return check(array, lambda x: ~(x >= 0), f"`{name}` must be zero or more; got less.")
