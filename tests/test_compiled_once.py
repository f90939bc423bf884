"""No public function compiles anew when it is called again: in a loop, or cell by cell in a notebook."""

import inspect
import itertools
from collections.abc import Callable
from typing import Any

import diffrax
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import attnflow as af
from attnflow import bench, observables, theory

COMPILED = "/jax/core/compile/backend_compile_duration"
SPHERE = af.Sphere(3)
Y = SPHERE.random(jr.key(0), (4,))
V = jnp.array([1.0, 0.0, 0.0])
SQUARE = theory.polygon(4, dim=3)
CASE = bench.figure2_workload(t1=0.5)
TOLERANCES = itertools.count(6.0, 0.5)
POINTS = [bench.Point(1e-3, 1e-3, 1.0), bench.Point(1e-6, 1e-6, 2.0)]


def field(mask: Any = None, beta: Any = 1.0) -> af.AttentionField:
    """Made anew for each call, as in a loop over its numbers."""
    return af.AttentionField(SPHERE, P=beta * jnp.eye(3), mask=mask, scale=1.0)


def in_space() -> af.AttentionField:
    return af.AttentionField(af.Euclidean(3), P=jnp.eye(3), U=jnp.diag(1 + V))


def moving() -> af.AttentionField:
    P = af.Modulated(af.Sinusoid(1.0, jnp.array([1.0, 2.0, 3.0])), jnp.eye(3))
    return af.AttentionField(SPHERE, P=P, mask="causal")


