"""Figures 7 to 10 at a size that a test can afford: the same code, smaller transformers."""

import json

import jax
import jax.random as jr
import numpy as np
import pytest

from attnflow import language, paper
from attnflow.language import Architecture, looped, paper_prompts
from attnflow.paper import _looped
from tests.systems import family_checkpoint, write_folder

GPT2 = Architecture("gpt2", 50257, 256, 32, 3, 4, 96, deviation=0.3)
NEO = Architecture(
    "gpt_neo", 50257, 256, 32, 2, 4, 128, scaled=False, windows=(None, 256), deviation=0.3
)


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(_looped, "SIZES", {"gpt2-xl": GPT2, "gpt-neo-2.7B": NEO})
    monkeypatch.setattr(_looped, "NARROWER", 1)


def test_the_default_models_have_the_paper_s_depth_heads_and_law():
    for family, size in _looped._SIZES.items():
        full, narrow = language.SIZES[size], _looped._narrow(language.SIZES[size])
        assert (narrow.layers, narrow.heads) == (full.layers, full.heads)
        assert (narrow.deviation, narrow.windows) == (full.deviation, full.windows)
        assert narrow.family == family


@pytest.mark.slow
@pytest.mark.parametrize(
    ("figure", "draw", "weights"),
    [
        (paper.figure9, paper.draw_figure9, "fixed"),
        (paper.figure10, paper.draw_figure10, "redrawn"),
    ],
)
def test_random_weights_both_models_with_and_without_feed_forward(small, figure, draw, weights):
    ticks = []
    data = figure(jr.key(0), passes=3, tick=lambda: ticks.append(1))
    assert len(ticks) == 4
    assert len(data.claims) == 4
    ids = paper_prompts(4)[:, :100]
    for k, (family, arch) in enumerate({"gpt2": GPT2, "gpt_neo": NEO}.items()):
        for kind in ("full", "attention"):
            alone = looped(
                arch,
                ids,
                passes=3,
                weights=weights,
                feed_forward=kind == "full",
                key=jr.fold_in(jr.key(0), k),
                progress=False,
            )
            np.testing.assert_array_equal(data[f"{family}_{kind}_E"], alone.E)
    picture = draw(data)
    assert [ax.get_yscale() for ax in picture.axes] == ["log", "log"]
    names = [line.get_label() for line in picture.axes[0].lines]
    assert names == ["GPT-2 XL (d = 32)", "GPT-Neo 2.7B (d = 32)"]


def test_a_claim_does_not_hold_where_E_rises(small):
    run = looped(GPT2, paper_prompts(2, 20), passes=3, progress=False)
    assert _looped._claim(9, "these", run).holds
    turned = language.Looped(**{**vars(run), "E": run.E[:, ::-1]})
    assert not _looped._claim(9, "these", turned).holds


def test_of_another_model_a_slow_fall_is_not_enough(small):
    run = looped(GPT2, paper_prompts(2, 20), passes=8, progress=False)

    def falls(rate, own=True):
        E = 0.5 * rate ** (np.arange(run.E.shape[1]) / GPT2.layers)
        return _looped._claim(
            8, "these", language.Looped(**{**vars(run), "E": np.stack([E, E])}), own
        )

    assert not falls(0.99).holds
    assert falls(0.99, own=False).holds
    assert "after 389 passes" in falls(0.99).measured  # log(0.01 / 0.5) / log(0.99)
    assert falls(0.9).holds
    assert "after 37 passes" in falls(0.9).measured
    assert falls(0.5).holds
    assert "pace" not in falls(0.5).measured
    assert "after no number of passes" in falls(1.0).measured


def test_the_full_size_keeps_its_passes_and_asks_for_the_paper_s_prompts(
    small, monkeypatch, tmp_path
):
    calls = []

    def record(model, ids, **options):
        calls.append((model, ids.shape, options["passes"], options["store"].name))
        return looped(model, ids[:1, :5], **{**options, "passes": 1})

    monkeypatch.setattr(_looped.language, "looped", record)
    paper.figure9(jr.key(0), full=True, store=tmp_path)
    assert {shape for _, shape, _, _ in calls} == {(100, 200)}
    assert {passes for _, _, passes, _ in calls} == {100}
    assert [model for model, *_ in calls] == [GPT2, GPT2, NEO, NEO]
    assert (tmp_path / "figure9-gpt2_full" / "pass-00001.npz").exists()


