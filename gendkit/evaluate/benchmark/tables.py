"""The tables of a benchmark: its Dataset enters, text for people leaves, and numbers for programs.

Beside a number stands what it rests on: the interval, the clips, how they were cropped, and whether
the data took part in a choice (†) or in the training (‡) of the detector.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from gendkit.evaluate.benchmark.clips import ALL
from gendkit.evaluate.benchmark.intervals import SUMMARIES
from gendkit.evaluate.benchmark.numbers import CLASSES
from gendkit.evaluate.benchmark.plan import NO, NOT_RECORDED, YES
from gendkit.markup import DASH, number
from gendkit.measure.levels import LEVELS

if TYPE_CHECKING:
    from gendkit.evaluate.benchmark.run import Benchmark

SELECTED, TRAINED = "†", "‡"
MARKS = (
    f"{SELECTED} The data set or its family took part in a selection of the detector, {TRAINED} in "
    "its training; ? that is not recorded."
)
_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    SELECTED: r"\textdagger{}", TRAINED: r"\textdaggerdbl{}", DASH: "--", "−": "$-$",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table for people.

    Attributes
    ----------
    name
        Of its files.
    caption
        What its numbers are.
    head, rows
        Text; the first `stubs` columns name the rows.
    alone
        What is said below it only where it stands without the other tables and the page.
    """

    name: str
    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    stubs: int = 1
    alone: str = ""

    def markdown(self) -> str:
        """Return it as a Markdown table, with its caption below."""
        lines = [self.head, ["---"] * self.stubs + ["---:"] * (len(self.head) - self.stubs)]
        cells = [[_one_line(c).replace("|", r"\|") for c in line] for line in [*lines, *self.rows]]
        body = "\n".join(f"| {' | '.join(line)} |" for line in cells)
        return f"{body}\n\n{self._below}\n"

    def latex(self) -> str:
        """Return it as a LaTeX table, for the package booktabs."""
        lines = [[_latex(cell) for cell in line] for line in (self.head, *self.rows)]
        head, *rows = [" & ".join(line) + r" \\" for line in lines]
        columns = "l" * self.stubs + "r" * (len(self.head) - self.stubs)
        return "\n".join([
            r"\begin{table}", r"\centering", rf"\begin{{tabular}}{{{columns}}}", r"\toprule", head,
            r"\midrule", *rows, r"\bottomrule", r"\end{tabular}",
            rf"\caption{{{_latex(self._below)}}}", rf"\label{{tab:{self.name}}}", r"\end{table}",
            "",
        ])  # fmt: skip

    @property
    def _below(self) -> str:
        return f"{self.caption} {self.alone}".strip()

    def frame(self) -> pd.DataFrame:
        """Return it as a DataFrame of text."""
        return pd.DataFrame(list(self.rows), columns=list(self.head))


def tables(benchmark: Benchmark) -> list[Table]:
    """Return all tables: AUROC by data set, metrics, methods, differences, transfer, coverage."""
    ds = benchmark.ds
    crops, inputs = _rests_on(ds), _inputs(ds)
    rests = f"{crops} {inputs} {MARKS}"
    return [
        Table(
            name="auroc", head=("detector", *_counted_sets(ds), *SUMMARIES, "of a crop it takes"),
            alone=f"{crops} {MARKS}",
            rows=tuple(_auroc_rows(ds)),
            caption="AUROC of clips with its 95 % interval over connected components"
            f"{and_seeds(ds)}. Pooled is that of all clips together, the mean that of the data "
            "sets’; the last mean leaves out those that took part in the selection or the training "
            "of a detector.",
        ),
        Table(
            name="metrics", stubs=2, alone=f"{inputs} {MARKS}", rows=tuple(_metric_rows(ds)),
            head=("detector", "data set", "AUROC", "mean of methods’ AUROC", "average precision",
                  "EER", "TPR at FPR 1 %", "TPR at FPR 5 %", "balanced accuracy", "F1", "W1", "ECE",
                  "Brier", "real", "fake", "clips with a face", "crops"),
            caption=f"Metrics of clips{_of_seeds(ds)}. Called fake is what scores above "
            f"{ds.attrs['threshold']:g}.",
        ),
        Table(
            name="methods", stubs=2, head=("data set", "method", "fake", *_detectors(ds)),
            rows=tuple(_method_rows(ds)), alone=rests,
            caption="AUROC of the fakes of each method against all reals of the data set, with its "
            "95 % interval.",
        ),
        *([Table(
            name="differences", head=("detector", *map(str, ds["dataset"].to_numpy()), *SUMMARIES),
            rows=tuple(_difference_rows(ds)), alone=f"{_shared_clips(ds)} {rests}".strip(),
            caption="Difference in AUROC of the clips that both scored, paired: both on the same "
            "resamples.",
        )] if ds.sizes["detector"] > 1 else []),
        Table(
            name="transfer", stubs=3, rows=tuple(_transfer_rows(ds)), alone=rests,
            head=("detector", "FPR", "threshold of", "threshold", "its true FPR at most",
                  *map(str, ds["dataset"].to_numpy()), "worst"),
            caption="Threshold transfer: share of reals called fake / of fakes found, at the "
            f"threshold that the stated share of another data set’s reals exceeds{_of_seeds(ds)}. "
            "What the threshold’s true rate is at most on its own set is one-sided 95 % "
            "(Clopper–Pearson), clips that are linked counting as one"
            f"{', of several seeds the highest' if ds.sizes['seed'] > 1 else ''}.",
        ),
        Table(
            name="coverage", stubs=3, rows=tuple(_coverage_rows(ds)), alone=inputs,
            head=("data set", "class", "detector", "clips with a face", "crops", "crops made by",
                  "as in training", "components", "in the largest"),
            caption="Of how many clips there are scores. A clip without a face was not examined, "
            "and is in no number. Intervals resample connected components: clips that are linked "
            "by people or target clips.",
        ),
    ]  # fmt: skip


