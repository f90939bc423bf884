"""A ball or caps about an attractor that are proved to lie in its basin, and the part of all starts that they are."""

import decimal
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from flint import arb, arb_mat, ctx
from jaxtyping import Float

from ..checker import equilibria as checker
from ..core.checks import floating, number
from ..core.types import Numbers
from ..model import AttentionField
from ._attractor import NotDecided, Refuted, attractor, reason
from ._basin import _axes, _reach
from ._basin_caps import caps, norm_bound, shares_a_hemisphere
from ._plain import plain_case, rows_of

_DISTINCT = 1e-6


@dataclass(frozen=True)
class BasinBall:
    r"""What [`basin`][attnflow.certify.basin] returns; printed, a statement.

    **Attributes:**

    - `verdict`: `"proved"`, `"refuted"` (no equilibrium there, or one that is unstable) or `"not decided"`.
    - `why`: in a line.
    - `tokens`: the equilibrium in float64, `(tokens, dim)`; `None` where nothing was proved.
    - `radius`: starts with $\sum_i |y_i - y_i^*|^2 \leq$ `radius`² go to it; 0 where nothing was proved.
    - `angle`: starts in which each token is at most so many radians from its place in the equilibrium, exact at an
      end of the axis, go to it; 0 where that was not proved.
    - `hemisphere`: whether it was proved that every start in some open hemisphere goes to consensus, a different one
      for each; `radius` and `angle` are then 0, and `tokens` is one of them.
    - `one`: a lower bound of the part of all uniform, independent starts that are in this ball, in these caps, or
      in a hemisphere, whichever was proved.
    - `copies`: how many such regions, about states that a relabelling or the sign of all tokens gives, are
      disjoint from one another.
    - `share`: a lower bound of the part of starts that go to the equilibrium or to such a copy: `copies` times `one`.
    """

    verdict: str
    why: str
    tokens: Float[np.ndarray, "tokens dim"] | None = None
    radius: float = 0.0
    angle: float = 0.0
    hemisphere: bool = False
    one: float = 0.0
    copies: int = 0
    share: float = 0.0

    @property
    def proved(self) -> bool:
        """Whether a region was found and proved."""
        return self.verdict == "proved"

    def __str__(self) -> str:
        lines = [f"{self.verdict}: {self.why}"]
        if self.proved:
            region = f"sum_i |y_i - y*_i|^2 <= {_down(self.radius, 6)}^2"
            if self.angle:
                region = f"each token within {_down(self.angle, 6)} rad of its place in y*"
            lines += [
                "Every start in an open hemisphere converges to consensus."
                if self.hemisphere
                else f"Every start with {region} converges to y*.",
                f"That is at least {_down(self.one, 3)} of all uniform starts; with {self.copies} disjoint copies by "
                f"symmetry the share is at least {_down(self.share, 3)}.",
            ]
        return "\n".join(lines)


