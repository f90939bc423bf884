"""`convert`: a file of torch's made a folder of safetensors, once, with torch's own safe reader."""

import shutil
from importlib.util import find_spec
from os import PathLike
from pathlib import Path
from typing import Any

from ..core.words import loads, printable
from ..records import atomic_write, writable_folder

_BESIDE = ("tokenizer.json", "vocab.json", "merges.txt", "vocab.txt", "tokenizer_config.json")
_WITHIN = ("state_dict", "model_state_dict", "model")


def convert(file: str | PathLike[str], out: str | PathLike[str]) -> Path:
    """A folder that [`load`][] reads, of a file of torch's (`pytorch_model.bin`, `model.pt`).

    Such a file is a pickle, which can run what its author wrote; torch's reader with
    `weights_only=True` makes tensors of it and nothing else, and anything else in it is refused.
    Needs torch, which `attnflow[convert]` brings.

    **Arguments:**

    - `file`: with a `config.json` beside it; or the index of shards, `pytorch_model.bin.index.json`.
    - `out`: the folder to make: `config.json`, `model.safetensors`, and the tokenizer's files.

    **Returns:**

    The folder.

    **Raises:**

    `ValueError` naming the file: none there, no config, something else than tensors; `ImportError`
    without torch.
    """
    file, folder = Path(file), Path(out)
    config = file.parent / "config.json"
    if not file.is_file():
        raise ValueError(
            f"`file` must be a file of torch's, such as pytorch_model.bin; {file} is none."
        )
    if not config.is_file():
        raise ValueError(
            f"{file.parent} has no config.json beside {file.name}: put the model's there."
        )
    for name in ("torch", "safetensors"):
        if find_spec(name) is None:
            raise ImportError(
                f"this needs {name}, not installed here: pip install 'attnflow[convert]'."
            )
    tensors: dict[str, Any] = {}
    for part in _parts(file):
        tensors |= _tensors(part)
    from safetensors.torch import save

    folder = writable_folder(folder)
    if folder.resolve() == file.parent.resolve():
        raise ValueError(f"`out` must be another folder than the file's own, {folder}.")
    with atomic_write(folder / "model.safetensors") as target:
        target.write(save(tensors, metadata={"format": "pt"}))
    with atomic_write(folder / "config.json") as target:
        target.write(config.read_bytes())
    for name in _BESIDE:
        if (file.parent / name).is_file():
            shutil.copyfile(file.parent / name, folder / name)
    return folder


def _parts(file: Path) -> list[Path]:
    if file.suffix != ".json":
        return [file]
    try:
        names = sorted(set(loads(file.read_text())["weight_map"].values()))
        parts = [file.parent / Path(name).name for name in names]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise ValueError(f"{file} must hold a JSON object with a 'weight_map'.") from None
    for part in parts:
        if not part.is_file():
            raise ValueError(f"{part} is missing: {file.name} names it.")
    return parts


def _tensors(file: Path) -> dict[str, Any]:
    import torch

    try:
        result = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # torch names no class for files of something else
        line = printable(" ".join(str(error).split()))[:120]
        raise ValueError(f"{file} cannot be read as tensors of torch's alone: {line}.") from None
    for name in _WITHIN:
        if isinstance(result, dict) and isinstance(result.get(name), dict):
            result = result[name]
    tensors = {
        str(name): value.detach().clone().contiguous()
        for name, value in (result.items() if isinstance(result, dict) else ())
        if isinstance(value, torch.Tensor)
    }
    if not tensors:
        kind = type(result).__name__
        raise ValueError(f"{file} must hold tensors by name; got a {kind} without any.")
    return tensors
