"""Programs are lowered for CUDA and TPU, in float32, without a callback into Python among them.

It says that they can be handed to those compilers, with which custom calls. It proves no number and
no speed there: nothing is run.
"""

import contextlib
import dataclasses
import re
from collections.abc import Callable
from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import pytest
from jax import export

import attnflow as af
from attnflow.design import _descent
from attnflow.ensemble import _advance, _launches, _workers
from attnflow.language import Architecture, _looped, looped

PLATFORMS = ("cuda", "tpu")
CHOLESKY = {"cuda": {"cusolver_potrf_ffi"}, "tpu": set()}
NEWTON = {
    "cuda": {"cusolver_getrf_ffi", "cu_lu_pivots_to_permutation"},
    "tpu": {"LuDecomposition"},
}
KERNEL = {"cuda": {"__gpu$xla.gpu.triton"}, "tpu": {"tpu_custom_call"}}
NONE: dict[str, set[str]] = {"cuda": set(), "tpu": set()}


@pytest.fixture(autouse=True)
def float32(x64_off):
    """TPUs have no 64 bits."""


def lowered(
    function: Callable[..., Any], *arguments: Any, platforms: tuple[str, ...] = PLATFORMS
) -> dict[str, set[str]]:
    """The custom calls of a function's program, for each platform that it is exported for.

    What is not an array among the arguments belongs to the program, as `equinox.filter_jit` has it.
    """
    arrays, rest = eqx.partition(arguments, eqx.is_array)

    @jax.jit
    def program(arrays):
        return eqx.filter(function(*eqx.combine(arrays, rest)), eqx.is_array)

    calls = {}
    for platform in platforms:
        exported = export.export(
            program,
            platforms=[platform],
            # That of a call does not change is promised by JAX for a list of its own, no matter here.
            disabled_checks=[
                export.DisabledSafetyCheck.custom_call(name)
                for name in CHOLESKY[platform] | NEWTON[platform] | KERNEL[platform]
            ],
        )(arrays)
        text = exported.mlir_module()
        calls[platform] = set(re.findall(r"custom_call @([\w.$]+)", text))
        assert "callback" not in text
    return calls


def sphere_field(**parts: Any) -> tuple[af.AttentionField, jax.Array]:
    sphere = af.Sphere(3)
    return af.AttentionField(sphere, **{"P": jnp.eye(3), **parts}), sphere.random(jr.key(0), (5,))


TS = jnp.linspace(0.0, 2.0, 3, dtype=jnp.float32)
JUMPS = af.Piecewise(
    jnp.array([0.5, 1.0], jnp.float32), jnp.stack([jnp.eye(3, dtype=jnp.float32)] * 3)
)


def end(field, y, **options):
    return af.simulate(field, y, t1=2.0, **options).y1


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"ts": TS, "observe": {"E": af.misalignment, "pairs": af.AlignedPairs(0.9)}},
        {"event": af.consensus(0.1), "ts": TS},
        {"dt0": 0.1, "solver": diffrax.Heun()},
        {"dense": True, "max_steps": 64},
    ],
    ids=["plain", "times", "event", "constant steps", "dense"],
)
def test_runs_are_lowered(options):
    field, y = sphere_field(mask="causal")
    assert lowered(lambda f, y: af.simulate(f, y, t1=2.0, **options), field, y) == NONE


@pytest.mark.parametrize("schedule", ["jumps", "kinks"])
def test_runs_of_schedules_are_lowered(schedule):
    P = JUMPS if schedule == "jumps" else af.Sinusoid(jnp.eye(3), 2.0, 0.1, rectified=True)
    field, y = sphere_field(P=P)
    assert lowered(end, field, y) == NONE


def test_reduced_runs_are_lowered():
    wide = af.Sphere(9)
    field = af.AttentionField(wide, P=jnp.eye(9))
    y = wide.random(jr.key(0), (4,))
    assert eqx.filter_eval_shape(af.simulate, field, y, t1=0.1).reduction == "span"
    assert lowered(end, field, y) == CHOLESKY
    W = jnp.diag(jnp.array([1.0, 2.0, 3.0]))

    def whitened(W, y):
        return end(af.AttentionField(af.Ellipsoid(W), P=jnp.eye(3)), y)

    assert lowered(whitened, W, af.Ellipsoid(W).random(jr.key(0), (4,))) == CHOLESKY


def test_runs_with_an_implicit_solver_are_lowered():
    field, y = sphere_field()
    assert lowered(lambda f, y: end(f, y, solver=diffrax.Kvaerno3()), field, y) == NEWTON


@pytest.mark.parametrize(
    "adjoint",
    [None, diffrax.DirectAdjoint(), diffrax.BacksolveAdjoint()],
    ids=["checkpoints", "direct", "backsolve"],
)
def test_gradients_are_lowered(adjoint):
    field, y = sphere_field()
    loss = lambda f, y: jnp.sum(end(f, y, adjoint=adjoint))  # noqa: E731
    assert lowered(eqx.filter_grad(loss), field, y) == NONE


