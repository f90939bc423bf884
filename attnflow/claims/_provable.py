"""What a claim that resisted is handed on with: whether a proof over all states is within reach, and of what."""

from dataclasses import dataclass

import jax.random as jr

from ..theory import conditions as given
from ._claim import Claim
from ._conclusions import ToConsensus

_MOST = 9  # tokens
# Theorems whose proofs are in the docs, as verdicts: claims that need no search.
_BY_HAND = {
    "3.2": "3.2",
    "3.2 with jumps": "linear consensus",
    "4.2": "4.2",
    "4.5": "4.5",
    "several heads, one v": "one v",
}


@dataclass(frozen=True)
class Provable:
    r"""What [`certify.claim`][attnflow.certify.claim] can prove of a claim, for one number of tokens at a time.

    **Attributes:**

    - `claim`: its name.
    - `reach`: whether the proof is about what the claim says; `why`: if not, which hypothesis is missing.
    - `tokens`: the numbers of the claim's own sizes on the circle, from the smallest.
    - `beta`: the range that the claim supposes, as exact decimals or fractions; `None` where it supposes none.
    """

    claim: str
    reach: bool
    why: str
    tokens: tuple[int, ...] = ()
    beta: tuple[str, str] | None = None

    def command(self, words: str | None = None) -> str:
        """The command that tries it for the smallest number of tokens; `words` name the claim, if a file has it."""
        if not self.reach:
            raise ValueError(f"there is no command: {self.why}.")
        known = "" if self.beta else " --beta=LOW,HIGH"
        name = words or self.claim
        quoted = f'"{name}"' if " " in name else name
        return f"attnflow certify --claim {quoted} --tokens {self.tokens[0]}{known}"


def provable(claim: Claim) -> Provable:
    """Whether the claim, on the circle, is what [`synchronisation`][attnflow.certify.synchronisation] proves.

    It is decided by the claim's own conditions: those of the theorem have to be among them (more of them
    only narrow the claim), and the conclusion has to be consensus, from almost every start.
    """
    if claim.name in _BY_HAND:
        verdict = _BY_HAND[claim.name]
        why = f"it is a theorem, proved by hand: af.theory.verdicts(field, y0)[{verdict!r}]"
        return Provable(claim.name, False, why)
    if type(claim.conclusion) is not ToConsensus or not claim.almost:
        return Provable(claim.name, False, "proofs are about consensus from almost every start")
    sizes = tuple(sorted({n for n, dim in claim.sizes if dim == 2 and n <= _MOST}))
    if not sizes:
        why = f"proofs are on the circle, of {_MOST} tokens at most, and the claim has no such size"
        return Provable(claim.name, False, why)
    tokens, key = sizes[0], jr.key(0)
    supposed = {h.id for h in claim.domain(*claim.build(claim.draw(key, tokens, 2)))}
    gap = given.beta_in_the_gap.id in supposed
    needed = [c for c in given.EQUATION_6 if c is not given.softmax]
    needed += [given.full, given.sphere, given.one_head, given.identity_values]
    needed += [] if gap else [given.multiple_scores]
    lacking = [c.words for c in needed if c.id not in supposed]
    kernels = {given.softmax.id, given.exponential.id, given.softmax_or_exp.id}
    if not kernels & supposed:
        lacking.append(given.softmax_or_exp.words)
    if lacking:
        why = f"a proof needs what the claim does not suppose: {', '.join(lacking)}"
        return Provable(claim.name, False, why)
    return Provable(claim.name, True, "", sizes, ("-2/3", "-0.16") if gap else None)
