"""Where forging moves a face on the sphere: steps from real frames to their own fakes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from gendkit.data.controls import degrade
from gendkit.data.manifest import Manifest
from gendkit.errors import InvalidArgument, InvalidEmbeddings
from gendkit.manifold.directions import Directions
from gendkit.manifold.embeddings import from_outputs
from gendkit.manifold.index import vectors_of
from gendkit.manifold.parties import people_of
from gendkit.manifold.schema import text_of
from gendkit.manifold.sphere import Floats, log_map, mean_direction, transport
from gendkit.measure.intervals import bootstrap
from gendkit.model.detector import Detector, load
from gendkit.progress import Bars, Progress

if TYPE_CHECKING:
    from gendkit.plugin.protocols import Image

FAKE, SHUFFLED, NEXT = "fake", "shuffled pairs", "neighbouring frame"
NULLS = MappingProxyType({"re-encoded real": "jpeg", "jittered crop": "crop-jitter"})
"""Degradations of real crops that are made for comparison, by the kinds they are called."""
NEEDED = ("label", "dataset", "pair", "video", "frame", "track", "family", "degradation")
Rows = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class _Steps:
    """Rows from which and to which steps lead, and what they are steps of."""

    family: str
    kind: str
    start: Rows
    end: Rows


def pair_displacement(
    pairs: xr.Dataset | Manifest | str | Path,
    detector: Detector | str | Path | None = None,
    *,
    resamples: int = 1000,
    seed: int = 0,
    batch_size: int = 32,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Compare the steps from real frames to their own fakes with steps that are no forgery.

    A pair is a real and a fake crop of one target clip, frame and track, neither degraded. Each
    step is the tangent vector at the real that leads to the fake, carried to the mean direction of
    all reals. This is exploratory: a long step in one direction need not be what a detector sees,
    and pairs that were trained on say nothing of others.

    Parameters
    ----------
    pairs
        A manifest of held-out pairs, or its folder; or their embeddings, with its columns.
    detector
        Or its adapter's file or folder; embeds the crops of a manifest, and two altered copies of
        each real.
    resamples, seed
        Of the bootstrap over people, and of the shuffling and altering.
    batch_size, progress
        Of the embedding.

    Returns
    -------
    pandas.DataFrame
        By `family` and `kind`: how many `steps` of how many `people`; `length`, the mean angle in
        radians; `consistency`, the mean cosine of the directions of two people's steps, 0 if they
        have none in common and 1 if they have one; both with `_low` and `_high`. The kind `fake` is
        the forgery; the nulls are

        - `shuffled pairs`: from a real to a fake of another person, of the same family;
        - `neighbouring frame`: from a real frame to the next of its clip, if clips have several;
        - `re-encoded real`: to the real crop after JPEG of a quality drawn from 35 to 75;
        - `jittered crop`: to the real crop moved by 1 to 4 % of its side, drawn, and scaled by as
          much at most. It is made from the crop alone: what comes in at the border is mirrored,
          outside the face, as crops have a margin;
        - each degradation of real crops that is there already, such as `h264`.

        `re-encoded real` and `jittered crop` are made where a manifest is given.

    Raises
    ------
    InvalidArgument
        If a manifest has no detector, or embeddings have one.
    InvalidEmbeddings
        If columns are missing, crops are of the training split, or there is no pair.

    References
    ----------
    Absil, Mahony and Sepulchre, Optimization Algorithms on Matrix Manifolds, 2008 (logarithm and
    transport); Field and Welsh, Bootstrapping clustered data, JRSS B 2007.
    """
    if isinstance(pairs, xr.Dataset):
        if detector is not None:
            raise InvalidArgument(
                "embeddings are compared as they are; give the manifest with the detector, or the "
                "embeddings alone."
            )
        ds = pairs
    elif detector is None:
        raise InvalidArgument("a manifest holds no embeddings; give a detector with it.")
    else:
        manifest = pairs if isinstance(pairs, Manifest) else Manifest.read(pairs)
        if not isinstance(detector, Detector):
            detector = load(detector)
        ds = _embedded(
            manifest.faces(), detector, seed=seed, batch_size=batch_size,
            progress=progress or Bars(),
        )  # fmt: skip
    table = _table(ds)
    points = vectors_of(ds).astype(np.float64)
    people = people_of(ds)
    reals = np.flatnonzero((table["label"] == 0) & (table["degradation"] == ""))
    every = list(_steps(table, people, np.random.default_rng(seed)))
    if not any(steps.kind == FAKE for steps in every):
        raise InvalidEmbeddings(
            "no fake crop has a real one of the same target clip, frame and track; give embeddings "
            "of pairs."
        )
    centre, _ = mean_direction(points[reals])
    rows = []
    for steps in every:
        start = points[steps.start]
        moved = transport(start, centre, log_map(start, points[steps.end]))
        rows.append(
            {
                "family": steps.family,
                "kind": steps.kind,
                **_described(moved, people[steps.start], resamples=resamples, seed=seed),
            }
        )
    return pd.DataFrame(rows).set_index(["family", "kind"])


