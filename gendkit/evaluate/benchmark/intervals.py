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
import xarray as xr
from numpy.typing import NDArray

from gendkit.evaluate.benchmark.clips import ALL, Clips
from gendkit.evaluate.benchmark.transfer import texts
from gendkit.measure.intervals import (
    COMPONENT,
    Counts,
    Floats,
    Interval,
    components_of_mean,
    crossed,
    rarer_components,
)
from gendkit.measure.metrics import Ranked

GRID = np.linspace(0, 1, 101)
"""FPR of the ROC curves."""
ENDS = ("", "_low", "_high")
SUMMARIES = ("pooled", "mean", "mean without selection")


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
            yield ("auroc", (*at, method)), rarer_components(c.labels[rows], c.components[rows])
        whole = rarer_components(c.labels, c.components)
        yield from ((("roc", (*at, i)), whole) for i in range(len(GRID)))
        yield from (((name, at), whole) for name in ("balanced_accuracy", "method_mean"))
        for name, label in (("fpr", 0), ("tpr", 1)):
            yield (name, at), len(np.unique(c.components[c.labels == label]))


class _Detector:
    """The AUROCs of one detector: of each data set, of all its clips, and means over data sets.

    Parameters
    ----------
    clips
        Its own, of each data set.
    means
        Data sets over which means are.
    cut
        Data sets of which these are not all its clips.
    """

    def __init__(
        self, clips: Sequence[Clips], means: Sequence[Sequence[int]], *, cut: Iterable[int] = ()
    ) -> None:
        self.place = clips[0].detector
        self.clips = {c.dataset: c for c in clips}
        self.means = means
        self._cut = {k: Ranked(self.clips[k].labels, self.clips[k].scores) for k in cut}
        self._labels = np.concatenate([c.labels for c in clips])
        self._components = np.concatenate([c.components for c in clips])
        self._pooled = Ranked(self._labels, np.concatenate([c.scores for c in clips], axis=1))

    def answers(
        self, of_all: Mapping[int, float], weights: Floats, seeds: Floats
    ) -> tuple[dict[int, float], tuple[float, ...]]:
        """Return the AUROC of each data set, and the numbers of `SUMMARIES`.

        Parameters
        ----------
        of_all
            By data set, what it is of all clips of the detector.
        weights, seeds
            Of components (C,) and of seeds (S,).
        """
        aurocs = dict(of_all)
        for k, ranked in self._cut.items():
            own = weights[self.clips[k].components]
            aurocs[k] = float(_mean(ranked.auroc(own), seeds))
        pooled = float(_mean(self._pooled.auroc(weights[self._components]), seeds))
        means = (
            float(np.mean([aurocs[k] for k in some])) if some else float("nan")
            for some in self.means
        )
        return aurocs, (pooled, *means)

    @cached_property
    def levels(self) -> tuple[dict[int, int], tuple[int, ...]]:
        """Of how many components the AUROC of each data set is, and each summary."""
        of = {k: (c.labels, c.components) for k, c in self.clips.items()}
        means = (components_of_mean([of[k] for k in some]) for some in self.means)
        own = {k: rarer_components(*part) for k, part in of.items()}
        return own, (rarer_components(self._labels, self._components), *means)


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
          summary): AUROC of `detector` less that of `other`, paired, of the clips that both have;
          where these lack a class, NaN, as is a mean over such a data set;

        and, without ends, `difference_clips` (detector, other, dataset): how many these are.
    """
    sizes = (len(detectors), len(datasets), len(methods))
    asked = [_asked(c, methods, threshold) for c in clips]
    of = [[q for q in asked if q.clips.detector == d] for d in range(sizes[0])]
    factors = {_seeds(d): len(questions[0].curves) for d, questions in enumerate(of)}
    components = 1 + max(int(c.components.max(initial=-1)) for c in clips)
    # A mean is over the same data sets in each resample: those with both classes.
    one_class = {q.clips.dataset for q in asked if len(set(q.clips.labels.tolist())) < 2}
    every = [k for k in range(sizes[1]) if k not in one_class]
    means = [every, [k for k in every if k not in {*left_out}]]
    whole = [_Detector([q.clips for q in questions], means) for questions in of]
    pairs = _pairs(whole)

    def statistic(counts: Counts) -> dict[str, float]:
        weights = counts[COMPONENT].astype(np.float64)
        drawn = [counts[_seeds(d)].astype(np.float64) for d in range(sizes[0])]
        found: dict[tuple[str, tuple[int, ...]], float] = {}
        known: dict[_Detector, tuple[dict[int, float], tuple[float, ...]]] = {}
        for d, questions in enumerate(of):
            for question in questions:
                found |= question.answers(weights, drawn[d])
                k, ranks = question.clips.dataset, question.ranked
                own = [found["auroc", (d, k, m)] for m in ranks if m]
                found["method_mean", (d, k)] = float(np.mean(own)) if own else float("nan")
            aurocs = {q.clips.dataset: found["auroc", (d, q.clips.dataset, 0)] for q in questions}
            known[whole[d]] = whole[d].answers(aurocs, weights, drawn[d])
            found |= {("overall", (d, i)): v for i, v in enumerate(known[whole[d]][1])}
        for pair, both in pairs.items():
            for one in both:
                if one not in known:
                    aurocs = known[whole[one.place]][0]
                    known[one] = one.answers(aurocs, weights, drawn[one.place])
            (first, firsts), (second, seconds) = (known[one] for one in both)
            found |= {("difference", (*pair, k)): first[k] - second[k] for k in first}
            found |= {("overall_difference", (*pair, i)): x - y
                      for i, (x, y) in enumerate(zip(firsts, seconds, strict=True))}  # fmt: skip
        return {_key(name, at): value for (name, at), value in found.items()}

    intervals = crossed(
        statistic, {COMPONENT: components, **factors}, resamples=resamples, seed=seed,
        own={_key(*one): {COMPONENT: n} for one, n in _levels(of, whole, pairs).items()},
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
    shared = np.full((sizes[0], sizes[0], sizes[1]), np.nan)
    for (a, b), (one, _) in pairs.items():
        for k, c in one.clips.items():
            shared[a, b, k] = shared[b, a, k] = len(c.table)
    ds["difference_clips"] = (("detector", "other", "dataset"), shared)
    return _counted(ds, clips)


def _pairs(whole: Sequence[_Detector]) -> dict[tuple[int, int], tuple[_Detector, _Detector]]:
    """Return each two detectors on the clips that both have; where these are all, as they are."""
    made: dict[tuple[int, bytes], _Detector] = {}

    def on(one: _Detector, other: _Detector) -> _Detector:
        rows = {k: c.names.isin(other.clips[k].names) for k, c in one.clips.items()}
        cut = [k for k, there in rows.items() if not there.all()]
        if not cut:
            return one
        key = (one.place, np.concatenate(list(rows.values())).tobytes())
        if key not in made:
            made[key] = _Detector([c.at(rows[k]) for k, c in one.clips.items()], one.means, cut=cut)
        return made[key]

    return {(a.place, b.place): (on(a, b), on(b, a)) for a, b in combinations(whole, 2)}


def _levels(
    of: Sequence[Sequence[_Question]],
    whole: Sequence[_Detector],
    pairs: Mapping[tuple[int, int], tuple[_Detector, _Detector]],
) -> dict[tuple[str, tuple[int, ...]], int]:
    """Return of how many components each number is; a difference is of the fewer of both."""
    found: dict[tuple[str, tuple[int, ...]], int] = {}
    for d, (questions, one) in enumerate(zip(of, whole, strict=True)):
        found |= {name: n for question in questions for name, n in question.levels()}
        found |= {("overall", (d, place)): n for place, n in enumerate(one.levels[1])}
    for pair, both in pairs.items():
        (first, firsts), (second, seconds) = (one.levels for one in both)
        found |= {("difference", (*pair, k)): min(n, second[k]) for k, n in first.items()}
        found |= {("overall_difference", (*pair, place)): min(at)
                  for place, at in enumerate(zip(firsts, seconds, strict=True))}  # fmt: skip
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
