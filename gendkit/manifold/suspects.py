"""What deserves a second look: labels that neighbours contradict, and duplicates."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from gendkit.errors import InvalidEmbeddings
from gendkit.manifold.index import vectors_of
from gendkit.manifold.kinship import RELATED, Kinship
from gendkit.manifold.neighbours import labels_of
from gendkit.manifold.parties import tracks_of
from gendkit.manifold.schema import plain_of
from gendkit.manifold.votes import votes

BLOCK = 512
"""Crops that are compared with all others at once."""
QUANTILE = 0.05


def label_issues(
    ds: xr.Dataset, reference: xr.Dataset | None = None, *, k: int = 20, alpha: float = 0.05
) -> pd.DataFrame:
    """List clips whose label the nearest people contradict.

    The crop that is nearest to its track's mean direction speaks for the track. Its votes are those
    of `gk.votes`; the chance of votes so uneven is corrected for the number of tracks (Benjamini
    and Hochberg), as here one looks for candidates. A forgery that a detector misses lies among
    reals, too: a candidate is to be looked at, not relabelled.

    Parameters
    ----------
    ds
        Embeddings with labels.
    reference
        By default `ds` itself.
    k
        How many votes.
    alpha
        The expected share of chance findings among the candidates.

    Returns
    -------
    pandas.DataFrame
        By `sample`, most suspicious first: `dataset`, `video`, `label`, `score` (where they are
        known), `votes_real`, `votes_fake`, `vote_ratio`, `vote_p` and the adjusted `p`.

    Raises
    ------
    InvalidEmbeddings
        As `gk.votes`, or if `ds` has no labels.

    References
    ----------
    Wilson, Asymptotic properties of nearest neighbor rules using edited data, 1972; Benjamini and
    Hochberg, JRSS B 1995.
    """
    from scipy.stats import false_discovery_control

    labels = labels_of(ds)
    rows = medoids(ds)
    rows = rows[labels[rows] >= 0]
    part = votes(ds.isel(sample=rows), ds if reference is None else reference, k=k)
    known = np.isfinite(part["vote_p"].to_numpy())
    part, label = part.isel(sample=known), labels[rows][known]
    p = part["vote_p"].to_numpy().astype(np.float64)
    adjusted = false_discovery_control(p) if len(p) else p
    ratio = part["vote_ratio"].to_numpy()
    against = np.where(label == 0, ratio > 1, ratio < 1)
    order = np.argsort(p, kind="stable")
    order = order[(against & (adjusted <= alpha))[order]]
    told = ("dataset", "video", "label", "score", "votes_real", "votes_fake", "vote_ratio")
    columns = {
        name: plain_of(part[name])[order] for name in (*told, "vote_p") if name in part.variables
    }
    return pd.DataFrame(
        {**columns, "p": adjusted[order]},
        index=pd.Index(plain_of(part["sample"])[order], name="sample"),
    )


def duplicates(ds: xr.Dataset, *, angle: float | None = None) -> pd.DataFrame:
    """List crops of unrelated clips that are as near as neighbouring frames of one clip.

    Parameters
    ----------
    ds
        Embeddings.
    angle
        In radians, up to which crops count as duplicates; by default the 5 % quantile of the angles
        between each crop and the nearest one of its own clip.

    Returns
    -------
    pandas.DataFrame
        By `sample` and `other`, nearest first: their `angle` in radians, whether they have the
        `same_label`, and `rank`: how many of the crops have a nearer unrelated neighbour than
        this, in per cent. Attributes: `angle`, the threshold.

    Raises
    ------
    InvalidEmbeddings
        If no angle is given, and no clip has two crops to learn it from.
    """
    points = vectors_of(ds)
    count = len(points)
    if angle is None:
        angle = _within(ds, points)
    one, other, found = _pairs_within(points, angle)
    unrelated = ~Kinship(ds, ds, alike=RELATED)(one, other[:, None])[:, 0]
    one, other, found = one[unrelated], other[unrelated], found[unrelated]
    least = np.full(count, np.inf)
    for ends in (one, other):
        np.minimum.at(least, ends, found)
    least.sort()
    order = np.argsort(found, kind="stable")
    one, other, found = one[order], other[order], found[order]
    names = plain_of(ds["sample"])
    labels = plain_of(ds["label"]) if "label" in ds.variables else np.full(count, -1)
    table = pd.DataFrame(
        {
            "angle": found,
            "same_label": labels[one] == labels[other],
            "rank": 100 * np.searchsorted(least, found, side="left") / max(count, 1),
        },
        index=pd.MultiIndex.from_arrays([names[one], names[other]], names=["sample", "other"]),
    )
    table.attrs["angle"] = angle
    return table


def _pairs_within(
    points: NDArray[np.float32], angle: float
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Return all pairs of rows, the smaller first, within an angle, and their angles (P,)."""
    ones, others, cosines = [], [], []
    limit = float(np.cos(min(angle, np.pi))) - 1e-7
    for start in range(0, len(points), BLOCK):
        near = points[start : start + BLOCK] @ points[start:].T
        row, column = np.nonzero(near >= limit)
        later = column > row
        ones.append(row[later] + start)
        others.append(column[later] + start)
        cosines.append(near[row[later], column[later]])
    if not ones:
        return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0)
    found = np.arccos(np.clip(np.concatenate(cosines).astype(np.float64), -1, 1))
    return np.concatenate(ones), np.concatenate(others), found


def medoids(ds: xr.Dataset) -> NDArray[np.int64]:
    """Return for each track (T,) the row of the crop nearest to its mean direction, in order."""
    points = vectors_of(ds).astype(np.float64)
    _, track = np.unique(tracks_of(ds), return_inverse=True)
    sums = np.zeros((int(track.max(initial=-1)) + 1, points.shape[1]))
    np.add.at(sums, track, points)
    near = np.einsum("nd,nd->n", points, sums[track])
    order = np.lexsort((np.arange(len(points)), -near, track))
    _, first = np.unique(track[order], return_index=True)
    return np.sort(order[first])


def _within(ds: xr.Dataset, points: NDArray[np.float32]) -> float:
    """Return how near a crop's own clip usually comes at the least."""
    _, clip = np.unique(tracks_of(ds), return_inverse=True)
    nearest = []
    for one in np.unique(clip):
        rows = np.flatnonzero(clip == one)
        if len(rows) < 2:
            continue
        near = points[rows] @ points[rows].T
        np.fill_diagonal(near, -1)
        nearest.append(np.arccos(np.clip(near.max(axis=1), -1, 1)))
    if not nearest:
        raise InvalidEmbeddings(
            "no clip has two crops, by which one could tell how near duplicates are; give angle= "
            "in radians, such as .05."
        )
    return float(np.quantile(np.concatenate(nearest), QUANTILE))
