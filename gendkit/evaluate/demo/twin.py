"""A real clip and its forged twin: two video files enter nothing but their faces' difference.

Both are written with the same encoder from the same frames, so that only the forgery tells them
apart.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from gendkit.data.faces import largest_face
from gendkit.data.forge import Plan, Subject, forge
from gendkit.data.media import count_frames, read_frames
from gendkit.errors import NotExamined
from gendkit.evaluate.demo.result import ScoredClip
from gendkit.model.detector import Detector
from gendkit.plugin.protocols import FaceExtractor

Image = NDArray[np.uint8]

CRF = 12
FAMILY = "landmark-swap"


def write_twins(
    clip: Path, real: Path, fake: Path, *, extractor: FaceExtractor, frames: int, seed: int = 0
) -> None:
    """Write a clip's frames again, once as they are and once forged.

    In the twin the face of each frame is that of the frame half a clip later, warped onto it,
    matched in colour and blended (`landmark-swap`); where no face is found, the frame stays.

    Parameters
    ----------
    clip
        The video; its first `frames` frames are taken.
    real, fake
        The two files to write, H.264.

    Raises
    ------
    NotExamined
        If no face is found in any of them.
    """
    count = min(frames, count_frames(clip))
    pictures = read_frames(clip, range(count))
    faces = [largest_face(extractor(p.image)) for p in pictures]
    subjects = [
        None if face is None else Subject(image=p.image, landmarks=face.landmarks)
        for p, face in zip(pictures, faces, strict=True)
    ]
    known = [s for s in subjects if s is not None]
    if not known:
        raise NotExamined(f"no face in the first {count} frames of {clip}.")
    plan = replace(Plan.draw(seed), mask="hull", blending="poisson")
    forged: list[Image] = []
    place = 0
    for picture, subject in zip(pictures, subjects, strict=True):
        if subject is None:
            forged.append(picture.image)
            continue
        donor = known[(place + len(known) // 2) % len(known)]
        forged.append(forge(subject, family=FAMILY, plan=plan, donor=donor).image)
        place += 1
    times = [p.time or 0.0 for p in pictures]
    rate = Fraction(round((count - 1) / max(times[-1] - times[0], 1e-3) * 1000), 1000)
    write_video(real, (p.image for p in pictures), rate=rate)
    write_video(fake, forged, rate=rate)


def write_video(path: Path, images: Iterable[Image], *, rate: Fraction, crf: int = CRF) -> None:
    """Write RGB frames (H, W, 3) of even sides as an H.264 file."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate)
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": str(crf), "preset": "medium"}
        for number, image in enumerate(images):
            if number == 0:
                stream.height, stream.width = image.shape[:2]
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def score_clip(
    path: Path, detector: Detector, *, extractor: FaceExtractor, name: str, frames: int = 32
) -> ScoredClip:
    """Score a clip's frames as `Detector.score` does, and keep the crops."""
    examined = detector.examine(path, extractor=extractor, frames=frames)
    scores = iter(detector.predict([c.image for c in examined.crops if c.image is not None]))
    score = np.array(
        [float("nan") if c.image is None else float(next(scores)) for c in examined.crops]
    )
    return ScoredClip(
        name=name,
        time=np.array([c.time if c.time is not None else 0.0 for c in examined.crops]),
        score=score,
        faces=tuple(c.image for c in examined.crops),
        clip_score=float(np.nanmean(score)) if np.isfinite(score).any() else float("nan"),
    )
