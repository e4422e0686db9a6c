"""Every metric of every detector, data set, method and seed, and what the pictures show.

Tables of scores enter, one row a crop; a Dataset leaves. Nothing here is estimated: intervals are
those of `gendkit.evaluate.benchmark.intervals`.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from sklearn.metrics import precision_recall_curve

from gendkit.errors import UndefinedMetric
from gendkit.evaluate.benchmark.clips import ALL, Clips
from gendkit.evaluate.benchmark.transfer import FPRS, texts, threshold_transfer, worst
from gendkit.measure.levels import LEVELS, Level, at_level
from gendkit.measure.metrics import summary

MAIN: Level = "video"
"""Of which intervals and pictures are."""
RECALLS = np.linspace(0, 1, 101)
BINS = 25
"""Of the distribution of scores over [0, 1]."""
CLASSES = ("real", "fake")
DROPPED = ("threshold", "level")
"""Of a summary: the same for all, and so attributes."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Scored:
    """What one detector says of one data set.

    Attributes
    ----------
    detector, dataset
        Their places in the comparison.
    seeds
        Of the detector.
    tables
        Of each seed one row a crop, the same in all but the score; see
        `gendkit.evaluate.benchmark.scores.score_table`.
    """

    detector: int
    dataset: int
    seeds: tuple[int, ...]
    tables: tuple[pd.DataFrame, ...]

    def at(self, level: Level) -> Clips:
        """Return the scores of frames, people or clips; see `gendkit.measure.levels.at_level`."""
        found = [at_level(table, level) for table in self.tables]
        return Clips(
            detector=self.detector,
            dataset=self.dataset,
            table=found[0],
            scores=np.stack([f["p_fake"].to_numpy("float64") for f in found]),
        )


def measured(
    scored: Sequence[Scored],
    *,
    detectors: Sequence[str],
    datasets: Sequence[str],
    threshold: float,
) -> tuple[xr.Dataset, list[Clips], list[str]]:
    """Measure all scores.

    Returns
    -------
    xarray.Dataset
        - `frame`, `track`, `video`, `file` (detector, dataset, method, seed, metric): see
          `gendkit.measure.metrics.summary` and `gendkit.measure.levels.at_level`; the method `all`
          is all fakes of a data set. Bounds count what is of one connected component as one;
        - `precision` (detector, dataset, recall), `density` (detector, dataset, class, bin) and
          `called` (detector, dataset, class, verdict): the mean over the seeds, of clips;
        - `transfer_...` (detector, seed, rate, source, target), see `threshold_transfer`, and
          `worst` (detector, rate, source) with `worst_fpr`, of the mean over the seeds.
    clips
        The scores of clips, in the order of `scored`.
    warnings
        What could not be estimated, in words.
    """
    methods = sorted({m for s in scored for t in s.tables for m in t["method"][t["label"] == 1]})
    names = [ALL, *(str(m) for m in methods if m != ALL)]
    seeds = sorted({seed for s in scored for seed in s.seeds})
    arrays: dict[str, dict[tuple[int, int, int, int], Mapping[str, float]]] = {}
    clips: list[Clips] = []
    said: dict[str, None] = {}
    for one in scored:
        where = f"{detectors[one.detector]} on {datasets[one.dataset]}"
        for level in LEVELS:
            found = one.at(level)
            if level == MAIN:
                clips.append(found)
            cells = arrays.setdefault(level, {})
            for m, method in enumerate(names):
                rows = found.rows(method)
                if m and not found.labels[rows].any():
                    continue
                for seed, scores in zip(one.seeds, found.scores, strict=True):
                    with warnings.catch_warnings(record=True) as caught:
                        warnings.simplefilter("always", UndefinedMetric)
                        value = summary(
                            found.labels[rows], scores[rows], threshold=threshold,
                            components=found.components[rows],
                        )  # fmt: skip
                    place = (one.detector, one.dataset, m, seeds.index(seed))
                    cells[place] = value.numbers()
                    if level == MAIN:
                        kind = f", {method}" if m else ""
                        said |= dict.fromkeys(f"{where}{kind}: {w.message}" for w in caught)
    metrics = [name for name in next(iter(arrays[MAIN].values())) if name not in DROPPED]
    sizes = (len(detectors), len(datasets), len(names), len(seeds))
    dims = ("detector", "dataset", "method", "seed", "metric")
    data: dict[str, tuple[tuple[str, ...], np.ndarray]] = {}
    for name, cells in arrays.items():
        filled = np.full((*sizes, len(metrics)), np.nan)
        for place, numbers in cells.items():
            filled[place] = [numbers[name] for name in metrics]
        data[name] = (dims, filled)
    ds = xr.Dataset(data, coords={
        "detector": texts(detectors), "dataset": texts(datasets), "method": texts(names),
        "seed": seeds, "metric": texts(metrics),
    })  # fmt: skip
    ds = ds.assign(_pictured(clips, sizes[:2], threshold))
    ds = ds.assign_coords({
        "recall": RECALLS, "class": texts(CLASSES), "verdict": texts(CLASSES),
        "bin": (np.arange(BINS) + 0.5) / BINS,
    })  # fmt: skip
    return ds.merge(_transferred(clips, scored, detectors, datasets, seeds)), clips, list(said)


