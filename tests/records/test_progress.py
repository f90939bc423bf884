"""A bar on a terminal, silence elsewhere."""

import io

import attnflow as af


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_nothing_is_printed_when_the_stream_is_not_a_terminal():
    stream = io.StringIO()
    assert list(af.records.progress(range(3), description="steps", file=stream)) == [0, 1, 2]
    assert stream.getvalue() == ""


def test_a_terminal_shows_the_description_and_the_count():
    stream = Terminal()
    with af.records.progress(total=2, description="steps", file=stream) as bar:
        bar.update(2)
        bar.refresh()
    assert "steps" in stream.getvalue()
    assert "2/2" in stream.getvalue()
