"""Tunes layer norms: from a recipe and two manifests to a detector and the record of the run."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor

from gendkit.data.manifest import Manifest
from gendkit.errors import InvalidArgument, InvalidManifest, OutputExists, UnwritableOutput
from gendkit.model.adapter import Adapter, header_of, movement
from gendkit.model.backbone import build_backbone
from gendkit.model.detector import Detector, check_positive
from gendkit.model.device import usable
from gendkit.model.tuning import norm_types
from gendkit.output import new_folder
from gendkit.plugin.manager import plugins
from gendkit.progress import Bars, Progress
from gendkit.train.checkpoint import Checkpoint, Keeper, Origin, Standing, checkpoint_path
from gendkit.train.epochs import run_epochs
from gendkit.train.outputs import run_over
from gendkit.train.recipe import Recipe
from gendkit.train.record import describe, digest, extraction, versions
from gendkit.train.trainer import Trainer, build_losses, tune

__all__ = ["ADAPTER", "RUN", "Run", "describe", "fit", "run_over", "versions"]

ADAPTER, RUN = "adapter.safetensors", "run.json"
_Trainer = Trainer
logger = logging.getLogger(__name__)


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
    resume: bool = False,
    checkpoint_every: int | None = None,
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
        Replace `out` if it holds another run, and its checkpoint.
    resume
        Go on from the checkpoint of a run to `out` that was interrupted; without one, begin. On
        the CPU the numbers are those of a run that was not, to the bit.
    checkpoint_every
        Steps between checkpoints; None is an epoch. Only a run with `out` has checkpoints; the
        newest is `.NAME-checkpoint.safetensors` beside it until `out` is written.
    progress
        Told after each step; by default a progress bar.

    Raises
    ------
    InvalidLabels, InvalidManifest
        If a label is unknown, a class is missing, or the two manifests are linked.
    InvalidRecipe, WrongBackbone
        If a run is resumed with another recipe or other weights; with other crops it is
        `InvalidManifest`, and `CorruptCheckpoint` if its checkpoint is damaged.
    OutputExists
        If `out` holds something else, or there is a checkpoint that neither `resume` nor
        `overwrite` asks for.
    UnwritableOutput
        If the output or a checkpoint cannot be written; the earlier checkpoint is still there.
    Diverged
        If the loss stops being finite; it names the step and the samples.
    """
    recipe = Recipe.of(recipe)
    device = usable(device)
    train, validation = _faces_of(train), _faces_of(validation)
    _check_data(train, validation)
    if resume and out is None:
        raise InvalidArgument("a run is resumed by the folder it was to write; give out.")
    if checkpoint_every is not None:
        check_positive("checkpoint_every", checkpoint_every)
    folder = new_folder(out, overwrite=overwrite, marker=RUN) if out is not None else None
    place = checkpoint_path(out) if out is not None else None
    origin = Origin(
        recipe=recipe.model_dump(mode="json"), train=digest(train), validation=digest(validation)
    )
    earlier = _earlier(place, origin, resume=resume, overwrite=overwrite) if place else None
    progress = progress or Bars()
    started = time.perf_counter()

    part = plugins().part("backbone", recipe.backbone)
    spec = plugins().spec("backbone", recipe.backbone)
    build_losses(recipe.losses)  # an unknown name is told before weights are loaded
    backbone = build_backbone(spec, image_size=recipe.image_size)
    tuned = tune(backbone, norm_types(spec.norm_classes), last=recipe.tuned_norms)
    header = header_of(
        backbone,
        spec,
        spec.preprocessing.at(recipe.image_size or spec.image_size),
        source=f"{part.source.distribution} {part.source.version}".strip(),
        recipe=recipe.model_dump(mode="json"),
        extraction=extraction(train),
        dtype=recipe.dtype,
    )
    hashes = header.backbone_hash, header.norms_hash
    trainer = Trainer(recipe, spec, backbone.to(device), header, device)
    probe: Adapter | None = None
    if earlier is not None and place is not None:
        earlier.check_backbone(hashes, place)
        trainer.restore(earlier.state)
        if earlier.probe:
            probe = Adapter(header=header, norms=trainer.base_norms, head=earlier.probe)
    elif recipe.head_init == "probe":
        probe = trainer.start_from_probe(train)
    begun = Checkpoint(
        origin=origin,
        backbone=hashes,
        standing=earlier.standing if earlier else Standing(),
        state={},
        probe=probe.head if probe else {},
        resumed=(*earlier.resumed, earlier.standing.step) if earlier else (),
        seconds=earlier.seconds if earlier else 0.0,
    )
    keeper = Keeper(place, begun, every=checkpoint_every) if place else None
    standing = run_epochs(
        trainer, train, validation, begin=begun.standing, keeper=keeper, progress=progress
    )
    history, chosen = pd.DataFrame(list(standing.history)), standing.chosen
    assert chosen is not None  # epochs >= 1

    adapter = Adapter(header=header, norms=chosen.norms, head=chosen.head)
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
        "resumed": list(begun.resumed),
        "seconds": round(begun.seconds + time.perf_counter() - started, 1),
    }
    if folder is not None and keeper is not None:
        try:
            with folder as path:
                adapter.write(path / ADAPTER)
                (path / RUN).write_text(json.dumps(record, indent=1), encoding="utf-8")
        except OSError as error:
            raise UnwritableOutput(
                f"{out} cannot be written: {error.strerror or error}; {keeper.kept()}. "
                "Make room or let it be written, then --resume."
            ) from None
        keeper.remove()
    return Run(
        detector=detector,
        probe=probe,
        history=history,
        layers=movement(trainer.base_norms, dict(adapter.norms)),
        record=record,
    )


def _earlier(place: Path, origin: Origin, *, resume: bool, overwrite: bool) -> Checkpoint | None:
    """Return the checkpoint to go on from; remove or refuse one that is not."""
    if not place.exists():
        if resume:
            logger.warning(
                "there is no checkpoint at %s: the run begins with its first step.", place
            )
        return None
    if resume:
        earlier = Checkpoint.read(place)
        earlier.check_origin(origin, place)
        return earlier
    if not overwrite:
        raise OutputExists(
            f"{place} holds a run that was interrupted; go on with --resume, or begin anew with "
            "--overwrite."
        )
    place.unlink()
    return None


def _faces_of(source: str | Path | Manifest) -> Manifest:
    return (source if isinstance(source, Manifest) else Manifest.read(source)).faces()


def _check_data(train: Manifest, validation: Manifest) -> None:
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
