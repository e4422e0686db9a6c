"""From a file to its crops and its score, as a detector sees it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gendkit.data.examine import Examined, examine
from gendkit.data.extractors import looks_for_faces
from gendkit.data.isolated import check_limit, isolated
from gendkit.data.media import ORDERS, Order
from gendkit.data.which import OF_A_FILE, Which
from gendkit.errors import InvalidArgument
from gendkit.model.batches import check_positive
from gendkit.model.score import Score, frame_scores

if TYPE_CHECKING:
    from gendkit.model.detector import Detector
    from gendkit.plugin.protocols import FaceExtractor


def examine_file(
    detector: Detector,
    media: str | Path,
    *,
    frames: int,
    order: Order,
    seed: int = 0,
    extractor: str | FaceExtractor | None,
    which: Which,
    time_limit: float | None,
) -> Examined:
    """Crop the faces of a file as those of a detector's training data were.

    As `Detector.examine`.
    """
    _check_frames(frames, order)
    check_limit(time_limit)
    if which not in OF_A_FILE:
        raise InvalidArgument(
            f"of a file no faces are called {which!r}, because it brings no manipulation mask; "
            f"there is {', '.join(OF_A_FILE)}."
        )
    size = detector.adapter.header.extraction.get("size")

    def look(media: str | Path, extractor: FaceExtractor, scale: float) -> Examined:
        return examine(
            media, extractor=extractor, frames=frames, order=order, seed=seed, which=which,
            scale=scale, size=size,
        )  # fmt: skip

    built = _built(detector, extractor, time_limit)
    if time_limit is None:
        return look(media, built, detector.scale)
    return isolated(look, media, built, detector.scale, media=media, limit=time_limit, code=built)


def score_file(
    detector: Detector,
    predict: Callable[[list[NDArray[np.uint8]]], NDArray[np.float32]],
    media: str | Path,
    *,
    frames: int,
    order: Order,
    extractor: str | FaceExtractor | None,
    which: Which = "largest",
    time_limit: float | None = None,
) -> Score:
    """Score a file by what a function says of the crops that a detector makes of it.

    As `Detector.score`, of which the function is its own `predict`.
    """
    start = time.perf_counter()
    _check_frames(frames, order)
    if extractor is None or isinstance(extractor, str):
        name = extractor or detector.extractor_name
        extractor = _built(detector, extractor, time_limit)
    else:
        name = getattr(extractor, "name", "") or type(extractor).__qualname__
    examined = detector.examine(
        media, frames=frames, order=order, extractor=extractor, which=which, time_limit=time_limit
    )
    scores = predict([crop.image for crop in examined.crops if crop.image is not None])
    return Score(
        path=str(media),
        frames_total=examined.frames_total,
        frames=frame_scores(examined.crops, scores.tolist()),
        problem=examined.problem,
        seconds=time.perf_counter() - start,
        adapter=detector.adapter.hash,
        dtype=detector.dtype,
        extractor=str(name),
        threshold=getattr(extractor, "threshold", None),
        scale=detector.scale if looks_for_faces(extractor) else None,
        order=order,
        frames_asked=frames,
        which=which,
    )


def _built(
    detector: Detector, extractor: str | FaceExtractor | None, time_limit: float | None
) -> FaceExtractor:
    """Return an extractor for this process, or with a limit one that a child builds for itself."""
    if extractor is not None and not isinstance(extractor, str):
        return extractor
    return (detector.extractor if time_limit is None else detector.sendable_extractor)(extractor)


def _check_frames(frames: int, order: str) -> None:
    check_positive("frames", frames)
    if order not in ORDERS:
        raise InvalidArgument(f"no frame order is named {order!r}; there is {', '.join(ORDERS)}.")
