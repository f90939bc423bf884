"""Certificates: made of counterexamples and of equilibria, written, and checked again."""

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import flint
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Real

from .. import __version__
from ..checker import equilibria as checker, program
from ..core.checks import floating
from ..model import AttentionField
from ..records import atomic_write
from ..search import CLAIMS, AbstractRate, Claim, Counterexample
from ._attractor import EquilibriumProof, NotDecided, Refuted, attractor, reason
from ._basin import with_start
from ._domain import facts
from ._exceptional import exceptional
from ._plain import built_field, plain_case

BITS = (128, 256, 512)
_NO_CLAIM = {"facts": [], "top": False}


@dataclass(frozen=True)
class Certificate:
    """What was shown in ball arithmetic, or why nothing was.

    **Attributes:**

    - `verdict`: `"proved"`, `"refuted"` or `"not decided"`.
    - `why`: in a line.
    - `stable`: whether the equilibrium was shown to be stable (true) or unstable (false); `None` else.
    - `tokens`: the equilibrium, or the start on a null set, in float64; `None` where there is none.
    - `contents`: the exact data that a checker reads; `None` where nothing was shown.
    """

    verdict: str
    why: str
    stable: bool | None = None
    tokens: np.ndarray | None = None
    contents: dict[str, Any] | None = None

    @property
    def proved(self) -> bool:
        """Whether what was asked was shown."""
        return self.verdict == "proved"

    @property
    def statement(self) -> str:
        """What the numbers prove, in words and symbols; empty where nothing was shown."""
        return "" if self.contents is None else "\n".join(self.contents["statement"])

    def write(self, path: str | os.PathLike[str]) -> None:
        """As JSON, whole or not at all.

        **Raises:**

        - `ValueError`: nothing was shown, so that there is nothing to write.
        """
        if self.contents is None:
            raise ValueError(f"there is no certificate to write: {self.verdict}, {self.why}.")
        with atomic_write(Path(path)) as file:
            file.write((json.dumps(self.contents, indent=1) + "\n").encode())

    def __str__(self) -> str:
        return "\n".join(filter(None, [f"{self.verdict}: {self.why}", self.statement]))


