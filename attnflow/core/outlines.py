"""What depends on types and shapes alone, remembered: to trace a function takes longer than many a run."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax

_MOST = 128  # that are remembered; each keeps the functions it was traced with alive
_known: OrderedDict[Any, Any] = OrderedDict()


def outline(function: Callable[..., Any], *args: Any) -> Any:
    """What `equinox.filter_eval_shape` gives; traced once for arguments that differ in the values of arrays alone.

    **Arguments:**

    - `function`: one that is the same object at each call.
    """
    return remembered((function, args), lambda: eqx.filter_eval_shape(function, *args))


def remembered(of: Any, find: Callable[[], Any]) -> Any:
    """What `find` gives, found once for pytrees `of` one structure, as a compiled program is.

    Where something in them that is no JAX array cannot be hashed, nothing is remembered.
    """
    leaves, tree = jax.tree.flatten(of)
    key = (tree, tuple(map(_look, leaves)), bool(jax.config.read("jax_enable_x64")))
    try:
        hash(key)
    except TypeError:
        return find()
    if key not in _known:
        _known[key] = find()
        if len(_known) > _MOST:
            _known.popitem(last=False)
    return _known[key]


def forget() -> None:
    """Remember nothing."""
    _known.clear()


def _look(leaf: Any) -> Any:
    if eqx.is_array(leaf):
        return leaf.shape, leaf.dtype, getattr(leaf, "weak_type", None)
    return type(leaf), leaf
