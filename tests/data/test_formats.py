"""What kinds of video and picture there are, each against what is known to be in it."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from gendkit.data.media import inspect, read_frames, read_image, walk_frames
from gendkit.errors import UnreadableMedia

Planes = Sequence[NDArray[np.integer[Any]]]
BLOCK = 16
LOSSLESS: dict[str, dict[str, str]] = {
    "libx264": {"qp": "0"},
    "libx265": {"x265-params": "lossless=1:log-level=none:pools=none:frame-threads=1"},
    "libvpx-vp9": {"lossless": "1"},
}
WEIGHTS = {
    1: (0.2126, 0.0722), 4: (0.30, 0.11), 5: (0.299, 0.114), 6: (0.299, 0.114),
    7: (0.212, 0.087), 9: (0.2627, 0.0593),
}  # fmt: skip
"""Of red and blue in luma, by the number of the matrix in ITU-T H.273."""
BT709, BT601, BT2020, UNSAID = 1, 6, 9, 2
LIMITED, FULL = 1, 2
NEAR = {7: {BT709}}
"""SMPTE 240M gives nearly the colours of BT.709."""


def encode(
    path: Path,
    frames: Sequence[av.VideoFrame],
    codec: str,
    *,
    times: Sequence[int] | None = None,
    **context: Any,
) -> Path:
    """Encode frames with time stamps in milliseconds, or one every 40."""
    first = frames[0]
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = first.width, first.height, first.format.name
        stream.options = LOSSLESS.get(codec, {})
        stream.codec_context.time_base = Fraction(1, 1000)
        for name, value in context.items():
            setattr(stream.codec_context, name, value)
        for number, frame in enumerate(frames):
            frame.pts = 40 * number if times is None else times[number]
            frame.time_base = Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def of_planes(planes: Planes, pixels: str) -> av.VideoFrame:
    """A frame of `BLOCK` pixels a value, of any planar format."""
    height, width = (BLOCK * side for side in planes[0].shape)
    frame = av.VideoFrame(width, height, pixels)
    for plane, values in zip(frame.planes, planes, strict=True):
        down, across = BLOCK * plane.height // height, BLOCK * plane.width // width
        large = np.repeat(np.repeat(values, down, 0), across, 1)
        rows = np.zeros((plane.height, plane.line_size), np.uint8)
        content = np.ascontiguousarray(large.astype("<u2" if "le" in pixels else "u1"))
        content = content.view(np.uint8)
        rows[:, : content.shape[1]] = content
        plane.update(rows)
    return frame


def of_rgb(image: NDArray[np.uint8], pixels: str = "yuv420p") -> av.VideoFrame:
    source = "rgba" if image.shape[2] == 4 else "rgb24"
    return av.VideoFrame.from_ndarray(image, format=source).reformat(format=pixels)


def as_rgb(planes: Planes, *, matrix: int, full: bool, bits: int) -> NDArray[np.float64]:
    """The definition in ITU-T H.273: luma and two differences of colour to R'G'B' of 0 to 255."""
    red, blue = WEIGHTS[matrix]
    unit, top = 2.0 ** (bits - 8), 2.0**bits - 1
    y, u, v = (plane.astype(float) for plane in planes)
    luma = y / top if full else (y - 16 * unit) / (219 * unit)
    u, v = ((c - 128 * unit) / (top if full else 224 * unit) for c in (u, v))
    r, b = luma + 2 * (1 - red) * v, luma + 2 * (1 - blue) * u
    g = (luma - red * r - blue * b) / (1 - red - blue)
    return np.clip(np.stack([r, g, b], axis=-1) * 255, 0, 255)


def some_planes(bits: int) -> Planes:
    rng, unit = np.random.default_rng(0), 2 ** (bits - 8)
    ranges = ((50, 200), (50, 206), (50, 206))
    return [rng.integers(low * unit, high * unit, (4, 6)) for low, high in ranges]


