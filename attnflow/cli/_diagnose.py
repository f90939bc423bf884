"""`attnflow diagnose`: one page on a model: does its loop collapse, by what, where is it, what do theorems ask."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter
from cyclopts.types import PositiveInt

from ..core.words import printable, printable_lines

if TYPE_CHECKING:
    from ..language import Diagnosis, PhasePlace


def diagnose(
    model: str,
    *,
    text: Annotated[Path | None, Parameter(negative="")] = None,
    prompts: PositiveInt = 10,
    length: PositiveInt = 16,
    passes: PositiveInt = 50,
    out: Annotated[Path | None, Parameter(negative="")] = None,
) -> int:
    """Say of a model what its loop does: one page, printed.

    Its output enters it again, with feed-forward and without, and with each control: do tokens come to
    consensus, and is that the work of attention, of biases or of the norms alone? Then where prompts
    end (an equilibrium or a cycle, its clusters, whether it is stable), the sharpest heads, the
    model's place by beta, d and t, and which hypotheses of the paper's theorems it has.

    Prompts are ids drawn at random from the model's own vocabulary, or lines of --text.

    Examples:

    - `attnflow diagnose SmolLM2-135M.gguf`
    - `attnflow diagnose folder/of/MiniLM --text prompts.txt --out minilm`

    Parameters
    ----------
    model
        The folder of a Hugging Face model, a GGUF file, or the name of a size for random weights.
    text
        A file (UTF-8) with a prompt in each line, for the folder's or file's tokenizer; lines may differ in length,
        and are cut to --length.
    prompts
        How many random prompts.
    length
        Tokens of each.
    passes
        How many times through the model.
    out
        Folder for the page (diagnosis.txt, diagnosis.pdf) and its numbers (diagnosis.json); for the model's
        place on the phase diagram beside random weights of the same law (place.txt, place.json, place.png, drawn
        on runs at its dimension where xarray and zarr are installed); and the table of heads of both
        (heads.parquet, where pyarrow is installed).
    """
    from ..core.machine import give_back
    from ._loop import _encoded, _has_positions
    from ._start import start_jax

    start_jax()
    give_back()
    import jax.random as jr

    from .. import language

    folder = Path(model)
    there = folder.is_dir() or language.is_gguf(folder)
    if not there and model not in language.SIZES:
        raise ValueError(
            f"MODEL must be a folder, a GGUF file or one of {', '.join(language.SIZES)}; got {model!r}."
        )
    if text is not None and not there:
        raise ValueError(
            "--text needs the tokenizer of a model's folder or GGUF file: give one as MODEL."
        )
    if length < 2:
        raise ValueError(f"--length must be two or more: E is about pairs of tokens; got {length}.")
    ids: Any = None
    if text is None and not there:  # refused, if too many, before the weights are drawn
        _has_positions(language.SIZES[model], length)
        ids = language.random_prompts(language.SIZES[model], prompts, length)
    try:
        transformer = language.load(folder) if there else language.random(model, key=jr.key(0))
    except ImportError as error:  # an extra that is not installed
        raise ValueError(str(error)) from error
    if text is None and there:
        _has_positions(transformer.architecture, length)
        ids = language.random_prompts(transformer.architecture, prompts, length)
    elif text is not None:
        ids = _encoded(folder, text, length)
        _has_positions(transformer.architecture, max(map(len, ids)))
        if min(map(len, ids)) < 2:
            raise ValueError(
                f"--text must have two tokens or more in each line; one of {text} has one."
            )
    page = language.diagnose(transformer, ids, passes=passes)
    print(printable_lines(page))
    if out is not None:
        for path in _write(out, page, language.place(transformer, ids)):
            print(f"wrote {printable(path)}")
    return 0


def _write(out: Path, page: "Diagnosis", place: "PhasePlace") -> list[Path]:
    from importlib.util import find_spec

    from ..plot import diagnosis, figure_of, phase_place
    from ..records import atomic_write, writable_folder
    from ._account import write_account, write_text

    out = writable_folder(out)
    written = [out / "diagnosis.txt", out / "diagnosis.json", out / "diagnosis.pdf"]
    write_text(written[0], page)
    write_account(written[1], page.record())
    runs = _runs(place)
    with atomic_write(written[2]) as file:
        diagnosis(page, place, runs=runs).savefig(file, format="pdf")
    written += [out / "place.txt", out / "place.json", out / "place.png"]
    write_text(written[3], place)
    write_account(written[4], place.record())
    with atomic_write(written[5]) as file:
        figure_of(phase_place(place, runs=runs)).savefig(file, format="png")
    if find_spec("pyarrow") is not None:
        written.append(out / "heads.parquet")
        place.to_parquet(written[-1])
    return written


def _runs(place: "PhasePlace") -> Any:
    """The phase diagram of eq. (6) at the model's dimension, where what sweeps need is installed."""
    from tempfile import TemporaryDirectory

    import numpy as np

    try:
        from .. import sweep
    except ImportError:
        return None
    (low, high), t1 = place.window()
    study = sweep.phase_study(
        np.linspace(low, high, 25), d=place.point()[1], tokens=place.tokens, t1=t1
    )
    with TemporaryDirectory() as folder:
        sweep.run(study, folder, progress=False)
        return sweep.open(folder).load()
