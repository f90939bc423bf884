"""`falsify`: a search for a field and a start that break a claim, and an account of how hard it was tried."""

import os
import time as clock
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Key

from .. import ensemble
from ..core.checks import instance, numbers, random_key
from ..ensemble import OfField
from ..flow import consensus
from ..geometry import Sphere
from ..model import AttentionField
from ..records import progress as bar
from ._ascend import ascend, mutate
from ._claim import Claim
from ._conclusions import AbstractRate, Margin, ToConsensus, ToTheFirst
from ._counterexample import Counterexample, counts, judge
from ._evidence import CHECK_SEED, LEAST, Evidence
from ._findings import Findings, seed_of
from ._library import claim_named
from ._shrink import shrink

_BATCH = 256
_CLIMBERS = 8
_PARENTS, _CHILDREN, _GENERATIONS = 8, 64, 2
_HORIZON = 200.0
_BEST, _OTHERS = 4, 4  # candidates of a batch that are verified
_SHOTS = 4


def falsify(
    claim: Claim | str,
    key: Key[Array, ""],
    budget: float = 600.0,
    *,
    store: str | os.PathLike[str] | None = None,
    progress: bool = True,
) -> Findings:
    """Search for a counterexample to `claim`, and verify it.

    In batches, from the smallest size on: random fields and starts in ensembles; ascent of the margin
    along its gradient through the solver, over starts and parameters together; mutation of the best.
    Tries that violate the claim at the horizon are candidates: each is integrated far longer, by
    another solver, polished, its spectrum taken, its basin sampled. The first that passes is made
    small (fewer tokens, lower dimension, short decimals), is verified again, and ends the search.

    What is found depends on the claim and the key alone, not on the budget, which says only how far
    the search gets.

    **Arguments:**

    - `claim`: a [`Claim`][], or the name of one of [`CLAIMS`][].
    - `key`: where the search begins.
    - `budget`: seconds after which no new piece of work is begun.
    - `store`: a file for the account so far, written after each batch; a search that was stopped goes
      on from it, and has the same end as one that was not.
    - `progress`: a bar on a terminal.

    **Returns:**

    [`Findings`][]: the counterexample, or how many were tried, with the distribution of margins.

    **Raises:**

    - `ValueError`: a claim that is not known, a budget that is not positive, a `store` of another
      search, or float64 turned off in JAX.

    ```python
    found = af.search.falsify("no hemisphere", jax.random.key(0), budget=120.0)
    print(found)
    if found.counterexample is not None:
        found.counterexample.write("no-hemisphere.json")
    ```
    """
    # === check arguments
    claim = claim_named(claim) if isinstance(claim, str) else claim
    instance("claim", claim, Claim, "a Claim, or the name of one of the library")
    random_key("key", key)
    if not numbers("budget", budget) > 0:
        raise ValueError(f"`budget` must be a positive number of seconds; got {budget}.")
    if jnp.zeros(()).dtype != jnp.float64:
        raise ValueError(
            "a counterexample needs float64: call jax.config.update('jax_enable_x64', True) first."
        )
    seed = seed_of(key)
    findings = Findings(claim, seed) if store is None else Findings.load(store, claim, seed)

    # === run
    began, before = clock.monotonic(), findings.seconds
    with bar(total=round(budget), description=claim.name, unit="s", show=progress) as line:
        while not findings.broken and clock.monotonic() - began < budget:
            tokens, dim = claim.sizes[findings.units % len(claim.sizes)]
            _unit(findings, jr.fold_in(key, findings.units), tokens, dim)
            findings.units += 1
            findings.seconds = before + clock.monotonic() - began
            if store is not None:
                findings.save(store)
            line.set_postfix_str(f"{findings.tries} tries, best margin {findings.best:.2g}", False)
            line.update(min(clock.monotonic() - began, budget) - line.n)
    return findings


class Sampler(eqx.Module):
    """Trajectory i's field and start, from its row of free numbers."""

    claim: Claim = eqx.field(static=True)

    def __call__(self, numbers):
        return self.claim.build(numbers)


