"""The spectrum of the flow at a configuration, and whether an equilibrium there is stable."""

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Complex, Float, Real

from ..core.checks import number
from ..model import AttentionField
from ._equilibrium import newton_step
from ._family import family_directions, moving_complement
from ._jacobian import Frame, frame_of
from ._linear import Eigen, eigen

_NEAR = 1e-3  # radians: a Newton step longer than this does not lead to an equilibrium nearby


@dataclass(frozen=True, eq=False)
class Spectrum:
    """What [`spectrum`][] returns, in NumPy; `print` shows a summary. With `n = tokens (dim - 1)`:

    **Attributes:**

    - `eigenvalues`: complex, `(n,)`, those with the largest real part first.
    - `errors`: `(n,)`, how far rounding may have moved each.
    - `modes`: complex, `(n, tokens, dim)`: the tangent vectors of each eigenvalue at `y`, with
      $\\sum_i |v_i|_W^2 = 1$; NaN where an eigenvalue has no eigenvector of its own.
    - `jacobian`: `(n, n)`, as [`jacobian`][attnflow.theory.jacobian] gives it.
    - `speed`: the largest $|\\dot y_i|_W$, zero at an equilibrium.
    - `family`: the dimension of the known family of equilibria through `y`.
    - `outside`: the eigenvalues that remain without the family and without frozen tokens.
    - `margin`: real parts within it of zero count as neutral.
    - `at_rest`: whether `y` is an equilibrium as far as the digits tell.
    - `verdict`: `"stable"` (every eigenvalue of `outside` left of `-margin`), `"unstable"` (some
      right of `margin`) or `"undecided"`.
    """

    eigenvalues: Complex[np.ndarray, " n"]
    errors: Float[np.ndarray, " n"]
    modes: Complex[np.ndarray, "n tokens dim"]
    jacobian: Float[np.ndarray, "n n"]
    speed: float
    family: int
    outside: Complex[np.ndarray, " m"]
    margin: float
    at_rest: bool

    @property
    def unstable(self) -> int:
        """How many eigenvalues outside the family are right of the margin."""
        return int(np.sum(np.real(self.outside) > self.margin))

    @property
    def stable(self) -> int:
        """How many are left of it."""
        return int(np.sum(np.real(self.outside) < -self.margin))

    @property
    def neutral(self) -> int:
        """How many are within it, the family and frozen tokens included."""
        return len(self.eigenvalues) - self.unstable - self.stable

    @property
    def verdict(self) -> str:
        if not self.at_rest:
            return "undecided"
        if self.unstable:
            return "unstable"
        return "stable" if self.stable == len(self.outside) else "undecided"

    def __str__(self) -> str:
        modulo = f" modulo a family of dimension {self.family}" if self.family else ""
        lines = [
            f"{self.verdict}{modulo}: {self.unstable} unstable, {self.neutral} neutral, "
            f"{self.stable} stable of {len(self.eigenvalues)} eigenvalues"
        ]
        if len(self.outside):
            lines.append(f"rightmost outside the family: {self.outside[0]:.6g}")
        lines.append(f"margin {self.margin:.2g}, speed {self.speed:.2g}")
        if not self.at_rest:
            lines.append(
                "not an equilibrium: these are eigenvalues of the covariant derivative of the "
                "velocity; polish it with attnflow.theory.equilibrium"
            )
        return "\n".join(lines)


