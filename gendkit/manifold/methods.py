"""Which known manipulation is a clip nearest to, and how often is that right on another data set?

Method, data set and codec are confounded: a method is usually seen in one data set only, whose
camera and compression are then near, too. So nothing is said without the accuracy on data sets that
were left out, nor without the nearest data set beside it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from gendkit.errors import InvalidEmbeddings
from gendkit.manifold.neighbours import labels_of
from gendkit.manifold.novelty import ALPHA, calibrate, clip_angles
from gendkit.manifold.parties import Parties, among_nearest, named, nearest_of, people_of, tracks_of
from gendkit.manifold.schema import attributed, of_each_crop, text_of
from gendkit.manifold.store import store_hash

NONE = "none of those known"
NOT_SHOWN = ""
MOST = 500
"""The most clips of a data set on which the accuracy is measured."""
Texts = NDArray[np.object_]


@dataclass(frozen=True, kw_only=True)
class Accuracy:
    """How often the likely method was right for fakes of a data set that was left out.

    Attributes
    ----------
    share
        NaN where no method is shown by two data sets.
    chance
        That of always naming the method that is most frequent among these clips.
    refused
        Share that was called `none of those known` instead, though another data set shows them.
    clips, datasets
        On how many it was measured.
    """

    share: float
    chance: float
    refused: float
    clips: int
    datasets: int

    @property
    def known(self) -> bool:
        """Whether there was anything to measure on."""
        return self.clips > 0


def likely_method(
    ds: xr.Dataset,
    reference: xr.Dataset | None = None,
    *,
    k: int = 20,
    alpha: float = ALPHA,
    seed: int = 0,
) -> xr.Dataset:
    """Name the method whose fakes are nearest to a clip, if it were a fake, and the data set.

    The k nearest people (of each method, of each data set) vote as in `gk.votes`, a person once a
    method; the method of which the largest share voted over all crops of a track is the nearest. A
    track that is farther from that method's fakes than they are from each other (conformal p-value
    of at most `alpha`, see `gk.novelty`) is of `none of those known`.

    Parameters
    ----------
    ds
        Embeddings to ask about.
    reference
        With `label`, `method` and `dataset`; by default `ds` itself.
    k
        How many votes.
    alpha, seed
        As for `gk.novelty`.

    Returns
    -------
    xarray.Dataset
        `ds` with `likely_method` and `nearest_dataset` (sample), the same for all crops of a track.
        The attributes of `likely_method` are its `accuracy` for fakes of a data set whose crops
        were left out of the reference, the share that was `refused` (called none of those known),
        the `chance` of always naming the most frequent method, and on how many `accuracy_clips` and
        `accuracy_datasets` that was measured. Where no method is shown by two data sets, nothing
        can be measured, and `likely_method` stays empty. `never_refused` names the methods that too
        few people show for anything to be far from them at `alpha`.

    Raises
    ------
    InvalidEmbeddings
        If `k` is less than 1, lengths or adapters differ, or the reference lacks a variable.

    References
    ----------
    Fix and Hodges, Discriminatory Analysis, 1951 (nearest-neighbour density ratio).
    """
    if k < 1:
        raise InvalidEmbeddings(f"k must be at least 1, got {k}.")
    reference = ds if reference is None else reference
    fakes = labels_of(reference) == 1
    methods, datasets = _texts(reference, "method"), _texts(reference, "dataset")
    accuracy = left_out_accuracy(reference, k=k, alpha=alpha, seed=seed)
    known = np.flatnonzero(fakes & (methods != ""))
    found = np.full(ds.sizes["sample"], NOT_SHOWN, object)
    if accuracy.known:
        found = _nearest(ds, reference, methods, known, k=k)
        found = _refused(ds, reference, found, methods, known, alpha=alpha, seed=seed)
    people = people_of(reference)
    few = [
        method
        for method in sorted(set(methods[known].tolist()))
        if 1 / (len(np.unique(people[known[methods[known] == method]])) // 2 + 1) > alpha
    ]
    rows = np.flatnonzero(datasets != "")
    near = _nearest(ds, reference, datasets, rows, k=k)
    out = ds.assign(likely_method=("sample", found), nearest_dataset=("sample", near))
    out["likely_method"].attrs.update(
        reference_hash=store_hash(reference), k=k, alpha=alpha, accuracy=accuracy.share,
        chance=accuracy.chance, refused=accuracy.refused, never_refused=", ".join(few),
        accuracy_clips=accuracy.clips, accuracy_datasets=accuracy.datasets,
    )  # fmt: skip
    return attributed(out)


def left_out_accuracy(
    reference: xr.Dataset, *, k: int, alpha: float = ALPHA, seed: int = 0
) -> Accuracy:
    """Measure the likely method on fakes of each data set in turn, without that data set.

    Only methods that another data set shows, too, can be right, and only they are counted.
    """
    methods, datasets = _texts(reference, "method"), _texts(reference, "dataset")
    fakes = (labels_of(reference) == 1) & (methods != "")
    tracks = tracks_of(reference)
    rng = np.random.default_rng(seed)
    right: list[bool] = []
    refused: list[bool] = []
    truth: list[str] = []
    asked_of = 0
    for dataset in sorted(set(datasets.tolist()) - {""}):
        others = np.flatnonzero(fakes & (datasets != dataset))
        own = fakes & (datasets == dataset) & np.isin(methods, np.unique(methods[others]))
        names = np.unique(tracks[own])
        names = np.sort(rng.permutation(names)[:MOST])
        if not len(names):
            continue
        asked_of += 1
        rows = np.flatnonzero(own & np.isin(tracks, names))
        part = reference.isel(sample=rows)
        found = _nearest(part, reference, methods, others, k=k)
        found = _refused(part, reference, found, methods, others, alpha=alpha, seed=seed)
        _, first = np.unique(tracks[rows], return_index=True)
        right += (found[first] == methods[rows][first]).tolist()
        refused += (found[first] == NONE).tolist()
        truth += methods[rows][first].tolist()
    counts = np.unique(truth, return_counts=True)[1]
    return Accuracy(
        share=float(np.mean(right)) if right else float("nan"),
        chance=float(counts.max() / len(truth)) if right else float("nan"),
        refused=float(np.mean(refused)) if refused else float("nan"),
        clips=len(right),
        datasets=asked_of,
    )


def _nearest(
    ds: xr.Dataset, reference: xr.Dataset, kinds: Texts, rows: NDArray[np.int64], *, k: int
) -> Texts:
    """Return for each crop (N,) the kind of which the largest share voted over its track."""
    chosen = kinds[rows].astype(str)
    parties = Parties(named(chosen, people_of(reference)[rows]))
    names, kind = np.unique(chosen[parties.one], return_inverse=True)
    cast = np.zeros((ds.sizes["sample"], len(names)))
    may = np.zeros_like(cast)
    for asked, best in nearest_of(ds, reference, parties, rows):
        voted, there = among_nearest(best, k), np.isfinite(best)
        member = (kind[:, None] == np.arange(len(names))).astype(np.float32)
        cast[asked], may[asked] = voted @ member, there @ member
    _, track = np.unique(tracks_of(ds), return_inverse=True)
    totals = np.zeros((2, int(track.max(initial=-1)) + 1, len(names)))
    np.add.at(totals[0], track, cast)
    np.add.at(totals[1], track, may)
    share = np.divide(totals[0], totals[1], out=np.zeros_like(totals[0]), where=totals[1] > 0)
    winner = np.full(len(share), NOT_SHOWN, object)
    if len(names):
        voted_for = share.max(axis=1) > 0
        winner[voted_for] = names[share.argmax(axis=1)[voted_for]]
    return winner[track]


def _refused(
    ds: xr.Dataset,
    reference: xr.Dataset,
    found: Texts,
    methods: Texts,
    known: NDArray[np.int64],
    *,
    alpha: float,
    seed: int,
) -> Texts:
    """Put `none of those known` where a track is far even from the nearest method's fakes."""
    out = found.copy()
    for method in sorted(set(found.tolist()) - {NOT_SHOWN}):
        rows = known[methods[known] == method]
        if len(np.unique(people_of(reference)[rows])) < 4:
            continue  # too few to say what is usual
        calibration = calibrate(reference, rows, k=1, seed=seed)
        chosen = np.flatnonzero(found == method)
        part = ds.isel(sample=chosen)
        angle, track = clip_angles(part, reference, calibration.searched, k=1)
        out[chosen[(calibration.p_value(angle) <= alpha)[track]]] = NONE
    return out


def _texts(reference: xr.Dataset, name: str) -> Texts:
    return text_of(of_each_crop(reference, name)).astype(object)
