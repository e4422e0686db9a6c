"""From a score to a likelihood ratio: how many times as likely it is of fakes as of real clips.

Labels (N,), 0 real and 1 fake, and scores (N,) from 0 to 1 enter, one a clip; log10 of the ratio
leaves. Unlike a probability it knows nothing of how many fakes there are, and how many were trained
on: whoever has to judge brings that. It is about clips like those that it was fitted on.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from pydantic import ConfigDict
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from gendkit.errors import InvalidArgument, InvalidLabels
from gendkit.measure.calibration import STRICT, logit, two_classes
from gendkit.measure.intervals import class_components, rarer_components
from gendkit.measure.labels import checked_pairs

LEAST = 10
"""Groups of clips of either class below which nothing is estimated: a ratio above 10 is then out of
reach whatever the scores are."""
FOLDS = 10
STEP = 0.01
"""Of log10, in which bounds are sought."""
SCALE = (
    (math.log10(2), "weak"),
    (1.0, "moderate"),
    (2.0, "moderately strong"),
    (3.0, "strong"),
    (4.0, "very strong"),
    (6.0, "extremely strong"),
)
"""From which log10 a ratio supports the one over the other how strongly; below the first not.

ENFSI Guideline for Evaluative Reporting in Forensic Science, 2015, table of verbal equivalents."""
SCALE_SOURCE = "ENFSI Guideline for Evaluative Reporting in Forensic Science (2015)"
NO_SUPPORT = "no support for either"


@dataclass(frozen=True, kw_only=True)
class LikelihoodRatio:
    """A straight line from the logit of a score to log10 of the likelihood ratio, with bounds.

    Attributes
    ----------
    intercept, slope
        Of the line; the slope is never negative.
    low, high
        Bounds of log10 of the ratio, at most and at least 0: what the calibration clips support.
    reals, fakes
        How many independent groups of clips of either class there were.
    """

    intercept: float
    slope: float
    low: float
    high: float
    reals: int
    fakes: int
    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    def __call__(self, scores: ArrayLike) -> NDArray[np.float64]:
        """Return log10 of the ratio (N,) of scores (N,); above 0 it supports fake over real."""
        return np.asarray(np.clip(self.line(scores), self.low, self.high), np.float64)

    def line(self, scores: ArrayLike) -> NDArray[np.float64]:
        """Return the same without the bounds."""
        return self.intercept + self.slope * logit(scores)

    def at_bound(self, scores: ArrayLike) -> NDArray[np.bool_]:
        """Return of which scores (N,) more was said than the calibration clips support."""
        line = self.line(scores)
        return np.asarray((line < self.low) | (line > self.high), np.bool_)


def fit_likelihood(
    labels: ArrayLike,
    scores: ArrayLike,
    components: ArrayLike | None = None,
    *,
    folds: int = FOLDS,
    seed: int = 0,
) -> LikelihoodRatio:
    """Fit a likelihood ratio to clips, groups of which hang together.

    By logistic regression in which either class has the same weight, so that no prior is left in
    it, and each group's clips of a class count as one. To each class the weight of one group is
    added that lies, spread like all clips, on the wrong side: this draws the ratio towards 1, the
    more the fewer groups there are. The bounds are `elub` of ratios that were fitted without the
    group that they are of.

    Parameters
    ----------
    labels, scores
        (N,) of clips, such as the mean P(fake) over each clip's frames.
    components
        (N,) which clips hang together; by default none do.
    folds
        Into how many parts the groups are cut to find the bounds.
    seed
        Of the cut.

    Raises
    ------
    InvalidLabels
        As `two_classes`, and if either class has fewer than `LEAST` groups.
    InvalidArgument
        If there are less than two parts.

    References
    ----------
    Morrison and Poh, Avoiding overstating the strength of forensic evidence: Shrunk likelihood
    ratios/Bayes factors, Science & Justice 58, 2018 (the weight on the wrong side).
    """
    y, s = two_classes(labels, scores)
    groups = grouped(components, len(y))
    reals, fakes = enough(y, groups)
    intercept, slope = _line(y, s, groups)
    llr = cross_fitted(y, s, groups, folds=folds, seed=seed)
    low, high = elub(y, llr, shared_weights(y, groups))
    return LikelihoodRatio(
        intercept=intercept, slope=slope, low=low, high=high, reals=reals, fakes=fakes
    )


def cross_fitted(
    labels: ArrayLike,
    scores: ArrayLike,
    components: ArrayLike | None = None,
    *,
    folds: int = FOLDS,
    seed: int = 0,
) -> NDArray[np.float64]:
    """Return log10 of each clip's ratio (N,) by a line that was fitted without its group.

    Raises
    ------
    InvalidLabels
        As `two_classes`, and if a class has one group: without it nothing can be fitted.
    """
    y, s = two_classes(labels, scores)
    groups = grouped(components, len(y))
    if rarer_components(y, groups) < 2:
        raise InvalidLabels(
            "all clips of a class hang together; to fit without a group takes two groups of either."
        )
    out = np.empty(len(y))
    for held in fold_masks(y, groups, folds=folds, seed=seed):
        intercept, slope = _line(y[~held], s[~held], groups[~held])
        out[held] = intercept + slope * logit(s[held])
    return out


def fold_masks(
    labels: NDArray[np.int64], groups: NDArray[np.int64], *, folds: int = FOLDS, seed: int = 0
) -> list[NDArray[np.bool_]]:
    """Cut groups of clips into parts; return the clips (N,) of each.

    Groups with clips of both classes, and of either, are spread evenly, so that no class is left
    without.

    Raises
    ------
    InvalidArgument
        If there are less than two parts.
    """
    if folds < 2:
        raise InvalidArgument(f"folds is {folds}; what is held out takes 2 or more.")
    names, number = np.unique(groups, return_inverse=True)
    kinds = np.zeros(len(names), np.int64)
    for label in (0, 1):
        kinds[np.unique(number[labels == label])] += label + 1
    shuffled = np.random.default_rng(seed).permutation(len(names))
    order = shuffled[np.argsort(kinds[shuffled], kind="stable")]
    part = np.empty(len(names), np.int64)
    part[order] = np.arange(len(names)) % folds
    return [part[number] == fold for fold in range(min(folds, len(names)))]


def elub(
    labels: ArrayLike, llr: ArrayLike, weights: ArrayLike | None = None
) -> tuple[float, float]:
    """Return between which log10 ratios it is better to use the ratios than none.

    To either class one clip is added that is as misleading as can be. Where deciding by the ratio
    at a threshold has then a higher cost than deciding by the threshold alone, ratios are no longer
    supported by clips but by extrapolation. Of N reals and M fakes, no bound is beyond
    -log10(M + 1) and log10(N + 1).

    Parameters
    ----------
    labels, llr
        (N,) labels and log10 of ratios, which were not fitted on the same clips.
    weights
        (N,) of the clips; by default 1.

    References
    ----------
    Vergeer, van Es, de Jongh, Alberink and Stoel, Numerical likelihood ratios outputted by LR
    systems are often based on extrapolation: when to stop extrapolating?, Science & Justice 56,
    2016.
    """
    y, ratio = checked_pairs(labels, llr)
    w = np.ones(len(y)) if weights is None else np.asarray(weights, np.float64)
    reals, fakes = (float(w[y == label].sum()) for label in (0, 1))
    least = max(float(ratio.min(initial=0)), -math.log10(fakes + 1))
    most = min(float(ratio.max(initial=0)), math.log10(reals + 1))
    steps = np.arange(math.floor(least / STEP), math.ceil(most / STEP) + 1)
    at = np.asarray(steps * STEP, np.float64)  # an exact 0 is among them
    beyond_real = _weight_above(ratio[y == 0], w[y == 0], at)
    beyond_fake = _weight_above(ratio[y == 1], w[y == 1], at)
    cost = 1 - beyond_fake / (fakes + 1) + 10**at * (beyond_real + 1) / (reals + 1)
    worse = cost > np.minimum(1, 10**at) * (1 + 1e-12)
    low = at[(at <= 0) & worse].max(initial=least - STEP) + STEP
    high = at[(at >= 0) & worse].min(initial=most + STEP) - STEP
    return float(np.clip(low, least, 0)), float(np.clip(high, 0, most))


def cllr(labels: ArrayLike, llr: ArrayLike) -> float:
    """Return the cost in bits of using log10 ratios (N,), either class weighing the same.

    0 is perfect, 1 is what a ratio of 1 for every clip costs, and more is worse than saying
    nothing. NaN if a class is missing.

    References
    ----------
    Brümmer and du Preez, Application-independent evaluation of speaker detection, Computer Speech
    and Language 20, 2006.
    """
    y, ratio = checked_pairs(labels, llr, infinite=True)
    natural = ratio * math.log(10)
    if not (y == 0).any() or not (y == 1).any():
        return float("nan")
    real = np.logaddexp(0, natural[y == 0]).mean()
    fake = np.logaddexp(0, -natural[y == 1]).mean()
    return float((real + fake) / (2 * math.log(2)))


def cllr_min(labels: ArrayLike, llr: ArrayLike) -> float:
    """Return what `cllr` would be after the best rising transform of the ratios (N,).

    What is left is for want of discrimination; `cllr` less this is for want of calibration. It is
    fitted on the same clips, so that few of them give too low a value.
    """
    y, ratio = checked_pairs(labels, llr)
    if not (y == 0).any() or not (y == 1).any():
        return float("nan")
    share = np.where(y == 1, 0.5 / (y == 1).sum(), 0.5 / (y == 0).sum())
    said = IsotonicRegression(y_min=0, y_max=1).fit_transform(ratio, y, sample_weight=share)
    with np.errstate(divide="ignore"):
        best = np.log10(said) - np.log10(1 - said)
    return cllr(y, best)


def tippett(labels: ArrayLike, llr: ArrayLike) -> pd.DataFrame:
    """Return which shares of fakes and of reals have at least a log10 ratio.

    Returns
    -------
    pandas.DataFrame
        A row a ratio that occurs, rising: `log10_lr`, and the shares `fake` and `real`.
    """
    y, ratio = checked_pairs(labels, llr)
    at = np.unique(ratio)
    shares = {}
    for label, name in ((1, "fake"), (0, "real")):
        own = np.sort(ratio[y == label])
        above = len(own) - np.searchsorted(own, at, side="left")
        shares[name] = above / len(own) if len(own) else np.full(len(at), np.nan)
    return pd.DataFrame({"log10_lr": at, **shares})


def support(llr: float) -> str:
    """Return a log10 ratio in words, such as `moderate support for fake over real`.

    After the scale of ENFSI (`SCALE_SOURCE`); it calls ratios from 1 to 2 by no name, which are
    here, as at 1, no support for either.
    """
    words = [word for least, word in SCALE if abs(llr) >= least - 1e-12]
    if not words:
        return NO_SUPPORT
    one, other = ("fake", "real") if llr > 0 else ("real", "fake")
    return f"{words[-1]} support for {one} over {other}"


def grouped(components: ArrayLike | None, count: int) -> NDArray[np.int64]:
    """Number the group (N,) of each clip; each is its own if nothing is known."""
    groups = np.arange(count) if components is None else np.asarray(components)
    if groups.shape != (count,):
        raise InvalidLabels(f"{groups.shape} components for {count} clips; expected ({count},).")
    return np.asarray(np.unique(groups, return_inverse=True)[1], np.int64)


def enough(labels: NDArray[np.int64], groups: NDArray[np.int64]) -> tuple[int, int]:
    """Return how many groups have reals, and fakes.

    Raises
    ------
    InvalidLabels
        If either has too few for anything to be estimated.
    """
    reals, fakes = class_components(labels, groups)
    if min(reals, fakes) < LEAST:
        raise InvalidLabels(
            f"not estimable ({reals} independent groups of real clips, {fakes} of fakes): clips "
            "that share a person or a target clip are one group, and at least "
            f"{LEAST} of either class are needed; give more clips of other people."
        )
    return reals, fakes


def shared_weights(labels: NDArray[np.int64], groups: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return weights (N,) with which each group's clips of a class together count as one."""
    both = np.stack([groups, labels])
    _, number, count = np.unique(both, axis=1, return_inverse=True, return_counts=True)
    return np.asarray(1 / count[number.reshape(-1)], np.float64)


