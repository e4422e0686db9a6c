"""From a file, a detector and a calibration to what each person's score is worth as evidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gendkit.data.quality import typical
from gendkit.evaluate.calibration import Calibration, Evidence, Person
from gendkit.evaluate.clips import unit
from gendkit.model.files import score_file

if TYPE_CHECKING:
    from gendkit.model.detector import Detector
    from gendkit.model.score import Score


def weigh_file(
    media: str | Path,
    detector: Detector,
    calibration: Calibration,
    *,
    name: str | None = None,
    **options: Any,
) -> tuple[Score, tuple[Evidence, ...]]:
    """Score a file, and say what each person's score is worth.

    Parameters
    ----------
    name
        Of the face extractor, where `extractor` is one that is built already.
    options
        As for `Detector.score`.

    Returns
    -------
    The score, and the evidence of each person by track; none where no face was found.

    Raises
    ------
    InvalidCalibration
        If the calibration is of another detector.
    MissingMedia, UnreadableMedia, InvalidArgument
        As `Detector.score`.
    """
    calibration.check(detector)
    kept: list[NDArray[np.float32]] = []

    def predict(crops: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
        said = detector.outputs(crops)
        kept.append(said.embedding)
        return said.score

    settings = {"frames": 32, "order": "spread", "extractor": None, **options}
    score = score_file(detector, predict, media, **settings)
    score = score if name is None else replace(score, extractor=name)
    found = calibration.weigh(
        people_of(score, kept[0]),
        dtype=score.dtype,
        extraction={
            "extractor": score.extractor,
            "threshold": score.threshold,
            "scale": score.scale,
            "size": detector.adapter.header.extraction.get("size"),
        },
    )
    return score, found


def people_of(score: Score, embeddings: NDArray[np.float32]) -> Sequence[Person]:
    """Return the people of a scored file, by track.

    Parameters
    ----------
    embeddings
        (N, D) of the frames with a face, in their order.
    """
    frames = [frame for frame in score.frames if frame.quality is not None]
    scored = np.array([frame.score is not None for frame in frames], np.bool_)
    track = np.array([frame.track for frame in frames], np.int64)
    people = []
    for number, mean in score.people.items():
        own = np.flatnonzero(scored & (track == number))
        measured = [q for i in own.tolist() if (q := frames[i].quality) is not None]
        vector = unit(embeddings[own].astype(np.float64).sum(axis=0, keepdims=True))[0]
        people.append(
            Person(
                track=number, score=mean, crops=len(own), quality=typical(measured), vector=vector
            )
        )
    return people
