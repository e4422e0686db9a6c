"""How sure a comparison is: scores of clips enter, estimates with intervals leave.

All numbers are computed on the same resamples of connected components, over all data sets at once,
and of each detector's seeds; so differences are paired, and people whom data sets share are drawn
together. Clips and frames are never drawn by themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from gendkit.evaluate.benchmark.transfer import texts
from gendkit.measure.intervals import Interval, crossed
from gendkit.measure.metrics import Ranked

ALL = "all"
"""The method that stands for all of a data set's fakes together."""
GRID = np.linspace(0, 1, 101)
"""FPR of the ROC curves."""
COMPONENT = "component"
ENDS = ("", "_low", "_high")
SUMMARIES = ("pooled", "mean", "mean without selection")
Floats = NDArray[np.float64]
Counts = Mapping[str, NDArray[np.int64]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Clips:
    """The scores of one detector's seeds on one data set.

    Attributes
    ----------
    detector, dataset
        Their places in the comparison.
    table
        One row a clip: `label`, `method`, `component`.
    scores
        (S, N) P(fake), one row a seed.
    """

    detector: int
    dataset: int
    table: pd.DataFrame
    scores: Floats

    @cached_property
    def labels(self) -> NDArray[np.int64]:
        """0 real, 1 fake (N,)."""
        return self.table["label"].to_numpy("int64")

    @cached_property
    def components(self) -> NDArray[np.int64]:
        """Of each clip (N,)."""
        return self.table["component"].to_numpy("int64")

    def rows(self, method: str) -> NDArray[np.int64]:
        """Return the clips that are compared for a method: its fakes, and all reals."""
        if method == ALL:
            return np.arange(len(self.table))
        fakes = (self.table["method"] == method).to_numpy()
        return np.flatnonzero(fakes | (self.labels == 0))


class RocCurve:
    """The ROC curve of some scores (N,), for many weights of the items."""

    def __init__(self, labels: NDArray[np.int64], scores: Floats) -> None:
        self._order = np.argsort(-scores, kind="stable")
        ordered = scores[self._order]
        self._last = np.append(ordered[1:] != ordered[:-1], len(ordered) > 0)
        self._fake = labels[self._order] == 1

    def at(self, weights: Floats, grid: Floats = GRID) -> Floats:
        """Return the share of fakes found by share of reals called fake, on straight lines.

        NaN if a class has no weight.
        """
        w = weights[self._order]
        fpr, tpr = (
            np.append(0.0, np.cumsum(np.where(kind, w, 0.0))[self._last])
            for kind in (~self._fake, self._fake)
        )
        if not (fpr[-1] and tpr[-1]):
            return np.full(len(grid), np.nan)
        return np.asarray(np.interp(grid, fpr / fpr[-1], tpr / tpr[-1]))


@dataclass(frozen=True, kw_only=True, eq=False)
class _Question:
    """All that is asked of one detector on one data set, ready to be weighed."""

    clips: Clips
    ranked: Mapping[int, tuple[NDArray[np.int64], Ranked]]
    curves: tuple[RocCurve, ...]
    called: NDArray[np.bool_]

    def answers(self, weights: Floats, seeds: Floats) -> dict[tuple[str, tuple[int, ...]], float]:
        """Return named numbers for weights of components (C,) and of seeds (S,)."""
        c, drawn = self.clips, seeds > 0
        w, at = weights[c.components], (c.detector, c.dataset)
        found: dict[tuple[str, tuple[int, ...]], float] = {}
        for method, (rows, ranked) in self.ranked.items():
            found["auroc", (*at, method)] = float(_mean(ranked.auroc(w[rows]), seeds))
        curve = _mean(np.array([r.at(w) if d else GRID for r, d in
                                zip(self.curves, drawn, strict=True)]), seeds)  # fmt: skip
        found |= {("roc", (*at, i)): float(v) for i, v in enumerate(curve)}
        rates = []
        for name, label in (("fpr", 0), ("tpr", 1)):
            own = np.where(c.labels == label, w, 0.0)
            total = own.sum()
            rates.append(float(_mean(self.called @ own / total, seeds)) if total else float("nan"))
            found[name, at] = rates[-1]
        found["balanced_accuracy", at] = (1 - rates[0] + rates[1]) / 2
        return found

    def levels(self) -> Iterator[tuple[tuple[str, tuple[int, ...]], int]]:
        """Yield of how many components each number is, of the class that has fewer."""
        c, at = self.clips, (self.clips.detector, self.clips.dataset)
        for method, (rows, _) in self.ranked.items():
            yield ("auroc", (*at, method)), _components(c.labels[rows], c.components[rows])
        whole = _components(c.labels, c.components)
        yield from ((("roc", (*at, i)), whole) for i in range(len(GRID)))
        yield from (((name, at), whole) for name in ("balanced_accuracy", "method_mean"))
        for name, label in (("fpr", 0), ("tpr", 1)):
            yield (name, at), len(np.unique(c.components[c.labels == label]))


def answered(
    clips: Sequence[Clips],
    *,
    detectors: Sequence[str],
    datasets: Sequence[str],
    methods: Sequence[str],
    left_out: Iterable[int] = (),
    threshold: float = 0.5,
    resamples: int = 1000,
    seed: int = 0,
) -> xr.Dataset:
    """Return estimates with 95 % intervals; see the module.

    Parameters
    ----------
    clips
        One of each detector on each data set.
    detectors, datasets, methods
        Their names; the first method is `ALL`.
    left_out
        Places of the data sets that the last of `SUMMARIES` is without.
    threshold
        Called fake is what scores above it.
    resamples, seed
        Of the bootstrap.

    Returns
    -------
    xarray.Dataset
        Each with `_low` and `_high`:

        - `auroc` (detector, dataset, method): mean over the seeds;
        - `method_mean` (detector, dataset): mean of the AUROCs of the methods;
        - `fpr`, `tpr`, `balanced_accuracy` (detector, dataset): at the threshold;
        - `roc` (detector, dataset, fpr_grid): mean TPR over the seeds;
        - `overall` (detector, summary): AUROC of all clips together, mean of the data sets' AUROCs,
          and that without some data sets, as far as they can be estimated;
        - `components` (dataset) and `largest` (dataset): how many connected components its clips
          are of, and the share of clips in the largest. With a single one there is no interval,
          nor of a mean over it;
        - `difference` (detector, other, dataset) and `overall_difference` (detector, other,
          summary): AUROC of `detector` less that of `other`, paired.
    """
    sizes = (len(detectors), len(datasets), len(methods))
    asked = [_asked(c, methods, threshold) for c in clips]
    of = [[q for q in asked if q.clips.detector == d] for d in range(sizes[0])]
    pooled = [_pooled([q.clips for q in questions]) for questions in of]
    factors = {_seeds(d): len(questions[0].curves) for d, questions in enumerate(of)}
    components = 1 + max(int(c.components.max(initial=-1)) for c in clips)
    means = [list(range(sizes[1])), [k for k in range(sizes[1]) if k not in {*left_out}]]
    # A mean is over the same data sets in each resample: those with both classes.
    whole = {q.clips.dataset for q in asked if len(set(q.clips.labels.tolist())) < 2}
    means = [[k for k in some if k not in whole] for some in means]

    def statistic(counts: Counts) -> dict[str, float]:
        weights = counts[COMPONENT].astype(np.float64)
        found: dict[tuple[str, tuple[int, ...]], float] = {}
        for d, questions in enumerate(of):
            seeds = counts[_seeds(d)].astype(np.float64)
            for question in questions:
                found |= question.answers(weights, seeds)
                k, ranks = question.clips.dataset, question.ranked
                own = [found["auroc", (d, k, m)] for m in ranks if m]
                found["method_mean", (d, k)] = float(np.mean(own)) if own else float("nan")
            rows, ranked = pooled[d]
            found["overall", (d, 0)] = float(_mean(ranked.auroc(weights[rows]), seeds))
            for place, some in enumerate(means, start=1):
                own = [found["auroc", (d, k, 0)] for k in some]
                found["overall", (d, place)] = float(np.mean(own)) if own else float("nan")
        for a, b in combinations(range(sizes[0]), 2):
            for k in range(sizes[1]):
                apart = found["auroc", (a, k, 0)] - found["auroc", (b, k, 0)]
                found["difference", (a, b, k)] = apart
            for place in range(len(SUMMARIES)):
                apart = found["overall", (a, place)] - found["overall", (b, place)]
                found["overall_difference", (a, b, place)] = apart
        return {_key(name, at): value for (name, at), value in found.items()}

    intervals = crossed(
        statistic, {COMPONENT: components, **factors}, resamples=resamples, seed=seed,
        own={_key(*one): {COMPONENT: n} for one, n in _levels(of, means).items()},
    )  # fmt: skip
    ds = _laid_out(intervals, {
        "auroc": ("detector", "dataset", "method"), "method_mean": ("detector", "dataset"),
        "fpr": ("detector", "dataset"), "tpr": ("detector", "dataset"),
        "balanced_accuracy": ("detector", "dataset"), "roc": ("detector", "dataset", "fpr_grid"),
        "overall": ("detector", "summary"), "difference": ("detector", "other", "dataset"),
        "overall_difference": ("detector", "other", "summary"),
    }, {
        "detector": texts(detectors), "other": texts(detectors), "dataset": texts(datasets),
        "method": texts(methods), "summary": texts(SUMMARIES), "fpr_grid": GRID,
    })  # fmt: skip
    return _counted(ds, clips)


def _levels(
    of: Sequence[Sequence[_Question]], means: Sequence[Sequence[int]]
) -> dict[tuple[str, tuple[int, ...]], int]:
    """Return of how many components each number is; a difference is of the fewer of both.

    A mean is only defined in resamples with all of its data sets. One with a single component is
    the same in all of these, so that the mean counts as of a single one, too.
    """
    found: dict[tuple[str, tuple[int, ...]], int] = {}
    for d, questions in enumerate(of):
        found |= {one: n for question in questions for one, n in question.levels()}
        own = {question.clips.dataset: question.clips for question in questions}
        for place, some in enumerate([list(own), *means]):
            labels, components = (
                np.concatenate([np.zeros(0, np.int64), *(getattr(own[k], name) for k in some)])
                for name in ("labels", "components")
            )
            one = place > 0 and any(found["auroc", (d, k, 0)] < 2 for k in some)
            found["overall", (d, place)] = 1 if one else _components(labels, components)
    for a, b in combinations(range(len(of)), 2):
        for question in of[a]:
            k = question.clips.dataset
            both = [found["auroc", (d, k, 0)] for d in (a, b)]
            found["difference", (a, b, k)] = min(both)
        for place in range(len(SUMMARIES)):
            both = [found["overall", (d, place)] for d in (a, b)]
            found["overall_difference", (a, b, place)] = min(both)
    return found


def _counted(ds: xr.Dataset, clips: Sequence[Clips]) -> xr.Dataset:
    """Count the components of each data set."""
    shares = [[np.bincount(c.components) / max(1, len(c.components))
               for c in clips if c.dataset == k] for k in range(ds.sizes["dataset"])]  # fmt: skip
    counts = np.array([min(int((s > 0).sum()) for s in own) for own in shares])
    return ds.assign(
        components=("dataset", counts),
        largest=(
            "dataset",
            np.array([max(float(s.max(initial=0)) for s in own) for own in shares]),
        ),
    )


def _asked(clips: Clips, methods: Sequence[str], threshold: float) -> _Question:
    there = {ALL, *clips.table["method"][clips.labels == 1]}
    rows = {m: clips.rows(name) for m, name in enumerate(methods) if name in there}
    return _Question(
        clips=clips,
        ranked={m: (r, Ranked(clips.labels[r], clips.scores[:, r])) for m, r in rows.items()},
        curves=tuple(RocCurve(clips.labels, scores) for scores in clips.scores),
        called=clips.scores > threshold,
    )


def _pooled(clips: Sequence[Clips]) -> tuple[NDArray[np.int64], Ranked]:
    """Return the components of all clips of a detector, and their scores in order."""
    components, labels = (
        np.concatenate([getattr(c, name) for c in clips]) for name in ("components", "labels")
    )
    return components, Ranked(labels, np.concatenate([c.scores for c in clips], axis=1))


def _components(labels: NDArray[np.int64], components: NDArray[np.int64]) -> int:
    """Return how many components the class has that has fewer; a class that is not there is none.

    Where there is but one real, or one fake, of it all, no resample shows how these vary.
    """
    counts = [len(np.unique(components[labels == label])) for label in (0, 1)]
    return min((n for n in counts if n), default=0)


def _key(name: str, at: Sequence[int]) -> str:
    return f"{name} {' '.join(map(str, at))}"


def _mean(values: Floats, seeds: Floats) -> Floats:
    """Return the mean over the first axis, each seed as often as it was drawn."""
    drawn = seeds > 0
    return np.asarray(np.tensordot(seeds[drawn], values[drawn], axes=1) / seeds.sum())


def _laid_out(
    intervals: Mapping[str, Interval],
    dims: Mapping[str, tuple[str, ...]],
    coords: Mapping[str, np.ndarray],
) -> xr.Dataset:
    """Put named intervals where they belong; what was not asked is NaN."""
    shapes = {name: tuple(len(coords[dim]) for dim in own) for name, own in dims.items()}
    arrays = {f"{n}{end}": np.full(shape, np.nan) for n, shape in shapes.items() for end in ENDS}
    for key, i in intervals.items():
        name, *at = key.split(" ")
        place = tuple(map(int, at))
        for end, value in zip(ENDS, (i.value, i.low, i.high), strict=True):
            arrays[f"{name}{end}"][place] = value
        if "other" in dims[name]:  # the same, seen from the other side
            back = (place[1], place[0], *place[2:])
            for end, value in zip(ENDS, (-i.value, -i.high, -i.low), strict=True):
                arrays[f"{name}{end}"][back] = value
    return xr.Dataset(
        {f"{n}{end}": (own, arrays[f"{n}{end}"]) for n, own in dims.items() for end in ENDS},
        coords=dict(coords),
    )


def _seeds(detector: int) -> str:
    return f"seed of {detector}"
