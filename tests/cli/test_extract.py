"""`gendkit extract`: what IN may be, and what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from gendkit import processes
from gendkit.data.manifest import Manifest

Run = Callable[..., Any]
pytestmark = pytest.mark.usefixtures("toys")
BRIGHT = ("--extractor", "bright")


def test_a_folder_becomes_crops_with_a_manifest(gendkit: Run, videos: Path, tmp_path: Path):
    out = tmp_path / "crops"
    said = gendkit("extract", videos, out, *BRIGHT, "--frames", 4, "--json")
    assert said.code == 1, "one is dark, and one cut off"
    found = json.loads(said.out)
    manifest = Manifest.read(out)
    assert found["manifest"] == str(out / "manifest.parquet")
    assert found["clips"] == 4
    assert found["crops"] == len(manifest.faces()) == 12
    assert found["without_face"] == len(manifest) - 12 >= 24
    assert found["reasons"]["no face found"] == found["without_face"]
    assert [Path(clip).name for clip in found["problems"]] == ["cut.mp4", "dark.mp4"]


def test_crops_are_packed_on_request(gendkit: Run, picture: Path, tmp_path: Path):
    for name, options in (("plain", ()), ("packed", ("--pack",))):
        assert gendkit("extract", picture, tmp_path / name, *BRIGHT, *options).code == 0
    plain, packed = (Manifest.read(tmp_path / name) for name in ("plain", "packed"))
    assert plain.packed is None
    assert packed.packed is not None
    assert (packed.crop(0) == plain.crop(0)).all()


def test_what_failed_is_told_once_with_a_non_zero_code_and_the_rest_is_there(
    gendkit: Run, videos: Path, tmp_path: Path
):
    root = tmp_path / "media"
    shutil.copytree(videos, root)
    (root / "text.mp4").write_text("this is no video\n" * 50)
    said = gendkit("extract", root, tmp_path / "crops", *BRIGHT, "--frames", 4)
    assert said.code == 1
    assert len(Manifest.read(tmp_path / "crops").faces()) == 12
    assert said.out.startswith("12 face crops of 5 clips in ")
    assert [line.split(":")[2].strip() for line in said.complaints] == [
        *("media/cut.mp4", "media/dark.mp4", "media/text.mp4"),
    ]
    for words in ("cut off", "cannot be read", "has a usable face", "x no face found"):
        assert said.err.count(words) == 1
    assert len(said.err.splitlines()) == 4


@pytest.mark.parametrize("name", ["text.mp4", "dark.mp4", "pixel.png"])
def test_without_any_face_there_is_one_line_and_no_folder(
    gendkit: Run, videos: Path, tmp_path: Path, name: str
):
    source = tmp_path / name
    if name == "text.mp4":
        source.write_text("this is no video\n" * 50)
    elif name == "dark.mp4":
        shutil.copy(videos / name, source)
    else:
        Image.new("RGB", (1, 1), (255, 255, 255)).save(source)
    said = gendkit("extract", source, tmp_path / "crops", *BRIGHT, "--json")
    assert (said.code, said.out) == (1, "")
    (line,) = said.err.splitlines()
    assert line.startswith("gendkit: error: ")
    assert name in line
    assert [p.name for p in tmp_path.iterdir()] == [name]


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
    said = gendkit("extract", "synthetic", out, *options, "-o", "splits=train", "--json")
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
        (("synthetic", "out", "-o", "identity=3"), 2, "synthetic has no option 'identity'; there"),
        (("synthetic", "out", "-o", "identities=1e1"), 2, "whole number of 1 or more, got '1e1'"),
        (("synthetic", "out", "-o", "identities=2.5"), 2, "whole number of 1 or more, got 2.5"),
        (("synthetic", "out", "-o", "identities=0"), 2, "whole number of 1 or more, got 0"),
        (("synthetic", "out", "-o", "size=10"), 2, "size must be a whole number from 128 to 4096"),
        (("synthetic", "out", "-o", "splits=tset"), 1, "no split is named 'tset'"),
        (("synthetic", "out", "-o", "splits="), 2, "splits must be a name or a list of names"),
        (("synthetic", "out", "-o", "root=a"), 2, "'root' is no option"),
        (("synthetic:faces", "out"), 2, "synthetic draws its faces and takes no folder"),
        (("photos", "out"), 1, "photos was given no folder, expected one"),
        (("photos:", "out"), 1, "photos was given no folder, expected one"),
        (
            ("synthetic", "out", "-o", "identities=1", "-o", "splits=final"),
            1,
            "the dataset synthetic gives no clip",
        ),
        (("nowhere", "out", "--scale", "nan"), 2, "nan is not in the range"),
        (("nowhere", "out", "--scale", "1e9"), 2, "is not in the range"),
        (("nowhere", "out", "--size", "5000"), 2, "5000 is not in the range"),
        (("synthetic", "out", "-o", "identities"), 2, "expected NAME=VALUE, got 'identities'"),
        (("synthetic", "out", "-o", "identities=[1"), 2, "the value is no number"),
        (
            ("nowhere", "out", "-o", "identities=3"),
            2,
            "options are for datasets (photos, self-blended, synthetic)",
        ),
        (("nowhere", "out", "--order", "backwards"), 2, "'backwards' is neither spread"),
        (("nowhere", "out", "--order", "1,two"), 2, "nor numbers of frames such as 0,24,48"),
        (("nowhere", "out", "--workers", "0"), 2, "0 is not in the range"),
        (("nowhere", "out", "--time-limit", "-1"), 2, "-1.0 is not in the range"),
        (("nowhere", "out", "--time-limit", "inf"), 2, "inf is no number of seconds"),
        (("nowhere", "out", "--workers", "2", "--scheduler", "tcp://a:1"), 1, "give one"),
        (("synthetic", "out", "--scheduler", "tcp://127.0.0.1:1"), 1, "is not to be reached"),
        (("synthetic", "out", "--scheduler", "cluster"), 1, "is not to be reached"),
        (("nowhere", "out", "--which", "biggest"), 2, "'biggest' is not one of 'meant', 'largest'"),
        (("nowhere", "out", "--crop", "twin"), 2, "'twin' is not one of 'own', 'pair'"),
    ],
)
def test_bad_input_is_one_line_and_leaves_no_output(
    gendkit: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...],
    code: int, words: str,
):  # fmt: skip
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(processes, "WAIT", 0.5)
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


def test_the_same_command_on_a_finished_folder_says_the_same_and_changes_nothing(
    gendkit: Run, videos: Path, tmp_path: Path
):
    out = tmp_path / "crops"
    first = gendkit("extract", videos, out, *BRIGHT, "--frames", 4)
    before = {p: p.stat().st_mtime_ns for p in out.rglob("*")}
    again = gendkit("extract", videos, out, *BRIGHT, "--frames", 4)
    assert (again.code, again.out, again.err) == (first.code, first.out, first.err)
    assert {p: p.stat().st_mtime_ns for p in out.rglob("*")} == before


@pytest.mark.slow
def test_workers_write_the_same_folder(
    gendkit: Run, shared: Path, asset: Callable[[str], Path], tmp_path: Path
):
    asset("centerface")
    media = shared / "portraits"
    few = tmp_path / "few"
    few.mkdir()
    for portrait in sorted(media.glob("*.jpg"))[:4]:
        shutil.copy(portrait, few)
    for name, options in (("one", ()), ("two", ("--workers", 2)), ("bare", ("--time-limit", 0))):
        assert gendkit("extract", few, tmp_path / name, *options).code == 0
    one, two, bare = (Manifest.read(tmp_path / name) for name in ("one", "two", "bare"))
    assert one.meta == two.meta
    assert bare.meta["time_limit"] is None
    for path in one.table["path"]:
        read = {(tmp_path / name / path).read_bytes() for name in ("one", "two", "bare")}
        assert len(read) == 1


def test_the_rule_and_the_way_to_crop_stand_in_the_manifest(gendkit: Run, tmp_path: Path):
    out = tmp_path / "crops"
    ask = ("-o", "identities=3", "-o", "splits=train", "-o", "size=128", "--size", 32)
    said = gendkit("extract", "synthetic", out, *ask, "--which", "mask", "--crop", "pair")
    assert said.code == 0, said.err
    made = Manifest.read(out)
    assert (made.meta["which"], made.meta["crop"]) == ("mask", "pair")
    table = made.table
    of_real = {row.pair: list(row.landmarks) for row in table[table["label"] == 0].itertuples()}
    fakes = list(table[table["label"] == 1].itertuples())
    assert fakes
    assert all(list(row.landmarks) == of_real[row.pair] for row in fakes)


def test_a_whole_picture_is_kept_to_the_pixel(gendkit: Run, picture: Path, tmp_path: Path):
    import numpy as np

    from gendkit.data.media import read_image

    out = tmp_path / "crops"
    assert gendkit("extract", picture, out, "--extractor", "whole-frame").code == 0
    np.testing.assert_array_equal(Manifest.read(out).crop(0), read_image(picture))
    said = gendkit("extract", picture, tmp_path / "no", "--extractor", "whole-frame", "--scale", 2)
    assert said.code == 1
    assert "whole-frame keeps whole pictures, which have none; leave it away" in said.complaints[0]


def test_crops_are_kept_in_a_zarr_on_request(gendkit: Run, picture: Path, tmp_path: Path):
    out = tmp_path / "crops"
    refused = gendkit("extract", picture, out, *BRIGHT, "--store", "zarr")
    assert refused.code != 0
    assert "give it in pixels, such as --size 224" in refused.complaints[0]
    assert not out.exists()
    for _ in range(2):
        made = gendkit("extract", picture, out, *BRIGHT, "--store", "zarr", "--size", 32)
        assert made.code == 0
        assert Manifest.read(out).crop(0).shape == (32, 32, 3)
    assert sorted(path.name for path in out.iterdir()) == ["crops.zarr", "manifest.parquet"]
    other = gendkit("extract", picture, out, *BRIGHT, "--size", 32)
    assert other.code != 0, "PNG files are another output"


def test_a_sheet_of_the_crops_is_made_on_request(gendkit: Run, picture: Path, tmp_path: Path):
    said = gendkit("extract", picture, tmp_path / "crops", *BRIGHT, "--sheet", "--json")
    assert json.loads(said.out)["sheet"] == str(tmp_path / "crops" / "sheet.html")
    assert (tmp_path / "crops" / "sheet.html").read_text("utf-8").count("<img") == 1
    said = gendkit("extract", picture, tmp_path / "crops", *BRIGHT, "--sheet", "--overwrite")
    assert f"to look at: {tmp_path / 'crops' / 'sheet.html'}" in said.out
