"""A comparison of detectors across data sets: each scored once, and every number with its interval.

Adapters and manifests enter; a folder leaves with the scores, the result as a zarr store, and the
record of what it rests on. The same call on it computes nothing; another call scores what is new.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr

from gendkit.device import Dtype
from gendkit.errors import InvalidArgument, MissingMedia, UnreadableMedia, first_line
from gendkit.evaluate.benchmark.contenders import Several, contenders
from gendkit.evaluate.benchmark.data_sets import Wheres, data_sets
from gendkit.evaluate.benchmark.intervals import answered
from gendkit.evaluate.benchmark.numbers import MAIN, measured
from gendkit.evaluate.benchmark.plan import Plan, notes, took_part
from gendkit.evaluate.benchmark.scores import make_scores
from gendkit.markup import card, grid
from gendkit.output import check_new_folder, new_folder
from gendkit.progress import Bars, Progress

SCORES, RESULT, RECORD = "scores", "result", "benchmark.json"
MARKER = "of-gendkit-evaluate"
STORE, PREDICTIONS = "result.zarr", "predictions"


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """What `benchmark` gives, and `open_benchmark`.

    Attributes
    ----------
    folder
        Where it lies.
    ds
        The result; see `benchmark`.
    record
        What was compared, as `benchmark.json` holds it.
    scored
        How many crops were scored by the call that gave this; None if it was only opened.
    kept
        Whether the result was there already, so that nothing at all was computed.
    """

    folder: Path
    ds: xr.Dataset = field(repr=False)
    record: Mapping[str, Any] = field(repr=False)
    scored: int | None = None
    kept: bool = False

    @property
    def notes(self) -> list[str]:
        """What a reader of the numbers must know."""
        return list(self.record["notes"])

    def predictions(self, detector: str, dataset: str, *, seed: int | None = None) -> pd.DataFrame:
        """Return the scores of a detector's seed on a data set, one row a crop.

        Columns: those of `gendkit.evaluate.benchmark.scores.score_table`.

        Raises
        ------
        InvalidArgument
            If there is no such detector, data set or seed.
        """
        rows = [p for p in self.record["predictions"]
                if (p["detector"], p["dataset"]) == (detector, dataset)
                and seed in (None, p["seed"])]  # fmt: skip
        if not rows:
            there = ", ".join(dict.fromkeys(f"{p['detector']} (seed {p['seed']}) on {p['dataset']}"
                                            for p in self.record["predictions"]))  # fmt: skip
            raise InvalidArgument(f"no scores of {detector!r} on {dataset!r}; there is {there}.")
        return pd.read_parquet(self.folder / RESULT / PREDICTIONS / f"{rows[0]['file']}.parquet")

    def __repr__(self) -> str:
        sizes = self.ds.sizes
        return (
            f"Benchmark({sizes['detector']} detectors on {sizes['dataset']} data sets, "
            f"{self.folder})"
        )

    def _repr_html_(self) -> str:
        from gendkit.evaluate.benchmark.tables import auroc_table

        table = auroc_table(self)
        rows = [[str(name), *row] for name, row in zip(table.index, table.to_numpy(), strict=True)]
        facts = {"in": str(self.folder), "clips of": ", ".join(self.ds["dataset"].to_numpy())}
        head = ["AUROC of clips", *map(str, table.columns)]
        notes = [[note] for note in self.notes]
        return card(
            "Benchmark", facts, grid(head, rows), *([grid(["to know"], notes)] if notes else [])
        )


def benchmark(
    detectors: Several,
    on: Wheres,
    out: str | Path,
    *,
    alike: Sequence[Sequence[str]] = (),
    threshold: float = 0.5,
    resamples: int = 1000,
    seed: int = 0,
    batch_size: int = 32,
    device: str | None = None,
    dtype: Dtype | None = None,
    progress: Progress | None = None,
) -> Benchmark:
    """Compare detectors on data sets.

    Each detector is run once over each manifest; its scores are kept under `out` in a file that is
    named by the hashes of adapter, backbone, crops and compute dtype. A run that was killed is gone
    on with by the same call, several processes may share a folder, and the same call on a finished
    one computes nothing. Crops that were degraded when a set was made are left out.

    Parameters
    ----------
    detectors
        Adapters, their files or folders, or detectors. Those whose recorded recipe and training
        data differ in the seed alone are seeds of one detector, as are those under one name in a
        mapping.
    on
        Manifests or their folders, labelled; see `gendkit.evaluate.benchmark.data_sets`.
    out
        A new folder, or that of an earlier benchmark, whose scores are used and whose result is
        replaced if anything is different.
    alike
        Groups of data sets whose names mean the same clips and people, such as
        ``[("faceforensics", "df40")]``; see `gendkit.measure.intervals.joint_components`.
    threshold
        Called fake is what scores above it. It was not chosen here, so say where it comes from.
    resamples, seed
        Of the intervals, which are over connected components of clips and over seeds.
    batch_size
        Crops that are run at once.
    device, dtype
        Where and in which dtype encoders run; by default the best there is, and that of each
        training.
    progress
        Told after each batch; by default a progress bar.

    Returns
    -------
    Benchmark
        With a Dataset `ds` of the dims `detector`, `dataset`, `method`, `seed` and `metric`; its
        variables are those of `gendkit.evaluate.benchmark.numbers.measured` and
        `gendkit.evaluate.benchmark.intervals.answered`, and

        - `clips`, `examined`, `crops` (detector, dataset, class): clips that the data set has,
          those with a crop, and the crops;
        - `preprocessing` (detector): what it makes of a crop;
        - `crops_made` (detector, dataset), `same_crops` (detector, dataset): how crops were made,
          and whether as those of the training (`yes`, `no`, `not recorded`);
        - `trained_on`, `selected_on` (detector, dataset): whether the data set, or one of its
          family, which are those that `alike` names with it, took part in the training of a seed,
          and in a selection (the same words);
        - `final_crops`, `final_evaluations` (dataset): crops of the final split, and how often they
          have been evaluated, on this computer, when the result was made.

    Raises
    ------
    InvalidArgument, InvalidManifest, InvalidLabels, MissingMedia, InvalidAdapter, UnreadableMedia
        If something is no detector or no labelled data set, or cannot be told apart; see
        `contenders` and `data_sets`.
    OutputExists, UnwritableOutput
        If `out` holds something else, or cannot be made.
    """
    out = Path(out)
    if not 0 <= threshold <= 1 or resamples < 1 or seed < 0:
        raise InvalidArgument(
            f"threshold is {threshold:g}, resamples {resamples} and seed {seed}; give a score from "
            "0 to 1, 1 or more, and 0 or more."
        )
    check_folder(out)
    plan = Plan.of(contenders(detectors, dtype=dtype), data_sets(on))
    options = {"threshold": threshold, "resamples": resamples, "seed": seed}
    same = [list(group) for group in alike]
    plan.components(same)  # refuses names that are in no manifest
    inputs = plan.inputs({**options, "alike": same})
    if (earlier := _earlier(out, inputs)) is not None:
        return earlier
    scores = out / SCORES
    scores.mkdir(parents=True, exist_ok=True)
    (scores / MARKER).touch()
    scored = make_scores(
        list(plan.jobs.values()), scores, device=device, batch_size=batch_size,
        progress=progress or Bars(),
    )  # fmt: skip
    with locked(out):
        if (earlier := _earlier(out, inputs)) is not None:
            return replace(earlier, scored=scored)  # another process has just made it
        return _result(plan, out, same, inputs=inputs, options=options, scored=scored)


def open_benchmark(path: str | Path) -> Benchmark:
    """Open what `benchmark`, or `gendkit evaluate`, left in a folder.

    Raises
    ------
    MissingMedia
        If there is no result.
    UnreadableMedia
        If it is damaged.
    """
    path = Path(path)
    file = path / RESULT / RECORD
    if not file.is_file():
        raise MissingMedia(f"no benchmark at {path}; `gendkit evaluate` makes one.")
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
        store = path / RESULT / STORE
        ds = xr.open_zarr(store, consolidated=False, chunks=None, zarr_format=3).load()
        return Benchmark(folder=path, ds=ds, record={**record, "notes": list(record["notes"])})
    except Exception as error:  # zarr and its codecs raise many kinds
        raise UnreadableMedia(
            f"{path} holds a damaged benchmark ({first_line(error)}); remove {path / RESULT} and "
            "evaluate again."
        ) from None


def check_folder(out: Path) -> None:
    """Refuse a folder that holds anything but a benchmark, before any work.

    Raises
    ------
    OutputExists, UnwritableOutput
        As for `gendkit.output.new_folder`.
    """
    if not (out / SCORES / MARKER).exists():
        check_new_folder(out, overwrite=False, marker=None)


def _result(
    plan: Plan,
    out: Path,
    alike: Sequence[Sequence[str]],
    *,
    inputs: str,
    options: Mapping[str, Any],
    scored: int,
) -> Benchmark:
    """Compute and write all but the scores."""
    tables = plan.tables(out / SCORES, plan.components(alike))
    parts, left_out = plan.scored(tables)
    facts = plan.facts(parts, alike)
    numbers, clips, undefined = measured(
        parts, detectors=plan.detectors, datasets=plan.datasets, threshold=options["threshold"]
    )
    sure = answered(
        clips, detectors=plan.detectors, datasets=plan.datasets,
        methods=[str(m) for m in numbers["method"].to_numpy()],
        left_out=took_part(facts).nonzero()[0].tolist(), **options,
    )  # fmt: skip
    ds = xr.merge([numbers, sure, facts], join="exact", compat="no_conflicts")
    ds = ds.assign_attrs(**options, level=MAIN)
    with new_folder(out / RESULT, overwrite=True, marker=RECORD) as folder:
        predictions = plan.write_predictions(tables, folder / PREDICTIONS)
        ds.drop_encoding().to_zarr(folder / STORE, mode="w", zarr_format=3, consolidated=False)
        record = {
            "inputs": inputs, **options, "alike": alike,
            "notes": [*left_out, *notes(plan, parts, facts, sure)],
            "undefined": undefined, **plan.record(), "predictions": predictions,
        }  # fmt: skip
        text = json.dumps(record, indent=1, default=str)
        (folder / RECORD).write_text(text, encoding="utf-8")
    return Benchmark(folder=out, ds=ds, record=json.loads(text), scored=scored)


def _earlier(out: Path, inputs: str) -> Benchmark | None:
    """Return the result that is there, if it is of the same inputs and whole."""
    if not (out / RESULT / RECORD).is_file():
        return None
    try:
        found = open_benchmark(out)
    except UnreadableMedia:
        return None
    return replace(found, scored=0, kept=True) if found.record["inputs"] == inputs else None


@contextmanager
def locked(out: Path) -> Iterator[None]:
    """Let one process at a time make a result, or write beside it."""
    import filelock

    with filelock.FileLock(out / ".lock"):
        yield
