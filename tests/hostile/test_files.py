"""Hostile case, study and brief files and flags: exit status 2 and one line that no terminal obeys."""

import pytest

from attnflow.cli import main
from attnflow.core.words import loads, printable

_CASE = "[manifold]\ndim = 3\n[tokens]\ncount = 4\n[attention]\nP = 1.0\n"
_STUDY = (
    'trials = 1\n[manifold]\ndim = 3\n[tokens]\ncount = 4\n[attention]\nP = "$a"\nscale = "$b"\n'
    '[time]\nt1 = "$c"\n[grid]\n'
)
_BRIEF = (
    "[manifold]\ndim = 3\n[tokens]\ncount = 4\n[search]\nsteps = {}\n[search.P]\n"
    'family = "piecewise"\npieces = {}\n'
)
_JSON = '{"manifold": {"dim": 3}, "tokens": {"count": 4}, "attention": {"P": 1.0}, "title": "a"}'
_NEST = '{type = "symmetric", schedule = '


def _P(value):
    return _CASE.replace("P = 1.0", f"P = {value}")


_CASES = {
    "points": (_CASE + "[time]\npoints = 1000000000\n", "1,000,000,000"),
    "tokens": (_CASE.replace("count = 4", "count = 1000000"), "GiB"),
    "tokens beyond 64 bits": (_CASE.replace("count = 4", "count = 1" + 24 * "0"), "GiB"),
    "dimension": (_CASE.replace("dim = 3", "dim = 100000"), "GiB"),
    "no tokens": (_CASE.replace("count = 4", "count = 0"), "$.tokens.count"),
    "nested lists": (_P(500 * "[" + "1" + 500 * "]"), "nested"),
    "nested tables": (_P(100 * _NEST + "1.0" + 100 * "}"), "nested"),
    "key of controls": ('"\\u001b[2J" = 1\n' + _CASE, "\\x1b[2J"),
    "P NaN": (_P("nan"), "finite"),
    "P a date": (_P("1979-05-27"), "$.attention.P"),
    "P of many digits": (_P(5000 * "9"), "digits"),
    "P twice": (_CASE + "P = 2.0\n", "overwrite"),
    "scale infinite": (_CASE + "scale = inf\n", "`scale`"),
    "t1 infinite": (_CASE + "[time]\nt1 = inf\n", "`t1`"),
    "t1 NaN": (_CASE + "[time]\nt1 = nan\n", "`t1`"),
    "rtol NaN": (_CASE + "[solver]\nrtol = nan\n", "rtol"),
    "max_steps": (_CASE + "[solver]\nmax_steps = 1000000000000\n", "`max_steps`"),
    "no rows": (_CASE.replace("count = 4", "rows = []"), "`rows`"),
    "W of nothing": (_CASE.replace("dim = 3", "W = []"), "`W`"),
    "mask of nothing": (_CASE + "mask = []\n", "`mask`"),
    "weights NaN": (_CASE + "weights = [nan, 1, 1, 1]\n", "`weights`"),
    "switch NaN": (_CASE + 'normalisation = {type = "mix", switch = nan}\n', "`switch`"),
    "periods": (
        _P('{type = "periodic", schedule = 1.0, period = 1.0, periods = 1000000000}'),
        "`periods`",
    ),
    "uniform": (_P('{type = "uniform", shape = [100000, 100000]}'), "10,000,000,000"),
    "nothing": ("", "manifold"),
    "no text": ("\0", "Invalid"),
}


@pytest.fixture(scope="module", autouse=True)
def _imported_once(tmp_path_factory):
    """What a first search and a first sweep import, so that the time of a case is its own."""
    path = tmp_path_factory.mktemp("search") / "file.toml"
    path.write_text(_BRIEF.format(3, 10**9))
    assert main(["search", str(path)]) == 2
    path.write_text(_STUDY + '"\\u001b" = [1]\n')
    assert main(["sweep", str(path), "--dry-run"]) == 2


def _one_line(capsys, arguments, words):
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert words in captured.err
    assert captured.out == ""
    assert "\x1b" not in captured.err


@pytest.mark.parametrize(("text", "words"), _CASES.values(), ids=_CASES)
def test_a_case_that_cannot_be_is_refused_at_once(as_user, tmp_path, capsys, text, words):
    path = tmp_path / "case.toml"
    path.write_text(text)
    _one_line(capsys, ["simulate", str(path)], words)


_OTHERS = {
    "grid": (
        "sweep",
        _STUDY + "".join(f"{k} = {{start = 1.0, stop = 2.0, count = 1000}}\n" for k in "abcdefg"),
        "more than the 10^18 trajectories",
    ),
    "axis": ("sweep", _STUDY + "a = {start = 1, stop = 2, count = 1000000000}\n", "count"),
    "axis nested": ("sweep", _STUDY + "a = " + 300 * "[" + 300 * "]", "nested"),
    "axis of controls": ("sweep", _STUDY + '"\\u001b" = [1]\n', "\\x1b"),
    "steps": ("search", _BRIEF.format(10**18, 2), "`steps`"),
    "pieces": ("search", _BRIEF.format(3, 10**9), "`pieces`"),
    "heads": ("search", _BRIEF.format(3, 2) + "heads = 1000000\n", "`heads`"),
    "brief nested": ("search", _BRIEF.format(3, 900 * "["), "nested"),
}


@pytest.mark.parametrize(("command", "text", "words"), _OTHERS.values(), ids=_OTHERS)
def test_a_study_or_brief_without_end_is_refused(as_user, tmp_path, capsys, command, text, words):
    path = tmp_path / "file.toml"
    path.write_text(text)
    _one_line(capsys, [command, str(path), *(["--dry-run"] if command == "sweep" else [])], words)


def test_a_key_that_is_there_twice_is_refused(as_user, tmp_path, capsys):
    path = tmp_path / "case.json"
    path.write_text(_JSON.replace("}, ", '}, "title": "b", ', 1))
    _one_line(capsys, ["simulate", str(path)], "'title' is there twice")


@pytest.mark.parametrize("text", ['{"a": 1, "a": 1}', '[{"b": {"a": 1, "a": 2}}]', 600 * "["])
def test_json_that_says_two_things_or_has_no_end_is_refused(text):
    with pytest.raises(ValueError, match="twice|nested"):
        loads(text)


def test_what_a_terminal_would_obey_is_shown():
    assert printable("a\x1b[2J\u202e\nb é") == "a\\x1b[2J\\u202e\\nb é"


_FLAGS = {
    "tokens": (["simulate", "--tokens", "1000000"], "GiB"),
    "dim": (["simulate", "--dim", "100000"], "GiB"),
    "beta": (["simulate", "--beta", "nan"], "finite"),
    "t1": (["simulate", "--t1", "inf"], "`t1`"),
    "a name of controls": (["simulate", "\x1b[2J"], "\\x1b[2J"),
    "no command": (["nope"], "nope"),
}


@pytest.mark.parametrize(("arguments", "words"), _FLAGS.values(), ids=_FLAGS)
def test_flags_that_cannot_be_are_refused(as_user, capsys, arguments, words):
    _one_line(capsys, arguments, words)
