"""Where long work lives on disk: a local folder, or any address that fsspec knows."""

import contextlib
import errno
import json
import os
import platform
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol, TypeAlias, runtime_checkable

from ..core.words import loads
from ._atomic import atomic_write

SCRATCH = ".scratch-"  # how folders begin that are of no use once their process is gone
_ABANDONED = 120.0  # seconds without a sign of life, where nothing better tells


@runtime_checkable
class Folder(Protocol):
    """Files by short names, each written whole or not at all."""

    address: str

    def names(self, below: str) -> list[str]:
        """Names of the files in the subfolder `below`, sorted; temporary ones left out."""
        ...

    def read(self, name: str) -> bytes:
        """The content of `below/name`; `FileNotFoundError` where there is none."""
        ...

    def write(self, name: str, content: bytes) -> None:
        """Make or replace a file at one stroke."""
        ...

    def remove(self, name: str) -> None:
        """Remove a file; nothing where there is none."""
        ...

    def clean(self) -> None:
        """Remove what writers left behind when they were killed."""
        ...

    def lock(self) -> contextlib.AbstractContextManager[None]:
        """Held by the one driver; `ValueError` where another holds it."""
        ...

    def driver(self) -> dict[str, Any] | None:
        """Who holds the lock, as far as can be told; `None` where nobody does."""
        ...


# A folder: its path, or an address with `://`.
Address: TypeAlias = str | os.PathLike[str]


def open_folder(address: Address) -> Folder:
    """A folder on this machine, or an address with `://`, such as `s3://bucket/sweep`."""
    address = os.fspath(address)
    if "://" not in address:
        return LocalFolder(Path(address))
    try:
        import fsspec
    except ImportError as error:
        raise ValueError(
            f"`store` {address!r} needs fsspec, which is not installed: "
            "pip install 'attnflow[sweep]'."
        ) from error
    if address.startswith("file://"):
        return LocalFolder(Path(address.removeprefix("file://")))
    try:
        system, path = fsspec.core.url_to_fs(address)
    except (ImportError, ValueError) as error:
        raise ValueError(f"`store` {address!r} cannot be opened: {error}") from error
    return RemoteFolder(address, system, path)


def _me() -> dict[str, Any]:
    return {"host": platform.node(), "pid": os.getpid()}


def _refuse(address: str, other: dict[str, Any]) -> ValueError:
    return ValueError(
        f"`{address}` is in use: another driver (process {other.get('pid', '?')} on "
        f"{other.get('host', '?')}) is at work on it; wait for it, or end it first."
    )


# === on this machine


class LocalFolder:
    """A folder of the file system; its lock ends with the process that holds it.

    The lock is `lockf` of POSIX and not the package filelock, which takes `flock`. That one is handed to every
    process forked by C code of the driver's (an MPI library does so), which was seen to hold it still when
    the driver had been killed: no one could then go on with the sweep. Where a file system has none, filelock leaves a
    file behind when its holder is killed; here the driver works without, since shards are the same whoever
    writes them. And the two kinds do not see each other, so that a driver of an earlier version would not be met.
    """

    _held: "set[str]" = set()  # noqa: RUF012 (of this process; a second handle would drop the lock)
    _guard = threading.Lock()

    def __init__(self, path: Path):
        self.path: Path = path
        self.address: str = os.fspath(path)

    def names(self, below: str) -> list[str]:
        try:
            entries = os.listdir(self.path / below)
        except FileNotFoundError:
            return []
        return sorted(name for name in entries if not name.startswith("."))

    def read(self, name: str) -> bytes:
        return (self.path / name).read_bytes()

    def write(self, name: str, content: bytes) -> None:
        target = self.path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(target) as file:
            file.write(content)

    def remove(self, name: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            (self.path / name).unlink()

    def clean(self) -> None:
        for left in self.path.glob("**/.*.tmp"):
            with contextlib.suppress(OSError):
                left.unlink()
        for left in self.path.glob(f"{SCRATCH}*"):
            shutil.rmtree(left, ignore_errors=True)

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        name = os.path.realpath(self.path)
        with self._guard:
            if name in self._held:
                raise _refuse(self.address, _me())
            self._held.add(name)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with open(self.path / "lock", "ab") as file:
                # Someone who only asks after the driver holds it for a moment.
                if not any(_try_lock(file) or time.sleep(0.1) for _ in range(5)):
                    raise _refuse(self.address, self._written() or {})
                self.write("driver.json", json.dumps(_me()).encode())
                try:
                    yield
                finally:
                    self.remove("driver.json")
        finally:
            with self._guard:
                self._held.discard(name)

    def driver(self) -> dict[str, Any] | None:
        name = os.path.realpath(self.path)
        with self._guard:
            if name in self._held:
                return _me()
            try:
                with open(self.path / "lock", "r+b") as file:
                    return None if _try_lock(file) else self._written() or {}
            except OSError:
                return None

    def _written(self) -> dict[str, Any] | None:
        with contextlib.suppress(OSError, ValueError):
            contents = loads(self.read("driver.json"))
            return contents if isinstance(contents, dict) else None
        return None


def _try_lock(file: Any) -> bool:
    try:
        import fcntl
    except ImportError:  # Windows
        import msvcrt

        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # pyright: ignore[reportAttributeAccessIssue]
        except OSError:
            return False
        return True
    try:
        # Not flock: a process forked from the driver would hold that one too, and outlive it.
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN):
            return False
        if error.errno in (errno.ENOLCK, errno.ENOTSUP, errno.EINVAL):
            return True  # a file system without locks: shards are the same whoever writes them
        raise
    return True


# === elsewhere


class RemoteFolder:
    """Objects at an fsspec address; the lock is an object that its holder renews."""

    def __init__(self, address: str, system: Any, path: str):
        self.address: str = address
        self.system: Any = system
        self.path: str = path.rstrip("/")

    def names(self, below: str) -> list[str]:
        self.system.invalidate_cache()
        try:
            entries = self.system.ls(f"{self.path}/{below}", detail=False)
        except FileNotFoundError:
            return []
        names = (entry.rstrip("/").rpartition("/")[2] for entry in entries)
        return sorted(name for name in names if name and not name.startswith("."))

    def read(self, name: str) -> bytes:
        return self.system.cat_file(f"{self.path}/{name}")

    def write(self, name: str, content: bytes) -> None:
        # One PUT where the address is an object store: whole or not at all.
        target = f"{self.path}/{name}"
        self.system.makedirs(target.rpartition("/")[0], exist_ok=True)
        self.system.pipe_file(target, content)

    def remove(self, name: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            self.system.rm_file(f"{self.path}/{name}")

    def clean(self) -> None:
        pass

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        other = self.driver()
        if other is not None:
            raise _refuse(self.address, other)
        stop = threading.Event()

        def sign() -> None:
            self.write("driver.json", json.dumps({**_me(), "at": time.time()}).encode())

        def renew() -> None:
            while not stop.wait(_ABANDONED / 4):
                with contextlib.suppress(OSError):
                    sign()

        sign()
        thread = threading.Thread(target=renew, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
            self.remove("driver.json")

    def driver(self) -> dict[str, Any] | None:
        try:
            other = loads(self.read("driver.json"))
            known = isinstance(other.get("at", 0), int | float)
        except (FileNotFoundError, ValueError, AttributeError):
            return None
        if not known:
            return None
        return other if time.time() - other.get("at", 0) < _ABANDONED else None
