"""`attnflow sweep basins` as a person uses it."""

import json

import numpy as np
import pytest

from tests.test_cli import in_process, refused

SMALL = ("sweep", "basins", "--tokens", "4", "--starts", "60", "--points", "2", "--t1", "60")


@pytest.mark.slow
def test_basins_prints_a_table_and_leaves_numbers_and_a_picture(capsys, tmp_path):
    status, out, _ = in_process(capsys, *SMALL, "--beta", "0.3,3", "--out", tmp_path / "b")
    assert status == 0
    assert "born at 0.549306144" in out
    assert (tmp_path / "b" / "basins.png").read_bytes().startswith(b"\x89PNG")
    account = json.loads((tmp_path / "b" / "basins.json").read_text())
    assert account["beta"] == [0.3, 3.0]
    assert sum(track["share"][1] for track in account["attractors"]) == pytest.approx(1)
    (two,) = [track for track in account["attractors"] if track["masses"] == [2, 2]]
    assert two["born"]["beta"] == pytest.approx(np.arctanh(0.5), abs=1e-10)
    assert "provenance" in account
    status, out, _ = in_process(capsys, "sweep", "status", tmp_path / "b")
    assert status == 0
    assert "2 of 2" in out
    shard = next((tmp_path / "b").glob("value-*.npz"))
    before = (tmp_path / "b" / "basins.json").read_bytes()
    shard.write_bytes(b"torn")
    assert in_process(capsys, "sweep", "status", tmp_path / "b")[0] == 1
    assert in_process(capsys, *SMALL, "--beta", "0.3,3", "--out", tmp_path / "b")[0] == 0
    assert (tmp_path / "b" / "basins.json").read_bytes() == before


@pytest.mark.slow
def test_basins_over_tokens_and_noise(capsys):
    words = ("sweep", "basins", "--starts", "20", "--points", "2", "--t1", "20")
    status, out, _ = in_process(capsys, *words, "--over", "tokens", "--tokens", "2,3")
    assert status == 0
    assert "consensus 2" in out
    over = ("--over", "noise", "--noise", "0,0.5", "--tokens", "2")
    assert in_process(capsys, *words, *over)[0] == 0


@pytest.mark.slow
def test_a_cases_own_number_of_tokens_is_kept(capsys, tmp_path):
    words = ("sweep", "basins", "triangle", "--starts", "4", "--points", "2", "--t1", "5")
    assert in_process(capsys, *words, "--out", tmp_path)[0] == 0
    assert json.loads((tmp_path / "basins.json").read_text())["tokens"] == 3


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("--beta 1", "--beta must be two different values"),
        ("--points 1", "--points 2 at least"),
        ("--over tokens", "--tokens must be two different values"),
        ("--over tokens --tokens 2,4 --beta 1,2", "--beta must be one number"),
        ("--tokens 2.5", "--tokens must be a whole number"),
        ("--noise -1", "--noise must be zero or more; got -1"),
        ("--beta=", "--beta must be finite numbers"),
        ("--eigenvalues 1,x", "--eigenvalues must be finite numbers"),
        ("--eigenvalues 1", "--eigenvalues must be two at least"),
        ("nowhere.toml", "nowhere.toml"),
        ("figure2", "must not change in time, or nothing comes to rest"),
    ],
)
def test_bad_words_are_refused_in_one_line(capsys, words, reason):
    assert reason in refused(capsys, "sweep", "basins", *words.split())
