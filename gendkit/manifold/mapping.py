"""What a map is worth, and where new points belong on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gendkit.optional import require

Places = NDArray[np.float64]
LOOKED_AT, HELD_BACK = 2000, 1000
TINY = 1e-6


def quality(
    embedding: NDArray[np.float32],
    places: Places,
    *,
    k: int,
    again: Callable[[NDArray[np.float32], int], Places] | None = None,
) -> dict[str, Any]:
    """Return `trustworthiness`, `continuity` and their `quality_points`, and `seed_overlap`.

    Parameters
    ----------
    embedding, places
        (N, D) unit vectors and their places (N, A).
    k
        Neighbours that are compared.
    again
        Makes a map of some embeddings by a seed, if seeds matter.

    References
    ----------
    Venna and Kaski, ICANN 2001.
    """
    from sklearn.manifold import trustworthiness

    rows = np.sort(np.random.default_rng(0).permutation(len(embedding))[:LOOKED_AT])
    some, their = embedding[rows], places[rows]
    near = min(k, (len(rows) - 1) // 2)
    found: dict[str, Any] = {"quality_points": len(rows)}
    if near >= 1:
        found["trustworthiness"] = float(trustworthiness(some, their, n_neighbors=near))
        found["continuity"] = float(trustworthiness(their, some, n_neighbors=near))
        if again is not None:
            found["seed_overlap"] = overlap(again(some, 1), again(some, 2), k=near)
    return found


def overlap(one: Places, other: Places, *, k: int) -> float:
    """Return the share of each point's k nearest on one map (N, A) that are so on the other."""
    from sklearn.neighbors import NearestNeighbors

    both = [
        NearestNeighbors(n_neighbors=k).fit(places).kneighbors(return_distance=False)
        for places in (one, other)
    ]
    return float(np.mean([len(set(a) & set(b)) / k for a, b in zip(*both, strict=True)]))


def placement_error(
    points: NDArray[np.float32],
    places: NDArray[Any],
    related: Callable[[NDArray[np.int64]], NDArray[np.bool_]],
    *,
    k: int,
) -> float:
    """Return how far points (N, D) are put from where they are, were they new; the median.

    Up to 1,000 are asked, each without itself and what is related to it, as a new clip has no
    relatives there. In units of the map's radius; NaN where nobody is left.

    Parameters
    ----------
    places
        (N, A) of the points.
    related
        From rows (Q,) to whether each of the N points is one of them or its relative, (Q, N).
    k
        How many neighbours.
    """
    held = np.sort(np.random.default_rng(0).permutation(len(points))[:HELD_BACK])
    away = []
    for part in np.array_split(held, max(1, len(held) // 64)):
        near = points[part] @ points.T
        near[related(part)] = -np.inf
        rows = np.argsort(-near, axis=1, kind="stable")[:, :k]
        similarity = np.take_along_axis(near, rows, axis=1)
        for own, some, cosines in zip(part, rows, similarity, strict=True):
            there = np.isfinite(cosines)
            if there.any():
                back = _mean(places, some[there][None], 1 - cosines[there][None])[0]
                away.append(np.linalg.norm(back - places[own]))
    radius = np.sqrt(np.mean(np.sum((places - places.mean(axis=0)) ** 2, axis=1)))
    return float(np.median(away) / radius) if away and radius else float("nan")


def placed(
    queries: NDArray[np.float32], points: NDArray[np.float32], places: NDArray[Any], *, k: int
) -> Places:
    """Return the weighted means (Q, A) of the places (N, A) of the k nearest points."""
    rows, similarity = _nearest(queries, points, k)
    return _mean(places, rows, 1 - similarity)


def _nearest(
    queries: NDArray[np.float32], points: NDArray[np.float32], k: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    faiss = require("faiss", extra="cpu")
    flat = faiss.IndexFlatIP(points.shape[1])
    flat.add(np.ascontiguousarray(points, np.float32))
    similarity, rows = flat.search(np.ascontiguousarray(queries, np.float32), min(k, len(points)))
    return rows, similarity


def _mean(places: NDArray[Any], rows: NDArray[Any], distances: NDArray[Any]) -> Places:
    """Weight by the inverse distance; on a globe the mean is brought back to its surface."""
    weights = 1 / (np.maximum(distances, 0) + TINY)
    weights /= weights.sum(axis=1, keepdims=True)
    mean = np.einsum("qk,qka->qa", weights, places[rows].astype(np.float64))
    if not _is_globe(places):
        return np.asarray(mean)
    length = np.linalg.norm(mean, axis=1, keepdims=True)
    nearest = places[rows[:, 0]]
    return np.asarray(np.where(length > TINY, mean / np.maximum(length, TINY), nearest))


def _is_globe(places: NDArray[Any]) -> bool:
    return places.shape[1] == 3 and bool(np.allclose(np.linalg.norm(places, axis=1), 1, atol=1e-3))
