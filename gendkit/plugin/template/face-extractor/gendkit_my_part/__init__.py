"""Declares a face extractor; OpenCV is imported when it is built."""

from __future__ import annotations

from collections.abc import Iterator

from gendkit.plugin import FaceExtractor, FaceExtractorSpec, hookimpl

THRESHOLD = 0.5


@hookimpl
def gendkit_face_extractors() -> Iterator[FaceExtractorSpec]:
    """Yield the face extractor."""
    yield FaceExtractorSpec(
        name="my-part",
        summary="round patches of skin colour, a placeholder for a network",
        licence="MIT",
        threshold=THRESHOLD,
        thread_safe=True,
        build=_build,
    )


def _build(*, threshold: float | None = None) -> FaceExtractor:
    from gendkit_my_part.extractor import SkinPatches

    return SkinPatches(threshold=THRESHOLD if threshold is None else threshold)
