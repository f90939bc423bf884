"""What a case builds: the same field, tokens and options as the same words in Python."""

import equinox as eqx
import jax
import jax.numpy as jnp
import msgspec
import numpy as np
import pytest

import attnflow as af

BASE = {"manifold": {"dim": 3}, "tokens": {"count": 8}, "attention": {"P": 1.0}}
A = [[0.1, 0.2, 0.3], [0.4, 0.5, 0.6], [0.7, 0.8, 0.9]]
B = [[1.0, 0.0, 0.5], [0.0, 1.0, 0.0], [0.5, 0.0, 1.0]]


def case(**tables) -> af.spec.Case:
    return msgspec.convert(BASE | tables, af.spec.Case)


def field(**attention):
    return case(attention={"P": 1.0} | attention).build()[0]


a, b = jnp.asarray(A), jnp.asarray(B)
SCHEDULES = {
    "constant": ({"value": A}, lambda: af.Constant(a)),
    "sinusoid": (
        {"amplitude": A, "omega": 2.0, "phase": B, "rectified": True},
        lambda: af.Sinusoid(amplitude=a, omega=2.0, phase=b, rectified=True),
    ),
    "fourier": (
        {"constant": A, "cosine": [B], "sine": [A], "omega": 2.0},
        lambda: af.Fourier(a, b[None], a[None], 2.0),
    ),
    "piecewise": (
        {"times": [1.0], "values": [A, B]},
        lambda: af.Piecewise([1.0], jnp.stack([a, b])),
    ),
    "interpolated": (
        {"ts": [0.0, 1.0], "values": [A, B], "method": "linear"},
        lambda: af.Interpolated(jnp.asarray([0.0, 1.0]), jnp.stack([a, b]), method="linear"),
    ),
    "modulated": (
        {"diagonal": {"type": "sinusoid", "amplitude": [1.0, 2.0, 3.0], "omega": 2.0}, "matrix": A},
        lambda: af.Modulated(af.Sinusoid(jnp.asarray([1.0, 2.0, 3.0]), 2.0), a),
    ),
    "factored": (
        {"Q": A[:2], "K": {"type": "constant", "value": B[:2]}},
        lambda: af.Factored(a[:2], b[:2]),
    ),
    "bounded": (
        {"schedule": A, "bound": 0.5, "norm": "spectral"},
        lambda: af.Bounded(a, 0.5, norm="spectral"),
    ),
    "carried": ({"schedule": A, "generator": B}, lambda: af.schedules.Carried(a, b)),
    "query-key": (
        {"Q": A, "K": B, "rates": [0.7], "normalise": True},
        lambda: af.QueryKey(a, b, rates=jnp.array([0.7]), normalise=True),
    ),
    "symmetric": ({"schedule": A}, lambda: af.Symmetric(a)),
    "positive-semidefinite": ({"schedule": A[:2]}, lambda: af.PositiveSemidefinite(a[:2])),
    "fixed-spectrum": (
        {
            "eigenvalues": [1.0, 0.5, -1.0],
            "schedule": {"type": "sinusoid", "amplitude": A, "omega": 2.0},
        },
        lambda: af.FixedSpectrum([1.0, 0.5, -1.0], af.Sinusoid(a, 2.0)),
    ),
    "periodic": (
        {
            "schedule": {"type": "piecewise", "times": [0.2], "values": [A, B]},
            "period": 0.4,
            "periods": 3,
        },
        lambda: af.Periodic(af.Piecewise([0.2], jnp.stack([a, b])), 0.4, 3),
    ),
    "scaled-identity": (
        {"coefficient": {"type": "sinusoid", "amplitude": 1.0, "omega": 2.0}, "dim": 3},
        lambda: af.ScaledIdentity(af.Sinusoid(1.0, 2.0), 3),
    ),
    "scaled": (
        {"coefficient": {"type": "sinusoid", "amplitude": 1.0, "omega": 2.0}, "schedule": A},
        lambda: af.Sinusoid(1.0, 2.0) * af.Constant(a),
    ),
    "sum": (
        {"terms": [A, {"type": "constant", "value": B}]},
        lambda: af.Constant(a) + af.Constant(b),
    ),
}


def public_schedules() -> set[str]:
    """Those of attnflow.schedules that a file can state: not abstract, not made by others."""
    classes = {x for x in vars(af.schedules).values() if isinstance(x, type)}
    inner = {"AbstractSchedule", "Congruent", "Function"}
    return {
        cls.__name__ for cls in classes if issubclass(cls, af.schedules.AbstractSchedule)
    } - inner


