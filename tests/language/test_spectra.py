"""Spectra of heads against dense matrices and the verdicts, and the comparison of a network with eqs. (1), (6)."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import attnflow as af
from attnflow.language._compare import _of_biases, compare
from attnflow.language._field import as_field, as_layers, start
from attnflow.language._heads import heads
from attnflow.language._spectra import spectra
from attnflow.plot._language import comparison as plot_comparison, heads as plot_heads

D, TOKENS = 15, 6
IDS = np.stack([np.arange(TOKENS), np.arange(TOKENS) + 3])


def drawn(layers=1, heads=3, dtype="float64", **options):
    arch = af.language.Architecture(
        "gpt2", 20, 10, D, layers, heads, 24, **{"epsilon": 0.0, "deviation": 0.3} | options
    )
    return af.language.random(arch, key=jr.key(4), dtype=dtype)


def with_values(model, V, O):  # noqa: E741
    """The model with head h's values and outputs `(heads, width, dim)`, in its only layer."""
    a = model.blocks.attention
    qkv = a.qkv.at[0, :, 2 * D :].set(V.reshape(D, D).T.astype(a.qkv.dtype))
    out = O.reshape(1, D, D).astype(a.out.dtype)
    return eqx.tree_at(
        lambda m: (m.blocks.attention.qkv, m.blocks.attention.out), model, (qkv, out)
    )


def five_kinds(dtype):
    """Heads: random; U symmetric, with a simple positive top; minus that; with a double top; zero."""
    rng = np.random.default_rng(0)
    V = rng.normal(size=(5, 3, D))
    V -= V.mean(axis=2, keepdims=True)
    O = rng.normal(size=(5, 3, D))  # noqa: E741
    O[1], O[2] = V[1], -V[2]
    V[3] = O[3] = np.linalg.qr(V[3].T)[0].T
    O[4] = 0
    return with_values(drawn(heads=5, dtype=dtype), jnp.asarray(V), jnp.asarray(O))


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 3])  # one head: its width is all of d
def test_spectra_are_those_of_the_dense_matrices_on_the_hyperplane(count):
    model = drawn(layers=2, heads=count)
    gain = 1 + 0.5 * jr.normal(jr.key(5), (2, D))
    model = eqx.tree_at(lambda m: m.blocks.attention_norm.gain, model, gain)
    radius = 1.9
    found, parts = spectra(model, radius=radius), heads(model, radius=radius)
    basis = np.linalg.qr(np.column_stack([np.ones(D), np.eye(D)[:, 1:]]))[0][:, 1:]
    for layer in range(2):
        for head in range(count):
            Q, K, V, O = (np.asarray(x[layer, head]) for x in (parts.Q, parts.K, parts.V, parts.O))  # noqa: E741
            U, P = basis.T @ O.T @ V @ basis, basis.T @ Q.T @ K @ basis
            symmetric = np.linalg.eigvalsh((U + U.T) / 2)
            expected = {
                "top": np.linalg.eigvals(U).real.max(),
                "symmetric_top": symmetric[-1],
                "symmetric_second": symmetric[-2],
                "symmetric_size": np.abs(symmetric).max(),
                "asymmetry": np.linalg.norm(U - U.T) / 2 / np.linalg.norm(U),
                "beta": np.trace(P) / (D - 1),
                "logit": np.linalg.norm(P, 2),
                "P_asymmetry": np.linalg.norm(P - P.T) / 2 / np.linalg.norm(P),
                "P_distance": np.linalg.norm(P - np.trace(P) / (D - 1) * np.eye(len(P)))
                / np.linalg.norm(P),
            }
            for name, value in expected.items():
                assert getattr(found, name)[layer, head] == pytest.approx(value, abs=1e-9), name
            beta = found.beta[layer, head]  # the nearest multiple of the identity
            near = [np.linalg.norm(P - b * np.eye(D - 1)) for b in (beta - 1e-3, beta, beta + 1e-3)]
            assert near[1] < min(near[0], near[2])


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_head_with_a_symmetric_U_is_told_from_the_others(dtype):
    assert spectra(five_kinds(dtype)).applies.tolist() == [[False, True, False, False, False]]


