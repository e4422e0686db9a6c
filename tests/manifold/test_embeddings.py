"""From crops to a store and back: the same numbers, whole or not at all, and what they rest on."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr

import gendkit as gk
from gendkit.data.columns import COLUMNS
from gendkit.data.manifest import Manifest
from gendkit.errors import (
    InvalidArgument,
    InvalidEmbeddings,
    InvalidManifest,
    MissingMedia,
    OutputExists,
)
from gendkit.manifold.store import store_hash, write_embeddings
from gendkit.model.detector import Detector

from .conftest import Points


def quiet(*_: object) -> None:
    """No progress bar."""


@pytest.fixture
def embedded(manifest: Manifest, detector: Detector) -> xr.Dataset:
    return gk.embed(manifest, detector, progress=quiet)


def test_each_crop_has_the_detector_s_own_numbers(
    embedded: xr.Dataset, manifest: Manifest, detector: Detector
) -> None:
    expected = detector.outputs([manifest.crop(i) for i in range(8)])
    assert embedded["sample"].values.tolist() == manifest.table["sample"].tolist()
    assert embedded["class"].values.tolist() == ["real", "fake"]
    for name in ("embedding", "logit", "score"):
        found = embedded[name]
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, getattr(expected, name), rtol=0, atol=1e-6)


def test_every_column_of_the_manifest_comes_along(embedded: xr.Dataset, manifest: Manifest) -> None:
    for column in COLUMNS:
        if column.dtype != "list":
            found, expected = embedded[column.name].values, manifest.table[column.name].to_numpy()
            np.testing.assert_array_equal(found, expected, err_msg=column.name)
    assert embedded["box"].values.tolist() == [[0, 0, 40, 40]] * 8
    assert embedded["landmarks"].dims == ("sample", "landmark", "xy")
    assert embedded["landmarks"].values[3].tolist() == [
        [10, 10],
        [30, 10],
        [20, 20],
        [10, 30],
        [30, 30],
    ]


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_the_batch_size_does_not_matter(
    embedded: xr.Dataset, manifest: Manifest, detector: Detector, batch_size: int
) -> None:
    ds = gk.embed(manifest, detector, batch_size=batch_size, progress=quiet)
    np.testing.assert_allclose(ds["embedding"], embedded["embedding"], rtol=0, atol=1e-6)


def test_a_manifest_and_a_detector_may_be_given_by_their_folders(
    embedded: xr.Dataset, manifest: Manifest, detector: Detector, tmp_path: Path
) -> None:
    detector.adapter.write(tmp_path / "adapter.safetensors")
    for folder, adapter in (
        (manifest.root, tmp_path),
        (str(manifest.root), str(tmp_path / "adapter.safetensors")),
    ):
        ds = gk.embed(folder, adapter, progress=quiet)
        np.testing.assert_allclose(ds["score"], embedded["score"], rtol=0, atol=1e-2)
        assert ds.attrs["adapter_hash"] == detector.adapter.hash


def test_a_folder_without_a_manifest_or_an_adapter_is_told_so(
    manifest: Manifest, detector: Detector, tmp_path: Path
) -> None:
    with pytest.raises(MissingMedia, match="manifest"):
        gk.embed(tmp_path, detector)
    with pytest.raises(MissingMedia, match="adapter"):
        gk.embed(manifest, tmp_path)


@pytest.mark.parametrize("batch_size", [0, -1])
def test_a_batch_has_at_least_one_crop(
    manifest: Manifest, detector: Detector, batch_size: int
) -> None:
    with pytest.raises(InvalidArgument, match=f"batch_size is {batch_size}; give 1 or more"):
        gk.embed(manifest, detector, batch_size=batch_size)


def test_frames_without_a_crop_are_left_out(manifest: Manifest, detector: Detector) -> None:
    table = manifest.table.copy()
    table.loc[[0, 5], "path"] = ""
    ds = gk.embed(replace(manifest, table=table), detector, progress=quiet)
    assert ds["sample"].values.tolist() == table["sample"].drop([0, 5]).tolist()


def test_unknown_boxes_and_landmarks_are_not_numbers(
    manifest: Manifest, detector: Detector
) -> None:
    table = manifest.table.copy()
    table.at[2, "box"] = None
    table.at[2, "landmarks"] = None
    ds = gk.embed(replace(manifest, table=table), detector, progress=quiet)
    assert np.isnan(ds["box"].values).all(axis=1).nonzero()[0].tolist() == [2]
    assert np.isnan(ds["landmarks"].values).all(axis=(1, 2)).nonzero()[0].tolist() == [2]


def test_nothing_to_embed_is_refused(manifest: Manifest, detector: Detector) -> None:
    with pytest.raises(InvalidManifest, match="no face crop to embed"):
        gk.embed(manifest.where(manifest.table["label"] > 1), detector, progress=quiet)


def test_the_attributes_are_the_chain_of_custody(
    embedded: xr.Dataset, manifest: Manifest, detector: Detector
) -> None:
    attrs, header = dict(embedded.attrs), detector.adapter.header
    age = datetime.now(UTC) - datetime.fromisoformat(attrs.pop("created"))
    assert 0 <= age.total_seconds() < 600
    nested = {name: json.loads(attrs.pop(name)) for name in ("preprocessing", "extraction")}
    assert nested["extraction"] == manifest.faces().meta
    assert nested["extraction"]["coverage"]["clips"] == 4
    assert nested["preprocessing"]["size"] == 32
    assert attrs == {
        "gendkit": gk.__version__,
        "backbone": "small",
        "backbone_hash": header.backbone_hash,
        "adapter_hash": detector.adapter.hash,
        "preprocessing_digest": header.preprocessing.digest,
        "recipe": '{"name": "by hand"}',
        "compute_dtype": "float32",
        "plugins": '{"backbone": "gendkit.testing"}',
        "crops": str(manifest.root),
    }


def test_a_store_comes_back_identical(
    manifest: Manifest, detector: Detector, tmp_path: Path
) -> None:
    ds = gk.embed(manifest, detector, tmp_path / "e.zarr", progress=quiet)
    back = gk.open_embeddings(tmp_path / "e.zarr")
    xr.testing.assert_identical(ds, back)
    numbers = [name for name, v in ds.variables.items() if v.dtype.kind != "O"]
    assert all(back[name].dtype == ds[name].dtype for name in numbers)
    assert [p.name for p in tmp_path.iterdir()] == ["e.zarr"]


def test_a_store_that_has_grown_comes_back_identical(embedded: xr.Dataset, tmp_path: Path) -> None:
    grown = gk.project(gk.neighbours(embedded, k=3, related=True), method="pca")
    write_embeddings(grown, tmp_path / "e.zarr")
    back = gk.open_embeddings(tmp_path / "e.zarr")
    xr.testing.assert_identical(grown, back)
    assert set(embedded.variables) < set(back.variables)
    assert gk.open_embeddings(write_embeddings(back, tmp_path / "f.zarr")).identical(back)


def test_a_store_of_several_chunks_comes_back_identical(points: Points, tmp_path: Path) -> None:
    ds = points(2500, dim=4, video=[f"clip {i}" for i in range(2500)])
    write_embeddings(ds, tmp_path / "e.zarr")
    array = zarr.open_group(tmp_path / "e.zarr", mode="r")["embedding"]
    assert array.chunks == (1024, 4)
    assert array.shards == (16_384, 4)
    xr.testing.assert_identical(ds, gk.open_embeddings(tmp_path / "e.zarr"))


def test_strings_have_variable_length(embedded: xr.Dataset, tmp_path: Path) -> None:
    write_embeddings(embedded, tmp_path / "e.zarr")
    group = zarr.open_group(tmp_path / "e.zarr", mode="r")
    kinds = {name: array.metadata.to_dict()["data_type"] for name, array in group.arrays()}
    strings = {name for name, v in embedded.variables.items() if v.dtype.kind == "O"}
    assert {name for name, kind in kinds.items() if kind == "string"} == strings
    assert {"sample", "class", "video", "target_identity"} <= strings


def test_a_store_that_moves_with_its_crops_finds_them(embedded: xr.Dataset, tmp_path: Path) -> None:
    (tmp_path / "a" / "crops").mkdir(parents=True)
    ds = embedded.assign_attrs(crops=str(tmp_path / "a" / "crops"))
    write_embeddings(ds, tmp_path / "a" / "e.zarr")
    (tmp_path / "a").rename(tmp_path / "b")
    assert gk.open_embeddings(tmp_path / "b" / "e.zarr").attrs["crops"] == str(
        tmp_path / "b" / "crops"
    )


def test_an_existing_output_is_refused_before_any_work(
    manifest: Manifest, detector: Detector, tmp_path: Path
) -> None:
    (tmp_path / "thesis.txt").write_text("four years")
    with pytest.raises(OutputExists, match="never replaced"):
        gk.embed(
            manifest,
            detector,
            tmp_path,
            overwrite=True,
            progress=lambda *_: pytest.fail("it embeds"),
        )
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_store_is_replaced_only_on_request(points: Points, tmp_path: Path) -> None:
    path = tmp_path / "e.zarr"
    write_embeddings(points(3), path)
    with pytest.raises(OutputExists):
        write_embeddings(points(4), path)
    assert gk.open_embeddings(path).sizes["sample"] == 3
    write_embeddings(points(4), path, overwrite=True)
    assert gk.open_embeddings(path).sizes["sample"] == 4
    assert [p.name for p in tmp_path.iterdir()] == ["e.zarr"]


def test_a_dataset_that_breaks_the_schema_is_not_written(points: Points, tmp_path: Path) -> None:
    path = write_embeddings(points(3), tmp_path / "e.zarr")
    with pytest.raises(InvalidEmbeddings, match="'score' has dims"):
        write_embeddings(points(3).assign(score=("day", np.zeros(2))), path, overwrite=True)
    assert gk.open_embeddings(path).sizes["sample"] == 3
    assert [p.name for p in tmp_path.iterdir()] == ["e.zarr"]


def test_a_missing_store_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(MissingMedia, match=r"no embeddings at .*; `gendkit embed` writes them"):
        gk.open_embeddings(tmp_path / "e.zarr")


def test_a_store_of_something_else_is_refused(tmp_path: Path) -> None:
    xr.Dataset({"rain": ("day", np.ones(3))}).to_zarr(
        tmp_path / "rain.zarr", zarr_format=3, consolidated=False
    )
    with pytest.raises(InvalidEmbeddings, match="holds rain, no embedding"):
        gk.open_embeddings(tmp_path / "rain.zarr")


@pytest.mark.parametrize("text", ["", "no json", '{"zarr_format": 9}'])
def test_a_damaged_store_is_refused(points: Points, tmp_path: Path, text: str) -> None:
    path = write_embeddings(points(3), tmp_path / "e.zarr")
    (path / "zarr.json").write_text(text)
    with pytest.raises(InvalidEmbeddings, match="no readable zarr store"):
        gk.open_embeddings(path)


def test_the_hash_of_a_store_is_that_of_ids_and_embeddings(points: Points, tmp_path: Path) -> None:
    ds = points(5, video=list("abcde"))
    path = write_embeddings(ds.assign(score=("sample", np.zeros(5, np.float32))), tmp_path / "e")
    assert store_hash(gk.open_embeddings(path)) == store_hash(ds)
    assert store_hash(ds.assign_coords(sample=list("abcde"))) != store_hash(ds)
    assert store_hash(ds.isel(sample=[1, 0, 2, 3, 4])) != store_hash(ds)
    assert store_hash(points(5, seed=1, video=list("abcde"))) != store_hash(ds)
