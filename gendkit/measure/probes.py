"""Trivial probes: can real and fake be told apart without looking at the face?

In go face crops with labels, families and identities, out comes an AUROC for each probe and family
with an interval over identities. A probe that scores well shows a shortcut in the data (fakes saved
in another quality, blurred, or with another border), on which a detector would be praised for
nothing. Before any training every family must be at `LIMIT` or below, or it is mended.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from gendkit.data.container import quantisation_tables
from gendkit.errors import InvalidLabels
from gendkit.measure.metrics import auroc

if TYPE_CHECKING:
    import pandas as pd

    from gendkit.data.manifest import Manifest
    from gendkit.plugin.protocols import Image

Floats = NDArray[np.float64]

LIMIT = 0.55
"""The largest AUROC of a trivial probe with which a family is fit for use."""
BORDER = "border"
TABLES = "jpeg-tables"
_FOLDS = 5


@dataclass(frozen=True, kw_only=True)
class Probe:
    """How well one trivial number separates a family's fakes from the real crops.

    Attributes
    ----------
    auroc
        .5 to 1; the direction in which it separates better is taken. NaN if it could not be tried.
    low, high
        Bootstrap interval over identities, in that same direction; low may be below .5.
    real, fake, identities
        How many crops and people it rests on.
    """

    family: str
    probe: str
    auroc: float
    low: float
    high: float
    real: int
    fake: int
    identities: int

    @property
    def passed(self) -> bool:
        """Whether the family is fit for use as far as this probe tells."""
        return self.auroc <= LIMIT


def trivial_probes(
    crops: Sequence[Image],
    labels: Sequence[int] | NDArray[np.integer],
    families: Sequence[str],
    groups: Sequence[str],
    *,
    files: Sequence[Path] = (),
    bootstraps: int = 200,
    confidence: float = 0.95,
    seed: int = 0,
) -> list[Probe]:
    """Return the AUROC of every probe for every family.

    Each family's fakes are compared with the real crops of the same people.

    Parameters
    ----------
    crops
        N aligned face crops, RGB uint8, as `align_face` cuts them at scale 1.3.
    labels
        N labels, 0 real and 1 fake.
    families
        N kinds of forgery, empty for real.
    groups
        N identities; the border's classifier is cross-validated by them and the interval resamples
        them.
    files
        N files of the media, if there are any; where all are JPEGs their quantisation tables are
        a probe too.
    bootstraps
        Number of resamples.

    Raises
    ------
    InvalidLabels
        If a label is neither 0 nor 1, or a class is missing.
    ValueError
        If the lengths differ.
    """
    n = len(crops)
    target = np.asarray(labels)
    if not n == len(target) == len(families) == len(groups) or (files and len(files) != n):
        raise ValueError(
            f"{n} crops came with {len(target)} labels, {len(families)} families, {len(groups)} "
            f"groups and {len(files)} files."
        )
    if set(target.tolist()) != {0, 1}:
        raise InvalidLabels(
            f"probes need real (0) and fake (1) crops, got {sorted(set(target.tolist()))}."
        )
    family, group = np.array(families, object), np.array(groups, object)
    values = {name: np.array([measure(c) for c in crops]) for name, measure in MEASURES.items()}
    if files and (tables := _tables(files)) is not None:
        values[TABLES] = tables
    border = np.stack([border_statistics(crop) for crop in crops])
    results = []
    for name in sorted({f for f, t in zip(family, target, strict=True) if t == 1}):
        chosen = (target == 1) & (family == name)
        chosen |= (target == 0) & np.isin(group, group[chosen])
        label, people = target[chosen], group[chosen]
        if len(set(label.tolist())) < 2:
            raise InvalidLabels(f"no real crop shows any of the people of family {name!r}.")
        scores = {probe: value[chosen] for probe, value in values.items()}
        scores[BORDER] = _cross_validated(border[chosen], label, people)
        for probe, score in scores.items():
            value, low, high = _interval(
                score, label, people, bootstraps=bootstraps, confidence=confidence, seed=seed
            )
            results.append(
                Probe(
                    family=name, probe=probe, auroc=value, low=low, high=high,
                    real=int((label == 0).sum()), fake=int((label == 1).sum()),
                    identities=len(set(people)),
                )
            )  # fmt: skip
    return results


def probe_manifest(
    manifest: Manifest, *, bootstraps: int = 200, confidence: float = 0.95, seed: int = 0
) -> list[Probe]:
    """Return `trivial_probes` of a manifest's crops; degraded clips are left out.

    Rows without an identity count as people of their own.

    Raises
    ------
    InvalidLabels
        If a label is unknown or a class is missing.
    """
    chosen = manifest.faces()
    chosen = chosen.where(chosen.table["degradation"] == "")
    table = chosen.table
    groups = table["target_identity"].where(table["target_identity"] != "", table["video"])
    files = [chosen.root / path for path in table["path"]]
    return trivial_probes(
        [chosen.crop(row) for row in range(len(chosen))],
        chosen.labels(),
        list(table["family"]),
        [f"{d}/{g}" for d, g in zip(table["dataset"], groups, strict=True)],
        files=files if all(file.is_file() for file in files) else (),  # crops may be packed
        bootstraps=bootstraps,
        confidence=confidence,
        seed=seed,
    )


def probe_table(probes: Sequence[Probe]) -> pd.DataFrame:
    """Return the AUROCs as a table with a row a family and a column a probe."""
    import pandas as pd

    rows = [{"family": p.family, "probe": p.probe, "auroc": p.auroc} for p in probes]
    return pd.DataFrame(rows).pivot_table(
        index="family", columns="probe", values="auroc", sort=False
    )


def png_bytes(crop: Image) -> float:
    """Return the size of the crop as PNG, in bytes a pixel."""
    encoded = cv2.imencode(".png", crop[..., ::-1])[1]
    return float(len(encoded) / (crop.shape[0] * crop.shape[1]))


def jpeg_bytes(crop: Image) -> float:
    """Return the size of the crop as JPEG of quality 90, in bytes a pixel."""
    encoded = cv2.imencode(".jpg", crop[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])[1]
    return float(len(encoded) / (crop.shape[0] * crop.shape[1]))


def sharpness(crop: Image) -> float:
    """Return the logarithm of the variance of the crop's Laplacian."""
    return float(np.log(cv2.Laplacian(_grey(crop), cv2.CV_32F).var() + 1e-6))


