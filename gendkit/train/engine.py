"""Tunes a backbone: from a recipe and two manifests to a detector and the record of the run."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from gendkit.data.columns import SPLITS
from gendkit.data.manifest import Manifest
from gendkit.device import usable
from gendkit.errors import InvalidArgument, InvalidManifest, OutputExists, UnwritableOutput
from gendkit.markup import words_of
from gendkit.model.adapter import Adapter, movement
from gendkit.model.batches import check_positive
from gendkit.model.detector import Detector
from gendkit.model.kinds import LAYER_NORMS, Kind
from gendkit.model.tuned import put
from gendkit.model.tuning import Tuned, copy_of
from gendkit.output import new_folder
from gendkit.plugin.events import EpochEnded, FitEnded, RunInfo
from gendkit.progress import Bars, Progress, silent
from gendkit.train.build import build_trainer
from gendkit.train.checkpoint import Checkpoint, Keeper, Origin, Standing, checkpoint_path
from gendkit.train.distributed import World, check_same, joined
from gendkit.train.epochs import run_epochs
from gendkit.train.outputs import run_over
from gendkit.train.recipe import Recipe
from gendkit.train.record import describe, digest, extraction, versions
from gendkit.train.run import Run
from gendkit.train.telling import Teller, listeners_of
from gendkit.train.trainer import Trainer

__all__ = ["ADAPTER", "RUN", "Run", "describe", "fit", "run_over", "versions"]

FINAL = SPLITS[-1]
ADAPTER, RUN = "adapter.safetensors", "run.json"
COUNTED: MappingProxyType[Kind, str] = MappingProxyType(
    {"layer-norms": "layer_norms", "bitfit": "biases", "lora": "factors", "full": "weights"}
)
"""How the record names the tuned numbers of each kind."""
logger = logging.getLogger(__name__)


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
    compile: bool = False,
    trackers: Sequence[str] = (),
    progress: Progress | None = None,
) -> Run:
    """Tune what a recipe tunes of its backbone, by default the layer norms, and a head.

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
        Such as `cuda`; by default the best there is. Under `torchrun`, each process takes its own.
    overwrite
        Replace `out` if it holds another run, and its checkpoint.
    resume
        Go on from the checkpoint of a run to `out` that was interrupted; without one, begin. On
        the CPU the numbers are those of a run that was not, to the bit.
    checkpoint_every
        Steps between checkpoints; None is an epoch. Only a run with `out` has checkpoints; the
        newest is `.NAME-checkpoint.safetensors` beside it until `out` is written.
    compile
        Let torch compile the encoder: a wait at first, then, as a rule, faster steps on a GPU. The
        numbers differ in the last bits; the record says so.
    trackers
        Installed plugins that are told how the run goes, such as `tensorboard`. What was registered
        in this process is always told, and so is gendkit's own log: `.NAME-log.csv` and
        `.NAME-log.json` beside `out` while the run goes on, `history.csv` and `movement.csv` in it
        at the end.
    progress
        Told after each step; by default a progress bar.

    Raises
    ------
    InvalidLabels, InvalidManifest
        If a label is unknown, a class is missing, the two manifests are linked, or one holds crops
        of the final split.
    InvalidArgument
        If the device is not there, nothing can be compiled for it, or a run that was begun with
        `compile` is resumed without, or the other way round.
    InvalidRecipe, WrongBackbone
        If a run is resumed with another recipe or other weights; with other crops it is
        `InvalidManifest`, and `CorruptCheckpoint` if its checkpoint is damaged.
    OutputExists
        If `out` holds something else, or there is a checkpoint that neither `resume` nor
        `overwrite` asks for.
    UnknownPart
        If there is no such backbone, loss or tracker.
    MissingDependency
        If low-rank factors are tuned and peft is not installed.
    UnwritableOutput
        If the output or a checkpoint cannot be written; the earlier checkpoint is still there.
    Diverged
        If the loss stops being finite; it names the step and the samples.
    RankLost
        If another process of a distributed run is gone.
    """
    recipe = Recipe.of(recipe)
    with joined(usable(device)) as (world, where):
        return _fit(
            recipe, train, validation, out=out, device=where, overwrite=overwrite, resume=resume,
            checkpoint_every=checkpoint_every, compile=compile, trackers=trackers,
            progress=progress or Bars(), world=world,
        )  # fmt: skip


def _fit(
    recipe: Recipe,
    train: str | Path | Manifest,
    validation: str | Path | Manifest,
    *,
    out: str | Path | None,
    device: str,
    overwrite: bool,
    resume: bool,
    checkpoint_every: int | None,
    compile: bool,
    trackers: Sequence[str],
    progress: Progress,
    world: World,
) -> Run:
    """Tune in one process of the world; the first one alone reads checkpoints and writes."""
    first = world.rank == 0
    train, validation = _faces_of(train), _faces_of(validation)
    _check_data(train, validation)
    if resume and out is None:
        raise InvalidArgument("a run is resumed by the folder it was to write; give out.")
    if checkpoint_every is not None:
        check_positive("checkpoint_every", checkpoint_every)
    listeners = listeners_of(trackers)
    world.check_batch(min(recipe.batch_size, len(train)))
    writes = out is not None and first
    folder = new_folder(out, overwrite=overwrite, marker=RUN) if writes and out else None
    place = checkpoint_path(out) if writes and out else None
    origin = Origin(
        recipe=recipe.model_dump(mode="json"),
        train=digest(train),
        validation=digest(validation),
        compiled=compile,
    )
    check_same(world, asdict(origin))
    earlier = world.from_first(
        lambda: _earlier(place, origin, resume=resume, overwrite=overwrite) if place else None
    )
    started = time.perf_counter()

    trainer, tuned = build_trainer(
        recipe, device=device, world=world, extraction=extraction(train), compile=compile
    )
    check_same(world, {"backbone": trainer.header.backbone_hash})
    begun = _begin(trainer, train, origin, earlier, place)
    trainer.agree()
    keeper = Keeper(place, begun, every=checkpoint_every) if place else None
    run = RunInfo(
        name=recipe.name,
        recipe=origin.recipe,
        out=Path(out) if out is not None else None,
        epochs=recipe.epochs,
        steps=recipe.epochs * trainer.loader(train).steps(),
        resumed_from=begun.standing.step,
        device=device,
        ranks=world.size,
        compiled=compile,
        data={
            "train": describe(train, read=origin.train),
            "validation": describe(validation, read=origin.validation),
        },
        backbone={
            "name": trainer.spec.name,
            "hash": trainer.header.backbone_hash,
            "source": trainer.header.source,
        },
        versions=versions(),
    )
    with _told(Teller(listeners if first else ()), run) as teller:
        standing = run_epochs(
            trainer,
            train,
            validation,
            begin=begun.standing,
            keeper=keeper,
            progress=progress if first else silent,
            ended=lambda standing: teller.epoch_ended(run, _ended(standing, trainer)),
        )
        adapter, history, record = _results(trainer, train, run, standing, tuned)
        record["resumed"] = list(begun.resumed)
        record["seconds"] = round(begun.seconds + time.perf_counter() - started, 1)
        if folder is not None and keeper is not None:
            _write(adapter, record, folder, keeper)
    teller.fit_ended(run, FitEnded(outcome="finished", record=record))
    return _run(trainer, adapter, begun.probe, history, record)


@contextmanager
def _told(teller: Teller, run: RunInfo) -> Iterator[Teller]:
    """Tell that a run has begun and, if it ends badly, how."""
    teller.fit_started(run)
    try:
        yield teller
    except BaseException as error:
        outcome: Any = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
        reason = words_of(error)
        teller.fit_ended(run, FitEnded(outcome=outcome, reason=reason))
        raise


def _ended(standing: Standing, trainer: Trainer) -> EpochEnded:
    layers = movement(trainer.base_norms, copy_of(trainer.norms))
    return EpochEnded(
        number=len(standing.history) - 1,
        history=standing.history,
        movement=dict(zip(layers["layer"], layers["weight"], strict=True)),
        chosen=standing.chosen.epoch if standing.chosen else 0,
    )


def _results(
    trainer: Trainer, train: Manifest, run: RunInfo, standing: Standing, tuned: Tuned
) -> tuple[Adapter, pd.DataFrame, dict[str, Any]]:
    """Return the chosen adapter, the history and the record of a run."""
    recipe = trainer.recipe
    chosen = standing.chosen
    assert chosen is not None  # epochs >= 1
    adapter = Adapter.holding(trainer.header, chosen.tuned, chosen.head)
    history = pd.DataFrame(list(standing.history))
    batches = {
        "crops": min(recipe.batch_size, len(train)),
        "an_epoch": trainer.loader(train).steps(),
        "pairs": round(float(history["pairs"].mean()), 3),
    }
    record = {
        "recipe": recipe.model_dump(mode="json"),
        "adapter": adapter.hash,
        "backbone": dict(run.backbone),
        "tuned": {
            COUNTED[recipe.tuning]: tuned.numbers,
            "head": _numbers(adapter.head),
            "of": tuned.total,
        },
        "chosen_epoch": chosen.epoch,
        "chosen_by": recipe.selection.model_dump(),
        "batches": batches,
        "data": dict(run.data),
        "history": [dict(row) for row in standing.history],
        "versions": dict(run.versions),
        "device": run.device,
        "threads": torch.get_num_threads(),
        "ranks": run.ranks,
        "compiled": run.compiled,
        "dtype": recipe.dtype,
    }
    return adapter, history, record


def _begin(
    trainer: Trainer,
    train: Manifest,
    origin: Origin,
    earlier: Checkpoint | None,
    place: Path | None,
) -> Checkpoint:
    """Bring a trainer to where the run goes on; return that, without the trainer's state."""
    backbone = trainer.header.backbone_hash, trainer.header.norms_hash
    if earlier is not None:
        earlier.check_backbone(backbone, place or Path("rank 0"))
        trainer.restore(earlier.state)
        step = earlier.standing.step
        return replace(earlier, state={}, resumed=(*earlier.resumed, step))
    if place is not None:
        place.unlink(missing_ok=True)
    return Checkpoint(
        origin=origin,
        backbone=backbone,
        standing=Standing(),
        state={},
        probe=trainer.begin_with(train),
    )


