"""Kept counterexamples made to say what is false: each is refused, in one line, at once, with no word of theirs."""

import copy
import json
import time
from pathlib import Path

import pytest

from attnflow.claims._counterexample import _digest
from attnflow.search import CLAIMS
from tests.test_cli import in_process

KEPT = Path(__file__).parents[2] / "benchmarks/results/counterexamples"
CAUSAL = "symmetric-U-causal-no-hemisphere"
NULL, HEADS = "4.2-as-printed", "several-heads-own-U"
SAID = "Theorem 4.5 is false for every start"  # by a file that wants to have it printed


def kept(name):
    return json.loads((KEPT / f"{name}.json").read_text())


def sealed(contents):
    """The file with a digest that fits: anybody can make one."""
    contents = {k: v for k, v in contents.items() if k != "digest"}
    return json.dumps({**contents, "digest": _digest(contents)})


def put(name, *changes):
    """A kept counterexample with some of its parts replaced, or dropped: `...`."""
    contents = copy.deepcopy(kept(name))
    for path, value in changes:
        *way, last = path.split(".")
        part = contents
        for step in way:
            part = part[int(step) if isinstance(part, list) else step]
        last = int(last) if isinstance(part, list) else last
        if value is ...:
            del part[last]
        else:
            part[last] = value
    return sealed(contents)


def about(name, claim, *changes):
    """A kept counterexample said to be about another claim, in that claim's own words."""
    known = CLAIMS[claim]
    about_claim = {"name": claim, "statement": known.statement, "source": known.source}
    return put(name, ("claim", about_claim), *changes)


def text(old, new, name=CAUSAL):
    """A kept counterexample with its text changed, which no parsed one can be."""
    was = json.dumps(kept(name))
    assert old in was
    return was.replace(old, new, 1)


A, T = "case.attention", "case.tokens.rows"
I2, I3 = [[1.0, 0], [0, 1.0]], [[1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0]]
Z2, SKEW = [[0.0, 0.0], [0.0, 0.0]], [[0, 1], [-1, 0]]
TWO = [[0.8, 0.6], [-0.6, 0.8]]
FOURIER = {"type": "fourier", "constant": Z2, "cosine": [I2], "sine": [Z2], "omega": 1.0}
PIECES = {"type": "piecewise", "times": [1.0], "values": [Z2, Z2]}


def evidence_of(status):
    return ("evidence.status", status)


