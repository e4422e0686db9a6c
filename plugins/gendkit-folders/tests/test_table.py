"""`table`: which columns there may be, what their values mean, and what is refused."""

from __future__ import annotations

import pickle
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import gendkit as gk
from gendkit.data.columns import NAMES
from gendkit.errors import (
    GendkitError,
    InvalidLabels,
    InvalidManifest,
    InvalidOption,
    MissingMedia,
    UnreadableMedia,
)
from gendkit.plugin import Clip
from gendkit_folders.rows import OURS

PATHS = ("a.png", "b.png", "sub/c.png", "clip/1.png", "clip/2.png", "film.mp4", "notes.txt")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with media, as small as they can be."""
    for number, name in enumerate(PATHS):
        path = tmp_path / "root" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".png":
            Image.fromarray(np.full((4, 5, 3), number, dtype=np.uint8)).save(path)
        else:
            path.write_text("text")
    return tmp_path / "root"


def write(root: Path, text: str) -> Path:
    path = root / "index.csv"
    path.write_text(text, encoding="utf-8")
    return path


def clips(path: Path, **options: Any) -> list[Clip]:
    return list(gk.dataset("table", path, **options).clips())


def test_a_row_says_all_that_is_known_of_a_clip(root: Path) -> None:
    path = write(
        root,
        "path,label,video,method,family,pair,target_identity,donor_identity,split,year,licence\n"
        "film.mp4,fake,film,faceswap,swap,a,ann,bob,val,2019,CC0-1.0\n"
        "a.png,REAL,a,,,a,ann,,val,,\n",
    )
    one, two = clips(path, licence="mine")
    assert one == Clip(
        video="a", media=root / "a.png", dataset="index", label=0, pair="a",
        target_identity="ann", split="development", licence="mine",
    )  # fmt: skip
    assert two == Clip(
        video="film", media=root / "film.mp4", dataset="index", label=1, method="faceswap",
        family="swap", pair="a", target_identity="ann", donor_identity="bob", split="development",
        year=2019, licence="CC0-1.0",
    )  # fmt: skip
    assert pickle.loads(pickle.dumps([one, two])) == [one, two]


def test_a_row_may_name_its_collection_and_the_year_of_its_generator(root: Path) -> None:
    text = "path,label,dataset,video,generator_year\na.png,0,one,v,\nb.png,1,My set,v,2019\n"
    one, two = clips(write(root, text))
    assert [(c.dataset, c.video) for c in (one, two)] == [("one", "v"), ("My_set", "v")]
    assert (one.generator_year, two.generator_year) == (None, 2019)


def test_every_column_of_a_manifest_that_a_clip_has_is_read() -> None:
    said = {field.name for field in fields(Clip)} - {"media"}
    assert said == set(OURS) - {"path"}
    assert said <= set(NAMES)


def test_columns_that_are_not_read_are_named(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    clips(write(root, "path,label,Split,size\na.png,0,train,9\n"))
    assert "table: not read are the columns Split, size; known are path, label" in caplog.text
    caplog.clear()
    clips(write(root, "path,label,Split\na.png,0,train\n"), columns={"Split": "split"})
    assert caplog.text == ""


def test_path_and_label_are_enough_and_the_order_is_by_path(root: Path) -> None:
    path = write(root, "label,path\n1,sub/c.png\n0,b.png\n0,a.png\n")
    found = clips(path)
    assert found == clips(root)
    assert [(c.video, c.label, c.method) for c in found] == [
        ("a.png", 0, ""),
        ("b.png", 0, ""),
        ("sub/c.png", 1, "fake"),
    ]
    assert {c.licence for c in found} == {"not stated"}


def test_a_table_of_a_spreadsheet_is_read_as_it_is(root: Path) -> None:
    path = root / "index.csv"
    path.write_bytes(b'\xef\xbb\xbfpath,label,video\r\n"a.png",0,007\r\n\r\nb.png,1,NA\r\n')
    assert [(c.video, c.label) for c in clips(path)] == [("007", 0), ("NA", 1)]


def test_a_parquet_table_keeps_numbers_and_gaps(root: Path) -> None:
    table = pd.DataFrame(
        {
            "path": ["a.png", "b.png"],
            "label": [0.0, 1.0],
            "year": [None, 2020.0],
            "method": [None] * 2,
        }
    )
    table.to_parquet(root / "index.parquet")
    found = clips(root / "index.parquet")
    assert [(c.label, c.year, c.method) for c in found] == [(0, None, ""), (1, 2020, "fake")]


def test_a_folder_of_pictures_is_one_clip(root: Path) -> None:
    (clip,) = clips(write(root, "path,label\nclip,fake\n"))
    assert clip.video == "clip"
    frames = list(pickle.loads(pickle.dumps(clip)).media())
    assert [(f.index, f.image[0, 0, 0]) for f in frames] == [(0, 3), (1, 4)]


def test_columns_and_words_of_theirs_can_be_named(root: Path) -> None:
    path = write(root, "file,target,label,part\na.png,G,x,A\nb.png,S,y,B\nsub/c.png,,z,A\n")
    found = clips(
        path,
        columns={"file": "path", "target": "label", "part": "split"},
        labels={"g": "real", "S": "fake", "": "unknown"},
        splits={"a": "train", "B": "final"},
    )
    assert [(c.label, c.split) for c in found] == [(0, "train"), (1, "final"), (-1, "train")]
    with pytest.raises(InvalidOption, match="columns names 'files'; the table has file, target"):
        clips(path, columns={"files": "path"})
    with pytest.raises(InvalidOption, match="meaning 'paths'; expected one of path, label"):
        clips(path, columns={"file": "paths"})
    with pytest.raises(InvalidOption, match="both 'file' and 'part' are path"):
        clips(path, columns={"file": "path", "part": "path"})
    with pytest.raises(InvalidOption, match="meaning 'true'; expected real, fake, unknown"):
        clips(path, labels={"a": "true"})


@pytest.mark.parametrize("label", ["", "2", "fakes", "-1", "true"])
def test_a_label_that_is_not_known_is_refused(root: Path, label: str) -> None:
    with pytest.raises(InvalidLabels, match=f"row 2 of index.csv has the label '{label}'"):
        clips(write(root, f"path,label\na.png,real\nb.png,{label}\n"))


def test_a_real_row_has_no_method(root: Path) -> None:
    found = clips(write(root, "path,label,method\na.png,0,Original\nb.png,1,Deep Swap\n"))
    assert [c.method for c in found] == ["", "Deep_Swap"]
    with pytest.raises(InvalidLabels, match=r"row 1 .* is real and has the method 'swap'"):
        clips(write(root, "path,label,method\na.png,0,swap\n"))
    with pytest.raises(InvalidLabels, match="has the family 'swap'"):
        clips(write(root, "path,label,family\na.png,0,swap\n"))


def test_missing_columns_are_told_with_those_that_are_there(root: Path) -> None:
    with pytest.raises(InvalidOption, match="no column path and no label; it has file, target"):
        clips(write(root, "file,target\na.png,0\n"))


def test_a_path_too_long_to_be_one_is_told(root: Path) -> None:
    with pytest.raises(MissingMedia, match=r"row 1 .* and there is no "):
        clips(write(root, f"path,label\n{'y' * 5000}.png,0\n"))


def test_media_that_are_not_there_are_told_with_where_they_were_sought(root: Path) -> None:
    with pytest.raises(MissingMedia, match=r"row 1 .*'z\.png', and there is no .*root/z\.png"):
        clips(write(root, "path,label\nz.png,0\n"))
    with pytest.raises(MissingMedia, match=r"'notes\.txt', neither picture nor video"):
        clips(write(root, "path,label\nnotes.txt,0\n"))
    with pytest.raises(MissingMedia, match="has no path"):
        clips(write(root, "path,label\n,0\n"))
    with pytest.raises(MissingMedia, match=r"path of a folder, '\.'"):
        clips(write(root, "path,label\n.,0\n"))
    with pytest.raises(MissingMedia, match="has no row"):
        clips(write(root, "path,label\n"))


def test_paths_do_not_leave_the_root(root: Path) -> None:
    outside = root.parent / "outside.png"
    outside.write_bytes((root / "a.png").read_bytes())
    for path in ("../outside.png", "sub/../../outside.png", str(outside)):
        with pytest.raises(MissingMedia, match="which leaves"):
            clips(write(root, f"path,label\n{path},0\n"))
    (root / "link.png").symlink_to(outside)
    with pytest.raises(MissingMedia, match="lies outside of"):
        clips(write(root, "path,label\nlink.png,0\n"))
    (root / "folder").symlink_to(root.parent)
    with pytest.raises(MissingMedia, match="lies outside of"):
        clips(write(root, "path,label\nfolder/outside.png,0\n"))
    found = clips(write(root, f"path,label\n{root / 'a.png'},0\n"))
    assert [c.video for c in found] == ["a.png"]


def test_another_root_of_the_media_can_be_given(root: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    path = write(tmp_path / "elsewhere", "path,label\nsub/c.png,1\n")
    with pytest.raises(MissingMedia, match="the option media"):
        clips(path)
    (clip,) = clips(path, media=root)
    assert clip.media == root / "sub" / "c.png"
    with pytest.raises(MissingMedia, match="option media"):
        clips(path, media=tmp_path / "nowhere")


def test_two_rows_with_one_id_are_refused(root: Path) -> None:
    with pytest.raises(InvalidManifest, match=r"row 1 .* and row 2 .* same video id 'v'"):
        clips(write(root, "path,label,video\na.png,0,v\nb.png,1,v\n"))
    with pytest.raises(InvalidManifest, match=r"same video id 'a\.png'"):
        clips(write(root, "path,label\na.png,0\na.png,1\n"))


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("video", "../a", "the video id '../a'"),
        ("video", "a b", "the video id 'a b'"),
        ("year", "20x", "the year '20x'"),
        ("generator_year", "x", "the year 'x'"),
        ("split", "part 3", "the split 'part 3'"),
    ],
)
def test_a_value_that_cannot_be_is_refused(root: Path, column: str, value: str, words: str) -> None:
    with pytest.raises(GendkitError, match=words):
        clips(write(root, f"path,label,{column}\na.png,0,{value}\n"))


def test_a_file_that_is_no_table_is_refused(root: Path, tmp_path: Path) -> None:
    (root / "index.parquet").write_text("no table")
    with pytest.raises(UnreadableMedia, match="is no table that can be read"):
        clips(root / "index.parquet")
    for text, words in (
        ("", "begins with ''"),
        ("path,label,path\na.png,0,b.png\n", "each once"),
        ("path,label\na.png,0,\n", "row 1 of .* has 3 values for 2 columns"),
        ("path,label\na.png,0\nb.png\n", "row 2 of .* has 1 values for 2 columns"),
        ('path,label\n"a.png,0\n', "is no table that can be read"),
    ):
        with pytest.raises(UnreadableMedia, match=words):
            clips(write(root, text))
    with pytest.raises(MissingMedia, match=r"neither \.csv nor \.parquet"):
        clips(root / "notes.txt")
    with pytest.raises(MissingMedia, match=r"holds 2 tables.*index\.csv, index\.parquet"):
        clips(root)
    with pytest.raises(MissingMedia, match=r"holds 0 tables.*c\.png"):
        clips(root / "sub")
    with pytest.raises(MissingMedia, match=r"nowhere\.csv; table expects"):
        clips(tmp_path / "nowhere.csv")
