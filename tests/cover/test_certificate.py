"""Certificates of covers: checked by a program of their own, and whatever is wrong in them refused."""

import base64
import json
import subprocess
import sys
import types
import zlib
from collections.abc import Callable
from fractions import Fraction
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from attnflow import certify
from attnflow.checker import cover as checker, program
from attnflow.checker.cover import leaves as checked_leaves
from attnflow.checker.cover.question import Meaning, Question
from attnflow.checker.file import Refused
from attnflow.cover import Circle, _circle, _pairs, leaves, prove, synchronisation
from attnflow.cover._file import contents
from tests.systems._mutants import CHECKER, checker_with

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "benchmarks" / "results" / "certificates" / "covers").glob("*.json"))
SMALL = [p for p in FILES if p.stat().st_size < 60_000 and not p.stem.startswith("count-3")]
GAP = (Fraction(-2, 3), Fraction(-4, 25))


@pytest.fixture(scope="module")
def three():
    """A certificate's data, for three tokens on the whole gap."""
    symbols = synchronisation(3, GAP, progress=False).symbols
    return contents((Fraction(1),) * 3, GAP, symbols)


def symbols_of(made):
    return checker.unpack(made["tree"]).tolist()


def forged(made, symbols=None, **parts):
    """As a file: other symbols or parts, a digest that fits, and the words of the file that is forged."""
    other = {**made, **parts}
    if symbols is not None:
        raw = np.array(symbols, "<u2").tobytes()
        packed = base64.b64encode(zlib.compress(raw)).decode()
        other["tree"] = {"symbols": len(symbols), "packed": packed}
    other["digest"] = checker.digest(other)
    return json.dumps(other)


def test_a_certificate_says_the_theorem_and_is_written_whole(tmp_path):
    result = synchronisation(4, ("-2/3", -0.16), progress=False)
    path = tmp_path / "four.json"
    result.save(path)
    words = certify.check(path).statement
    assert words.startswith("For every beta with -2/3 <= beta <= -0.16 and 4 tokens on the circle")
    assert "almost every start converges to consensus" in words.replace("\n", " ")
    assert program.main([str(path)]) == 0


def test_near_the_degenerate_triangle_the_end_is_left_out(three):
    assert three["statement"][0].startswith("For every beta with -2/3 < beta <= -0.16 and 3 tokens")


def test_weights_are_in_the_words():
    result = synchronisation(3, (-0.6, -0.16), weights=[1, 2, 0.5], progress=False)
    made = contents(result.weights, result.beta, result.symbols)
    assert "3 tokens of the weights 1, 2, 0.5" in " ".join(made["statement"])
    with pytest.raises(Refused):
        checker.check(forged(made, weights=["1", "2", "1"]))


def test_the_checker_needs_python_flint_alone(three, tmp_path):
    path = tmp_path / "c.json"
    path.write_text(json.dumps(three))
    program = ROOT / "attnflow" / "checker"
    code = (
        f"import runpy, sys; runpy.run_path({str(program)!r}, run_name='__main__');"
        "print([m for m in ('attnflow', 'jax', 'numpy') if m in sys.modules])"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, path], capture_output=True, text=True, check=True
    )
    assert run.stdout.splitlines() == ["holds:", *three["statement"], "[]"]


@pytest.mark.parametrize("path", SMALL, ids=lambda p: p.stem)
def test_small_kept_certificates_hold(path):
    assert certify.check(path).proved


@pytest.mark.slow
@pytest.mark.parametrize("path", [p for p in FILES if p not in SMALL], ids=lambda p: p.stem)
def test_large_kept_certificates_hold(path):
    assert certify.check(path).proved


# === every leaf's reason altered


def holds_at_the_middle(s, gaps, beta, n=3):
    """A reason's own statement, in floats, at one point: what is true of a box is true there."""
    says = Meaning(n)
    last = 2 * np.pi - gaps.sum()
    x = np.concatenate([[0], np.cumsum(gaps)])
    d = x[None, :] - x[:, None]
    e = np.exp(beta * np.cos(d))
    k, slope = e * np.sin(d), e * (np.cos(d) - beta * np.sin(d) ** 2)
    if s < says.half:
        return gaps[s - says.larger] > last
    if s == says.half:
        return last > np.pi
    if s == says.mirror:
        return gaps[0] > gaps[-1]
    if s < says.subset:
        arc, sign = divmod(s - says.arc, 2)
        a, b = says.arcs[arc]
        total = k[a : b + 1].sum()
        return total < 0 if sign else total > 0
    if s < says.direction:
        v = np.array([(s - says.subset + 1) >> i & 1 for i in range(n)])
        return sum(slope[i, j] * (v[i] - v[j]) ** 2 for i, j in combinations(range(n), 2)) < 0
    return slope[0, 1] + slope[1, 2] + slope[0, 2] < 0


