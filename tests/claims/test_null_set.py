"""What a start on a null set has to show: an unstable equilibrium that its neighbours leave on opposite sides.

Each refused start here comes as close to an unstable equilibrium as a true one, and the starts beside it
violate nothing: one check alone tells it from a start on a null set.
"""

import dataclasses

import jax.numpy as jnp
import numpy as np

import attnflow as af
from attnflow import search
from attnflow.theory import Hypothesis

ANYWHERE = dataclasses.replace(search.CLAIMS["no hemisphere"], domain=lambda field, y0: [])
TRIANGLE = (
    0.0,
    2 * np.pi / 3,
    -2 * np.pi / 3,
)  # an unstable equilibrium where P = -0.46 I, left slowly
OFF = 4e-5  # more than the neighbours' distance, less than what counts as close
ONE_SIDE = ("undecided", "starts on its two sides leave on one side")
BORDER = ("undecided", "the domain ends between it and a start beside it")


def angles(*theta):
    theta = jnp.asarray(theta)
    return jnp.stack([jnp.cos(theta), jnp.sin(theta)], axis=1)


def judged(*theta, claim=ANYWHERE, P=-0.46, mask=((1, 1, 1),) * 3):
    mask = np.array(mask, bool)  # no `None`, so that all share their programs
    field = af.AttentionField(af.Sphere(2), P * jnp.eye(2), mask=mask, scale=1.0)
    evidence = search.verify_null(claim, field, angles(*theta))
    return evidence.status, evidence.why


def test_between_neighbours_that_part_there_is_one_that_stays():
    status, why = judged(*TRIANGLE)
    assert status == "null set", why


def test_neighbours_that_leave_on_one_side_have_none_between_them():
    assert judged(*TRIANGLE[:2], TRIANGLE[2] + OFF) == ONE_SIDE


def test_neighbours_whose_last_token_stays_have_none_between_them():
    """The last token attends to itself alone, and the others come to it."""
    mask = ((1, 1, 1), (1, 1, 1), (0, 0, 1))
    assert judged(TRIANGLE[0] + OFF, *TRIANGLE[1:], P=0.0, mask=mask) == ONE_SIDE


def test_a_token_at_anothers_antipode_may_be_where_the_domain_ends():
    assert judged(0.1, 0.1, 0.1 + np.pi) == BORDER


def test_neighbours_outside_the_domain_are_none():
    """A hypothesis that the start meets, and its neighbours do not."""

    def domain(field, y0):
        return [Hypothesis("at its place", bool(y0[-1] @ angles(TRIANGLE[2])[0] > 1 - 1e-11), "")]

    assert judged(*TRIANGLE, claim=dataclasses.replace(ANYWHERE, domain=domain)) == BORDER
