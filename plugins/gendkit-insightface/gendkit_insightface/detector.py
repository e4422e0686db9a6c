"""SCRFD-10GF: from an RGB image through one network to faces with five landmarks.

The network sees the image with its longest side at 640 pixels, small images enlarged, in the upper
left of a black square. It is run by onnxruntime on the CPU.

Source: Guo et al., "Sample and Computation Redistribution for Efficient Face Detection", ICLR 2022,
arXiv 2105.04714. Resizing, thresholds and places are those of insightface's `scrfd.py`, except that
each axis goes back to the image by its own factor: the shorter side is cut to whole pixels at 640,
and insightface divides both axes by the factor of the height.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gendkit.data.faces import check_image, faces_within
from gendkit.errors import InvalidArgument, UnreadableMedia, first_line
from gendkit_insightface.decoding import Anchors, decoded, suppressed

if TYPE_CHECKING:
    from gendkit.plugin.protocols import Face, Image

SIDE = 640
OVERLAP = 0.4
ERRORS_ONLY = 3
"""onnxruntime's level of what it writes to stderr."""


class SCRFD:
    """Finds faces and five landmarks each.

    It may be called from several threads at once, and the same image always gives the same faces.

    Parameters
    ----------
    weights
        `det_10g.onnx`, or another SCRFD with the same outputs.
    threshold
        Least confidence, 0 to 1.

    Raises
    ------
    InvalidArgument
        For a threshold that cannot be.
    UnreadableMedia
        If onnxruntime cannot read or run the file, or if it is another network. It is run once on
        a black square to see that.
    """

    name = "scrfd-10g"
    """By which the plugin gives it; recorded with the crops."""

    def __init__(self, weights: str | Path, *, threshold: float = 0.5) -> None:
        if not 0 < threshold < 1:
            raise InvalidArgument(f"a threshold is between 0 and 1, got {threshold}.")
        self._weights = str(weights)
        self._threshold = float(threshold)
        self._anchors = Anchors.of(SIDE)
        self._session = self._opened()
        self._find(np.zeros((SIDE, SIDE, 3), np.uint8))

    def __reduce__(self) -> tuple[Callable[..., SCRFD], tuple[str]]:
        return partial(SCRFD, threshold=self._threshold), (self._weights,)

    @property
    def threshold(self) -> float:
        """The least confidence that counts as a face."""
        return self._threshold

    def __call__(self, image: Image, /) -> list[Face]:
        """Return the faces of an RGB uint8 image (H, W, 3), most confident first.

        Boxes and landmarks are clipped to the image. The image is not changed.

        Raises
        ------
        InvalidImage
            For another shape or dtype.
        UnreadableMedia
            If the network gives numbers that cannot be.
        """
        check_image(image)
        height, width = image.shape[:2]
        square, inner = _letterboxed(image)
        boxes, landmarks, scores = self._find(square)
        per_pixel = np.array([inner[0] / width, inner[1] / height])
        boxes, landmarks = boxes / np.tile(per_pixel, 2), landmarks / per_pixel
        keep = suppressed(boxes, scores, overlap=OVERLAP)
        return faces_within(image.shape, boxes[keep], landmarks[keep], scores[keep])

    def _find(self, square: Image) -> tuple[Any, Any, Any]:
        """Return boxes (N, 4), landmarks (N, 5, 2) and scores (N,) in an image (640, 640, 3)."""
        pixels = (square.transpose(2, 0, 1)[None].astype(np.float32) - 127.5) / 128
        try:
            outputs = self._session.run(None, {self._session.get_inputs()[0].name: pixels})
        except Exception as error:  # its own kinds have no common base
            raise UnreadableMedia(
                f"onnxruntime does not run {self._weights} on an image of {SIDE} x {SIDE} pixels: "
                f"{first_line(error)}; give SCRFD's det_10g.onnx."
            ) from None
        try:
            return decoded(outputs, self._anchors, threshold=self._threshold)
        except UnreadableMedia as error:
            raise UnreadableMedia(f"{self._weights} is no SCRFD-10GF: {error}") from None

    def _opened(self) -> Any:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = ERRORS_ONLY
        try:
            session = onnxruntime.InferenceSession(
                self._weights, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # its own kinds have no common base
            raise UnreadableMedia(
                f"{self._weights} is no network that onnxruntime can read: {first_line(error)}; "
                "give SCRFD's det_10g.onnx."
            ) from None
        given = [f"{one.name} {one.type} {one.shape}" for one in session.get_inputs()]
        if len(given) != 1:
            raise UnreadableMedia(
                f"{self._weights} is no SCRFD-10GF: it takes {len(given)} inputs "
                f"({', '.join(given) or 'nothing'}); expected one image (1, 3, {SIDE}, {SIDE})."
            )
        return session


def _letterboxed(image: Image) -> tuple[Image, tuple[int, int]]:
    """Resize and put the image into the upper left of a black square; return its size (w, h)."""
    import cv2

    height, width = image.shape[:2]
    ratio = height / width
    tall = ratio > 1
    inner = (int(SIDE / ratio), SIDE) if tall else (SIDE, int(SIDE * ratio))
    inner = (max(1, inner[0]), max(1, inner[1]))  # of a frame like a line there would be nothing
    square = np.zeros((SIDE, SIDE, 3), dtype=np.uint8)
    square[: inner[1], : inner[0]] = cv2.resize(image, inner, interpolation=cv2.INTER_LINEAR)
    return square, inner
