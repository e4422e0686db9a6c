"""Each rule of a manifest finds what breaks it, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from gendkit.data.columns import COLUMNS, NAMES
from gendkit.data.manifest import Manifest
from gendkit.data.validation import EXAMPLES, Finding, schema, validate
from gendkit.errors import InvalidArgument
from gendkit.testing.small import small_crops

POINTS = [float(number) for number in range(10)]


@pytest.fixture
def good(tmp_path: Path) -> Manifest:
    """Four people, each with a real clip and a fake of it, two frames each, in two splits."""
    rows = []
    for person in range(4):
        for label, kind in enumerate(("real", "fake")):
            for frame in range(2):
                name = f"{kind}-{person}"
                path = f"{name}-{frame}.png"
                Image.new("RGB", (4, 4), (person, label, frame)).save(tmp_path / path)
                rows.append(
                    {
                        "sample": f"d/{name}/{frame}/0", "path": path, "dataset": "d",
                        "video": name, "pair": f"real-{person}", "label": label,
                        "method": "swap" * label, "family": "swap" * label, "frame": frame,
                        "target_identity": f"p{person}", "split": ("train", "final")[person % 2],
                        "donor_identity": f"p{(person + 2) % 4}" * label,
                        "box": [1.0, 2.0, 30.0, 40.0], "landmarks": POINTS,
                    }
                )  # fmt: skip
    return Manifest.from_rows(rows, tmp_path)


def changed(manifest: Manifest, rows: int | list[int], **values: Any) -> Manifest:
    """Set values in rows, counted from 0; 0 and 1 are of a real clip, 2 and 3 of its fake."""
    chosen = [rows] if isinstance(rows, int) else rows
    new = {
        name: [value if row in chosen else old for row, old in enumerate(manifest.table[name])]
        for name, value in values.items()
    }
    return replace(manifest, table=manifest.table.assign(**new))


def found(manifest: Manifest, **options: Any) -> dict[str, Finding]:
    return {finding.check: finding for finding in validate(manifest, **options)}


def broken(manifest: Manifest, **options: Any) -> dict[str, tuple[str, int | None]]:
    """What is not well, with its verdict and count."""
    return {
        check: (finding.verdict, finding.count)
        for check, finding in found(manifest, **options).items()
        if finding.verdict != "ok"
    }


def test_a_manifest_that_keeps_every_rule_is_well_and_is_not_changed(good: Manifest) -> None:
    before = good.table.copy()
    assert broken(good) == {}
    pd.testing.assert_frame_equal(good.table, before)


def test_what_our_own_data_sets_make_keeps_every_rule(tmp_path: Path) -> None:
    small = small_crops(tmp_path, identities=("ann", "bob"), frames=2, split="train")
    # Whole pictures have landmarks; there is one split, so nothing to be cut apart.
    assert broken(small) == {"components": ("left out", None)}


CASES: dict[str, tuple[dict[str, Any], dict[str, tuple[str, int]]]] = {
    "an id that occurs twice": ({"sample": "d/real-0/1/0"}, {"samples": ("error", 1)}),
    "no id": ({"sample": ""}, {"samples": ("error", 1)}),
    "a label that is none": ({"label": 2}, {"labels": ("error", 1), "clips": ("error", 1)}),
    "a reason beside a crop": ({"reason": "no face"}, {"reasons": ("error", 1)}),
    "neither crop nor reason": ({"path": ""}, {"reasons": ("error", 1)}),
    "a file that is gone": ({"path": "gone.png"}, {"files": ("error", 1)}),
    "one crop for two rows": ({"path": "real-0-1.png"}, {"paths": ("error", 1)}),
    "a box of three numbers": ({"box": [1.0, 2.0, 3.0]}, {"box": ("error", 1)}),
    "a box without an end": ({"box": [1.0, 2.0, 3.0, np.inf]}, {"box": ("error", 1)}),
    "a box inside out": ({"box": [3.0, 2.0, 1.0, 4.0]}, {"box": ("error", 1)}),
    "landmarks of four points": ({"landmarks": POINTS[:8]}, {"landmarks": ("error", 1)}),
    "landmarks that are words": ({"landmarks": ["x"] * 10}, {"landmarks": ("error", 1)}),
    "a time without an end": ({"time": np.inf}, {"values": ("error", 1)}),
    "a confidence above 1": ({"confidence": 1.5}, {"values": ("error", 1)}),
    "landmarks that are no numbers": ({"landmarks": [np.nan] * 10}, {"landmarks": ("error", 1)}),
}


@pytest.mark.parametrize(("values", "expected"), CASES.values(), ids=CASES)
def test_one_wrong_row_breaks_its_rule_alone(
    good: Manifest, values: dict[str, Any], expected: dict[str, tuple[str, int]]
) -> None:
    assert broken(changed(good, 0, **values)) == expected


def test_a_crop_outside_the_root_is_told_by_its_path(good: Manifest) -> None:
    assert set(broken(changed(good, 0, path="../away.png"))) == {"paths", "files"}


def test_a_space_at_the_end_of_a_name_is_told_as_it_breaks_links(good: Manifest) -> None:
    person = good.table["target_identity"].iloc[0]
    assert broken(changed(good, [0, 1], target_identity=f"{person} ")) == {"values": ("error", 2)}


CLIPS: dict[str, tuple[list[int], dict[str, Any], dict[str, tuple[str, int]]]] = {
    "a real with a method": ([0, 1], {"method": "swap"}, {"reals": ("error", 2)}),
    "a real with a family": ([0, 1], {"family": "swap"}, {"reals": ("error", 2)}),
    "a real with a donor": ([0, 1], {"donor_identity": "p0"}, {"reals": ("error", 2)}),
    "a fake without a method": ([2, 3], {"method": ""}, {"fakes": ("error", 2)}),
    "a pair that is not there": ([2, 3], {"pair": "x"}, {"pairs": ("warning", 1)}),
    "a pair that is the fake itself": ([2, 3], {"pair": "fake-0"}, {"pairs": ("warning", 1)}),
    "one frame in two rows": ([0, 1], {"frame": 7}, {"frames": ("warning", 1)}),
    "a split of another name": (
        list(range(4)), {"split": "test"},
        {"splits": ("error", 1), "components": ("error", 4)},  # its donor's clips are in train
    ),
    "no name of the data set": (
        [2, 3], {"dataset": ""}, {"names": ("error", 2), "pairs": ("warning", 1)}
    ),
    "a clip without a face": ([2, 3], {"path": "", "reason": "none"}, {"coverage": ("warning", 1)}),
    "a clip of two labels": (
        [1], {"label": 1, "method": "swap"}, {"clips": ("error", 1)}
    ),
    "a clip of two people": ([1], {"target_identity": "p2"}, {"clips": ("error", 1)}),
}  # fmt: skip


@pytest.mark.parametrize(("rows", "values", "expected"), CLIPS.values(), ids=CLIPS)
def test_a_wrong_clip_breaks_its_rule_alone(
    good: Manifest,
    rows: list[int],
    values: dict[str, Any],
    expected: dict[str, tuple[str, int]],
) -> None:
    assert broken(changed(good, rows, **values)) == expected


def test_what_differs_within_a_clip_is_told(good: Manifest) -> None:
    two = changed(good, 1, split="", pair="real-2")
    (example,) = found(two)["clips"].examples
    assert example == "d/real-0: pair real-0 and real-2, split none and train"


@pytest.mark.parametrize("column", ["pair", "target_identity", "donor_identity"])
def test_clips_that_a_split_cuts_apart_are_counted_and_named(good: Manifest, column: str) -> None:
    value = {"pair": "real-1"}.get(column, "p1")
    cut = changed(good, [2, 3], **{column: value})
    finding = found(cut)["components"]
    assert finding.verdict == "error"
    assert finding.count == 8  # donors link all clips of a split, so all are in one component
    assert finding.examples == ("d/real-0 (train) and d/real-1 (final)",)


def test_the_groups_may_be_those_of_another_column(good: Manifest) -> None:
    assert broken(good, split_key="dataset") == {"components": ("left out", None)}
    both = changed(good, [0, 1], licence="CC0-1.0")
    other = changed(both, list(range(2, 16)), licence="MIT")
    assert broken(other, split_key="licence")["components"] == ("error", 4)
    with pytest.raises(InvalidArgument, match="no column 'frame' to split by"):
        validate(good, split_key="frame")


def test_what_is_allowed_by_name_is_counted_all_the_same(good: Manifest) -> None:
    cut = changed(good, [2, 3], target_identity="p1")
    assert broken(cut, allow=("components",)) == {"components": ("allowed", 8)}
    assert broken(good, allow=("components",)) == {}
    with pytest.raises(InvalidArgument, match=r"named 'component'; there is .*components"):
        validate(good, allow=("component",))


def test_uneven_classes_are_a_warning_beyond_the_ratio_that_is_told(good: Manifest) -> None:
    rows = good.table["split"] != "final"
    few = good.where(rows | (good.table["label"] == 1) | (good.table["video"] == "real-1"))
    assert broken(few, ratio=2) == {"pairs": ("warning", 1)}
    assert broken(few, ratio=1.9)["balance"] == ("warning", 1)
    finding = found(few, ratio=1.9)["balance"]
    assert finding.examples == ("final: 2 real, 4 fake",)
    assert "1.9 of one class" in finding.text
    fakes = good.where(good.table["label"] == 1)
    assert broken(fakes)["balance"] == ("warning", 2)
    unknown = changed(fakes, list(range(len(fakes))), label=-1)
    assert broken(unknown)["balance"] == ("left out", None)


def test_all_that_is_wrong_is_told_at_once_with_a_few_examples(good: Manifest) -> None:
    bad = changed(changed(good, list(range(16)), reason="x"), [0, 1], method="swap")
    assert broken(bad) == {"reasons": ("error", 16), "reals": ("error", 2)}
    examples = found(bad)["reasons"].examples
    assert len(examples) == EXAMPLES
    assert examples[0] == "d/real-0/0/0"


def test_rows_may_be_numbered_in_any_way(good: Manifest) -> None:
    bad = changed(good, [2, 3], method="")
    assert broken(replace(bad, table=bad.table.set_index(pd.Index([7] * 16)))) == broken(bad)


def test_of_a_column_of_another_type_that_alone_is_told(good: Manifest) -> None:
    table = good.table.assign(time="soon", reason=[None] * 16).drop(columns="year")
    result = found(replace(good, table=table))
    assert result["types"].verdict == "error"
    assert result["types"].count == 3
    text = " ".join(result["types"].examples)
    assert "'year' not in dataframe" in text
    assert "'time' to have type float64" in text
    assert "column 'reason' holds None, expected a text" in text
    assert {f.verdict for check, f in result.items() if check != "types"} == {"left out"}


def test_texts_of_pandas_own_types_are_texts(good: Manifest) -> None:
    table = good.table.astype({c.name: "str" for c in COLUMNS if c.dtype == "string"})
    assert broken(replace(good, table=table)) == {}


def test_no_row_at_all_breaks_nothing(tmp_path: Path) -> None:
    verdicts = {finding.verdict for finding in validate(Manifest.from_rows([], tmp_path))}
    assert verdicts == {"ok", "left out"}


def test_packed_crops_need_no_files(good: Manifest) -> None:
    packed = good.pack()
    for path in good.root.glob("*.png"):
        path.unlink()
    assert broken(packed) == {}
    assert broken(changed(packed, 0, path="other.png")) == {"files": ("error", 1)}


def test_the_schema_is_that_of_the_columns() -> None:
    assert tuple(schema().columns) == NAMES
