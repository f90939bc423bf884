"""`prove_clusters`: a proof that an encoder's loop has an equilibrium of two clusters that attracts."""

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import ArrayLike, Float

from ..core.checks import floating, whole
from ..observables import clusters as labels
from ._balls import (
    BallLayer,
    Balls,
    ball_layers,
    flint,
    layer_jacobian,
    through_balls,
    within_jacobian,
)
from ._heads import is_plain
from ._model import Transformer, check_feed_forward

_POWERS = 8  # squarings of a Jacobian, before the search for a small power ends


@dataclass(frozen=True, eq=False)
class TwoClusters:
    r"""What [`prove_clusters`][] returns.

    **Attributes:**

    - `sizes`: tokens in each cluster; `members`: `(length,)`, 0 or 1.
    - `centres`: the two tokens, `(2, dim)`, to double precision.
    - `radius`: the equilibrium is in, and alone in, the box of this half width around a point that is
      within it of `centres` rounded to doubles.
    - `inclusion`: an upper bound of the largest $|K(X) - x|_j$ over `radius`, $K$ Krawczyk's operator: below 1
      the equilibrium exists and is unique in the box.
    - `cosine`: upper bound of the cosine of the two clusters' tokens.
    - `power`, `norm`: the Jacobian of that many passes of the two clusters has at most this norm, for all
      states of the box: below 1 it attracts.
    - `within`: likewise of tokens that leave their cluster, by cluster: power and norm; power 0 where a
      cluster is one token.
    - `bits`: of the arithmetic.
    """

    sizes: tuple[int, int]
    members: np.ndarray
    centres: Float[np.ndarray, "2 dim"]
    radius: float
    inclusion: float
    cosine: float
    power: int
    norm: float
    within: tuple[tuple[int, float], tuple[int, float]]
    bits: int

    @property
    def exists(self) -> bool:
        """Whether existence of two different clusters is proved."""
        return self.inclusion < 1 and self.cosine < 1

    @property
    def attracts(self) -> bool:
        """Whether it is proved that the equilibrium attracts all states of all tokens near it."""
        parting = all(power == 0 or norm < 1 for power, norm in self.within)
        return self.exists and self.norm < 1 and parting

    def record(self) -> dict[str, Any]:
        """Without the tokens, plain values."""
        return {
            "sizes": list(self.sizes),
            "radius": self.radius,
            "inclusion": self.inclusion,
            "cosine": self.cosine,
            "power": self.power,
            "norm": self.norm,
            "within": [list(pair) for pair in self.within],
            "bits": self.bits,
            "exists": self.exists,
            "attracts": self.attracts,
        }

    def __str__(self) -> str:
        word = "proved" if self.exists else "not proved"
        also = "proved" if self.attracts else "not proved"
        return (
            f"an equilibrium of {self.sizes[0]} + {self.sizes[1]} tokens, cosine at most "
            f"{self.cosine:.4f}: {word} (Krawczyk {self.inclusion:.2e} of the box, radius "
            f"{self.radius:.0e}); that it attracts: {also} ({self.power} passes, norm {self.norm:.2e})"
        )


