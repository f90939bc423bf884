"""Hostile input on manifolds: each case is refused in one line, or has its right answer."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import attnflow as af

_KEY = jr.key(0)
_SPHERE = af.Sphere(3)
_SPACE = af.Euclidean(3)
_ELLIPSOID = af.Ellipsoid(np.diag([1.0, 2.0, 4.0]))
_OBJECT = np.array([object()], dtype=object)

_NO_NUMBERS = {
    "nothing": None,
    "a word": "x",
    "a dictionary": {},
    "objects": _OBJECT,
    "words": np.array(["a", "b", "c"]),
    "dates": np.array(["2000-01-01"], "M8[D]"),
    "complex": 1j,
    "a Boolean": True,
    "mixed": [1, "word"],
    "an integer beyond 64 bits": 10**30,
}
_NO_VECTORS = _NO_NUMBERS | {"a scalar": 1.0, "another dimension": np.ones((2, 5))}
_NO_SIZES = {
    "nothing": None,
    "a word": "3",
    "a float": 2.5,
    "NaN": float("nan"),
    "negative": -1,
    "zero": 0,
    "huge": 10**30,
    "a Boolean": True,
    "an array": np.ones(2),
}
_METHODS = {
    "project": lambda m, x: m.project(x),
    "norm": lambda m, x: m.norm(x),
    "residual": lambda m, x: m.residual(x),
    "whiten": lambda m, x: m.whiten(x),
    "unwhiten": lambda m, x: m.unwhiten(x),
    "lower": lambda m, x: m.lower(x),
    "distance": lambda m, x: m.distance(x, np.ones(3)),
    "inner": lambda m, x: m.inner(np.ones(3), x),
    "to_tangent": lambda m, x: m.to_tangent(np.ones(3), x),
}


@pytest.mark.parametrize("value", _NO_SIZES.values(), ids=_NO_SIZES)
def test_a_dimension_that_is_none_is_refused(refused, value):
    refused(lambda: af.Sphere(value), "`dim`")
    refused(lambda: af.Euclidean(value), "`dim`")


@pytest.mark.parametrize("value", _NO_VECTORS.values(), ids=_NO_VECTORS)
@pytest.mark.parametrize("method", _METHODS.values(), ids=_METHODS)
@pytest.mark.parametrize(
    "manifold", [_SPHERE, _ELLIPSOID, _SPACE], ids=["sphere", "ellipsoid", "space"]
)
def test_vectors_that_are_none_are_refused(refused, manifold, method, value):
    refused(lambda: method(manifold, value), "`")


_BAD_W = _NO_NUMBERS | {
    "a vector": np.ones(3),
    "not square": np.ones((2, 3)),
    "empty": np.zeros((0, 0)),
    "half precision": np.eye(3, dtype=np.float16),
    "bfloat16": jnp.eye(3, dtype=jnp.bfloat16),
    "NaN": np.full((2, 2), np.nan),
    "infinite": np.diag([1.0, np.inf]),
    "indefinite": np.diag([1.0, -1.0]),
    "asymmetric": np.array([[2.0, 1.0], [0.0, 2.0]]),
}


@pytest.mark.parametrize("value", _BAD_W.values(), ids=_BAD_W)
def test_a_form_that_is_none_is_refused(refused, value):
    refused(lambda: af.Ellipsoid(value), "`W`")


_BAD_DRAWS = {
    "key a number": (lambda: _SPHERE.random(0), "`key`"),
    "key a word": (lambda: _SPHERE.random("x"), "`key`"),
    "key nothing": (lambda: _SPHERE.random(None), "`key`"),
    "many keys": (lambda: _SPHERE.random(jr.split(_KEY)), "`key`"),
    "shape a number": (lambda: _SPHERE.random(_KEY, 3), "`shape`"),
    "shape negative": (lambda: _SPHERE.random(_KEY, (-1,)), "`shape`"),
    "shape a float": (lambda: _SPHERE.random(_KEY, (2.5,)), "`shape`"),
    "shape a word": (lambda: _SPHERE.random(_KEY, "3"), "`shape`"),
    "shape beyond memory": (lambda: _SPHERE.random(_KEY, (10**9, 10**9)), "GiB"),
    "dtype a word": (lambda: _SPHERE.random(_KEY, dtype="x"), "`dtype`"),
    "dtype of integers": (lambda: _SPHERE.random(_KEY, dtype=int), "`dtype`"),
    "dtype half": (lambda: _SPHERE.random(_KEY, dtype=jnp.float16), "`dtype`"),
    "v NaN": (lambda: _SPHERE.random_hemisphere(_KEY, v=np.full(3, np.nan)), "`v`"),
    "v infinite": (lambda: _SPHERE.random_hemisphere(_KEY, v=np.full(3, np.inf)), "`v`"),
    "v zero": (lambda: _SPHERE.random_hemisphere(_KEY, v=np.zeros(3)), "`v`"),
    "v of another dimension": (lambda: _SPHERE.random_hemisphere(_KEY, v=np.ones(2)), "`v`"),
    "v a word": (lambda: _SPHERE.random_hemisphere(_KEY, v="x"), "`v`"),
    "law a number": (lambda: _SPACE.random(_KEY, law=1), "`law`"),
    "size a word": (lambda: _SPACE.random(_KEY, size="x"), "`size`"),
    "size nothing": (lambda: _SPACE.random(_KEY, size=None), "`size`"),
    "size NaN": (lambda: _SPACE.random(_KEY, size=float("nan")), "`size`"),
    "many sizes": (lambda: _SPACE.random(_KEY, size=np.ones(2)), "`size`"),
    "space beyond memory": (lambda: _SPACE.random(_KEY, (10**9, 10**9)), "GiB"),
    "key of space a word": (lambda: _SPACE.random("x"), "`key`"),
    "space half": (lambda: _SPACE.random(_KEY, dtype=jnp.float16), "`dtype`"),
    "tokens of space NaN": (lambda: _SPACE.check_tokens("y", np.full((2, 3), np.nan)), "`y`"),
    "no tokens of space": (lambda: _SPACE.check_tokens("y", np.zeros((0, 3))), "`y`"),
    "W beyond memory": (lambda: af.Sphere(10**5).W, "GiB"),
    "pairs that do not fit": (lambda: _SPHERE.distance(np.ones((2, 3)), np.ones((4, 3))), "`x`"),
    "tokens of rank 3": (lambda: _SPHERE.check_tokens("y", np.ones((2, 2, 3))), "`y`"),
    "no tokens": (lambda: _SPHERE.check_tokens("y", np.zeros((0, 3))), "`y`"),
    "tokens NaN": (lambda: _SPHERE.check_tokens("y", np.full((2, 3), np.nan)), "`y`"),
    "tokens half": (lambda: _SPHERE.check_tokens("y", np.ones((2, 3), np.float16)), "float16"),
    "margin of words": (lambda: af.hemisphere_margin("x"), "`y`"),
    "margin of no tokens": (lambda: af.hemisphere_margin(np.zeros((0, 3))), "`y`"),
    "margin in half": (lambda: af.hemisphere_margin(np.ones((2, 3), np.float16)), "float16"),
}


@pytest.mark.parametrize(("call", "words"), _BAD_DRAWS.values(), ids=_BAD_DRAWS)
def test_bad_draws_and_tokens_are_refused(refused, call, words):
    refused(call, words)


@pytest.mark.parametrize("size", [1e200, 1e-200, 1e300, 1e-300, 1.0])
@pytest.mark.parametrize("manifold", [_SPHERE, _ELLIPSOID], ids=["sphere", "ellipsoid"])
def test_a_token_of_any_length_has_its_projection_and_gradient(manifold, size):
    x = jnp.array([1.0, -2.0, 2.0])
    expected = manifold.project(x)
    assert jnp.allclose(manifold.project(size * x), expected, rtol=1e-14)
    assert jnp.allclose(manifold.norm(size * x) / size, manifold.norm(x), rtol=1e-14)
    jacobian = jax.jacobian(manifold.project)
    assert jnp.allclose(jacobian(size * x) * size, jacobian(x), rtol=1e-12, atol=1e-14)


def test_nothing_of_an_ordinary_projection_changes_by_a_bit():
    y = jr.normal(jr.key(1), (8, 3))
    assert jnp.array_equal(_SPHERE.project(y), y / jnp.sqrt(jnp.sum(y * y, axis=-1))[:, None])


@pytest.mark.parametrize("name", ["project", "norm", "residual", "distance", "inner"])
def test_nan_in_gives_nan(name):
    assert jnp.isnan(_METHODS[name](_SPHERE, np.full(3, np.nan))).all()
