"""Files made to be believed: all refused; and a checker with any one of its rules taken out, found out by them."""

import ast
import copy
import hashlib
import json
import time
from pathlib import Path

import pytest
from flint import arb as ball

from attnflow import certify
from attnflow.checker import equilibria, file, program
from attnflow.checker.file import Refused
from tests.systems._mutants import CHECKER, checker_with
from tests.test_cli import refused

KEPT = Path(__file__).parents[2] / "benchmarks/results/certificates"
FOLLOWED = {"4.2-as-printed", "several-heads-own-U", "several-heads-own-positive-U"}
I2, Z2 = [["1", "0"], ["0", "1"]], [["0", "0"], ["0", "0"]]
TURN = [["0", "1"], ["-1", "0"]]


def kept(name):
    return json.loads((KEPT / f"{name}.json").read_text())


def full(n):
    return [list(range(n))] * n


def causal(n):
    return [list(range(i + 1)) for i in range(n)]


def made(P, U, tokens, sees, claim=None, W=I2, softmax=True, facts=None, v=None, **proof):
    """Contents by hand: a field, an equilibrium that is known exactly unless told otherwise, a claim."""
    known = equilibria.CLAIMS.get(claim)
    dim = len(W)
    said = {"facts": facts or [], "top": False, "v": v or ["0"] * dim}
    if claim is not None:
        assert known is not None
        listed = [f for f in known.facts if f not in equilibria.UNSAID]
        listed = [equilibria.AS_WRITTEN.get(f, f) for f in listed]
        said |= {"facts": facts or listed, "top": known.top}
        said |= {"name": claim, "says": known.says, "source": known.source}
    base = {
        "kind": "equilibrium", "tokens": tokens, "radius": "1e-20", "family": "none", "generators": [],
        "turning": [], "slices": [], "stable": True, "basin": None,
    }  # fmt: skip
    return {
        "format": equilibria.FORMAT,
        "bits": 128,
        "case": {"P": P, "U": U, "W": [W], "sees": sees, "softmax": softmax},
        "proof": base | proof,
        "claim": said,
        "made by": {"attnflow": "0", "python-flint": "0"},
    }


def sealed(contents, checker=equilibria):
    """As a file: the words that the checker would write, unless there are some, and a digest that fits."""
    if isinstance(contents, bytes):
        return contents
    contents = {k: v for k, v in contents.items() if k != "digest"}
    if "statement" not in contents:
        try:
            claim = checker.CLAIMS.get(contents["claim"].get("name"))
            contents["statement"] = checker.statement(contents, claim)
        except Exception:  # it cannot be put in words: it is refused for more than these
            contents["statement"] = []
    body = json.dumps(contents, sort_keys=True).encode()
    return json.dumps({**contents, "digest": hashlib.sha256(body).hexdigest()})


def altered(name, *path, to=None, change=None, words=False):
    """A kept certificate with one part put in place of another."""

    def build():
        c = kept(name)
        if not words:
            del c["statement"]
        part = c
        for step in path[:-1]:
            part = part[step]
        if change is not None:
            change(part[path[-1]])
        elif to is None:
            del part[path[-1]]
        else:
            part[path[-1]] = to
        return c

    return build


PAIR = [["1", "0"], ["-1", "0"]]
CLOSE = [["1", "0"], ["0.99", "0.1"]]
TRIANGLE = {"family": "turns", "generators": [TURN], "turning": ["0"]}


def pair(P="1", **options):
    """Two opposite tokens: at rest in full attention, U = I, for P a multiple of I."""
    M = [[P, "0"], ["0", P]]
    given = {
        "family": "moments", "generators": [TURN], "turning": ["0"], "slices": [["0", "1", "0", "-1"]],
    } | options  # fmt: skip
    return made([M], [I2], PAIR, full(2), **given)


def triangle(**case):
    """The kept three tokens that never meet, in another field."""
    c = kept("no-hemisphere")
    del c["statement"]
    c["case"] |= case
    return c