FORGERIES = {
    # === words of its own
    "a statement of its own": (put(CAUSAL, ("claim.statement", SAID)), "another claim"),
    "a source of its own": (put(CAUSAL, ("claim.source", SAID)), "another claim"),
    "a name of its own": (put(CAUSAL, ("claim.name", SAID)), "no claim of the library"),
    "another claim's name": (put(CAUSAL, ("claim.name", "4.5")), "another claim"),
    "reasons of its own": (put(CAUSAL, ("evidence.why", SAID)), "other reasons"),
    "controls in its reasons": (put(CAUSAL, ("evidence.why", "\x1b[2J holds")), "control"),
    "controls in its title": (put(CAUSAL, ("case.title", "\u202e")), "control"),
    "controls in a name": (put(CAUSAL, ("claim.name", "\x1b]0;x\x07")), "control"),
    "controls in a key": (put(CAUSAL, ("provenance.\x1b[2J", 1)), "control"),
    "a text without end": (put(CAUSAL, ("stage", "x" * 10**5)), "letters"),
    "a name that is a list": (put(CAUSAL, ("claim.name", ["4.5"])), "words"),
    "a stage that is a number": (put(CAUSAL, ("stage", 1)), "stage"),
    # === its parts
    "a key twice": (text('"evidence": {', '"stage": "x", "evidence": {'), "twice"),
    "a digit twice": (text('"mask":', '"mask": "full", "mask":'), "twice"),
    "an unknown part": (put(CAUSAL, ("proof", [])), "unknown part 'proof'"),
    "an unknown fact": (put(CAUSAL, ("claim.facts", ["sphere"])), "unknown part 'facts'"),
    "an unknown part of the case": (put(CAUSAL, ("case.note", SAID)), "unknown field"),
    "an unknown part of the attention": (put(CAUSAL, (f"{A}.V", I2)), "unknown field"),
    "unknown evidence": (put(CAUSAL, ("evidence.proved", True)), "evidence must have the parts"),
    "no evidence": (put(CAUSAL, ("evidence", ...)), "no part 'evidence'"),
    "no claim": (put(CAUSAL, ("claim", ...)), "no part 'claim'"),
    "evidence that is a word": (put(CAUSAL, ("evidence", "open")), "evidence"),
    "a format of another": (put(CAUSAL, ("format", "\x1b[2J")), "is of the format"),
    # === not a file of this kind
    "no JSON": ("{", "is no counterexample"),
    "not text": (b"\xff\xfe{}", "is no counterexample"),
    "nothing": ("", "is no counterexample"),
    "deep nesting": (text('"P": ', '"P": ' + 5000 * "[" + 5000 * "]" + ', "Q": '), "nested"),
    "a huge file": ('{"a": "' + "x" * 2**20 + '"}', "bytes"),
    # === numbers
    "NaN": (text('"scale": 1.0', '"scale": NaN'), "not finite"),
    "infinity": (text('"scale": 1.0', '"scale": Infinity'), "not finite"),
    "an exponent beyond float64": (text('"scale": 1.0', '"scale": 1e999'), "not finite"),
    "an exponent of ten digits": (text('"scale": 1.0', '"scale": 1e9999999999'), "not finite"),
    "an integer of 10^5 digits": (text('"scale": 1.0', '"scale": ' + "9" * 10**5), "digits"),
    "a fraction of 10^5 digits": (text('"scale": 1.0', '"scale": 0.' + "1" * 10**5), "digits"),
    "an integer beyond 64 bits": (put(CAUSAL, (f"{T}.0.0", 10**30)), "a larger one"),
    "a number too small": (put(CAUSAL, (f"{T}.0.0", 1e-310)), "a smaller one"),
    "a Boolean for a number": (put(CAUSAL, (f"{A}.P.0.0", True)), "must be a number"),
    "a word for a number": (put(CAUSAL, (f"{A}.P.0.0", "0")), "P"),
    "evidence of 10^400": (text('"margin": 1.0', '"margin": 1e400'), "not finite"),
    "evidence of a word": (put(CAUSAL, ("evidence.basin", "all")), "basin must be a number"),
    "evidence of a Boolean": (put(CAUSAL, ("evidence.margin", True)), "margin must be a number"),
    "a family of a half": (put(CAUSAL, ("evidence.family", 0.5)), "family"),
    "a negative scale": (put(CAUSAL, (f"{A}.scale", -1.0)), "scale"),
    # === shapes and sizes
    "no heads": (put(CAUSAL, (f"{A}.P", []), (f"{A}.U", [])), "P must be a matrix"),
    "no tokens": (put(CAUSAL, (T, [])), "one token at least"),
    "tokens of no coordinate": (put(CAUSAL, (T, [[], []])), "coordinate"),
    "tokens of four coordinates": (put(CAUSAL, (T, [[1, 0, 0, 0], [0, 1, 0, 0]])), "coordinates"),
    "tokens that are ragged": (put(CAUSAL, (f"{T}.0", [1.0])), "rectangular"),
    "tokens drawn at random": (
        put(CAUSAL, ("case.tokens", {"count": 2, "seed": 3})), "tokens must be rows",
    ),
    "tokens that are zero": (put(CAUSAL, (f"{T}.0", [0.0, 0.0])), "`rows`"),
    "too many tokens": (put(CAUSAL, (T, [[1.0, 0.0]] * 2000)), "400 in all"),
    "a sphere of 10^9 dimensions": (put(CAUSAL, ("case.manifold.dim", 10**9)), "dim is"),
    "P of three dimensions": (put(CAUSAL, (f"{A}.P", I3)), "P must be"),
    "P of a number": (put(CAUSAL, (f"{A}.P", 1.0)), "P must be matrices"),
    "P and U of other heads": (put(HEADS, (f"{A}.P", [I2] * 3)), "as many heads"),
    "too many heads": (put(HEADS, (f"{A}.P", [I2] * 100), (f"{A}.U", [I2] * 100)), "64 heads"),
    "a mask of eight": (put(CAUSAL, (f"{A}.mask", [[True] * 8] * 8)), "mask"),
    "W that is singular": (put(CAUSAL, ("case.manifold", {"W": Z2})), "W"),
    "W of another size": (put(CAUSAL, ("case.manifold", {"W": I3})), "W must be"),
    "an equilibrium of one token": (put(CAUSAL, ("evidence.equilibrium", [[1.0, 0.0]])), "equilib"),
    "an equilibrium that is a word": (put(CAUSAL, ("evidence.equilibrium", "e_1")), "equilibrium"),
    "ten thousand pieces": (
        put(CAUSAL, (f"{A}.P", PIECES | {"values": [Z2] * 10**4})), "matrices at most",
    ),
    "pieces without times": (put(CAUSAL, (f"{A}.P", PIECES | {"times": []})), "times"),
    "a schedule of chance": (
        put(CAUSAL, (f"{A}.P", {"type": "constant", "value": 1.0})), "P must be matrices",
    ),
    "periods without end": (
        put(CAUSAL, (f"{A}.P", {"type": "periodic", "schedule": 1.0, "period": 1, "periods": 9**9})),
        "P must be",
    ),
    # === options that a check would not take, or that would never end
    "a solver of its own": (put(CAUSAL, ("case.solver", {"rtol": 0.5})), "no solver"),
    "another precision": (put(CAUSAL, ("case.dtype", "float32")), "float64"),
    "tokens held fast": (put(CAUSAL, (f"{A}.frozen", [True, True])), "frozen"),
    "another normalisation": (put(CAUSAL, (f"{A}.normalisation", "pre")), "'post'"),
    "a frequency of 10^6": (put(CAUSAL, (f"{A}.P", FOURIER | {"omega": 1e6})), "times of its own"),
    "a period of 10^9": (put(CAUSAL, (f"{A}.P", FOURIER | {"omega": 1e-9})), "times of its own"),
    "values of 10^4": (put(CAUSAL, (f"{A}.U", [[1e4, 0], [0, -1e4]])), "times of its own"),
    "scores of 10^6": (put(CAUSAL, (f"{A}.P", [[1e6, 0], [0, 1e6]])), "times of its own"),
    # === evidence that cannot refute this claim
    "a null set against almost every start": (about(NULL, "4.2"), "almost every start"),
    "a null set of another claim": (about(NULL, "3.2"), "cannot refute"),
    "a null set said of an open one": (put(CAUSAL, evidence_of("null set")), "cannot refute"),
    "an open set that is said to be none": (put(CAUSAL, evidence_of("transient")), "cannot refute"),
    "a status of its own": (put(CAUSAL, evidence_of("proved")), "status that is known"),
    "an unstable equilibrium": (
        put(CAUSAL, (f"{A}.U", [[1, 0], [0, -1]]), (T, [[0.0, 1.0], [0.0, -1.0]])), "'metastable'",
    ),
    "tokens at consensus": (put(CAUSAL, (T, [[1.0, 0.0], [1.0, 0.0]])), "'transient'"),
    # === hypotheses of the claim that do not hold
    "full attention": (put(CAUSAL, (f"{A}.mask", "full")), "causal"),
    "U that is no symmetric": (put(CAUSAL, (f"{A}.U", [[2.0, 100.0], [0.0, 1.0]])), "symmetric"),
    "one head of two": (about(CAUSAL, "several heads, own U", (T, TWO)), "two heads"),
    "a top that is simple by rounding": (
        about(CAUSAL, "4.5", (T, TWO), (f"{A}.U", [[1.0, 0.0], [0.0, 1 - 1e-13]])), "too close",
    ),
    "scores that only turn": (
        about(CAUSAL, "no hemisphere, positive P", (f"{A}.P", SKEW), (f"{A}.U", I2),
              (f"{A}.mask", "full")),
        "positive definite",
    ),
    "softmax on the circle": (
        about(CAUSAL, "circle", (f"{A}.P", [[-0.2, 0], [0, -0.2]]), (f"{A}.U", I2),
              (f"{A}.mask", "full")),
        "exponential",
    ),
    "a sphere for the circle": (
        about(CAUSAL, "circle", ("case.manifold.dim", 3), (T, I3), ("evidence.equilibrium", I3),
              ("evidence.after", I3), (f"{A}.kernel", "exp"), (f"{A}.U", I3), (f"{A}.mask", "full"),
              (f"{A}.P", [[-0.2, 0, 0], [0, -0.2, 0], [0, 0, -0.2]])),
        "circle: d = 3",
    ),
    "no positive semidefinite U": (
        about(HEADS, "several heads, own positive U"), "positive semidefinite",
    ),
    # === numbers that do not come out again
    "a margin": (put(CAUSAL, ("evidence.margin", 0.9)), "says margin"),
    "a margin of nothing": (put(CAUSAL, ("evidence.margin", None)), "margin"),
    "another solver's margin": (put(CAUSAL, ("evidence.other", 0.5)), "says other"),
    "an eigenvalue": (put(CAUSAL, ("evidence.rightmost", -0.51)), "says rightmost"),
    "an error": (put(CAUSAL, ("evidence.error", 0.1)), "says error"),
    "a speed": (put(CAUSAL, ("evidence.speed", 1.0)), "says speed"),
    "a way gone": (put(CAUSAL, ("evidence.moved", 0.2)), "says moved"),
    "a family": (put(CAUSAL, ("evidence.family", 1)), "says family"),
    "a period": (put(CAUSAL, ("evidence.period", 1.0)), "says period"),
    "a basin": (put(CAUSAL, ("evidence.basin", 0.5)), "says basin"),
    "a time": (put(CAUSAL, ("evidence.time", 801.0)), "says time"),
    "an equilibrium": (put(CAUSAL, ("evidence.equilibrium.0.0", 0.9)), "says equilibrium"),
    "tokens after a while": (put(CAUSAL, ("evidence.after.0.0", 0.9)), "says after"),
    "a start": (put(CAUSAL, (f"{T}.0.1", 0.11)), "says after"),
    "a digest": (text('"digest": "', '"digest": "0'), "altered"),
    "a digest that is a list": (text('"digest": "', '"digest": [], "was": "'), "altered"),
}  # fmt: skip


