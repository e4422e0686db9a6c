"""A video's file: opened so that nothing else is read, decoded to its end, turned upright.

What a file says of itself is limited before anything is decoded: only containers that hold their
own frames are opened, never lists of other files, and no frame has more than `PIXELS` pixels.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gendkit.data.pictures import PIXELS, check_pixels, line_of
from gendkit.errors import UnreadableMedia

if TYPE_CHECKING:
    from gendkit.plugin.protocols import Image

CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,flv,live_flv,mpegts,mpegtsraw,mpeg,mpegvideo,"
    "asf,asf_o,ogg,mxf,gxf,nut,dv,rm,wtv,ivf,obu,av1,h264,hevc,vvc,h261,h263,m4v,mjpeg,vc1,"
    "yuv4mpegpipe,gif,apng,nsv"
)
"""FFmpeg's names of what may be opened. A playlist would make it open what the file names."""
SCALED = 1 << 16
"""1 in the numbers of a display matrix."""


def open_container(path: Path) -> Any:
    """Open a video's container with FFmpeg, for the caller to close.

    Raises
    ------
    UnreadableMedia
        If it cannot be opened, or holds no frames of its own.
    """
    import av

    name = path.absolute()  # a path that begins with a slash names no protocol
    options = {"format_whitelist": CONTAINERS, "protocol_whitelist": "file"}
    try:
        return av.open(str(name), metadata_errors="replace", container_options=options)
    except (av.error.FFmpegError, OSError) as error:
        why = line_of(error, name)
        if isinstance(error, av.error.ArgumentError):
            why = "its content is of another kind, such as a list of other files"
        raise UnreadableMedia(
            f"{path} cannot be read as a video ({why}); expected is a whole file that FFmpeg can "
            "decode: copy or export it again."
        ) from None


class Opened:
    """An open container and its main video stream; what cannot be opened is `UnreadableMedia`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> tuple[Any, Any]:
        self._container = open_container(self._path)
        try:
            return self._container, self._first()
        except BaseException:
            self._container.close()
            raise

    def __exit__(self, *error: object) -> None:
        self._container.close()

    def _first(self) -> Any:
        if not self._container.streams.video:
            raise UnreadableMedia(
                f"{self._path} holds no video stream; give a video or a picture, not sound alone."
            )
        # Not the first: that may be the picture on the cover.
        stream = self._container.streams.best("video")
        check_pixels(self._path, stream.width, stream.height)
        # The size may change within the stream; the decoder then refuses such a frame.
        stream.codec_context.options = {"max_pixels": str(PIXELS)}
        return stream


def decoded(container: Any, stream: Any, path: Path, problems: list[str]) -> Iterator[Any]:
    """Decode to the end, noting packets that do not decode."""
    failed = decoding_error()
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except failed as error:
            problems.append(line_of(error, path))
            return
        if packet is None:
            return
        try:
            pictures = packet.decode()
        except failed:
            problems.append("a packet does not decode")
            continue
        yield from pictures


def decoding_error() -> type[Exception]:
    """Return what FFmpeg's errors are."""
    import av

    error: type[Exception] = av.error.FFmpegError
    return error


def upright(picture: Any, path: Path) -> Image:
    """Return a decoded frame as RGB uint8 (H, W, 3), turned and mirrored as the container says.

    The colours are converted by the matrix and the range that the frame states; where it states no
    matrix by that of BT.601, and where it states no range as limited, as FFmpeg does; its fast way
    is right to within three grey levels at 8 bits and four at 10. Transparent parts are put on
    black.

    Raises
    ------
    UnreadableMedia
        For a matrix that FFmpeg cannot convert.
    """
    clear = any(component.is_alpha for component in picture.format.components)
    try:
        image: Image = picture.to_ndarray(format="rgba" if clear else "rgb24")
    except OSError:
        raise UnreadableMedia(
            f"the colours of {path} cannot be converted to RGB (matrix {int(picture.colorspace)} "
            f"of ITU-T H.273, {picture.format.name}); export it again with the one of BT.709."
        ) from None
    if clear:
        image = _on_black(image)
    return np.ascontiguousarray(_turned(image, picture))


def _on_black(image: Image) -> Image:
    share = image[:, :, 3:].astype(np.uint16)
    mixed: Image = ((image[:, :, :3] * share + 127) // 255).astype(np.uint8)
    return mixed


def _turned(image: Image, picture: Any) -> Image:
    """Apply the display matrix as far as it turns by right angles and mirrors."""
    matrix = picture.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return image
    a, b, _, c, d = np.frombuffer(bytes(matrix), np.int32)[:5].tolist()
    if abs(b) + abs(c) > abs(a) + abs(d):
        image, a, d = image.transpose(1, 0, 2), c, b
    return image[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1]
