"""Is a face unlike all of the reference? Then its score was never validated on its like.

A novel clip is not a forged one: a telephone that the reference does not have makes novel videos,
too. What is asked is whether anything that the reference shows may be said of this clip at all.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from gendkit.errors import InvalidEmbeddings
from gendkit.manifold.parties import Parties, nearest_of, people_of, tracks_of
from gendkit.manifold.schema import attributed, of_each_crop
from gendkit.manifold.store import store_hash

UNLIKE = "unlike the reference; the score is not validated here"
ALPHA = 0.05
MOST = 500
"""The most people whose clips the others are compared with."""


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """What distances are usual between a clip and people that it has nothing to do with.

    Attributes
    ----------
    searched
        (N,) rows of the reference in which neighbours are sought.
    usual
        (C,) angles in radians of one clip each of C other people, ascending.
    k
        Up to which neighbour.
    """

    searched: NDArray[np.int64]
    usual: NDArray[np.float64]
    k: int

    @property
    def least(self) -> float:
        """The smallest p-value that so few clips can give."""
        return 1 / (len(self.usual) + 1)

    def p_value(self, angle: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the share of clips (Q,) at least as far as an angle, with the one in question."""
        beyond = len(self.usual) - np.searchsorted(self.usual, angle, side="left")
        p = (1 + beyond) / (len(self.usual) + 1)
        return np.asarray(np.where(np.isfinite(angle), p, np.nan))


def novelty(
    ds: xr.Dataset,
    reference: xr.Dataset | None = None,
    *,
    k: int = 10,
    alpha: float = ALPHA,
    seed: int = 0,
) -> xr.Dataset:
    """Ask of each clip whether it lies farther from the reference than the reference's own clips.

    The reference's people are split in two. In one half neighbours are sought; of each person of
    the other half, one clip says which distance to it is usual (split conformal prediction). The
    distance of a clip is the median over its crops of the angle to the k-th nearest person, of whom
    the nearest crop counts; crops of the same clip, target clip or person do not, for the clip in
    question and for those of the reference alike. Under exchangeability with them a clip has a
    p-value of at most a with a chance of at most a. The people within a clip (`track`) are asked
    about apart, and their p-values are Holm's.

    Parameters
    ----------
    ds
        Embeddings to ask about.
    reference
        By default `ds` itself: each half of its people is then asked about among the other.
    k
        Up to which person; of fewer, the last one counts.
    alpha
        At which a p-value says `unlike the reference; the score is not validated here`. It is kept
        as an attribute, and maps draw such points hollow.
    seed
        Of the split.

    Returns
    -------
    xarray.Dataset
        `ds` with `novelty` (sample), that distance in radians, and `novelty_p` (sample), both the
        same for all crops of a track; NaN where nobody is left to compare with. The attributes
        `calibration`, how many clips say what is usual, and `least_p`, the smallest p-value that
        they can give: where it is above `alpha`, nothing can be called novel.

    Raises
    ------
    InvalidEmbeddings
        If `k` or `alpha` is impossible, lengths or adapters differ, or the reference shows fewer
        than four people.

    References
    ----------
    Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World, 2005; Papadopoulos et al.,
    Inductive Confidence Machines for Regression, ECML 2002 (the split); Holm, A Simple Sequentially
    Rejective Multiple Test Procedure, 1979.
    """
    if not 0 < alpha < 1:
        raise InvalidEmbeddings(f"alpha is between 0 and 1, got {alpha}.")
    itself = reference is None or reference is ds
    reference = ds if reference is None else reference
    calibration = calibrate(reference, k=k, seed=seed)
    angle, track = clip_angles(ds, reference, calibration.searched, k=k)
    p = calibration.p_value(angle)
    if itself:  # people of the half that is searched are asked about among the others
        other = calibrate(reference, k=k, seed=seed, swapped=True)
        own = np.unique(track[np.isin(np.arange(ds.sizes["sample"]), calibration.searched)])
        away, _ = clip_angles(ds, reference, other.searched, k=k)
        angle[own], p[own] = away[own], other.p_value(away)[own]
    p = _holm(p, _clips(ds, track))
    out = ds.assign(
        novelty=("sample", angle[track].astype(np.float32)),
        novelty_p=("sample", p[track]),
    )
    out["novelty_p"].attrs.update(
        reference_hash=store_hash(reference), k=k, alpha=alpha, seed=seed,
        calibration=len(calibration.usual), least_p=calibration.least, words=UNLIKE,
    )  # fmt: skip
    return attributed(out)


