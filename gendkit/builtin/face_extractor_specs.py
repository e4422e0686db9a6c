"""What is declared of the built-in face extractors; weights are opened when one is built."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from gendkit.plugin.specs import FaceExtractorSpec

if TYPE_CHECKING:
    from gendkit.plugin.protocols import FaceExtractor

THRESHOLD = 0.5
YUNET_THRESHOLD = 0.9


def _build(*, threshold: float | None = None) -> FaceExtractor:
    from gendkit.builtin.centerface import CenterFace
    from gendkit.data.assets import asset_path

    return CenterFace(
        asset_path("centerface"), threshold=THRESHOLD if threshold is None else threshold
    )


def _build_yunet(
    *, threshold: float | None = None, weights: str | Path | None = None
) -> FaceExtractor:
    from gendkit.builtin.yunet import WEIGHTS, YuNet

    return YuNet(
        WEIGHTS.path(weights), threshold=YUNET_THRESHOLD if threshold is None else threshold
    )


def _yunet_weights() -> Path:
    from gendkit.builtin.yunet import WEIGHTS

    return WEIGHTS.path()


def _build_whole_frame(*, threshold: float | None = None) -> FaceExtractor:
    from gendkit.builtin.whole_frame import WholeFrame

    return WholeFrame(threshold=0.0 if threshold is None else threshold)


def face_extractors() -> Iterable[FaceExtractorSpec]:
    """Give the built-in face extractors."""
    yield FaceExtractorSpec(
        name="centerface",
        summary="CenterFace, anchor-free, five landmarks; runs on a CPU with OpenCV alone",
        licence="MIT",
        threshold=THRESHOLD,
        thread_safe=True,
        build=_build,
    )
    yield FaceExtractorSpec(
        name="yunet",
        summary="YuNet of OpenCV's model zoo, five landmarks; you bring the model file",
        licence="MIT",
        threshold=YUNET_THRESHOLD,
        thread_safe=True,
        build=_build_yunet,
        weights=_yunet_weights,
    )
    yield FaceExtractorSpec(
        name="whole-frame",
        summary="looks for no face: the whole picture is kept; for faces that are cropped already",
        licence="no weights",
        threshold=0.0,
        thread_safe=True,
        detects=False,
        build=_build_whole_frame,
    )
