"""Crops in a zarr array: a store that any zarr reads, the same pixels, and no lie about a gap."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import zarr
from PIL import Image

from gendkit.data import stacked
from gendkit.data.extract import extract
from gendkit.data.loader import Loader
from gendkit.data.manifest import Manifest
from gendkit.data.stacked import FOLDER, StackedCrops
from gendkit.data.subsets import write_subset
from gendkit.errors import (
    InvalidArgument,
    InvalidManifest,
    MissingMedia,
    OutputExists,
    UnreadableMedia,
)
from gendkit.measure.manifest_check import check_manifest
from gendkit.measure.probes import probe_manifest
from gendkit.plugin.protocols import Clip, Face, Frame
from gendkit.testing.small import small_backbone, small_crops
from gendkit.train.record import digest

SIDE, SHARD = 40, 3


@pytest.fixture(autouse=True)
def _small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stacked, "SHARD_BYTES", SHARD * SIDE * SIDE * 3)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight crops as PNG files, of which one is black, and in a zarr of three a shard."""
    root = tmp_path_factory.mktemp("made")
    (root / "png").mkdir()
    manifest = small_crops(root / "png", identities=("ann",), size=SIDE)
    Image.new("RGB", (SIDE, SIDE)).save(root / "png" / manifest.table["path"][5])
    manifest.write()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stacked, "SHARD_BYTES", SHARD * SIDE * SIDE * 3)
        manifest.to_zarr(root / "zarr")
    return root


@pytest.fixture
def files(made: Path, tmp_path: Path) -> Manifest:
    return Manifest.read(shutil.copytree(made / "png", tmp_path / "png"))


@pytest.fixture
def store(made: Path, tmp_path: Path) -> Manifest:
    return Manifest.read(shutil.copytree(made / "zarr", tmp_path / "zarr"))


def shard(manifest: Manifest, number: int) -> Path:
    return manifest.root / FOLDER / f"crops/c/{number}/0/0/0"


def test_any_zarr_reads_the_crops_of_the_files(files: Manifest, store: Manifest) -> None:
    array = zarr.open(store.root / FOLDER, mode="r")["crops"]
    assert (array.shape, array.chunks, array.shards) == (
        *((8, SIDE, SIDE, 3), (1, SIDE, SIDE, 3), (SHARD, SIDE, SIDE, 3)),
    )
    for row in range(8):
        assert np.array_equal(array[row], files.crop(row))
    assert not array[5].any()


def test_the_same_manifest_and_the_same_pixels_come_from_it(
    files: Manifest, store: Manifest, tmp_path: Path
) -> None:
    for manifest in (store, files.to_zarr(tmp_path / "again")):
        assert isinstance(manifest.packed, StackedCrops)
        assert len(manifest.packed) == len(manifest) == 8
        assert list(manifest.table["path"]) == [f"crops.zarr/crops/{n}" for n in range(8)]
        assert manifest.table.drop(columns="path").equals(files.table.drop(columns="path"))
        for row in range(8):
            assert np.array_equal(manifest.crop(row), files.crop(row))
            assert manifest.crop(row).flags.writeable
    assert [p.name for p in sorted(store.root.iterdir())] == [FOLDER, "manifest.parquet"]


@pytest.mark.parametrize("augmentation", ["none", "none,jpeg:20..90", "gend", "gend-batched"])
@pytest.mark.parametrize("side", [SIDE, 28], ids=["as large", "resized"])
def test_batches_are_the_same(
    files: Manifest, store: Manifest, augmentation: str, side: int
) -> None:
    size = replace(small_backbone().preprocessing, size=side)
    a, b, c = (
        Loader(m, size, batch_size=3, augmentation=augmentation, workers=workers)
        for m, workers in ((files, 1), (store, 1), (store, 4))
    )
    for epoch in (iter, lambda loader: loader.epoch(1)):
        for one, other, threads in zip(*map(epoch, (a, b, c)), strict=True):  # type: ignore[arg-type]
            assert one.rows.tolist() == other.rows.tolist()
            assert torch.equal(one.pixels, other.pixels)
            assert torch.equal(one.pixels, threads.pixels)


