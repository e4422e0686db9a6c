"""`gendkit score`: what a person, a program and a shell see of good and of bad files."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]


@pytest.fixture
def media(picture: Path, videos: Path, tmp_path: Path) -> Path:
    """A folder with one file of each kind of good and bad input."""
    from PIL import Image

    folder = tmp_path / "media"
    folder.mkdir()
    shutil.copy(picture, folder / "bright.png")
    for name in ("cut", "dark", "half"):
        shutil.copy(videos / f"{name}.mp4", folder)
    (folder / "text.mp4").write_text("this is no video\n" * 50)
    Image.new("RGB", (1, 1), (255, 255, 255)).save(folder / "pixel.png")
    (folder / "notes.txt").write_text("no medium at all")
    return folder


def test_a_picture_is_scored(gendkit: Run, adapter: Path, picture: Path):
    said = gendkit("score", picture, "--adapter", adapter)
    assert said.code == 0
    assert said.err == ""
    header, row = said.out.splitlines()
    assert header.split() == ["file", "score", "faces", "looked", "at", "frames", "seconds", "note"]
    assert row.split()[0] == str(picture)
    assert 0 < float(row.split()[1]) < 1
    assert row.split()[2:5] == ["1", "1", "1"]


def test_the_score_is_that_of_the_library(gendkit: Run, adapter: Path, videos: Path):
    from gendkit import load

    record = json.loads(gendkit("score", videos / "half.mp4", "--adapter", adapter, "--json").out)
    expected = load(adapter).score(videos / "half.mp4").to_dict()
    assert [{**r, "seconds": 0} for r in record] == [{**expected, "seconds": 0}]


def test_a_folder_gives_a_row_a_file_whatever_is_wrong_with_some(
    gendkit: Run, adapter: Path, media: Path
):
    said = gendkit("score", media, media / "missing.mp4", "--adapter", adapter, "--json")
    assert said.code == 1
    records = {Path(r["path"]).name: r for r in json.loads(said.out)}
    assert {name: r["status"] for name, r in records.items()} == {
        "bright.png": "scored",
        "cut.mp4": "scored",
        "dark.mp4": "not examined",
        "half.mp4": "scored",
        "pixel.png": "not examined",
        "text.mp4": "unreadable",
        "missing.mp4": "unreadable",
    }
    assert len({tuple(r) for r in records.values()}) == 1, "all rows have the same keys"
    assert records["dark.mp4"]["score"] is None
    assert records["dark.mp4"]["reasons"] == {"no face found": 24}
    assert records["half.mp4"]["frames_without_face"] == 12
    assert records["cut.mp4"]["problem"].startswith("cut off")
    assert 0 < records["cut.mp4"]["frames_total"] < 24
    # One line for each file that is not right, and none for the others.
    told = [line for line in said.err.splitlines() if line]
    assert told == said.complaints
    assert len(told) == 5
    for name in ("cut.mp4", "dark.mp4", "pixel.png", "text.mp4", "missing.mp4"):
        assert sum(name in line for line in told) == 1


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("missing.mp4", "there is no file or folder"),
        ("text.mp4", "cannot be read as a video"),
        ("cut.mp4", "cut off"),
        ("dark.mp4", "not examined, which is not the same as real: 24 x no face found"),
        ("pixel.png", "not examined, which is not the same as real"),
        ("notes.txt", "is neither picture nor video"),
    ],
)
def test_bad_media_end_in_one_line_and_a_non_zero_code(
    gendkit: Run, adapter: Path, media: Path, name: str, words: str
):
    said = gendkit("score", media / name, "--adapter", adapter)
    assert said.code == 1
    (line,) = said.err.splitlines()
    assert line.startswith("gendkit: error: ")
    assert words in line
    assert name in line
    assert any(step in line for step in (" give ", " copy ", "known: ", "there is no "))


def test_without_a_face_the_table_never_shows_a_number(gendkit: Run, adapter: Path, media: Path):
    said = gendkit("score", media / "dark.mp4", "--adapter", adapter)
    assert "not examined" in said.out.splitlines()[1]
    assert "24 x no face found" in said.out.splitlines()[1]
    assert "real" not in said.out


def test_csv_has_a_row_a_file_and_empty_cells_for_what_is_not_known(
    gendkit: Run, adapter: Path, media: Path
):
    said = gendkit("score", media, "--adapter", adapter, "--csv")
    rows = {Path(r["path"]).name: r for r in csv.DictReader(io.StringIO(said.out))}
    assert len(rows) == 6
    assert rows["dark.mp4"]["score"] == ""
    assert rows["dark.mp4"]["reasons"] == "24 x no face found"
    assert rows["text.mp4"]["status"] == "unreadable"
    assert "cannot be read as a video" in rows["text.mp4"]["problem"]
    assert 0 < float(rows["bright.png"]["score"]) < 1


def test_each_frame_can_be_had_in_every_form(gendkit: Run, adapter: Path, videos: Path):
    options = ("score", videos / "half.mp4", "--adapter", adapter, "--per-frame")
    (record,) = json.loads(gendkit(*options, "--json").out)
    assert [f["frame"] for f in record["frames"]] == list(range(24))
    assert [f["score"] is None for f in record["frames"]] == [False] * 12 + [True] * 12
    rows = list(csv.DictReader(io.StringIO(gendkit(*options, "--csv").out)))
    assert [r["frame"] for r in rows] == [str(i) for i in range(24)]
    assert rows[20] == {
        "path": str(videos / "half.mp4"), "frame": "20", "track": "0", "time": "0.8",
        "score": "", "reason": "no face found",
    }  # fmt: skip
    table = gendkit(*options).out.splitlines()
    assert len(table) == 25
    assert table[-1].endswith("no face found")


def test_a_file_without_frames_has_a_row_with_its_reason(gendkit: Run, adapter: Path, media: Path):
    options = ("score", media, media / "missing.mp4", "--adapter", adapter, "--per-frame")
    rows = list(csv.DictReader(io.StringIO(gendkit(*options, "--csv").out)))
    by_name = {Path(r["path"]).name: r for r in rows}
    assert {"bright.png", "dark.mp4", "text.mp4", "missing.mp4"} <= set(by_name)
    assert "cannot be read as a video" in by_name["text.mp4"]["reason"]
    assert "there is no file or folder" in by_name["missing.mp4"]["reason"]
    assert [by_name["text.mp4"][c] for c in ("frame", "time", "score")] == ["", "", ""]
    table = gendkit(*options).out.splitlines()
    assert sum("text.mp4" in line.split()[0] for line in table) == 1
    assert sum("missing.mp4" in line.split()[0] for line in table) == 1


def test_the_record_says_how_faces_were_sought(gendkit: Run, adapter: Path, picture: Path):
    options = ("score", picture, "--adapter", adapter, "--frames", 3, "--order", "uniform")
    for more in ((), ("--extractor", "bright")):
        (record,) = json.loads(gendkit(*options, *more, "--json").out)
        (row,) = csv.DictReader(io.StringIO(gendkit(*options, *more, "--csv").out))
        assert {k: record[k] for k in ("extractor", "threshold", "scale")} == {
            "extractor": "bright", "threshold": 0.5, "scale": 1.3,
        }  # fmt: skip
        assert (record["order"], record["frames_asked"]) == ("uniform", 3)
        assert (row["extractor"], row["threshold"], row["frames_asked"]) == ("bright", "0.5", "3")


def test_frames_and_order_are_passed_on(gendkit: Run, adapter: Path, videos: Path):
    said = gendkit(
        "score", videos / "bright.mp4", "--adapter", adapter, "--json", "--per-frame",
        "--frames", 3, "--order", "uniform",
    )  # fmt: skip
    (record,) = json.loads(said.out)
    assert record["faces"] == 3
    from gendkit.data.media import frame_order

    expected = sorted(int(i) for i in frame_order(24, "uniform", count=3, seed=0)[:3])
    assert [f["frame"] for f in record["frames"]] == expected


def test_a_file_that_is_named_twice_is_scored_once(gendkit: Run, adapter: Path, picture: Path):
    said = gendkit("score", picture, picture.parent, picture, "--adapter", adapter, "--json")
    assert len(json.loads(said.out)) == 1


def test_an_unforeseen_error_in_one_file_leaves_the_others_and_keeps_its_traceback(
    gendkit: Run, adapter: Path, picture: Path, videos: Path, monkeypatch: pytest.MonkeyPatch
):
    from gendkit.model.detector import Detector

    score = Detector.score

    def fail(self: Detector, media: Path, **options: Any) -> Any:
        if Path(media).suffix == ".mp4":
            raise RuntimeError("the codec is on fire")
        return score(self, media, **options)

    monkeypatch.setattr(Detector, "score", fail)
    said = gendkit("score", videos / "bright.mp4", picture, "--adapter", adapter, "--json")
    assert said.code == 1
    assert [r["status"] for r in json.loads(said.out)] == ["unreadable", "scored"]
    assert "Traceback" in said.err
    assert "RuntimeError: the codec is on fire" in said.complaints[0]


def damaged(adapter: Path, folder: Path) -> Path:
    data = bytearray(adapter.read_bytes())
    data[-3] ^= 0xFF
    path = folder / "damaged.safetensors"
    path.write_bytes(data)
    return path


def short(adapter: Path, folder: Path) -> Path:
    path = folder / "short.safetensors"
    path.write_bytes(adapter.read_bytes()[:100])
    return path


def of_another_backbone(adapter: Path, folder: Path) -> Path:
    from dataclasses import replace

    from gendkit.model.adapter import Adapter

    read = Adapter.read(adapter)
    path = folder / "foreign.safetensors"
    return Adapter(
        header=replace(read.header, backbone="other"), norms=read.norms, head=read.head
    ).write(path)


def of_an_unknown_backbone(adapter: Path, folder: Path) -> Path:
    from dataclasses import replace

    from gendkit.model.adapter import Adapter

    read = Adapter.read(adapter)
    path = folder / "unknown.safetensors"
    header = replace(read.header, backbone="nowhere")
    return Adapter(header=header, norms=read.norms, head=read.head).write(path)


def missing(adapter: Path, folder: Path) -> Path:
    return folder / "missing.safetensors"


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (damaged, "is damaged: its numbers do not have its header's hash"),
        (short, "is no adapter, or damaged"),
        (of_another_backbone, "not to other"),
        (of_an_unknown_backbone, "no backbone is named 'nowhere'"),
        (missing, "no adapter at"),
    ],
)
def test_a_bad_adapter_ends_in_one_line_and_scores_nothing(
    gendkit: Run,
    adapter: Path,
    picture: Path,
    tmp_path: Path,
    make: Callable[[Path, Path], Path],
    words: str,
):
    said = gendkit("score", picture, "--adapter", make(adapter, tmp_path), "--json")
    assert said.code == 1
    assert said.out == ""
    (line,) = said.err.splitlines()
    assert line.startswith("gendkit: error: ")
    assert words in line


def test_wrong_usage_is_one_line_and_another_code(gendkit: Run, adapter: Path, picture: Path):
    for wrong, words in [
        (("--json", "--csv"), "give --json or --csv, not both"),
        (("--device", "toaster"), "'toaster' cannot be used here"),
        (("--frames", 0), "0 is not in the range"),
    ]:
        said = gendkit("score", picture, "--adapter", adapter, *wrong)
        assert said.code == 2
        assert said.out == ""
        (line,) = said.err.splitlines()
        assert words in line
        assert line.endswith("See: gendkit score --help")


def test_control_characters_in_a_name_do_not_reach_the_terminal(
    gendkit: Run, adapter: Path, picture: Path, tmp_path: Path
):
    path = tmp_path / "red\x1b[31m.png"
    shutil.copy(picture, path)
    said = gendkit("score", path, tmp_path / "no\x1bthing.png", "--adapter", adapter)
    assert "\x1b" not in said.out
    assert "\x1b" not in said.err
    assert json.loads(gendkit("score", path, "--adapter", adapter, "--json").out)[0]["path"] == str(
        path
    )


@pytest.mark.parametrize("errors", ["strict", "surrogateescape"])
def test_a_name_that_is_no_text_still_gives_text_in_every_form(
    gendkit: Run,
    adapter: Path,
    picture: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    errors: str,
):
    try:
        shutil.copy(picture, tmp_path / os.fsdecode(b"bad\xff\xc3\xa9.png"))
    except OSError:
        pytest.skip("this file system takes only text as names")
    shutil.copy(picture, tmp_path / "caf\u00e9.png")

    def written(*form: str) -> str:
        stream = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors=errors)
        with monkeypatch.context() as patch:
            patch.setattr("sys.stdout", stream)
            assert gendkit("score", tmp_path, "--adapter", adapter, *form).code == 0
        return stream.buffer.getvalue().decode("utf-8", "strict")

    names = {Path(r["path"]).name for r in json.loads(written("--json"))}
    assert names == {p.name for p in tmp_path.iterdir()}
    for form in ((), ("--csv",), ("--per-frame",), ("--per-frame", "--csv")):
        assert "bad?\u00e9.png" in written(*form)
        assert "caf\u00e9.png" in written(*form)


class Halves:
    """Sees a face in each half of a picture, the left one larger."""

    threshold = 0.5

    def __call__(self, image: Any, /) -> list[Any]:
        import numpy as np

        from gendkit.plugin import Face

        height, width = image.shape[:2]
        template = np.array([(0.4, 0.4), (0.6, 0.4), (0.5, 0.5), (0.42, 0.62), (0.58, 0.62)])
        faces = []
        for left, right in ((0.0, 0.55), (0.6, 1.0)):
            across = (left + (right - left) * template[:, 0]) * width
            points = np.stack([across, template[:, 1] * height], axis=1).astype(np.float32)
            box = (left * width, 0.0, right * width - 1, height - 1.0)
            faces.append(Face(box=box, landmarks=points, confidence=0.9))
        return faces


def test_each_person_of_a_clip_has_a_row_and_the_file_the_highest_score(
    gendkit: Run, adapter: Path, videos: Path
):
    from gendkit.plugin import FaceExtractorSpec, register

    register(
        FaceExtractorSpec(
            name="halves", summary="for tests", licence="none", threshold=0.5,
            build=lambda *, threshold=0.5: Halves(),
        )
    )  # fmt: skip
    ask = ("score", videos / "half.mp4", "--adapter", adapter, "--extractor", "halves")
    lines = gendkit(*ask, "--which", "all").out.splitlines()
    assert [line.split()[:2] for line in lines[2:]] == [["person", "1"], ["person", "2"]]
    scores = [float(line.split()[2]) for line in lines[2:]]
    assert f"highest of 2 people: person {scores.index(max(scores)) + 1}" in lines[1]
    assert float(lines[1].split()[1]) == max(scores)
    (record,) = json.loads(gendkit(*ask, "--which", "all", "--json", "--per-frame").out)
    assert record["people"] == 2
    assert record["score"] == pytest.approx(max(scores), abs=5e-4)
    assert {frame["track"] for frame in record["frames"]} == {0, 1}
    assert record["frames_looked_at"] * 2 == len(record["frames"])
    assert len(gendkit(*ask).out.splitlines()) == 2  # the largest alone, as before
