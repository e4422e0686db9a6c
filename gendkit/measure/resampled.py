"""Metrics of clips with intervals over connected components and seeds; differences of detectors."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gendkit.errors import InvalidLabels, UndefinedMetric
from gendkit.measure.intervals import COMPONENT, Counts, Interval, crossed, rarer_components
from gendkit.measure.labels import checked_labels
from gendkit.measure.metrics import (
    Ranked,
    auroc,
    average_precision,
    equal_error,
    macro_ap,
)

Metric = Callable[[NDArray[np.int64], NDArray[np.float64]], float]
"""From labels (N,) and scores (N,) of a resample to a number; NaN where undefined."""
METRICS: Mapping[str, Metric] = MappingProxyType(
    {
        "auroc": auroc,
        "average_precision": average_precision,
        "macro_ap": macro_ap,
        "eer": lambda labels, scores: equal_error(labels, scores)[0],
    }
)


def metric_intervals(
    labels: ArrayLike,
    scores: ArrayLike,
    components: ArrayLike,
    *,
    metrics: Mapping[str, Metric] = METRICS,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> dict[str, Interval]:
    """Return metrics of one detector with their intervals, all of the same resamples.

    Parameters
    ----------
    labels
        (N,) of clips: 0 or 1.
    scores
        (N,), or (S, N) of a detector that was trained with S seeds, whose metrics are averaged.
    components
        (N,) connected component of each clip; see `gendkit.measure.intervals.joint_components`.
    metrics
        By name, such as ``{"tpr": lambda y, s: tpr_at_fpr(y, s, 0.05)}``.
    resamples, level, seed
        Of `gendkit.measure.intervals.crossed`.

    Raises
    ------
    InvalidLabels
        If shapes do not fit, there is no clip, or a score is not finite.

    Warns
    -----
    UndefinedMetric
        If a class is missing, or all its clips are of one component: nothing then shows how it
        varies, and there is no interval.
    """
    y, number, s = _clips(labels, components, scores)
    measured = {name: _measured(metric, y, s, number) for name, metric in metrics.items()}

    def statistic(counts: Counts) -> Mapping[str, float]:
        return {name: measure(counts) for name, measure in measured.items()}

    sizes = {"component": _count(number), "seed": len(s)}
    own = dict.fromkeys(measured, _own(y, number))
    return crossed(statistic, sizes, own=own, resamples=resamples, level=level, seed=seed)


def paired_difference(
    labels: ArrayLike,
    first: ArrayLike,
    second: ArrayLike,
    components: ArrayLike,
    *,
    metric: Metric = auroc,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> dict[str, Interval]:
    """Compare two detectors on the same clips, by the same resamples for both.

    Parameters
    ----------
    labels
        (N,) of clips: 0 or 1.
    first, second
        Scores (N,), or (S, N) of a detector that was trained with S seeds, whose metrics are
        averaged. Where both have seeds, the k-th of one and of the other are drawn together.
    components
        (N,) connected component of each clip; see `gendkit.measure.intervals.joint_components`.
    metric
        What is compared, the AUROC by default; such as ``lambda y, s: tpr_at_fpr(y, s, 0.05)``.
    resamples, level, seed
        Of `gendkit.measure.intervals.crossed`.

    Returns
    -------
    dict
        `first`, `second` and `difference` (second - first), each an `Interval`.

    Raises
    ------
    InvalidLabels
        If shapes or numbers of seeds do not fit, or a score is not finite: both detectors have to
        score the same clips.

    Warns
    -----
    UndefinedMetric
        As `metric_intervals`.
    """
    y, number, one_s, other_s = _clips(labels, components, first, second)
    seeds = {len(s) for s, given in ((one_s, first), (other_s, second)) if np.ndim(given) == 2}
    if len(seeds) > 1:
        raise InvalidLabels(
            f"scores are {np.shape(first)} and {np.shape(second)}; expected (N,), or (seeds, N) "
            "with as many seeds in both."
        )
    sizes = {"component": _count(number), "seed": max(seeds, default=1)}

    measured = [_measured(metric, y, s, number) for s in (one_s, other_s)]

    def statistic(counts: Counts) -> Mapping[str, float]:
        one, other = (measure(counts) for measure in measured)
        return {"first": one, "second": other, "difference": other - one}

    own = dict.fromkeys(("first", "second", "difference"), _own(y, number))
    return crossed(statistic, sizes, own=own, resamples=resamples, level=level, seed=seed)


def _measured(
    metric: Metric, labels: NDArray[np.int64], scores: NDArray[np.float64],
    number: NDArray[np.int64],
) -> Callable[[Counts], float]:  # fmt: skip
    """Return the mean of a metric over seeds as a function of how often each level was drawn."""
    ranked = Ranked(labels, scores)
    place = np.arange(len(labels))

    def measure(counts: Counts) -> float:
        clips = counts["component"][number]
        # Scores of one seed do not vary with the seeds of the other detector.
        seeds = counts["seed"] if len(scores) > 1 else np.ones(1)
        if metric is auroc:
            return float(np.average(ranked.auroc(clips), weights=seeds))
        rows, there = np.repeat(place, clips), np.flatnonzero(seeds)
        values = [metric(labels[rows], scores[k, rows]) for k in there]
        return float(np.average(values, weights=seeds[there]))

    return measure


def _own(labels: NDArray[np.int64], number: NDArray[np.int64]) -> dict[str, int]:
    """Return of how many components a number of both classes is; warn where it has no interval."""
    rarer = rarer_components(labels, number)
    why = ""
    if len(set(labels.tolist())) < 2:
        why = f"all {len(labels)} clips are of one class"
    elif rarer < 2 <= _count(number):
        why = "all clips of a class hang together"
    if why:
        warnings.warn(f"{why}: no interval can be estimated.", UndefinedMetric, stacklevel=3)
    return {COMPONENT: rarer}


def _clips(labels: ArrayLike, components: ArrayLike, *scores: ArrayLike) -> tuple[Any, ...]:
    """Return labels (N,), the number of each clip's component (N,), and scores (seeds, N)."""
    y, group = checked_labels(labels), np.asarray(components)
    if not len(y):
        raise InvalidLabels("there is no clip.")
    if group.shape != y.shape:
        raise InvalidLabels(f"{group.shape} components for {y.shape} labels; both must be (N,).")
    found = [np.atleast_2d(np.asarray(s, dtype=np.float64)) for s in scores]
    for s, given in zip(found, scores, strict=True):
        if s.ndim != 2 or s.shape[1] != len(y) or not len(s):
            raise InvalidLabels(
                f"scores {np.shape(given)} for {len(y)} clips; expected (N,) or (seeds, N)."
            )
    return y, np.unique(group, return_inverse=True)[1], *found


def _count(number: NDArray[np.int64]) -> int:
    return int(number.max(initial=-1)) + 1
