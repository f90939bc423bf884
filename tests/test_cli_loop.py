"""`attnflow loop` as a person uses it: what it prints and writes, how it goes on, what it refuses."""

import json

import numpy as np
import pytest

import attnflow as af
from attnflow.cli import main
from attnflow.cli._loop import _lines
from attnflow.language import Architecture
from tests.systems import family_checkpoint

SMALL = Architecture("gpt2", 50257, 256, 32, 2, 4, 64)


@pytest.fixture
def tiny(monkeypatch):
    monkeypatch.setitem(af.language.SIZES, "gpt2", SMALL)


def program(capsys, *words):
    status = main(["loop", *map(str, words)])
    out, err = capsys.readouterr()
    return status, out, err


def refused(capsys, *words):
    status, out, err = program(capsys, *words)
    assert (status, out) == (2, "")
    assert err.startswith("attnflow: ")
    assert err.count("\n") == 1
    return err


def test_a_run_prints_its_curve_writes_its_files_and_goes_on(capsys, tiny, tmp_path):
    words = ["--model", "gpt2", "--prompts", 3, "--length", 12, "--no-feed-forward"]
    status, out, _ = program(capsys, *words, "--passes", 2, "--out", tmp_path)
    assert status == 0
    assert "random weights, fixed; without feed-forward" in out
    assert (tmp_path / "loop.png").read_bytes().startswith(b"\x89PNG")
    account = json.loads((tmp_path / "summary.json").read_text())
    assert len(account["E_mean"]) == 3
    ids = af.language.paper_prompts(3)[:, :12]
    alone = af.language.looped(SMALL, ids, passes=4, feed_forward=False, progress=False)
    status, out, _ = program(capsys, *words, "--passes", 4, "--out", tmp_path)
    assert status == 0
    np.testing.assert_array_equal(af.language.read_run(tmp_path).E, alone.E)
    assert f"{alone.E[:, -1].mean():.3e}" in out
    assert "another 'prompts'" in refused(
        capsys, "--model", "gpt2", "--prompts", 2, "--chunk", 3, "--length", 12,
        "--no-feed-forward", "--passes", 4, "--out", tmp_path,
    )  # fmt: skip


def test_the_seed_is_that_of_the_weights(capsys, tiny):
    words = ["--model", "gpt2", "--prompts", 1, "--length", 8, "--passes", 1]
    printed = [program(capsys, *words, "--seed", seed)[1] for seed in (0, 0, 1)]
    assert printed[0] == printed[1] != printed[2]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--model", "gpt9"], "must be a folder, a GGUF file or one of gpt2"),
        (["--model", "gpt2", "--weights", "trained", "--passes", 1], "needs a model with weights"),
        (["--model", "gpt2", "--weights", "other"], "--weights"),
        (["--model", "gpt2", "--passes", 0], "--passes"),
        (["--model", "gpt2", "--text", "x"], "--text needs the tokenizer"),
        (["--model", "gpt2", "--length", 300], "--length must be at most 256"),
        ([], "model"),
    ],
)
def test_bad_words_meet_one_line(capsys, tiny, words, said):
    assert said in refused(capsys, *words)


def test_a_length_that_the_positions_do_not_reach_is_refused_before_weights_are_drawn(capsys, tiny):
    assert main(["diagnose", "gpt2", "--length", "300"]) == 2
    said = capsys.readouterr().err
    assert "--length must be at most 256" in said
    assert "a prompt has 300 tokens" in said


def test_a_folder_without_weights_or_config_meets_one_line(capsys, tmp_path):
    assert "has no config.json" in refused(capsys, "--model", tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "gpt2"}))
    assert "neither model.safetensors nor" in refused(capsys, "--model", tmp_path)


def test_a_folder_s_random_weights_need_its_config_alone(capsys, tmp_path):
    config = {"model_type": "gpt2", "n_embd": 32, "n_layer": 2, "n_head": 4, "n_inner": 64}
    (tmp_path / "config.json").write_text(json.dumps(config))
    words = ["--weights", "redrawn", "--prompts", 1, "--length", 8, "--passes", 1]
    status, out, _ = program(capsys, "--model", tmp_path, *words)
    assert status == 0
    assert "2 layers of 4 heads, d = 32" in out


def test_texts_by_the_folder_s_tokenizer(capsys, tmp_path):
    tokenizers = pytest.importorskip("tokenizers", reason="texts need tokenizers")
    words = tokenizers.models.WordLevel({"a": 0, "b": 1, "c": 2, "?": 3}, unk_token="?")
    tokenizer = tokenizers.Tokenizer(words)
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    config = {"model_type": "gpt2", "n_embd": 32, "n_layer": 2, "n_head": 4, "vocab_size": 4}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "texts.txt").write_text("a b c a\n\nb b a\n")
    options = ["--model", tmp_path, "--weights", "fixed", "--passes", 1]
    status, out, _ = program(capsys, *options, "--texts", tmp_path / "texts.txt")
    assert status == 0
    assert "2 prompts of 3 to 4 tokens" in out
    (tmp_path / "none.txt").write_text("\n")
    assert "is empty" in refused(capsys, *options, "--texts", tmp_path / "none.txt")


@pytest.mark.parametrize(
    "content",
    [
        "\ufeffthe cat\nthe mat\n",
        "the cat\r\nthe mat\r\n",
        "the cat\rthe mat",
        "\n\nthe cat\n \n\t\nthe mat",
        "\ufeffthe cat\r\n\r\nthe mat\r\n\r\n",
    ],
)
def test_lines_of_a_text_are_its_prompts_however_they_end(content, tmp_path):
    path = tmp_path / "texts.txt"
    path.write_bytes(content.encode())
    assert _lines(path) == ["the cat", "the mat"]


def test_form_feeds_and_separators_are_part_of_a_prompt(tmp_path):
    path = tmp_path / "texts.txt"
    within = [f"the{mark}cat" for mark in "\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029\ufeff"]
    path.write_bytes("\n".join(within).encode())
    assert _lines(path) == within


@pytest.mark.parametrize("family", ["bert", "qwen3"])
def test_random_ids_come_from_the_model_s_own_vocabulary(capsys, tmp_path, family):
    config, _ = family_checkpoint(family, "cli")
    (tmp_path / "config.json").write_text(json.dumps(dict(config)))
    words = ["--weights", "fixed", "--prompts", 2, "--length", 4, "--passes", 1]
    status, out, _ = program(capsys, "--model", tmp_path, *words)
    assert status == 0
    assert f"{family}: 4 layers of 4 heads" in out
    ids = af.language.random_prompts(af.language.read_config(tmp_path), 20)
    assert ids.max() == config["vocab_size"] - 1


def test_random_ids_of_gpt2_are_the_paper_s():
    for name in ("gpt2", "gpt-neo-125M"):
        ids = af.language.random_prompts(af.language.architecture(name), 2, 30)
        np.testing.assert_array_equal(ids, af.language.paper_prompts(2)[:, :30])
