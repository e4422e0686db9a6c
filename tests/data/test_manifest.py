from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow
import pyarrow.parquet as parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from gendkit.data.columns import COLUMNS, NAMES
from gendkit.data.manifest import FILE, Manifest
from gendkit.errors import InvalidLabels, InvalidManifest, MissingMedia


def _row(video: str, frame: int = 0, **known: Any) -> dict[str, Any]:
    return {"sample": f"set/{video}/{frame}/0", "dataset": "set", "video": video, **known}


def _manifest(*rows: dict[str, Any], root: Path = Path()) -> Manifest:
    return Manifest.from_rows(rows, root)


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    full = {
        "sample": "set/a/3/0", "path": "set/real/a/000003.png", "dataset": "set", "method": "swap",
        "family": "landmark-swap", "label": 1, "video": "a", "pair": "b", "target_identity": "ann",
        "donor_identity": "bob", "split": "train", "degradation": "jpeg", "frame": 3, "time": 0.12,
        "track": 1, "box": [1.5, 2.0, 3.0, 4.0], "landmarks": [float(i) for i in range(10)],
        "confidence": 0.75, "year": 2024, "generator_year": 2019, "licence": "CC0-1.0",
        "reason": "",
        "source_width": 640, "source_height": 480, "source_codec": "h264",
        "source_pixel_format": "yuv420p", "source_frame_rate": 29.97, "source_duration": 4.5,
        "source_bytes": 12345, "source_quantisation": 11.5, "source_tables": "0123456789ab",
    }  # fmt: skip
    assert set(full) == set(NAMES)
    meta = {"frames": 32, "size": None, "problems": {"set/a": "cut off"}}
    file = Manifest.from_rows([full, _row("c")], tmp_path, meta=meta).write()
    assert file == tmp_path / FILE
    assert list(tmp_path.iterdir()) == [file]
    for read in (Manifest.read(tmp_path), Manifest.read(file)):
        assert read.meta == meta
        assert read.root == tmp_path
        assert tuple(read.table.columns) == NAMES
        for name, value in full.items():
            got = read.table[name].iloc[0]
            assert (list(got) if isinstance(value, list) else got) == value, name


def test_a_manifest_from_before_a_column_was_added_still_opens(tmp_path: Path) -> None:
    file = _manifest(_row("a"), root=tmp_path).write()
    older = parquet.read_table(file).drop_columns(["generator_year"])
    parquet.write_table(older, file)
    table = Manifest.read(tmp_path).table
    assert tuple(table.columns) == NAMES
    assert table["generator_year"].tolist() == [-1]


def test_what_is_not_known_has_the_default_of_its_column(tmp_path: Path) -> None:
    _manifest(_row("a"), root=tmp_path).write()
    row = Manifest.read(tmp_path).table.iloc[0]
    for column in COLUMNS:
        if column.name in ("sample", "dataset", "video"):
            continue
        if isinstance(column.default, float):
            assert np.isnan(row[column.name]), column.name
        else:
            assert row[column.name] == column.default, column.name


def test_no_row_at_all_is_a_manifest_too(tmp_path: Path) -> None:
    _manifest(root=tmp_path).write()
    read = Manifest.read(tmp_path)
    assert len(read) == len(read.faces()) == len(read.labels()) == len(read.components()) == 0
    read.check_no_leak()


def test_an_unknown_column_is_refused() -> None:
    with pytest.raises(InvalidManifest, match="unknown manifest columns lable"):
        _manifest(_row("a", lable=1))


def test_a_sample_that_occurs_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidManifest, match="'set/a/0/0' occurs more than once"):
        _manifest(_row("a"), _row("b"), _row("a"))


@pytest.mark.parametrize("label", [2, -2])
def test_a_label_that_is_neither_real_nor_fake_nor_unknown_is_refused(label: int) -> None:
    with pytest.raises(InvalidLabels, match=f"has label {label}"):
        _manifest(_row("a", label=label))