def test_every_leaf_s_reason_altered_is_refused_unless_it_is_true_too(three):
    problem, question = Circle((Fraction(1),) * 3, GAP), Question(three)
    says, made, refused = Meaning(3), checked_leaves.LeafBoxes(question), 0
    boxes, reasons = leaves(problem, np.array(symbols_of(three), np.uint16))
    (g_lo, g_hi), (b_lo, b_hi) = problem.gaps(boxes), problem.betas(boxes)
    for k, own in enumerate(reasons):
        box = made.leaf(question.orders[0], boxes.at[k].tolist(), boxes.depth[k].tolist())
        seen = 0
        for s in range(3, says.end):
            if s in (own, says.direction):
                continue
            if checked_leaves.kind_of(box, s, [], says, GAP[0]) is None:
                seen += 1
                continue
            middle = (g_lo[k] + g_hi[k]) / 2
            assert holds_at_the_middle(s, middle, float(b_lo[k, 0] + b_hi[k, 0]) / 2)
        assert seen >= 3, f"leaf {k}"
        refused += seen
    assert refused > 8 * len(boxes)


def test_a_reason_altered_in_the_file_is_refused(three):
    says, symbols = Meaning(3), symbols_of(three)
    flags = list(_is_leaf(symbols, says, 3))
    pulled = [k for k, s in enumerate(symbols) if flags[k] and says.arc <= s < says.subset]
    assert pulled
    for k in pulled:
        other = symbols.copy()
        other[k] = ((other[k] - says.arc) ^ 1) + says.arc  # a pull the other way
        with pytest.raises(Refused, match="reason of leaf"):
            checker.check(forged(three, other))


def _is_leaf(symbols, says, n):
    skip = 0
    for s in symbols:
        if skip:
            skip -= 1
            yield False
            continue
        skip = n if s == says.direction else 0
        yield s >= n


def test_a_direction_altered_is_refused(three):
    says, symbols = Meaning(3), symbols_of(three)
    flags = list(_is_leaf(symbols, says, 3))
    places = [k for k, s in enumerate(symbols) if flags[k] and s == says.direction]
    assert places
    for k in places:
        other = symbols.copy()
        other[k + 1 : k + 4] = [64, 64, 64]  # v = 0: nothing grows
        with pytest.raises(Refused, match="reason of leaf"):
            checker.check(forged(three, other))


# === files made to be believed


def deep(three):
    return json.dumps({**three, "tree": [[[[[]]]]]})


FORGED: dict[str, Callable] = {
    "no JSON": lambda t: "{",
    "no ASCII": lambda t: b"\xff" + json.dumps(t).encode(),
    "deep": deep,
    "a key twice": lambda t: json.dumps(t)[:-1] + ', "digest": ""}',
    "another format": lambda t: forged(t, format="attnflow cover 2"),
    "a part more": lambda t: forged(t, more=1),
    "no object": lambda t: "[]",
    "an altered word": lambda t: json.dumps({**t, "statement": ["All is proved."]}),
    "another word": lambda t: forged(t, statement=["All is proved."]),
    "a wider range": lambda t: forged(t, beta=["-0.7", "-0.16"]),
    "a range above": lambda t: forged(t, beta=["-2/3", "5"]),
    "an empty range": lambda t: forged(t, beta=["-0.16", "-0.2"]),
    "no number": lambda t: forged(t, beta=["nan", "-0.16"]),
    "over nothing": lambda t: forged(t, beta=["-2/0", "-0.16"]),
    "a huge number": lambda t: forged(t, beta=["-" + "9" * 400, "-0.16"]),
    "more tokens": lambda t: forged(t, weights=["1"] * 4),
    "too many tokens": lambda t: forged(t, weights=["1"] * 40),
    "one token": lambda t: forged(t, weights=["1"]),
    "a weight of zero": lambda t: forged(t, weights=["1", "1", "0"]),
    "a weight below zero": lambda t: forged(t, weights=["1", "1", "-1"]),
    "too many orders": lambda t: forged(t, weights=[str(k) for k in range(1, 10)]),
    "numbers that are none": lambda t: forged(t, weights=[1, 1, 1]),
    "a tree cut short": lambda t: forged(t, symbols_of(t)[:-1]),
    "a tree too long": lambda t: forged(t, [*symbols_of(t), 5]),
    "an unknown reason": lambda t: forged(t, [*symbols_of(t)[:-1], 60_000]),
    "not decided": lambda t: forged(t, [*symbols_of(t)[:-1], 65_535]),
    "halved for ever": lambda t: forged(t, [0] * 100_000),
    "one leaf": lambda t: forged(t, [Meaning(3).half]),
    "no tree": lambda t: forged(t, tree={"symbols": 0, "packed": ""}),
    "a bomb": lambda t: forged(
        t, tree={"symbols": 10, "packed": base64.b64encode(zlib.compress(bytes(10**7))).decode()}
    ),
    "more than it says": lambda t: forged(
        t, tree={**t["tree"], "symbols": t["tree"]["symbols"] - 1}
    ),
    "too many symbols": lambda t: forged(t, tree={**t["tree"], "symbols": 10**8}),
    "no base 64": lambda t: forged(t, tree={**t["tree"], "packed": "?"}),
    "no zlib": lambda t: forged(t, tree={**t["tree"], "packed": "AAAA"}),
    "an axis for another": lambda t: forged(t, [2 - s if s < 3 else s for s in symbols_of(t)]),
    "too large": lambda t: " " * (2**24 + 1),
}


