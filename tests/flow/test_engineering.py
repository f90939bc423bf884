"""Habits of the code that keep runs quick, exact and composable: traces, dtypes, tolerances, pytrees.

Each test has the number of its pattern. The others have tests of their own: projected solvers (1)
in test_order.py and test_gradients.py, span coordinates (2) in test_reductions.py and
test_gradients.py, resuming (5) in test_resuming.py, transforms (6, 7) and finite differences (13)
in test_gradients.py, unnormalised states (10) in tests/conformance/test_equiangular.py, start-up
(14) in tests/test_project.py.
"""

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import attnflow as af
from tests.systems import PLACES, Place, generator, random_rows, random_spd

TRACES: list[str] = []


class Counted(eqx.Module):
    """A drift that notes each time it is traced."""

    strength: jax.Array

    def __call__(self, t, y, args=None):
        TRACES.append("drift")
        return self.strength * jnp.sin(t) * y[::-1]


class Above(eqx.Module):
    """An observer with a number of its own."""

    level: jax.Array

    def __call__(self, t, y):
        return jnp.mean(y[:, 0]) - self.level


def numbers(seed: int) -> dict:
    """Every number a run is made of, another for each seed; shapes and types the same."""
    rng = generator("numbers", seed)
    u = rng.uniform(0.5, 1.5, 20)
    W = random_spd(rng, 3)
    return {
        "W": jnp.asarray(W),
        "y0": jnp.asarray(random_rows(rng, 8, W)),
        "P": jnp.asarray(rng.normal(size=(2, 3, 3))),
        "U": jnp.asarray(rng.normal(size=(3, 2, 3, 3))),
        "mass": jnp.asarray(rng.uniform(0.5, 2, 8)),
        "bias": jnp.asarray(rng.normal(size=(8, 8))),
        "ts": jnp.asarray(np.sort(rng.uniform(0.3, 0.9, 3))),
        # Python numbers, as one types them.
        "omega": float(3 * u[0]),
        "jumps": [float(u[1] / 5), float(u[2] / 2)],
        "strength": float(u[3]),
        "scale": float(u[4]),
        "t0": float(u[5] / 10),
        "t1": float(u[6] + 0.9),
        "rtol": float(1e-6 * u[7]),
        "atol": float(1e-8 * u[8]),
        "threshold": float(1e-3 * u[9]),
        "level": float(u[10]),
        "cosine": float(u[11] / 2),
        "dt0": float(u[12] / 100),
        "step": float(u[13] / 4),
    }


def build(n):
    return af.AttentionField(
        af.Ellipsoid(n["W"]),
        af.Modulated(af.Sinusoid(jnp.ones(3), n["omega"]), n["P"]),
        U=af.Piecewise(jnp.asarray(n["jumps"]), n["U"]),
        mask=n["bias"],
        weights=n["mass"],
        scale=n["scale"],
        drift=Counted(jnp.asarray(n["strength"])),
    )


def run(n):
    return af.simulate(
        build(n),
        n["y0"],
        t0=n["t0"],
        t1=n["t1"],
        ts=n["ts"],
        rtol=n["rtol"],
        atol=n["atol"],
        dt0=n["dt0"],
        event=af.consensus(n["threshold"]),
        observe={
            "E": af.misalignment,
            "above": Above(jnp.asarray(n["level"])),
            "clusters": af.ClusterCount(n["cosine"]),
        },
    )


def test_4_other_numbers_are_not_another_compilation():
    """t0, t1, ts, tolerances, scale, thresholds, dt0, tokens, W, P, U, jumps, masses, bias, drift."""
    first = run(numbers(0))
    count = len(TRACES)
    assert count > 0
    for seed in (1, 2, 3):
        other = run(numbers(seed))
        assert len(TRACES) == count
        assert not np.allclose(other.y1, first.y1)


def test_4_other_steps_of_layers_are_not_another_compilation():
    def through(seed):
        n = numbers(seed)
        return af.iterate(af.AttentionLayers(build(n), step=n["step"]), n["y0"], depth=3)

    through(0)
    count = len(TRACES)
    through(1)
    through(2)
    assert len(TRACES) == count


def test_4_fields_are_plain_pytrees_for_jit_vmap_and_tree_map():
    """Arrays alone for leaves, one for each degree of freedom: a batch of fields is one field."""
    fields = [build(numbers(seed)) for seed in (0, 1)]
    for leaf in jax.tree.leaves(fields[0]):
        assert isinstance(leaf, jax.Array)
    assert len(jax.tree.leaves(af.Ellipsoid(jnp.eye(3)))) == 1
    assert not jax.tree.leaves(af.Sphere(3))

    batch = jax.tree.map(lambda *leaves: jnp.stack(leaves), *fields)
    y = jnp.stack([numbers(seed)["y0"] for seed in (0, 1)])
    together = jax.jit(jax.vmap(lambda f, y: f(jnp.asarray(0.4), y)))(batch, y)
    for k in (0, 1):
        alone = fields[k](jnp.asarray(0.4), y[k])
        np.testing.assert_allclose(together[k], alone, rtol=1e-12, atol=1e-14)


