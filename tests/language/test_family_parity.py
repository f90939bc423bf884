"""Every family against transformers on the same folder: tokens, and E of loops, in float32."""

import os

import numpy as np
import pytest

import attnflow as af
from tests.systems import FAMILY_OPTIONS, family_checkpoint, gpt_prompts, misalignment
from tests.systems._peer import FamilyPeer, torch  # noqa: F401 - skips where torch is not

os.environ.setdefault("HF_HUB_OFFLINE", "1")

IDS, PASSES = gpt_prompts(2, 10), 2
CASES = {
    family: (family, {})
    for family in (
        "llama",
        "mistral",
        "qwen2",
        "qwen3",
        "gemma",
        "gemma3_text",
        "gpt_neox",
        "bert",
        "distilbert",
        "albert",
    )
}
CASES |= FAMILY_OPTIONS | {
    "qwen2, kinds of layers": (
        "qwen2",
        {"layer_types": ["sliding_attention", *["full_attention"] * 2, "sliding_attention"]},
    ),
    "gemma, as first written": ("gemma", {"hidden_act": "gelu", "num_key_value_heads": 1}),
    "qwen3, without windows": ("qwen3", {"use_sliding_window": False, "attention_bias": True}),
}


CORE = ("llama", "gemma3_text", "gpt_neox", "bert", "albert")
PARAMS = [c if c in CORE else pytest.param(c, marks=pytest.mark.slow) for c in CASES]


@pytest.fixture(scope="module", params=PARAMS)
def both(request, tmp_path_factory):
    family, options = CASES[request.param]
    config, tensors = family_checkpoint(family, "parity", **options)
    peer = FamilyPeer(config, tensors)
    folder = tmp_path_factory.mktemp("peer")
    peer.model.save_pretrained(folder)
    return peer, af.language.load(folder)


def test_hidden_states_are_those_of_transformers(both):
    peer, model = both
    expected = peer.looped(IDS, 1)[0]
    scale = max(1.0, float(np.abs(expected).max()))
    np.testing.assert_allclose(model.hidden(IDS[0]), expected, rtol=0, atol=1e-5 * scale)


@pytest.mark.parametrize("feed_forward", [True, False])
def test_misalignment_along_the_passes_is_that_of_transformers(both, feed_forward):
    peer, model = both
    tokens = peer.looped(IDS, PASSES, feed_forward).astype(np.float64)
    expected = [[misalignment(y) for y in prompt] for prompt in tokens]
    run = af.language.looped(model, IDS, passes=PASSES, feed_forward=feed_forward, progress=False)
    np.testing.assert_allclose(run.E, expected, rtol=0, atol=2e-6)
