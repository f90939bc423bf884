"""A counterexample made small: simpler matrices, fewer tokens, lower dimension, short decimals."""

from collections.abc import Iterator
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key
from msgspec.structs import replace

from ..core.checks import instance
from ..geometry import Sphere
from ..model import AttentionField
from ..schedules import AbstractSchedule, Constant
from ..spec import Case
from ._claim import Claim, check_candidate
from ._evidence import Evidence
from ._exact import case_of, shortened
from ._shoot import verify_null
from ._verify import verify

_DIGITS = 9
_PARTS = ("P", "U", "W", "tokens")


class _Smallest:
    """The smallest form so far; each smaller one has to be verified with the same status."""

    def __init__(self, claim: Claim, field, y0, evidence: Evidence, key):
        self.claim, self.key = claim, key
        self.field, self.y0, self.evidence = field, y0, evidence

    def take(self, field: Any, y0: Any) -> bool:
        """Whether this form is as good; it is kept then."""
        if not np.all(np.any(np.asarray(y0) != 0, axis=1)):  # a token of zeros is nowhere
            return False
        evidence = self.worth(field, y0)
        if evidence.status != self.evidence.status:
            return False
        self.field, self.y0, self.evidence = field, y0, evidence
        return True

    def worth(self, field: Any, y0: Any) -> Evidence:
        """Its evidence. The start is put on the manifold, as a file's is."""
        y0 = field.manifold.project(y0)
        if self.evidence.status == "null set":
            return verify_null(self.claim, field, y0)
        return verify(self.claim, field, y0, key=self.key)


def shrink(
    claim: Claim,
    field: AttentionField,
    y0: Float[Array, "tokens dim"],
    evidence: Evidence,
    *,
    key: Key[Array, ""],
) -> tuple[Case, Evidence]:
    """The shortest form found of a counterexample, and what that one is worth.

    In turn: a P that is zero, a multiple of the identity, diagonal or symmetric; tokens left out one at
    a time; a subspace of one dimension less; every number rounded to as few decimals as that allows, all
    at once and then P, U, W and tokens each by itself. A step is taken where the smaller form has the
    same status. The form that comes back was read from its decimals.
    """
    check_candidate(claim, field, key)
    instance("evidence", evidence, Evidence, "what verify gave")
    smallest = _Smallest(claim, field, y0, evidence, key)
    if evidence.status == "null set":
        return _reshoot(smallest)
    _simplify(smallest)
    _drop(smallest)
    _simplify(smallest)
    return _round(smallest)


def _simplify(smallest: _Smallest) -> None:
    for name in ("P", "U"):
        schedule = getattr(smallest.field, name)
        for simpler in _simpler(schedule, zero=name == "P"):
            field = eqx.tree_at(lambda f, n=name: getattr(f, n), smallest.field, Constant(simpler))
            if smallest.take(field, smallest.y0):
                break


def _simpler(schedule: AbstractSchedule | None, *, zero: bool) -> Iterator[Array]:
    """Simpler matrices in place of constant ones, the simplest first."""
    if not isinstance(schedule, Constant):
        return
    M = schedule.value
    eye = jnp.broadcast_to(jnp.eye(M.shape[-1], dtype=M.dtype), M.shape)
    multiple = jnp.trace(M, axis1=-2, axis2=-1)[..., None, None] / M.shape[-1] * eye
    simpler = [0 * M, multiple, M * eye, (M + jnp.swapaxes(M, -1, -2)) / 2]
    for candidate in simpler[0 if zero else 2 :]:
        if np.array_equal(candidate, M):
            return
        yield candidate


def _drop(smallest: _Smallest) -> None:
    """Tokens, then dimensions, for as long as that goes."""
    smaller = True
    while smaller and smallest.y0.shape[0] > 2:
        tokens = range(smallest.y0.shape[0])
        keep = [[k for k in tokens if k != i] for i in tokens]
        smaller = any(smallest.take(smallest.field, smallest.y0[np.asarray(k)]) for k in keep)
    while smallest.y0.shape[1] > 2 and isinstance(smallest.field.manifold, Sphere):
        field, y0 = _flat(smallest)
        if field is None or not smallest.take(field, y0):
            return