def prove_clusters(
    model: Transformer,
    tokens: Float[ArrayLike, "length dim"],
    *,
    passes: int = 40,
    bits: int = 192,
    radius: float = 1e-24,
    threshold: float = 0.999,
) -> TwoClusters:
    r"""A proof in ball arithmetic that attention's loop has an equilibrium of two clusters near `tokens`.

    Tokens that are the same stay the same: $n_a$ of them at $a$ and $n_b$ at $b$ are a map of two tokens
    with weights, $(a, b) \mapsto G(a, b)$ in $2d$ numbers, exactly. With $F = x - G(x)$ and $C$ an inverse of
    its derivative in doubles, Krawczyk's operator $x - F(x)C + (X - x)(1 - F'(X)C)$ maps the box
    $X$ into its interior, evaluated in balls: then one equilibrium is in $X$ and no other. It attracts where
    a power of $G'(X)$ has norm below 1, and a power of the derivative for tokens that leave their cluster
    while the cluster's sum stays: those are all directions that `length` tokens have.

    The weights are those of the model as they are, the arithmetic of the loop that of real numbers. The
    feed-forward is left out, as by `feed_forward=False` in [`looped`][].

    **Arguments:**

    - `model`: a BERT, DistilBERT or ALBERT.
    - `tokens`: a state near the equilibrium, in two clusters, such as `rest(...).tokens` or `run.last[0]`.
    - `passes`: of the two tokens in balls before the proof, to come nearer.
    - `bits`: of the arithmetic; `radius`: of the box; `threshold`: the least cosine within a cluster.

    **Returns:**

    [`TwoClusters`][]: `.exists` and `.attracts` say what is proved.

    **Raises:**

    `ValueError` for other families, or tokens that are not in two clusters; `ImportError` without python-flint.

    ```python
    print(af.language.prove_clusters(model, run.last[0]))
    ```
    """
    # === check arguments
    check_feed_forward(model, False)
    arch = model.architecture
    if not arch.of.post_norm or arch.of.causal or not is_plain(arch):
        raise ValueError(
            "`model` must attend to all tokens, with norms after sums (BERT, DistilBERT, ALBERT); "
            f"got a {arch.family}."
        )
    h = floating("tokens", tokens)
    if h.ndim != 2 or h.shape[1] != arch.dim or not bool(jnp.all(jnp.isfinite(h))):
        raise ValueError(f"`tokens` must be finite, of shape (length, {arch.dim}); got {h.shape}.")
    whole("passes", passes, least=0)
    whole("bits", bits, least=53)
    members = np.asarray(labels(h, threshold))
    if members.max() != 1:
        raise ValueError(f"`tokens` must be in two clusters; got {int(members.max()) + 1}.")
    counts = np.bincount(members)
    sizes = (int(counts[0]), int(counts[1]))
    state = np.stack([np.asarray(h, np.float64)[members == k].mean(axis=0) for k in range(2)])

    # === prove
    fl = flint()
    before, fl.ctx.prec = fl.ctx.prec, bits
    try:
        layers = ball_layers(model)
        x = fl.arb_mat(state.tolist())
        for _ in range(passes):
            x = _middle(_pass(arch, layers, x, sizes)[0])
        residual = x - _pass(arch, layers, x, sizes)[0]
        box = fl.arb_mat([[e + fl.arb(0, radius) for e in row] for row in x.tolist()])
        image, seen = _pass(arch, layers, box, sizes)
        del image
        jacobian = _chained(arch, layers, seen)
        inverse = np.linalg.inv(np.eye(2 * arch.dim) - _doubles(jacobian))
        C, one = fl.arb_mat(inverse.tolist()), _identity(2 * arch.dim)
        step = fl.arb_mat([residual.entries()]) * C
        rest = one - (one - jacobian) * C
        sums = _column_sums(rest)
        inclusion = max(
            _upper(abs(s) / radius + total) for s, total in zip(step.entries(), sums, strict=True)
        )
        power, norm = _power(jacobian)
        within = tuple(
            (0, 0.0) if sizes[k] == 1 else _power(_within(arch, layers, seen, k)) for k in range(2)
        )
        return TwoClusters(
            sizes=sizes,
            members=members,
            centres=_doubles(x),
            radius=radius,
            inclusion=inclusion,
            cosine=_cosine(box),
            power=power,
            norm=norm,
            within=(within[0], within[1]),
            bits=bits,
        )
    finally:
        fl.ctx.prec = before


def _pass(arch: Any, layers: list[BallLayer], x: Balls, sizes: tuple[int, int]) -> Any:
    seen = []
    for layer in layers:
        x, what = through_balls(arch, layer, x, sizes)
        seen.append(what)
    return x, seen


def _chained(arch: Any, layers: list[BallLayer], seen: list[Any]) -> Balls:
    """The derivative of a pass, rows by what is moved."""
    total = None
    for layer, what in zip(layers, seen, strict=True):
        (aa, ab), (ba, bb) = layer_jacobian(arch, layer, what)
        rows = [a + b for a, b in zip(aa.tolist(), ab.tolist(), strict=True)]
        rows += [a + b for a, b in zip(ba.tolist(), bb.tolist(), strict=True)]
        block = flint().arb_mat(rows)
        total = block if total is None else total * block
    return total


def _within(arch: Any, layers: list[BallLayer], seen: list[Any], token: int) -> Balls:
    total = None
    for layer, what in zip(layers, seen, strict=True):
        block = within_jacobian(arch, layer, what, token)
        total = block if total is None else total * block
    return total


def _power(jacobian: Balls) -> tuple[int, float]:
    """The first power, by squaring, whose norm is below one, and that norm."""
    power, norm = 1, _norm(jacobian)
    while norm >= 1 and power < 2**_POWERS:
        jacobian, power = jacobian * jacobian, 2 * power
        norm = _norm(jacobian)
    return power, norm


def _norm(matrix: Balls) -> float:
    """An upper bound of max |xM| over |x| = 1, of largest entries."""
    return max(_upper(total) for total in _column_sums(matrix))


def _column_sums(matrix: Balls) -> list[Any]:
    columns = matrix.transpose().tolist()
    return [sum((abs(e) for e in column), flint().arb(0)) for column in columns]


def _cosine(box: Balls) -> float:
    a, b = box.tolist()

    def product(u: list[Any], v: list[Any]) -> Any:
        return sum((x * y for x, y in zip(u, v, strict=True)), flint().arb(0))

    return _upper(product(a, b) / (product(a, a) * product(b, b)).sqrt())


def _upper(ball: Any) -> float:
    """A float that is no less than anything in the ball; infinity where it is not finite."""
    if not ball.is_finite():
        return float("inf")
    return float(np.nextafter(float(ball.upper()), np.inf))


def _middle(matrix: Balls) -> Balls:
    return flint().arb_mat([[e.mid() for e in row] for row in matrix.tolist()])


def _doubles(matrix: Balls) -> np.ndarray:
    return np.asarray([[float(e.mid()) for e in row] for row in matrix.tolist()])


def _identity(size: int) -> Balls:
    entries = [1 if i == j else 0 for i in range(size) for j in range(size)]
    return flint().arb_mat(size, size, entries)
