"""The exceptional third token divides the starts that pass y_1's antipode on one side from the others."""

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import attnflow as af
from attnflow.theory import exceptional_curve, exceptional_start
from tests.systems import Place, generator

LANES, SAVED = 40, 600
THETA = 1.0


@jax.jit
def swarm(W, P, y0, t1):
    """Tokens 2 and 3 of many starts (lanes, 3, 3) up to `t1`, causal, two heads: (lanes, times, 2, 3)."""
    field = af.AttentionField(af.Ellipsoid(W), P=P, mask="causal", scale=0.5)

    def one(y):
        ts = jnp.linspace(0.0, t1, SAVED)
        return af.simulate(
            field, y, t1=t1, ts=ts, rtol=1e-13, atol=1e-14, solver=diffrax.Dopri8(),
            observe=lambda y: y[1:],
        ).ys  # fmt: skip

    return jax.vmap(one)(y0)


def plane(y, W):
    """y_1 and the direction of y_2 across it, W-orthonormal, in NumPy."""
    across = y[1] - (y[0] @ W @ y[1]) * y[0]
    return np.stack([y[0], across / np.sqrt(across @ W @ across)])


def shoot(W, P, y):
    """g by forward runs alone: token 3 from between two starts that pass on different sides."""
    basis = plane(y, W)
    p = np.array([basis[0] @ head @ basis[0] for head in P])
    t1 = 42 / np.mean(2 / (2 + np.exp(2 * p)))  # the antipode repels at that rate
    low, high = 0.0, np.arccos(y[0] @ W @ y[1])
    while high - low > 2e-11:
        beyond = np.linspace(low, high, LANES)
        third = -np.cos(beyond)[:, None] * basis[0] - np.sin(beyond)[:, None] * basis[1]
        starts = np.stack([*np.broadcast_to(y[:, None], (2, *third.shape)), third], axis=1)
        paths = np.asarray(swarm(W, P, jnp.asarray(starts), t1))[:, :, 1] @ W @ basis.T
        angle = np.unwrap(np.arctan2(-paths[..., 1], -paths[..., 0]), axis=1)
        end = angle[:, -1]
        assert np.all((np.abs(end[[0, -1]]) > 2) & (np.abs(end[[0, -1]]) < 4))
        above = end > 0
        assert not above[0]
        assert above[-1]
        first = int(np.argmax(above))
        assert np.all(above[first:])
        low, high = beyond[first - 1], beyond[first]
    return (low + high) / 2


RANDOM = generator("exception").normal(size=(2, 3, 3))
SKEW = np.array([[0.0, 2.0, -1.0], [-2.0, 0.0, 0.5], [1.0, -0.5, 0.0]])
CASES = {
    "zero": np.zeros((1, 3, 3)),
    "attracting": 2 * np.eye(3)[None],
    "repelling": -2 * np.eye(3)[None],
    "strongly repelling": -8 * np.eye(3)[None],
    "not symmetric": RANDOM[:1],
    "strong and skew": 3 * SKEW[None],
    "two heads": RANDOM * np.array([1.0, -1.5])[:, None, None],
}
RUNS = [(name, "sphere") for name in CASES] + [("zero", "ellipsoid"), ("two heads", "ellipsoid")]


def case(name, kind, theta=THETA):
    """The field, its P, and two tokens at the angle `theta`."""
    place = Place(kind, 3, "exception")
    x = [[1.0, 0.0, 0.0], [np.cos(theta), 0.6 * np.sin(theta), 0.8 * np.sin(theta)]]
    P = np.stack([place.P(head) for head in CASES[name]])
    field = af.AttentionField(place.manifold, P=jnp.asarray(P), mask="causal")
    return place, field, P, np.asarray(place.tokens(x))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "kind"), RUNS)
def test_the_exceptional_start_is_what_forward_runs_bracket(name, kind):
    place, field, P, y = case(name, kind)
    start = np.asarray(exceptional_start(field, y))
    np.testing.assert_allclose(start[:2], y, atol=1e-15)
    g = shoot(jnp.asarray(place.W), jnp.asarray(np.broadcast_to(P, (2, 3, 3))), y)
    basis = plane(y, place.W)
    expected = -np.cos(g) * basis[0] - np.sin(g) * basis[1]
    np.testing.assert_allclose(start[2], expected, atol=2e-11)


