"""Maps: reproducible by their seed, true to the points, and refused where there is none."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
import xarray as xr

import gendkit as gk
from gendkit.errors import InvalidEmbeddings, MissingDependency

from .conftest import Points


@pytest.fixture
def clusters(points: Points) -> xr.Dataset:
    """Three groups of twenty points each, close together and far from each other."""
    ds = points(60, dim=16)
    values = ds["embedding"].values
    values[:] = 0.3 * values + np.repeat(np.eye(16, dtype=np.float32)[:3], 20, axis=0)
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    return ds


def test_pca_gives_the_two_directions_of_greatest_variance(clusters: xr.Dataset) -> None:
    x = clusters["embedding"].values.astype(float)
    x -= x.mean(axis=0)
    u, s, _ = np.linalg.svd(x, full_matrices=False)
    found = gk.project(clusters, method="pca")["projection"]
    assert found.dims == ("sample", "axis")
    assert found.dtype == np.float32
    assert found.shape == (60, 2)
    np.testing.assert_allclose(np.abs(found), np.abs(u[:, :2] * s[:2]), rtol=0, atol=1e-4)  # float32


def test_pca_needs_neither_faiss_nor_a_seed(
    clusters: xr.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    one, other = (gk.project(clusters, method="pca", seed=s)["projection"].values for s in (0, 1))
    assert np.array_equal(one, other)


def test_a_map_says_how_it_was_drawn(clusters: xr.Dataset) -> None:
    attrs = gk.project(clusters, method="pca", seed=3, k=9)["projection"].attrs
    assert attrs.pop("meaning") == "place on a map; for finding, never evidence"
    assert attrs == {"method": "pca", "seed": 3, "k": 9}


def test_a_dataset_grows_by_one_map_and_is_itself_left_alone(clusters: xr.Dataset) -> None:
    before = clusters.copy(deep=True)
    one = gk.project(clusters, method="pca")
    xr.testing.assert_identical(clusters, before)
    assert set(one.variables) == {*clusters.variables, "projection"}
    xr.testing.assert_identical(gk.project(one, method="pca"), one)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"method": "tsne"}, "no projection is named 'tsne'; there is umap, pca"),
        ({"k": 1}, "k must be at least 2, got 1"),
    ],
)
def test_an_impossible_map_is_refused(points: Points, options: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidEmbeddings, match=words):
        gk.project(points(6), **options)


@pytest.mark.parametrize("method", ["umap", "pca"])
@pytest.mark.parametrize("n", [0, 2])
def test_fewer_than_three_crops_make_no_map(points: Points, method: Any, n: int) -> None:
    with pytest.raises(InvalidEmbeddings, match=f"at least 3 crops, got {n}"):
        gk.project(points(n), method=method)


def test_embeddings_off_the_sphere_are_refused(points: Points) -> None:
    ds = points(5)
    ds["embedding"].values[1] = 0
    with pytest.raises(InvalidEmbeddings, match="row 1 has length 0"):
        gk.project(ds, method="pca")


def test_without_faiss_a_umap_is_refused_in_one_line(
    points: Points, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(MissingDependency, match="faiss is not installed; run: ") as error:
        gk.project(points(5))
    assert "\n" not in str(error.value)


@pytest.mark.slow
def test_one_seed_gives_one_umap_and_another_another(clusters: xr.Dataset) -> None:
    one, same, other = (gk.project(clusters, seed=s, k=8)["projection"].values for s in (0, 0, 1))
    assert np.array_equal(one, same)
    assert not np.allclose(one, other, atol=0.1)


@pytest.mark.slow
def test_a_umap_keeps_neighbours_together(clusters: xr.Dataset) -> None:
    places = gk.project(clusters, k=8)["projection"].values
    distance = np.linalg.norm(places[:, None] - places[None], axis=2)
    np.fill_diagonal(distance, np.inf)
    assert (distance.argmin(axis=1) // 20 == np.arange(60) // 20).mean() == 1


@pytest.mark.slow
@pytest.mark.parametrize("n", [3, 4, 16])
def test_a_umap_of_few_points_lowers_the_number_of_neighbours(points: Points, n: int) -> None:
    places = gk.project(points(n), k=15)["projection"].values
    assert places.shape == (n, 2)
    assert np.isfinite(places).all()
