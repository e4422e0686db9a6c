"""Neighbours and maps: the cost of what stands around faiss, and what a given graph saves UMAP.

The points are bunches on the sphere, as clips are: 50 crops around each centre.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

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
    large = bunches(100_000)
    before = peak()
    taken = seconds(lambda: gk.neighbours(large, k=15, related=True))
    yield Row(
        work="neighbours, flat, 100,000 x 384 among themselves, k 15",
        reach="",
        found=f"{taken:.0f} s, {peak() - before:.1f} GB more (all similarities: 40 GB)",
    )


def maps() -> Iterator[Row]:
    """Compare UMAP's maps with umap-learn's own; compiled before, quality measures included."""
    ds = bunches(20_000)
    points = ds["embedding"].to_numpy()
    work = "umap-learn, finding its own neighbours, seeded ÷ gk.project, 20,000 x 384"
    ratio = paired(lambda: umap_by_itself(points), lambda: gk.project(ds), rounds=3)
    yield Row(work=f"{work}, compiled", reach="≥ 4", found=f"{ratio:.1f}")
    theirs, ours = (
        float(in_process(f"print(seconds(lambda: {call}))"))
        for call in ("umap_by_itself(ds['embedding'].to_numpy())", "gk.project(ds)")
    )
    yield Row(
        work=f"{work}, first call of a process", reach="",
        found=f"{theirs / ours:.1f} ({theirs:.0f} and {ours:.0f} s)",
    )  # fmt: skip
    ratio = paired(
        lambda: umap_by_itself(points, output_metric="haversine", graph=True),
        lambda: gk.project(ds, method="umap-sphere"),
        rounds=1,
    )
    work = "umap-learn's globe on the same graph ÷ umap-sphere, 20,000 x 384"
    yield Row(work=work, reach="", found=f"{ratio:.1f}")
    for method in ("pca", "tangent-pca", "umap", "umap-sphere"):
        work = f"{method} of 200,000 x 384, in a process of its own"
        yield Row(work=work, reach="≤ 8 GB", found=large_map(method))


def large_map(method: str) -> str:
    """Return what a map of 200,000 points takes, in words."""
    return in_process(
        f"maps = []; taken = seconds(lambda: maps.append(gk.project(ds, method={method!r})));"
        "found = maps[0]['projection'].attrs;"
        "good = [f'{n} {found[n]:.3f}' for n in ('graph_recall', 'trustworthiness', 'continuity',"
        " 'seed_overlap') if n in found];"
        "print(f'{taken:.0f} s, {peak():.1f} GB, ' + ', '.join(good))",
        count=200_000,
    )


def in_process(code: str, *, count: int = 20_000) -> str:
    """Return what code about bunches `ds` prints in a process of its own."""
    start = (
        "from manifold import bunches, peak, seconds, umap_by_itself; import gendkit as gk;"
        f"ds = bunches({count});"
    )
    done = subprocess.run(
        [sys.executable, "-c", start + code], cwd=Path(__file__).parent, capture_output=True,
        text=True, check=True,
    )  # fmt: skip
    return done.stdout.strip()


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
