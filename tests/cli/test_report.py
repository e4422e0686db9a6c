"""`gendkit report` and its check: files, one line on nonsense, exit codes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gendkit.testing.small import small_crops

Run = Callable[..., Any]
FEW = ("--frames", 2, "--draws", 1, "-k", 2)


@pytest.fixture
def store(gendkit: Run, adapter: Path, tmp_path: Path) -> Path:
    """Crops of six people, embedded."""
    (tmp_path / "crops").mkdir()
    small_crops(tmp_path / "crops", identities=[f"p{i}" for i in range(6)], frames=1)
    said = gendkit("embed", tmp_path / "crops", tmp_path / "r.zarr", "--adapter", adapter)
    assert said.code == 0
    return tmp_path / "r.zarr"


def test_a_report_is_written_and_holds_and_a_change_is_told(
    gendkit: Run,
    adapter: Path,
    picture: Path,
    store: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    ask = (picture, "--adapter", adapter, "--reference", store, *FEW)
    said = gendkit("report", *ask)
    assert said.code == 0, said.err
    page = Path(f"{picture.stem}.html")
    assert said.out.splitlines()[0].startswith("person 1: score 0.")
    assert page.is_file()
    assert page.with_suffix(".json").is_file()
    again = gendkit("report", *ask)
    assert again.code == 1
    assert "already there" in again.complaints[0]
    checked = gendkit("report", "verify", page)
    assert checked.code == 0
    assert "holds" in checked.out
    page.write_text(page.read_text().replace("no verdict", "a verdict"))
    changed = gendkit("report", "verify", page, "--json")
    assert changed.code == 1
    assert json.loads(changed.out)["holds"] is False
    assert "page" in gendkit("report", "verify", page).out


def test_nonsense_is_told_in_one_line(
    gendkit: Run, adapter: Path, picture: Path, store: Path, tmp_path: Path
) -> None:
    ask = ("--adapter", adapter, "--reference", store)
    for arguments, code, words in [
        (("report", tmp_path / "none.mp4", *ask), 1, "no file"),
        (("report", picture, *ask, "--out", tmp_path / "a.pdf"), 1, "NAME.html"),
        (("report", picture, *ask, "--known", "ann"), 2, "NAME=VALUE"),
        (("report", picture, *ask, "--known", "age=7"), 1, "known has age"),
        (("report", picture, "--adapter", adapter), 2, "--reference"),
        (("report", picture, "--adapter", adapter, "--reference", tmp_path), 1, "no embeddings"),
        (("report", "verify", tmp_path / "none.html"), 1, "no report"),
        (("report", "verify", picture), 1, "no clip report"),
    ]:
        said = gendkit(*arguments)
        assert said.code == code, (arguments, said)
        assert len(said.complaints) == 1, said
        assert words in said.complaints[0]
    assert not list(tmp_path.glob("*.html"))


def test_help_names_both_uses(gendkit: Run) -> None:
    said = gendkit("report", "--help")
    assert said.code == 0
    assert "MEDIA --adapter" in said.out
    assert "verify FILE" in said.out
    assert "--known" in said.out
