"""What the built-in datasets' clips are rendered from: sources of faces, and pairs of clips.

In go a source, a plan and the name of a family or degradation, out come the frames of a clip.
All of it is frozen and picklable, so that a clip can be rendered in another process.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from gendkit.data.controls import degrade
from gendkit.data.forge import Plan, Subject, Tool, Tools, family_named, finish, forge, prepare
from gendkit.data.forge.geometry import Floats
from gendkit.data.forge.motion import decode, encode, even, filmed
from gendkit.data.splits import Split
from gendkit.plugin.protocols import Clip, Frame

if TYPE_CHECKING:
    from gendkit.plugin.protocols import Image


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
    """The picture or the film of a clip: jitter, forgery, encoding and degradation, in this order.

    Attributes
    ----------
    tool
        What the family was fitted: it travels with the clip, which may be rendered on a machine
        that has no cache.
    moving
        Whether it is a film, of 50 frames in two seconds.
    """

    source: Source
    plan: Plan
    family: str = ""
    donor: Source | None = None
    tool: Tool | None = None
    degradation: str = ""
    moving: bool = False

    def __call__(self) -> Iterator[Frame]:
        """Render the clip's one frame, or those of its film."""
        if self.moving:
            yield from self._decoded()
            return
        subject = finish(self._forged(prepare(self.source(), self.plan), moment=None), self.plan)
        yield Frame(index=0, image=self._degraded(subject.image), landmarks=subject.landmarks)

    def encoded(self, landmarks: list[Floats] | None = None) -> bytes:
        """Return the film as an MP4 file, without degradation.

        Parameters
        ----------
        landmarks
            A list to which those of each frame, (5, 2), are added.
        """
        places: list[Floats] = [] if landmarks is None else landmarks
        return encode(self._film(places), crf=self.plan.crf)

    def _film(self, landmarks: list[Floats]) -> Iterator[Image]:
        plain = replace(self.plan, quality=0)
        donor = self.donor() if self.donor else None
        for moment, subject in enumerate(filmed(self.source(), self.plan)):
            forged = self._forged(subject, moment=moment, donor=donor)
            done = even(finish(forged, plain))
            landmarks.append(done.landmarks)
            yield done.image

    def _decoded(self) -> Iterator[Frame]:
        landmarks: list[Floats] = []
        film = self.encoded(landmarks)
        for frame, points in zip(decode(film), landmarks, strict=True):
            yield replace(frame, image=self._degraded(frame.image), landmarks=points)

    def _forged(
        self, subject: Subject, *, moment: int | None, donor: Subject | None = None
    ) -> Subject:
        if not self.family:
            return subject
        if donor is None and self.donor is not None:
            donor = self.donor()
        return forge(
            subject, family=self.family, plan=self.plan, donor=donor, tool=self.tool, moment=moment
        )

    def _degraded(self, image: Image) -> Image:
        if not self.degradation:
            return image
        return degrade(image, self.degradation, seed=self.plan.seed)


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
    tools: Mapping[str, Tools]
    plan: Plan
    moving: bool = False

    def clip(self, *, family: str = "", degradation: str = "") -> Clip:
        """Return the real clip, or the fake of a family, degraded or not."""
        swapped = bool(family) and family_named(family).needs_donor
        tools = self.tools.get(family)
        video = f"{self.stem}/{family or 'real'}"
        return Clip(
            video=f"{video}/{degradation}" if degradation else video,
            media=Rendering(
                source=self.target,
                plan=self.plan,
                family=family,
                donor=self.lender if swapped else None,
                tool=tools(self.donor) if tools else None,
                degradation=degradation,
                moving=self.moving,
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
