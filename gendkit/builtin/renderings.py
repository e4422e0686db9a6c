"""What the built-in datasets' clips are rendered from: sources of faces, and pairs of clips.

In go a source, a plan and the name of a family or degradation, out comes the one frame of a clip.
All of it is frozen and picklable, so that a clip can be rendered in another process.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from gendkit.data.controls import degrade
from gendkit.data.forge import Plan, Subject, Upsampler, family_named, finish, forge, prepare
from gendkit.data.splits import Split
from gendkit.plugin.protocols import Clip, Frame


class Source(Protocol):
    """Where a subject comes from; picklable."""

    def __call__(self) -> Subject:
        """Return the subject."""
        ...


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """A drawn face."""

    identity: int
    clip: int
    size: int
    seed: int

    def __call__(self) -> Subject:
        """Draw it."""
        from gendkit.data.drawn import draw_face

        face = draw_face(identity=self.identity, clip=self.clip, size=self.size, seed=self.seed)
        return Subject(image=face.image, landmarks=face.landmarks)


@dataclass(frozen=True, kw_only=True)
class Photo:
    """A photo and the landmarks (5, 2) that were found in it."""

    path: Path
    landmarks: tuple[tuple[float, float], ...]

    def __call__(self) -> Subject:
        """Read it."""
        from gendkit.data.media import read_image

        landmarks = np.array(self.landmarks, np.float32)
        return Subject(image=read_image(self.path), landmarks=landmarks)


@dataclass(frozen=True, kw_only=True)
class Rendering:
    """The picture of a clip: jitter, forgery, encoding and degradation, in this order."""

    source: Source
    plan: Plan
    family: str = ""
    donor: Source | None = None
    upsampler: Upsampler | None = None
    degradation: str = ""

    def __call__(self) -> Iterator[Frame]:
        """Render the clip's one frame."""
        subject = prepare(self.source(), self.plan)
        if self.family:
            subject = forge(
                subject,
                family=self.family,
                plan=self.plan,
                donor=self.donor() if self.donor else None,
                upsampler=self.upsampler,
            )
        subject = finish(subject, self.plan)
        image = subject.image
        if self.degradation:
            image = degrade(image, self.degradation, seed=self.plan.seed)
        yield Frame(index=0, image=image, landmarks=subject.landmarks)


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A real clip and all that is made of it under one plan."""

    dataset: str
    split: Split
    licence: str
    identity: str
    donor: str
    stem: str
    target: Source
    lender: Source | None
    upsampler: Upsampler | None
    plan: Plan

    def clip(self, *, family: str = "", degradation: str = "") -> Clip:
        """Return the real clip, or the fake of a family, degraded or not."""
        kind = family_named(family) if family else None
        swapped = kind is not None and kind.needs_donor
        fitted = kind is not None and kind.needs_upsampler
        video = f"{self.stem}/{family or 'real'}"
        return Clip(
            video=f"{video}/{degradation}" if degradation else video,
            media=Rendering(
                source=self.target,
                plan=self.plan,
                family=family,
                donor=self.lender if swapped else None,
                upsampler=self.upsampler if fitted else None,
                degradation=degradation,
            ),
            dataset=self.dataset,
            label=int(bool(family)),
            method=family,
            family=family,
            pair=f"{self.stem}/real",
            target_identity=self.identity,
            donor_identity=self.donor if swapped else "",
            split=self.split,
            degradation=degradation,
            licence=self.licence,
        )
