import io
import sys

from neuroalign import progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_without_a_terminal_nothing_is_written(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    assert list(progress.track([1, 2, 3], "Counting")) == [1, 2, 3]
    with progress.bar(5, "Adding") as advance:
        advance(5)
    assert stream.getvalue() == ""


def test_on_a_terminal_the_bar_counts_to_the_end(monkeypatch):
    stream = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr(sys, "stderr", stream)
    assert list(progress.track("abc", "Counting")) == ["a", "b", "c"]
    with progress.bar(10, "Adding") as advance:
        advance(4)
        advance(6)
    shown = stream.getvalue()
    assert "Counting" in shown and "3/3" in shown and "Adding" in shown and "10/10" in shown
    assert "left:" in shown
