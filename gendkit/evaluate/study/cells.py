"""The cells of a study: what is trained and scored for each of its conditions, kept as it comes.

A manifest and cells enter, each a recipe and the rows that it learns from; one Dataset leaves, with
the margin of each scored crop in each cell. What a cell gave is kept in the study's folder under a
digest of all that it rests on, so that a study can be stopped and gone on with, grown by further
cells, or run by several processes at once. Frozen features are kept too: a probe costs no more than
a regression.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from filelock import FileLock, Timeout
from numpy.typing import NDArray
from scipy.special import expit

from gendkit.data.manifest import Manifest
from gendkit.device import usable
from gendkit.errors import InvalidManifest
from gendkit.evaluate.clips import UNIT
from gendkit.measure.levels import means, numbered
from gendkit.model.adapter import Adapter
from gendkit.model.detector import Outputs, load
from gendkit.output import write_array, write_whole
from gendkit.plugin.manager import plugins
from gendkit.progress import Bars, Progress, silent
from gendkit.train.build import build_trainer
from gendkit.train.checkpoint import checkpoint_path
from gendkit.train.engine import ADAPTER, RUN, fit
from gendkit.train.outputs import run_over
from gendkit.train.probe import fit_probe
from gendkit.train.recipe import Recipe
from gendkit.train.record import digest, versions

CELLS, FEATURES = "cells", "features"
ON_SAMPLE = (
    "dataset", "video", "track", "label", "method", "family", "degradation", "split", "pair",
    "target_identity", "donor_identity", "year",
)  # fmt: skip
"""Columns of the manifest that the crops of a study keep."""

LATER = (("sphere", True),)
"""Fields of a recipe, with their defaults, that are younger than the first studies."""
POLL = 2.0
"""Seconds between looks at a cell that another process is at."""

Rows = NDArray[np.bool_]
Coordinate = str | int | float


@dataclass(frozen=True, kw_only=True, eq=False)
class Cell:
    """One condition of a study.

    Attributes
    ----------
    at
        Where it stands: a coordinate for each dimension of the result.
    recipe
        That is trained; its last epoch is taken, as no cell may choose by what it is asked about.
    train
        (N,) which rows of the manifest it learns from.
    probe
        Whether the backbone stays as it is and the head is a logistic regression on its features
        of `train` (strength `probe_c`), for which nothing else of the recipe matters than backbone,
        image size and dtype.
    """

    at: Mapping[str, Coordinate]
    recipe: Recipe
    train: Rows
    probe: bool = False


class Cells:
    """The place where the cells of a study are computed and kept.

    Parameters
    ----------
    manifest
        Labelled crops.
    scored
        (N,) which of them each cell scores.
    validation
        (N,) which of them a training run is shown after its last epoch: linked to none that is
        learned from, and of no final split. Nothing is chosen by them.
    out
        The study's folder.
    device
        Such as `cuda`; by default the best there is.
    """

    def __init__(
        self, manifest: Manifest, *, scored: Rows, validation: Rows, out: str | Path,
        device: str | None = None,
    ) -> None:  # fmt: skip
        self.manifest, self.scored, self.validation = manifest, scored, validation
        self.out, self.device = Path(out), usable(device)
        self._labels = manifest.labels()

    def run(self, cells: Sequence[Cell], *, progress: Progress | None = None) -> xr.Dataset:
        """Compute the cells that are not there yet, and return all.

        Cells that another process is at are left to it, and waited for at the end.

        Returns
        -------
        xarray.Dataset
            `margin` (dimensions of the cells, sample): logit of fake less that of real, NaN in
            places without a cell; on `sample` the manifest's columns and its connected `component`.

        Raises
        ------
        InvalidManifest
            If a cell has no crop of one class to learn from.
        """
        progress = progress or Bars()
        keys = [self.key(cell) for cell in cells]
        left = {key: cell for key, cell in zip(keys, cells, strict=True) if not self._kept(key)}
        done, total, wait = 0, len(left), 0.0
        while left:
            for key in list(left):
                (self.out / CELLS).mkdir(parents=True, exist_ok=True)
                with suppress(Timeout), FileLock(self._file(key, ".lock"), timeout=wait):
                    if not self._kept(key):
                        self._keep(key, left[key], self.margins(left[key], key))
                    left.pop(key)
                    done += 1
                    progress(done, total, "cells")
            wait = POLL
        return self._assembled(cells, keys)

    def missing(self, cells: Sequence[Cell]) -> int:
        """Return how many different cells are not there yet."""
        return sum(not self._kept(key) for key in {self.key(cell) for cell in cells})

    def made_with(self, cells: Sequence[Cell]) -> list[dict[str, str]]:
        """Return the different versions and devices that cells were computed with.

        A cell is not computed anew when a package changes: what it was made with is kept beside it.
        """
        files = {self._file(self.key(cell), ".json") for cell in cells}
        texts = sorted({path.read_text(encoding="utf-8") for path in files if path.is_file()})
        return [json.loads(text) for text in texts]

    def adapter(self, cell: Cell) -> Path:
        """Return where the adapter of a cell lies that was trained."""
        return self._file(self.key(cell), "")

    def key(self, cell: Cell) -> str:
        """Return the digest of all that a cell's margins rest on."""
        recipe = self._recipe(cell).model_dump(mode="json", exclude={"name"})
        # A field that came later has no part in what was computed without it.
        recipe = {k: v for k, v in recipe.items() if (k, v) not in LATER}
        if cell.probe:
            recipe = {k: recipe[k] for k in ("backbone", "image_size", "dtype", "probe_c")}
        parts = [self._digest, cell.probe, recipe, _packed(cell.train), self._scored_digest]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:24]

    def margins(self, cell: Cell, key: str) -> NDArray[np.float32]:
        """Train a cell and return the margin of each scored crop (S,)."""
        if len(set(self._labels[cell.train].tolist())) < 2:
            where = ", ".join(f"{name} {value}" for name, value in cell.at.items())
            raise InvalidManifest(f"at {where} there are not both real and fake crops to train on.")
        if cell.probe:
            features = self.features(cell.recipe)
            head = fit_probe(features[cell.train], self._labels[cell.train], c=cell.recipe.probe_c)
            difference = (head["weight"][1] - head["weight"][0]).numpy()
            bias = float(head["bias"][1] - head["bias"][0])
            return np.asarray(features[self.scored] @ difference + np.float32(bias))
        return self._trained(cell, key).margin

    def features(self, recipe: Recipe) -> NDArray[np.float32]:
        """Return the unit features (N, D) of all crops on the recipe's frozen backbone."""
        path = self._features_file(recipe)
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock")):
            if not path.is_file():
                # Of any kind of tuning the frozen backbone is the same; the head stays unused.
                plain = recipe.model_copy(
                    update={"tuning": "layer-norms", "tuned_norms": 0, "lora": None}
                )
                trainer, _ = build_trainer(plain, device=self.device)
                embedding = trainer.outputs(self.manifest).embedding
                write_whole(path.with_suffix(".json"), self._made_with(recipe))
                write_array(path, embedding)
        return np.asarray(np.load(path), dtype=np.float32)

    def _trained(self, cell: Cell, key: str) -> Outputs:
        """Return what the tuned detector of a cell says of the scored crops."""
        folder, recipe = self._file(key, ""), self._recipe(cell)
        if (folder / RUN).is_file():
            run = load(Adapter.read(folder / ADAPTER), device=self.device, dtype=recipe.dtype)
            return run_over(run, self.manifest.where(self.scored))
        detector = fit(
            recipe, self.manifest.where(cell.train), self.manifest.where(self.validation),
            out=folder, device=self.device, resume=checkpoint_path(folder).exists(),
            progress=silent,
        ).detector  # fmt: skip
        return run_over(detector, self.manifest.where(self.scored))

    def _recipe(self, cell: Cell) -> Recipe:
        return Recipe.of(cell.recipe, **{"selection.metric": "last"})

    @cached_property
    def _digest(self) -> str:
        return digest(self.manifest)

    @cached_property
    def _scored_digest(self) -> str:
        return _packed(self.scored)

    def _file(self, key: str, suffix: str) -> Path:
        return self.out / CELLS / f"{key}{suffix}"

    def _kept(self, key: str) -> bool:
        return self._file(key, ".npy").is_file()

    def _features_file(self, recipe: Recipe) -> Path:
        parts = [self._digest, recipe.backbone, recipe.image_size, recipe.dtype]
        name = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:24]
        return self.out / FEATURES / f"{name}.npy"

    def _keep(self, key: str, cell: Cell, margins: NDArray[np.float32]) -> None:
        # A probe is as old as the features that it was fitted on.
        own = self._features_file(cell.recipe).with_suffix(".json")
        older = cell.probe and own.is_file()
        made = own.read_bytes() if older else self._made_with(cell.recipe)
        write_whole(self._file(key, ".json"), made)
        write_array(self._file(key, ".npy"), margins)

    def _made_with(self, recipe: Recipe) -> bytes:
        part = plugins().part("backbone", recipe.backbone)
        source = f"{part.source.distribution} {part.source.version}".strip()
        made = {**versions(), "device": self.device, "backbone": source}
        return json.dumps(made, sort_keys=True).encode()

    def _assembled(self, cells: Sequence[Cell], keys: Sequence[str]) -> xr.Dataset:
        where = [dict(cell.at) for cell in cells]
        dims = list(dict.fromkeys(name for of in where for name in of))
        places = {dim: list(dict.fromkeys(of[dim] for of in where)) for dim in dims}
        shape = [len(places[dim]) for dim in dims]
        margin = np.full([*shape, int(self.scored.sum())], np.nan, np.float32)
        for of, key in zip(where, keys, strict=True):
            margin[tuple(places[dim].index(of[dim]) for dim in dims)] = np.load(
                self._file(key, ".npy")
            )
        table = self.manifest.table.assign(component=self.manifest.components())[self.scored]
        on_sample = {name: ("sample", table[name].to_numpy()) for name in (*ON_SAMPLE, "component")}
        return xr.Dataset(
            {"margin": ((*dims, "sample"), margin)},
            coords={**places, "sample": table["sample"].to_numpy(dtype=object), **on_sample},
        )


def by_clip(ds: xr.Dataset) -> xr.Dataset:
    """Average the scores of a study's crops over each person of a clip.

    Parameters
    ----------
    ds
        `margin` (..., sample), with the columns of `Cells.run`.

    Returns
    -------
    xarray.Dataset
        `score` (..., clip): mean P(fake); on `clip` the columns, and `crops`, of how many.

    Raises
    ------
    InvalidLabels
        If a person of a clip has crops of both labels.
    """
    table = pd.DataFrame({name: ds[name].to_numpy() for name in (*ON_SAMPLE, "component")})
    number, first = numbered(table, UNIT)
    probability = expit(ds["margin"].transpose(..., "sample").to_numpy().astype(np.float64))
    about = table.iloc[first]
    dims = [d for d in ds["margin"].dims if d != "sample"]
    return xr.Dataset(
        {"score": ((*dims, "clip"), means(probability, number))},
        coords={
            **{d: ds[d] for d in dims},
            **{str(name): ("clip", about[name].to_numpy()) for name in about.columns},
            "crops": ("clip", np.bincount(number)),
        },
    )


def _packed(rows: Rows) -> str:
    return hashlib.sha256(np.packbits(rows).tobytes()).hexdigest()
