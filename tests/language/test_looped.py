"""Passes of a looped model: what is measured, controls, chunks, devices, compilation."""

import json
import os
import subprocess
import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import attnflow as af
from attnflow.language import Architecture, looped
from attnflow.language._pass import measure, one_pass

SMALL = Architecture("gpt2", 97, 24, 32, 3, 4, 64)
NEO = Architecture(
    "gpt_neo", 97, 24, 32, 3, 4, 64, scaled=False, windows=(None, 4, None), deviation=0.2
)
IDS = np.random.default_rng(0).integers(0, 97, (3, 12))


def strong(arch, dtype="float64"):
    """Random weights with biases and gains that matter."""
    rng = np.random.default_rng(4)

    def moved(x):
        return jnp.asarray((np.asarray(x, float) + 0.2 * rng.normal(size=x.shape)).astype(x.dtype))

    return jax.tree.map(moved, af.language.random(arch, key=jr.key(3), dtype=dtype))


misaligned = jax.jit(jax.vmap(af.misalignment))


def test_the_first_pass_is_the_model_s_own_hidden_states_and_the_second_starts_at_its_output():
    model = strong(SMALL)
    run = looped(model, IDS, passes=2, progress=False)
    assert run.E.shape == (3, 1 + 2 * SMALL.layers)
    for k, ids in enumerate(IDS):
        expected = misaligned(model.hidden(ids))
        np.testing.assert_allclose(run.E[k, : SMALL.layers + 1], expected, atol=1e-13)
        after = af.misalignment(model(ids))
        np.testing.assert_allclose(run.after_norm["E"][k, 0], after, atol=1e-13)


def test_what_is_measured_is_what_it_says():
    h = jr.normal(jr.key(0), (2, 7, 5)) + 1
    found = measure(h)
    for k, tokens in enumerate(np.asarray(h)):
        unit = tokens / np.linalg.norm(tokens, axis=1, keepdims=True)
        apart = 1 - unit @ unit.T
        np.testing.assert_allclose(found["E"][k], apart[0].mean(), atol=1e-14)
        np.testing.assert_allclose(found["pairs"][k], apart.mean(), atol=1e-14)
        np.testing.assert_allclose(found["rest"][k], apart[1:, 1:].mean(), atol=1e-14)
        lengths = np.linalg.norm(tokens, axis=1)
        np.testing.assert_allclose(found["length"][k], lengths.mean(), rtol=1e-14)


def test_near_consensus_nothing_is_lost_to_cancellation():
    near = jnp.asarray([[1.0, 0.0], [1.0, 1e-5]], jnp.float32)
    assert abs(float(measure(near[None])["E"][0]) / 2.5e-11 - 1) < 1e-5


def test_one_token_has_no_pairs():
    found = measure(jnp.ones((1, 1, 3)))
    assert float(found["E"][0]) == float(found["rest"][0]) == 0


@pytest.mark.slow
def test_E_is_float32_whatever_the_weights_are():
    for dtype in ("bfloat16", "float16"):
        run = looped(SMALL, IDS, passes=1, dtype=dtype, progress=False)
        assert run.E.dtype == np.float32
        exact = looped(SMALL, IDS, passes=1, dtype="float32", progress=False)
        np.testing.assert_allclose(run.E, exact.E, atol=0.05)
        assert not np.array_equal(run.E, exact.E)


# === controls


def test_normalisation_alone_repeats_the_final_norm():
    model = strong(SMALL)
    run = looped(model, IDS, passes=3, control="normalisation", progress=False)
    h = jax.vmap(model.embed)(jnp.asarray(IDS))
    for p in range(3):
        inside = run.E[:, 1 + p * SMALL.layers : 1 + (p + 1) * SMALL.layers]
        expected = np.asarray(misaligned(h))
        np.testing.assert_allclose(inside, np.tile(expected[:, None], SMALL.layers), atol=1e-13)
        h = model.norm(h, SMALL.epsilon)


