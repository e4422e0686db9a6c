"""Fits a calibration: labelled clips and a detector enter, what its scores are worth leaves.

Whatever is said of the calibration's own clips was fitted without the group of people that they
belong to; clips of other sets come beside it, as what is promised is promised for the own alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gendkit import __version__
from gendkit.data.manifest import Manifest
from gendkit.data.quality import Quality
from gendkit.errors import InvalidArgument
from gendkit.evaluate.calibration import Calibration
from gendkit.evaluate.checked import checked
from gendkit.evaluate.clips import MEASURES, UNIT, Clips, clips_of
from gendkit.evaluate.final import final_of, log_final
from gendkit.evaluate.likeness import Likeness
from gendkit.evaluate.population import TOOK_PART, Made, Population, Range, Validated
from gendkit.measure.calibration import fit_isotonic, fit_temperature
from gendkit.measure.conformal import fit_conformal, one_each
from gendkit.measure.intervals import joint_components
from gendkit.measure.likelihood import cross_fitted, fit_likelihood, fold_masks
from gendkit.measure.metrics import auroc
from gendkit.model.batches import check_positive
from gendkit.model.detector import Detector, load
from gendkit.progress import Bars, Progress
from gendkit.train.record import describe, extraction, record_beside

FINAL = "final"


@dataclass(frozen=True, kw_only=True)
class Calibrated:
    """A calibration, and what it says of each clip that it was tried on.

    Attributes
    ----------
    calibration
        To be written, and to weigh further clips by.
    clips
        A row a person of a clip, as `gendkit.evaluate.clips.Clips.table`, and: `set`, its name;
        `log10_lr`, `temperature`, `isotonic` and `decision`, of which those of the own set were
        fitted without the clip's group, but for the bounds of the ratio; `reasons`, why it is not
        validated, empty if it is.
    """

    calibration: Calibration
    clips: pd.DataFrame

    def __repr__(self) -> str:
        return f"Calibrated({self.calibration!r}, {len(self.clips):,} clips)"

    def _repr_html_(self) -> str:
        return self.calibration._repr_html_()


def calibrate(
    manifest: Manifest | str | Path,
    detector: Detector | str | Path,
    *,
    on: Mapping[str, Manifest | str | Path] | None = None,
    name: str = "",
    alpha: float = 0.05,
    beta: float = 0.05,
    seed: int = 0,
    batch_size: int = 32,
    record: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> Calibrated:
    """Learn what a detector's scores are worth as evidence, among the clips of a manifest.

    A score is that of a person of a clip, the mean P(fake) over the frames. See
    `gendkit.measure.likelihood` for the ratio, and `gendkit.measure.conformal` for the decision.

    Parameters
    ----------
    manifest
        Or its folder; labelled crops on which the detector was not trained, of clips like those
        that are to be judged. No row of the final split: what was looked at for this is no test any
        more.
    detector
        Or its adapter's file or folder.
    on
        Further labelled manifests by name, on which it is tried. Clips of the same people as those
        of `manifest` are told: what is said of them is no test.
    name
        Of the manifest, for whoever reads the file; by default its folder.
    alpha, beta
        The most of further reals that may be called fake, and of further fakes that may be called
        real, if they are exchangeable with the clips of the manifest.
    seed
        Of the draws and cuts.
    batch_size
        Crops that are run at once.
    record
        Of the detector's training, what its `run.json` holds, so that clips that took part in it
        are told; by default what lies beside the adapter, if that is given by its path.
    progress
        Told after each batch; by default a progress bar.

    Raises
    ------
    InvalidArgument
        If there are rows of the final split, a rate is no share, another set is called like the
        own, or a seed is no whole number from 0.
    InvalidLabels
        If a label is unknown, or there are too few clips for anything to be estimated.
    """
    check_positive("batch_size", batch_size)
    seed = _whole("seed", seed)
    own = _read(manifest)
    if (own.table["split"] == FINAL).any():
        raise InvalidArgument(
            f"the manifest has {int((own.table['split'] == FINAL).sum())} rows of the final split; "
            "a calibration is fitted on another, such as development, and tried on the final one "
            "(on=, --on)."
        )
    name = name or (own.root.name if isinstance(manifest, Manifest) else str(manifest))
    if name in (on or {}):
        raise InvalidArgument(
            f"{name!r} is the calibration's own set, which is tried anyway, each clip without its "
            "group; try it on others, or name them apart."
        )
    others = {key: _read(given) for key, given in (on or {}).items()}
    progress = progress or Bars()
    if not isinstance(detector, Detector):
        path, detector = detector, load(detector)
        record = record_beside(path, detector.adapter.hash) if record is None else record
    clips = clips_of(own, detector, batch_size=batch_size, progress=progress)
    population = _population(clips.table, own, name, record or {})
    calibration = _fitted(clips, population, detector, alpha=alpha, beta=beta, seed=seed)
    said = [_cross_fitted(clips.table, calibration).assign(set=name)]
    checks = [checked(said[0], name=name, own=True, seed=seed)]
    for other, crops in others.items():
        if (final := final_of(crops)) is not None:
            fitted_on = calibration.population.digest
            log_final(final, adapter=detector.adapter.hash, calibrated_on=fitted_on)
        new = clips_of(crops, detector, batch_size=batch_size, progress=progress)
        said.append(applied(calibration, new).assign(set=other))
        linked = _linked(own, crops)
        checks.append(checked(said[-1], name=other, own=False, linked=linked, seed=seed))
    return Calibrated(
        calibration=replace(calibration, checks=tuple(checks)),
        clips=pd.concat(said, ignore_index=True),
    )


def applied(calibration: Calibration, clips: Clips) -> pd.DataFrame:
    """Return clips with what a calibration says of each; see `Calibrated.clips`.

    Of what is outside the validated range, it is what would be said if that were not regarded.
    """
    score = clips.table["score"].to_numpy()
    return clips.table.assign(
        log10_lr=calibration.likelihood(score),
        temperature=calibration.temperature(score),
        isotonic=calibration.isotonic(score),
        decision=calibration.conformal.decide(score),
        reasons=_reasons(calibration, clips),
    )


def _whole(name: str, value: int) -> int:
    if value != int(value) or value < 0:
        raise InvalidArgument(f"{name} is {value}; give a whole number from 0.")
    return int(value)


def _linked(own: Manifest, other: Manifest) -> int:
    """Return how many people of clips hang together with those of the own set."""
    first, second = joint_components([own, other])
    return len(other.table.loc[np.isin(second, first), UNIT].drop_duplicates())


def _read(manifest: Manifest | str | Path) -> Manifest:
    return manifest if isinstance(manifest, Manifest) else Manifest.read(manifest)


def _fitted(
    clips: Clips, population: Population, detector: Detector, *, alpha: float, beta: float,
    seed: int,
) -> Calibration:  # fmt: skip
    table = clips.table
    label, score = table["label"].to_numpy(), table["score"].to_numpy()
    component = table["component"].to_numpy()
    likelihood = fit_likelihood(label, score, component, seed=seed)
    drawn = one_each(label, component, seed=seed)
    return Calibration(
        population=population,
        made=Made(
            adapter=detector.adapter.hash,
            backbone=detector.adapter.header.backbone,
            dtype=detector.dtype,
        ),
        likelihood=likelihood,
        conformal=fit_conformal(label, score, component, alpha=alpha, beta=beta, seed=seed),
        temperature=fit_temperature(label, score),
        isotonic=fit_isotonic(label, score),
        validated=_validated(table),
        likeness=Likeness.of(clips.vectors[drawn], component[drawn], seed=seed),
        checks=(),
        seed=seed,
        gendkit=__version__,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _population(
    table: pd.DataFrame, manifest: Manifest, name: str, record: Mapping[str, Any]
) -> Population:
    fakes = table[table["label"] == 1]
    changed = table["degradation"][table["degradation"] != ""]
    digest, data = str(describe(manifest)["digest"]), record.get("data", {})
    return Population(
        name=name,
        datasets=tuple(sorted(set(table["dataset"]))),
        splits=tuple(sorted(set(table["split"]))),
        reals=int((table["label"] == 0).sum()),
        fakes=len(fakes),
        groups=int(table["component"].nunique()),
        crops=int(table["crops"].sum()),
        families={str(k): int(n) for k, n in fakes["family"].value_counts().sort_index().items()},
        digest=digest,
        took_part=tuple(
            part for part, of in TOOK_PART.items() if data.get(of, {}).get("digest") == digest
        ),
        extraction=extraction(manifest),
        degradations={str(k): int(n) for k, n in changed.value_counts().sort_index().items()},
    )


def _validated(table: pd.DataFrame) -> Validated:
    """Return of which pictures there are clips, and how far these differ between the classes."""
    label = table["label"].to_numpy()
    ranges, tells = {}, {}
    for measure in MEASURES:
        of = table[measure].to_numpy()
        known = np.isfinite(of)
        ranges[measure] = _range(of[known]) if known.any() else None
        alone = auroc(label[known], of[known])
        if np.isfinite(alone):
            tells[measure] = float(alone)
    # With fewer frames there were not clips of both classes.
    crops = max(int(table["crops"][label == one].min()) for one in (0, 1))
    return Validated(crops=crops, tells=tells, **ranges)


def _range(values: NDArray[np.float64]) -> Range:
    return Range(low=float(values.min()), high=float(values.max()))


def _reasons(calibration: Calibration, clips: Clips) -> list[str]:
    """Return of each clip why it is not validated."""
    away = calibration.likeness.p_values(clips.vectors)
    unlike = calibration.likeness.unlike(away)
    said = []
    for row, p, far in zip(clips.table.to_dict("records"), away, unlike, strict=True):
        eyes = row["eyes"] if np.isfinite(row["eyes"]) else None
        seen = Quality(eyes=eyes, sharpness=row["sharpness"], brightness=row["brightness"])
        reasons = calibration.validated.outside(seen, int(row["crops"]))
        if far:
            reasons += (f"unlike the calibration's clips (novelty p {p:.2g})",)
        said.append("; ".join(reasons))
    return said


def _cross_fitted(table: pd.DataFrame, calibration: Calibration) -> pd.DataFrame:
    """Return the calibration's own clips with what was fitted without each one's group."""
    label, score = table["label"].to_numpy(), table["score"].to_numpy()
    component, seed = table["component"].to_numpy(), calibration.seed
    likelihood, rates = calibration.likelihood, calibration.conformal
    llr = cross_fitted(label, score, component, seed=seed)
    shares = {"temperature": np.empty(len(table)), "isotonic": np.empty(len(table))}
    decision = np.empty(len(table), object)
    for held in fold_masks(label, component, seed=seed):
        if not held.any():
            continue
        fitted = label[~held], score[~held]
        shares["temperature"][held] = fit_temperature(*fitted)(score[held])
        shares["isotonic"][held] = fit_isotonic(*fitted)(score[held])
        decision[held] = fit_conformal(
            *fitted, component[~held], alpha=rates.alpha, beta=rates.beta, seed=seed
        ).decide(score[held])
    return table.assign(
        log10_lr=np.clip(llr, likelihood.low, likelihood.high),
        **shares,
        decision=decision,
        reasons="",
    )
