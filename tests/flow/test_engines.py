"""A bank of awkward runs, each by `simulate` and by an ensemble: the same outcome by outcome, to rounding.

Runs of a group differ in numbers alone, so that a group is one program of either engine.
"""

import itertools
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

import attnflow as af
from attnflow.ensemble import Outcome
from tests.systems import EVENTS, NEVER, START, assert_same_run, awkward, jumping

EPS = np.finfo(float).eps


def field(jump, high):
    """A causal field whose values jump at a time, the second piece `high`."""
    return jumping([jump, jump + 0.5], [1.0, high, -high])


def rectified(jump, high):
    """The same with kinks where the jump is."""
    c = af.Sinusoid(jnp.asarray(high), jnp.asarray(jnp.pi / jump), rectified=True)
    return af.AttentionField(
        af.Sphere(2), jnp.zeros((2, 2)), U=af.ScaledIdentity(c, 2), mask="causal", scale=1.0
    )


def cases(near: float) -> list[dict[str, Any]]:
    """Numbers of runs in which something happens at `near`, within ulps of it, or never."""
    close = [near * (1 + k * EPS) for k in (-4, -1, 0, 1, 4)]
    plain: dict[str, Any] = {
        "jump": near, "high": -2.0, "t0": 0.0, "t1": 2.0, "ts": (0.0, 0.5, near),
        "real": NEVER, "true": NEVER, "nan": NEVER, "y0": START,
    }  # fmt: skip
    result = [plain]
    for at in close:  # t1, ts, an event within ulps of the jump; a run that begins there
        result += [
            plain | {"t1": at, "ts": (0.0, 0.5, at)},
            plain | {"ts": (0.5, near, at) if at >= near else (0.5, at, near)},
            plain | {"t0": at, "ts": (at, at * (1 + 2 * EPS), 1.9)},
            plain | {"real": at},
            plain | {"true": at},
            plain | {"nan": at},
            plain | {"t0": at, "ts": (at, 1.5, 2.0), "real": at},
            plain | {"jump": at, "t1": near, "ts": (0.5, near, near), "real": at},
        ]
    # Which of several events is first, by ulps or by more.
    for one, other in itertools.product((0.3, near, NEVER), (0.3 + 1e-9, near + 1e-9, NEVER)):
        result += [plain | {"real": one, "true": other}, plain | {"true": one, "nan": other}]
    # Nothing moves, too much does, tokens that are one.
    result += [plain | {"high": high} for high in (0.0, 1e4)]
    result += [plain | {"y0": np.stack([START[0], START[0], START[0]])}]
    return result


@pytest.mark.parametrize(
    ("make", "near"),
    [(field, 1.0), (field, 0.7), pytest.param(rectified, 1.0, marks=pytest.mark.slow)],
)
def test_the_two_engines_agree_run_by_run(make, near):
    bank = cases(near)
    assert len(bank) > 50
    seen, apart = set(), []
    for numbers in bank:
        one = make(numbers["jump"], numbers["high"])
        when = {name: numbers[name] for name in EVENTS}
        options = awkward(numbers["ts"], t0=numbers["t0"], t1=numbers["t1"], **when)
        solution = af.simulate(one, jnp.asarray(numbers["y0"]), throw=False, **options)
        options["until"] = options.pop("event")
        many = af.ensemble.run(one, numbers["y0"][None], progress=False, **options)
        try:
            assert_same_run(solution, many, 0, atol=1e-9)
        except AssertionError as error:
            result = (solution.t1, solution.saved, many.t1, many.saved, solution.stats, many.stats)
            apart.append(f"{numbers}: {error} {result}")
        seen.add(Outcome(many.outcome[0]))
    assert not apart, "\n\n".join(apart)
    assert seen >= {Outcome.REACHED, Outcome.TIME_UP, Outcome.EVENT_NAN}
