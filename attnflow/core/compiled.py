"""Programs of this library, compiled by XLA with options that take less time to compile and to run."""

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import equinox as eqx
import jax

_F = TypeVar("_F", bound=Callable[..., Any])

# XLA's newer emitter of fused loops takes a third to a half of the time that these programs need to compile, and what
# it makes of them is no faster. Vectors of 512 bits, where a processor has them, are taken only where asked for:
# with them the field of ten tokens on S^2 is 1.4 times as fast. The last two are XLA's own: named, so that flags for
# other programs of a process (XLA_FLAGS) leave the bits of ours as they are.
wanted: dict[str, Any] = {
    "xla_cpu_use_fusion_emitters": False,
    "xla_cpu_prefer_vector_width": 512,
    "xla_backend_optimization_level": 3,
    "xla_cpu_parallel_codegen_split_count": 32,
}
if jax.__version_info__ >= (0, 11):
    # YNNPACK, to which sums are handed from there on, adds up a row in an order that depends on how many rows there
    # are: the bits of a trajectory would depend on those beside it. Older versions are left as they are, since there
    # it is without YNNPACK that products of matrices depend on them.
    wanted["xla_cpu_experimental_ynn_fusion_type"] = ""


@functools.cache
def options() -> dict[str, Any]:
    """The options for XLA: none elsewhere than on CPUs, and none that this version does not know."""
    return known(wanted) if jax.default_backend() == "cpu" else {}


def known(some: dict[str, Any]) -> dict[str, Any]:
    """Those of some options that this version of XLA knows."""
    if _compiles(some):
        return dict(some)
    return {name: value for name, value in some.items() if _compiles({name: value})}


def _compiles(some: dict[str, Any]) -> bool:
    try:
        jax.jit(_nothing, compiler_options=some).lower().compile()
    except Exception:  # XLA's own kinds, one for each version
        return False
    return True


def _nothing() -> int:
    return 0


def outermost() -> bool:
    """Whether nothing is being traced: JAX takes options for the outermost program alone."""
    return _state() == _clean()


def _state() -> Any:
    from jax.extend import core

    if hasattr(core, "get_opaque_trace_state"):
        return core.get_opaque_trace_state()
    return jax.core.get_opaque_trace_state()  # pyright: ignore[reportAttributeAccessIssue]


@functools.cache
def _clean() -> Any:
    # A thread of its own traces nothing, whatever the one that asks is doing.
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(_state).result()


class Compiled:
    """A function as `equinox.filter_jit` makes it, with `options()` where it can have them.

    **Arguments:**

    - `function`: of pytrees, as for `equinox.filter_jit`.
    - `settings`: of `equinox.filter_jit`, such as `donate`.
    """

    def __init__(self, function: Callable[..., Any], **settings: Any):
        functools.update_wrapper(self, function)
        self._function, self._settings = function, settings
        self._inside = eqx.filter_jit(function, **settings)

    @functools.cached_property
    def _outermost(self) -> Any:
        jit: Any = eqx.filter_jit  # its types know no `compiler_options`
        return jit(self._function, compiler_options=options(), **self._settings)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        program = self._outermost if outermost() else self._inside
        return program(*args, **kwargs)

    def cache_size(self) -> int:
        """How many programs are compiled for calls from outside a trace."""
        return self._outermost._cached._cache_size()

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        return self if instance is None else functools.partial(self, instance)


def compiled(function: _F, **settings: Any) -> _F:
    """`function` as a [`Compiled`][attnflow.core.compiled.Compiled] program."""
    return Compiled(function, **settings)  # pyright: ignore[reportReturnType]