def auroc_table(benchmark: Benchmark) -> pd.DataFrame:
    """Return the AUROC of clips by detector, of each data set and of all together."""
    ds = benchmark.ds
    sets = ds["auroc"].sel({"method": ALL}).transpose("detector", "dataset").to_numpy()
    overall = ds["overall"].transpose("detector", "summary").to_numpy()
    columns = [*map(str, ds["dataset"].to_numpy()), *SUMMARIES]
    return pd.DataFrame(
        np.hstack([sets, overall]),
        index=pd.Index(_detectors(ds), name="detector"),
        columns=columns,
    )


def tidy(ds: xr.Dataset) -> pd.DataFrame:
    """Return all metrics as a table with one row a number.

    Columns `detector`, `dataset`, `method`, `seed`, `level`, `metric`, `value`.
    """
    parts = [ds[level].to_series().rename("value").reset_index().assign(level=level)
             for level in LEVELS]  # fmt: skip
    order = ["detector", "dataset", "method", "seed", "level", "metric", "value"]
    table = pd.concat(parts, ignore_index=True)[order]
    return table[table["value"].notna()].reset_index(drop=True)


def mark(ds: xr.Dataset, dataset: str, detector: str | None = None) -> str:
    """Return the marks of a data set, for one detector or for any."""
    of = ds.sel(dataset=dataset) if detector is None else ds.sel(dataset=dataset, detector=detector)
    states = [np.ravel(of[name].to_numpy()).tolist() for name in ("selected_on", "trained_on")]
    marks = "".join(m for m, s in zip((SELECTED, TRAINED), states, strict=True) if YES in s)
    return marks or ("?" if any(NOT_RECORDED in s for s in states) else "")


def estimated(value: float, low: float, high: float, *, sign: bool = False) -> str:
    """Return a number with its interval."""
    text = number(value, sign=sign)
    if not (math.isfinite(low) and math.isfinite(high)):
        return text
    return f"{text} ({number(low, sign=sign)} to {number(high, sign=sign)})"


def examined_words(ds: xr.Dataset, detector: str, dataset: str, kind: str) -> str:
    """Return of how many clips of a class there is a score."""
    of = ds.sel({"detector": detector, "dataset": dataset, "class": kind})
    clips, examined = float(of["clips"]), float(of["examined"])
    return f"{examined:,.0f} of {clips:,.0f}" if math.isfinite(clips) else f"{examined:,.0f} of ?"


def shared_clips(ds: xr.Dataset, one: str, other: str) -> dict[str, float]:
    """Return how many clips two detectors both scored of data sets, where these are not all."""
    both = ds["difference_clips"].sel(detector=one, other=other)
    own = ds["examined"].sel(detector=[one, other]).sum("class")
    cut = (own != both).any("detector").to_numpy()
    return {str(k): float(both.sel(dataset=k)) for k in ds["dataset"].to_numpy()[cut]}


