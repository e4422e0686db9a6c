"""What a calibration rests on and what came of it: clips, a detector, ranges, and rates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from pydantic import ConfigDict

from gendkit.data.quality import Quality
from gendkit.markup import visible
from gendkit.measure.calibration import STRICT

TOOK_PART = {
    "the detector was trained on these very clips, which score more clearly than new ones": "train",
    "the detector's epoch was chosen by these very clips, which flatters it on them": "validation",
}
"""What a record of a run can say of the clips of a population, and what it calls them."""
CONFOUNDED = 0.2
"""How far from .5 the AUROC of what should not matter is told."""


@dataclass(frozen=True, kw_only=True)
class Population:
    """The relevant population: the clips that all of it is about.

    Attributes
    ----------
    name
        As it was given, such as `crops:development`.
    datasets, splits
        Of the clips.
    reals, fakes, groups, crops
        How many people of clips there are of either class, how many groups of them that share
        nobody, and how many crops.
    families
        How many of the fakes are of each kind of manipulation.
    degradations
        How many were degraded in which way.
    took_part
        Of which parts of the detector's making they were the clips, as far as is recorded.
    digest
        sha256 of the samples and labels.
    extraction
        How the crops were made.
    """

    name: str
    datasets: tuple[str, ...]
    splits: tuple[str, ...]
    reals: int
    fakes: int
    groups: int
    crops: int
    families: Mapping[str, int]
    digest: str
    extraction: Mapping[str, Any]
    degradations: Mapping[str, int] = field(default_factory=dict)
    took_part: tuple[str, ...] = ()
    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    @property
    def limit(self) -> str:
        """Why it may promise too much; empty if nothing is known."""
        if self.took_part:
            return "; ".join(self.took_part)
        if "train" not in self.splits:
            return ""
        return "calibrated on clips of a training split, which may score more clearly than new ones"

    def __str__(self) -> str:
        kinds = ", ".join(
            f"{name or 'of no named family'} {n}" for name, n in self.families.items()
        )
        splits = ", ".join(filter(None, self.splits))
        changed = sum(self.degradations.values())
        return visible(
            f"{self.reals:,} real and {self.fakes:,} fake clips ({kinds}) of "
            f"{self.groups:,} groups of people of {', '.join(self.datasets)}"
            f"{f', split {splits}' if splits else ''}"
            f"{f'; {changed:,} of them degraded' if changed else ''}"
        )


@dataclass(frozen=True, kw_only=True)
class Made:
    """The detector that gave the scores."""

    adapter: str
    backbone: str
    dtype: str
    __pydantic_config__: ClassVar[ConfigDict] = STRICT


@dataclass(frozen=True, kw_only=True)
class Range:
    """From where to where something was seen.

    A thousandth beyond it counts as inside: landmarks are kept in less precision than they have.
    """

    low: float
    high: float
    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    def __contains__(self, value: float) -> bool:
        slack = 1e-3 * max(abs(self.low), abs(self.high))
        return self.low - slack <= value <= self.high + slack


@dataclass(frozen=True, kw_only=True)
class Validated:
    """Of which pictures there were clips; see `gendkit.data.quality`.

    A forgery may itself change the sharpness of a face: the ranges are those of both classes
    together, and how far the classes differ stands beside them.

    Attributes
    ----------
    crops
        The fewest frames that a score rested on. More are no harm: their mean is steadier.
    eyes, sharpness, brightness
        Of medians over a clip's frames; `eyes` is None where no landmarks are known.
    tells
        With which AUROC each of these alone tells fakes from reals.
    """

    crops: int
    eyes: Range | None
    sharpness: Range | None
    brightness: Range | None
    tells: Mapping[str, float]
    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    @property
    def limits(self) -> tuple[str, ...]:
        """Which of these the score may have been about all along."""
        return tuple(
            f"of the calibration's clips {name} alone tells fakes with an AUROC of {alone:.2f}"
            for name, alone in self.tells.items()
            if abs(alone - 0.5) > CONFOUNDED
        )

    def outside(self, seen: Quality, crops: int) -> tuple[str, ...]:
        """Say what of a person's pictures is outside these ranges."""
        reasons = []
        if crops < self.crops:
            reasons.append(f"{crops} frames with the face, validated from {self.crops}")
        if self.eyes is not None and seen.eyes is None:
            reasons.append("the size of the face is not known")
        for what, unit, value, among in (
            ("eyes", " px apart", seen.eyes, self.eyes),
            ("sharpness", "", seen.sharpness, self.sharpness),
            ("brightness", "", seen.brightness, self.brightness),
        ):
            if among is not None and value is not None and value not in among:
                reasons.append(
                    f"{what} {value:.3g}{unit}, validated from {among.low:.3g} to {among.high:.3g}"
                )
        return tuple(reasons)


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What came out on a set, of all its clips and of those inside the validated range.

    Rates and costs are None where a class is missing. Each interval is of 95 %, by the bootstrap
    over groups of people, and of a rate of 0 or 1 by Clopper and Pearson. On the calibration's own
    set each clip's values were fitted without its group.

    Attributes
    ----------
    name, own
        The set, and whether it is that of the calibration.
    reals, fakes, groups
        As of `Population`.
    linked
        How many of another set's clips are of the calibration's own clips or people, so that
        it is no test of them.
    auroc
        Of the scores.
    cllr, cllr_interval, cllr_min
        See `gendkit.measure.likelihood`.
    calibration_error
        Of the `score` itself, and after `temperature` and `isotonic`: how far the share of fakes
        that is said is from the one that is found, the mean over bins of equally many clips.
    fake_of_real, fake_of_real_interval, real_of_fake, real_of_fake_interval
        How many reals are called fake, and fakes real, if the validated range is not regarded.
    cannot_tell_of_real, cannot_tell_of_fake
        How many are called nothing, likewise.
    outside_of_real, outside_of_fake
        How many are outside the validated range; None on the own set, which it was made from.
    inside_fake_of_real, inside_real_of_fake
        Of those inside it, how many are called wrongly.
    """

    name: str
    own: bool
    reals: int
    fakes: int
    groups: int
    auroc: float | None
    cllr: float | None
    cllr_interval: tuple[float, float] | None
    cllr_min: float | None
    calibration_error: Mapping[str, float]
    fake_of_real: float | None
    fake_of_real_interval: tuple[float, float] | None
    real_of_fake: float | None
    real_of_fake_interval: tuple[float, float] | None
    cannot_tell_of_real: float | None
    cannot_tell_of_fake: float | None
    outside_of_real: float | None
    outside_of_fake: float | None
    inside_fake_of_real: float | None
    inside_real_of_fake: float | None
    linked: int = 0
    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    @property
    def limit(self) -> str:
        """Why it may promise too much; empty if nothing is known."""
        if not self.linked:
            return ""
        return visible(
            f"{self.linked:,} of {self.reals + self.fakes:,} clips of {self.name} are of people or "
            "clips that the calibration was fitted on: of these its numbers are no test"
        )
