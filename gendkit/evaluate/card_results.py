"""Results for a card: a comparison, a study or a calibration enters, numbers and limits leave.

Read is what was written, nothing is measured. The adapter's hash tells which detector is meant.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from gendkit.errors import InvalidArgument, MissingMedia, UnreadableMedia, first_line
from gendkit.evaluate.benchmark.clips import ALL
from gendkit.evaluate.benchmark.plan import NO, YES
from gendkit.evaluate.benchmark.run import RECORD, RESULT, open_benchmark
from gendkit.evaluate.calibration import Calibration
from gendkit.evaluate.study.run import RESULT as STUDIED
from gendkit.evaluate.study.run import open_study
from gendkit.markup import number
from gendkit.model.hub import Measured

ROBUSTNESS = "robustness.json"
METRICS = ("auroc", "balanced_accuracy", "fpr", "tpr")
TOOK_PART = {"trained_on": "took part in the training", "selected_on": "took part in the selection"}
CHANCE = 0.5


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a folder says of one detector.

    Attributes
    ----------
    measured
        Numbers with their intervals.
    limits
        Sentences that follow from them.
    calibrated
        Whether it says what a score is worth.
    """

    measured: tuple[Measured, ...]
    limits: tuple[str, ...]
    calibrated: bool = False


def read_result(path: str | Path, *, adapter: str) -> Found:
    """Read what `gendkit evaluate`, `study robustness` or `calibrate` wrote of one adapter.

    Parameters
    ----------
    path
        Its `--out`.
    adapter
        The adapter's hash.

    Raises
    ------
    MissingMedia
        If there is no such result.
    UnreadableMedia, InvalidCalibration
        If it is damaged.
    InvalidArgument
        If it is of other detectors.
    """
    path = Path(path)
    if (path / RESULT / RECORD).is_file():
        found = open_benchmark(path)
        name = _detector(found.record["detectors"], adapter, path)
        return compared(found.ds.sel(detector=name), seeds=_seeds(found.record["detectors"], name))
    if (path / ROBUSTNESS).is_file():
        try:
            record = json.loads((path / ROBUSTNESS).read_text(encoding="utf-8"))
            _same(record["adapter"], adapter, path)
            return degraded(record, _intervals(path))
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise UnreadableMedia(
                f"{path} holds a damaged result ({first_line(error)}); study it again."
            ) from None
    if path.is_file():
        calibration = Calibration.read(path)
        _same(calibration.made.adapter, adapter, path)
        return calibrated(calibration)
    raise MissingMedia(
        f"no result at {path}; `gendkit evaluate`, `gendkit study robustness` and `gendkit "
        "calibrate` make one."
    )


def calibrated(calibration: Calibration) -> Found:
    """Return what a calibration says of its detector's scores, and of which clips."""
    ratio = calibration.likelihood
    return Found(
        measured=(),
        limits=(
            f"What a score is worth is known of {calibration.population} "
            f"({calibration.population.name}) alone: of what is unlike them the calibration says "
            '"not validated".',
            f"Those clips support a log10 likelihood ratio from {number(ratio.low, digits=2)} to "
            f"{number(ratio.high, digits=2)}, and nothing beyond.",
            *(f"The calibration: {limit}." for limit in calibration.limits),
        ),
        calibrated=True,
    )


def compared(ds: xr.Dataset, *, seeds: int = 1) -> Found:
    """Return what a comparison says of a detector, data set by data set.

    Parameters
    ----------
    ds
        Of one detector: over `dataset` and `method` `auroc`, and over `dataset` `fpr`, `tpr` and
        `balanced_accuracy`, each with `_low` and `_high`; beside them `clips` and `examined`
        (dataset, class), `trained_on` and `selected_on` (dataset), as far as they are there.
    seeds
        Of how many seeds of training they are the mean.
    """
    measured, limits = [], []
    at = f"{float(ds.attrs['threshold']):g}" if "threshold" in ds.attrs else "?"
    mean = f", mean of {seeds} seeds" if seeds > 1 else ""
    for name in ds["dataset"].to_numpy().tolist():
        one = ds.sel(dataset=name)
        part = [what for key, what in TOOK_PART.items() if key in one and one[key].item() == YES]
        unsure = [k for k in TOOK_PART if k in one and one[k].item() not in (YES, NO)]
        data = f"{name}{mean}" + (f" ({' and '.join(part)})" if part else "")
        for metric in METRICS:
            if metric in one:
                value = one[metric].sel({"method": ALL}) if "method" in one[metric].dims else None
                ends = [one[f"{metric}{end}"] for end in ("_low", "_high")]
                if value is not None:
                    ends = [end.sel({"method": ALL}) for end in ends]
                numbers = [float(v) for v in (one[metric] if value is None else value, *ends)]
                words = metric if metric == "auroc" else f"{metric} above {at}"
                measured += _measured(data, words, *numbers)
        if part:
            limits.append(f"{name} {' and '.join(part)}: its numbers are no test.")
        elif unsure:
            limits.append(f"Whether {name} took part in training or selection is not recorded.")
        limits += _by_method(one, name, mean)
        limits += _unexamined(one, name)
    return Found(measured=tuple(measured), limits=(*limits, *_false_alarms(ds, at, mean)))


