"""Who is scored on what, and what a reader of the numbers must know of it.

Contenders and data sets enter; jobs, tables of scores and the facts that stand beside every number
leave.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from gendkit import __version__
from gendkit.data.coverage import coverage
from gendkit.data.links import CLIP
from gendkit.data.manifest import COVERAGE
from gendkit.evaluate.benchmark.clips import ALL
from gendkit.evaluate.benchmark.contenders import NO_SEED, Contender
from gendkit.evaluate.benchmark.data_sets import DataSet, Part, Source, crop_words, same_crops
from gendkit.evaluate.benchmark.numbers import CLASSES, Scored
from gendkit.evaluate.benchmark.scores import ABOUT, Job, score_table
from gendkit.evaluate.benchmark.transfer import texts
from gendkit.evaluate.final import final_of, times_logged
from gendkit.measure.intervals import joint_components
from gendkit.train.record import versions

Tables = dict[tuple[int, int], pd.DataFrame]
FORMAT = 3
"""Raised when the same scores would give another result."""
MOST = 0.5
"""Share of clips in one connected component, above which it is pointed out."""
FEW = 10
"""Connected components below which intervals are pointed out as too narrow."""
NO, YES, NOT_RECORDED = "no", "yes", "not recorded"
REFERENCE = ("files", "labels", "prob_class_0", "prob_class_1")
"""Columns of `test_predictions.csv`, as `src/model/base.py` of the released GenD code writes it.

