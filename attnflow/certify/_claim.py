"""Claims that resisted a search, proved for one number of tokens."""

from concurrent.futures import Executor
from fractions import Fraction
from pathlib import Path

from ..cover import Synchronisation, synchronisation
from ..search import Claim, Findings, provable

Number = float | int | str | Fraction


def claim(
    resisted: Claim | Findings,
    tokens: int,
    beta: tuple[Number, Number] | None = None,
    *,
    boxes: int = 20_000_000,
    folder: str | Path | None = None,
    executor: Executor | None = None,
    progress: bool = True,
) -> Synchronisation:
    """Try to prove a claim that a search could not break, on the circle and for so many tokens.

    Its own conditions decide whether the theorem of [`synchronisation`][attnflow.certify.synchronisation] is about it:
    full attention, one head, U = I, P = beta I, equal masses, softmax or exponential kernel, and consensus from
    almost every start. What the claim supposes beyond that only narrows it.

    **Arguments:**

    - `resisted`: the claim, or what [`falsify`][attnflow.search.falsify] came to.
    - `tokens`: from 2 to 9.
    - `beta`: the range; where the claim supposes one, that is what is proved unless another is given.
    - `boxes`, `folder`, `executor`, `progress`: as in [`prove`][attnflow.cover.prove].

    **Returns:**

    A [`Synchronisation`][attnflow.cover.Synchronisation]. (At beta = -2/3 itself nothing is said of multiples of 3.)

    **Raises:**

    - `ValueError`: a search that broke the claim, a claim that the proof is not about, no range of beta, or what
      [`synchronisation`][attnflow.certify.synchronisation] refuses.

    ```python
    findings = af.search.falsify(af.search.CLAIMS["circle"], key=jax.random.key(0), budget=60.0)
    af.certify.claim(findings, tokens=4).proved
    ```
    """
    if not isinstance(resisted, Claim | Findings):
        raise TypeError(
            "`resisted` must be a Claim, or the Findings of a search; got "
            f"{type(resisted).__name__}."
        )
    if isinstance(resisted, Findings) and resisted.broken:
        raise ValueError(
            f"`resisted` was broken: the search has a counterexample to {resisted.claim.name!r}, which "
            "certify.counterexample proves."
        )
    known = provable(resisted.claim if isinstance(resisted, Findings) else resisted)
    if not known.reach:
        raise ValueError(f"the claim {known.claim!r} is not proved by boxes: {known.why}.")
    ends = known.beta if beta is None else beta
    if ends is None:
        raise ValueError(
            f"`beta` must be given, (lo, hi): the claim {known.claim!r} supposes no range."
        )
    return synchronisation(
        tokens, ends, boxes=boxes, folder=folder, executor=executor, progress=progress
    )
