"""Prompts as token ids: the paper's hundred, one's own, and texts by a tokenizer."""

import random as _python_random
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from ..core.checks import shaped, shown, whole
from ..core.words import loads, printable, read_bytes
from ._architecture import Architecture
from ._gguf import is_gguf
from ._gguf_tokenizer import gguf_tokenizer

_SEED, _LAST = 42, 50256
_MOST_IDS = 10**7  # drawn one by one, some seconds


def paper_prompts(
    prompts: int = 100, length: int = 200, *, vocabulary: int = _LAST + 1
) -> Int[np.ndarray, "prompts length"]:
    """The paper's random prompts: ids uniform on 0 to 50256, Python's `random` seeded with 42.

    Prompts are drawn one after the other, as the authors' script does: the first `n` of a hundred
    are those of `paper_prompts(n)`, as long as `length` is the paper's 200. The first ids are 41905
    7296 1639 48598 (paper, section 5.2).

    **Arguments:**

    - `prompts`: how many.
    - `length`: ids in each.
    - `vocabulary`: ids are drawn below it, for a model that has another: `random_prompts` gives
      those of a model.

    ```python
    ids = af.language.paper_prompts(2)                       # (2, 200)
    ```
    """
    for name, value in (("prompts", prompts), ("length", length), ("vocabulary", vocabulary)):
        whole(name, value)
    if prompts * length > _MOST_IDS:
        raise ValueError(
            f"`prompts` times `length` must be at most {_MOST_IDS:,} ids; got {prompts:,} times {length:,}."
        )
    draw = _python_random.Random(_SEED)
    rows = [[draw.randint(0, vocabulary - 1) for _ in range(length)] for _ in range(prompts)]
    return np.asarray(rows, np.int32)


def random_prompts(
    architecture: Architecture, prompts: int = 100, length: int = 200
) -> Int[np.ndarray, "prompts length"]:
    """[`paper_prompts`][] in a model's own vocabulary: the paper's ids for GPT-2 and GPT-Neo.

    **Arguments:**

    - `architecture`: of the model.
    - `prompts`, `length`: how many, of how many ids. The paper's 200 are drawn and cut to `length`.
    """
    theirs = architecture.family in ("gpt2", "gpt_neo") and architecture.vocabulary > _LAST
    vocabulary = _LAST + 1 if theirs else architecture.vocabulary
    return paper_prompts(prompts, max(length, 200), vocabulary=vocabulary)[:, :length]


def as_ids(architecture: Architecture, ids: Any) -> Int[np.ndarray, "prompts length"]:
    """`ids` as `(prompts, length)` whole numbers that the architecture knows.

    **Raises:**

    `ValueError` on other numbers, more tokens than positions, ids outside the vocabulary.
    """
    try:
        array = np.asarray(ids)
    except ValueError:
        raise ValueError(
            "`token_ids` must have one length for all prompts; got prompts of several lengths."
        ) from None
    array = array[None] if array.ndim == 1 else array
    shaped("token_ids", array.shape, ("prompts", "length"), also=" or (length,)")
    if not np.issubdtype(array.dtype, np.integer):
        raise ValueError(f"`token_ids` must be whole numbers; got dtype {array.dtype}.")
    if architecture.longest is not None and array.shape[1] > architecture.longest:
        raise ValueError(
            f"`token_ids` must have at most {architecture.longest} tokens a prompt, which is how "
            f"many positions the model has; got {array.shape[1]}."
        )
    low, high = int(array.min()), int(array.max())
    if low < 0 or high >= architecture.vocabulary:
        raise ValueError(
            f"`token_ids` must be between 0 and {architecture.vocabulary - 1}, the model's "
            f"vocabulary; got {low if low < 0 else high}. Ids are of one vocabulary alone: for this model's "
            "take language.encode(folder, texts)."
        )
    return array.astype(np.int32)


def as_prompts(
    architecture: Architecture, ids: Any
) -> tuple[Int[np.ndarray, "prompts longest"], Int[np.ndarray, " prompts"] | None]:
    """[`as_ids`][], of prompts of several lengths too: filled up on the right, and how long each is.

    The second is `None` where all are as long as the longest.
    """
    if not isinstance(ids, list | tuple) or not all(
        np.ndim(row) == 1 for row in ids if _is_row(row)
    ):
        return as_ids(architecture, ids), None
    lengths = [len(row) if _is_row(row) else 0 for row in ids]
    if len(set(lengths)) < 2:
        return as_ids(architecture, ids), None
    if 0 in lengths:
        raise ValueError(
            f"`token_ids` must have at least one id a prompt; prompt {lengths.index(0) + 1} has none."
        )
    rows = [as_ids(architecture, row)[0] for row in ids]
    filled = np.full((len(rows), max(lengths)), architecture.padding or 0, np.int32)
    for k, row in enumerate(rows):
        filled[k, : len(row)] = row
    return filled, np.asarray(lengths)


def _is_row(row: Any) -> bool:
    return isinstance(row, list | tuple) or np.ndim(row) > 0


_MOST_BYTES = 2**27  # of a tokenizer's file; those of large vocabularies have a sixth
_MOST_GROWTH = 1000
_STOPS = (KeyboardInterrupt, SystemExit, MemoryError)


