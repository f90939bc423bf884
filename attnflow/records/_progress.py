"""A progress bar on a terminal, and silence elsewhere."""

import sys
import threading
from collections.abc import Iterable
from io import TextIOBase
from typing import TypeVar

from tqdm import tqdm

_T = TypeVar("_T")


class _Bar(tqdm):
    """A bar whose lock is a thread's: one of processes is left behind by a program that ends at once."""


_Bar.set_lock(threading.RLock())


def progress(
    iterable: Iterable[_T] | None = None,
    *,
    total: int | float | None = None,
    description: str = "",
    unit: str = "it",
    initial: int = 0,
    file: TextIOBase | None = None,
    show: bool = True,
) -> "tqdm[_T]":
    """A `tqdm` bar on standard error when that is a terminal; otherwise nothing is printed.

    **Arguments:**

    - `iterable`: what to go through, or `None` to call `.update(n)` yourself.
    - `total`: how many steps there are, when the iterable cannot tell.
    - `description`: a word or two before the bar.
    - `unit`: what is counted.
    - `initial`: how many were done before, and do not count for the rate.
    - `file`: the text stream to draw on; standard error unless given.
    - `show`: `False` for silence on a terminal too.

    **Returns:**

    The bar: an iterable, a context manager, and an object with `.update` and `.set_description`.

    !!! example

        ```python
        for figure in af.records.progress([1, 2, 3], description="figures"):
            ...
        ```
    """
    stream = sys.stderr if file is None else file
    # disable=None is tqdm's own rule: off unless the stream is a terminal.
    return _Bar(
        iterable,
        total=total,
        desc=description,
        unit=unit,
        initial=initial,
        file=stream,
        disable=None if show else True,
        dynamic_ncols=True,
        leave=False,
    )