@pytest.fixture(scope="module")
def run_once(tmp_path_factory):
    """What an honest check compiles, so that the time of a forgery is its own."""
    path = tmp_path_factory.mktemp("honest") / "c.json"
    path.write_text(put(CAUSAL))
    from attnflow.cli import main

    assert main(["falsify", "--check", str(path)]) == 0


def test_there_are_forgeries_enough():
    assert len(FORGERIES) >= 80


@pytest.mark.usefixtures("run_once")
@pytest.mark.parametrize(("forged", "words"), FORGERIES.values(), ids=FORGERIES)
def test_a_forgery_is_refused_in_one_line_at_once(capsys, tmp_path, as_user, forged, words):
    path = tmp_path / "c.json"
    path.write_bytes(forged if isinstance(forged, bytes) else forged.encode())
    capsys.readouterr()
    began = time.process_time()
    status, out, err = in_process(capsys, "falsify", "--check", path)
    assert time.process_time() - began < 2
    assert (status, out) == (1, "")
    assert err.startswith("attnflow: ")
    assert err.count("\n") == 1
    assert words in err
    assert "holds" not in err
    assert SAID not in err or "no claim of the library" in err
    assert len(err) < 700
    assert err.rstrip("\n").isprintable()


def test_nothing_but_numbers_of_the_file_is_printed(capsys, tmp_path, run_once):
    contents = kept(CAUSAL)
    contents["stage"] = contents["case"]["title"] = SAID
    contents["provenance"]["note"] = SAID
    path = tmp_path / "c.json"
    path.write_text(sealed(contents))
    status, out, err = in_process(capsys, "falsify", "--check", path)
    assert (status, err) == (0, "")
    assert SAID not in out
    assert out.splitlines()[1] == str(CLAIMS[contents["claim"]["name"]])


def test_a_file_that_never_ends_is_not_read_to_its_end(capsys):
    began = time.process_time()
    status, out, err = in_process(capsys, "falsify", "--check", "/dev/zero")
    assert (status, out) == (1, "")
    assert "bytes" in err
    assert time.process_time() - began < 2
