"""Certificates of counts of equilibria: shown again by another program, and whatever is wrong in them refused."""

import base64
import dataclasses
import json
import subprocess
import sys
import time
import zlib
from fractions import Fraction
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flint import arb, fmpq

import attnflow as af
from attnflow import certify
from attnflow.checker import census as checker, program
from attnflow.checker.census import zeros
from attnflow.checker.census.causal import CausalPull
from attnflow.checker.census.plane import Plane
from attnflow.checker.file import Refused
from attnflow.cover import (
    Interval,
    _classes,
    _planar,
    census,
    census_range,
    prove,
)
from attnflow.cover._census_file import full_contents

PROGRAM = Path(program.__file__).parent
P = np.diag([3.0, -4.5])


@pytest.fixture(scope="module")
def two():
    """A certificate's data: two tokens, eigenvalues of either sign."""
    made = census(P, P, 2, progress=False)
    rows = [(*piece.p, *piece.q, piece.symbols) for piece in made.pieces]
    return full_contents(rows, 1, 2)


def symbols_of(made, k=0):
    return checker.unpack(made["boxes"][k]).tolist()


def forged(made, symbols=None, box=(), **parts):
    """As a file: another tree or other parts, and a digest that fits."""
    other = {**made, **parts}
    one = {**made["boxes"][0], **dict(box)}
    if symbols is not None:
        packed = zlib.compress(np.array(symbols, "<u2").tobytes())
        one |= {"symbols": len(symbols), "packed": base64.b64encode(packed).decode()}
    if "boxes" not in parts and "mask" not in parts:
        other["boxes"] = [one]
    other["digest"] = checker.digest(other)
    return json.dumps(other)


def test_it_says_the_theorem_and_is_checked_by_the_command_and_by_itself(tmp_path):
    path = tmp_path / "c.json"
    census(P, 2 * P, 2, progress=False).save(path)
    words = certify.check(path).statement.replace("\n", " ")
    assert "eigenvalues p = 3 and q = -9/2, U = cP, c > 0, and 2 tokens" in words
    assert (
        "7 equilibria up to permutations of tokens and sign changes of the axes of P, of which 3"
        in words
    )
    code = (
        f"import runpy, sys; runpy.run_path({str(PROGRAM)!r}, run_name='__main__');"
        "print([m for m in ('attnflow', 'jax', 'numpy') if m in sys.modules])"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, path], capture_output=True, text=True, check=True
    )
    assert run.stdout.splitlines()[0] == "holds:"
    assert run.stdout.splitlines()[-1] == "[]"


def test_a_reason_altered_is_refused_or_proves_the_same(two):
    symbols, n = symbols_of(two), 2
    refused = 0
    for k in [k for k, s in enumerate(symbols) if s >= n][::20]:
        for other in {n, n + 1, n + 2} - {symbols[k]}:
            changed = [*symbols[:k], other, *symbols[k + 1 :]]
            try:
                assert checker.check(forged(two, changed))[1] == two["statement"]
            except Refused:
                refused += 1
    assert refused > 12


def test_a_zero_that_is_left_out_is_missed(two):
    """Each leaf with a zero said to have none: what is refused is nearly all; the rest has its zero beside the leaf."""
    symbols = symbols_of(two)
    places = [k for k, s in enumerate(symbols) if s == 4]
    refused = 0
    for k in places[::3]:
        try:
            words = checker.check(forged(two, [*symbols[:k], 3, *symbols[k + 1 :]]))[1]
            assert words == two["statement"]
        except Refused:
            refused += 1
    assert refused >= 3