def still(claim="heads that cancel", P=(I2, I2), U=(I2, [["-1", "0"], ["0", "-1"]]), **options):
    given = {"family": "still"} | options
    tokens = given.pop("tokens", [["1", "0"], ["0", "1"]])
    sees = given.pop("sees", full(len(tokens)))
    return made(list(P), list(U), tokens, sees, claim, **given)


def cap(name="several-heads-common-v", **changes):
    c = kept(name)
    del c["statement"]
    for path, value in changes.items():
        part = c
        *steps, last = path.split("__")
        for step in steps:
            part = part[step]
        part[last] = value
    return c


def arc(claim="4.2 as printed", thirds=None, P=(Z2,), **options):
    """Two neighbours that are beyond the arc's ends already: phi = -0.1 and 0.75, theta_2 = 0.6435."""
    thirds = thirds or [["-0.995", "0.0998"], ["-0.7317", "-0.6816"]]
    given = {"kind": "exceptional", "tokens": [["1", "0"], ["0.8", "0.6"]], "thirds": thirds}
    c = made(
        list(P), [I2] * len(P), [], causal(3), claim, **{k: v for k, v in options.items() if k in ("W", "facts")}
    )  # fmt: skip
    c["proof"] = given | {"times": ["0", "0"]}
    for name in ("sees", "U"):
        if name in options:
            c["case"][name] = options[name]
    return c


def renamed(contents, claim, facts=None):
    """The same numbers, said to refute another claim."""
    c = copy.deepcopy(contents)
    c.pop("statement", None)
    known = equilibria.CLAIMS[claim]
    listed = [equilibria.AS_WRITTEN.get(f, f) for f in known.facts if f not in equilibria.UNSAID]
    c["claim"] |= {"facts": facts or listed, "top": known.top, "name": claim}
    c["claim"] |= {"says": known.says, "source": known.source}
    return c


def nested(depth):
    c = pair()
    c["made by"]["attnflow"] = "["
    text = sealed(c)
    return text.replace('"["', "[" * depth + "]" * depth).encode()


def padded():
    return (sealed(pair()) + " " * 2**20).encode()


def twice():
    return sealed(pair()).replace('"bits": 128', '"bits": 128, "bits": 128').encode()


def basin(name, value):
    return altered("symmetric-U-full", "proof", "basin", name, to=value)


# Honest files, so that forgeries are refused for what is wrong with them and nothing else.
HONEST = {
    **{path.stem: lambda name=path.stem: kept(name) for path in sorted(KEPT.glob("*.json"))
       if path.stem not in FOLLOWED},
    "two opposite tokens": lambda: pair(stable=False),
    "nothing moves": still,
    "a null set": arc,
    "consensus": lambda: made([I2], [I2], [["1", "0"]] * 2, full(2), family="consensus"),
    "a pair without scores": lambda: made(
        [Z2], [[["-1", "0"], ["0", "-1"]]], PAIR, full(2), family="balanced"
    ),
    "an unstable start of every start": lambda: cap("symmetric-U-full") | {"claim": kept("symmetric-U-full")["claim"]},
}  # fmt: skip