def _line(
    y: NDArray[np.int64], s: NDArray[np.float64], groups: NDArray[np.int64]
) -> tuple[float, float]:
    """Return intercept and slope, in log10, of the logit of a score."""
    weights = shared_weights(y, groups)
    total = np.array([weights[y == label].sum() for label in (0, 1)])
    weights *= total.min() / total[y]
    x = logit(s)
    middle, spread = float(np.average(x, weights=weights)), float(x.std())
    if spread == 0:
        return 0.0, 0.0
    wrong = weights / total.min()
    scaled = np.tile((x - middle) / spread, 2)[:, None]
    fitted = LogisticRegression(C=np.inf, max_iter=1000, tol=1e-8).fit(
        scaled, np.concatenate([y, 1 - y]), sample_weight=np.concatenate([weights, wrong])
    )
    slope = float(fitted.coef_[0, 0]) / spread / math.log(10)
    if slope <= 0:  # fakes do not score higher: the score says nothing
        return 0.0, 0.0
    return float(fitted.intercept_[0]) / math.log(10) - slope * middle, slope


def _weight_above(
    ratio: NDArray[np.float64], weights: NDArray[np.float64], at: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the weight (T,) of ratios that are above thresholds (T,)."""
    order = np.argsort(ratio)
    reached = np.concatenate([[0.0], np.cumsum(weights[order])])
    below = np.searchsorted(ratio[order], at, side="right")
    return np.asarray(reached[-1] - reached[below], np.float64)
