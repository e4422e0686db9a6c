"""Evidence from neighbours: what they say, each with the chance that it comes about by chance."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from gendkit.errors import InvalidEmbeddings
from gendkit.manifold.neighbours import labels_of
from gendkit.manifold.parties import Parties, among_nearest, named, nearest_of, people_of
from gendkit.manifold.schema import attributed
from gendkit.manifold.store import store_hash


def votes(ds: xr.Dataset, reference: xr.Dataset | None = None, *, k: int = 20) -> xr.Dataset:
    """Let the nearest people vote whether a crop is near to fakes or to reals.

    A person (a clip, where people are not known) has one vote a class, that of the nearest crop, so
    that neither thirty frames of a clip nor thirty clips of a person count more than one. Crops of
    the same clip, target clip or person as the query do not vote. As there may be more fakes than
    reals, or fewer, shares are compared and not numbers.

    Parameters
    ----------
    ds
        Embeddings to ask about.
    reference
        Embeddings with `label`; by default `ds` itself. Crops without a label do not vote.
    k
        How many votes are counted, nearest first.

    Returns
    -------
    xarray.Dataset
        `ds` with `votes_real` and `votes_fake` (sample), `vote_ratio` (sample): the share of all
        possible fake votes that were cast over that of real ones (infinite without a real vote, NaN
        without any), and `vote_p` (sample): two-sided, the chance of votes at least so uneven if
        classes had nothing to do with nearness: labels permuted among the votes that are possible,
        whose number of fakes is hypergeometric. It is of one crop, not corrected for how many are
        looked at, and says nothing of why: classes may differ in data set or codec.

    Raises
    ------
    InvalidEmbeddings
        If `k` is less than 1, lengths or adapters differ, or the reference has no labels.

    References
    ----------
    Fix and Hodges, Discriminatory Analysis, 1951 (nearest-neighbour density ratio); Fisher, The
    Design of Experiments, 1935 (the permutation distribution).
    """
    if k < 1:
        raise InvalidEmbeddings(f"k must be at least 1, got {k}.")
    reference = ds if reference is None else reference
    labels = labels_of(reference)
    known = np.flatnonzero(labels >= 0)
    voters = Parties(named(labels.astype(str), people_of(reference))[known])
    fakes = labels[known][voters.one] == 1
    counts = np.zeros((ds.sizes["sample"], 4), np.int64)
    for rows, best in nearest_of(ds, reference, voters, known):
        counts[rows] = _counted(best, fakes, k)
    fake, real, all_fake, all_real = counts.T
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = (fake / all_fake) / (real / all_real)
    out = ds.assign(
        votes_real=("sample", real),
        votes_fake=("sample", fake),
        vote_ratio=("sample", ratio.astype(np.float32)),
        vote_p=("sample", _chance(fake, real, all_fake, all_real).astype(np.float32)),
    )
    out["vote_ratio"].attrs.update(reference_hash=store_hash(reference), k=k)
    return attributed(out)


def _counted(best: NDArray[np.float32], fakes: NDArray[np.bool_], k: int) -> NDArray[np.int64]:
    """Return fake and real votes among the k nearest, and of all that are possible (Q, 4).

    Similarities (Q, P) are -inf where a party may not vote.
    """
    may, cast = np.isfinite(best), among_nearest(best, k)
    return np.stack(
        [
            (cast & fakes).sum(axis=1), (cast & ~fakes).sum(axis=1),
            (may & fakes).sum(axis=1), (may & ~fakes).sum(axis=1),
        ],
        axis=1,
    )  # fmt: skip


def _chance(
    fake: NDArray[np.int64],
    real: NDArray[np.int64],
    all_fake: NDArray[np.int64],
    all_real: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Return twice the smaller tail of the hypergeometric distribution, at most 1."""
    from scipy.stats import hypergeom

    drawn = hypergeom(all_fake + all_real, all_fake, fake + real)
    tails = np.minimum(drawn.cdf(fake), drawn.sf(fake - 1))
    chance = np.minimum(1.0, 2 * tails)
    return np.asarray(np.where(fake + real > 0, chance, np.nan))
