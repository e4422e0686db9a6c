"""Nearest neighbours on the sphere: of other clips and people, among chosen crops, by class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from gendkit.errors import InvalidEmbeddings
from gendkit.manifold.index import (
    FLAT,
    SphereIndex,
    build_index,
    check_adapters,
    check_lengths,
    vectors_of,
)
from gendkit.manifold.kinship import ITSELF, RELATED, Kinship
from gendkit.manifold.schema import attributed, of_each_crop, text_of
from gendkit.model.head import CLASSES

CANDIDATES = 1 << 21
NUMBERS = 1 << 26
"""The most candidates, and numbers of their vectors, that are held at once."""
Where = Mapping[str, Any]


def neighbours(
    ds: xr.Dataset,
    reference: xr.Dataset | None = None,
    *,
    k: int = 10,
    index: str | SphereIndex = FLAT,
    related: bool = False,
    where: Where | None = None,
    by_class: bool = False,
) -> xr.Dataset:
    """Find each crop's nearest reference crops.

    Parameters
    ----------
    ds
        Embeddings to ask about.
    reference
        Embeddings to search in; by default `ds` itself.
    k
        Neighbours a crop; with a smaller reference the last ranks stay empty.
    index
        A kind for `gk.build_index`, or an index of the reference that is there already.
    related
        Also take other crops of the same clip, target clip or person; by default they are left
        out, as they are near for reasons that say nothing about forgery.
    where
        Only reference crops whose variables have these values, one or a list:
        `{"dataset": ["a", "b"], "label": 0}`.
    by_class
        Find k reals and k fakes apart.

    Returns
    -------
    xarray.Dataset
        `ds` with `neighbour` (sample, rank): reference sample ids, and `similarity` (sample, rank):
        cosine in -1..1, NaN where there is no neighbour. Equal similarities are ordered by the
        reference's order. By class they are `class_neighbour` and `class_similarity` (sample,
        class, class_rank).

    Raises
    ------
    InvalidEmbeddings
        If lengths or adapters differ, a vector is not of unit length, `k`, `index` or `where` is
        impossible, or classes are asked for and the reference has no labels.
    StaleIndex
        If the index is of other embeddings.
    MissingDependency
        If faiss is not installed.
    """
    if k < 1:
        raise InvalidEmbeddings(f"k must be at least 1, got {k}.")
    reference = ds if reference is None else reference
    queries = vectors_of(ds)
    check_lengths(queries.shape[1], reference.sizes["feature"], "searched")
    check_adapters(ds, reference)
    built = index if isinstance(index, SphereIndex) else build_index(reference, index)
    if isinstance(index, SphereIndex):
        index.check(reference)
    kinship = Kinship(ds, reference, alike=ITSELF if related else RELATED)
    chosen = _chosen(reference, where)
    about = {
        "reference_hash": built.reference_hash,
        "index": built.kind,
        "recall": built.recall,
        "related": str(related).lower(),
        **({"where": str(dict(where))} if where else {}),
    }
    dims: tuple[str, ...]
    if by_class:
        dims, start = ("sample", "class", "class_rank"), "class_"
        label = labels_of(reference)
        classes = [label == value for value in range(len(CLASSES))]
        parts = [
            _found(built, queries, k, kinship, of if chosen is None else of & chosen)
            for of in classes
        ]
        names, similarity = (np.stack(values, axis=1) for values in zip(*parts, strict=True))
    else:
        dims, start = ("sample", "rank"), ""
        names, similarity = _found(built, queries, k, kinship, chosen)
    new = {f"{start}neighbour": (dims, names), f"{start}similarity": (dims, similarity)}
    out = ds.drop_vars(list(new), errors="ignore").assign(new)
    if by_class:
        out = out.assign_coords({"class": np.array(CLASSES, object)})
    out[next(iter(new))].attrs.update(about)
    return attributed(out)


def _found(
    index: SphereIndex,
    queries: NDArray[np.float32],
    k: int,
    kinship: Kinship,
    chosen: NDArray[np.bool_] | None,
) -> tuple[NDArray[np.object_], NDArray[np.float32]]:
    """Return names and similarities (Q, k)."""
    rows, similarity = _search(index, queries, k, kinship, chosen)
    names = np.full(rows.shape, "", dtype=object)
    names[rows >= 0] = index.ids[rows[rows >= 0]]
    return names, similarity


def _search(
    index: SphereIndex,
    queries: NDArray[np.float32],
    k: int,
    kinship: Kinship,
    chosen: NDArray[np.bool_] | None,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Find rows (Q, k), -1 where there are no more, and similarities (Q, k)."""
    rows = np.full((len(queries), k), -1, dtype=np.int64)
    similarity = np.full((len(queries), k), np.nan, dtype=np.float32)
    own, allowed = np.arange(len(index.ids)), chosen
    if chosen is not None and index.exact:
        own, allowed, index = np.flatnonzero(chosen), None, index.part(chosen)
    total = len(own) if allowed is None else int(allowed.sum())
    todo = np.arange(len(queries))
    # Itself, and one beyond the last that tells whether more could tie with it.
    width = min(total, k + 2 if kinship.alike == ITSELF else 2 * k + 8)
    while len(todo) and width:
        open_ = []
        step = max(1, min(CANDIDATES, NUMBERS // queries.shape[1]) // width)
        for part in np.split(todo, range(step, len(todo), step)):
            values, found = index.search(queries[part], width, allowed)
            there = found >= 0
            at = own[np.where(there, found, 0)]
            out = kinship(part, at) | ~there
            done = _fill(rows, similarity, part, np.where(there, at, -1), values, out)
            open_.append(part[~done])
        if width == total:
            break
        todo = np.concatenate(open_)
        width = min(total, 4 * width)
    return rows, np.clip(similarity, -1, 1)


def _fill(
    rows: NDArray[np.int64],
    similarity: NDArray[np.float32],
    part: NDArray[np.int64],
    found: NDArray[np.int64],
    values: NDArray[np.float32],
    out: NDArray[np.bool_],
) -> NDArray[np.bool_]:
    """Write the results of some queries; return which of them more candidates could not change."""
    k = rows.shape[1]
    last = values[:, -1:]
    order = np.lexsort((found, -values, out), axis=1)[:, :k]
    n = order.shape[1]
    left = np.take_along_axis(out, order, axis=1)
    best = np.take_along_axis(values, order, axis=1)
    rows[part, :n] = np.where(left, -1, np.take_along_axis(found, order, axis=1))
    similarity[part, :n] = np.where(left, np.nan, best)
    # A crop beyond the last candidate may tie with it and come first in the reference's order.
    done: NDArray[np.bool_] = (n == k) & (~left & (best > last)).all(axis=1)
    return done


def _chosen(reference: xr.Dataset, where: Where | None) -> NDArray[np.bool_] | None:
    """Return which reference crops (N,) have the wanted values; None is all."""
    if not where:
        return None
    chosen = np.ones(reference.sizes["sample"], dtype=np.bool_)
    for name, wanted in where.items():
        found = of_each_crop(reference, name)
        values = [wanted] if isinstance(wanted, str) or not np.iterable(wanted) else list(wanted)
        chosen &= np.isin(text_of(found) if found.dtype.kind in "OTU" else found, values)
    return chosen


def labels_of(reference: xr.Dataset) -> NDArray[np.int64]:
    """Return labels (N,): 0 real, 1 fake, -1 unknown.

    Raises
    ------
    InvalidEmbeddings
        If there are none.
    """
    if "label" not in reference.variables:
        raise InvalidEmbeddings(
            "the reference has no labels, by which reals and fakes could be told apart; give one "
            "with `label`."
        )
    labels: NDArray[np.int64] = reference["label"].to_numpy().astype(np.int64)
    return labels
