r"""Contraction to a common eigenvector: Theorem 4.5 for any mask, heads, P(t) and U(t), under one condition on U.

**Theorem.** Eq. (6) on the sphere, softmax rows (masses allowed), a positive scale $s$, each token attending to
somebody, $P_\eta(t)$ and $U_\eta(t)$ measurable and locally bounded. Let a unit vector $v$, the same at all times, and
numbers $\lambda_\eta(t) > \mu_\eta(t) \geq 0$ satisfy

$$ U_\eta v = U_\eta^\top v = \lambda_\eta v, \qquad |U_\eta w| \leq \mu_\eta |w| \text{ for } w \perp v. $$

From every start with $v^\top y_i > 0$ for all $i$, $M = \max_i \tan\angle(y_i, v)$ satisfies

$$ M(t) \leq e^{-\Gamma (t - t_0)} M(t_0), \qquad
   \Gamma = s \sum_\eta \inf_t\,(\lambda_\eta - \mu_\eta)(t) > 0, $$

so that all tokens converge to $v$, exponentially. (With $v^\top y_i < 0$ for all $i$: to $-v$.)

**Proof.** Let $c_i = v^\top y_i$, $A_i = \sum_\eta\sum_j a^\eta_{ij} U_\eta y_j$ and, as long as $c_i > 0$,
$z_i = y_i / c_i = v + w_i$ with $w_i \perp v$. From $\dot y_i = A_i - (y_i^\top A_i)\,y_i$ the term along $y_i$
drops out of $z_i$:

$$ \dot z_i = \frac{A_i}{c_i} - \frac{v^\top A_i}{c_i}\,z_i
   = \sum_\eta\sum_j a^\eta_{ij}\,\frac{c_j}{c_i}\,(U_\eta z_j - \lambda_\eta z_i), $$

by $v^\top U_\eta = \lambda_\eta v^\top$; and with $U_\eta v = \lambda_\eta v$

$$ \dot w_i = \sum_\eta\sum_j a^\eta_{ij}\,\frac{c_j}{c_i}\,(U_\eta w_j - \lambda_\eta w_i), \qquad
   U_\eta w_j \perp v. $$

Here $|w_i| = \tan\angle(y_i, v)$ and $c_i = (1 + |w_i|^2)^{-1/2}$. For a token with $|w_i| = M > 0$,
$c_i$ is the least of all $c_j$, so that $c_j / c_i \geq 1$, and

$$ \frac{d}{dt}|w_i| \leq \sum_\eta\sum_j a^\eta_{ij}\,\frac{c_j}{c_i}\,(\mu_\eta |w_j| - \lambda_\eta M)
   \leq -\sum_\eta (\lambda_\eta - \mu_\eta) M \sum_j a^\eta_{ij} = -\Gamma M. $$

$M$ is the largest of finitely many absolutely continuous functions, and so is absolutely continuous with
$\dot M \leq -\Gamma M$ almost everywhere. It is bounded, hence no $c_i$ reaches zero, and the bound holds for
all times (Grönwall). ∎

A $U(t)$ that moves is looked at over all of its values, where it is known to repeat: at times between which it
moves by its slope at most (that v is kept is seen at these). Of one that is not known to, nothing is decided.

Beside it: Theorem 4.5 of arXiv:2412.02682 (causal, one head, symmetric U), and arXiv:2405.18781, where layers with
normalisation collapse exponentially for certain classes of values. The coordinates are gnomonic (see
`_linear_consensus.py`).

The condition is sharp: with an eigenvalue $-\mu$, $\mu > \lambda$, on the complement of $v$ there are certified
counterexamples (the claim "symmetric U, full"). For $U_\eta = I$ it gives nothing, $\lambda = \mu$: see Theorem 3.2.
"""

import math

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Real

from ..model.facts import attention_of
from ..schedules.ranges import every_time, finite, values_at
from ._hypotheses import (
    cap,
    moving,
    no_drift,
    on_their_side,
    positive_scale,
    post,
    softmax,
    sphere,
)
from ._hypothesis import Answer, Plain, condition
from ._parameters import Top, simple_top, top
from ._quantities import Height, Quantity
from ._setting import Setting
from ._verdict import Prediction, Verdict, judge, nothing

_NAME = "Contraction to a common eigenvector (Theorem 4.5 for any mask and heads)"


class WidestTangent(eqx.Module):
    r"""$e^{\text{rate}(t - t_0)} \max_i \tan\angle(y_i, v)$: with the theorem's rate it never rises."""

    v: Float[Array, " dim"]
    rate: float = 0.0
    t0: float = 0.0

    def __call__(self, t: Real[ArrayLike, ""], y: Float[Array, "tokens dim"]) -> Float[Array, ""]:
        v = self.v.astype(y.dtype)
        along = y @ v
        across = jnp.linalg.norm(y - along[:, None] * v[None, :], axis=1)
        grown = jnp.exp(jnp.asarray(self.rate * (t - self.t0), y.dtype))
        return jnp.max(across / along) * grown


