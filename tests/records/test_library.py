"""What the library makes comes back from a file: manifolds, schedules, fields, solutions."""

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import pytest

import attnflow as af

A = jnp.linspace(-0.3, 0.4, 9).reshape(3, 3)
D = af.Sinusoid(jnp.asarray([1.0, 2.0, 3.0]), 6.0)
SPHERE = af.Sphere(3)
T = jnp.linspace(0.0, 1.0, 5)
Y0 = SPHERE.random(jax.random.key(0), (8,))


class Drift(eqx.Module):
    """A term of the user's own."""

    rate: jax.Array

    def __call__(self, t, y):
        return self.rate * y


def returned(folder, module, classes=()):
    af.save(folder / "module.af", module)
    return af.load(folder / "module.af", classes=classes)


THINGS = {
    "sphere": lambda: SPHERE,
    "ellipsoid": lambda: af.Ellipsoid(jnp.eye(3) + A @ A.T),
    "constant": lambda: af.Constant(A),
    "sinusoid": lambda: D,
    "modulated": lambda: af.Modulated(D, A),
    "fourier": lambda: af.Fourier(A, A[None], A[None], 2.0),
    "piecewise": lambda: af.Piecewise([0.5], jnp.stack([A, 2 * A])),
    "interpolated": lambda: af.Interpolated(T[:2], jnp.stack([A, 2 * A]), method="linear"),
    "factored": lambda: af.Factored(A[:2], af.Constant(A[:2])),
    "bounded": lambda: af.Bounded(A, 1.0, norm="spectral"),
    "scaled identity": lambda: af.ScaledIdentity(af.Sinusoid(1.0, 2.0), 3),
    "sum": lambda: af.Constant(A) + 2.0 * af.Modulated(D, A),
    "function of jax": lambda: af.Function(jnp.sin, frequency=0.2),
    "field": lambda: af.AttentionField(SPHERE, af.Modulated(D, A), U=A, mask="causal"),
    "field with every option": lambda: af.AttentionField(
        af.Ellipsoid(jnp.eye(3) + A @ A.T),
        jnp.stack([A, A]),
        mask=jnp.tril(jnp.ones((8, 8), bool)),
        kernel=af.Hardmax(tolerance=0.1),
        normalisation=af.Mix(2.0),
        scale=1.0,
        weights=jnp.arange(1.0, 9.0),
        frozen=jnp.arange(8) < 2,
        drift=Drift(jnp.asarray(0.1)),
    ),
    "layers": lambda: af.AttentionLayers(
        af.AttentionField(SPHERE, A),
        step=0.3,
        norm=af.LayerNorm(jnp.ones(3), jnp.zeros(3), 1e-5),
        feed_forward=eqx.nn.MLP(3, 3, 4, depth=1, key=jax.random.key(1)),
    ),
    "projected solver": lambda: af.ProjectedSolver(diffrax.Kvaerno5(), SPHERE),
    "observers": lambda: {
        "E": af.Misalignment(),
        "V": af.Lyapunov(jnp.asarray([1.0, 0.0, 0.0])),
        "F": af.Energy(af.AttentionField(SPHERE, A)),
        "margin": af.HemisphereMargin(),
        "clusters": af.ClusterCount(0.99),
    },
    "event": lambda: af.consensus(1e-3),
}


@pytest.mark.parametrize("name", THINGS)
def test_it_comes_back_equal(tmp_path, name):
    thing = THINGS[name]()
    assert eqx.tree_equal(returned(tmp_path, thing, [Drift]), thing, typematch=True)


@pytest.fixture(scope="module")
def field():
    return af.AttentionField(SPHERE, af.Modulated(D, A), mask="causal")


@pytest.fixture(scope="module")
def solution(field):
    return af.simulate(field, Y0, t1=1.0, event=af.consensus(1e-3), dense=True, max_steps=256)


def test_a_loaded_field_moves_tokens_by_the_same_bits(tmp_path, field):
    loaded = returned(tmp_path, field)
    t = jnp.asarray(0.3)
    assert jnp.array_equal(loaded(t, Y0), field(t, Y0))


def test_a_loaded_field_does_not_recompile_what_took_the_saved_one(tmp_path, field):
    traces = []

    @eqx.filter_jit
    def velocity(field, t, y):
        traces.append(1)
        return field(t, y)

    t = jnp.asarray(0.3)
    assert jnp.array_equal(velocity(returned(tmp_path, field), t, Y0), velocity(field, t, Y0))
    assert len(traces) == 1


def test_a_solution_comes_back_with_result_events_and_summary(tmp_path, solution):
    loaded = returned(tmp_path, solution)
    assert eqx.tree_equal(loaded, solution)
    assert loaded.result == solution.result
    assert loaded.event == solution.event
    assert str(loaded) == str(solution)


def test_a_dense_solution_comes_back_and_evaluates_to_the_same_bits(tmp_path, solution):
    loaded = returned(tmp_path, solution)
    t = jnp.asarray(0.4)
    assert jnp.array_equal(loaded.evaluate(t), solution.evaluate(t))


def test_a_field_with_a_lambda_for_drift_is_refused_with_its_path(tmp_path):
    field = af.AttentionField(SPHERE, A, drift=lambda t, y: -y)
    with pytest.raises(ValueError, match=r"`module\.drift.*function` is the function .*Module"):
        af.save(tmp_path / "module.af", field)