FORGED = {
    "no JSON": lambda t: "{",
    "no ASCII": lambda t: b"\xff" + json.dumps(t).encode(),
    "a key twice": lambda t: json.dumps(t)[:-1] + ', "digest": ""}',
    "another format": lambda t: forged(t, format="attnflow census 2"),
    "another mask": lambda t: forged(t, mask="window"),
    "a part more": lambda t: forged(t, more=1),
    "an altered word": lambda t: json.dumps({**t, "statement": ["All is proved."]}),
    "another word": lambda t: forged(t, statement=["All is proved."]),
    "one stable more": lambda t: forged(
        t, statement=[s.replace("which 3", "which 4") for s in t["statement"]]
    ),
    "another sign": lambda t: forged(t, sign=-1),
    "a sign of zero": lambda t: forged(t, sign=0),
    "more tokens": lambda t: forged(t, tokens=3),
    "too many tokens": lambda t: forged(t, tokens=5),
    "tokens that are none": lambda t: forged(t, tokens=True),
    "another p": lambda t: forged(t, box={"p": ["2", "2"]}),
    "a wider range": lambda t: forged(t, box={"p": ["2", "3"]}),
    "an empty range": lambda t: forged(t, box={"p": ["3", "2"]}),
    "too large": lambda t: forged(t, box={"p": ["3", "300"]}),
    "a multiple of I": lambda t: forged(t, box={"p": ["-4.5", "-4.5"]}),
    "no number": lambda t: forged(t, box={"p": ["nan", "3"]}),
    "over nothing": lambda t: forged(t, box={"p": ["3/0", "3"]}),
    "a tree cut short": lambda t: forged(t, symbols_of(t)[:-1]),
    "a tree too long": lambda t: forged(t, [*symbols_of(t), 3]),
    "not decided": lambda t: forged(t, [*symbols_of(t)[:-1], 65_535]),
    "halved for ever": lambda t: forged(t, [0] * 100_000),
    "one leaf without zeros": lambda t: forged(t, [3]),
    "one leaf out of order": lambda t: forged(t, [2]),
    "one leaf with one zero": lambda t: forged(t, [4]),
    "no boxes": lambda t: forged(t, boxes=[]),
    "a gap between boxes": lambda t: forged(
        t, boxes=[*t["boxes"], {**t["boxes"][0], "p": ["3.0000001", "3.0000001"]}]
    ),
    "a bomb": lambda t: forged(
        t,
        box={"symbols": 9, "packed": base64.b64encode(zlib.compress(bytes(10**7))).decode()},
    ),
    "too many symbols": lambda t: forged(t, box={"symbols": 10**8}),
    "no base 64": lambda t: forged(t, box={"packed": "?"}),
}


@pytest.mark.parametrize("kind", FORGED)
def test_forged_files_are_refused_in_one_line(kind, two, tmp_path):
    path = tmp_path / "c.json"
    data = FORGED[kind](two)
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    assert program.main([str(path)]) == 1
    with pytest.raises(Refused) as error:
        checker.check(path.read_bytes())
    assert "\n" not in str(error.value)


def test_what_is_not_a_number_shows_nothing():
    nan, box = arb("nan"), [arb(1, 0.1), arb(2, 0.1)]
    field = Plane(2, nan, arb(1))
    assert not zeros._without(field, box, box, 3)
    with pytest.raises(Refused):
        zeros._alone(field, box)
    with pytest.raises(Refused):
        zeros.is_stable(field, box, 1)
    with pytest.raises(Refused):
        zeros._same([nan, nan], (box, box))
    token = CausalPull([["1", "0"], ["0", "1"]], [["1", "0"], ["0", "1"]])
    with pytest.raises(Refused):
        token.rests([(nan, nan)])
    with pytest.raises(Refused):
        token.rests([])  # U = I: a token by itself rests anywhere


# === a search that is wrong on purpose


def swapped(sums):
    def wrong(self, x, *, slopes=True):
        return sums(dataclasses.replace(self, p=self.q, q=self.p), x, slopes=slopes)

    return wrong


