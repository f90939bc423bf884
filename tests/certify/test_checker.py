"""The checker by itself: its enclosures against closed forms, and what it refuses."""

import ast
import copy
import dataclasses
import hashlib
import json
import re
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flint import arb, ctx

import attnflow as af
from attnflow import certify
from attnflow.certify._plain import plain_case, rows_of
from attnflow.checker import balls, equilibria, program
from attnflow.checker.equilibria.rest import show_equilibrium
from attnflow.checker.file import Refused

PROGRAM = Path(program.__file__).parent


@pytest.fixture(autouse=True)
def precision():
    ctx.prec = 128


def flow(field, tokens):
    return equilibria.Flow(plain_case(field, tokens))


def test_it_needs_flint_alone():
    """Its own files by their place beside one another, Python's, and flint: no other import in any of them."""
    files = sorted(PROGRAM.rglob("*.py"))
    assert len(files) > 15
    for path in files:
        depth = len(path.relative_to(PROGRAM).parts)
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.level:
                assert node.level <= depth, path
            elif isinstance(node, ast.Import | ast.ImportFrom):
                named = isinstance(node, ast.ImportFrom)
                roots = {node.module} if named else {a.name for a in node.names}
                tops = {str(root).partition(".")[0] for root in roots}
                assert tops <= {"flint", *sys.stdlib_module_names}, path


@pytest.mark.parametrize("kernel", ["softmax", "exp"])
@pytest.mark.parametrize("mask", [None, "causal", "matrix"])
@pytest.mark.parametrize("ellipsoid", [False, True])
def test_field_and_jacobian_are_those_of_jax(kernel, mask, ellipsoid, getkey):
    A = jax.random.normal(getkey(), (3, 3))
    place = af.Ellipsoid(A @ A.T + jnp.eye(3)) if ellipsoid else af.Sphere(3)
    P, U = jax.random.normal(getkey(), (2, 3, 3)), jax.random.normal(getkey(), (2, 3, 3))
    if mask == "matrix":
        mask = jnp.array([[True, False, True], [True, True, False], [True, True, True]])
    field = af.AttentionField(place, P=P, U=U, mask=mask, kernel=kernel, scale=1.0)
    y = place.random(getkey(), (3,))
    own = flow(field, 3)
    x = own.on(rows_of(y))
    mine = np.array([float(g.mid()) for g in own.field(x)]).reshape(3, 3)
    np.testing.assert_allclose(mine, field(0.0, y), atol=1e-14)
    # Along the ellipsoid; across it the two go on differently.
    D = np.array([[float(a.mid()) for a in row] for row in balls.derivative(own.field, x)])
    v = place.to_tangent(y, jax.random.normal(getkey(), (3, 3)))
    _, along = jax.jvp(lambda y: field(0.0, y), (y,), (v,))
    np.testing.assert_allclose(D @ np.asarray(v).ravel(), np.asarray(along).ravel(), atol=1e-12)


def test_trajectories_are_enclosed():
    """K5: the cosine of two causal tokens is tanh(t/2 + artanh of the first)."""
    field = af.AttentionField(af.Sphere(2), P=jnp.zeros((2, 2)), mask="causal", scale=1.0)
    own = flow(field, 2)
    start = own.on([["1", "0"], ["-3", "4"]])
    end = own.after(start, Fraction(1))
    a, b = own.rows(end)
    exact = (arb("0.5") + (arb("-0.6").atanh())).tanh()
    assert balls.dot(a, b).contains(exact.mid())
    assert float(a[0].rad()) < 1e-14
    # A box that starts wider ends no narrower than the solutions in it part.
    wide = own.after([x + arb(0, 1e-6) for x in start], Fraction(1, 2))
    other = own.after(own.on([["1", "0"], ["-3.000002", "4"]]), Fraction(1, 2))
    assert all(w.contains(o) for w, o in zip(wide, other, strict=True))


def test_the_logarithmic_norm_is_bounded(getkey):
    J = np.asarray(jax.random.normal(getkey(), (4, 4)))
    largest = np.linalg.eigvalsh((J + J.T) / 2)[-1]
    rows = [[arb(x) for x in row] for row in J.tolist()]
    for w in ([1, 1, 1, 1], [1, 2, 3, 4]):
        assert float(balls.growth(rows, [arb(a) for a in w])) >= largest
    rows[1][2] = arb("nan")
    assert not balls.growth(rows, [1] * 4) < 1e300


@pytest.fixture(scope="module")
def contents():
    """A certificate with as many parts as there are: a claim, a basin and a start."""
    root = Path(__file__).parents[2] / "benchmarks/results/counterexamples"
    made = certify.counterexample(af.search.read_counterexample(root / "symmetric-U-full.json"))
    assert made.contents is not None
    return made.contents


