"""The hooks. A plugin implements any of them with `@gendkit.plugin.hookimpl`.

Hooks that provide are plural nouns and return specs; a generator function is the usual form. They
must not import torch: listing the parts calls them.

Hooks that tell are past-tense and return nothing. Every plugin may implement them; one that is
installed is told only if the run names it among its trackers, one that is registered on the spot
always. Take only the arguments that you need. A plugin that fails is told no more in that run, and
changes nothing about it.

With the environment variable GENDKIT_TRACE_HOOKS=1 each call is told on stderr: the hook, the
plugin, what came back and how long it took.
"""

from __future__ import annotations

from collections.abc import Iterable

import pluggy

from gendkit.plugin.events import EpochEnded, FitEnded, RunInfo
from gendkit.plugin.specs import (
    BackboneFamily,
    BackboneSpec,
    DatasetSpec,
    FaceExtractorSpec,
    LossSpec,
)

PROJECT = "gendkit"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def gendkit_backbones() -> Iterable[BackboneSpec | BackboneFamily]:  # type: ignore[empty-body]
    """Pretrained encoders whose layer norms can be tuned."""


@hookspec
def gendkit_face_extractors() -> Iterable[FaceExtractorSpec]:  # type: ignore[empty-body]
    """Face detectors with five landmarks."""


@hookspec
def gendkit_losses() -> Iterable[LossSpec]:  # type: ignore[empty-body]
    """Losses on logits and unit embeddings."""


@hookspec
def gendkit_datasets() -> Iterable[DatasetSpec]:  # type: ignore[empty-body]
    """Collections of clips with their labels, pairs and identities."""


@hookspec
def gendkit_fit_started(run: RunInfo) -> None:
    """A run is about to take its first step, or the first since it was resumed."""


@hookspec
def gendkit_epoch_ended(run: RunInfo, epoch: EpochEnded) -> None:
    """An epoch was trained and validated."""


@hookspec
def gendkit_fit_ended(run: RunInfo, end: FitEnded) -> None:
    """A run has ended, well or not; its outputs are written."""
