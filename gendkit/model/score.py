"""The score of one file: a number with everything that it rests on."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gendkit.data.pixels import thumbnail
from gendkit.data.quality import Quality, quality_of
from gendkit.markup import DASH, card, visible

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from gendkit.data.examine import Crop

THUMBNAIL = 96
"""Longest side in pixels of the faces that a score keeps to be looked at."""
NO_NUMBER = "the detector gives no number for this face"


@dataclass(frozen=True, kw_only=True)
class FrameScore:
    """One frame that was looked at.

    Attributes
    ----------
    frame, time
        Number in order of display, and time stamp in seconds (None for a picture).
    score
        P(fake), or None without a face.
    box
        Left, top, right, bottom of the face in pixels.
    reason
        Why there is no score; empty if there is one.
    track
        Number of the person within the clip, from 0.
    thumbnail
        The face that was scored, RGB uint8 (H, W, 3) of at most `THUMBNAIL` pixels a side, to be
        looked at; None without a face.
    quality
        Size, sharpness and brightness of the face that was scored; None without a face.
    """

    frame: int
    time: float | None
    score: float | None
    box: tuple[float, float, float, float] | None
    reason: str
    track: int = 0
    thumbnail: NDArray[np.uint8] | None = field(default=None, compare=False, repr=False)
    quality: Quality | None = field(default=None, compare=False, repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Return all but thumbnail and quality, as `gendkit score --json --per-frame` prints it."""
        names = ("frame", "time", "score", "box", "reason", "track")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True, kw_only=True)