def equilibrium(
    field: AttentionField,
    y: Real[Array, "tokens dim"],
    *,
    within: float = 1e-6,
    bits: Sequence[int] = BITS,
) -> Certificate:
    r"""Prove in ball arithmetic that there is a stable equilibrium at given tokens, or an unstable one.

    **What is proved.** Let $G$ be the field of eq. (6), carried off the ellipsoid with $n_i = |y_i|_W^2$ as
    $G_i = n_i A_i + (1 - n_i - y_i^\top W A_i)\,y_i$, $A_i = \sum_\eta\sum_j \alpha^\eta_{ij} U_\eta y_j$. Since
    $y_i^\top W G_i = n_i(1 - n_i)$, zeros of $G$ with $n_i > 0$ lie on the ellipsoid, which is invariant, and
    the eigenvalues of $DG$ there are those of the flow and $-2$, once a token.

    - *Existence and uniqueness* (Newton's operator of Moore and Krawczyk): $H: \mathbb{R}^m \to \mathbb{R}^m$
      continuously differentiable, $c$ the centre of a box $X$. If every matrix in the enclosure $DH(X)$ is
      regular and $c - DH(X)^{-1}H(c)$ lies in the interior of $X$, then $H$ has one zero in $X$, and only one.
    - *Stability* (Lyapunov's linearisation): if $G(y^*) = 0$ and all eigenvalues of $DG(y^*)$ have negative real
      parts, $y^*$ is exponentially stable; if one has a positive real part, $y^*$ is unstable. Eigenvalues
      are enclosed, with multiplicities, by Arb.
    - *Families* (Prüss, Simonett and Zacher's generalised principle): if equilibria near $y^*$ form a manifold of
      dimension $m$, and zero is an eigenvalue of multiplicity $m$, all others with negative real parts, then
      $y^*$ is stable and every solution from near it converges to an equilibrium near it. That the
      manifold is there follows from an exact rule: rotations $R$ with $R^\top P = -PR$ and $RU = UR$ carry
      solutions to solutions (then the orbit attracts, and may turn: $G + \sum_k \mu_k R_k y = 0$); identities such as
      $\sum_i Z_i (Ry_i)^\top W G_i/n_i = 0$, for one head, $P = P^\top$ and $U = cI$, make some equations
      follow from the others (and $\mu = 0$, since $\sum_i Z_i (R_k y_i)^\top W R_l y_i/n_i$ is a regular
      matrix); all tokens at one point where $\sum_\eta U_\eta = cI$; opposite pairs where
      $P = 0$; everything where nothing moves.

    Numbers of the field and of W are taken as the shortest decimals that give back their float64
    values. A positive `scale` is a unit of time and has no part in it.

    **Arguments:**

    - `field`: $P$ and $U$ constant in time, kernel `"softmax"` or `"exp"`, any mask of zeros and ones.
    - `y`: tokens at or near an equilibrium, shape `(tokens, dim)`.
    - `within`: how far from `y` it may be, in each coordinate.
    - `bits`: precisions, tried one after the other.

    **Returns:**

    A [`Certificate`][]: `"proved"` for a stable equilibrium, `"refuted"` where it is shown to be unstable or
    where there is none within the distance, else `"not decided"`.

    **Raises:**

    - `ValueError`: a field that no certificate is about, tokens off the ellipsoid, or a bad `within` or `bits`.

    ```python
    field = af.AttentionField(af.Sphere(2), P=-3 * jnp.eye(2))
    angles = jnp.arange(3) * 2 * jnp.pi / 3
    y = jnp.stack([jnp.cos(angles), jnp.sin(angles)], axis=1)
    print(af.certify.equilibrium(field, y))       # three tokens that never meet
    ```
    """
    tokens = _tokens(field, y)
    _check_settings(within, bits)
    case = plain_case(field, len(tokens))

    def prove(many: int) -> Certificate:
        there = attractor(case, tokens, within, many)
        return _about(there, _contents(case, there.proof, {**_NO_CLAIM, "v": _zero(field)}, many))

    return _tried(prove, bits)


def counterexample(
    example: Counterexample, *, within: float = 1e-6, bits: Sequence[int] = BITS
) -> Certificate:
    r"""Prove a counterexample: an equilibrium in the claim's domain that attracts, and is not as claimed.

    Beyond what [`equilibrium`][attnflow.certify.equilibrium] proves, the hypotheses of the claim are checked:
    symmetry and the like in rational arithmetic, the top eigenvector and the tokens' side of it in balls.
    Hypotheses on tokens are inequalities: they hold near tokens at which they do, so that the claim
    fails on an open set of starts.

    - Where the equilibrium is outside the claim's domain (beyond the cap, say), a solution that starts
      inside is enclosed: a Taylor series about a point, its coefficients bounded by Cauchy's estimate
      in a complex box (Picard and Lindelöf), the distance of solutions by the logarithmic norm, which
      Gershgorin's discs bound. It ends where $|T^{-1}(y - y^*)|$ is below a radius within which the logarithmic
      norm of $T^{-1}\,DG\,T$ is negative, so that the distance declines to zero.
    - A claim on every start, broken on a null set (Theorem 4.2 as printed): the exceptional start is
      enclosed between two neighbours that leave on either side.

    **Arguments:**

    - `example`: what a search found, with its evidence.
    - `within`: how far from the evidence's equilibrium the proved one may be, in each coordinate.
    - `bits`: precisions, tried one after the other.

    **Returns:**

    A [`Certificate`][]: `"proved"`, `"refuted"` where the equilibrium is unstable, is not there, or a hypothesis
    does not hold, else `"not decided"` with the reason: tokens that come to no rest, fields that change in
    time and conclusions about rates are not what certificates are about.

    **Raises:**

    - `ValueError`: a bad `within` or `bits`.

    ```python
    example = af.search.read_counterexample("counterexample.json")
    certificate = af.certify.counterexample(example)
    certificate.write("certificate.json")
    ```
    """
    _check_settings(within, bits)
    field, y0 = example.build()
    claim, evidence = example.claim, example.evidence
    null = evidence.status == "null set"
    if isinstance(claim.conclusion, AbstractRate):
        return Certificate("not decided", "the claim is about a rate, not about a limit")
    if evidence.equilibrium is None and not null:
        return Certificate("not decided", "the tokens of this counterexample come to no rest")
    try:
        case = plain_case(field, len(y0))
    except ValueError as error:
        return Certificate("not decided", str(error))
    if evidence.period is not None:
        return Certificate("not decided", "the tokens of this counterexample go round a cycle")

    def prove(many: int) -> Certificate:
        if null:
            proof = exceptional(field, np.asarray(y0, np.float64))
            wanted = facts(claim, field, y0)
            contents = _contents(case, proof, wanted, many, claim)
            return Certificate("proved", _NULL, None, np.asarray(y0, np.float64), contents)
        facts(claim, field, y0)  # a start outside the domain breaks nothing
        there = attractor(case, np.asarray(evidence.equilibrium, np.float64), within, many)
        if not there.proof["stable"]:
            wanted = {**_NO_CLAIM, "v": _zero(field)}
            return _about(there, _contents(case, there.proof, wanted, many))
        where = field.manifold.project(jnp.asarray(there.tokens))
        if claim.outside(field, where):
            there = with_start(there, case, claim, field, y0, many)
            start = np.array(there.proof["basin"]["start"], float)
            where = field.manifold.project(jnp.asarray(start))
        return _about(there, _contents(case, there.proof, facts(claim, field, where), many, claim))

    return _tried(prove, bits)


