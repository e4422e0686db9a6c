"""The nearest people of some crops, and how near people usually are, for single queries.

Where `gk.neighbours` lists crops, here each person is listed once, with the nearest crop; and what
that nearness is worth is told by the reference's own clips, each asked with itself left out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from gendkit.manifold.neighbours import labels_of
from gendkit.manifold.parties import people_of, similarities
from gendkit.manifold.suspects import medoids

MOST = 2000
"""The most clips of the reference that are asked."""


@dataclass(frozen=True, kw_only=True)
class Nearest:
    """Of each query, the nearest crop of each of the K nearest people.

    Attributes
    ----------
    rows
        (Q, K) of the reference; -1 where there are fewer people.
    similarity
        (Q, K) cosines; NaN where there are fewer people.
    """

    rows: NDArray[np.int64]
    similarity: NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Usual:
    """How near the reference's own clips are to its people of one class.

    Attributes
    ----------
    label
        (M,) of the clips that were asked, one crop each.
    similarity
        (M, K) of each to its nearest people; NaN where there are fewer.
    hubs
        (N,) how often each crop of the reference is the nearest of one of the K nearest people.
    expected
        How often that is on average over the crops of the class.
    """

    label: NDArray[np.int64]
    similarity: NDArray[np.float64]
    hubs: NDArray[np.int64]
    expected: float

    def percentile(self, similarity: float, rank: int, label: int) -> float:
        """Return how many per cent of the clips of a label are less similar at this rank.

        NaN where there are none. Equal ones count half.
        """
        among = self.similarity[self.label == label, rank]
        among = among[np.isfinite(among)]
        if not len(among) or not np.isfinite(similarity):
            return float("nan")
        return float(100 * (np.mean(among < similarity) + np.mean(among == similarity) / 2))


def nearest_people(
    ds: xr.Dataset, reference: xr.Dataset, rows: NDArray[np.int64], *, k: int
) -> Nearest:
    """Find the k nearest people among some crops of a reference, each with the nearest crop.

    Crops of the same clip, target clip or person as the query do not count.

    Parameters
    ----------
    ds
        The queries, Q of them.
    reference
        Embeddings by the same adapter.
    rows
        (N,) which of its crops are looked at.
    k
        How many people.

    Raises
    ------
    InvalidEmbeddings
        If lengths or adapters differ.
    """
    _, person = np.unique(people_of(reference)[rows], return_inverse=True)
    found = np.full((ds.sizes["sample"], k), -1, np.int64)
    similarity = np.full((ds.sizes["sample"], k), np.nan)
    for asked, near in similarities(ds, reference, rows):
        for query, cosines in zip(asked.tolist(), near, strict=True):
            best = _distinct(cosines, person, k)
            found[query, : len(best)] = rows[best]
            similarity[query, : len(best)] = np.clip(cosines[best], -1, 1)
    return Nearest(rows=found, similarity=similarity)


def usual_nearness(reference: xr.Dataset, label: int, *, k: int, seed: int = 0) -> Usual:
    """Ask the reference's own clips how near they are to its people of a class.

    Each clip is asked by the crop nearest to its mean direction, and with itself, its target clip
    and its people left out. Of more than 2,000 clips so many are drawn.

    Parameters
    ----------
    reference
        With `label`.
    label
        0 or 1: the class that is searched.
    k
        How many people.
    seed
        Of the draw.

    Raises
    ------
    InvalidEmbeddings
        If there are no labels.

    References
    ----------
    Radovanovic et al., Hubs in Space, JMLR 2010 (hub counts).
    """
    labels = labels_of(reference)
    asked = np.random.default_rng(seed).permutation(medoids(reference))
    asked = np.sort(asked[labels[asked] >= 0][:MOST])
    rows = np.flatnonzero(labels == label)
    nearest = nearest_people(reference.isel(sample=asked), reference, rows, k=k)
    counted = nearest.rows[nearest.rows >= 0]
    return Usual(
        label=labels[asked],
        similarity=nearest.similarity,
        hubs=np.bincount(counted, minlength=reference.sizes["sample"]),
        expected=len(counted) / len(rows) if len(rows) else float("nan"),
    )


def _distinct(cosines: NDArray[np.float32], person: NDArray[np.int64], k: int) -> NDArray[np.int64]:
    """Return the nearest crops of up to k people, nearest first; -inf does not count."""
    total = len(cosines)
    width = min(total, max(64, 8 * k))
    while True:
        near = np.argpartition(-cosines, width - 1)[:width]
        near = near[np.lexsort((near, -cosines[near]))]
        near = near[np.isfinite(cosines[near])]
        _, first = np.unique(person[near], return_index=True)
        best = near[np.sort(first)][:k]
        # Only crops as near as the last one that was looked at could change the result.
        if width == total or (len(best) == k and cosines[best[-1]] > cosines[near[-1]]):
            return best
        width = min(total, 4 * width)