def test_a_part_of_a_manifest_is_written_by_itself(store: Manifest, tmp_path: Path) -> None:
    fakes = replace(store, table=store.table[store.table["label"] == 1]).to_zarr(tmp_path / "fakes")
    assert len(fakes.packed or ()) == 4
    for row in range(4):
        assert np.array_equal(fakes.crop(row), store.crop(4 + row))


def test_a_row_without_a_crop_stays_and_two_rows_may_share_one(
    files: Manifest, tmp_path: Path
) -> None:
    files.table.loc[2, ["path", "reason"]] = ["", "no face found"]
    files.table.loc[3, "path"] = files.table["path"][0]
    made = files.to_zarr(tmp_path / "zarr")
    assert len(made) == 8
    assert len(made.packed or ()) == 6
    assert np.array_equal(made.crop(3), made.crop(0))
    with pytest.raises(MissingMedia, match="no face found"):
        made.crop(2)


def test_a_run_and_the_probes_see_the_same_data(files: Manifest, store: Manifest) -> None:
    assert digest(store) == digest(files)
    assert digest(Manifest.read(store.root)) == digest(files)
    values = [[(p.probe, p.auroc) for p in probe_manifest(m, bootstraps=2)] for m in (files, store)]
    assert values[0] == values[1]


def test_threads_and_other_processes_read_the_same_store(files: Manifest, store: Manifest) -> None:
    again = pickle.loads(pickle.dumps(store))
    with ThreadPoolExecutor(8) as pool:
        read = list(pool.map(again.crop, list(range(8)) * 20))
    assert all(np.array_equal(read[i], files.crop(i % 8)) for i in range(160))


def test_a_subset_in_a_folder_of_its_own_or_beside_the_crops_has_the_same_pixels(
    store: Manifest, tmp_path: Path
) -> None:
    fakes = store.where(store.table["label"] == 1)
    assert fakes.packed is not None
    for out in (tmp_path / "fakes", store.root / "fakes.parquet"):
        read = write_subset(fakes, out)
        assert len(read) == 4
        assert all(np.array_equal(read.crop(row), store.crop(4 + row)) for row in range(4))
    assert check_manifest(
        Manifest.read(tmp_path / "fakes"), allow=["reals", "fakes", "balance"]
    ).passed


# What is not equal in size, or not there


def test_crops_of_several_sizes_or_not_square_are_refused_and_nothing_is_left(
    files: Manifest, tmp_path: Path
) -> None:
    path = files.table["path"][6]
    for size, text in (((50, 50), r"is 50 x 50 pixels, expected 40 x 40"), ((40, 41), "40 x 41")):
        Image.new("RGB", size).save(files.root / path)
        with pytest.raises(InvalidManifest, match=text):
            files.to_zarr(tmp_path / "zarr")
        assert not (tmp_path / "zarr").exists()
    Image.new("RGB", (40, 41)).save(files.root / files.table["path"][0])
    with pytest.raises(InvalidManifest, match="expected as high as wide"):
        files.to_zarr(tmp_path / "zarr")


def test_a_manifest_without_a_crop_is_refused(files: Manifest, tmp_path: Path) -> None:
    with pytest.raises(InvalidManifest, match=r"no row of the manifest .* has a crop"):
        files.where(files.table["path"] == "nowhere").to_zarr(tmp_path / "zarr")


def test_a_folder_that_holds_something_is_left_alone(files: Manifest) -> None:
    with pytest.raises(OutputExists):
        files.to_zarr(files.root)


