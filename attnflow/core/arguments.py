"""Kinds of arguments, known now and without JAX: each is refused in the same words wherever it is one."""

import math
import operator
from typing import Any, TypeVar

import numpy as np

_T = TypeVar("_T")


def numbers(name: str, value: Any) -> np.ndarray:
    """`value` as float64 of NumPy, refused where it holds no real numbers; NaN passes."""
    wrong = f"`{name}` must be a number, or an array of them; got {shown(value)}."
    try:
        array = np.asarray(value)
        if array.dtype == object and isinstance(value, int):  # beyond 64 bits
            return np.asarray(value, np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(wrong) from error
    if array.dtype.kind not in "fiu":
        raise ValueError(wrong)
    return array.astype(np.float64)


def number(name: str, value: Any, *, above: float = -math.inf, least: float = -math.inf) -> float:
    """`value` as one finite number, of `least` or more and larger than `above`."""
    array = numbers(name, value)
    if array.ndim == 0 and np.isfinite(array) and array > above and array >= least:
        return float(array)
    kind = {(0.0, -math.inf): "a positive number", (-math.inf, 0.0): "a number, zero or more"}
    what = kind.get((above, least), "a finite number")
    raise ValueError(f"`{name}` must be {what}; got {shown(value)}.")


def whole(name: str, value: Any, *, least: int = 1, most: int = 2**31 - 1) -> int:
    """`value` as a whole number from `least` to `most`."""
    known = not isinstance(value, bool | np.bool_) and hasattr(value, "__index__")
    try:
        number = operator.index(value) if known else None  # pyright: ignore[reportArgumentType]
    except TypeError:  # an array, which has the method and not the number
        number = None
    if number is None or not least <= number <= most:
        kind = "a positive integer" if least == 1 else f"an integer, {least} or more"
        bound = "" if most == 2**31 - 1 and (number or 0) <= most else f" and at most {most}"
        raise ValueError(f"`{name}` must be {kind}{bound}; got {shown(value)}.")
    return number


def boolean(name: str, value: Any) -> bool:
    """`value` if it is True or False: a word such as "no" is true to Python, and would be taken so."""
    if isinstance(value, bool | np.bool_):
        return bool(value)
    raise ValueError(f"`{name}` must be True or False; got {shown(value)}.")


def instance(name: str, value: _T, kind: Any, what: str) -> _T:
    """`value` if it is of that `kind`; `what` says in words what is allowed."""
    if not isinstance(value, kind):
        raise ValueError(f"`{name}` must be {what}; got {shown(value)}.")
    return value


def shown(value: Any) -> str:
    """What was got, in a few printable words: never an array's entries, nor a control character."""
    if isinstance(value, str | int | float | complex | bool | np.generic | None.__class__):
        try:
            text = repr(value)
        except ValueError:  # an integer of thousands of digits
            return "an integer of very many digits"
        return text if len(text) <= 60 else f"{text[:57]}..."
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"an array of {value.dtype}, shape {value.shape}"
    return type(value).__name__


def shaped(
    name: str,
    shape: tuple[int, ...],
    *patterns: tuple[int | str, ...],
    also: str = "",
    remedy: str = "",
) -> None:
    """Refuse a shape that is none of the `patterns`.

    **Arguments:**

    - `patterns`: for each axis a number, or a word for any size but zero; the same word is the same size. `()` is
      one number.
    - `also`: what is allowed besides, such as `", or be a sampler"`; `remedy`: a sentence for the end.
    """
    if any(_fits(shape, pattern) for pattern in patterns):
        return
    shapes = " or ".join(_written(pattern) for pattern in patterns if pattern)
    number = () in patterns
    allowed = " or ".join(["be a number"] * number + [f"have shape {shapes}"] * bool(shapes))
    got = f"shape {shape}" if number else f"{shape}"
    raise ValueError(f"`{name}` must {allowed}{also}; got {got}. {remedy}".rstrip())


def _fits(shape: tuple[int, ...], pattern: tuple[int | str, ...]) -> bool:
    sizes: dict[str, int] = {}
    return len(shape) == len(pattern) and all(
        size == wanted if isinstance(wanted, int) else 0 != size == sizes.setdefault(wanted, size)
        for size, wanted in zip(shape, pattern, strict=True)
    )


def _written(pattern: tuple[int | str, ...]) -> str:
    axes = ", ".join(map(str, pattern))
    return f"({axes},)" if len(pattern) == 1 else f"({axes})"