def _table(ds: xr.Dataset) -> pd.DataFrame:
    missing = [name for name in NEEDED if name not in ds.variables]
    if missing:
        raise InvalidEmbeddings(
            f"there is no {', '.join(missing)}, by which pairs are found; embed a manifest."
        )
    if "split" in ds.variables:
        _refuse_trained(text_of(ds["split"]))
    numbers = {name: ds[name].to_numpy() for name in NEEDED if ds[name].dtype.kind in "iuf"}
    texts = {name: text_of(ds[name]) for name in NEEDED if name not in numbers}
    return pd.DataFrame({**numbers, **texts})


def _embedded(
    manifest: Manifest, detector: Detector, *, seed: int, batch_size: int, progress: Progress
) -> xr.Dataset:
    """Embed crops, and altered copies of the reals among them."""
    _refuse_trained(manifest.table["split"].to_numpy(object))
    table = manifest.table
    reals = table.index[(table["label"] == 0) & (table["degradation"] == "")]
    rows, kinds = list(table.index), [""] * len(table)
    for kind in NULLS:
        rows, kinds = [*rows, *reals], [*kinds, *[kind] * len(reals)]
    grown = table.loc[rows].reset_index(drop=True)
    altered = np.array(kinds, object)
    grown["degradation"] = grown["degradation"].where(altered == "", altered)
    grown["sample"] = [f"{s}/{k}" if k else s for s, k in zip(grown["sample"], kinds, strict=True)]
    both = replace(manifest, table=grown)

    def crops() -> Iterator[Image]:
        for row, kind in enumerate(kinds):
            crop = both.crop(row)
            yield degrade(crop, NULLS[kind], seed=seed + row) if kind else crop
            progress(row + 1, len(both), "embed")

    return from_outputs(both, detector.outputs(crops(), batch_size=batch_size), detector)


def _refuse_trained(splits: NDArray[Any]) -> None:
    if (splits == "train").any():
        raise InvalidEmbeddings(
            "some crops are of the split 'train', whose steps training made; leave them out, such "
            "as by manifest.in_split('development') or ds.isel(sample=ds['split'] != 'train')."
        )


def _steps(
    table: pd.DataFrame, people: NDArray[np.str_], rng: np.random.Generator
) -> Iterator[_Steps]:
    """Yield the steps of each family with its shuffled pairs, and then those of the nulls."""
    plain = table["degradation"] == ""
    real = table[(table["label"] == 0) & plain]
    fake = table[(table["label"] == 1) & plain]
    for family, of in fake.groupby("family", sort=True):
        start, end = _matched(real, of)
        if not len(start):
            continue
        yield _Steps(family=str(family), kind=FAKE, start=start, end=end)
        other = _strangers(people[start], rng)
        if other is not None:
            yield _Steps(family=str(family), kind=SHUFFLED, start=start, end=end[other])
    ordered = real.sort_values("frame", kind="stable")
    groups = ordered.groupby(["dataset", "video", "track"], sort=True)
    rows = [group.index.to_numpy() for _, group in groups]
    if any(len(r) > 1 for r in rows):
        start = np.concatenate([r[:-1] for r in rows])
        end = np.concatenate([r[1:] for r in rows])
        yield _Steps(family="", kind=NEXT, start=start, end=end)
    degraded = table[(table["label"] == 0) & ~plain]
    for name, of in degraded.groupby("degradation", sort=True):
        start, end = _matched(real, of)
        if len(start):
            yield _Steps(family="", kind=str(name), start=start, end=end)


def _matched(real: pd.DataFrame, others: pd.DataFrame) -> tuple[Rows, Rows]:
    """Return rows of reals and of others that are of one target clip, frame and track."""
    names = ["dataset", "pair", "frame", "track"]
    left, right = (
        part[part["pair"] != ""][names].reset_index(names="row") for part in (real, others)
    )
    both = left.drop_duplicates(names).merge(right, on=names, suffixes=("_real", "_other"))
    return both["row_real"].to_numpy("int64"), both["row_other"].to_numpy("int64")


def _strangers(people: NDArray[np.str_], rng: np.random.Generator) -> Rows | None:
    """Return for each step another one, of another person; None if there is one person alone."""
    names = np.unique(people)
    if len(names) < 2:
        return None
    ring = rng.permutation(names)
    after = {name: np.flatnonzero(people == ring[i - 1]) for i, name in enumerate(ring)}
    return np.array([rng.choice(after[name]) for name in people], dtype=np.int64)


def _described(
    steps: Floats, people: NDArray[np.str_], *, resamples: int, seed: int
) -> dict[str, float]:
    """Return length and consistency of tangent vectors (N, D) with intervals over people (N,)."""
    names, member = np.unique(people, return_inverse=True)
    count = np.bincount(member).astype(np.float64)
    total = np.bincount(member, weights=np.linalg.norm(steps, axis=1))
    directions = Directions.of(steps, member, len(names))

    def statistic(rows: Rows) -> dict[str, float]:
        times = np.bincount(rows, minlength=len(names)).astype(np.float64)
        return {
            "length": float(times @ total / (times @ count)),
            "consistency": float(directions.consistency(times)),
        }

    found = bootstrap(statistic, [str(n) for n in names], resamples=resamples, seed=seed)
    out: dict[str, float] = {"steps": len(steps), "people": len(names)}
    for name, interval in found.items():
        out |= {
            name: interval.value, f"{name}_low": interval.low, f"{name}_high": interval.high
        }  # fmt: skip
    return out