@pytest.mark.parametrize(("column", "value"), [
    ("label", None), ("label", "fake"), ("label", 0.9), ("year", 2019.5), ("label", "0.5"),
    ("time", "x"),
])  # fmt: skip
def test_a_value_of_another_type_is_refused(column: str, value: object) -> None:
    with pytest.raises(InvalidManifest, match=f"column {column} "):
        _manifest(_row("a", **{column: value}))


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "../a.png", "a/../../b.png", "C:\\a.png", "C:a.png", "..\\a.png", "\\a"]
)
def test_a_path_that_leaves_the_root_is_refused(path: str) -> None:
    with pytest.raises(InvalidManifest, match="leaves the manifest's root"):
        _manifest(_row("a", path=path))


@pytest.mark.parametrize("path", [5, b"a.png", ["a.png"]])
def test_a_path_that_is_no_text_is_refused(path: object) -> None:
    with pytest.raises(InvalidManifest, match="is no text"):
        _manifest(_row("a", path=path))


def test_a_whole_number_may_stand_as_a_fraction(tmp_path: Path) -> None:
    """A stranger's table with a missing value somewhere has fractions everywhere."""
    assert _manifest(_row("a", label=1.0)).table["label"].tolist() == [1]


def test_paths_below_the_root_may_hold_dots() -> None:
    assert len(_manifest(_row("a", path="set/a..b/.c/000001.png"))) == 1


def test_a_missing_manifest_says_what_makes_one(tmp_path: Path) -> None:
    with pytest.raises(MissingMedia, match="gendkit extract IN OUT"):
        Manifest.read(tmp_path)


def test_what_is_no_manifest_is_refused(tmp_path: Path) -> None:
    file = tmp_path / FILE
    file.write_text("no table")
    with pytest.raises(InvalidManifest, match="no Parquet manifest"):
        Manifest.read(file)
    parquet.write_table(pyarrow.table({"sample": ["a"]}), file)
    with pytest.raises(InvalidManifest, match="lacks the columns path, dataset"):
        Manifest.read(file)


def test_a_file_from_before_a_column_was_added_opens_with_its_default(tmp_path: Path) -> None:
    file = _manifest(_row("a", source_codec="h264", source_bytes=5), root=tmp_path).write()
    late = [column.name for column in COLUMNS if column.late]
    assert late
    parquet.write_table(parquet.read_table(file).drop_columns(late), file)
    row = Manifest.read(tmp_path).table.iloc[0]
    assert (row["source_codec"], row["source_bytes"]) == ("", -1)
    assert np.isnan(row["source_duration"])


def test_damaged_metadata_are_refused(tmp_path: Path) -> None:
    file = _manifest(_row("a"), root=tmp_path).write()
    table = parquet.read_table(file).replace_schema_metadata({"gendkit": "{half"})
    parquet.write_table(table, file)
    with pytest.raises(InvalidManifest, match="damaged metadata"):
        Manifest.read(file)


def test_a_file_that_breaks_the_rules_is_refused_when_it_is_read(tmp_path: Path) -> None:
    file = _manifest(_row("a", path="a.png"), root=tmp_path).write()
    frame = parquet.read_table(file).to_pandas()
    frame.assign(path="../a.png").to_parquet(file)
    with pytest.raises(InvalidManifest, match="leaves"):
        Manifest.read(file)
    frame.assign(label=[None]).to_parquet(file)
    with pytest.raises(InvalidManifest, match="column label"):
        Manifest.read(file)


def test_faces_are_the_rows_with_a_crop() -> None:
    manifest = _manifest(_row("a", path="a.png"), _row("b", reason="no face found"))
    assert manifest.faces().table["video"].tolist() == ["a"]
    assert manifest.where([False, True]).table["video"].tolist() == ["b"]


def test_a_crop_is_read_under_the_root(tmp_path: Path) -> None:
    Image.new("RGB", (3, 2), (1, 2, 3)).save(tmp_path / "a.png")
    manifest = _manifest(_row("a", path="a.png"), _row("b", reason="no face found"), root=tmp_path)
    assert manifest.crop(0).tolist() == [[[1, 2, 3]] * 3] * 2
    with pytest.raises(MissingMedia, match="'set/b/0/0' has no crop: no face found"):
        manifest.crop(1)


