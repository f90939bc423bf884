"""`attnflow info`: what is installed, and where it runs."""

from typing import Annotated

from cyclopts import Parameter


def info(*, as_json: Annotated[bool, Parameter(name="--json", negative="")] = False) -> int:
    """Print versions, devices and precision, and whether the installed JAX is known to be bad.

    Put its output in a bug report, or beside numbers that others are to reproduce.

    Example: `attnflow info --json > environment.json`

    Parameters
    ----------
    as_json
        Print one JSON object instead of a table.
    """
    import json

    from ..programs import cached
    from ..records import provenance
    from ._start import start_jax

    start_jax()
    facts = provenance()
    programs = cached()
    if as_json:
        size = {"programs": programs.programs, "bytes": programs.size}
        kept = {"folder": str(programs.folder), **size}
        print(json.dumps({**facts, "kept_programs": kept}, indent=2))
        return 0
    rows = dict(facts["versions"])
    rows["python"] = facts["python"]
    rows["platform"] = facts["platform"]
    rows["devices"] = f"{facts['backend']}: {', '.join(facts['devices'])}"
    rows["numbers"] = f"{facts['dtype']} (64 bits {'on' if facts['x64'] else 'off'})"
    rows["programs"] = (
        f"{programs.programs} kept, {programs.size / 2**20:.1f} MiB, in {programs.folder}"
    )
    rows["known faults"] = "none" if not facts["known_bad"] else ""
    for name, value in rows.items():
        print(f"{name:<13} {value}".rstrip())
    for name, fault in facts["known_bad"].items():
        print(f"  {name} {facts['versions'][name]}: {fault}")
    return 0
