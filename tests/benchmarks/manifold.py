"""Neighbours and maps: the cost of what stands around faiss, and what a given graph saves UMAP.

The points are bunches on the sphere, as clips are: 50 crops around each centre.
"""

from __future__ import annotations

import resource
import time
import warnings
from collections.abc import Callable, Iterator

import faiss
import numpy as np
import xarray as xr
from run import Row, paired

import gendkit as gk


def rows() -> Iterator[Row]:
    """Compare with calling faiss and UMAP oneself."""
    ds = bunches(20_000)
    points = ds["embedding"].to_numpy()
    ratio = paired(
        lambda: gk.neighbours(ds, k=15, related=True), lambda: by_hand(points, 16), rounds=2
    )
    yield Row(
        work="neighbours, flat, 20,000 x 384, k 15 ÷ calling faiss",
        reach="≤ 1.2",
        found=f"{ratio:.2f}",
    )
    yield from maps(ds)
    large = bunches(100_000)
    before = peak()
    taken = seconds(lambda: gk.neighbours(large, k=15, related=True))
    yield Row(
        work="neighbours, flat, 100,000 x 384 among themselves, k 15",
        reach="",
        found=f"{taken:.0f} s, {peak() - before:.1f} GB more (all similarities: 40 GB)",
    )


def maps(ds: xr.Dataset) -> Iterator[Row]:
    """Time UMAP in the plane and on a globe, once each."""
    points = ds["embedding"].to_numpy()
    gk.project(ds.isel(sample=slice(0, 500)))  # compiles
    graph = seconds(lambda: gk.project(ds))
    own = seconds(lambda: umap_by_itself(points))
    yield Row(
        work="umap that finds its own neighbours ÷ gk.project, 20,000 x 384",
        reach="≥ 4",
        found=f"{own / graph:.1f} ({own:.0f} and {graph:.0f} s, quality measures included)",
    )
    globe = seconds(lambda: gk.project(ds, method="umap-sphere"))
    theirs = seconds(lambda: umap_by_itself(points, output_metric="haversine", graph=True))
    yield Row(
        work="umap's globe of all points ÷ umap-sphere, 20,000 x 384",
        reach="",
        found=f"{theirs / globe:.1f} ({theirs:.0f} and {globe:.0f} s)",
    )


def bunches(count: int, dim: int = 384) -> xr.Dataset:
    """Return embeddings in bunches of 50."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(count // 50, dim)).astype(np.float32)
    raw = np.repeat(centres, 50, axis=0) + 0.5 * rng.normal(size=(count, dim)).astype(np.float32)
    unit = raw / np.linalg.norm(raw, axis=1, keepdims=True)
    names = np.array([f"p{i}" for i in range(count)], object)
    return xr.Dataset({"embedding": (("sample", "feature"), unit)}, coords={"sample": names})


def by_hand(points: np.ndarray, k: int) -> None:
    """Search all points among themselves."""
    flat = faiss.IndexFlatIP(points.shape[1])
    flat.add(points)
    flat.search(points, k)


def umap_by_itself(points: np.ndarray, *, graph: bool = False, **options: str) -> None:
    """Make a map by umap-learn, on a graph of its own or on faiss's."""
    from gendkit.manifold.index import graph as neighbours_of

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import umap

        known = (*neighbours_of(points, 15), None) if graph else (None, None, None)
        umap.UMAP(
            n_neighbors=15, metric="cosine", random_state=0, n_jobs=1, precomputed_knn=known,
            **options,
        ).fit_transform(points)  # fmt: skip


def seconds(call: Callable[[], object]) -> float:
    """Return what a call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def peak() -> float:
    """Return the most memory of this process so far, in GB (Linux)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
