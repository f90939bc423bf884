"""`verdicts`: every theorem that is known here, held to one field and one start."""

from typing import Any

from jaxtyping import ArrayLike, Real

from ..core.checks import instance, shown
from ..core.types import Scalar
from ..model import AttentionField
from . import _closed_forms, _literature, _paper
from ._by_computer import by_computer
from ._cascade import cascade
from ._contraction import contraction
from ._hypotheses import no_drift
from ._linear_consensus import linear_consensus
from ._parameters import bounded_scores, constant_values, continuous_scores, identity_values
from ._setting import Setting
from ._verdict import Verdicts

_THEOREMS = {
    "3.2": _paper.theorem_3_2,
    "4.2": _paper.theorem_4_2,
    "4.5": _paper.theorem_4_5,
    "4.7": _paper.remark_4_7,
    "contraction": contraction,
    "one v": cascade,
    "linear consensus": linear_consensus,
    "equiangular": _literature.equiangular,
    "synchronisation": _literature.synchronisation,
    "by computer": by_computer,
    "causal": _literature.causal_identity,
    "Oja": _closed_forms.oja,
    "two tokens": _closed_forms.two_tokens,
    "turning": _closed_forms.turning,
    "local": _literature.local,
    "metastable": _literature.metastable,
}
_ASSUMABLE = tuple(
    supposed.id
    for supposed in (bounded_scores, continuous_scores, no_drift, identity_values, constant_values)
)


def verdicts(
    field: AttentionField,
    y0: Real[ArrayLike, "tokens dim"],
    *,
    t0: Scalar = 0.0,
    assume: tuple[str, ...] = (),
) -> Verdicts:
    r"""Which theorems apply to a field and a start, why or why not, and what they predict.

    | key | source | about |
    |---|---|---|
    | `"3.2"` | the paper | full, U = I, P bounded and uniformly continuous, a hemisphere |
    | `"4.2"` | the paper | causal, W = I, U = I, P bounded: almost every start |
    | `"4.5"` | the paper | causal, W = I, one head, U symmetric, simple positive top eigenvalue |
    | `"4.7"` | the paper | the same with a slowly varying U(t) (a remark: what is expected) |
    | `"contraction"` | `theorems/_contraction.py` | any mask, heads, P(t), U(t): one v that every U keeps |
    | `"one v"` | `theorems/_cascade.py` | causal, any heads, each U symmetric with one top eigenvector |
    | `"linear consensus"` | `theorems/_linear_consensus.py` | 3.2 on the sphere for P that is bounded alone |
    | `"equiangular"` | arXiv:2312.10794 | full, U = I, P = βI, tokens with one cosine |
    | `"synchronisation"` | arXiv:2405.18273, 2507.22857 | the same, almost every start |
    | `"by computer"` | certificates | the same on the circle for 3 to 7 tokens, beta between a lower end and -0.16 |
    | `"causal"` | arXiv:2411.04990, Thm 4.1 | causal, U = I, one head, P constant |
    | `"Oja"` | Oja's flow | where the first causal token goes, U constant |
    | `"two tokens"` | closed form | P = 0, U = I |
    | `"turning"` | closed form | the circle, U = aI + bJ: consensus that turns |
    | `"local"` | linearisation | any heads and P, constant U with a symmetric sum: near consensus |
    | `"metastable"` | arXiv:2410.06833 | P = βI: how long tokens stay in separate caps |

    Hypotheses are checked on the objects: numbers to rounding of their dtype, "at all times" from
    the schedules' types. A schedule made of a function of the user's cannot be seen through: what
    rests on it is undecided, unless it is assumed. Another positive `scale` than the paper's
    $1/\sqrt d$ is another unit of time, and is allowed.

    **Arguments:**

    - `field`: the flow.
    - `y0`: its start, shape `(tokens, dim)`, on the manifold.
    - `t0`: the time of the start; schedules are judged from there on.
    - `assume`: hypotheses, by their ids, to take for granted where they cannot be decided: `"P bounded"`,
      `"P uniformly continuous"`, `"no drift"`, `"U = I"`, `"U constant"`. One that is broken stays so.

    **Returns:**

    A dict of [`Verdict`][attnflow.theory.Verdict]s by the keys above: `.applies` (`True`, `False`,
    `None`), `.reason`, `.prediction`, `.hypotheses`. Printed, it is a table.

    **Raises:**

    - `ValueError`: `field` is not a field, `y0` not tokens of it, values are traced, or `assume`
      names something else.

    ```python
    found = af.theory.verdicts(field, y0)
    print(found)
    found["4.2"].applies, found["4.2"].reason
    ```
    """
    instance("assume", assume, tuple | list | set, "a tuple of ids")
    unknown = [name for name in assume if name not in _ASSUMABLE]
    if unknown:
        allowed = ", ".join(repr(name) for name in _ASSUMABLE)
        raise ValueError(f"`assume` must be a tuple of {allowed}; got {shown(unknown[0])}.")
    begin: Any = t0  # made a number there
    setting = Setting(field, y0, begin)
    return Verdicts({name: judge(setting, tuple(assume)) for name, judge in _THEOREMS.items()})