@pytest.mark.slow
@pytest.mark.parametrize("feed_forward", [True, False])
@pytest.mark.parametrize("arch", [SMALL, NEO], ids=["gpt2", "gpt_neo"])
def test_controls_are_models_with_those_weights_zero(arch, feed_forward):
    model = strong(arch)
    d = arch.dim
    no_values = eqx.tree_at(
        lambda m: m.blocks.attention.qkv,
        model,
        model.blocks.attention.qkv.at[..., 2 * d :].set(0),
    )
    biases = [
        lambda m: m.blocks.attention.out_bias,
        lambda m: m.blocks.attention_norm.bias,
        lambda m: m.blocks.feed_forward_norm.bias,
        lambda m: m.blocks.feed_forward.up_bias,
        lambda m: m.blocks.feed_forward.down_bias,
        lambda m: m.norm.bias,
    ]
    if arch.biased("qkv"):
        biases.append(lambda m: m.blocks.attention.qkv_bias)
    no_biases = model
    for where in biases:
        no_biases = eqx.tree_at(where, no_biases, replace_fn=jnp.zeros_like)
    plain = looped(model, IDS, passes=2, feed_forward=feed_forward, progress=False)
    for control, changed in {"no-values": no_values, "no-biases": no_biases}.items():
        options = {"passes": 2, "feed_forward": feed_forward, "progress": False}
        found = looped(model, IDS, control=control, **options)
        np.testing.assert_array_equal(found.E, looped(changed, IDS, **options).E)
        assert np.abs(found.E - plain.E).max() > 1e-3


def test_repeated_normalisation_with_a_bias_reaches_consensus_without_attention():
    arch = Architecture("gpt2", 97, 24, 256, 1, 4, 64)
    plain = af.language.random(arch, key=jr.key(0))
    bias = 0.3 * np.random.default_rng(1).normal(size=256)
    model = eqx.tree_at(lambda m: m.norm.bias, plain, jnp.asarray(bias, jnp.float32))
    run = looped(model, IDS, passes=10, control="normalisation", progress=False)
    assert run.E[:, 0].min() > 0.85
    assert run.after_norm["E"][:, -1].max() < 0.05
    clean = looped(plain, IDS, passes=10, control="normalisation", progress=False)
    np.testing.assert_allclose(clean.E, clean.E[:, :1] * np.ones((1, 11)), atol=0.05)


# === where weights come from


def test_the_weights_are_those_of_the_model_unless_told_otherwise():
    model = strong(SMALL)
    own = looped(model, IDS, passes=1, progress=False)
    assert own.settings["weights"] == "trained"
    fixed = looped(model, IDS, passes=1, weights="fixed", key=jr.key(7), progress=False)
    by_name = looped(SMALL, IDS, passes=1, key=jr.key(7), dtype="float64", progress=False)
    assert by_name.settings["weights"] == "fixed"
    np.testing.assert_array_equal(fixed.E, by_name.E)
    assert np.abs(own.E - fixed.E).max() > 1e-2


@pytest.mark.parametrize("chunk", [1, 2, 5])
def test_results_do_not_depend_on_the_chunk(chunk):
    model = strong(NEO)
    whole = looped(model, IDS, passes=2, chunk=3, progress=False)
    parts = looped(model, IDS, passes=2, chunk=chunk, progress=False)
    for name in ("E", "pairs", "rest", "length"):
        np.testing.assert_allclose(getattr(parts, name), getattr(whole, name), rtol=1e-11)


def test_a_prompt_s_curve_does_not_depend_on_the_prompts_beside_it():
    model = strong(SMALL)
    together = looped(model, IDS, passes=2, progress=False)
    alone = looped(model, IDS[1], passes=2, progress=False)
    np.testing.assert_allclose(alone.E[0], together.E[1], rtol=1e-11)


def test_all_passes_are_one_compiled_program():
    def compiled():
        return one_pass._outermost._cached._cache_size()

    arch = Architecture("gpt2", 97, 24, 32, 5, 4, 48)
    before = compiled()
    looped(arch, IDS, passes=4, progress=False)
    looped(arch, IDS[::-1], passes=2, key=jr.key(9), progress=False)
    assert compiled() == before + 1
    looped(arch, IDS, passes=3, weights="redrawn", progress=False)
    assert compiled() == before + 2


