"""Neighbours against brute force, and who is left out because of kinship."""

from __future__ import annotations

import sys
from itertools import product
from typing import Any

import numpy as np
import pytest
import xarray as xr

import gendkit as gk
from gendkit.errors import InvalidEmbeddings, MissingDependency
from gendkit.manifold import neighbours as module
from gendkit.manifold.index import graph
from gendkit.manifold.store import store_hash

from .conftest import Points

KINDS = (("video", "pair"), ("target_identity", "donor_identity"))


def kin(ds: xr.Dataset, i: int, other: xr.Dataset, j: int, *, related: bool) -> bool:
    """Tell whether two crops share a clip, target clip or person; a crop is kin to itself."""
    if str(ds["sample"].values[i]) == str(other["sample"].values[j]):
        return True
    if related:
        return False

    def text(one: xr.Dataset, row: int, name: str) -> str:
        return str(one[name].values[row]) if name in one else ""

    if text(ds, i, "dataset") != text(other, j, "dataset"):
        return False
    return any(
        text(ds, i, a) == text(other, j, b) != ""
        for names in KINDS
        for a, b in product(names, names)
    )


def brute(
    ds: xr.Dataset, reference: xr.Dataset, k: int, *, related: bool = False
) -> tuple[list[list[str]], list[list[float]]]:
    """The k nearest by cosine in float64, ties in the reference's order, padded with "" and NaN."""
    cosine = ds["embedding"].values.astype(float) @ reference["embedding"].values.astype(float).T
    names, values = [], []
    for i, row in enumerate(cosine):
        order = [
            j
            for j in np.argsort(-row, kind="stable")
            if not kin(ds, i, reference, j, related=related)
        ][:k]
        missing = k - len(order)
        names.append([str(reference["sample"].values[j]) for j in order] + [""] * missing)
        values.append([row[j] for j in order] + [np.nan] * missing)
    return names, values


def agrees(found: xr.Dataset, expected: tuple[list[list[str]], list[list[float]]]) -> bool:
    return found["neighbour"].values.tolist() == expected[0] and np.allclose(
        found["similarity"].values, expected[1], rtol=0, atol=1e-6, equal_nan=True
    )


def people(n: int, seed: int) -> dict[str, list[str]]:
    """Clips of few people, some of them forged, with gaps in what is known."""
    rng = np.random.default_rng(seed)

    def drawn(prefix: str, high: int) -> list[str]:
        return [f"{prefix}{i}" if i else "" for i in rng.integers(0, high, n)]

    return {
        "dataset": [f"set {i}" for i in rng.integers(0, 2, n)],
        "video": drawn("clip", 12),
        "pair": drawn("clip", 12),
        "target_identity": drawn("person", 15),
        "donor_identity": drawn("person", 15),
    }


@pytest.mark.parametrize("k", [1, 7])
def test_neighbours_are_those_of_brute_force(points: Points, k: int) -> None:
    ds = points(120)
    assert agrees(gk.neighbours(ds, k=k), brute(ds, ds, k))


@pytest.mark.parametrize("related", [False, True])
def test_neighbours_among_relatives_are_those_of_brute_force(points: Points, related: bool) -> None:
    ds = points(60, **people(60, 0))
    reference = points(150, seed=1, name="r", **people(150, 1))
    found = gk.neighbours(ds, reference, k=5, related=related)
    assert agrees(found, brute(ds, reference, 5, related=related))
    assert agrees(found, brute(ds, reference, 5, related=True)) == related


def test_searching_in_parts_changes_nothing(
    points: Points, monkeypatch: pytest.MonkeyPatch
) -> None:
    ds = points(50, **people(50, 2))
    whole = gk.neighbours(ds, k=4)
    monkeypatch.setattr(module, "CANDIDATES", 100)
    xr.testing.assert_identical(gk.neighbours(ds, k=4), whole)


def test_as_many_relatives_as_there_are_stand_in_nobody_s_way(points: Points) -> None:
    """The hundred nearest are of the same clip; the search goes on behind them."""
    ds = points(130, video=["mine"] * 101 + ["other"] * 29)
    values = ds["embedding"].values
    values[:101] = values[0] + 0.01 * values[:101]
    values[:101] /= np.linalg.norm(values[:101], axis=1, keepdims=True)
    found = gk.neighbours(ds.isel(sample=[0]), ds, k=3)
    assert agrees(found, brute(ds.isel(sample=[0]), ds, 3))
    assert set(found["neighbour"].values[0]) <= {f"p{i}" for i in range(101, 130)}


RELATIONS = [
    ({"video": "a"}, {"video": "a"}),
    ({"pair": "a"}, {"pair": "a"}),
    ({"video": "a"}, {"pair": "a"}),
    ({"pair": "a"}, {"video": "a"}),
    ({"target_identity": "ann"}, {"target_identity": "ann"}),
    ({"donor_identity": "ann"}, {"donor_identity": "ann"}),
    ({"target_identity": "ann"}, {"donor_identity": "ann"}),
    ({"donor_identity": "ann"}, {"target_identity": "ann"}),
]
STRANGERS = [
    ({}, {}),
    ({"video": ""}, {"video": ""}),
    ({"video": "ann"}, {"target_identity": "ann"}),
    ({"pair": "a", "dataset": "one"}, {"pair": "a", "dataset": "two"}),
    ({"target_identity": "ann"}, {"target_identity": "Ann"}),
]


