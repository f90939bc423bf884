"""A looped GPT against plain NumPy in float64, and that no known mistake would go unseen."""

import numpy as np
import pytest

import attnflow as af
from tests.systems import GPTOracle, gpt_checkpoint, gpt_prompts, write_folder

TOLERANCE, PASSES = 1e-10, 3
SEEN = 2e-4  # in E: a hundred times what float32 is compared to in test_parity.py
IDS = gpt_prompts()

CASES = {
    "gpt2": ("gpt2", {}),
    "gpt2, every option": (
        "gpt2",
        {
            "scale_attn_weights": False,
            "scale_attn_by_inverse_layer_idx": True,
            "layer_norm_epsilon": 1e-2,
            "activation_function": "gelu",
            "n_inner": 48,
        },
    ),
    "neo, window 4": ("gpt_neo", {}),
    "neo, every option": (
        "gpt_neo",
        {
            "attention_types": [[["local"], 2], [["global"], 1]],
            "window_size": 1,
            "layer_norm_epsilon": 1e-2,
            "activation_function": "silu",
            "intermediate_size": 48,
        },
    ),
}


@pytest.fixture(scope="module", params=CASES)
def both(request, tmp_path_factory):
    family, options = CASES[request.param]
    config, tensors = gpt_checkpoint(family, "oracle", **options)
    folder = write_folder(tmp_path_factory.mktemp("gpt"), config, tensors, dtype="F64")
    return GPTOracle(config, tensors), af.language.load(folder, dtype="float64")


@pytest.mark.parametrize("feed_forward", [True, False])
def test_hidden_states_are_the_oracles(both, feed_forward):
    oracle, model = both
    found = np.asarray(model.hidden(IDS[0], feed_forward=feed_forward))
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, oracle.hidden(IDS[0], feed_forward), rtol=0, atol=TOLERANCE)


def test_the_model_ends_with_the_final_norm(both):
    oracle, model = both
    expected = oracle.norm("ln_f", oracle.hidden(IDS[0])[-1])
    np.testing.assert_allclose(model(IDS[0]), expected, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("feed_forward", [True, False])
def test_misalignment_along_the_passes_is_the_oracles(both, feed_forward):
    oracle, model = both
    run = af.language.looped(
        model, IDS, passes=PASSES, feed_forward=feed_forward, weights="trained", progress=False
    )
    expected = oracle.looped(IDS, PASSES, feed_forward)
    assert run.E.shape == expected.shape == (3, 1 + PASSES * 3)
    np.testing.assert_allclose(run.E, expected, rtol=0, atol=TOLERANCE)


def test_passes_without_the_feed_forward_need_none_of_its_weights(tmp_path):
    config, tensors = gpt_checkpoint("gpt2", "oracle")
    folder = write_folder(tmp_path, config, tensors, dtype="F64")
    model = af.language.load(folder, dtype="float64", feed_forward=False)
    run = af.language.looped(model, IDS, passes=1, feed_forward=False, progress=False)
    expected = GPTOracle(config, tensors).looped(IDS, 1, False)
    np.testing.assert_allclose(run.E, expected, rtol=0, atol=TOLERANCE)


# === what the comparison above would see


def _filled(part, value):
    """Tensors whose name has that ending all hold one value."""

    def wrong(oracle):
        tensors = {n: x * 0 + value if part(n) else x for n, x in oracle.tensors.items()}
        assert any(part(name) for name in tensors)
        return GPTOracle(oracle.config, tensors)

    return wrong


def _ends(*endings):
    return lambda name: name.endswith(endings)


def _transposed(*endings):
    def wrong(oracle):
        return GPTOracle(
            oracle.config,
            {n: x.T if n.endswith(endings) else x for n, x in oracle.tensors.items()},
        )

    return wrong


def _configured(**entries):
    return lambda oracle: GPTOracle({**oracle.config, **entries}, oracle.tensors)


NORMS = ("ln_1", "ln_2", "ln_f")
SHARED = {
    **{f"gain of {n} ignored": _filled(_ends(f"{n}.weight"), 1.0) for n in NORMS},
    **{f"bias of {n} ignored": _filled(_ends(f"{n}.bias"), 0.0) for n in NORMS},
    "no bias of the feed-forward's first matrix": _filled(_ends("mlp.c_fc.bias"), 0.0),
    "no bias of the feed-forward's second matrix": _filled(_ends("mlp.c_proj.bias"), 0.0),
    "gelu of erf": _configured(activation_function="gelu"),
}
GPT2 = {
    **SHARED,
    "no bias of q, k, v": _filled(_ends("c_attn.bias"), 0.0),
    "no bias of the output": _filled(_ends("attn.c_proj.bias"), 0.0),
    "output matrix transposed": _transposed("attn.c_proj.weight"),
    "scores not divided": _configured(scale_attn_weights=False),
}
NEO = {
    **SHARED,
    "no bias of the output": _filled(_ends("out_proj.bias"), 0.0),
    "output matrix transposed": _transposed("out_proj.weight"),
    "queries transposed": _transposed("q_proj.weight"),
    "scores divided": _configured(scale_attn_weights=True),
    "window ignored": _configured(attention_types=[[["global"], 3]]),
    "window wider by one": _configured(window_size=5),
    "local layers first": _configured(attention_types=[[["local", "global"], 1], [["global"], 1]]),
}
MISTAKES = [("gpt2", {}, name, GPT2[name]) for name in GPT2]
MISTAKES += [("gpt_neo", {}, name, NEO[name]) for name in NEO]
MISTAKES += [
    (family, {"layer_norm_epsilon": 1e-2}, "epsilon ten times", _configured(layer_norm_epsilon=0.1))
    for family in ("gpt2", "gpt_neo")
]
MISTAKES.append(
    (
        "gpt2",
        {"scale_attn_by_inverse_layer_idx": True},
        "scale by layer ignored",
        _configured(scale_attn_by_inverse_layer_idx=False),
    )
)


@pytest.mark.parametrize(
    ("family", "options", "wrong"),
    [pytest.param(f, o, w, id=f"{f}: {name}") for f, o, name, w in MISTAKES],
)
def test_a_mistaken_model_would_be_seen(family, options, wrong):
    oracle = GPTOracle(*gpt_checkpoint(family, "oracle", **options))
    difference = wrong(oracle).looped(IDS, PASSES) - oracle.looped(IDS, PASSES)
    assert np.abs(difference).max() > SEEN


@pytest.mark.parametrize("feed_forward", [True, False])
@pytest.mark.parametrize("mistake", ["positions_again", "norm_between", "norm_measured"])
@pytest.mark.parametrize("family", ["gpt2", "gpt_neo"])
def test_a_mistaken_loop_would_be_seen(family, mistake, feed_forward):
    oracle = GPTOracle(*gpt_checkpoint(family, "oracle"))
    wrong = oracle.looped(IDS, PASSES, feed_forward, **{mistake: mistake != "norm_between"})
    assert np.abs(wrong - oracle.looped(IDS, PASSES, feed_forward)).max() > SEEN


@pytest.mark.parametrize("family", ["gpt2", "gpt_neo"])
def test_the_feed_forward_would_be_missed(family):
    oracle = GPTOracle(*gpt_checkpoint(family, "oracle"))
    difference = oracle.looped(IDS, PASSES) - oracle.looped(IDS, PASSES, False)
    assert np.abs(difference).max() > SEEN