def spectrum(
    field: AttentionField,
    t: Real[ArrayLike, ""],
    y: Float[Array, "tokens dim"],
    *,
    margin: float | None = None,
) -> Spectrum:
    r"""Eigenvalues of the flow's Jacobian on the tangent space at `y`, and what they say.

    $$ J\,\delta = \partial_\delta\, \dot y, \qquad \delta \in \textstyle\prod_i T_{y_i} E_W $$

    by autodiff: see [`jacobian`][]. Where tokens do not feel later ones (causal and other
    triangular masks, or any other order) `J` is block-triangular and eigenvalues are those of
    its diagonal blocks, to the digits that those have; a symmetric `J` is treated as such.

    The verdict is about the complement of the family of equilibria that symmetry gives:
    rotations that commute with every $P_\eta$ and $U_\eta$ (dimension up to 24), and, where every
    $U_\eta$ is a multiple of the identity, turns of a line on which all tokens are (for tokens at
    one point and a row-normalised kernel $\sum_\eta U_\eta$ is enough). "stable" therefore means
    stable modulo that family. Off an equilibrium it is "undecided".

    **Arguments:**

    - `field`: an [`AttentionField`][] whose tokens stay on the manifold (Post, nGPT, square-root
      scaling). The hardmax kernel is differentiated as if its ties did not change.
    - `t`: the time at which schedules are taken.
    - `y`: tokens, shape `(tokens, dim)`, float64 or float32 (with margins to match).
    - `margin`: real parts up to it are neutral; by default what rounding, and the distance from
      the equilibrium that the speed tells of, may have moved eigenvalues by.

    **Returns:**

    A [`Spectrum`][].

    **Raises:**

    - `ValueError`: a normalisation whose tokens leave the manifold, tokens off it, a Jacobian that
      is not finite, a negative `margin`.

    Known answers: at consensus under full attention with $U = I$ and any $P$, 0 ($d - 1$ times)
    and $-1$ (in units of `scale`); causal: $-(1 - 1/k)$ for token $k$.

    ```python
    found = af.theory.spectrum(field, 0.0, af.theory.polygon(3))
    found.eigenvalues, found.verdict
    print(found)
    ```
    """
    if margin is not None:
        margin = number("margin", margin, least=0.0)
    return analyse(field, frame_of(field, t, y), margin=margin, modes=True)


def analyse(
    field: AttentionField, frame: Frame, *, margin: float | None = None, modes: bool = False
) -> Spectrum:
    """[`spectrum`][] of a frame."""
    tokens = frame.x.shape[0]
    J = frame.local.jacobian
    everything = eigen(J, tokens, eps=frame.eps, noise=frame.noise, modes=modes)
    directions = family_directions(field, frame)
    rest, errors = _outside(everything, frame, directions)

    # The step to the equilibrium, and how far eigenvalues are from those there.
    step = newton_step(field, frame)
    length = float(np.abs(step).max(initial=0))
    at_rest = length <= _NEAR and frame.speed <= np.sqrt(frame.eps) * float(frame.local.size)
    if margin is None:
        margin = 4 * float(errors.max(initial=0))
        if at_rest and length:
            margin += 2 * float(np.linalg.norm(frame.at(step).jacobian - J, 2))
    return Spectrum(
        eigenvalues=everything.values,
        errors=everything.errors,
        modes=_tangent_vectors(field, frame, everything.modes if modes else None),
        jacobian=J,
        speed=frame.speed,
        family=directions.shape[1],
        outside=rest,
        margin=float(margin),
        at_rest=bool(at_rest),
    )


def _outside(
    everything: Eigen, frame: Frame, directions: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues on the complement of the family, and their errors.

    `J` takes the directions of the family to zero, so that they are the eigenvalues of `J`
    compressed to the complement; equally, all but as many zeros as the family has dimensions.
    """
    free = moving_complement(frame, directions)
    if len(free) == free.shape[1]:
        return everything.values, everything.errors
    if everything.block.max() == 0:  # one block: no structure to lose
        J = free.T @ frame.local.jacobian @ free
        inner = eigen(J, 1, eps=frame.eps, noise=frame.noise)
        return inner.values, inner.errors
    surplus = len(free) - free.shape[1]
    indices = np.sort(np.argsort(np.abs(everything.values), kind="stable")[surplus:])
    return everything.values[indices], everything.errors[indices]


def _tangent_vectors(field: AttentionField, frame: Frame, modes: np.ndarray | None) -> np.ndarray:
    """Columns of coordinates as tangent vectors at the tokens, in their own coordinates."""
    tokens, dim = frame.x.shape
    if modes is None:
        return np.full((tokens * (dim - 1), tokens, dim), np.nan, complex)
    ambient = np.einsum("idk,ikn->nid", frame.local.basis, modes.reshape(tokens, dim - 1, -1))

    def out(part: Any) -> np.ndarray:
        part = jnp.asarray(part, frame.x.dtype)
        return np.asarray(field.manifold.unwhiten(part), np.float64)

    return out(ambient.real) + 1j * out(ambient.imag)