@pytest.mark.parametrize(
    ("mine", "its", "taken"),
    [*((*case, False) for case in RELATIONS), *((*case, True) for case in STRANGERS)],
)
def test_crops_of_the_same_clip_or_person_are_left_out(
    points: Points, mine: dict[str, str], its: dict[str, str], taken: bool
) -> None:
    query = points(1, **{name: [value] for name, value in mine.items()})
    other = points(1, seed=1, name="r", **{name: [value] for name, value in its.items()})
    expected = "r0" if taken else ""
    assert gk.neighbours(query, other, k=1)["neighbour"].values.tolist() == [[expected]]
    every = gk.neighbours(query, other, k=1, related=True)
    assert every["neighbour"].values.tolist() == [["r0"]]


def test_a_crop_is_never_its_own_neighbour(points: Points) -> None:
    ds = points(10)
    for related in (False, True):
        names = gk.neighbours(ds, k=9, related=related)["neighbour"].values
        assert all(
            set(row) == set(ds["sample"].values) - {own}
            for own, row in zip(ds["sample"].values, names, strict=True)
        )


def test_with_fewer_than_k_the_last_ranks_stay_empty(points: Points) -> None:
    found = gk.neighbours(points(3), k=5)
    assert found["neighbour"].shape == found["similarity"].shape == (3, 5)
    assert (found["neighbour"].values[:, 2:] == "").all()
    assert np.isnan(found["similarity"].values[:, 2:]).all()
    assert (found["neighbour"].values[:, :2] != "").all()
    assert np.isfinite(found["similarity"].values[:, :2]).all()


@pytest.mark.parametrize("rows", [0, 1])
def test_a_reference_without_anyone_gives_nobody(points: Points, rows: int) -> None:
    ds = points(1)
    found = gk.neighbours(ds, ds.isel(sample=slice(0, rows)), k=2)
    assert found["neighbour"].values.tolist() == [["", ""]]
    assert np.isnan(found["similarity"].values).all()


def test_equal_similarities_come_in_the_reference_s_order(points: Points) -> None:
    query, one = points(1), points(1, seed=1)["embedding"].values
    reference = points(40, name="r")
    reference["embedding"].values[:] = one
    found = gk.neighbours(query, reference, k=3)
    assert found["neighbour"].values.tolist() == [["r0", "r1", "r2"]]


def test_the_result_names_its_reference_and_how_it_was_searched(points: Points) -> None:
    ds, reference = points(4), points(6, seed=1, name="r")
    attrs = gk.neighbours(ds, reference, k=2)["neighbour"].attrs
    assert attrs["reference_hash"] == store_hash(reference) != store_hash(ds)
    assert (attrs["index"], attrs["related"]) == ("flat", "false")
    assert gk.neighbours(ds, related=True, k=2)["neighbour"].attrs["related"] == "true"
    assert gk.neighbours(ds, k=2)["neighbour"].attrs["reference_hash"] == store_hash(ds)


def test_a_dataset_grows_and_is_itself_left_alone(points: Points) -> None:
    ds = points(5, video=list("abcde"))
    before = ds.copy(deep=True)
    found = gk.neighbours(ds, k=2)
    xr.testing.assert_identical(ds, before)
    assert set(found.variables) == {*ds.variables, "neighbour", "similarity"}
    again = gk.neighbours(found, k=4)
    assert again["neighbour"].shape == (5, 4)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"k": 0}, "k must be at least 1, got 0"),
        ({"index": "nonsense"}, "faiss makes no index 'nonsense'"),
    ],
)
def test_an_impossible_search_is_refused(
    points: Points, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(InvalidEmbeddings, match=words):
        gk.neighbours(points(4), **options)


def test_embeddings_of_two_lengths_are_refused(points: Points) -> None:
    with pytest.raises(InvalidEmbeddings, match=r"length 8 .* length 9; embed both with one"):
        gk.neighbours(points(4), points(4, dim=9))


def test_stores_of_two_adapters_are_not_searched(points: Points) -> None:
    one = points(4).assign_attrs(adapter_hash="a" * 64)
    other = points(4, seed=1, name="r").assign_attrs(adapter_hash="b" * 64)
    with pytest.raises(InvalidEmbeddings, match=r"adapter a{12} .* by b{12}; embed both with one"):
        gk.neighbours(one, other)
    for reference in (other.assign_attrs(adapter_hash="a" * 64), other.drop_attrs(), None):
        assert gk.neighbours(one, reference, k=1).sizes["rank"] == 1
    assert gk.neighbours(one.drop_attrs(), other, k=1).sizes["rank"] == 1


def test_embeddings_off_the_sphere_are_refused(points: Points) -> None:
    ds = points(4)
    ds["embedding"].values[2] *= 3
    for pair in ((ds, points(4)), (points(4), ds)):
        with pytest.raises(InvalidEmbeddings, match="row 2 has length 3"):
            gk.neighbours(*pair)


@pytest.mark.parametrize("copies", [1, 4, 9])
def test_the_graph_has_each_point_first_and_then_the_nearest(points: Points, copies: int) -> None:
    embedding = np.repeat(points(20)["embedding"].values, copies, axis=0)
    rows, distances = graph(embedding, 6)
    exact = 1 - embedding.astype(float) @ embedding.T.astype(float)
    assert rows[:, 0].tolist() == list(range(20 * copies))
    assert all(len(set(row)) == 6 for row in rows.tolist())
    np.testing.assert_allclose(distances, np.sort(exact, axis=1)[:, :6], rtol=0, atol=1e-6)
    np.testing.assert_allclose(
        distances, np.take_along_axis(exact, rows, axis=1), rtol=0, atol=1e-6
    )


def test_without_faiss_one_line_says_what_to_install(
    points: Points, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(MissingDependency, match="faiss is not installed; run: ") as error:
        gk.neighbours(points(5))
    assert "\n" not in str(error.value)
