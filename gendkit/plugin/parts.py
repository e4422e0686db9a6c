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

BUILTIN = "gendkit.builtin"
"""The plugin's name of gendkit's own parts, and the module that gives them."""
HERE = "registered here"
"""In place of a distribution, for what was written on the spot."""

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

    @property
    def origin(self) -> str:
        """Distribution and version in one text."""
        return f"{self.distribution} {self.version}".strip()

    @property
    def installed(self) -> bool:
        """Whether it is a distribution of somebody else, with metadata of its own."""
        return self.plugin != BUILTIN and self.distribution not in (HERE, "?")


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
    """A plugin that was set aside.

    Attributes
    ----------
    source
        Where it comes from.
    reason
        What went wrong, in one line.
    remedy
        What to do about it; empty if gendkit does not know.
    """

    source: Source
    reason: str
    remedy: str = ""

    @property
    def explained(self) -> str:
        """The reason, and what to do."""
        return f"{self.reason}; {self.remedy}" if self.remedy else self.reason


@dataclass(frozen=True, kw_only=True)
class Blocked:
    """A name that the user told to leave out.

    Attributes
    ----------
    name
        Of a plugin.
    by
        The variable, or the argument, that says so.
    source
        Of the plugin that was left out; None if there is none of that name.
    """

    name: str
    by: str
    source: Source | None = None
