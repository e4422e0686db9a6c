"""Labels (N,), 0 real and 1 fake, and a score beside each, as arrays that fit, or an error."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gendkit.errors import InvalidLabels

Labels = NDArray[np.int64]
Scores = NDArray[np.float64]


def checked_labels(labels: ArrayLike) -> Labels:
    """Return labels (N,) as whole numbers.

    Raises
    ------
    InvalidLabels
        If they are not (N,), or one is neither 0 nor 1.
    """
    y = np.asarray(labels)
    if y.ndim != 1:
        raise InvalidLabels(f"{y.shape} labels; they must be (N,).")
    known = (y == 0) | (y == 1)
    if not known.all():
        raise InvalidLabels(f"labels must be 0 (real) or 1 (fake) here, not {y[~known][0]}.")
    return y.astype(np.int64)


def checked_pairs(
    labels: ArrayLike, scores: ArrayLike, *, nan: bool = False, infinite: bool = False
) -> tuple[Labels, Scores]:
    """Return labels and as many scores (N,).

    Parameters
    ----------
    labels, scores
        (N,) each.
    nan, infinite
        Whether a score may be NaN, or infinite.

    Raises
    ------
    InvalidLabels
        As `checked_labels`, if their numbers differ, or for a score that may not be.
    """
    shape = np.shape(labels)
    try:
        s = np.asarray(scores, dtype=np.float64)
    except (TypeError, ValueError):
        raise InvalidLabels("the scores are no numbers; expected one a label, (N,).") from None
    if shape != s.shape or len(shape) != 1:
        raise InvalidLabels(f"{shape} labels for {s.shape} scores; both must be (N,).")
    y = checked_labels(labels)
    if (wrong := np.isnan(s) & (not nan) | np.isinf(s) & (not infinite)).any():
        raise InvalidLabels(f"a score is {s[wrong][0]:g}, which is not a finite number.")
    return y, s