class Score:
    """What a detector says of one file.

    Attributes
    ----------
    path
        As it was given.
    frames_total
        Frames that the file holds; 1 for a picture.
    frames
        Those that were looked at, in order of time.
    problem
        What was wrong with the file although some of it decoded; empty if nothing.
    seconds
        Wall time.
    adapter, dtype
        Hash of the adapter and compute dtype of the encoder.
    extractor, threshold
        Name of the face extractor, or its class if it has none, and its least confidence; None if
        it does not say.
    scale
        Of the crop; see `gendkit.data.faces.align_face`. None where whole pictures were scored.
    order, frames_asked
        Which frames were looked at first, and how many faces were sought.
    members
        Of an ensemble, what each member says of the same frames; else empty. `score` and the
        frames' scores are then the means, and `adapter` the hash of the members' hashes.
    which
        Which faces were scored; see `gendkit.data.which.Which`.
    """

    path: str
    frames_total: int
    frames: tuple[FrameScore, ...]
    problem: str
    seconds: float
    adapter: str
    dtype: str
    extractor: str
    threshold: float | None
    scale: float | None
    order: str
    frames_asked: int
    members: tuple[Score, ...] = ()
    which: str = "largest"

    @property
    def score(self) -> float | None:
        """Mean P(fake) over a person's frames; None without a face.

        People who were told apart (`which` is `all`) are never averaged: it is that of the one who
        scores highest. With `largest` a frame's face is whoever is largest in it.
        """
        return max(self.people.values(), default=None)

    @property
    def people(self) -> dict[int, float]:
        """Mean P(fake) over the frames of each person, by track."""
        scores: dict[int, list[float]] = {}
        for frame in self.frames:
            if frame.score is not None:
                scores.setdefault(frame.track, []).append(frame.score)
        return {track: math.fsum(own) / len(own) for track, own in sorted(scores.items())}

    @property
    def person(self) -> int | None:
        """The track whose score is the file's; None without a face."""
        people = self.people
        return max(people, key=lambda track: people[track], default=None)

    @property
    def frames_looked_at(self) -> int:
        """How many frames a face was sought in; several faces of one count once."""
        return len({f.frame for f in self.frames})

    @property
    def name(self) -> str:
        """The file's name, for legends."""
        return Path(self.path).name

    @property
    def faces(self) -> int:
        """Frames that the score rests on."""
        return sum(f.score is not None for f in self.frames)

    @property
    def reasons(self) -> dict[str, int]:
        """Why frames have no face, with their numbers."""
        return dict(Counter(f.reason for f in self.frames if f.score is None))

    @property
    def status(self) -> str:
        """`scored`, or `not examined` where no face was found."""
        return "scored" if self.faces else "not examined"

    def to_dict(self) -> dict[str, Any]:
        """Return one flat record, as `gendkit score --json` prints it."""
        return {
            "path": self.path,
            "status": self.status,
            "score": self.score,
            "faces": self.faces,
            "people": len(self.people),
            "person": self.person,
            "frames_looked_at": self.frames_looked_at,
            "frames_total": self.frames_total,
            "frames_without_face": sum(f.score is None for f in self.frames),
            "reasons": self.reasons,
            "problem": self.problem,
            "seconds": round(self.seconds, 3),
            "adapter": self.adapter,
            "dtype": self.dtype,
            "extractor": self.extractor,
            "threshold": self.threshold,
            "scale": self.scale,
            "order": self.order,
            "frames_asked": self.frames_asked,
            "which": self.which,
        }

    def to_frame(self) -> pd.DataFrame:
        """Return one row a frame: `path`, `frame`, `time`, `score`, `reason`."""
        import pandas as pd

        return pd.DataFrame(
            [
                {
                    "path": self.path,
                    "frame": f.frame,
                    "time": f.time,
                    "score": f.score,
                    "reason": f.reason,
                }
                for f in self.frames
            ],
            columns=["path", "frame", "time", "score", "reason"],
        )

    def __repr__(self) -> str:
        value = "not examined" if self.score is None else f"score {self.score:.3f}"
        faces = f"{self.faces} of {len(self.frames)} frames with a face"
        if len(self.people) > 1:
            value = f"highest of {len(self.people)} people, {value}"
            faces = f"{self.faces} faces"
        return f"Score({visible(self.path)}: {value}, {faces})"

    def _repr_html_(self) -> str:
        facts = {
            "score": "not examined" if self.score is None else f"{self.score:.3f}",
            "faces": f"{self.faces} in {self.frames_looked_at} frames looked at, of "
            f"{self.frames_total}",
        }
        if len(self.people) > 1:
            each = (f"person {track + 1} {value:.3f}" for track, value in self.people.items())
            facts["people"] = f"{', '.join(each)}; the score is the highest"
        facts |= {f"without a face ({n})": reason for reason, n in self.reasons.items()}
        if self.members:
            each = (DASH if m.score is None else f"{m.score:.3f}" for m in self.members)
            facts["members"] = ", ".join(each)
        if self.problem:
            facts["problem"] = self.problem
        return card(f"Score of {self.path}", facts)


def frame_scores(crops: Sequence[Crop], scores: Iterable[float]) -> tuple[FrameScore, ...]:
    """Join what was found in frames with the scores of those that have a face, in order."""
    frames = (
        FrameScore(
            frame=crop.frame,
            time=crop.time,
            score=None,
            box=crop.box,
            reason=crop.reason,
            track=crop.track,
            thumbnail=None if crop.image is None else thumbnail(crop.image, side=THUMBNAIL),
            quality=None if crop.image is None else quality_of(crop.image, crop.landmarks),
        )
        for crop in crops
    )
    return rescored(frames, scores)


def rescored(frames: Iterable[FrameScore], scores: Iterable[float]) -> tuple[FrameScore, ...]:
    """Return frames with scores for those that have a face, in order; NaN is none."""
    given = iter(scores)
    return tuple(f if f.quality is None else _scored(f, next(given)) for f in frames)


def _scored(frame: FrameScore, score: float) -> FrameScore:
    if math.isnan(score):
        return replace(frame, score=None, reason=NO_NUMBER)
    return replace(frame, score=float(score), reason="")


def joined_hash(hashes: Iterable[str]) -> str:
    """Return one hash for adapters that score together, in their order."""
    return sha256("".join(hashes).encode()).hexdigest()
