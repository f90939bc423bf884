"""Domains of the claims that come with the library: the conditions that they suppose."""

from ..theory import conditions as given


def domain(*checks: given.Check, kernel: bool = True):
    """A domain: the model of eq. (6), with its kernel or with any, and all of `checks`."""
    model = [c for c in given.EQUATION_6 if kernel or c is not given.softmax]

    def check(field, y0):
        return given.checked(field, y0, [*model, *checks])

    return check


def top_cap_domain(*checks: given.Check):
    """A domain: eq. (6), `checks`, symmetric values whose sum has a simple positive top, tokens in its cap."""
    return domain(
        *checks, given.each_symmetric, given.sum_simple, given.sum_positive, given.in_first_cap
    )