def encode(folder: str | PathLike[str], texts: str | Sequence[str]) -> list[list[int]]:
    """Token ids of texts by the tokenizer of a Hugging Face folder (its `tokenizer.json`), or of a GGUF file.

    Every token of a text is there and no other: what the file says of truncation and padding is left out.
    [`looped`][] takes prompts of different lengths as they are. Needs the package `tokenizers`, which
    `attnflow[language]` brings.

    **Arguments:**

    - `folder`: with a `tokenizer.json`, or with `vocab.json` and `merges.txt`; or a file `.gguf`, whose
      vocabulary is used: byte-level pairs as GPT-2, SmolLM, Llama 3 and Qwen have them, or SentencePiece's.
    - `texts`: one text or several.

    **Raises:**

    `ValueError` where there is no tokenizer, it cannot be read (by its size, its nesting or its parts), or it
    takes these texts for none; `ImportError` without `tokenizers`.
    """
    several = list(texts) if isinstance(texts, Iterable) and not isinstance(texts, str) else [texts]
    if not all(isinstance(text, str) for text in several):
        raise ValueError(f"`texts` must be one text or several; got {shown(texts)}.")
    if find_spec("tokenizers") is None:
        raise ImportError(
            "texts need tokenizers, not installed here: pip install 'attnflow[language]'."
        )
    import tokenizers

    folder = Path(folder)
    if is_gguf(folder):
        try:
            own = gguf_tokenizer(folder)
        except (ValueError, ImportError, *_STOPS):
            raise
        except BaseException as error:
            raise ValueError(
                f"{folder} has no tokenizer that can be used: {_line(error)}."
            ) from None
        return _encoded(own, folder, several)
    path, vocabulary, merges = (folder / n for n in ("tokenizer.json", "vocab.json", "merges.txt"))
    whole = path.is_file()
    if not whole and not (vocabulary.is_file() and merges.is_file()):
        raise ValueError(
            f"{folder} has no tokenizer.json, nor vocab.json with merges.txt: give token ids."
        )
    path = path if whole else vocabulary
    try:
        _check_tokenizer(loads(read_bytes(path, _MOST_BYTES)))
        if whole:
            tokenizer: Any = tokenizers.Tokenizer.from_file(str(path))
        else:
            tokenizer = tokenizers.ByteLevelBPETokenizer(str(vocabulary), str(merges))
    except _STOPS:
        raise
    except BaseException as error:  # the package raises bare exceptions, and panics that are none
        raise ValueError(f"{path} cannot be read as a tokenizer: {_line(error)}.") from None
    return _encoded(tokenizer, path, several)


def _encoded(tokenizer: Any, path: Path, several: list[str]) -> list[list[int]]:
    # A tokenizer.json remembers how its owner last cut prompts and filled them up.
    tokenizer.no_truncation()
    tokenizer.no_padding()
    try:
        return [encoding.ids for encoding in tokenizer.encode_batch(several)]
    except _STOPS:
        raise
    except BaseException as error:
        raise ValueError(f"{path} cannot be used on these texts: {_line(error)}.") from None


def _line(error: BaseException) -> str:
    return printable(" ".join(str(error).split()))[:200].rstrip(".")


def _check_tokenizer(plain: Any) -> None:
    """Refuse what its package would not: texts that are replaced by ever longer ones until memory ends."""
    if not isinstance(plain, dict):
        raise ValueError(f"it must be a table; got {shown(plain)}")
    growth, parts = 1, [plain.get("normalizer")]
    while parts:
        part = parts.pop()
        if isinstance(part, dict):
            content = part.get("content")
            growth *= max(1, len(content)) if isinstance(content, str) else 1
            inner = part.get("normalizers")
            parts += inner if isinstance(inner, list) else []
    if growth > _MOST_GROWTH:
        raise ValueError(
            f"its normalizer makes up to {shown(growth)} letters of one; {_MOST_GROWTH} are allowed"
        )


def download(name: str, *, revision: str) -> Path:
    """A model's folder from the Hugging Face hub: its config, safetensors and tokenizer, no pickle.

    The only function here that uses the network. Needs `huggingface_hub`, which `attnflow[hub]`
    brings.

    **Arguments:**

    - `name`: such as `"openai-community/gpt2-xl"` or `"EleutherAI/gpt-neo-2.7B"`.
    - `revision`: the commit, 40 hexadecimal digits: what a branch is called may change.

    **Returns:**

    The folder, for [`load`][].
    """
    if len(revision) != 40 or set(revision.lower()) - set("0123456789abcdef"):
        raise ValueError(
            f"`revision` must be a commit of 40 hexadecimal digits; got {revision!r}. The hub shows "
            "it under 'Files and versions'."
        )
    if find_spec("huggingface_hub") is None:
        raise ImportError(
            "downloads need huggingface_hub, not installed here: pip install 'attnflow[hub]'."
        )
    from huggingface_hub import snapshot_download

    patterns = ["config.json", "*.safetensors", "*.safetensors.index.json"]
    patterns += ["tokenizer.json", "vocab.json", "merges.txt"]
    return Path(snapshot_download(name, revision=revision, allow_patterns=patterns))
