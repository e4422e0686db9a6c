"""How embeddings lie on the sphere: spread, dimension, hubs, and how far classes are apart.

Each measure has its paper. They describe the embeddings that are given; what is found on those that
were trained on says nothing about others.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from gendkit.errors import InvalidEmbeddings
from gendkit.manifold.index import graph, vectors_of
from gendkit.manifold.parties import people_of
from gendkit.manifold.schema import of_each_crop, text_of
from gendkit.manifold.sphere import Floats, concentration, geodesic, mean_direction
from gendkit.measure.intervals import Interval, bootstrap

MOST = 5000
"""The most points of a group that pairs are made of."""
T = 2.0
"""Of uniformity, as in training."""
HUB_K = 10
WHOLE = "all"


def geometry(
    ds: xr.Dataset, by: Sequence[str] = ("label",), *, most: int = MOST, seed: int = 0
) -> pd.DataFrame:
    """Describe all embeddings, and those of each group.

    Parameters
    ----------
    ds
        N embeddings.
    by
        Variables with one value a sample, such as `label`, `method` and `dataset`.
    most
        Uniformity, intrinsic dimension and hubness look at pairs, for which so many points at most
        are drawn from a group; the column `drawn` says how many.
    seed
        Of what is drawn.

    Returns
    -------
    pandas.DataFrame
        One row a group, by `variable` and `value`, with `count`, `drawn`, and

        - `alignment`: mean squared distance of two points; 0 to 4;
        - `uniformity`: logarithm of the mean of exp(-2 |a - b|^2); more negative is more even;
        - `resultant`: length of the mean; `concentration`: that of a von Mises-Fisher distribution;
        - `effective_rank`: of the centred embeddings;
        - `intrinsic_dimension`: by the ratio of the distances to the two nearest;
        - `hubness`: skewness of how often a point is among the ten nearest of others.

        NaN where there are too few points.

    Raises
    ------
    InvalidEmbeddings
        If a vector is not of unit length, or there is no such variable.

    References
    ----------
    Wang and Isola, ICML 2020 (alignment, uniformity); Mardia and Jupp, Directional Statistics, 2000
    (resultant, concentration); Roy and Vetterli, The effective rank, EUSIPCO 2007; Facco et al.,
    Estimating the intrinsic dimension of datasets by a minimal neighborhood information, Scientific
    Reports 2017; Radovanovic et al., Hubs in Space, JMLR 2010.
    """
    points = vectors_of(ds)
    groups = [(WHOLE, "", np.ones(len(points), np.bool_))]
    for name in by:
        values = text_of(of_each_crop(ds, name))
        groups += [(name, value, values == value) for value in sorted(set(values.tolist()))]
    rng = np.random.default_rng(seed)
    rows = [
        {"variable": name, "value": value, **_described(points[of], most, rng)}
        for name, value, of in groups
    ]
    return pd.DataFrame(rows).set_index(["variable", "value"])


def class_angle(
    ds: xr.Dataset,
    *,
    variable: str = "label",
    values: tuple[Any, Any] = (0, 1),
    resamples: int = 1000,
    seed: int = 0,
) -> Interval:
    """Return the angle in radians between the mean directions of two groups.

    The interval resamples people, or clips where people are not known.

    Parameters
    ----------
    ds
        Embeddings.
    variable, values
        What tells the groups apart; by default reals and fakes.
    resamples, seed
        Of the bootstrap.

    Raises
    ------
    InvalidEmbeddings
        If there is no such variable, or a group is empty.

    References
    ----------
    Mardia and Jupp, Directional Statistics, 2000 (mean direction); Field and Welsh, Bootstrapping
    clustered data, JRSS B 2007.
    """
    points, column = vectors_of(ds).astype(np.float64), text_of(of_each_crop(ds, variable))
    masks = [column == str(value) for value in values]
    for value, mask in zip(values, masks, strict=True):
        if not mask.any():
            raise InvalidEmbeddings(f"no crop has {variable} {value!r}; there is no angle to it.")
    people, member = np.unique(people_of(ds), return_inverse=True)
    sums = np.zeros((2, len(people), points.shape[1]))
    for which, mask in enumerate(masks):
        np.add.at(sums[which], member[mask], points[mask])
    both = [np.unique(member[mask]) for mask in masks]

    def angle(rows: NDArray[np.int64]) -> dict[str, float]:
        if not all(np.isin(rows, some).any() for some in both):
            return {"angle": float("nan")}
        one, other = (part[rows].sum(axis=0) for part in sums)
        lengths = np.linalg.norm(one), np.linalg.norm(other)
        return {"angle": float(geodesic(one / lengths[0], other / lengths[1]))}

    names = [str(person) for person in people]
    return bootstrap(angle, names, resamples=resamples, seed=seed)["angle"]


def _described(points: NDArray[np.float32], most: int, rng: np.random.Generator) -> dict[str, Any]:
    count = len(points)
    drawn = points
    if count > most:
        drawn = points[np.sort(rng.choice(count, size=most, replace=False))]
    whole = points.astype(np.float64)
    resultant = float(np.linalg.norm(whole.mean(axis=0)))
    try:
        kappa = concentration(mean_direction(whole)[1], points.shape[1])
    except InvalidEmbeddings:  # they cancel out
        kappa = 0.0
    return {
        "count": count,
        "drawn": len(drawn),
        "alignment": _alignment(resultant, count),
        "uniformity": _uniformity(drawn),
        "resultant": resultant,
        "concentration": kappa if count > 1 else float("nan"),
        "effective_rank": effective_rank(whole),
        "intrinsic_dimension": intrinsic_dimension(drawn),
        "hubness": hubness(drawn),
    }


def _alignment(resultant: float, count: int) -> float:
    """Mean squared distance of two of N points, by the length of their mean."""
    if count < 2:
        return float("nan")
    return max(0.0, 2 * count * (1 - resultant**2) / (count - 1))


def _uniformity(points: NDArray[np.float32]) -> float:
    count = len(points)
    if count < 2:
        return float("nan")
    total, wide = 0.0, points.astype(np.float64)
    for start in range(0, count, 512):
        near = np.clip(wide[start : start + 512] @ wide.T, -1, 1)
        total += float(np.exp(-2 * T * (1 - near)).sum())
    own = float(np.exp(-2 * T * (1 - np.clip(np.sum(wide * wide, axis=1), -1, 1))).sum())
    return float(np.log((total - own) / (count * (count - 1))))


def effective_rank(points: NDArray[Any]) -> float:
    """Return the exponential of the entropy of singular values of centred points (N, D).

    References
    ----------
    Roy and Vetterli, The effective rank: a measure of effective dimensionality, EUSIPCO 2007.
    """
    if len(points) < 2:
        return float("nan")
    centred: Floats = points - points.mean(axis=0)
    gram = centred.T @ centred if len(points) > points.shape[1] else centred @ centred.T
    values = np.sqrt(np.clip(np.linalg.eigvalsh(gram), 0, None))
    if not values.sum():
        return float("nan")
    share = values[values > values.max() * 1e-7] / values.sum()
    return float(np.exp(-np.sum(share * np.log(share))))


def intrinsic_dimension(points: NDArray[Any]) -> float:
    """Return the dimension (TwoNN) of points (N, D); copies of a point are counted once.

    References
    ----------
    Facco et al., Scientific Reports 2017; computed by scikit-dimension.
    """
    import skdim

    alone = np.unique(points, axis=0)
    if len(alone) < 20:
        return float("nan")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return float(skdim.id.TwoNN().fit(alone).dimension_)


def hubness(points: NDArray[np.float32], *, k: int = HUB_K) -> float:
    """Return the skewness of how often each point is among the k nearest of the others.

    References
    ----------
    Radovanovic, Nanopoulos and Ivanovic, Hubs in Space, JMLR 2010.
    """
    from scipy.stats import skew

    if len(points) <= k + 1:
        return float("nan")
    rows, _ = graph(points, k + 1)
    counts = np.bincount(rows[:, 1:].ravel(), minlength=len(points))
    return float(skew(counts)) if counts.std() else 0.0
