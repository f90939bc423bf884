"""Masks of positions: sliding windows, and biases that fall with distance."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from ..core.checks import boolean, finite, shaped, whole
from ..core.types import Numbers
from ._masks import AbstractMask


class Window(AbstractMask):
    r"""A sliding window: token $i$ attends to $j$ with $0 \le i - j < w$, or $|i - j| < w$ where it is not causal.

    With $w$ as large as the number of tokens it is causal, or full, attention, and theorems know it as that.

    **Arguments:**

    - `width`: $w$, 1 or more; a token itself counts.
    - `causal`: look back alone (the default), or to both sides.

    ```python
    field = af.AttentionField(sphere, P=jnp.eye(3), mask=af.model.Window(4))
    ```
    """

    width: int = eqx.field(static=True)
    causal: bool = eqx.field(static=True)

    def __init__(self, width: int, *, causal: bool = True):
        self.width = whole("width", width)
        self.causal = boolean("causal", causal)

    def allowed(self, tokens: int) -> Bool[Array, "tokens tokens"]:
        behind = _behind(tokens)
        near = np.abs(behind) < self.width
        return jnp.asarray(near & (behind >= 0) if self.causal else near)

    def bias(self) -> None:
        return None


class ALiBi(AbstractMask):
    r"""A bias that falls with distance, $-m_\eta |i - j|$, with a slope for each head (arXiv:2108.12409).

    **Arguments:**

    - `tokens`: how many there are.
    - `slopes`: $m_\eta$, a number or one a head; customary is `2.0 ** (-8 * jnp.arange(1, h + 1) / h)`.
    - `causal`: to oneself and earlier tokens alone (the default), or to all.

    **Raises:**

    `ValueError`: no tokens, or slopes that are neither a number nor one a head.

    ```python
    field = af.AttentionField(sphere, P=jnp.eye(3), mask=af.model.ALiBi(8, jnp.array([0.5, 0.25])))
    ```
    """

    slopes: Float[Array, "..."]
    length: int = eqx.field(static=True)
    causal: bool = eqx.field(static=True)

    def __init__(self, tokens: int, slopes: Numbers, *, causal: bool = True):
        self.length = whole("tokens", tokens)
        self.slopes = finite("slopes", slopes)
        self.causal = boolean("causal", causal)
        shaped("slopes", self.slopes.shape, (), ("heads",))

    def allowed(self, tokens: int) -> Bool[Array, "tokens tokens"] | None:
        return jnp.asarray(_behind(tokens) >= 0) if self.causal else None

    def bias(self) -> Float[Array, "*heads tokens tokens"]:
        distance = jnp.asarray(np.abs(_behind(self.length)), self.slopes.dtype)
        slopes = self.slopes[..., None, None]
        return -slopes * jnp.broadcast_to(distance, (*self.slopes.shape, *distance.shape))

    @property
    def tokens(self) -> int:
        return self.length


def _behind(tokens: int) -> np.ndarray:
    """$i - j$."""
    i = np.arange(tokens)
    return i[:, None] - i[None, :]