There, numbers are rounded to four digits, which makes scores tie; here they are not.
"""


@dataclass(frozen=True, kw_only=True, eq=False)
class Plan:
    """A comparison before anything is scored.

    Attributes
    ----------
    contenders, sets
        Who, and on what.
    parts
        By the places of a contender and a data set, its crops.
    jobs
        What is to be scored, by the places of a contender and a manifest.
    sources
        The manifests.
    """

    contenders: tuple[Contender, ...]
    sets: tuple[DataSet, ...]
    parts: Mapping[tuple[int, int], Part]
    jobs: Mapping[tuple[int, int], Job]
    sources: tuple[Source, ...]

    @classmethod
    def of(cls, who: Sequence[Contender], what: Sequence[DataSet]) -> Plan:
        """Find the crops of each contender on each data set.

        Raises
        ------
        InvalidArgument
            If a data set is there in several ways, and none fits; see `DataSet.part_for`.
        """
        parts = {
            (i, k): data.part_for(one.cropped, one.name)
            for i, one in enumerate(who)
            for k, data in enumerate(what)
        }
        sources = tuple({id(part.of): part.of for part in parts.values()}.values())
        jobs = {}
        for (i, _), part in parts.items():
            place = (i, sources.index(part.of))
            if place not in jobs:
                jobs[place] = Job(
                    adapter=who[i].adapter, dtype=who[i].dtype, detector=who[i].detector,
                    manifest=part.of.crops, crops=part.of.digest,
                )  # fmt: skip
        return cls(contenders=tuple(who), sets=tuple(what), parts=parts, jobs=jobs, sources=sources)

    @property
    def detectors(self) -> list[str]:
        """Names of the detectors."""
        return list(dict.fromkeys(one.name for one in self.contenders))

    @property
    def datasets(self) -> list[str]:
        """Names of the data sets."""
        return [data.name for data in self.sets]

    def of_detector(self, name: str) -> list[int]:
        """Return the places of a detector's seeds, in their order."""
        own = [i for i, one in enumerate(self.contenders) if one.name == name]
        return sorted(own, key=lambda i: self.contenders[i].seed)

    def inputs(self, options: Mapping[str, Any]) -> str:
        """Return a hash of all that the result depends on."""
        facts = {
            "format": FORMAT,
            "gendkit": __version__,
            "options": dict(options),
            "who": [
                [c.name, c.seed, dict(c.cropped),
                 *(sorted(s) if s is not None else None for s in (c.trained_on, c.selected_on))]
                for c in self.contenders
            ],
            "what": [[d.name, sorted(d.datasets)] for d in self.sets],
            "jobs": [job.key for job in self.jobs.values()],
            "rows": [_rows_digest(source) for source in self.sources],
        }  # fmt: skip
        text = json.dumps(facts, sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()

    def components(self, alike: Sequence[Sequence[str]] = ()) -> list[NDArray[np.int64]]:
        """Return the connected component of each crop of each manifest, over all of them.

        Raises
        ------
        InvalidArgument
            For groups of data sets that are none; see `joint_components`. They may name data sets
            that only took part in a training or a selection.
        """
        there = {str(name) for s in self.sources for name in s.crops.table["dataset"].unique()}
        elsewhere = {
            name for c in self.contenders for some in (c.trained_on, c.selected_on)
            for name in some or () if name not in there
        }  # fmt: skip
        groups = [[name for name in group if name not in elsewhere] for group in alike]
        return joint_components([source.crops for source in self.sources], alike=groups)

    def tables(self, folder: Path, components: Sequence[NDArray[np.int64]]) -> Tables:
        """Return the scores of each contender on each data set, by their places."""
        found: Tables = {}
        for (i, k), part in self.parts.items():
            place = self.sources.index(part.of)
            table = score_table(self.jobs[i, place], folder, components[place])
            found[i, k] = table[part.rows]
        return found

    def scored(self, tables: Tables) -> tuple[list[Scored], list[str]]:
        """Return the scores of each detector on each data set, and what was left out of them.

        Crops of which a seed gave no number are left out for all seeds of that detector.
        """
        found, left = [], []
        for d, name in enumerate(self.detectors):
            seeds = self.of_detector(name)
            for k, data in enumerate(self.sets):
                own = [tables[i, k] for i in seeds]
                finite = np.all([np.isfinite(t["p_fake"].to_numpy()) for t in own], axis=0)
                if not finite.all():
                    left.append(
                        f"{name} gives no number for {int((~finite).sum()):,} of {len(finite):,} "
                        f"crops of {data.name}; they are left out of its numbers."
                    )
                found.append(
                    Scored(
                        detector=d,
                        dataset=k,
                        seeds=tuple(self.contenders[i].seed for i in seeds),
                        tables=tuple(t[finite].reset_index(drop=True) for t in own),
                    )
                )
        return found, left

    def facts(self, scored: Sequence[Scored], alike: Sequence[Sequence[str]] = ()) -> xr.Dataset:
        """Return what stands beside the numbers; see `gendkit.evaluate.benchmark.run.benchmark`."""
        sizes = (len(self.detectors), len(self.sets))
        clips, examined, crops = (np.full((*sizes, 2), np.nan) for _ in range(3))
        words = {name: np.full(sizes, NOT_RECORDED, dtype=object)
                 for name in ("crops_made", "same_crops", "trained_on", "selected_on")}  # fmt: skip
        for one in scored:
            at, data = (one.detector, one.dataset), self.sets[one.dataset]
            seeds = self.of_detector(self.detectors[one.detector])
            part, first = self.parts[seeds[0], one.dataset], self.contenders[seeds[0]]
            for label in (0, 1):
                there = one.tables[0][one.tables[0]["label"] == label]
                examined[at][label] = len(there.drop_duplicates(CLIP))
                crops[at][label] = len(there)
            clips[at] = _clips(part)
            made = part.of.made
            words["crops_made"][at] = crop_words(made)
            if "extractor" in made and "extractor" in first.cropped:
                words["same_crops"][at] = YES if same_crops(made, first.cropped) else NO
            for name in ("trained_on", "selected_on"):
                sets = [getattr(self.contenders[i], name) for i in seeds]
                words[name][at] = _took_part(sets, _family(data.datasets, alike))
        by_class, dims = ("detector", "dataset", "class"), ("detector", "dataset")
        final = [_final(data) for data in self.sets]
        first_seeds = [self.contenders[self.of_detector(name)[0]] for name in self.detectors]
        inputs = [preprocessing_words(one) for one in first_seeds]
        return xr.Dataset(
            {
                "clips": (by_class, clips),
                "examined": (by_class, examined),
                "crops": (by_class, crops),
                **{name: (dims, values) for name, values in words.items()},
                "preprocessing": ("detector", texts(inputs)),
                "final_crops": ("dataset", [crops for crops, _ in final]),
                "final_evaluations": ("dataset", [times for _, times in final]),
            },
            coords={
                "detector": texts(self.detectors), "dataset": texts(self.datasets),
                "class": texts(CLASSES),
            },
        )  # fmt: skip

    def record(self) -> dict[str, Any]:
        """Return who and what, as JSON values."""
        return {
            "detectors": [
                {
                    "name": c.name, "seed": None if c.seed == NO_SEED else c.seed,
                    "adapter": c.source, "hash": c.adapter.hash, "dtype": c.dtype,
                    "backbone": c.adapter.header.backbone,
                    "backbone_hash": c.adapter.header.backbone_hash,
                    "preprocessing": preprocessing_words(c), "crops": dict(c.cropped),
                    "recipe": dict(c.adapter.header.recipe),
                    **{name: None if (s := getattr(c, name)) is None else sorted(s)
                       for name in ("trained_on", "selected_on")},
                }
                for c in self.contenders
            ],
            "datasets": [
                {
                    "name": data.name, "datasets": sorted(data.datasets),
                    "manifests": [
                        {"manifest": p.of.source, "digest": p.of.digest, "crops": p.of.made,
                         "splits": sorted(set(p.of.frames.table["split"]) - {""}),
                         "degraded_left_out": p.of.degraded}
                        for p in data.parts
                    ],
                }
                for data in self.sets
            ],
            "versions": versions(),
        }  # fmt: skip

    def write_predictions(self, tables: Tables, out: Path) -> list[dict[str, Any]]:
        """Write the scores of each seed on each data set, and say which file holds which.

        Each as Parquet with the columns of `score_table`, and as CSV with those of the reference.
        """
        out.mkdir()
        written: list[dict[str, Any]] = []
        for name in self.detectors:
            for i in self.of_detector(name):
                for k, data in enumerate(self.sets):
                    table, seed = tables[i, k], self.contenders[i].seed
                    file = f"{len(written):03d}-{plain_name(name)}-{plain_name(data.name)}"
                    file += "" if seed == NO_SEED else f"-seed-{seed}"
                    table.to_parquet(out / f"{file}.parquet", index=False)
                    crops = self.parts[i, k].of.crops.table
                    as_reference(table, crops["path"]).to_csv(out / f"{file}.csv", index=False)
                    written.append(
                        {"detector": name, "seed": seed, "dataset": data.name, "file": file}
                    )
        return written


def took_part(facts: xr.Dataset) -> NDArray[np.bool_]:
    """Return which data sets (dataset,) took part in the selection or training of a detector."""
    took = (facts["selected_on"] == YES) | (facts["trained_on"] == YES)
    return np.asarray(took.any("detector"), np.bool_)


def notes(
    plan: Plan, scored: Sequence[Scored], facts: xr.Dataset, sure: xr.Dataset
) -> Iterator[str]:
    """Yield what a reader must know of the data, and of what the detectors saw before.

    Parameters
    ----------
    plan, scored, facts
        See `Plan`.
    sure
        From `gendkit.evaluate.benchmark.intervals.answered`.
    """
    for data in plan.sets:
        left = sum(part.of.degraded for part in data.parts)
        if left:
            yield f"{left:,} crops in the manifest of {data.name} were degraded, and left out."
    for name in plan.datasets:
        of = facts.sel(dataset=name)
        for kind in CLASSES:
            clips, examined = (of[v].sel({"class": kind}).to_numpy() for v in ("clips", "examined"))
            lost = {d: f"{c - e:,.0f} of {c:,.0f}" for d, c, e in
                    zip(plan.detectors, clips, examined, strict=True) if c > e}  # fmt: skip
            if len(set(lost.values())) == 1 and len(lost) == len(plan.detectors):
                yield f"{next(iter(lost.values()))} {kind} clips of {name} have no face crop."
            else:
                yield from (f"{of_all} {kind} clips of {name} have no score of {d}."
                            for d, of_all in lost.items())  # fmt: skip
        if times := int(of["final_evaluations"]):
            yield (
                f"{name} holds {int(of['final_crops']):,} final crops, which have been evaluated "
                f"{times} {'time' if times == 1 else 'times'} on this computer: the more often, "
                "the less it is a test."
            )
        if np.isnan(sure["auroc"].sel({"dataset": name, "method": ALL}).to_numpy()).any():
            yield (
                f"{name} lacks clips of a class, so that there is no AUROC of it: it is in no "
                "mean, though in what is pooled."
            )
        share, groups = (sure[n].sel(dataset=name).item() for n in ("largest", "components"))
        if groups < 2:
            yield (
                f"All clips of {name} hang together by people or target clips, so that nothing can "
                "be resampled: its numbers have no interval, nor has a mean over it."
            )
            continue
        if groups < FEW:
            yield (
                f"The clips of {name} are of {groups} groups of people that share nobody: its "
                "intervals are too narrow even so."
            )
        if share > MOST:
            yield (
                f"{100 * share:.0f} % of the clips of {name} hang together by people or target "
                "clips: its intervals rest on little else."
            )
    yield from _apart(plan, scored)
    for d in plan.detectors:
        for which, what in (("selected_on", "selection"), ("trained_on", "training")):
            state, words = facts[which].sel(detector=d), f"the {what} of"
            took = [str(n) for n in plan.datasets if state.sel(dataset=n) == YES]
            if took:
                family = "its family" if len(took) == 1 else "their families"
                yield f"Data of {', '.join(took)}, or of {family}, took part in {words} {d}."
            if (state == NOT_RECORDED).any():
                yield f"It is not recorded which data took part in {words} {d}."
        same = facts["same_crops"].sel(detector=d)
        if other := [str(n) for n in plan.datasets if same.sel(dataset=n) == NO]:
            yield f"Crops of {', '.join(other)} were not made like those that {d} was trained on."


def preprocessing_words(one: Contender) -> str:
    """Return what a detector makes of a crop, such as `224 px, squash, bilinear, bfloat16`."""
    take = one.adapter.header.preprocessing
    return f"{take.size} px, {take.resize}, {take.interpolation}, {one.dtype}"


def as_reference(table: pd.DataFrame, paths: pd.Series[str]) -> pd.DataFrame:
    """Return scores in the reference's columns; of each row, `paths` has the path of the crop."""
    p_fake = table["p_fake"].to_numpy()
    columns = (paths.loc[table.index].to_numpy(), table["label"].to_numpy(), 1 - p_fake, p_fake)
    return pd.DataFrame(dict(zip(REFERENCE, columns, strict=True)))


def plain_name(name: str) -> str:
    """Return a name as part of a file's name."""
    return re.sub(r"[^\w.+-]+", "-", name).strip("-.")[:60] or "unnamed"


def _apart(plan: Plan, scored: Sequence[Scored]) -> Iterator[str]:
    """Point out detectors that were not compared on the same clips."""
    for k, name in enumerate(plan.datasets):
        seen = {s.detector: set(map(tuple, s.tables[0][CLIP].drop_duplicates().to_numpy()))
                for s in scored if s.dataset == k}  # fmt: skip
        for a, b in combinations(sorted(seen), 2):
            if seen[a] != seen[b]:
                both = len(seen[a] & seen[b])
                yield (
                    f"{plan.detectors[a]} and {plan.detectors[b]} were not compared on the same "
                    f"clips of {name}: {len(seen[a]):,} and {len(seen[b]):,}, of which "
                    f"{both:,} are the same"
                    + ("; the difference between them is of these." if both else ".")
                )


def _family(datasets: frozenset[str], alike: Sequence[Sequence[str]]) -> frozenset[str]:
    """Return data sets with those that are said to be of the same clips and people."""
    return datasets.union(*(group for group in alike if datasets & set(group)))


def _took_part(sets: Sequence[frozenset[str] | None], datasets: frozenset[str]) -> str:
    if any(s is not None and s & datasets for s in sets):
        return YES
    return NOT_RECORDED if any(s is None for s in sets) else NO


def _clips(part: Part) -> list[float]:
    """Return how many clips there are of either class; NaN if rows were chosen before."""
    if COVERAGE in part.of.frames.meta:
        return [float("nan")] * 2
    counted = coverage(part.frames, least=(1,)).groupby("label")["clips"].sum()
    return [float(counted.get(label, 0)) for label in (0, 1)]


def _final(data: DataSet) -> tuple[int, int]:
    """Return how many final crops a data set has, and how often they have been evaluated."""
    crops, times = 0, 0
    for part in data.parts:
        if (final := final_of(part.of.crops)) is not None:
            own = int((part.of.crops.table["split"][part.rows] == "final").sum())
            crops += own
            times = max(times, times_logged(final) if own else 0)
    return crops, times


def _rows_digest(source: Source) -> str:
    """Hash all that the result reads of a manifest's rows, besides what its scores depend on."""
    columns = [*ABOUT, "split", "path"]
    rows = pd.util.hash_pandas_object(source.frames.table[columns], index=False)
    whole = hashlib.sha256(rows.to_numpy().tobytes())
    whole.update(f"{source.degraded} {COVERAGE in source.frames.meta}".encode())
    return whole.hexdigest()