def test_a_path_that_is_no_crop_of_the_store_is_refused(store: Manifest) -> None:
    for path in ("crops.zarr/crops/8", "crops.zarr/crops/01", "crops.zarr/crops/c", "real/a.png"):
        store.table.loc[0, "path"] = path
        with pytest.raises(InvalidManifest, match="holds 8 crops and none is"):
            store.crop(0)
    store.table.loc[0, "path"] = "crops.zarr/../../other.png"
    store.write()
    with pytest.raises(InvalidManifest, match="leaves the manifest's root"):
        Manifest.read(store.root)


def test_crops_in_a_zarr_need_no_pack(store: Manifest) -> None:
    with pytest.raises(InvalidManifest, match="needs no pack"):
        store.pack()


# Damage: an error that names the crop, never zeros


def damaged(read: Callable[[], object], number: int) -> None:
    with pytest.raises(UnreadableMedia, match=rf"crop crops\.zarr/crops/{number} in .* is damaged"):
        read()


def test_a_changed_pixel_is_an_error_and_other_crops_are_read(store: Manifest) -> None:
    data = bytearray(shard(store, 1).read_bytes())
    data[SIDE] ^= 1
    shard(store, 1).write_bytes(data)
    failed = []
    for row in range(8):
        try:
            store.crop(row)
        except UnreadableMedia:
            failed.append(row)
    assert failed
    assert len(failed) == 1
    assert failed[0] in (3, 4, 5)
    loader = Loader(store, small_backbone().preprocessing, batch_size=8)
    with pytest.raises(UnreadableMedia, match=f"crops/{failed[0]} "):
        list(loader)


def test_a_shard_that_is_gone_is_an_error_where_zarr_gives_zeros(store: Manifest) -> None:
    shard(store, 2).unlink()
    array = zarr.open(store.root / FOLDER, mode="r")["crops"]
    assert not array[6].any(), "if zarr said it, nothing here would have to"
    damaged(lambda: store.crop(6), 6)
    damaged(lambda: Manifest.read(store.root).crop(7), 7)
    store.crop(5)


def test_a_crop_that_a_shard_lacks_is_an_error(store: Manifest) -> None:
    array = zarr.open(store.root / FOLDER, mode="r+")["crops"]
    array[6] = 0  # zarr leaves out what is empty
    assert not array[6].any()
    damaged(lambda: store.crop(6), 6)


@pytest.mark.parametrize("length", [0, 3, 60, 5000, -1])
def test_a_shard_that_is_cut_off_is_an_error(store: Manifest, length: int) -> None:
    shard(store, 0).write_bytes(shard(store, 0).read_bytes()[:length])
    damaged(lambda: store.crop(1), 1)


def test_a_shard_in_the_place_of_another_is_an_error(store: Manifest) -> None:
    shutil.copyfile(shard(store, 0), shard(store, 1))
    damaged(lambda: store.crop(4), 4)


def test_an_index_that_points_elsewhere_is_an_error(store: Manifest) -> None:
    data = bytearray(shard(store, 0).read_bytes())
    for start, length in ((1 << 62, 4804), (0, 1 << 40), (100, 4804)):
        at = len(data) - 4 - 16 * SHARD
        data[at : at + 16] = np.array([start, length], "<u8").tobytes()
        shard(store, 0).write_bytes(data)
        damaged(lambda: Manifest.read(store.root).crop(0), 0)


@pytest.mark.parametrize("name", ["crops/zarr.json", "crc32/zarr.json", "crc32/c/0"])
@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b'{"zarr_format": 3}'])
def test_damage_to_what_describes_the_crops_is_told_at_once(
    store: Manifest, name: str, content: bytes
) -> None:
    (store.root / FOLDER / name).write_bytes(content)
    with pytest.raises(UnreadableMedia, match=r"is no store of crops that this version reads"):
        Manifest.read(store.root)


def test_without_checksums_no_crop_is_read(store: Manifest) -> None:
    (store.root / FOLDER / "crc32/c/0").unlink()
    damaged(lambda: Manifest.read(store.root).crop(0), 0)