def test_every_schedule_class_can_be_stated_in_a_file():
    tags = {name.replace("-", "") for name in SCHEDULES}
    assert tags == {name.lower() for name in public_schedules()}


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("which", ["P", "U"])
def test_a_schedule_table_is_the_schedule_of_that_name(name, which):
    table, make = SCHEDULES[name]
    built = getattr(field(**{which: {"type": name} | table}), which)
    expected = make()
    for t in (0.0, 0.3, 1.7):
        assert jnp.allclose(built(jnp.asarray(t)), expected(jnp.asarray(t)), rtol=1e-14, atol=0)
    assert type(built) is type(expected)


@pytest.mark.parametrize(
    "value", [2.0, [2.0, 3.0], {"type": "sinusoid", "amplitude": 2, "omega": 1}]
)
def test_numbers_multiply_the_identity_one_a_head(value):
    P = field(P=value).P
    assert isinstance(P, af.ScaledIdentity)
    t = jnp.asarray(0.4)
    factor = np.asarray(P.coefficient(t))
    np.testing.assert_allclose(P(t), factor[..., None, None] * np.eye(3), rtol=1e-14)
    assert P.shape == (*factor.shape, 3, 3)


@pytest.mark.parametrize(
    ("stated", "given"),
    [
        ({}, {}),
        ({"mask": "causal"}, {"mask": "causal"}),
        ({"kernel": "exp"}, {"kernel": "exp"}),
        ({"kernel": {"type": "hardmax", "tolerance": 0.1}}, {"kernel": af.Hardmax(tolerance=0.1)}),
        ({"normalisation": "peri"}, {"normalisation": "peri"}),
        ({"normalisation": {"type": "mix", "switch": 2.0}}, {"normalisation": af.Mix(2.0)}),
        ({"normalisation": {"type": "ngpt", "alpha": 0.5}}, {"normalisation": af.NGPT(0.5)}),
        ({"scale": 2.0}, {"scale": 2.0}),
        ({"weights": [1, 2, 3]}, {"weights": jnp.asarray([1.0, 2.0, 3.0])}),
        ({"frozen": [True, False]}, {"frozen": jnp.asarray([True, False])}),
        (
            {"mask": [[True, False], [True, True]]},
            {"mask": jnp.asarray([[True, False], [True, True]])},
        ),
        ({"mask": [[0, -1], [0.5, 0]]}, {"mask": jnp.asarray([[0, -1], [0.5, 0]])}),
    ],
)
def test_attention_is_what_the_same_arguments_make_in_python(stated, given):
    expected = af.AttentionField(af.Sphere(3), P=jnp.asarray(A), **given)
    assert eqx.tree_equal(field(P=A, **stated), expected)


T = [[True, False, False], [False, True, False], [False, False, True]]


@pytest.mark.parametrize("mask", [[[1, 0], [1, 1]], [[0, -5], [0, 0]], [[True, 0], [1, True]]])
def test_a_mask_of_whole_numbers_is_refused_in_a_file_as_in_python(mask):
    with pytest.raises(ValueError, match="true and false") as within:
        af.AttentionField(af.Sphere(3), P=jnp.asarray(A), mask=np.asarray(mask))
    with pytest.raises(ValueError, match="true and false") as stated:
        field(P=A, mask=mask)
    assert str(stated.value) == f"$.attention: {within.value}"
    assert "\n" not in str(stated.value)


@pytest.mark.parametrize(
    "tables",
    [
        {"manifold": {"W": T}},
        {"tokens": {"rows": T}},
        {"tokens": {"count": 3, "law": "hemisphere", "v": T[0]}},
        {"attention": {"P": T}},
        {"attention": {"P": 1.0, "U": T}},
        {"attention": {"P": 1.0, "weights": T[0]}},
        {"attention": {"P": {"type": "constant", "value": T}}},
        {"attention": {"P": {"type": "piecewise", "times": [True], "values": [1.0, 2.0]}}},
        {"attention": {"P": {"type": "sinusoid", "amplitude": T, "omega": 1.0}}},
        {"output": {"observe": ["lyapunov"], "v": T[0]}},
    ],
)
def test_true_and_false_are_no_numbers_in_a_file_as_in_python(tables, as_user):
    with pytest.raises(
        ValueError, match=r"^\$\.\w+: `\w+` must be an array of real numbers; got dtype bool"
    ):
        made = case(**tables)
        made.observers(made.build()[0])


