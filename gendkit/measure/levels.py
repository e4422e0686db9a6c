"""From scores of frames to scores of people and of clips, for all clips at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from gendkit.errors import InvalidLabels


def video_level(
    videos: Sequence[str] | NDArray[np.str_], labels: ArrayLike, scores: ArrayLike
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
        If a video has frames of both labels, or if there is not one label and one finite score a
        frame.
    """
    y, s = np.asarray(labels, dtype=np.int64), np.asarray(scores, dtype=np.float64)
    if y.shape != s.shape or y.ndim != 1 or len(videos) != len(y):
        raise InvalidLabels(
            f"{y.shape} labels and {s.shape} scores for {len(videos)} frames; each must be (N,)."
        )
    if not ((y == 0) | (y == 1)).all():
        raise InvalidLabels("labels must be 0 (real) or 1 (fake) here.")
    if not np.isfinite(s).all():
        raise InvalidLabels("a score is not a finite number.")
    number, names = pd.factorize(np.asarray(videos, dtype=object))
    fakes = np.bincount(number, y, minlength=len(names))
    frames = np.bincount(number, minlength=len(names))
    if len(mixed := np.flatnonzero((fakes != 0) & (fakes != frames))):
        raise InvalidLabels(
            f"video {names[mixed[0]]!r} has frames labelled real and frames labelled fake."
        )
    means = pd.Series(s).groupby(number, sort=True).mean().to_numpy()
    return (fakes > 0).astype(np.int64), np.asarray(means, dtype=np.float64)
