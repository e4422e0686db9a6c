"""The variance of AUROCs of the same clips after DeLong, where every clip is a witness of its own.

Its formula takes reals and fakes as independent of each other. Clips of one person are not, nor are
a real and the fakes made of it: there, only resampling by components is right, which is
`gendkit.measure.resampled.paired_difference`.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gendkit.errors import InvalidArgument, InvalidLabels, UndefinedMetric
from gendkit.markup import card, number
from gendkit.measure.intervals import Interval
from gendkit.measure.labels import checked_labels

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class DeLong:
    """What `delong` gives.

    Attributes
    ----------
    aurocs
        (D,) of each detector.
    covariance
        (D, D) of these.
    level
        Coverage of the intervals.
    """

    aurocs: Floats
    covariance: Floats
    level: float

    def __repr__(self) -> str:
        return f"DeLong({', '.join(number(a) for a in self.aurocs)})"

    def _repr_html_(self) -> str:
        facts = {f"AUROC {k}": self.interval(k)._ends for k in range(len(self.aurocs))}
        return card(repr(self), facts)

    def interval(self, detector: int = 0) -> Interval:
        """Return a detector's AUROC with its interval, cut off at 0 and 1."""
        found = self._interval(float(self.aurocs[detector]), self.covariance[detector, detector])
        return Interval(value=found.value, low=max(found.low, 0.0), high=min(found.high, 1.0))

    def difference(self, first: int = 0, second: int = 1) -> Interval:
        """Return by how much the second detector's AUROC is above the first's.

        Raises
        ------
        InvalidArgument
            If there is no such detector.
        """
        variance = self._variance(first, second)
        return self._interval(float(self.aurocs[second] - self.aurocs[first]), variance)

    def p_value(self, first: int = 0, second: int = 1) -> float:
        """Return how probable a difference as large is (two-sided) where there is none; or NaN."""
        variance = self._variance(first, second)
        if not variance > 0:
            return math.nan
        z = (self.aurocs[second] - self.aurocs[first]) / math.sqrt(variance)
        return math.erfc(abs(z) / math.sqrt(2))

    def _variance(self, first: int, second: int) -> float:
        c, count = self.covariance, len(self.aurocs)
        if not (-count <= first < count and -count <= second < count):
            raise InvalidArgument(
                f"there are {count} detectors, from 0; asked for are {first} and {second}."
            )
        # Rounding can leave less than nothing of what is alike.
        return max(float(c[first, first] + c[second, second] - 2 * c[first, second]), 0.0)

    def _interval(self, value: float, variance: float) -> Interval:
        from scipy.stats import norm

        half = norm.ppf((1 + self.level) / 2) * math.sqrt(variance)
        return Interval(value=value, low=float(value - half), high=float(value + half))


def delong(
    labels: ArrayLike, scores: ArrayLike, components: ArrayLike, *, level: float = 0.95
) -> DeLong:
    """Return AUROCs of detectors on the same clips with their covariance.

    Parameters
    ----------
    labels
        (N,) of clips: 0 or 1.
    scores
        (N,), or (D, N) of several detectors.
    components
        (N,) connected component of each clip, of which none may have two.
    level
        Coverage of the intervals.

    Raises
    ------
    InvalidArgument
        If a component has several clips.
    InvalidLabels
        If shapes do not fit, or a class has fewer than two clips.

    Warns
    -----
    UndefinedMetric
        If a detector parts the classes, or takes them for one: its variance is then 0, which says
        nothing about how sure its AUROC is.

    References
    ----------
    DeLong, DeLong and Clarke-Pearson, Comparing the areas under two or more correlated receiver
    operating characteristic curves, Biometrics 44, 1988. Computed by ranks: Sun and Xu, Fast
    implementation of DeLong's algorithm, IEEE Signal Processing Letters 21, 2014.
    """
    from scipy.stats import rankdata

    y, s = np.asarray(labels), np.atleast_2d(np.asarray(scores, dtype=np.float64))
    group = np.asarray(components)
    if y.ndim != 1 or s.ndim != 2 or s.shape[1] != len(y) or group.shape != y.shape:
        raise InvalidLabels(
            f"{y.shape} labels and {group.shape} components for scores {np.shape(scores)}; "
            "expected (N,), (N,), and (N,) or (detectors, N)."
        )
    y = checked_labels(y)
    if not np.isfinite(s).all():
        raise InvalidLabels("a score is not a finite number.")
    if not 0 < level < 1:
        raise InvalidArgument(f"level is {level!r}; expected a share between 0 and 1.")
    names, clips = np.unique(group, return_counts=True)
    if (clips > 1).any():
        most = int(clips.argmax())
        raise InvalidArgument(
            f"component {names[most]} has {clips[most]} clips, and {int((clips > 1).sum())} of "
            f"{len(clips)} components have several; DeLong's variance is that of independent "
            "clips. Resample components: gendkit.measure.resampled.paired_difference."
        )
    fakes, reals = s[:, y == 1], s[:, y == 0]
    m, n = fakes.shape[1], reals.shape[1]
    if min(m, n) < 2:
        raise InvalidLabels(f"{n} real and {m} fake clips; two of each are needed for a variance.")
    both = rankdata(np.concatenate([fakes, reals], axis=1), axis=1)
    # The share of reals below each fake, and of fakes above each real; ties count one half.
    of_fakes = (both[:, :m] - rankdata(fakes, axis=1)) / n
    of_reals = 1 - (both[:, m:] - rankdata(reals, axis=1)) / m
    covariance = np.atleast_2d(np.cov(of_fakes)) / m + np.atleast_2d(np.cov(of_reals)) / n
    if (flat := np.flatnonzero(np.diag(covariance) <= 0)).size:
        warnings.warn(
            f"detector {flat[0]} has a variance of 0, since no order of its scores is in doubt: "
            "the interval of its AUROC has no width, and says nothing.",
            UndefinedMetric,
            stacklevel=2,
        )
    return DeLong(aurocs=of_fakes.mean(axis=1), covariance=covariance, level=level)
