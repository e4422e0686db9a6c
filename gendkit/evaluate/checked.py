"""What came of a calibration on a set: clips and what was said of each enter, rates leave."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import binomtest

from gendkit.evaluate.population import Checked
from gendkit.measure.calibration import reliability
from gendkit.measure.conformal import FAKE, REAL, decision_rates
from gendkit.measure.intervals import Counts, Interval, crossed
from gendkit.measure.likelihood import cllr, cllr_min
from gendkit.measure.metrics import auroc

METHODS = ("score", "temperature", "isotonic")
RESAMPLES = 1000


def checked(clips: pd.DataFrame, *, name: str, own: bool, seed: int, linked: int = 0) -> Checked:
    """Count what was said of the clips of one set.

    Parameters
    ----------
    clips
        As of `gendkit.evaluate.calibrate.Calibrated.clips`.
    name, own
        Of the set; whether it is that of the calibration.
    seed
        Of the resampling.
    linked
        How many clips hang together with those that the calibration was fitted on.
    """
    label = clips["label"].to_numpy()
    llr, said = clips["log10_lr"].to_numpy(), clips["decision"].to_numpy().astype(str)
    inside = (clips["reasons"] == "").to_numpy()
    rates = {"cllr": _number(cllr(label, llr))}
    rates |= {key: _number(value) for key, value in decision_rates(label, said).items()}
    found = _intervals(clips, label, llr, said, seed=seed)
    groups = [clips["component"][label == one].nunique() for one in (0, 1)]
    of_class = {"fake_of_real": groups[0], "real_of_fake": groups[1]}
    ends = {key: _ends(value, of_class.get(key)) for key, value in found.items()}
    outside = None if own else ~inside
    return Checked(
        name=name,
        own=own,
        linked=linked,
        reals=int((label == 0).sum()),
        fakes=int((label == 1).sum()),
        groups=int(clips["component"].nunique()),
        auroc=_number(auroc(label, clips["score"].to_numpy())),
        cllr=rates["cllr"],
        cllr_interval=ends["cllr"],
        cllr_min=_number(cllr_min(label, llr)),
        calibration_error=_errors(clips),
        fake_of_real=rates["fake_of_real"],
        fake_of_real_interval=ends["fake_of_real"],
        real_of_fake=rates["real_of_fake"],
        real_of_fake_interval=ends["real_of_fake"],
        cannot_tell_of_real=rates["cannot_tell_of_real"],
        cannot_tell_of_fake=rates["cannot_tell_of_fake"],
        outside_of_real=_share(outside, label == 0),
        outside_of_fake=_share(outside, label == 1),
        inside_fake_of_real=_share(said == FAKE, (label == 0) & inside),
        inside_real_of_fake=_share(said == REAL, (label == 1) & inside),
    )


def _intervals(
    clips: pd.DataFrame,
    label: NDArray[np.int64],
    llr: NDArray[np.float64],
    said: NDArray[np.str_],
    *,
    seed: int,
) -> dict[str, Interval]:
    """Resample groups of people; each number is a ratio of sums over groups."""
    _, group = np.unique(clips["component"].to_numpy(), return_inverse=True)
    real, fake = (label == 0).astype(float), (label == 1).astype(float)
    towards = np.where(label == 0, llr, -llr) * math.log(10)
    cost = np.logaddexp(0, towards) / math.log(2)
    each = (real, fake, real * cost, fake * cost, real * (said == FAKE), fake * (said == REAL))
    sums = np.stack([np.bincount(group, weights=values) for values in each], axis=1)

    def ratios(counts: Counts) -> Mapping[str, float]:
        reals, fakes, of_real, of_fake, called_fake, called_real = counts["component"] @ sums
        with np.errstate(invalid="ignore"):
            return {
                "cllr": (of_real / reals + of_fake / fakes) / 2,
                "fake_of_real": called_fake / reals,
                "real_of_fake": called_real / fakes,
            }

    groups = [int((sums[:, place] > 0).sum()) for place in (0, 1)]  # with reals, with fakes
    of = {"cllr": min(groups), "fake_of_real": groups[0], "real_of_fake": groups[1]}
    return crossed(
        ratios, {"component": len(sums)}, resamples=RESAMPLES, seed=seed,
        own={name: {"component": n} for name, n in of.items()},
    )  # fmt: skip


def _errors(clips: pd.DataFrame) -> dict[str, float]:
    """Return how far what is said is from what is found, by method; of one class nothing."""
    label = clips["label"].to_numpy()
    if label.min() == label.max():
        return {}
    tables = {name: reliability(label, clips[name].to_numpy()) for name in METHODS}
    return {
        name: float(np.average((table["said"] - table["found"]).abs(), weights=table["clips"]))
        for name, table in tables.items()
    }


def _ends(found: Interval, groups: int | None) -> tuple[float, float] | None:
    """Return an interval's ends; None of one group.

    Of a rate of 0 or 1, which no resampling widens, they are those of Clopper and Pearson.
    """
    if not np.isfinite(found.value):
        return None
    if groups and found.value in (0, 1):
        exact = binomtest(round(found.value * groups), groups).proportion_ci(0.95, method="exact")
        return float(exact.low), float(exact.high)
    known = np.isfinite(found.low + found.high)
    return (float(found.low), float(found.high)) if known else None


def _share(which: NDArray[np.bool_] | None, among: NDArray[np.bool_]) -> float | None:
    """Return the share of some clips that are among others; None of none."""
    return None if which is None or not among.any() else float(which[among].mean())


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
