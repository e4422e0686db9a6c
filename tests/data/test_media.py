from __future__ import annotations

import struct
import sys
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from gendkit.data.media import (
    count_frames,
    find_media,
    frame_order,
    inspect,
    is_image,
    is_video,
    read_frames,
    read_image,
    spread_order,
    walk_frames,
)
from gendkit.data.pictures import decode_image
from gendkit.errors import InvalidArgument, MissingMedia, UnreadableMedia
from gendkit.plugin.protocols import Frame

FRAMES = 40


def numbered_frame(number: int) -> np.ndarray:
    """A frame (48, 64, 3) with its number as six white or black columns, and noise below."""
    bits = [(number >> bit) & 1 for bit in range(6)]
    row = np.repeat(np.array([*bits, 0, 1], dtype=np.uint8) * 255, 8)
    frame = np.repeat(np.broadcast_to(row[None, :, None], (48, 64, 1)), 3, axis=2)
    frame[24:] = np.random.default_rng(number).integers(0, 256, (24, 64, 1), dtype=np.uint8)
    return frame


def number_of(image: np.ndarray) -> int:
    columns = image[12, 4:52:8].mean(axis=-1) > 127
    return int(sum(int(bit) << i for i, bit in enumerate(columns)))


def write_video(path: Path, frames: int = FRAMES, *, rate: int = 10, **options: str) -> Path:
    """Encode numbered frames with H.264, B-frames included."""
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream("libx264", rate=rate)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.options = {"crf": "10", "bf": "2", "g": "12"}
        stream.time_base = Fraction(1, rate)
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(numbered_frame(number), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("media") / "numbers.mp4")


# Pictures


def test_a_picture_is_read_as_rgb(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    read = read_image(tmp_path / "a.png")
    assert read.dtype == np.uint8
    assert np.array_equal(read, pixels)
    assert read.flags.writeable


@pytest.mark.parametrize(("orientation", "turns"), [(3, 2), (6, 3), (8, 1)])
def test_a_picture_is_turned_upright(tmp_path: Path, orientation: int, turns: int) -> None:
    upright = np.zeros((16, 32, 3), dtype=np.uint8)
    upright[:8, :8] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.ascontiguousarray(np.rot90(upright, -turns)))
    stored.save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(read_image(tmp_path / "a.png"), upright)


def test_transparent_parts_are_black_and_half_transparent_ones_half_as_bright(
    tmp_path: Path,
) -> None:
    pixels = np.full((1, 3, 4), 200, dtype=np.uint8)
    pixels[0, :, 3] = [0, 128, 255]
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png")[0, :, 0].tolist() == [0, 100, 200]


def test_a_palette_is_resolved(tmp_path: Path) -> None:
    picture = Image.new("P", (4, 3), 1)
    picture.putpalette([0, 0, 0, 10, 20, 30])
    picture.save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png").reshape(-1, 3).tolist() == [[10, 20, 30]] * 12


