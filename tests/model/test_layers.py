"""Discrete layers: eq. (1), LayerNorm (Remark 2.2), feed-forward, and their limit as a flow."""

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import pytest

import attnflow as af


def test_a_layer_is_equation_1(manifold, getkey):
    P, U = jr.normal(getkey(), (2, 3, 3)), jr.normal(getkey(), (2, 3, 3))
    y = manifold.random(getkey(), (5,))
    field = af.AttentionField(manifold, P, U, mask="causal")
    got = af.AttentionLayers(field, step=0.3)(0, y)
    rows = field.attention(0.0, y)
    moved = y + 0.3 * jnp.einsum("hij,hde,je->id", rows, U, y)
    expected = moved / jnp.sqrt(jnp.einsum("id,de,ie->i", moved, manifold.W, moved))[:, None]
    assert jnp.allclose(got, expected, atol=1e-14)


def test_layers_see_the_schedules_at_k_tau(getkey):
    P = af.Piecewise(jnp.array([0.5]), jr.normal(getkey(), (2, 3, 3)))
    sphere = af.Sphere(3)
    y = sphere.random(getkey(), (4,))
    layers = af.AttentionLayers(af.AttentionField(sphere, P), step=0.3)
    before = af.AttentionLayers(af.AttentionField(sphere, P(0.0)), step=0.3)
    after = af.AttentionLayers(af.AttentionField(sphere, P(1.0)), step=0.3)
    assert jnp.array_equal(layers(1, y), before(1, y))
    assert jnp.array_equal(layers(2, y), after(2, y))


@pytest.mark.parametrize(
    "normalisation",
    ["post", "ngpt", *(pytest.param(n, marks=pytest.mark.slow) for n in ("pre", "peri", "sqrt"))],
)
def test_layers_of_small_steps_follow_the_flow(normalisation, getkey):
    sphere = af.Sphere(3)
    P, y0 = jr.normal(getkey(), (3, 3)), sphere.random(getkey(), (8,))
    field = af.AttentionField(sphere, P, mask="causal", normalisation=normalisation)
    end = af.simulate(field, y0, t1=1.0).y1

    def error(depth):
        run = af.iterate(af.AttentionLayers(field, step=1 / depth), y0, depth=depth)
        return jnp.max(jnp.abs(run.y1 - end))

    coarse, fine = error(64), error(128)
    assert fine < 0.02
    assert jnp.allclose(coarse / fine, 2, rtol=0.1)  # first order


def test_layer_norm_puts_tokens_on_the_sphere_of_remark_2_2(getkey):
    # Centre bias, squared radius d gain^2, inside the hyperplane bias + (1, ..., 1)^perp.
    bias = jr.normal(getkey(), (5,))
    norm = af.LayerNorm(0.7 * jnp.ones(5), bias)
    out = norm(jr.normal(getkey(), (10, 5))) - bias[None]
    assert jnp.allclose(jnp.sum(out**2, axis=-1), 5 * 0.7**2)
    assert jnp.max(jnp.abs(out.sum(-1))) < 1e-14


def test_layer_norm_is_the_standard_one(getkey):
    x = jr.normal(getkey(), (4, 6))
    gain, bias = jr.normal(getkey(), (6,)), jr.normal(getkey(), (6,))
    norm = eqx.nn.LayerNorm(6, eps=1e-5)
    norm = eqx.tree_at(lambda m: (m.weight, m.bias), norm, (gain, bias))
    assert jnp.allclose(af.LayerNorm(gain, bias, 1e-5)(x), jax.vmap(norm)(x), atol=1e-13)


def test_without_skip_and_with_feed_forward(getkey):
    sphere = af.Sphere(3)
    field = af.AttentionField(sphere, jr.normal(getkey(), (3, 3)))
    y = sphere.random(getkey(), (4,))
    A = field.attention(0.0, y)[0] @ y
    assert jnp.allclose(af.AttentionLayers(field, skip=False)(0, y), sphere.project(A), atol=1e-14)
    mlp = eqx.nn.MLP(3, 3, 8, 1, key=getkey())
    z = sphere.project(y + A)
    expected = sphere.project(z + jax.vmap(mlp)(z))
    assert jnp.allclose(af.AttentionLayers(field, feed_forward=mlp)(0, y), expected, atol=1e-14)


def test_iterate_saves_the_start_and_every_layer(getkey):
    sphere = af.Sphere(3)
    y0 = sphere.random(getkey(), (4,))
    layers = af.AttentionLayers(af.AttentionField(sphere, jnp.eye(3)), step=0.5)
    sol = af.iterate(layers, y0, depth=6)
    assert sol.ys.shape == (7, 4, 3)
    assert jnp.allclose(sol.ts, 0.5 * jnp.arange(7.0))
    y = y0
    for k in range(6):
        assert jnp.allclose(sol.ys[k], y, atol=1e-14)
        y = layers(k, y)
    assert jnp.allclose(sol.y1, y, atol=1e-14)
    observed = af.iterate(layers, y0, depth=6, observe={"E": af.misalignment})
    assert jnp.allclose(observed.ys["E"], jax.vmap(af.misalignment)(sol.ys), atol=1e-15)


