"""Counterexamples as files: the claim, exact decimals, the evidence, what made it; and their check."""

import hashlib
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax.random as jr
import msgspec
import numpy as np
from jaxtyping import Array, Float
from msgspec.structs import replace

from ..core.checks import instance, shown
from ..core.words import printable
from ..model import AttentionField
from ..records import atomic_write, provenance
from ..spec import Case
from ._claim import Claim
from ._counterexample_file import (
    FORMAT,
    case_of_file,
    check_evidence,
    check_parts,
    contents as contents_of,
)
from ._evidence import CHECK_SEED, Evidence
from ._kinds import check_kind, check_length, refutes
from ._library import CLAIMS
from ._shoot import verify_null
from ._verify import verify

# How well numbers of the evidence have to come out again, relative to 1 or more.
_CLOSE = {"after": 1e-10, "time": 1e-10, "period": 1e-10, "family": 0.0, "basin": 0.1}
_CLOSE |= {"margin": 1e-6, "rightmost": 1e-6, "equilibrium": 1e-6}
_CLOSE |= {"other": 1e-3, "moved": 1e-4, "speed": 1e-4, "error": 1e-6}
_NUMBER = re.compile(r"[-+]?\d+(\.\d+)?(e[-+]?\d+)?%?")


@dataclass(frozen=True)
class Counterexample:
    """A field and a start that break a claim, in exact decimals, and what they are worth.

    **Attributes:**

    - `claim`: broken.
    - `case`: the field and start as plain numbers ([`attnflow.spec.Case`][]).
    - `evidence`: that of the case itself, verified.
    - `stage`: what found it: `"random starts"`, `"gradients"`, `"mutation"`, `"shooting"`.
    """

    claim: Claim
    case: Case
    evidence: Evidence
    stage: str = ""

    def build(self) -> tuple[AttentionField, Float[Array, "tokens dim"]]:
        """The field and the start."""
        field, y0, _ = self.case.build()
        return field, field.manifold.project(y0)

    def plain(self) -> dict[str, Any]:
        """As numbers, lists and strings."""
        return {
            "format": FORMAT,
            "claim": {
                "name": self.claim.name,
                "statement": self.claim.statement,
                "source": self.claim.source,
            },
            "case": msgspec.to_builtins(self.case),
            "evidence": self.evidence.plain(),
            "stage": self.stage,
        }

    @classmethod
    def of(cls, claim: Claim, plain: dict[str, Any]) -> "Counterexample":
        """From what `plain` gives, as it stands: nothing is verified.

        **Raises:**

        - `ValueError`: a part is missing or of another kind.
        """
        case = msgspec.convert(plain["case"], Case)
        if case.noise is not None:
            raise ValueError("case: claims are about flows without noise")
        if not isinstance(plain["stage"], str):
            raise ValueError(f"stage must be a word; got {plain['stage']!r}")
        return cls(claim, case, Evidence.of(plain["evidence"]), plain["stage"])

    def write(self, path: str | os.PathLike[str]) -> None:
        """As JSON, whole or not at all, with a digest of its contents."""
        contents = {**self.plain(), "provenance": provenance()}
        contents["digest"] = _digest(contents)
        with atomic_write(Path(path)) as file:
            file.write((json.dumps(contents, indent=1) + "\n").encode())

    def __str__(self) -> str:
        a = self.case.attention
        rows = [("tokens", self.case.tokens.rows), ("P", a.P), ("U", a.U)]
        rows += [("W", self.case.manifold.W)]
        lines = [f"{name:<7}{_short(value)}" for name, value in rows if value is not None]
        lines.append(f"{'':<7}{a.mask} attention, {a.kernel}, scale {a.scale:g}")
        origin = [f"found by {printable(self.stage)}"] if self.stage else []
        return "\n".join([*lines, str(self.evidence), *origin])