FORGERIES = {
    # === words
    "a statement of one's own": altered("no-hemisphere", "statement", to=["All is well."], words=True),
    "a statement with a line more": altered(
        "no-hemisphere", "statement", change=lambda s: s.append("Theorem 3.2 is false."), words=True
    ),
    "a claim that nobody knows": altered("no-hemisphere", "claim", "name", to="3.2 for all time"),
    "Theorem 3.2, by numbers of another claim": lambda: renamed(kept("no-hemisphere"), "3.2"),
    "Theorem 4.2, by full attention": lambda: renamed(kept("no-hemisphere"), "4.2"),
    "Theorem 4.5, by several heads": lambda: renamed(kept("several-heads-common-v"), "4.5"),
    "facts that are not the claim's": altered("no-hemisphere", "claim", "facts", to=["softmax", "full"]),
    "a fact that nobody knows": altered(
        "no-hemisphere", "claim", "facts", change=lambda f: f.append("it is so")
    ),
    "a fact twice": altered("no-hemisphere", "claim", "facts", change=lambda f: f.append("full")),
    "facts of no claim": lambda: made([I2], [I2], [["1", "0"]] * 2, full(2), family="consensus", facts=["full"]),
    "top where the claim has none": altered("no-hemisphere", "claim", "top", to=True),
    # === quantifiers
    "an unstable pair against almost every start": lambda: pair(claim="no hemisphere", stable=False),
    "an unstable pair said to be stable": lambda: pair(claim="no hemisphere"),
    "a stable triangle said to be unstable": altered("no-hemisphere", "proof", "stable", to=False),
    "a null set against almost every start": lambda: arc("4.2"),
    "a null set of another claim on every start": lambda: arc("3.2"),
    "a null set on no circle": lambda: arc(W=[["1", "0"], ["0", "2"]]),
    "a null set of other values": lambda: arc(U=[[["1", "0"], ["0", "2"]]]),
    "a null set in full attention": lambda: arc(sees=full(3)),
    "neighbours on one side": lambda: arc(thirds=[["-0.995", "0.0998"], ["-0.99", "0.1411"]]),
    "neighbours on the other sides": lambda: arc(thirds=[["-0.7317", "-0.6816"], ["-0.995", "0.0998"]]),
    "neighbours beyond the first token": lambda: arc(thirds=[["0.6", "0.8"], ["0.6", "-0.8"]]),
    # === hypotheses, one by one
    "no head": lambda: still(P=(), U=()),
    "no token": lambda: still(tokens=[]),
    "one head for two": lambda: still(P=(I2,), U=(Z2,)),
    "three heads for two": lambda: still(
        P=(I2,) * 3, U=(I2, [["-1", "0"], ["0", "-1"]], Z2)
    ),
    "U all zero": lambda: still(U=(Z2, Z2)),
    "U that do not cancel": lambda: still(U=(I2, [["-1", "0"], ["0", "-1.0001"]])),
    "heads that see otherwise": lambda: still(P=(I2, Z2)),
    "the exponential for softmax": lambda: still(softmax=False),
    "an ellipsoid for the sphere": lambda: still(W=[["1", "0"], ["0", "2"]]),
    "a mask for full attention": lambda: still(sees=[[0, 1], [1]]),
    "consensus for no consensus": lambda: still(tokens=[["1", "0"], ["2", "0"]]),
    "tokens at zero": lambda: still(tokens=[["1", "0"], ["0", "0"]]),
    "full for causal attention": lambda: cap(case__sees=full(2)),
    "U that is not symmetric": lambda: renamed(
        kept("causal-top-simple-any-U"), "causal, top simple"
    ),
    "U that is not semidefinite, by its eigenvalues": lambda: made(
        [Z2, Z2], [[["2", "100"], ["0", "1"]], [["2", "-100"], ["0", "1"]]], PAIR, causal(2),
        "several heads, own positive U",
    ),
    "U that is symmetric and not semidefinite": lambda: renamed(
        kept("several-heads-common-v"), "several heads, own positive U"
    ),
    "two U for one": lambda: renamed(kept("several-heads-common-v"), "several heads, one U"),
    "v of the sum alone": lambda: made(
        [Z2, Z2], [[["3", "1"], ["1", "0"]], [["0", "-1"], ["-1", "0"]]], PAIR, causal(2),
        "several heads, common v", family="none",
    ),
    "a top that is double": lambda: made(
        [Z2], [I2], PAIR, full(2), "symmetric U, full, no hemisphere", family="balanced"
    ),
    "lambda of the other sign": lambda: renamed(kept("causal-top-negative"), "causal, top simple"),
    "lambda positive for negative": lambda: renamed(kept("causal-top-simple"), "causal, top negative"),
    "tokens on both sides of v": lambda: renamed(kept("symmetric-U-full-no-hemisphere"), "symmetric U, full"),
    "a line for no line": lambda: renamed(
        kept("symmetric-U-causal-no-hemisphere"), "causal, top simple"
    ),
    "tokens about v": lambda: made(
        [Z2], [[["-1", "0"], ["0", "-2"]]], [["1", "0"]] * 2, causal(2), "causal, top negative",
    ),
    "tokens at v": lambda: made(
        [Z2], [[["2", "0"], ["0", "1"]]], [["1", "0"]] * 2, causal(2), "4.5",
    ),
    "P that is not definite": lambda: renamed(kept("no-hemisphere"), "no hemisphere, positive P"),
    "P that is not symmetric": lambda: made(
        [[["-3", "1"], ["-1", "-3"]]], [I2], PAIR, full(2), "no hemisphere, symmetric positive P",
    ),
    "beta beyond the gap": lambda: renamed(triangle(softmax=False), "circle"),
    "no multiple of I": lambda: made(
        [[["-0.5", "0"], ["0", "-0.4"]]], [I2], PAIR, full(2), "circle", softmax=False, stable=False
    ),
    "another U than I": lambda: pair("-3", claim="no hemisphere") | {
        "case": pair(stable=False)["case"] | {"U": [[["2", "0"], ["0", "2"]]]}
    },
    "a token at -y_1": lambda: made(
        [Z2], [I2], PAIR, causal(2), "4.2 as printed", stable=False
    ),
    "a hemisphere that is none": lambda: pair(claim="3.2", stable=False, v=["0", "1"]),
    # === equilibria
    "a box without one": altered("no-hemisphere", "proof", "tokens", 0, 0, to="0.9"),
    "a box too small": altered("causal-top-simple", "proof", "radius", to="1e-60"),
    "a negative radius": altered("causal-top-simple", "proof", "radius", to="-1e-20"),
    "a family that is none": altered("causal-top-simple", "proof", "family", to="still"),
    "rotations of no family": lambda: made(
        [I2], [I2], [["1", "0"]] * 2, full(2), family="consensus", generators=[TURN]
    ),
    "rotations of balanced tokens": lambda: HONEST["a pair without scores"]() | {
        "proof": HONEST["a pair without scores"]()["proof"] | {"generators": [TURN]}
    },
    "rotations where nothing moves": lambda: still(generators=[TURN]),
    "rotations of one that stands alone": altered("causal-top-simple", "proof", "generators", to=[TURN]),
    "turning without a rotation": lambda: pair(family="turns", generators=[], turning=[], slices=[], stable=False),
    "moments without a rotation": lambda: pair(generators=[], turning=[], slices=[], stable=False),
    "a rotation that is none": lambda: pair(family="turns", generators=[I2], stable=False),
    "a rotation that keeps no W": lambda: pair(stable=False) | {
        "case": pair(stable=False)["case"] | {"W": [[["1", "0"], ["0", "2"]]]}
    },
    "a rotation that changes P": lambda: made(
        [[["-3", "0"], ["0", "-2"]]], [I2], PAIR, full(2), **TRIANGLE, slices=[["0", "1", "0", "-1"]],
        stable=False,
    ),
    "a rotation that changes U": lambda: made(
        [[["-3", "0"], ["0", "-3"]]], [[["1", "0"], ["0", "2"]]], PAIR, full(2), **TRIANGLE,
        slices=[["0", "1", "0", "-1"]], stable=False,
    ),
    "one rotation twice": lambda: pair(
        generators=[TURN, TURN], turning=["0", "0"],
        slices=[["0", "1", "0", "-1"], ["1", "0", "-1", "0"]], stable=False,
    ),
    "moments behind a mask": lambda: pair(stable=False) | {
        "case": pair(stable=False)["case"] | {"sees": [[0], [0, 1]]}
    },
    "moments of two heads": lambda: pair(stable=False) | {
        "case": pair(stable=False)["case"] | {"P": [[["1", "0"], ["0", "1"]]] * 2, "U": [I2, I2]}
    },
    "moments of values that are no multiple": lambda: pair(stable=False) | {
        "case": pair(stable=False)["case"] | {"U": [[["1", "0"], ["0", "2"]]]}
    },
    "moments of scores that are not symmetric": lambda: pair(stable=False) | {
        "case": pair(stable=False)["case"] | {"P": [[["-3", "0.5"], ["-0.5", "-3"]]]}
    },
    "consensus that is none": lambda: made(
        [I2], [I2], [["1", "0"], ["0.6", "0.8"]], full(2), family="consensus", stable=False
    ),
    "consensus that moves": lambda: made(
        [I2], [[["1", "0"], ["0", "2"]]], [["0.6", "0.8"]] * 2, full(2), family="consensus", stable=False
    ),
    "balance with scores": lambda: made(
        [I2], [I2], PAIR, full(2), family="balanced", stable=False
    ),
    "balance behind a mask": lambda: made(
        [Z2], [I2], PAIR, [[0, 1], [0]], family="balanced", stable=False
    ),
    "balance of tokens without partners": lambda: made(
        [Z2], [I2], [["1", "0"], ["0", "1"]], full(2), family="balanced", stable=False
    ),
    "balance on one line": lambda: made(
        [Z2], [[["-1", "0"], ["0", "-1"]]], PAIR * 2, full(4), family="balanced", stable=False
    ),
    # === basins
    "a basin too wide": basin("reach", "3"),
    "a basin that is never reached": basin("reach", "1e-9"),
    "negative weights": lambda: cap("symmetric-U-full", proof__basin__weights=["-1"] * 4),
    "no reach": basin("reach", "-0.1"),
    "a start elsewhere": basin("start", [["-1", "0"], ["0", "1"]]),
    "a basin of a family": lambda: pair(stable=False, basin=kept("symmetric-U-full")["proof"]["basin"]),
    "a basin of what is unstable": altered("symmetric-U-full", "proof", "stable", to=False),
    "for ever": basin("time", "1e9"),
    "backwards": basin("time", "-1"),
    # === shapes
    "tokens of four coordinates": altered("causal-top-simple", "proof", "tokens", to=[["1", "0", "0", "0"]] * 2),
    "a mask of eight": altered("causal-top-simple", "case", "sees", to=causal(8)),
    "a mask that counts from the end": altered("causal-top-simple", "case", "sees", to=[[0], [-1, 0]]),
    "a mask of Booleans": altered("causal-top-simple", "case", "sees", to=[[False], [False, True]]),
    "a token that sees nobody": altered("causal-top-simple", "case", "sees", to=[[0], []]),
    "a token seen twice": altered("causal-top-simple", "case", "sees", to=[[0], [0, 0, 1]]),
    "somebody who is not there": altered("causal-top-simple", "case", "sees", to=[[0], [0, 2]]),
    "a U more than P": altered("causal-top-simple", "case", "U", change=lambda U: U.append(I2)),
    "a W that is not symmetric": altered("causal-top-simple", "case", "W", to=[[["1", "0.5"], ["0", "1"]]]),
    "a W that is not positive": altered("causal-top-simple", "case", "W", to=[[["1", "0"], ["0", "-1"]]]),
    "a W that is singular": altered("causal-top-simple", "case", "W", to=[[["1", "0"], ["0", "0"]]]),
    "two W": altered("causal-top-simple", "case", "W", to=[I2, I2]),
    "one dimension": lambda: made([[["1"]]], [[["1"]]], [["1"], ["-1"]], full(2), W=[["1"]], family="still"),
    "a number for a kernel": altered("causal-top-simple", "case", "softmax", to=1),
    "a word for a verdict": altered("causal-top-simple", "proof", "stable", to="yes"),
    "another kind of proof": altered("causal-top-simple", "proof", "kind", to="check"),
    "another format": altered("causal-top-simple", "format", to="attnflow certificate 9"),
    "a part too many": altered("causal-top-simple", "title", to="Proved"),
    "a part too few": altered("causal-top-simple", "made by"),
    "a row for the whole": lambda: b"[]",
    # === sizes, before any arithmetic
    "a million bits": altered("causal-top-simple", "bits", to=10**6 - 1),
    "a number of bits with ten digits": altered("causal-top-simple", "bits", to=10**10),
    "no bits": altered("causal-top-simple", "bits", to=0),
    "bits as a word": altered("causal-top-simple", "bits", to="128"),
    "an exponent of ten digits": altered("causal-top-simple", "proof", "radius", to="1e-9999999999"),
    "an exponent of four": altered("causal-top-simple", "case", "P", 0, 0, 0, to="1e9999"),
    "a number of a million digits": altered("causal-top-simple", "case", "P", 0, 0, 0, to="1" * 10**6),
    "a number of a thousand digits": altered("causal-top-simple", "case", "P", 0, 0, 0, to="0." + "1" * 1000),
    "a fraction of nothing": altered("causal-top-simple", "case", "P", 0, 0, 0, to="1/0"),
    "infinity": altered("causal-top-simple", "case", "P", 0, 0, 0, to="inf"),
    "no number": altered("causal-top-simple", "case", "P", 0, 0, 0, to="nan"),
    "a number without quotes": altered("causal-top-simple", "case", "P", 0, 0, 0, to=0.5),
    "digits of another script": altered("causal-top-simple", "case", "P", 0, 0, 0, to="\u0661"),
    "a thousand tokens": lambda: made([I2], [I2], [["1", "0"]] * 1000, full(1000), family="consensus"),
    "a hundred heads": lambda: made([I2] * 100, [I2] * 100, [["1", "0"]] * 2, full(2), family="consensus"),
    "a file of megabytes": padded,
    "brackets without end": lambda: b"[" * 10**5,
    "brackets ten deep": lambda: nested(10),
    "a key twice": twice,
    "bytes that are no text": lambda: b"\xff\xfe{}",
    "no JSON": lambda: b"{'format': 1}",
    "nothing": lambda: b"",
    # === rules by themselves, of no claim
    "a rotation where there is no family": altered(
        "causal-top-simple", "proof",
        change=lambda p: p.update(generators=[TURN], turning=["0"], slices=[["0", "1", "0", "-1"]]),
    ),
    "an orbit of no rotation": altered("causal-top-simple", "proof", "family", to="turns"),
    "moments of no rotation": lambda: made(
        [[["1", "0"], ["0", "3"]]], [I2], PAIR, full(2), family="moments", stable=False
    ),
    "consensus that leaves": lambda: made(
        [I2], [[["2", "0"], ["0", "1"]]], [["0.1", "1"]] * 2, full(2), family="consensus", stable=False
    ),
    "no pairs, and they part": lambda: made(
        [Z2], [[["-1", "0"], ["0", "-1"]]], CLOSE, full(2), family="balanced", stable=False
    ),
    "pairs on one line": lambda: made([Z2], [I2], PAIR * 2, full(4), family="balanced", stable=False),
    "values that add up to less": lambda: still(
        claim=None, U=(I2, [["-2", "0"], ["0", "-2"]]), tokens=CLOSE, stable=False
    ),
    "heads with other scores": lambda: still(
        claim=None, P=([["9", "0"], ["0", "9"]], Z2), tokens=CLOSE, stable=False
    ),
    "a triangle that is stable": lambda: triangle() | {
        "claim": {"facts": [], "top": False, "v": ["0", "0"]},
        "proof": triangle()["proof"] | {"stable": False},
    },
    "a basin somewhat too wide": basin("reach", "0.2"),
    "a null set of full attention": lambda: arc(None, sees=full(3)),
    "a null set of an ellipsoid": lambda: arc(None, W=[["1", "0"], ["0", "2"]]),
    "a null set of values": lambda: arc(None, U=[[["1", "0"], ["0", "2"]]]),
    "a claim of no facts that nobody knows": lambda: pair(stable=False) | {
        "claim": {"facts": [], "top": False, "v": ["0", "0"], "name": "x", "says": "", "source": ""}
    },
    "an ellipsoid that is none": lambda: made(
        [I2], [I2], [["1", "0"]] * 2, full(2), W=[["1", "0.5"], ["0", "1"]], family="consensus"
    ),
    "a hyperboloid": lambda: made(
        [I2], [I2], [["1", "0"]] * 2, full(2), W=[["1", "0"], ["0", "-1"]], family="consensus"
    ),
    "somebody's name for who made it": altered("causal-top-simple", "made by", "attnflow", to=1),
    # === what was changed after it was made
    "bits changed, the digest left": lambda: sealed(pair(stable=False)).replace("128", "127", 1).encode(),
    "a digit changed, the digest left": lambda: sealed(pair()).replace("1e-20", "1e-21").encode(),
}  # fmt: skip


