"""The dataset of self-blended images, over a folder of photos or another dataset's real clips.

In go real faces, out come pairs of clips: a real one and a fake one that is blended with itself.
Training on them needs no forgery that anybody made.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gendkit.builtin.options import checked_splits, safe_name, seed_of, whole
from gendkit.builtin.photo_folder import Examined, examined_photos, pictures_in
from gendkit.builtin.renderings import Photo
from gendkit.data.forge import Subject
from gendkit.data.forge.self_blending import self_blended
from gendkit.data.splits import SPLITS, Split, split_of_identity
from gendkit.errors import InvalidImage, InvalidOption
from gendkit.plugin.protocols import Clip, Dataset, Frame

if TYPE_CHECKING:
    from gendkit.plugin.protocols import FaceExtractor

MOST_FRAMES = 64


@dataclass(frozen=True, kw_only=True)
class SelfBlending:
    """The frames of a clip, each as the real or the fake one of its pair.

    Attributes
    ----------
    of
        A photo whose landmarks are known, or a real clip.
    fake
        Which of the pair.
    frames
        Of a longer clip so many are taken, spread over it.
    """

    of: Photo | Clip
    seed: int
    fake: bool
    frames: int

    def __call__(self) -> Iterator[Frame]:
        """Render them; a frame without a usable face is left out of both clips."""
        for frame in self._real():
            if frame.landmarks is None:
                continue
            try:
                subject = Subject(
                    image=frame.image, landmarks=np.asarray(frame.landmarks, np.float32)
                )
            except InvalidImage:  # too small a face
                continue
            pair = self_blended(subject, seed=seed_of(self.seed, frame.index))
            yield replace(frame, image=pair[self.fake].image, mask=None)

    def _real(self) -> Iterator[Frame]:
        if isinstance(self.of, Photo):
            subject = self.of()
            yield Frame(index=0, image=subject.image, landmarks=subject.landmarks)
            return
        from gendkit.data.media import frame_order
        from gendkit.data.sources import source_of

        source = source_of(self.of)
        count = source.inspect().frames or 0
        places = np.sort(frame_order(count, "uniform", count=self.frames))
        taken: list[Frame] = []
        source.walk(source.numbers(places), taken.append)
        detect: FaceExtractor | None = None
        for frame in sorted(taken, key=lambda f: f.index):
            if frame.landmarks is None:
                from gendkit.data.extractors import build_extractor
                from gendkit.data.faces import largest_face

                detect = detect or build_extractor("centerface")
                face = largest_face(detect(frame.image))
                frame = replace(frame, landmarks=None if face is None else face.landmarks)
            yield frame


class SelfBlended:
    """Pairs of a real face and the same one blended with itself.

    See `gendkit.data.forge.self_blending` for what is done.

    Parameters
    ----------
    root
        A folder of photos of one face each, whose names are people's, as `photos` reads it.
    over
        In place of a folder: a dataset whose real, undegraded clips are used.
    variants
        How often each photo or clip is used, each time blended anew.
    frames
        How many frames of a video are used at most, spread over it; they are held in memory.
    seed
        Of the blending. The split does not depend on it.
    splits
        Which splits to give; a text names one, or several with commas in between. People of a
        folder are split as by `photos`, those of a dataset as it says; where it does not, all its
        clips are given.

    Raises
    ------
    MissingMedia
        If the folder does not exist or holds no picture.
    InvalidOption, UnknownPart
        For an option that cannot be, and for a split that does not exist.
    """

    name = "self-blended"
    licence = "that of the faces"

    def __init__(
        self,
        root: str | Path | None = None,
        *,
        over: Dataset | None = None,
        variants: int = 2,
        frames: int = 8,
        seed: int = 0,
        splits: str | Sequence[Split] = SPLITS,
    ) -> None:
        if (root is None) == (over is None):
            raise InvalidOption(
                "self-blended takes a folder of photos or over=, a dataset; it was given "
                f"{'neither' if root is None else 'both'}."
            )
        if over is not None and not callable(getattr(over, "clips", None)):
            raise InvalidOption(
                f"over must be a dataset, got {over!r}; open one: over=gk.dataset('synthetic')."
            )
        self._over = over
        self._variants = whole("variants", variants, least=1)
        self._frames = whole("frames", frames, least=1, most=MOST_FRAMES)
        self._seed = whole("seed", seed, least=0)
        self._splits = checked_splits(splits)
        self._paths = [] if root is None else pictures_in(root, dataset=self.name)

    @property
    def excluded(self) -> Mapping[str, str]:
        """The photos that are left out, by file name, and why."""
        return dict(self._examined[1])

    def clips(self) -> Iterator[Clip]:
        """Yield the clips in pairs: of a folder split by split, of a dataset in its order."""
        if self._over is not None:
            for clip in self._over.clips():
                if clip.label == 0 and not clip.degradation and self._is_wanted(clip.split):
                    yield from self._pairs(clip, replace(clip, licence=self._licence_of(clip)))
            return
        photos = self._examined[0]
        for split in self._splits:
            for name, (photo, _) in photos.items():
                if split_of_identity("photos", name) == split:
                    facts = Clip(
                        video=safe_name(name), media=photo.path, dataset="", label=0,
                        target_identity=name, split=split, licence=self.licence,
                    )  # fmt: skip
                    yield from self._pairs(photo, facts)

    def _pairs(self, of: Photo | Clip, facts: Clip) -> Iterator[Clip]:
        """Yield both clips of each variant, with what is known about the faces."""
        start = f"{facts.dataset}/{facts.video}".lstrip("/")
        for variant in range(self._variants):
            stem = f"{start}/{variant}"
            seed = seed_of(self._seed, self.name, stem)
            for fake in (False, True):
                yield replace(
                    facts,
                    video=f"{stem}/{self.name if fake else 'real'}",
                    media=SelfBlending(of=of, seed=seed, fake=fake, frames=self._frames),
                    dataset=self.name,
                    label=int(fake),
                    method=self.name if fake else "",
                    family=self.name if fake else "",
                    pair=f"{stem}/real",
                )

    def _is_wanted(self, split: str) -> bool:
        return not split or split in self._splits

    def _licence_of(self, clip: Clip) -> str:
        return clip.licence or getattr(self._over, "licence", "") or self.licence

    @cached_property
    def _examined(self) -> Examined:
        return examined_photos(self._paths, dataset=self.name, splits=self._splits)
