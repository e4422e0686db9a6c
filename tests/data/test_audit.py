"""Leaks between splits are found at the level where they are, and nowhere else."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import gendkit as gk
from gendkit.data.audit import LEVELS
from gendkit.data.duplicates import Hashes, perceptual_hash
from gendkit.data.manifest import Manifest
from gendkit.errors import InvalidManifest, MissingMedia, UnreadableMedia

SIDE = 48


def face(seed: int) -> np.ndarray:
    """Smooth blobs, of which each seed has others."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(small).resize((SIDE, SIDE), Image.Resampling.BICUBIC))


@pytest.fixture
def clean(tmp_path: Path) -> Manifest:
    """Four people in training and four in the final split, with generators of their own."""
    rows = []
    for number in range(8):
        split = "train" if number < 4 else "final"
        Image.fromarray(face(number)).save(tmp_path / f"{number}.png")
        rows.append(
            {
                "sample": f"s{number}", "path": f"{number}.png", "dataset": "d", "split": split,
                "video": f"v{number}", "pair": f"v{number}", "target_identity": f"p{number}",
                "label": number % 2, "method": f"{split}-swap" if number % 2 else "",
            }
        )  # fmt: skip
    return Manifest.from_rows(rows, tmp_path)


def shared(manifest: Manifest, **options: Any) -> dict[str, int]:
    table = gk.audit(manifest, **options)
    return {level: int(n) for (level, _, _), n in table["shared"].items() if n}


def changed(manifest: Manifest, row: int, **values: str) -> Manifest:
    table = manifest.table.copy()
    for name, value in values.items():
        table.loc[row, name] = value
    return replace(manifest, table=table)


def test_where_nothing_is_shared_all_counts_are_0(clean: Manifest) -> None:
    table = gk.audit(clean)
    assert table.index.tolist() == [(level, "final", "train") for level in LEVELS]
    assert (table["shared"] == 0).all()
    assert (table["examples"] == ()).all()


@pytest.mark.parametrize(
    ("values", "level", "example"),
    [
        ({"video": "v0"}, "video", "d/v0"),
        ({"pair": "v1"}, "video", "d/v1"),
        ({"target_identity": "p2"}, "identity", "d/p2"),
        ({"donor_identity": "p3"}, "identity", "d/p3"),
        ({"method": "train-swap"}, "generator", "train-swap"),
    ],
)
def test_a_leak_of_metadata_is_found_at_its_level(
    clean: Manifest, values: dict[str, str], level: str, example: str
) -> None:
    leaking = changed(clean, 5, **values)
    assert shared(leaking, images=False) == {level: 1}
    table = gk.audit(leaking, images=False)
    assert table.loc[(level, "final", "train"), "examples"] == (example,)


def test_names_are_those_of_their_data_set(clean: Manifest) -> None:
    leaking = changed(clean, 5, target_identity="p2", video="v0")
    apart = changed(leaking, 5, dataset="e")
    assert shared(apart, images=False) == {}
    assert shared(apart, by="dataset", images=False) == {"generator": 1}


def test_the_same_pixels_are_found_whatever_the_file(clean: Manifest) -> None:
    Image.fromarray(face(1)).save(clean.root / "6.png", compress_level=9)
    assert shared(clean) == {"content": 1}
    assert shared(clean, images=False) == {}


def test_a_copy_that_was_encoded_again_is_a_near_duplicate(clean: Manifest) -> None:
    path = clean.root / "again.jpg"
    Image.fromarray(face(2)).save(path, quality=70)
    Image.open(path).save(clean.root / "7.png")
    assert shared(clean) == {"near-duplicate": 1}
    table = gk.audit(clean)
    assert table.loc[("near-duplicate", "final", "train"), "examples"] == ("s7 ~ s2",)


def test_hashes_of_other_faces_are_far_and_of_brighter_ones_near() -> None:
    hashes = [perceptual_hash(face(seed)) for seed in range(30)]
    apart = [(a ^ b).bit_count() for i, a in enumerate(hashes) for b in hashes[:i]]
    assert min(apart) > 10
    brighter = np.clip(face(0).astype(int) // 2 + 60, 0, 255).astype(np.uint8)
    assert (perceptual_hash(brighter) ^ hashes[0]).bit_count() <= 3


def test_of_a_thousand_crops_that_look_alike_a_pair_is_told_and_not_a_million() -> None:
    rows = np.arange(2000)
    black = {int(row): 0 for row in rows}
    hashes = Hashes(content={row: str(row) for row in black}, perceptual=black, unread={})
    assert hashes.near(rows[:1000], rows[1000:]) == [(0, 1000)]
    equal = Hashes(content=dict.fromkeys(black, "a"), perceptual=black, unread={})
    assert equal.near(rows[:1000], rows[1000:]) == []
    one = Hashes(content={**equal.content, 1500: "b"}, perceptual=black, unread={})
    assert one.near(rows[:1000], rows[1000:]) == [(0, 1500)]


def test_frames_without_a_crop_or_a_split_are_left_out(clean: Manifest) -> None:
    Image.fromarray(face(1)).save(clean.root / "6.png")
    assert shared(changed(clean, 6, path="")) == {}
    assert shared(changed(clean, 6, split="")) == {}


def test_one_group_has_nothing_to_be_compared_with(clean: Manifest) -> None:
    with pytest.raises(InvalidManifest, match=r"two groups of dataset are needed .* there is d"):
        gk.audit(clean, by="dataset")


def recorded(folder: Path, text: str) -> Path:
    folder.mkdir()
    (folder / "run.json").write_text(text)
    return folder


def test_families_and_data_sets_that_took_part_in_a_run_are_told(
    clean: Manifest, tmp_path: Path
) -> None:
    known = changed(changed(clean, 1, family="swap"), 5, family="edit")
    about = {"datasets": ["elsewhere"], "families": ["swap", "unseen"]}
    run = recorded(tmp_path / "run", json.dumps({"data": {"validation": about}}))
    table = gk.audit(known, images=False, run=run)
    assert table["shared"][("selection data", "train", "run")] == 1
    assert table["examples"][("selection data", "train", "run")] == ("family swap",)
    assert table["shared"][("selection data", "final", "run")] == 0
    # The record says nothing of the training data: that is unknown, and not 0.
    assert table["shared"].isna()[("training data", "train", "run")]
    with_set = {"data": {"validation": {"datasets": ["d"]}}}
    again = recorded(tmp_path / "again", json.dumps(with_set))
    found = gk.audit(clean, by="dataset", images=False, run=again)
    assert found.loc[("selection data", "d", "run"), "examples"] == ("dataset d",)


def test_a_run_without_a_record_is_unknown_and_no_run_an_error(
    clean: Manifest, tmp_path: Path
) -> None:
    (tmp_path / "bare").mkdir()
    table = gk.audit(clean, images=False, run=tmp_path / "bare")
    assert table.xs("run", level="other")["shared"].isna().all()
    with pytest.raises(MissingMedia, match="no run at"):
        gk.audit(clean, run=tmp_path / "nowhere")
    for text in ("[", "[]", '{"data": 3}'):
        folder = recorded(tmp_path / f"bad{len(list(tmp_path.iterdir()))}", text)
        with pytest.raises(UnreadableMedia, match="no record of a run"):
            gk.audit(clean, images=False, run=folder)
