"""Values of wrong kinds, for any argument."""

import numpy as np

WRONG = {
    "a word": "x",
    "a dictionary": {},
    "objects": np.array([object()], dtype=object),
    "mixed": [1, "word"],
    "NaN": float("nan"),
    "infinite": float("inf"),
    "an integer beyond 64 bits": 10**30,
}


def wrong_but(*names: str) -> dict:
    """All of them but those named, which the arguments of a table may be."""
    return {name: value for name, value in WRONG.items() if name not in names}
