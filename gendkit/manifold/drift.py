"""How embeddings move as their crops lose quality: a path on the sphere for each crop.

Crops are changed as they are kept, at their own size, before the detector resizes them. A quality
of JPEG and a sigma in pixels therefore mean more in a small crop; `size`, in pixels of the face
crop that are left, leaves the same detail in all that are larger.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from gendkit.data.codecs import jpeg
from gendkit.data.controls import blur, shrink
from gendkit.data.manifest import Manifest
from gendkit.errors import InvalidArgument, InvalidEmbeddings, InvalidManifest
from gendkit.manifold.directions import Directions
from gendkit.manifold.embeddings import from_outputs
from gendkit.manifold.geometry import WHOLE
from gendkit.manifold.index import vectors_of
from gendkit.manifold.parties import people_of
from gendkit.manifold.schema import attributed, of_each_crop, text_of
from gendkit.manifold.sphere import Floats, geodesic, log_map, mean_direction, transport
from gendkit.measure.intervals import bootstrap
from gendkit.model.detector import Detector, Outputs, load
from gendkit.progress import Bars, Progress

if TYPE_CHECKING:
    from gendkit.plugin.protocols import Image

Name = Literal["jpeg", "blur", "size"]
CHANGE = "drift_change"
"""Attribute: what was done to the crops."""
MEASURES = ("angle", "straightness", "score", "logit")


@dataclass(frozen=True, kw_only=True)
class Change:
    """What is done to a crop, more and more of it.

    Attributes
    ----------
    untouched
        The level that stands for the crop as it is.
    levels
        Those that are taken by default, from mild to strong.
    least, most
        The range of levels.
    whole
        Whether levels are whole numbers.
    apply
        `apply(image, level)` returns an image of the same size.
    """

    name: Name
    unit: str
    untouched: float
    levels: tuple[float, ...]
    least: float
    most: float
    whole: bool
    apply: Callable[[Image, float], Image]


def _shrunk(image: Image, side: float) -> Image:
    short = min(image.shape[:2])
    return image if side >= short else shrink(image, side / short)


CHANGES: MappingProxyType[str, Change] = MappingProxyType(
    {
        change.name: change
        for change in (
            Change(
                name="jpeg", unit="JPEG quality", untouched=math.inf,
                levels=(95, 90, 80, 70, 60, 50, 40, 30, 20, 10), least=1, most=100, whole=True,
                apply=lambda image, level: jpeg(image, round(level)),
            ),
            Change(
                name="blur", unit="sigma in px of the crop", untouched=0.0,
                levels=(0.5, 1, 1.5, 2, 3, 4, 6), least=0.1, most=100, whole=False, apply=blur,
            ),
            Change(
                name="size", unit="px of the shorter side that are left", untouched=math.inf,
                levels=(224, 160, 112, 80, 56, 40, 28), least=8, most=10_000, whole=True,
                apply=_shrunk,
            ),
        )
    }
)  # fmt: skip


def drift(
    manifest: Manifest | str | Path,
    detector: Detector | str | Path,
    *,
    change: Name = "jpeg",
    levels: Sequence[float] | None = None,
    batch_size: int = 32,
    progress: Progress | None = None,
) -> xr.Dataset:
    """Follow the embedding of each crop as the crop loses quality.

    Each crop is run once a level, and all embeddings are held in memory. Where a level leaves a
    crop as it is, nothing is run, and the embedding is exactly the same.

    Parameters
    ----------
    manifest
        Or its folder; N rows with a crop. What is found on those that were trained on says nothing
        about others.
    detector
        Or its adapter's file or folder.
    change
        `jpeg`: encoded with a quality of 1 to 100, 4:2:0. `blur`: Gaussian, sigma in pixels of the
        crop. `size`: reduced to a shorter side in pixels and enlarged again; a crop that is no
        larger stays as it is.
    levels
        In the change's unit, in any order; they are taken from mild to strong.
    batch_size
        Crops that are run at once.
    progress
        Told after each crop; by default a progress bar.

    Returns
    -------
    xarray.Dataset
        As from `gk.embed`, with the dim `level`, whose first is the crop as it is (infinite for
        `jpeg` and `size`, 0 for `blur`), and in (sample, level)

        - `drift_embedding` (sample, level, feature): unit vectors;
        - `drift_angle`: radians from the crop as it is;
        - `drift_step`: radians from the level before; `drift_length`: their sum so far. A path is
          as long as its levels are fine;
        - `drift_straightness`: angle over length, 1 along a great circle; NaN where the length
          is 0;
        - `drift_score`: P(fake); `drift_logit`: logit of fake less that of real.

    Raises
    ------
    InvalidManifest
        If there is no crop.
    InvalidArgument
        If there is no such change, or a level is out of range or given twice.
    MissingMedia, UnreadableMedia
        If a crop is gone or damaged.

    References
    ----------
    Hendrycks and Dietterich, Benchmarking Neural Network Robustness to Common Corruptions and
    Perturbations, ICLR 2019 (severities); Mardia and Jupp, Directional Statistics, 2000 (angles).
    """
    kind = _change(change)
    chosen = (kind.untouched, *_levels(kind, levels))
    if not isinstance(manifest, Manifest):
        manifest = Manifest.read(manifest)
    manifest = manifest.faces()
    if not len(manifest):
        raise InvalidManifest("the manifest has no face crop whose embedding could drift.")
    if not isinstance(detector, Detector):
        detector = load(detector)
    source = np.zeros((len(manifest), len(chosen)), np.int64)
    crops = _changed(manifest, kind, chosen, source, progress or Bars())
    outputs = detector.outputs(crops, batch_size=batch_size)
    start = source[:, 0]
    ds = from_outputs(
        manifest,
        Outputs(
            embedding=outputs.embedding[start],
            logit=outputs.logit[start],
            score=outputs.score[start],
        ),
        detector,
    )
    made = {
        "embedding": (("sample", "level", "feature"), outputs.embedding[source]),
        "score": (("sample", "level"), outputs.score[source]),
        "logit": (("sample", "level"), outputs.margin[source]),
        **{name: (("sample", "level"), v) for name, v in _path(outputs.embedding[source]).items()},
    }
    ds = ds.assign({f"drift_{name}": values for name, values in made.items()})
    ds = attributed(ds.assign_coords(level=("level", np.array(chosen, np.float64))))
    ds["level"].attrs["units"] = kind.unit
    return ds.assign_attrs({CHANGE: kind.name})


def drift_table(
    ds: xr.Dataset, by: Sequence[str] = ("label",), *, resamples: int = 1000, seed: int = 0
) -> pd.DataFrame:
    """Summarise drift over all crops and those of each group, level by level.

    Parameters
    ----------
    ds
        From `gk.drift`.
    by
        Variables with one value a sample, such as `label`, `method` and `dataset`.
    resamples, seed
        Of the bootstrap over people, and of the null.

    Returns
    -------
    pandas.DataFrame
        By `variable`, `value` and `level`: `crops` of `people`; the means over crops of `angle` in
        radians, `straightness` so far, `score` and `logit`; and `consistency`, the mean cosine
        between the directions in which crops of two people have moved, carried to the mean
        direction of all crops as they are: 1 if all move the same way. All with `_low` and `_high`,
        the interval over people. Between `null_low` and `null_high` lie 95 % of the consistencies
        with each person's directions turned around or not by chance: within it, a common direction
        is not found. NaN where nothing moved.

    Raises
    ------
    InvalidEmbeddings
        If `ds` is not from `gk.drift`, or there is no such variable.

    References
    ----------
    Absil, Mahony and Sepulchre, Optimization Algorithms on Matrix Manifolds, 2008 (logarithm and
    transport); Field and Welsh, Bootstrapping clustered data, JRSS B 2007.
    """
    check_drift(ds)
    start = vectors_of(ds).astype(np.float64)
    centre, _ = mean_direction(start)
    path = ds["drift_embedding"].transpose("sample", "level", "feature").to_numpy()
    steps = np.stack(
        [transport(start, centre, log_map(start, path[:, i])) for i in range(path.shape[1])], axis=1
    )
    values = np.stack(
        [ds[f"drift_{m}"].transpose("sample", "level").to_numpy() for m in MEASURES], axis=2
    ).astype(np.float64)
    people = people_of(ds)
    groups = [(WHOLE, "", np.ones(len(people), np.bool_))]
    for name in by:
        column = text_of(of_each_crop(ds, name))
        groups += [(name, value, column == value) for value in sorted(set(column.tolist()))]
    rows = []
    for name, value, of in groups:
        found = _summarised(values[of], steps[of], people[of], resamples=resamples, seed=seed)
        for level, row in zip(ds["level"].to_numpy().tolist(), found, strict=True):
            rows.append({"variable": name, "value": value, "level": level, **row})
    return pd.DataFrame(rows).set_index(["variable", "value", "level"])


def check_drift(ds: xr.Dataset) -> None:
    """Refuse a Dataset that does not hold drift.

    Raises
    ------
    InvalidEmbeddings
        Naming what is missing.
    """
    needed = ("level", "drift_embedding", *(f"drift_{m}" for m in MEASURES))
    if missing := [name for name in needed if name not in ds.variables]:
        raise InvalidEmbeddings(
            f"the embeddings have no {', '.join(missing)}; gk.drift(manifest, detector) follows "
            "crops as they lose quality."
        )


def _change(name: str) -> Change:
    if name not in CHANGES:
        raise InvalidArgument(f"no change is named {name!r}; there is {', '.join(CHANGES)}.")
    return CHANGES[name]


def _levels(kind: Change, levels: Sequence[float] | None) -> list[float]:
    """Return the levels from mild to strong, without the untouched crop."""
    given = [float(level) for level in (kind.levels if levels is None else levels)]
    if not given:
        raise InvalidArgument(f"there is no level of {kind.name}; give some, or leave them out.")
    for level in given:
        if not kind.least <= level <= kind.most or (kind.whole and level != round(level)):
            what = "whole numbers" if kind.whole else "numbers"
            raise InvalidArgument(
                f"levels of {kind.name} ({kind.unit}) are {what} from {kind.least:g} to "
                f"{kind.most:g}, got {level:g}; the crop as it is is always the first."
            )
    if len(set(given)) < len(given):
        raise InvalidArgument(f"a level of {kind.name} is given twice: {sorted(given)}.")
    return sorted(given, reverse=math.isinf(kind.untouched))


def _changed(
    manifest: Manifest,
    kind: Change,
    levels: Sequence[float],
    source: NDArray[np.int64],
    progress: Progress,
) -> Iterator[Image]:
    """Yield crops as they are and changed, and note in `source` (N, L) which of them is which."""
    count = 0
    for row in range(len(manifest)):
        crop = manifest.crop(row)
        source[row] = count
        count += 1
        yield crop
        for number, level in enumerate(levels[1:], start=1):
            changed = kind.apply(crop, level)
            if not np.array_equal(changed, crop):
                source[row, number] = count
                count += 1
                yield changed
        progress(row + 1, len(manifest), "drift")


def _path(points: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """Describe paths of unit vectors (N, L, D) by numbers (N, L)."""
    angle = geodesic(points[:, :1], points)
    step = np.zeros_like(angle)
    step[:, 1:] = geodesic(points[:, :-1], points[:, 1:])
    length = step.cumsum(axis=1)
    moved = length > 0
    straightness = np.where(moved, angle / np.where(moved, length, 1.0), np.nan)
    made = {"angle": angle, "step": step, "length": length, "straightness": straightness}
    return {name: values.astype(np.float32) for name, values in made.items()}


def _summarised(
    values: Floats, steps: Floats, people: NDArray[np.str_], *, resamples: int, seed: int
) -> list[dict[str, float]]:
    """Return a row for each level of values (N, L, M) and steps (N, L, D)."""
    names, member = np.unique(people, return_inverse=True)
    count, depth = len(names), values.shape[1]
    known = np.isfinite(values)
    totals, counts = (np.zeros((count, *values.shape[1:])) for _ in range(2))
    np.add.at(totals, member, np.where(known, values, 0.0))
    np.add.at(counts, member, known)
    directions = [Directions.of(steps[:, i], member, count) for i in range(depth)]

    def statistic(rows: NDArray[np.int64]) -> dict[str, float]:
        times = np.bincount(rows, minlength=count).astype(np.float64)
        n = np.tensordot(times, counts, 1)
        means = np.where(n > 0, np.tensordot(times, totals, 1) / np.maximum(n, 1), np.nan)
        found = {f"{m}/{i}": float(means[i, j])
                 for i in range(depth) for j, m in enumerate(MEASURES)}  # fmt: skip
        return found | {
            f"consistency/{i}": float(directions[i].consistency(times)) for i in range(depth)
        }

    found = bootstrap(statistic, [str(n) for n in names], resamples=resamples, seed=seed)
    rows = []
    for i in range(depth):
        row: dict[str, Any] = {"crops": len(values), "people": count}
        for name in (*MEASURES, "consistency"):
            interval = found[f"{name}/{i}"]
            row |= {name: interval.value, f"{name}_low": interval.low,
                    f"{name}_high": interval.high}  # fmt: skip
        null = directions[i].null(draws=max(resamples, 1), seed=seed)
        row["null_low"], row["null_high"] = np.quantile(null, [0.025, 0.975])
        rows.append(row)
    return rows
