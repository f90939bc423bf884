"""GPT-2 and GPT-Neo against transformers on the same folders: tokens, E of loops, and the law of random weights."""

import os

import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import attnflow as af
from attnflow.language._activations import ACTIVATIONS
from tests.systems import gpt_checkpoint, gpt_prompts, misalignment, write_folder

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read when transformers is imported
torch = pytest.importorskip("torch", reason="the peer runs on torch")
transformers = pytest.importorskip("transformers", reason="the peer is transformers")

IDS, PASSES = gpt_prompts(), 2

CASES = {
    "gpt2": ("gpt2", {}),
    "gpt2, every option": (
        "gpt2",
        {
            "scale_attn_weights": False,
            "scale_attn_by_inverse_layer_idx": True,
            "layer_norm_epsilon": 1e-3,
            "activation_function": "gelu",
            "n_inner": 48,
        },
    ),
    "neo, window 4": ("gpt_neo", {}),
    "neo, every option": (
        "gpt_neo",
        {
            "attention_types": [[["local"], 2], [["global"], 1]],
            "window_size": 2,
            "layer_norm_epsilon": 1e-3,
            "activation_function": "relu",
            "intermediate_size": 48,
        },
    ),
}


class Peer:
    """A transformers model whose output enters it again."""

    def __init__(self, family, tensors, dtype="float32", head=False, **options):
        kinds = {
            "gpt2": ("GPT2Config", "GPT2LMHeadModel" if head else "GPT2Model"),
            "gpt_neo": ("GPTNeoConfig", "GPTNeoForCausalLM" if head else "GPTNeoModel"),
        }
        config, model = (getattr(transformers, name) for name in kinds[family])
        self.whole = model(config(bos_token_id=0, eos_token_id=0, **options)).eval()
        self.model = self.whole.transformer if head else self.whole
        with torch.no_grad():
            parameters = dict(self.model.named_parameters())
            assert set(parameters) == set(tensors)
            for name, parameter in parameters.items():
                parameter.copy_(torch.from_numpy(tensors[name]))
        self.whole.to(getattr(torch, dtype))

    def looped(self, ids, passes, feed_forward=True):
        """The tokens before the first block and after each, (prompts, 1 + passes * layers, length, dim)."""
        seen, model = [], self.model
        hooks = [
            model.drop.register_forward_hook(lambda _, __, out: seen.append(out)),
            *(
                block.register_forward_hook(
                    lambda _, __, out: seen.append(out if torch.is_tensor(out) else out[0])
                )
                for block in model.h
            ),
        ]
        if not feed_forward:
            hooks += [b.mlp.register_forward_hook(lambda _, __, out: 0 * out) for b in model.h]
        positions = model.wpe.weight.detach().clone()
        try:
            with torch.no_grad():
                entering = {"input_ids": torch.from_numpy(ids)}
                for _ in range(passes):
                    out = model(**entering, use_cache=False).last_hidden_state
                    entering = {"inputs_embeds": out}
                    model.wpe.weight.zero_()  # positions are added once
        finally:
            model.wpe.weight.detach().copy_(positions)
            for hook in hooks:
                hook.remove()
        each = len(model.h) + 1
        tokens = [x.numpy() for at, x in enumerate(seen) if at == 0 or at % each]
        return np.stack(tokens, axis=1)


def peer_and_folder(case, folder, head=False, dtype="float32"):
    family, options = CASES[case]
    config, tensors = gpt_checkpoint(family, "parity", **options)
    entries = {name: value for name, value in config.items() if name != "model_type"}
    peer = Peer(family, tensors, dtype, head, **entries)
    peer.whole.save_pretrained(folder)
    return peer, folder


@pytest.fixture(scope="module", params=CASES)
def both(request, tmp_path_factory):
    peer, folder = peer_and_folder(request.param, tmp_path_factory.mktemp("peer"))
    return peer, af.language.load(folder)


def _near(found, expected, tolerance):
    """Within the tolerance, relative to the largest of the expected where that is above one."""
    scale = max(1.0, float(np.abs(expected).max()))
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * scale)


def test_hidden_states_are_those_of_transformers(both):
    peer, model = both
    expected = peer.looped(IDS, 1)
    for prompt, ids in enumerate(IDS):
        _near(model.hidden(ids), expected[prompt], 1e-5)


def test_the_output_is_that_of_transformers(both):
    peer, model = both
    with torch.no_grad():
        expected = peer.model(torch.from_numpy(IDS)).last_hidden_state.numpy()
    for prompt, ids in enumerate(IDS):
        _near(model(ids), expected[prompt], 1e-5)


@pytest.mark.parametrize("feed_forward", [True, False])
def test_misalignment_along_the_passes_is_that_of_transformers(both, feed_forward):
    peer, model = both
    tokens = peer.looped(IDS, PASSES, feed_forward).astype(np.float64)
    expected = [[misalignment(y) for y in prompt] for prompt in tokens]
    run = af.language.looped(
        model, IDS, passes=PASSES, feed_forward=feed_forward, weights="trained", progress=False
    )
    np.testing.assert_allclose(run.E, expected, rtol=0, atol=2e-6)


