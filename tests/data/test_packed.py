"""Packed crops: the same pixels and the same run; stale or damaged packs are refused."""

from __future__ import annotations

import pickle
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from gendkit.data.loader import Loader
from gendkit.data.manifest import Manifest
from gendkit.data.packed import FILE, HEADER, PackedCrops
from gendkit.errors import InvalidManifest, MissingMedia, UnreadableMedia
from gendkit.testing.small import small_backbone, small_crops
from gendkit.train.record import digest


@pytest.fixture
def crops(tmp_path: Path) -> Manifest:
    """Eight crops of one person, written with their manifest."""
    manifest = small_crops(tmp_path, identities=("ann",))
    manifest.write()
    return manifest


def test_packed_crops_have_the_pixels_of_the_files(crops: Manifest) -> None:
    assert crops.packed is None
    packed = crops.pack()
    assert packed.packed is not None
    assert len(packed.packed) == len(crops) == 8
    for row in range(8):
        assert np.array_equal(packed.crop(row), crops.crop(row))
        assert packed.crop(row).flags.writeable


def test_reading_a_manifest_finds_its_pack_and_parts_of_it_keep_it(crops: Manifest) -> None:
    crops.pack()
    for path in crops.table["path"]:
        (crops.root / path).unlink()
    fakes = Manifest.read(crops.root).where(crops.table["label"] == 1)
    assert fakes.crop(2).shape == (40, 40, 3)
    with pytest.raises(MissingMedia):
        crops.crop(2)


@pytest.mark.parametrize("augmentation", ["gend", "gend-batched"])
def test_batches_from_a_pack_are_the_same(crops: Manifest, augmentation: str) -> None:
    a, b = (
        Loader(m, small_backbone().preprocessing, batch_size=8, augmentation=augmentation)
        for m in (crops, crops.pack())
    )
    assert torch.equal(next(iter(a)).pixels, next(iter(b)).pixels)
    assert torch.equal(next(a.epoch(1)).pixels, next(b.epoch(1)).pixels)


def test_the_digest_of_a_run_is_the_same_packed_or_not(crops: Manifest) -> None:
    before = digest(crops)
    packed = crops.pack()
    assert digest(packed) == before
    shutil.rmtree(crops.root / "real")
    assert digest(Manifest.read(crops.root)) == before
    assert digest(crops) != before


def test_threads_and_other_processes_read_the_same_pack(crops: Manifest) -> None:
    packed = pickle.loads(pickle.dumps(crops.pack()))
    with ThreadPoolExecutor(8) as pool:
        read = list(pool.map(packed.crop, list(range(8)) * 20))
    assert all(np.array_equal(read[i], crops.crop(i % 8)) for i in range(160))


def test_opening_a_pack_reads_no_pixels(crops: Manifest) -> None:
    packed = crops.pack().packed
    assert packed is not None
    assert "_pixels" not in vars(PackedCrops(packed.path))


def test_a_file_of_another_size_than_when_it_was_packed_is_refused(crops: Manifest) -> None:
    packed = crops.pack()
    path = crops.table["path"][3]
    with (crops.root / path).open("ab") as file:
        file.write(b"more")
    with pytest.raises(InvalidManifest, match=r"bytes, but had \d+ when crops.pack was packed"):
        packed.crop(3)
    packed.crop(4)
    assert np.array_equal(packed.pack().crop(4), crops.crop(4))


def test_a_crop_that_the_pack_lacks_is_refused(crops: Manifest) -> None:
    first = crops.where(crops.table.index < 5)
    first.pack()
    later = Manifest.read(crops.root)
    assert later.crop(4).shape == (40, 40, 3)
    with pytest.raises(InvalidManifest, match=r"does not hold the crop .* older than the manifest"):
        later.crop(5)


def flip(file: Path, at: int) -> None:
    data = bytearray(file.read_bytes())
    data[at] ^= 1
    file.write_bytes(data)


def test_a_damaged_crop_is_refused_and_no_other(crops: Manifest) -> None:
    crops.pack()
    flip(crops.root / FILE, HEADER.size + 2 * 40 * 40 * 3 + 100)
    manifest = Manifest.read(crops.root)
    manifest.crop(1)
    with pytest.raises(UnreadableMedia, match=r"the crop real/ann-2.png in .* is damaged"):
        manifest.crop(2)


@pytest.mark.parametrize("at", [0, 9, 20, -1, -100], ids=str)
def test_a_damaged_header_or_index_is_refused_at_once(crops: Manifest, at: int) -> None:
    crops.pack()
    flip(crops.root / FILE, at)
    with pytest.raises(UnreadableMedia, match="remove it and pack"):
        Manifest.read(crops.root)


@pytest.mark.parametrize("length", [0, 20, 5000, -1])
def test_a_pack_that_is_cut_off_is_refused(crops: Manifest, length: int) -> None:
    crops.pack()
    data = (crops.root / FILE).read_bytes()
    (crops.root / FILE).write_bytes(data[:length])
    with pytest.raises(UnreadableMedia, match="remove it and pack"):
        Manifest.read(crops.root)


def test_packing_that_fails_leaves_what_was_there(crops: Manifest) -> None:
    crops.pack()
    before = (crops.root / FILE).read_bytes()
    (crops.root / crops.table["path"][6]).unlink()
    with pytest.raises(MissingMedia):
        crops.pack()
    assert (crops.root / FILE).read_bytes() == before
    assert [p.name for p in crops.root.glob("crops.*")] == [FILE]
