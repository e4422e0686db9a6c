"""Files that are cut off, empty, endless, gigantic or lie: each costs one row with its reason."""

from __future__ import annotations

import contextlib
import io
import os
import resource
import struct
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from gendkit.data import examine as examine_module
from gendkit.data import video as video_module
from gendkit.data.container import container_facts
from gendkit.data.examine import examine
from gendkit.data.extract import extract
from gendkit.data.faces import TEMPLATE
from gendkit.data.media import find_media, inspect, read_frames, walk_frames
from gendkit.data.whole import missing
from gendkit.errors import MissingMedia, UnreadableMedia
from gendkit.plugin.protocols import Face, Frame

COUNT = 12
BOMB = "ignore:Image size:PIL.Image.DecompressionBombWarning"


def noise(number: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (48, 64, 3), dtype=np.uint8)


def video(path: Path, codec: str, pixels: str = "yuv420p", **options: str) -> Path:
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, pixels
        stream.options = {"g": "4"}
        for number in range(COUNT):
            frame = av.VideoFrame.from_ndarray(noise(number), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def animation(path: Path) -> Path:
    first, *rest = (Image.fromarray(noise(number)) for number in range(COUNT))
    first.save(path, save_all=True, append_images=rest, duration=100)
    return path


def single(path: Path) -> Path:
    Image.fromarray(noise(0)).save(path)
    return path


KINDS: dict[str, Callable[[Path], Path]] = {
    "a.mp4": lambda path: video(path, "libx264", movflags="faststart"),
    "fragments.mp4": lambda path: video(path, "libx264", movflags="frag_keyframe+empty_moov"),
    "late.mov": lambda path: video(path, "mpeg4"),
    "a.mkv": lambda path: video(path, "libx264"),
    "a.webm": lambda path: video(path, "libvpx-vp9"),
    "a.avi": lambda path: video(path, "mjpeg", "yuvj420p"),
    "a.flv": lambda path: video(path, "flv"),
    "a.wmv": lambda path: video(path, "msmpeg4"),
    **{f"moving{suffix}": animation for suffix in (".gif", ".png", ".webp", ".avif")},
    **{f"a{suffix}": single for suffix in (".gif", ".png", ".jpg", ".webp", ".tif", ".bmp")},
}
"""Those that state how much they hold; a transport or program stream does not."""
LONG = {"moving.avif", "moving.png", "late.mov", "a.wmv", "a.png", "a.tif", "a.flv", "moving.webp"}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name in LONG)) for name in KINDS]
)
def test_a_file_that_is_cut_off_anywhere_is_told_and_gives_what_is_there(
    tmp_path: Path, name: str
) -> None:
    data = KINDS[name](tmp_path / name).read_bytes()
    whole = read_frames(tmp_path / name, range(COUNT))
    assert inspect(tmp_path / name).problem == ""
    assert missing(tmp_path / name) == ""
    before = 0
    for tenth in range(10):
        path = tmp_path / f"cut-{name}"
        path.write_bytes(data[: len(data) * tenth // 10])
        seen = []
        try:
            told = [inspect(path).problem, walk_frames(path, range(COUNT), seen.append).problem]
        except UnreadableMedia as error:
            told = [str(error)]
        assert any(told), f"{tenth} tenths of the file pass for the whole"
        assert "\n" not in "".join(told)
        assert before <= len(seen) <= len(whole)
        before = len(seen)
        for frame in seen[:-1]:  # of the last, a part may be grey
            assert np.array_equal(frame.image, whole[frame.index].image)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi", ".ts", ".mpg", ".png", ".gif", ".jpg"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_random_bytes_are_no_media(tmp_path: Path, suffix: str, seed: int) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(np.random.default_rng(seed).bytes(20_000))
    with pytest.raises(UnreadableMedia):
        read_frames(path, [0])


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "moving.gif", "moving.webp", "a.jpg"])
def test_changed_bytes_give_frames_or_a_reason(tmp_path: Path, name: str) -> None:
    data = KINDS[name](tmp_path / name).read_bytes()
    for seed in range(12):
        rng = np.random.default_rng(seed)
        changed = np.frombuffer(data, np.uint8).copy()
        changed[rng.integers(0, len(data), 20)] = rng.integers(0, 256, 20)
        (tmp_path / name).write_bytes(changed.tobytes())
        with contextlib.suppress(UnreadableMedia):  # and nothing else
            inspect(tmp_path / name)
            assert len(read_frames(tmp_path / name, range(COUNT))) <= COUNT


# Gigantic


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def large_png(path: Path, side: int) -> None:
    """A PNG that states a size, and has a few pixels."""
    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(bytes(1000)))
        + chunk(b"IEND", b"")
    )


def large_jpeg(path: Path, side: int) -> None:
    data = bytearray(single(path).read_bytes())
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", side, side)
    path.write_bytes(data)