@pytest.mark.parametrize("name", ["zarr.json", "crops/zarr.json", "png_bytes/c/0", "crops", ""])
def test_a_part_that_is_gone_is_told_at_once(store: Manifest, name: str) -> None:
    gone = store.root / FOLDER / name
    shutil.rmtree(gone) if gone.is_dir() else gone.unlink()
    with pytest.raises(UnreadableMedia, match=r"is no store of crops|8 checksums and 0 sizes"):
        Manifest.read(store.root)


def test_a_store_that_somebody_compressed_is_refused_by_what_is_different(store: Manifest) -> None:
    file = store.root / FOLDER / "crops/zarr.json"
    layout = json.loads(file.read_text())
    layout["codecs"][0]["configuration"]["codecs"][1] = {"name": "zstd"}
    file.write_text(json.dumps(layout))
    with pytest.raises(UnreadableMedia, match=r"codecs of a chunk: \['bytes', 'zstd'\]"):
        Manifest.read(store.root)


# Extraction


class Finder:
    """Finds the same face everywhere."""

    threshold = 0.5

    def __call__(self, image: np.ndarray, /) -> list[Face]:
        from gendkit.data.faces import TEMPLATE

        points = np.asarray(TEMPLATE, dtype=np.float32) * 20 + 6
        return [Face(box=(6, 6, 26, 26), landmarks=points, confidence=0.75)]


def render() -> Iterator[Frame]:
    for number in range(5):
        image = np.random.default_rng(number).integers(0, 256, (32, 32, 3), dtype=np.uint8)
        yield Frame(index=number, time=number / 25, image=image)


CLIPS = [Clip(video=f"folder/{name}", media=render, dataset="set", label=0) for name in "ab"]


def test_extraction_keeps_a_zarr_and_no_other_file(tmp_path: Path) -> None:
    png = extract(CLIPS, tmp_path / "png", extractor=Finder(), size=24)
    made = extract(CLIPS, tmp_path / "zarr", extractor=Finder(), size=24, store="zarr")
    assert sorted(p.name for p in (tmp_path / "zarr").iterdir()) == [FOLDER, "manifest.parquet"]
    for read in (made, Manifest.read(tmp_path / "zarr")):
        assert len(read) == len(png) == 10
        assert all(np.array_equal(read.crop(row), png.crop(row)) for row in range(10))
        assert {**read.meta, "inputs": ""} == {**png.meta, "store": "zarr", "inputs": ""}


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"store": "zarr"}, "--size 224"),
        ({"store": "zarr", "size": 24, "pack": True}, "either --pack or --store zarr"),
        ({"store": "hdf5"}, "not one of png, zarr"),
    ],
)
def test_a_store_that_does_not_go_with_the_rest_is_refused_before_any_work(
    tmp_path: Path, options: dict[str, object], text: str
) -> None:
    with pytest.raises(InvalidArgument, match=text):
        extract(CLIPS, tmp_path / "out", extractor="no such", **options)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


def test_a_run_that_is_killed_while_it_writes_the_zarr_examines_no_clip_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def half(manifest: Manifest, rows: object, path: Path) -> None:
        path.mkdir()
        (path / "zarr.json").touch()
        raise KeyboardInterrupt

    options: dict[str, Any] = {"extractor": Finder(), "size": 24, "store": "zarr"}
    with monkeypatch.context() as patch:
        patch.setattr(stacked, "_write", half)
        with pytest.raises(KeyboardInterrupt):
            extract(CLIPS, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()
    monkeypatch.setattr(Finder, "__call__", lambda self, image: pytest.fail("seen before"))
    made = extract(CLIPS, tmp_path / "out", **options)
    assert len(made.packed or ()) == 10
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    monkeypatch.undo()
    other = extract(CLIPS, tmp_path / "other", **options)
    assert all(np.array_equal(made.crop(row), other.crop(row)) for row in range(10))
