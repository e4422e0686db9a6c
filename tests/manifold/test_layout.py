"""UMAP's layout: as true as umap-learn's own, and the same by its seed."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import sparse
from sklearn.manifold import trustworthiness

from gendkit.manifold.index import graph
from gendkit.manifold.layout import CURVE, Places, fuzzy_graph, lay_out
from gendkit.manifold.principal import principal

Floats = NDArray[np.float32]


@pytest.fixture(scope="module")
def clips() -> Floats:
    """60 clips of 20 crops that drift along an arc each."""
    rng = np.random.default_rng(0)
    middle, drift = rng.normal(size=(2, 60, 1, 32))
    raw = middle + np.linspace(-1, 1, 20)[:, None] * 0.6 * drift + rng.normal(0, 0.1, (60, 20, 32))
    raw = raw.reshape(-1, 32)
    return (raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def weights(clips: Floats) -> sparse.csr_array:
    return fuzzy_graph(*graph(clips, 15))


def umap_learn(clips: Floats, weights: sparse.csr_array) -> Places:
    """Lay out by umap-learn, spectral start included."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from umap.umap_ import find_ab_params, simplicial_set_embedding

        a, b = find_ab_params(1.0, 0.1)
        places, _ = simplicial_set_embedding(
            clips, sparse.csr_matrix(weights), 2, 1.0, a, b, 1.0, 5, None, "spectral",
            np.random.RandomState(0), "cosine", {}, False, {}, False,
        )  # fmt: skip
    return np.asarray(places, np.float64)


@pytest.mark.slow
@pytest.mark.parametrize("same", [0, 30])
def test_weights_and_curve_are_those_of_umap_learn(clips: Floats, same: int) -> None:
    points = clips.copy()
    points[:same] = points[0]  # duplicates, more than there are neighbours
    rows, distances = graph(points, 15)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from umap.umap_ import find_ab_params, fuzzy_simplicial_set

        theirs = fuzzy_simplicial_set(
            points, 15, np.random.RandomState(0), "cosine", knn_indices=rows, knn_dists=distances
        )[0]
        assert find_ab_params(1.0, 0.1) == pytest.approx(CURVE)
    apart = np.abs((fuzzy_graph(rows, distances) - theirs).toarray())
    assert apart.max() < 1e-3


@pytest.mark.slow
def test_it_is_as_true_to_the_points_as_the_layout_of_umap_learn(
    clips: Floats, weights: sparse.csr_array
) -> None:
    ours = lay_out(weights, principal(clips), seed=0)
    theirs = umap_learn(clips, weights)
    for one, other in (((clips, ours), (clips, theirs)), ((ours, clips), (theirs, clips))):
        ours_is, theirs_is = (trustworthiness(*pair, n_neighbors=15) for pair in (one, other))
        assert ours_is > theirs_is - 0.02
    # The same units: joined points are 0.1 apart, and the whole map is as wide.
    assert 0.7 < np.ptp(ours, axis=0).mean() / np.ptp(theirs, axis=0).mean() < 1.4


@pytest.mark.slow
def test_a_globe_is_as_true_as_the_plane(clips: Floats, weights: sparse.csr_array) -> None:
    plane = lay_out(weights, principal(clips), seed=0)
    globe = lay_out(weights, principal(clips, axes=3), seed=0, globe=True)
    np.testing.assert_allclose(np.linalg.norm(globe, axis=1), 1, atol=1e-12)
    in_plane, on_globe = (trustworthiness(clips, p, n_neighbors=15) for p in (plane, globe))
    assert on_globe > in_plane - 0.02


@pytest.mark.slow
def test_a_seed_gives_one_layout(clips: Floats, weights: sparse.csr_array) -> None:
    start = principal(clips)
    one, same, other = (lay_out(weights, start, seed=seed) for seed in (5, 5, 6))
    np.testing.assert_array_equal(one, same)
    assert not np.allclose(one, other, atol=0.1)


@pytest.mark.slow
def test_points_without_an_edge_or_at_one_place_have_a_place() -> None:
    places = lay_out(sparse.csr_array((4, 4), dtype=np.float32), np.zeros((4, 2)), seed=0)
    assert np.isfinite(places).all()