def test_gpt2_agrees_in_float64(tmp_path):
    peer, folder = peer_and_folder("gpt2", tmp_path, dtype="float64")
    model = af.language.load(folder, dtype="float64")
    expected = peer.looped(IDS, PASSES)
    _near(model.hidden(IDS[0]), expected[0, :4], 1e-12)
    run = af.language.looped(model, IDS, passes=PASSES, progress=False)
    E = [[misalignment(y) for y in prompt] for prompt in expected]
    np.testing.assert_allclose(run.E, E, rtol=0, atol=1e-12)


@pytest.mark.parametrize("case", ["gpt2", "neo, window 4"])
def test_models_saved_with_an_output_head_are_read(case, tmp_path):
    peer, folder = peer_and_folder(case, tmp_path, head=True)
    expected = peer.looped(IDS, 1)
    _near(af.language.load(folder).hidden(IDS[0]), expected[0], 1e-5)


@pytest.mark.parametrize("case", ["gpt2", "neo, window 4"])
def test_transformers_reads_what_is_written_here(case, tmp_path):
    family, options = CASES[case]
    config, tensors = gpt_checkpoint(family, "parity", **options)
    folder = write_folder(tmp_path, {**config, "bos_token_id": 0, "eos_token_id": 0}, tensors)
    found = transformers.AutoModel.from_pretrained(folder).state_dict()
    assert set(found) == set(tensors)
    for name, array in tensors.items():
        np.testing.assert_array_equal(found[name].numpy(), array.astype(np.float32))


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_are_those_of_that_name_in_transformers(name):
    x = np.linspace(-8, 8, 2001)
    peer = transformers.activations.ACT2FN[name](torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(ACTIVATIONS[name](jnp.asarray(x)), peer, rtol=1e-10, atol=1e-10)


# === random weights


def _tensors(model):
    """A GPT's arrays by the names of Hugging Face, layers stacked; GPT-Neo's transposed or not is one."""
    blocks, d = model.blocks, model.architecture.dim
    a, f = blocks.attention, blocks.feed_forward
    out = {
        "wte.weight": model.tokens,
        "wpe.weight": model.positions,
        "ln_f.weight": model.norm.gain,
        "ln_f.bias": model.norm.bias,
        "ln_1.weight": blocks.attention_norm.gain,
        "ln_1.bias": blocks.attention_norm.bias,
        "ln_2.weight": blocks.feed_forward_norm.gain,
        "ln_2.bias": blocks.feed_forward_norm.bias,
        "mlp.c_fc.weight": f.up,
        "mlp.c_fc.bias": f.up_bias,
        "mlp.c_proj.weight": f.down,
        "mlp.c_proj.bias": f.down_bias,
    }
    if model.architecture.family == "gpt2":
        names = {"attn.c_attn": (a.qkv, a.qkv_bias), "attn.c_proj": (a.out, a.out_bias)}
        for name, (weight, bias) in names.items():
            out |= {f"{name}.weight": weight, f"{name}.bias": bias}
    else:
        for at, part in enumerate("qkv"):
            third = a.qkv[..., at * d : (at + 1) * d]
            out[f"attn.attention.{part}_proj.weight"] = third
        out |= {"attn.attention.out_proj.weight": a.out, "attn.attention.out_proj.bias": a.out_bias}
    return {name: np.asarray(x, np.float64).ravel() for name, x in out.items()}


@pytest.mark.parametrize(("family", "deviation"), [("gpt2", 0.1), ("gpt_neo", 0.02)])
def test_random_weights_follow_the_law_of_transformers(family, deviation, tmp_path):
    config, _ = gpt_checkpoint(family, initializer_range=deviation)
    entries = {name: value for name, value in config.items() if name != "model_type"}
    with torch.random.fork_rng():
        torch.manual_seed(1)
        kind = "GPT2" if family == "gpt2" else "GPTNeo"
        its = getattr(transformers, f"{kind}Config")(bos_token_id=0, eos_token_id=0, **entries)
        peer = getattr(transformers, f"{kind}Model")(its)
    its.save_pretrained(tmp_path)
    ours = _tensors(af.language.random(af.language.read_config(tmp_path), key=jr.key(2)))
    theirs = {}
    for name, x in peer.named_parameters():
        short = ".".join(name.split(".")[2:]) if name.startswith("h.") else name
        theirs.setdefault(short, []).append(x.detach().numpy().astype(np.float64).ravel())
    assert set(ours) == set(theirs)
    for name, found in ours.items():
        expected = np.concatenate(theirs[name])
        assert len(found) == len(expected), name
        if name.endswith("bias") or "ln_" in name:
            np.testing.assert_array_equal(found, expected, err_msg=name)
            continue
        error = expected.std() / np.sqrt(len(found))  # of each deviation, times sqrt(2)
        assert abs(found.std() - expected.std()) < 5 * error, name
        assert abs(found.mean() - expected.mean()) < 5 * np.sqrt(2) * error, name