def _pictured(
    clips: Sequence[Clips], sizes: tuple[int, ...], threshold: float
) -> dict[str, tuple[tuple[str, ...], np.ndarray]]:
    precision = np.full((*sizes, len(RECALLS)), np.nan)
    density, called = np.full((*sizes, 2, BINS), np.nan), np.full((*sizes, 2, 2), np.nan)
    for c in clips:
        place = (c.detector, c.dataset)
        if 0 < c.labels.sum() < len(c.labels):
            precision[place] = np.mean([_precision(c.labels, s) for s in c.scores], axis=0)
        for label in (0, 1):
            of = c.scores[:, c.labels == label]
            if not of.size:
                continue
            counts, _ = np.histogram(of, bins=BINS, range=(0, 1))
            density[place][label] = counts / of.size
            fake = (of > threshold).mean()
            called[place][label] = 1 - fake, fake
    dims = ("detector", "dataset")
    return {
        "precision": ((*dims, "recall"), precision),
        "density": ((*dims, "class", "bin"), density),
        "called": ((*dims, "class", "verdict"), called),
    }


def _precision(labels: NDArray[np.int64], scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the precision at the highest threshold that finds at least so many fakes."""
    precision, recall, _ = precision_recall_curve(labels, scores)
    # From many found to few; the last point, at which nothing is called, has no precision.
    place = np.searchsorted(-recall[:-1], -RECALLS + 1e-12, side="right") - 1
    return np.asarray(precision[:-1][np.maximum(place, 0)], dtype=np.float64)


def _transferred(
    clips: Sequence[Clips],
    scored: Sequence[Scored],
    detectors: Sequence[str],
    datasets: Sequence[str],
    seeds: Sequence[int],
) -> xr.Dataset:
    own: dict[tuple[int, int], dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]] = {}
    for c, of in zip(clips, scored, strict=True):
        for seed, scores in zip(of.seeds, c.scores, strict=True):
            sets = own.setdefault((c.detector, seed), {})
            sets[datasets[c.dataset]] = (c.labels, scores, c.components)
    apart = []
    for d, name in enumerate(detectors):
        each = [
            threshold_transfer(own[d, seed]).assign_coords(seed=seed)
            for seed in seeds
            if (d, seed) in own
        ]
        apart.append(xr.concat(each, "seed").assign_coords(detector=name))
    ds = xr.concat(apart, "detector", join="outer").drop_vars(["worst", "reals", "fakes"])
    ds = ds.reindex(seed=list(seeds)).rename(
        {name: f"transfer_{name}" for name in ("threshold", "bound", "fpr", "tpr")}
    )
    mean = ds["transfer_fpr"].mean("seed").transpose("detector", "rate", "source", "target")
    names = worst(mean.to_numpy(), datasets)
    chosen = [[[_at(mean.sel(detector=d, rate=r, source=s), names[i, j, k])
                for k, s in enumerate(datasets)] for j, r in enumerate(FPRS)]
              for i, d in enumerate(detectors)]  # fmt: skip
    dims = ("detector", "rate", "source")
    return ds.assign(worst=(dims, names), worst_fpr=(dims, np.array(chosen)))


def _at(fpr: xr.DataArray, target: str) -> float:
    return float(fpr.sel(target=target)) if target else float("nan")
