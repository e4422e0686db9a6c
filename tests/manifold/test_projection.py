"""Maps: reproducible by their seed, true to the points, and refused where there is none."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
import xarray as xr

import gendkit as gk
from gendkit.errors import InvalidEmbeddings, MissingDependency
from gendkit.manifold.mapping import overlap

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
    np.testing.assert_allclose(
        np.abs(found), np.abs(u[:, :2] * s[:2]), rtol=0, atol=1e-4
    )  # float32


def test_pca_needs_neither_faiss_nor_a_seed(
    clusters: xr.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    one, other = (gk.project(clusters, method="pca", seed=s)["projection"].values for s in (0, 1))
    assert np.array_equal(one, other)


def test_a_map_says_how_it_was_drawn(clusters: xr.Dataset) -> None:
    attrs = gk.project(clusters, method="pca", seed=3, k=9)["projection"].attrs
    assert attrs.pop("meaning") == "place on a map; for finding, never evidence"
    assert 0.9 < attrs.pop("trustworthiness") <= 1
    assert 0.9 < attrs.pop("continuity") <= 1
    assert attrs == {"method": "pca", "seed": 3, "k": 9, "quality_points": 60}


def test_a_dataset_grows_by_one_map_and_is_itself_left_alone(clusters: xr.Dataset) -> None:
    before = clusters.copy(deep=True)
    one = gk.project(clusters, method="pca")
    xr.testing.assert_identical(clusters, before)
    assert set(one.variables) == {*clusters.variables, "projection"}
    xr.testing.assert_identical(gk.project(one, method="pca"), one)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"method": "tsne"},
            "no projection is named 'tsne'; there is umap, umap-sphere, pca",
        ),
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


def test_tangent_pca_has_the_angles_to_the_mean_direction(points: Points) -> None:
    """Points on a circle around the mean direction in three dimensions keep their angle to it."""
    turn = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    ring = np.stack(
        [np.cos(0.7) * np.ones(24), np.sin(0.7) * np.cos(turn), np.sin(0.7) * np.sin(turn)]
    )
    ds = points(24, dim=3)
    ds["embedding"].values[:] = ring.T
    places = gk.project(ds, method="tangent-pca")["projection"].values
    np.testing.assert_allclose(np.linalg.norm(places, axis=1), 0.7, atol=1e-5)
    flat = gk.project(ds, method="pca")["projection"].values
    np.testing.assert_allclose(np.linalg.norm(flat, axis=1), np.sin(0.7), atol=1e-5)


@pytest.mark.slow
def test_a_globe_has_length_1_and_keeps_neighbours_together(clusters: xr.Dataset) -> None:
    found = gk.project(clusters, method="umap-sphere", k=8)["projection"]
    assert found.shape == (60, 3)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    angle = np.arccos(np.clip(found.data @ found.data.T, -1, 1))
    np.fill_diagonal(angle, np.inf)
    assert (angle.argmin(axis=1) // 20 == np.arange(60) // 20).mean() == 1
    again = gk.project(clusters, method="umap-sphere", k=8)["projection"]
    np.testing.assert_array_equal(found, again)


@pytest.mark.slow
def test_a_umap_tells_how_far_it_can_be_trusted(clusters: xr.Dataset) -> None:
    attrs = gk.project(clusters, k=8)["projection"].attrs
    for name in ("trustworthiness", "continuity"):
        assert 0.8 < attrs[name] <= 1
    assert 0.2 < attrs["seed_overlap"] < 1
    assert attrs["quality_points"] == 60
    assert attrs["graph_recall"] == 1


@pytest.mark.slow
def test_without_a_seed_each_map_is_another(clusters: xr.Dataset) -> None:
    one, other = (gk.project(clusters, seed=None, k=8)["projection"] for _ in range(2))
    assert "seed" not in one.attrs
    assert not np.allclose(one, other, atol=1e-3)


def test_new_points_come_among_their_neighbours_and_the_map_stays(clusters: xr.Dataset) -> None:
    mapped = gk.project(clusters.isel(sample=slice(0, 60, 2)), method="pca")
    before = mapped.copy(deep=True)
    found = gk.place(clusters.isel(sample=slice(1, 60, 2)), mapped, k=5)
    xr.testing.assert_identical(mapped, before)
    places, known = found["projection"].values, mapped["projection"].values
    distance = np.linalg.norm(places[:, None] - known[None], axis=2)
    assert (distance.argmin(axis=1) // 10 == np.arange(30) // 10).all()
    attrs = found["projection"].attrs
    assert (attrs["method"], attrs["placed"]) == ("pca", 5)
    assert 0 < attrs["placement_error"] < 0.5


def test_a_point_of_the_reference_is_put_where_it_is(clusters: xr.Dataset) -> None:
    mapped = gk.project(clusters, method="pca")
    found = gk.place(clusters.isel(sample=[3, 47]), mapped)
    np.testing.assert_allclose(
        found["projection"], mapped["projection"][[3, 47]], rtol=0, atol=0.02
    )


def test_what_is_put_on_a_globe_stays_on_it(clusters: xr.Dataset) -> None:
    globe = clusters["embedding"].values[:, :3].copy()
    globe /= np.linalg.norm(globe, axis=1, keepdims=True)
    mapped = clusters.assign(projection=(("sample", "axis"), globe))
    places = gk.place(clusters.isel(sample=[5, 25, 45]), mapped, k=4)["projection"].values
    np.testing.assert_allclose(np.linalg.norm(places, axis=1), 1, atol=1e-6)


def test_a_placement_without_a_map_or_on_another_sphere_is_refused(
    clusters: xr.Dataset, points: Points
) -> None:
    with pytest.raises(InvalidEmbeddings, match=r"no map; gk\.project makes one"):
        gk.place(clusters, clusters)
    with pytest.raises(InvalidEmbeddings, match="length 9 cannot be placed"):
        gk.place(points(3, dim=9), gk.project(clusters, method="pca"))


def test_neighbours_of_two_maps_are_counted() -> None:
    line = np.arange(10.0)[:, None]
    assert overlap(line, line, k=2) == 1
    assert overlap(line, -3 * line, k=2) == 1
    shuffled = np.random.default_rng(0).permutation(10).astype(float)[:, None]
    assert overlap(line, shuffled, k=2) < 0.7


def test_a_placement_among_those_of_another_adapter_is_refused(clusters: xr.Dataset) -> None:
    mapped = gk.project(clusters, method="pca").assign_attrs(adapter_hash="a" * 64)
    with pytest.raises(InvalidEmbeddings, match="bbbbbbbbbbbb cannot be placed among those by aaa"):
        gk.place(clusters.assign_attrs(adapter_hash="b" * 64), mapped)
    assert "projection" in gk.place(clusters, mapped)


@pytest.mark.slow
def test_umap_learns_own_map_is_there_for_comparison(clusters: xr.Dataset) -> None:
    found = gk.project(clusters, method="umap-learn", k=8)["projection"]
    ours = gk.project(clusters, k=8)["projection"]
    assert found.attrs["method"] == "umap-learn"
    assert found.shape == ours.shape
    assert not np.allclose(found, ours)
    assert found.attrs["trustworthiness"] == pytest.approx(ours.attrs["trustworthiness"], abs=0.05)
    again = gk.project(clusters, method="umap-learn", k=8)["projection"]
    np.testing.assert_array_equal(found, again)


def test_the_placement_error_leaves_out_relatives(points: Points) -> None:
    """Twins of a clip lie on one place; a new clip has no twin there."""
    alone = points(60, dim=6)
    twins = np.repeat(alone["embedding"].to_numpy(), 2, axis=0)
    names = [f"clip {i // 2}" for i in range(120)]
    ds = points(120, dim=6, video=names, dataset=["d"] * 120)
    ds = ds.assign(embedding=(("sample", "feature"), twins))
    ds = ds.assign(projection=(("sample", "axis"), twins[:, :2].copy()))
    kin = gk.place(ds, ds, k=3)["projection"].attrs["placement_error"]
    strangers = gk.place(ds, ds.drop_vars("video"), k=3)["projection"].attrs["placement_error"]
    assert strangers < 0.01
    assert kin > 0.2