def test_the_known_angle_without_scores():
    field = af.AttentionField(af.Sphere(2), P=jnp.zeros((2, 2)), mask="causal", scale=1.0)
    y = jnp.array([[1.0, 0.0], [np.cos(1.0), np.sin(1.0)]])
    third = np.asarray(exceptional_start(field, y)[2])
    assert np.arctan2(-third[1], -third[0]) == pytest.approx(0.287989844, abs=5e-10)
    # Followed in plain NumPy from the tangent 2/7 at a late time, Runge-Kutta in small steps.
    T, steps = 40.0, 20_000
    h, beyond = -T / steps, 2 / 7 * 2 * np.arctan(np.tan(0.5) * np.exp(-T / 2))

    def rate(t, b):
        second = 2 * np.arctan(np.tan(0.5) * np.exp(-t / 2))
        return (np.sin(b) - np.sin(second - b)) / 3

    for k in range(steps):
        t = T + k * h
        a = rate(t, beyond)
        b = rate(t + h / 2, beyond + h / 2 * a)
        c = rate(t + h / 2, beyond + h / 2 * b)
        beyond += h / 6 * (a + 2 * b + 2 * c + rate(t + h, beyond + h * c))
    assert np.arctan2(-third[1], -third[0]) == pytest.approx(beyond, abs=1e-12)


THETAS = jnp.array([-3.0, 0.4, 0.0, -1.0, 2.5, 1e-3, -1e-9, 1.0])


@pytest.mark.slow
@pytest.mark.parametrize(("name", "kind"), RUNS[1:])
def test_the_curve_holds_the_starts_of_both_sides(name, kind):
    _, field, P, y = case(name, kind)
    g = np.asarray(exceptional_curve(field, y, THETAS))
    for theta, value in zip(THETAS, g, strict=True):
        # Between the antipodes of tokens 1 and 2.
        assert theta == 0 == value or 0 < value / float(theta) < 1
    p = np.array([y[0] @ head @ y[0] for head in P])
    w = np.sum(1 / (2 + np.exp(2 * p)))
    assert g[6] / -1e-9 == pytest.approx(w / (2 * w + len(P) / 2), rel=1e-7)
    for k in (3, 4):
        place, _, _, moved = case(name, kind, float(THETAS[k]))
        third = np.asarray(exceptional_start(field, moved)[2])
        basis = plane(y, place.W)
        expected = -np.cos(g[k]) * basis[0] - np.sin(g[k]) * basis[1]
        np.testing.assert_allclose(third, expected, atol=1e-11)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["attracting", "strong and skew", "not symmetric"])
def test_runs_move_along_the_curve(name):
    _, field, P, y = case(name, "sphere", 2.2)
    start = jnp.broadcast_to(exceptional_start(field, y), (LANES, 3, 3))
    both = jnp.asarray(np.broadcast_to(P, (2, 3, 3)))
    ys = np.asarray(swarm(jnp.eye(3), both, start, 4.0))[0, 1::85]  # at eight times
    flat = ys @ plane(y, np.eye(3)).T
    second = np.arctan2(flat[:, 0, 1], flat[:, 0, 0])
    beyond = np.arctan2(-flat[:, 1, 1], -flat[:, 1, 0])
    assert second[-1] < second[0]
    assert second.shape == THETAS.shape  # compiled once for both
    g = exceptional_curve(field, y, jnp.asarray(second))
    np.testing.assert_allclose(g, beyond, atol=1e-9)


@pytest.mark.slow
def test_the_start_does_not_depend_on_the_scale_and_keeps_the_dtype_of_the_tokens():
    _, field, P, y = case("two heads", "sphere")
    start = exceptional_start(field, y)
    scaled = af.AttentionField(field.manifold, P=jnp.asarray(P), mask="causal", scale=7.0)
    np.testing.assert_array_equal(exceptional_start(scaled, y), start)
    single = exceptional_start(field, jnp.asarray(y, jnp.float32))
    assert single.dtype == jnp.float32
    np.testing.assert_allclose(single, start, atol=2e-5)


Y2 = np.array([[1.0, 0.0], [0.0, 1.0]])


@pytest.mark.parametrize(
    ("options", "got"),
    [
        ({"mask": None}, "mask 'causal' for .*; got Full"),
        ({"U": 2.0 * np.eye(2)}, "U = I for .*; got an entry 1 from it"),
        ({"U": af.Sinusoid(np.eye(2), 1.0)}, "a U that time does not change for .*; got Sinusoid"),
        ({"P": af.Sinusoid(np.eye(2), 1.0)}, "a P that time does not change for .*; got Sinusoid"),
        ({"kernel": "exp"}, "kernel 'softmax' for .*; got Exponential"),
        ({"kernel": "hardmax"}, "kernel 'softmax' for .*; got Hardmax"),
        ({"normalisation": "pre"}, "normalisation 'post' for .*; got Pre"),
        ({"weights": np.ones(3)}, "tokens of one mass for .*; got `weights`"),
        ({"frozen": np.zeros(3, bool)}, "no frozen tokens for .*; got `frozen`"),
        ({"drift": lambda t, y: y}, "no drift for .*; got one"),
        ({"scale": -1.0}, "a positive scale for .*; got -1"),
    ],
)
def test_fields_without_such_a_start_are_refused(options, got):
    options = {"P": np.eye(2), "mask": "causal", **options}
    field = af.AttentionField(af.Sphere(2), options.pop("P"), **options)
    with pytest.raises(ValueError, match=f"`field` must have {got}"):
        exceptional_start(field, Y2)