def basin(
    field: AttentionField, y: Numbers, *, within: float = 1e-6, bits: Sequence[int] = (128, 256)
) -> BasinBall:
    r"""Prove that a region about an equilibrium lies in its basin, in ball arithmetic, and bound its volume from below.

    **What is proved.** $G$ is the field of eq. (6) carried off the sphere, as in
    [`equilibrium`][attnflow.certify.equilibrium], which proves that $y^*$ is in a small box $X$. For a matrix $T$ (of a
    Lyapunov function of the linearisation, or of its eigenvectors) let $E = \{y : |T^{-1}(y - y^*)| \leq r\}$.

    - If the logarithmic norm of $T^{-1}\,DG\,T$ is negative over a box that holds $E$ for each $y^* \in X$
      (Gershgorin's discs), $|T^{-1}(y(t) - y^*)|$ declines from every start in $E$ to zero.
    - $|y - y^*| \leq r / \lVert T^{-1}\rVert_2$ is in $E$, with $\lVert T^{-1}\rVert_2^{2k} \leq \operatorname{tr}
      (T^{-\top}T^{-1})^k$, enclosed.
    - On the sphere $|y_i - y_i^*|^2/4$ of a uniform token has the law Beta$(\frac{d-1}2, \frac{d-1}2)$ (Archimedes:
      uniform for $d = 3$, where the share of the ball is $(\varrho^2/4)^\ell/\ell!$; else that of the product of
      caps with $\varrho^2/\ell$ each is taken).
    - Where all tokens see all, a relabelling takes basins to basins, and so does the sign of all tokens. Copies count
      whose balls are disjoint.

    Two kinds of states have far larger regions, by theorems whose hypotheses are checked in fractions and balls:

    - consensus and polarised states on an axis that every $U_\eta$ keeps from both sides and stretches more than all
      across it: **caps**, one for each token, as wide as the axis's pull wins over that of the tokens at its other end
      (`certify/_basin_caps.py` has theorem and proof). At consensus they are half spheres.
    - consensus under full attention with $U_\eta = c I$, $c > 0$: all starts in an open **hemisphere** (Theorem 3.2 of
      arXiv:2412.02682), whose share is Wendel's.

    Elsewhere the bound is far below the share: it is that of a ball in as many dimensions as the tokens have together,
    where intervals, which are wide, show a decline. It is not zero.

    **Arguments:**

    - `field`: on a [`Sphere`][attnflow.Sphere], with $P$ and $U$ constant in time, kernel `"softmax"` or `"exp"`, any
      mask of zeros and ones.
    - `y`: tokens at or near an equilibrium that stands alone, or consensus where $U_\eta = c I$, `(tokens, dim)`.
    - `within`: how far from `y` it may be, in each coordinate.
    - `bits`: precisions, tried one after the other.

    **Returns:**

    A [`BasinBall`][attnflow.certify.BasinBall].

    **Raises:**

    - `ValueError`: a field that no certificate is about, an ellipsoid, tokens off the sphere.

    ```python
    field = af.AttentionField(af.Sphere(2), P=jnp.eye(2), U=jnp.diag(jnp.array([1.0, 0.5])), scale=1.0)
    af.certify.basin(field, jnp.array([[1.0, 0.0], [1.0, 0.0]])).share
    ```
    """
    within = number("within", within, above=0.0)
    tokens = np.asarray(field.manifold.check_rows("y", floating("y", y)), np.float64)
    case = plain_case(field, len(tokens))
    if case["W"] != [rows_of(np.eye(field.dim))]:
        raise ValueError(
            "`field` must be on a Sphere, where the volume of a ball is known; got an Ellipsoid. Whiten it first."
        )
    why = ""
    for many in bits:
        try:
            return _proved(case, tokens, within, many)
        except Refuted as error:
            return BasinBall("refuted", str(error))
        except (ValueError, ZeroDivisionError, NotDecided) as error:
            why = f"{reason(error)}, at {many} bits"
    return BasinBall("not decided", why)


def _proved(case: dict[str, Any], y: np.ndarray, within: float, bits: int) -> BasinBall:
    there = attractor(case, y, within, bits)
    if not there.proof["stable"]:
        return BasinBall("refuted", "the equilibrium is unstable")
    ctx.prec = bits
    flow = checker.Flow(case)
    if there.proof["family"] == "consensus":
        wendel = shares_a_hemisphere(flow)
        if wendel is not None:
            part = _below(wendel)
            return BasinBall(
                "proved", "Theorem 3.2", there.tokens, hemisphere=True, one=part, copies=1, share=part
            )  # fmt: skip
    if there.proof["family"] != "none":
        raise NotDecided(
            "the equilibrium is one of a family, and starts near it go to others of it"
        )
    wide = caps(flow, there.tokens)
    if wide is not None:
        angle, one, copies = wide
        radius = _below(2 * (arb(angle) / 2).sin())  # a token's distance is at most that of all
        return BasinBall(
            "proved", "caps about the ends of an axis", there.tokens, radius, angle, one=_below(one),
            copies=copies, share=_below(one * copies),
        )  # fmt: skip
    _, box = checker.show_equilibrium(flow, there.proof)
    best = arb(0)
    for axes in _axes(there.jacobian):
        reach, weights = _reach(flow, there, axes)
        if reach:
            radius = _ball(flow, box, axes, reach, weights)
            best = radius if radius > best else best
    if not best > 0:
        raise NotDecided("no ball was found in which distances to the equilibrium decline")
    # Rounded down, and about the float64 tokens, which are not y* itself.
    off = max(
        float(abs(a - arb(b)).upper()) for a, b in zip(box, there.tokens.ravel(), strict=True)
    )
    radius = _below(best - arb(off) * len(box))
    one = _volume(radius, *y.shape)
    copies = _copies(flow, there.tokens, radius)
    return BasinBall(
        "proved", "a ball in the basin of attraction", there.tokens, radius, one=one, copies=copies,
        share=_below(arb(one) * copies),
    )  # fmt: skip


