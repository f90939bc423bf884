"""Hostile input on integrators, long runs, attractors, covers and loops: one line that names the argument, at once."""

import struct

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import attnflow as af
from attnflow.cli import main
from tests.hostile._wrong import WRONG, wrong_but

_SPHERE, _CIRCLE = af.Sphere(3), af.Sphere(2)
_FIELD, _KEY = af.AttentionField(_SPHERE, P=np.eye(3)), jr.key(0)
_Y = _SPHERE.random_hemisphere(_KEY, (4,))
_ROUND = _CIRCLE.project(jnp.array([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0]]))
_SHARP = af.AttentionField(
    _CIRCLE, P=50 * np.eye(2), mask=-50 * np.ones((3, 3)), kernel="exp", scale=1.0
)
_PAIR = np.diag([3.0, 1.0])
_MODEL = af.language.random(
    af.language.Architecture("gpt2", 20, 12, 8, 1, 2, 16), key=_KEY, dtype="float64"
)
_IDS = [[1, 2, 3]]


def _long(field=_SHARP, y0=_ROUND, **options):
    return af.long_run(field, y0, **options)


def _find(field=_FIELD, starts=lambda key: _SPHERE.random(key, (4,)), **options):
    return af.attractors.find(
        field, starts, **{"number": 4, "key": _KEY, "t1": 1.0, "progress": False, **options}
    )


def _exponents(field=_FIELD, y0=_Y, **options):
    return af.attractors.exponents(field, y0, **{"t1": 1.0, "count": 1, **options})


def _synchronised(tokens=3, beta=(-0.5, -0.2), **options):
    return af.certify.synchronisation(tokens, beta=beta, **options)


_ARGUMENTS = {
    "rtol": (lambda x: af.Integrator(rtol=x), "`rtol`"),
    "atol": (lambda x: af.Integrator(atol=x), "`atol`"),
    "first step": (lambda x: af.Integrator(dt0=x), "`dt0`"),
    "solver": (lambda x: af.Integrator(solver=x), "`solver`"),
    "controller": (lambda x: af.Integrator(controller=x), "`controller`"),
    "adjoint": (lambda x: af.Integrator(adjoint=x), "`adjoint`"),
    "reduce": (lambda x: af.Integrator(reduce=x), "`reduce`"),
    "most steps": (lambda x: af.Integrator(max_steps=x), "`max_steps`"),
    "integrator": (lambda x: af.simulate(_FIELD, _Y, t1=1.0, integrator=x), "`integrator`"),
    "integrator of many": (
        lambda x: af.ensemble.run(_FIELD, _Y[None], t1=1.0, integrator=x),
        "`integrator`",
    ),
    "long field": (lambda x: _long(field=x), "`field`"),
    "long start": (lambda x: _long(y0=x), "`y0`"),
    "long merge": (lambda x: _long(merge=x), "`merge`"),
    "long near": (lambda x: _long(near=x), "`near`"),
    "long clock": (lambda x: _long(clock=x), "`clock`"),
    "long saves": (lambda x: _long(saves=x), "`saves`"),
    "long solver": (lambda x: _long(solver=x), "`solver`"),
    "long rtol": (lambda x: _long(rtol=x), "`rtol`"),
    "long atol": (lambda x: _long(atol=x), "`atol`"),
    "centres' tokens": (lambda x: af.renyi_centres(x, 0.1), "`y`"),
    "centres' radius": (lambda x: af.renyi_centres(_Y, x), "`radius`"),
    "ends of field": (lambda x: _find(field=x), "`field`"),
    "ends of starts": (lambda x: _find(starts=x, number=None, key=None), "`starts`"),
    "ends of number": (lambda x: _find(number=x), "`number`"),
    "ends of key": (lambda x: _find(key=x), "`key`"),
    "ends until": (lambda x: _find(t1=x), "`t1`"),
    "ends to precision": (lambda x: _find(number=None, precision=x), "`precision`"),
    "exponents of field": (lambda x: _exponents(field=x), "`field`"),
    "exponents of start": (lambda x: _exponents(y0=x), "`y"),
    "exponents until": (lambda x: _exponents(t1=x), "`t1`"),
    "exponents' count": (lambda x: _exponents(count=x), "`count`"),
    "cover's tokens": (lambda x: _synchronised(tokens=x), "`tokens`"),
    "cover's beta": (lambda x: _synchronised(beta=x), "`beta`"),
    "cover's low end": (lambda x: _synchronised(beta=(x, 1.0)), "`beta`"),
    "cover's kernel": (lambda x: _synchronised(kernel=x), "`kernel`"),
    "cover's weights": (lambda x: _synchronised(weights=x), "`weights`"),
    "cover's weight": (lambda x: _synchronised(weights=[1, 1, x]), "`weights`"),
    "census of P": (lambda x: af.certify.census(x, _PAIR, 2), "`P`"),
    "census of U": (lambda x: af.certify.census(_PAIR, x, 2), "`U`"),
    "census of tokens": (lambda x: af.certify.census(_PAIR, _PAIR, x), "`tokens`"),
    "clusters of a loop": (lambda x: af.language.clusters(x), "`looped`"),
    "temperatures of model": (lambda x: af.language.temperatures(x, _IDS), "`model`"),
    "temperatures of ids": (lambda x: af.language.temperatures(_MODEL, x), "`token_ids`"),
    "rest of model": (lambda x: af.language.rest(x, np.ones((2, 8))), "`model`"),
    "rest of tokens": (lambda x: af.language.rest(_MODEL, x), "`tokens`"),
    "rest's passes": (lambda x: af.language.rest(_MODEL, np.eye(2, 8), passes=x), "`passes`"),
    "diagnosis of model": (lambda x: af.language.diagnose(x, _IDS), "`model`"),
    "diagnosis of ids": (lambda x: af.language.diagnose(_MODEL, x), "`token_ids`"),
    "picture of attractors": (af.plot.attractors, "`result`"),
    "picture of a cover": (af.plot.cover, "`result`"),
}


