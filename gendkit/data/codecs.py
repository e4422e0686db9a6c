"""What encoding and decoding leave of one picture, RGB uint8 (H, W, 3): JPEG and H.264."""

from __future__ import annotations

import io

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]


def jpeg(image: Pixels, quality: int) -> Pixels:
    """Return an image (H, W, 3) after JPEG of a quality of 1 to 100, colour 4:2:0."""
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    encoded = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.asarray(cv2.cvtColor(cv2.imdecode(encoded, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB))


def h264(image: Pixels, crf: int) -> Pixels:
    """Return an image (H, W, 3) after it was the one frame of a film.

    libx264's preset `veryfast`, colour 4:2:0. An odd side is made even by its last pixels, which
    are then cut off.

    Parameters
    ----------
    image
        RGB uint8.
    crf
        Constant rate factor, 0 to 51; higher loses more.
    """
    import av

    height, width = image.shape[:2]
    even = np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    memory = io.BytesIO()
    with av.open(memory, "w", format="mp4") as film:
        stream = film.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = even.shape[1], even.shape[0], "yuv420p"
        stream.options = {"crf": str(crf), "preset": "veryfast", "threads": "1"}
        film.mux(stream.encode(av.VideoFrame.from_ndarray(even, format="rgb24")))
        film.mux(stream.encode())
    memory.seek(0)
    with av.open(memory) as film:
        frame = next(film.decode(video=0))
    decoded: Pixels = frame.to_ndarray(format="rgb24")
    return np.ascontiguousarray(decoded[:height, :width])