def test_verdicts_of_heads_are_those_of_their_fields():
    model = five_kinds("float64")
    found, parts = spectra(model), heads(model)
    words = [
        "rounding explains",
        "lambda",
        "double to rounding",
        "double to rounding",
        "not positive",
    ]
    sphere = af.Sphere(D)
    for head in range(5):
        U = af.Factored(parts.O[0, head], parts.V[0, head])
        field = af.AttentionField(
            sphere, af.Factored(parts.Q[0, head], parts.K[0, head]), U, mask="causal", scale=1.0
        )
        dense = np.asarray(U(0.0), np.float64)
        v = np.linalg.eigh((dense + dense.T) / 2)[1][:, -1]
        near = jnp.asarray(v)[None] + 0.1 * sphere.random(jr.key(head), (4,))
        theirs = af.theory.verdicts(field, sphere.project(near).astype(parts.Q.dtype))["4.5"]
        own = found.verdict(0, head)
        assert own.applies is theirs.applies
        assert words[head] in own.reason
        assert {h.id: h.holds for h in own.hypotheses}.items() <= {
            h.id: h.holds for h in theirs.hypotheses
        }.items()


def test_spectra_print_and_record_every_layer(as_user):
    found = spectra(drawn(layers=2))
    lines = str(found).splitlines()
    assert [line.split()[0] for line in lines[2:5]] == ["0", "1", "all"]
    assert "Theorem 4.5 holds for none" in lines[5]
    assert np.asarray(found.record()["top"]).shape == (2, 3)
    with pytest.raises(ValueError, match="`head` must be from 0 to 2; got 3"):
        found.verdict(0, 3)


def test_the_plot_of_spectra_has_a_dot_for_every_head(as_user):
    found = spectra(drawn(layers=2))
    axes = plot_heads(found, title="drawn")
    shown = [
        (found.top, found.symmetric_top), (found.asymmetry, found.P_asymmetry),
        (found.beta, found.logit),
    ]  # fmt: skip
    for ax, pair in zip(axes, shown, strict=True):
        for line, numbers in zip(ax.lines, pair, strict=False):
            np.testing.assert_array_equal(line.get_ydata(), numbers.ravel())
    with pytest.raises(ValueError, match="`axes` must be three axes; got 1"):
        plot_heads(found, axes[:1])


# === the comparison


@pytest.fixture(scope="module")
def looped_twice():
    model = drawn(layers=2, epsilon=1e-3)
    return model, compare(model, IDS, passes=2, feed_forward=True)


def test_a_comparison_is_of_the_looped_network_and_the_two_equations(looped_twice):
    model, found = looped_twice
    run = af.language.looped(model, IDS, passes=2, feed_forward=True, progress=False)
    np.testing.assert_allclose(found.E["network"], run.E, atol=1e-12)
    layers = as_layers(model, passes=2, feed_forward=True)
    options = {"t1": 4.0, "ts": jnp.arange(5.0), "observe": af.misalignment}
    for prompt, ids in enumerate(IDS):
        y0 = start(model, ids)
        first = af.iterate(layers, y0, depth=4, observe=af.misalignment).ys
        flow = af.simulate(as_field(model, passes=2), y0, **options).ys
        np.testing.assert_allclose(found.E["eq. (1)"][prompt], first, atol=1e-12)
        np.testing.assert_allclose(found.E["eq. (6)"][prompt], flow, atol=1e-8)
        h = model.hidden(ids, feed_forward=True)
        h = h - jnp.mean(h, axis=-1, keepdims=True)
        inside = jax.vmap(af.misalignment)(h)
        np.testing.assert_allclose(found.E["network, centred"][prompt, :3], inside, atol=1e-12)
        size = jnp.linalg.norm(h, axis=-1).mean(axis=-1) / D**0.5
        np.testing.assert_allclose(found.length[prompt, :3], size, rtol=1e-12)
    assert not np.allclose(found.E["eq. (1)"], found.E["network, centred"], atol=1e-3)


