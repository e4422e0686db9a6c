"""What is declared of the built-in face extractor; its weights are opened when it is built."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from gendkit.plugin.specs import FaceExtractorSpec

if TYPE_CHECKING:
    from gendkit.plugin.protocols import FaceExtractor

THRESHOLD = 0.5


def _build(*, threshold: float | None = None) -> FaceExtractor:
    from gendkit.builtin.centerface import CenterFace
    from gendkit.data.assets import asset_path

    return CenterFace(
        asset_path("centerface"), threshold=THRESHOLD if threshold is None else threshold
    )


def face_extractors() -> Iterable[FaceExtractorSpec]:
    """Give the built-in face extractor."""
    yield FaceExtractorSpec(
        name="centerface",
        summary="CenterFace, anchor-free, five landmarks; runs on a CPU with OpenCV alone",
        licence="MIT",
        threshold=THRESHOLD,
        thread_safe=True,
        build=_build,
    )
