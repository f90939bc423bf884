"""Files that are there whole or not at all: written beside their place, then renamed into it."""

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

_REMEDIES = {
    errno.EACCES: "choose a folder that you may write to",
    errno.EPERM: "choose a folder that you may write to",
    errno.EROFS: "choose a folder that you may write to",
    errno.ENOENT: "make its folder first",
    errno.ENOTDIR: "a part of the path is a file; choose another folder",
    errno.EEXIST: "a file of that name is in the way; choose another folder",
    errno.EISDIR: "a folder of that name is in the way; choose another name",
    errno.ENOSPC: "free some space or choose another disk",
    errno.EDQUOT: "free some space or choose another disk",
    errno.ENAMETOOLONG: "choose a shorter name",
}


def _explained(error: OSError, path: Path) -> OSError:
    """The same kind of error, with one line that says which path, what is wrong and what to do."""
    reason = error.strerror or str(error) or type(error).__name__
    remedy = _REMEDIES.get(error.errno or 0, "nothing was written there")
    message = f"cannot write `{path}`: {reason}; {remedy}."
    # The class is kept (FileNotFoundError, PermissionError, ...), and so is the number.
    return OSError(error.errno, message) if error.errno else OSError(message)


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A binary file to write to, which appears at `path` only once it is complete.

    The bytes go to a temporary name in the same folder, are flushed to the disk, and the file is
    then renamed. A reader sees the old file or the new one, never a part; when the body raises, the
    old file (or its absence) is as it was and nothing is left behind.

    **Arguments:**

    - `path`: where the file is to be. A symbolic link is followed, and stays.

    **Returns:**

    A context manager that gives the open binary file.

    **Raises:**

    `OSError` (of the kind that the system gave: `PermissionError`, `FileNotFoundError`, ...) whose
    one line names the path, when the folder cannot be written or the disk is full.

    !!! example

        ```python
        with af.records.atomic_write("numbers.bin") as file:
            file.write(b"whole or not at all")
        ```
    """
    path_given = Path(path)
    target = Path(os.path.realpath(path_given))
    temporary = target.with_name(f".{target.name[:100]}.{secrets.token_hex(8)}.tmp")
    try:
        if target.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        file = open(temporary, "xb")  # noqa: SIM115 (closed below, before the rename)
    except OSError as error:
        raise _explained(error, path_given) from error
    try:
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except OSError as error:
        _remove(temporary)
        raise _explained(error, path_given) from error
    except BaseException:
        _remove(temporary)
        raise
    _sync_folder(target.parent)


def _remove(path: Path) -> None:
    with suppress(OSError):
        path.unlink()


def _sync_folder(folder: Path) -> None:
    """Make the rename itself last, where the system lets a folder be flushed (Windows does not)."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def writable_folder(path: str | os.PathLike[str]) -> Path:
    """The folder `path`, made when it is not there, and shown to be writable by writing to it.

    Meant for the start of a long run, so that it does not fail only at its end.

    **Raises:**

    `OSError` whose one line names the path, when it cannot be made or written.
    """
    folder = Path(path)
    probe = folder / f".{secrets.token_hex(8)}.tmp"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch(exist_ok=False)
        probe.unlink()
    except OSError as error:
        raise _explained(error, folder) from error
    return folder
