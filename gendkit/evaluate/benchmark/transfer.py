"""What a threshold that was fixed on one data set does on another.

Labels and scores of each data set enter, a Dataset leaves: thresholds, and the rates that each of
them has on every set. A detector whose AUROC is high everywhere may still need another threshold
for each set, which nobody has who meets a new one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from gendkit.errors import InvalidArgument, InvalidLabels
from gendkit.measure.labels import checked_pairs
from gendkit.measure.thresholds import plain_threshold

FPRS = (0.01, 0.05)
Set = tuple[ArrayLike, ArrayLike] | tuple[ArrayLike, ArrayLike, ArrayLike]
NONE = ""
"""The worst set where there is none."""


def threshold_transfer(sets: Mapping[str, Set], *, fprs: Sequence[float] = FPRS) -> xr.Dataset:
    """Apply the threshold of each data set to every other.

    Parameters
    ----------
    sets
        By name, labels (N,), 0 real and 1 fake, and scores (N,), one a clip, and where it is known
        the connected component (N,) of each. A set may lack a class: without reals it gives no
        threshold, and has no false positives.
    fprs
        Shares of a set's reals that may exceed its threshold.

    Returns
    -------
    xarray.Dataset
        - `threshold` (rate, source): NaN where a set has fewer than 1 / rate reals;
        - `bound` (rate, source): the source's true rate is at most this, one-sided 95 %
          (Clopper-Pearson), where clips of a component count as one; without components, as if
          all were independent;
        - `fpr`, `tpr` (rate, source, target): shares of the target's reals and fakes that score
          above the source's threshold;
        - `worst` (rate, source): the other set with the highest FPR, empty if there is none;
        - `reals`, `fakes` (target).

    Raises
    ------
    InvalidLabels
        If labels are not 0 and 1, scores are not finite, or their shapes differ.
    InvalidArgument
        If there is no set, or for an impossible rate.
    """
    if not sets:
        raise InvalidArgument("there is no data set between which a threshold could be moved.")
    names, parts = list(sets), [_classes(name, *given) for name, given in sets.items()]
    found = [
        [plain_threshold(reals, fpr=fpr, components=of) for reals, _, of in parts] for fpr in fprs
    ]
    threshold = np.array([[_number(t.value) for t in row] for row in found])
    classes = {"fpr": [reals for reals, _, _ in parts], "tpr": [fakes for _, fakes, _ in parts]}
    above = {
        rate: np.array([[[_above(scores, t) for scores in of] for t in row] for row in threshold])
        for rate, of in classes.items()
    }
    pair = ("rate", "source", "target")
    return xr.Dataset(
        {
            "threshold": (pair[:2], threshold),
            "bound": (pair[:2], np.array([[_number(t.bound) for t in row] for row in found])),
            "fpr": (pair, above["fpr"]),
            "tpr": (pair, above["tpr"]),
            "worst": (pair[:2], worst(above["fpr"], names)),
            "reals": ("target", [len(reals) for reals in classes["fpr"]]),
            "fakes": ("target", [len(fakes) for fakes in classes["tpr"]]),
        },
        coords={"rate": list(fprs), "source": texts(names), "target": texts(names)},
    )


def worst(fpr: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Return which other set has the highest FPR, (..., source) of (..., source, target)."""
    others = np.where(np.eye(len(names), dtype=bool), np.nan, fpr)
    known = np.isfinite(others)
    place = np.where(known, others, -1.0).argmax(axis=-1)
    return np.where(known.any(axis=-1), texts(names)[place], NONE).astype(object)


def _classes(
    name: str, labels: ArrayLike, scores: ArrayLike, components: ArrayLike | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Return scores of reals and of fakes, and the components of the reals."""
    try:
        y, s = checked_pairs(labels, scores)
    except InvalidLabels as error:
        raise InvalidLabels(f"{name}: {error}") from None
    of = None if components is None else np.asarray(components)
    if of is not None and of.shape != y.shape:
        raise InvalidLabels(f"{name}: {of.shape} components for {y.shape} labels; both are (N,).")
    return s[y == 0], s[y == 1], None if of is None else of[y == 0]


def _above(scores: np.ndarray, threshold: float) -> float:
    if not len(scores) or np.isnan(threshold):
        return float("nan")
    return float((scores > threshold).mean())


def _number(value: float | None) -> float:
    return float("nan") if value is None else value


def texts(names: Sequence[str]) -> np.ndarray:
    """Return names (N,) as texts of any length."""
    return np.asarray(names, dtype=object)
