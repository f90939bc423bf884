"""Every family against plain NumPy in float64, and that no known mistake of reading it would go unseen."""

import numpy as np
import pytest

import attnflow as af
from tests.systems import (
    DECODERS,
    ENCODERS,
    FAMILY_OPTIONS,
    FamilyOracle,
    family_checkpoint,
    gpt_prompts,
    write_folder,
)

TOLERANCE, PASSES = 1e-10, 2
SEEN = 2e-4  # in E: a hundred times what float32 is compared to in test_family_parity.py
IDS = gpt_prompts(2, 10)
CASES = {family: (family, {}) for family in (*DECODERS, *ENCODERS)}
CASES |= FAMILY_OPTIONS | {
    "albert, one group": ("albert", {"num_hidden_groups": 1}),
}


CORE = ("llama", "gemma3_text", "gpt_neox", "bert", "albert")
PARAMS = [c if c in CORE else pytest.param(c, marks=pytest.mark.slow) for c in CASES]


@pytest.fixture(scope="module", params=PARAMS)
def both(request, tmp_path_factory):
    family, options = CASES[request.param]
    config, tensors = family_checkpoint(family, "oracle", **options)
    folder = write_folder(tmp_path_factory.mktemp("model"), config, tensors, dtype="F64")
    return FamilyOracle(config, tensors), af.language.load(folder, dtype="float64")


def test_hidden_states_and_the_output_are_the_oracles(both):
    oracle, model = both
    for feed_forward in (True, False):
        found = np.asarray(model.hidden(IDS[0], feed_forward=feed_forward))
        expected = oracle.hidden(IDS[0], feed_forward)
        np.testing.assert_allclose(found, expected, rtol=TOLERANCE, atol=TOLERANCE)
    expected = oracle.final(oracle.hidden(IDS[0])[-1])
    np.testing.assert_allclose(model(IDS[0]), expected, rtol=TOLERANCE, atol=TOLERANCE)


@pytest.mark.parametrize("feed_forward", [True, False])
def test_misalignment_along_the_passes_is_the_oracles(both, feed_forward):
    oracle, model = both
    run = af.language.looped(
        model, IDS, passes=PASSES, feed_forward=feed_forward, progress=False, keep="last"
    )
    expected = oracle.looped(IDS, PASSES, feed_forward)
    np.testing.assert_allclose(run.E, expected, rtol=0, atol=TOLERANCE)
    assert run.last is not None
    assert run.last.shape == (2, 10, 32)


def test_the_model_counts_its_parameters(both):
    oracle, model = both
    assert model.architecture.parameters == sum(x.size for x in oracle.tensors.values())


# === what the comparison above would see

ROTARY = ("no rotations", "neighbours paired", "base ten times", "the other mask")
LLAMA = (
    *ROTARY,
    "mean taken off",
    "scores not divided",
    "gate and up exchanged",
    "groups of heads in turn",
    "no final norm",
    "the other order",
)
WINDOWS = ("window ignored", "window wider by one")
ENCODER = (
    "the other mask",
    "scores not divided",
    "norms before the sum",
    "norms exchanged",
    "no mean taken off",
    "norms without bias",
    "no biases of matrices",
    "the other gelu",
    "no positions",
    "embedding not normed",
)
MISTAKES = {
    "llama": LLAMA,
    "mistral": LLAMA + WINDOWS,
    "qwen2": (*LLAMA, *WINDOWS, "no biases of matrices"),
    "qwen3": (*LLAMA, *WINDOWS, "queries and keys not normed", "normed after rotation"),
    "gemma": (*LLAMA, "gain without one", "embedding not scaled", "the other gelu"),
    "gemma3_text": (
        *LLAMA,
        *WINDOWS,
        "queries and keys not normed",
        "normed after rotation",
        "gain without one",
        "no norms after",
        "embedding not scaled",
        "divided by a head's width",
        "one base for all layers",
    ),
    "gpt_neox": (
        *ROTARY,
        "whole heads rotated",
        "thirds in blocks",
        "the other order",
        "no mean taken off",
        "norms without bias",
        "no biases of matrices",
        "the other gelu",
        "scores not divided",
        "no final norm",
    ),
    "bert": (*ENCODER, "no types"),
    "distilbert": ENCODER,
    "albert": (*ENCODER, "no types", "groups in turn"),
}


@pytest.mark.parametrize("family", MISTAKES)
def test_a_mistaken_model_would_be_seen(family):
    config, tensors = family_checkpoint(family, "oracle")
    right = FamilyOracle(config, tensors).looped(IDS, PASSES)
    assert len(MISTAKES[family]) >= 8
    for mistake in MISTAKES[family]:
        wrong = FamilyOracle(config, tensors, mistake).looped(IDS, PASSES)
        assert np.abs(wrong - right).max() > SEEN, mistake
