from __future__ import annotations

import functools
import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from gendkit.data import extract as extract_module
from gendkit.data import sources as sources_module
from gendkit.data.clips import clips_of
from gendkit.data.examine import DAMAGED, HELD, NO_FACE, NO_FRAME, Crop, examine
from gendkit.data.extract import extract
from gendkit.data.faces import TEMPLATE, align_face
from gendkit.data.manifest import Manifest
from gendkit.data.media import frame_order, read_image
from gendkit.data.which import EMPTY_MASK, OFF_MASK
from gendkit.errors import (
    InvalidArgument,
    InvalidManifest,
    MissingAsset,
    MissingDependency,
    MissingMedia,
    NotExamined,
    OutputExists,
    PluginError,
    UnknownPart,
    UnreadableMedia,
)
from gendkit.plugin import FaceExtractorSpec
from gendkit.plugin.protocols import Clip, Face, Frame
from gendkit.testing.small import registered

POINTS = np.asarray(TEMPLATE, dtype=np.float32) * 20 + 6
FACE = Face(box=(6, 6, 26, 26), landmarks=POINTS, confidence=0.75)


def picture(number: int, *, face: bool = True) -> np.ndarray:
    """A frame (32, 32, 3) whose colour holds its number and whether it has a face."""
    image = np.full((32, 32, 3), 10, dtype=np.uint8)
    image[..., 0] = 200 if face else 0
    image[..., 1], image[..., 2] = number % 256, number // 256
    return image


class Finder:
    """Finds a face in frames that are red, and writes down which frames it saw."""

    threshold = 0.5

    def __init__(self) -> None:
        self.seen: list[int] = []

    def __call__(self, image: np.ndarray, /) -> list[Face]:
        self.seen.append(int(image[0, 0, 1]) + 256 * int(image[0, 0, 2]))
        return [FACE] if image[0, 0, 0] > 100 else []


def render(
    total: int, faceless: frozenset[int] = frozenset(), *, landmarks: bool = False
) -> Iterator[Frame]:
    for number in range(total):
        yield Frame(
            index=number,
            time=number / 25,
            image=picture(number, face=number not in faceless),
            landmarks=POINTS if landmarks else None,
        )


def rendered(total: int, faceless: Iterable[int] = (), **options: bool) -> Clip:
    media = functools.partial(render, total, frozenset(faceless), **options)
    return Clip(video="clip", media=media, dataset="set", label=0)


def one_by_one(total: int, faceless: set[int], wanted: int, order: str) -> list[int]:
    """The definition: one frame after the other until there are enough faces."""
    looked: list[int] = []
    faces = 0
    for number in frame_order(total, order, count=wanted).tolist():  # type: ignore[arg-type]
        if faces == wanted:
            break
        looked.append(number)
        faces += number not in faceless
    return looked


# Examining one clip


@pytest.mark.parametrize("order", ["spread", "uniform", "stride", "random"])
@pytest.mark.parametrize("total", [1, 5, 32, 33, 64, 65, 200])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 1.0])
def test_rounds_look_at_the_same_frames_as_one_after_the_other(
    order: str, total: int, share: float
) -> None:
    rng = np.random.default_rng(total)
    faceless = set(np.flatnonzero(rng.random(total) < share).tolist())
    finder = Finder()
    examined = examine(rendered(total, faceless), extractor=finder, order=order)  # type: ignore[arg-type]
    looked = one_by_one(total, faceless, 32, order)
    assert [crop.frame for crop in examined.crops] == sorted(looked)
    assert [crop.frame for crop in examined.faces] == sorted(set(looked) - faceless)
    assert examined.frames_total == total
    assert examined.frames_looked_at == len(looked)
    assert examined.problem == ""
    assert len(finder.seen) == len(set(finder.seen))


def test_in_the_first_rounds_no_frame_is_looked_at_in_vain() -> None:
    finder = Finder()
    faceless = set(range(0, 100, 3))
    examined = examine(rendered(100, faceless), extractor=finder)
    assert len(finder.seen) == examined.frames_looked_at


def test_a_long_stretch_without_a_face_is_searched_in_few_passes() -> None:
    total, passes = 1500, []

    def media() -> Iterator[Frame]:
        passes.append(1)
        return render(total, frozenset(range(1400)))

    clip = Clip(video="long", media=media, dataset="set", label=0)
    examined = examine(clip, extractor=Finder())
    assert len(examined.faces) == 32
    looked = one_by_one(total, set(range(1400)), 32, "spread")
    assert [crop.frame for crop in examined.crops] == sorted(looked)
    expected = [align_face(picture(crop.frame), POINTS) for crop in examined.faces]
    assert all(
        np.array_equal(crop.image, image)
        for crop, image in zip(examined.faces, expected, strict=True)
    )
    assert len(passes) < 12


