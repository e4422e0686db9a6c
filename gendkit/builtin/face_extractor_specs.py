"""Declares the built-in face extractor; its module is imported when it is built."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gendkit.plugin.specs import FaceExtractorSpec


def face_extractors() -> Iterator[FaceExtractorSpec]:
    """Yield CenterFace."""
    yield FaceExtractorSpec(
        name="centerface",
        summary="CenterFace, five landmarks, by OpenCV alone",
        licence="MIT",
        threshold=0.5,
        build=_centerface,
    )


def _centerface(**options: Any) -> Any:
    from gendkit.builtin.centerface import CenterFace

    return CenterFace(**options)
