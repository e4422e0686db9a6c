"""A calibration: what a detector's score is worth as evidence, among clips that are named.

`gk.calibrate` fits one; a JSON file holds it. A person's score enters, and a likelihood ratio and a
decision leave; for what is unlike the clips that it was validated on, the reason why there is none.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, TypeAdapter, ValidationError

from gendkit.data.quality import Quality
from gendkit.errors import InvalidCalibration, MissingMedia, first_line
from gendkit.evaluate.likeness import Likeness
from gendkit.evaluate.population import Checked, Made, Population, Validated
from gendkit.markup import card, number, visible
from gendkit.measure.calibration import STRICT, Isotonic, Temperature
from gendkit.measure.conformal import Conformal
from gendkit.measure.likelihood import LikelihoodRatio, support
from gendkit.model.detector import Detector
from gendkit.output import check_new_file, write_whole

FORMAT = 2
NOT_VALIDATED = "not validated"
CUT = ("extractor", "threshold", "scale", "size")
"""What of how crops were made has to be the same."""


@dataclass(frozen=True, kw_only=True)
class Person:
    """What is known of one person of a file.

    Attributes
    ----------
    track
        Number of the person.
    score
        Mean P(fake) over `crops` frames.
    quality
        Medians over these.
    vector
        (D,) mean embedding, of unit length.
    """

    track: int
    score: float
    crops: int
    quality: Quality
    vector: NDArray[np.float32] = field(repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What a person's score is worth.

    Attributes
    ----------
    track, score
        As of `Person`.
    log10_lr
        log10 of the likelihood ratio, fake over real; None where it is not validated.
    at_bound
        Whether the calibration's clips support no stronger one.
    support
        The ratio in words after ENFSI, or `not validated`.
    decision
        `real`, `fake`, `cannot tell`, or `not validated`.
    p_real, p_fake
        Conformal p-values of the decision; None where it is not validated.
    temperature, isotonic
        Share of fakes among clips of such a score, by either method, in a set with as many fakes
        as the population has; None where it is not validated.
    reasons
        Why it is not validated; empty if it is.
    limits
        What could not be checked, or never be decided.
    novelty_p
        How rare it is in the population to be as unlike the others.
    """

    track: int
    score: float
    log10_lr: float | None
    at_bound: bool
    support: str
    decision: str
    p_real: float | None
    p_fake: float | None
    temperature: float | None
    isotonic: float | None
    reasons: tuple[str, ...]
    limits: tuple[str, ...]
    novelty_p: float | None


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """What a detector's score is worth, among the clips of a named population.

    Attributes
    ----------
    population, made
        Which clips, and which detector.
    likelihood, conformal, temperature, isotonic
        What was fitted; see `gendkit.measure`.
    validated, likeness
        For which pictures and faces it holds.
    checks
        What came out, on its own clips and on others.
    seed
        Of what was drawn.
    gendkit, created
        Version and time.
    """

    population: Population
    made: Made
    likelihood: LikelihoodRatio
    conformal: Conformal
    temperature: Temperature
    isotonic: Isotonic
    validated: Validated
    likeness: Likeness
    checks: tuple[Checked, ...]
    seed: int
    gendkit: str
    created: str
    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    @property
    def digest(self) -> str:
        """sha256 of all of it."""
        text = json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode("utf-8")).hexdigest()

    @property
    def limits(self) -> tuple[str, ...]:
        """What it can never say, and what it may say too much of."""
        return self._limits(people=1) + tuple(filter(None, (c.limit for c in self.checks)))

    def _limits(self, *, people: int) -> tuple[str, ...]:
        known = tuple(filter(None, (self.population.limit, self.likeness.limit)))
        return known + self.validated.limits + self.conformal.limits_of(people)

    def write(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write it as one JSON file.

        Raises
        ------
        OutputExists, UnwritableOutput
            If there is something else, or nothing can be written there.
        """
        path = Path(path)
        check_new_file(path, overwrite=overwrite)
        document = {"format": FORMAT, "digest": self.digest, **asdict(self)}
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(document, indent=1, allow_nan=False, ensure_ascii=False)
        write_whole(path, f"{text}\n".encode())
        return path

    @classmethod
    def read(cls, path: str | Path) -> Calibration:
        """Read one; whatever is missing, unknown, of another type or was changed is refused.

        Raises
        ------
        MissingMedia
            If there is no such file.
        InvalidCalibration
            If it is no calibration, of another format, or was changed.
        """
        path = Path(path)
        if not path.is_file():
            raise MissingMedia(f"no calibration at {path}; `gendkit calibrate` writes one.")
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            version, digest = document.pop("format"), document.pop("digest")
        except (ValueError, OSError, KeyError, AttributeError, TypeError):
            raise InvalidCalibration(
                f"{path} is no calibration; give a file that `gendkit calibrate` wrote."
            ) from None
        if version != FORMAT:
            raise InvalidCalibration(f"{path} has the format {version}; this one reads {FORMAT}.")
        try:
            found: Calibration = _READER.validate_json(json.dumps(document))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise InvalidCalibration(
                f"{path}: {where}: {first['msg'][:1].lower()}{first['msg'][1:]}; make it anew."
            ) from None
        except ValueError as error:
            raise InvalidCalibration(f"{path}: {first_line(error)}; make it anew.") from None
        if found.digest != digest:
            raise InvalidCalibration(
                f"{path} was changed since it was written: its digest is not the one that it "
                "states; make it anew."
            )
        return found

    def check(self, detector: Detector) -> None:
        """Refuse a detector whose scores it does not know.

        Raises
        ------
        InvalidCalibration
            If the adapter is another.
        """
        if detector.adapter.hash != self.made.adapter:
            raise InvalidCalibration(
                f"the calibration is of the adapter {self.made.adapter[:12]}, and this is "
                f"{detector.adapter.hash[:12]}; give the one that it was made with, or calibrate "
                "this one by `gendkit calibrate`."
            )

    def weigh(
        self, people: Sequence[Person], *, dtype: str, extraction: Mapping[str, Any]
    ) -> tuple[Evidence, ...]:
        """Say of each person of a file what the score is worth.

        Each stands alone: of n people each is called fake at a lower rate, so that one of them is
        at `conformal.alpha`.

        Parameters
        ----------
        people
            Of one file.
        dtype, extraction
            In what the encoder computed, and how the crops were made (`CUT`).
        """
        if not people:
            return ()
        scores = np.array([p.score for p in people])
        away = self.likeness.p_values(np.stack([p.vector for p in people]), together=True)
        made, limits = self._otherwise_made(dtype, extraction)
        limits += self._limits(people=len(people))
        ratio, bound = self.likelihood(scores), self.likelihood.at_bound(scores)
        real, fake = self.conformal.p_real(scores), self.conformal.p_fake(scores)
        said = self.conformal.decide(scores, people=len(people))
        cold, stairs = self.temperature(scores), self.isotonic(scores)
        found = []
        for i, person in enumerate(people):
            reasons = made + self.validated.outside(person.quality, person.crops)
            if not np.isfinite(person.score):
                reasons += ("the score is not a number",)
            if self.likeness.unlike(away[i]):
                reasons += (f"unlike the calibration's clips (novelty p {away[i]:.2g})",)
            holds = not reasons
            found.append(
                Evidence(
                    track=person.track,
                    score=person.score,
                    log10_lr=float(ratio[i]) if holds else None,
                    at_bound=holds and bool(bound[i]),
                    support=support(float(ratio[i])) if holds else NOT_VALIDATED,
                    decision=str(said[i]) if holds else NOT_VALIDATED,
                    p_real=float(real[i]) if holds else None,
                    p_fake=float(fake[i]) if holds else None,
                    temperature=float(cold[i]) if holds else None,
                    isotonic=float(stairs[i]) if holds else None,
                    reasons=reasons,
                    limits=limits,
                    novelty_p=float(away[i]) if np.isfinite(away[i]) else None,
                )
            )
        return tuple(found)

    def _otherwise_made(
        self, dtype: str, extraction: Mapping[str, Any]
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return what was done otherwise than for its clips, and what is not known of them."""
        reasons, own = [], self.population.extraction
        if dtype != self.made.dtype:
            reasons.append(f"computed in {dtype}, validated in {self.made.dtype}")
        for name in CUT:
            if name in own and own[name] != extraction.get(name):
                reasons.append(f"{name} {extraction.get(name)}, validated with {own[name]}")
        unknown = "how the calibration's crops were made is not recorded"
        return tuple(reasons), () if "extractor" in own else (unknown,)

    def __repr__(self) -> str:
        facts = "; ".join(f"{name} {value}" for name, value in self._facts.items() if value)
        return visible(f"Calibration({facts})")

    def _repr_html_(self) -> str:
        return card("Calibration", self._facts)

    @property
    def _facts(self) -> dict[str, str | None]:
        low, high = (number(v, digits=2) for v in (self.likelihood.low, self.likelihood.high))
        own = self.checks[0] if self.checks else None
        return {
            "population": str(self.population),
            "adapter": self.made.adapter[:12],
            "log10 LR": f"{low} to {high}",
            "Cllr": None if own is None else number(own.cllr),
            "decision": f"alpha {self.conformal.alpha:g}, beta {self.conformal.beta:g}",
        }


_READER: TypeAdapter[Calibration] = TypeAdapter(Calibration)
