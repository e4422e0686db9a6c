"""`hf-datasets`: what `save_to_disk` wrote, and what is refused.

`saved/dict` and `saved/one` were written by Hugging Face datasets 5.2.0, with the pictures `drawn`
of the seeds 0, 1, 2 (train), 3, 4 (test) and 5, 6 (`one`, in two files). The class of an odd seed
is `real`, else it is `fake` with the method `swap`.
"""

from __future__ import annotations

import json
import logging
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

import gendkit as gk
from gendkit.errors import InvalidLabels, InvalidOption, MissingMedia, UnreadableMedia
from gendkit.plugin import Clip

SAVED = Path(__file__).parent / "saved"
CLASSES = {"_type": "ClassLabel", "names": ["genuine", "forged"]}
TEXT = {"_type": "Value", "dtype": "string"}


def clips(path: Path, **options: Any) -> list[Clip]:
    return list(gk.dataset("hf-datasets", path, **options).clips())


def drawn(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, (6, 8, 3), dtype=np.uint8)


def save(folder: Path, columns: dict[str, Any], features: dict[str, Any]) -> Path:
    """Write a dataset as `save_to_disk` lays it out."""
    folder.mkdir(parents=True, exist_ok=True)
    table = pa.table(columns)
    with pa.ipc.new_stream(folder / "data-00000-of-00001.arrow", table.schema) as stream:
        stream.write_table(table, max_chunksize=2)
    state = {"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}
    (folder / "state.json").write_text(json.dumps(state))
    (folder / "dataset_info.json").write_text(json.dumps({"features": features}))
    return folder


@pytest.fixture
def paths(tmp_path: Path) -> Path:
    """A dataset of three paths, in two batches, beside the pictures that they name."""
    folder = save(
        tmp_path / "paths",
        {"file": ["c.png", "a.png", "b.png"], "label": [0, 1, 1]},
        {"file": TEXT, "label": CLASSES},
    )
    for seed, name in enumerate("abc"):
        Image.fromarray(drawn(seed)).save(folder / f"{name}.png")
    return folder


def test_a_dict_gives_its_splits_and_classes_by_name(tmp_path: Path) -> None:
    found = clips(SAVED / "dict", licence="CC0-1.0")
    assert [(c.video, c.label, c.method, c.split) for c in found] == [
        ("train/000000", 1, "swap", "train"),
        ("train/000001", 0, "", "train"),
        ("train/000002", 1, "swap", "train"),
        ("test/000000", 0, "", "final"),
        ("test/000001", 1, "swap", "final"),
    ]
    assert {(c.dataset, c.licence) for c in found} == {("dict", "CC0-1.0")}
    assert found == clips(SAVED / "dict", licence="CC0-1.0")


def test_each_clip_renders_its_own_picture_in_any_process(tmp_path: Path) -> None:
    found = [*clips(SAVED / "dict"), *clips(SAVED / "one")]
    for seed, clip in enumerate(pickle.loads(pickle.dumps(found))):
        for _ in range(2):
            (frame,) = clip.media()
            assert (frame.index, frame.time) == (0, None)
            assert np.array_equal(frame.image, drawn(seed))


def test_a_lone_dataset_in_two_files_is_numbered_through() -> None:
    found = clips(SAVED / "one", dataset="mine")
    assert [(c.video, c.label, c.split) for c in found] == [
        ("row/000000", 0, ""),
        ("row/000001", 1, ""),
    ]
    assert {c.dataset for c in found} == {"mine"}


def test_rows_may_have_paths_instead(paths: Path, tmp_path: Path) -> None:
    found = clips(paths, columns={"file": "path"})
    assert [(c.video, c.label) for c in found] == [("c.png", 0), ("a.png", 1), ("b.png", 1)]
    assert [c.media for c in found] == [paths / f"{c}.png" for c in "cab"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(MissingMedia, match=r"row 0 .* the path 'c\.png', and there is no"):
        clips(paths, columns={"file": "path"}, media=tmp_path / "empty")


def test_a_picture_column_may_hold_paths_and_bytes(paths: Path) -> None:
    data = (paths / "a.png").read_bytes()
    pictures = [{"bytes": None, "path": "c.png"}, {"bytes": data, "path": "nowhere.png"}] * 2
    folder = save(
        paths,
        {"picture": pictures[:3], "label": ["real", "fake", "real"], "video": ["x", "y", "z"]},
        {"picture": {"_type": "Image"}, "label": TEXT, "video": TEXT},
    )
    found = clips(folder)
    assert [(c.video, c.label) for c in found] == [("x", 0), ("y", 1), ("z", 0)]
    assert found[0].media == found[2].media == paths / "c.png"
    (frame,) = found[1].media()
    assert np.array_equal(frame.image, drawn(0))


def test_class_numbers_count_by_their_names(paths: Path) -> None:
    columns = {"file": "path"}
    features = {"file": TEXT, "label": {**CLASSES, "names": ["attack", "bonafide"]}}
    (paths / "dataset_info.json").write_text(json.dumps({"features": features}))
    with pytest.raises(InvalidLabels, match="row 0 of paths has the label 'attack'"):
        clips(paths, columns=columns)
    labels = {"attack": "fake", "bonafide": "real"}
    assert [c.label for c in clips(paths, columns=columns, labels=labels)] == [1, 0, 0]


def test_a_row_without_a_class_is_refused(paths: Path) -> None:
    save(paths, {"path": ["a.png"], "label": [-1]}, {"path": TEXT, "label": CLASSES})
    with pytest.raises(InvalidLabels, match="has the label -1"):
        clips(paths)
    assert [c.label for c in clips(paths, labels={-1: "unknown"})] == [-1]


def test_a_column_that_is_not_clear_is_asked_for(paths: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidOption, match=r"clearly the image; it has file \(string\), label"):
        clips(paths)
    image = {"_type": "Image"}
    empty = {"one": [None], "two": [None], "a": [0], "b": [0]}
    features = {"one": image, "two": image, "a": CLASSES, "b": CLASSES}
    folder = save(tmp_path / "two", empty, features)
    with pytest.raises(InvalidOption, match="clearly the label or the image"):
        clips(folder)
    with pytest.raises(InvalidOption, match=r"'a' of .* holds int64; expected pictures"):
        clips(folder, columns={"a": "image", "b": "label"})


def test_a_split_of_another_name_is_asked_about(tmp_path: Path) -> None:
    root = tmp_path / "dict"
    shutil.copytree(SAVED / "dict", root)
    (root / "test").rename(root / "wild")
    (root / "dataset_dict.json").write_text('{"splits": ["wild", "train"]}')
    with pytest.raises(InvalidLabels, match=r"has the split 'wild'.*splits="):
        clips(root)
    found = clips(root, splits={"wild": "development"})
    assert [c.split for c in found] == ["development"] * 2 + ["train"] * 3


def test_files_that_are_missing_or_too_many_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = tmp_path / "one"
    shutil.copytree(SAVED / "one", root)
    shutil.copy(root / "data-00000-of-00002.arrow", root / "cache-1234.arrow")
    with caplog.at_level(logging.WARNING, logger="gendkit"):
        assert len(clips(root)) == 2
    assert "cache-1234.arrow is not read" in caplog.text
    (root / "cache-1234.arrow").unlink()
    (root / "data-00001-of-00002.arrow").unlink()
    with pytest.raises(MissingMedia, match=r"names .*00001.*in the folder: data-00000-of-00002"):
        clips(root)
    (root / "state.json").unlink()
    with pytest.raises(MissingMedia, match=r"has no state\.json; .* In it: data-0000"):
        gk.dataset("hf-datasets", root)
    with pytest.raises(MissingMedia, match=r"there is no .*nowhere"):
        gk.dataset("hf-datasets", tmp_path / "nowhere")


def test_files_outside_of_the_folder_are_not_read(tmp_path: Path) -> None:
    root = tmp_path / "dict"
    shutil.copytree(SAVED / "dict", root)
    (root / "dataset_dict.json").write_text('{"splits": ["../one"]}')
    shutil.copytree(SAVED / "one", tmp_path / "one")
    with pytest.raises(MissingMedia, match="lies outside of"):
        clips(root)
    file = tmp_path / "one" / "data-00001-of-00002.arrow"
    file.rename(tmp_path / "away.arrow")
    file.symlink_to(tmp_path / "away.arrow")
    with pytest.raises(MissingMedia, match=r"leads to .*away\.arrow"):
        clips(tmp_path / "one")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("data-00001-of-00002.arrow", "no stream"),
        ("dataset_info.json", "{"),
        ("state.json", "[]"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path: Path, name: str, content: str) -> None:
    root = tmp_path / "one"
    shutil.copytree(SAVED / "one", root)
    (root / name).write_text(content)
    with pytest.raises(UnreadableMedia, match=f"{name} .*save it again"):
        clips(root)


def test_rows_with_an_order_beside_them_are_refused(paths: Path) -> None:
    state = json.loads((paths / "state.json").read_text())
    state["_indices_data_files"] = [{"filename": "indices.arrow"}]
    (paths / "state.json").write_text(json.dumps(state))
    with pytest.raises(UnreadableMedia, match="an order of its rows"):
        clips(paths, columns={"file": "path"})


def test_a_damaged_picture_is_an_error_of_its_clip(tmp_path: Path) -> None:
    folder = save(
        tmp_path / "one",
        {"image": [{"bytes": b"no picture", "path": None}], "label": ["real"]},
        {"image": {"_type": "Image"}, "label": TEXT},
    )
    (clip,) = clips(folder)
    with pytest.raises(UnreadableMedia, match="row 0 of one cannot be read as a picture"):
        list(clip.media())
