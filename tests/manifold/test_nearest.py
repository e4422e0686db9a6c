"""The nearest people: brute force, ties, exclusions; and how near people usually are."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from gendkit.manifold.nearest import _distinct, nearest_people, usual_nearness

from .conftest import Points


@pytest.fixture
def crowd(points: Points) -> xr.Dataset:
    """300 crops of 40 people."""
    rng = np.random.default_rng(0)
    person = rng.integers(0, 40, 300)
    label = rng.integers(0, 2, 300)
    clip = [f"{p}-{c}" for p, c in zip(person, label, strict=True)]
    ds = points(
        300, dim=5, target_identity=[f"p{p}" for p in person], video=clip, dataset=["d"] * 300
    )
    return ds.assign(label=("sample", label))


@pytest.mark.parametrize("k", [1, 5, 60])
def test_the_nearest_people_are_those_of_brute_force(crowd: xr.Dataset, k: int) -> None:
    rows = np.flatnonzero(crowd["label"].to_numpy() == 1)
    found = nearest_people(crowd.isel(sample=slice(0, 30)), crowd, rows, k=k)
    points = crowd["embedding"].to_numpy()
    people = crowd["target_identity"].to_numpy()
    for i in range(30):
        best: dict[str, tuple[float, int]] = {}
        for row in rows.tolist():
            if people[row] != people[i]:
                cosine = float(points[i] @ points[row])
                best[people[row]] = max(best.get(people[row], (-2.0, 0)), (cosine, row))
        expected = sorted(best.values(), reverse=True)[:k]
        assert found.rows[i, : len(expected)].tolist() == [row for _, row in expected]
        np.testing.assert_allclose(
            found.similarity[i, : len(expected)], [c for c, _ in expected], atol=1e-6
        )
        assert (found.rows[i, len(expected) :] == -1).all()
        assert np.isnan(found.similarity[i, len(expected) :]).all()


def test_one_person_with_a_thousand_nearest_crops_is_listed_once() -> None:
    cosines = np.concatenate([np.linspace(0.9, 0.8, 1000), [0.5, 0.4]]).astype(np.float32)
    person = np.array([*[0] * 1000, 1, 2])
    assert _distinct(cosines, person, 3).tolist() == [0, 1000, 1001]
    assert _distinct(cosines, person, 9).tolist() == [0, 1000, 1001]
    assert _distinct(np.full(4, -np.inf, np.float32), np.arange(4), 2).tolist() == []


def test_equally_near_people_come_in_the_order_of_the_reference() -> None:
    cosines = np.full(500, 0.5, np.float32)
    assert _distinct(cosines, np.arange(500), 4).tolist() == [0, 1, 2, 3]


def test_what_is_usual_leaves_each_clip_and_its_people_out(crowd: xr.Dataset) -> None:
    found = usual_nearness(crowd, 1, k=3)
    clips = set(crowd["video"].to_numpy())
    assert len(found.label) == len(clips)
    assert found.similarity.max() < 1 - 1e-6
    assert found.hubs.sum() == np.isfinite(found.similarity).sum()
    assert not found.hubs[crowd["label"].to_numpy() == 0].any()
    fakes = int((crowd["label"].to_numpy() == 1).sum())
    assert found.expected == pytest.approx(found.hubs.sum() / fakes)


def test_a_percentile_counts_those_that_are_less_similar(crowd: xr.Dataset) -> None:
    found = usual_nearness(crowd, 0, k=2)
    values = np.sort(found.similarity[found.label == 1, 0])
    middle = float(values[len(values) // 2])
    expected = 100 * (np.sum(values < middle) + 0.5) / len(values)
    assert found.percentile(middle, 0, 1) == pytest.approx(expected)
    assert found.percentile(2.0, 0, 1) == 100
    assert found.percentile(-2.0, 0, 1) == 0
    assert np.isnan(found.percentile(float("nan"), 0, 1))
