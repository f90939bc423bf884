"""Positions and scores: windows, no self, ALiBi, rotations, normalised queries, temperatures; each against a loop."""

import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import attnflow as af
from attnflow.model import ALiBi, NoSelf, Window
from attnflow.schedules import length_temperature

SPHERE = af.Sphere(3)
N = 6
Y = SPHERE.random(jr.key(0), (N,))
P = jr.normal(jr.key(1), (3, 3))
Q2, K2 = jr.normal(jr.key(2), (2, 4, 3)), jr.normal(jr.key(3), (2, 4, 3))
RATES = jnp.array([0.7, 0.1])
TAU = 0.5 + jnp.arange(1.0, N + 1)


def softmax_loop(scores, allowed=lambda i, j: True):
    """Rows of attention from scores (heads, tokens, tokens), pair by pair."""
    out = np.zeros(scores.shape)
    for h in range(len(scores)):
        for i in range(N):
            seen = [j for j in range(N) if allowed(i, j)]
            total = sum(np.exp(scores[h, i, j]) for j in seen)
            for j in seen:
                out[h, i, j] = np.exp(scores[h, i, j]) / total
    return out


def matrix_scores(P=P):
    return np.einsum("ia,ab,jb->ij", Y, P, Y)[None]


def rotation_loop(z, position, rates):
    """The coordinates m and m + pairs of one query or key, turned."""
    out, pairs = np.array(z), len(rates)
    for m in range(pairs):
        c, s = np.cos(position * rates[m]), np.sin(position * rates[m])
        a, b = z[m], z[m + pairs]
        out[m], out[m + pairs] = a * c - b * s, b * c + a * s
    return out


def query_key_loop(rates=None, normalise=False, tau=None):
    out = np.zeros((2, N, N))
    for h in range(2):
        for i in range(N):
            for j in range(N):
                q, k = np.asarray(Q2[h] @ Y[i]), np.asarray(K2[h] @ Y[j])
                if normalise:
                    q, k = q / np.linalg.norm(q), k / np.linalg.norm(k)
                if rates is not None:
                    q, k = rotation_loop(q, i, rates), rotation_loop(k, j, rates)
                out[h, i, j] = (1 if tau is None else tau[i]) * (q @ k)
    return out


def field(mask=None, P=P, **how):
    return af.AttentionField(SPHERE, P=P, mask=mask, scale=1.0, **how)


MASKS = {
    "window": (Window(3), lambda i, j: 0 <= i - j < 3),
    "window to both sides": (Window(2, causal=False), lambda i, j: abs(i - j) < 2),
    "others": ("others", lambda i, j: i != j),
    "causal without oneself": (NoSelf("causal"), lambda i, j: j < i),
    "window without oneself": (NoSelf(Window(3)), lambda i, j: 0 < i - j < 3),
}