def test_no_more_than_64_frames_are_held_at_a_time() -> None:
    alive, most = 0, 0

    class Counted(np.ndarray):
        def __del__(self) -> None:
            nonlocal alive
            alive -= self.base is not None and bool(getattr(self, "counts", False))

    def media() -> Iterator[Frame]:
        nonlocal alive, most
        for frame in render(900, frozenset(range(0, 900, 2))):
            image = frame.image.view(Counted)
            image.counts = True  # type: ignore[attr-defined]
            alive += 1
            most = max(most, alive)
            yield Frame(index=frame.index, time=frame.time, image=image)
            del image

    clip = Clip(video="clip", media=media, dataset="set", label=0)
    assert len(examine(clip, extractor=Finder()).faces) == 32
    assert 32 < most <= HELD + 2  # and the one in the generator's and in the visitor's hands


def test_a_crop_is_the_aligned_largest_face_with_its_facts() -> None:
    class Two(Finder):
        def __call__(self, image: np.ndarray, /) -> list[Face]:
            small = Face(box=(0, 0, 5, 5), landmarks=POINTS / 4, confidence=0.99)
            return [small, FACE]

    [crop] = examine(rendered(1), extractor=Two(), scale=1.5, size=40).crops
    assert crop.image is not None
    assert np.array_equal(crop.image, align_face(picture(0), POINTS, scale=1.5, size=40))
    assert crop.box == FACE.box
    assert crop.landmarks is not None
    assert np.array_equal(np.float32(crop.landmarks), POINTS)
    assert (crop.confidence, crop.reason, crop.time) == (0.75, "", 0.0)


def test_a_frame_without_a_face_is_kept_with_the_reason() -> None:
    crops = examine(rendered(3, {1}), extractor=Finder()).crops
    assert [crop.reason for crop in crops] == ["", NO_FACE, ""]
    assert crops[1] == Crop(frame=1, time=1 / 25, reason=NO_FACE)


def test_known_landmarks_need_no_detector() -> None:
    finder = Finder()
    examined = examine(rendered(3, {0, 1, 2}, landmarks=True), extractor=finder)
    assert finder.seen == []
    assert len(examined.faces) == 3
    crop = examined.crops[0]
    assert crop.confidence is None
    assert crop.box == pytest.approx((12.8, 15.2, 19.2, 22.4))


def test_a_frame_on_which_the_extractor_fails_does_not_stop_the_others() -> None:
    class Failing(Finder):
        def __call__(self, image: np.ndarray, /) -> list[Face]:
            if image[0, 0, 1] == 1:
                raise RuntimeError("out of luck\nTraceback")
            return [FACE]

    crops = examine(rendered(3), extractor=Failing()).crops
    assert [c.reason for c in crops] == ["", "the face extractor failed: out of luck", ""]


def test_an_extractor_without_its_weights_stops_at_once() -> None:
    class Lacking(Finder):
        def __call__(self, image: np.ndarray, /) -> list[Face]:
            raise MissingAsset("run: gendkit assets fetch weights")

    with pytest.raises(MissingAsset):
        examine(rendered(3), extractor=Lacking())


class Pair(Finder):
    """Sees a small face at the upper left and a large one at the lower right."""

    small = Face(box=(0, 0, 10, 10), landmarks=POINTS / 4, confidence=0.99)
    large = Face(box=(12, 12, 32, 32), landmarks=POINTS, confidence=0.9)

    def __call__(self, image: np.ndarray, /) -> list[Face]:
        super().__call__(image)
        return [self.small, self.large] if image[0, 0, 0] > 100 else []


def masked(mask: np.ndarray | None, **options: object) -> Clip:
    frame = Frame(index=0, image=picture(0, **options), mask=mask)  # type: ignore[arg-type]
    return Clip(video="masked", media=lambda: [frame], dataset="set", label=1)


def region(top: int, bottom: int, left: int, right: int) -> np.ndarray:
    mask = np.zeros((32, 32), dtype=bool)
    mask[top:bottom, left:right] = True
    return mask


@pytest.mark.parametrize(
    ("mask", "box"),
    [
        (None, Pair.large.box),
        (region(2, 8, 2, 8), Pair.small.box),
        (region(5, 20, 5, 20), Pair.large.box),  # 25 px of the small face, 64 of the large one
        (region(0, 32, 0, 32), Pair.large.box),
    ],
)
def test_the_face_that_overlaps_the_mask_most_is_cropped(
    mask: np.ndarray | None, box: tuple[float, ...]
) -> None:
    [crop] = examine(masked(mask), extractor=Pair()).crops
    assert crop.image is not None
    assert (crop.box, crop.reason) == (box, "")