def large_gif(path: Path, side: int) -> None:
    data = bytearray(animation(path).read_bytes())
    data[6:10] = struct.pack("<HH", side, side)
    path.write_bytes(data)


@pytest.mark.filterwarnings(BOMB)
@pytest.mark.parametrize("side", [12_000, 60_000])
@pytest.mark.parametrize(
    ("write", "suffix"), [(large_png, ".png"), (large_jpeg, ".jpg"), (large_gif, ".gif")]
)
def test_a_picture_that_states_too_many_pixels_is_not_decoded(
    tmp_path: Path, write: Callable[[Path, int], None], suffix: str, side: int
) -> None:
    path = tmp_path / f"a{suffix}"
    write(path, side)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(
        UnreadableMedia, match=r"states (12,000 x 12,000 pixels, )?more (pixels )?than"
    ):
        read_frames(path, [0])
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 100 << (0 if sys.platform == "darwin" else 10), "in KiB on Linux"


def of_size(path: Path, side: int) -> None:
    """A VP8 whose key frames state another size."""
    data = bytearray(video(path, "libvpx").read_bytes())
    at = -1
    while (at := data.find(b"\x9d\x01\x2a", at + 1)) >= 0:
        data[at + 3 : at + 7] = struct.pack("<HH", side, side)
    path.write_bytes(data)


def test_a_video_whose_frames_state_too_many_pixels_is_refused(tmp_path: Path) -> None:
    of_size(tmp_path / "a.webm", 16_383)
    with pytest.raises(UnreadableMedia, match=r"no frame of .* decodes"):
        read_frames(tmp_path / "a.webm", range(COUNT))


def test_a_frame_that_suddenly_has_too_many_pixels_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = []
    for number, width in enumerate((64, 96, 64)):
        part = tmp_path / f"{number}.ts"
        with av.open(str(part), "w") as container:
            stream = container.add_stream("libx264", rate=10)
            stream.width, stream.height, stream.pix_fmt = width, 48, "yuv420p"
            for frame in (av.VideoFrame(width, 48, "yuv420p") for _ in range(3)):
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        parts.append(part.read_bytes())
    path = tmp_path / "joined.ts"
    path.write_bytes(b"".join(parts))
    assert {frame.image.shape[1] for frame in read_frames(path, range(9))} == {64, 96}
    monkeypatch.setattr(video_module, "PIXELS", 64 * 48)
    seen: list[Frame] = []
    facts = walk_frames(path, range(9), seen.append)
    assert {frame.image.shape[1] for frame in seen} == {64}
    assert "does not decode" in facts.problem


def test_a_container_that_states_too_many_pixels_is_refused(tmp_path: Path) -> None:
    data = bytearray(video(tmp_path / "a.avi", "rawvideo").read_bytes())
    at = data.index(b"strf") + 12
    data[at : at + 8] = struct.pack("<II", 16_384, 16_384)
    (tmp_path / "a.avi").write_bytes(data)
    with pytest.raises(UnreadableMedia):
        read_frames(tmp_path / "a.avi", [0])


def test_large_frames_are_looked_at_one_by_one_with_the_same_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = video(tmp_path / "a.mp4", "libx264")
    plain = examine(path, extractor=Finder())
    monkeypatch.setattr(examine_module, "HELD_PIXELS", 64 * 48)
    held: list[int] = []
    search = examine_module._search
    monkeypatch.setattr(
        examine_module, "_search",
        lambda *a, **k: held.append(not k["stream"]) or search(*a, **k),
    )  # fmt: skip
    large = examine(path, extractor=Finder())
    assert held
    assert not any(held)
    assert len(large.faces) == len(plain.faces) == COUNT
    for one, other in zip(plain.crops, large.crops, strict=True):
        assert (one.frame, one.time, one.landmarks) == (other.frame, other.time, other.landmarks)
        assert np.array_equal(one.image, other.image)


# Endless


def test_an_animation_that_states_billions_of_frames_is_refused(tmp_path: Path) -> None:
    path = animation(tmp_path / "a.png")
    data = bytearray(path.read_bytes())
    at = data.index(b"acTL")
    data[at + 4 : at + 8] = struct.pack(">I", 2**31 - 1)
    data[at + 12 : at + 16] = struct.pack(">I", zlib.crc32(data[at : at + 12]))
    path.write_bytes(data)
    with pytest.raises(UnreadableMedia, match="2,147,483,647 frames, more than the 131,072"):
        inspect(path)


@pytest.mark.slow  # a GIF is walked through to count its frames
def test_an_animation_of_very_many_frames_is_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    first, second = (Image.new("P", (2, 2), number) for number in (0, 1))
    for picture in (first, second):
        picture.putpalette([0, 0, 0, 255, 255, 255])
    first.save(buffer, "GIF", save_all=True, append_images=[second], duration=10)
    data = buffer.getvalue()
    at = data.rindex(b"!\xf9")
    (tmp_path / "a.gif").write_bytes(data[:at] + data[at:-1] * 140_000 + b";")
    with pytest.raises(UnreadableMedia, match=r"140,001 frames, more than"):
        inspect(tmp_path / "a.gif")


