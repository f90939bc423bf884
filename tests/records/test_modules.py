"""A module that is saved and loaded is the same module."""

import functools
import hashlib
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import jax.tree_util as jtu
import numpy as np
import pytest

import attnflow as af


class Pair(NamedTuple):
    first: Any
    second: Any


class Box(eqx.Module):
    """A class of the user's own."""

    content: Any
    label: Any = eqx.field(static=True, default=None)

    def double(self):
        return 2 * self.content


class Eager(eqx.Module):
    """Refuses to be made anew."""

    content: Any

    def __init__(self, content):
        if content is None:
            raise RuntimeError("__init__ ran")
        self.content = content


def through_file(folder: Path, module, classes=(Box, Pair, Eager)):
    af.save(folder / "module.af", module)
    return af.load(folder / "module.af", classes=classes)


ARRAYS = {
    "float64": lambda: jnp.linspace(0, 1, 7).reshape(7, 1),
    "float32": lambda: jnp.ones((2, 3), jnp.float32),
    "float16": lambda: jnp.ones((2,), jnp.float16),
    "bfloat16": lambda: jnp.asarray([1.5, -2.0], jnp.bfloat16),
    "float8": lambda: jnp.asarray([1.5, -2.0], jnp.float8_e4m3fn),
    "complex128": lambda: jnp.asarray([1 + 2j]),
    "int64": lambda: jnp.arange(3),
    "uint8": lambda: jnp.arange(3, dtype=jnp.uint8),
    "bool": lambda: jnp.asarray([True, False]),
    "scalar": lambda: jnp.asarray(2.5, jnp.float64),
    "weak scalar": lambda: jnp.asarray(2.5),
    "weak integer": lambda: jnp.asarray(3),
    "weak matrix": lambda: jnp.full((2, 2), 0.1),
    "weak and empty": lambda: jnp.full((0, 2), 0.1),
    "empty": lambda: jnp.zeros((0, 3)),
    "nan and inf": lambda: jnp.asarray([jnp.nan, jnp.inf, -0.0]),
    "key": lambda: jax.random.key(3),
    "keys": lambda: jax.random.split(jax.random.key(3), (2, 2)),
    "another kind of key": lambda: jax.random.key(3, impl="rbg"),
    "numpy": lambda: np.arange(6.0).reshape(2, 3),
    "numpy, Fortran order": lambda: np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "numpy, big endian": lambda: np.arange(3, dtype=">f8"),
    "numpy text": lambda: np.asarray(["a", "bc"]),
    "numpy scalar": lambda: np.float32(1.5),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_come_back_with_type_dtype_weakness_and_bits(tmp_path, name):
    old = ARRAYS[name]()
    new = through_file(tmp_path, Box(old)).content
    assert isinstance(new, jax.Array) == isinstance(old, jax.Array)
    assert isinstance(new, np.generic) == isinstance(old, np.generic)
    assert new.dtype == old.dtype
    assert new.shape == old.shape
    if isinstance(old, jax.Array):
        if jnp.issubdtype(old.dtype, jax.dtypes.prng_key):
            assert jax.random.key_impl(new) == jax.random.key_impl(old)
            old, new = jax.random.key_data(old), jax.random.key_data(new)
        assert new.weak_type == old.weak_type
    assert np.asarray(new).tobytes() == np.asarray(old).tobytes()


VALUES = {
    "None": None,
    "bool": True,
    "int": 12345678901234567890,
    "float": 0.1,
    "infinite float": float("-inf"),
    "complex": complex(0.1, float("inf")),
    "str": "ℓ tokens,\nin two lines",
    "tuple": (1, (2.0, None), ()),
    "list": [1, [2.0], []],
    "dict": {"b": 1, "a": {"c": None}},
    "dict with tuples for keys": {(1, 2): 3, (0, 1): 4},
    "named tuple": Pair(1, Pair("a", 2)),
    "module": Box(Box(1.0, label=(1, "x")), label="y"),
    "class": diffrax.Tsit5,
    "dtype": np.dtype("float32"),
    "function": jnp.tanh,
    "activation": jax.nn.gelu,
    "function of attnflow": af.misalignment,
    "enumeration": diffrax.RESULTS,
    "enumeration item": diffrax.RESULTS.max_steps_reached,
    "bound method": diffrax.Heun().interpolation_cls,
    "solver": diffrax.Kvaerno5(),
    "controller": diffrax.PIDController(1e-6, 1e-9, pcoeff=0.3),
    "adjoint": diffrax.RecursiveCheckpointAdjoint(checkpoints=7),
    "equinox partial": eqx.Partial(jnp.sum, axis=0),
    "method of a module": Box(3.0).double,
}


@pytest.mark.parametrize("static", [False, True])
@pytest.mark.parametrize("name", VALUES)
def test_values_come_back_equal_and_of_the_same_type(tmp_path, name, static):
    old = VALUES[name]
    if static and isinstance(old, eqx.Module):
        old = type(old)  # modules may hold arrays, which are not for static fields
    new = through_file(tmp_path, Box(0, label=old) if static else Box(old))
    new = new.label if static else new.content
    assert type(new) is type(old)
    assert new == old
    assert jtu.tree_structure(new) == jtu.tree_structure(old)


@pytest.mark.parametrize("kind", [functools.partial, jtu.Partial])
def test_partial_functions_come_back_as_what_they_were(tmp_path, kind):
    new = through_file(tmp_path, Box(kind(jnp.sum, axis=0))).content
    assert type(new) is kind
    assert new.func is jnp.sum
    assert new.keywords == {"axis": 0}


def test_nan_comes_back_as_a_python_float(tmp_path):
    new = through_file(tmp_path, Box(float("nan"))).content
    assert type(new) is float
    assert new != new


def test_a_network_with_its_default_lambda_comes_back(tmp_path, getkey):
    network = eqx.nn.MLP(3, 3, 4, depth=1, key=getkey())
    loaded = through_file(tmp_path, network)
    assert eqx.tree_equal(loaded, network)
    x = jnp.arange(3.0)
    assert jnp.array_equal(loaded(x), network(x))


@pytest.mark.parametrize("solver", [diffrax.Tsit5(), diffrax.Heun(), diffrax.Euler()])
def test_a_solution_of_diffrax_comes_back_and_evaluates(tmp_path, solver):
    solution = diffrax.diffeqsolve(
        diffrax.ODETerm(lambda t, y, args: -y),
        solver,
        0.0,
        1.0,
        0.25,
        jnp.arange(3.0),
        saveat=diffrax.SaveAt(t1=True, dense=True),
        max_steps=8,
    )
    loaded = through_file(tmp_path, solution)
    assert eqx.tree_equal(loaded, solution)
    assert loaded.result == diffrax.RESULTS.successful
    assert jnp.array_equal(loaded.evaluate(0.3), solution.evaluate(0.3))


def test_a_loaded_module_does_not_retrace_compiled_functions(tmp_path):
    traces = []

    @eqx.filter_jit
    def total(box):
        traces.append(1)
        return sum(jnp.sum(x) for x in jtu.tree_leaves(eqx.filter(box, eqx.is_array)))

    box = Box({"weak": jnp.asarray(2.5), "strong": jnp.arange(3.0), "none": None}, label=(1, "a"))
    expected = total(box)
    assert total(through_file(tmp_path, box)) == expected
    assert len(traces) == 1


def test_one_array_in_two_places_is_written_once(tmp_path):
    x = jnp.zeros((100, 100))
    af.save(tmp_path / "two", (x, x))
    assert os.path.getsize(tmp_path / "two") < 1.1 * x.nbytes
    one, two = af.load(tmp_path / "two")
    assert jnp.array_equal(one, two)


def test_the_first_line_is_json_that_says_what_the_file_is(tmp_path):
    af.save(tmp_path / "m", Box(jnp.zeros((2, 3))))
    head = json.loads((tmp_path / "m").read_bytes().split(b"\n", 1)[0])
    assert head["format"] == "attnflow module"
    assert head["versions"]["jax"] == jax.__version__
    assert head["versions"]["attnflow"] == af.__version__
    assert head["leaves"] == [{"kind": "jax", "dtype": "<f8", "shape": [2, 3]}]
    assert head["tree"]["class"].endswith(":Box")


def test_classes_are_named_by_their_public_path(tmp_path):
    af.save(tmp_path / "m", diffrax.Tsit5())
    head = json.loads((tmp_path / "m").read_bytes().split(b"\n", 1)[0])
    assert head["tree"]["class"] == "diffrax:Tsit5"


def test_loading_does_not_run_init(tmp_path):
    module = eqx.tree_at(lambda m: m.content, Eager(1.0), None)
    assert through_file(tmp_path, module).content is None


# === what is refused


def test_a_lambda_is_refused_with_its_path_and_the_remedy(tmp_path):
    with pytest.raises(ValueError, match=r"`module\.content\['f'\]\[1\]` .* equinox Module"):
        af.save(tmp_path / "m", Box({"f": [1, lambda y: y]}))
    assert os.listdir(tmp_path) == []


def test_a_function_of_another_package_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"`module\.content` is the function 'join'"):
        af.save(tmp_path / "m", Box(os.path.join))


