"""`gendkit manifest check` and `subset`, as a shell sees them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from gendkit.data.manifest import Manifest


@pytest.fixture
def crops(tmp_path: Path) -> Path:
    """Four people in two splits, each with two real clips and a fake of the first."""
    rows = []
    for person in range(4):
        for number, label in enumerate((0, 0, 1)):
            for frame in range(2):
                name = f"{person}-{number}"
                path = f"{name}-{frame}.png"
                picture = Image.effect_noise((32, 32), 60).convert("RGB")
                picture.save(tmp_path / path)
                rows.append(
                    {
                        "sample": f"{name}/{frame}", "path": path, "dataset": "d", "video": name,
                        "pair": name if number < 2 else f"{person}-0", "label": label,
                        "method": "swap" * label, "target_identity": f"p{person}",
                        "split": ("train", "final")[person // 2], "frame": frame,
                        "source_codec": ("h264", "mpeg4")[label],
                    }
                )  # fmt: skip
    Manifest.from_rows(rows, tmp_path).write()
    return tmp_path


def rewritten(crops: Path, **columns: Any) -> None:
    manifest = Manifest.read(crops)
    table = manifest.table.assign(**columns)
    Manifest(table=table, root=crops, meta=manifest.meta).write()


def test_a_good_manifest_is_a_table_of_checks_and_ends_well(
    gendkit: Callable[..., Any], crops: Path
) -> None:
    said = gendkit("manifest", "check", crops)
    assert said.code == 0
    assert said.err == ""
    lines = said.out.splitlines()
    assert lines[0].split() == ["check", "verdict", "count", "examples"]
    assert any(line.split()[:3] == ["components", "ok", "0"] for line in lines)
    assert any(line.startswith("source_codec") and "h264: 100% of reals" in line for line in lines)
    assert any(line.startswith("not recorded: source_width") for line in lines)
    assert lines[-1].startswith("0 errors, 0 warnings in Manifest(24 face crops")


def test_an_error_ends_with_1_unless_it_is_allowed(
    gendkit: Callable[..., Any], crops: Path
) -> None:
    rewritten(crops, target_identity="one")
    said = gendkit("manifest", "check", crops, "--no-images")
    assert said.code == 1
    assert "components" in said.out
    assert "d/0-0 (train) and d/2-0 (final)" in said.out
    allowed = gendkit("manifest", "check", crops, "--no-images", "--allow", "components")
    assert allowed.code == 0
    assert "allowed" in allowed.out


def test_a_warning_ends_with_1_only_if_strict(gendkit: Callable[..., Any], crops: Path) -> None:
    rewritten(crops, pair=[f"gone-{n // 2}" for n in range(24)])  # two frames a clip
    assert gendkit("manifest", "check", crops, "--no-images").code == 0
    assert gendkit("manifest", "check", crops, "--no-images", "--strict").code == 1


def test_a_split_may_be_checked_alone_and_the_document_has_all(
    gendkit: Callable[..., Any], crops: Path
) -> None:
    said = gendkit("manifest", "check", f"{crops}:train", "--json")
    found = json.loads(said.out)
    assert {"manifest", "errors", "warnings", "checks", "leaks", "coverage"} <= set(found)
    verdicts = {check["check"]: check["verdict"] for check in found["checks"]}
    assert verdicts["components"] == "left out"
    for key in ("check", "text", "verdict", "count", "examples"):
        assert key in found["checks"][0]
    for key in ("fact", "kind", "auroc", "low", "high", "real", "fake", "flagged"):
        assert key in found["leaks"][0]


def test_wrong_names_are_told_in_a_line(gendkit: Callable[..., Any], crops: Path) -> None:
    said = gendkit("manifest", "check", crops, "--allow", "all")
    assert said.code == 1
    assert len(said.complaints) == 1
    assert "no check that could be allowed is named 'all'" in said.complaints[0]
    assert "no column 'x'" in gendkit("manifest", "check", crops, "--split-key", "x").err


def test_subsets_are_written_beside_the_crops_and_say_what_they_rest_on(
    gendkit: Callable[..., Any], crops: Path
) -> None:
    for kind in ("paired", "unpaired"):
        out = crops / f"{kind}.parquet"
        said = gendkit("manifest", "subset", crops, out, "--kind", kind, "--clips", 2)
        assert said.code == 0, said.err
        assert said.out.splitlines()[0].split() == [
            "class", "frames", "clips", "sources", "people", "methods"
        ]  # fmt: skip
        assert said.out.splitlines()[-1] == f"8 rows in {out}"
        assert gendkit("manifest", "check", out).code == 0
    one, other = (Manifest.read(crops / f"{k}.parquet") for k in ("paired", "unpaired"))
    assert set(one.table["video"][one.table["label"] == 1]) == set(
        other.table["video"][other.table["label"] == 1]
    )


def test_frames_are_drawn_into_a_new_folder(gendkit: Callable[..., Any], crops: Path) -> None:
    out = crops.parent / "one"
    arguments = ("manifest", "subset", f"{crops}:train", out, "--kind", "frames", "--frames", 1)
    found = json.loads(gendkit(*arguments, "--json").out)
    assert found["subsets"][0]["distinct"]["real"]["frames"] == 4
    assert len(Manifest.read(out)) == 6
    assert gendkit(*arguments).code == 1
    assert gendkit(*arguments, "--overwrite", "--seed", 1).code == 0


def test_frames_may_be_drawn_of_paired_clips(gendkit: Callable[..., Any], crops: Path) -> None:
    out = crops / "few.parquet"
    said = gendkit("manifest", "subset", crops, out, "--kind", "paired", "--clips", 2,
                   "--frames", 1)  # fmt: skip
    assert said.code == 0
    assert len(Manifest.read(out)) == 4
    assert [step["kind"] for step in Manifest.read(out).meta["subsets"]] == ["paired", "frames"]


def test_what_cannot_be_drawn_or_meant_is_told_in_a_line(
    gendkit: Callable[..., Any], crops: Path
) -> None:
    out = crops / "x.parquet"
    said = gendkit("manifest", "subset", crops, out, "--kind", "paired", "--clips", 9)
    assert said.code == 1
    assert "the largest number of clips is 4 here" in said.err
    for wrong in (
        ("--kind", "paired"), ("--kind", "frames"), ("--kind", "frames", "--clips", 1),
        ("--kind", "frames", "--frames", 1, "--fakes", 1),
    ):  # fmt: skip
        assert gendkit("manifest", "subset", crops, out, *wrong).code == 2
    assert not out.exists()


def test_a_sheet_shows_the_crops_of_a_split(gendkit: Callable[..., Any], crops: Path) -> None:
    said = gendkit("manifest", "sheet", crops)
    assert said.code == 0
    assert said.out == f"To look at: {crops / 'sheet.html'}\n"
    assert (crops / "sheet.html").read_text("utf-8").count("<img") == 24
    assert gendkit("manifest", "sheet", crops).code == 1, "it is there"
    some = ("--out", crops / "train.html", "--clips", 2, "--crops", 1, "--json")
    said = gendkit("manifest", "sheet", f"{crops}:train", *some)
    assert json.loads(said.out) == {"sheet": str(crops / "train.html")}
    assert (crops / "train.html").read_text("utf-8").count("<img") == 2