def test_a_video_that_announces_billions_of_frames_is_counted_by_those_that_are_there(
    tmp_path: Path,
) -> None:
    path = video(tmp_path / "a.mp4", "libx264")
    data = bytearray(path.read_bytes())
    at = data.index(b"stts") + 12
    data[at : at + 4] = struct.pack(">I", 2**31 - 1)
    path.write_bytes(data)
    facts = inspect(path)
    assert facts.frames == COUNT
    assert "of the 2147483647 announced frames" in facts.problem


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes in the file system")
@pytest.mark.parametrize("suffix", [".mp4", ".png", ".ts"])
def test_a_pipe_or_device_is_never_opened(tmp_path: Path, suffix: str) -> None:
    os.mkfifo(tmp_path / f"pipe{suffix}")
    (tmp_path / f"zero{suffix}").symlink_to("/dev/zero")
    (tmp_path / f"gone{suffix}").symlink_to(tmp_path / "nowhere")
    found = find_media(tmp_path)
    assert [path.stem for path in found] == ["gone", "pipe", "zero"]
    for path, text in zip(found, ("no file", "device or a pipe", "device or a pipe"), strict=True):
        for read in (inspect, lambda path: read_frames(path, [0])):
            with pytest.raises(MissingMedia, match=text):
                read(path)


# Other files


def test_a_playlist_opens_nothing_of_what_it_names(tmp_path: Path) -> None:
    video(tmp_path / "private.mp4", "libx264")
    lists = {
        "concat.mp4": "ffconcat version 1.0\nfile private.mp4\n",
        "hls.mp4": "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nprivate.mp4\n#EXT-X-ENDLIST\n",
    }
    for name, text in lists.items():
        (tmp_path / name).write_text(text)
        for read in (inspect, lambda path: read_frames(path, [0]), container_facts):
            with pytest.raises(UnreadableMedia, match="cannot be read as a video"):
                read(tmp_path / name)
    assert inspect(tmp_path / "private.mp4").frames == COUNT


def test_a_name_is_never_a_protocol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    video(Path("a.mp4"), "libx264")
    Path("concat:a.mp4").write_bytes(b"no video")
    with pytest.raises(UnreadableMedia):
        inspect(Path("concat:a.mp4"))
    assert inspect(Path("a.mp4")).frames == COUNT


def test_a_picture_of_a_kind_that_runs_another_program_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EOF\n")
    with pytest.raises(UnreadableMedia, match="cannot identify image file"):
        read_frames(tmp_path / "a.png", [0])


# All of it at once


class Finder:
    """Finds the same face everywhere."""

    threshold = 0.5

    def __call__(self, image: np.ndarray, /) -> list[Face]:
        points = np.asarray(TEMPLATE, dtype=np.float32) * 20 + 6
        return [Face(box=(6, 6, 26, 26), landmarks=points, confidence=0.75)]


@pytest.mark.filterwarnings(BOMB)
def test_each_costs_one_row_with_its_reason_and_the_others_are_extracted(tmp_path: Path) -> None:
    root = tmp_path / "media"
    root.mkdir()
    video(root / "good.mp4", "libx264")
    (root / "cut.mp4").write_bytes((root / "good.mp4").read_bytes()[:900])
    (root / "empty.mp4").touch()
    (root / "random.mkv").write_bytes(np.random.default_rng(0).bytes(5000))
    (root / "list.mp4").write_text("ffconcat version 1.0\nfile good.mp4\n")
    large_png(root / "large.png", 60_000)
    large_gif(root / "wide.gif", 12_000)
    of_size(root / "wide.webm", 16_383)
    (root / "zero.mp4").symlink_to("/dev/zero")
    frame = av.VideoFrame(32, 32, "yuv444p")
    frame.colorspace = 8  # YCgCo
    with av.open(str(root / "ycgco.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=10)
        stream.width = stream.height = 32
        stream.pix_fmt, stream.codec_context.colorspace = "yuv444p", 8
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    manifest = extract(root, tmp_path / "out", extractor=Finder())
    table = manifest.table
    assert set(table["video"][table["path"] != ""]) == {"good.mp4"}
    rest = table[table["video"] != "good.mp4"]
    assert len(rest) == rest["video"].nunique() == len(list(root.iterdir())) - 1
    assert (rest["reason"].str.len() > 20).all()
    assert not rest["reason"].str.contains(str(tmp_path)).any()
    assert set(manifest.meta["problems"]) == {f"media/{name}" for name in rest["video"]}