def test_a_function_of_the_users_own_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"`module\.content` is the function 'through_file'"):
        af.save(tmp_path / "m", Box(through_file))


@pytest.mark.parametrize("thing", [object(), {1, 2}, np.asarray([None]), slice(3)])
def test_what_has_no_form_in_a_file_is_refused_with_its_path(tmp_path, thing):
    with pytest.raises(ValueError, match=r"`module\.content` is a"):
        af.save(tmp_path / "m", Box(thing))


def test_a_traced_module_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"`module\.content` is traced"):
        jax.jit(lambda x: af.save(tmp_path / "m", Box(x)))(1.0)


def test_a_class_of_the_users_own_must_be_given_to_load(tmp_path):
    af.save(tmp_path / "m", Box(1.0))
    with pytest.raises(ValueError, match=r"classes=\[Box\]"):
        af.load(tmp_path / "m")


def test_what_is_given_as_classes_must_be_classes(tmp_path, as_user):
    af.save(tmp_path / "m", Box(1.0))
    with pytest.raises(ValueError, match="`classes` must hold classes"):
        af.load(tmp_path / "m", classes=["Box"])  # pyright: ignore[reportArgumentType]


@pytest.fixture
def saved_with_64_bits(tmp_path):
    path = tmp_path / "m"
    af.save(path, Box(jnp.zeros(2)))
    return path


