"""The families of transformers that are read, one file each. A new one is a file and a line of the list."""

from ._albert import ALBERT
from ._bert import BERT
from ._config import (
    Config as Config,
    rotary_base as rotary_base,
    rotary_parameters as rotary_parameters,
    windows_of as windows_of,
)
from ._distilbert import DISTILBERT
from ._family import Family as Family
from ._gemma import GEMMA
from ._gemma3 import GEMMA3
from ._gpt2 import GPT2
from ._gpt_neo import GPT_NEO
from ._gpt_neox import GPT_NEOX
from ._llama import LLAMA
from ._mistral import MISTRAL
from ._qwen2 import QWEN2
from ._qwen3 import QWEN3

_LIST = (
    GPT2,
    GPT_NEO,
    LLAMA,
    MISTRAL,
    QWEN2,
    QWEN3,
    GEMMA,
    GEMMA3,
    GPT_NEOX,
    BERT,
    ALBERT,
    DISTILBERT,
)

FAMILIES: dict[str, Family] = {family.name: family for family in _LIST}
"""By the `model_type` of a config.json."""