def without_slopes_between(sums):
    def wrong(self, x, *, slopes=True):
        made = sums(self, x, slopes=slopes)
        zero = Interval.of(np.zeros(len(x.lo)))
        J = [[a if i == j else zero for j, a in enumerate(row)] for i, row in enumerate(made.J)]
        return made._replace(J=J)

    return wrong


def narrow(sums):
    """Fields of the middle alone: no enclosures."""

    def wrong(self, x, *, slopes=True):
        return sums(self, Interval(x.mid, x.mid), slopes=slopes)

    return wrong


def always_one(krawczyk):
    def wrong(self, lo, hi, by=_planar.WIDER):
        none, one, K = krawczyk(self, lo, hi, by)
        return none, one | True, K

    return wrong


def always_none(krawczyk):
    def wrong(self, lo, hi, by=_planar.WIDER):
        none, one, K = krawczyk(self, lo, hi, by)
        return none | (hi[:, 0] < 0.5), one, K

    return wrong


MUTANTS = {
    "eigenvalues swapped": ("sums", swapped),
    "slopes between tokens left out": ("sums", without_slopes_between),
    "no enclosures": ("sums", narrow),
    "every box has one zero": ("krawczyk", always_one),
    "some boxes have none": ("krawczyk", always_none),
}


@pytest.mark.parametrize("kind", MUTANTS)
def test_a_search_that_is_wrong_on_purpose_is_found_out(kind, monkeypatch, two):
    name, wrong = MUTANTS[kind]
    monkeypatch.setattr(_planar.Planar, name, wrong(getattr(_planar.Planar, name)))
    cover = prove(_planar.Planar(2, (3.0, 3.0), (-4.5, -4.5)), boxes=20_000, progress=False)
    if cover.symbols is None:
        return  # it comes to no end, and so proves nothing
    rows = [(Fraction(3), Fraction(3), Fraction(-9, 2), Fraction(-9, 2), cover.symbols)]
    try:
        words = full_contents(rows, 1, 2)["statement"]
    except ValueError:
        return
    assert words == two["statement"]


RULES = {
    "boxes without zeros": ("_without", lambda *a: True, "one leaf without zeros"),
    "the rectangle is filled": ("_fill", lambda *a: True, "a gap between boxes"),
}


@pytest.mark.parametrize("rule", RULES)
def test_without_a_rule_a_forged_file_gets_further(rule, two, monkeypatch):
    """So that the refusals above are those of the rules."""
    name, off, kind = RULES[rule]
    monkeypatch.setattr(zeros, name, off)
    data = json.loads(FORGED[kind](two))
    assert checker.prove(data) != two["statement"]


# === ranges


def test_a_range_of_eigenvalues_is_one_count_and_its_certificate_says_so(tmp_path):
    made = census_range((0.5, 0.5005), (-1.5005, -1.5), 2, progress=False, boxes=60_000)
    assert (made.equilibria, made.stable) == (6, 3)
    made.save(tmp_path / "c.json")
    words = certify.check(tmp_path / "c.json").statement.replace("\n", " ")
    assert "p from 1/2 to 1001/2000 and q from -3001/2000 to -3/2" in words


def test_across_a_bifurcation_nothing_is_proved():
    """5 equilibria at (0.3, -0.5) and 6 at (0.5, -0.5): one count for both is false."""
    assert census(np.diag([0.3, -0.5]), np.diag([0.3, -0.5]), 2, progress=False).equilibria == 5
    assert census(np.diag([0.5, -0.5]), np.diag([0.5, -0.5]), 2, progress=False).equilibria == 6
    made = census_range((0.3, 0.5), (-0.5, -0.5), 2, boxes=15_000, progress=False)
    assert made.equilibria is None
    with pytest.raises(ValueError, match="no certificate to save"):
        made.save("nowhere.json")


