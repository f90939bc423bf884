"""A part of a program that a CPU works as one native function, not as one for each of its loops.

XLA's CPU runtime starts every fused loop by itself. Where loops are short, as those around the field of ten tokens
are, the starts take as long as the work. A call marked as small is compiled whole: its loops, its branches and its
`while` become one function of LLVM. What it computes stays the same.
"""

import inspect
from collections.abc import Callable
from typing import Any

import jax

from .compiled import options

# What is written out as loops over entries. Products of matrices, sorts and factorisations call libraries, which a
# function that stands alone cannot; whatever is not named here stays as it is.
_WRITTEN_OUT = frozenset((
    "abs", "add", "add_any", "and", "atan2", "bitcast_convert_type", "broadcast_in_dim", "ceil", "clamp",
    "concatenate", "convert_element_type", "copy", "copy_p", "cos", "div", "dynamic_slice", "dynamic_update_slice",
    "eq", "exp", "expm1", "floor", "ge", "gt", "integer_pow", "iota", "is_finite", "le", "log", "log1p", "lt", "max",
    "min", "mul", "ne", "neg", "not", "or", "pad", "pow", "reduce", "reduce_and", "reduce_max", "reduce_min",
    "reduce_or", "reduce_prod", "reduce_sum", "rem", "reshape", "rev", "round", "rsqrt", "scatter", "scatter-add",
    "select_n", "shift_left", "shift_right_arithmetic", "shift_right_logical", "sign", "sin", "slice", "sqrt",
    "square", "squeeze", "stop_gradient", "sub", "tan", "tanh", "transpose", "xor", "gather",
))  # fmt: skip
_HOLDERS = frozenset((
    "while", "scan", "cond", "jit", "pjit", "closed_call", "core_call", "custom_jvp_call", "custom_vjp_call",
    "custom_vjp_call_jaxpr", "remat", "checkpoint", "remat2",
))  # fmt: skip
_MARKS = {"inlineable": "false", "xla_cpu_small_call": "true"}


def in_one_function(function: Callable[[Any], tuple[Any, jax.Array]], given: Any) -> Any:
    """`function(given)`, as one native function where that can be: on a CPU, of operations that are written out.

    For programs that are compiled with the options of `compiled` alone: XLA's newer emitter of fused loops, which
    those leave out, knows no scatter inside such a function, and refuses the program. Where it cannot be left out,
    programs stay as they were.

    **Arguments:**

    - `function`: gives a pair, of which the second is an array that it computes.
    - `given`: a pytree of arrays.
    """
    without_emitter = options().get("xla_cpu_use_fusion_emitters") is False  # nor on other backends
    if not without_emitter or not _can_mark():
        return function(given)
    call = jax.jit(function)  # which traces once for both
    if not is_written_out(call.trace(given).jaxpr.jaxpr):
        return function(given)
    out, last = call(given)
    return out, _mark(last)


def is_written_out(jaxpr: Any) -> bool:
    """Whether all that a jaxpr does, inside its loops and branches too, is written out as loops over entries."""
    for equation in jaxpr.eqns:
        name = equation.primitive.name
        if name not in _WRITTEN_OUT and name not in _HOLDERS:
            return False
        if name in _HOLDERS and not all(map(is_written_out, _inside(equation.params))):
            return False
    return True


def _inside(params: dict[str, Any]) -> list[Any]:
    values = [x for v in params.values() for x in (v if isinstance(v, (tuple, list)) else (v,))]
    jaxprs = [getattr(x, "jaxpr", x) for x in values]
    return [x for x in jaxprs if hasattr(x, "eqns")]


def _can_mark() -> bool:
    # Older versions of JAX mark whole regions alone, not one call.
    try:
        from jax.experimental.xla_metadata import set_xla_metadata
    except ImportError:
        return False
    return "x" in inspect.signature(set_xla_metadata).parameters


def _mark(value: jax.Array) -> jax.Array:
    # On the operation that `value` comes from: the call.
    from jax.experimental.xla_metadata import set_xla_metadata

    marked: Any = set_xla_metadata(value, **_MARKS)
    return marked