def test_constant_schedules_of_any_make_are_taken():
    P = generator("made").normal(size=(2, 2))
    made = [
        af.Factored(np.eye(2), P),
        af.Modulated(np.ones(2), P),
        0.5 * af.Constant(P) + 0.5 * af.Constant(P),
    ]
    expected = exceptional_start(af.AttentionField(af.Sphere(2), P=P, mask="causal"), Y2)
    for P in made:
        field = af.AttentionField(af.Sphere(2), P=P, U=np.eye(2), mask="causal")
        np.testing.assert_allclose(exceptional_start(field, Y2), expected, atol=1e-12)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (Y2[:1], "`y` must hold the first two tokens; got 1"),
        (np.array([[1.0, 0.0], [1.0, 0.0]]), "`y` must hold two tokens that are neither"),
        (np.array([[1.0, 0.0], [-1.0, 0.0]]), "`y` must hold two tokens that are neither"),
        (2 * Y2, "`y` must lie on the manifold"),
    ],
)
def test_tokens_without_a_plane_are_refused(y, message, as_user):
    field = af.AttentionField(af.Sphere(2), P=np.zeros((2, 2)), mask="causal")
    with pytest.raises(ValueError, match=message):
        exceptional_start(field, y)


def test_angles_that_token_2_cannot_have_are_refused(as_user):
    field = af.AttentionField(af.Sphere(2), P=np.zeros((2, 2)), mask="causal")
    with pytest.raises(ValueError, match=r"`theta` must be in \(-pi, pi\); got 3\.2"):
        exceptional_curve(field, Y2, jnp.array([0.0, 3.2]))
    with pytest.raises(ValueError, match="`theta` must be a vector of angles"):
        exceptional_curve(field, Y2, jnp.array(1.0))
    with pytest.raises(ValueError, match="`field` must be an AttentionField; got str"):
        exceptional_curve("field", Y2, jnp.array([1.0]))  # pyright: ignore[reportArgumentType]


@pytest.mark.slow
def test_a_token_2_that_is_all_but_held_is_refused(monkeypatch):
    monkeypatch.setattr("attnflow.closed_forms._exception._STEPS", 2000)
    P = np.broadcast_to(
        np.diag([8.0, -8.0]), (5, 2, 2)
    )  # a number of heads compiled for here alone
    field = af.AttentionField(af.Sphere(2), P=P, mask="causal")
    with pytest.raises(ValueError, match="`field` must have a P for which token 2 gives"):
        exceptional_start(field, np.array([[1.0, 0.0], [np.cos(3.0), np.sin(3.0)]]))


def test_it_calls_causal_constant_and_the_identity_what_verdicts_do():
    P = generator("one answer").normal(size=(2, 2))
    expected = exceptional_start(af.AttentionField(af.Sphere(2), P=P, mask="causal"), Y2)
    constant, eye = af.Sinusoid(P / np.sin(0.5), 0.0, 0.5), af.Sinusoid(np.eye(2), 0.0, np.pi / 2)
    lower, none = np.tri(3, dtype=bool), np.where(np.tri(3, dtype=bool), 0.0, -np.inf)
    past = af.Piecewise([-1.0], np.stack([np.eye(2), P]))
    for P_, U, mask in ((constant, None, lower), (P, eye, none), (past, None, "causal")):
        field = af.AttentionField(af.Sphere(2), P=P_, U=U, mask=mask)
        start = exceptional_start(field, Y2)
        np.testing.assert_allclose(start, expected, atol=1e-12)
        verdict = af.theory.verdicts(field, start)["causal"]
        holds = {hypothesis.id: hypothesis.holds for hypothesis in verdict.hypotheses}
        assert holds["causal"] is holds["P constant"] is holds["U = I"] is True


@pytest.mark.parametrize(
    ("mask", "got"),
    [
        (
            np.ones((3, 3), bool),
            r"mask 'causal' for .*; got BooleanMask \(attention is not causal: 3",
        ),
        (np.tri(3), r"mask 'causal' for .*; got AdditiveBias \(attention is not causal: 3 pairs"),
        (np.tri(4, dtype=bool), "mask 'causal' of 3 tokens for .*; got BooleanMask of 4"),
    ],
)
def test_other_masks_than_the_causal_one_are_refused_with_what_differs(mask, got):
    field = af.AttentionField(af.Sphere(2), P=np.eye(2), mask=mask)
    with pytest.raises(ValueError, match=f"`field` must have {got}"):
        exceptional_start(field, Y2)