def contraction(s: Setting, assume: tuple[str, ...]) -> Verdict:
    """Any mask, heads, P(t) and U(t); one v that every U keeps at all times, and all else in U smaller."""
    hypotheses = [
        softmax(s),
        post(s),
        moving(s),
        no_drift(s),
        positive_scale(s),
        somebody(s),
        sphere(s),
        finite_scores(s),
        known_values(s),
    ]
    if any(h.holds is False for h in hypotheses):
        return judge(_NAME, hypotheses, nothing, assume)
    U, moved = _over_time(s)
    leading = top(U.sum(axis=1).mean(axis=0), s.unit(s.field.U))
    gaps, off = _common(U, leading)
    hypotheses += [
        simple_top(leading),
        common_vector(s, leading, off),
        smaller_across(s, gaps, moved),
    ]
    v = leading.vector
    if all(h.holds is True for h in hypotheses[-3:]):
        hypotheses.append(cap(s, leading))
        v = on_their_side(s, leading)

    def predict() -> Prediction:
        axis, rate = jnp.asarray(v), float(s.field.scale) * float((gaps - 2 * moved).sum())
        soon = s.t0 + np.log(10.0) / rate  # later M may be as small as the run's own errors
        return Prediction(
            f"consensus at v, which every U keeps; tan of the widest angle to v falls as exp(-{rate:.4g} t) "
            "at least, from the start on",
            limit=v,
            v=v,
            basin="every start with v'y_i > 0 for all i",
            rate=rate,
            quantities=(
                Quantity("tan of the widest angle to v", WidestTangent(axis), "falls"),
                Quantity(
                    "the same times exp(rate t)",
                    WidestTangent(axis, rate, s.t0),
                    "falls",
                    until=soon,
                ),
                Quantity("least v'y", Height(axis), "above"),
            ),
        )

    return judge(_NAME, hypotheses, predict, assume)


@condition("somebody", "each token attends to somebody")
def somebody(s: Setting) -> Answer:
    """In each head."""
    sees = attention_of(s.field, s.tokens)[0].any(axis=-1)
    if sees.all():
        return True, Plain("all do")
    return False, f"token {int(np.argwhere(~sees)[0][-1])} attends to nobody"


@condition("P finite")
def finite_scores(s: Setting) -> Answer:
    """P holds no number that is not finite."""
    good = finite(s.field.P)
    return good, Plain("by its numbers" if good else "P holds a number that is not finite")


_MOST_NUMBERS = 20_000_000
_TIMES = 1024  # at which U(t) is looked at, over a period


@condition("U known at all times")
def known_values(s: Setting) -> Answer:
    """U does not change, or takes all its values within a time that is known, at slopes that are known."""
    if s.U_changes.seen is False:
        return True, Plain("it does not change, by its type")
    assert s.field.U is not None
    assert s.U_range is not None
    if not np.all(np.isfinite(s.U_range.slope)) or every_time(s.field.U, s.t0, 2) is None:
        return None, "U(t) is not known to repeat"
    return True, Plain("it repeats")


def _over_time(s: Setting) -> tuple[np.ndarray, np.ndarray]:
    """U at times enough, `(times, heads, dim, dim)`, and by how much each head's U moves between two, in norm."""
    heads = (s.field.heads, s.dim, s.dim)
    if s.U_changes.seen is False or s.field.U is None or s.U_range is None:
        return np.broadcast_to(s.U, heads)[None], np.zeros(s.field.heads)
    number = int(np.clip(_MOST_NUMBERS // math.prod(heads), 2, _TIMES))
    known = every_time(s.field.U, s.t0, number)
    times, step = (s.U_times, 0.0) if known is None else known
    U = values_at(s.field.U, times).reshape(len(times), -1, s.dim, s.dim)
    slope = np.broadcast_to(s.U_range.slope, heads)
    moved = np.linalg.norm(np.where(np.isfinite(slope), slope, 0.0), axis=(1, 2)) * step
    return np.broadcast_to(U, (len(times), *heads)), moved


def _common(U: np.ndarray, leading: Top) -> tuple[np.ndarray, np.ndarray]:
    """Least lambda less mu of each head over time, and by how much v is no left and right eigenvector of its U."""
    v = leading.vector
    values = U @ v @ v
    off = np.maximum(
        np.linalg.norm(U @ v - values[..., None] * v, axis=-1),
        np.linalg.norm(np.swapaxes(U, -1, -2) @ v - values[..., None] * v, axis=-1),
    )
    others = np.eye(len(v)) - np.outer(v, v)
    gaps = values - np.linalg.norm(others @ U @ others, ord=2, axis=(-2, -1))
    return gaps.min(axis=0), off.max(axis=0)


@condition("v left and right of every U", "v a left and right eigenvector of every U")
def common_vector(s: Setting, leading: Top, off: np.ndarray) -> Answer:
    """The top v of the sum is a left and right eigenvector of every U."""
    size = max(np.abs(s.U).max(), 1e-300)
    slack = 8 * s.rounding(s.field.U) * size * (1 + size / max(leading.gap, 1e-300))
    k = int(np.argmax(off))
    if off[k] <= slack:
        return True, Plain("it is, to rounding")
    return False, (
        f"the top v of their sum is no left and right eigenvector of head {k}'s U, off by {off[k]:.3g}"
    )


@condition("U smaller across v", "|U across v| < lambda in every head")
def smaller_across(s: Setting, gaps: np.ndarray, moved: np.ndarray) -> Answer:
    """Every U is smaller across v than along it; between two times each may move by `moved`."""
    least = gaps - 2 * moved
    k = int(np.argmin(gaps))
    slack = 8 * s.rounding(s.field.U) * max(np.abs(s.U).max(), 1e-300)
    if gaps[k] <= slack:
        return False, f"in head {k} lambda less |U across v| is {gaps[k]:.4g}"
    k = int(np.argmin(least))
    if least[k] > slack:
        return True, f"lambda less |U across v| is {least[k]:.4g}"
    return None, (
        f"in head {k} lambda less |U across v| is {gaps[k]:.4g} at the times looked at, between which "
        f"it may fall by {2 * moved[k]:.3g}"
    )