def test_a_split_that_is_not_there_is_refused_with_those_that_are() -> None:
    manifest = _manifest(_row("a", split="train"), _row("b", split="final"), _row("c"))
    assert manifest.in_split("final").table["video"].tolist() == ["b"]
    with pytest.raises(InvalidManifest, match="there is final, train"):
        manifest.in_split("test")
    with pytest.raises(InvalidManifest, match="no split at all"):
        _manifest(_row("a")).in_split("train")


def test_labels_refuse_the_unknown() -> None:
    assert _manifest(_row("a", label=0), _row("b", label=1)).labels().tolist() == [0, 1]
    mixed = _manifest(_row("a", label=0), _row("b"))
    with pytest.raises(InvalidLabels, match="'set/b/0/0' has no label"):
        mixed.labels()
    renumbered = Manifest(table=mixed.table.set_index(pd.Index([7, 9])), root=mixed.root)
    with pytest.raises(InvalidLabels, match="'set/b/0/0' has no label"):
        renumbered.labels()


def test_clips_are_linked_by_clip_target_and_people() -> None:
    manifest = _manifest(
        _row("real", target_identity="ann"),
        _row("fake", pair="real"),
        _row("fake", frame=1),
        _row("other", target_identity="cem", donor_identity="bob"),
        _row("bob", target_identity="bob"),
        _row("alone", target_identity="dan"),
        {**_row("real"), "sample": "x", "dataset": "elsewhere", "target_identity": "ann"},
    )
    assert manifest.components().tolist() == [0, 0, 0, 1, 1, 2, 3]


def test_unknown_people_link_nobody() -> None:
    assert len(set(_manifest(_row("a"), _row("b"), _row("c")).components())) == 3


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"pair": "t"}, {"pair": "t"}),
        ({"pair": "b"}, {}),
        ({"target_identity": "ann"}, {"target_identity": "ann"}),
        ({"target_identity": "ann"}, {"donor_identity": "ann"}),
        ({"donor_identity": "ann"}, {"donor_identity": "ann"}),
    ],
)
def test_a_split_that_cuts_linked_clips_apart_is_refused(
    first: dict[str, str], second: dict[str, str]
) -> None:
    cut = _manifest(_row("a", split="train", **first), _row("b", split="final", **second))
    with pytest.raises(InvalidManifest, match=r"'a' \(train\) and 'b' \(final\)"):
        cut.check_no_leak()
    _manifest(_row("a", split="train", **first), _row("b", split="train", **second)).check_no_leak()
    _manifest(_row("a", split="train", **first), _row("b", **second)).check_no_leak()


def test_a_leak_through_a_third_clip_is_found() -> None:
    manifest = _manifest(
        _row("a", split="train", target_identity="ann"),
        _row("b", target_identity="ann", donor_identity="bob"),
        _row("c", split="final", target_identity="bob"),
    )
    with pytest.raises(InvalidManifest, match="linked"):
        manifest.check_no_leak()


def test_a_split_as_the_command_line_writes_it_is_told_how_python_takes_it(tmp_path: Path) -> None:
    _manifest(_row("a")).write(tmp_path)
    with pytest.raises(MissingMedia, match=r"read\('.*'\)\.in_split\('train'\)\.$"):
        Manifest.read(f"{tmp_path}:train")
    with pytest.raises(MissingMedia, match="`gendkit extract IN OUT` writes one"):
        Manifest.read(f"{tmp_path}/other:train")


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=12))
def test_components_are_those_of_the_obvious_search(people: list[tuple[int, int]]) -> None:
    rows = [
        _row(f"v{i}", target_identity=f"p{a}", donor_identity=f"p{b}")
        for i, (a, b) in enumerate(people)
    ]
    found = _manifest(*rows).components()
    groups = [{a, b} for a, b in people]
    for _ in groups:  # join until nothing changes
        for one in groups:
            for other in groups:
                if one & other:
                    one |= other
    for i, one in enumerate(groups):
        for j, other in enumerate(groups):
            assert (found[i] == found[j]) == bool(one & other)
