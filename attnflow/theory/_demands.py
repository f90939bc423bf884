"""What a closed form asks of a field, checked by type and by number before it is used."""

from typing import Any, NoReturn

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._checks import floating
from ..model import AttentionField
from ..model._kernels import Exponential, Hardmax, Softmax
from ..model._masks import Causal
from ..model._normalisations import Post
from ..schedules import (
    AbstractSchedule,
    Bounded,
    Congruent,
    Constant,
    Factored,
    FixedSpectrum,
    Modulated,
    PositiveSemidefinite,
    Scaled,
    ScaledIdentity,
    Sum,
    Symmetric,
)

_TRANSPARENT = (
    Bounded,
    Congruent,
    Factored,
    FixedSpectrum,
    Modulated,
    PositiveSemidefinite,
    Scaled,
    ScaledIdentity,
    Sum,
    Symmetric,
)
_KERNELS = {Softmax: "softmax", Exponential: "exp", Hardmax: "hardmax"}


def refuse(claim: str, need: str, got: str) -> NoReturn:
    """A `ValueError`: `claim` holds for a field with `need`; this one has `got`."""
    raise ValueError(f"`field` must have {need} for {claim}; got {got}.")


def as_field(field: Any) -> AttentionField:
    """`field`, refused where it is no attention field."""
    if not isinstance(field, AttentionField):
        raise ValueError(f"`field` must be an AttentionField; got {type(field).__name__}.")
    demand_matrix_scores(field)
    return field


def demand_matrix_scores(field: AttentionField) -> None:
    """A `ValueError` where P adds to the scores of its matrix: no theorem here is about those."""
    if not field.matrix_scores:
        raise ValueError(
            "`field` must have scores y'Py; its P adds a bias of keys to them. Leave biases out: "
            "attnflow.language.as_field(model, biases='drop')."
        )


def is_constant(schedule: AbstractSchedule | None) -> bool:
    """Whether time does not change the schedule, as its type and those of its parts tell."""
    if schedule is None or isinstance(schedule, Constant):
        return True
    if not isinstance(schedule, _TRANSPARENT):
        return False
    parts = jax.tree.leaves(
        schedule, is_leaf=lambda x: isinstance(x, AbstractSchedule) and x is not schedule
    )
    return all(is_constant(part) for part in parts if isinstance(part, AbstractSchedule))


def demand_constant(field: AttentionField, name: str, claim: str) -> None:
    """Refuse a field whose `P` or `U` time changes."""
    schedule = getattr(field, name)
    if not is_constant(schedule):
        refuse(claim, f"a {name} that time does not change", type(schedule).__name__)


def demand_identity(field: AttentionField, claim: str) -> None:
    """Refuse a field whose values are not the identity."""
    if field.U is None:
        return
    demand_constant(field, "U", claim)
    U = np.asarray(field.U(jnp.zeros(())))
    off = float(np.abs(U - np.eye(field.dim)).max())
    if off > 8 * field.dim**0.5 * float(np.finfo(U.dtype).eps):
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


def demand_causal(field: AttentionField, claim: str) -> None:
    """Refuse a field whose mask is not the causal one."""
    if not isinstance(field.mask, Causal):
        refuse(claim, "mask 'causal'", type(field.mask).__name__)


def on_manifold(name: str, field: AttentionField, y: Any) -> Float[Array, "tokens dim"]:
    """`y` as tokens on the field's manifold, as many as the field asks for."""
    y = field.manifold.check_tokens(name, floating(name, y))
    if field.tokens is not None and y.shape[0] != field.tokens:
        raise ValueError(
            f"`{name}` must have {field.tokens} tokens, as the field; got {y.shape[0]}."
        )
    return y
