"""Declares the face extractor MTCNN; when it is built, torch is imported and weights are opened."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from gendkit.plugin import FaceExtractorSpec, hookimpl

if TYPE_CHECKING:
    from gendkit.plugin.protocols import FaceExtractor

THRESHOLD = 0.7


@hookimpl
def gendkit_face_extractors() -> Iterator[FaceExtractorSpec]:
    """Yield the three-stage detector."""
    yield FaceExtractorSpec(
        name="mtcnn",
        summary="MTCNN (Zhang et al., 2016), three small networks in torch, five landmarks",
        licence="MIT",
        threshold=THRESHOLD,
        build=_build,
    )


def _build(*, threshold: float | None = None, smallest: int = 20) -> FaceExtractor:
    from gendkit_mtcnn.detector import MTCNN
    from gendkit_mtcnn.weights import weights

    return MTCNN(
        weights(), threshold=THRESHOLD if threshold is None else threshold, smallest=smallest
    )
