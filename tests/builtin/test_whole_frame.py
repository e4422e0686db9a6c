"""`whole-frame`: the picture is the face, to the pixel, and nobody pretends to have found it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gendkit.builtin.whole_frame import WholeFrame
from gendkit.data.examine import examine
from gendkit.data.extract import extract
from gendkit.data.extractors import build_extractor
from gendkit.data.faces import whole_picture
from gendkit.data.media import read_image
from gendkit.data.which import EMPTY_MASK
from gendkit.errors import InvalidArgument, InvalidImage, PluginError
from gendkit.plugin import Clip, FaceExtractorSpec, Frame
from gendkit.testing.small import registered

NOISE = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)


def stored(folder: Path, *, height: int = 256, width: int = 256) -> Path:
    path = folder / f"{width}x{height}.png"
    Image.fromarray(NOISE[:height, :width]).save(path)
    return path


@pytest.mark.parametrize(("height", "width"), [(256, 256), (255, 101), (1, 1), (300, 400)])
@pytest.mark.parametrize("pack", [False, True])
def test_a_crop_is_the_picture_to_the_pixel_of_whatever_shape(
    tmp_path: Path, height: int, width: int, pack: bool
) -> None:
    path = stored(tmp_path, height=height, width=width)
    made = extract(path, tmp_path / "out", extractor="whole-frame", pack=pack)
    np.testing.assert_array_equal(made.crop(0), read_image(path))
    assert list(made.table["box"][0]) == [0, 0, width - 1, height - 1]
    assert made.table["landmarks"][0] is None
    assert np.isnan(made.table["confidence"][0])


def test_the_manifest_says_that_nothing_was_scaled(tmp_path: Path) -> None:
    path = stored(tmp_path)
    meta = extract(path, tmp_path / "out", extractor="whole-frame").meta
    assert (meta["extractor"], meta["scale"], meta["threshold"]) == ("whole-frame", None, 0.0)
    built = extract(path, tmp_path / "built", extractor=WholeFrame()).meta
    assert (built["extractor"], built["scale"]) == ("whole-frame", None)


def test_a_scale_that_would_do_nothing_is_refused(tmp_path: Path) -> None:
    path = stored(tmp_path)
    with pytest.raises(InvalidArgument, match=r"scale is 1\.5, and whole-frame keeps whole pict"):
        extract(path, tmp_path / "out", extractor="whole-frame", scale=1.5)
    assert not (tmp_path / "out").exists()


def test_a_picture_is_whole_whatever_landmarks_and_mask_it_brings() -> None:
    points = np.array([[9, 9], [20, 9], [14, 15], [10, 20], [19, 20]], np.float32)
    mask = np.zeros((30, 40), bool)
    mask[2, 3] = True
    image = NOISE[:30, :40]
    frames = [
        Frame(index=0, image=image, landmarks=points, mask=mask),
        Frame(index=1, image=image, mask=np.zeros_like(mask)),
    ]
    clip = Clip(video="v", media=lambda: frames, dataset="d", label=1)
    whole, empty = examine(clip, extractor=WholeFrame()).crops
    np.testing.assert_array_equal(whole.image, image)
    assert whole.image is not image
    assert (whole.landmarks, whole.confidence) == (None, None)
    assert empty.reason == EMPTY_MASK


def test_with_a_size_it_is_the_middle_square_after_the_short_side_is_scaled() -> None:
    wide = np.zeros((50, 150, 3), np.uint8)
    wide[:, 50:100] = 200
    np.testing.assert_array_equal(whole_picture(wide, size=50), wide[:, 50:100])
    assert (whole_picture(wide, size=25) == 200).all()
    for height, width, size in ((50, 150, 224), (33, 34, 32), (1, 9, 5), (400, 100, 99)):
        crop = whole_picture(np.full((height, width, 3), 7, np.uint8), size=size)
        assert crop.shape == (size, size, 3)
        assert (crop == 7).all()


@pytest.mark.parametrize("size", [0, -3, 8193])
def test_a_size_that_cannot_be_is_refused(size: int) -> None:
    with pytest.raises(InvalidImage, match=f"1 to 8192 pixels a side, got {size}"):
        whole_picture(NOISE, size=size)


def test_a_picture_that_is_too_long_is_refused_or_scaled() -> None:
    long = np.zeros((2, 9000, 3), np.uint8)
    with pytest.raises(InvalidImage, match="1 to 8192 pixels a side, got 9000"):
        whole_picture(long)
    assert whole_picture(long, size=2).shape == (2, 2, 3)


def test_it_has_no_threshold_but_takes_its_own() -> None:
    assert WholeFrame(threshold=0.0).threshold == build_extractor("whole-frame").threshold == 0
    with pytest.raises(PluginError, match=r"has no threshold, got 0\.5; leave it away"):
        build_extractor("whole-frame", threshold=0.5)


def test_who_declares_that_it_looks_for_no_face_must_build_one_that_says_so_too(
    tmp_path: Path,
) -> None:
    def spec(detects: bool, build: Any) -> FaceExtractorSpec:
        return FaceExtractorSpec(
            name="says", summary="for tests", licence="none", threshold=0.0, detects=detects,
            build=build,
        )  # fmt: skip

    def silent(**options: Any) -> Any:
        return lambda image: []

    with registered(spec(False, silent)), pytest.raises(PluginError, match="detects=False, and"):
        build_extractor("says")
    with (
        registered(spec(True, lambda **options: WholeFrame())),
        pytest.raises(PluginError, match="detects=True, and its attribute `detects` says the opp"),
    ):
        build_extractor("says")
