"""Tunes layer norms: from a recipe and two manifests to a detector and the record of the run."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from gendkit.data.manifest import Manifest
from gendkit.errors import InvalidManifest
from gendkit.model.adapter import Adapter, header_of, movement
from gendkit.model.backbone import build_backbone
from gendkit.model.detector import Detector
from gendkit.model.device import usable
from gendkit.model.tuning import norm_types, tune_layer_norms
from gendkit.output import new_folder
from gendkit.plugin.manager import plugins
from gendkit.progress import Bars, Progress
from gendkit.train.epochs import run_epochs
from gendkit.train.outputs import run_over
from gendkit.train.recipe import Recipe
from gendkit.train.record import describe, versions
from gendkit.train.trainer import Trainer, build_losses

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ADAPTER", "RUN", "Run", "describe", "fit", "run_over", "versions"]

ADAPTER, RUN = "adapter.safetensors", "run.json"
EXTRACTION = ("extractor", "threshold", "scale", "size")
_Trainer = Trainer


@dataclass(frozen=True, kw_only=True)
class Run:
    """What came of `fit`.

    Attributes
    ----------
    detector
        With the adapter of the chosen epoch.
    probe
        The frozen probe as an adapter (base layer norms), where the recipe starts from it.
    history
        One row an epoch: `epoch`, `loss`, each loss's own value, `pairs` (fakes with their real in
        the same batch, mean over batches), `learning_rate`, the validation metrics (NaN where the
        recipe keeps the last epoch and this is another), `seconds`.
    layers
        How far each layer norm moved; see `gendkit.model.adapter.movement`.
    record
        Recipe, versions, counts, data digests and the chosen epoch; what `run.json` holds.
    """

    detector: Detector
    probe: Adapter | None
    history: pd.DataFrame
    layers: pd.DataFrame
    record: Mapping[str, Any]

    @property
    def adapter(self) -> Adapter:
        """The tuned numbers and the head."""
        return self.detector.adapter


def fit(
    recipe: str | Path | Recipe,
    train: str | Path | Manifest,
    validation: str | Path | Manifest,
    *,
    out: str | Path | None = None,
    device: str | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Run:
    """Tune the layer norms of a recipe's backbone and its head.

    Parameters
    ----------
    recipe
        A preset's name, a YAML file or a `Recipe`.
    train, validation
        Labelled face crops, or the folder that holds them with their manifest. Their clips must
        share neither targets, donors nor identities.
    out
        A new folder for `adapter.safetensors` and `run.json`.
    device
        Such as `cuda`; by default the best there is.
    overwrite
        Replace `out` if it holds another run.
    progress
        Told after each step; by default a progress bar.

    Raises
    ------
    InvalidLabels, InvalidManifest
        If a label is unknown, a class is missing, or the two manifests are linked.
    OutputExists
        If `out` holds something else.
    Diverged
        If the loss stops being finite; it names the step and the samples.
    """
    recipe = Recipe.of(recipe)
    device = usable(device)
    train, validation = _faces_of(train), _faces_of(validation)
    _check_data(train, validation)
    folder = new_folder(out, overwrite=overwrite, marker=RUN) if out is not None else None
    progress = progress or Bars()
    started = time.perf_counter()

    part = plugins().part("backbone", recipe.backbone)
    spec = plugins().spec("backbone", recipe.backbone)
    build_losses(recipe.losses)  # an unknown name is told before weights are loaded
    backbone = build_backbone(spec, image_size=recipe.image_size)
    tuned = tune_layer_norms(backbone, norm_types(spec.norm_classes))
    header = header_of(
        backbone,
        spec,
        spec.preprocessing.at(recipe.image_size or spec.image_size),
        source=f"{part.source.distribution} {part.source.version}".strip(),
        recipe=recipe.model_dump(mode="json"),
        extraction={k: train.meta[k] for k in EXTRACTION if train.meta.get(k) is not None},
        dtype=recipe.dtype,
    )
    trainer = Trainer(recipe, spec, backbone.to(device), header, device)
    probe = trainer.start_from_probe(train) if recipe.head_init == "probe" else None
    history, chosen = run_epochs(trainer, train, validation, progress=progress)

    adapter = chosen.adapter
    adapter.apply(trainer.backbone, spec)
    detector = Detector(backbone, spec=spec, adapter=adapter, device=device, dtype=recipe.dtype)
    record = {
        "recipe": recipe.model_dump(mode="json"),
        "adapter": adapter.hash,
        "backbone": {"name": spec.name, "hash": header.backbone_hash, "source": header.source},
        "tuned": {"layer_norms": tuned.numbers, "head": _numbers(adapter.head), "of": tuned.total},
        "chosen_epoch": chosen.epoch,
        "chosen_by": recipe.selection.model_dump(),
        "batches": {
            "crops": min(recipe.batch_size, len(train)),
            "an_epoch": trainer.loader(train).steps(),
            "pairs": round(float(history["pairs"].mean()), 3),
        },
        "data": {"train": describe(train), "validation": describe(validation)},
        "history": [
            {k: v for k, v in row.items() if np.isfinite(v)}
            for row in history.to_dict(orient="records")
        ],
        "versions": versions(),
        "device": device,
        "dtype": recipe.dtype,
        "seconds": round(time.perf_counter() - started, 1),
    }
    if folder is not None:
        with folder as path:
            adapter.write(path / ADAPTER)
            (path / RUN).write_text(json.dumps(record, indent=1), encoding="utf-8")
    return Run(
        detector=detector,
        probe=probe,
        history=history,
        layers=movement(trainer.base_norms, dict(adapter.norms)),
        record=record,
    )


def _faces_of(source: str | Path | Manifest) -> Manifest:
    return (source if isinstance(source, Manifest) else Manifest.read(source)).faces()


def _check_data(train: Manifest, validation: Manifest) -> None:
    import pandas as pd

    for name, manifest in (("train", train), ("validation", validation)):
        if not len(manifest):
            raise InvalidManifest(f"the {name} manifest has no face crop.")
        if len(set(manifest.labels().tolist())) < 2:
            raise InvalidManifest(f"the {name} manifest has crops of one class only.")
    both = [
        m.table.assign(split=name) for name, m in (("train", train), ("validation", validation))
    ]
    Manifest(table=pd.concat(both, ignore_index=True), root=train.root).check_no_leak()


def _numbers(tensors: Mapping[str, Tensor]) -> int:
    return sum(t.numel() for t in tensors.values())
