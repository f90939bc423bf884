"""`attnflow loop`: a transformer whose output enters it again, and how far apart its tokens are."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter
from cyclopts.types import NonNegativeInt, PositiveInt

from ..core.words import printable, printable_lines

if TYPE_CHECKING:
    from ..language import Looped


def loop(
    *,
    model: str,
    weights: Literal["trained", "fixed", "redrawn"] | None = None,
    feed_forward: bool = True,
    control: Literal["none", "normalisation", "no-values", "no-biases"] = "none",
    passes: PositiveInt = 20,
    prompts: PositiveInt = 100,
    length: PositiveInt = 200,
    text: Annotated[Path | None, Parameter(("--text", "--texts"), negative="")] = None,
    seed: NonNegativeInt = 0,
    dtype: Literal["float32", "float64", "bfloat16", "float16"] = "float32",
    precision: Literal["highest", "high", "default"] = "highest",
    chunk: PositiveInt = 10,
    hold: bool = True,
    out: Annotated[Path | None, Parameter(negative="")] = None,
) -> int:
    """Send prompts through a transformer again and again, and measure how far apart its tokens are.

    After every block of every pass E is the mean of 1 - cos between token 1 and the others (the
    paper's eq. 9). Prompts are the paper's: ids drawn at random, 200 to a prompt, from the model's
    own vocabulary. Figures 9 and 10 are `--weights fixed` and `--weights redrawn`, which need no file;
    Figures 7 and 8 need the folders of the trained models.

    With --out every pass is kept: the same command goes on where an earlier one was stopped or
    killed, and ends with the same numbers; more --passes can be asked for later.

    Examples:

    - `attnflow loop --model gpt2 --prompts 2 --passes 3 --no-feed-forward`
    - `attnflow loop --model gpt2-xl --weights fixed --no-feed-forward --prompts 100 --passes 20 --out xl`
    - `attnflow loop --model folder/of/gpt2-xl --control no-values --out values`
    - `attnflow loop --model SmolLM2-135M.gguf --prompts 3 --length 48 --passes 60`
    - `attnflow loop --model bert-base --prompts 4 --passes 5`

    Parameters
    ----------
    model
        The folder of a Hugging Face model (config.json, model.safetensors) of GPT-2, GPT-Neo, GPT-NeoX,
        Llama, Mistral, Qwen2, Qwen3, Gemma, Gemma 3, BERT, DistilBERT or ALBERT; a GGUF file; or a size for
        random weights, such as gpt2-xl, gpt-neo-2.7B, llama-2-7b, mistral-7b, qwen3-0.6b,
        gemma-3-270m, pythia-160m, bert-base, albert-base-v2 (a wrong name lists all).
    weights
        The model's own (trained), random ones (fixed), or random ones drawn anew before each pass
        (redrawn). A folder's or file's are trained unless told otherwise, a size's fixed.
    feed_forward
        With --no-feed-forward blocks are attention alone.
    control
        What remains without attention: the final norm alone (normalisation), value matrices zero
        (no-values), biases zero (no-biases).
    passes
        How many times through the model.
    prompts
        How many of the paper's random prompts, unless --text is given.
    length
        Tokens of each prompt; with --text, at most.
    text
        A file (UTF-8) with a prompt in each line instead, for the folder's or file's tokenizer. Lines may differ in
        length (padding is masked), and are cut to --length. Empty lines count for nothing.
    seed
        Of random weights.
    dtype
        Of the weights. E is computed in float32 or better with any of them.
    precision
        Of matrix products; with default a GPU may round those of float32.
    chunk
        Prompts that go through a layer together.
    hold
        Keep all weights in memory. With --no-hold fixed random weights are drawn again for each layer, so
        that one layer has to fit.
    out
        Folder for the passes (npz), a summary (loop.txt, summary.json) and a picture (loop.png).
    """
    from ..core.machine import give_back
    from ._start import start_jax

    start_jax()
    give_back()
    import jax.random as jr

    from .. import language

    folder = Path(model)
    file = language.is_gguf(folder)
    if not (folder.is_dir() or file or model in language.SIZES):
        raise ValueError(
            f"--model must be a folder, a GGUF file or one of {', '.join(language.SIZES)}; got {model!r}."
        )
    if text is not None and not (folder.is_dir() or file):
        raise ValueError(
            "--text needs the tokenizer of a model's folder or GGUF file: give one as --model."
        )
    trained = (folder.is_dir() or file) and weights in (None, "trained")
    try:
        if trained:
            source: Any = language.load(folder, dtype=dtype, feed_forward=feed_forward)
            architecture = source.architecture
        else:
            there = folder.is_dir() or file
            source = language.read_config(folder) if there else language.architecture(model)
            architecture = source
        if text is None:
            _has_positions(architecture, length)
            ids: Any = language.random_prompts(architecture, prompts, length)
        else:
            ids = _encoded(folder, text, length)
            _has_positions(architecture, max(map(len, ids)))
        run = language.looped(
            source,
            ids,
            passes=passes,
            feed_forward=feed_forward,
            weights=weights,
            key=jr.key(seed),
            control=control,
            store=out,
            hold=hold,
            chunk=chunk,
            dtype=None if trained else dtype,
            precision=precision,
        )
    except ImportError as error:  # an extra that is not installed
        raise ValueError(str(error)) from error
    except KeyboardInterrupt:
        raise KeyboardInterrupt(_left(out)) from None
    print(printable_lines(run))
    if out is not None:
        for path in _write(out, run):
            print(f"wrote {printable(path)}")
    return 0


def _has_positions(architecture: Any, tokens: int) -> None:
    longest = architecture.longest
    if longest is not None and tokens > longest:
        raise ValueError(
            f"--length must be at most {longest}, which is how many positions the model has; a prompt has {tokens} "
            "tokens."
        )


def _left(out: Path | None) -> str:
    if out is None:
        return "interrupted; with --out the same command would go on from there"
    return f"interrupted: the passes before are in {out}; the same command goes on from there"


def _lines(path: Path) -> list[str]:
    """The lines of a text file that are not empty, by any system's line ends, without a byte order mark."""
    # Not `splitlines`: form feeds and Unicode's separators are part of a text.
    with open(path, encoding="utf-8-sig", newline=None) as file:
        lines = [line.removesuffix("\n") for line in file]
    return [line for line in lines if line.strip()]


def _encoded(folder: Path, text: Path, length: int) -> list[list[int]]:
    from .. import language

    try:
        lines = _lines(text)
    except UnicodeDecodeError as error:
        raise ValueError(f"--text must be a text file; {text} is not: {error.reason}.") from None
    if not lines:
        raise ValueError(f"--text must have a prompt in each line; {text} is empty.")
    ids = language.encode(folder, lines)
    if not all(ids):
        raise ValueError(f"--text must have tokens in each line; one of {text} has none.")
    return [row[:length] for row in ids]


def _write(out: Path, run: "Looped") -> list[Path]:
    from .. import plot
    from ..records import atomic_write
    from ._account import write_account, write_text

    written = [out / "loop.txt", out / "summary.json", out / "loop.png"]
    write_text(written[0], run)
    write_account(written[1], run.record())
    ax = plot.looped({"E": run}, title=str(run).splitlines()[0].replace("; ", "\n", 1))
    with atomic_write(written[2]) as file:
        plot.figure_of(ax).savefig(file, format="png")
    return written
