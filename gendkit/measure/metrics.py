"""Metrics of detection, from labels (N,), 0 real and 1 fake, and scores (N,), high for fake.

One item is a frame, a person of a clip or a clip: `gendkit.measure.levels` goes from one to the
other. `summary` computes all of them at once.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata, wasserstein_distance
from sklearn.metrics import (
    average_precision_score,
    balanced_accuracy_score,
    brier_score_loss,
    f1_score,
    roc_curve,
)

from gendkit.errors import InvalidArgument, InvalidLabels, UndefinedMetric
from gendkit.measure.labels import Labels, Scores, checked_labels, checked_pairs
from gendkit.measure.levels import video_level as video_level
from gendkit.measure.summaries import Separation, Summary
from gendkit.measure.thresholds import (
    LEVEL,
    independent,
    plain_threshold,
    share_bound,
    threshold_at,
)

FPRS = (0.001, 0.01, 0.05)
"""The rates of reals called fake at which the share of fakes found is stated."""
BINS = 15
_NAN = float("nan")


def auroc(labels: ArrayLike, scores: ArrayLike) -> float:
    """Area under the ROC curve; ties count one half. NaN if a class is missing.

    By the rank sum of Mann and Whitney, which is what makes the bootstrap fast.
    """
    y, s = checked_pairs(labels, scores)
    fakes = int(y.sum())
    reals = len(y) - fakes
    if not fakes or not reals:
        return _NAN
    ranks = rankdata(s)
    return float((ranks[y == 1].sum() - fakes * (fakes + 1) / 2) / (fakes * reals))


def weighted_auroc(labels: ArrayLike, scores: ArrayLike, weights: ArrayLike) -> Scores:
    """Area under the ROC curve of items that count differently; ties count one half.

    With the counts of a bootstrap as weights it is the AUROC of the resample. For many resamples of
    the same scores, `Ranked` sorts them only once.

    Parameters
    ----------
    labels
        (N,) 0 or 1.
    scores
        (..., N), such as of several detectors and seeds.
    weights
        (N,), not negative.

    Returns
    -------
    NDArray
        (...,): a number without a dimension for scores (N,). NaN if a class has no weight.

    Raises
    ------
    InvalidLabels
        If shapes do not fit, a label is neither 0 nor 1, or a score is not finite.
    InvalidArgument
        For a weight that is negative or not finite.
    """
    return Ranked(labels, scores).auroc(weights)


class Ranked:
    """Scores (..., N) in order, of which AUROCs are computed for many weights.

    Parameters
    ----------
    labels, scores
        As for `weighted_auroc`.
    """

    def __init__(self, labels: ArrayLike, scores: ArrayLike) -> None:
        s = np.asarray(scores, dtype=np.float64)
        y = checked_labels(labels)
        if not s.ndim or s.shape[-1] != len(y):
            raise InvalidLabels(f"{y.shape} labels for {s.shape} scores; expected (N,), (..., N).")
        if not np.isfinite(s).all():
            raise InvalidLabels("a score is not a finite number.")
        self._shape, self._fake = s.shape[:-1], y == 1
        flat = s.reshape(math.prod(self._shape), len(y))
        self._order = np.argsort(flat, axis=1)
        ordered = np.take_along_axis(flat, self._order, axis=1)
        # Where the items that are equal to each begin and end in that order.
        place = np.broadcast_to(np.arange(len(y)), flat.shape)
        steps = ordered[:, 1:] != ordered[:, :-1]
        edge = np.ones((len(flat), min(len(y), 1)), dtype=bool)
        first, last = np.hstack([edge, steps]), np.hstack([steps, edge])
        self._first = np.maximum.accumulate(np.where(first, place, 0), axis=1)
        end = np.where(last, place, len(y))[:, ::-1]
        self._after = np.minimum.accumulate(end, axis=1)[:, ::-1] + 1

    def auroc(self, weights: ArrayLike) -> Scores:
        """Return the AUROC (...,) of each row of scores for weights (N,)."""
        w = np.asarray(weights, dtype=np.float64)
        if w.shape != self._fake.shape:
            raise InvalidLabels(f"{w.shape} weights for {self._fake.shape} labels; expected (N,).")
        if not (np.isfinite(w) & (w >= 0)).all():
            raise InvalidArgument("a weight is negative or not finite; counts are 0 or more.")
        fakes, reals = np.where(self._fake, w, 0.0), np.where(self._fake, 0.0, w)
        below = np.zeros((len(self._order), len(w) + 1))
        np.cumsum(reals[self._order], axis=1, out=below[:, 1:])
        halves = np.take_along_axis(below, self._first, axis=1)
        halves += np.take_along_axis(below, self._after, axis=1)
        pairs = fakes.sum() * reals.sum()
        won = (fakes[self._order] * halves).sum(axis=1) / 2
        return np.asarray(won / pairs if pairs else np.full(len(won), _NAN)).reshape(self._shape)


def macro_ap(labels: ArrayLike, scores: ArrayLike) -> float:
    """Average precision, the mean of taking either class as positive. NaN if one is missing."""
    y, s = checked_pairs(labels, scores)
    if not _both(y):
        return _NAN
    return float((average_precision_score(y, s) + average_precision_score(1 - y, -s)) / 2)


def average_precision(labels: ArrayLike, scores: ArrayLike) -> float:
    """Average precision with fake as the positive class. NaN if a class is missing."""
    y, s = checked_pairs(labels, scores)
    return float(average_precision_score(y, s)) if _both(y) else _NAN


def equal_error(labels: ArrayLike, scores: ArrayLike) -> tuple[float, float]:
    """Return the equal error rate and its threshold; NaN if a class is missing.

    Where the ROC curve, drawn from corner to corner, meets FPR = 1 - TPR; the threshold is found on
    the same line. Where the curve rises straight there, so that many thresholds have this FPR, it
    is the one where the rise begins, unless at a corner both errors are equal. These are the
    reference's, to rounding, but where the curve meets the line before its first corner: there the
    reference's threshold is infinite, and this is the highest score. Called fake is what scores it
    or more, as always along an ROC curve.
    """
    y, s = checked_pairs(labels, scores)
    if not _both(y):
        return _NAN, _NAN
    fpr, tpr, thresholds = roc_curve(y, s)
    thresholds[0] = thresholds[1]
    fakes = int(y.sum())
    reals = len(y) - fakes
    # In whole numbers, so that a corner on the line is found there.
    gap = np.rint(fpr * reals) * fakes + np.rint(tpr * fakes) * reals - float(fakes * reals)
    after = int(np.searchsorted(gap, 0))
    before = after - 1
    if gap[after] == 0:
        return float(fpr[after]), float(thresholds[after])
    part = -gap[before] / (gap[after] - gap[before])
    value = fpr[before] + part * (fpr[after] - fpr[before])
    if fpr[after] == fpr[before]:
        return float(value), float(thresholds[before])
    return float(value), float(thresholds[before] + part * (thresholds[after] - thresholds[before]))


def tpr_at_fpr(labels: ArrayLike, scores: ArrayLike, fpr: float) -> float:
    """Return the highest share of fakes found while at most a share `fpr` of reals is called fake.

    By the step of the ROC curve, without interpolation. NaN if a class is missing. With fewer than
    1 / fpr reals it is the share that scores above all of them, which says nothing about `fpr`:
    `summary` has NaN there.
    """
    y, s = checked_pairs(labels, scores)
    if not _both(y):
        return _NAN
    return float((s[y == 1] > threshold_at(s[y == 0], fpr)).mean())


def separation(labels: ArrayLike, scores: ArrayLike) -> Separation:
    """Return Wasserstein-1 distances of P(fake); see `Separation`. NaN for a missing class."""
    y, s = checked_pairs(labels, scores)
    _check_probabilities(s)
    reals, fakes = s[y == 0], s[y == 1]
    apart = float(wasserstein_distance(reals, fakes)) if _both(y) else _NAN
    sure = [float(wasserstein_distance(c, 1 - c)) if len(c) else _NAN for c in (reals, fakes)]
    return Separation(apart, apart, *sure)


def calibration_error(labels: ArrayLike, scores: ArrayLike, *, bins: int = BINS) -> float:
    """Return the expected calibration error of P(fake), over bins of equal width; NaN without any.

    The mean over all items of the distance between mean score and share of fakes in the item's bin.
    This is about P(fake), as for a two-class problem, and not about the confidence in the predicted
    class (Guo et al., ICML 2017), which hides that reals and fakes err in opposite directions.

    References
    ----------
    Naeini, Cooper and Hauskrecht, Obtaining well calibrated probabilities using Bayesian binning,
    AAAI 2015.
    """
    y, s = checked_pairs(labels, scores)
    _check_probabilities(s)
    if bins < 1:
        raise InvalidArgument(f"bins is {bins}; expected a whole number from 1.")
    if not len(y):
        return _NAN
    place = np.minimum((s * bins).astype(np.int64), bins - 1)
    off = np.bincount(place, s, minlength=bins) - np.bincount(place, y, minlength=bins)
    return float(np.abs(off).sum() / len(y))


METRICS = {"auroc": auroc, "macro-ap": macro_ap}


def summary(
    labels: ArrayLike,
    p_fake: ArrayLike,
    *,
    threshold: float = 0.5,
    fprs: Sequence[float] = FPRS,
    bins: int = BINS,
    components: ArrayLike | None = None,
    level: float = LEVEL,
) -> Summary:
    """Return all metrics of scores at once.

    What is not defined is NaN, and a warning says why: a missing class, scores that are all equal,
    scores that are NaN (they are counted, and left out).

    Parameters
    ----------
    labels
        (N,) 0 real, 1 fake: of frames, people or clips; see `gendkit.measure.levels.at_level`.
    p_fake
        (N,) scores in [0, 1], or NaN where there is none.
    threshold
        Called fake is what scores above it. It is stated, so it should have been fixed elsewhere.
    fprs
        Rates at which the share of fakes found is stated.
    bins
        Of the calibration error.
    components
        (N,) connected component of each: the bounds on the rates then count items of a component
        as one; see `gendkit.measure.thresholds.independent`. None: each is a witness of its own.
        For intervals of the metrics there is `gendkit.measure.resampled.metric_intervals`.
    level
        How sure the bounds are.

    Returns
    -------
    Summary
        A mapping, whose keys are its fields.

    Raises
    ------
    InvalidLabels
        For labels other than 0 and 1, and for shapes that do not fit.
    InvalidArgument
        For a score outside [0, 1], and for an impossible rate or threshold.

    Warns
    -----
    UndefinedMetric
        Once, with all that is not defined.
    """
    y, s = checked_pairs(labels, p_fake, nan=True)
    there = ~np.isnan(s)
    group = np.arange(len(y)) if components is None else np.asarray(components)
    if group.shape != y.shape:
        raise InvalidLabels(f"{group.shape} components for {y.shape} labels; both must be (N,).")
    y, s, group = y[there], s[there], group[there]
    _check_probabilities(s)
    if not np.isfinite(threshold):
        raise InvalidArgument(f"threshold is {threshold}; expected a number, such as 0.5.")
    reals, fakes, called = s[y == 0], s[y == 1], s > threshold
    both = _both(y)
    eer, eer_threshold = equal_error(y, s)
    of_reals = None if components is None else group[y == 0]
    fixed = {
        float(f): plain_threshold(reals, fpr=f, components=of_reals, level=level) for f in fprs
    }

    def bound(exceeding: NDArray[np.bool_]) -> float:
        return share_bound(int(exceeding.sum()), len(exceeding), of_reals, level=level)

    found = Summary(
        n_real=len(reals), n_fake=len(fakes), n_unscored=int((~there).sum()),
        independent_reals=float(len(reals)) if of_reals is None else independent(of_reals),
        auroc=auroc(y, s), average_precision=average_precision(y, s), macro_ap=macro_ap(y, s),
        eer=eer, eer_threshold=eer_threshold,
        eer_fpr_bound=bound(reals >= eer_threshold) if both else _NAN,
        tpr_at_fpr={f: float((fakes > t.value).mean()) if t.value is not None and len(fakes)
                    else _NAN for f, t in fixed.items()},
        thresholds=fixed, threshold=float(threshold),
        fpr=float((reals > threshold).mean()) if len(reals) else _NAN,
        fpr_bound=bound(reals > threshold),
        balanced_accuracy=float(balanced_accuracy_score(y, called)) if both else _NAN,
        f1=float(f1_score(y, called, zero_division=0)) if both else _NAN,
        w1=separation(y, s), ece=calibration_error(y, s, bins=bins),
        brier=float(brier_score_loss(y, s, pos_label=1)) if len(y) else _NAN,
        level=level, warnings=tuple(_undefined(y, s, int((~there).sum()))),
    )  # fmt: skip
    if found.warnings:
        warnings.warn(f"{'; '.join(found.warnings)}.", UndefinedMetric, stacklevel=2)
    return found


def _undefined(y: Labels, s: Scores, missing: int) -> list[str]:
    said = []
    if missing:
        said.append(f"{missing:,} of {missing + len(s):,} scores are NaN and left out")
    if not len(s):
        return [*said, "there is no score, so nothing is defined"]
    if not _both(y):
        kind, other = ("real", "fake") if y[0] == 0 else ("fake", "real")
        said.append(
            f"all {len(y):,} are {kind}" if len(y) > 1 else f"there is one score, of a {kind}"
        )
        said[-1] += f" and none is {other}, so nothing that compares the classes is defined"
    elif s.min() == s.max():
        said.append(f"all {len(s):,} scores are {s[0]:g}, so no order and no threshold is in them")
    return said


def _both(labels: Labels) -> bool:
    return bool(len(labels)) and 0 < int(labels.sum()) < len(labels)


def _check_probabilities(scores: Scores) -> None:
    if len(scores) and not (scores.min() >= 0 and scores.max() <= 1):
        wrong = scores[(scores < 0) | (scores > 1)][0]
        raise InvalidArgument(f"a score is {wrong:g}; P(fake) lies between 0 and 1.")