def test_an_ellipsoid_is_stated_by_its_matrix():
    built = case(manifold={"W": B}).build()[0]
    assert eqx.tree_equal(built.manifold, af.Ellipsoid(b))


def test_drawn_numbers_are_those_of_their_seed_within_their_bounds():
    drawn = {"type": "uniform", "shape": [3, 3], "low": 1.0, "high": 2.0, "seed": 7}
    P = field(P={"type": "modulated", "diagonal": [1.0, 1.0, 1.0], "matrix": drawn}).P
    expected = jax.random.uniform(jax.random.key(7), (3, 3), minval=1.0, maxval=2.0)
    assert jnp.array_equal(P.matrix, expected)
    assert jnp.array_equal(field(P=drawn).P.value, expected)


def uniform(*shape, seed=0):
    return {"type": "uniform", "shape": list(shape), "low": -1.0, "high": 1.0, "seed": seed}


def drawn(*shape, seed=0):
    return jax.random.uniform(jax.random.key(seed), shape, minval=-1.0, maxval=1.0)


@pytest.mark.parametrize(
    ("table", "make"),
    [
        (
            {
                "type": "fourier",
                "constant": uniform(3, 3),
                "cosine": uniform(2, 3, 3, seed=1),
                "sine": uniform(2, 3, 3, seed=2),
                "omega": 2.0,
            },
            lambda: af.Fourier(drawn(3, 3), drawn(2, 3, 3, seed=1), drawn(2, 3, 3, seed=2), 2.0),
        ),
        (
            {"type": "piecewise", "times": [1.0], "values": uniform(2, 3, 3)},
            lambda: af.Piecewise([1.0], drawn(2, 3, 3)),
        ),
        (
            {"type": "interpolated", "ts": [0.0, 1.0], "values": uniform(2, 3, 3)},
            lambda: af.Interpolated([0.0, 1.0], drawn(2, 3, 3)),
        ),
        (
            {
                "type": "fixed-spectrum",
                "eigenvalues": uniform(3, seed=1),
                "schedule": uniform(2, 3, 3),
            },
            lambda: af.FixedSpectrum(drawn(3, seed=1), drawn(2, 3, 3)),
        ),
    ],
)
def test_tables_of_schedules_take_drawn_arrays_as_they_take_lists(table, make):
    assert eqx.tree_equal(field(P=table).P, make())


def test_tokens_of_a_cube_are_its_points_projected():
    tokens = af.spec.read("figure4").tokens
    sphere, key = af.Sphere(500), jax.random.key(0)
    entries = jax.random.uniform(key, (50, 500), minval=-0.5, maxval=0.5)
    assert jnp.allclose(tokens.build(sphere), sphere.project(entries), rtol=1e-14, atol=0)


def test_random_tokens_are_those_of_the_key():
    sphere, key = af.Sphere(3), jax.random.key(7)
    _, y0, _ = case(tokens={"count": 8, "seed": 7}).build()
    assert jnp.array_equal(y0, sphere.random(key, (8,)))
    v = [0.0, 1.0, 0.0]
    _, y0, _ = case(tokens={"count": 8, "seed": 7, "law": "hemisphere", "v": v}).build()
    assert jnp.array_equal(y0, sphere.random_hemisphere(key, (8,), v=jnp.asarray(v)))
    assert jnp.all(y0[:, 1] > 0)


def test_rows_are_taken_as_they_are_and_projected_only_when_asked():
    _, y0, _ = case(tokens={"rows": [[1.0, 0.0, 0.0]]}).build()
    assert jnp.array_equal(y0, jnp.asarray([[1.0, 0.0, 0.0]]))
    with pytest.raises(ValueError, match=r"^\$\.tokens: `rows` must lie on the manifold"):
        case(tokens={"rows": [[2.0, 0.0, 0.0]]}).build()
    _, y0, _ = case(tokens={"rows": [[2.0, 0.0, 0.0]], "project": True}).build()
    assert jnp.array_equal(y0, jnp.asarray([[1.0, 0.0, 0.0]]))


def test_options_are_keyword_arguments_of_simulate():
    stated = case(time={"t0": 1.0, "t1": 2.0, "points": 3}, solver={"rtol": 1e-6, "max_steps": 100})
    _, _, options = stated.build()
    assert jnp.array_equal(options.pop("ts"), jnp.asarray([1.0, 1.5, 2.0]))
    assert options == {"t0": 1.0, "t1": 2.0, "rtol": 1e-6, "atol": None, "max_steps": 100}