_NULL = "a start that never comes to consensus lies between two neighbours"


def _tried(prove: Callable[[int], Certificate], bits: Sequence[int]) -> Certificate:
    """The first precision that decides; else the reason of the last."""
    why = ""
    for many in bits:
        try:
            return prove(many)
        except Refuted as error:
            return Certificate("refuted", str(error))
        except (NotDecided, ValueError, ZeroDivisionError) as error:
            why = f"{reason(error)}, at {many} bits"
    return Certificate("not decided", why)


def _about(there: EquilibriumProof, contents: dict[str, Any]) -> Certificate:
    stable = there.proof["stable"]
    why = "a stable equilibrium" if stable else "the equilibrium there is unstable"
    if stable and there.proof["family"] != "none":
        why = "a stable family of equilibria"
    return Certificate("proved" if stable else "refuted", why, stable, there.tokens, contents)


def _contents(
    case: dict[str, Any],
    proof: dict[str, Any],
    wanted: dict[str, Any],
    bits: int,
    claim: Claim | None = None,
) -> dict[str, Any]:
    """A certificate's data, which the checker has accepted."""
    named = {}
    if claim is not None:
        named = {"name": claim.name, "says": claim.statement, "source": claim.source}
    contents: dict[str, Any] = {
        "format": checker.FORMAT,
        "bits": bits,
        "case": case,
        "proof": proof,
        "claim": {
            **wanted,
            **named,
            "facts": [checker.AS_WRITTEN.get(n, n) for n in wanted["facts"]],
        },
        "made by": {"attnflow": __version__, "python-flint": flint.__version__},
    }
    refuted = None if claim is None else _as_checked(claim, wanted)
    contents["statement"] = checker.statement(contents, refuted)
    contents["digest"] = checker.digest(contents)
    checker.check(json.dumps(contents), _known(claim, wanted))
    return contents


def _as_checked(claim: Claim, wanted: dict[str, Any]) -> checker.Refutable:
    """A claim as the checker has it: its own entry, or for one's own claim one that is made here."""
    if CLAIMS.get(claim.name) is claim and claim.name in checker.CLAIMS:
        return checker.CLAIMS[claim.name]
    *supposes, broken = wanted["facts"]
    return checker.Refutable(
        starts=checker.ALMOST if claim.almost else checker.EVERY,
        supposes=tuple(supposes),
        broken=broken,
        says=claim.statement,
        source=claim.source,
        top=wanted["top"],
    )


