"""The way back from JSON and leaves to a tree: nothing is initialised, called or unpickled."""

import dataclasses
import functools
import inspect
import types
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.tree_util as jtu
import numpy as np

from ._names import Finder, Item, is_enumeration


class _Decoder:
    def __init__(self, leaves: list[Any], finder: Finder):
        self.leaves = leaves
        self.finder = finder

    def value(self, x: Any) -> Any:
        if isinstance(x, list):
            return [self.value(item) for item in x]
        if isinstance(x, dict):
            return getattr(self, f"_{x['is']}".replace(" ", "_"))(x)
        return x

    def _float(self, x: dict) -> float:
        return float(x["value"])

    def _complex(self, x: dict) -> complex:
        return complex(*(float(part) for part in x["value"]))

    def _array(self, x: dict) -> Any:
        return self.leaves[x["leaf"]]

    def _dtype(self, x: dict) -> np.dtype:
        return np.dtype(x["value"])

    def _tuple(self, x: dict) -> tuple:
        return tuple(self.value(item) for item in x["items"])

    def _dict(self, x: dict) -> dict:
        return {self.value(key): self.value(item) for key, item in x["items"]}

    def _named_tuple(self, x: dict) -> Any:
        cls = self.finder.find(x["class"])
        if not (inspect.isclass(cls) and issubclass(cls, tuple) and hasattr(cls, "_fields")):
            raise ValueError(f"`{x['class']}` is not a named tuple.")
        return tuple.__new__(cls, [self.value(item) for item in x["items"]])

    def _module(self, x: dict) -> eqx.Module:
        cls = self.finder.find(x["class"])
        if not (inspect.isclass(cls) and issubclass(cls, eqx.Module)):
            raise ValueError(f"`{x['class']}` is not an equinox Module.")
        known = {field.name for field in dataclasses.fields(cls)}  # pyright: ignore
        if set(x["fields"]) != known:
            raise ValueError(
                f"the file's `{x['class']}` has the fields {sorted(x['fields'])} and the installed "
                f"one {sorted(known)}: load it with the versions that its first line states."
            )
        module = object.__new__(cls)
        for name, field in x["fields"].items():
            if isinstance(field, dict) and field["is"] == "default":
                value = inspect.signature(cls.__init__).parameters[name].default
            else:
                value = self.value(field)
            object.__setattr__(module, name, value)
        return module

    def _enumeration_item(self, x: dict) -> Any:
        cls = self.finder.find(x["class"])
        if not is_enumeration(cls):
            raise ValueError(f"`{x['class']}` is not an enumeration.")
        value = self.value(x["value"])
        now = list(cls._name_to_item)
        if now != x["members"]:  # other versions may count their members in another order
            missing = sorted(set(x["members"]) - set(now))
            if missing:
                raise ValueError(f"the installed `{x['class']}` has no {', '.join(missing)}.")
            table = np.asarray([now.index(name) for name in x["members"]], dtype=value.dtype)
            new = table[np.asarray(value)]
            value = jnp.asarray(new) if isinstance(value, jax.Array) else np.asarray(new)
        item = object.__new__(Item)
        object.__setattr__(item, "_value", value)
        object.__setattr__(item, "_enumeration", cls)
        return item

    def _name(self, x: dict) -> Any:
        return self.finder.find(x["name"])

    def _method(self, x: dict) -> Any:
        owner = self.value(x["of"])
        cls = owner if inspect.isclass(owner) else type(owner)
        method = inspect.getattr_static(cls, x["name"], None)
        # A property would run here; only functions are bound.
        if not isinstance(method, types.FunctionType | classmethod) and not callable(method):
            raise ValueError(f"{cls.__name__} has no method {x['name']!r}.")
        return getattr(owner, x["name"])

    def _partial(self, x: dict) -> functools.partial:
        kind = jtu.Partial if x["tree"] else functools.partial
        keywords = {key: self.value(item) for key, item in x["keywords"].items()}
        return kind(self.value(x["function"]), *(self.value(a) for a in x["args"]), **keywords)


def restore(stored: np.ndarray, spec: dict) -> Any:
    """The leaf that `spec` describes, from the array as it was stored."""
    dtype = np.dtype(spec["dtype"])
    array = stored if stored.dtype == dtype else stored.view(dtype)
    if list(array.shape) != spec["shape"]:
        raise ValueError("an array does not have the shape that the first line states.")
    if spec["kind"] == "numpy":
        return array
    if spec["kind"] == "scalar":
        return array[()]
    if spec["kind"] == "key":
        return jax.random.wrap_key_data(jnp.asarray(array), impl=spec["implementation"])
    if spec.get("weak"):
        return _weak(array)
    return jax.device_put(array)  # by no program of its shape


def _weak(array: np.ndarray) -> jax.Array:
    """A weakly typed array, as Python numbers give: else a reloaded module would be traced anew."""
    kind = {"f": float, "i": int, "c": complex}.get(array.dtype.kind)
    if kind is None or jnp.result_type(kind) != array.dtype:
        return jnp.asarray(array)
    if array.size == 0:
        return jnp.broadcast_to(jnp.asarray(kind(0)), array.shape)
    return jnp.stack([jnp.asarray(kind(x)) for x in array.ravel()]).reshape(array.shape)


def decode(tree: Any, leaves: list[Any], finder: Finder) -> Any:
    """The tree that `tree` and `leaves` describe."""
    return _Decoder(leaves, finder).value(tree)
