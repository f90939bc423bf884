"""What every test runs under: 64 bits, strict arithmetic, checked signatures, seeded keys."""

import atexit
import gc
import mmap
import os
import pathlib
import tempfile
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import jaxtyping

from tests.checked import check

os.environ["MPLBACKEND"] = "Agg"  # no window, whatever the machine

# What one worker or command has compiled the others load; and the next run, unless told otherwise.
_KEPT = os.path.join(tempfile.gettempdir(), f"attnflow-tests-{getattr(os, 'getuid', int)()}")
os.environ.setdefault("XDG_CACHE_HOME", _KEPT)

# Stays installed: attnflow imports its parts when they are asked for, which is later than this.
check("attnflow")

import jax  # noqa: E402
import jax.random as jr  # noqa: E402
import jaxlib  # noqa: E402
import pytest  # noqa: E402

import attnflow.core.compiled  # noqa: E402
import attnflow.programs  # noqa: E402

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("time")
    group.addoption(
        "--minutes", type=float, help="skip, with a word, what has not begun after so many minutes"
    )
    group.addoption(
        "--turn", default="", help="a word that says which files come first; with --minutes"
    )
    config = parser.getgroup("compiler")
    config.addoption(
        "--as-users",
        action="store_true",
        help="compile as users do; without it a run without long tests compiles lightly",
    )


# Half of a run from an empty cache is XLA's compile, which takes half as long with these. Roundings differ then
# from those that users have (nothing is fused), and vectors are not as wide.
_LIGHT = {
    "xla_backend_optimization_level": 0,
    "xla_cpu_parallel_codegen_split_count": 1,
    "xla_cpu_use_fusion_emitters": False,
}


_LOWERED = 200  # programs by one context: what they were made of stays in it


def _keep_contexts() -> None:
    """MLIR contexts serve many programs of a thread: to make one is three quarters of lowering a small program."""
    try:
        from jax._src.interpreters import mlir
        from jax._src.lib.mlir import ir

        make = mlir.make_ir_context
    except (ImportError, AttributeError):  # they are not JAX's public names
        return
    kept = threading.local()

    def context() -> Any:
        if ir.Context.current is not None:  # inside the lowering of another program
            return make()
        left = getattr(kept, "left", 0)
        if not left:
            kept.context = make()
        kept.left = (left or _LOWERED) - 1
        return kept.context

    mlir.make_ir_context = context


def _in_jaxlib(flag: str) -> bool:
    """Whether its XLA has such a flag: at one in XLA_FLAGS that it does not know it ends the process."""
    for path in pathlib.Path(jaxlib.__file__).parent.glob("*.so"):
        with (
            open(path, "rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as library,
        ):
            if library.find(b"\0" + flag.encode() + b"\0") >= 0:
                return True
    return False


def _is_light(config: pytest.Config) -> bool:
    return config.getoption("markexpr") == "not slow" and not config.getoption("as_users")


def pytest_configure(config: pytest.Config) -> None:
    """The compiler and its cache. Runs with long tests (`-m slow`, `-m ""`) compile all as users do."""
    if _is_light(config):
        flags = [f"--{name}={value}".lower() for name, value in _LIGHT.items() if _in_jaxlib(name)]
        os.environ["XLA_FLAGS"] = " ".join([*flags, os.environ.get("XLA_FLAGS", "")]).strip()
        attnflow.core.compiled.wanted.update(_LIGHT)
        _keep_contexts()
    attnflow.programs.cache()
    # All of it is kept: most programs here are small, and another worker or the next run needs the same.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)


# Tracing makes objects by the million that live: to look for garbage at each seven hundred of them is a tenth of
# the time of tracing.
gc.set_threshold(100_000, 20, 20)


def pytest_collection_finish() -> None:
    """Modules and collected tests are no garbage: from now on they are not looked at."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure(config: pytest.Config) -> None:
    """A worker that is done ends: to free thousands of programs one by one first takes it five seconds."""
    if hasattr(config, "workerinput"):
        atexit.register(os._exit, 0)


_BEGUN = time.monotonic()


# Files that take longest, in this order and before all others: no worker is left alone with one at the end. The first
# lets go of all that a process has compiled, while that is little.
_LONGEST = {name: place for place, name in enumerate((
    "programs/test_raising.py", "ensemble/test_backwards.py", "test_project.py", "ensemble/test_noise.py",
    "flow/test_breaks.py", "model/test_positions.py", "flow/test_noise.py", "schedules/test_own.py",
    "ensemble/test_run.py", "sweep/test_results.py", "test_compiled_once.py", "test_cli.py", "flow/test_dtypes.py",
    "flow/test_engines.py", "test_recipes.py", "traps/test_traps.py", "traps/test_schedules.py",
    "theorems/test_contraction.py",
))}  # fmt: skip


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The longest first; or in an order that the turn says, so that what is out of time today is first another day."""
    if turn := config.getoption("--turn"):
        items.sort(key=lambda item: zlib.crc32(f"{turn} {item.path.name}".encode()))
    else:
        items.sort(
            key=lambda item: _LONGEST.get("/".join(item.path.parts[-2:]).removeprefix("tests/"), 99)
        )


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log):
    """The tests of a file on one worker, in the order above: they share what it compiles."""
    from xdist.scheduler import LoadFileScheduling

    config.option.loadscopereorder = False
    return LoadFileScheduling(config, log)


