"""Attention weights: masks, kernels, masses, ties; rows that sum to the scale."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import pytest

import attnflow as af


def tokens(getkey, n=6):
    return af.Sphere(3).random(getkey(), (n,))


def field(P=None, **options):
    P = jr.normal(jr.key(3), (2, 3, 3)) if P is None else P
    return af.AttentionField(af.Sphere(3), P, **options)


@pytest.mark.parametrize("kernel", ["softmax", "hardmax"])
@pytest.mark.parametrize("scale", [None, 1.0])
def test_rows_sum_to_the_scale(kernel, scale, getkey):
    rows = field(kernel=kernel, scale=scale).attention(0.0, tokens(getkey))
    assert rows.shape == (2, 6, 6)
    assert jnp.allclose(rows.sum(-1), 3**-0.5 if scale is None else scale, rtol=1e-14)


def test_the_exponential_kernel_is_not_normalised(getkey):
    y = tokens(getkey)
    f = field(kernel="exp", scale=1.0)
    assert jnp.allclose(f.attention(0.0, y), jnp.exp(f.logits(0.0, y)) / 6)


@pytest.mark.slow
def test_causal_is_the_lower_triangle_in_numerator_and_denominator(getkey):
    y = tokens(getkey)
    rows = field(mask="causal", scale=1.0).attention(0.0, y)
    assert jnp.all(jnp.where(jnp.tri(6, dtype=bool)[None], 0, rows) == 0)
    for i in range(6):  # row i is the full attention of the first i + 1 tokens
        first = field(scale=1.0).attention(0.0, y[: i + 1])
        assert jnp.allclose(rows[:, i, : i + 1], first[:, i], rtol=1e-13)


def test_a_boolean_mask_and_its_additive_bias_are_the_same(getkey):
    y = tokens(getkey)
    allowed = jnp.eye(6, dtype=bool) | jr.bernoulli(getkey(), 0.4, (6, 6))
    bias = jnp.where(allowed, 0.0, -jnp.inf)
    for kernel in ("softmax", "exp", "hardmax"):
        a = field(mask=allowed, kernel=kernel).attention(0.0, y)
        b = field(mask=bias, kernel=kernel).attention(0.0, y)
        assert jnp.array_equal(a, b)
        assert jnp.all(jnp.where(allowed[None], 0, a) == 0)


def test_a_bias_can_differ_by_head(getkey):
    y = tokens(getkey)
    bias = jr.normal(getkey(), (2, 6, 6))
    f = field(P=jnp.zeros((3, 3)), mask=bias, scale=1.0)
    assert f.heads == 2
    assert jnp.allclose(f.attention(0.0, y), jax.nn.softmax(bias, axis=-1))


def test_masses_are_repeated_tokens(getkey):
    # Token 0 of mass two is two tokens in one place, for the velocities of all.
    y = tokens(getkey, 4)
    twice = jnp.concatenate([y[:1], y])
    for kernel in ("softmax", "exp", "hardmax"):
        weighted = field(kernel=kernel, weights=jnp.array([2.0, 1, 1, 1]))(0.0, y)
        repeated = field(kernel=kernel)(0.0, twice)[1:]
        assert jnp.allclose(weighted, repeated, atol=1e-14)


def test_padded_runs_are_the_unpadded_ones(getkey):
    sphere, P = af.Sphere(3), jr.normal(getkey(), (3, 3))
    parts = [sphere.random(getkey(), (n,)) for n in (3, 5)]
    y, present = af.model.pad(parts)
    assert y.shape == (2, 5, 3)
    for k, part in enumerate(parts):
        mask = present[k]
        padded = af.AttentionField(
            sphere, P, mask="causal", weights=mask.astype(float), frozen=~mask
        )
        plain = af.AttentionField(sphere, P, mask="causal")
        out = padded(0.0, y[k])
        assert jnp.allclose(out[: part.shape[0]], plain(0.0, part), atol=1e-15)
        assert jnp.all(out[part.shape[0] :] == 0)


def test_hardmax_shares_among_ties_by_tolerance_not_equality():
    # Two leaders at 0.1 + 0.2 and 0.3: unequal as floats, a tie in every sense that matters.
    y = jnp.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    bias = jnp.array([[0.1 + 0.2, 0.3, 0.0]] * 3)
    rows = field(P=jnp.zeros((3, 3)), kernel="hardmax", mask=bias, scale=1.0).attention(0.0, y)
    assert jnp.allclose(rows[0, 0], jnp.array([0.5, 0.5, 0.0]))
    wide = af.Hardmax(tolerance=0.5)
    rows = field(P=jnp.zeros((3, 3)), kernel=wide, mask=bias, scale=1.0).attention(0.0, y)
    assert jnp.allclose(rows[0, 0], 1 / 3)


@pytest.mark.parametrize("kernel", ["softmax", "hardmax", "exp"])
def test_huge_and_masked_logits_give_no_nan_in_value_or_gradient(kernel, getkey):
    y = tokens(getkey)
    size = 300.0 if kernel == "exp" else 1000.0  # e^709 overflows, and must, without a softmax
    mask = jnp.eye(6, dtype=bool).at[2].set(True)

    def energy(P, y):
        return jnp.sum(jnp.square(field(P=P, mask=mask, kernel=kernel)(0.0, y)))

    value, gradients = jax.jit(jax.value_and_grad(energy, (0, 1)))(size * jnp.eye(3), y)
    assert jnp.isfinite(value)
    assert all(jnp.all(jnp.isfinite(g)) for g in gradients)


def test_a_matrix_without_heads_serves_every_head(getkey):
    y, P, U = tokens(getkey), jr.normal(getkey(), (2, 3, 3)), jr.normal(getkey(), (2, 3, 3))
    sphere = af.Sphere(3)
    shared_u = af.AttentionField(sphere, P, U[0])(0.0, y)
    each_u = af.AttentionField(sphere, P, jnp.stack([U[0], U[0]]))(0.0, y)
    assert jnp.allclose(shared_u, each_u, atol=1e-14)
    shared_p = af.AttentionField(sphere, P[0], U)(0.0, y)
    each_p = af.AttentionField(sphere, jnp.stack([P[0], P[0]]), U)(0.0, y)
    assert jnp.allclose(shared_p, each_p, atol=1e-14)
    assert af.AttentionField(sphere, P[0], U).attention(0.0, y).shape == (2, 6, 6)


def test_low_rank_heads_are_the_full_ones(getkey):
    y = tokens(getkey)
    Q, K, V = (jr.normal(getkey(), (2, 2, 3)) for _ in range(3))
    W = jr.normal(getkey(), (2, 3, 2))
    thin = af.AttentionField(af.Sphere(3), af.Factored(Q, K), af.Factored(jnp.swapaxes(W, 1, 2), V))
    full = af.AttentionField(af.Sphere(3), jnp.swapaxes(Q, 1, 2) @ K, W @ V)
    assert jnp.allclose(thin(0.0, y), full(0.0, y), atol=1e-13)


def test_low_rank_heads_form_no_square_matrix():
    d = 512
    f = af.AttentionField(
        af.Sphere(d), af.Factored(jnp.ones((1, 4, d)), jnp.ones((1, 4, d))), mask="causal"
    )
    jaxpr = jax.make_jaxpr(lambda y: f(0.0, y))(jnp.ones((8, d)))
    sizes = [v.aval.size for eqn in jaxpr.eqns for v in eqn.outvars]
    assert max(sizes) < d * d


def test_drift_and_frozen_tokens(getkey):
    y = tokens(getkey)
    push = jr.normal(getkey(), (6, 3))
    plain = field()(0.0, y)
    moved = field(drift=lambda t, y: t * push)(2.0, y)
    assert jnp.allclose(moved - plain, af.Sphere(3).to_tangent(y, 2 * push), atol=1e-14)
    with_args = field(drift=lambda t, y, args: args * push)(0.0, y, 2.0)
    assert jnp.allclose(with_args, moved, atol=1e-14)
    frozen = jnp.arange(6) < 2
    constant = field(frozen=frozen)(0.0, y)
    assert jnp.all(constant[:2] == 0)
    assert jnp.array_equal(constant[2:], plain[2:])


def test_a_field_is_a_pytree_of_arrays_with_one_leaf_for_each_number():
    W = jnp.diag(jnp.array([1.0, 2.0, 3.0]))
    f = af.AttentionField(af.Ellipsoid(W), jnp.eye(3), mask="causal", kernel="softmax")
    assert sorted(leaf.shape for leaf in jax.tree.leaves(f)) == [(), (3, 3), (3, 3)]
    y = f.manifold.random(jr.key(0), (4,))
    out = jax.jit(lambda f, y: f(0.0, y))(f, y)  # plain jit: no strings among the leaves
    assert jnp.allclose(out, f(0.0, y), atol=1e-14)


@pytest.mark.slow
def test_vmapped_gradients_jvps_and_hessians_of_the_field_work(getkey):
    y = af.Sphere(3).random(getkey(), (4, 5))
    f = field(mask="causal")
    loss = lambda y: jnp.sum(jnp.sin(f(0.3, y)))  # noqa: E731
    gradients = jax.vmap(jax.grad(loss))(y)
    assert jnp.allclose(gradients[1], jax.grad(loss)(y[1]), atol=1e-13)
    v = jr.normal(getkey(), (5, 3))
    _, along = jax.jvp(loss, (y[0],), (v,))
    assert jnp.allclose(along, jnp.sum(gradients[0] * v), rtol=1e-10)
    hessian = jax.hessian(loss)(y[0]).reshape(15, 15)
    assert jnp.allclose(hessian, hessian.T, atol=1e-12)


SPHERE = af.Sphere(3)
EYE = jnp.eye(3)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: af.AttentionField(3, EYE), r"`manifold` must be attnflow.Sphere"),
        (lambda: af.AttentionField(SPHERE, jnp.eye(4)), r"`P` must have shape \(3, 3\) or \(heads"),
        (lambda: af.AttentionField(SPHERE, EYE, jnp.ones(3)), r"`U` must have shape \(3, 3\)"),
        (
            lambda: af.AttentionField(SPHERE, jnp.ones((2, 3, 3)), jnp.ones((3, 3, 3))),
            "`P` and `U` must have one number of heads; got P has 2, U has 3",
        ),
        (lambda: af.AttentionField(SPHERE, EYE, mask="full"), "`mask` must be one of 'causal'"),
        (
            lambda: af.AttentionField(SPHERE, EYE, mask=jnp.ones((2, 3), bool)),
            "`mask` must have shape",
        ),
        (
            lambda: af.AttentionField(SPHERE, EYE, mask=jnp.tri(3, k=-1, dtype=bool)),
            "`mask` must allow each token at least one token .* row 0",
        ),
        (
            lambda: af.AttentionField(SPHERE, EYE, mask=jnp.zeros((2, 2)).at[1].set(-jnp.inf)),
            "`mask` must allow each token .* row 1",
        ),
        (
            lambda: af.AttentionField(SPHERE, EYE, mask=jnp.ones((2, 2), int)),
            r"mask.astype\(bool\)",
        ),
        (
            lambda: af.AttentionField(SPHERE, EYE, mask=jnp.full((2, 2), jnp.nan)),
            "`mask` as a bias",
        ),
        (
            lambda: af.AttentionField(SPHERE, EYE, kernel="gauss"),
            "`kernel` must be one of 'softmax'",
        ),
        (
            lambda: af.AttentionField(SPHERE, EYE, normalisation="rms"),
            "`normalisation` must be one of 'post'",
        ),
        (lambda: af.AttentionField(SPHERE, EYE, normalisation="mix"), r"Mix\(switch=...\)"),
        (lambda: af.AttentionField(SPHERE, EYE, scale=jnp.ones(2)), "`scale` must be a number"),
        (
            lambda: af.AttentionField(SPHERE, EYE, weights=jnp.array([1.0, -1.0])),
            "`weights` must be",
        ),
        (lambda: af.AttentionField(SPHERE, EYE, weights=jnp.zeros(2)), "`weights` must be"),
        (lambda: af.AttentionField(SPHERE, EYE, frozen=jnp.ones(2)), "`frozen` must be a Boolean"),
        (lambda: af.AttentionField(SPHERE, EYE, drift=3.0), "`drift` must be callable"),
        (lambda: af.AttentionField(SPHERE, EYE, drift=lambda: 0), "`drift` must be a function of"),
        (
            lambda: af.AttentionField(SPHERE, EYE, weights=jnp.ones(2), frozen=jnp.ones(3, bool)),
            "`mask`, `weights` and `frozen` must agree on the tokens",
        ),
        (
            lambda: af.AttentionField(SPHERE, EYE, weights=jnp.ones(2))(0.0, jnp.ones((3, 3))),
            "`y` must have 2 tokens",
        ),
        (
            lambda: af.AttentionField(SPHERE, EYE)(0.0, jnp.ones((3, 4))),
            r"`y` must have shape \(tokens, 3",
        ),
        (lambda: af.Hardmax(tolerance=-1.0), "`tolerance` must be zero or more"),
        (lambda: af.NGPT(alpha=jnp.ones(2)), "`alpha` must be a number"),
        (lambda: af.model.pad([]), "`configurations` must hold at least one"),
        (lambda: af.model.pad([jnp.ones((2, 3)), jnp.ones((2, 4))]), "with one dim"),
        (lambda: af.model.pad([jnp.ones((4, 3))], tokens=2), "`tokens` must be at least 4"),
    ],
)
def test_bad_fields_are_refused(as_user, build, message):
    with pytest.raises(ValueError, match=message):
        build()


@pytest.mark.parametrize("kernel", ["softmax", "exp", "hardmax"])
def test_what_is_not_a_number_is_not_hidden(kernel):
    field = af.AttentionField(af.Sphere(3), P=jnp.eye(3), mask="causal", kernel=kernel)
    field = eqx.tree_at(lambda f: f.P.value, field, jnp.full((3, 3), jnp.nan))
    y = af.Sphere(3).random(jax.random.key(0), (4,))
    assert jnp.all(jnp.isnan(field(0.0, y)))