def test_a_frame_whose_mask_is_empty_is_left_out_without_looking() -> None:
    finder = Pair()
    [crop] = examine(masked(region(0, 0, 0, 0)), extractor=finder).crops
    assert crop == Crop(frame=0, time=None, reason=EMPTY_MASK)
    assert finder.seen == []


def test_a_frame_whose_mask_no_face_overlaps_is_left_out() -> None:
    off = region(0, 8, 20, 30)
    [crop] = examine(masked(off), extractor=Pair()).crops
    assert crop == Crop(frame=0, time=None, reason=OFF_MASK)
    [crop] = examine(masked(off, face=False), extractor=Pair()).crops
    assert crop.reason == NO_FACE


def test_with_known_landmarks_only_an_empty_mask_leaves_a_frame_out() -> None:
    def media() -> Iterator[Frame]:
        for index, mask in enumerate((region(0, 2, 0, 2), region(0, 0, 0, 0))):
            yield Frame(index=index, image=picture(index), landmarks=POINTS, mask=mask)

    clip = Clip(video="masked", media=media, dataset="set", label=1)
    assert [c.reason for c in examine(clip, extractor=Pair()).crops] == ["", EMPTY_MASK]


def test_a_mask_of_another_size_is_a_reason() -> None:
    [crop] = examine(masked(np.ones((8, 9), dtype=bool)), extractor=Pair()).crops
    assert crop.reason == (
        "the manipulation mask has the shape (8, 9), expected that of the image, (32, 32)"
    )


def test_impossible_landmarks_are_a_reason() -> None:
    class Degenerate(Finder):
        def __call__(self, image: np.ndarray, /) -> list[Face]:
            return [Face(box=(1, 1, 9, 9), landmarks=np.zeros((5, 2), np.float32), confidence=1.0)]

    [crop] = examine(rendered(1), extractor=Degenerate()).crops
    assert crop.image is None
    assert crop.reason.startswith("two landmarks coincide")
    assert crop.box == (1, 1, 9, 9)


def test_rendered_frames_may_have_gaps_but_not_go_back() -> None:
    def sparse() -> list[Frame]:
        return [Frame(index=i, image=picture(i)) for i in (3, 7, 20)]

    clip = Clip(video="sparse", media=sparse, dataset="set", label=0)
    assert [c.frame for c in examine(clip, extractor=Finder()).crops] == [3, 7, 20]
    back = Clip(video="back", media=lambda: sparse()[::-1], dataset="set", label=0)
    with pytest.raises(UnreadableMedia, match="in order of display"):
        examine(back, extractor=Finder())
    empty = Clip(video="empty", media=list, dataset="set", label=0)
    with pytest.raises(UnreadableMedia, match="renders no frame"):
        examine(empty, extractor=Finder())


# Files


def write_video(path: Path, total: int = 30) -> Path:
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        for number in range(total):
            noise = np.random.default_rng(number).integers(0, 256, (64, 64, 3), dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(noise, format="rgb24")))
        container.mux(stream.encode(None))
    return path


class Always:
    threshold = 0.5

    def __call__(self, image: np.ndarray, /) -> list[Face]:
        return [FACE]


def test_a_video_that_is_cut_off_is_examined_as_far_as_it_goes(tmp_path: Path) -> None:
    whole = write_video(tmp_path / "whole.mp4")
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 6 // 10])
    assert examine(whole, extractor=Always()).problem == ""
    examined = examine(cut, extractor=Always())
    assert 5 < examined.frames_total < 25
    assert len(examined.faces) == examined.frames_total
    assert [crop.frame for crop in examined.crops] == list(range(examined.frames_total))
    assert examined.problem.startswith("cut off: ")


