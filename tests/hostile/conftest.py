"""What a refusal is: one `ValueError` of one line that names the argument, at once, and no more than that."""

import resource
import time

import pytest

_SECONDS, _GROWTH = 2.0, 500 * 2**10  # of one case: its processor's time, and memory in KiB


@pytest.fixture(autouse=True)
def _at_once(request):
    """No case takes long or much memory: what it would have made is refused before it is made.

    Tests of right numbers, which ask for no refusal, may compile what they compute.
    """
    if "as_user" not in request.fixturenames:
        yield
        return
    began, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert time.process_time() - began < _SECONDS
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < _GROWTH


@pytest.fixture
def refused(as_user):
    """A call that must be refused in one line holding `words`."""

    def check(call, words: str) -> None:
        with pytest.raises(ValueError) as caught:
            call()
        message = str(caught.value)
        assert type(caught.value) is ValueError
        assert words in message, message
        assert "\n" not in message
        assert len(message) < 500

    return check
