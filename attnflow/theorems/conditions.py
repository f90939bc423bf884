"""Every condition that theorems and claims suppose, one object each: `conditions.causal`, `conditions.identity_values`.

A condition is a [`Condition`][attnflow.theory.Condition]: an id, a check in floating point, the exact one of
certificates, and words. [`checked`][attnflow.theory.conditions.checked] holds a field and start to some of them.
`CONDITIONS` has them by id.

- The model: `softmax`, `exponential`, `softmax_or_exp`, `post`, `known_tail`, `equal_masses`, `moving`, `no_drift`,
  `positive_scale`; `EQUATION_6`, what the paper takes for granted.
- Attention: `full`, `causal`, `one_head`, `two_heads`, `somebody`.
- The space and the start: `sphere`, `circle`, `hemisphere`, `cap`, `in_first_cap`, `not_opposite`, `first_axis`,
  `one_cosine`, `separate_caps`, `pair`, `part_along`.
- P: `bounded_scores`, `continuous_scores`, `constant_scores`, `multiple_scores`, `beta_in_the_gap`, `known_range`,
  `no_scores`, `positive_scores`, `symmetric_scores`, `finite_scores`, `in_a_certificate`.
- U: `identity_values`, `constant_values`, `symmetric_values`, `each_symmetric`, `each_positive`, `same_values`,
  `shared_top`, `one_top`, `one_vector`, `common_vector`, `known_values`, `smaller_across`, `always_simple_top`, `slow`,
  `turning_values`.
- The sum of U: `sum_symmetric`, `sum_simple`, `sum_positive`, `sum_negative`, `sum_double`, `sum_zero`,
  `real_simple_top`, `simple_leader`; of a `Top`: `simple_top`, `positive_top`, `negative_top`.

```python
given = af.theory.conditions
print(*given.checked(field, y0, [*given.EQUATION_6, given.causal, given.identity_values]), sep="\\n")
```
"""

from collections.abc import Callable, Iterable
from typing import Any

from jaxtyping import ArrayLike, Real

from ..model import AttentionField
from ._by_computer import in_a_certificate as in_a_certificate
from ._cascade import one_vector as one_vector
from ._closed_forms import (
    pair as pair,
    part_along as part_along,
    simple_leader as simple_leader,
    turning_values as turning_values,
)
from ._contraction import (
    common_vector as common_vector,
    finite_scores as finite_scores,
    known_values as known_values,
    smaller_across as smaller_across,
    somebody as somebody,
)
from ._hypotheses import (
    EQUATION_6 as EQUATION_6,
    cap as cap,
    causal as causal,
    circle as circle,
    equal_masses as equal_masses,
    exponential as exponential,
    first_axis as first_axis,
    full as full,
    hemisphere as hemisphere,
    moving as moving,
    no_drift as no_drift,
    not_opposite as not_opposite,
    one_head as one_head,
    positive_scale as positive_scale,
    post as post,
    softmax as softmax,
    softmax_or_exp as softmax_or_exp,
    sphere as sphere,
    two_heads as two_heads,
)
from ._hypothesis import Condition, Hypothesis, Plain as Plain
from ._literature import (
    known_range as known_range,
    known_tail as known_tail,
    one_cosine as one_cosine,
    separate_caps as separate_caps,
)
from ._parameters import (
    GAP as GAP,
    Top as Top,
    beta_in_the_gap as beta_in_the_gap,
    beta_of as beta_of,
    bounded_scores as bounded_scores,
    constant_scores as constant_scores,
    constant_values as constant_values,
    continuous_scores as continuous_scores,
    identity_values as identity_values,
    multiple_scores as multiple_scores,
    negative_top as negative_top,
    no_scores as no_scores,
    positive_scores as positive_scores,
    positive_top as positive_top,
    simple_top as simple_top,
    symmetric_scores as symmetric_scores,
    symmetric_values as symmetric_values,
)
from ._setting import Setting
from ._slow import slow as slow
from ._values import (
    always_simple_top as always_simple_top,
    each_positive as each_positive,
    each_symmetric as each_symmetric,
    in_first_cap as in_first_cap,
    one_top as one_top,
    real_simple_top as real_simple_top,
    same_values as same_values,
    shared_top as shared_top,
    sum_double as sum_double,
    sum_negative as sum_negative,
    sum_positive as sum_positive,
    sum_simple as sum_simple,
    sum_symmetric as sum_symmetric,
    sum_zero as sum_zero,
)

Check = Callable[[Setting], Hypothesis]

CONDITIONS: dict[str, Condition] = {
    value.id: value for value in list(globals().values()) if isinstance(value, Condition)
}


def checked(
    field: AttentionField,
    y0: Real[ArrayLike, "tokens dim"],
    conditions: Iterable[Check],
    *,
    t0: Any = 0.0,
) -> list[Hypothesis]:
    """How a field and its start stand to some conditions, in their order.

    **Arguments:**

    - `field`, `y0`: as in [`verdicts`][attnflow.theory.verdicts].
    - `conditions`: those that ask for the field and start alone, and not for what a theorem worked out.
    - `t0`: the time of the start.

    **Raises:**

    - `ValueError`: `field` is not a field, `y0` not tokens of it, or values are traced.
    """
    setting = Setting(field, y0, t0)
    return [condition(setting) for condition in conditions]
