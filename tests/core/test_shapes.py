"""Shapes of arguments, refused in the same words wherever they are wrong."""

import pytest

from attnflow.core.arguments import shaped


@pytest.mark.parametrize(
    ("shape", "patterns"),
    [
        ((3,), [(3,)]),
        ((7, 3), [("tokens", 3)]),
        ((2, 7, 3), [("tokens", 3), ("runs", "tokens", 3)]),
        ((4, 4), [("n", "n")]),
        ((0, 3), [(0, 3)]),
        ((), [()]),
        ((), [(), ("n",)]),
    ],
)
def test_shapes_that_fit_one_of_the_patterns_pass(shape, patterns):
    shaped("x", shape, *patterns)


@pytest.mark.parametrize(
    ("shape", "patterns", "says"),
    [
        ((4,), [(3,)], "`x` must have shape (3,); got (4,)."),
        ((0, 3), [("tokens", 3)], "`x` must have shape (tokens, 3); got (0, 3)."),
        ((7, 3), [("n", "n")], "`x` must have shape (n, n); got (7, 3)."),
        (
            (7,),
            [("tokens", 3), ("runs", "tokens", 3)],
            "`x` must have shape (tokens, 3) or (runs, tokens, 3); got (7,).",
        ),
        ((), [("n",)], "`x` must have shape (n,); got ()."),
        ((2,), [()], "`x` must be a number; got shape (2,)."),
        ((2, 2), [(), ("n",)], "`x` must be a number or have shape (n,); got shape (2, 2)."),
    ],
)
def test_others_are_refused_in_one_line(shape, patterns, says):
    with pytest.raises(ValueError) as caught:
        shaped("x", shape, *patterns)
    assert str(caught.value) == says


def test_what_is_allowed_besides_and_the_remedy_are_in_the_line():
    with pytest.raises(ValueError) as caught:
        shaped("x", (2,), (3,), also=", or be a sampler", remedy="Use jax.vmap.")
    assert str(caught.value) == "`x` must have shape (3,), or be a sampler; got (2,). Use jax.vmap."