@pytest.fixture
def saved_with_32_bits(tmp_path):
    path = tmp_path / "m"
    af.save(path, Box((jnp.zeros(2, jnp.float32), np.zeros(2))))
    return path


def test_64_bit_arrays_are_refused_when_they_would_be_rounded(saved_with_64_bits, x64_off):
    with pytest.raises(ValueError, match="float64.*jax_enable_x64"):
        af.load(saved_with_64_bits, classes=[Box])


def test_32_bit_files_load_with_64_bits_off(saved_with_32_bits, x64_off):
    loaded = af.load(saved_with_32_bits, classes=[Box])
    assert loaded.content[0].dtype == jnp.float32
    assert loaded.content[1].dtype == np.float64


def test_every_truncation_is_noticed(tmp_path):
    path = tmp_path / "m"
    af.save(path, Box(jnp.arange(4.0)))
    whole = path.read_bytes()
    for length in [0, 1, 10, whole.index(b"\n"), whole.index(b"\n") + 1, len(whole) - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match="truncated or altered|not a file that attnflow"):
            af.load(path, classes=[Box])
    path.write_bytes(whole + b"\0")
    with pytest.raises(ValueError, match="truncated or altered"):
        af.load(path, classes=[Box])


def test_every_flipped_bit_after_the_versions_is_noticed(tmp_path):
    path = tmp_path / "m"
    af.save(path, Box(jnp.arange(4.0)))
    whole = path.read_bytes()
    for place in range(whole.index(b'"sha256"'), len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(ValueError, match="truncated or altered|not a file that attnflow"):
            af.load(path, classes=[Box])


def rewritten(path: Path, change: Callable[[dict], Any]) -> None:
    """Change the first line and sign it again, as a careful forger would."""
    line, rest = path.read_bytes().split(b"\n", 1)
    head = json.loads(line)
    change(head)
    body = json.dumps({"leaves": head["leaves"], "tree": head["tree"]}).encode() + b"\n"
    head["sha256"] = hashlib.sha256(body + rest).hexdigest()
    path.write_bytes(json.dumps(head).encode() + b"\n" + rest)


FORGERIES = [
    "os:system",
    "subprocess:Popen",
    "attnflow.records._atomic:os.system",
    "attnflow.records._atomic:os",
    "attnflow.records:os.system",
    "equinox:jax.jit",
    "jax.numpy:linalg",
    "jax.numpy:np.load",
    "builtins:eval",
    "nonsense",
    "attnflow:",
    ":x",
]


@pytest.mark.parametrize("name", FORGERIES)
def test_a_name_outside_the_known_packages_is_never_looked_up(tmp_path, name):
    path = tmp_path / "m"
    af.save(path, Box(jnp.tanh))
    rewritten(path, lambda head: head["tree"]["fields"]["content"].update(name=name))
    with pytest.raises(ValueError, match="the file (holds|names)"):
        af.load(path, classes=[Box])


def test_loading_imports_no_package_that_the_file_names(tmp_path):
    path = tmp_path / "m"
    af.save(path, Box(jnp.tanh))
    rewritten(path, lambda head: head["tree"]["fields"]["content"].update(name="this:s"))
    with pytest.raises(ValueError, match="a class of your own"):
        af.load(path, classes=[Box])
    assert "this" not in sys.modules


def test_a_class_that_is_no_module_is_not_instantiated(tmp_path):
    path = tmp_path / "m"
    af.save(path, diffrax.Tsit5())
    rewritten(path, lambda head: head["tree"].update({"class": "attnflow.records._names:Finder"}))
    with pytest.raises(ValueError, match="not an equinox Module"):
        af.load(path)


@pytest.mark.parametrize(
    "content",
    [{"is": "nothing"}, {"x": 1}, {"is": "array", "leaf": 9}, {"is": "tuple", "items": 3}],
)
def test_a_malformed_tree_is_refused(tmp_path, content):
    path = tmp_path / "m"
    af.save(path, Box(1.0))
    rewritten(path, lambda head: head["tree"]["fields"].update(content=content))
    with pytest.raises(ValueError, match="is malformed"):
        af.load(path, classes=[Box])


def test_another_set_of_fields_is_refused_with_both(tmp_path):
    path = tmp_path / "m"
    af.save(path, Box(1.0))
    rewritten(path, lambda head: head["tree"]["fields"].update(extra=1))
    with pytest.raises(ValueError, match="extra.*versions that its first line states"):
        af.load(path, classes=[Box])


def test_a_later_format_is_refused_with_the_version_that_wrote_it(tmp_path):
    path = tmp_path / "m"
    af.save(path, Box(1.0))
    rewritten(path, lambda head: head.update(version=99))
    with pytest.raises(ValueError, match=f"format version 99.*attnflow {af.__version__}"):
        af.load(path, classes=[Box])


def test_members_of_an_enumeration_are_found_by_name_not_by_number(tmp_path):
    path = tmp_path / "m"
    af.save(path, diffrax.RESULTS.max_steps_reached)

    def reorder(head):
        head["tree"]["members"].reverse()

    rewritten(path, reorder)
    index = len(diffrax.RESULTS) - 1 - int(diffrax.RESULTS.max_steps_reached._value)
    names = list(diffrax.RESULTS._name_to_item)
    loaded = af.load(path)
    assert loaded == getattr(diffrax.RESULTS, names[index])


def test_a_missing_file_is_an_os_error_that_names_it(tmp_path):
    with pytest.raises(FileNotFoundError, match="absent"):
        af.load(tmp_path / "absent")


def test_saving_to_a_folder_that_is_not_there_is_an_os_error_that_names_it(tmp_path):
    with pytest.raises(FileNotFoundError, match="make its folder first"):
        af.save(tmp_path / "absent" / "m", Box(1.0))