@pytest.mark.parametrize("name", HONEST)
def test_honest_files_hold(name):
    assert equilibria.check(sealed(HONEST[name]()))


@pytest.mark.parametrize("name", FORGERIES)
def test_forgeries_are_refused_in_one_line_and_at_once(name):
    text = sealed(FORGERIES[name]())
    begun = time.monotonic()
    with pytest.raises(Refused, match="^not shown: [^\n]+$") as error:
        equilibria.check(text)
    assert time.monotonic() - begun < 2
    assert len(str(error.value)) < 300
    assert str(error.value).isprintable()


def test_there_are_enough_of_them():
    assert len(FORGERIES) >= 60


@pytest.mark.parametrize("name", ["a statement of one's own", "a file of megabytes", "nothing"])
def test_the_command_and_the_program_refuse_in_a_line(name, capsys, tmp_path):
    path = tmp_path / "c.json"
    text = sealed(FORGERIES[name]())
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    assert "proves nothing: not shown" in refused(capsys, "certify", "--check", path, status=1)
    assert program.main([str(path)]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1


@pytest.mark.parametrize("what", ["absent", "a folder", "nothing named"])
def test_what_cannot_be_read_is_said_in_a_line(what, capsys, tmp_path):
    arguments = (
        [] if what == "nothing named" else [str(tmp_path / what if what == "absent" else tmp_path)]
    )
    assert program.main(arguments) == 1
    assert capsys.readouterr().err.count("\n") == 1
    if arguments:
        with pytest.raises((ValueError, OSError)):
            certify.check(arguments[0])


# === mutants


# Rules that stand twice: what they refuse, another refuses too, or the arithmetic comes to nothing.
TWICE = {
    "in_time",  # by itself below
    "_moments: a rotation",  # of symmetric P and U = cI every rotation makes an equation depend
    "show_equilibrium: tokens that are not zero",
    "show_equilibrium: rotations that are independent",
    "show_equilibrium: a stable equilibrium that stands alone",
    "top_of: a simple top of U",
    "show_claim: that a start between two others is in the claim's domain",
    "on: tokens that are not zero",
    "after: a step of the trajectory",
}
# Where proofs are made; the other functions bound and read the file.
PROVING = {
    "__init__", "on", "after", "in_time", "family", "_none_around", "_turns", "_moments", "_consensus",
    "_balanced", "_still", "show_equilibrium", "show_signs", "basin", "show_exceptional", "top_of",
    "show_claim", "check", "prove", "is_unaltered",
}  # fmt: skip
SOURCES = {
    str(path.relative_to(CHECKER)): path.read_text()
    for path in (CHECKER / "file.py", *sorted((CHECKER / "equilibria").glob("*.py")))
}


def rules():
    """By name, every place where the checker refuses or decides: each demand, and each fact of a claim."""
    found = {}
    functions = (
        (where, node)
        for where, text in SOURCES.items()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef)
    )
    for where, function in functions:
        for node in ast.walk(function):
            call = getattr(node.value, "func", None) if isinstance(node, ast.Expr) else None
            if getattr(call, "id", "") == "demand":
                what = ast.unparse(node.value.args[1]).strip("f\"'")
                found[f"{function.name}: {what}"] = where, node
            if function.name == "facts" and isinstance(node, ast.Dict):
                for key, value in zip(node.keys, node.values, strict=True):
                    found[f"facts: {key.value}"] = where, value.body
    return found


