"""A claim: for which fields and starts, what becomes of the tokens. It can be false."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from jaxtyping import Array, Float, Key

from ..core.checks import instance, random_key
from ..core.types import PyTree
from ..model import AttentionField
from ..theory import Hypothesis
from ._conclusions import AbstractConclusion


def check_candidate(claim: Any, field: Any, key: Any = None) -> None:
    """Refuse what is no claim, no field or no key."""
    instance("claim", claim, Claim, "a Claim, such as attnflow.search.CLAIMS['3.2']")
    instance("field", field, AttentionField, "an AttentionField")
    if key is not None:
        random_key("key", key)


@dataclass(frozen=True)
class Claim:
    """A statement on fields and starts that a search may break.

    **Attributes:**

    - `name`, `statement`, `source`: what it is called, says, and where it is from.
    - `draw`: free numbers of one try, `draw(key, tokens, dim)`: a pytree of real arrays.
    - `build`: the field and start that free numbers stand for, `build(numbers)`: differentiable, and
      in the domain of the claim whatever the numbers are.
    - `domain`: the claim's hypotheses, `domain(field, y0)`, looked at on the objects themselves: a list
      of [`Hypothesis`][attnflow.theory.Hypothesis]. A counterexample has to satisfy every one. Those of
      [`conditions`][attnflow.theory.conditions] can be shown exactly, where a certificate is made.
    - `conclusion`: what is said to become of the tokens, as a margin.
    - `sizes`: `(tokens, dim)` to search, the smallest first.
    - `almost`: whether it speaks of almost every start only. Then a violation counts that survives a
      change of the start; else one on a set of measure zero does too, which `shoot` may find.
    - `shoot`: a start on such a set, `shoot(field, y0)`; a `ValueError` where there is none.

    ```python
    search = af.search

    def draw(key, tokens, dim):
        a, b = jax.random.split(key)
        return {"y": jax.random.normal(a, (tokens, dim)), "beta": jax.random.normal(b)}

    def build(x):
        sphere = af.Sphere(x["y"].shape[1])
        P = -search.between(x["beta"], 0.0, 10.0) * jnp.eye(sphere.dim)
        return af.AttentionField(sphere, P=P, scale=1.0), search.on_sphere(x["y"])

    def domain(field, y0):
        beta = -float(field.P(0.0)[0, 0])
        return [af.theory.Hypothesis("P = -beta I, beta > 0", beta > 0, f"beta = {beta:.4g}")]

    claim = search.Claim(
        name="scores that repel",
        statement="Full attention with U = I and P = -beta I takes almost every start to consensus.",
        draw=draw, build=build, domain=domain, conclusion=search.ToConsensus(),
    )
    print(search.falsify(claim, key=jax.random.key(0), budget=60.0))
    ```
    """

    name: str
    statement: str
    draw: Callable[[Key[Array, ""], int, int], PyTree[Array]]
    build: Callable[[PyTree[Array]], tuple[AttentionField, Float[Array, "tokens dim"]]]
    domain: Callable[[AttentionField, Float[Array, "tokens dim"]], list[Hypothesis]]
    conclusion: AbstractConclusion
    sizes: tuple[tuple[int, int], ...] = ((2, 2), (3, 2), (3, 3), (4, 3), (6, 3))
    source: str = ""
    almost: bool = True
    shoot: Callable[..., object] | None = None

    def __post_init__(self) -> None:
        if not self.sizes or any(tokens < 2 or dim < 2 for tokens, dim in self.sizes):
            raise ValueError(
                "`sizes` must hold pairs (tokens, dim), two tokens in two dimensions and more; "
                f"got {self.sizes}."
            )

    def outside(self, field: AttentionField, y0: Float[Array, "tokens dim"]) -> list[Hypothesis]:
        """The hypotheses that do not hold for certain: none, inside the domain."""
        return [h for h in self.domain(field, y0) if h.holds is not True]

    def __str__(self) -> str:
        source = f" ({self.source})" if self.source else ""
        return f"{self.name}: {self.statement}{source}"