def calibrate(
    reference: xr.Dataset,
    rows: NDArray[np.int64] | None = None,
    *,
    k: int,
    seed: int,
    swapped: bool = False,
) -> Calibration:
    """Split the reference's people, and measure the distances of the ones to the others.

    Parameters
    ----------
    rows
        Which of the reference's crops take part; by default all.
    swapped
        The half that is otherwise measured is searched, and the other one measured.

    Raises
    ------
    InvalidEmbeddings
        If `k` is less than 1, or fewer than four people take part.
    """
    if k < 1:
        raise InvalidEmbeddings(f"k must be at least 1, got {k}.")
    rows = np.arange(reference.sizes["sample"]) if rows is None else rows
    people = people_of(reference)[rows]
    rng = np.random.default_rng(seed)
    names = rng.permutation(np.unique(people))
    if len(names) < 4:
        raise InvalidEmbeddings(
            f"the reference shows {len(names)} people (clips, where people are not known); what is "
            "usual takes four or more, and 38 to call anything novel at .05."
        )
    halves = names[: len(names) // 2], names[len(names) // 2 :]
    held = halves[int(swapped)][:MOST]
    searched = rows[~np.isin(people, halves[int(swapped)])]
    tracks = tracks_of(reference)[rows]
    drawn = {}
    for person in held.tolist():
        own = np.unique(tracks[people == person])
        drawn[person] = own[rng.integers(len(own))]
    asked = rows[np.isin(tracks, list(drawn.values()))]
    angle, _ = clip_angles(reference.isel(sample=asked), reference, searched, k=k)
    return Calibration(searched=searched, usual=np.sort(angle[np.isfinite(angle)]), k=k)


def clip_angles(
    ds: xr.Dataset, reference: xr.Dataset, rows: NDArray[np.int64], *, k: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return each track's distance (T,) to some crops of the reference, and crops' tracks (N,).

    The distance is the median over a track's crops of the angle in radians to the k-th nearest
    person; NaN where nobody is left.
    """
    parties = Parties(people_of(reference)[rows])
    each = np.full(ds.sizes["sample"], np.nan)
    for asked, best in nearest_of(ds, reference, parties, rows):
        ordered = -np.sort(-best, axis=1)
        last = np.minimum(k, np.isfinite(ordered).sum(axis=1)) - 1
        cosine = np.take_along_axis(ordered, np.maximum(last, 0)[:, None], axis=1)[:, 0]
        angle = np.arccos(np.clip(cosine.astype(np.float64), -1, 1))
        each[asked] = np.where(last >= 0, angle, np.nan)
    _, track = np.unique(tracks_of(ds), return_inverse=True)
    middle = np.full(int(track.max(initial=-1)) + 1, np.nan)
    for i in range(len(middle)):
        there = each[track == i]
        there = there[np.isfinite(there)]
        if len(there):
            middle[i] = np.median(there)
    return middle, track


def _clips(ds: xr.Dataset, track: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the clip (T,) of each track."""
    part = ds.drop_vars("track", errors="ignore")
    _, clip = np.unique(tracks_of(part), return_inverse=True)
    of = np.zeros(int(track.max(initial=-1)) + 1, np.int64)
    of[track] = clip
    return of


def _holm(p: NDArray[np.float64], clip: NDArray[np.int64]) -> NDArray[np.float64]:
    """Adjust p-values (T,) for the number of tracks that their clip (T,) has."""
    out = p.copy()
    for one in np.unique(clip):
        rows = np.flatnonzero((clip == one) & np.isfinite(p))
        order = rows[np.argsort(p[rows], kind="stable")]
        factors = np.arange(len(order), 0, -1)
        out[order] = np.minimum(1, np.maximum.accumulate(factors * p[order]))
    return out


def is_novel(ds: xr.Dataset) -> NDArray[np.bool_]:
    """Return which crops (N,) are unlike the reference; none, where nobody asked."""
    if "novelty_p" not in ds.variables:
        return np.zeros(ds.sizes["sample"], np.bool_)
    p = of_each_crop(ds, "novelty_p")
    # A p-value of exactly alpha may come out of a store, or a division, a last bit above it.
    return np.asarray(p.to_numpy() <= float(p.attrs.get("alpha", ALPHA)) * (1 + 1e-6))
