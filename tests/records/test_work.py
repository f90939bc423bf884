"""What long work goes on from."""

import json

import numpy as np
import pytest

import attnflow as af
from attnflow.records import WorkStore, digest_of


def store(path, **values):
    return WorkStore(path, "work.json", "attnflow test 1", {"asked": values}, "a test")


def begin(path, **values):
    work = store(path, **values)
    if work.read() is None:
        work.record()
    return work


def test_units_are_there_again_for_the_same_work(tmp_path):
    begin(tmp_path / "new" / "folder", steps=3, name="x").write("a.unit", b"done")
    again = begin(tmp_path / "new" / "folder", steps=3, name="x")
    assert again.unit("a.unit") == b"done"
    assert again.unit("b.unit") is None
    assert again.names() == ["a.unit", "work.json"]
    again.remove("a.unit")
    again.remove("a.unit")
    assert begin(tmp_path / "new" / "folder", steps=3, name="x").names() == ["work.json"]


def test_work_with_another_value_is_refused_by_its_name(tmp_path):
    begin(tmp_path, steps=3, name="x")
    words = r"`store` .*work.json is of a test with another 'steps' \(3; asked for 4\)"
    with pytest.raises(ValueError, match=words):
        begin(tmp_path, steps=4, name="x")
    with pytest.raises(ValueError, match="of a test with other arguments"):
        begin(tmp_path, steps=3)  # of fewer, by the digest


@pytest.mark.parametrize("content", [b"", b"[1]", b'{"format": "another"}', b"\xff\xfe"])
def test_a_folder_of_something_else_is_refused(tmp_path, content):
    (tmp_path / "work.json").write_bytes(content)
    with pytest.raises(ValueError, match="work.json is not the account of a test"):
        begin(tmp_path, steps=3)
    assert (tmp_path / "work.json").read_bytes() == content


def test_the_account_says_what_was_asked_for_how_far_it_came_and_where_it_was_made(tmp_path):
    begin(tmp_path, steps=3).record({"done": 2})
    account = begin(tmp_path, steps=3).read()
    assert account == json.loads((tmp_path / "work.json").read_text())
    assert account is not None
    assert (account["asked"], account["done"]) == ({"steps": 3}, 2)
    assert account["digest"] == digest_of({"asked": {"steps": 3}})
    assert "versions" in account["provenance"]


def test_work_is_read_whatever_it_is_of(tmp_path):
    begin(tmp_path, steps=3)
    anything = WorkStore(tmp_path, "work.json", "attnflow test 1", None, "a test").read()
    assert anything == store(tmp_path, steps=3).read()
    assert store(tmp_path / "none").read() is None


def test_an_account_without_a_digest_is_held_to_its_values(tmp_path):
    """As version 0.9 and those after it wrote them."""
    old = {"format": "attnflow test 1", "asked": {"steps": 3}, "provenance": {}}
    (tmp_path / "work.json").write_text(json.dumps(old))
    assert store(tmp_path, steps=3).read() == old
    with pytest.raises(ValueError, match="another 'steps'"):
        store(tmp_path, steps=4).read()


def test_work_on_arrays_has_its_digest_and_the_arrays_in_one_file(tmp_path):
    def work(digest):
        return WorkStore(tmp_path, "search.af", "attnflow test 1", digest, "a test")

    given = digest_of(np.arange(3.0), "x")
    assert work(given).read() is None
    work(given).record({"step": 2, "state": [np.arange(4.0)]})
    again = work(given).read()
    assert again is not None
    assert again["step"] == 2
    np.testing.assert_array_equal(again["state"][0], np.arange(4.0))
    with pytest.raises(ValueError, match="of a test with other arguments"):
        work(digest_of(np.arange(4.0), "x")).read()
    af.save(tmp_path / "search.af", {"format": "something"})
    with pytest.raises(ValueError, match="not the account of a test"):
        work(given).read()


def test_an_account_at_an_address_is_the_file_that_it_names():
    pytest.importorskip("fsspec")
    address = "memory://works/one/work.json"
    kind = ("attnflow test 1", {"steps": 3}, "a test")
    WorkStore.of_file(address, *kind).record({"done": 2})
    again = WorkStore.of_file(address, *kind)
    assert again.address == address
    assert again.read()["done"] == 2
    with pytest.raises(ValueError, match=r"`store` 'memory://work.json' names no file in a folder"):
        WorkStore.of_file("memory://work.json", *kind)


def test_arrays_are_kept_on_this_machine_alone(tmp_path):
    pytest.importorskip("fsspec")
    kind = ("attnflow test 1", digest_of([1.0]), "a search")
    with pytest.raises(
        ValueError, match=r"`store` memory://works/two/work.af is an address.*path of a file"
    ):
        WorkStore.of_file("memory://works/two/work.af", *kind)
    work = WorkStore.of_file(f"file://{tmp_path}/work.af", *kind)
    work.record({"state": np.arange(3.0)})
    assert (tmp_path / "work.af").exists()
    np.testing.assert_array_equal(work.read()["state"], np.arange(3.0))
