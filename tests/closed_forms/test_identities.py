"""Energy grows as the gradient flow says, and cross-ratios do not change without scores."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest

import attnflow as af
from attnflow.theory import cross_ratios, energy_rate
from tests.systems import PLACES, Place, cross_ratios as all_cross_ratios, generator, random_rows

TOKENS, DIM = 6, 3


def symmetric(rng):
    U = rng.normal(size=(DIM, DIM))
    return (U + U.T) / 2


def fields(place, rng):
    """Softmax and exp, U the identity and not, β of either sign and zero, as (field, name)."""
    S, T = symmetric(rng), symmetric(rng)
    for beta in (1.5, -2.0, 0.0):
        P, general = place.P(beta * np.eye(DIM)), place.P(beta * S)
        for kernel in ("softmax", "exp"):
            yield af.AttentionField(place.general, P, kernel=kernel, scale=0.7)
            yield af.AttentionField(place.general, general, place.U(S), kernel=kernel)
        both = jnp.stack([place.P(beta * S), place.P(0.5 * T)])
        values = jnp.stack([place.U(S), place.U(T)])
        yield af.AttentionField(place.general, both, values, kernel="exp", scale=0.3)


@pytest.mark.slow
@pytest.mark.parametrize("kind", PLACES)
def test_the_rate_is_the_derivative_of_the_energy(kind):
    rng = generator("rate", kind)
    place = Place(kind, DIM, "rate")
    for field in fields(place, rng):
        y = place.tokens(random_rows(rng, TOKENS, np.eye(DIM)))
        rate = float(energy_rate(field, 0.0, y))
        assert rate > 0
        assert rate == pytest.approx(float(af.energy_dissipation(field, 0.0, y)), rel=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("kernel", ["softmax", "exp"])
def test_along_a_run_the_energy_grows_at_the_rate(kernel):
    rng = generator("along", kernel)
    place = Place("ellipsoid", DIM, "along")
    S = symmetric(rng)
    field = af.AttentionField(place.manifold, place.P(1.5 * S), place.U(S), kernel=kernel)
    y0 = place.tokens(random_rows(rng, TOKENS, np.eye(DIM)))
    ts = jnp.linspace(0.0, 0.5, 401)
    seen = af.simulate(
        field, y0, t1=0.5, ts=ts, rtol=1e-12, atol=1e-13,
        observe={"E": af.Energy(field), "rate": lambda t, y: energy_rate(field, t, y)},
    ).ys  # fmt: skip
    E, rate = np.asarray(seen["E"]), np.asarray(seen["rate"])
    h = 0.5 / 400
    slope = (8 * (E[3:-1] - E[1:-3]) - (E[4:] - E[:-4])) / (12 * h)  # of fourth order
    np.testing.assert_allclose(slope, rate[2:-2], rtol=1e-6)
    # And all of it, by Simpson's rule.
    total = h / 3 * (rate[0] + rate[-1] + 4 * rate[1:-1:2].sum() + 2 * rate[2:-1:2].sum())
    assert total == pytest.approx(E[-1] - E[0], rel=1e-9)


def test_the_rate_keeps_its_digits_where_the_tokens_have_all_but_met():
    field = af.AttentionField(af.Sphere(2), jnp.eye(2), scale=1.0)
    gap = 1e-10
    y = jnp.array([[1.0, 0.0], [1.0, gap]])
    # Two tokens at the angle a: each moves at a/2 to first order, Z = e.
    assert float(energy_rate(field, 0.0, y)) == pytest.approx(np.e * gap**2 / 4, rel=1e-6)


TILTED = np.array([[1.0, 0.25], [0.0, 1.0]])
Y = np.array([[1.0, 0.0], [0.0, 1.0]])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mask": "causal"}, "full attention, mask None for the energy identity; got Causal"),
        ({"P": np.stack([np.eye(2)] * 2)}, "one head under softmax for .*; got 2"),
        ({"kernel": "hardmax"}, "kernel 'softmax' or 'exp' for .*; got Hardmax"),
        ({"normalisation": "pre"}, "normalisation 'post' for .*; got Pre"),
        ({"weights": np.ones(2)}, "tokens of one mass for .*; got `weights`"),
        ({"frozen": np.zeros(2, bool)}, "no frozen tokens for .*; got `frozen`"),
        ({"drift": lambda t, y: y}, "no drift for .*; got one"),
        ({"P": TILTED, "U": TILTED}, "W U symmetric for .*; got a gap of 0.25 of it"),
        ({"P": TILTED}, "P = beta W U for .*; got a gap of 0.25 of it"),
        ({"P": np.diag([1.0, 0.5])}, "P = beta W U for .*; got a gap of"),
        ({"P": af.Sinusoid(np.eye(2), 1.0)}, "a P that time does not change for .*; got Sinusoid"),
        ({"U": af.Sinusoid(np.eye(2), 1.0)}, "a U that time does not change for .*; got Sinusoid"),
        ({"U": np.zeros((2, 2))}, "W U symmetric"),
        ({"scale": 0.0}, "a scale other than 0 for .*; got 0"),
    ],
)
def test_fields_for_which_the_identity_fails_are_refused(options, message):
    options = {"P": np.eye(2), **options}
    field = af.AttentionField(af.Sphere(2), options.pop("P"), **options)
    with pytest.raises(ValueError, match=f"`field` must have {message}"):
        energy_rate(field, 0.0, Y)


def test_one_of_the_refused_would_have_been_wrong():
    # Two heads under softmax: the sum over heads is no gradient, and the rate differs.
    rng = generator("two heads")
    P = jnp.asarray(np.stack([2 * np.eye(3), -np.eye(3)]))
    field = af.AttentionField(af.Sphere(3), P, scale=1.0)
    y = jnp.asarray(random_rows(rng, TOKENS, np.eye(3)))
    Z = jnp.mean(jnp.exp(field.logits(0.0, y)), axis=-1)
    guess = jnp.mean(jnp.mean(Z, axis=0) * jnp.sum(field(0.0, y) ** 2, axis=1))
    assert float(af.energy_dissipation(field, 0.0, y)) != pytest.approx(float(guess), rel=1e-2)


@pytest.mark.slow
@pytest.mark.parametrize("kind", PLACES)
def test_cross_ratios_are_constant_without_scores(kind):
    rng = generator("cross", kind)
    place = Place(kind, DIM, "cross")
    U = af.Sinusoid(2 * rng.normal(size=(2, DIM, DIM)), 1.0, rng.normal(size=(2, DIM, DIM)))
    y0 = place.tokens(random_rows(rng, TOKENS, np.eye(DIM)))
    field = af.AttentionField(place.general, jnp.zeros((DIM, DIM)), U, scale=1.0)
    ts = jnp.linspace(0.0, 1.5, 6)
    ys = af.simulate(field, y0, t1=1.5, ts=ts, rtol=1e-12, atol=1e-13).ys
    ratios = np.stack([cross_ratios(y, place.manifold) for y in ys])
    assert np.abs(np.asarray(ys[-1] - ys[0])).max() > 0.2
    np.testing.assert_allclose(ratios[1:], np.broadcast_to(ratios[0], ratios[1:].shape), rtol=1e-8)
    # With scores they are not.
    other = af.AttentionField(place.general, place.P(2 * np.eye(DIM)), scale=1.0)
    changed = cross_ratios(y0 + 0.1 * other(0.0, y0), place.manifold)
    assert abs(float(changed[0, 1]) / ratios[0, 0, 1] - 1) > 1e-3


def test_the_matrix_of_ratios_holds_all_of_them():
    y = random_rows(generator("all"), 4, np.eye(DIM))
    g = y @ y.T
    R = np.asarray(cross_ratios(y))
    assert R.shape == (2, 2)
    np.testing.assert_array_equal(np.diag(R), 0)
    # (12)(34) over (13)(24), and over (14)(23).
    np.testing.assert_allclose([R[0, 1], R[1, 0]], all_cross_ratios(g), rtol=1e-12)
    np.testing.assert_allclose(cross_ratios(3.0 * y), R, rtol=1e-12)


def test_three_tokens_have_no_cross_ratio():
    with pytest.raises(ValueError, match="`y` must hold at least four tokens; got 3"):
        cross_ratios(np.eye(3))


def test_energy_rate_and_verdicts_agree_on_what_is_constant_and_full():
    constant = af.Sinusoid(np.eye(2), 0.0, 0.5)
    plain = af.AttentionField(af.Sphere(2), np.sin(0.5) * np.eye(2))
    expected = float(energy_rate(plain, 0.0, Y))
    for mask in (None, np.ones((2, 2), bool)):
        field = af.AttentionField(af.Sphere(2), constant, mask=mask)
        assert float(energy_rate(field, 0.0, Y)) == pytest.approx(expected, rel=1e-12)
        hypotheses = {h.id: h for v in af.theory.verdicts(field, Y).values() for h in v.hypotheses}
        assert hypotheses["full"].holds is True
        assert hypotheses["P = beta I"].holds is True
    # What is traced has no numbers: constant is what its type makes so.
    with pytest.raises(ValueError, match="a P that time does not change"):
        eqx.filter_jit(energy_rate)(af.AttentionField(af.Sphere(2), constant), 0.0, Y)
    assert float(eqx.filter_jit(energy_rate)(plain, 0.0, Y)) == pytest.approx(expected, rel=1e-12)
    # A bias that is the same throughout a row changes no weight, but the energy.
    with pytest.raises(ValueError, match="full attention, mask None"):
        energy_rate(af.AttentionField(af.Sphere(2), np.eye(2), mask=np.ones((2, 2))), 0.0, Y)


def test_a_matrix_that_changes_later_or_did_before_the_time_is_not_constant_there():
    steps = af.Piecewise([1.0], np.stack([np.eye(2), 2 * np.eye(2)]))
    field = af.AttentionField(af.Sphere(2), steps)
    for t in (0.0, 0.5, 2.0):
        with pytest.raises(ValueError, match="a P that time does not change"):
            energy_rate(field, t, Y)
    past = af.Piecewise([-1.0], np.stack([np.eye(2), 2 * np.eye(2)]))
    field = af.AttentionField(af.Sphere(2), past)
    assert float(energy_rate(field, 0.0, Y)) > 0
    with pytest.raises(ValueError, match="a P that time does not change"):
        energy_rate(field, -2.0, Y)