@pytest.fixture(scope="module", autouse=True)
def _compiled():
    """What a first refusal imports and a first check of tokens compiles, so that the time of a case is its own."""
    for call in (
        lambda: _find(t1=-1.0),
        lambda: _exponents(t1=-1.0),
        lambda: _synchronised(beta=(0.0, np.nan)),
        lambda: _long(log_t1=np.nan),
        lambda: af.renyi_centres(_Y, -1.0),
    ):
        with pytest.raises(ValueError):
            call()
    jax.block_until_ready(_Y)


# Large, and a number all the same.
_LARGE = {"long rtol", "long atol", "ends until", "exponents until"}

_CASES = [
    (name, kind)
    for name in _ARGUMENTS
    for kind in WRONG
    if name not in _LARGE or kind != "an integer beyond 64 bits"
]


@pytest.mark.parametrize(("name", "kind"), _CASES)
def test_another_kind_of_value_is_refused(refused, name, kind):
    call, words = _ARGUMENTS[name]
    refused(lambda: call(WRONG[kind]), words)


def test_the_end_of_a_long_run_may_be_infinite_and_nothing_else_of_the_kind(refused):
    for value in wrong_but("infinite", "an integer beyond 64 bits").values():
        refused(lambda value=value: _long(log_t1=value), "`log_t1`")


_HEAD = struct.pack("<4sIQQ", b"GGUF", 3, 0, 1) + struct.pack("<Q", 1) + b"k"
_FILES = {
    "tensors without end": struct.pack("<4sIQQ", b"GGUF", 3, 2**63 - 1, 0),
    "keys without end": struct.pack("<4sIQQ", b"GGUF", 3, 0, 2**63 - 1),
    "a long word": struct.pack("<4sIQQQ", b"GGUF", 3, 0, 1, 2**62) + b"ab",
    "a long array": _HEAD + struct.pack("<IIQ", 9, 4, 2**61),
    "nested arrays": _HEAD + struct.pack("<I", 9) + struct.pack("<IQ", 9, 1) * 5000,
    "another version": struct.pack("<4sIQQ", b"GGUF", 99, 0, 0),
    "four bytes": b"GGUF",
}


@pytest.mark.parametrize("name", _FILES)
def test_a_gguf_file_of_anybody_is_refused_by_its_name(refused, tmp_path, name):
    path = tmp_path / "model.gguf"
    path.write_bytes(_FILES[name])
    refused(lambda: af.language.load(path), "model.gguf cannot be read as GGUF")


@pytest.mark.parametrize("option", ["--prompts", "--length"])
def test_prompts_without_end_are_refused(capsys, option):
    assert main(["diagnose", "smollm2-135m", option, str(10**9)]) == 2
    error = capsys.readouterr().err
    assert "`prompts` times `length` must be at most 10,000,000 ids" in error
    assert error.count("\n") == 1
