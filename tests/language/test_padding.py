"""Prompts of different lengths in one run: each does what it does alone."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import attnflow as af
from attnflow.cli import main
from attnflow.language._pass import measure
from tests.systems import family_checkpoint, gpt_prompts, write_folder

PROMPTS = [row[:n].tolist() for row, n in zip(gpt_prompts(3, 6), (6, 4, 4), strict=True)]


@pytest.fixture(scope="module", params=["bert", "gemma3_text"])
def model(request, tmp_path_factory):
    config, tensors = family_checkpoint(request.param, "padding")
    folder = tmp_path_factory.mktemp(request.param)
    return af.language.load(write_folder(folder, config, tensors, dtype="F64"), dtype="float64")


@pytest.mark.parametrize("feed_forward", [True, False])
def test_prompts_of_different_lengths_do_together_what_each_does_alone(model, feed_forward):
    options = {"passes": 2, "feed_forward": feed_forward, "keep": "last", "progress": False}
    run = af.language.looped(model, PROMPTS, chunk=2, **options)
    assert run.lengths.tolist() == [6, 4, 4]
    alone = [af.language.looped(model, [prompt], chunk=2, **options) for prompt in PROMPTS[1:]]
    for k, own in enumerate(alone, start=1):
        for name in ("E", "pairs", "rest", "length"):
            np.testing.assert_allclose(getattr(run, name)[k], getattr(own, name)[0], atol=1e-12)
            np.testing.assert_allclose(run.after_norm[name][k], own.after_norm[name][0], atol=1e-12)
        n = len(PROMPTS[k])
        np.testing.assert_allclose(run.last[k, :n], own.last[0], atol=1e-12)
        assert np.isnan(run.last[k, n:]).all()
    assert af.language.clusters(run)[1:] == [af.language.clusters(own)[0] for own in alone]
    assert "3 prompts of 4 to 6 tokens" in str(run)


def test_padding_is_what_makes_the_difference(model):
    """Without its mask the filled up prompt would be another one."""
    filled = [PROMPTS[1] + [0, 0]]
    options = {"passes": 1, "keep": "last", "progress": False}
    unmasked = af.language.looped(model, filled, **options).last[0, :4]
    masked = af.language.looped(model, PROMPTS, **options).last[1, :4]
    apart = np.abs(unmasked - masked).max()
    assert apart < 1e-12 if model.architecture.of.causal else apart > 1e-3


def test_temperatures_leave_padding_out(model):
    found = af.language.temperatures(model, PROMPTS)
    alone = [af.language.temperatures(model, [prompt]) for prompt in PROMPTS]
    for name in ("spread", "beta", "self_share", "first_share", "entropy", "time"):
        expected = np.mean([getattr(own, name) for own in alone], axis=0)
        np.testing.assert_allclose(getattr(found, name), expected, rtol=1e-9, atol=1e-12)


def test_a_run_of_different_lengths_goes_on_from_its_store(model, tmp_path):
    options = {"keep": "last", "progress": False}
    whole = af.language.looped(model, PROMPTS, passes=2, **options)
    af.language.looped(model, PROMPTS, passes=1, store=tmp_path, **options)
    found = af.language.looped(model, PROMPTS, passes=2, store=tmp_path, **options)
    np.testing.assert_array_equal(found.last, whole.last)
    assert af.language.read_run(tmp_path).lengths.tolist() == [6, 4, 4]
    other = [prompt[:2] for prompt in PROMPTS]
    with pytest.raises(ValueError, match="run with another"):
        af.language.looped(model, other, passes=2, store=tmp_path, **options)


def test_what_is_measured_of_the_first_tokens_is_what_they_have_alone():
    h = np.random.default_rng(0).normal(size=(3, 7, 5))
    measured = jax.jit(measure)
    found = measured(
        jnp.asarray(np.where(np.arange(7)[:, None] < 5, h, np.nan)), jnp.asarray([5, 1, 3])
    )
    for k, n in enumerate((5, 1, 3)):
        for name, value in measured(jnp.asarray(h[k : k + 1, :n])).items():
            np.testing.assert_allclose(found[name][k], value[0], atol=1e-14)


def test_a_prompt_without_ids_is_refused_and_so_are_one_token_s_temperatures(model):
    with pytest.raises(ValueError, match="at least one id a prompt; prompt 2 has none"):
        af.language.looped(model, [[1, 2], []], passes=1)
    with pytest.raises(ValueError, match="must be between 0 and"):
        af.language.looped(model, [[1, 2], [10**6]], passes=1)
    with pytest.raises(ValueError, match="two tokens or more; got one"):
        af.language.temperatures(model, [[1, 2], [1]])


def _tokenizer(tokenizers):
    words = {"a": 0, "b": 1, "c": 2}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="a"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    return tokenizer


def test_lines_of_a_text_keep_their_lengths(tmp_path, capsys):
    tokenizers = pytest.importorskip("tokenizers", reason="texts need tokenizers")
    config, tensors = family_checkpoint("bert", "padding")
    folder = write_folder(tmp_path / "model", config, tensors)
    _tokenizer(tokenizers).save(str(folder / "tokenizer.json"))
    text = tmp_path / "lines.txt"
    text.write_text("a b c a b c c\nb c\nc b a\n")
    options = ["--model", str(folder), "--text", str(text), "--passes", "1", "--length", "6"]
    assert main(["loop", *options, "--out", str(tmp_path / "out")]) == 0
    assert "3 prompts of 2 to 6 tokens" in capsys.readouterr().out
    run = af.language.read_run(tmp_path / "out")
    assert run.lengths.tolist() == [6, 2, 3]
    model = af.language.load(folder)
    alone = af.language.looped(model, [[1, 2]], passes=1, progress=False)
    np.testing.assert_allclose(run.E[1], alone.E[0], atol=1e-6)


@pytest.mark.slow
def test_a_page_of_lines_of_different_lengths(tmp_path, capsys):
    tokenizers = pytest.importorskip("tokenizers", reason="texts need tokenizers")
    config, tensors = family_checkpoint("bert", "padding")
    folder = write_folder(tmp_path / "model", config, tensors)
    _tokenizer(tokenizers).save(str(folder / "tokenizer.json"))
    text = tmp_path / "lines.txt"
    text.write_text("a b c a b c c\nb c\nc b a\n")
    page = ["diagnose", str(folder), "--text", str(text), "--passes", "2"]
    assert main([*page, "--out", str(tmp_path / "page")]) == 0
    assert "3 prompts of 2 to 7 ids" in capsys.readouterr().out
    account = json.loads((tmp_path / "page" / "diagnosis.json").read_text())
    assert sum(account["rests"]["whole"][1]["clusters"]) == 2
