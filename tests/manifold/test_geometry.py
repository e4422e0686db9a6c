"""Geometry of embeddings against brute force, theory and known shapes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import gendkit as gk
from gendkit.errors import InvalidEmbeddings
from gendkit.manifold.geometry import (
    class_angle,
    effective_rank,
    hubness,
    intrinsic_dimension,
)
from gendkit.manifold.parties import people_of
from gendkit.model.losses import alignment, uniformity

from .conftest import Points


def on_sphere(raw: np.ndarray) -> np.ndarray:
    return (raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def labelled(points: Points) -> xr.Dataset:
    ds = points(90, dim=12)
    return ds.assign(
        label=("sample", np.arange(90) % 2),
        method=("sample", np.array(["", "swap", "lips"] * 30, object)),
    )


def test_alignment_and_uniformity_are_those_of_training(labelled: xr.Dataset) -> None:
    table = gk.geometry(labelled, by=("label", "method"))
    assert table.index.tolist() == [
        ("all", ""), ("label", "0"), ("label", "1"),
        ("method", ""), ("method", "lips"), ("method", "swap"),
    ]  # fmt: skip
    z = labelled["embedding"].to_numpy()
    for value in (0, 1):
        part = z[labelled["label"].to_numpy() == value]
        row = table.loc[("label", str(value))]
        assert row["count"] == row["drawn"] == 45
        assert row["alignment"] == pytest.approx(float(alignment(part, [0] * 45)), rel=1e-5)
        assert row["uniformity"] == pytest.approx(float(uniformity(part)), rel=1e-5)


def test_uniformity_of_many_points_is_that_of_a_seeded_part(points: Points) -> None:
    ds = points(700, dim=6)
    one, same, other = (
        gk.geometry(ds, by=(), most=200, seed=s).iloc[0]["uniformity"] for s in (0, 0, 1)
    )
    whole = gk.geometry(ds, by=(), most=700).iloc[0]
    assert one == same != other
    assert one == pytest.approx(whole["uniformity"], abs=0.1)
    assert whole["drawn"] == 700
    assert gk.geometry(ds, by=(), most=200).iloc[0]["count"] == 700


def test_effective_rank_is_that_of_the_directions_there_are() -> None:
    rng = np.random.default_rng(0)
    basis = np.linalg.qr(rng.normal(size=(40, 40)))[0]
    for rank in (1, 5, 20):
        even = np.concatenate([basis[:rank], -basis[:rank]])
        assert effective_rank(even) == pytest.approx(rank, rel=1e-6)
    assert np.isnan(effective_rank(basis[:1]))
    assert np.isnan(effective_rank(np.ones((3, 4))))


@pytest.mark.parametrize("dim", [2, 5])
def test_intrinsic_dimension_is_that_of_the_sphere_they_lie_on(dim: int) -> None:
    rng = np.random.default_rng(0)
    flat = on_sphere(rng.normal(size=(3000, dim + 1))) @ np.linalg.qr(rng.normal(size=(64, 64)))[0][
        : dim + 1
    ].astype(np.float32)
    assert intrinsic_dimension(flat) == pytest.approx(dim, rel=0.12)
    assert intrinsic_dimension(np.repeat(flat, 2, axis=0)) == intrinsic_dimension(flat)
    assert np.isnan(intrinsic_dimension(flat[:5]))


def test_hubs_are_seen() -> None:
    rng = np.random.default_rng(0)
    even = on_sphere(rng.normal(size=(600, 3)))
    many = on_sphere(rng.normal(size=(600, 200)))
    assert hubness(many) > 2 * hubness(even)
    # Fifty points in the midst of a cap are near to all others, but no two of the others are.
    star = on_sphere(np.concatenate([20 * np.eye(100)[:1] + np.eye(100), 20 * np.eye(100)[:1]]))
    assert hubness(star, k=1) > 5
    assert np.isnan(hubness(even[:5]))


def test_groups_of_one_have_no_spread(points: Points) -> None:
    ds = points(3, video=["a", "b", "b"])
    row = gk.geometry(ds, by=("video",)).loc[("video", "a")]
    assert row["count"] == 1
    assert row.drop(["count", "drawn", "resultant"]).isna().all()


def test_points_that_cancel_out_have_no_concentration(points: Points) -> None:
    ds = points(2)
    vectors = ds["embedding"].data
    vectors[1] = -vectors[0]
    row = gk.geometry(ds, by=()).iloc[0]
    assert row["concentration"] == 0
    assert row["resultant"] == pytest.approx(0, abs=1e-7)
    assert row["alignment"] == pytest.approx(4)


def test_an_unknown_variable_is_named(labelled: xr.Dataset) -> None:
    with pytest.raises(InvalidEmbeddings, match="no variable 'mood' of each crop; there is label"):
        gk.geometry(labelled, by=("mood",))


def test_the_angle_between_classes_is_that_of_their_means(labelled: xr.Dataset) -> None:
    z, label = labelled["embedding"].to_numpy().astype(float), labelled["label"].to_numpy()
    means = [z[label == v].mean(axis=0) for v in (0, 1)]
    cosine = means[0] @ means[1] / np.prod([np.linalg.norm(m) for m in means])
    found = class_angle(labelled, resamples=200)
    assert found.value == pytest.approx(np.arccos(cosine), rel=1e-6)
    assert found.low < found.high
    assert class_angle(labelled, resamples=200) == found
    assert class_angle(labelled, resamples=200, seed=1).low != found.low
    methods = class_angle(labelled, variable="method", values=("swap", "lips"), resamples=1)
    assert 0 < methods.value < np.pi
    with pytest.raises(InvalidEmbeddings, match="no crop has label 7"):
        class_angle(labelled, values=(0, 7))


def test_the_interval_resamples_people_and_not_frames(points: Points) -> None:
    """Frames of one person that are copies add nothing: the interval is that of four people."""
    few = points(8, dim=5).assign(label=("sample", [0, 1] * 4))
    few = few.assign(target_identity=("sample", np.repeat(list("abcd"), 2).astype(object)))
    many = few.isel(sample=np.repeat(np.arange(8), 10))
    many = many.assign_coords(sample=np.array([f"m{i}" for i in range(80)], object))
    one, other = (class_angle(ds, resamples=300) for ds in (few, many))
    assert one.value == pytest.approx(other.value)
    assert (one.low, one.high) == pytest.approx((other.low, other.high))
    alone = class_angle(many.drop_vars("target_identity"), resamples=300)
    assert alone.high - alone.low < other.high - other.low


def test_crops_belong_to_the_person_else_to_the_clip_else_to_themselves(points: Points) -> None:
    ds = points(
        4, dataset=["d"] * 4, target_identity=["ann", "", "", ""], pair=["p", "p", "", ""],
        video=["v", "v", "v", ""],
    )  # fmt: skip
    assert people_of(ds).tolist() == [
        "d/target_identity/ann", "d/pair/p", "d/video/v", "d/sample/p3"
    ]  # fmt: skip


def test_a_store_has_the_geometry_of_what_was_written(
    labelled: xr.Dataset, reopened: Callable[[xr.Dataset], xr.Dataset]
) -> None:
    stored = reopened(labelled)
    pd.testing.assert_frame_equal(
        gk.geometry(stored, by=("label", "method")), gk.geometry(labelled, by=("label", "method"))
    )
    assert class_angle(stored, resamples=5) == class_angle(labelled, resamples=5)
