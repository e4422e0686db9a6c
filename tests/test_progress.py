"""Progress bars: one a task, on stderr, and only for people."""

from __future__ import annotations

import io
import sys

import pytest

from gendkit.progress import Bars, silent


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_sees_each_task_and_nothing_stays(monkeypatch: pytest.MonkeyPatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    bars = Bars()
    for text in ("extract", "train"):
        for i in range(3):
            bars(i + 1, 3, text)
    shown = terminal.getvalue()
    assert "extract" in shown
    assert "train" in shown
    assert shown.endswith("\r")  # the last bar is wiped


def test_a_file_gets_no_bar(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    file = io.StringIO()
    monkeypatch.setattr(sys, "stderr", file)
    bars = Bars()
    for i in range(3):
        bars(i + 1, 3, "extract")
    assert file.getvalue() == ""
    assert capsys.readouterr().out == ""


def test_a_bar_that_is_given_up_can_be_closed_twice(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    bars = Bars()
    bars(1, 3, "extract")
    bars.close()
    bars.close()
    silent(1, 3, "extract")
