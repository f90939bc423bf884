"""What certificates need beyond the core, looked for before it is imported."""

from importlib.util import find_spec

if find_spec("flint") is None:
    raise ImportError(
        "certificates need python-flint, not installed here: pip install 'attnflow[certify]'."
    )