def test_forward_mode_and_batches_are_lowered():
    field, y = sphere_field()
    many = jnp.stack([y, -y])
    forward = lambda y: end(field, y, adjoint=diffrax.ForwardMode())  # noqa: E731
    assert lowered(jax.jacfwd(forward), y) == NONE
    assert lowered(jax.vmap(lambda y: end(field, y, ts=TS)), many) == NONE
    slope = jax.grad(lambda y: jnp.sum(end(field, y)))
    assert lowered(jax.vmap(slope), many) == NONE


class Stop(Exception):
    """Instead of a program that is called: its arguments are all that is needed."""


def recorder() -> tuple[Callable[..., Any], list[Any]]:
    """A function that keeps its arguments and goes no further, and where it keeps them."""
    calls = []

    def record(*arguments):
        calls.append(arguments)
        raise Stop

    return record, calls


def recorded(monkeypatch, module: Any, name: str) -> tuple[Callable[..., Any], list[Any]]:
    """A jitted function of a module as it is without `jit`, and the arguments that it is called with."""
    program = getattr(module, name)
    record, calls = recorder()
    monkeypatch.setattr(module, name, record)
    return program.__wrapped__, calls


def test_the_programs_of_an_ensemble_are_lowered(monkeypatch):
    field, _ = sphere_field()
    programs = _advance.crew_programs()
    advance, calls = recorder()
    monkeypatch.setattr(_workers, "crew_programs", lambda: programs._replace(advance=advance))
    with pytest.raises(Stop):
        af.ensemble.run(
            field,
            lambda key: field.manifold.random(key, (5,)),
            number=2,
            key=jr.key(0),
            t1=0.5,
            until=af.consensus(1e-3),
            progress=False,
        )
    assert lowered(_advance.Crew.advance, *calls[0]) == NONE


def a_gpu() -> contextlib.AbstractContextManager[Any]:
    """A GPU by its name, where there is none: JAX 0.12 lowers kernels of Triton for one that it knows."""
    make = getattr(jax.sharding, "AbstractDevice", None)
    if make is None:
        return contextlib.nullcontext()
    device = make(device_kind="NVIDIA H100 80GB HBM3", num_cores=132, platform="gpu")
    return jax.sharding.use_abstract_mesh(jax.sharding.AbstractMesh((), (), abstract_device=device))


@pytest.mark.filterwarnings("ignore:The Pallas Triton backend is deprecated:DeprecationWarning")
def test_the_kernel_of_a_whole_integration_is_lowered(monkeypatch):
    P = af.Modulated(af.Sinusoid(0.8, jnp.ones((2, 3))), jr.normal(jr.key(1), (2, 3, 3)))
    field, _ = sphere_field(P=P, mask="causal")
    starts = field.manifold.random(jr.key(0), (1024, 4))
    record, calls = recorder()
    monkeypatch.setattr(_launches, "launch_program", lambda: record)
    with pytest.raises(Stop):
        af.ensemble.run(field, starts, t1=0.5, kernel=True, slots=1024, progress=False)
    launch, inbox = calls[0]
    for platform in PLATFORMS:
        there = dataclasses.replace(launch, platform=platform, interpret=False)
        assert there.unfit(inbox) is None
        with a_gpu():
            calls = lowered(_launches.Launch.ends, there, inbox, platforms=(platform,))
        assert calls[platform] == KERNEL[platform]


def test_layers_are_lowered():
    field, y = sphere_field()
    layers = af.AttentionLayers(field, step=0.3)
    assert lowered(lambda layers, y: af.iterate(layers, y, depth=4), layers, y) == NONE


def test_a_step_of_a_search_is_lowered(monkeypatch):
    field, y = sphere_field()
    step, calls = recorded(monkeypatch, _descent, "descend")
    with pytest.raises(Stop):
        af.search.optimise(
            af.search.Final(),
            jnp.eye(3),
            field=field,
            starts=y,
            t1=0.5,
            key=jr.key(0),
            steps=1,
            progress=False,
        )
    assert lowered(step, *calls[0]) == NONE


def test_a_pass_of_a_looped_model_is_lowered(monkeypatch):
    step, calls = recorded(monkeypatch, _looped, "one_pass")
    small = Architecture("gpt2", 97, 24, 32, 3, 4, 64)
    model = af.language.random(small, key=jr.key(0))
    with pytest.raises(Stop):
        looped(model, jnp.arange(12).reshape(1, 12), passes=1, progress=False)
    assert lowered(step, *calls[0]) == NONE


def test_a_callback_would_be_seen():
    def prints(x):
        jax.debug.callback(lambda x: None, x)
        return x

    with pytest.raises((AssertionError, ValueError)):
        lowered(prints, jnp.ones(2))
