"""What sweeps need beyond the core, looked for before it is imported."""

from importlib.util import find_spec

_missing = [name for name in ("xarray", "zarr") if find_spec(name) is None]
if _missing:
    raise ImportError(
        f"sweeps need {' and '.join(_missing)}, not installed here: pip install 'attnflow[sweep]'."
    )