def picture(width: int = 64, height: int = 48) -> NDArray[np.uint8]:
    """A soft picture no part of which is like another, so that turns and mirrors show."""
    y, x = np.mgrid[:height, :width]
    channels = (x * 255 // width, y * 255 // height, (x + y) * 127 // (width + height))
    return np.stack(channels, axis=-1).astype(np.uint8)


def largest_difference(one: NDArray[Any], other: NDArray[Any]) -> float:
    return float(np.abs(one.astype(float) - other).max())


# Colours


@pytest.mark.parametrize("full", [False, True], ids=["limited", "full"])
@pytest.mark.parametrize("matrix", [*WEIGHTS, UNSAID])
@pytest.mark.parametrize(
    ("codec", "pixels", "suffix", "bits", "allowed"),
    [
        ("ffv1", "yuv444p", ".mkv", 8, 1),
        ("libx264", "yuv420p", ".mp4", 8, 3),
        ("libx264", "yuv420p10le", ".mp4", 10, 4),
    ],
)
def test_colours_are_converted_by_the_matrix_and_range_of_the_stream(
    tmp_path: Path, codec: str, pixels: str, suffix: str, bits: int, allowed: float,
    matrix: int, full: bool,
) -> None:  # fmt: skip
    planes = some_planes(bits)
    frame = of_planes(planes, pixels)
    states = {"colorspace": matrix, "color_range": FULL if full else LIMITED}
    for name, value in states.items():
        setattr(frame, name, value)
    path = encode(tmp_path / f"a{suffix}", [frame], codec, **states)
    (read,) = read_frames(path, [0])
    middle = read.image[BLOCK // 2 :: BLOCK, BLOCK // 2 :: BLOCK]
    own = BT601 if matrix == UNSAID else matrix
    differences = {
        (kind, wide): largest_difference(middle, as_rgb(planes, matrix=kind, full=wide, bits=bits))
        for kind in {BT709, BT2020, own} - NEAR.get(own, set())
        for wide in (False, True)
    }
    assert differences.pop((own, full)) <= allowed
    assert min(differences.values()) > 5, "any other matrix or range would have been noticed"


@pytest.mark.parametrize(
    ("codec", "pixels", "suffix"),
    [
        ("libx265", "yuv420p10le", ".mp4"),
        ("libvpx-vp9", "yuv420p", ".webm"),
        ("libsvtav1", "yuv420p10le", ".mp4"),
        ("prores_ks", "yuv422p10le", ".mov"),
        ("ffv1", "yuv420p16le", ".mkv"),
    ],
)
def test_other_codecs_and_depths_have_the_same_colours(
    tmp_path: Path, codec: str, pixels: str, suffix: str
) -> None:
    try:
        av.codec.Codec(codec, "w")
    except av.codec.codec.UnknownCodecError:
        pytest.skip(f"this build of PyAV has no encoder {codec}")
    bits = 16 if "16" in pixels else 10 if "10" in pixels else 8
    planes = some_planes(bits)
    frames = [of_planes(planes, pixels) for _ in range(5)]  # x265 mistimes fewer
    context = {"colorspace": BT709, "color_range": LIMITED}
    for frame in frames:
        frame.colorspace, frame.color_range = BT709, LIMITED
    path = encode(tmp_path / f"a{suffix}", frames, codec, **context)
    for read in read_frames(path, [0, 1]):
        middle = read.image[BLOCK // 2 :: BLOCK, BLOCK // 2 :: BLOCK]
        expected = as_rgb(planes, matrix=BT709, full=False, bits=bits)
        assert largest_difference(middle, expected) <= 8
        assert np.abs(middle - expected).mean() < 2


def test_a_matrix_that_cannot_be_converted_is_told(tmp_path: Path) -> None:
    frame = of_planes(some_planes(8), "yuv444p")
    frame.colorspace = 8  # YCgCo
    path = encode(tmp_path / "a.mkv", [frame], "ffv1", colorspace=8)
    assert inspect(path).frames == 1
    with pytest.raises(UnreadableMedia, match=r"matrix 8 of ITU-T H.273, yuv444p"):
        read_frames(path, [0])


# Sizes, turns and mirrors


@pytest.mark.parametrize(
    ("codec", "pixels", "suffix", "size"),
    [
        ("libx264", "yuv444p", ".mp4", (65, 49)),
        ("libx264", "yuv420p", ".mp4", (50, 38)),  # cut out of 64 x 48
        ("libx265", "yuv420p", ".mp4", (50, 38)),
        ("libvpx-vp9", "yuv420p", ".webm", (65, 49)),
        ("ffv1", "yuv420p", ".mkv", (65, 49)),
        ("mjpeg", "yuvj420p", ".avi", (65, 49)),
    ],
)
def test_a_frame_has_the_size_that_is_shown(
    tmp_path: Path, codec: str, pixels: str, suffix: str, size: tuple[int, int]
) -> None:
    image = picture(*size)
    path = encode(tmp_path / f"a{suffix}", [of_rgb(image, pixels) for _ in range(5)], codec)
    for frame in read_frames(path, [0, 1]):
        assert frame.image.shape == (size[1], size[0], 3)
        assert largest_difference(frame.image, image) < 24
    assert inspect(path).pixels == size[0] * size[1]


MATRICES = {
    "as it is": ((1, 0, 0, 1), lambda i: i),
    "quarter turn": ((0, 1, -1, 0), lambda i: np.rot90(i, -1)),
    "half turn": ((-1, 0, 0, -1), lambda i: np.rot90(i, 2)),
    "three quarters": ((0, -1, 1, 0), lambda i: np.rot90(i, 1)),
    "mirrored": ((-1, 0, 0, 1), lambda i: i[:, ::-1]),
    "upside down": ((1, 0, 0, -1), lambda i: i[::-1]),
    "transposed": ((0, 1, 1, 0), lambda i: i.transpose(1, 0, 2)),
    "other diagonal": ((0, -1, -1, 0), lambda i: np.rot90(i, 2).transpose(1, 0, 2)),
}


@pytest.mark.parametrize("name", MATRICES)
def test_turns_and_mirrors_of_the_container_are_applied(tmp_path: Path, name: str) -> None:
    """x' = a x + c y and y' = b x + d y, as ISO/IEC 14496-12 has it (tkhd, 16.16 fixed point)."""
    (a, b, c, d), expected = MATRICES[name]
    path = encode(tmp_path / "a.mp4", [of_rgb(picture())], "libx264")
    (plain,) = read_frames(path, [0])
    data = bytearray(path.read_bytes())
    unit = struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    at = data.index(unit, data.index(b"tkhd"))
    fixed = (value << 16 for value in (a, b, 0, c, d, 0, 0, 0))
    data[at : at + 36] = struct.pack(">9i", *fixed, 1 << 30)
    path.write_bytes(data)
    (read,) = read_frames(path, [0])
    assert np.array_equal(read.image, expected(plain.image))
    assert read.image.flags.c_contiguous


@pytest.mark.parametrize("suffix", [".png", ".webp"])
def test_an_animation_is_turned_upright_like_a_picture(tmp_path: Path, suffix: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    pictures = [Image.fromarray(picture()), Image.fromarray(picture()[::-1])]
    options: dict[str, Any] = {"lossless": True} if suffix == ".webp" else {}
    pictures[0].save(
        tmp_path / f"a{suffix}", save_all=True, append_images=pictures[1:], exif=exif, **options
    )
    frames = read_frames(tmp_path / f"a{suffix}", [0, 1])
    assert len(frames) == 2
    for frame, one in zip(frames, pictures, strict=True):
        assert np.array_equal(frame.image, np.rot90(np.asarray(one), -1))
    assert np.array_equal(read_image(tmp_path / f"a{suffix}"), frames[0].image)


def test_pixels_are_taken_as_square_and_fields_stay_woven(tmp_path: Path) -> None:
    fields = np.zeros((48, 64, 3), np.uint8)
    fields[::2] = 200
    context = {"sample_aspect_ratio": Fraction(16, 15)}
    path = encode(tmp_path / "a.mkv", [of_rgb(fields, "yuv444p")], "ffv1", **context)
    (frame,) = read_frames(path, [0])
    assert frame.image.shape == (48, 64, 3)
    assert largest_difference(frame.image, fields) <= 2


def test_a_frame_of_another_size_within_a_stream_keeps_its_own(tmp_path: Path) -> None:
    parts = []
    for number, size in enumerate(((64, 48), (96, 32))):
        part = tmp_path / f"{number}.ts"
        frames = [of_rgb(picture(*size)) for _ in range(3)]
        times = [40 * (3 * number + n) for n in range(3)]
        parts.append(encode(part, frames, "libx264", times=times).read_bytes())
    path = tmp_path / "joined.ts"
    path.write_bytes(b"".join(parts))
    shapes = {frame.image.shape for frame in read_frames(path, range(9))}
    assert shapes == {(48, 64, 3), (32, 96, 3)}


def test_a_cover_is_not_taken_for_the_video(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        cover, film = (container.add_stream(codec, rate=25) for codec in ("mjpeg", "libx264"))
        for stream, pixels, side in ((cover, "yuvj420p", 32), (film, "yuv420p", 64)):
            stream.width = stream.height = side
            stream.pix_fmt = pixels
        for number in range(10):
            if not number:
                container.mux(cover.encode(of_rgb(picture(32, 32), "yuvj420p")))
            container.mux(film.encode(of_rgb(picture(64, 64))))
        for stream in (cover, film):
            container.mux(stream.encode(None))
    assert inspect(path).frames == 10
    assert {frame.image.shape for frame in read_frames(path, range(99))} == {(64, 64, 3)}


def test_a_heic_states_its_pixels(tmp_path: Path) -> None:
    heif = pytest.importorskip("pillow_heif")
    heif.from_pillow(Image.fromarray(picture(65, 49))).save(tmp_path / "a.heic", quality=95)
    assert inspect(tmp_path / "a.heic").pixels == 65 * 49
    assert largest_difference(read_image(tmp_path / "a.heic"), picture(65, 49)) < 24


# Time


@pytest.mark.parametrize(("codec", "suffix"), [("libx264", ".mp4"), ("libvpx-vp9", ".webm")])
def test_time_stamps_of_a_variable_frame_rate_are_those_of_the_container(
    tmp_path: Path, codec: str, suffix: str
) -> None:
    times = [0, 40, 50, 300, 310, 1000, 1001, 5000]
    frames = [of_rgb(picture()[:, :: 1 if n % 2 else -1]) for n in range(len(times))]
    path = encode(tmp_path / f"a{suffix}", frames, codec, times=times)
    read = read_frames(path, range(99))
    assert [frame.index for frame in read] == list(range(len(times)))
    assert [frame.time for frame in read] == pytest.approx([t / 1000 for t in times], abs=1e-3)
    (late,) = read_frames(path, [6])
    assert late.time == pytest.approx(1.001, abs=1e-3)
    assert np.array_equal(late.image, read[6].image)


# Transparency


def half_clear() -> NDArray[np.uint8]:
    image = np.full((48, 64, 4), 200, np.uint8)
    image[:, :32, 3], image[:, 32:, 3] = 0, 255
    return image


@pytest.mark.parametrize(
    ("codec", "pixels", "suffix"),
    [("prores_ks", "yuva444p10le", ".mov"), ("qtrle", "argb", ".mov"), ("ffv1", "bgra", ".mkv")],
)
def test_transparent_parts_of_a_video_are_black_as_those_of_a_picture(
    tmp_path: Path, codec: str, pixels: str, suffix: str
) -> None:
    image = half_clear()
    path = encode(tmp_path / f"a{suffix}", [of_rgb(image, pixels)], codec)
    (frame,) = read_frames(path, [0])
    assert frame.image[:, :28].max() <= 2
    assert largest_difference(frame.image[:, 36:], image[:, 36:, :3]) <= 4


def test_half_transparent_parts_of_a_video_are_half_as_bright(tmp_path: Path) -> None:
    image = np.full((16, 16, 4), 200, np.uint8)
    image[..., 3] = 128
    path = encode(tmp_path / "a.mkv", [of_rgb(image, "bgra")], "ffv1")
    (frame,) = read_frames(path, [0])
    assert set(frame.image.ravel().tolist()) == {100}


def test_transparency_that_vp9_keeps_beside_its_frames_is_not_seen(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.webm", [of_rgb(half_clear(), "yuva420p")], "libvpx-vp9")
    (frame,) = read_frames(path, [0])
    assert largest_difference(frame.image, half_clear()[..., :3]) <= 4


@pytest.mark.parametrize("suffix", [".png", ".webp", ".avif", ".tif", ".gif"])
def test_transparent_parts_of_every_kind_of_picture_are_black(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    Image.fromarray(half_clear()).save(path)
    read = read_image(path)
    assert read[:, :28].max() <= 2
    assert largest_difference(read[:, 36:], half_clear()[:, 36:, :3]) <= 6


def test_frames_are_the_same_whatever_else_is_asked_for(tmp_path: Path) -> None:
    """Of a codec with frames that refer to later ones, at 10 bits."""
    frames = [of_rgb(np.roll(picture(), 3 * n, 1), "yuv420p10le") for n in range(30)]
    path = encode(tmp_path / "a.mp4", frames, "libx265")
    every = read_frames(path, range(30))
    assert len(every) == 30
    for wanted in ([29], [0, 17], [5, 6, 28]):
        for frame in read_frames(path, wanted):
            assert np.array_equal(frame.image, every[frame.index].image)
    assert walk_frames(path, range(31), lambda frame: None).frames == 30
