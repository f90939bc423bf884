"""The folder in which compiled programs are kept: whose they are, how many, and how they are let go."""

import hashlib
import os
import platform
import shutil
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from ..core.checks import shown, whole

_PREFIX = "programs-"  # of the folders that are ours to remove
_MOST_BYTES = 2**29
_UNUSED = 30 * 24 * 3600.0  # seconds after which the programs of another machine or JAX are let go


class Cached(NamedTuple):
    """What is kept: the folder, how many programs, and how many bytes."""

    folder: Path
    programs: int
    size: int


def cache(
    folder: str | os.PathLike[str] | None = None, *, most_bytes: int = _MOST_BYTES
) -> Path | None:
    """Keep compiled programs from one process to the next, in JAX's persistent compilation cache.

    XLA's compilation is most of the time that a first run takes. The command line calls this by
    itself (`--no-cache` leaves it out); a program of your own calls it once, before anything is
    compiled. It sets JAX's configuration for the whole process, which a library must not do unasked.

    Programs are kept in a folder for this processor, this JAX and these flags of XLA alone, so that
    none is loaded that was compiled for others. A folder that cannot be written, or a program that
    cannot be read, costs its compilation and nothing else.

    On some processors XLA writes a long line for each program that it loads again ("Target machine feature
    +prefer-no-gather is not supported on the host machine"): it tuned the code by a preference that is no instruction,
    and the program is right. It is silent where `TF_CPP_MIN_LOG_LEVEL=3` is set before JAX is imported, as commands do.

    **Arguments:**

    - `folder`: where; by default `attnflow` in the user's cache folder (`XDG_CACHE_HOME`, else
      `~/.cache`; on Windows `LOCALAPPDATA`, on macOS `~/Library/Caches`).
    - `most_bytes`: programs unused for longest are removed, at this call, beyond so many bytes.

    **Returns:**

    The folder; `None`, with a warning of one line, where nothing can be kept there. Where JAX has a
    cache already (`JAX_COMPILATION_CACHE_DIR` or its configuration), that one stays and is returned.

    **Raises:**

    `ValueError` where an argument is no folder's name or no size.

    ```python
    import attnflow as af
    af.cache()
    ```
    """
    import warnings

    import jax

    most_bytes = whole("most_bytes", most_bytes, most=2**62)
    if folder is not None and not isinstance(folder, str | os.PathLike):
        raise ValueError(f"`folder` must be the name of a folder; got {shown(folder)}.")
    if folder is None and jax.config.jax_compilation_cache_dir:  # pyright: ignore
        return Path(jax.config.jax_compilation_cache_dir)  # pyright: ignore
    above = Path(folder) if folder is not None else users_folder()
    mine = above / (_PREFIX + _machine())
    try:
        mine.mkdir(parents=True, exist_ok=True)
        os.utime(mine)
        if not os.access(mine, os.W_OK | os.X_OK):
            raise PermissionError(13, "Permission denied", str(mine))
        _let_go(above, mine, most_bytes)
    except OSError as error:
        warnings.warn(
            f"Compiled programs are not kept: {error.strerror or error} ({mine}). Name another folder "
            "in XDG_CACHE_HOME, or pass --no-cache.",
            stacklevel=2,
        )
        return None
    jax.config.update("jax_compilation_cache_dir", str(mine))
    # Small programs too: a command of ours runs dozens of them.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.05)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)
    return mine


def cached(folder: str | os.PathLike[str] | None = None) -> Cached:
    """What `cache(folder)` has kept for this machine; nothing is written and JAX is not imported.

    **Returns:**

    `(folder, programs, size)`, the size in bytes.
    """
    above = Path(folder) if folder is not None else users_folder()
    mine = above / (_PREFIX + _machine())
    files = _files(mine)
    return Cached(mine, len(files), sum(size for _, size, _ in files))


def users_folder() -> Path:
    """Where a user's programs keep what can be made anew."""
    if os.environ.get("XDG_CACHE_HOME"):
        return Path(os.environ["XDG_CACHE_HOME"]) / "attnflow"
    home = Path.home()
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / "attnflow"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local") / "attnflow"
    return home / ".cache" / "attnflow"


def _machine() -> str:
    """A digest of all that a compiled program is made for."""
    parts = [
        *(f"{name} {version(name)}" for name in ("jax", "jaxlib")),
        *(f"{name}={os.environ.get(name, '')}" for name in ("XLA_FLAGS", "JAX_PLATFORMS")),
        platform.python_implementation(),
        platform.system(),
        platform.machine(),
        _processor(),
    ]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _processor() -> str:
    # The name and what it can do: programs are compiled for just these instructions.
    try:
        with open("/proc/cpuinfo") as file:
            first = file.read(2**16).split("\n\n")[0]
    except OSError:
        return platform.processor()
    lines_read = ("vendor_id", "model name", "flags", "Features", "CPU part")
    lines = [line for line in first.splitlines() if line.split("\t")[0].strip() in lines_read]
    return "\n".join(lines) or platform.processor()


def _files(folder: Path) -> list[tuple[float, int, Path]]:
    """Time of last use, size and path of what JAX keeps there; what vanishes meanwhile is not there."""
    files = []
    try:
        entries: Any = list(os.scandir(folder))
    except OSError:
        return files
    for entry in entries:
        try:
            if entry.name.endswith("-cache") and entry.is_file(follow_symlinks=False):
                state = entry.stat()
                files.append((max(state.st_atime, state.st_mtime), state.st_size, Path(entry.path)))
        except OSError:
            continue
    return files


def _let_go(above: Path, mine: Path, most_bytes: int) -> None:
    for other in above.glob(_PREFIX + "*"):
        theirs = other != mine and other.is_dir() and not other.is_symlink()
        if theirs and time.time() - other.stat().st_mtime > _UNUSED:
            shutil.rmtree(other, ignore_errors=True)
    files = sorted(_files(mine), reverse=True)
    size = 0
    for _, bytes_, path in files:
        size += bytes_
        if size > most_bytes:
            path.unlink(missing_ok=True)
            path.with_name(path.name.removesuffix("-cache") + "-atime").unlink(missing_ok=True)
