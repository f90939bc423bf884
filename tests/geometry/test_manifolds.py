"""The sphere and the ellipsoid: projection, tangent map, distances, random tokens, whitening."""

import jax
import jax.numpy as jnp
import jax.random as jr
import pytest

import attnflow as af


def test_project_lands_on_the_manifold_from_anywhere(manifold, getkey):
    x = 10.0 ** jr.uniform(getkey(), (50, 1), minval=-8, maxval=8) * jr.normal(getkey(), (50, 3))
    assert jnp.max(manifold.residual(manifold.project(x))) < 1e-15


def test_to_tangent_is_the_derivative_of_project_off_the_manifold(manifold, getkey):
    y, v = 3.0 * jr.normal(getkey(), (20, 3)), jr.normal(getkey(), (20, 3))
    _, expected = jax.jvp(manifold.project, (y,), (v,))
    assert jnp.allclose(manifold.to_tangent(y, v), expected, rtol=1e-12, atol=1e-14)


def test_to_tangent_conserves_the_norm_off_the_manifold(manifold, getkey):
    # The shorthand I - yy'W does not: the difference is trap 1.
    y, v = 1.5 * manifold.random(getkey(), (20,)), jr.normal(getkey(), (20, 3))
    assert jnp.max(jnp.abs(manifold.inner(y, manifold.to_tangent(y, v)))) < 1e-14


def test_distance_is_the_angle_without_cancellation(manifold):
    e = manifold.project(jnp.array([1.0, 0.0, 0.0]))
    f = jnp.array([0.0, 1.0, 0.0])
    f = manifold.project(f - manifold.inner(f, e) * e)  # orthogonal to e in the inner product of W
    for angle in (1e-12, 1e-3, 1.0, jnp.pi - 1e-7):
        rotated = jnp.cos(angle) * e + jnp.sin(angle) * f
        assert jnp.allclose(manifold.distance(e, rotated), angle, rtol=1e-8)
    assert jnp.allclose(manifold.distance(e, -e), jnp.pi)
    assert manifold.distance(e, e) == 0


def test_norm_has_a_finite_gradient_at_zero(manifold):
    assert jnp.all(jax.grad(manifold.norm)(jnp.zeros(3)) == 0)


def test_random_tokens_are_uniform(manifold, getkey):
    # Whitened tokens of S^2: mean 0, covariance I/3, and each coordinate uniform on [-1, 1].
    x = manifold.whiten(manifold.random(getkey(), (20_000,)))
    assert jnp.max(jnp.abs(x.mean(0))) < 5 / jnp.sqrt(3 * 20_000)
    assert jnp.max(jnp.abs(x.T @ x / 20_000 - jnp.eye(3) / 3)) < 0.01
    quantiles = jnp.quantile(x[:, 2], jnp.linspace(0.1, 0.9, 9))
    assert jnp.max(jnp.abs(quantiles - jnp.linspace(-0.8, 0.8, 9))) < 0.03


def test_random_hemisphere_is_open_and_uniform(manifold, getkey):
    v = jnp.array([1.0, -2.0, 0.5])
    y = manifold.random_hemisphere(getkey(), (20_000,), v=v)
    assert jnp.min(y @ v) > 0
    assert jnp.max(manifold.residual(y)) < 1e-14
    # Archimedes: on the sphere the height over the equator is uniform on [0, 1].
    direction = jnp.linalg.solve(manifold.W, v)
    height = manifold.inner(y, direction[None]) / manifold.norm(direction)
    assert abs(float(height.mean()) - 0.5) < 0.01
    assert abs(float(height.var()) - 1 / 12) < 0.005


def test_random_has_the_asked_dtype_and_shape(manifold, getkey):
    y = manifold.random(getkey(), (2, 5), dtype=jnp.float32)
    assert y.shape == (2, 5, 3)
    assert y.dtype == jnp.float32
    assert manifold.project(y).dtype == jnp.float32


def test_whitening_is_an_isometry_onto_the_sphere(manifold, getkey):
    x, y = jr.normal(getkey(), (10, 3)), jr.normal(getkey(), (10, 3))
    sphere = af.Sphere(3)
    inner = sphere.inner(manifold.whiten(x), manifold.whiten(y))
    assert jnp.allclose(inner, manifold.inner(x, y), rtol=1e-13)
    assert jnp.allclose(manifold.unwhiten(manifold.whiten(x)), x, rtol=1e-13)
    many = x.reshape(2, 5, 3)
    assert jnp.allclose(manifold.unwhiten(many).reshape(10, 3), manifold.unwhiten(x))


def test_the_ellipsoid_keeps_one_leaf_and_gives_both_roots(ellipsoid):
    assert len(jax.tree.leaves(ellipsoid)) == 1
    W, root = ellipsoid.W, ellipsoid.symmetric_root
    assert jnp.allclose(root @ root, W, rtol=1e-13)
    assert jnp.allclose(root, root.T)
    assert jnp.allclose(ellipsoid.factor @ ellipsoid.factor.T, W, rtol=1e-14)


def test_w_differentiates_at_repeated_eigenvalues():
    # The Cholesky factor has a derivative at W = I, where a symmetric root by eigh has none.
    y = jnp.array([0.3, 0.4, 0.5])
    gradient = jax.grad(lambda W: jnp.sum(af.Ellipsoid(W).project(y)))(jnp.eye(3))
    assert jnp.all(jnp.isfinite(gradient))
    size = jnp.linalg.norm(y)
    assert jnp.allclose(gradient, -jnp.sum(y) * y[:, None] * y[None, :] / (2 * size**3))


@pytest.mark.parametrize(
    ("W", "message"),
    [
        (jnp.array([[1.0, 0.5], [0.0, 1.0]]), r"`W` must be symmetric; got max \|W - W'\| = 0.5"),
        (jnp.diag(jnp.array([1.0, -0.5])), "`W` must be positive definite; got smallest .* -0.5"),
        (jnp.diag(jnp.array([1.0, 0.0])), "`W` must be positive definite"),
        (jnp.ones((2, 3)), r"`W` must have shape \(dim, dim\); got \(2, 3\)"),
        (jnp.ones(3), "`W` must have shape"),
        (jnp.array([[1.0, jnp.nan], [jnp.nan, 1.0]]), "`W` must be finite"),
        ("identity", "`W` must be an array of real numbers"),
    ],
)
def test_a_bad_w_is_refused(as_user, W, message):
    with pytest.raises(ValueError, match=message):
        af.Ellipsoid(W)


def test_a_bad_w_is_nan_at_run_time_unless_raising_is_asked_for():
    build = jax.jit(lambda W: af.Ellipsoid(W).L)
    assert jnp.isnan(build(-jnp.eye(2))).all()


@pytest.mark.parametrize("dim", [0, -1, 2.5, True, "3"])
def test_a_bad_dimension_is_refused(as_user, dim):
    with pytest.raises(ValueError, match="`dim` must be a positive integer"):
        af.Sphere(dim)


def test_a_bad_hemisphere_is_refused(as_user, manifold):
    with pytest.raises(ValueError, match="`v` must not be zero"):
        manifold.random_hemisphere(jr.key(0), (4,), v=jnp.zeros(3))
    with pytest.raises(ValueError, match=r"`v` must have shape \(3,\)"):
        manifold.random_hemisphere(jr.key(0), (4,), v=jnp.ones(2))
