"""Augmentation: what it draws, from which ranges, and that it leaves its input alone."""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np
import pytest
from PIL import Image
from torchvision.transforms.v2 import functional as T

from gendkit.data.augment import AUGMENTATIONS, Draw, draw, gend, light, none

DRAWS = 2000


def picture(size: tuple[int, int] = (24, 20)) -> np.ndarray:
    return np.random.default_rng(5).integers(0, 256, (*size, 3), dtype=np.uint8)


def smooth(size: tuple[int, int], seed: int) -> np.ndarray:
    """A picture with large and small structure in all grey levels."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (5, 5, 3), dtype=np.uint8)
    large = cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_CUBIC)
    return np.clip(large + rng.normal(0, 8, (*size, 3)), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def drawn() -> list[Draw]:
    """What 2,000 generators draw."""
    return [draw(np.random.default_rng(i)) for i in range(DRAWS)]


def reference(image: np.ndarray, one: Draw) -> np.ndarray:
    """The same by torchvision's functions on a Pillow image, one after the other."""
    picture = Image.fromarray(image)
    if one.flip:
        picture = T.horizontal_flip(picture)
    picture = T.affine(
        picture,
        angle=one.angle,
        translate=[round(one.shift[0] * picture.width), round(one.shift[1] * picture.height)],
        scale=one.scale,
        shear=[0.0, 0.0],
        interpolation=T.InterpolationMode.NEAREST,
        fill=[0.0],
    )
    if one.sigma:
        kernel = (7, 7)
        blurred = cv2.GaussianBlur(np.asarray(picture), kernel, one.sigma, borderType=4)
        picture = Image.fromarray(blurred)
    steps = [(T.adjust_brightness, one.brightness), (T.adjust_contrast, one.contrast)]
    for adjust, factor in reversed(steps) if one.contrast_first else steps:
        picture = adjust(picture, factor)
    bgr = np.asarray(picture)[..., ::-1]
    _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, one.quality])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))[..., ::-1]


def spans(values: Iterable[float], low: float, high: float) -> bool:
    """Whether draws stay in a range and are even there."""
    quarters = np.quantile(list(values), [0, 0.25, 0.5, 0.75, 1])
    even = np.linspace(low, high, 5)
    return bool(
        low <= quarters[0] and quarters[-1] <= high
        and np.allclose(quarters, even, atol=(high - low) / 12)
    )  # fmt: skip


def test_half_the_crops_are_flipped(drawn: list[Draw]) -> None:
    assert np.mean([one.flip for one in drawn]) == pytest.approx(0.5, abs=0.05)


def test_each_crop_is_turned_moved_and_scaled_within_the_ranges(drawn: list[Draw]) -> None:
    assert spans((one.angle for one in drawn), -10, 10)
    assert spans((one.scale for one in drawn), 0.9, 1.1)
    assert spans((one.shift[0] for one in drawn), -0.1, 0.1)
    assert spans((one.shift[1] for one in drawn), -0.1, 0.1)


def test_one_crop_in_ten_is_blurred(drawn: list[Draw]) -> None:
    sigmas = [one.sigma for one in drawn if one.sigma]
    assert len(sigmas) / DRAWS == pytest.approx(0.1, abs=0.03)
    assert spans(sigmas, 0.1, 2.0)


def test_brightness_and_contrast_change_by_up_to_a_tenth_in_either_order(
    drawn: list[Draw],
) -> None:
    assert spans((one.brightness for one in drawn), 0.9, 1.1)
    assert spans((one.contrast for one in drawn), 0.9, 1.1)
    assert np.mean([one.contrast_first for one in drawn]) == pytest.approx(0.5, abs=0.05)


def test_every_crop_is_compressed_with_a_quality_of_40_to_100(drawn: list[Draw]) -> None:
    assert {one.quality for one in drawn} == set(range(40, 101))


@pytest.mark.parametrize("size", [(64, 64), (47, 61), (90, 33)])
def test_a_crop_becomes_to_the_bit_what_torchvision_makes_of_it(size: tuple[int, int]) -> None:
    blurred = 0
    for seed in range(40):
        crop = smooth(size, seed)
        one = draw(np.random.default_rng(seed))
        blurred += one.sigma > 0
        result = gend(crop, np.random.default_rng(seed))
        assert np.array_equal(result, reference(crop, one)), one
    assert blurred >= 2


def test_corners_that_are_turned_in_are_black() -> None:
    white = np.full((64, 64, 3), 255, np.uint8)
    corners = [gend(white, np.random.default_rng(i))[0, 0].max() for i in range(20)]
    assert min(corners) < 40


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_one_generator_gives_one_result(name: str) -> None:
    results = [AUGMENTATIONS[name](picture(), np.random.default_rng(3)) for _ in range(2)]
    assert np.array_equal(*results)


@pytest.mark.parametrize("name", ["gend", "light"])
def test_another_generator_gives_another_result(name: str) -> None:
    results = [AUGMENTATIONS[name](picture(), np.random.default_rng(i)) for i in (1, 2)]
    assert not np.array_equal(*results)


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_the_input_is_left_untouched_and_the_size_kept(name: str) -> None:
    crop = picture((31, 17))
    before = crop.copy()
    crop.setflags(write=False)
    for seed in range(5):
        result = AUGMENTATIONS[name](crop, np.random.default_rng(seed))
        assert result.shape == crop.shape
        assert result.dtype == np.uint8
    assert np.array_equal(crop, before)


def test_light_augmentation_moves_whole_pixels_and_keeps_differences() -> None:
    """Apart from a gain of at most a tenth, neighbouring pixels differ as before."""
    crop = np.random.default_rng(0).integers(60, 180, (50, 50, 3), dtype=np.uint8)
    for seed in range(10):
        result = light(crop, np.random.default_rng(seed))
        before, after = (np.diff(c[5:-5, 5:-5].astype(float), axis=0).std() for c in (crop, result))
        assert 0.88 < after / before < 1.12


def test_no_augmentation_is_the_crop_itself() -> None:
    crop = picture()
    assert np.array_equal(none(crop, np.random.default_rng(0)), crop)
