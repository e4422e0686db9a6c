"""The contact sheet: what is shown, what is not and is said, and how large the page can grow."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gendkit.data.manifest import Manifest
from gendkit.errors import InvalidArgument, InvalidManifest, OutputExists
from gendkit.pages.contact import contact_sheet

EVIL = "<script>alert(1)</script>\" onload='x' &amp;\x1b[31m"


def manifest(root: Path, clips: list[dict[str, Any]], **meta: Any) -> Manifest:
    """Clips with so many frames, of which some have no face; all crops are of one file."""
    pixels = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(root / "a.png")
    rows = []
    for clip in clips:
        known = {"dataset": "set", "label": 0, **clip}
        frames, faceless = known.pop("frames", 4), known.pop("faceless", ())
        for frame in range(frames):
            row = {**known, "frame": frame, "time": frame / 4, "confidence": 0.9}
            row["sample"] = f"{known['dataset']}/{known['video']}/{frame}/{known.get('track', 0)}"
            gone = frame in faceless
            rows.append(row | ({"reason": "no face found"} if gone else {"path": "a.png"}))
    return Manifest.from_rows(rows, root, meta=meta)


class Text(HTMLParser):
    """The text of a page, by section, and its tags."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.sections: dict[str, str] = {"": ""}
        self._section, self._skip = "", False
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._skip = tag == "style"
        if tag == "section":
            self._section = dict(attrs)["id"] or ""
            self.sections[self._section] = ""

    def handle_data(self, data: str) -> None:
        if not self._skip:
            self.sections[self._section] += f" {data}"

    def count(self, tag: str, class_: str | None = None) -> int:
        return sum(t == tag and (class_ is None or a.get("class") == class_) for t, a in self.tags)


def sheet(manifest: Manifest, tmp_path: Path, **options: Any) -> Text:
    return Text(contact_sheet(manifest, tmp_path / "sheet.html", overwrite=True, **options))


def test_a_clip_is_a_row_of_crops_in_order_of_time_and_a_gap_a_tile_with_its_reason(
    tmp_path: Path,
) -> None:
    made = manifest(
        tmp_path,
        [
            {"video": "a", "faceless": {1}},
            {"video": "b", "label": 1, "method": "DF", "split": "train"},
        ],
    )
    shuffled = made.where(np.arange(len(made)) >= 0)
    shuffled = replace(shuffled, table=shuffled.table.sample(frac=1, random_state=3))
    page = sheet(shuffled, tmp_path)
    assert page.count("img") == 7
    assert page.count("span", "absent") == 1
    assert re.findall(r"\d\.\d\d s", page.sections["real"]) == [
        "0.00 s",
        "0.25 s",
        "0.50 s",
        "0.75 s",
    ]
    assert "no face found" in page.sections["real"]
    assert "a real, set, 3 crops in 4 frames" in " ".join(page.sections["real"].split())
    assert "b DF, set, train, 4 crops in 4 frames" in " ".join(page.sections["fake"].split())
    assert page.sections["fake"].count("confidence 0.90") == 4
    classes = [a.get("class") for t, a in page.tags if t == "li" and a.get("class")]
    assert classes == ["is-real"] * 4 + ["is-fake"] * 4


def test_coverage_stands_on_top(tmp_path: Path) -> None:
    clips = [
        {"video": "all", "frames": 8},
        {"video": "some", "frames": 8, "faceless": {0, 1, 2}},
        {"video": "none", "frames": 8, "faceless": set(range(8)), "method": "DF", "label": 1},
    ]
    page = sheet(manifest(tmp_path, clips, frames=8), tmp_path)
    lead, coverage = (" ".join(page.sections[key].split()) for key in ("", "coverage"))
    assert "Face crops 13 in 24 frames that were looked at" in lead
    assert "Clips with a face 2 of 3" in lead
    assert "Frames without a crop 11" in lead
    assert "≥ 1 frame ≥ 4 frames ≥ 8 frames All clips 3 2 2 1" in coverage
    assert "set: real 2 2 2 1" in coverage
    assert "set: DF 1 0 0 0" in coverage
    assert "no face found 11 2" in coverage


def test_people_of_a_frame_are_told_apart_and_counted_as_one_frame(tmp_path: Path) -> None:
    both = [{"video": "a", "track": track, "frames": 3} for track in (0, 1)]
    page = sheet(manifest(tmp_path, both), tmp_path)
    assert "6 crops in 3 frames" in page.sections["real"]
    assert re.findall(r"person \d", page.sections["real"]) == ["person 1", "person 2"] * 3
    alone = sheet(manifest(tmp_path, both[:1]), tmp_path)
    assert "person" not in alone.sections["real"]