DEVICES = """
import json, jax, numpy as np, attnflow as af
ids = np.random.default_rng(0).integers(0, 97, (5, 12))
arch = af.language.Architecture("gpt2", 97, 24, 32, 3, 4, 64, deviation=0.2)
runs = [
    af.language.looped(arch, ids, passes=2, weights=w, devices=d, chunk=c, progress=False).E.tolist()
    for w in ("fixed", "redrawn") for d, c in ((None, 10), (jax.devices()[:1], 10), (None, 2))
]
print(json.dumps([len(jax.devices()), runs]))
"""


@pytest.mark.slow
def test_several_devices_give_what_one_gives():
    environment = {
        **os.environ,
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": "--xla_force_host_platform_device_count=4",
    }
    done = subprocess.run(
        [sys.executable, "-c", DEVICES],
        capture_output=True,
        text=True,
        env=environment,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    count, runs = json.loads(done.stdout)
    assert count == 4
    for first in (0, 3):
        for other in (first + 1, first + 2):
            np.testing.assert_allclose(runs[other], runs[first], atol=1e-6)


def test_a_result_says_what_was_run():
    run = looped(SMALL, IDS, passes=2, weights="redrawn", feed_forward=False, progress=False)
    text = str(run)
    for words in ("drawn anew before each pass", "without feed-forward", "3 prompts of 12 tokens"):
        assert words in text
    assert run.record()["settings"]["weights"] == "redrawn"
    assert len(run.record()["E_mean"]) == 3
    np.testing.assert_allclose(run.depth, np.arange(7) / 3)


# === bad input


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"passes": 0}, "`passes` must be a positive integer"),
        ({"passes": 1.5}, "`passes` must be a positive integer"),
        ({"chunk": 0}, "`chunk` must be"),
        ({"weights": "frozen"}, "`weights` must be one of"),
        ({"weights": "trained"}, "'trained' needs a model with weights"),
        ({"control": "nothing"}, "`control` must be one of"),
        ({"precision": "exact"}, "`precision` must be one of"),
        ({"dtype": "int8"}, "`dtype` must be one of"),
        ({"key": 3}, "`key` must be a key of jax.random.key"),
    ],
)
def test_bad_options_are_refused(as_user, options, match):
    with pytest.raises(ValueError, match=match):
        looped(SMALL, IDS, **{"passes": 1, "progress": False, **options})


def test_a_name_that_is_no_size_and_a_thing_that_is_no_model_are_refused(as_user):
    with pytest.raises(ValueError, match="one of gpt2, gpt2-medium"):
        looped("gpt3", IDS, passes=1)
    with pytest.raises(ValueError, match="`model` must be a Transformer"):
        looped(3, IDS, passes=1)


def test_another_dtype_than_the_model_s_and_a_feed_forward_that_was_left_are_refused():
    model = strong(SMALL, "float32")
    with pytest.raises(ValueError, match="this model's are float32"):
        looped(model, IDS, passes=1, dtype="float64")
    blocks = af.language._model.without_feed_forward(model.blocks)
    model = eqx.tree_at(lambda m: m.blocks, model, blocks)
    with pytest.raises(ValueError, match="load the model with feed_forward=True"):
        looped(model, IDS, passes=1)


def test_float64_needs_64_bits(x64_off):
    with pytest.raises(ValueError, match="jax_enable_x64"):
        looped(SMALL, IDS, passes=1, dtype="float64")


def test_tokens_that_overflow_are_told_of_once_with_the_pass_and_the_layer():
    model = strong(SMALL)
    gain = model.blocks.attention.out
    model = eqx.tree_at(lambda m: m.blocks.attention.out, model, gain.at[1].set(1e308))
    with pytest.warns(UserWarning, match="not finite from pass 1, layer 2 on, in 3 of 3") as told:
        run = looped(model, IDS, passes=2, progress=False)
    assert len(told) == 1
    assert np.isfinite(run.E[:, :2]).all()
    assert np.isnan(run.E[:, 2:]).all()