@pytest.fixture(scope="module")
def turning():
    """One of a family, with rotations and slices."""
    angles = jnp.linspace(0.0, 2 * jnp.pi, 4)[:-1]
    y = jnp.stack([jnp.cos(angles), jnp.sin(angles)], axis=1)
    U = jnp.array([[1.0, -0.5], [0.5, 1.0]])
    made = certify.equilibrium(af.AttentionField(af.Sphere(2), P=-3 * jnp.eye(2), U=U), y)
    assert made.contents is not None
    return made.contents


def forged(contents, digest=True):
    """As a file, with a digest that fits."""
    contents = {k: v for k, v in contents.items() if k != "digest"}
    body = json.dumps(contents, sort_keys=True).encode()
    return json.dumps({**contents, "digest": hashlib.sha256(body).hexdigest()})


def test_a_digit_anywhere_is_refused(contents):
    """Every digit of every number, one at a time, with the digest as it was."""
    text = json.dumps(contents)
    assert equilibria.check(text)
    places = [m.start() for m in re.finditer(r"\d", text)]
    for k in places[:: max(1, len(places) // 400)]:
        altered = text[:k] + str((int(text[k]) + 1) % 10) + text[k + 1 :]
        with pytest.raises(Refused):
            equilibria.check(altered)


ALTERATIONS = {
    "another P": lambda c: c["case"]["P"][0][0].__setitem__(0, "6.5"),
    "another U": lambda c: c["case"]["U"][0][0].__setitem__(0, "-0.2"),
    "a U that is not symmetric": lambda c: c["case"]["U"][0][0].__setitem__(1, "-0.29999999"),
    "another W": lambda c: c["case"]["W"][0][0].__setitem__(0, "1.0001"),
    "a W that is not positive": lambda c: c["case"]["W"][0][0].__setitem__(0, "-1"),
    "another mask": lambda c: c["case"]["sees"].__setitem__(0, [0]),
    "a mask that counts from the end": lambda c: c["case"]["sees"].__setitem__(0, [0, -1]),
    "another kernel": lambda c: c["case"].__setitem__("softmax", False),
    "tokens beside it": lambda c: c["proof"]["tokens"][0].__setitem__(0, "-0.763"),
    "a wider basin": lambda c: c["proof"]["basin"].__setitem__("reach", "3"),
    "another start": lambda c: c["proof"]["basin"].__setitem__("start", [["-1", "0"], ["0", "1"]]),
    "negative weights": lambda c: c["proof"]["basin"]["weights"].__setitem__(0, "-1"),
    "unstable": lambda c: c["proof"].__setitem__("stable", False),
    "a family": lambda c: c["proof"].__setitem__("family", "moments"),
    "still": lambda c: c["proof"].__setitem__("family", "still"),
    "balanced": lambda c: c["proof"].__setitem__("family", "balanced"),
    "consensus": lambda c: c["proof"].__setitem__("family", "consensus"),
    "causal": lambda c: c["claim"]["facts"].append("causal"),
    "another conclusion": lambda c: c["claim"]["facts"].append("not a line"),
    "another sign": lambda c: c["claim"]["facts"].append("lambda < 0"),
    "U = I": lambda c: c["claim"]["facts"].append("U = I"),
    "no v": lambda c: c["claim"].__setitem__("top", False),
    "another proof": lambda c: c["proof"].__setitem__("kind", "exceptional"),
}


@pytest.mark.parametrize("name", ALTERATIONS)
def test_numbers_that_prove_nothing_are_refused_with_a_digest_that_fits(name, contents):
    other = copy.deepcopy(contents)
    assert equilibria.check(forged(other))
    ALTERATIONS[name](other)
    with pytest.raises(Refused):
        equilibria.check(forged(other))


TURNS = {
    "no turning": lambda c: c["proof"].__setitem__("turning", ["0"]),
    "another turning": lambda c: c["proof"]["turning"].__setitem__(0, "0.1"),
    "no rotation": lambda c: c["proof"].__setitem__("generators", [[["1", "0"], ["0", "1"]]]),
    "one more": lambda c: c["proof"]["generators"].append(c["proof"]["generators"][0]),
    "no family": lambda c: c["proof"].update(family="none", generators=[], slices=[], turning=[]),
    "P that turns otherwise": lambda c: c["case"]["P"][0][0].__setitem__(0, "-3.0001"),
    "moments": lambda c: c["proof"].__setitem__("family", "moments"),
}


@pytest.mark.parametrize("name", TURNS)
def test_families_need_their_rules(name, turning):
    other = copy.deepcopy(turning)
    assert equilibria.check(forged(other))
    TURNS[name](other)
    with pytest.raises(Refused):
        equilibria.check(forged(other))


def test_a_statement_that_says_more_is_refused(contents, tmp_path):
    path = tmp_path / "c.json"
    path.write_text(forged(contents))
    assert certify.check(path).proved
    other = copy.deepcopy(contents)
    other["statement"][-1] = "and everything else."
    path.write_text(forged(other))
    with pytest.raises(ValueError, match="its numbers prove something else"):
        certify.check(path)


def test_a_claim_of_ones_own_has_to_be_given(contents, tmp_path):
    path = tmp_path / "c.json"
    known = af.search.CLAIMS[contents["claim"]["name"]]
    mine = dataclasses.replace(known, name="mine", statement="All is well.")
    other = copy.deepcopy(contents)
    other["claim"] |= {"name": "mine", "says": "All is well."}
    of_mine = certify._certificate._as_checked(mine, other["claim"])
    other["statement"] = equilibria.statement(other, of_mine)
    path.write_text(forged(other))
    with pytest.raises(ValueError, match="a claim that is known here"):
        certify.check(path)
    assert certify.check(path, claim=mine).proved
    for wrong in (
        dataclasses.replace(mine, name="yours"),
        dataclasses.replace(mine, statement="All is lost."),
        dataclasses.replace(mine, domain=af.search.CLAIMS["4.2"].domain),
    ):
        with pytest.raises(ValueError, match="proves nothing"):
            certify.check(path, claim=wrong)


def test_the_checkers_claims_are_the_librarys():
    """Its table is its own; that the two say the same is seen to here."""
    for name, claim in equilibria.CLAIMS.items():
        known = af.search.CLAIMS[name]
        assert (claim.says, claim.source) == (known.statement, known.source)
        assert claim.starts == (equilibria.ALMOST if known.almost else equilibria.EVERY)
    left_out = {name for name, claim in af.search.CLAIMS.items() if name not in equilibria.CLAIMS}
    assert left_out == {
        "3.2, V falls",  # rates
        "4.5, V falls",
        "U that turns",  # changes in time
        "several heads, one v",  # hypotheses or conclusions that are not decided exactly
        "causal, top double",
        "causal, top double, negative",
    }


def test_pairs_are_balanced_only_with_as_many_on_either_side():
    """Twice a and once -a: the mean is not zero."""
    field = af.AttentionField(af.Sphere(2), P=jnp.zeros((2, 2)), U=-jnp.eye(2))
    case = plain_case(field, 3)
    proof = {
        "kind": "equilibrium", "tokens": [["1", "0"], ["1", "0"], ["-1", "0"]], "radius": "1e-20",
        "family": "balanced", "generators": [], "turning": [], "slices": [], "stable": True, "basin": None,
    }  # fmt: skip
    with pytest.raises(ValueError, match="tokens in opposite pairs"):
        show_equilibrium(equilibria.Flow(case), proof)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": "attnflow certificate 9"}'])
def test_what_is_no_certificate_is_refused_in_a_line(text, tmp_path):
    path = tmp_path / "c.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=re.escape(str(path))):
        certify.check(path)


BROKEN = {
    "no end": lambda c: c["case"]["P"][0][0].__setitem__(0, float("inf")),
    "no radius": lambda c: c["proof"].__setitem__("radius", float("inf")),
    "no conclusion": lambda c: c["claim"].__setitem__("facts", ["softmax"]),
    "no tokens": lambda c: c["proof"].pop("tokens"),
    "no rows": lambda c: c["case"].__setitem__("P", 3),
}


@pytest.mark.parametrize("name", BROKEN)
def test_parts_of_another_kind_are_refused_in_a_line(name, contents, tmp_path):
    path = tmp_path / "c.json"
    other = copy.deepcopy(contents)
    BROKEN[name](other)
    path.write_text(forged(other))
    with pytest.raises(ValueError, match=re.escape(str(path))):
        certify.check(path)


@pytest.mark.parametrize("bytes_", [b"\xff\xfe", b"[" * 100_000])
def test_bytes_that_are_no_text_or_too_deep_are_refused_in_a_line(bytes_, tmp_path):
    path = tmp_path / "c.json"
    path.write_bytes(bytes_)
    with pytest.raises(ValueError, match=re.escape(str(path))):
        certify.check(path)


def test_it_runs_by_itself(contents, tmp_path):
    path = tmp_path / "c.json"
    path.write_text(json.dumps(contents))
    run = [sys.executable, "-I", str(PROGRAM), str(path)]
    done = subprocess.run(run, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("holds:\nEq. (6) for 2 tokens")
    path.write_text(json.dumps({**contents, "bits": 127}))
    failed = subprocess.run(run, capture_output=True, text=True, check=False)
    assert failed.returncode != 0
    assert "not shown: an unaltered file" in failed.stderr
