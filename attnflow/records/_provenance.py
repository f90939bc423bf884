"""Where a number comes from: versions, platform, devices, precision, versions known to be bad."""

import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import TypedDict

_PACKAGES = (
    "attnflow",
    "jax",
    "jaxlib",
    "equinox",
    "diffrax",
    "optimistix",
    "lineax",
    "optax",
    "numpy",
    "matplotlib",
)

_MISCOMPILES = (
    "on the CPU it silently miscompiles a batched matrix-vector product followed by a square and a "
    "sum (jax issue #39103): results may be wrong"
)
_REFUSED = "equinox and diffrax do not run on it"
_FAULTS = {
    "0.7.0": _REFUSED,
    "0.7.1": _REFUSED,
    "0.10.2": _MISCOMPILES,
    "0.11.0": _MISCOMPILES,
}


def versions() -> dict[str, str]:
    """The installed version of each package that results depend on, or `"not installed"`."""
    from .. import __version__

    packages = {}
    for package in _PACKAGES:
        try:
            packages[package] = version(package)
        except PackageNotFoundError:
            packages[package] = "not installed"
    # A source tree on the path has no metadata of its own, and an old one may linger.
    packages["attnflow"] = __version__
    return packages


def jax_fault(jax_version: str) -> str | None:
    """What is wrong with a version of jax or jaxlib, in a clause; `None` when nothing is known.

    !!! example

        ```python
        af.records.jax_fault("0.10.2")  # 'on the CPU it silently miscompiles ...'
        ```
    """
    return _FAULTS.get(jax_version)


class Provenance(TypedDict):
    """Where a number comes from, as plain JSON values; see [`provenance`][]."""

    versions: dict[str, str]
    python: str
    platform: str
    backend: str
    devices: list[str]
    x64: bool
    dtype: str
    known_bad: dict[str, str]


def provenance() -> Provenance:
    """All that is needed to say where a result was computed, as plain JSON values.

    **Returns:**

    A dictionary: `versions` (by package), `python`, `platform`, `backend`, `devices` (their kinds),
    `x64`, `dtype` (of a Python float turned into an array), `known_bad` (package -> what is wrong
    with the version at hand; empty when all is well). Neither user nor machine is named.
    """
    import jax
    import jax.numpy as jnp

    packages = versions()
    faults = {name: jax_fault(packages[name]) for name in ("jax", "jaxlib")}
    return {
        "versions": packages,
        "python": ".".join(str(part) for part in sys.version_info[:3]),
        "platform": f"{platform.system()} {platform.machine()}",
        "backend": jax.default_backend(),
        "devices": [device.device_kind for device in jax.devices()],
        "x64": jnp.result_type(float).itemsize == 8,
        "dtype": str(jnp.result_type(float)),
        "known_bad": {name: fault for name, fault in faults.items() if fault is not None},
    }
