"""What a closed form asks of a field, checked by type and by number before it is used."""

import math
from typing import Any, NoReturn

import jax
import numpy as np
from jaxtyping import Array, Float

from ..core.arguments import number
from ..core.checks import floating, is_concrete
from ..schedules.ranges import range_of
from . import AttentionField, Exponential, Hardmax, Post, Softmax, facts as _facts

_KERNELS = {Softmax: "softmax", Exponential: "exp", Hardmax: "hardmax"}


def refuse(claim: str, need: str, got: str) -> NoReturn:
    """A `ValueError`: `claim` holds for a field with `need`; this one has `got`."""
    raise ValueError(f"`field` must have {need} for {claim}; got {got}.")


def as_field(field: Any) -> AttentionField:
    """`field`, refused where it is no attention field."""
    if not isinstance(field, AttentionField):
        raise ValueError(f"`field` must be an AttentionField; got {type(field).__name__}.")
    demand_known(field)
    return field


def demand_known(field: AttentionField) -> None:
    """A `ValueError` where no theorem here is about the field: tokens without a sphere, scores without a matrix."""
    demand_curved(field)
    demand_matrix_scores(field)


def demand_curved(field: AttentionField) -> None:
    """A `ValueError` where tokens are anywhere in space."""
    if field.manifold.flat:
        raise ValueError(
            "`field` must have tokens on a Sphere or an Ellipsoid, which this is about; got "
            f"{type(field.manifold).__name__}({field.dim})."
        )


def demand_matrix_scores(field: AttentionField) -> None:
    """A `ValueError` where P adds to the scores of its matrix: no theorem here is about those."""
    if not field.matrix_scores:
        raise ValueError(
            "`field` must have scores y'Py; its P adds a bias of keys to them, or rotates or "
            "normalises queries and keys. Leave biases out: attnflow.language.as_field(model, "
            "biases='drop'); of the others no theorem here speaks."
        )


def since(t0: Any, name: str = "t0") -> float:
    """The time from which a field has to be as it is demanded: all times, where it is traced.

    A `ValueError` where that is no finite number.
    """
    return number(name, t0) if is_concrete(t0) else -math.inf


def demand_constant(field: AttentionField, name: str, claim: str, t0: float = 0.0) -> None:
    """Refuse a field whose `P` or `U` time changes from `t0` on, or may change."""
    schedule = getattr(field, name)
    if not _facts.is_constant(schedule, t0):
        refuse(claim, f"a {name} that time does not change", type(schedule).__name__)


def demand_identity(field: AttentionField, claim: str, t0: float = 0.0) -> None:
    """Refuse a field whose values are not the identity from `t0` on."""
    if field.U is None:
        return
    with jax.ensure_compile_time_eval():  # inside another's program too
        bounds = range_of(field.U, t0)
    slack = _facts.rounding(field.dim, _facts.unit(field.U))
    if _facts.is_identity(bounds, slack):
        return
    demand_constant(field, "U", claim, t0)
    off = float(np.abs(bounds.centre - np.eye(field.dim)).max())
    refuse(claim, "U = I", f"an entry {off:.3g} from it")


def demand_kernel(field: AttentionField, claim: str, *kernels: type) -> None:
    """Refuse a field whose kernel is of none of these types."""
    if not isinstance(field.kernel, kernels):
        need = " or ".join(f"'{_KERNELS[kernel]}'" for kernel in kernels)
        refuse(claim, f"kernel {need}", type(field.kernel).__name__)


def demand_plain(field: AttentionField, claim: str, *, masses: bool = False) -> None:
    """Refuse a normalisation that is not the paper's, a drift, and masses if `masses` says so."""
    if not isinstance(field.normalisation, Post):
        refuse(claim, "normalisation 'post'", type(field.normalisation).__name__)
    if field.drift is not None:
        refuse(claim, "no drift", "one")
    if masses and field.weights is not None:
        refuse(claim, "tokens of one mass", "`weights`")


def demand_causal(field: AttentionField, claim: str, tokens: int, eps: float) -> None:
    """Refuse a field whose mask is not the causal one of so many tokens."""
    _demand_pairs(field, claim, "causal", tokens, eps)


def demand_full(field: AttentionField, claim: str, tokens: int, eps: float) -> None:
    """Refuse a field with a mask or a bias; a Boolean matrix that is true throughout is none."""
    need = "full attention, mask None"
    if field.mask.bias() is not None:
        refuse(claim, need, type(field.mask).__name__)
    _demand_pairs(field, claim, "full", tokens, eps)


def _demand_pairs(field: AttentionField, claim: str, name: str, tokens: int, eps: float) -> None:
    need = {"causal": "mask 'causal'", "full": "full attention, mask None"}[name]
    kind = type(field.mask).__name__
    if field.mask.tokens not in (None, tokens):
        refuse(claim, f"{need} of {tokens} tokens", f"{kind} of {field.mask.tokens}")
    if not is_concrete(field.mask):
        refuse(claim, need, f"{kind} with traced numbers")
    expected = _facts.causal_pairs(tokens) if name == "causal" else _facts.all_pairs(tokens)
    other = _facts.other_pattern(field, tokens, name, expected, eps)
    if other:
        refuse(claim, need, f"{kind} ({other})")


def on_manifold(name: str, field: AttentionField, y: Any) -> Float[Array, "tokens dim"]:
    """`y` as tokens on the field's manifold, as many as the field asks for."""
    y = field.manifold.check_tokens(name, floating(name, y))
    if field.tokens is not None and y.shape[0] != field.tokens:
        raise ValueError(
            f"`{name}` must have {field.tokens} tokens, as the field; got {y.shape[0]}."
        )
    return y
