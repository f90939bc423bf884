"""The batch layout of small systems gives the plain field, of every kind it accepts."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import attnflow as af
from attnflow.model.many import columns, fits_columns

BATCH, TOKENS, DIM = 16, 5, 3
SPHERE = af.Sphere(DIM)


def matrices(seed, *heads):
    return jr.normal(jr.key(seed), (*heads, DIM, DIM))


def turning(**how):
    return af.QueryKey(matrices(0, 2), matrices(1, 2), **how)


def fields():
    D = af.Sinusoid(2.0, jnp.array([[3.0, 2.0, 1.0], [1.0, 5.0, 2.0]]), 0.3)
    masses = jnp.linspace(0.0, 1.0, TOKENS)
    identity = af.ScaledIdentity(af.Sinusoid(1.0, jnp.array([1.0, 2.0]), 0.5), DIM)
    bias = jr.normal(jr.key(9), (2, TOKENS, TOKENS))
    seen = jnp.eye(TOKENS, dtype=bool).at[1].set(True).at[3, 3].set(False).at[3, 0].set(True)
    return {
        "the paper's": af.AttentionField(SPHERE, P=af.Modulated(D, matrices(0, 2))),
        "values of each head": af.AttentionField(SPHERE, P=matrices(0, 2), U=matrices(1, 2)),
        "values shared": af.AttentionField(SPHERE, P=matrices(0, 2), U=matrices(1), mask="causal"),
        "one head": af.AttentionField(SPHERE, P=matrices(0), mask="causal"),
        "scaled identity": af.AttentionField(SPHERE, P=matrices(0, 2), U=identity, mask=bias),
        "masses": af.AttentionField(SPHERE, P=matrices(0), weights=masses, mask="causal"),
        "exponential": af.AttentionField(SPHERE, P=matrices(0), kernel="exp", weights=masses),
        "frozen, blind rows": af.AttentionField(
            SPHERE, P=matrices(0, 2), mask=seen, frozen=jnp.arange(TOKENS) == 2, scale=0.7
        ),
        "slopes, not oneself": af.AttentionField(
            SPHERE,
            P=matrices(0),
            mask=af.model.NoSelf(af.model.ALiBi(TOKENS, jnp.array([0.5, 2.0]))),
        ),
        "rotary": af.AttentionField(SPHERE, P=turning(rates=jnp.array([0.7])), mask="causal"),
        "normalised, warm rows": af.AttentionField(
            SPHERE, P=turning(normalise=True, temperatures=1.0 + jnp.arange(float(TOKENS)))
        ),
        "all of space": af.AttentionField(af.Euclidean(DIM), P=matrices(0, 2), U=matrices(1, 2)),
        "without its growth": af.rescaled(
            af.AttentionField(af.Euclidean(DIM), P=matrices(0), U=matrices(1), mask="causal")
        ),
        "large logits": af.AttentionField(SPHERE, P=1000.0 * jnp.eye(DIM)),
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", fields())
@pytest.mark.parametrize("differ", [False, True], ids=["shared", "each its own"])
def test_columns_are_the_plain_field(name, differ):
    field = fields()[name]
    assert fits_columns(field, TOKENS)
    y, t = SPHERE.random(jr.key(3), (BATCH, TOKENS)), jnp.linspace(0.0, 1.0, BATCH)
    axes = jax.tree.map(lambda x: 0 if differ and eqx.is_inexact_array(x) else None, field)
    if differ:
        factor = jnp.linspace(0.5, 1.5, BATCH)
        field = jax.tree.map(
            lambda x, axis: x if axis is None else factor.reshape(-1, *[1] * x.ndim) * x[None],
            field,
            axes,
        )
    plain = eqx.filter_vmap(lambda f, t, y: f(t, y), in_axes=(axes, 0, 0))(field, t, y)
    ours = columns(field, axes, t, jnp.moveaxis(y, 0, -1))
    np.testing.assert_allclose(np.moveaxis(np.asarray(ours), -1, 0), plain, atol=2e-14)


@pytest.mark.parametrize(
    "field",
    [
        af.AttentionField(af.Sphere(5), P=jnp.eye(5)),
        af.AttentionField(SPHERE, P=jnp.eye(3), kernel="hardmax"),
        af.AttentionField(SPHERE, P=jnp.eye(3), normalisation="pre"),
        af.AttentionField(SPHERE, P=jnp.eye(3), drift=lambda t, y: y),
        af.AttentionField(af.Ellipsoid(jnp.diag(jnp.arange(1.0, 4.0))), P=jnp.eye(3)),
    ],
    ids=["dimension", "kernel", "normalisation", "drift", "manifold"],
)
def test_other_fields_are_left_to_the_plain_path(field):
    assert not fits_columns(field, TOKENS)


@pytest.mark.slow
def test_what_is_not_a_number_stays_in_its_column():
    field = fields()["values shared"]
    axes = jax.tree.map(lambda _: None, field)
    y = SPHERE.random(jr.key(3), (BATCH, TOKENS)).at[0].set(jnp.nan)
    out = np.asarray(columns(field, axes, jnp.zeros(BATCH), jnp.moveaxis(y, 0, -1)))
    assert np.all(np.isnan(out[..., 0]))
    assert np.all(np.isfinite(out[..., 1:]))


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_logits_of_any_size_are_weighed(dtype):
    """Below and above what exponentials of either precision hold, where all are small of a row, and where none is."""
    y = SPHERE.random(jr.key(2), (BATCH, TOKENS)).astype(dtype)
    field = af.AttentionField(SPHERE, P=jnp.eye(DIM, dtype=dtype), mask="causal")

    @jax.jit
    def both(beta):
        field_of = eqx.tree_at(lambda f: f.P, field, af.ScaledIdentity(beta, DIM))
        axes = jax.tree.map(lambda _: None, field_of)
        got = columns(field_of, axes, jnp.zeros(BATCH, dtype), jnp.moveaxis(y, 0, -1))
        return jnp.moveaxis(got, -1, 0), jax.vmap(lambda x: field_of(jnp.zeros((), dtype), x))(y)

    for size in (20.0, 39.0, 41.0, 85.0, 95.0, 299.0, 301.0, 720.0, 5000.0):
        for beta in (size, -size):
            got, whole = both(jnp.asarray(beta, dtype))
            atol = 4 * size * float(jnp.finfo(dtype).eps)
            np.testing.assert_allclose(got, whole, rtol=0, atol=atol, err_msg=f"beta = {beta}")