def test_comparisons_print_record_and_are_drawn(looped_twice, as_user):
    _, found = looped_twice
    text = str(found)
    assert all(name in text for name in found.E)
    assert text.count("\n  - ") == len(found.assumptions)
    assert any("poster's block" in sentence for sentence in found.assumptions)
    record = found.record()
    np.testing.assert_allclose(record["E"]["eq. (1)"], found.E["eq. (1)"].mean(axis=0))
    ax = plot_comparison(found)
    assert ax.get_yscale() == "log"
    curves = {line.get_label(): line.get_ydata() for line in ax.lines}
    for name, E in found.mean.items():
        np.testing.assert_allclose(curves[name], E)
    with pytest.raises(ValueError, match="`biases` must be one of"):
        compare(drawn(), IDS, biases="keep")


def fit(epsilon=0.0):
    """One layer that is eq. (1): outputs without a mean, tokens of length sqrt(d) to begin with."""
    model = drawn(epsilon=epsilon)
    a = model.blocks.attention
    tokens = af.LayerNorm(jnp.ones(D))(jr.normal(jr.key(6), model.tokens.shape))
    return eqx.tree_at(
        lambda m: (m.tokens, m.positions, m.blocks.attention.out),
        model,
        (tokens, 0 * model.positions, a.out - jnp.mean(a.out, axis=-1, keepdims=True)),
    )


def test_only_what_differs_is_told():
    found = compare(fit(), IDS, passes=3)
    np.testing.assert_allclose(found.E["network"], found.E["eq. (1)"], atol=1e-12)
    assert len(found.assumptions) == 1
    apart = np.abs(found.E["eq. (1)"] - found.E["eq. (6)"]).max()
    assert f"the two equations' E are up to {apart:.3g} apart" in found.assumptions[0]


@pytest.mark.slow
def test_what_differs_is_told_with_its_number():
    model = fit(epsilon=0.21)
    # Half of the numbers of a bias are 1/2 and the others 0.
    bias = jnp.zeros(D).at[::2].set(0.5)
    model = eqx.tree_at(
        lambda m: (m.tokens, m.norm.bias, m.norm.gain, m.blocks.attention.out_bias),
        model,
        (2 * model.tokens, bias, jnp.linspace(1.0, 3.0, D), bias[None]),
    )
    told = compare(model, IDS, passes=2).assumptions
    met = jnp.stack([jnp.stack([model.embed(ids), pass_of(model, ids)]) for ids in IDS])
    size = jnp.linalg.norm(met - jnp.mean(met, axis=-1, keepdims=True), axis=-1) / D**0.5
    shorter = 1 - (1 + 0.21 / size.min() ** 2) ** -0.5
    for says in (
        f"tokens of {size.min():.3g} to {size.max():.3g} times the length 3.873",
        "epsilon is 0.21",
        f"what attention sees is shorter by a part of up to {shorter:.2g}",
        "have a mean, which is up to",
        "gains from 1 to 3, biases up to 0.5",
        f"attention.out_bias up to 0.5) are kept, as a drift of length up to {jnp.std(bias):.3g}",
        "continuous in depth",
    ):
        assert any(says in sentence for sentence in told), (says, told)


def pass_of(model, ids):
    return model.norm(model.hidden(ids, feed_forward=False)[-1], model.architecture.epsilon)


def test_dropped_biases_are_told():
    model = eqx.tree_at(
        lambda m: m.blocks.attention.qkv_bias, drawn(), replace_fn=lambda x: x + 0.5
    )
    (told,) = _of_biases(model, as_field(model, biases="drop"), "drop", False)
    assert told == "biases are left out of the equations: attention.qkv_bias up to 0.5"
