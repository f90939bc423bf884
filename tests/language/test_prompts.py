"""Prompts: the paper's ids, ids that a model cannot take, texts by a tokenizer, downloads by commit."""

import json

import numpy as np
import pytest

import attnflow as af
from tests.systems import gpt_checkpoint, write_folder


def test_the_first_ids_of_the_paper_are_drawn():
    ids = af.language.paper_prompts()
    assert ids.shape == (100, 200)
    expected = [41905, 7296, 1639, 48598, 18024, 16049, 14628, 9144, 48265]
    assert ids[0, :9].tolist() == expected
    assert 0 <= ids.min() < 100
    assert 50156 < ids.max() <= 50256


def test_fewer_prompts_are_the_first_of_more():
    np.testing.assert_array_equal(af.language.paper_prompts(3), af.language.paper_prompts(100)[:3])


def test_prompts_leave_the_random_numbers_of_python_alone():
    import random

    random.seed(7)
    expected = random.random()
    random.seed(7)
    af.language.paper_prompts(1)
    assert random.random() == expected


@pytest.mark.parametrize("name", ["prompts", "length"])
@pytest.mark.parametrize("value", [0, -1, 2.0, True])
def test_numbers_of_prompts_are_whole_and_positive(name, value, as_user):
    with pytest.raises(ValueError, match=f"`{name}` must be a positive integer; got"):
        af.language.paper_prompts(**{name: value})


BAD_IDS = {
    "negative": ([[1, 2, -3]], "between 0 and 96.*got -3"),
    "too large": ([[1, 97]], "between 0 and 96.*got 97"),
    "fractions": ([[1.0, 2.0]], "whole numbers; got dtype float64"),
    "truths": ([[True, False]], "whole numbers; got dtype bool"),
    "texts": (["a text"], "whole numbers; got dtype <U6"),
    "empty": ([], r"shape \(prompts, length\)"),
    "prompts of nothing": ([[], []], r"shape \(prompts, length\)"),
    "one number": (3, r"shape \(prompts, length\)"),
    "three axes": ([[[1, 2]]], r"shape \(prompts, length\).*\(1, 1, 2\)"),
    "too long": ([[1] * 17], "at most 16 tokens.*got 17"),
}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gpt")
    return af.language.load(write_folder(folder, *gpt_checkpoint("gpt2", "prompts")))


@pytest.mark.parametrize("kind", BAD_IDS)
def test_ids_that_the_model_cannot_take_are_refused(model, kind, as_user):
    ids, message = BAD_IDS[kind]
    for call in (
        lambda: af.language.looped(model, ids, passes=1, progress=False),
        lambda: model.hidden(ids),
    ):
        with pytest.raises(ValueError, match=f"`token_ids` must .*{message}"):
            call()


def test_prompts_of_several_lengths_are_for_loops_alone(model, as_user):
    ragged = [[1, 2], [1, 2, 3]]
    for call in (model.hidden, lambda ids: af.language.compare(model, ids)):
        with pytest.raises(ValueError, match="`token_ids` must have one length for all prompts"):
            call(ragged)
    with pytest.raises(ValueError, match="at least one id a prompt; prompt 1 has none"):
        af.language.looped(model, [[], [1]], passes=1, progress=False)


def test_hidden_states_are_of_one_prompt(model, as_user):
    with pytest.raises(ValueError, match=r"`ids` must be one prompt.*got \(2, 3\)"):
        model.hidden([[1, 2, 3], [4, 5, 6]])


@pytest.mark.parametrize("as_array", [list, np.asarray, lambda x: np.asarray(x, np.uint8)])
def test_ids_may_be_lists_or_whole_numbers_of_any_size(model, as_array, as_user):
    ids = [3, 1, 4, 1, 5]
    found = model.hidden(as_array(ids))
    np.testing.assert_array_equal(found, model.hidden(np.asarray(ids, np.int64)))


# === texts

TEXTS = ["the cat sat", "the mat", "zebra"]


def _trained():
    tokenizers = pytest.importorskip("tokenizers", reason="texts are split by tokenizers")
    tokenizer = tokenizers.ByteLevelBPETokenizer()
    tokenizer.train_from_iterator(["the cat sat on the mat"] * 4, 280, show_progress=False)
    return tokenizer