@pytest.mark.parametrize("kind", FORGED)
def test_forged_files_are_refused_in_one_line(kind, three, tmp_path):
    data = FORGED[kind](three)
    with pytest.raises(Refused) as error:
        checker.check(data)
    assert "\n" not in str(error.value)
    path = tmp_path / "forged.json"
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    assert program.main([str(path)]) == 1


def test_every_symbol_altered_is_seen(three):
    """By the digest, as it is; and where that is made to fit, what still holds is a proof of the same words."""
    symbols = symbols_of(three)
    for k in range(len(symbols)):
        other = [*symbols[:k], (symbols[k] + 1) % 3 if symbols[k] < 3 else 4, *symbols[k + 1 :]]
        if other == symbols:
            continue
        raw = base64.b64encode(zlib.compress(np.array(other, "<u2").tobytes())).decode()
        altered = {**three, "tree": {"symbols": len(other), "packed": raw}}
        with pytest.raises(Refused, match="unaltered"):
            checker.check(json.dumps(altered))


# === a search that is wrong on purpose

ONES3, ONES4 = (Fraction(1),) * 3, (Fraction(1),) * 4
NEAR, BELOW = GAP, (Fraction(-9, 10), Fraction(-7, 10))
DEEP = (Fraction(-22, 10), Fraction(-1, 10))
MUTANTS = {
    "any pull will do": (_circle, "least > tolerance", "least > tolerance - 0.4", ONES4, NEAR),
    "signs of pulls changed": (
        _circle,
        "[least > tolerance, most < -tolerance]",
        "[most < -tolerance, least > tolerance]",
        ONES4,
        NEAR,
    ),
    "pulls behind left out": (_circle, "np.vstack([ahead, behind])", "np.vstack([ahead, 0 * behind])", ONES4, NEAR),
    "a set that shrinks": (
        _circle, "@ self._sums.parted < -tolerance[k]",
        "@ self._sums.parted > tolerance[k]", ONES4, NEAR,
    ),
    "a set that hardly shrinks": (
        _circle, "@ self._sums.parted < -tolerance[k]",
        "@ self._sums.parted < 0.3", ONES4, NEAR,
    ),
    "a direction that hardly shrinks": (
        _circle, "yes = grows < -tolerance[k, 0] * (2 * _STEPS) ** 2",
        "yes = grows < 3000.0", ONES4, NEAR,
    ),
    "a direction of nothing": (
        _circle, "return (v[yes] + _STEPS)",
        "return (0 * v[yes] + _STEPS)", (Fraction(1),) * 5, NEAR,
    ),
    "half a circle too early": (_circle, "half = last.lo > PI[1]", "half = last.lo > 2.2", ONES4, NEAR),
    "the largest gap by its other end": (
        _circle, "larger = g_lo > last.hi[:, None]",
        "larger = g_hi > last.lo[:, None]", ONES4, NEAR,
    ),
    "mirrored by the other end": (_circle, "(g_lo[:, 0] > g_hi[:, -1])", "(g_hi[:, 0] > g_lo[:, -1])", ONES4, NEAR),
    "mirrored where orders differ": (
        _circle, "mirror = same &",
        "mirror =", (Fraction(1), Fraction(1), Fraction(2), Fraction(3)), NEAR,
    ),
    "sides of another length": (_circle, "SIDE = 3.25", "SIDE = 3.0", ONES4, NEAR),
    "half of beta": (_circle, "(boxes.at[:, -1:] + 1)", "(boxes.at[:, -1:] + 0)", ONES4, DEEP),
    "groups anywhere": (_circle, "near & (third.hi < -0.2)", "(third.hi < 9e9)", ONES4, NEAR),
    "groups where it bends the other way": (_circle, "(third.hi < -0.2)", "(third.hi < 2.0)", ONES3, NEAR),
    "groups below -2/3": (_circle, "self.beta[0] < Fraction(-2, 3)", "self.beta[0] < Fraction(-2)", ONES3, BELOW),
    "slopes by their lower ends": (
        _pairs, "np.maximum(one[3], two[3]) + bend",
        "np.minimum(one[2], two[2]) + bend", ONES4, NEAR,
    ),
    "no maximum of the pull": (
        _pairs, "k_hi = np.where(above, most,",
        "k_hi = np.where(above & False, most,", ONES4, DEEP,
    ),
    "no minimum of the pull": (
        _pairs, "k_lo = np.where(below, -most,",
        "k_lo = np.where(below & False, -most,", ONES4, NEAR,
    ),
    "one end of beta alone": (
        _pairs, "for beta in (beta_lo, beta_hi):",
        "for beta in (beta_hi, beta_hi):", ONES4, DEEP,
    ),
    "a pull without its exponential": (
        _pairs, "k0, k1 = e0 * s0, e1 * s1",
        "k0, k1 = s0 + 0.3, s1 + 0.3", ONES4, NEAR,
    ),
}  # fmt: skip


