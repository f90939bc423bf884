"""A tree of modules, containers, numbers and arrays, as JSON values and a list of leaves."""

import dataclasses
import functools
import inspect
import math
import types
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.core
import jax.numpy as jnp
import jax.tree_util as jtu
import numpy as np

from ._names import Item, full_name, is_enumeration, name_of

_NATIVE = "?bhilqpBHILQPefdgFDGSUMm"  # kinds of number that .npy files know by themselves


class Encoded(NamedTuple):
    """`tree` is JSON; `leaves` are the arrays it refers to, and `specs` what JSON says of each."""

    tree: Any
    leaves: list[np.ndarray]
    specs: list[dict]


class _Encoder:
    """One pass over a tree. `where` is the path to the value at hand, for messages."""

    def __init__(self):
        self.leaves: list[np.ndarray] = []
        self.specs: list[dict] = []
        self.seen: dict[int, tuple[Any, dict]] = {}

    def value(self, x: Any, where: str) -> Any:
        if x is None or type(x) in (bool, int, str):
            return x
        if type(x) is float:
            return x if math.isfinite(x) else {"is": "float", "value": repr(x)}
        if type(x) is complex:
            return {"is": "complex", "value": [repr(x.real), repr(x.imag)]}
        if isinstance(x, (jax.Array, np.ndarray, np.generic)):
            return self.array(x, where)
        if isinstance(x, np.dtype):
            return {"is": "dtype", "value": x.name}
        if isinstance(x, (tuple, list, dict)):
            return self.container(x, where)
        if isinstance(x, eqx.Module):
            return self.module(x, where)
        if isinstance(x, functools.partial):  # of which jax.tree_util.Partial is a kind
            return self.partial(x, where)
        if callable(x):
            return self.function(x, where)
        name = name_of(x)
        if name is not None:
            return {"is": "name", "name": name}
        raise ValueError(
            f"`{where}` is a {type(x).__name__}, which cannot be saved: use arrays, numbers, "
            f"strings, tuples, lists, dictionaries and equinox Modules."
        )

    # === arrays

    def array(self, x: Any, where: str) -> dict:
        if isinstance(x, jax.core.Tracer):
            raise ValueError(f"`{where}` is traced: call `save` outside jit, grad and vmap.")
        if id(x) in self.seen:  # one array in two places is written once
            return self.seen[id(x)][1]
        if isinstance(x, jax.Array):
            if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
                spec = {"kind": "key", "implementation": str(jax.random.key_impl(x))}
                leaf = np.asarray(jax.random.key_data(x))
            else:
                spec = {"kind": "jax"} | ({"weak": True} if x.weak_type else {})
                leaf = np.asarray(x)
        else:
            spec = {"kind": "numpy" if isinstance(x, np.ndarray) else "scalar"}
            leaf = np.asarray(x)
        if leaf.dtype.hasobject:
            raise ValueError(f"`{where}` is an array of Python objects, which cannot be saved.")
        spec |= {"dtype": _dtype_name(leaf.dtype), "shape": list(leaf.shape)}
        if leaf.dtype.char not in _NATIVE:  # bfloat16 and the like: their bytes, as integers
            leaf = np.ascontiguousarray(leaf).reshape(leaf.shape).view(f"u{leaf.dtype.itemsize}")
        encoded = {"is": "array", "leaf": len(self.leaves)}
        self.leaves.append(leaf)
        self.specs.append(spec)
        self.seen[id(x)] = (x, encoded)
        return encoded

    # === containers

    def container(self, x: Any, where: str) -> Any:
        if type(x) is dict:
            items = [
                [self.value(key, f"{where} (a key)"), self.value(item, f"{where}[{key!r}]")]
                for key, item in x.items()
            ]
            return {"is": "dict", "items": items}
        items = [self.value(item, f"{where}[{i}]") for i, item in enumerate(x)]
        if type(x) is list:
            return items
        if type(x) is tuple:
            return {"is": "tuple", "items": items}
        if isinstance(x, tuple) and hasattr(type(x), "_fields"):
            return {"is": "named tuple", "class": self.class_name(type(x)), "items": items}
        raise ValueError(f"`{where}` is a {type(x).__name__}, a kind of container not saved here.")

    # === modules

    def module(self, x: eqx.Module, where: str) -> dict:
        if isinstance(x, Item):
            return self.enumeration_item(x, where)
        held = x.__dict__
        if "__func__" in held and "__self__" in held:  # equinox's own bound method
            return self.method(held["__func__"], held["__self__"], where)
        cls = type(x)
        fields = {}
        for field in dataclasses.fields(cls):  # pyright: ignore[reportArgumentType]
            if field.name in held:
                fields[field.name] = self.field(cls, field.name, held[field.name], where)
        extra = sorted(set(held) - set(fields) - {"__orig_class__"})
        if extra:
            raise ValueError(
                f"`{where}` wraps a function ({', '.join(extra)}): it cannot be saved."
            )
        return {"is": "module", "class": self.class_name(cls), "fields": fields}

    def field(self, cls: type, name: str, value: Any, where: str) -> Any:
        # eqx.nn.MLP holds a lambda that is the default of its own argument: it has no other name.
        if callable(value) and isinstance(value, types.FunctionType) and name_of(value) is None:
            parameter = inspect.signature(cls.__init__).parameters.get(name)
            if parameter is not None and parameter.default is value:
                return {"is": "default"}
        return self.value(value, f"{where}.{name}")

    def enumeration_item(self, x: Any, where: str) -> dict:
        cls = x._enumeration
        return {
            "is": "enumeration item",
            "class": self.class_name(cls),
            "members": list(cls._name_to_item),  # their order is not a promise of any version
            "value": self.value(x._value, where),
        }

    def class_name(self, cls: type) -> str:
        return name_of(cls) or full_name(cls)

    # === functions

    def partial(self, x: functools.partial, where: str) -> dict:
        return {
            "is": "partial",
            "tree": isinstance(x, jtu.Partial),
            "function": self.value(x.func, f"{where}.func"),
            "args": [self.value(arg, f"{where}.args[{i}]") for i, arg in enumerate(x.args)],
            "keywords": {k: self.value(v, f"{where}.{k}") for k, v in x.keywords.items()},
        }

    def method(self, function: Any, owner: Any, where: str) -> dict:
        name = getattr(function, "__name__", "")
        cls = owner if inspect.isclass(owner) else type(owner)
        attribute = inspect.getattr_static(cls, name, None)
        if isinstance(attribute, classmethod):
            attribute = attribute.__func__
        if attribute is not function:
            raise ValueError(f"`{where}` is a method that {cls.__name__} does not have by name.")
        return {"is": "method", "of": self.value(owner, f"{where}.__self__"), "name": name}

    def function(self, x: Any, where: str) -> dict:
        if isinstance(x, types.MethodType):
            return self.method(x.__func__, x.__self__, where)
        if inspect.isclass(x) and (issubclass(x, eqx.Module) or is_enumeration(x)):
            return {"is": "name", "name": self.class_name(x)}
        name = name_of(x)
        if name is None:
            kind = "class" if inspect.isclass(x) else "function"
            raise ValueError(
                f"`{where}` is the {kind} {getattr(x, '__qualname__', x)!r}, which a file cannot "
                f"name: write it as an equinox Module with a __call__."
            )
        return {"is": "name", "name": name}


def _dtype_name(dtype: np.dtype) -> str:
    return dtype.str if dtype.char in _NATIVE else dtype.name


def encode(x: Any, name: str) -> Encoded:
    """`x` as JSON and leaves; `name` begins the paths in error messages."""
    encoder = _Encoder()
    tree = encoder.value(x, name)
    return Encoded(tree, encoder.leaves, encoder.specs)