def test_two_zeros_that_may_be_one_are_not_told_apart():
    alone = Interval(np.array([[0.0, 1.0], [0.0, 1.0]]), np.array([[0.4, 1.4], [0.4, 1.4]]))
    apart = Interval(np.array([[0.1, 1.1], [0.5, 1.1]]), np.array([[0.2, 1.2], [0.6, 1.2]]))
    assert _classes.first_of_each(alone, apart) == [0, 1]
    one = Interval(np.array([[0.1, 1.1], [0.15, 1.1]]), np.array([[0.2, 1.2], [0.25, 1.2]]))
    assert _classes.first_of_each(alone, one) == [0]
    small = Interval(np.array([[0.12, 1.12]] * 2), np.array([[0.18, 1.18]] * 2))
    assert _classes.first_of_each(small, one) is None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (((1, 2), (1.5, 3), 2), "`p` and `q` must be apart"),
        (((2, 1), (-1, 0), 2), "`p` must be a range"),
        (((1, 20), (-1, 0), 2), "`p` must be a range lo <= hi within 12"),
        (((1, 2), "x", 2), "`q` must be"),
        (((1, 2), (-1, 0), 9), "`tokens` must"),
    ],
)
def test_bad_ranges_are_refused(arguments, words, as_user):
    with pytest.raises(ValueError, match=words):
        census_range(*arguments)


def test_a_bad_sign_is_refused(as_user):
    with pytest.raises(ValueError, match="`sign` must be 1 or -1"):
        census_range((1, 2), (-1, 0), 2, sign=0)


# === causal attention


def grid_count(P, U, tokens, points=4_001):
    """By changes of sign on a grid around the circle, token after token."""
    x = np.linspace(0.1, 0.1 + 2 * np.pi, points)
    y, t = np.stack([np.cos(x), np.sin(x)]), np.stack([-np.sin(x), np.cos(x)])
    branches = [[]]
    for _ in range(tokens):
        longer = []
        for before in branches:
            f = np.exp(np.einsum("ax,ab,bx->x", y, P, y)) * np.einsum("ax,ab,bx->x", t, U, y)
            for z in before:
                f = f + np.exp(y.T @ P @ z) * (t.T @ U @ z)
            k = np.flatnonzero(f[:-1] * f[1:] < 0)
            zero = x[k] - f[k] * (x[k + 1] - x[k]) / (f[k + 1] - f[k])
            longer += [[*before, np.array([np.cos(a), np.sin(a)])] for a in zero]
        branches = longer
    return len(branches)


CAUSAL = {
    "one of each sign": ([[1.0, 0.0], [0.0, 2.0]], [[1.0, 0.0], [0.0, -0.5]]),
    "not symmetric": ([[-1.5, 0.5], [1.0, 0.7]], [[1.0, 0.2], [0.1, 0.3]]),
    "negative": ([[1.0, -0.4], [0.3, 1.0]], [[-1.0, 0.2], [0.1, -0.3]]),
}


@pytest.mark.parametrize("kind", CAUSAL)
def test_causal_equilibria_are_all_there_and_their_stability_is_the_flow_s(kind, tmp_path):
    P, U = map(np.array, CAUSAL[kind])
    made = census(P, U, 3, mask="causal")
    assert made.equilibria == grid_count(P, U, 3)
    field = af.AttentionField(af.Sphere(2), P=P, U=U, mask="causal", scale=1.0)

    @jax.jit
    @jax.vmap
    def speeds(x):
        def along(x):
            y = jnp.stack([jnp.cos(x), jnp.sin(x)], axis=1)
            t = jnp.stack([-jnp.sin(x), jnp.cos(x)], axis=1)
            return jnp.sum(t * field(0.0, y), axis=1)

        return along(x), jnp.diagonal(jax.jacfwd(along)(x))

    rest, slopes = speeds(jnp.asarray(made.angles))
    assert np.abs(rest).max() < 1e-12
    np.testing.assert_array_equal(np.all(np.asarray(slopes) < 0, axis=1), made.is_stable)
    made.save(tmp_path / "c.json")
    assert f"has {made.equilibria} equilibria" in certify.check(
        tmp_path / "c.json"
    ).statement.replace("\n", " ")