def mutant(module, old, new):
    """`Circle` of a search whose text has been changed in one place."""
    texts = {m: Path(m.__file__).read_text() for m in (_pairs, _circle)}
    assert texts[module].count(old) == 1, old
    texts[module] = texts[module].replace(old, new)
    made = {}
    for m in (_pairs, _circle):
        other = types.ModuleType(m.__name__)
        other.__package__ = "attnflow.cover"
        other.__file__ = m.__file__
        sys.modules[m.__name__], before = other, sys.modules[m.__name__]
        try:
            if m is _circle:
                text = texts[m].replace(
                    "from ._pairs import TWO_PI_UP, Ranges, ranges, unit",
                    "TWO_PI_UP, Ranges, ranges, unit = PAIRS",
                )
                p = made[_pairs]
                other.__dict__["PAIRS"] = p.TWO_PI_UP, p.Ranges, p.ranges, p.unit
            else:
                text = texts[m]
            exec(compile(text, f"mutant of {m.__name__}", "exec"), other.__dict__)
        finally:
            sys.modules[m.__name__] = before
        made[m] = other
    return made[_circle].Circle


@pytest.mark.parametrize("kind", MUTANTS)
def test_a_search_that_is_wrong_on_purpose_is_found_out(kind):
    module, old, new, weights, beta = MUTANTS[kind]
    result = prove(mutant(module, old, new)(weights, beta), boxes=20_000, progress=False)
    assert result.complete, "the mutant proves nothing"
    with pytest.raises(Refused):
        contents(weights, beta, result.symbols)


# === a checker with one of its rules taken out

SAYS = Meaning(3)
RULES = {
    "larger": ("return bool(self.gap(m)[0] > self.last()[1])", [SAYS.larger]),
    "half": ("return bool(self.last()[0] > arb.pi())", [SAYS.half]),
    "mirror": (
        "return self.order == self.order[::-1] and self.lo[0] > self.hi[-1]",
        [SAYS.mirror],
    ),
    "pulled": ("return bool(total > 0 if sign > 0 else total < 0)", [SAYS.arc]),
    "a set grows": ("return bool(total < 0)", [SAYS.subset]),
    "a direction grows": ("return bool(total < 0)", [SAYS.direction, 64, 0, 0]),
    "three groups": (
        "return self._concave(hull.lower(), hull.upper(), 6)",
        "groups",
    ),
    "the end": ('demand(k == size, "a tree that ends where the file does")', "more"),
    "the words": (
        'demand(c["statement"] == words, "what it says in words: its tree proves something else")',
        "words",
    ),
}


@pytest.mark.parametrize("rule", RULES)
def test_without_a_rule_a_forged_file_gets_through(rule, three):
    old, symbols = RULES[rule]
    file = "cover/__init__.py" if rule == "the words" else "cover/leaves.py"
    text = (CHECKER / file).read_text()
    assert text.count(old) == 1
    new = "return True" if old.startswith("return") else "pass"
    other = checker_with(file, text.replace(old, new), "cover")
    parts = {}
    if symbols == "more":
        symbols = [*symbols_of(three), 5]
    elif symbols == "groups":  # wherever angles are between 1.2 and 3.1
        wrong = mutant(_circle, "(third.hi < -0.2)", "(third.hi < 9e9)")(ONES3, NEAR)
        symbols = prove(wrong, progress=False).symbols.tolist()
    elif symbols == "words":
        symbols, parts = None, {"statement": ["All is proved."]}
    data = json.loads(forged(three, symbols, **parts))
    with pytest.raises(Refused):
        checker.check(json.dumps(data))
    if "statement" not in parts:
        data["statement"] = other.prove(data)
        data["digest"] = other.digest(data)
    other.check(json.dumps(data))
