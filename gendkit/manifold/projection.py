"""Maps of the sphere: places (sample, axis) in the plane or on a globe, for finding alone."""

from __future__ import annotations

import secrets
import warnings
from collections.abc import Callable
from functools import partial
from types import MappingProxyType
from typing import Any, Literal, get_args

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from gendkit.errors import InvalidEmbeddings
from gendkit.manifold.graph import neighbour_graph
from gendkit.manifold.index import check_adapters, check_lengths, vectors_of
from gendkit.manifold.kinship import RELATED, Kinship
from gendkit.manifold.layout import EPOCHS, fuzzy_graph, lay_out
from gendkit.manifold.mapping import Places, placed, placement_error, quality
from gendkit.manifold.principal import principal
from gendkit.manifold.schema import attributed
from gendkit.manifold.sphere import mean_direction

Method = Literal["umap", "umap-sphere", "pca", "tangent-pca", "umap-learn"]

Laid = tuple[Places, dict[str, Any]]
Layout = Callable[[NDArray[np.float32], int, int], Laid]


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
        `umap`: on the neighbour graph by cosine, found with faiss; `umap-sphere`: the same on a
        globe (three axes, of length 1); `pca`: the two directions of greatest variance;
        `tangent-pca`: those of the tangent space at the mean direction, in which distances to it
        are angles; `umap-learn`: that library's own layout, for whoever needs its very numbers,
        several times slower. The graph is exact up to 10,000 crops; of more it is found by cells,
        and `graph_recall` says what share of the true neighbours is in it.
    seed
        Of the layout; None is another map each time.
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
    drawn = secrets.randbits(31) if seed is None else seed
    places, made = layout(embedding, drawn, k)
    again = partial(_again, k=k, method=method)
    about: dict[str, Any] = {
        "method": method,
        "k": k,
        **made,
        **quality(embedding, places, k=k, again=again if method.startswith("umap") else None),
    }
    if seed is not None:
        about["seed"] = seed
    return _with_places(ds, places, about)


def place(ds: xr.Dataset, reference: xr.Dataset, *, k: int = 10) -> xr.Dataset:
    """Put new crops on the map of a reference, which stays as it is.

    A crop comes to the mean of the places of its k nearest reference crops, weighted by the inverse
    of their distance. The attribute `placement_error` tells how well that works: the median
    distance between the places of up to 1,000 reference crops and where they would be put without
    their clip, target clip and people, in units of the map's radius (root of the mean square). A
    crop that is far from all references is put somewhere all the same: a map hides novelty.

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
    check_adapters(ds, reference, "placed")
    there = reference["projection"].to_numpy()
    places = placed(queries, points, there, k=k)
    kinship, every = Kinship(reference, reference, alike=RELATED), np.arange(len(points))
    error = placement_error(points, there, lambda rows: kinship(rows, every), k=k)
    keep = {n: v for n, v in reference["projection"].attrs.items() if n in ("method", "seed", "k")}
    return _with_places(ds, places, {**keep, "placed": k, "placement_error": error})


def _with_places(ds: xr.Dataset, places: Places, about: dict[str, Any]) -> xr.Dataset:
    out = ds.drop_vars("projection", errors="ignore").assign(
        projection=(("sample", "axis"), places.astype(np.float32))
    )
    out["projection"].attrs.update(about)
    return attributed(out)


def _pca(embedding: NDArray[np.float32], seed: int, k: int) -> Laid:
    return principal(embedding), {}


def _tangent_pca(embedding: NDArray[np.float32], seed: int, k: int) -> Laid:
    centre, _ = mean_direction(embedding)
    return principal(embedding, around=centre), {}


def _umap(
    embedding: NDArray[np.float32],
    seed: int,
    k: int,
    *,
    globe: bool = False,
    epochs: int | None = None,
) -> Laid:
    found = neighbour_graph(embedding, min(k, len(embedding) - 1), seed=seed)
    start = principal(embedding, axes=3 if globe else 2)
    weights = fuzzy_graph(found.rows, found.distances)
    places = lay_out(weights, start, seed=seed, globe=globe, epochs=epochs)
    return places, {"graph_recall": found.recall}


def _umap_learn(
    embedding: NDArray[np.float32], seed: int, k: int, *, epochs: int | None = None
) -> Laid:
    k = min(k, len(embedding) - 1)
    found = neighbour_graph(embedding, k, seed=seed)
    with warnings.catch_warnings():
        # umap-learn says what is meant here: a given graph, one thread for a given seed, and no
        # Tensorflow.
        warnings.simplefilter("ignore")
        import umap

        places = umap.UMAP(
            n_neighbors=k,
            metric="cosine",
            precomputed_knn=(found.rows, found.distances, None),
            random_state=seed,
            n_jobs=1,
            n_epochs=epochs,
            init="pca" if len(embedding) < 4 * k else "spectral",
        ).fit_transform(embedding)
    return places.astype(np.float64), {} if found.recall == 1 else {"graph_recall": found.recall}


def _again(part: NDArray[np.float32], seed: int, *, k: int, method: Method) -> Places:
    """Lay a part out once more, in as many rounds as a large map has."""
    if method == "umap-learn":
        return _umap_learn(part, seed, k, epochs=EPOCHS)[0]
    return _umap(part, seed, k, globe=method == "umap-sphere", epochs=EPOCHS)[0]


LAYOUTS: MappingProxyType[str, Layout] = MappingProxyType(
    {
        "umap": _umap,
        "umap-sphere": partial(_umap, globe=True),
        "pca": _pca,
        "tangent-pca": _tangent_pca,
        "umap-learn": _umap_learn,
    }
)
