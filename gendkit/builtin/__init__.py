"""gendkit's own plugin: its parts come through the same hooks as everybody's."""

from __future__ import annotations

from collections.abc import Iterable

from gendkit.builtin import (
    backbone_specs,
    dataset_specs,
    face_extractor_specs,
    loss_specs,
    run_log,
)
from gendkit.plugin.events import EpochEnded, FitEnded, RunInfo
from gendkit.plugin.hooks import hookimpl
from gendkit.plugin.specs import (
    BackboneFamily,
    BackboneSpec,
    DatasetSpec,
    FaceExtractorSpec,
    LossSpec,
)


@hookimpl
def gendkit_backbones() -> Iterable[BackboneSpec | BackboneFamily]:
    """Give the embedded default, the paper's three, timm's and open_clip's."""
    return backbone_specs.backbones()


@hookimpl
def gendkit_face_extractors() -> Iterable[FaceExtractorSpec]:
    """Give `centerface` and `yunet`."""
    return face_extractor_specs.face_extractors()


@hookimpl
def gendkit_losses() -> Iterable[LossSpec]:
    """Give the method's losses."""
    return loss_specs.losses()


@hookimpl
def gendkit_datasets() -> Iterable[DatasetSpec]:
    """Give `synthetic`, `photos` and `self-blended`."""
    return dataset_specs.datasets()


@hookimpl
def gendkit_fit_started(run: RunInfo) -> None:
    """Begin the log beside the output."""
    run_log.begin(run)


@hookimpl
def gendkit_epoch_ended(run: RunInfo, epoch: EpochEnded) -> None:
    """Write the rows so far."""
    run_log.add(run, epoch)


@hookimpl
def gendkit_fit_ended(run: RunInfo, end: FitEnded) -> None:
    """Put the rows into the output, or say how the run ended."""
    run_log.close(run, end)
