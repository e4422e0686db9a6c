"""How much a clip's score depends on what should not matter: crop, encoding, extractor, frames.

A clip and a detector enter; a table leaves with one row a person of the clip, change and setting. A
score that moves much under such changes is a weak one, wherever it stands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gendkit.data.controls import degrade
from gendkit.data.examine import Crop, Examined
from gendkit.data.faces import align_face
from gendkit.data.media import Order, walk_frames
from gendkit.data.tracks import matched
from gendkit.errors import (
    GendkitError,
    InvalidArgument,
    InvalidImage,
    MissingAsset,
    MissingDependency,
)
from gendkit.model.batches import check_positive
from gendkit.model.detector import Detector
from gendkit.plugin.manager import plugins
from gendkit.plugin.protocols import Frame
from gendkit.plugin.specs import FaceExtractorSpec
from gendkit.train.record import training_of

if TYPE_CHECKING:
    from gendkit.plugin.protocols import FaceExtractor, Image

DRAWS = 5
JITTER = 0.02
"""Standard deviation by which landmarks are moved, in sides of the crop."""
ENCODINGS = (("jpeg", 75), ("jpeg", 55), ("jpeg", 35), ("h264", 23), ("h264", 29), ("h264", 35))
COLUMNS = ("track", "change", "setting", "score", "difference", "faces", "reason")


def sensitivity(
    media: str | Path,
    detector: Detector,
    *,
    frames: int = 32,
    draws: int = DRAWS,
    extractor: str | FaceExtractor | None = None,
    members: Sequence[Detector] = (),
    seed: int = 0,
) -> pd.DataFrame:
    """Score a clip again under changes that say nothing about forgery.

    Parameters
    ----------
    media
        A picture or video.
    detector
        That scores it.
    frames
        How many frames with a face are looked at.
    draws
        How many times crops are moved, and frames drawn.
    extractor
        As for `Detector.score`.
    members
        Detectors that were trained in the same way with other seeds.
    seed
        Of what is drawn.

    Returns
    -------
    pandas.DataFrame
        One row a person (`track`), `change` and `setting`: mean `score` over the person's `faces`,
        and its `difference` from the score without a change, which is the first row. The changes:

        - `crop jitter`: each landmark is moved by a normal deviate of 2 % of the crop's side;
        - `re-encoding`: JPEG and H.264 of the crop, of some qualities;
        - `frames`: others, drawn at random;
        - `extractor`: each other one that is installed, with its threshold;
        - `detector`: each of the members.

        Where something could not be done, the score is NaN, and `reason` says why.

    Raises
    ------
    MissingMedia, UnreadableMedia
        If there is no file, or nothing in it can be decoded.
    """
    check_positive("draws", draws)
    examined = detector.examine(media, frames=frames, extractor=extractor, which="all")
    return sensitivity_of(
        media, examined, detector, frames=frames, draws=draws, extractor=extractor,
        members=members, seed=seed,
    )  # fmt: skip


def sensitivity_of(
    media: str | Path,
    examined: Examined,
    detector: Detector,
    *,
    frames: int = 32,
    order: Order = "spread",
    draws: int = DRAWS,
    extractor: str | FaceExtractor | None = None,
    members: Sequence[Detector] = (),
    seed: int = 0,
) -> pd.DataFrame:
    """Do what `sensitivity` does, of a clip whose faces were cropped already."""
    faces = list(examined.faces)
    tracks = [face.track for face in faces]
    images = [face.image for face in faces if face.image is not None]
    base = _Means(tracks, detector.predict(images))
    rows = list(base.rows("none", "as scored"))
    if any(face.landmarks is None for face in faces):
        rows += base.rows("crop jitter", "none", "whole pictures have no landmarks to move")
    else:
        for name, pictures in _jittered(media, faces, detector.scale, draws=draws, seed=seed):
            there = [(t, p) for t, p in zip(tracks, pictures, strict=True) if p is not None]
            moved = _Means([t for t, _ in there], detector.predict([p for _, p in there]))
            rows += base.rows("crop jitter", name, moved, missing="no face could be moved so far")
    for kind, strength in ENCODINGS:
        name = f"{kind} {'quality' if kind == 'jpeg' else 'crf'} {strength}"
        rows += base.rows("re-encoding", name, _encoded(images, tracks, detector, kind, strength))
    if examined.frames_total > len({crop.frame for crop in examined.crops}):
        for number in range(draws):
            again = detector.examine(
                media, frames=frames, order="random", seed=seed + number, extractor=extractor,
                which="all",
            )  # fmt: skip
            rows += base.rows(
                "frames", f"random, seed {seed + number}", _again(again, faces, detector)
            )
    others = _others(detector, extractor)
    if not others:
        rows += base.rows("extractor", "another", "no other face extractor is installed")
    for name in others:
        rows += _by_extractor(name, media, faces, detector, base, frames=frames, order=order)
    if not members:
        rows += base.rows("detector", "another seed", "no detector of another seed was given")
    for number, member in enumerate(members, start=1):
        one = _Means(tracks, member.predict(images))
        rows += base.rows("detector", f"member {number}, {member.adapter.hash[:12]}", one)
    return pd.DataFrame(rows, columns=list(COLUMNS))


def check_members(detector: Detector, members: Sequence[Detector]) -> None:
    """Refuse what is no other seed of the same training, as far as is recorded.

    Raises
    ------
    InvalidArgument
        For the detector itself, one that is given twice, and one of another training.
    """
    seen, own = {detector.adapter.hash}, _training(detector)
    for member in members:
        if member.adapter.hash in seen:
            raise InvalidArgument(
                f"the member {member.adapter.hash[:12]} is the detector itself, or given twice; "
                "give adapters of other seeds, each once."
            )
        seen.add(member.adapter.hash)
        other = _training(member)
        if differ := [name for name, value in own.items() if other[name] != value]:
            raise InvalidArgument(
                f"the member {member.adapter.hash[:12]} differs from the detector in its "
                f"{', '.join(differ)}, and not in the seed alone; give one of the same training."
            )


def _training(detector: Detector) -> dict[str, Any]:
    """Return what is recorded of a training but its seed, whatever the recipe was called."""
    training = training_of(detector.adapter.header)
    training["recipe"].pop("name", None)
    return training


class _Means:
    """Mean scores by track."""

    def __init__(self, tracks: Sequence[int | None], scores: NDArray[Any]) -> None:
        self.scores: dict[int, list[float]] = {}
        for track, score in zip(tracks, scores.tolist(), strict=True):
            if track is not None:
                self.scores.setdefault(track, []).append(score)

    def mean(self, track: int) -> float:
        return float(np.mean(self.scores[track])) if track in self.scores else float("nan")

    def rows(
        self,
        change: str,
        setting: str,
        other: _Means | str | None = None,
        *,
        missing: str = "this person's face was not found",
    ) -> Iterator[tuple[Any, ...]]:
        """Yield a row a track: this one's, or another's beside it, or why there is none."""
        for track in sorted(self.scores):
            of, reason = (None, other) if isinstance(other, str) else (other or self, "")
            score = float("nan") if of is None else of.mean(track)
            faces = 0 if of is None else len(of.scores.get(track, ()))
            if not faces and not reason:
                reason = missing
            yield track, change, setting, score, score - self.mean(track), faces, reason


def _jittered(
    media: str | Path, faces: Sequence[Crop], scale: float, *, draws: int, seed: int
) -> Iterator[tuple[str, list[Image | None]]]:
    """Yield crops (F,) whose landmarks were moved, a list a draw; one pass over the file.

    None is a face too small to be moved, or whose frame was not read a second time.
    """
    rng = np.random.default_rng(seed)
    moved = rng.normal(size=(draws, len(faces), 5, 2))
    out: list[list[Image | None]] = [[None] * len(faces) for _ in range(draws)]

    def visit(frame: Frame) -> None:
        for i, face in enumerate(faces):
            if face.frame != frame.index or face.image is None:
                continue
            points = np.asarray(face.landmarks, np.float64)
            for draw in range(draws):
                there = points + JITTER * face.image.shape[0] * moved[draw, i]
                try:
                    out[draw][i] = align_face(
                        frame.image, there, scale=scale, size=face.image.shape[0]
                    )
                except InvalidImage:  # a tiny face, whose points coincide after the move
                    continue

    walk_frames(media, [face.frame for face in faces], visit)
    for draw, crops in enumerate(out):
        yield f"draw {draw + 1}", crops


def _encoded(
    images: Sequence[Image], tracks: Sequence[int], detector: Detector, kind: str, strength: int
) -> _Means | str:
    try:
        changed = [degrade(image, kind, seed=0, strength=strength) for image in images]
    except InvalidImage as error:
        return str(error)
    return _Means(tracks, detector.predict(changed))


def _again(again: Examined, faces: Sequence[Crop], detector: Detector) -> _Means:
    """Score other crops of the clip by the tracks of the first ones."""
    others = [face for face in again.faces if face.image is not None and face.box is not None]
    tracks = matched(
        [(face.frame, face.box) for face in others if face.box is not None],
        [(face.frame, face.box, face.track) for face in faces if face.box is not None],
    )
    return _Means(tracks, detector.predict([f.image for f in others if f.image is not None]))


def _others(detector: Detector, extractor: object) -> list[str]:
    """Return the names of the extractors that look for faces and were not asked."""
    asked = extractor if isinstance(extractor, str) else detector.extractor_name
    specs = [p.spec for p in plugins().parts if isinstance(p.spec, FaceExtractorSpec)]
    return [spec.name for spec in specs if spec.detects and spec.name != asked]


def _by_extractor(
    name: str,
    media: str | Path,
    faces: Sequence[Crop],
    detector: Detector,
    base: _Means,
    *,
    frames: int,
    order: Order,
) -> Iterator[tuple[Any, ...]]:
    built: Callable[..., Any]
    try:
        built = detector.extractor(name)
        again = detector.examine(media, frames=frames, order=order, extractor=built, which="all")
    except (MissingAsset, MissingDependency):
        return base.rows("extractor", name, "it is not installed here")
    except GendkitError as error:
        return base.rows("extractor", name, str(error))
    found = _again(again, faces, detector)
    return base.rows("extractor", f"{name}, threshold {built.threshold:g}", found)