# What is called, by its public name; a lambda inside is another one at each call, as in a notebook.
CALLS: dict[str, Callable[[], Any]] = {
    "attnflow.consensus": lambda: af.consensus(1e-3)(0.0, Y),
    "attnflow.iterate": lambda: af.iterate(af.AttentionLayers(field()), Y, depth=2),
    "attnflow.long_run": lambda: af.long_run(field(), Y),
    "attnflow.simulate": lambda: af.simulate(
        field(), Y, t1=1.0, observe={"E": lambda y: af.misalignment(y)}, event=lambda t, y: t - 0.5
    ),
    "attnflow.Integrator": lambda: af.simulate(
        field(),
        Y,
        t1=1.0,
        integrator=af.Integrator(rtol=10 ** -next(TOLERANCES), atol=1e-9, dt0=0.1),
    ),
    "attnflow.Noise": lambda: af.simulate(
        field(),
        Y,
        t1=1.0,
        dt0=0.1 / next(TOLERANCES),
        noise=af.Noise(independent=1 / next(TOLERANCES), common=0.1),
        key=jr.key(int(next(TOLERANCES))),
    ),
    "attnflow.hemisphere_margin": lambda: af.hemisphere_margin(Y),
    "attnflow.pad": lambda: af.pad([Y, Y[:3]]),
    "attnflow.aligned_pairs": lambda: af.aligned_pairs(Y, 0.9),
    "attnflow.clusters": lambda: af.clusters(Y, 0.9),
    "attnflow.clusters_within": lambda: af.clusters_within(Y, 0.9, SPHERE),
    "attnflow.plateaus": lambda: af.plateaus(
        jnp.arange(1.0, 5.0), V[jnp.array([0, 0, 1, 1])], slope=next(TOLERANCES)
    ),
    "attnflow.wasserstein": lambda: af.wasserstein(Y, Y[::-1], SPHERE),
    "attnflow.wasserstein_length": lambda: af.wasserstein_length(
        Y[None] * jnp.ones((2, 1, 1)), SPHERE
    ),
    "attnflow.cosines": lambda: af.cosines(Y),
    "attnflow.effective_rank": lambda: af.effective_rank(Y),
    "attnflow.energy": lambda: af.energy(field(), 0.0, Y),
    "attnflow.energy_dissipation": lambda: af.energy_dissipation(field(), 0.0, Y),
    "attnflow.leaders": lambda: af.leaders(field(), 0.0, Y),
    "attnflow.rescaled": lambda: af.rescaled(in_space())(0.3, Y),
    "attnflow.lyapunov": lambda: af.lyapunov(Y, V),
    "attnflow.misalignment": lambda: af.misalignment(Y),
    "attnflow.order_parameter": lambda: af.order_parameter(Y),
    "attnflow.renyi_centres": lambda: af.renyi_centres(Y, 0.5),
    "attnflow.observables.cluster_count": lambda: observables.cluster_count(Y, 0.9),
    "attnflow.observables.lyapunov_each": lambda: observables.lyapunov_each(Y, V),
    "attnflow.AlignedPairs": lambda: af.AlignedPairs(0.9)(0.0, Y),
    "attnflow.Clusters": lambda: af.Clusters(0.9)(0.0, Y),
    "attnflow.ClusterCount": lambda: af.ClusterCount(0.9)(0.0, Y),
    "attnflow.ClustersWithin": lambda: af.ClustersWithin(0.9, SPHERE)(0.0, Y),
    "attnflow.Plateaus": lambda: af.plateaus(jnp.arange(2.0), jnp.zeros(2), slope=0.1).level,
    "attnflow.Dissipation": lambda: af.Dissipation(field())(0.0, Y),
    "attnflow.EffectiveRank": lambda: af.EffectiveRank()(0.0, Y),
    "attnflow.Energy": lambda: af.Energy(field())(0.0, Y),
    "attnflow.HemisphereMargin": lambda: af.HemisphereMargin()(0.0, Y),
    "attnflow.Leaders": lambda: af.Leaders(field())(0.0, Y),
    "attnflow.Lyapunov": lambda: af.Lyapunov(V)(0.0, Y),
    "attnflow.Misalignment": lambda: af.Misalignment()(0.0, Y),
    "attnflow.OrderParameter": lambda: af.OrderParameter()(0.0, Y),
    "attnflow.Renyi": lambda: af.Renyi(0.5)(0.0, Y),
    "attnflow.RenyiCentres": lambda: af.Renyi(0.5)(0.0, Y).share,
    "attnflow.Residual": lambda: af.Residual(SPHERE)(0.0, Y),
    "attnflow.AttentionField": lambda: moving()(0.3, Y),
    "attnflow.AttentionLayers": lambda: af.AttentionLayers(field())(0, Y),
    "attnflow.Sphere": lambda: SPHERE.distance(SPHERE.random(jr.key(1), (4,)), Y),
    "attnflow.QueryKey": lambda: af.AttentionField(
        SPHERE,
        P=af.QueryKey(jnp.eye(3), jnp.eye(3), rates=jnp.array([next(TOLERANCES)])),
        mask=af.model.ALiBi(4, next(TOLERANCES)),
        scale=1.0,
    )(0.3, Y),
    "attnflow.Euclidean": lambda: in_space()(0.0, af.Euclidean(3).random(jr.key(1), (4,))),
    "attnflow.Ellipsoid": lambda: af.Ellipsoid(jnp.diag(1 + V)).project(Y),
    "attnflow.Interpolated": lambda: af.Interpolated(jnp.arange(4.0), jnp.arange(4.0))(1.5),
    "attnflow.Bounded": lambda: af.Bounded(af.Constant(jnp.eye(3)), 0.5, norm="spectral")(0.1),
    "attnflow.ensemble.run": lambda: af.ensemble.run(
        field(), Y[None], t1=1.0, observe={"E": lambda y: af.misalignment(y)}, progress=False
    ),
    "attnflow.ensemble.mean": lambda: af.ensemble.mean(
        lambda sol: sol.ys["E"][-1], field(), Y[None], t1=1.0, observe={"E": lambda y: y[0, 0]}
    ),
    "attnflow.ensemble.values": lambda: af.ensemble.values(
        lambda sol: sol.t1, field(), Y[None], t1=1.0, event=lambda y: y[0, 0] - 0.3
    ),
    "attnflow.ensemble.mean, with an Integrator": lambda: af.ensemble.mean(
        lambda sol: sol.ys["E"][-1],
        field(),
        Y[None],
        t1=1.0,
        observe={"E": lambda y: y[0, 0]},
        integrator=af.Integrator(rtol=10 ** -next(TOLERANCES), atol=1e-9),
    ),
    "attnflow.theory.antipodal_exponent": lambda: theory.antipodal_exponent(1.0, 3),
    "attnflow.theory.brownian_cosine": lambda: theory.brownian_cosine(1.0, 3),
    "attnflow.theory.stationary_cosine": lambda: theory.stationary_cosine(0.7, 8),
    "attnflow.theory.stationary_order": lambda: theory.stationary_order(0.7),
    "attnflow.theory.angle_bound": lambda: theory.angle_bound(field(), Y, 0.5),
    "attnflow.theory.misalignment_bound": lambda: theory.misalignment_bound(field(), Y, 0.5),
    "attnflow.theory.reference_misalignment": lambda: theory.reference_misalignment(
        field("causal"), Y, 0.5
    ),
    "attnflow.theory.tanh_reference": lambda: theory.tanh_reference(field("causal"), Y, 0.5),
    "attnflow.theory.consensus_state": lambda: theory.consensus_state(4, V),
    "attnflow.theory.continuation": lambda: theory.continuation(
        lambda b: field(beta=b), SQUARE, np.array([1.0, 1.1])
    ),
    "attnflow.theory.cross_polytope": lambda: theory.cross_polytope(3),
    "attnflow.theory.cross_ratios": lambda: theory.cross_ratios(Y),
    "attnflow.theory.energy_rate": lambda: theory.energy_rate(field(), 0.0, Y),
    "attnflow.theory.equiangular_cosine": lambda: theory.equiangular_cosine(1.0, 1.0, 4),
    "attnflow.theory.equiangular_gap": lambda: theory.equiangular_gap(1.0, 1.0, 4),
    "attnflow.theory.equiangular_time": lambda: theory.equiangular_time(0.9, 1.0, 4),
    "attnflow.theory.equilibrium": lambda: theory.equilibrium(field(), SQUARE),
    "attnflow.theory.exceptional_curve": lambda: theory.exceptional_curve(
        field("causal"), Y[:2], np.array([0.5, 1.0])
    ),
    "attnflow.theory.exceptional_start": lambda: theory.exceptional_start(field("causal"), Y[:2]),
    "attnflow.theory.first_clusters": lambda: theory.first_clusters(3.0),
    "attnflow.theory.jacobian": lambda: theory.jacobian(field(), 0.0, Y),
    "attnflow.theory.mode_growth": lambda: theory.mode_growth(2, 3.0),
    "attnflow.theory.monitor": lambda: theory.monitor(moving(), Y),
    "attnflow.theory.polygon": lambda: theory.polygon(4),
    "attnflow.theory.simplex": lambda: theory.simplex(4),
    "attnflow.theory.spectrum": lambda: theory.spectrum(field(), 0.0, SQUARE),
    "attnflow.theory.speed_limit": lambda: theory.speed_limit(field()),
    "attnflow.theory.split": lambda: theory.split(2, 2, V),
    "attnflow.theory.verdicts": lambda: theory.verdicts(moving(), Y),
    "attnflow.theory.wendel": lambda: theory.wendel(5, 3),
    "attnflow.bench.at_error": lambda: bench.at_error(POINTS, 1e-4),
    "attnflow.bench.at_errors": lambda: bench.at_errors({"a": POINTS}, [1e-4]),
    "attnflow.bench.table": lambda: bench.table({"a": POINTS}, [1e-4]),
    "attnflow.bench.clock": lambda: bench.clock(lambda: None),
    "attnflow.bench.distance": lambda: bench.distance(CASE.starts(1)[None], CASE.starts(1)[None]),
    "attnflow.bench.figure2_workload": lambda: bench.figure2_workload(),
    "attnflow.bench.figure4_workload": lambda: bench.figure4_workload(8),
    "attnflow.bench.machine": lambda: bench.machine(),
    "attnflow.bench.peak_mb": lambda: bench.peak_mb(),
    "attnflow.bench.peers": lambda: bench.peers(),
    "attnflow.bench.ours": lambda: bench.ours()(CASE, CASE.starts(1), 1e-3),
    "attnflow.bench.compare_solvers": lambda: bench.compare_solvers(
        CASE,
        CASE.starts(1),
        np.zeros((1, 4, 10, 3)),
        {name: bench.peers()[name] for name in ("diffrax Tsit5, vmapped",)},
        [1e-3],
    ),
    "attnflow.bench.solver_points": lambda: bench.solver_points(
        field(), Y[None], [1e-3], t1=0.5, solver=diffrax.Tsit5(), reference=np.zeros((1, 4, 4, 3))
    ),
    "attnflow.bench.heavy_tail": lambda: bench.heavy_tail(4),
}
# What is called with files, other programs or a function to compile: nothing of it runs in a loop.
SPARED = {
    "attnflow.load": "reads a file",
    "attnflow.save": "writes a file",
    "attnflow.cache": "says where compiled programs are kept",
    "attnflow.raise_under_jit": "lets compiled programs go",
    "attnflow.bench.start_times": "runs commands in processes of their own",
    "attnflow.theory.condition": "makes a condition of a check, with nothing to compile",
    "attnflow.bench.report": "writes a file",
    "attnflow.bench.run_sections": "a command",
    "attnflow.bench.torchode": "runs another Python",
    "attnflow.bench.diffrax_run": "gives a function that is compiled by whom it is for",
    "attnflow.bench.gradients": "measures compiled programs, which it compiles for that",
}
SLOW = {"attnflow.bench.heavy_tail"}


