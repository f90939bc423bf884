"""`attnflow search` as a person uses it."""

import json
import sys

import equinox as eqx
import numpy as np
import pytest

import attnflow as af
from attnflow.records import _work
from attnflow.search import Brief
from tests.test_cli import in_process, refused

SMALL = """
title = "four tokens apart"

[manifold]
dim = 3

[tokens]
count = 4

[attention]
mask = "causal"

[time]
t1 = 2.0

[solver]
rtol = 1e-4
atol = 1e-6

[search]
goal = "maximise"
objective = "final"
starts = 2
steps = 5
held_back = 3

[search.P]
sd = 1.0
"""
PICTURES = {"attention.png", "misalignment.png", "norms.png", "tokens.png"}
FILES = PICTURES | {"brief.toml", "report.json", "schedule.af", "search.af"}


@pytest.fixture
def spec(tmp_path):
    path = tmp_path / "small.toml"
    path.write_text(SMALL)
    return path


def account(folder) -> dict:
    """The report, without how long it took and where that was."""
    report = json.loads((folder / "report.json").read_text())
    del report["provenance"], report["found"]["seconds"]
    return report


def test_the_list_has_every_ready_brief_with_what_it_asks(capsys):
    status, out, err = in_process(capsys, "search", "--list")
    assert (status, err) == (0, "")
    rows = dict(line.split(maxsplit=1) for line in out.splitlines())
    assert rows == {name: Brief.read(name).title for name in Brief.names()}


def test_a_ready_brief_is_shown_as_a_file_that_is_read_back(capsys, tmp_path):
    status, out, err = in_process(capsys, "search", "delay", "--show")
    assert (status, err) == (0, "")
    (tmp_path / "mine.toml").write_text(out)
    assert Brief.read(tmp_path / "mine.toml") == Brief.read("delay")


@pytest.mark.slow
def test_a_search_prints_where_it_stands_and_one_that_was_stopped_ends_with_the_same_bits(
    capsys, tmp_path, spec, monkeypatch
):
    whole, stopped = tmp_path / "whole", tmp_path / "new" / "stopped"
    status, out, err = in_process(capsys, "search", spec, "--out", whole)
    assert (status, err) == (0, "")
    assert out.startswith("four tokens apart\nmaximise E(T), mean over 2 fixed starts of 4 tokens")
    assert "5 of 5 steps" in out
    assert "E(T), maximised, on 3 starts kept apart" in out
    for contender in ("found", "before", "limit", "tanh reference"):
        assert f"\n  {contender} " in out
    assert {path.name for path in whole.iterdir()} == FILES
    assert {line.removeprefix(f"wrote {whole}/") for line in out.splitlines()[-8:]} == FILES
    for name in PICTURES:
        assert (whole / name).read_bytes().startswith(b"\x89PNG")
    report = account(whole)
    assert report["found"]["steps taken"] == 5
    assert report["brief"]["search"]["P"] == {"sd": 1.0}
    assert [row["name"] for row in report["standing"]["rows"]][:2] == ["found", "before"]
    schedule = af.load(whole / "schedule.af")
    assert schedule.shape == (1, 3, 3)

    # Stopped after the third step, as by Ctrl-C, and started again.
    run = Brief.run

    def until_the_third(brief, store):
        def stop(now):
            if now["step"] == 3:
                raise KeyboardInterrupt

        return run(brief, store, report=stop)

    monkeypatch.setattr(_work, "_EVERY", 0.0)
    monkeypatch.setattr(Brief, "run", until_the_third)
    status, _, err = in_process(capsys, "search", spec, "--out", stopped)
    assert status == 130
    assert f"the steps before are in {stopped / 'search.af'}; the same command goes on" in err
    assert {path.name for path in stopped.iterdir()} == {"brief.toml", "search.af"}
    begun = []
    monkeypatch.setattr(
        Brief, "run", lambda b, store: run(b, store, report=lambda now: begun.append(now["step"]))
    )
    assert in_process(capsys, "search", spec, "--out", stopped)[0] == 0
    assert begun == [4, 5]
    assert account(stopped) == report
    assert eqx.tree_equal(af.load(stopped / "schedule.af"), schedule)

    # Another brief is another search: the folder's is not gone on with.
    line = refused(capsys, "search", spec, "--out", stopped, "--seed", 1)
    assert f"{stopped} holds a search by another brief" in line


