"""The neighbour graph of many points: exact while that is a matter of seconds, then by cells."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gendkit.manifold.index import graph, itself_first
from gendkit.optional import require

EXACT_UP_TO = 10_000
CELLS_A_ROOT, LEARNED_FROM, ROUNDS, LOOKED_INTO = 2, 64, 4, 16
"""Cells in roots of the number of points, the most points a cell is learned from and how often, and
how many cells are looked into for a point."""
ASKED = 1000


@dataclass(frozen=True, kw_only=True, eq=False)
class NeighbourGraph:
    """Each point's nearest.

    Attributes
    ----------
    rows, distances
        (N, k) itself first, and cosine distances.
    recall
        Share of the true nearest among them, over up to 1,000 points; 1 if it is exact.
    """

    rows: NDArray[np.int64]
    distances: NDArray[np.float32]
    recall: float


def neighbour_graph(embedding: NDArray[np.float32], k: int, *, seed: int = 0) -> NeighbourGraph:
    """Find the graph of points: exact up to 10,000, of more by cells, with the recall measured.

    Parameters
    ----------
    embedding
        (N, D) unit vectors.
    k
        Neighbours, the point itself included; at most N.
    seed
        Of the cells, and of the points that recall is measured on.

    Raises
    ------
    MissingDependency
        If faiss is not installed.
    """
    if len(embedding) <= EXACT_UP_TO:
        rows, distances = graph(embedding, k)
        return NeighbourGraph(rows=rows, distances=distances, recall=1.0)
    faiss = require("faiss", extra="cpu")
    points = np.ascontiguousarray(embedding, dtype=np.float32)
    count, dim = points.shape
    rough = faiss.index_factory(
        dim, f"IVF{round(CELLS_A_ROOT * count**0.5)},Flat", faiss.METRIC_INNER_PRODUCT
    )
    rough.cp.niter, rough.cp.max_points_per_centroid, rough.cp.seed = ROUNDS, LEARNED_FROM, seed
    rough.cp.spherical, rough.cp.min_points_per_centroid = True, 1
    rough.train(points)
    rough.add(points)
    rough.nprobe = min(LOOKED_INTO, rough.nlist)
    similarity, rows = rough.search(points, k)
    del rough
    flat = faiss.IndexFlatIP(dim)
    flat.add(points)
    short = np.flatnonzero((rows < 0).any(axis=1))  # their cells hold fewer than k
    if len(short):
        similarity[short], rows[short] = flat.search(points[short], k)
    asked = np.sort(np.random.default_rng(seed).permutation(count)[:ASKED])
    _, true = flat.search(points[asked], k)
    hits = [len(set(a) & set(b)) for a, b in zip(rows[asked].tolist(), true.tolist(), strict=True)]
    rows, distances = itself_first(rows, similarity)
    return NeighbourGraph(
        rows=rows, distances=distances, recall=float(sum(hits)) / (k * len(asked))
    )
