"""Files that users bring: where they are looked for, and what is said of one that is not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from gendkit.data.brought import BroughtFile
from gendkit.errors import MissingAsset

FILE = BroughtFile(
    needed_by="Finder",
    file="finder.onnx",
    folder="finders",
    variable="GENDKIT_FINDER",
    origin="its makers give it at example.org for research only",
)


@pytest.fixture(autouse=True)
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENDKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv(FILE.variable, raising=False)


def test_the_first_that_is_named_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given, named = tmp_path / "given.onnx", tmp_path / "named.onnx"
    FILE.place.parent.mkdir(parents=True)
    for path in (given, named, FILE.place):
        path.touch()
    assert FILE.path() == FILE.place
    monkeypatch.setenv(FILE.variable, "")
    assert FILE.path() == FILE.place
    monkeypatch.setenv(FILE.variable, str(named))
    assert FILE.path() == named
    assert FILE.path(str(given)) == given


def test_another_file_is_never_taken_for_a_missing_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    FILE.place.parent.mkdir(parents=True)
    FILE.place.touch()
    with pytest.raises(MissingAsset, match=r"no file .*gone\.onnx \(weights=\)"):
        FILE.path(tmp_path / "gone.onnx")
    monkeypatch.setenv(FILE.variable, str(tmp_path))  # a folder
    with pytest.raises(MissingAsset, match=r"\(\$GENDKIT_FINDER\)"):
        FILE.path()


def test_the_user_s_home_may_be_written_as_a_tilde(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    (tmp_path / "some.onnx").touch()
    assert FILE.path("~/some.onnx") == tmp_path / "some.onnx"


def test_a_missing_file_is_told_with_its_origin_and_the_ways_to_name_it(tmp_path: Path) -> None:
    place = tmp_path / "cache" / "finders" / "finder.onnx"
    with pytest.raises(MissingAsset) as raised:
        FILE.path()
    assert str(raised.value) == (
        f"Finder needs the file finder.onnx, and there is no file {place} (the cache). its makers "
        f"give it at example.org for research only; put it at {place}, name it in the environment "
        "variable GENDKIT_FINDER, or give weights=PATH."
    )
