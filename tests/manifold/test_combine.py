"""Stores of two runs are joined if they lie on one sphere, and say where each came from."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import xarray as xr

import gendkit as gk
from gendkit.errors import InvalidEmbeddings
from gendkit.manifold.combine import ALIKE

from .conftest import Points


@pytest.fixture
def two(points: Points) -> tuple[xr.Dataset, xr.Dataset]:
    attrs = dict.fromkeys(ALIKE, "aaaa")
    one = points(3, video=list("abc")).assign_attrs(**attrs, crops="/x", created="1")
    other = points(2, seed=1, name="q", video=list("de")).assign_attrs(
        **attrs, crops="/y", created="1"
    )
    return one, other


def test_rows_follow_each_other(two: tuple[xr.Dataset, xr.Dataset]) -> None:
    ds = gk.combine(two)
    assert ds["sample"].values.tolist() == ["p0", "p1", "p2", "q0", "q1"]
    assert ds["video"].values.tolist() == list("abcde")
    expected = np.concatenate([part["embedding"].values for part in two])
    np.testing.assert_array_equal(ds["embedding"], expected)
    assert ds["embedding"].attrs["meaning"] == "unit vector on the hypersphere"


def test_what_differs_is_told_of_each(two: tuple[xr.Dataset, xr.Dataset]) -> None:
    attrs = gk.combine(two).attrs
    assert json.loads(attrs["combined"]) == [{"crops": "/x"}, {"crops": "/y"}]
    assert attrs["created"] == "1"
    assert "crops" not in attrs
    alike = [ds.assign_attrs(crops="/x") for ds in two]
    assert "combined" not in gk.combine(alike).attrs


@pytest.mark.parametrize("name", ALIKE)
def test_other_spheres_are_refused_unless_told(
    two: tuple[xr.Dataset, xr.Dataset], name: str
) -> None:
    other = two[1].assign_attrs({name: "bbbb"})
    with pytest.raises(InvalidEmbeddings, match=f"with {name} aaaa and bbbb do not lie on one"):
        gk.combine([two[0], other])
    assert gk.combine([two[0], other], unlike=True).sizes["sample"] == 5
    unknown = two[1].drop_attrs()
    assert gk.combine([two[0], unknown]).sizes["sample"] == 5


def test_only_what_all_have_is_kept_and_nothing_that_is_of_one(
    two: tuple[xr.Dataset, xr.Dataset],
) -> None:
    grown = gk.project(gk.neighbours(two[0], k=1, related=True), method="pca")
    labelled = grown.assign(label=("sample", np.array([0, 1, 0])))
    voted = gk.votes(gk.neighbours(labelled, k=1, by_class=True), k=1)
    assert set(gk.combine([voted]).data_vars) == {"embedding", "video", "label"}
    scored = two[1].assign(score=("sample", np.zeros(2, np.float32)))
    assert set(gk.combine([grown, scored]).data_vars) == {"embedding", "video"}


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda one, other: [], "no Dataset to combine"),
        (lambda one, other: [one, one], "sample 'p0' occurs in two"),
        (lambda one, other: [one, other.isel(feature=slice(0, 4))], "lengths 4, 8"),
    ],
)
def test_what_cannot_be_joined_is_named(
    two: tuple[xr.Dataset, xr.Dataset], make: Any, words: str
) -> None:
    with pytest.raises(InvalidEmbeddings, match=words):
        gk.combine(make(*two))


def test_stores_are_combined_as_what_was_written(
    two: tuple[xr.Dataset, xr.Dataset], reopened: Callable[[xr.Dataset], xr.Dataset]
) -> None:
    ds = gk.combine([reopened(two[0].drop_attrs()), two[1].drop_attrs()])
    assert ds["video"].values.tolist() == list("abcde")
