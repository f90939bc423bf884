"""Whitening and span coordinates are the plain flow: values, gradients, steps, events, dense output."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import pytest

import attnflow as af

DIM = 12  # more than the 8 tokens, so that the span reduction applies


def place(kind, getkey):
    if kind == "sphere":
        return af.Sphere(DIM)
    A = jr.normal(getkey(), (DIM, DIM))
    return af.Ellipsoid(A @ A.T / DIM + jnp.eye(DIM))


def schedule(kind, getkey):
    P = jr.normal(getkey(), (2, DIM, DIM))
    wave = af.Sinusoid(2.0, jr.uniform(getkey(), (2, DIM)), jr.normal(getkey(), (2, DIM)), True)
    return {
        "constant": lambda: af.Constant(P),
        "modulated": lambda: af.Modulated(wave, P),
        "separable": lambda: af.Sinusoid(1.0, jnp.array([1.0, 3.0])) * af.Constant(P) + P,
        "factored": lambda: af.Factored(P[:, :3], P[:, 3:6]),
        "function": lambda: af.Function(lambda t: jnp.cos(t) * P, frequency=0.2),
    }[kind]()


def starts(manifold, getkey, repeated):
    y0 = manifold.random(getkey(), (8,))
    if repeated:  # coinciding and dependent tokens, where a QR basis has no right gradient
        y0 = y0.at[3].set(y0[1]).at[5].set(y0[1]).at[6].set(manifold.project(y0[0] + y0[2]))
    return y0


@pytest.mark.slow
@pytest.mark.parametrize("repeated", [False, True])
@pytest.mark.parametrize("kind", ["constant", "modulated", "separable", "factored", "function"])
@pytest.mark.parametrize("where", ["sphere", "ellipsoid"])
def test_the_span_field_is_the_field(where, kind, repeated, getkey):
    manifold = place(where, getkey)
    y0 = starts(manifold, getkey, repeated)
    U = af.ScaledIdentity(jnp.array([1.0, -0.5]), DIM)

    def lifted(P, y0, how):
        field = af.AttentionField(manifold, P, U, mask="causal")
        field, x0, lift = field.reduce(y0, how=how)
        return lift(field(0.7, x0)), lift(x0)

    P = schedule(kind, getkey)
    (v, y), (w, z) = lifted(P, y0, "span"), lifted(P, y0, "none")
    assert jnp.allclose(y, z, atol=1e-14)
    assert jnp.allclose(v, w, atol=1e-13)
    probe = jr.normal(getkey(), (8, DIM))
    # Differentiate with respect to the start *on the manifold*, duplicates included.
    gradient = lambda how: jax.grad(  # noqa: E731
        lambda y: jnp.sum(probe * lifted(P, manifold.project(y), how)[0])
    )(y0)
    assert jnp.allclose(gradient("span"), gradient("none"), atol=1e-12)


@pytest.mark.parametrize("normalisation", ["post", "pre", "peri", "ngpt"])
def test_reductions_carry_every_normalisation(normalisation, getkey):
    manifold = place("ellipsoid", getkey)
    y0 = manifold.random(getkey(), (8,))
    P = jr.normal(getkey(), (DIM, DIM))
    field = af.AttentionField(manifold, P, normalisation=normalisation)
    t = jnp.asarray(0.0)

    @eqx.filter_jit
    def both_ways(field, y0):
        reduced = [field.reduce(y0, how=how) for how in ("span", "whitening")]
        return field(t, y0), [lift(r(t, x0)) for r, x0, lift in reduced]

    plain, carried = both_ways(field, y0)
    for velocity in carried:
        assert jnp.allclose(velocity, plain, atol=1e-13)


@pytest.fixture(scope="module")
def runs():
    """One flow on an ellipsoid in R^12, run plainly, in span coordinates and whitened."""
    keys = iter(jr.split(jr.key(11), 9))
    manifold = place("ellipsoid", lambda: next(keys))
    y0 = starts(manifold, lambda: next(keys), True)
    wave = af.Sinusoid(2.0, jr.uniform(next(keys), (2, DIM)), jr.normal(next(keys), (2, DIM)))
    P = jr.normal(next(keys), (2, DIM, DIM))

    def run(how, P, y0):
        field = af.AttentionField(manifold, af.Modulated(wave, P), mask="causal", scale=1.0)
        return af.simulate(
            field,
            y0,
            t1=6.0,
            ts=jnp.array([0.0, 1.0, 2.5]),
            observe={"E": af.misalignment, "y": lambda t, y: y},
            event=af.consensus(1e-2),
            reduce=how,
            dense=True,
            max_steps=500,
        )

    out = {how: run(how, P, y0) for how in (False, "span", "whitening")}
    out["auto"] = run(True, P, y0)
    gradients = {}
    for how in (False, "span"):

        def loss(P, y0, how=how):
            field = af.AttentionField(manifold, af.Modulated(wave, P), mask="causal", scale=1.0)
            return jnp.sum(af.simulate(field, y0, t1=2.0, reduce=how).y1 ** 3)

        gradients[how] = jax.grad(loss, (0, 1))(P, y0)
    return out, gradients


@pytest.mark.slow
def test_reduced_runs_take_the_same_steps_to_the_same_tokens(runs):
    out, _ = runs
    plain = out[False]
    for how, name in (("span", "span"), ("whitening", "whitening"), ("auto", "span")):
        sol = out[how]
        assert sol.reduction == name
        assert sol.stats["num_steps"] == plain.stats["num_steps"]
        assert jnp.allclose(sol.y1, plain.y1, atol=1e-11)
        assert jnp.allclose(sol.ys["y"], plain.ys["y"], atol=1e-12)
        assert jnp.allclose(sol.ys["E"], plain.ys["E"], atol=1e-12)
    assert plain.reduction == "none"


@pytest.mark.slow
def test_events_and_dense_output_see_tokens_whatever_the_coordinates(runs):
    out, _ = runs
    plain = out[False]
    assert bool(plain.event)
    assert 2.5 < plain.t1 < 6
    for how in ("span", "whitening"):
        assert jnp.allclose(out[how].t1, plain.t1, rtol=1e-9)
        assert jnp.allclose(out[how].evaluate(1.7), plain.evaluate(1.7), atol=1e-11)
        assert jnp.allclose(out[how].evaluate(2.5), out[how].ys["y"][2], atol=1e-13)


@pytest.mark.slow
def test_gradients_of_reduced_runs_are_those_of_plain_ones_at_repeated_tokens(runs):
    _, gradients = runs
    for span, plain in zip(gradients["span"], gradients[False], strict=True):
        assert jnp.max(jnp.abs(span - plain)) < 1e-11 * jnp.max(jnp.abs(plain))


def test_what_reduces_is_decided_by_type_and_shape(getkey):
    y0 = af.Sphere(DIM).random(getkey(), (4,))
    P = jnp.eye(DIM)

    def name(manifold, tokens, **options):
        field = af.AttentionField(manifold, P, **options)
        y = jax.ShapeDtypeStruct((tokens, DIM), jnp.dtype(float))
        return eqx.filter_eval_shape(field.reduce, y).lift.name

    ellipsoid = place("ellipsoid", getkey)
    assert name(af.Sphere(DIM), 4) == "span"
    assert name(af.Sphere(DIM), DIM) == "none"
    assert name(ellipsoid, DIM) == "whitening"
    assert name(ellipsoid, 4) == "span"
    assert name(ellipsoid, 4, U=jnp.eye(DIM)) == "whitening"  # an array is no ScaledIdentity
    assert name(af.Sphere(DIM), 4, U=af.ScaledIdentity(2.0, DIM)) == "span"
    assert name(af.Sphere(DIM), 4, drift=lambda t, y: y) == "none"
    with pytest.raises(ValueError, match="`how`='span' needs values"):
        af.AttentionField(af.Sphere(DIM), P, U=P).reduce(y0, how="span")
    with pytest.raises(ValueError, match="`how`='whitening' needs an Ellipsoid"):
        af.AttentionField(af.Sphere(DIM), P).reduce(y0, how="whitening")
    with pytest.raises(ValueError, match="`how` must be one of"):
        af.AttentionField(af.Sphere(DIM), P).reduce(y0, how="fast")


def test_a_drift_is_whitened_with_its_field(getkey):
    manifold = place("ellipsoid", getkey)
    y0, push = manifold.random(getkey(), (4,)), jr.normal(getkey(), (4, DIM))
    P, U = jr.normal(getkey(), (DIM, DIM)), jr.normal(getkey(), (DIM, DIM))
    field = af.AttentionField(manifold, P, U, drift=lambda t, y: push + t * y[::-1])
    reduced, x0, lift = field.reduce(y0)
    assert lift.name == "whitening"
    assert jnp.allclose(lift(reduced(0.4, x0)), field(0.4, y0), atol=1e-13)


def test_a_separable_span_field_costs_nothing_that_grows_with_the_dimension():
    def flops(dim):
        sphere = af.Sphere(dim)
        P = af.Sinusoid(1.0, jnp.array([1.0, 2.0])) * af.Constant(jnp.ones((2, dim, dim)))
        y0 = sphere.random(jr.key(0), (4,))
        reduced = af.AttentionField(sphere, P).reduce(y0)
        shapes = [leaf.shape for leaf in jax.tree.leaves(reduced.field)]
        assert all(dim not in shape for shape in shapes)
        cost = jax.jit(reduced.field.__call__).lower(0.3, reduced.y0).compile().cost_analysis()
        return cost["flops"]

    assert flops(64) == flops(256)