def _unit(findings: Findings, key, tokens: int, dim: int) -> None:
    """One batch at one size: by shooting, at random, along gradients, by mutation."""
    claim = findings.claim
    numbers = jax.vmap(lambda k: claim.draw(k, tokens, dim))(jr.split(jr.fold_in(key, 0), _BATCH))
    field, y0 = jax.eval_shape(claim.build, _rows(numbers, 0))
    if y0.shape != (tokens, dim) or field.dim != dim:
        raise ValueError(
            f"`sizes` has {tokens} tokens in R^{dim}, for which {claim.name!r} builds tokens of shape "
            f"{y0.shape} in R^{field.dim}; give sizes that it is made for."
        )
    if claim.shoot is not None and not claim.almost and _by_shooting(findings, numbers, key):
        return
    margins = _run(findings, numbers)
    if _candidates(findings, numbers, margins, jr.fold_in(key, 1), "random starts"):
        return
    climbed = ascend(claim, _rows(numbers, np.argsort(-margins)[:_CLIMBERS]))
    higher = _run(findings, climbed)
    if _candidates(findings, climbed, higher, jr.fold_in(key, 2), "gradients"):
        return
    numbers, margins = _both(numbers, climbed), np.concatenate([margins, higher])
    for generation in range(_GENERATIONS):
        k = jr.fold_in(key, 3 + generation)
        best = np.argsort(-margins)[:_PARENTS]
        children = mutate(jr.fold_in(k, 0), _rows(numbers, best), _CHILDREN)
        reached = _run(findings, children)
        if _candidates(findings, children, reached, jr.fold_in(k, 1), "mutation"):
            return
        numbers, margins = _both(numbers, children), np.concatenate([margins, reached])


def _rows(numbers, index):
    return jax.tree.map(lambda x: x[np.asarray(index)], numbers)


def _both(a, b):
    return jax.tree.map(lambda x, y: jnp.concatenate([x, y]), a, b)


def _run(findings: Findings, numbers) -> np.ndarray:
    """The margin of each row at the horizon, counted; a run that failed has the margin zero."""
    claim = findings.claim
    rate = isinstance(claim.conclusion, AbstractRate)
    to_one = isinstance(claim.conclusion, ToConsensus | ToTheFirst)
    field, _ = jax.eval_shape(claim.build, _rows(numbers, 0))
    result = ensemble.run(
        _placeholder(field),
        Sampler(claim),
        each=numbers,
        t1=1e-6 if rate else _HORIZON,
        until=consensus(1e-9) if to_one else None,
        observe=OfField(_MarginOf(claim)),
        rtol=1e-7,
        atol=1e-9,
        progress=False,
    )
    margins = np.asarray(result.ys)[:, -1]
    findings.count(margins)
    return np.where(np.isfinite(margins), margins, 0.0)


class _MarginOf(eqx.Module):
    """The conclusion's margin as an observer of any field."""

    claim: Claim = eqx.field(static=True)

    def __call__(self, field):
        return Margin(field, self.claim.conclusion)


def _placeholder(field) -> AttentionField:
    """A field of the same space: what trajectories share, and none of what each has of its own."""
    return AttentionField(Sphere(field.dim), P=jnp.zeros((field.dim, field.dim)))


def _candidates(findings: Findings, numbers, margins, key, stage: str) -> bool:
    """The batch's largest margins, and some others that violate the claim, tried for their worth."""
    order = np.argsort(-margins)
    violating = order[margins[order] >= LEAST]
    rest = violating[_BEST:]
    others = rest[np.asarray(jr.permutation(key, len(rest)))[:_OTHERS]] if len(rest) else rest
    for i in [*violating[:_BEST], *others]:
        field, y0 = findings.claim.build(_rows(numbers, int(i)))
        evidence = judge(findings.claim, field, y0, key=jr.fold_in(key, int(i)))
        if _settled(findings, field, y0, evidence, stage):
            return True
    return False


def _by_shooting(findings: Findings, numbers, key) -> bool:
    claim = findings.claim
    assert claim.shoot is not None
    for i in range(_SHOTS):
        field, y0 = claim.build(_rows(numbers, i))
        try:
            start = claim.shoot(field, y0)
        except ValueError as error:
            evidence, start = Evidence("undecided", f"no start was found: {error}"), y0
        else:
            evidence = judge(claim, field, start, "null set", key=key)
        findings.tries += 1
        if _settled(findings, field, start, evidence, "shooting"):
            return True
    return False


def _settled(findings: Findings, field, y0: Any, evidence: Evidence, stage: str) -> bool:
    """Whether this candidate ends the search; the smallest form of it is kept."""
    if not counts(findings.claim, evidence):
        findings.refused[evidence.status] += 1
        findings.reasons[evidence.status] = evidence.why
        return False
    case, evidence = shrink(findings.claim, field, y0, evidence, key=jr.key(CHECK_SEED))
    findings.counterexample = Counterexample(findings.claim, case, evidence, stage)
    return True