def _auroc_rows(ds: xr.Dataset) -> Iterator[tuple[str, ...]]:
    for d in _detectors(ds):
        own = ds.sel(detector=d)
        sets = map(str, ds["dataset"].to_numpy())
        overall = [own.sel(summary=name) for name in SUMMARIES]
        yield (_with_seeds(ds, d),
               *(f"{_estimate(own.sel({'dataset': k, 'method': ALL}), 'auroc')} {mark(ds, k, d)}"
                 .strip() for k in sets),
               *(_estimate(s, "overall") for s in overall),
               str(own["preprocessing"].item()))  # fmt: skip


def _metric_rows(ds: xr.Dataset) -> Iterator[tuple[str, ...]]:
    mean = ds["video"].sel({"method": ALL}).mean("seed")
    for d in _detectors(ds):
        for k in map(str, ds["dataset"].to_numpy()):
            of, own = mean.sel(detector=d, dataset=k), ds.sel(detector=d, dataset=k)

            def value(name: str, of: xr.DataArray = of) -> str:
                return number(float(of.sel(metric=name)))

            reals, fakes = (int(of.sel(metric=f"n_{c}")) for c in CLASSES)
            fprs = [value(f"tpr_at_fpr_{rate}") for rate in ("0.01", "0.05")]
            yield (
                d, f"{k} {mark(ds, k, d)}".strip(), _estimate(own.sel({"method": ALL}), "auroc"),
                _estimate(own, "method_mean"), value("average_precision"), value("eer"),
                *(f"not estimable ({reals} real)" if t == DASH and fakes else t for t in fprs),
                _estimate(own, "balanced_accuracy"), value("f1"), value("w1_separation"),
                value("ece"), value("brier"), f"{reals:,}", f"{fakes:,}",
                ", ".join(f"{examined_words(ds, d, k, c)} {c}" for c in CLASSES),
                _made(own),
            )  # fmt: skip


def _method_rows(ds: xr.Dataset) -> Iterator[tuple[str, ...]]:
    for k in map(str, ds["dataset"].to_numpy()):
        for m in map(str, ds["method"].to_numpy()):
            of = ds.sel({"dataset": k, "method": m})
            fakes = of["video"].sel(metric="n_fake").max(skipna=True)
            if m == ALL or not np.isfinite(fakes):
                continue
            yield (k, m, f"{int(fakes):,}",
                   *(_estimate(of.sel(detector=d), "auroc") for d in _detectors(ds)))  # fmt: skip


def _difference_rows(ds: xr.Dataset) -> Iterator[tuple[str, ...]]:
    for one, other in combinations(_detectors(ds), 2):
        of = ds.sel(detector=one, other=other)
        yield (f"{one} − {other}",
               *(_estimate(of.sel(dataset=k), "difference", sign=True)
                 for k in ds["dataset"].to_numpy()),
               *(_estimate(of.sel(summary=s), "overall_difference", sign=True)
                 for s in SUMMARIES))  # fmt: skip


def _transfer_rows(ds: xr.Dataset) -> Iterator[tuple[str, ...]]:
    mean = ds[["transfer_threshold", "transfer_fpr", "transfer_tpr"]].mean("seed")
    video = ds["video"].sel({"method": ALL})
    for d in _detectors(ds):
        for rate in ds["rate"].to_numpy():
            for source in map(str, ds["source"].to_numpy()):
                at = mean.sel(detector=d, rate=rate, source=source)
                last = ds.sel(detector=d, rate=rate, source=source)
                threshold = float(at["transfer_threshold"])
                bound = float(last["transfer_bound"].max())
                reals = int(video.sel(detector=d, dataset=source, metric="n_real").max())
                worst = str(last["worst"].item())
                yield (
                    d, f"{100 * rate:g} %", source,
                    number(threshold) if math.isfinite(threshold)
                    else f"not estimable ({reals} real)",
                    f"{100 * bound:.1f} %" if math.isfinite(bound) else DASH,
                    *(f"{_share(at['transfer_fpr'], t)} / {_share(at['transfer_tpr'], t)}"
                      for t in ds["target"].to_numpy()),
                    f"{worst} ({100 * float(last['worst_fpr']):.1f} %)" if worst else DASH,
                )  # fmt: skip