def test_what_is_left_out_is_said_and_drawn_by_the_seed_from_all_methods(tmp_path: Path) -> None:
    clips: list[dict[str, Any]] = [{"video": f"real-{n}", "frames": 3} for n in range(90)]
    clips += [
        {"video": f"{m}-{n}", "frames": 3, "method": m, "label": 1} for m in "xy" for n in range(5)
    ]
    made = manifest(tmp_path, clips)
    page = sheet(made, tmp_path, clips=9, crops=2)
    assert "9 of them are shown" in page.sections[""]
    assert "91 are not" in page.sections[""]
    assert "at most 2 frames are shown" in page.sections[""]
    assert "3 of 90 clips shown" in page.sections["real"]
    assert "6 of 10 clips shown" in page.sections["fake"]
    assert page.count("img") == 18
    assert re.findall(r"\d\.\d\d s", page.sections["real"])[:2] == ["0.00 s", "0.50 s"]
    again, other = (sheet(made, tmp_path, clips=9, crops=2, seed=seed) for seed in (0, 1))
    assert again.sections == page.sections
    assert other.sections["real"] != page.sections["real"]


def test_clips_of_one_frame_stand_side_by_side_with_their_names(tmp_path: Path) -> None:
    made = manifest(tmp_path, [{"video": f"photo-{n}", "frames": 1} for n in range(5)])
    page = sheet(made, tmp_path)
    assert page.count("ul", "film") == 1
    assert page.count("img") == 5
    assert all(f"photo-{n}" in page.sections["real"] for n in range(5))


def test_a_clip_that_could_not_be_read_or_to_its_end_says_so(tmp_path: Path) -> None:
    made = manifest(
        tmp_path,
        [{"video": "cut"}, {"video": "gone", "frames": 1, "faceless": {0}}],
        problems={"set/cut": "cut off: 4 of 9 frames are there"},
    )
    made.table.loc[4, ["frame", "reason"]] = [-1, "the file is empty"]
    page = sheet(made, tmp_path)
    assert "cut off: 4 of 9 frames are there" in page.sections["real"]
    assert "the file is empty" in page.sections["real"]
    assert "in 4 frames that were looked at" in " ".join(page.sections[""].split())


def test_a_crop_that_is_gone_or_damaged_is_a_tile_with_the_reason(tmp_path: Path) -> None:
    made = manifest(tmp_path, [{"video": "a", "frames": 2}])
    made.table.loc[1, "path"] = "b.png"
    page = sheet(made, tmp_path)
    assert page.count("img") == 1
    assert "the crop cannot be read" in page.sections["real"]


def test_hostile_names_are_text(tmp_path: Path) -> None:
    clip = {"video": EVIL, "method": EVIL, "split": EVIL, "dataset": EVIL, "label": 1}
    made = manifest(tmp_path, [clip, {**clip, "video": EVIL * 50, "faceless": {0}, "frames": 1}])
    made.table.loc[4, "reason"] = EVIL * 50
    page = sheet(
        replace(made, meta={"extractor": EVIL, "problems": {f"{EVIL}/{EVIL}": EVIL}}), tmp_path
    )
    assert {tag for tag, _ in page.tags} & {"script", "b"} == set()
    assert not any("onload" in attributes for _, attributes in page.tags)
    assert "alert(1)" in page.sections["fake"]
    assert "\x1b" not in (tmp_path / "sheet.html").read_text("utf-8")


def test_the_page_asks_for_nothing_and_is_the_same_each_time(tmp_path: Path) -> None:
    made = manifest(tmp_path, [{"video": "a"}])
    first = contact_sheet(made, tmp_path / "1.html").read_bytes()
    assert first == contact_sheet(made, tmp_path / "2.html").read_bytes()
    sources = [a["src"] or "" for tag, a in Text(tmp_path / "1.html").tags if "src" in a]
    assert len(sources) == 4
    assert all(source.startswith("data:image/jpeg;base64,") for source in sources)
    assert b"default-src &#x27;none&#x27;" in first


def test_50_000_rows_make_a_page_that_a_browser_opens(tmp_path: Path) -> None:
    clips = [{"video": str(n), "frames": 32, "method": f"m{n % 7}"} for n in range(4)]
    made = manifest(tmp_path, clips)
    n = 50_000
    table = made.table.iloc[np.arange(n) % len(made)].reset_index(drop=True)
    table["video"] = [f"clip-{i // 32}" for i in range(n)]
    table["sample"] = [str(i) for i in range(n)]
    odd = np.arange(n) % 5 == 0
    table.loc[odd, "path"] = ""
    table.loc[odd, "reason"] = [f"the face extractor failed: {i}" for i in range(int(odd.sum()))]
    start = time.process_time()
    page = sheet(replace(made, table=table), tmp_path)
    assert time.process_time() - start < 30
    assert (tmp_path / "sheet.html").stat().st_size < 6_000_000
    assert page.count("img") + page.count("span", "absent") == 40 * 16
    assert "9,990 other reasons" in page.sections["coverage"]


def test_what_cannot_be_shown_is_refused(tmp_path: Path) -> None:
    made = manifest(tmp_path, [{"video": "a"}])
    with pytest.raises(InvalidArgument, match="1 or more"):
        contact_sheet(made, tmp_path / "a.html", clips=0)
    with pytest.raises(InvalidManifest, match="has no row"):
        contact_sheet(made.where(made.table["video"] == "b"), tmp_path / "a.html")
    (tmp_path / "a.html").touch()
    with pytest.raises(OutputExists):
        contact_sheet(made, tmp_path / "a.html")
