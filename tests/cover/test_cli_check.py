"""`attnflow certify --check` chooses the checker by the file's kind."""

import pytest

from attnflow.cover import synchronisation
from tests.test_cli import in_process


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