def _coverage_rows(ds: xr.Dataset) -> Iterator[tuple[str, ...]]:
    for k in map(str, ds["dataset"].to_numpy()):
        for kind in CLASSES:
            for d in _detectors(ds):
                of = ds.sel({"dataset": k, "class": kind, "detector": d})
                yield (k, kind, d, examined_words(ds, d, k, kind), f"{int(of['crops']):,}",
                       str(of["crops_made"].item()), str(of["same_crops"].item()),
                       f"{int(of['components']):,}",
                       f"{100 * float(of['largest']):.0f} %")  # fmt: skip


def _rests_on(ds: xr.Dataset) -> str:
    """Say of how many clips of each data set there are scores, and how its crops were made."""
    parts = []
    for k in map(str, ds["dataset"].to_numpy()):
        counts = ds[["clips", "examined"]].sel(dataset=k).sum("class", skipna=False)
        scored = _span(counts["examined"].to_numpy())
        whole = counts["clips"].to_numpy()
        of = _span(whole) if np.isfinite(whole).all() else "?"
        made = {_made(ds.sel(dataset=k, detector=d)): None for d in _detectors(ds)}
        parts.append(f"{f'{k} {mark(ds, k)}'.strip()}: {scored} of {of}, {' or '.join(made)}")
    return f"Clips with a face, and how these were cropped: {'. '.join(parts)}."


def _inputs(ds: xr.Dataset) -> str:
    """Say what each detector takes of a crop."""
    taken = dict(zip(_detectors(ds), map(str, ds["preprocessing"].to_numpy()), strict=True))
    if len(set(taken.values())) == 1:
        return f"Of a crop is taken {next(iter(taken.values()))}."
    return f"Of a crop {'; '.join(f'{name} takes {what}' for name, what in taken.items())}."


def _shared_clips(ds: xr.Dataset) -> str:
    """Say of how many clips a difference is where these are not all of either detector."""
    parts = [
        f"{one} − {other} on {k} is of {both:,.0f} clips"
        for one, other in combinations(_detectors(ds), 2)
        for k, both in shared_clips(ds, one, other).items()
    ]
    return f"{'; '.join(parts)}." if parts else ""


def _made(of: xr.Dataset) -> str:
    word = {YES: "", NO: "; not as in training", NOT_RECORDED: ""}[str(of["same_crops"].item())]
    return f"{of['crops_made'].item()}{word}"


def _share(of: xr.DataArray, target: str) -> str:
    value = float(of.sel(target=target))
    return f"{100 * value:.1f} %" if math.isfinite(value) else DASH


def _estimate(of: xr.Dataset, name: str, *, sign: bool = False) -> str:
    return estimated(*(float(of[f"{name}{end}"]) for end in ("", "_low", "_high")), sign=sign)


def _detectors(ds: xr.Dataset) -> list[str]:
    return [str(name) for name in ds["detector"].to_numpy()]


def _counted_sets(ds: xr.Dataset) -> list[str]:
    """Return the data sets, and of how many clips the numbers are."""
    counts = ds["examined"].sum("class")
    return [f"{k} ({_span(counts.sel(dataset=k).to_numpy())} clips)"
            for k in map(str, ds["dataset"].to_numpy())]  # fmt: skip


def _span(counts: NDArray[np.float64]) -> str:
    """Return a number, or the least and the most of several."""
    return " to ".join(f"{n:,.0f}" for n in dict.fromkeys((counts.min(), counts.max())))


def _with_seeds(ds: xr.Dataset, detector: str) -> str:
    seeds = seeds_of(ds, detector)
    return f"{detector} ({seeds} seeds)" if seeds > 1 else detector


def seeds_of(ds: xr.Dataset, detector: str) -> int:
    """Return how many seeds a detector has."""
    counts = ds["video"].sel({"detector": detector, "method": ALL, "metric": "n_fake"})
    return int(counts.max("dataset").count())


def and_seeds(ds: xr.Dataset) -> str:
    """Return what an interval is over besides people: seeds, where a detector has several."""
    return " and seeds" if _has_seeds(ds) else ""


def _of_seeds(ds: xr.Dataset) -> str:
    return ", the mean over the seeds" if _has_seeds(ds) else ""


def _has_seeds(ds: xr.Dataset) -> bool:
    return any(seeds_of(ds, str(name)) > 1 for name in ds["detector"].to_numpy())


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _latex(text: str) -> str:
    escaped = "".join(_LATEX.get(c, c) for c in _one_line(text))
    return re.sub(r"(?<=\d) \\%", r"\\,\\%", escaped)
