"""All metrics of one set of scores as one value, which says in words what it cannot state."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

from gendkit.markup import card, number
from gendkit.measure.thresholds import Threshold


class Separation(NamedTuple):
    """Wasserstein-1 distances, 0 to 1, in the reference's order.

    How far the scores of reals and of fakes lie apart (the same, seen from either class), and how
    far those of a class lie from their own complement 1 - P(fake): 0 where a detector does not
    decide, 1 where it is sure. Whether it is right is no matter to the confidence.
    """

    separation_real: float
    separation_fake: float
    confidence_real: float
    confidence_fake: float


@dataclass(frozen=True, kw_only=True)
class Summary(Mapping[str, Any]):
    """What `summary` gives: a mapping from the names of its fields to their values.

    NaN where a value cannot be estimated; `warnings` says why. In print, a rate below one real is
    "not estimable (n real)".

    Attributes
    ----------
    n_real, n_fake, n_unscored
        How many of either class have a score, and how many of both have none (NaN).
    independent_reals
        As how many the reals count in the bounds.
    auroc, average_precision, macro_ap
        `macro_ap` is the mean of taking either class as positive.
    eer, eer_threshold, eer_fpr_bound
        The rate at which as many reals are called fake as fakes real, and where; see
        `gendkit.measure.metrics.equal_error`. The bound is that of a threshold that was fixed
        before; this one was chosen on the same scores, of fakes too, so that it is only nearly as
        sure as `level`.
    tpr_at_fpr
        By FPR, the share of fakes above the threshold that this share of reals exceeds; NaN if it
        is less than one real.
    thresholds
        By FPR, that threshold with its bound; see `gendkit.measure.thresholds.plain_threshold`.
    threshold, fpr, fpr_bound, balanced_accuracy, f1
        Called fake is what scores above the stated threshold.
    w1
        Separation and confidence.
    ece, brier
        Of the score taken as a probability, which it is only for the mix of classes that it was
        trained or calibrated on; see `gendkit.measure.metrics.calibration_error`.
    level
        How sure the bounds are.
    warnings
        What is not defined here, in words.
    """

    n_real: int
    n_fake: int
    n_unscored: int
    independent_reals: float
    auroc: float
    average_precision: float
    macro_ap: float
    eer: float
    eer_threshold: float
    eer_fpr_bound: float
    tpr_at_fpr: Mapping[float, float]
    thresholds: Mapping[float, Threshold]
    threshold: float
    fpr: float
    fpr_bound: float
    balanced_accuracy: float
    f1: float
    w1: Separation
    ece: float
    brier: float
    level: float
    warnings: tuple[str, ...]

    def __getitem__(self, key: str) -> Any:
        if key not in self:
            raise KeyError(key)
        return getattr(self, key)

    def __iter__(self) -> Iterator[str]:
        return (field.name for field in fields(self))

    def __len__(self) -> int:
        return len(fields(self))

    def __contains__(self, key: object) -> bool:
        return any(field.name == key for field in fields(self))

    def numbers(self) -> dict[str, float]:
        """Return every number under a flat name, such as `tpr_at_fpr_0.01` or `w1_separation`.

        The same names in the same order for all summaries of the same rates, for a row of a table
        or the `metric` of an array.
        """
        flat: dict[str, float] = {}
        for name, value in self.items():
            if name == "tpr_at_fpr":
                flat |= {f"{name}_{rate:g}": tpr for rate, tpr in value.items()}
            elif name == "thresholds":
                for rate, found in value.items():
                    flat[f"threshold_at_fpr_{rate:g}"] = _nan(found.value)
                    flat[f"bound_at_fpr_{rate:g}"] = _nan(found.bound)
            elif name == "w1":
                flat["w1_separation"] = value.separation_real
                flat["w1_confidence_real"] = value.confidence_real
                flat["w1_confidence_fake"] = value.confidence_fake
            elif name != "warnings":
                flat[name] = value
        return flat

    def words(self) -> dict[str, str]:
        """Return every metric as it is printed, by what it is called there."""
        sure = f"one-sided {100 * self.level:g}%"
        said = {
            "clips or frames": f"{self.n_real:,} real, {self.n_fake:,} fake"
            + f", {self.n_unscored:,} without a score" * bool(self.n_unscored),
            **(
                {"the bounds": f"as of {self.independent_reals:,.1f} independent reals"}
                if self.independent_reals < self.n_real
                else {}
            ),
            "AUROC": number(self.auroc),
            "average precision": f"{number(self.average_precision)} ({number(self.macro_ap)} as "
            "the mean over both classes)",
            "EER": f"{number(self.eer)} at {number(self.eer_threshold)}"
            f"{_at_most(self.eer_fpr_bound, sure)}",
        }
        for rate, tpr in self.tpr_at_fpr.items():
            found = self.thresholds[rate]
            text = found.reason if found.value is None else f"{number(tpr)} above "
            if found.value is not None:
                text += f"{number(found.value)}{_at_most(_nan(found.bound), sure)}"
            said[f"TPR at FPR {100 * rate:g} %"] = text
        at = f"above {self.threshold:g}"
        return said | {
            f"FPR {at}": f"{number(self.fpr)}{_at_most(self.fpr_bound, sure)}",
            f"balanced accuracy, F1 {at}": f"{number(self.balanced_accuracy)}, {number(self.f1)}",
            "W1 separation": number(self.w1.separation_real),
            "W1 confidence, real and fake": f"{number(self.w1.confidence_real)} and "
            f"{number(self.w1.confidence_fake)}",
            "ECE, Brier": f"{number(self.ece)}, {number(self.brier)}",
            **({"note": "; ".join(self.warnings)} if self.warnings else {}),
        }

    def __repr__(self) -> str:
        return (
            f"Summary(AUROC {number(self.auroc)}, EER {number(self.eer)} of {self.n_real:,} real "
            f"and {self.n_fake:,} fake)"
        )

    def __str__(self) -> str:
        return "\n".join(f"{name}: {value}" for name, value in self.words().items())

    def _repr_html_(self) -> str:
        return card("Summary", self.words())


def _at_most(bound: float, sure: str) -> str:
    return "" if math.isnan(bound) else f" (FPR at most {number(bound)}, {sure})"


def _nan(value: float | None) -> float:
    return math.nan if value is None else value
