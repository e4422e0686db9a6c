"""The whole check of a manifest: rules, crops across splits, leaks of files, coverage."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

import gendkit as gk
from gendkit.data.coverage import coverage
from gendkit.data.manifest import Manifest
from gendkit.errors import InvalidArgument
from gendkit.measure.manifest_check import LEAKS, ManifestCheck
from gendkit.plugin import Clip, Face

SIDE = 48


def face(seed: int) -> np.ndarray:
    """Smooth blobs, of which each seed has others."""
    small = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(small).resize((SIDE, SIDE), Image.Resampling.BICUBIC))


@pytest.fixture
def good(tmp_path: Path) -> Manifest:
    """Eight people in two splits, each with a real clip and a fake of it, from files alike."""
    rows = []
    for person in range(8):
        for label in (0, 1):
            number = 2 * person + label
            Image.fromarray(face(number)).save(tmp_path / f"{number}.png")
            rows.append(
                {
                    "sample": f"s{number}", "path": f"{number}.png", "dataset": "d",
                    "split": ("train", "final")[person % 2], "video": f"v{number}",
                    "pair": f"v{2 * person}", "target_identity": f"p{person}", "label": label,
                    "method": "swap" * label, "frame": 0, "source_codec": "h264",
                    "source_width": 640, "source_height": 480,
                }
            )  # fmt: skip
    return Manifest.from_rows(rows, tmp_path)


def changed(manifest: Manifest, row: int, **values: Any) -> Manifest:
    new = {
        name: [value if n == row else old for n, old in enumerate(manifest.table[name])]
        for name, value in values.items()
    }
    return replace(manifest, table=manifest.table.assign(**new))


def verdicts(check: ManifestCheck) -> dict[str, tuple[str, int | None]]:
    return {f.check: (f.verdict, f.count) for f in check.findings if f.verdict != "ok"}


def test_a_good_manifest_passes_every_check(good: Manifest) -> None:
    check = gk.check_manifest(good)
    assert verdicts(check) == {}
    assert check.passed
    assert (check.errors, check.warnings) == (0, 0)


def test_rules_that_are_broken_are_in_it(good: Manifest) -> None:
    check = gk.check_manifest(changed(good, 3, method=""))
    assert verdicts(check) == {"fakes": ("error", 1)}
    assert not check.passed
    allowed = gk.check_manifest(changed(good, 3, method=""), allow=["fakes"])
    assert verdicts(allowed) == {"fakes": ("allowed", 1)}
    assert allowed.passed


def test_equal_crops_in_two_splits_are_an_error_and_near_ones_a_warning(good: Manifest) -> None:
    Image.fromarray(face(0)).save(good.root / "3.png", compress_level=9)
    check = gk.check_manifest(good)
    assert verdicts(check) == {"content": ("error", 1)}
    assert check.findings[-3].examples == ("s3 ~ s0",)
    Image.fromarray(face(0)).save(good.root / "again.jpg", quality=70)
    Image.open(good.root / "again.jpg").save(good.root / "3.png")
    assert verdicts(gk.check_manifest(good)) == {"near-duplicates": ("warning", 1)}
    assert verdicts(gk.check_manifest(good, allow=["near-duplicates"])) == {
        "near-duplicates": ("allowed", 1)
    }


def test_equal_crops_in_one_split_are_none_of_its_business(good: Manifest) -> None:
    Image.fromarray(face(0)).save(good.root / "1.png")
    assert verdicts(gk.check_manifest(good)) == {}


def test_a_damaged_crop_is_told_and_the_others_are_compared(good: Manifest) -> None:
    (good.root / "5.png").write_bytes(b"half")
    Image.fromarray(face(0)).save(good.root / "3.png")
    check = gk.check_manifest(good)
    assert verdicts(check) == {"crops": ("error", 1), "content": ("error", 1)}
    (example,) = next(f.examples for f in check.findings if f.check == "crops")
    assert example.startswith("s5: ")


def test_without_images_no_crop_is_read(good: Manifest) -> None:
    for path in good.root.glob("*.png"):
        path.write_bytes(b"")
    check = gk.check_manifest(good, images=False)
    assert verdicts(check) == dict.fromkeys(
        ("crops", "content", "near-duplicates"), ("left out", None)
    )


def test_in_one_split_there_is_nothing_to_compare(good: Manifest) -> None:
    one = replace(good, table=good.table.assign(split="train"))
    assert set(verdicts(gk.check_manifest(one))) == {"components", "content", "near-duplicates"}


def test_the_groups_may_be_those_of_another_column(good: Manifest) -> None:
    two = replace(good, table=good.table.assign(
        split="train", licence=["a" if n % 4 < 2 else "b" for n in range(16)]
    ))  # fmt: skip
    Image.fromarray(face(0)).save(good.root / "3.png")
    assert verdicts(gk.check_manifest(two, split_key="licence")) == {"content": ("error", 1)}


def test_a_fact_about_the_files_that_tells_the_label_is_a_warning(good: Manifest) -> None:
    codecs = [("h264", "mpeg4")[label] for label in good.table["label"]]
    leaking = replace(good, table=good.table.assign(source_codec=codecs))
    check = gk.check_manifest(leaking)
    assert verdicts(check) == {LEAKS: ("warning", 1)}
    assert check.findings[-1].examples == (
        "source_codec (h264: 100% of reals, 0% of fakes)",
    )  # fmt: skip
    assert check.passed
    assert verdicts(gk.check_manifest(leaking, bound=0.99)) == {}


def test_a_manifest_from_before_files_were_looked_at_has_no_leaks_to_tell(good: Manifest) -> None:
    table = good.table.assign(source_codec="", source_width=-1, source_height=-1)
    assert verdicts(gk.check_manifest(replace(good, table=table))) == {LEAKS: ("left out", None)}


def test_coverage_counts_clips_with_at_least_so_many_faces() -> None:
    rows = [
        {
            "sample": f"{video}/{frame}/{track}", "video": video, "dataset": "d", "label": label,
            "method": "m" * label, "frame": frame, "track": track,
            "path": "" if video == "a" and frame else f"{video}/{frame}-{track}.png",
        }
        for video, label in (("a", 0), ("b", 0), ("c", 1))
        for frame in range(3)
        for track in range(2)
    ]  # fmt: skip
    table = coverage(Manifest.from_rows(rows, Path()).table, least=(1, 2, 4))
    assert table.to_dict("records") == [
        {"dataset": "d", "method": "", "label": 0, "clips": 2, ">= 1": 2, ">= 2": 1, ">= 4": 0},
        {"dataset": "d", "method": "m", "label": 1, "clips": 1, ">= 1": 1, ">= 2": 1, ">= 4": 0},
    ]


def test_a_name_of_no_check_is_refused_before_any_work(good: Manifest) -> None:
    with pytest.raises(InvalidArgument, match=r"named 'contents'; there is .*near-duplicates"):
        gk.check_manifest(good, allow=["contents"])
    with pytest.raises(InvalidArgument, match="no column 'time' to split by"):
        gk.check_manifest(good, split_key="time")


def test_columns_of_another_type_end_the_check(good: Manifest) -> None:
    check = gk.check_manifest(replace(good, table=good.table.assign(label="real")))
    assert check.errors == 1
    assert check.leaks == ()
    assert "0 rows" not in check.about


def test_progress_is_told_for_each_crop(good: Manifest) -> None:
    told: list[tuple[int, int, str]] = []
    gk.check_manifest(good, progress=lambda *step: told.append(step))
    assert told[-1] == (16, 16, "read crops")


def test_a_manifest_without_a_crop_or_a_label_does_not_pass_as_one(
    good: Manifest, tmp_path: Path
) -> None:
    empty = gk.check_manifest(Manifest.from_rows([], tmp_path))
    assert not empty.passed
    assert len(empty.coverage) == 0
    faceless = replace(good, table=good.table.assign(path="", reason="no face found"))
    assert verdicts(gk.check_manifest(faceless))["faces"] == ("error", 1)
    unlabelled = replace(good, table=good.table.assign(label=-1, method=""))
    check = gk.check_manifest(unlabelled)
    assert verdicts(check)["known"] == ("warning", 1)
    assert check.passed


def test_the_record_is_json_and_the_card_has_it_all(good: Manifest) -> None:
    check = gk.check_manifest(changed(good, 3, method=""))
    record = json.loads(json.dumps(check.record(), allow_nan=False))
    assert record["errors"] == 1
    assert {f["check"] for f in record["checks"]} == {f.check for f in check.findings}
    assert record["leaks"][0]["fact"] == "source_width"
    assert record["coverage"][0]["clips"] == 8
    page = check._repr_html_()
    for word in ("1 error, 0 warnings", "what is fake names its", "source_codec", "&gt;= 8"):
        assert word in page


class Middle:
    """Finds a face in the middle of every frame."""

    threshold = 0.5

    def __call__(self, image: np.ndarray, /) -> list[Face]:
        points = np.array([[0.34, 0.46], [0.66, 0.46], [0.5, 0.64], [0.37, 0.82], [0.63, 0.82]])
        landmarks = np.float32(10 + 30 * points)
        return [Face(box=(10, 10, 40, 40), landmarks=landmarks, confidence=0.9)]


def film(path: Path, picture: np.ndarray, *, codec: str) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.height, stream.width, stream.pix_fmt = *picture.shape[:2], "yuv420p"
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(("codec", "expected"), [("mpeg4", {"source_codec"}), ("libx264", set())])
def test_fakes_in_another_codec_are_found_from_the_files_on(
    tmp_path: Path, codec: str, expected: set[str]
) -> None:
    clips = []
    for person in range(9):
        for label, kind in ((0, "libx264"), (1, codec)):
            name = f"{person}-{label}"
            media = film(tmp_path / f"{name}.mp4", face(2 * person + label), codec=kind)
            clips.append(
                Clip(
                    video=name, media=media, dataset="d", label=label, method="swap" * label,
                    pair=f"{person}-0", target_identity=f"p{person}",
                )
            )  # fmt: skip
    manifest = gk.extract(clips, tmp_path / "crops", extractor=Middle(), frames=1, time_limit=None)
    check = gk.check_manifest(manifest)
    assert check.passed
    # The size of the file differs with the codec, too; that it does is no promise of ours.
    sizes = {"source_bytes", "bit_rate"}
    assert {leak.fact for leak in check.leaks if leak.flagged} - sizes == expected
    assert manifest.table["source_codec"].nunique() == 1 + len(expected)


@pytest.mark.slow
def test_fifty_thousand_rows_are_checked_in_seconds(tmp_path: Path) -> None:
    """Rows of a corpus: 1,600 clips in groups of a real and four fakes, 32 frames each."""
    import time

    rows = []
    for clip in range(1600):
        label = int(clip % 5 > 0)
        for frame in range(32):
            rows.append(
                {
                    "sample": f"{clip}/{frame}", "path": f"{clip}/{frame}.png", "dataset": "d",
                    "video": str(clip), "pair": str(clip - clip % 5), "label": label,
                    "method": "m" * label, "frame": frame, "target_identity": f"p{clip // 5}",
                    "split": "train" if clip < 800 else "final", "box": [0.0, 0.0, 9.0, 9.0],
                    "landmarks": [float(n) for n in range(10)], "source_codec": "h264",
                }
            )  # fmt: skip
    manifest = Manifest.from_rows(rows, tmp_path)
    started = time.process_time()
    check = gk.check_manifest(manifest, images=False)
    assert time.process_time() - started < 20  # some two seconds; a loop over pairs takes hours
    assert verdicts(check)["files"] == ("error", 51200)