def degraded(
    record: Mapping[str, Any], intervals: Mapping[str, tuple[float, float]] | None = None
) -> Found:
    """Return what a study of robustness says of a detector.

    Parameters
    ----------
    intervals
        By `auroc`, `fpr` and `tpr` the ends of what they are on clips as they are, if known.
    """
    clean, ends = record["levels"][0], intervals or {}
    name = Path(str(record.get("manifest", ""))).name  # no folder of this machine
    clips = f"{record['clips']} clips{f' of {name}' if name else ''}"
    measured = [
        Measured(
            data=f"{clips} as they are",
            metric=name,
            value=clean[name],
            low=ends.get(name, (None, None))[0],
            high=ends.get(name, (None, None))[1],
        )
        for name in ("auroc", "fpr", "tpr")
        if _known(clean[name])
    ]
    limits = [f"Whether {clips} took part in training or selection is not recorded with them."]
    for name, words, sign in (("fpr", "of reals are called fake", 1), ("auroc", "AUROC", -1)):
        rows = [row for row in record["levels"][1:] if row["chain"] and _known(row[name])]
        if not rows:
            continue
        worst = max(rows, key=lambda row: sign * row[name])
        if sign * (worst[name] - clean[name]) > 0:
            was, now = (
                f"{100 * row[name]:.1f} %" if name == "fpr" else f"{row[name]:.3f}"
                for row in (clean, worst)
            )
            limits.append(
                f"After {worst['chain']} {now} {words}, {was} before, on {record['clips']} clips "
                f"at a threshold of {record['threshold']:.3f}."
                if name == "fpr"
                else f"After {worst['chain']} the AUROC is {now}, {was} before, on "
                f"{record['clips']} clips."
            )
    return Found(measured=tuple(measured), limits=tuple(limits))


def _intervals(folder: Path) -> dict[str, tuple[float, float]]:
    """Return the intervals of a study of robustness on clips as they are, if it has some."""
    if not (folder / STUDIED).is_dir():
        return {}
    ds = open_study(folder).isel(detector=0)
    clean = ds.isel(setting=int(np.argmin(ds["level"].to_numpy())))
    found = {
        name: (float(clean[name].sel(bound="low")), float(clean[name].sel(bound="high")))
        for name in ("auroc", "fpr", "tpr")
    }
    return {name: ends for name, ends in found.items() if all(map(math.isfinite, ends))}


def _false_alarms(ds: xr.Dataset, at: str, mean: str) -> list[str]:
    """Name the data set whose reals are most often called fake."""
    if "fpr" not in ds or not np.isfinite(rates := ds["fpr"].to_numpy()).any():
        return []
    worst = int(np.nanargmax(rates))
    low, high = (100 * float(ds[f"fpr{end}"][worst]) for end in ("_low", "_high"))
    sure = f" ({low:.1f} to {high:.1f} %)" if math.isfinite(low + high) else ""
    return [
        f"Above {at}, {100 * rates[worst]:.1f} %{sure} of the real clips of "
        f"{ds['dataset'][worst].item()} are called fake, the most of {len(rates)} data sets{mean}."
    ]


def _by_method(one: xr.Dataset, name: str, mean: str) -> list[str]:
    """Name the methods that are not told from reals better than by chance, or by luck."""
    if not {"auroc", "auroc_low"} <= set(one) or "method" not in one["auroc"].dims:
        return []
    values, lows = (one[key].to_numpy() for key in ("auroc", "auroc_low"))
    methods = one["method"].to_numpy().tolist()
    lost = [
        f"{method} ({value:.3f}, {f'from {low:.3f}' if np.isfinite(low) else 'no interval'})"
        for method, value, low in zip(methods, values, lows, strict=True)
        if method != ALL and np.isfinite(value) and not low > CHANCE
    ]
    if not lost:
        return []
    return [f"On {name}{mean}, AUROC is not shown to be above chance for {', '.join(lost)}."]


def _unexamined(one: xr.Dataset, name: str) -> list[str]:
    if not {"clips", "examined"} <= set(one):
        return []
    clips, examined = (float(one[key].sum(skipna=False)) for key in ("clips", "examined"))
    if not math.isfinite(clips):
        return [f"In how many clips of {name} no face was found is not recorded."]
    if examined == clips:
        return []
    return [
        f"{clips - examined:,.0f} of {clips:,.0f} clips of {name} had no face and are in no number."
    ]


def _measured(data: str, metric: str, value: float, low: float, high: float) -> list[Measured]:
    if not math.isfinite(value):
        return []
    known = math.isfinite(low) and math.isfinite(high)
    return [
        Measured(
            data=data, metric=metric, value=value, low=low if known else None,
            high=high if known else None,
        )
    ]  # fmt: skip


def _known(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _detector(detectors: Sequence[Mapping[str, Any]], adapter: str, folder: Path) -> str:
    names = [str(d["name"]) for d in detectors if d["hash"] == adapter]
    if not names:
        there = ", ".join(f"{d['name']} ({d['hash'][:12]})" for d in detectors)
        raise InvalidArgument(
            f"{folder} has no adapter {adapter[:12]}; it compares {there}: evaluate this one."
        )
    return names[0]


def _seeds(detectors: Sequence[Mapping[str, Any]], name: str) -> int:
    return sum(d["name"] == name for d in detectors)


def _same(found: str, adapter: str, folder: Path) -> None:
    if found != adapter:
        raise InvalidArgument(
            f"{folder} is of adapter {found[:12]}, not of {adapter[:12]}; study this one."
        )
