"""From a manifest and a detector to what is said of each person of each clip.

One row and one embedding a person of a clip leave: its mean score, what it is, how good its
pictures are, and which other clips it hangs together with.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gendkit.data.manifest import Manifest
from gendkit.data.quality import quality_of
from gendkit.errors import InvalidManifest
from gendkit.measure.levels import means, numbered
from gendkit.model.detector import Detector
from gendkit.progress import Progress
from gendkit.train.outputs import run_over

UNIT = ["dataset", "video", "track", "degradation"]
"""Columns that tell people of clips apart: their crops' scores are averaged, people never."""
ABOUT = ("split", "label", "method", "family")
LOOKED_AT = 8
"""The most crops of a person whose quality is measured."""
MEASURES = ("eyes", "sharpness", "brightness")


@dataclass(frozen=True, kw_only=True)
class Clips:
    """C people of clips.

    Attributes
    ----------
    table
        Columns: `dataset`, `video`, `track`, `degradation`, `split`, `label`, `method`, `family`;
        `component`, which of them hang together; `crops`, how many there are; `score`, their mean
        P(fake); `eyes`, `sharpness` and `brightness`, medians as of `gendkit.data.quality`, NaN
        where they are not known.
    vectors
        (C, D) float32 mean embeddings, of unit length.
    """

    table: pd.DataFrame
    vectors: NDArray[np.float32]


def clips_of(
    manifest: Manifest,
    detector: Detector,
    *,
    batch_size: int = 32,
    progress: Progress | None = None,
) -> Clips:
    """Score all crops of a labelled manifest, and gather those of each person of each clip.

    Raises
    ------
    InvalidManifest
        If there is no crop.
    InvalidLabels
        If a label is unknown, or a clip has both.
    """
    crops = manifest.faces()
    if not len(crops):
        raise InvalidManifest("the manifest has no face crop; extract faces first.")
    crops.labels()
    table = crops.table[[*UNIT, *ABOUT, "landmarks"]].assign(component=crops.components())
    people = table.groupby(UNIT, sort=False)
    number, first = numbered(table, UNIT)
    said = run_over(detector, crops, batch_size=batch_size, progress=progress)
    rows = _measured(people)
    measured = [quality_of(crops.crop(i), table["landmarks"].iloc[i]) for i in rows.tolist()]
    each = pd.DataFrame(
        [[q.eyes, q.sharpness, q.brightness] for q in measured], columns=MEASURES, dtype=np.float64
    )
    about = table[[*UNIT, *ABOUT, "component"]].iloc[first].reset_index(drop=True)
    about = about.assign(crops=np.bincount(number), score=means(said.score, number))
    about[list(MEASURES)] = each.groupby(number[rows]).median()
    sums = np.zeros((len(about), said.embedding.shape[1]), np.float64)
    np.add.at(sums, number, said.embedding)
    return Clips(table=about, vectors=unit(sums))


def _measured(people: Any) -> NDArray[np.int64]:
    """Return the rows of some crops of each person, evenly far apart: each is read once more."""
    rank = people.cumcount().to_numpy()
    step = np.ceil(people["label"].transform("size").to_numpy() / LOOKED_AT)
    return np.asarray(np.flatnonzero(rank % step == 0), np.int64)


def unit(vectors: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return vectors (N, D) at unit length; those of length 0 stay."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(length > 0, length, 1), np.float32)
