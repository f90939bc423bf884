"""Hostile tokenizers of a model's folder, which another package reads: one line that names the file."""

import json

import pytest

import attnflow as af

_BASE = {
    "version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None,
    "pre_tokenizer": None, "post_processor": None, "decoder": None,
    "model": {
        "type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
        "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False,
        "ignore_merges": False, "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": [["a", "b"]],
    },
}  # fmt: skip


def _but(**parts):
    return json.dumps(_BASE | parts)


def _model(**parts):
    return _but(model=_BASE["model"] | parts)


def _replaced(pattern, content):
    return {"type": "Replace", "pattern": pattern, "content": content}


_WIDER = _replaced({"String": "a"}, 32 * "a")
_WORDS = {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##"}
_FILES = {
    "nothing": "",
    "no text": b"\xff\xfe",
    "a list": "[]",
    "a number": "3",
    "nesting": 10**6 * "[",
    "tables in tables": '{"model": ' + 10**4 * '{"a": ' + "1" + 10**4 * "}" + "}",
    "a key twice": _but().replace("{", '{"version": "1.0", ', 1),
    "digits": _model(vocab={"a": 0}).replace('"a": 0', '"a": ' + 5000 * "9"),
    "a version": _but(version="\x1b[2J"),
    "no model": _but(model=None),
    "a model of controls": _model(type="\x1b[2J"),
    "a vocabulary that is a list": _model(vocab=[]),
    "an id below zero": _model(vocab={"a": -1}),
    "an id of 10^12": _model(vocab={"a": 10**12}),
    "an id that is a word": _model(vocab={"a": "x"}),
    "merges that are a number": _model(merges=3),
    "merges of one": _model(merges=["a"]),
    "merges of nobody": _model(merges=[["x", "y"]]),
    "dropout of 5": _model(dropout=5.0),
    "added tokens that are a number": _but(added_tokens=3),
    "a pattern that is none": _but(normalizer=_replaced({"Regex": "("}, "x")),
    "a normalizer that is a word": _but(normalizer="x"),
    "letters that grow to 10^9": _but(normalizer={"type": "Sequence", "normalizers": 6 * [_WIDER]}),
    "a post-processor that is a number": _but(post_processor=3),
    "truncation of words": _but(truncation="x"),
    "padding that is a number": _but(padding=3),
    "words without the unknown one": _but(
        model=_WORDS | {"max_input_chars_per_word": 100, "vocab": {"b": 0}}
    ),
    "a unigram of no piece": _but(model={"type": "Unigram", "unk_id": 9, "vocab": [["a", 0.0]]}),
}


@pytest.fixture(scope="module", autouse=True)
def _imported_once(tmp_path_factory):
    """The package that reads them, so that the time of a case is its own."""
    pytest.importorskip("tokenizers", reason="texts are split by tokenizers")
    folder = tmp_path_factory.mktemp("honest")
    (folder / "tokenizer.json").write_text(_but())
    assert af.language.encode(folder, ["ab", "b"]) == [[2], [1]]


@pytest.mark.parametrize("content", _FILES.values(), ids=_FILES)
def test_a_forged_tokenizer_is_refused(refused, tmp_path, content):
    path = tmp_path / "tokenizer.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    refused(lambda: af.language.encode(tmp_path, ["ab a"]), "tokenizer.json")


def test_a_tokenizer_without_end_is_not_read(refused, tmp_path):
    with (tmp_path / "tokenizer.json").open("wb") as file:
        file.truncate(2**36)  # a hole: it takes no room on the disk
    refused(lambda: af.language.encode(tmp_path, "ab"), "bytes")


@pytest.mark.parametrize("vocabulary", ["", "[]", '{"a": -1}', 10**6 * "[", '{"a": 0, "a": 1}'])
def test_a_forged_vocabulary_is_refused(refused, tmp_path, vocabulary):
    (tmp_path / "vocab.json").write_text(vocabulary)
    (tmp_path / "merges.txt").write_text("#version: 0.2\n")
    refused(lambda: af.language.encode(tmp_path, "ab"), "vocab.json")


@pytest.mark.parametrize("texts", [None, 3, [1, 2], ["a", None], b"ab"])
def test_texts_that_are_none_are_refused(refused, tmp_path, texts):
    refused(lambda: af.language.encode(tmp_path, texts), "`texts`")
