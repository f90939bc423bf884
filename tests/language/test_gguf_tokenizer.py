"""The tokenizer of a GGUF file gives the ids that its vocabulary was made for; others are one line."""

import json

import pytest

import attnflow as af

gguf = pytest.importorskip("gguf", reason="GGUF files need gguf")
tokenizers = pytest.importorskip("tokenizers", reason="texts need tokenizers")

TEXTS = ["the cat sat", "  the\n\tcat, 123 é", "sat<end>the", ""]
# What cuts of texts differ in: numbers of any length, contractions, white space, letters in two pieces.
HARD = [
    *TEXTS,
    "1234567 12 ½ ³",
    "THE cat'S sat'll it's 'tis CAN'T",
    "  the \r\n\r\n  cat\t\t sat   ",
    "e\u0301tat \u00e9tat \u4e2d\u6587 \U0001f642 the-cat_sat!!\n\n",
    "<end><end> the <end>",
]
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


def _trained(special):
    """A vocabulary of bytes, words, numbers and what precedes them, in order, and its merges."""
    made = tokenizers.ByteLevelBPETokenizer()
    text = [
        "the cat sat on the mat 1234567 123 'S'll it's CAN'T \u00e9tat e\u0301tat \n\n \r\n  !!"
    ] * 3
    made.train_from_iterator(text, vocab_size=320, special_tokens=[special], min_frequency=1)
    ids = made.get_vocab()
    merges = json.loads(made._tokenizer.to_str())["model"]["merges"]
    pairs = [tuple(m.split(" ")) if isinstance(m, str) else tuple(m) for m in merges]
    return sorted(ids, key=ids.get), pairs


def _file_of_pairs(path, words, pairs, pre, **entries):
    types = [CONTROL if word == "<end>" else NORMAL for word in words]
    merges = [" ".join(pair) for pair in pairs]
    return _write(path, "gpt2", words, types, merges=merges, pre=pre, **entries)


def test_llama_3s_cuts_are_those_of_its_own_converter(tmp_path):
    convert = pytest.importorskip("transformers.convert_slow_tokenizer")
    words, pairs = _trained("<end>")
    words.append("catsat")  # a word that no merge makes is one token all the same

    class Own(convert.TikTokenConverter):
        def extract_vocab_merges_from_model(self, _):
            return {word: k for k, word in enumerate(words)}, pairs

    expected = Own(extra_special_tokens=["<end>"]).converted()
    texts = [*HARD, "catsat"]
    told = [words.index("<end>")]
    for pre in ("llama-bpe", "llama3", "llama-v3"):
        path = _file_of_pairs(tmp_path / f"{pre}.gguf", words, pairs, pre, bos_token_id=told[0])
        found = af.language.encode(path, texts)
        # Such files seldom say that a text has a first token; each has.
        assert found == [told + e.ids for e in expected.encode_batch(texts)]
    assert found[-1] == [*told, len(words) - 1]
    path = _file_of_pairs(
        tmp_path / "b.gguf", words, pairs, "llama3", bos_token_id=told[0], add_bos_token=False
    )
    assert af.language.encode(path, texts) == [row[1:] for row in found]
    cut = _file_of_pairs(tmp_path / "c.gguf", words, pairs, "qwen2")
    assert af.language.encode(cut, "1234567") != af.language.encode(path, "1234567")


def test_qwens_cuts_are_those_of_its_own_tokenizer(tmp_path):
    qwen = pytest.importorskip("transformers.models.qwen2.tokenization_qwen2")
    words, pairs = _trained("<end>")
    vocabulary = {word: k for k, word in enumerate(words)}
    own = {"unk_token": "<end>", "eos_token": "<end>", "pad_token": "<end>"}
    expected = qwen.Qwen2Tokenizer(vocab=vocabulary, merges=pairs, **own)
    path = _file_of_pairs(tmp_path / "a.gguf", words, pairs, "qwen2", bos_token_id=0)
    found = af.language.encode(path, HARD)
    assert found == [expected(text)["input_ids"] for text in HARD]
    assert af.language.encode(path, "e\u0301tat") == af.language.encode(path, "\u00e9tat")


def _pieces():
    """A small SentencePiece vocabulary with bytes: tokens, types, scores."""
    words = ["<unk>", "<s>", "<end>", *(f"<0x{k:02X}>" for k in range(256))]
    types = [UNKNOWN, CONTROL, CONTROL, *[BYTE] * 256]
    letters = [SPACE, *"abcehst123'\n"]
    merged = ["th", "at", f"{SPACE}th", "the", f"{SPACE}the", "cat", f"{SPACE}c", f"{SPACE}cat"]
    merged += ["sat", f"{SPACE}s", f"{SPACE}sat", "12", SPACE * 2, SPACE * 4]
    words += letters + merged
    types += [NORMAL] * (len(letters) + len(merged))
    scores = [0.0] * (3 + 256 + len(letters)) + [-1.0 - k for k in range(len(merged))]
    return words, types, scores


@pytest.mark.parametrize("family", ["llama", "gemma"])
def test_pieces_are_those_of_the_familys_own_tokenizer(family, tmp_path):
    base = pytest.importorskip("transformers.tokenization_utils_base")
    module = pytest.importorskip(f"transformers.models.{family}.tokenization_{family}")
    words, types, scores = _pieces()
    vocabulary = {word: k for k, word in enumerate(words)}
    merges = base.generate_merges(vocabulary, dict(zip(words, scores, strict=True)))
    kind = module.LlamaTokenizer if family == "llama" else module.GemmaTokenizer
    ends = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "<end>"}
    # Llama's older law: a space before what follows a special token as well, as readers of such files have it.
    more = {"legacy": True} if family == "llama" else {"pad_token": "<end>", "mask_token": "<end>"}
    expected = kind(vocab=vocabulary, merges=merges, **ends, **more)
    own = {"add_space_prefix": False} if family == "gemma" else {}
    path = _write(tmp_path / "a.gguf", "llama", words, types, scores=scores, bos_token_id=1, **own)
    texts = [*HARD, "a<unk>b", "    the  cat"]
    if (
        family == "llama"
    ):  # transformers puts no space before a space; SentencePiece, and these files' readers, do
        texts = [text for text in texts if not text.startswith(" ") and "> " not in text]
        two, the = words.index(SPACE * 2), words.index(f"{SPACE}the")
        assert af.language.encode(path, "  the") == [[1, two, the]]
    found = af.language.encode(path, texts)
    assert found == [[1, *expected(text, add_special_tokens=False)["input_ids"]] for text in texts]
    assert len(texts) > 6
    assert any(3 + 0xF0 in row for row in found)  # the first byte of a letter that is no token


def test_words_of_ones_own_are_found_as_they_are_written(tmp_path):
    words, types, scores = _pieces()
    words, types, scores = [*words, "<call>", "   "], [*types, OWN, OWN], [*scores, 0.0, 0.0]
    path = _write(tmp_path / "a.gguf", "llama", words, types, scores=scores, bos_token_id=1)
    the, call, three = (words.index(w) for w in (f"{SPACE}the", "<call>", "   "))
    assert af.language.encode(path, "the<call>the   the") == [[1, the, call, the, three, the]]


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
        ("gpt2", {"pre": "tekken"}, "'tokenizer.ggml.pre' must be one of .*; got 'tekken'.*: give"),
        ("gpt2", {}, "'tokenizer.ggml.pre' must be one of .*; got None.*folder"),
        ("llama", {"scores": SCORES, "unknown_token_id": 12}, "unknown_token_id' is 12"),
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
