"""Declares the face extractor SCRFD-10GF; onnxruntime is imported when it is built."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from gendkit.plugin import FaceExtractorSpec, hookimpl

if TYPE_CHECKING:
    from gendkit.plugin.protocols import FaceExtractor

THRESHOLD = 0.5


@hookimpl
def gendkit_face_extractors() -> Iterator[FaceExtractorSpec]:
    """Yield the detector that GenD's authors used."""
    from gendkit_insightface.weights import LICENCE

    yield FaceExtractorSpec(
        name="scrfd-10g",
        summary="SCRFD-10GF (Guo et al., 2022) at 640 px, five landmarks; you bring the weights",
        licence=LICENCE,
        threshold=THRESHOLD,
        thread_safe=True,
        build=_build,
        weights=_weights,
    )


def _weights() -> Path:
    from gendkit_insightface.weights import WEIGHTS

    return WEIGHTS.path()


def _build(*, threshold: float | None = None, weights: str | Path | None = None) -> FaceExtractor:
    from gendkit_insightface.detector import SCRFD
    from gendkit_insightface.weights import WEIGHTS

    return SCRFD(WEIGHTS.path(weights), threshold=THRESHOLD if threshold is None else threshold)
