"""The claims that come with the library, by name."""

from ._claim import Claim
from ._extensions import extensions
from ._theorems import theorems

CLAIMS: dict[str, Claim] = {claim.name: claim for claim in (*theorems(), *extensions())}


def claim_named(name: str) -> Claim:
    """The claim of that name; a `ValueError` that lists them where there is none."""
    if name not in CLAIMS:
        raise ValueError(f"`claim` must be one of {', '.join(map(repr, CLAIMS))}; got {name!r}.")
    return CLAIMS[name]