@pytest.mark.parametrize("name", MASKS)
def test_masks_are_those_of_a_loop(name):
    mask, allowed = MASKS[name]
    expected = softmax_loop(matrix_scores(), allowed)
    assert np.allclose(field(mask).attention(0.0, Y), expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("causal", [True, False])
def test_alibi_is_a_bias_that_falls_with_distance(causal):
    slopes = np.array([0.5, 0.125])
    scores = np.concatenate([matrix_scores()] * 2)
    for h, i, j in np.ndindex(2, N, N):
        scores[h, i, j] -= slopes[h] * abs(i - j)
    expected = softmax_loop(scores, lambda i, j: j <= i or not causal)
    biased = field(ALiBi(N, jnp.asarray(slopes), causal=causal))
    assert biased.heads == 2
    assert biased.tokens == N
    assert np.allclose(biased.attention(0.0, Y), expected, rtol=1e-12, atol=1e-15)


SCORES = {
    "rotary": {"rates": RATES},
    "one pair of two": {"rates": RATES[:1]},
    "normalised": {"normalise": True},
    "temperatures": {"temperatures": TAU},
    "all": {"rates": RATES, "normalise": True, "temperatures": TAU},
}


@pytest.mark.parametrize("name", SCORES)
def test_scores_of_queries_and_keys_are_those_of_a_loop(name):
    how = dict(SCORES[name])
    scores = af.QueryKey(Q2, K2, **how)
    how["tau"] = how.pop("temperatures", None)
    expected = softmax_loop(query_key_loop(**how), lambda i, j: j <= i)
    found = field("causal", scores).attention(0.0, Y)
    assert np.allclose(found, expected, rtol=1e-12, atol=1e-15)


def test_rotary_scores_depend_on_positions_through_their_difference():
    # One token at all positions: scores are constant along diagonals, and those of the matrix on the first.
    scores = af.QueryKey(Q2, K2, rates=RATES)
    y = jnp.broadcast_to(Y[0], (N, 3))
    found = scores.bilinear(0.0, y, y)
    for gap in range(-N + 1, N):
        diagonal = jnp.diagonal(found, gap, axis1=1, axis2=2)
        assert jnp.allclose(diagonal, diagonal[:, :1], rtol=1e-13)
    plain = af.Factored(Q2, K2).bilinear(0.0, y, y)
    assert jnp.allclose(jnp.diagonal(found, 0, 1, 2), jnp.diagonal(plain, 0, 1, 2), rtol=1e-13)
    assert not jnp.allclose(found, plain)


def test_temperatures_of_the_length_are_its_logarithm():
    whole = field(P=length_temperature(P, N, factor=0.5))
    expected = softmax_loop(0.5 * np.log(N) * matrix_scores())
    assert np.allclose(whole.attention(0.0, Y), expected, rtol=1e-12)
    assert whole.matrix_scores  # a matrix, which theorems know
    seen = field("causal", length_temperature(P, N, factor=0.5, rows="seen"))
    scores = 0.5 * np.log(np.arange(1, N + 1))[None, :, None] * matrix_scores()
    expected = softmax_loop(scores, lambda i, j: j <= i)
    assert np.allclose(seen.attention(0.0, Y), expected, rtol=1e-12, atol=1e-15)
    assert not seen.matrix_scores


def test_temperatures_of_rows_multiply_those_that_scores_have():
    scores = af.QueryKey(Q2, K2, rates=RATES, temperatures=TAU)
    hotter = length_temperature(scores, N, rows="seen")
    expected = query_key_loop(RATES, tau=TAU * np.log(np.arange(1, N + 1)))
    assert np.allclose(hotter.bilinear(0.0, Y, Y), expected, rtol=1e-12, atol=1e-14)


def test_the_bias_minus_beta_makes_the_exponential_weights_of_cosines():
    # exp(beta (cos - 1)) / l, where beta = 3000 overflows exp(beta cos); rows do not sum to one.
    circle, angles = af.Sphere(2), np.array([0.0, 0.02, 1.0, 2.5])
    y = jnp.asarray(np.stack([np.cos(angles), np.sin(angles)], axis=1))
    for beta in (4.0, 3000.0):
        bias = jnp.full((4, 4), -beta)
        f = af.AttentionField(circle, P=beta * jnp.eye(2), mask=bias, kernel="exp", scale=1)
        expected = np.exp(beta * (np.cos(angles[:, None] - angles[None, :]) - 1)) / 4
        # The logit's rounding is beta times that of a cosine.
        assert np.allclose(f.attention(0.0, y)[0], expected, rtol=4 * beta * 1e-16 + 1e-15, atol=0)
        default = af.AttentionField(circle, P=beta * jnp.eye(2), mask=bias, kernel="exp")
        assert np.allclose(default.attention(0.0, y)[0], expected / np.sqrt(2), rtol=1e-11)


# === reductions


@pytest.mark.parametrize("name", [*SCORES, "alibi", "window"])
def test_span_and_whitening_are_exact_for_scores_with_positions(name, ellipsoid):
    scores = af.QueryKey(Q2, K2, **SCORES[name]) if name in SCORES else P
    mask = {"alibi": ALiBi(N, 0.3), "window": Window(2)}.get(name, "causal")
    f = af.AttentionField(ellipsoid, P=scores, mask=mask)
    y0 = ellipsoid.project(Y)
    rows = f(0.0, y0)
    for how in ("span", "whitening"):
        small = f.reduce(y0, how=how)
        lifted = small.lift(small.field(0.0, small.y0))
        # Span coordinates are those of a Gram matrix plus the root of rounding.
        assert jnp.allclose(lifted, rows, rtol=1e-6 if how == "span" else 1e-11, atol=1e-7), how


def test_orthogonal_changes_of_tokens_are_no_symmetry_of_rotated_scores():
    # P = I is invariant under a rotation S of all tokens; rotary scores with Q = K = I are not.
    S = jnp.linalg.qr(jr.normal(jr.key(5), (3, 3)))[0]
    eye = jnp.eye(3)
    plain, turned = field(P=eye), field(P=af.QueryKey(eye, eye, rates=jnp.array([0.7])))
    assert jnp.allclose(plain(0.0, Y @ S.T), plain(0.0, Y) @ S.T, atol=1e-13)
    assert not jnp.allclose(turned(0.0, Y @ S.T), turned(0.0, Y) @ S.T, atol=1e-3)


def test_recognition_of_states_takes_no_positions_for_symmetries():
    from attnflow.attractors._invariants import Invariants

    example = np.asarray(Y)
    assert Invariants(field(P=jnp.eye(3)), 0.0, example).relabels
    for other in (
        field(P=af.QueryKey(jnp.eye(3), jnp.eye(3), rates=jnp.array([0.7]))),
        field(Window(2, causal=False), jnp.eye(3)),
        field(ALiBi(N, 0.3, causal=False), jnp.eye(3)),
    ):
        assert not Invariants(other, 0.0, example).relabels
    assert Invariants(field("others", jnp.eye(3)), 0.0, example).relabels


# === theorems


def test_verdicts_know_what_masks_of_positions_are():
    y = SPHERE.random_hemisphere(jr.key(4), (N,))
    of = lambda mask: af.theory.verdicts(field(mask, jnp.eye(3)), y)  # noqa: E731
    assert of(Window(N))["4.2"].applies is True  # as wide as the sequence: causal
    assert of(Window(N, causal=False))["3.2"].applies is True
    assert of(Window(3))["4.2"].applies is False
    assert "of its pairs are masked" in of(Window(3))["4.2"].reason
    assert of("others")["3.2"].applies is False
    assert of(ALiBi(N, 0.3))["4.2"].applies is False
    assert "a bias differs within a row" in of(ALiBi(N, 0.3))["4.2"].reason
    assert of(ALiBi(N, 0.0))["4.2"].applies is True  # no slope, no bias


# === ensembles

LANES = {
    "window": lambda: field(Window(3)),
    "others": lambda: field("others"),
    "alibi": lambda: field(ALiBi(N, jnp.array([0.5, 0.25]))),
    "rotary": lambda: field("causal", af.QueryKey(Q2, K2, rates=RATES)),
    "all": lambda: field(NoSelf("causal"), af.QueryKey(Q2, K2, **SCORES["all"])),
}


@pytest.mark.parametrize(
    "name",
    [n if n in ("alibi", "rotary") else pytest.param(n, marks=pytest.mark.slow) for n in LANES],
)
def test_ensembles_are_simulate_with_the_same_bits_in_any_slot(name):
    f = LANES[name]()
    starts = np.array(SPHERE.random(jr.key(7), (5, N)))
    starts[1] = np.nan  # fails alone
    runs = [af.ensemble.run(f, starts, t1=1.0, slots=n, progress=False) for n in (1, 5)]
    assert np.array_equal(runs[0].ys, runs[1].ys, equal_nan=True)
    assert list(runs[0].failed) == [False, True, False, False, False]
    alone = af.ensemble.run(f, starts[3:4], t1=1.0, progress=False)
    assert np.array_equal(alone.ys[0], runs[0].ys[3])
    assert np.allclose(alone.ys[0, -1], af.simulate(f, starts[3], t1=1.0).y1, atol=1e-8)


def test_slopes_may_differ_from_trajectory_to_trajectory():
    slopes = np.array([0.1, 0.9])
    run = af.ensemble.run(
        field(), lambda slope: (field(ALiBi(N, slope)), Y), each=slopes, t1=1.0, progress=False
    )
    for k in range(2):
        alone = af.simulate(field(ALiBi(N, slopes[k])), Y, t1=1.0).y1
        assert np.allclose(run.ys[k, -1], alone, atol=1e-8)


# === files and bad input


@pytest.mark.parametrize("name", LANES)
def test_fields_with_positions_are_saved_and_read(name, tmp_path):
    f = LANES[name]()
    af.save(tmp_path / "f", f)
    assert jnp.array_equal(af.load(tmp_path / "f")(0.0, Y), f(0.0, Y))


@pytest.mark.parametrize(
    ("stated", "mask"),
    [
        ("others", NoSelf()),
        ({"type": "window", "width": 3}, Window(3)),
        ({"type": "alibi", "tokens": N, "slopes": [0.5, 0.25]}, ALiBi(N, jnp.array([0.5, 0.25]))),
        ({"type": "no-self", "mask": {"type": "window", "width": 3}}, NoSelf(Window(3))),
    ],
)
def test_masks_of_positions_are_stated_in_files(stated, mask):
    import msgspec

    table = msgspec.convert({"P": P.tolist(), "mask": stated, "scale": 1.0}, af.spec.AttentionTable)
    assert jnp.array_equal(table.build(SPHERE)(0.0, Y), field(mask)(0.0, Y))
    again = msgspec.json.decode(msgspec.json.encode(table), type=af.spec.AttentionTable)
    assert again == table


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Window(0), "`width` must be a positive integer; got 0"),
        (lambda: Window(3, causal="no"), "`causal` must be True or False"),
        (lambda: NoSelf("all"), "`mask` must be one of"),
        (lambda: field("self"), "`mask` must be one of 'causal', 'others'"),
        (lambda: ALiBi(0, 0.5), "`tokens` must be a positive integer"),
        (lambda: ALiBi(4, jnp.ones((2, 2))), "`slopes` must be a number or have shape"),
        (lambda: ALiBi(4, jnp.inf), "`slopes` must be finite"),
        (lambda: field(ALiBi(4, 0.5))(0.0, Y), "`y` must have 4 tokens"),
        (lambda: af.QueryKey(Q2, K2), "`rates`, `normalise` or `temperatures` must be given"),
        (lambda: af.QueryKey(Q2, K2, rates=jnp.ones(3)), "`rates` must be at most 2"),
        (lambda: af.QueryKey(Q2, K2, rates=1.0), r"`rates` must have shape \(pairs,\)"),
        (lambda: af.QueryKey(Q2, K2[0], rates=RATES), "`Q` and `K` must have shapes"),
        (lambda: af.QueryKey(Q2, K2, normalise="yes"), "`normalise` must be True or False"),
        (
            lambda: field("causal", af.QueryKey(Q2, K2, temperatures=jnp.ones(3)))(0.0, Y),
            "`y` must have 3 tokens",
        ),
        (lambda: length_temperature(P, 0), "`tokens` must be a positive integer"),
        (lambda: length_temperature(P, 4, rows="each"), "`rows` must be one of"),
        (
            lambda: af.theory.verdicts(field("causal", af.QueryKey(Q2, K2, rates=RATES)), Y),
            "rotates or normalises",
        ),
        (
            lambda: af.certify.equilibrium(
                field(NoSelf("causal"), jnp.eye(3)), jnp.broadcast_to(Y[0], (N, 3))
            ),
            "let every token attend to somebody to be certified; token 0",
        ),
        (
            lambda: af.long_run(field("others", jnp.eye(3)), Y),
            "full attention is needed",
        ),
        (
            lambda: af.energy(field(P=af.QueryKey(Q2, K2, rates=RATES)), 0.0, Y),
            "rotates or normalises",
        ),
    ],
)
def test_bad_positions_are_refused_in_one_line(as_user, call, message):
    with pytest.raises(ValueError, match=message) as refused:
        call()
    assert "\n" not in str(refused.value)