def pytest_runtest_setup(item: pytest.Item) -> None:
    minutes = item.config.getoption("--minutes")
    if minutes is not None and time.monotonic() - _BEGUN > 60 * minutes:
        pytest.skip("out of time in this run: pytest -m slow runs all of them")


_MOST_MAPS = 45_000  # of memory; Linux allows a process 65 530 unless told otherwise
_LOOK = 15.0  # seconds between looks at them: some thousand programs of some maps each
_looked = time.monotonic()


@pytest.fixture(scope="module", autouse=True)
def few_compiled_programs(pytestconfig: pytest.Config) -> Iterator[None]:
    """Compiled programs are let go of before their maps of memory run out, where XLA crashes, or memory itself.

    And what a module's tests leave, compiled programs and traces by the million objects, is not looked at for garbage
    again until then: that takes four seconds each time.
    """
    global _looked
    yield
    gc.freeze()
    if time.monotonic() - _looked < _LOOK:
        return
    _looked = time.monotonic()
    # Programs that are compiled lightly are small.
    if _is_full(_MOST_MAPS if _is_light(pytestconfig) else _MOST_MAPS // 2):
        gc.unfreeze()
        jax.clear_caches()
        gc.collect()
        gc.freeze()


def _is_full(most_maps: int) -> bool:
    """Whether this process has so many maps of memory, or more than three fifths of the memory that is a worker's."""
    try:
        with open("/proc/self/maps") as file:
            maps = sum(1 for _ in file)
        with open("/proc/self/statm") as file:
            resident = int(file.read().split()[1])
    except OSError:  # not Linux
        return False
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    return maps > most_maps or resident * workers > 0.6 * os.sysconf("SC_PHYS_PAGES")


def _seed(name: str) -> int:
    """A seed that depends on the test's name alone: not on the order, the worker or the run."""
    return zlib.crc32(name.encode())


@pytest.fixture
def getkey(request) -> Callable[[], jax.Array]:
    """Keys drawn in turn: `getkey()` gives a fresh one at each call, the same in every run."""
    key = jr.key(_seed(request.node.nodeid))

    def get() -> jax.Array:
        nonlocal key
        key, out = jr.split(key)
        return out

    return get


@pytest.fixture
def as_user() -> Iterator[None]:
    """Signatures unchecked, as outside the tests: what bad input meets is attnflow itself."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture
def x64_off() -> Iterator[None]:
    """JAX as it starts: with 64 bits turned off."""
    jax.config.update("jax_enable_x64", False)
    yield
    jax.config.update("jax_enable_x64", True)


def random_spd(key: jax.Array, dim: int) -> jax.Array:
    """A symmetric positive definite (dim, dim) matrix with eigenvalues in [1/2, 2]."""
    basis_key, value_key = jr.split(key)
    basis = jr.orthogonal(basis_key, dim)
    values = jr.uniform(value_key, (dim,), minval=0.5, maxval=2.0)
    W = (basis * values[None, :]) @ basis.T
    return (W + W.T) / 2


@pytest.fixture(scope="session")
def ellipsoid():
    """An `Ellipsoid` in R^3 with a random W, the same in every run."""
    import attnflow as af

    return af.Ellipsoid(random_spd(jr.key(_seed("ellipsoid")), 3))


@pytest.fixture(scope="session", params=["sphere", "ellipsoid"])
def manifold(request, ellipsoid):
    """The two places where tokens live, both in R^3: the unit sphere and a random ellipsoid."""
    import attnflow as af

    return af.Sphere(3) if request.param == "sphere" else ellipsoid