def test_3_the_tolerance_of_a_step_is_their_sum_and_counts_tokens_alike():
    """|dy_i|_W <= atol + rtol: how it is divided, the size of W and copies of tokens do not matter."""
    rng = generator("tolerance")
    W, P = random_spd(rng, 3), rng.normal(size=(3, 3))
    y0 = random_rows(rng, 8, W)

    def steps(y0, W, P, rtol, atol):
        field = af.AttentionField(af.Ellipsoid(jnp.asarray(W)), jnp.asarray(P))
        sol = af.simulate(field, jnp.asarray(y0), t1=5.0, rtol=rtol, atol=atol, reduce=False)
        return int(sol.stats["num_steps"])

    count = steps(y0, W, P, 1e-8, 1e-10)
    assert count > 20
    assert steps(y0, W, P, 0.0, 1.01e-8) == count
    assert steps(y0, W, P, 1.01e-8, 0.0) == count
    assert steps(y0 / 100, 1e4 * W, 1e4 * P, 1e-8, 1e-10) == count
    assert steps(np.repeat(y0, 2, axis=0), W, P, 1e-8, 1e-10) == count


@pytest.mark.slow
@pytest.mark.parametrize("kind", PLACES)
def test_8_float32_runs_stay_float32_whatever_comes_in_64_bits(kind):
    """Schedules, W, scale, drift, times, tolerances in 64 bits; events, observers, dense output out."""
    manifold = Place(kind, 3).manifold
    field = af.AttentionField(
        manifold,
        af.Modulated(af.Sinusoid(jnp.ones(3), 3.0), jnp.eye(3)),
        mask="causal",
        drift=Counted(jnp.asarray(0.3)),
    )
    y0 = manifold.random(jax.random.key(8), (8,)).astype(jnp.float32)
    sol = af.simulate(
        field,
        y0,
        t1=2.0,
        ts=np.array([0.5, 1.0]),
        observe={"E": af.misalignment, "y": lambda y: y, "t": lambda t, y: t},
        event=lambda t, y: t - 1.5,
        dense=True,
    )
    outputs = (sol.ts, sol.t0, sol.t1, sol.y1, sol.ys, sol.evaluate(0.7))
    for leaf in jax.tree.leaves(outputs):
        assert leaf.dtype == jnp.float32
    assert float(sol.t1) == pytest.approx(1.5, rel=1e-5)
    assert field(0.3, y0).dtype == jnp.float32
    assert field.attention(0.3, y0).dtype == jnp.float32
    layers = af.iterate(af.AttentionLayers(field, step=0.3), y0, depth=2)
    for leaf in jax.tree.leaves((layers.ts, layers.ys, layers.y1)):
        assert leaf.dtype == jnp.float32
    # It is the 64-bit run, to the digits it has.
    precise = af.simulate(field, y0.astype(jnp.float64), t1=1.5)
    np.testing.assert_allclose(sol.y1, precise.y1, atol=1e-4)


def test_9_and_11_signatures_times_and_what_a_solution_is_made_of(as_user):
    """f(y), f(t, y), f(t, y, args), modules; t1 an int or array, ts a list; arrays come back."""
    n = numbers(0)
    field = build(n)
    functions = {
        "y": lambda y: y[0, 0],
        "t, y": lambda t, y: y[0, 0] + 0 * t,
        "t, y, args": lambda t, y, args: y[0, 0],
        "module": af.Misalignment(),
    }
    sol = af.simulate(field, n["y0"], t1=2, ts=[0.5, 1, 2.0], observe=functions)  # pyright: ignore
    assert np.array_equal(sol.ys["y"], sol.ys["t, y"])
    assert np.array_equal(sol.ys["y"], sol.ys["t, y, args"])
    np.testing.assert_allclose(sol.ys["module"][-1], af.misalignment(sol.y1), rtol=1e-12)
    repeated = af.simulate(
        field, n["y0"], t1=jnp.asarray(2.0), ts=np.array([0.5, 1, 2.0]), observe=functions
    )
    assert np.array_equal(sol.y1, repeated.y1)

    assert isinstance(sol.result, diffrax.RESULTS)
    assert sol.result == diffrax.RESULTS.successful
    assert set(sol.stats) >= {"num_steps", "num_accepted_steps", "num_rejected_steps"}
    for leaf in jax.tree.leaves((sol, sol.stats)):
        assert isinstance(leaf, jax.Array)
    assert isinstance(sol.reduction, str)  # static: no leaf is a string


def test_12_observers_are_euclidean_unless_given_the_manifold():
    n = numbers(0)
    ellipsoid, y = af.Ellipsoid(n["W"]), np.asarray(n["y0"])
    W = np.asarray(n["W"])
    unit = y / np.linalg.norm(y, axis=1, keepdims=True)
    assert float(af.misalignment(n["y0"])) == pytest.approx(1 - np.mean(unit @ unit[0]))
    assert float(af.misalignment(n["y0"], ellipsoid)) == pytest.approx(1 - np.mean(y @ W @ y[0]))
    v = jnp.asarray(unit[1])
    assert float(af.lyapunov(n["y0"], v)) == pytest.approx(np.max(1 - y @ unit[1]))
    w = unit[1] / np.sqrt(unit[1] @ W @ unit[1])
    assert float(af.lyapunov(n["y0"], v, ellipsoid)) == pytest.approx(np.max(1 - y @ W @ w))
    near = np.asarray(af.clusters(jnp.asarray(y), 0.5, ellipsoid))
    linked = y @ W @ y.T >= 0.5
    assert all(near[i] == near[j] for i, j in zip(*np.nonzero(linked), strict=True))