@pytest.mark.parametrize("how", ["overflow", "no skip"])
def test_layers_that_are_not_finite_are_failures(how):
    sphere = af.Sphere(3)
    y0 = sphere.random(jr.key(0), (4,))
    if how == "overflow":  # the first layer is fine, later ones see a larger P
        P = af.Piecewise(jnp.array([1.5]), jnp.stack([jnp.eye(3), 2000 * jnp.eye(3)]))
        layers = af.AttentionLayers(af.AttentionField(sphere, P, kernel="exp", scale=1.0))
    else:
        U = af.Piecewise(jnp.array([1.5]), jnp.stack([jnp.eye(3), 0 * jnp.eye(3)]))
        layers = af.AttentionLayers(af.AttentionField(sphere, jnp.eye(3), U=U), skip=False)
    sol = af.iterate(layers, y0, depth=4, throw=False)
    assert sol.result == diffrax.RESULTS.nonfinite
    assert "not finite" in str(sol) or "stopped being finite" in str(sol)
    assert bool(jnp.all(jnp.isfinite(sol.ys[:3])))
    with pytest.raises(RuntimeError, match="after layer 2 the tokens were not finite") as caught:
        af.iterate(layers, y0, depth=4)
    assert "\n" not in str(caught.value)
    assert jnp.isnan(jax.jit(lambda y: af.iterate(layers, y, depth=4).ys)(y0)).all()
    short = af.iterate(layers, y0, depth=2)
    assert short.result == diffrax.RESULTS.successful


def test_gradients_flow_through_the_layers(getkey):
    sphere = af.Sphere(3)
    y0, P = sphere.random(getkey(), (4,)), jr.normal(getkey(), (3, 3))

    def loss(P):
        layers = af.AttentionLayers(af.AttentionField(sphere, P), step=0.5)
        return af.misalignment(af.iterate(layers, y0, depth=6).y1)

    direction = jr.normal(getkey(), (3, 3))
    slope = (loss(P + 1e-6 * direction) - loss(P - 1e-6 * direction)) / 2e-6
    assert jnp.allclose(jnp.sum(jax.grad(loss)(P) * direction), slope, rtol=1e-7)


def test_bad_layers_are_refused(as_user):
    sphere = af.Sphere(3)
    field = af.AttentionField(sphere, jnp.eye(3))
    y0 = sphere.random(jr.key(0), (4,))
    for build, message in [
        (lambda: af.AttentionLayers(sphere), "`field` must be an AttentionField"),
        (lambda: af.AttentionLayers(field, step=jnp.ones(2)), "`step` must be a number"),
        (lambda: af.AttentionLayers(field, norm=3), "`norm` must be callable"),
        (
            lambda: af.LayerNorm(jnp.ones(3), jnp.ones(2)),
            r"`bias` must have shape \(3,\); got \(2,\)",
        ),
        (lambda: af.LayerNorm(jnp.ones(3), epsilon=-1.0), "`epsilon` must be zero or more"),
        (lambda: af.iterate(field, y0, depth=2), "`layers` must be AttentionLayers"),
        (lambda: af.iterate(af.AttentionLayers(field), y0, depth=-1), "`depth` must be an integer"),
        (lambda: af.iterate(af.AttentionLayers(field), 2 * y0, depth=1), "`y0` must lie on the"),
    ]:
        with pytest.raises(ValueError, match=message):
            build()


def test_a_feed_forward_may_depend_on_the_time_of_its_layer(getkey):
    sphere = af.Sphere(3)
    field = af.AttentionField(sphere, jr.normal(getkey(), (3, 3)))
    y, A = sphere.random(getkey(), (4,)), jr.normal(getkey(), (3, 3))
    timed = af.AttentionLayers(field, step=0.5, feed_forward=lambda t, z: (1 + t) * jnp.sin(A @ z))
    repeated = af.AttentionLayers(field, step=0.5, feed_forward=timed.feed_forward)
    for k in range(3):
        constant = af.AttentionLayers(
            field, step=0.5, feed_forward=lambda z, c=1 + 0.5 * k: c * jnp.sin(A @ z)
        )
        assert jnp.allclose(timed(k, y), constant(k, y), atol=1e-14)
        assert jnp.array_equal(timed(k, y), repeated(k, y))
    assert not jnp.allclose(timed(0, y), timed(1, y), atol=1e-3)