def test_where_a_token_turns_or_rests_anywhere_nothing_is_said(tmp_path):
    turns = census(np.eye(2), np.array([[0.0, 1.0], [-1.0, 0.0]]), 2, mask="causal")
    assert turns.equilibria is None
    assert "turns for ever" in turns.why
    anywhere = census(np.eye(2), np.eye(2), 2, mask="causal")
    assert anywhere.equilibria is None
    double = census(np.zeros((2, 2)), np.array([[1.0, 1.0], [0.0, 1.0]]), 1, mask="causal")
    assert double.equilibria is None  # one double zero: it attracts on one side
    with pytest.raises(ValueError, match="no certificate to save"):
        turns.save(tmp_path / "c.json")


def test_a_zero_of_high_order_ends_the_count_undecided():
    # Token 2 beside token 1 at the second axis is pulled as the fifth power of their angle.
    began = time.process_time()
    made = census(np.eye(2), np.diag([2.0, 1.0]), 2, mask="causal")
    assert made.equilibria is None
    assert "a derivative that is not zero" in str(made)
    assert time.process_time() - began < 20


def test_a_causal_certificate_altered_is_refused(tmp_path):
    path = tmp_path / "c.json"
    census(*map(np.array, CAUSAL["not symmetric"]), 2, mask="causal").save(path)
    made = json.loads(path.read_text())
    for parts in (
        {"U": [["1", "0"], ["0", "1"]]},
        {"U": [["1", "0"], ["0", "-3"]]},
        {"tokens": 3},
        {"P": [["x", "0"], ["0", "1"]]},
    ):
        other = {**made, **parts}
        other["digest"] = checker.digest(other)
        with pytest.raises(Refused):
            checker.check(json.dumps(other))


@pytest.mark.parametrize(
    ("P", "U", "mask", "words"),
    [
        (np.eye(2), np.eye(2), "window", "`mask` must be 'full' or 'causal'"),
        (np.eye(3), np.eye(3), "causal", "`P` must be a finite 2 by 2"),
        (50 * np.eye(2), np.eye(2), "causal", "`P` must have entries of size at most"),
        (np.eye(2), np.full((2, 2), np.nan), "causal", "`U` must be"),
    ],
)
def test_bad_causal_questions_are_refused(P, U, mask, words, as_user):
    with pytest.raises(ValueError, match=words):
        census(P, U, 2, mask=mask)


def test_the_enclosure_of_the_field_holds_it():
    """Over boxes, values at points inside: F and its derivative by the checker and by JAX."""
    rng = np.random.default_rng(0)

    def F(x, p, q):
        y = jnp.stack([jnp.cos(x), jnp.sin(x)], axis=1)
        t = jnp.stack([-jnp.sin(x), jnp.cos(x)], axis=1)
        D = jnp.array([p, q])
        return jnp.sum(jnp.exp((y * D[None]) @ y.T) * ((t * D[None]) @ y.T), axis=1)

    for _ in range(20):
        x, p, q = rng.uniform(0, 6, 3), *rng.uniform(-2, 2, 2)

        def ball(a, r=0.0):
            exact = Fraction(float(a)).limit_denominator(10**15)
            return arb(fmpq(exact.numerator, exact.denominator)) + arb(0, r)

        plane = Plane(3, ball(p, 1e-9), ball(q, 1e-9))
        values, slopes = plane.slopes([ball(a, 1e-2) for a in x])
        inside = x + rng.uniform(-9e-3, 9e-3, 3)
        assert all(a.contains(float(b)) for a, b in zip(values, F(inside, p, q), strict=True))
        J = jax.jacfwd(F)(inside, p, q)
        assert all(
            a.contains(float(b))
            for row, r in zip(slopes, J, strict=True)
            for a, b in zip(row, r, strict=True)
        )