def wrong_facts(checker):
    """What is said to hold of fields and tokens of which hardly anything does."""
    wrong = set()
    for softmax, dim in ((True, 2), (False, 3)):
        one = [["1" if i == j else "0" for j in range(dim)] for i in range(dim)]
        odd = [["1" if i == j else str(i - 2 * j) for j in range(dim)] for i in range(dim)]
        stretched = [["2" if i == j else "0" for j in range(dim)] for i in range(dim)]
        heads = [odd, one, one][:dim]
        case = {"P": heads, "U": heads, "W": [stretched], "sees": [[0], [0]], "softmax": softmax}
        flow = checker.Flow(case)
        start = flow.on([one[0], ["-1", *one[0][1:]]])
        limit = flow.on([one[0], one[0]])
        v = [ball(a) for a in one[0]]
        for value in (None, ball(0)):
            for name, holds in checker.facts(flow, start, limit, v, value).items():
                if holds():
                    wrong.add((name, softmax, value is None))
    return wrong


def without(file, node):
    """The checker with one rule taken out: a demand that asks for nothing, a fact that always holds."""
    tree = ast.parse(SOURCES[file])
    where = (type(node), node.lineno, node.col_offset, node.end_col_offset)

    class Out(ast.NodeTransformer):
        done = 0

        def generic_visit(self, other):
            same = (
                type(other),
                *(getattr(other, a, None) for a in ("lineno", "col_offset", "end_col_offset")),
            )
            if same == where:
                self.done += 1
                if isinstance(other, ast.Expr):
                    return ast.copy_location(ast.Pass(), other)
                return ast.copy_location(ast.Constant(True), other)
            return super().generic_visit(other)

    out = Out()
    tree = ast.fix_missing_locations(out.visit(tree))
    assert out.done == 1
    return checker_with(file, ast.unparse(tree), "equilibria")


