"""Folders that long work goes on from."""

import json

import pytest

from attnflow.records import WorkFolder, read_account


def begin(path, **values):
    return WorkFolder(path, "work.json", "attnflow test 1", {"asked": values}, "a test")


def test_units_are_there_again_for_the_same_work(tmp_path):
    begin(tmp_path / "new" / "folder", steps=3, name="x").write("a.unit", b"done")
    again = begin(tmp_path / "new" / "folder", steps=3, name="x")
    assert again.read("a.unit") == b"done"
    assert again.read("b.unit") is None
    assert again.names() == ["a.unit", "work.json"]
    again.remove("a.unit")
    again.remove("a.unit")
    assert begin(tmp_path / "new" / "folder", steps=3, name="x").names() == ["work.json"]


def test_work_with_another_value_is_refused_by_its_name(tmp_path):
    begin(tmp_path, steps=3, name="x")
    with pytest.raises(
        ValueError, match=r"`store` .* is of a test with another 'steps' \(3; asked for 4\)"
    ):
        begin(tmp_path, steps=4, name="x")


@pytest.mark.parametrize("content", [b"", b"[1]", b'{"format": "another"}', b"\xff\xfe"])
def test_a_folder_of_something_else_is_refused(tmp_path, content):
    (tmp_path / "work.json").write_bytes(content)
    with pytest.raises(ValueError, match="work.json"):
        begin(tmp_path, steps=3)
    assert (tmp_path / "work.json").read_bytes() == content


def test_the_account_says_what_was_asked_for_and_where_it_was_made(tmp_path):
    begin(tmp_path, steps=3)
    account = read_account(tmp_path, "work.json", "attnflow test 1", "a test")
    assert account == json.loads((tmp_path / "work.json").read_text())
    assert account is not None
    assert account["asked"] == {"steps": 3}
    assert "versions" in account["provenance"]
    assert read_account(tmp_path / "none", "work.json", "attnflow test 1", "a test") is None