def _flat(smallest: _Smallest) -> tuple[AttentionField | None, Any]:
    """The field and start in the subspace where most of the tokens are, start and limit together."""
    field, y0 = smallest.field, smallest.y0
    plain = all(s is None or isinstance(s, Constant) for s in (field.P, field.U))
    if not plain or field.tokens is not None:
        return None, y0
    end = smallest.evidence.equilibrium
    rows = y0 if end is None else jnp.concatenate([y0, 4 * end])
    B = np.linalg.svd(np.asarray(rows), full_matrices=False)[2][: y0.shape[1] - 1]
    P: Any = _compressed(field.P, B)
    smaller = AttentionField(
        Sphere(y0.shape[1] - 1), P=P, U=_compressed(field.U, B),
        mask=field.mask, kernel=field.kernel, scale=field.scale,
    )  # fmt: skip
    return smaller, y0 @ jnp.asarray(B.T)


def _compressed(schedule: Any, B: np.ndarray) -> Array | None:
    """B M B', symmetric where M is."""
    if schedule is None:
        return None
    M = np.asarray(schedule.value)
    small = B @ M @ B.T
    symmetric = np.array_equal(M, np.swapaxes(M, -1, -2))
    return jnp.asarray((small + np.swapaxes(small, -1, -2)) / 2 if symmetric else small)


def _reshoot(smallest: _Smallest) -> tuple[Case, Evidence]:
    """Simpler scores and short decimals for all tokens but the last, which is shot anew: it has every digit."""
    claim = smallest.claim
    assert claim.shoot is not None
    P = getattr(smallest.field.P, "value", None)
    if P is not None:
        for scores in (0 * P, *(jnp.round(P, digits) for digits in range(_DIGITS))):
            field = eqx.tree_at(lambda f: f.P, smallest.field, Constant(scores))
            if _shot(smallest, field, smallest.y0):
                break
    for digits in range(_DIGITS):
        y0 = jnp.round(smallest.y0, digits)
        if np.all(np.any(np.asarray(y0[:-1]) != 0, axis=1)) and _shot(smallest, smallest.field, y0):
            # The rows as they are read: short, and put on the manifold then.
            rows = jnp.concatenate([y0[:-1], smallest.y0[-1:]])
            break
    else:
        rows = smallest.y0
    case = case_of(smallest.field, rows, title=claim.statement, t1=smallest.evidence.time)
    _read(smallest, case)
    return case, smallest.evidence


def _shot(smallest: _Smallest, field: Any, y0: Any) -> bool:
    """Whether a field and a start whose last token is shot anew are as good."""
    assert smallest.claim.shoot is not None
    try:
        return smallest.take(field, smallest.claim.shoot(field, field.manifold.project(y0)))
    except ValueError:
        return False


def _round(smallest: _Smallest) -> tuple[Case, Evidence]:
    """The case with the fewest decimals, and what it is worth."""
    case = case_of(
        smallest.field, smallest.y0, title=smallest.claim.statement, t1=smallest.evidence.time
    )
    for digits in range(_DIGITS):
        if _read(smallest, shorter := shortened(case, digits)):
            case = shorter
            break
    else:  # every digit
        if not _read(smallest, case):
            return case, smallest.evidence
        digits = _DIGITS
    for part in _PARTS:
        for fewer in range(digits):
            if _read(smallest, shorter := shortened(case, fewer, part)):
                case = shorter
                break
    return replace(case, time=replace(case.time, t1=smallest.evidence.time)), smallest.evidence


def _read(smallest: _Smallest, case: Case) -> bool:
    """Whether the field and start that a case is read as are as good."""
    try:
        field, y0, _ = case.build()
    except (ValueError, RuntimeError):
        return False
    return smallest.take(field, y0)