def test_noise_is_an_option_with_a_key_by_its_own_seed():
    table = {"independent": 0.3, "common": 0.1, "calculus": "ito", "seed": 4}
    _, _, options = case(noise=table).build()
    made = af.Noise(independent=0.3, common=0.1, calculus="ito")
    assert eqx.tree_equal(options["noise"], made)
    other = case(noise=table | {"seed": 5}).build()[2]["key"]
    assert not jnp.array_equal(*map(jax.random.key_data, (options["key"], other)))
    # Not that of tokens drawn from the same seed.
    assert not jnp.array_equal(*map(jax.random.key_data, (options["key"], jax.random.key(4))))
    assert set(options) > {"noise", "key", "ts"}
    assert "noise" not in msgspec.to_builtins(case())
    assert msgspec.to_builtins(case(noise=table))["noise"] == table


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"seed": 3}, "give `independent`, `common` or `values`"),
        ({"independent": -1.0}, "noise.independent"),
        ({"independent": 1.0, "seed": -1}, "noise.seed"),
    ],
)
def test_noise_that_is_none_is_refused(table, says):
    with pytest.raises(msgspec.ValidationError, match=says):
        case(noise=table)


def test_the_dtype_is_that_of_tokens_and_times():
    _, y0, options = case(dtype="float32").build()
    assert y0.dtype == options["ts"].dtype == jnp.float32


def test_float64_is_refused_while_jax_has_it_off(x64_off):
    with pytest.raises(ValueError, match=r"^\$\.dtype: .*jax_enable_x64"):
        case().build()


@pytest.mark.parametrize(
    ("tables", "place"),
    [
        ({"manifold": {"W": [[1.0, 2.0], [0.0, 1.0]]}}, "manifold: `W` must be symmetric"),
        ({"tokens": {"rows": [[0.0, 0.0, 0.0]]}}, "tokens: `rows` must have finite, non-zero"),
        ({"attention": {"P": [[1.0, 0.0], [0.0, 1.0]]}}, "attention: `P` must have shape"),
        ({"attention": {"P": 1.0, "mask": [[True], [True]]}}, "attention: `mask`"),
        (
            {"attention": {"P": {"type": "symmetric", "schedule": A[:2]}}},
            "attention: `schedule` must have shape",
        ),
        (
            {"attention": {"P": {"type": "positive-semidefinite", "schedule": 1.0}}},
            "attention: `schedule` must have shape",
        ),
        (
            {"attention": {"P": {"type": "fixed-spectrum", "eigenvalues": [1.0], "schedule": A}}},
            "attention: `eigenvalues` must have shape",
        ),
        (
            {"attention": {"P": {"type": "periodic", "schedule": A, "period": 0, "periods": 1}}},
            "attention: `period` must be positive",
        ),
        (
            {"attention": {"P": {"type": "piecewise", "times": [1.0], "values": uniform(3, 3, 3)}}},
            "attention: `values` must have one entry more",
        ),
    ],
)
def test_what_does_not_fit_is_refused_with_its_table(as_user, tables, place):
    with pytest.raises(ValueError, match=rf"^\$\.{place}"):
        case(**tables).build()


@pytest.mark.slow
def test_a_case_runs_with_its_observers():
    stated = case(
        time={"t1": 1.0, "points": 2},
        output={"observe": ["energy", "misalignment", "lyapunov", "clusters"], "v": [1.0, 0, 0]},
    )
    built, y0, options = stated.build()
    observers = stated.observers(built)
    assert list(observers) == ["energy", "misalignment", "lyapunov", "clusters"]
    sol = af.simulate(built, y0, **options, observe=observers)
    assert jnp.allclose(sol.ys["misalignment"][0], af.misalignment(y0), rtol=1e-12, atol=0)
    assert jnp.allclose(sol.ys["energy"][1], af.energy(built, 1.0, sol.y1), rtol=1e-12, atol=0)
    V = af.lyapunov(y0, jnp.asarray([1.0, 0, 0]))
    assert jnp.allclose(sol.ys["lyapunov"][0], V, rtol=1e-12, atol=0)


def test_the_distance_from_the_manifold_is_observed_only_where_it_means_something():
    stated = case(attention={"P": 1.0, "normalisation": "pre"})
    assert "residual" not in stated.observers(stated.build()[0])
    assert "residual" in case().observers(case().build()[0])