def test_the_order_is_that_of_the_frames_that_decode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file whose packets promise more frames than decode is examined as one that is shorter."""
    path = write_video(tmp_path / "a.mp4")
    expected = examine(path, extractor=Always(), frames=8)
    count = sources_module.inspect
    monkeypatch.setattr(
        sources_module, "inspect", lambda p: type(count(p))(frames=(count(p).frames or 0) + 7)
    )
    found = examine(path, extractor=Always(), frames=8)
    assert [crop.frame for crop in found.crops] == [crop.frame for crop in expected.crops]
    assert found.frames_total == expected.frames_total == 30


def test_a_frame_that_does_not_decode_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    walk = sources_module.walk_frames
    monkeypatch.setattr(
        sources_module,
        "walk_frames",
        lambda p, wanted, visit: walk(p, wanted, lambda f: f.index == 4 or visit(f)),
    )
    crops = examine(write_video(tmp_path / "a.mp4", 9), extractor=Always()).crops
    assert [crop.reason for crop in crops] == [DAMAGED if i == 4 else "" for i in range(9)]


def test_a_picture_of_one_pixel_is_examined(tmp_path: Path, asset: Callable[[str], Path]) -> None:
    from gendkit.builtin.centerface import CenterFace

    Image.new("RGB", (1, 1)).save(tmp_path / "a.png")
    examined = examine(tmp_path / "a.png", extractor=CenterFace(asset("centerface")))
    assert [crop.reason for crop in examined.crops] == [NO_FACE]


def test_the_clip_of_a_man_in_a_car_gives_32_faces(asset: Callable[[str], Path]) -> None:
    from gendkit.builtin.centerface import CenterFace

    examined = examine(asset("carphone"), extractor=CenterFace(asset("centerface")))
    assert len(examined.faces) == examined.frames_looked_at == 32
    assert examined.frames_total == 120
    assert all(60 < crop.image.shape[0] < 130 for crop in examined.faces if crop.image is not None)


@pytest.mark.slow
def test_a_film_without_people_has_no_crop(shared: Path, asset: Callable[[str], Path]) -> None:
    from gendkit.builtin.centerface import CenterFace

    examined = examine(shared / "media" / "no_face.mp4", extractor=CenterFace(asset("centerface")))
    assert examined.faces == ()
    assert {crop.reason for crop in examined.crops} == {NO_FACE}
    assert examined.frames_looked_at == examined.frames_total == 95


# A folder of crops


class Clips:
    """A data set of a real clip, its fake, and a fake that was compressed."""

    def clips(self) -> list[Clip]:
        real = Clip(
            video="a", media=functools.partial(render, 3), dataset="set", label=0, pair="a",
            target_identity="ann", split="train", year=2024, licence="CC0-1.0",
        )  # fmt: skip
        fake = Clip(
            video="a-swap", media=functools.partial(render, 3, frozenset({1})), dataset="set",
            label=1, method="swap", family="landmark-swap", pair="a", target_identity="ann",
            donor_identity="bob", split="train", generator_year=2019,
        )  # fmt: skip
        control = Clip(
            video="a-swap-jpeg", media=functools.partial(render, 3, landmarks=True),
            dataset="set", label=1, method="swap", degradation="jpeg", split="train",
        )  # fmt: skip
        return [real, fake, control]


def _tree(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def test_a_dataset_becomes_a_tree_of_crops_and_a_manifest(tmp_path: Path) -> None:
    manifest = extract(Clips(), tmp_path / "out", extractor=Finder(), frames=8)
    assert _tree(tmp_path / "out") == [
        "manifest.parquet",
        *(f"set/real/a/{i:06d}.png" for i in range(3)),
        *(f"set/swap/a-swap-jpeg/{i:06d}.png" for i in range(3)),
        *(f"set/swap/a-swap/{i:06d}.png" for i in (0, 2)),
    ]
    table = manifest.table
    videos = [v for v in ("a", "a-swap", "a-swap-jpeg") for _ in range(3)]
    assert table["sample"].tolist() == [f"set/{video}/{i % 3}/0" for i, video in enumerate(videos)]
    assert table["label"].tolist() == [0] * 3 + [1] * 6
    assert table["method"].tolist() == [""] * 3 + ["swap"] * 6
    assert table["family"].tolist() == [""] * 3 + ["landmark-swap"] * 3 + [""] * 3
    assert table["degradation"].tolist() == [""] * 6 + ["jpeg"] * 3
    assert table["donor_identity"].tolist() == [""] * 3 + ["bob"] * 3 + [""] * 3
    assert table["year"].tolist() == [2024] * 3 + [-1] * 6
    assert table["generator_year"].tolist() == [-1] * 3 + [2019] * 3 + [-1] * 3
    assert table["licence"].tolist() == ["CC0-1.0"] * 3 + [""] * 6
    assert table["time"].tolist() == pytest.approx([0, 0.04, 0.08] * 3)
    assert table["reason"].tolist() == [""] * 4 + [NO_FACE] + [""] * 4
    assert table["path"][4] == ""
    assert table["confidence"].isna().tolist() == [False] * 4 + [True, False] + [True] * 3
    assert table["box"][0] == pytest.approx([6, 6, 26, 26])
    assert np.allclose(np.reshape(table["landmarks"][0], (5, 2)), POINTS)


def test_crops_are_kept_losslessly(tmp_path: Path) -> None:
    manifest = extract(Clips(), tmp_path / "out", extractor=Finder())
    assert np.array_equal(manifest.crop(0), align_face(picture(0), POINTS))
    assert np.array_equal(manifest.crop(2), align_face(picture(2), POINTS))


def test_the_written_manifest_is_the_returned_one(tmp_path: Path) -> None:
    options = {"frames": 2, "order": "random", "seed": 3, "scale": 1.4, "size": 48}
    manifest = extract(Clips(), tmp_path / "out", extractor=Finder(), **options)  # type: ignore[arg-type]
    read = Manifest.read(tmp_path / "out")
    assert read.table.drop(columns=["box", "landmarks"]).equals(
        manifest.table.drop(columns=["box", "landmarks"])
    )
    assert read.root == manifest.root == tmp_path / "out"
    assert read.meta == manifest.meta
    for name, value in {**options, "extractor": "", "threshold": 0.5}.items():
        assert read.meta[name] == value
    assert read.meta["gendkit"]


def test_threads_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extract_module, "cores", lambda: 4)
    clips = [
        Clip(video=f"v{i}", media=functools.partial(render, 5), dataset="set", label=0)
        for i in range(9)
    ]
    many = extract(clips, tmp_path / "many", extractor=Finder())
    monkeypatch.setattr(extract_module, "cores", lambda: 1)
    one = extract(clips, tmp_path / "one", extractor=Finder())
    assert one.table["sample"].tolist() == many.table["sample"].tolist()
    for name in _tree(tmp_path / "one"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "many" / name).read_bytes()


def test_a_folder_of_files_is_an_unlabelled_dataset(tmp_path: Path) -> None:
    root = tmp_path / "my photos"
    (root / "b").mkdir(parents=True)
    for name in ("b/x y.png", "b/x:y.png", "a.png"):
        Image.fromarray(picture(1)).save(root / name)
    clips = clips_of(root)
    assert [clip.video for clip in clips] == ["a.png", "b/x_y.png", "b/x_y.png-2"]
    assert {(clip.dataset, clip.label, clip.method) for clip in clips} == {("my_photos", -1, "")}
    manifest = extract(root, tmp_path / "out", extractor=Finder())
    assert manifest.table["path"][0] == "my_photos/unlabelled/a.png/000000.png"
    assert np.isnan(manifest.table["time"][0])
    assert clips_of(root / "a.png") == [clips[0]]


def test_media_that_cannot_be_read_keep_a_row_with_the_reason(tmp_path: Path) -> None:
    root = tmp_path / "in"
    root.mkdir()
    (root / "bad.mp4").write_text("text " * 99)
    (root / "bad.jpg").write_text("text " * 99)
    Image.fromarray(picture(1)).save(root / "good.png")
    manifest = extract(root, tmp_path / "out", extractor=Finder())
    assert manifest.table["video"].tolist() == ["bad.jpg", "bad.mp4", "good.png"]
    assert manifest.table["frame"].tolist() == [-1, -1, 0]
    assert [bool(reason) for reason in manifest.table["reason"]] == [True, True, False]
    for reason in manifest.table["reason"][:2]:
        assert "cannot be read" in reason
        assert str(tmp_path) not in reason
    assert len(manifest.faces()) == 1


def test_each_clip_that_failed_is_told_once_and_stands_in_the_meta(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = write_video(tmp_path / "whole.mp4")
    root = tmp_path / "in"
    root.mkdir()
    (root / "bad.mp4").write_text("text " * 99)
    (root / "cut.mp4").write_bytes(whole.read_bytes()[: whole.stat().st_size * 6 // 10])
    Image.fromarray(picture(1)).save(root / "good.png")
    Image.fromarray(picture(1, face=False)).save(root / "dark.png")

    class Seeing(Finder):
        def __call__(self, image: np.ndarray, /) -> list[Face]:
            return [FACE] if image.std() > 50 else []  # noise, or red

    with caplog.at_level(logging.INFO):
        manifest = extract(root, tmp_path / "out", extractor=Seeing(), frames=4)
    problems = manifest.meta["problems"]
    assert list(problems) == ["in/bad.mp4", "in/cut.mp4", "in/dark.png"]
    assert problems["in/bad.mp4"].startswith("the file cannot be read as a video")
    assert problems["in/cut.mp4"].startswith("cut off: ")
    assert "usable face" not in problems["in/cut.mp4"]
    assert problems["in/dark.png"] == "none of the 1 frames that were looked at has a usable face"
    assert [r.levelname for r in caplog.records] == ["ERROR"] * 3
    assert [r.message for r in caplog.records] == [f"{k}: {v}" for k, v in problems.items()]


@pytest.mark.parametrize("more", [0, 2])
def test_without_any_crop_there_is_an_error_with_the_first_reason_and_no_output(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, more: int
) -> None:
    root = tmp_path / "in"
    root.mkdir()
    for i in range(1 + more):
        Image.fromarray(picture(i, face=False)).save(root / f"{i}.png")
    with pytest.raises(NotExamined, match=r"in/0.png shows no usable face: 1 x no face found; give"
    ) as raised:  # fmt: skip
        extract(root, tmp_path / "out", extractor=Finder())
    assert ("none of 3 clips gives a face crop; the first: " in str(raised.value)) == bool(more)
    assert "\n" not in str(raised.value)
    assert [p.name for p in tmp_path.iterdir()] == ["in"]
    assert caplog.records == [], "the error tells it already"


@pytest.mark.parametrize("more", [0, 2])
def test_media_of_which_none_can_be_read_are_that_error(tmp_path: Path, more: int) -> None:
    root = tmp_path / "in"
    root.mkdir()
    for i in range(1 + more):
        (root / f"{i}.mp4").write_text("text " * 99)
    with pytest.raises(UnreadableMedia, match=r"0.mp4 cannot be read as a video") as raised:
        extract(root, tmp_path / "out", extractor=Finder())
    assert ("none of 3 clips gives a face crop; the first: " in str(raised.value)) == bool(more)
    assert [p.name for p in tmp_path.iterdir()] == ["in"]


def test_without_any_crop_the_earlier_output_stays(tmp_path: Path) -> None:
    out = tmp_path / "out"
    extract(Clips(), out, extractor=Finder())
    before = _tree(out)
    with pytest.raises(NotExamined):
        extract([rendered(3, {0, 1, 2})], out, extractor=Finder(), overwrite=True)
    assert _tree(out) == before


def test_what_is_wrong_with_a_file_stands_in_the_meta(tmp_path: Path) -> None:
    whole = write_video(tmp_path / "whole.mp4")
    root = tmp_path / "in"
    root.mkdir()
    (root / "cut.mp4").write_bytes(whole.read_bytes()[: whole.stat().st_size * 6 // 10])
    manifest = extract(root, tmp_path / "out", extractor=Always(), frames=4)
    assert list(manifest.meta["problems"]) == ["in/cut.mp4"]
    assert manifest.meta["problems"]["in/cut.mp4"].startswith("cut off")
    assert len(manifest.faces()) == 4


def test_an_output_that_holds_something_is_not_touched(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.tex").write_text("three years")
    for overwrite in (False, True):
        with pytest.raises(OutputExists):
            extract(Clips(), out, extractor=Finder(), overwrite=overwrite)
    assert _tree(tmp_path) == ["out/thesis.tex"]
    file = out / "thesis.tex"
    with pytest.raises(OutputExists, match="is a file"):
        extract(Clips(), file, extractor=Finder(), overwrite=True)


def test_a_manifest_that_something_else_made_is_not_replaced(tmp_path: Path) -> None:
    Manifest.from_rows([{"sample": "a/b/0/0"}], tmp_path).write()
    with pytest.raises(OutputExists, match="was not made by"):
        extract(Clips(), tmp_path, extractor=Finder(), overwrite=True)


def test_an_earlier_output_is_replaced_on_request_only(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()  # an empty folder is none
    extract(Clips(), out, extractor=Finder())
    with pytest.raises(OutputExists, match="--overwrite"):
        extract(Clips(), out, extractor=Finder(), frames=3)
    extract(Clips().clips()[:1], out, extractor=Finder(), overwrite=True)
    assert len(_tree(out)) == 4
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_an_output_that_holds_the_source_is_not_replaced(tmp_path: Path) -> None:
    out = tmp_path / "out"
    extract(Clips(), out, extractor=Finder())
    with pytest.raises(OutputExists, match="lies in the output"):
        extract(out / "set", out, extractor=Finder(), overwrite=True)
    assert (out / "set").is_dir()


def test_a_run_that_fails_at_its_first_clip_leaves_nothing_and_keeps_the_old_output(
    tmp_path: Path,
) -> None:
    out = tmp_path / "out"
    extract(Clips(), out, extractor=Finder())
    before = _tree(out)

    class Interrupting(Finder):
        def __call__(self, image: np.ndarray, /) -> list[Face]:
            raise KeyboardInterrupt

    for place in (out, tmp_path / "new"):
        with pytest.raises(KeyboardInterrupt):
            extract(Clips().clips()[:1], place, extractor=Interrupting(), overwrite=True)
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    assert _tree(out) == before


def test_progress_is_told_after_each_clip(tmp_path: Path) -> None:
    told: list[tuple[int, int, str]] = []
    here = threading.get_ident()

    def progress(done: int, total: int, text: str) -> None:
        assert threading.get_ident() == here
        told.append((done, total, text))

    extract(Clips(), tmp_path / "out", extractor=Finder(), progress=progress)
    assert told == [(done, 3, "face crops") for done in (1, 2, 3)]


@pytest.mark.parametrize("wrong", ["../a", "/a", "a//b", "a b", "", "a/./b", "a\\b", "a\n"])
def test_ids_that_cannot_name_a_file_are_refused(tmp_path: Path, wrong: str) -> None:
    clip = Clip(video=wrong, media=functools.partial(render, 1), dataset="set", label=0)
    with pytest.raises(InvalidManifest, match="cannot name a file"):
        extract([clip], tmp_path / "out", extractor=Finder())
    assert _tree(tmp_path) == []


def test_ids_whose_crops_would_meet_are_refused(tmp_path: Path) -> None:
    media = functools.partial(render, 1)
    clips = [
        Clip(video=video, media=media, dataset="set", label=0) for video in ("a", "a/000000.png")
    ]
    with pytest.raises(InvalidManifest, match="may be a crop of another clip"):
        extract(clips, tmp_path / "out", extractor=Finder())
    with pytest.raises(InvalidManifest, match="200 or less"):
        extract([replace(clips[0], video="a" * 201)], tmp_path / "out", extractor=Finder())
    assert _tree(tmp_path) == []


def test_two_clips_of_one_id_are_refused_before_any_work(tmp_path: Path) -> None:
    finder = Finder()
    with pytest.raises(InvalidManifest, match="have the id 'a'"):
        extract(Clips().clips()[:1] * 2, tmp_path / "out", extractor=finder)
    assert finder.seen == []


def test_nothing_to_extract_is_missing_media(tmp_path: Path) -> None:
    for source in (tmp_path, tmp_path / "absent", []):
        with pytest.raises(MissingMedia):
            extract(source, tmp_path / "out", extractor=Finder())


def test_a_source_without_clips_is_named(tmp_path: Path) -> None:
    class Nothing:
        name = "nothing"

        def clips(self) -> list[Clip]:
            return []

    with pytest.raises(MissingMedia, match="the dataset nothing gives no clip, expected at least"):
        clips_of(Nothing())
    with pytest.raises(MissingMedia, match="no clip was given; give at least one"):
        clips_of([])


def failing(build: Callable[..., object]) -> FaceExtractorSpec:
    return FaceExtractorSpec(
        name="failing", summary="for tests", licence="none", threshold=0.5,
        build=build,  # type: ignore[arg-type]
    )  # fmt: skip


@pytest.mark.parametrize("error", [RuntimeError("no\nluck"), UnreadableMedia("no luck")])
def test_an_extractor_that_cannot_be_built_stops_with_its_plugin_and_name(
    tmp_path: Path, error: Exception
) -> None:
    def build(**options: object) -> object:
        raise error

    words = "'failing' of plugin 'gendkit.testing' .* cannot be built: .*: no luck; mend"
    with registered(failing(build)):
        with pytest.raises(PluginError, match=words) as raised:
            extract(Clips().clips()[:2], tmp_path / "out", extractor="failing")
        assert "\n" not in str(raised.value)
        assert list(tmp_path.iterdir()) == []
        # Frames that bring landmarks ask nobody.
        manifest = extract(Clips().clips()[2:], tmp_path / "out", extractor="failing")
    assert len(manifest.faces()) == 3


@pytest.mark.parametrize("safe", [True, False])
def test_one_that_is_thread_safe_is_built_once_and_another_once_a_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, safe: bool
) -> None:
    built: list[int] = []
    together = threading.Barrier(2, timeout=60)

    class Meets(Finder):
        def __call__(self, image: np.ndarray, /) -> list[Face]:
            together.wait()  # so that both workers are asked for a face
            return super().__call__(image)

    def build(**options: object) -> Meets:
        built.append(threading.get_ident())
        return Meets()

    clips = [replace(rendered(1), video=name) for name in ("a", "b")]
    monkeypatch.setattr(extract_module, "cores", lambda: 2)
    with registered(replace(failing(build), thread_safe=safe)):
        extract(clips, tmp_path / "out", extractor="failing")
    assert len(built) == (1 if safe else 2)
    assert len(set(built)) == len(built)


def test_what_is_built_must_be_a_function(tmp_path: Path) -> None:
    with (
        registered(failing(lambda **options: None)),
        pytest.raises(PluginError, match="built as NoneType; expected a function"),
    ):
        extract(Clips(), tmp_path / "out", extractor="failing")


@pytest.mark.parametrize("error", [MissingAsset("fetch it"), MissingDependency("install it")])
def test_what_an_extractor_lacks_is_told_as_it_is(tmp_path: Path, error: Exception) -> None:
    def build(**options: object) -> object:
        raise error

    with registered(failing(build)), pytest.raises(type(error), match=r"it$"):
        extract(Clips(), tmp_path / "out", extractor="failing")


def test_a_built_extractor_is_recorded_by_the_name_of_its_part(tmp_path: Path) -> None:
    class Named(Finder):
        name = "failing"

    with registered(failing(Named)):
        meta = extract(Clips(), tmp_path / "known", extractor=Named()).meta
    assert meta["extractor"] == "failing"
    assert meta["extractor_source"].startswith("built by the caller: ")
    assert meta["extractor_source"].endswith("Named")
    meta = extract(Clips(), tmp_path / "unknown", extractor=Named()).meta
    assert meta["extractor"] == "", "no installed part has that name"


def test_the_built_in_extractor_carries_its_name() -> None:
    from gendkit.builtin.centerface import CenterFace
    from gendkit.plugin import plugins

    assert plugins().spec("face-extractor", CenterFace.name).name == "centerface"


def test_an_unknown_extractor_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownPart, match="no face-extractor is named 'retinaface'"):
        extract(Clips(), tmp_path / "out", extractor="retinaface")


def test_known_landmarks_open_no_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENDKIT_CACHE", str(tmp_path / "empty"))
    manifest = extract(Clips().clips()[2:], tmp_path / "out")
    assert len(manifest.faces()) == 3
    assert manifest.meta["extractor"] == "centerface"
    assert manifest.meta["extractor_source"].startswith("gendkit ")
    assert not (tmp_path / "empty").exists()


def test_a_portrait_is_cropped_with_the_eyes_where_the_template_has_them(
    tmp_path: Path, shared: Path, asset: Callable[[str], Path]
) -> None:
    from gendkit.builtin.centerface import CenterFace

    asset("centerface")
    portrait = sorted((shared / "portraits").glob("*.jpg"))[0]
    manifest = extract(portrait, tmp_path / "out", size=224)
    [face] = CenterFace(asset("centerface"))(read_image(portrait))
    recorded = np.asarray(manifest.table["landmarks"][0])
    assert np.abs(recorded - face.landmarks.ravel()).max() <= 0.005 + 1e-5
    assert (recorded == recorded.round(2)).all()
    [again] = CenterFace(asset("centerface"))(manifest.crop(0))
    expected = ((np.asarray(TEMPLATE) - 0.5) / 1.3 + 0.5) * 224
    assert np.abs(again.landmarks - expected).max() < 15


def test_frames_that_are_asked_for_are_all_looked_at_and_no_other() -> None:
    clip = rendered(10, {3})
    finder = Finder()
    found = examine(clip, extractor=finder, order=[7, 3, 12, 0], frames=1)
    assert sorted(finder.seen) == [0, 3, 7]
    assert [crop.frame for crop in found.crops] == [0, 3, 7, 12]
    assert [crop.reason for crop in found.crops] == ["", NO_FACE, "", NO_FRAME]
    assert found.frames_looked_at == 3
    assert found.frames_total == 10


@pytest.mark.parametrize("order", [[], [-1], [2, 2]])
def test_numbers_of_frames_that_cannot_be_are_refused(order: list[int]) -> None:
    clip = rendered(3)
    with pytest.raises(InvalidArgument, match="give numbers from 0, each once"):
        examine(clip, extractor=Finder(), order=order)


def test_a_frame_that_is_asked_for_and_not_there_keeps_its_row(tmp_path: Path) -> None:
    made = extract([rendered(4)], tmp_path / "out", extractor=Finder(), order=[1, 9])
    assert list(made.table["reason"]) == ["", NO_FRAME]
    assert made.meta["order"] == [1, 9]


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"order": "backwards"}, "backwards"),
        ({"order": [0.5]}, "cannot be looked at"),
        ({"frames": 0}, "frames is 0"),
        ({"frames": 2.5}, "frames is 2.5"),
        ({"size": -3}, "size is -3"),
        ({"scale": float("nan")}, "scale is nan"),
    ],
)
def test_numbers_that_cannot_be_are_refused_before_any_clip(
    tmp_path: Path, settings: dict[str, object], told: str
) -> None:
    class Untouched(Finder):
        def __call__(self, image: np.ndarray, /) -> list[Face]:
            raise AssertionError

    with pytest.raises(InvalidArgument, match=told):
        extract(Clips(), tmp_path / "out", extractor=Untouched(), **settings)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("wrong", [lambda image: [], object(), 3])
def test_what_is_no_extractor_is_refused(tmp_path: Path, wrong: object) -> None:
    with pytest.raises(InvalidArgument, match="is no face extractor"):
        extract(Clips(), tmp_path / "out", extractor=wrong)  # type: ignore[arg-type]


def test_a_function_that_fails_to_render_costs_its_own_clip(tmp_path: Path) -> None:
    def fails() -> Iterator[Frame]:
        raise ValueError("no such donor")
        yield

    def nonsense() -> Iterator[int]:
        yield 3

    good = rendered(3)
    media = (fails, nonsense)
    bad = [replace(good, video=f.__name__, media=f) for f in media]  # type: ignore[arg-type]
    made = extract([*bad, good], tmp_path / "out", extractor=Finder(), frames=2)
    assert len(made.faces()) == 2
    problems = {name.rpartition("/")[2]: why for name, why in made.meta["problems"].items()}
    assert "ValueError: no such donor" in problems["fails"]
    assert "cannot be rendered" in problems["nonsense"]
