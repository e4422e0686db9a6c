"""Thumbnails come from where the crops are, or say why there is none."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import gendkit as gk
from gendkit.data.manifest import Manifest
from gendkit.errors import MissingMedia
from gendkit.manifold.store import ROOT
from gendkit.notebook.thumbnails import SIDE, Thumbnails


def opened(jpeg: bytes) -> Image.Image:
    return Image.open(io.BytesIO(jpeg))


def test_a_thumbnail_shows_the_crop(embedded):
    ds = embedded()
    sample = str(ds["sample"].to_numpy()[3])
    shown = opened(Thumbnails(ds).jpeg(sample))
    crop = Manifest.read(ds.attrs[ROOT]).crop(3)
    assert shown.format == "JPEG"
    assert shown.size == crop.shape[1::-1]
    assert np.abs(np.asarray(shown, dtype=int).mean() - crop.mean()) < 3


def test_a_large_crop_is_made_small(embedded):
    ds = embedded()
    path = Path(ds.attrs[ROOT]) / str(ds["path"].to_numpy()[0])
    Image.new("RGB", (600, 300)).save(path)
    assert opened(Thumbnails(ds).jpeg(str(ds["sample"].to_numpy()[0]))).size == (SIDE, SIDE // 2)


def test_packed_crops_need_no_files(embedded):
    ds = embedded()
    root = Path(ds.attrs[ROOT])
    Manifest.read(root).pack()
    shutil.rmtree(root / "fake")
    sample = str(ds["sample"].to_numpy()[ds["label"].to_numpy() == 1][0])
    assert opened(Thumbnails(ds).jpeg(sample)).size == (40, 40)


def test_a_crop_that_is_gone_is_said_so(embedded):
    ds = embedded()
    shutil.rmtree(Path(ds.attrs[ROOT]) / "fake")
    with pytest.raises(MissingMedia, match=r"fake/ann-0\.png"):
        Thumbnails(ds).jpeg(str(ds["sample"].to_numpy()[ds["label"].to_numpy() == 1][0]))


def test_a_folder_that_is_gone_is_said_so(embedded):
    ds = embedded()
    shutil.rmtree(ds.attrs[ROOT])
    with pytest.raises(MissingMedia, match="no manifest at"):
        Thumbnails(ds).jpeg(str(ds["sample"].to_numpy()[0]))


def test_embeddings_that_do_not_say_where_their_crops_are_have_no_thumbnails(embedded):
    ds = embedded().drop_attrs()
    with pytest.raises(MissingMedia, match="do not say where"):
        Thumbnails(ds).jpeg(str(ds["sample"].to_numpy()[0]))


def test_combined_embeddings_find_the_crops_of_each(embedded, tmp_path):
    ds = embedded()
    half = ds.isel(sample=slice(0, 16)), ds.isel(sample=slice(16, None))
    other = tmp_path / "elsewhere"
    shutil.copytree(ds.attrs[ROOT], other)
    manifest = Manifest.read(ds.attrs[ROOT])
    manifest.where(np.arange(len(manifest)) < 16).write()
    both = gk.combine([half[0], half[1].assign_attrs({ROOT: str(other)})])
    assert ROOT not in both.attrs
    thumbnails = Thumbnails(both)
    for sample in both["sample"].to_numpy()[[0, 31]]:
        assert opened(thumbnails.jpeg(str(sample))).size == (40, 40)