def test_texts_are_split_by_the_tokenizer_of_the_folder(tmp_path):
    tokenizer = _trained()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    found = af.language.encode(tmp_path, TEXTS)
    assert found == [tokenizer.encode(text).ids for text in TEXTS]
    assert [tokenizer.decode(ids) for ids in found] == TEXTS
    assert len(found[0]) < len(TEXTS[0])  # words were learnt
    assert af.language.encode(str(tmp_path), TEXTS[0]) == found[:1]


@pytest.mark.parametrize("remembers", ["truncation", "padding", "both"])
def test_what_a_tokenizer_remembers_of_cutting_and_filling_up_is_left_out(remembers, tmp_path):
    tokenizer = _trained()
    expected = [tokenizer.encode(text).ids for text in TEXTS]
    if remembers != "padding":
        tokenizer.enable_truncation(max_length=2)
    if remembers != "truncation":
        tokenizer.enable_padding(pad_id=0, length=9)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    assert tokenizer.encode(TEXTS[0]).ids != expected[0]
    assert af.language.encode(tmp_path, TEXTS) == expected


def test_a_vocabulary_with_merges_is_a_tokenizer(tmp_path):
    tokenizer = _trained()
    tokenizer.save_model(str(tmp_path))
    assert not (tmp_path / "tokenizer.json").exists()
    assert af.language.encode(tmp_path, TEXTS) == [tokenizer.encode(t).ids for t in TEXTS]


def test_a_folder_without_a_tokenizer_is_refused(tmp_path, as_user):
    _trained()
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(ValueError, match=f"{folder} has no tokenizer.json.*give token ids"):
            af.language.encode(folder, TEXTS)
    (tmp_path / "vocab.json").write_text("{}")  # its merges are missing
    with pytest.raises(ValueError, match=f"{tmp_path} has no tokenizer.json"):
        af.language.encode(tmp_path, TEXTS)


@pytest.mark.parametrize("text", ["", "junk", "{}", json.dumps({"model": 3})])
@pytest.mark.parametrize("name", ["tokenizer.json", "vocab.json"])
def test_a_tokenizer_that_cannot_be_read_is_refused(text, name, tmp_path, as_user):
    _trained()
    (tmp_path / name).write_text(text)
    (tmp_path / "merges.txt").write_text("junk")
    with pytest.raises(ValueError, match=f"{tmp_path / name} cannot be read as a tokenizer: "):
        af.language.encode(tmp_path, TEXTS)


@pytest.mark.parametrize(
    ("package", "call"),
    [
        ("tokenizers", lambda folder: af.language.encode(folder, "a")),
        ("huggingface_hub", lambda folder: af.language.download("gpt2", revision="0" * 40)),
        ("safetensors", lambda folder: af.language.load(folder)),
    ],
)
def test_packages_that_are_missing_are_named(package, call, tmp_path, monkeypatch):
    import importlib.util

    find = importlib.util.find_spec
    for module in (af.language._prompts, af.language._tensors):
        monkeypatch.setattr(module, "find_spec", lambda n: None if n == package else find(n))
    (tmp_path / "config.json").write_text('{"model_type": "gpt2"}')
    with pytest.raises(ImportError, match=f"{package}, not installed here: pip install 'attnflow"):
        call(tmp_path)


# === downloads, without the network


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """What would be asked of the hub."""
    huggingface_hub = pytest.importorskip("huggingface_hub", reason="downloads need it")
    asked = []

    def snapshot_download(name, **options):
        asked.append((name, options))
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    return asked


@pytest.mark.parametrize("revision", ["main", "", "v1.0", "0" * 39, "0" * 41, "g" * 40])
def test_a_branch_is_refused(revision, hub, as_user):
    with pytest.raises(ValueError, match=f"`revision` must be a commit of 40 .*got '{revision}'"):
        af.language.download("openai-community/gpt2", revision=revision)
    assert not hub


def test_a_commit_is_downloaded_without_pickles(hub, tmp_path):
    revision = "607a30d783dfa663caf39e06633721c8d4cfcd7e"
    assert af.language.download("openai-community/gpt2", revision=revision) == tmp_path
    [(name, options)] = hub
    assert (name, options["revision"]) == ("openai-community/gpt2", revision)
    patterns = options["allow_patterns"]
    assert {"config.json", "*.safetensors", "tokenizer.json"} <= set(patterns)
    assert not any(bad in pattern for pattern in patterns for bad in (".bin", ".pt", ".h5", ".py"))
    assert "*" not in patterns
