"""Nearest neighbours on the sphere by cosine similarity, with faiss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from gendkit.errors import InvalidEmbeddings
from gendkit.manifold.schema import attributed, check_unit
from gendkit.manifold.store import ADAPTER, store_hash
from gendkit.optional import require

Index = Literal["flat"]

CANDIDATES = 1 << 21
KINSHIP = {
    "sample": "sample",
    "video": "clip",
    "pair": "clip",
    "target_identity": "person",
    "donor_identity": "person",
}
_ALIKE = tuple(
    (i, j)
    for i, one in enumerate(KINSHIP.values())
    for j, other in enumerate(KINSHIP.values())
    if one == other
)


def neighbours(
    ds: xr.Dataset,
    reference: xr.Dataset | None = None,
    *,
    k: int = 10,
    index: Index = "flat",
    related: bool = False,
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
        `flat`: exact.
    related
        Also take other crops of the same clip, target clip or person; by default they are left
        out, as they are near for reasons that say nothing about forgery.

    Returns
    -------
    xarray.Dataset
        `ds` with `neighbour` (sample, rank): reference sample ids, and `similarity` (sample, rank):
        cosine in -1..1, NaN where there is no neighbour. Equal similarities are ordered by the
        reference's order.

    Raises
    ------
    InvalidEmbeddings
        If lengths or adapters differ, a vector is not of unit length, or `k` or `index` is
        impossible.
    MissingDependency
        If faiss is not installed.
    """
    faiss = require("faiss", extra="cpu")
    if k < 1:
        raise InvalidEmbeddings(f"k must be at least 1, got {k}.")
    if index not in get_args(Index):
        raise InvalidEmbeddings(f"no index is named {index!r}; there is flat, which is exact.")
    reference = ds if reference is None else reference
    queries, points = _vectors(ds), _vectors(reference)
    if queries.shape[1] != points.shape[1]:
        raise InvalidEmbeddings(
            f"embeddings of length {queries.shape[1]} cannot be searched among those of length "
            f"{points.shape[1]}; embed both with one backbone."
        )
    _check_adapters(ds, reference)
    flat = faiss.IndexFlatIP(points.shape[1])
    flat.add(points)
    alike = _ALIKE[:1] if related else _ALIKE
    rows, similarity = _search(flat, queries, k, _Relation(ds, reference, alike=alike))
    ids = reference["sample"].to_numpy().astype(object)
    names = np.full(rows.shape, "", dtype=object)
    names[rows >= 0] = ids[rows[rows >= 0]]
    out = ds.drop_vars(("neighbour", "similarity"), errors="ignore").assign(
        neighbour=(("sample", "rank"), names), similarity=(("sample", "rank"), similarity)
    )
    out["neighbour"].attrs["reference_hash"] = store_hash(reference)
    out["neighbour"].attrs["index"] = index
    out["neighbour"].attrs["related"] = str(related).lower()
    return attributed(out)


def graph(embedding: NDArray[np.float32], k: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return each point's k nearest (N, k), itself first, and their cosine distances (N, k)."""
    faiss = require("faiss", extra="cpu")
    points = np.ascontiguousarray(embedding, dtype=np.float32)
    flat = faiss.IndexFlatIP(points.shape[1])
    flat.add(points)
    similarity, rows = flat.search(points, k)
    # Exact duplicates may come before the point itself: put it first all the same.
    own = np.arange(len(points))
    at = np.where((rows == own[:, None]).any(1), (rows == own[:, None]).argmax(1), k - 1)
    rows[own, at], similarity[own, at] = rows[:, 0], similarity[:, 0]
    rows[:, 0], similarity[:, 0] = own, 1.0
    return rows, np.clip(1 - similarity, 0, 2).astype(np.float32)


class _Relation:
    """Tells which reference crops share a clip, target clip or person with a query."""

    def __init__(
        self, ds: xr.Dataset, reference: xr.Dataset, *, alike: Sequence[tuple[int, int]]
    ) -> None:
        self.alike = alike
        codes: dict[tuple[str, ...], int] = {}
        self.queries = self._keys(ds, codes)
        self.points = self._keys(reference, codes)

    @staticmethod
    def _keys(ds: xr.Dataset, codes: dict[tuple[str, ...], int]) -> NDArray[np.int64]:
        """Codes (N, 5) of sample, clip, target clip and the two people; -1 where unknown.

        A clip and a target clip are of one kind, as are the two people: a real clip is the target
        of its fakes, and one who lends a face to one clip may be seen in another.
        """
        n = ds.sizes["sample"]

        def column(name: str) -> list[str]:
            return [str(v) for v in ds[name].to_numpy()] if name in ds.variables else [""] * n

        dataset = column("dataset")
        table = np.full((n, len(KINSHIP)), -1, dtype=np.int64)
        for j, (name, kind) in enumerate(KINSHIP.items()):
            for i, value in enumerate(column(name)):
                if value:
                    key = (kind, value) if kind == "sample" else (kind, dataset[i], value)
                    table[i, j] = codes.setdefault(key, len(codes))
        return table

    def __call__(self, queries: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return (Q, K) whether candidate rows are related to the queries."""
        related = np.zeros(rows.shape, dtype=np.bool_)
        for one, other in self.alike:
            own = self.queries[queries, one][:, None]
            related |= (own == self.points[rows, other]) & (own >= 0)
        return related


def _search(
    flat: Any, queries: NDArray[np.float32], k: int, relation: _Relation
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Find rows (Q, k), -1 where there are no more, and similarities (Q, k)."""
    rows = np.full((len(queries), k), -1, dtype=np.int64)
    similarity = np.full((len(queries), k), np.nan, dtype=np.float32)
    todo = np.arange(len(queries))
    width = min(flat.ntotal, 2 * k + 8)
    while len(todo) and width:
        open_ = []
        step = max(1, CANDIDATES // width)
        for part in np.split(todo, range(step, len(todo), step)):
            values, found = flat.search(queries[part], width)
            done = _fill(rows, similarity, part, found, values, relation(part, found))
            open_.append(part[~done])
        if width == flat.ntotal:
            break
        todo = np.concatenate(open_)
        width = min(flat.ntotal, 4 * width)
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


def _check_adapters(ds: xr.Dataset, reference: xr.Dataset) -> None:
    """Refuse places on two spheres: each adapter turns its own. Without the attribute, trust."""
    one, other = (str(part.attrs.get(ADAPTER, "")) for part in (ds, reference))
    if one and other and one != other:
        raise InvalidEmbeddings(
            f"embeddings by the adapter {one[:12]} cannot be searched among those by "
            f"{other[:12]}; embed both with one adapter."
        )


def _vectors(ds: xr.Dataset) -> NDArray[np.float32]:
    vectors = np.ascontiguousarray(ds["embedding"].to_numpy(), dtype=np.float32)
    check_unit(vectors)
    return vectors