def public_functions() -> set[str]:
    collected: dict[int, str] = {}
    for module in (af, observables, theory, bench):
        for name in dir(module):
            value = getattr(module, name)
            if name.startswith("_") or inspect.isclass(value) or not callable(value):
                continue
            collected.setdefault(id(value), f"{module.__name__}.{name}")
    return set(collected.values())


def test_every_public_function_and_observer_is_looked_at():
    assert public_functions() == {
        name
        for name in {*CALLS, *SPARED}
        if not name.startswith("attnflow.ensemble.") and not name.split(".")[-1][0].isupper()
    }
    observers = {name for name in dir(observables) if name[0].isupper()}
    assert observers <= {name.split(".")[-1] for name in CALLS}


@pytest.fixture(scope="module")
def compilations():
    """How many programs have been compiled so far."""
    count = [0]

    def listen(event: str, seconds: float, **_: Any) -> None:
        count[0] += event == COMPILED

    jax.monitoring.register_event_duration_secs_listener(listen)
    yield lambda: count[0]
    count[0] = 0


def test_compilations_are_counted(compilations):
    before = compilations()
    jax.jit(lambda x: x + 17.5)(jnp.zeros(3))
    assert compilations() > before


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=pytest.mark.slow) if n in SLOW else n for n in CALLS],
)
def test_a_second_call_compiles_nothing(name, compilations):
    call = CALLS[name]
    call()
    before = compilations()
    jax.block_until_ready([x for x in jax.tree.leaves(call()) if isinstance(x, jax.Array)])
    assert compilations() == before