def _write(
    adapter: Adapter,
    record: Mapping[str, Any],
    folder: AbstractContextManager[Path],
    keeper: Keeper,
) -> None:
    """Write the output, and then remove the checkpoint."""
    try:
        with folder as path:
            adapter.write(path / ADAPTER)
            (path / RUN).write_text(json.dumps(record, indent=1), encoding="utf-8")
    except OSError as error:
        raise UnwritableOutput(
            f"the run cannot be written: {error.strerror or error}; {keeper.kept()}. "
            "Make room or let it be written, then --resume."
        ) from None
    keeper.remove()


def _run(
    trainer: Trainer,
    adapter: Adapter,
    probe: Mapping[str, Tensor],
    history: pd.DataFrame,
    record: Mapping[str, Any],
) -> Run:
    """Put the chosen numbers into the live backbone."""
    kind = adapter.header.kind
    if kind == LAYER_NORMS:
        adapter.apply(trainer.backbone, trainer.spec)  # looks at the frozen weights once more
    else:
        put(trainer.backbone, trainer.spec, kind, adapter.tuned)
    return Run(
        detector=Detector(
            trainer.backbone,
            spec=trainer.spec,
            adapter=adapter,
            device=trainer.device,
            dtype=trainer.recipe.dtype,
        ),
        probe=_probe(trainer, probe) if probe else None,
        history=history,
        layers=movement(trainer.base_norms, copy_of(trainer.norms)),
        record=record,
    )


def _probe(trainer: Trainer, head: Mapping[str, Tensor]) -> Adapter:
    header = replace(trainer.header, kind=LAYER_NORMS, alpha=None)
    return Adapter(header=header, norms=trainer.base_norms, head=head)


def _earlier(place: Path, origin: Origin, *, resume: bool, overwrite: bool) -> Checkpoint | None:
    """Return the checkpoint to go on from; refuse one that nobody asked for."""
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
    for name, manifest in (("train", train), ("validation", validation)):
        if final := int((manifest.table["split"] == FINAL).sum()):
            raise InvalidManifest(
                f"the {name} manifest has {final} crops of the split {FINAL!r}, on which nothing "
                "may be trained or chosen; give those of another split, as MANIFEST:train."
            )


def _numbers(tensors: Mapping[str, Tensor]) -> int:
    return sum(t.numel() for t in tensors.values())
