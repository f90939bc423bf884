"""A hypothesis of a theorem: it holds, it does not, or it cannot be decided."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Hypothesis:
    """One hypothesis of a theorem, and how a field and its start stand to it.

    - `name`: what is assumed.
    - `holds`: `True`, `False`, or `None` where it cannot be decided.
    - `says`: what was found, with the number that decides.
    """

    name: str
    holds: bool | None
    says: str

    def __str__(self) -> str:
        return f"{self.name}: {self.says}"
