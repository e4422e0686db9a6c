"""`gendkit extract`: what IN may be, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gendkit.data.manifest import Manifest

Run = Callable[..., Any]
pytestmark = pytest.mark.usefixtures("toys")
BRIGHT = ("--extractor", "bright")


def test_a_folder_becomes_crops_with_a_manifest(gendkit: Run, videos: Path, tmp_path: Path):
    out = tmp_path / "crops"
    said = gendkit("extract", videos, out, *BRIGHT, "--frames", 4, "--json")
    assert said.code == 0
    found = json.loads(said.out)
    manifest = Manifest.read(out)
    assert found["manifest"] == str(out / "manifest.parquet")
    assert found["clips"] == 4
    assert found["crops"] == len(manifest.faces()) == 12
    assert found["without_face"] == len(manifest) - 12 >= 24
    assert found["reasons"]["no face found"] == found["without_face"]
    assert [clip for clip in found["problems"] if "cut" in clip]


def test_a_person_is_told_the_counts(gendkit: Run, picture: Path, tmp_path: Path):
    said = gendkit("extract", picture, tmp_path / "crops", *BRIGHT)
    assert said.code == 0
    assert said.err == ""
    assert (
        said.out == f"1 face crops of 1 clips in {tmp_path / 'crops'} (0 frames without a face)\n"
    )


def test_a_dataset_is_meant_by_its_name_with_options(gendkit: Run, tmp_path: Path):
    out = tmp_path / "crops"
    options = ("-o", "identities=10", "-o", "clips=1", "-o", "controls=false")
    said = gendkit("extract", "synthetic", out, *options, "-o", "splits=[train]", "--json")
    assert said.code == 0, said.err
    table = Manifest.read(out).table
    assert set(table["dataset"]) == {"synthetic"}
    assert set(table["split"]) == {"train"}
    assert table["target_identity"].nunique() == 5
    assert set(table["label"]) == {0, 1}


def test_a_dataset_wins_over_a_folder_of_its_name(
    gendkit: Run, picture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "synthetic").mkdir()
    (tmp_path / "synthetic" / "a.png").write_bytes(picture.read_bytes())
    said = gendkit("extract", "./synthetic", "one", *BRIGHT, "--json")
    assert json.loads(said.out)["clips"] == 1
    small = ("-o", "identities=10", "-o", "clips=1", "-o", "controls=false")
    said = gendkit("extract", "synthetic", "many", *small, "--json")
    assert json.loads(said.out)["clips"] > 10


def test_a_dataset_of_files_is_given_its_folder(gendkit: Run, tmp_path: Path):
    said = gendkit("extract", f"photos:{tmp_path / 'nowhere'}", tmp_path / "crops")
    assert said.code == 1
    assert said.err.splitlines() == said.complaints
    assert str(tmp_path / "nowhere") in said.err
    assert not (tmp_path / "crops").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("nowhere", "out"), 1, "there is no file or folder nowhere"),
        (("synthetic", "out", "-o", "identity=3"), 2, "unexpected keyword argument 'identity'"),
        (("synthetic", "out", "-o", "identities"), 2, "expected NAME=VALUE, got 'identities'"),
        (("synthetic", "out", "-o", "identities=[1"), 2, "the value is no number"),
        (
            ("nowhere", "out", "-o", "identities=3"),
            2,
            "options are for datasets (photos, synthetic)",
        ),
        (("nowhere", "out", "--order", "backwards"), 2, "'backwards' is not one of"),
    ],
)
def test_bad_input_is_one_line_and_leaves_no_output(
    gendkit: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...],
    code: int, words: str,
):  # fmt: skip
    monkeypatch.chdir(tmp_path)
    said = gendkit("extract", *arguments)
    assert (said.code, said.out) == (code, "")
    (line,) = said.err.splitlines()
    assert line.startswith("gendkit: error: ")
    assert words in line
    assert list(tmp_path.iterdir()) == []


def test_an_output_is_replaced_only_when_told(gendkit: Run, picture: Path, tmp_path: Path):
    out = tmp_path / "crops"
    assert gendkit("extract", picture, out, *BRIGHT).code == 0
    before = (out / "manifest.parquet").read_bytes()
    said = gendkit("extract", picture, out, *BRIGHT, "--scale", 2)
    assert said.code == 1
    assert "--overwrite" in said.complaints[0]
    assert (out / "manifest.parquet").read_bytes() == before
    assert gendkit("extract", picture, out, *BRIGHT, "--scale", 2, "--overwrite").code == 0
    assert Manifest.read(out).meta["scale"] == 2
