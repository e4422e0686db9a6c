"""`gendkit plugins new`: what it says, and how it fails."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]


def test_the_next_three_commands_are_said(
    gendkit: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    said = gendkit("plugins", "new", "loss", "focal")
    assert (said.code, said.err) == (0, "")
    assert said.out.splitlines() == [
        "gendkit-focal has a loss that works. Next:",
        '  cd gendkit-focal && python -m pip install -e ".[test]"',
        "  gendkit plugins check focal",
        "  python -m pytest",
        "README.md there says what to change.",
    ]
    assert (tmp_path / "gendkit-focal" / "pyproject.toml").is_file()


def test_a_folder_with_a_space_in_its_name_is_said_as_a_shell_takes_it(
    gendkit: Run, tmp_path: Path
):
    out = tmp_path / "my plugins" / "one"
    said = gendkit("plugins", "new", "face-extractor", "eyes", "--out", str(out))
    assert said.out.splitlines()[0] == f"{out} has a face extractor that works. Next:"
    assert shlex.split(said.out.splitlines()[1])[:2] == ["cd", str(out)]


def test_a_name_that_is_taken_is_one_line(gendkit: Run, tmp_path: Path):
    said = gendkit("plugins", "new", "loss", "uniformity", "--out", str(tmp_path / "out"))
    assert said.code == 1
    assert said.out == ""
    (line,) = said.err.splitlines()
    assert line.startswith("gendkit: error: there is a loss 'uniformity' already, of gendkit ")
    assert list(tmp_path.iterdir()) == []


def test_a_kind_that_is_missing_is_told_with_the_kinds_there_are(gendkit: Run):
    said = gendkit("plugins", "new")
    assert said.code == 2
    assert "Choose from: backbone, face-extractor, loss, dataset, tracker" in said.err


def test_a_kind_that_does_not_exist_is_wrong_usage(gendkit: Run):
    said = gendkit("plugins", "new", "optimizer", "adam")
    assert said.code == 2
    assert "'optimizer' is not one of 'backbone', 'face-extractor', 'loss'" in said.err
