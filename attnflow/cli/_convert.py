"""`attnflow convert`: a file of torch's made a folder of safetensors."""

from pathlib import Path

from ..core.words import printable


def convert(file: Path, *, out: Path) -> int:
    """Write a PyTorch checkpoint as a folder that `attnflow loop --model` reads; no code in it is run.

    PyTorch's files (pytorch_model.bin, model.pt) are pickles, which can run what their author wrote.
    They are never read when a model is loaded; this command reads one with torch's own reader, which
    takes tensors alone (weights_only=True), and writes model.safetensors. Needs torch: pip install
    'attnflow[convert]'.

    Example: `attnflow convert model/pytorch_model.bin --out model-safe`

    Parameters
    ----------
    file
        The file, with the model's config.json beside it; or the index of its shards.
    out
        The folder to make.
    """
    from .. import language

    try:
        folder = language.convert(file, out)
    except ImportError as error:
        raise ValueError(str(error)) from error
    print(f"wrote {printable(folder / 'model.safetensors')}")
    return 0