def test_the_bytes_of_a_picture_are_read_as_its_file(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    wide = np.array([[0, 255, 256, 65535]], dtype=np.uint16)
    Image.fromarray(wide).save(path)
    assert np.array_equal(decode_image(path.read_bytes(), name="a"), read_image(path))
    with pytest.raises(UnreadableMedia, match=r"^row 7 cannot be read as a picture") as raised:
        decode_image(path.read_bytes()[:40], name="row 7")
    assert "BytesIO" not in str(raised.value)
    with pytest.raises(UnreadableMedia, match=r"\(cannot identify image file\)"):
        decode_image(b"no picture", name="row 8")


def test_of_16_bit_samples_the_upper_byte_is_kept(tmp_path: Path) -> None:
    values = np.array([[0, 255, 256, 65535]], dtype=np.uint16)
    Image.fromarray(values).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png")[0, :, 1].tolist() == [0, 0, 1, 255]


def test_grey_becomes_three_equal_channels(tmp_path: Path) -> None:
    Image.fromarray(np.array([[7, 9]], dtype=np.uint8)).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png").tolist() == [[[7] * 3, [9] * 3]]


def test_samples_without_a_defined_range_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.ones((2, 2), dtype=np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(UnreadableMedia, match="no defined range"):
        read_image(tmp_path / "a.tif")


def test_of_an_animation_the_first_frame_is_read(tmp_path: Path) -> None:
    pictures = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    pictures[0].save(tmp_path / "a.gif", save_all=True, append_images=pictures[1:])
    assert read_image(tmp_path / "a.gif")[0, 0].tolist() == [255, 0, 0]


COLOURS = ((255, 0, 0), (0, 0, 255), (0, 255, 0))


def animation(path: Path, *, durations: Sequence[int]) -> Path:
    first, *rest = (Image.new("RGB", (32, 24), colour) for colour in COLOURS)
    options: dict[str, Any] = {"lossless": True} if path.suffix == ".webp" else {}
    first.save(path, save_all=True, append_images=rest, duration=list(durations), loop=0, **options)
    return path


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png", ".avif"])
def test_an_animation_has_frames_with_their_times(tmp_path: Path, suffix: str) -> None:
    path = animation(tmp_path / f"a{suffix}", durations=(200, 500, 300))
    assert count_frames(path) == 3
    frames = read_frames(path, [2, 0, 1])
    assert [frame.index for frame in frames] == [0, 1, 2]
    assert [frame.time for frame in frames] == pytest.approx([0.0, 0.2, 0.7])
    for frame, colour in zip(frames, COLOURS, strict=True):
        assert np.abs(frame.image.astype(int) - colour).max() <= (6 if suffix == ".avif" else 0)
    (last,) = read_frames(path, [2])
    np.testing.assert_array_equal(last.image, frames[2].image)
    assert walk_frames(path, [0], lambda frame: None).frames is None  # it stopped early
    assert walk_frames(path, range(9), lambda frame: None).frames == 3


def test_what_a_frame_of_an_animation_leaves_out_is_seen_from_before(tmp_path: Path) -> None:
    whole = Image.new("RGB", (32, 32), "red")
    changed = whole.copy()
    changed.paste((0, 0, 255), (0, 0, 16, 16))
    whole.save(tmp_path / "a.gif", save_all=True, append_images=[changed], duration=100)
    second = read_frames(tmp_path / "a.gif", [1])[0].image
    assert second[2, 2].tolist() == [0, 0, 255]
    assert second[30, 30].tolist() == [255, 0, 0]


def test_a_frame_without_a_duration_is_a_tenth_of_a_second(tmp_path: Path) -> None:
    path = animation(tmp_path / "a.gif", durations=(0, 0, 0))
    assert [f.time for f in read_frames(path, range(3))] == pytest.approx([0.0, 0.1, 0.2])


def test_an_animation_that_is_cut_off_gives_the_frames_before_and_says_so(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    noise = [Image.fromarray(rng.integers(0, 256, (64, 64, 3), np.uint8)) for _ in range(4)]
    path = tmp_path / "a.gif"
    noise[0].save(path, save_all=True, append_images=noise[1:], duration=100)
    path.write_bytes(path.read_bytes()[:-3000])
    seen: list[Frame] = []
    facts = walk_frames(path, range(9), seen.append)
    assert 1 <= len(seen) < 4
    assert facts.frames == len(seen)
    assert "stops being readable" in facts.problem


def test_a_single_picture_has_no_time(tmp_path: Path) -> None:
    for suffix in (".gif", ".png", ".webp"):
        Image.new("RGB", (8, 8)).save(tmp_path / f"a{suffix}")
        (frame,) = read_frames(tmp_path / f"a{suffix}", [0, 1])
        assert frame.time is None


def test_heic_is_read_by_pillow_heif_and_its_absence_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heif = pytest.importorskip("pillow_heif")
    path = tmp_path / "a.heic"
    heif.from_pillow(Image.new("RGB", (64, 48), (200, 40, 90))).save(path, quality=95)
    assert np.abs(read_image(path).astype(int) - (200, 40, 90)).max() <= 4
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    (tmp_path / "b.heic").write_bytes(b"no picture")
    with pytest.raises(UnreadableMedia, match="pip install pillow-heif"):
        read_image(tmp_path / "b.heic")


def test_a_missing_picture_and_a_folder_are_missing_media(tmp_path: Path) -> None:
    with pytest.raises(MissingMedia, match="no file"):
        read_image(tmp_path / "a.png")
    with pytest.raises(MissingMedia, match="a folder"):
        read_image(tmp_path)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".gif", ".tif", ".bmp"])
def test_a_text_file_is_no_picture(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_text("no picture at all\n" * 9)
    with pytest.raises(UnreadableMedia, match="cannot be read as a picture") as raised:
        read_image(path)
    assert "\n" not in str(raised.value)
    assert str(raised.value).endswith("expected is a whole picture: copy or export it again.")


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
def test_a_picture_that_is_cut_off_is_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(UnreadableMedia):
        read_image(path)


# Files


def test_suffixes_tell_pictures_and_videos_apart() -> None:
    assert is_image("a.JPG")
    assert is_video("b.MP4")
    assert not is_image("b.mp4")
    assert not is_video("a.txt")


def test_media_are_found_at_every_depth_sorted_and_once(tmp_path: Path) -> None:
    for name in ("b.mp4", "a/z.PNG", "a/b/y.jpg", "notes.txt", ".hidden/x.png", "a/._y.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = [tmp_path / "a/b/y.jpg", tmp_path / "a/z.PNG", tmp_path / "b.mp4"]
    assert find_media(tmp_path) == found
    assert find_media([tmp_path / "b.mp4", tmp_path, tmp_path / "a"]) == [found[2], *found[:2]]


def test_what_is_not_there_or_no_media_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingMedia, match="no picture or video under"):
        find_media(tmp_path)
    with pytest.raises(MissingMedia, match="there is no file or folder"):
        find_media([tmp_path / "a.mp4"])
    with pytest.raises(MissingMedia, match=r"photos:mine; photos is a dataset: .*, 'mine'\)"):
        find_media("photos:mine")
    (tmp_path / "a.txt").touch()
    with pytest.raises(UnreadableMedia, match="neither picture nor video"):
        find_media(tmp_path / "a.txt")


# Frames


def obvious_spread(n: int) -> list[int]:
    """The definition: from the middle, each time the one farthest from all before it."""
    order = [n // 2] if n else []
    while len(order) < n:
        distance = [min(abs(i - j) for j in order) for i in range(n)]
        order.append(distance.index(max(distance)))
    return order


def test_spread_order_is_its_definition() -> None:
    for n in range(70):
        assert spread_order(n).tolist() == obvious_spread(n), n


@given(st.integers(70, 400))
def test_spread_order_is_its_definition_for_longer_clips(n: int) -> None:
    assert spread_order(n)[:40].tolist() == obvious_spread_start(n, 40)


def obvious_spread_start(n: int, count: int) -> list[int]:
    order = [n // 2]
    while len(order) < count:
        distance = np.abs(np.arange(n)[:, None] - np.array(order)).min(axis=1)
        order.append(int(distance.argmax()))
    return order


def test_spread_order_is_that_of_the_reference(shared: Path) -> None:
    with np.load(shared / "golden" / "frame_order.npz") as golden:
        assert len(golden.files) > 5
        for key in golden.files:
            assert np.array_equal(spread_order(int(key)), golden[key]), key


@given(st.integers(0, 3000))
def test_spread_order_has_every_frame_once(n: int) -> None:
    assert np.array_equal(np.sort(spread_order(n)), np.arange(n))


def test_uniform_order_has_both_ends_and_stride_the_first() -> None:
    assert frame_order(101, "uniform", count=5).tolist() == [0, 25, 50, 75, 100]
    assert frame_order(101, "stride", count=5).tolist() == [0, 20, 40, 60, 80]
    assert frame_order(3, "uniform", count=5).tolist() == [0, 1, 2]
    assert frame_order(3, "stride", count=5).tolist() == [0, 1, 2]


@pytest.mark.parametrize("kind", ["spread", "uniform", "stride", "random"])
@pytest.mark.parametrize("n", [0, 1, 2, 33])
def test_every_order_is_of_frames_that_exist(kind: str, n: int) -> None:
    order = frame_order(n, kind, count=8)  # type: ignore[arg-type]
    assert len(set(order.tolist())) == len(order)
    assert set(order.tolist()) <= set(range(n))
    assert len(order) >= min(n, 8)


def test_random_order_is_that_of_its_seed() -> None:
    first, again, other = (frame_order(50, "random", seed=seed).tolist() for seed in (1, 1, 2))
    assert first == again
    assert first != other
    assert sorted(first) == list(range(50))


def test_an_unknown_order_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="spread, uniform, stride, random"):
        frame_order(5, "first")  # type: ignore[arg-type]


def test_one_pass_gives_the_same_frames_as_decoding_all(video: Path) -> None:
    with av.open(str(video)) as container:
        every = [(f.time, f.to_ndarray(format="rgb24")) for f in container.decode(video=0)]
    assert count_frames(video) == len(every) == FRAMES
    wanted = [17, 39, 0, 18]
    frames = read_frames(video, wanted)
    assert [frame.index for frame in frames] == [number_of(f.image) for f in frames]
    assert [frame.index for frame in frames] == sorted(wanted)
    for frame in frames:
        assert frame.time == every[frame.index][0] == pytest.approx(frame.index / 10)
        assert np.array_equal(frame.image, every[frame.index][1])


def test_a_pass_ends_behind_the_last_wanted_frame(video: Path) -> None:
    assert walk_frames(video, [3], lambda frame: None).frames is None
    assert walk_frames(video, [FRAMES + 5], lambda frame: None).frames == FRAMES


def test_frames_that_do_not_exist_are_left_out(video: Path) -> None:
    assert [f.index for f in read_frames(video, [FRAMES, 2])] == [2]
    assert read_frames(video, []) == []


def test_a_picture_is_a_clip_of_one_frame(tmp_path: Path) -> None:
    Image.new("RGB", (4, 3), "red").save(tmp_path / "a.png")
    assert inspect(tmp_path / "a.png").frames == 1
    [frame] = read_frames(tmp_path / "a.png", [0, 1])
    assert (frame.index, frame.time, frame.image.shape) == (0, None, (3, 4, 3))


@pytest.mark.parametrize(
    ("matrix", "turns"), [((0, 1, -1, 0), -1), ((-1, 0, 0, -1), 2), ((0, -1, 1, 0), 1)]
)
def test_a_video_is_turned_upright(
    video: Path, tmp_path: Path, matrix: tuple[int, int, int, int], turns: int
) -> None:
    """The matrix in the track header is (a b u, c d v, x y w) in 16.16 and 2.30 fixed point."""
    data = bytearray(video.read_bytes())
    plain = struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    at = data.index(plain, data.index(b"tkhd"))
    a, b, c, d = (value << 16 for value in matrix)
    data[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    turned = tmp_path / "turned.mp4"
    turned.write_bytes(data)
    [plain_frame], [frame] = read_frames(video, [5]), read_frames(turned, [5])
    assert np.array_equal(frame.image, np.rot90(plain_frame.image, turns))


def test_a_frame_that_an_edit_list_hides_is_not_counted(shared: Path) -> None:
    path = shared / "media" / "no_face.mp4"
    with av.open(str(path)) as container:
        assert container.streams.video[0].frames == 98
        decoded = sum(1 for _ in container.decode(video=0))
    assert count_frames(path) == decoded == 95
    assert inspect(path).problem == ""


# Damage


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
def test_a_video_that_is_cut_off_gives_the_frames_that_are_there(
    tmp_path: Path, suffix: str
) -> None:
    options = {"movflags": "faststart"} if suffix == ".mp4" else {}
    whole = write_video(tmp_path / f"whole{suffix}", **options)
    assert inspect(whole).problem == ""
    cut = tmp_path / f"cut{suffix}"
    data = whole.read_bytes()
    cut.write_bytes(data[: len(data) * 6 // 10])
    facts = inspect(cut)
    frames = read_frames(cut, range(FRAMES))
    assert 0 < len(frames) < FRAMES
    assert [frame.index for frame in frames] == sorted({frame.index for frame in frames})
    for frame in frames:  # the last B-frames can be missing before the last frame
        since = (frame.time or 0) - (frames[0].time or 0)
        assert since == pytest.approx(number_of(frame.image) / 10, abs=1e-3)
    assert facts.frames is not None
    assert facts.frames < FRAMES
    if suffix != ".ts":  # a transport stream announces nothing
        assert facts.problem.startswith("cut off: ")
        assert facts.problem.endswith("copy it again to have all")
        assert "; " not in facts.problem, "which stands between problems"


def test_what_does_not_decode_is_told(video: Path, tmp_path: Path) -> None:
    with av.open(str(video)) as container:
        places = [packet.pos for packet in container.demux(video=0) if packet.size]
    data = bytearray(video.read_bytes())
    for place in (places[-1], places[-2]):
        data[place : place + 4] = b"\xff" * 4  # the length of a unit, beyond the packet's end
    damaged = tmp_path / "damaged.mp4"
    damaged.write_bytes(data)
    numbers: list[int] = []
    facts = walk_frames(damaged, range(FRAMES), lambda frame: numbers.append(frame.index))
    assert numbers == list(range(FRAMES - 2))
    assert facts.frames == FRAMES - 2
    assert facts.problem == "a packet does not decode (2 times)"


@pytest.mark.parametrize("content", [b"", b"this is text, not a video\n" * 40])
def test_what_is_no_video_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(content)
    for read in (count_frames, lambda p: read_frames(p, [0])):
        with pytest.raises(UnreadableMedia, match="cannot be read as a video") as raised:
            read(path)
        assert "\n" not in str(raised.value)
        assert str(raised.value).count(str(path)) == 1
        assert "expected is a whole file that FFmpeg can decode" in str(raised.value)


def test_a_video_whose_index_is_cut_off_is_refused(video: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(video.read_bytes()[:500])
    with pytest.raises(UnreadableMedia):
        inspect(path)


def test_sound_alone_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "sound.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        sound = av.AudioFrame.from_ndarray(
            np.zeros((1, 800), np.int16), format="s16", layout="mono"
        )
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))
    with pytest.raises(UnreadableMedia, match="no video stream"):
        inspect(path)


def test_a_missing_video_is_missing_media(tmp_path: Path) -> None:
    with pytest.raises(MissingMedia):
        inspect(tmp_path / "a.mp4")
    with pytest.raises(MissingMedia):
        read_frames(tmp_path / "a.mp4", [0])
