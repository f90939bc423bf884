"""`attnflow gallery` as a person uses it."""

import pytest

from attnflow import gallery
from attnflow.cli import main
from attnflow.gallery import GalleryClaim, GalleryReport


def in_process(capsys, *arguments) -> tuple[int, str, str]:
    status = main([str(a) for a in arguments])
    out, err = capsys.readouterr()
    return status, out, err


def test_the_list_names_every_figure_with_its_paper(capsys):
    status, out, err = in_process(capsys, "gallery", "--list")
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert [line.split()[0] for line in lines] == list(gallery.figure_names())
    assert all("arXiv:" in line for line in lines)


def test_a_figure_is_drawn_and_its_table_printed(capsys, tmp_path):
    status, out, err = in_process(capsys, "gallery", "staircase", "--out", tmp_path / "new")
    assert (status, err) == (0, "")
    assert "3 of 3 hold." in out
    assert {file.suffix for file in (tmp_path / "new").iterdir()} == {
        ".png",
        ".npz",
        ".json",
        ".txt",
    }


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "name some figures, or use --all"),
        (("nothing",), "must be a figure of the gallery"),
        (("polytop",), "did you mean polytope?"),
        (("polytope", "--all"), "names or --all, not both"),
        (("--list", "--full"), "--list draws nothing"),
        (("polytope", "--seed", "-1"), "seed"),
    ],
    ids=str,
)
def test_bad_input_is_one_line_and_writes_nothing(capsys, tmp_path, arguments, says):
    out = tmp_path / "out"
    given = arguments if "--list" in arguments else (*arguments, "--out", out)
    status, printed, err = in_process(capsys, "gallery", *given)
    assert (status, printed) == (2, "")
    assert says in err
    assert err.count("\n") == 1
    assert not out.exists()


@pytest.mark.parametrize(("holds", "status"), [(True, 0), (False, 1)])
def test_the_status_says_whether_a_line_failed(capsys, monkeypatch, tmp_path, holds, status):
    shown = gallery.draw("staircase", size="tiny")
    claim = GalleryClaim("2410.06833", "a claim", "1", holds, contradicts="a number")
    report = GalleryReport((gallery.GalleryFigure(**{**vars(shown), "claims": (claim,)}),), ())
    monkeypatch.setattr(gallery, "exhibit", lambda *given, **options: report)
    assert in_process(capsys, "gallery", "--all", "--out", tmp_path)[0] == status
