"""The tokenizer of a GGUF file: byte-level pairs, or SentencePiece's pairs by score, as `tokenizers` has them."""

from pathlib import Path
from typing import Any

from ..core.checks import shown
from ._gguf_file import GGUFFile

_NORMAL, _UNKNOWN, _CONTROL, _OWN, _BYTE = 1, 2, 3, 4, 6  # types of tokens in the file
_SPACE = "\u2581"
_MOST_LETTERS = 512  # of a token that is merged from others; those of real vocabularies have tens

# How texts are cut before pairs are merged, by `tokenizer.ggml.pre`.
_LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
_CUTS = {
    "gpt-2": None,
    "smollm": None,
    "llama-bpe": _LLAMA3,
    "llama3": _LLAMA3,
    "llama-v3": _LLAMA3,
    "qwen2": _LLAMA3.replace("{1,3}", ""),
}
# Every text has a first token, where a file says nothing of it.
_BEGUN = ("llama-bpe", "llama3", "llama-v3")


def gguf_tokenizer(path: Path) -> Any:
    """A `tokenizers.Tokenizer` of a file's own vocabulary.

    **Raises:**

    `ValueError` naming the file: no tokenizer in it, or one of another kind.
    """
    file = GGUFFile(path)
    kind = file.entries.get("tokenizer.ggml.model")
    builders = {"gpt2": _byte_level, "llama": _by_score}
    remedy = "give token ids, or the model's Hugging Face folder"
    if kind not in builders:
        raise ValueError(
            f"{path}: 'tokenizer.ggml.model' must be one of {', '.join(builders)}; got {shown(kind)}: {remedy}."
        )
    try:
        words = file.array("tokenizer.ggml.tokens")
        types = file.array("tokenizer.ggml.token_type")
        if len(set(words)) < len(words) or len(types) != len(words):
            raise ValueError("tokens are there twice, or have no types")
        result = builders[kind](file, words, types)
        _add(result, file, words, types)
        return result
    except ValueError as error:
        raise ValueError(f"{path}: its tokenizer cannot be built ({error}): {remedy}.") from None


def _byte_level(file: GGUFFile, words: list[str], types: list[int]) -> Any:
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

    pre = file.entries.get("tokenizer.ggml.pre")
    if pre not in _CUTS:
        raise ValueError(
            f"'tokenizer.ggml.pre' must be one of {', '.join(_CUTS)}; got {shown(pre)}"
        )
    merges = []
    for line in file.array("tokenizer.ggml.merges"):
        left, space, right = line.partition(" ")
        if not (left and space and right):
            raise ValueError(f"a merge must be two tokens; got {shown(line)}")
        merges.append((left, right))
    ids = {word: k for k, word in enumerate(words)}
    cut = _CUTS[pre]
    result = Tokenizer(models.BPE(ids, merges, ignore_merges=cut == _LLAMA3))
    if pre == "qwen2":
        result.normalizer = normalizers.NFC()
    parts: list[Any] = [pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=cut is None)]
    if cut is not None:
        parts.insert(0, pre_tokenizers.Split(Regex(cut), behavior="isolated"))
    elif pre == "smollm":
        parts.insert(0, pre_tokenizers.Digits(individual_digits=True))
    result.pre_tokenizer = pre_tokenizers.Sequence(parts)
    return result


def _by_score(file: GGUFFile, words: list[str], types: list[int]) -> Any:
    """SentencePiece's: of all neighbours those merge first whose token has the largest score."""
    from tokenizers import Tokenizer, models, normalizers

    scores = file.array("tokenizer.ggml.scores")
    if len(scores) != len(words):
        raise ValueError("tokens have no scores")
    if _UNKNOWN not in types and file.entries.get("tokenizer.ggml.unknown_token_id") is None:
        raise ValueError("there is no unknown token")
    unknown = file.entries.get("tokenizer.ggml.unknown_token_id", 0)
    if not isinstance(unknown, int) or not 0 <= unknown < len(words):
        raise ValueError(f"'tokenizer.ggml.unknown_token_id' is {shown(unknown)}")
    ids = {word: k for k, word in enumerate(words)}
    plain = {word for word, kind in zip(words, types, strict=True) if kind == _NORMAL}
    order = sorted((w for w in plain if len(w) > 1), key=lambda w: (-scores[ids[w]], ids[w]))
    merges = []
    for word in order:
        if len(word) > _MOST_LETTERS:
            raise ValueError(f"a token of {len(word)} letters")
        cuts = [(word[:k], word[k:]) for k in range(1, len(word))]
        merges += sorted(
            (c for c in cuts if c[0] in plain and c[1] in plain),
            key=lambda c: (ids[c[0]], ids[c[1]]),
        )
    result = Tokenizer(
        models.BPE(
            ids, merges, unk_token=words[unknown], fuse_unk=True, byte_fallback=_BYTE in types
        )
    )
    before: list[Any] = [normalizers.Replace(" ", _SPACE)]
    if file.entries.get("tokenizer.ggml.add_space_prefix", True):
        before.insert(0, normalizers.Prepend(_SPACE))
    result.normalizer = normalizers.Sequence(before)
    return result


def _add(tokenizer: Any, file: GGUFFile, words: list[str], types: list[int]) -> None:
    """Tokens that are whole words of a text wherever they stand, and those before and after every text."""
    from tokenizers import AddedToken, processors

    # As they are written: a space before the text, or for its spaces another letter, is for what is between them.
    whole = {
        kind: [
            AddedToken(word, normalized=False, special=kind != _OWN)
            for word, own in zip(words, types, strict=True)
            if own == kind
        ]
        for kind in (_OWN, _CONTROL, _UNKNOWN)
    }
    tokenizer.add_tokens(whole[_OWN])
    tokenizer.add_special_tokens(whole[_CONTROL] + whole[_UNKNOWN])
    entries, ends = file.entries, []
    begun = (
        entries["tokenizer.ggml.model"] == "llama" or entries.get("tokenizer.ggml.pre") in _BEGUN
    )
    begun = begun and "tokenizer.ggml.bos_token_id" in entries
    for end, unsaid in (("bos", begun), ("eos", False)):
        number = entries.get(f"tokenizer.ggml.{end}_token_id")
        asked = entries.get(f"tokenizer.ggml.add_{end}_token", unsaid)
        if asked and not (isinstance(number, int) and 0 <= number < len(words)):
            raise ValueError(f"'tokenizer.ggml.{end}_token_id' is {shown(number)}")
        ends.append((words[number], number) if asked and number is not None else None)
    if any(ends):
        first, last = ends
        parts = ([first[0]] if first else []) + ["$A"] + ([last[0]] if last else [])
        tokenizer.post_processor = processors.TemplateProcessing(
            single=parts, special_tokens=list(dict(end for end in ends if end).items())
        )
