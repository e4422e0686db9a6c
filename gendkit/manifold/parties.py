"""Crops gathered into parties, such as the fakes of one person, of which the nearest counts once.

Thirty frames of a clip, or thirty clips of a person, are one witness and not thirty.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from gendkit.manifold.index import check_adapters, check_lengths, vectors_of
from gendkit.manifold.kinship import RELATED, Kinship
from gendkit.manifold.schema import of_each_crop, text_of

SIMILARITIES = 1 << 24
"""How many are held at once."""
PEOPLE = ("target_identity", "pair", "video", "sample")
"""What crops that belong together share: the first of these that is known."""
Similarities = NDArray[np.float32]


class Parties:
    """N crops in P parties.

    Parameters
    ----------
    names
        (N,) of each crop's party.

    Attributes
    ----------
    one
        (P,) a crop of each party, in the order of their names.
    """

    def __init__(self, names: NDArray[np.str_]) -> None:
        self._order = np.argsort(names, kind="stable")
        _, self._first = np.unique(names[self._order], return_index=True)
        self.one: NDArray[np.int64] = self._order[self._first]

    def best(self, near: Similarities) -> Similarities:
        """Return the greatest of each party's similarities (Q, P), of those (Q, N) of the crops."""
        found: Similarities = np.maximum.reduceat(near[:, self._order], self._first, axis=1)
        return found


def nearest_of(
    ds: xr.Dataset, reference: xr.Dataset, parties: Parties, rows: NDArray[np.int64]
) -> Iterator[tuple[NDArray[np.int64], Similarities]]:
    """Yield crops and their cosines to the nearest of each party (Q, P), some crops at a time.

    A crop of the same clip, target clip or person as the query does not count: a party of which
    nobody is left has -inf.

    Parameters
    ----------
    ds, reference
        Embeddings by one adapter.
    parties
        Of the reference's crops `rows`.
    rows
        (N,) which of the reference take part.

    Raises
    ------
    InvalidEmbeddings
        If lengths or adapters differ.
    """
    for asked, near in similarities(ds, reference, rows):
        yield asked, parties.best(near)


def similarities(
    ds: xr.Dataset, reference: xr.Dataset, rows: NDArray[np.int64]
) -> Iterator[tuple[NDArray[np.int64], Similarities]]:
    """Yield crops and their cosines (Q, N) to some of a reference; -inf where they are related.

    Raises
    ------
    InvalidEmbeddings
        If lengths or adapters differ.
    """
    queries, points = vectors_of(ds), vectors_of(reference)
    check_lengths(queries.shape[1], points.shape[1], "compared")
    check_adapters(ds, reference)
    if not len(rows):
        return
    chosen = points[rows]
    kinship = Kinship(ds, reference, alike=RELATED)
    step = max(1, SIMILARITIES // len(rows))
    for start in range(0, len(queries), step):
        asked = np.arange(start, min(start + step, len(queries)))
        near = queries[asked] @ chosen.T
        near[kinship(asked, rows)] = -np.inf
        yield asked, near


def among_nearest(best: Similarities, k: int) -> NDArray[np.bool_]:
    """Return which parties (Q, P) are the k nearest; of equally near ones the first.

    Parameters
    ----------
    best
        (Q, P) similarities, -inf where a party may not count.
    """
    may = np.isfinite(best)
    if k >= best.shape[1]:
        return may
    last = -np.partition(-best, k - 1, axis=1)[:, k - 1 : k]
    above, equal = best > last, best == last
    left = k - above.sum(axis=1, keepdims=True)
    chosen: NDArray[np.bool_] = (above | (equal & (np.cumsum(equal, axis=1) <= left))) & may
    return chosen


def people_of(ds: xr.Dataset) -> NDArray[np.str_]:
    """Return for each crop (N,) what it belongs to: the person, else the clip, else itself."""
    return _joined(ds, PEOPLE)


def tracks_of(ds: xr.Dataset) -> NDArray[np.str_]:
    """Return for each crop (N,) its person within its clip; itself, where clips are not known."""
    names = _joined(ds, ("video", "sample"))
    if "track" not in ds.variables:
        return names
    return named(names, text_of(of_each_crop(ds, "track")))


def named(*parts: NDArray[np.str_]) -> NDArray[np.str_]:
    """Join texts (N,) of several kinds into one name each."""
    return np.array(["\x1f".join(each) for each in zip(*(p.tolist() for p in parts), strict=True)])


def _joined(ds: xr.Dataset, names: Sequence[str]) -> NDArray[np.str_]:
    count = ds.sizes["sample"]
    found = np.full(count, "", dtype=object)
    dataset = (
        text_of(of_each_crop(ds, "dataset")) if "dataset" in ds.variables else np.full(count, "")
    )
    for name in names:
        if name in ds.variables:
            values = text_of(ds[name])
            for i in np.flatnonzero((found == "") & (values != "")):
                found[i] = f"{dataset[i]}/{name}/{values[i]}"
    return found.astype(str)
