"""The neighbour graph of many points: rough, and it says how rough."""

from __future__ import annotations

import numpy as np
import pytest

from gendkit.manifold import graph as module
from gendkit.manifold.graph import neighbour_graph
from gendkit.manifold.index import graph

from .conftest import Points


def test_the_graph_of_few_points_is_exact(points: Points) -> None:
    embedding = points(40)["embedding"].to_numpy()
    found = neighbour_graph(embedding, 6)
    rows, distances = graph(embedding, 6)
    assert found.recall == 1
    np.testing.assert_array_equal(found.rows, rows)
    np.testing.assert_array_equal(found.distances, distances)


def test_the_graph_of_many_points_says_what_share_of_the_nearest_it_found(
    points: Points, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "EXACT_UP_TO", 1000)
    monkeypatch.setattr(module, "LOOKED_INTO", 8)
    embedding = points(6000, dim=16)["embedding"].to_numpy()
    found = neighbour_graph(embedding, 10)
    rows, _ = graph(embedding, 10)
    share = np.mean([len(set(a) & set(b)) for a, b in zip(found.rows, rows, strict=True)]) / 10
    assert 0.3 < share < 1
    assert found.recall == pytest.approx(share, abs=0.03)
    np.testing.assert_array_equal(found.rows[:, 0], np.arange(6000))
    true = 1 - np.einsum("nd,nkd->nk", embedding, embedding[found.rows])
    np.testing.assert_allclose(found.distances[:, 1:], true[:, 1:], atol=1e-5)


def test_a_point_whose_cells_hold_too_few_still_has_all_its_neighbours(
    points: Points, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "EXACT_UP_TO", 1000)
    monkeypatch.setattr(module, "LOOKED_INTO", 1)
    embedding = points(3000, dim=16)["embedding"].to_numpy()
    found = neighbour_graph(embedding, 40)
    assert found.rows.min() >= 0
    assert (np.sort(found.rows, axis=1)[:, 1:] != np.sort(found.rows, axis=1)[:, :-1]).all()
