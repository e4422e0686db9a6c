"""Nearest neighbours on the sphere by cosine similarity, with faiss."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from gendkit.errors import InvalidEmbeddings
from gendkit.manifold.embeddings import store_hash
from gendkit.manifold.schema import attributed, check_unit
from gendkit.optional import require

Index = Literal["flat"]


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
        Also take crops of the same clip, target clip or person; by default they are left out, as
        they are near for reasons that say nothing about forgery.

    Returns
    -------
    xarray.Dataset
        `ds` with `neighbour` (sample, rank): reference sample ids, and `similarity` (sample, rank):
        cosine in -1..1, NaN where there is no neighbour. Equal similarities are ordered by the
        reference's order.

    Raises
    ------
    InvalidEmbeddings
        If lengths differ, or a vector is not of unit length.
    MissingDependency
        If faiss is not installed.
    """
    faiss = require("faiss", extra="cpu")
    if k < 1:
        raise InvalidEmbeddings(f"k must be at least 1, got {k}.")
    reference = ds if reference is None else reference
    queries, points = _vectors(ds), _vectors(reference)
    if queries.shape[1] != points.shape[1]:
        raise InvalidEmbeddings(
            f"embeddings of length {queries.shape[1]} cannot be searched among those of length "
            f"{points.shape[1]}; embed both with one backbone."
        )
    flat = faiss.IndexFlatIP(points.shape[1])
    flat.add(points)
    relation = None if related else _Relation(ds, reference)
    rows, similarity = _search(flat, queries, k, relation)
    ids = reference["sample"].to_numpy().astype(object)
    names = np.full(rows.shape, "", dtype=object)
    names[rows >= 0] = ids[rows[rows >= 0]]
    out = ds.drop_vars([v for v in ("neighbour", "similarity") if v in ds], errors="ignore")
    out = out.assign(
        neighbour=(("sample", "rank"), names), similarity=(("sample", "rank"), similarity)
    )
    out["neighbour"].attrs["reference_hash"] = store_hash(reference)
    out["neighbour"].attrs["index"] = index
    out["neighbour"].attrs["related"] = str(related).lower()
    return attributed(out)


def graph(
    embedding: NDArray[np.float32], k: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the k nearest points (N, k) of each point, itself first, and their cosine distances."""
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

    def __init__(self, ds: xr.Dataset, reference: xr.Dataset) -> None:
        codes: dict[str, int] = {"": -1}
        self.queries = self._keys(ds, codes)
        self.points = self._keys(reference, codes)

    @staticmethod
    def _keys(ds: xr.Dataset, codes: dict[str, int]) -> NDArray[np.int64]:
        """Codes (N, 4) of sample, clip, target clip and, in two columns, the people."""
        n = ds.sizes["sample"]

        def column(name: str) -> list[str]:
            return [str(v) for v in ds[name].to_numpy()] if name in ds.variables else [""] * n

        dataset = column("dataset")
        fields = {
            "sample": column("sample"),
            "video": [f"{d}/{v}" if v else "" for d, v in zip(dataset, column("video"), strict=True)],
            "pair": [f"{d}/{v}" if v else "" for d, v in zip(dataset, column("pair"), strict=True)],
            "person": column("target_identity"),
            "donor": column("donor_identity"),
        }
        table = np.empty((n, len(fields)), dtype=np.int64)
        for j, (name, values) in enumerate(fields.items()):
            kind = "person" if name == "donor" else name
            for i, value in enumerate(values):
                key = f"{kind}:{value}" if value else ""
                table[i, j] = codes.setdefault(key, len(codes))
        return table

    def __call__(self, queries: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return (Q, K) whether candidate rows are related to the queries."""
        q = self.queries[queries][:, None, :]
        p = self.points[np.maximum(rows, 0)]
        same = (q == p) & (q >= 0)
        crossed = (q[..., [3, 4]] == p[..., [4, 3]]) & (q[..., [3, 4]] >= 0)
        related: NDArray[np.bool_] = same.any(-1) | crossed.any(-1)
        return related


def _search(
    flat: Any, queries: NDArray[np.float32], k: int, relation: _Relation | None
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Search, asking for more until every query has k unrelated neighbours or all were seen."""
    found = np.full((len(queries), k), -1, dtype=np.int64)
    similarity = np.full((len(queries), k), np.nan, dtype=np.float32)
    total = flat.ntotal
    todo = np.arange(len(queries))
    wide = min(total, k if relation is None else 2 * k + 8)
    while len(todo) and total:
        values, rows = flat.search(queries[todo], wide)
        bad = rows < 0
        if relation is not None:
            bad |= relation(todo, rows)
        order = np.argsort(bad, axis=1, kind="stable")[:, :k]
        taken = np.take_along_axis(rows, order, axis=1)
        keep = ~np.take_along_axis(bad, order, axis=1)
        n = taken.shape[1]
        found[todo, :n] = np.where(keep, taken, -1)
        similarity[todo, :n] = np.where(keep, np.take_along_axis(values, order, axis=1), np.nan)
        if wide >= total:
            break
        todo = todo[(found[todo] < 0).any(axis=1)]
        wide = min(total, 4 * wide)
    return found, similarity


def _vectors(ds: xr.Dataset) -> NDArray[np.float32]:
    vectors = np.ascontiguousarray(ds["embedding"].to_numpy(), dtype=np.float32)
    check_unit(vectors)
    return vectors
