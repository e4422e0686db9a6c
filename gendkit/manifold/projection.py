"""Maps of the sphere: places in the plane (sample, axis), for finding and never as evidence."""

from __future__ import annotations

import warnings
from typing import Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from gendkit.errors import InvalidEmbeddings
from gendkit.manifold.index import graph
from gendkit.manifold.schema import attributed, check_unit

Method = Literal["umap", "pca"]


def project(ds: xr.Dataset, *, method: Method = "umap", seed: int = 0, k: int = 15) -> xr.Dataset:
    """Add `projection` (sample, axis), a map in the plane.

    Parameters
    ----------
    ds
        Embeddings.
    method
        `umap`: on the exact neighbour graph by cosine, found with faiss; `pca`: the two directions
        of greatest variance.
    seed
        Of the layout.
    k
        Neighbours in the graph, the point itself included; fewer points lower it.

    Raises
    ------
    InvalidEmbeddings
        If there are fewer than 3 crops, `k` is less than 2, or the method is unknown.

    References
    ----------
    McInnes, Healy and Melville, UMAP: Uniform Manifold Approximation and Projection, 2018.
    """
    embedding = np.asarray(ds["embedding"].to_numpy(), dtype=np.float32)
    check_unit(embedding)
    if len(embedding) < 3:
        raise InvalidEmbeddings(f"a map needs at least 3 crops, got {len(embedding)}.")
    if k < 2:
        raise InvalidEmbeddings(f"k must be at least 2, got {k}.")
    if method == "pca":
        places = _pca(embedding)
    elif method == "umap":
        places = _umap(embedding, seed=seed, k=k)
    else:
        raise InvalidEmbeddings(f"no projection is named {method!r}; there is umap, pca.")
    out = ds.drop_vars("projection", errors="ignore").assign(
        projection=(("sample", "axis"), places.astype(np.float32))
    )
    out["projection"].attrs.update(method=method, seed=seed, k=k)
    return attributed(out)


def _pca(embedding: NDArray[np.float32]) -> NDArray[np.float64]:
    from sklearn.decomposition import PCA

    places: NDArray[np.float64] = PCA(n_components=2, svd_solver="full").fit_transform(embedding)
    return places


def _umap(embedding: NDArray[np.float32], *, seed: int, k: int) -> NDArray[np.float64]:
    k = min(k, len(embedding) - 1)
    rows, distances = graph(embedding, k)
    with warnings.catch_warnings():
        # umap-learn says what is meant here: a given graph, one thread for a given seed, and no
        # Tensorflow.
        warnings.simplefilter("ignore")
        import umap

        places: NDArray[np.float64] = umap.UMAP(
            n_neighbors=k,
            metric="cosine",
            precomputed_knn=(rows, distances, None),
            random_state=seed,
            n_jobs=1,
            init="pca" if len(embedding) < 4 * k else "spectral",
        ).fit_transform(embedding)
    return places
