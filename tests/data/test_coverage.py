"""Coverage stands beside what is computed of a manifest."""

from __future__ import annotations

from pathlib import Path

import gendkit as gk
from gendkit.data.coverage import coverage_words, covered
from gendkit.data.manifest import COVERAGE, Manifest
from gendkit.model.detector import Detector
from gendkit.testing.small import small_crops
from gendkit.train.record import describe


def frames(path: Path) -> Manifest:
    """Three clips: with ten faces, with one, and with none."""
    rows = []
    for video, faces in (("a", 10), ("b", 1), ("c", 0)):
        for frame in range(10):
            there = frame < faces
            rows.append(
                {
                    "sample": f"{video}{frame}", "dataset": "d", "video": video, "frame": frame,
                    "path": f"{video}{frame}.png" if there else "", "label": 0, "split": "train",
                    "reason": "" if there else "no face found",
                }
            )  # fmt: skip
    return Manifest.from_rows(rows, path)


def test_clips_are_counted_by_how_many_faces_they_have(tmp_path: Path) -> None:
    counts = covered(frames(tmp_path).table)
    assert counts == {"clips": 3, ">= 1": 2, ">= 8": 1, ">= 32": 0}
    assert coverage_words(counts) == (
        "2 of 3 clips with a face, 1 with at least 8, 0 with at least 32"
    )


def test_leaving_out_faceless_frames_says_of_how_many_clips(tmp_path: Path) -> None:
    manifest = frames(tmp_path)
    faces = manifest.faces()
    assert COVERAGE not in manifest.meta
    assert len(faces) == 11
    assert faces.meta[COVERAGE] == covered(manifest.table)
    assert faces.faces().meta[COVERAGE] == covered(manifest.table), "asked again, it stays"
    assert manifest.where(manifest.table["video"] != "c").faces().meta[COVERAGE]["clips"] == 2


def test_of_rows_that_are_chosen_later_it_is_not_known(tmp_path: Path) -> None:
    chosen = frames(tmp_path).faces().in_split("train")
    assert chosen.meta[COVERAGE] is None
    assert chosen.faces().meta[COVERAGE] is None
    assert describe(chosen)["coverage"] is None


def test_embeddings_and_records_carry_it(tmp_path: Path, detector: Detector) -> None:
    crops = small_crops(tmp_path, identities=("ann", "bob"), frames=2)
    faceless = crops.table.assign(
        path=crops.table["path"].where(crops.table["target_identity"] != "bob", ""),
        reason=crops.table["reason"].where(crops.table["target_identity"] != "bob", "no face"),
    )
    manifest = Manifest(table=faceless, root=crops.root, meta=crops.meta)
    clips = len(faceless[["dataset", "video"]].drop_duplicates())
    expected = {"clips": clips, ">= 1": clips // 2, ">= 8": 0, ">= 32": 0}
    assert describe(manifest)["coverage"] == expected
    ds = gk.embed(manifest, detector)
    assert ds.gend.custody["extraction"][COVERAGE] == expected
