"""Files are there whole or not at all."""

import errno
import os
import threading

import pytest

import attnflow as af


def test_what_is_written_is_there_afterwards_and_nothing_else(tmp_path):
    with af.records.atomic_write(tmp_path / "a.bin") as file:
        file.write(b"one")
        file.write(b"two")
    assert (tmp_path / "a.bin").read_bytes() == b"onetwo"
    assert os.listdir(tmp_path) == ["a.bin"]


def test_the_file_does_not_exist_before_the_block_ends(tmp_path):
    with af.records.atomic_write(tmp_path / "a.bin") as file:
        file.write(b"x" * 100_000)
        file.flush()
        assert not (tmp_path / "a.bin").exists()


def test_an_exception_leaves_the_old_file_as_it_was_and_no_litter(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with pytest.raises(ZeroDivisionError), af.records.atomic_write(path) as file:
        file.write(b"new")
        raise ZeroDivisionError
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.bin"]


def test_ctrl_c_leaves_no_litter(tmp_path):
    with pytest.raises(KeyboardInterrupt), af.records.atomic_write(tmp_path / "a.bin") as file:
        file.write(b"new")
        raise KeyboardInterrupt
    assert os.listdir(tmp_path) == []


def test_a_full_disk_is_told_in_one_line_and_leaves_no_litter(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with (
        pytest.raises(OSError, match=r"a\.bin`: No space left on device; free some") as caught,
        af.records.atomic_write(tmp_path / "a.bin") as file,
    ):
        file.write(b"new")
    assert caught.value.errno == errno.ENOSPC
    assert "\n" not in str(caught.value)
    assert os.listdir(tmp_path) == []


def test_a_missing_folder_is_named_and_its_remedy_told(tmp_path):
    with (
        pytest.raises(FileNotFoundError, match="make its folder first"),
        af.records.atomic_write(tmp_path / "no" / "a.bin"),
    ):
        pass


def test_a_folder_below_a_file_is_refused_with_the_path(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(NotADirectoryError, match=r"a part of the path is a file"),
        af.records.atomic_write(tmp_path / "file" / "a.bin"),
    ):
        pass


def test_a_folder_in_the_place_of_the_file_is_refused(tmp_path):
    (tmp_path / "a.bin").mkdir()
    with (
        pytest.raises(IsADirectoryError, match="a folder of that name is in the way"),
        af.records.atomic_write(tmp_path / "a.bin"),
    ):
        pass


def test_a_symbolic_link_is_followed_and_stays(tmp_path):
    (tmp_path / "real").mkdir()
    link = tmp_path / "link.bin"
    link.symlink_to(tmp_path / "real" / "a.bin")
    with af.records.atomic_write(link) as file:
        file.write(b"through")
    assert link.is_symlink()
    assert (tmp_path / "real" / "a.bin").read_bytes() == b"through"


def test_a_new_file_has_the_permissions_that_open_gives(tmp_path):
    (tmp_path / "plain").write_bytes(b"")
    with af.records.atomic_write(tmp_path / "atomic"):
        pass
    assert (tmp_path / "plain").stat().st_mode == (tmp_path / "atomic").stat().st_mode


def test_readers_never_see_a_part_while_writers_race(tmp_path):
    path = tmp_path / "a.bin"
    texts = [bytes([65 + i]) * 50_000 for i in range(4)]
    path.write_bytes(texts[0])

    def write(text):
        for _ in range(5):
            with af.records.atomic_write(path) as file:
                file.write(text)

    writers = [threading.Thread(target=write, args=(text,)) for text in texts]
    for writer in writers:
        writer.start()
    seen = set()
    while any(writer.is_alive() for writer in writers):
        seen.add(path.read_bytes())
    for writer in writers:
        writer.join()
    assert seen <= set(texts)
    assert os.listdir(tmp_path) == ["a.bin"]


def test_a_writable_folder_is_made_with_its_parents_and_left_empty(tmp_path):
    folder = af.records.writable_folder(tmp_path / "a" / "b")
    assert folder == tmp_path / "a" / "b"
    assert os.listdir(folder) == []


def test_an_unwritable_folder_is_refused_before_any_work(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"cannot write `.*file/out`: .*; .*") as caught:
        af.records.writable_folder(tmp_path / "file" / "out")
    assert "\n" not in str(caught.value)
    with pytest.raises(OSError, match="a file of that name is in the way"):
        af.records.writable_folder(tmp_path / "file")