def folder_of(model, folder):
    """A model as the files that Hugging Face would write: GPT-2's matrices (in, out), Neo's turned."""
    from safetensors.numpy import save_file

    arch, b, d = model.architecture, model.blocks, model.architecture.dim
    out = {"wte.weight": model.tokens, "wpe.weight": model.positions}
    out |= {"ln_f.weight": model.norm.gain, "ln_f.bias": model.norm.bias}
    neo = arch.family == "gpt_neo"
    for i in range(arch.layers):
        one = jax.tree.map(lambda x, i=i: np.asarray(x[i]), b)
        at = one.attention
        for name, norm in (("ln_1", one.attention_norm), ("ln_2", one.feed_forward_norm)):
            out |= {f"h.{i}.{name}.weight": norm.gain, f"h.{i}.{name}.bias": norm.bias}
        if neo:
            for k, part in enumerate("qkv"):
                matrix = at.qkv[:, k * d : (k + 1) * d].T
                out[f"h.{i}.attn.attention.{part}_proj.weight"] = matrix
            out[f"h.{i}.attn.attention.out_proj.weight"] = at.out.T
            out[f"h.{i}.attn.attention.out_proj.bias"] = at.out_bias
        else:
            out |= {f"h.{i}.attn.c_attn.weight": at.qkv, f"h.{i}.attn.c_attn.bias": at.qkv_bias}
            out |= {f"h.{i}.attn.c_proj.weight": at.out, f"h.{i}.attn.c_proj.bias": at.out_bias}
        f = one.feed_forward
        up, down = (f.up.T, f.down.T) if neo else (f.up, f.down)
        out |= {f"h.{i}.mlp.c_fc.weight": up, f"h.{i}.mlp.c_fc.bias": f.up_bias}
        out |= {f"h.{i}.mlp.c_proj.weight": down, f"h.{i}.mlp.c_proj.bias": f.down_bias}
    folder.mkdir()
    arrays = {k: np.ascontiguousarray(v, np.float32) for k, v in out.items()}
    save_file(arrays, folder / "model.safetensors")
    config = {"model_type": arch.family, "vocab_size": arch.vocabulary, "hidden_size": d}
    config |= {"max_position_embeddings": arch.positions, "num_hidden_layers": arch.layers}
    config |= {"num_attention_heads": arch.heads, "initializer_range": arch.deviation}
    config |= (
        {"intermediate_size": arch.inner, "attention_types": [[["global", "local"], 1]]}
        if neo
        else {"n_inner": arch.inner}
    )
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.slow
def test_trained_models_from_their_folders_with_controls(tmp_path):
    folders = {}
    for name, arch in (("gpt2", GPT2), ("gpt_neo", NEO)):
        model = language.random(arch, key=jr.key(1))
        folders[name] = folder_of(model, tmp_path / name)
        repeated = language.load(folders[name])
        assert repeated.architecture == arch
        for x, y in zip(jax.tree.leaves(model), jax.tree.leaves(repeated), strict=True):
            np.testing.assert_array_equal(x, y)
    report = paper.reproduce([7, 8], out=tmp_path / "out", passes=2, **folders)
    names = {"figure7.png", "figure7.npz", "figure8.png", "figure8.npz", "claims.txt"}
    assert {file.name for file in report.files} == names
    assert len(report.claims) == 4
    with (
        np.load(tmp_path / "out" / "figure7.npz") as saved,
        np.load(tmp_path / "out" / "figure8.npz") as full,
    ):
        for control in ("paper", "normalisation", "no-values", "no-biases"):
            assert saved[f"gpt_neo_{control}_E"].shape == (4, 5)
        assert np.abs(saved["gpt2_paper_E"] - full["gpt2_paper_E"]).max() > 1e-3
        np.testing.assert_array_equal(saved["gpt2_paper_E"], saved["gpt2_no-biases_E"])
    with pytest.raises(ValueError, match="`gpt2` must be the folder of a gpt2 model"):
        paper.figure7(folders["gpt_neo"], folders["gpt2"])


@pytest.mark.slow
def test_figures_7_and_8_take_models_of_any_family(tmp_path):
    config, tensors = family_checkpoint("bert", "figures")
    folder = write_folder(tmp_path / "encoder", config, tensors)
    report = paper.reproduce([7], out=tmp_path / "out", passes=2, models=[folder])
    with np.load(tmp_path / "out" / "figure7.npz") as saved:
        assert str(saved["model1_title"]) == "encoder (bert)"
        model = language.load(folder, feed_forward=False)
        ids = language.random_prompts(model.architecture, 4, 16)
        run = language.looped(model, ids, passes=2, feed_forward=False, progress=False)
        np.testing.assert_array_equal(saved["model1_paper_E"], run.E)
    assert "tokens of encoder (bert)" in report.claims[0].claim
    with pytest.raises(ValueError, match="at least one trained model"):
        paper.figure7()
