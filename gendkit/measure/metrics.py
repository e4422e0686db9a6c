"""Metrics of detection, from labels (N,), 0 real and 1 fake, and scores (N,), high for fake."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata
from sklearn.metrics import average_precision_score

from gendkit.errors import InvalidLabels


def auroc(labels: ArrayLike, scores: ArrayLike) -> float:
    """Area under the ROC curve; ties count one half. NaN if a class is missing.

    By the rank sum of Mann and Whitney, which is what makes the bootstrap fast.
    """
    y, s = _checked(labels, scores)
    fakes = int(y.sum())
    reals = len(y) - fakes
    if not fakes or not reals:
        return float("nan")
    ranks = rankdata(s)
    return float((ranks[y == 1].sum() - fakes * (fakes + 1) / 2) / (fakes * reals))


def macro_ap(labels: ArrayLike, scores: ArrayLike) -> float:
    """Average precision, the mean of taking either class as positive. NaN if one is missing."""
    y, s = _checked(labels, scores)
    if len(set(y.tolist())) < 2:
        return float("nan")
    return float((average_precision_score(y, s) + average_precision_score(1 - y, -s)) / 2)


def video_level(
    videos: Sequence[str], labels: ArrayLike, scores: ArrayLike
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Average the scores of each video's frames.

    Sums are compensated (Kahan), so that means that are equal tie.

    Returns
    -------
    labels, scores
        (V,) in order of first appearance.

    Raises
    ------
    InvalidLabels
        If a video has frames of both labels.
    """
    y, s = _checked(labels, scores)
    table = pd.DataFrame({"video": list(videos), "label": y, "score": s})
    frames = table.groupby("video", sort=False)
    low, high = frames["label"].min(), frames["label"].max()
    if (low != high).any():
        raise InvalidLabels(
            f"video {(low != high).idxmax()!r} has frames labelled real and frames labelled fake."
        )
    return low.to_numpy(), frames["score"].mean().to_numpy()


METRICS = {"auroc": auroc, "macro-ap": macro_ap}


def _checked(labels: ArrayLike, scores: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    y, s = np.asarray(labels, dtype=np.int64), np.asarray(scores, dtype=np.float64)
    if y.shape != s.shape or y.ndim != 1:
        raise InvalidLabels(f"{y.shape} labels for {s.shape} scores; both must be (N,).")
    if not np.isin(y, (0, 1)).all():
        raise InvalidLabels("labels must be 0 (real) or 1 (fake) here.")
    if not np.isfinite(s).all():
        raise InvalidLabels("a score is not a finite number.")
    return y, s
