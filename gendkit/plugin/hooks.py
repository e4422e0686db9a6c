"""The hooks. A plugin implements any of them with `@gendkit.plugin.hookimpl`.

Hooks that provide are plural nouns and return specs; a generator function is the usual form. They
must not import torch: listing the parts calls them.
"""

from __future__ import annotations

from collections.abc import Iterable

import pluggy

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
