"""All that a plugin author needs: hooks, specs, protocols and the manager."""

from gendkit.plugin.events import EpochEnded, FitEnded, RunInfo
from gendkit.plugin.hooks import hookimpl
from gendkit.plugin.manager import Plugins, plugins, register
from gendkit.plugin.parts import Part
from gendkit.plugin.protocols import (
    Backbone,
    Clip,
    Dataset,
    Face,
    FaceExtractor,
    Frame,
    Loss,
    LossInputs,
)
from gendkit.plugin.specs import (
    BackboneFamily,
    BackboneSpec,
    DatasetSpec,
    FaceExtractorSpec,
    LossSpec,
    Preprocessing,
    ResolvedBackbone,
)

__all__ = [
    "Backbone",
    "BackboneFamily",
    "BackboneSpec",
    "Clip",
    "Dataset",
    "DatasetSpec",
    "EpochEnded",
    "Face",
    "FaceExtractor",
    "FaceExtractorSpec",
    "FitEnded",
    "Frame",
    "Loss",
    "LossInputs",
    "LossSpec",
    "Part",
    "Plugins",
    "Preprocessing",
    "ResolvedBackbone",
    "RunInfo",
    "hookimpl",
    "plugins",
    "register",
]