def _ball(flow: Any, box: list, axes: np.ndarray, reach: float, weights: np.ndarray) -> Any:
    """The radius of a ball about y* in {|T^-1 (y - y*)| <= reach}, on which the norm is shown to decline."""
    T, r = arb_mat(checker.exact(rows_of(axes))), arb(checker.exact([[repr(float(reach))]])[0, 0])
    inverse = T.inv()
    wide = [arb(0, r.upper()) * checker.dot(row, row).sqrt() for row in T.tolist()]
    around = [a + b for a, b in zip(box, wide, strict=True)]
    J = inverse * arb_mat(checker.derivative(flow.field, around)) * T
    if not checker.growth(J.tolist(), [arb(float(w)) for w in weights]) < 0:
        return arb(0)
    return r / norm_bound(inverse)


def _volume(radius: float, tokens: int, dim: int) -> float:
    """A lower bound of the part of independent uniform tokens at a total distance up to `radius`."""
    square = arb(radius) ** 2 / 4
    if dim == 3 and radius <= 2:
        return _below(square**tokens / arb(tokens).gamma() / tokens)
    half = arb(dim - 1) / 2
    each = square / tokens
    return _below(each.beta_lower(half, half, regularized=True) ** tokens) if each < 1 else 1.0


def _copies(flow: Any, y: np.ndarray, radius: float) -> int:
    """How many relabelled and mirrored balls are disjoint from one another and from this one."""
    if not flow.full:
        sign = 2 * math.sqrt(float(np.sum(y * y))) > 2 * radius + _DISTINCT
        return 1 + int(sign)
    apart = np.linalg.norm(y[:, None] - y[None], axis=-1)
    together = apart <= _DISTINCT
    # Tokens in clusters that are far from one another: relabelled states differ in two tokens at least.
    least = float(np.min(apart, where=~together, initial=np.inf))
    groups = np.unique(together, axis=0).astype(int)
    if groups.sum() != len(y) or not math.sqrt(2) * least > 2 * radius + 4 * _DISTINCT * len(y):
        return 1
    number = math.factorial(len(y))
    for group in groups:
        number //= math.factorial(int(group.sum()))
    # Mirrored states: no relabelling brings each token nearer to its mirror image than the nearest of these.
    mirrored = np.linalg.norm(y[:, None] + y[None], axis=-1).min(axis=1)
    counts = [int(g.sum()) for g in groups]
    opposite = [
        int(np.sum(np.linalg.norm(y + y[np.argmax(g)], axis=-1) <= _DISTINCT)) for g in groups
    ]
    far = math.sqrt(float(np.sum(mirrored**2))) > 2 * radius + _DISTINCT
    # Or every cluster has its mirror image among the clusters, with another number of tokens.
    uneven = all(opposite) and any(a != b for a, b in zip(counts, opposite, strict=True))
    differs = uneven and least > 2 * radius + 4 * _DISTINCT * len(y)
    return number * (2 if far or differs else 1)


def _down(x: float, digits: int) -> str:
    """A number in decimals, rounded down: what is printed is no more than what was proved."""
    return f"{decimal.Context(digits, decimal.ROUND_FLOOR).create_decimal_from_float(x):g}"


def _below(x: Any) -> float:
    """A float that is not above the ball."""
    return max(0.0, math.nextafter(float(x.lower()), -math.inf))
