"""Conditions on the model, on who attends to whom, and on the start."""

import jax.numpy as jnp
import numpy as np

from ..model import Exponential, Post, Softmax
from ..model.facts import all_pairs, causal_pairs, other_pattern
from ._hypothesis import ALWAYS, Answer, Exact, Hypothesis, Plain, condition
from ._parameters import Top
from ._setting import Setting

# === the model of eq. (6)


@condition("softmax", exact=Exact("softmax"))
def softmax(s: Setting) -> Answer:
    """Rows of attention that sum to one number whatever the tokens are."""
    if isinstance(s.field.kernel, Softmax):
        return True, Plain("'softmax'")
    rows = np.asarray(s.field.attention(s.t0, jnp.asarray(s.y0)), np.float64).sum(axis=-1)
    sums = rows / float(s.field.scale)
    return False, (
        f"the kernel is {type(s.field.kernel).__name__}, not softmax: at the start its rows sum to "
        f"{sums.min():.4g} to {sums.max():.4g} of the scale"
    )


@condition("exponential", exact=Exact("exponential"))
def exponential(s: Setting) -> Answer:
    """Weights exp(score), over the number of tokens."""
    return isinstance(s.field.kernel, Exponential), f"it is {type(s.field.kernel).__name__}"


@condition("softmax or exponential", "softmax or exp")
def softmax_or_exp(s: Setting) -> Answer:
    """Either of the two."""
    good = isinstance(s.field.kernel, Softmax | Exponential)
    name = type(s.field.kernel).__name__
    return good, Plain(name) if good else f"the kernel is {name}"


@condition("post", "post-normalisation", exact=ALWAYS)
def post(s: Setting) -> Answer:
    """Tokens move on the manifold, by what is tangent to it."""
    if isinstance(s.field.normalisation, Post):
        return True, Plain("'post'")
    return (
        False,
        f"the normalisation is {type(s.field.normalisation).__name__}, not that of eq. (6)",
    )


@condition("equal masses", exact=ALWAYS)
def equal_masses(s: Setting) -> Answer:
    """Every token weighs the same."""
    if s.field.weights is None:
        return True, Plain("no masses are given")
    w = np.asarray(s.field.weights, np.float64)
    same = bool(np.ptp(w) <= 8 * s.eps * w.max())
    return (
        same,
        f"all are {w[0]:.4g}" if same else f"`weights` go from {w.min():.4g} to {w.max():.4g}",
    )


@condition("moving", "tokens that move", exact=ALWAYS)
def moving(s: Setting) -> Answer:
    """No token is held fast."""
    frozen = 0 if s.field.frozen is None else int(np.sum(np.asarray(s.field.frozen)))
    return frozen == 0, Plain("all") if not frozen else f"{frozen} of {s.tokens} tokens are frozen"


@condition("no drift", exact=ALWAYS)
def no_drift(s: Setting) -> Answer:
    """Nothing but attention moves tokens."""
    if s.field.drift is None:
        return True, Plain("none is given")
    size = float(jnp.max(jnp.abs(s.field.drift(jnp.asarray(s.t0), jnp.asarray(s.y0), None))))
    if size > 0:
        return False, f"the field has a drift, up to {size:.3g} at the start"
    return None, "the drift is zero at the start; elsewhere it is not known"


@condition("positive scale", exact=ALWAYS)
def positive_scale(s: Setting) -> Answer:
    """Another positive scale is another unit of time; zero or less is not."""
    scale = float(s.field.scale)
    return scale > 0, f"{scale:.4g}" if scale > 0 else f"`scale` is {scale:.4g}, not positive"


EQUATION_6 = (softmax, post, equal_masses, moving, no_drift, positive_scale)
"""What the paper takes for granted: softmax rows, Post, equal tokens that move, a positive scale."""


def equation_6(s: Setting, *, kernel: bool = True, normalisation: bool = True) -> list[Hypothesis]:
    """What the paper takes for granted, checked: with its kernel and normalisation, or with any."""
    left_out = [c for c, included in ((softmax, kernel), (post, normalisation)) if not included]
    return [condition(s) for condition in EQUATION_6 if condition not in left_out]


# === who attends to whom


@condition("full", "full attention", exact=Exact("full"))
def full(s: Setting) -> Answer:
    """Every token attends to every token."""
    return _pattern(s, "full", all_pairs(s.tokens))