def blockiness(crop: Image) -> float:
    """Return by how much steps between columns or rows 8 apart exceed the others.

    The phase of the grid is not known, since a crop is resampled: the strongest of 8 is taken.
    """
    grey = _grey(crop)
    ratios = []
    for axis in (0, 1):
        steps = np.abs(np.diff(grey, n=2, axis=axis)).mean(1 - axis)
        phases = [steps[phase::8].mean() for phase in range(8)]
        ratios.append(max(phases) / (np.mean(phases) + 1e-6))
    return float(np.mean(ratios))


def quantisation(crop: Image) -> float:
    """Return the share of fine DCT coefficients (8 × 8 blocks) that are all but zero.

    Coarse quantisation sets most of them to zero.
    """
    grey = _grey(crop)
    height, width = (side // 8 * 8 for side in grey.shape)
    blocks = grey[:height, :width].reshape(height // 8, 8, width // 8, 8).transpose(0, 2, 1, 3)
    basis = _dct_basis()
    coefficients = basis @ blocks @ basis.T
    fine = np.add.outer(np.arange(8), np.arange(8)) >= 5
    return float((np.abs(coefficients[..., fine]) < 1).mean())


MEASURES: Mapping[str, Callable[[Image], float]] = {
    "png-bytes": png_bytes,
    "jpeg-bytes": jpeg_bytes,
    "blockiness": blockiness,
    "quantisation": quantisation,
    "sharpness": sharpness,
}
"""What a single number says of a crop; the border and the JPEG tables come in addition."""


def border_statistics(crop: Image) -> Floats:
    """Return simple statistics (36,) of the crop outside the face.

    The face is masked out by an ellipse about the aligned landmarks. For each of the four sides:
    mean and spread of the three colours, the mean size of the Laplacian, and how often a pixel is
    black; then the same over the whole border.
    """
    height, width = crop.shape[:2]
    y, x = np.mgrid[:height, :width]
    x, y = (x + 0.5) / width - 0.5, (y + 0.5) / height - 0.53
    outside = (x / 0.40) ** 2 + (y / 0.47) ** 2 > 1
    image = crop.astype(np.float32)
    fine = np.abs(cv2.Laplacian(_grey(crop), cv2.CV_32F))
    black = (crop.max(-1) == 0).astype(np.float32)
    parts = [outside & part for part in (x < -0.3, x > 0.3, y < -0.3, y > 0.3)]
    statistics = []
    for part in (*parts, outside):
        colours = image[part]
        statistics += [*colours.mean(0), *colours.std(0), fine[part].mean(), black[part].mean()]
    return np.asarray(statistics, np.float64)


def _grey(crop: Image) -> NDArray[np.float32]:
    return np.asarray(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), np.float32)


def _dct_basis() -> NDArray[np.float32]:
    k = np.arange(8)
    basis = np.cos(np.pi * (2 * k[None] + 1) * k[:, None] / 16) / 2
    basis[0] /= np.sqrt(2)
    return basis.astype(np.float32)


def _tables(files: Sequence[Path]) -> Floats | None:
    """Return the mean entry of each file's quantisation tables; None unless all are JPEGs."""
    means = []
    for file in files:
        tables = quantisation_tables(file)
        if not tables:
            return None
        means.append(float(np.mean([entry for table in tables.values() for entry in table])))
    return np.array(means)


def _cross_validated(features: Floats, labels: NDArray[Any], groups: NDArray[Any]) -> Floats:
    """Return out-of-fold scores of a logistic regression; no person is in two folds.

    NaN if it cannot be tried so: of one person, or where a fold leaves one class to learn from.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GroupKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    folds = min(_FOLDS, len(set(groups)))
    scores = np.full(len(labels), np.nan)
    if folds < 2:
        return scores
    for fit, held in GroupKFold(folds).split(features, labels, groups):
        if len(set(labels[fit].tolist())) < 2:
            return np.full(len(labels), np.nan)
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
        model.fit(features[fit], labels[fit])
        # Folds have their own scale, so each contributes ranks.
        scores[held] = _ranks(model.decision_function(features[held])) / len(held)
    return scores


def _interval(
    score: Floats,
    label: NDArray[Any],
    groups: NDArray[Any],
    *,
    bootstraps: int,
    confidence: float,
    seed: int,
) -> tuple[float, float, float]:
    if np.isnan(score).any():
        return np.nan, np.nan, np.nan
    value = auroc(label, score)
    flip = value < 0.5
    people = [np.flatnonzero(groups == person) for person in sorted(set(groups))]
    rng = np.random.default_rng(seed)
    drawn = []
    for _ in range(bootstraps):
        rows = np.concatenate([people[i] for i in rng.integers(len(people), size=len(people))])
        if 0 < label[rows].sum() < len(rows):
            again = auroc(label[rows], score[rows])
            drawn.append(1 - again if flip else again)
    tail = (1 - confidence) / 2
    value = 1 - value if flip else value
    low, high = np.quantile(drawn, [tail, 1 - tail]) if drawn else (value, value)
    return value, float(low), float(high)


def _ranks(values: Floats) -> Floats:
    from scipy.stats import rankdata

    return np.asarray(rankdata(values), np.float64)
