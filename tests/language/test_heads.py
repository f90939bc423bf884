"""A model's heads as P, U, key bias and drift: the numbers that the real blocks use, and what is refused."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import attnflow as af
from attnflow.language._depth import KeyBiased
from attnflow.language._field import as_field, as_layers, start
from attnflow.language._heads import heads

D, H, W, LAYERS, TOKENS = 12, 3, 4, 3, 7
IDS = np.arange(TOKENS)
ARCHITECTURES = {
    "gpt2": af.language.Architecture(
        "gpt2", 20, 10, D, LAYERS, H, 24, epsilon=0.0, scaled_by_layer=True, deviation=0.3
    ),
    "neo": af.language.Architecture(
        "gpt_neo", 20, 10, D, LAYERS, H, 24, epsilon=0.0, scaled=False, deviation=0.3,
        windows=(None, 7, None),
    ),
}  # fmt: skip


def with_strong_norms(model, seed):
    """The model with every bias and gain far from zero and one."""
    rng = np.random.default_rng(seed)

    def moved(path, x):
        plain = "bias" not in path[-1].name and "gain" not in path[-1].name
        return x if plain else jnp.asarray(np.asarray(x) + 0.4 * rng.normal(size=x.shape))

    blocks = jax.tree_util.tree_map_with_path(moved, model.blocks)
    return eqx.tree_at(lambda m: m.blocks, model, blocks)


@pytest.fixture(scope="module", params=ARCHITECTURES)
def model(request):
    plain = af.language.random(ARCHITECTURES[request.param], key=jr.key(1), dtype="float64")
    return with_strong_norms(plain, 2)


@pytest.fixture(scope="module")
def without_biases():
    return af.language.random(ARCHITECTURES["gpt2"], key=jr.key(1), dtype="float64")


def parts(model, layer):
    """Matrices and biases of a layer as (out, in) blocks of heads, in NumPy."""
    a, norm = model.blocks.attention, model.blocks.attention_norm
    q, k, v = np.split(np.asarray(a.qkv[layer]).T, 3)
    zero = np.zeros((LAYERS, 3 * D))
    bq, bk, bv = np.split(zero[layer] if a.qkv_bias is None else np.asarray(a.qkv_bias[layer]), 3)
    gain, bias = np.asarray(norm.gain[layer]), np.asarray(norm.bias[layer])
    return q, k, v, bq, bk, bv, np.asarray(a.out[layer]).T, gain, bias


def test_P_and_U_are_the_dense_products_on_the_hyperplane(model):
    radius = 1.7
    found = heads(model, radius=radius)
    plane = np.eye(D) - 1 / D
    for layer, c in enumerate(model.architecture.scales):
        q, k, v, _, _, _, out, gain, _ = parts(model, layer)
        for head in range(H):
            rows = slice(head * W, (head + 1) * W)
            G = np.diag(gain) @ plane
            P = c * D * (q[rows] @ G).T @ (k[rows] @ G)
            U = math.sqrt(D) / radius * plane @ out[:, rows] @ v[rows] @ G
            own = [np.asarray(x[layer, head]) for x in (found.Q, found.K, found.O, found.V)]
            np.testing.assert_allclose(own[0].T @ own[1], P, atol=1e-12)
            np.testing.assert_allclose(own[2].T @ own[3], U, atol=1e-12)


@pytest.mark.parametrize("layer", range(LAYERS))
def test_scores_weights_and_updates_are_the_real_blocks(model, layer):
    h = model.hidden(IDS, feed_forward=False)
    y = np.asarray(h[layer])
    y = y - y.mean(axis=1, keepdims=True)
    radius = 2.3
    y = jnp.asarray(y / np.linalg.norm(y, axis=1, keepdims=True))
    field = as_field(model, length=TOKENS, radius=radius)

    q, k, v, bq, bk, bv, out, gain, bias = parts(model, layer)
    a = math.sqrt(D) * np.asarray(y) * gain + bias
    t = layer + 0.5
    logits, weights = np.asarray(field.logits(t, y)), np.asarray(field.attention(t, y))
    update = np.zeros((TOKENS, D))
    for head in range(H):
        rows = slice(head * W, (head + 1) * W)
        scores = model.architecture.scales[layer] * (
            (a @ q[rows].T + bq[rows]) @ (a @ k[rows].T + bk[rows]).T
        )
        constant = logits[head] - scores
        np.testing.assert_allclose(constant - constant[:, :1], 0, atol=1e-10)
        exp = np.tril(np.exp(scores - scores.max(axis=1, keepdims=True)))
        alpha = exp / exp.sum(axis=1, keepdims=True)
        np.testing.assert_allclose(weights[head], alpha, atol=1e-10)
        update += alpha @ (a @ v[rows].T + bv[rows]) @ out[:, rows].T
    update += np.asarray(model.blocks.attention.out_bias[layer])
    update -= update.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(radius * np.asarray(field.total(t, y)), update, atol=1e-10)
    # And the block itself, whose tokens are as long as they are.
    real = np.asarray(h[layer + 1] - h[layer])
    np.testing.assert_allclose(real - real.mean(axis=1, keepdims=True), update, atol=1e-10)


def test_the_feed_forward_is_the_layers_own(model):
    z = af.Sphere(D).random(jr.key(3), (4,))
    z = z - z.mean(axis=1, keepdims=True)
    z = z / jnp.linalg.norm(z, axis=1, keepdims=True)
    layers = as_layers(model, feed_forward=True, length=TOKENS, passes=2, radius=1.5)
    f, norm = model.blocks.feed_forward, model.blocks.feed_forward_norm
    for step in (0, 1, 2, 4):
        k = step % LAYERS
        x = np.asarray(math.sqrt(D) * z * norm.gain[k][None] + norm.bias[k][None])
        up = x @ np.asarray(f.up[k]) + np.asarray(f.up_bias[k])
        up = 0.5 * up * (1 + np.tanh(math.sqrt(2 / math.pi) * (up + 0.044715 * up**3)))
        down = up @ np.asarray(f.down[k]) + np.asarray(f.down_bias[k])
        expected = (down - down.mean(axis=1, keepdims=True)) / 1.5
        own = jax.vmap(lambda token, t=float(step): layers.feed_forward(t, token))(z)
        np.testing.assert_allclose(own, expected, atol=1e-11)


def test_looped_schedules_have_the_period_of_a_pass(model):
    field = as_field(model, length=TOKENS, passes=3)
    y = start(model, IDS)
    rates = [field(t, y) for t in (0.3, 1.3, 2.3)]
    for t, rate in zip((0.3, 1.3, 2.3), rates, strict=True):
        assert jnp.allclose(field(t + LAYERS, y), rate, atol=1e-12)
        assert jnp.allclose(field(t + 2 * LAYERS, y), rate, atol=1e-12)
    assert not jnp.allclose(rates[0], rates[1], atol=1e-2)
    assert set(np.arange(10.0)) <= {*np.asarray(field.jump_times)}


def test_tokens_stay_in_the_hyperplane(model):
    field, y = as_field(model, length=TOKENS), start(model, IDS)
    layers = as_layers(model, feed_forward=True, length=TOKENS)
    for k in range(LAYERS):
        assert jnp.max(jnp.abs(jnp.sum(field(float(k), y), axis=1))) < 1e-12
        y = layers(k, y)
        assert jnp.max(jnp.abs(jnp.sum(y, axis=1))) < 1e-12


def test_a_bias_of_keys_alone_changes_nothing(model, without_biases):
    third = slice(D, 2 * D)
    bias = without_biases.blocks.attention.qkv_bias.at[:, third].set(3.0)
    biased = eqx.tree_at(lambda m: m.blocks.attention.qkv_bias, without_biases, bias)
    plain = as_field(without_biases)
    found = as_field(biased)
    y = start(biased, IDS)
    assert type(found.P) is type(plain.P)
    assert jnp.array_equal(found(0.5, y), plain(0.5, y))


def test_a_bias_of_queries_adds_one_number_for_each_key(without_biases):
    third = slice(0, D)
    bias = without_biases.blocks.attention.qkv_bias.at[:, third].set(1.0)
    biased = eqx.tree_at(lambda m: m.blocks.attention.qkv_bias, without_biases, bias)
    y = start(biased, IDS)
    added = as_field(biased).logits(0.5, y) - as_field(without_biases).logits(0.5, y)
    assert jnp.allclose(added, added[:, :1, :], atol=1e-12)
    assert jnp.max(jnp.abs(jnp.diff(added[:, 0, :], axis=-1))) > 0.05
    dropped = as_field(biased, biases="drop")
    assert jnp.array_equal(dropped.logits(0.5, y), as_field(without_biases).logits(0.5, y))


def test_dropped_biases_leave_no_drift_and_no_scores_of_keys(model):
    y = start(model, IDS)
    plane = heads(model)
    field = as_field(model, length=TOKENS, biases="drop")
    assert field.drift is None
    scores = jnp.einsum("hwd,id,hwe,je->hij", plane.Q[0], y, plane.K[0], y)
    assert jnp.allclose(field.logits(0.0, y), scores, atol=1e-12)
    assert as_field(model, length=TOKENS).drift is not None


def test_dropped_biases_are_those_of_the_control_without_biases(without_biases):
    """One layer and zero biases in the control: the same map, feed-forward included."""
    model = with_strong_norms(without_biases, 5)
    zero = jax.tree_util.tree_map_with_path(
        lambda path, x: jnp.zeros_like(x) if "bias" in path[-1].name else x, model.blocks
    )
    bare = eqx.tree_at(lambda m: m.blocks, model, zero)
    y = start(model, IDS)
    dropped = as_layers(model, feed_forward=True, biases="drop")
    kept = as_layers(bare, feed_forward=True, biases="refuse")
    for k in range(LAYERS):
        assert jnp.allclose(dropped(k, y), kept(k, y), atol=1e-13)


def test_a_congruence_carries_the_bias_of_keys_along(getkey):
    P, k = jr.normal(getkey(), (2, 3, 3)), jr.normal(getkey(), (2, 3))
    left, right = jr.normal(getkey(), (4, 3)), jr.normal(getkey(), (3, 5))
    x, y = jr.normal(getkey(), (2, 4)), jr.normal(getkey(), (6, 5))
    biased = KeyBiased(P, k)
    expected = biased.bilinear(0.0, x @ left, y @ right.T)
    assert jnp.allclose(biased.congruence(left, right).bilinear(0.0, x, y), expected, atol=1e-13)
    assert jnp.allclose(expected - af.Constant(P).bilinear(0.0, x @ left, y @ right.T),
                        (k @ right @ y.T)[:, None, :])  # fmt: skip
    assert jnp.array_equal(biased(0.0), P)


@pytest.mark.usefixtures("as_user")
def test_what_does_not_fit_is_refused(without_biases):
    model = with_strong_norms(without_biases, 5)
    neo = af.language.random(ARCHITECTURES["neo"], key=jr.key(1))
    bare = eqx.tree_at(
        lambda m: m.blocks, without_biases,
        replace_fn=lambda b: af.language.TransformerBlock(b.attention_norm, b.attention, None, None),
    )  # fmt: skip
    size = float(jnp.max(jnp.abs(model.blocks.attention.out_bias)))
    for build, message in [
        (lambda: as_field(model, biases="refuse"), rf"attention.out_bias \(up to {size:.3g}\)"),
        (lambda: as_field(model, biases="keep"), "`biases` must be one of"),
        (lambda: as_field(model, passes=0), "`passes` must be a positive integer"),
        (lambda: as_field(model, radius=-1.0), "`radius` must be a positive number"),
        (lambda: as_field("gpt2"), "`model` must be a Transformer"),
        (lambda: as_field(neo), "`length` must be at most 7 tokens, .*; got none, which is 10"),
        (lambda: as_field(neo, length=8), "local window of layer 1, .*; got 8"),
        (lambda: as_layers(bare, feed_forward=True), "`feed_forward` needs the feed-forward's"),
        (lambda: KeyBiased(jnp.eye(3), jnp.ones(3)), "`matrix` and `bias` must have shapes"),
    ]:
        with pytest.raises(ValueError, match=message):
            build()
    assert as_field(neo, length=7).dim == D
    assert as_field(without_biases, biases="refuse").drift is None


def test_what_reads_the_matrix_of_scores_alone_refuses_a_bias_of_keys():
    k = jnp.asarray([[0.5, -1.0, 0.3]])
    P = af.language.KeyBiased(jnp.zeros((1, 3, 3)), k)
    for biased in (P, af.Periodic(P, 2.0, 1), P + jnp.eye(3)[None]):
        field = af.AttentionField(af.Sphere(3), P=biased)
        y = af.Sphere(3).random(jr.key(0), (4,))
        assert not field.matrix_scores
        with pytest.raises(ValueError, match="bias of keys|its P adds to them"):
            af.theory.verdicts(field, y)
        with pytest.raises(ValueError, match="bias of keys|its P adds to them"):
            af.energy(field, 0.0, y)
        with pytest.raises(ValueError, match="constant in time to be certified"):
            af.certify.equilibrium(field, y)


def test_an_ensemble_keeps_the_bias_of_keys():
    k = jnp.asarray([[0.5, -1.0, 0.3]])
    field = af.AttentionField(af.Sphere(3), P=af.language.KeyBiased(jnp.eye(3)[None], k))
    starts = af.Sphere(3).random(jr.key(0), (3, 4))
    together = af.ensemble.run(field, starts, t1=2.0, observe=lambda y: y, progress=False)
    for y0, end in zip(starts, together.ys, strict=True):
        np.testing.assert_allclose(end[-1], af.simulate(field, y0, t1=2.0).y1, atol=1e-5)