@condition("causal", "causal attention", exact=Exact("causal"))
def causal(s: Setting) -> Answer:
    """Token i attends to tokens j <= i, and to all of them."""
    return _pattern(s, "causal", causal_pairs(s.tokens))


def _pattern(s: Setting, name: str, expected: np.ndarray) -> Answer:
    other = other_pattern(s.field, s.tokens, name, expected, s.eps)
    return not other, other or f"{int(expected.sum())} pairs"


@condition("one head", exact=Exact("one head"))
def one_head(s: Setting) -> Answer:
    """h = 1."""
    h = s.field.heads
    return h == 1, "h = 1" if h == 1 else f"the field has {h} heads"


@condition("two heads", exact=Exact("two heads"))
def two_heads(s: Setting) -> Answer:
    """h = 2."""
    return s.field.heads == 2, f"h = {s.field.heads}"


# === the space


@condition("sphere", "the sphere, W = I", exact=Exact("sphere"))
def sphere(s: Setting) -> Answer:
    """W = I."""
    off = float(np.abs(s.W - np.eye(s.dim)).max())
    if off <= 8 * s.dim**0.5 * s.eps:
        return True, Plain("W = I")
    return False, f"an entry of W differs from I's by {off:.3g}"


@condition("circle", exact=Exact("circle"))
def circle(s: Setting) -> Answer:
    """d = 2."""
    return s.dim == 2, f"d = {s.dim}"


# === the start


@condition("hemisphere", "tokens in an open hemisphere", exact=Exact("hemisphere"))
def hemisphere(s: Setting) -> Answer:
    """Some open hemisphere v'y > 0 holds all tokens."""
    margin, upper = float(s.hemisphere.margin), float(s.hemisphere.gap)
    if margin > 0:
        return True, f"margin {margin:.4g} with the v found"
    if upper <= 64 * s.eps * s.dim * np.abs(s.y0).max():
        return False, (
            f"0 is a mean of tokens, with positive weights, to {upper:.1g}: no v has v'y > 0 for all"
        )
    return None, f"the best margin lies between 0 and {upper:.1g}: too close to call"


@condition(
    "v'y of one sign",
    "v'y_i > 0 for all i, or < 0 for all",
    exact=Exact("v'y of one sign", top=True),
)
def cap(s: Setting, top: Top) -> Answer:
    """v'y_i > 0 for all tokens, or < 0 for all, with v the top eigenvector."""
    heights = s.y0 @ top.vector
    # The eigenvector is known to rounding over the gap, heights to rounding.
    slack = 4 * s.dim**0.5 * (s.eps + (top.slack / top.gap if top.gap > top.slack else 1))
    lowest = float((_sign(heights) * heights).min())
    if lowest > slack:
        return True, f"the smallest |v'y_i| is {lowest:.4g}"
    if lowest < -slack or lowest == 0:
        i, j = int(np.argmin(heights)), int(np.argmax(heights))
        return False, f"token {i} has v'y = {heights[i]:.4g}, token {j} has {heights[j]:.4g}"
    return None, f"|v'y_i| goes down to {abs(lowest):.1g}, within the error of v ({slack:.1g})"


def on_their_side(s: Setting, top: Top) -> np.ndarray:
    """The top eigenvector, with the sign that tokens have along it."""
    return _sign(s.y0 @ top.vector) * top.vector


def _sign(heights: np.ndarray) -> float:
    return 1.0 if heights.sum() >= 0 else -1.0


@condition("no token at -y_1", exact=Exact("no token at -y_1"))
def not_opposite(s: Setting) -> Answer:
    """No token starts at -y_1."""
    apart = np.linalg.norm(s.y0 + s.y0[:1], axis=1)
    i = int(np.argmin(apart))
    if apart[i] > 16 * s.dim**0.5 * s.eps:
        return True, f"|y_i + y_1| >= {apart[i]:.4g}"
    return False, f"token {i} starts at -y_1, to {apart[i]:.1g}"


@condition("e_1'y_i > 0")
def first_axis(s: Setting) -> Answer:
    """Every token has a positive first coordinate."""
    low = float(s.y0[:, 0].min())
    return low > 0, f"the smallest is {low:.4g}"
