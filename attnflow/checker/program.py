"""The command: a file of any kind is checked, and what it proves is printed."""

import re
import sys
from types import ModuleType
from typing import Any

from . import census, cover, equilibria
from .file import Refused

KINDS: dict[str, ModuleType] = {kind.FORMAT: kind for kind in (equilibria, cover, census)}
MOST_BYTES = max(kind.MOST_BYTES for kind in KINDS.values())


def kind_of(data: bytes | str) -> ModuleType:
    """Which part of the checker a file is for, by what it says; that part looks whether it is so."""
    text = data.decode(errors="replace") if isinstance(data, bytes) else data
    format_given = re.search(r'"format"\s*:\s*"([^"]*)"', text)
    return KINDS.get(format_given[1] if format_given else "", equilibria)


def check(data: bytes | str) -> tuple[dict[str, Any], list[str]]:
    """A certificate's parts, and what it proves in words; else `Refused`."""
    return kind_of(data).check(data)


def main(arguments: list[str]) -> int:
    """Check the file that is named: 0 where it holds, 1 where it does not."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python attnflow/checker FILE\n")
        return 1
    try:
        with open(arguments[0], "rb") as file:
            _, words = check(file.read(MOST_BYTES + 1))
    except OSError as error:
        sys.stderr.write(f"cannot be read: {error.strerror}\n")
        return 1
    except Refused as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.writelines(f"{line}\n" for line in ("holds:", *words))
    return 0
