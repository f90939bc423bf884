"""The tokenizer of a GGUF file gives the ids that its vocabulary was made for; others are one line."""

import json

import pytest

import attnflow as af

gguf = pytest.importorskip("gguf", reason="GGUF files need gguf")
tokenizers = pytest.importorskip("tokenizers", reason="texts need tokenizers")

TEXTS = ["the cat sat", "  the\n\tcat, 123 é", "sat<end>the", ""]
NORMAL, UNKNOWN, CONTROL, OWN, BYTE = 1, 2, 3, 4, 6


def _write(path, kind, words, types, *, scores=None, merges=None, **entries):
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_tokenizer_model(kind)
    writer.add_token_list(words)
    writer.add_token_types(types)
    if scores is not None:
        writer.add_token_scores(scores)
    if merges is not None:
        writer.add_token_merges(merges)
    for name, value in entries.items():
        add = {bool: writer.add_bool, int: writer.add_uint32, str: writer.add_string}[type(value)]
        add(f"tokenizer.ggml.{name}", value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture(scope="module")
def trained_pairs():
    """A byte-level tokenizer, its tokens in order and its merges."""
    made = tokenizers.ByteLevelBPETokenizer()
    made.train_from_iterator(
        ["the cat sat on the mat 123"] * 4,
        vocab_size=300,
        special_tokens=["<end>"],
        min_frequency=1,
    )
    ids = made.get_vocab()
    words = sorted(ids, key=ids.get)
    model = tokenizers.Tokenizer.from_str(made.to_str())
    merges = json.loads(model.to_str())["model"]["merges"]
    return model, words, [m if isinstance(m, str) else " ".join(m) for m in merges]


def test_byte_level_pairs_are_those_of_the_tokenizer_they_come_from(tmp_path, trained_pairs):
    model, words, merges = trained_pairs
    types = [CONTROL if word == "<end>" else NORMAL for word in words]
    path = _write(tmp_path / "a.gguf", "gpt2", words, types, merges=merges, pre="gpt-2")
    assert len(words) > 64  # the arrays are longer than what is read with the header
    found = af.language.encode(path, TEXTS)
    assert found == [e.ids for e in model.encode_batch(TEXTS)]
    assert found[0] != found[1]
    # Digits are cut one by one there.
    path = _write(tmp_path / "b.gguf", "gpt2", words, types, merges=merges, pre="smollm")
    digits = [words.index(letter) for letter in "123"]
    assert af.language.encode(path, "123") == [digits]
    assert af.language.encode(tmp_path / "a.gguf", "123") != [digits]


SPACE = "\u2581"
WORDS = ["<u>", "<s>", "  ", "<0x21>", SPACE, "a", "b", "c", "ab", "bc", "abc", f"{SPACE}a"]
TYPES = [UNKNOWN, CONTROL, OWN, BYTE, *[NORMAL] * 8]
SCORES = [0.0] * 8 + [-2.0, -1.0, -3.0, -4.0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("abc", [5, 9]),  # bc has the larger score, and a + bc is no pair but of abc
        ("ab", [8]),
        ("a a", [5, 11]),
        ("a  a", [5, 2, 5]),  # two spaces are one token, whatever follows
        ("b!c", [6, 3, 7]),  # a letter that is no token is its bytes
        ("?", [0]),  # whose byte is none either
    ],
)
def test_pairs_of_sentencepiece_merge_by_score(tmp_path, text, expected):
    words, types, scores = WORDS[:], TYPES[:], SCORES[:]
    if text == "abc":  # nothing makes abc of a and bc
        words[10], types[10] = "xyz", NORMAL
    more = {"unknown_token_id": 0, "bos_token_id": 1, "add_bos_token": True}
    path = _write(
        tmp_path / "a.gguf", "llama", words, types, scores=scores, add_space_prefix=False, **more
    )
    assert af.language.encode(path, text) == [[1, *expected]]


def test_a_space_goes_before_a_text_unless_the_file_says_no(tmp_path):
    path = _write(tmp_path / "a.gguf", "llama", WORDS, TYPES, scores=SCORES, unknown_token_id=0)
    assert af.language.encode(path, "ab") == [[4, 8]]  # ab has a larger score than the space with a


@pytest.mark.parametrize(
    ("kind", "change", "said"),
    [
        ("bert", {}, "must be one of gpt2, llama; got 'bert': give token ids"),
        ("gpt2", {"pre": "falcon"}, "'tokenizer.ggml.pre' must be one of gpt-2, .*; got 'falcon'"),
        ("gpt2", {"pre": "gpt-2"}, "there is no array 'tokenizer.ggml.merges'"),
        ("gpt2", {"pre": "gpt-2", "merges": ["ab"] * 70}, "a merge must be two tokens; got 'ab'"),
        ("llama", {}, "there is no array 'tokenizer.ggml.scores'"),
        (
            "llama",
            {"scores": SCORES, "add_bos_token": True},
            "'tokenizer.ggml.bos_token_id' is None",
        ),
    ],
)
def test_tokenizers_of_other_kinds_meet_one_line(tmp_path, kind, change, said):
    path = _write(tmp_path / "a.gguf", kind, WORDS, TYPES, **change)
    with pytest.raises(ValueError, match=said) as caught:
        af.language.encode(path, "ab")
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
