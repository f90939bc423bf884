"""One answer each to what verdicts and closed forms both ask: constant? the identity? who attends to whom?"""

import jax
import jax.numpy as jnp
import numpy as np

from ..core.checks import is_concrete
from ..schedules import AbstractSchedule, Range
from ..schedules.ranges import range_of
from . import AttentionField


def unit(schedule: AbstractSchedule) -> float:
    """The unit of rounding of a schedule's values."""
    return float(jnp.finfo(jax.eval_shape(schedule, jnp.zeros(())).dtype).eps)


def rounding(dim: int, eps: float) -> float:
    """The relative size of a difference that rounding explains, in one matrix."""
    return 8 * dim**0.5 * eps


def stays(bounds: Range, now: np.ndarray, relative: float) -> bool:
    """Whether values within these bounds, `now` among them, are one value to rounding."""
    return bool(bounds.radius.max() <= relative * max(np.abs(now).max(), 1e-300))


def is_identity(bounds: Range, relative: float) -> bool:
    """Whether all values within these bounds are the identity to rounding."""
    eye = np.eye(bounds.centre.shape[-1])
    return bool((np.abs(bounds.centre - eye) + bounds.radius).max() <= relative)


def is_constant(schedule: AbstractSchedule | None, t0: float) -> bool:
    """Whether time changes nothing from `t0` on: by its numbers; where they are traced, by its type."""
    if schedule is None or schedule.is_constant():
        return True
    if not is_concrete(schedule):
        return False
    with jax.ensure_compile_time_eval():  # inside another's program too
        bounds = range_of(schedule, t0)
        now = np.asarray(schedule(jnp.asarray(max(t0, 0.0))), np.float64)
    return stays(bounds, now, rounding(bounds.centre.shape[-1], unit(schedule)))


def attention_of(field: AttentionField, tokens: int) -> tuple[np.ndarray, np.ndarray]:
    """The pairs that are allowed, and what a bias adds to them beyond one number a row."""
    pairs = np.ones((tokens, tokens), bool)
    allowed, bias = field.mask.allowed(tokens), field.mask.bias()
    allowed = pairs[None] if allowed is None else np.asarray(allowed).reshape(-1, tokens, tokens)
    added = np.zeros(allowed.shape)
    if bias is not None:
        raw = np.broadcast_to(np.asarray(bias, np.float64), allowed.shape)
        low = np.where(allowed, raw, np.inf).min(axis=-1, keepdims=True)
        added = np.where(allowed, raw - low, 0)
    return allowed, added


def other_pattern(
    field: AttentionField, tokens: int, name: str, expected: np.ndarray, eps: float
) -> str:
    """In which way attention is not that of the `expected` pairs, all alike; empty where it is."""
    allowed, added = attention_of(field, tokens)
    forbidden, extra = int((expected & ~allowed).sum()), int((allowed & ~expected).sum())
    if forbidden or extra:
        parts = [f"{forbidden} of its pairs are masked"] if forbidden else []
        parts += [f"{extra} pairs beyond it are allowed"] if extra else []
        return f"attention is not {name}: " + ", ".join(parts)
    if added.max() > 8 * eps * max(np.abs(added).max(), 1):
        return f"a bias differs within a row, by up to {added.max():.3g}"
    return ""


def causal_pairs(tokens: int) -> np.ndarray:
    """Token i attends to tokens j <= i."""
    return np.tri(tokens, dtype=bool)


def all_pairs(tokens: int) -> np.ndarray:
    """Every token attends to every token."""
    return np.ones((tokens, tokens), bool)
