"""What a refusal is: one `ValueError` of one line that names the argument, and no more than that."""

import pytest


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
