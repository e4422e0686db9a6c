"""What the manager knows of a plugin: its parts, their kinds, and where they come from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gendkit.plugin.specs import (
    BackboneFamily,
    BackboneSpec,
    DatasetSpec,
    FaceExtractorSpec,
    LossSpec,
    Spec,
)

Kind = Literal["backbone", "face-extractor", "loss", "dataset"]

KINDS: dict[Kind, tuple[str, tuple[type, ...]]] = {
    "backbone": ("gendkit_backbones", (BackboneSpec, BackboneFamily)),
    "face-extractor": ("gendkit_face_extractors", (FaceExtractorSpec,)),
    "loss": ("gendkit_losses", (LossSpec,)),
    "dataset": ("gendkit_datasets", (DatasetSpec,)),
}


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where a plugin comes from: its own name and the distribution that installed it."""

    plugin: str
    distribution: str
    version: str


@dataclass(frozen=True, kw_only=True)
class Part:
    """A spec with its kind and its source."""

    kind: Kind
    spec: Spec
    source: Source

    @property
    def name(self) -> str:
        """The name by which users ask for the part."""
        return self.spec.pattern if isinstance(self.spec, BackboneFamily) else self.spec.name


@dataclass(frozen=True, kw_only=True)
class Broken:
    """A plugin that was set aside."""

    source: Source
    reason: str