def _known(claim: Claim | None, wanted: dict[str, Any]) -> dict[str, checker.Refutable]:
    """The claims that may be refuted: the checker's own, and one's own."""
    own = {} if claim is None else {claim.name: _as_checked(claim, wanted)}
    return {**checker.CLAIMS, **own}


def check(path: str | os.PathLike[str], *, claim: Claim | None = None) -> Certificate:
    """Check a certificate's file: all of it again, from its numbers.

    The work is done by a program that needs python-flint alone, and may be read and run by itself:
    `python attnflow/checker FILE`. It takes no word from the file, and has a table of claims of its own;
    `PROOFS.md` in its folder says what it proves, and who is trusted for what. Of a proof over all states (see
    [`synchronisation`][attnflow.certify.synchronisation]) it goes through every leaf; of a count of equilibria
    ([`census`][attnflow.certify.census]) it counts again.

    **Arguments:**

    - `path`: a file that [`Certificate`][]`.write`, `Synchronisation.save` or `Census.save` wrote.
    - `claim`: what it refutes, where that is no claim of the library. The checker's table does not have it:
      its hypotheses are read from it here, in float64, and shown there one by one.

    **Raises:**

    - `ValueError`: a file that is no certificate, was altered, or whose numbers do not prove what it says; a
      claim that is not known (give it as `claim`).
    """
    with open(path, "rb") as file:
        data = file.read(program.MOST_BYTES + 1)
    kind = program.kind_of(data)
    about_states = kind is not checker
    if about_states and claim is not None:
        raise ValueError(
            f"`claim` must be left out: {path} is a proof over all states, and refutes none."
        )
    try:
        if about_states or claim is None:
            contents, _ = kind.check(data)
        else:
            contents, _ = checker.check(data, _with_own(checker.read(data), claim))
    except checker.Refused as error:
        raise ValueError(f"{path} proves nothing: {str(error).rstrip('.')}.") from error
    if about_states:
        return Certificate("proved", "every box of a cover has a reason", contents=contents)
    proof = contents["proof"]
    if proof["kind"] == "exceptional":
        return Certificate("proved", _NULL, contents=contents)
    tokens = np.array(proof["tokens"], float)
    return _about(EquilibriumProof(proof, tokens, np.zeros((0, 0))), contents)


def _with_own(contents: dict[str, Any], claim: Claim) -> dict[str, checker.Refutable]:
    """The checker's claims and one's own, if that is what the file is about."""
    given, proof = contents["claim"], contents["proof"]
    if given.get("name") != claim.name:
        about = f"the claim {given['name']!r}" if "name" in given else "no claim"
        raise checker.Refused(f"not shown: anything of {claim.name!r}: it is about {about}")
    if (given["says"], given["source"]) != (claim.statement, claim.source):
        raise checker.Refused(f"not shown: anything of {claim.name!r}, which says something else")
    rows = proof["tokens"] + proof.get("thirds", [])[:1]
    if proof.get("basin"):
        rows = proof["basin"]["start"]
    try:
        field = built_field(contents["case"])
        y = field.manifold.project(jnp.asarray(np.array(rows, float)))
        wanted = facts(claim, field, y)
    except (Refuted, NotDecided, ValueError) as error:
        raise checker.Refused(f"not shown: a start in the claim's domain ({error})") from error
    return _known(claim, wanted)


def _zero(field: AttentionField) -> list[str]:
    return ["0"] * field.dim


def _tokens(field: AttentionField, y: Any) -> np.ndarray:
    if not isinstance(field, AttentionField):
        raise ValueError(f"`field` must be an AttentionField; got {type(field).__name__}.")
    return np.asarray(field.check_start("y", floating("y", y)), np.float64)


def _check_settings(within: float, bits: Sequence[int]) -> None:
    if not within > 0:
        raise ValueError(f"`within` must be a positive distance; got {within!r}.")
    if not bits or not all(isinstance(b, int) and b >= 64 for b in bits):
        raise ValueError(f"`bits` must be precisions of 64 bits or more; got {bits!r}.")