def found_out(mutant, names):
    """The first forgery that is not refused as it should be, or honest file that is."""
    for name in names:
        try:
            mutant.check(sealed(FORGERIES[name](), mutant))
        except mutant.Refused:
            continue
        except Exception as error:
            return f"{name} ({type(error).__name__})"
        return name
    return None


@pytest.fixture(scope="module")
def survivors():
    """The proving rules that can be taken out without a forgery getting through."""
    as_it_is = wrong_facts(equilibria)
    left = set()
    for name, rule in rules().items():
        function = name.partition(":")[0]
        if function == "facts":
            mutant = without(*rule)
            if wrong_facts(mutant) == as_it_is and not found_out(mutant, FORGERIES):
                left.add(name)
        elif function in PROVING and not found_out(without(*rule), FORGERIES):
            left.add(name)
    return left


@pytest.mark.slow
def test_no_rule_of_a_proof_can_be_taken_out_unseen(survivors):
    proving = [n for n in rules() if n.partition(":")[0] in {*PROVING, "facts"}]
    assert len(proving) - len(TWICE) >= 60
    unseen = {n for n in survivors if n not in TWICE and n.partition(":")[0] not in TWICE}
    assert not unseen, "\n".join(sorted(unseen))


def test_a_check_that_takes_too_long_is_ended(monkeypatch):
    monkeypatch.setattr(equilibria, "MOST_SECONDS", 0)
    with pytest.raises(Refused, match="within 0 seconds"):
        equilibria.check(sealed(pair(stable=False)))


def test_the_time_of_a_check_ends_with_it():
    with pytest.raises(Refused):
        equilibria.check(b"{}")
    assert file._limit == [float("inf")] * 2
