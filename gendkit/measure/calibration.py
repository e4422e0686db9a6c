"""From a score to the share of fakes among clips of that score, in a set that is named.

Labels (N,), 0 real and 1 fake, and scores (N,) from 0 to 1 enter, one a clip. What leaves holds for
a set with the same share of fakes alone: where that is not known, a likelihood ratio is what can be
said (`gendkit.measure.likelihood`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from pydantic import ConfigDict
from scipy.optimize import minimize_scalar
from scipy.special import expit
from scipy.stats import binomtest
from sklearn.isotonic import IsotonicRegression

from gendkit.errors import InvalidLabels
from gendkit.measure.labels import Labels, Scores, checked_pairs

STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
"""How a fitted value is read back from JSON: nothing is guessed, nothing is ignored."""
EDGE = 1e-6
"""How near to 0 or 1 a score can be told: a float32 softmax knows no more."""
COLDEST, HOTTEST = 0.02, 50.0


@dataclass(frozen=True, kw_only=True)
class Temperature:
    """Divides the logit of a score by a number, which keeps 1/2 where it is.

    References
    ----------
    Guo, Pleiss, Sun and Weinberger, On Calibration of Modern Neural Networks, ICML 2017.
    """

    value: float
    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    def __call__(self, scores: ArrayLike) -> NDArray[np.float64]:
        """Return the share of fakes (N,) among clips of these scores (N,)."""
        return np.asarray(expit(logit(scores) / self.value), np.float64)


@dataclass(frozen=True, kw_only=True)
class Isotonic:
    """A staircase from scores to shares that never falls; between its points a straight line.

    Attributes
    ----------
    scores, shares
        (K,) its points; beyond the first and the last it stays level.

    References
    ----------
    Zadrozny and Elkan, Transforming Classifier Scores into Accurate Multiclass Probability
    Estimates, KDD 2002.
    """

    scores: tuple[float, ...]
    shares: tuple[float, ...]
    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    def __call__(self, scores: ArrayLike) -> NDArray[np.float64]:
        """Return the share of fakes (N,) among clips of these scores (N,)."""
        given = np.asarray(scores, np.float64)
        return np.asarray(np.interp(given, self.scores, self.shares), np.float64)


def fit_temperature(labels: ArrayLike, scores: ArrayLike) -> Temperature:
    """Fit the temperature under which labels are most likely.

    Raises
    ------
    InvalidLabels
        As `two_classes`.
    """
    y, s = two_classes(labels, scores)
    sign, x = 2 * y - 1, logit(s)

    def loss(log_temperature: float) -> float:
        return float(np.logaddexp(0, -sign * x / np.exp(log_temperature)).mean())

    found = minimize_scalar(loss, bounds=(np.log(COLDEST), np.log(HOTTEST)), method="bounded")
    return Temperature(value=float(np.exp(found.x)))


def fit_isotonic(labels: ArrayLike, scores: ArrayLike) -> Isotonic:
    """Fit the rising staircase that is nearest to the labels.

    Raises
    ------
    InvalidLabels
        As `two_classes`.
    """
    y, s = two_classes(labels, scores)
    fitted = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(s, y)
    return Isotonic(
        scores=tuple(fitted.X_thresholds_.tolist()), shares=tuple(fitted.y_thresholds_.tolist())
    )


def reliability(labels: ArrayLike, shares: ArrayLike, *, bins: int = 10) -> pd.DataFrame:
    """Return how many clips were fakes, of those of which about that was said.

    Bins hold about equally many clips; clips of which the same is said are never parted.

    Returns
    -------
    pandas.DataFrame
        A row a bin: `said`, the mean share that was said; `found`, the share of fakes; `low` and
        `high`, its 95 % interval by Clopper and Pearson, as if clips were independent; `clips`.
    """
    y, p = two_classes(labels, shares)
    edges = np.quantile(p, np.linspace(0, 1, bins + 1)[1:-1])
    number = np.searchsorted(edges, p, side="right")
    rows = []
    for one in np.unique(number):
        own = number == one
        n, fakes = int(own.sum()), int(y[own].sum())
        low, high = binomtest(fakes, n).proportion_ci(0.95, method="exact")
        rows.append((float(p[own].mean()), fakes / n, float(low), float(high), n))
    return pd.DataFrame(rows, columns=["said", "found", "low", "high", "clips"])


def logit(scores: ArrayLike) -> NDArray[np.float64]:
    """Return the log odds (N,) of scores (N,), of which none is nearer to 0 or 1 than `EDGE`."""
    s = np.clip(np.asarray(scores, np.float64), EDGE, 1 - EDGE)
    return np.asarray(np.log(s) - np.log1p(-s), np.float64)


def two_classes(labels: ArrayLike, scores: ArrayLike) -> tuple[Labels, Scores]:
    """Return labels and scores as (N,) arrays.

    Raises
    ------
    InvalidLabels
        If they are not (N,), a label is neither 0 nor 1, a score is no number from 0 to 1, or a
        class is missing.
    """
    y, s = checked_pairs(labels, scores)
    if not ((s >= 0) & (s <= 1)).all():
        raise InvalidLabels("a score is no number from 0 to 1.")
    if len(set(y.tolist())) < 2:
        raise InvalidLabels(
            f"all {len(y)} clips are of one class; both reals and fakes are needed."
        )
    return y, s