def test_flags_are_the_brief_s_steps_and_seed(capsys, spec, monkeypatch):
    calls = []

    def run(brief, store):
        calls.append((brief.search.steps, brief.search.seed, store))
        raise RuntimeError("The search found nothing:\n none was finite.")

    monkeypatch.setattr(Brief, "run", run)
    status, out, err = in_process(capsys, "search", spec, "--steps", 9, "--seed", 4)
    assert (status, out) == (1, "four tokens apart\n")
    assert err == "attnflow: The search found nothing: none was finite.\n"
    assert calls == [(9, 4, None)]


def test_ctrl_c_says_how_to_go_on(capsys, spec, monkeypatch, tmp_path):
    def stop(brief, store):
        raise KeyboardInterrupt

    monkeypatch.setattr(Brief, "run", stop)
    status, _, err = in_process(capsys, "search", spec)
    assert (status, err.count("\n")) == (130, 1)
    assert "with --out the same command would go on" in err
    status, _, err = in_process(capsys, "search", spec, "--out", tmp_path / "o")
    assert (status, err.count("\n")) == (130, 1)
    assert "interrupted before the first steps were written" in err


def test_the_package_for_a_search_without_gradients_is_asked_for_in_one_line(
    capsys, spec, monkeypatch
):
    spec.write_text(SMALL.replace("steps = 5", 'steps = 5\noptimiser = "cma"'))
    monkeypatch.setitem(sys.modules, "cma", None)
    status, _, err = in_process(capsys, "search", spec)
    assert (status, err.count("\n")) == (2, 1)
    assert 'pip install "attnflow[search]"' in err


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("search", "give a brief, as FILE.toml or by a name"),
        ("search nope", "`nope` is neither a .toml file nor one of the ready briefs accelerate"),
        ("search absent.toml", "absent.toml"),
        ("search mine.toml --show", "`mine.toml` is not one of the ready briefs"),
        ("search delay --list", "--list stands by itself: leave out SPEC"),
        ("search --list --seed 1", "--list stands by itself: leave out --seed"),
        ("search delay --show --out o", "--show stands by itself: leave out --out"),
        ("search delay --steps 0", "--steps"),
        ("search delay --seed -1", "--seed"),
        ("search delay --step 3", "--step"),
    ],
)
def test_bad_words_are_refused_in_one_line_that_names_them(
    capsys, tmp_path, monkeypatch, words, reason
):
    monkeypatch.chdir(tmp_path)
    assert reason in refused(capsys, *words.split())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("sd = 1.0", "sd = 1.0\npieces = 3", "$.search.P: `pieces` is for other families"),
        ('"causal"', '"casual"', "$.attention.mask"),
        ("count = 4", "count = 0", "$.tokens.count"),
        ("[search.P]", "[search.Q]", "$.search: Object contains unknown field `Q`"),
    ],
)
def test_a_bad_brief_is_refused_with_file_place_and_key(capsys, spec, old, new, reason):
    assert old in SMALL
    spec.write_text(SMALL.replace(old, new))
    assert f"attnflow: {spec}: {reason}" in refused(capsys, "search", spec)


def test_what_does_not_fit_is_refused_with_file_and_place(capsys, spec):
    spec.write_text(SMALL.replace('"causal"', '"causal"\nU = [[1.0]]').replace("title", "# title"))
    assert f"attnflow: {spec}: $.attention: " in refused(capsys, "search", spec)


@pytest.mark.slow
def test_the_ready_brief_with_a_sphere_beats_what_it_began_with(capsys, tmp_path):
    words = ("delay-values", "--steps", 25, "--out", tmp_path)
    status, out, err = in_process(capsys, "search", *words)
    assert (status, err) == (0, "")
    assert "best constant P" in out
    rows = {row["name"]: row for row in account(tmp_path)["standing"]["rows"]}
    before = rows["before"]
    assert before["found minus this"] > 5 * before["its standard error"]
    U = af.load(tmp_path / "schedule.af")["U"]
    for t in np.linspace(0, 20, 7):
        now = np.asarray(U(t))
        np.testing.assert_allclose(now, now.T, atol=1e-14)
        assert np.linalg.norm(now, 2) < 1
