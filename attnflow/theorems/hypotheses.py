"""Hypotheses on the model, on who attends to whom, and on the start."""

import jax.numpy as jnp
import numpy as np

from ..model import Post, Softmax
from ..model.facts import all_pairs, causal_pairs, other_pattern
from ._hypothesis import Hypothesis
from ._setting import Setting
from .parameters import Top

# === the model of eq. (6)


def equation_6(s: Setting, *, kernel: bool = True, normalisation: bool = True) -> list[Hypothesis]:
    """What the paper takes for granted: softmax rows, Post, equal tokens that move, a positive scale."""
    checks = [softmax(s)] if kernel else []
    if normalisation:
        name = type(s.field.normalisation).__name__
        post = isinstance(s.field.normalisation, Post)
        says = "'post'" if post else f"the normalisation is {name}, not that of eq. (6)"
        checks.append(Hypothesis("post-normalisation", post, says))
    return [*checks, equal_masses(s), moving(s), no_drift(s), positive_scale(s)]


def softmax(s: Setting) -> Hypothesis:
    """Rows of attention that sum to one number whatever the tokens are."""
    if isinstance(s.field.kernel, Softmax):
        return Hypothesis("softmax", True, "'softmax'")
    rows = np.asarray(s.field.attention(s.t0, jnp.asarray(s.y0)), np.float64).sum(axis=-1)
    sums = rows / float(s.field.scale)
    return Hypothesis(
        "softmax",
        False,
        f"the kernel is {type(s.field.kernel).__name__}, not softmax: at the start its rows sum to "
        f"{sums.min():.4g} to {sums.max():.4g} of the scale",
    )


def equal_masses(s: Setting) -> Hypothesis:
    """Every token weighs the same."""
    name = "equal masses"
    if s.field.weights is None:
        return Hypothesis(name, True, "no masses are given")
    w = np.asarray(s.field.weights, np.float64)
    same = bool(np.ptp(w) <= 8 * s.eps * w.max())
    says = f"all are {w[0]:.4g}" if same else f"`weights` go from {w.min():.4g} to {w.max():.4g}"
    return Hypothesis(name, same, says)


def moving(s: Setting) -> Hypothesis:
    """No token is held fast."""
    frozen = 0 if s.field.frozen is None else int(np.sum(np.asarray(s.field.frozen)))
    says = "all" if not frozen else f"{frozen} of {s.tokens} tokens are frozen"
    return Hypothesis("tokens that move", frozen == 0, says)


def no_drift(s: Setting) -> Hypothesis:
    """Nothing but attention moves tokens."""
    name = "no drift"
    if s.field.drift is None:
        return Hypothesis(name, True, "none is given")
    size = float(jnp.max(jnp.abs(s.field.drift(jnp.asarray(s.t0), jnp.asarray(s.y0), None))))
    if size > 0:
        return Hypothesis(name, False, f"the field has a drift, up to {size:.3g} at the start")
    return Hypothesis(name, None, "the drift is zero at the start; elsewhere it is not known")


def positive_scale(s: Setting) -> Hypothesis:
    """Another positive scale is another unit of time; zero or less is not."""
    scale = float(s.field.scale)
    says = f"{scale:.4g}" if scale > 0 else f"`scale` is {scale:.4g}, not positive"
    return Hypothesis("positive scale", scale > 0, says)


# === who attends to whom


def _pattern(s: Setting, name: str, wanted: np.ndarray) -> Hypothesis:
    other = other_pattern(s.field, s.tokens, name.split()[0], wanted, s.eps)
    return Hypothesis(name, not other, other or f"{int(wanted.sum())} pairs")


def full(s: Setting) -> Hypothesis:
    """Every token attends to every token."""
    return _pattern(s, "full attention", all_pairs(s.tokens))


def causal(s: Setting) -> Hypothesis:
    """Token i attends to tokens j <= i, and to all of them."""
    return _pattern(s, "causal attention", causal_pairs(s.tokens))


def one_head(s: Setting) -> Hypothesis:
    """h = 1."""
    h = s.field.heads
    return Hypothesis("one head", h == 1, "h = 1" if h == 1 else f"the field has {h} heads")


def sphere(s: Setting) -> Hypothesis:
    """W = I."""
    off = float(np.abs(s.W - np.eye(s.dim)).max())
    if off <= 8 * s.dim**0.5 * s.eps:
        return Hypothesis("the sphere, W = I", True, "W = I")
    return Hypothesis("the sphere, W = I", False, f"an entry of W differs from I's by {off:.3g}")


# === the start


def hemisphere(s: Setting) -> Hypothesis:
    """Some open hemisphere v'y > 0 holds all tokens."""
    name = "tokens in an open hemisphere"
    margin, upper = float(s.hemisphere.margin), float(s.hemisphere.gap)
    if margin > 0:
        return Hypothesis(name, True, f"margin {margin:.4g} with the v found")
    if upper <= 64 * s.eps * s.dim * np.abs(s.y0).max():
        return Hypothesis(
            name,
            False,
            f"0 is a mean of tokens, with positive weights, to {upper:.1g}: no v has v'y > 0 for all",
        )
    return Hypothesis(
        name, None, f"the best margin lies between 0 and {upper:.1g}: too close to call"
    )


def cap(s: Setting, top: Top) -> tuple[Hypothesis, np.ndarray]:
    """v'y_i > 0 for all tokens, or < 0 for all; and v with the sign that they have."""
    name = "v'y_i > 0 for all i, or < 0 for all"
    heights = s.y0 @ top.vector
    # The eigenvector is known to rounding over the gap, heights to rounding.
    slack = 4 * s.dim**0.5 * (s.eps + (top.slack / top.gap if top.gap > top.slack else 1))
    sign = 1.0 if heights.sum() >= 0 else -1.0
    lowest = float((sign * heights).min())
    v = sign * top.vector
    if lowest > slack:
        return Hypothesis(name, True, f"the smallest |v'y_i| is {lowest:.4g}"), v
    if lowest < -slack or lowest == 0:
        i, j = int(np.argmin(heights)), int(np.argmax(heights))
        says = f"token {i} has v'y = {heights[i]:.4g}, token {j} has {heights[j]:.4g}"
        return Hypothesis(name, False, says), v
    says = f"|v'y_i| goes down to {abs(lowest):.1g}, within the error of v ({slack:.1g})"
    return Hypothesis(name, None, says), v


def not_opposite(s: Setting) -> Hypothesis:
    """No token starts at -y_1."""
    name = "no token at -y_1"
    apart = np.linalg.norm(s.y0 + s.y0[:1], axis=1)
    i = int(np.argmin(apart))
    if apart[i] > 16 * s.dim**0.5 * s.eps:
        return Hypothesis(name, True, f"|y_i + y_1| >= {apart[i]:.4g}")
    return Hypothesis(name, False, f"token {i} starts at -y_1, to {apart[i]:.1g}")
