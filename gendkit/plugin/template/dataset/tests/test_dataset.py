"""The dataset against a table whose clips are known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from gendkit.data.datasets import dataset
from gendkit.errors import InvalidManifest, MissingMedia
from gendkit.plugin import Clip

TABLE = """\
video,path,label,method,pair,identity,split
a,a.png,real,,a,ann,train
b,b.mp4,fake,swap,a,ann,train
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with the table and the two files that it names, which are not read here."""
    (tmp_path / "clips.csv").write_text(TABLE)
    (tmp_path / "a.png").touch()
    (tmp_path / "b.mp4").touch()
    return tmp_path


def test_each_row_is_a_clip_in_the_order_of_the_table(root: Path) -> None:
    real, fake = dataset("my-part", root).clips()
    assert real == Clip(
        video="a",
        media=root / "a.png",
        dataset="my-part",
        label=0,
        pair="a",
        target_identity="ann",
        split="train",
        licence="that of the media",
    )
    assert fake == replace(
        real, video="b", media=root / "b.mp4", label=1, method="swap", family="swap"
    )


def test_another_label_is_refused_with_its_line(root: Path) -> None:
    (root / "clips.csv").write_text(TABLE.replace("fake", "maybe"))
    with pytest.raises(InvalidManifest, match="line 3: label is 'maybe'"):
        list(dataset("my-part", root).clips())


def test_a_file_that_is_gone_is_named(root: Path) -> None:
    (root / "b.mp4").unlink()
    with pytest.raises(MissingMedia, match=r"line 3: there is no file .*b\.mp4"):
        list(dataset("my-part", root).clips())
