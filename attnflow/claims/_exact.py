"""A field and a start as a case of exact decimals, and decimals cut short."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from msgspec.structs import replace

from ..core.checks import instance, number
from ..geometry import Sphere
from ..model import AttentionField, Causal, Exponential, Full, Hardmax, Post, Softmax
from ..model.demands import demand_curved
from ..schedules import AbstractSchedule
from ..spec import AttentionTable, Case, Manifold, Time, Tokens

_KERNELS = {Softmax: "softmax", Exponential: "exp", Hardmax: "hardmax"}


def case_of(
    field: AttentionField, y0: Float[Array, "tokens dim"], *, title: str = "", t1: float = 20.0
) -> Case:
    """The case whose `build()` gives this field and start: every number is kept to its last digit.

    **Raises:**

    - `ValueError`: a part of the field that a case of plain numbers does not hold.
    """
    instance("field", field, AttentionField, "an AttentionField")
    demand_curved(field)
    y0, t1 = field.manifold.check_rows("y0", y0), number("t1", t1, above=0.0)
    plain = isinstance(field.normalisation, Post) and field.drift is None
    kernel: Any = _KERNELS.get(type(field.kernel))
    mask: Any = {Full: "full", Causal: "causal"}.get(type(field.mask))
    if not plain or kernel is None or mask is None or field.frozen is not None:
        raise ValueError(
            "`field` must have a full or causal mask, a kernel of the library, normalisation 'post', "
            "no drift and no frozen tokens to be written as a case; got another."
        )
    manifold = field.manifold
    return Case(
        title=title,
        manifold=Manifold(dim=manifold.dim)
        if isinstance(manifold, Sphere)
        else Manifold(W=_numbers(manifold.W)),
        tokens=Tokens(rows=_numbers(y0), project=True),
        attention=AttentionTable(
            P=_table("P", field.P),
            U=None if field.U is None else _table("U", field.U),
            mask=mask,
            kernel=kernel,
            scale=float(field.scale),
            weights=None if field.weights is None else _numbers(field.weights),
        ),
        time=Time(t1=t1),
    )


def _numbers(x: Any) -> list:
    return np.asarray(x, np.float64).tolist()


def _table(name: str, schedule: AbstractSchedule) -> Any:
    if schedule.identity_coefficient() is not None and schedule.is_constant():
        return _numbers(schedule(jnp.zeros(())))
    try:
        return schedule.as_table()
    except ValueError as error:
        raise ValueError(
            f"`{name}` must be constant, piecewise or of another kind that files have, to be written "
            f"as a case; {error}"
        ) from error


def shortened(case: Case, digits: int, part: str | None = None) -> Case:
    """The case with numbers rounded to so many decimals: of `"P"`, `"U"`, `"W"`, `"tokens"`, or of all."""

    def cut(name: str, value: Any) -> Any:
        return _round(value, digits) if part in (None, name) else value

    attention = replace(case.attention, P=cut("P", case.attention.P), U=cut("U", case.attention.U))
    manifold = case.manifold
    if manifold.W is not None:
        manifold = replace(manifold, W=cut("W", manifold.W))
    tokens = replace(case.tokens, rows=cut("tokens", case.tokens.rows))
    return replace(case, attention=attention, manifold=manifold, tokens=tokens)


def _round(value: Any, digits: int) -> Any:
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, list):
        return [_round(x, digits) for x in value]
    if isinstance(value, int | float):
        return round(float(value), digits) + 0.0  # no -0.0
    names = value.__struct_fields__
    return replace(value, **{n: _round(getattr(value, n), digits) for n in names})
