"""`attnflow certify` proves synchronisation, and `--check` chooses the checker by the file's kind."""

import pytest

from attnflow.cover import synchronisation
from tests.test_cli import in_process, refused


@pytest.fixture
def proof(tmp_path):
    path = tmp_path / "proof.json"
    synchronisation(3, ("-2/3", -0.16), progress=False).save(path)
    return path


def test_a_cover_s_certificate_is_checked(capsys, proof):
    status, out, err = in_process(capsys, "certify", "--check", proof)
    assert (status, err) == (0, "")
    assert out.startswith(f"{proof} holds\nFor every beta with -2/3 < beta <= -0.16 and 3 tokens")


def test_one_that_was_altered_is_refused_with_status_one(capsys, proof):
    proof.write_text(proof.read_text().replace('"-2/3"', '"-0.7"', 1))
    status, out, err = in_process(capsys, "certify", "--check", proof)
    assert (status, out) == (1, "")
    assert err.count("\n") == 1
    assert "proves nothing: not shown: an unaltered file" in err


def test_it_is_about_no_claim_of_a_search(capsys, proof):
    status, out, err = in_process(capsys, "certify", "--check", proof, "--claim", "3.2")
    assert (status, out) != (0, "")
    assert err.count("\n") == 1


def test_a_proof_from_the_command_line_is_one_that_checks(capsys, tmp_path):
    path = tmp_path / "four.json"
    arguments = ("certify", "--tokens", "4", "--beta=-2/3,-0.16", "--out", path)
    status, out, err = in_process(capsys, *arguments)
    assert (status, err) == (0, "")
    assert out.startswith("proved: synchronisation of 4 tokens")
    assert out.endswith(f"wrote {path}\n")
    assert in_process(capsys, "certify", "--check", path)[0] == 0


def test_where_something_else_is_stable_the_status_is_one_and_nothing_is_written(capsys, tmp_path):
    path = tmp_path / "three.json"
    arguments = ("certify", "--tokens", "3", "--beta=-0.9,-0.7", "--out", path)
    status, out, _ = in_process(capsys, *arguments)
    assert status == 1
    assert "not decided" in out
    assert not path.exists()


@pytest.mark.parametrize(
    "wrong",
    [
        ("--tokens", "3"),
        ("--beta=-0.6,-0.2",),
        ("--tokens", "3", "--beta=-0.6"),
        ("--tokens", "1", "--beta=-0.6,-0.2"),
        ("--tokens", "3", "--beta=x,y"),
        ("file.json", "--tokens", "3", "--beta=-0.6,-0.2"),
    ],
)
def test_half_a_question_is_refused_in_one_line(capsys, wrong):
    refused(capsys, "certify", *wrong)


def test_a_claim_that_resisted_is_proved_by_the_command_that_falsify_ends_with(capsys, tmp_path):
    path = tmp_path / "three.json"
    status, out, err = in_process(
        capsys, "certify", "--claim", "circle", "--tokens", 3, "--out", path
    )
    assert (status, err) == (0, "")
    assert "3 tokens on the circle for beta from -2/3 (itself left out) to -0.16" in out
    assert in_process(capsys, "certify", "--check", path)[0] == 0


@pytest.mark.parametrize(
    "wrong",
    [
        ("--claim", "circle"),
        ("--claim", "no hemisphere", "--tokens", "3"),
        ("--claim", "3.2 with jumps", "--tokens", "3"),
        ("--claim", "circle", "--tokens", "3", "--beta=-0.9,0.1"),
        ("--claim", "of no one", "--tokens", "3"),
    ],
)
def test_claims_that_are_not_within_reach_are_refused_in_one_line(capsys, wrong):
    refused(capsys, "certify", *wrong)
