"""The program: its commands and how it ends. Errors are one line; nothing heavy is imported."""

import _thread
import contextlib
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence

from cyclopts import App
from cyclopts.exceptions import CycloptsError

from .. import __version__
from ..core.words import printable
from ._bench import bench
from ._certify import certify
from ._convert import convert
from ._diagnose import diagnose
from ._ensemble import ensemble
from ._falsify import falsify
from ._gallery import gallery
from ._info import info
from ._loop import loop
from ._reproduce import reproduce
from ._search import search
from ._simulate import simulate
from ._start import keep_programs
from ._sweep import sweep

_HELP = """Attention as a dynamical system: tokens on an ellipsoid, moved by multi-head attention.

Exit status: 0 when all went well, 1 when a run failed or a claim did not hold, 2 on bad input,
130 on Ctrl-C. Numbers are float64 unless JAX_ENABLE_X64=0 is set.

Compiled programs are kept in your cache folder (`attnflow info` says where) and start the next
command sooner; any command takes `--no-cache`, which neither uses nor writes them.
"""

app = App(
    name="attnflow",
    help=_HELP,
    version=__version__,
    help_format="markdown",
    suppress_keyboard_interrupt=False,  # main says how that ends
)
app.command(reproduce)
app.command(gallery)
app.command(simulate)
app.command(ensemble)
app.command(sweep)
app.command(search)
app.command(falsify)
app.command(certify)
app.command(loop)
app.command(diagnose)
app.command(convert)
app.command(bench)
app.command(info)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; the exit status is returned.

    **Arguments:**

    - `arguments`: the words after `attnflow`; those of the process unless given.

    **Returns:**

    0 when all went well, 1 when a run failed or a claim did not hold, 2 on bad input, 130 on
    Ctrl-C.
    """
    # XLA writes a kilobyte for each program that it loads again, where it tuned the code by "prefer-no-gather" and the
    # like: it takes these for features that the processor lacks. They are none, and programs are kept apart by
    # processor. Read once, when jaxlib is imported; what goes wrong in XLA is an exception as well. A 1 is JAX's own
    # default, which the programs that a Python with JAX starts inherit.
    if os.environ.get("TF_CPP_MIN_LOG_LEVEL", "1") == "1":
        os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    try:
        tokens = list(sys.argv[1:] if arguments is None else arguments)
        keep_programs("--no-cache" not in tokens)
        tokens = [token for token in tokens if token != "--no-cache"]
        with warnings.catch_warnings(), _no_interrupt_lost():
            warnings.showwarning = _warn
            status = app(
                tokens, exit_on_error=False, print_error=False, result_action="return_value"
            )
        sys.stdout.flush()
        return status if isinstance(status, int) else 0
    except KeyboardInterrupt as interruption:
        status = _fail(str(interruption) or "interrupted", 130)
        if arguments is None:
            # XLA may still be compiling in a thread of its own, and crashes when Python is taken
            # down under it: end at once instead.
            sys.stdout.flush()
            os._exit(status)
        return status
    except BrokenPipeError:  # `attnflow info | head -1`: the reader has what it wanted
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except CycloptsError as error:
        return _fail(f"{str(error).rstrip('.')}; see attnflow --help.", 2)
    except OSError as error:
        return _fail(error.strerror if error.filename is None else str(error), 2)
    except ValueError as error:
        return _fail(error, 2)
    except (RuntimeError, MemoryError) as error:
        return _fail(error, 1)


@contextlib.contextmanager
def _no_interrupt_lost() -> Iterator[None]:
    """A Ctrl-C that falls into a callback of the garbage collector, where Python drops it, comes again.

    JAX has such a callback: about one Ctrl-C in eight during a trace was printed and forgotten.
    """
    before = sys.unraisablehook

    def hook(unraisable) -> None:
        if issubclass(unraisable.exc_type, KeyboardInterrupt):
            # From another thread, a moment later: raised in here it would be dropped as well.
            timer = threading.Timer(0.05, _interrupt)
            timer.daemon = True
            timer.start()
        else:
            before(unraisable)

    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = before


def _interrupt() -> None:
    # The first wakes the main thread up where it sleeps; the second, where there is no other, does not.
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
    else:
        _thread.interrupt_main()


def _fail(reason: object, status: int) -> int:
    print(f"attnflow: {_one_line(reason)}", file=sys.stderr)
    return status


def _warn(message, category, filename, lineno, file=None, line=None) -> None:
    print(f"attnflow: warning: {_one_line(message)}", file=sys.stderr)


def _one_line(reason: object) -> str:
    return printable(" ".join(str(reason or "no reason was given").split()))
