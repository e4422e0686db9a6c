"""The built-in face extractor YuNet, run by OpenCV, for a model file that the user brings.

An RGB image enters; its faces leave, most confident first, in the image's own pixels. The network
sees the image with its longest side at 640 pixels, small images enlarged, in the upper left of a
black square, which is the size that the published file is made for.

The outputs mean what they mean to OpenCV's `FaceDetectorYN`. That class is not used: it does not
look at the shapes of what a file gives, and reads beyond them.

Source: Wu et al., "YuNet: A Tiny Millisecond-level Face Detector", Machine Intelligence Research
2023; the model of OpenCV's zoo, `face_detection_yunet_2023mar.onnx`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gendkit.builtin.detections import canvas, suppressed
from gendkit.data.brought import BroughtFile
from gendkit.data.faces import check_image, faces_within
from gendkit.errors import InvalidArgument, UnreadableMedia

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gendkit.plugin.protocols import Face, Image

    Floats = NDArray[np.float64]

SIDE = 640
STRIDES = (8, 16, 32)
HEADS = {"cls": 1, "obj": 1, "bbox": 4, "kps": 10}
"""What the network gives for each cell and how many numbers that is."""
OVERLAP = 0.3

WEIGHTS = BroughtFile(
    needed_by="YuNet",
    file="face_detection_yunet_2023mar.onnx",
    folder="yunet",
    variable="GENDKIT_YUNET",
    origin="OpenCV's model zoo gives it (0.2 MB, MIT) at "
    "https://github.com/opencv/opencv_zoo/tree/main/models/face_detection_yunet, from where "
    "gendkit does not fetch it: download it",
)


class YuNet:
    """Finds faces and five landmarks each.

    It may be called from several threads: each has its own copy of the network, because OpenCV's
    keeps its activations inside. The same image always gives the same faces.

    Parameters
    ----------
    weights
        `face_detection_yunet_2023mar.onnx`, or another YuNet with the same outputs.
    threshold
        Least confidence, 0 to 1; the declared .9 is OpenCV's.

    Raises
    ------
    InvalidArgument
        For a threshold that cannot be.
    UnreadableMedia
        If OpenCV cannot read or run the file, or if it is another network. It is run once on a
        black square to see that.
    """

    name = "yunet"
    """By which the plugin gives it; recorded with the crops."""

    def __init__(self, weights: str | Path, *, threshold: float = 0.9) -> None:
        if not 0 < threshold < 1:
            raise InvalidArgument(f"a threshold is between 0 and 1, got {threshold}.")
        self._weights = str(weights)
        self._threshold = float(threshold)
        self._local = threading.local()
        self._find(np.zeros((SIDE, SIDE, 3), np.uint8))

    def __reduce__(self) -> tuple[Callable[..., YuNet], tuple[str]]:
        return partial(YuNet, threshold=self._threshold), (self._weights,)

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
        square, inner = canvas(image, SIDE / max(height, width), multiple=SIDE)
        boxes, landmarks, scores = self._find(square)
        keep = suppressed(boxes, scores, overlap=OVERLAP)
        per_pixel = np.array([inner[0] / width, inner[1] / height])
        boxes, landmarks = boxes / np.tile(per_pixel, 2), landmarks / per_pixel
        return faces_within(image.shape, boxes[keep], landmarks[keep], scores[keep])

    def _find(self, square: Image) -> tuple[Floats, Floats, Floats]:
        """Return boxes (N, 4), landmarks (N, 5, 2) and scores (N,) in an image (640, 640, 3)."""
        import cv2

        names = [f"{head}_{stride}" for head in HEADS for stride in STRIDES]
        try:
            if not hasattr(self._local, "net"):
                self._local.net = cv2.dnn.readNetFromONNX(self._weights)
            self._local.net.setInput(cv2.dnn.blobFromImage(square, swapRB=True))  # it sees BGR
            outputs = self._local.net.forward(names)
        except cv2.error as error:
            raise UnreadableMedia(
                f"{self._weights} is no YuNet that OpenCV can read and run: {error.err}; give "
                f"{WEIGHTS.file}."
            ) from None
        return _decoded(dict(zip(names, outputs, strict=True)), self._threshold, self._weights)


def _decoded(
    outputs: dict[str, Any], threshold: float, weights: str
) -> tuple[Floats, Floats, Floats]:
    """From the network's outputs to boxes (N, 4), landmarks (N, 5, 2) and scores (N,).

    A cell's box is given by its centre from the cell's upper left corner, in cells, and the
    logarithms of its sides; the confidence is the geometric mean of both scores.
    """
    boxes, landmarks, scores = [], [], []
    for stride in STRIDES:
        cells = (SIDE // stride) ** 2
        heads = {}
        for head, width in HEADS.items():
            value = np.asarray(outputs[f"{head}_{stride}"], dtype=np.float64)
            if value.shape not in ((cells, width), (1, cells, width)):
                raise UnreadableMedia(
                    f"{weights} is no YuNet: its output {head}_{stride} has the shape "
                    f"{value.shape}; expected {(1, cells, width)}."
                )
            if not np.isfinite(value).all():
                raise UnreadableMedia(
                    f"{weights} is damaged: its output {head}_{stride} is not finite everywhere."
                )
            heads[head] = value.reshape(cells, width)
        sure = np.sqrt(np.clip(heads["cls"], 0, 1) * np.clip(heads["obj"], 0, 1))[:, 0]
        (at,) = np.nonzero(sure >= threshold)
        y, x = np.divmod(at, SIDE // stride)
        corner = np.stack([x, y], axis=1).astype(np.float64)
        box = heads["bbox"][at]
        centres, sides = corner + box[:, :2], np.exp(np.minimum(box[:, 2:], np.log(SIDE)))
        boxes.append(stride * np.concatenate([centres - sides / 2, centres + sides / 2], axis=1))
        landmarks.append(stride * (heads["kps"][at].reshape(-1, 5, 2) + corner[:, None]))
        scores.append(sure[at])
    return np.concatenate(boxes), np.concatenate(landmarks), np.concatenate(scores)
