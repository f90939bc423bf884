"""What a command leaves of what it found: an account as strict JSON, with its provenance."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def write_account(path: Path, record: Mapping[str, Any]) -> None:
    """The record and the provenance of now, whole or not at all."""
    from ..records import atomic_write, provenance

    account = {**record, "provenance": provenance()}
    with atomic_write(path) as file:
        file.write(json.dumps(_plain(account), indent=1, allow_nan=False).encode())


def write_text(path: Path, text: object) -> None:
    """What was printed, whole or not at all."""
    from ..records import atomic_write

    with atomic_write(path) as file:
        file.write(f"{text}\n".encode())


def _plain(value: Any) -> Any:
    """JSON has no numbers that are not finite: these are written as text."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return repr(value) if isinstance(value, float) and not math.isfinite(value) else value