def _short(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(_short(x) for x in value) + "]"
    if isinstance(value, int | float):
        return f"{value + 0.0:.16g}"  # no -0
    parts = msgspec.to_builtins(value)
    return f"{parts.pop('type')}: " + ", ".join(f"{n} {_short(x)}" for n, x in parts.items())


def judge(claim: Claim, field: AttentionField, y0: Any, status: str = "open", *, key) -> Evidence:
    """What a field and start are worth against a claim, by the checks that `status` calls for."""
    if status == "null set":
        return verify_null(claim, field, y0)
    return verify(claim, field, y0, key=key)


def read_counterexample(
    path: str | os.PathLike[str], *, claim: Claim | None = None
) -> Counterexample:
    """A counterexample as its file has it; nothing is run.

    **Raises:**

    - `ValueError`: a file that is no counterexample, or was altered; a claim that is not known (give it
      as `claim`), or another.
    """
    # === a file that was written here
    instance("path", path, str | os.PathLike, "a path")
    if claim is not None:
        instance("claim", claim, Claim, "a Claim")
    try:
        contents = contents_of(path)
        digest, kind = contents.pop("digest"), contents["format"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is no counterexample: {error!r}.") from error
    if kind != FORMAT:
        raise ValueError(f"{path} is of the format {shown(kind)}; this reads {FORMAT!r}.")
    if digest != _digest(contents):
        raise ValueError(
            f"{path} was altered after it was written: its digest does not match its contents."
        )

    # === of this claim
    try:
        check_parts(contents)
        statement, plain = contents["claim"], contents["evidence"]
        claim = CLAIMS.get(statement["name"]) if claim is None else claim
        if claim is None:
            raise ValueError(
                f"it is about {shown(statement['name'])}, no claim of the library: give its claim too."
            )
        case = case_of_file(contents["case"])
        rows: list[Any] = case.tokens.rows or []
        evidence = Evidence.of(plain)
        check_evidence(plain, len(rows), len(rows[0]))
        if not isinstance(contents["stage"], str):
            raise ValueError(f"stage must be a word; got {shown(contents['stage'])}")
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        what = error if isinstance(error, ValueError) else repr(error)
        raise ValueError(f"{path} cannot be read: {what}") from error
    if (statement["statement"], statement["source"]) != (claim.statement, claim.source):
        raise ValueError(f"{path} is about another claim than {claim.name!r}, by its own words.")
    return Counterexample(claim, case, evidence, contents["stage"])


def check_counterexample(
    path: str | os.PathLike[str], *, claim: Claim | None = None
) -> Counterexample:
    """Verify a counterexample from scratch: its digits, its domain, and all of its evidence again.

    **Arguments:**

    - `path`: a file that [`Counterexample`][]`.write` wrote.
    - `claim`: what it breaks, unless that is a claim of the library.

    **Returns:**

    The [`Counterexample`][], with evidence computed now. Nothing in it is the file's but numbers: `stage`,
    which no number shows, is left out.

    **Raises:**

    - `ValueError`: as [`read_counterexample`][]; its kind of evidence cannot refute the claim; or what the file says
      does not come out again.
    """
    stated = read_counterexample(path, claim=claim)
    check_kind(stated.claim, stated.evidence.status, path)
    field, y0 = stated.build()
    check_length(field, path)
    evidence = judge(stated.claim, field, y0, stated.evidence.status, key=jr.key(CHECK_SEED))
    if evidence.status != stated.evidence.status or not counts(stated.claim, evidence):
        raise ValueError(
            f"{path} says {stated.evidence.status!r}; run again it is {evidence.status!r}: {evidence.why}."
        )
    for quantity, close in _CLOSE.items():
        was, came = getattr(stated.evidence, quantity), getattr(evidence, quantity)
        if not _agree(was, came, close):
            raise ValueError(f"{path} says {quantity} = {_short_of(was, came)}.")
    if _NUMBER.sub("#", stated.evidence.why) != _NUMBER.sub("#", evidence.why):
        raise ValueError(f"{path} gives other reasons than come out again: {evidence.why}.")
    return Counterexample(
        stated.claim, replace(stated.case, title=stated.claim.statement), evidence
    )


def counts(claim: Claim, evidence: Evidence) -> bool:
    """Whether the claim is broken: one on almost every start is not by a null set."""
    return refutes(claim, evidence.status)


def _short_of(was: Any, came: Any) -> str:
    """What a file says and what came, without the entries of arrays."""
    if getattr(was, "shape", ()) and getattr(came, "shape", ()) == was.shape:
        return f"tokens that come out elsewhere, by {float(np.abs(was - came).max()):.2g}"
    return f"{shown(was)}; run again it is {shown(came)}"


def _agree(stated: Any, came: Any, close: float) -> bool:
    if stated is None or came is None:
        return stated is came
    a, b = np.asarray(stated, float), np.asarray(came, float)
    return a.shape == b.shape and bool(np.all(np.abs(a - b) <= close * np.maximum(np.abs(a), 1)))


def _digest(contents: dict[str, Any]) -> str:
    canonical = json.dumps(contents, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()
