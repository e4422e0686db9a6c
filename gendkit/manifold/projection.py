"""Maps of the sphere: places (sample, axis) in the plane or on a globe, for finding alone."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from types import MappingProxyType
from typing import Any, Literal, get_args

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from gendkit.errors import InvalidEmbeddings
from gendkit.manifold.index import check_lengths, graph, vectors_of
from gendkit.manifold.mapping import Places, on_map, placed, quality
from gendkit.manifold.schema import attributed
from gendkit.manifold.sphere import log_map, mean_direction

Method = Literal["umap", "umap-sphere", "pca", "tangent-pca"]

LAID_OUT = 5000
"""The most points of which UMAP makes a globe, where it is many times slower than in the plane."""
GLOBE_EPOCHS = 200
"""As umap-learn takes in the plane for more than 10,000 points; for fewer it takes 500."""
Layout = Callable[[NDArray[np.float32], int | None, int], Places]


def project(
    ds: xr.Dataset, *, method: Method = "umap", seed: int | None = 0, k: int = 15
) -> xr.Dataset:
    """Add `projection` (sample, axis), a map in the plane or, by `umap-sphere`, on a globe.

    How far the map can be trusted stands in the attributes of `projection`: `trustworthiness` and
    `continuity`, of up to 2,000 points, and for UMAP `seed_overlap`, the share of neighbours that
    two maps of up to 2,000 points by different seeds have in common.

    Parameters
    ----------
    ds
        Embeddings.
    method
        `umap`: on the exact neighbour graph by cosine, found with faiss; `umap-sphere`: the same on
        a globe (three axes, of length 1), of which 5,000 points are laid out and the others put at
        the mean of their neighbours; `pca`: the two directions of greatest variance; `tangent-pca`:
        those of the tangent space at the mean direction, in which distances to it are angles.
    seed
        Of the layout; None is another map each time, by all cores.
    k
        Neighbours in the graph, the point itself included; fewer points lower it.

    Raises
    ------
    InvalidEmbeddings
        If there are fewer than 3 crops, `k` is less than 2, or the method is unknown.

    References
    ----------
    McInnes, Healy and Melville, UMAP: Uniform Manifold Approximation and Projection, 2018; Fletcher
    et al., Principal Geodesic Analysis, IEEE TMI 2004 (`tangent-pca`); Venna and Kaski,
    Neighborhood Preservation in Nonlinear Projection Methods, ICANN 2001 (trustworthiness and
    continuity).
    """
    embedding = vectors_of(ds)
    if len(embedding) < 3:
        raise InvalidEmbeddings(f"a map needs at least 3 crops, got {len(embedding)}.")
    if k < 2:
        raise InvalidEmbeddings(f"k must be at least 2, got {k}.")
    if method not in get_args(Method):
        raise InvalidEmbeddings(
            f"no projection is named {method!r}; there is {', '.join(get_args(Method))}."
        )
    layout = LAYOUTS[method]
    places = layout(embedding, seed, k)
    again = (lambda part, other: layout(part, other, k)) if method.startswith("umap") else None
    about: dict[str, Any] = {
        "method": method,
        "k": k,
        **quality(embedding, places, k=k, again=again),
    }
    if seed is not None:
        about["seed"] = seed
    if method == "umap-sphere" and len(embedding) > LAID_OUT:
        about["laid_out"] = LAID_OUT
    return _with_places(ds, places, about)


def place(ds: xr.Dataset, reference: xr.Dataset, *, k: int = 10) -> xr.Dataset:
    """Put new crops on the map of a reference, which stays as it is.

    A crop comes to the mean of the places of its k nearest reference crops, weighted by the inverse
    of their distance. The attribute `placement_error` tells how well that works: the median
    distance between the places of up to 1,000 reference crops and where they would be put, in units
    of the map's radius (root of the mean square). A crop that is far from all references is put
    somewhere all the same: a map hides novelty.

    Parameters
    ----------
    ds
        Embeddings to be placed.
    reference
        With a `projection`.
    k
        How many neighbours.

    Raises
    ------
    InvalidEmbeddings
        If the reference has no map, or is of other embeddings.
    """
    if "projection" not in reference:
        raise InvalidEmbeddings("the reference has no map; gk.project makes one.")
    queries, points = vectors_of(ds), vectors_of(reference)
    check_lengths(queries.shape[1], points.shape[1], "placed")
    places, error = on_map(queries, points, reference["projection"].to_numpy(), k=k)
    keep = {n: v for n, v in reference["projection"].attrs.items() if n in ("method", "seed", "k")}
    return _with_places(ds, places, {**keep, "placed": k, "placement_error": error})


def _with_places(ds: xr.Dataset, places: Places, about: dict[str, Any]) -> xr.Dataset:
    out = ds.drop_vars("projection", errors="ignore").assign(
        projection=(("sample", "axis"), places.astype(np.float32))
    )
    out["projection"].attrs.update(about)
    return attributed(out)


def _pca(embedding: NDArray[Any], seed: int | None, k: int) -> Places:
    from sklearn.decomposition import PCA

    places: Places = PCA(n_components=2, svd_solver="full").fit_transform(embedding)
    return places


def _tangent_pca(embedding: NDArray[np.float32], seed: int | None, k: int) -> Places:
    centre, _ = mean_direction(embedding)
    tangent = log_map(centre, embedding)
    _, axes = np.linalg.eigh(tangent.T @ tangent)
    first = axes[:, ::-1][:, :2]
    signs = np.sign(first[np.abs(first).argmax(axis=0), range(first.shape[1])])
    return np.asarray(tangent @ (first * signs))


def _umap(embedding: NDArray[np.float32], seed: int | None, k: int) -> Places:
    return _laid_out(embedding, seed, k)


def _umap_sphere(embedding: NDArray[np.float32], seed: int | None, k: int) -> Places:
    """Lay some points out on a globe, and put the others at the mean of their neighbours."""
    count = len(embedding)
    drawn = np.random.default_rng(seed).permutation(count)[:LAID_OUT]
    chosen = np.sort(drawn)
    angles = _laid_out(embedding[chosen], seed, k, output_metric="haversine", n_epochs=GLOBE_EPOCHS)
    sin, cos = np.sin(angles), np.cos(angles)
    globe = np.stack([sin[:, 0] * cos[:, 1], sin[:, 0] * sin[:, 1], cos[:, 0]], axis=1)
    if count == len(chosen):
        return globe
    places = placed(embedding, embedding[chosen], globe, k=k)
    places[chosen] = globe
    return places


def _laid_out(embedding: NDArray[np.float32], seed: int | None, k: int, **options: Any) -> Places:
    k = min(k, len(embedding) - 1)
    rows, distances = graph(embedding, k)
    with warnings.catch_warnings():
        # umap-learn says what is meant here: a given graph, one thread for a given seed, and no
        # Tensorflow.
        warnings.simplefilter("ignore")
        import umap

        places: Places = umap.UMAP(
            n_neighbors=k,
            metric="cosine",
            precomputed_knn=(rows, distances, None),
            random_state=seed,
            n_jobs=1 if seed is not None else -1,
            init="pca" if len(embedding) < 4 * k else "spectral",
            **options,
        ).fit_transform(embedding)
    return places.astype(np.float64)


LAYOUTS: MappingProxyType[str, Layout] = MappingProxyType(
    {"umap": _umap, "umap-sphere": _umap_sphere, "pca": _pca, "tangent-pca": _tangent_pca}
)
