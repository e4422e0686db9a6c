"""Augmentation: what it draws, from which ranges, and that it leaves its input alone."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from torchvision.transforms.v2 import InterpolationMode

from gendkit.data import augment
from gendkit.data.augment import AUGMENTATIONS, gend, light, none

DRAWS = 2000


def picture(size: tuple[int, int] = (24, 20)) -> np.ndarray:
    return np.random.default_rng(5).integers(0, 256, (*size, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def drawn() -> dict[str, list[Any]]:
    """The arguments of every operation in 2,000 augmentations of a 24 x 20 crop."""
    calls: dict[str, list[Any]] = {}

    def spy(owner: Any, name: str, patch: pytest.MonkeyPatch) -> None:
        real = getattr(owner, name)

        def noted(*args: Any, **kwargs: Any) -> Any:
            calls.setdefault(name, []).append((args[1:], kwargs))
            return real(*args, **kwargs)

        patch.setattr(owner, name, noted)

    with pytest.MonkeyPatch.context() as patch:
        for name in ("horizontal_flip", "affine", "adjust_brightness", "adjust_contrast"):
            spy(augment.T, name, patch)
        spy(cv2, "GaussianBlur", patch)
        spy(cv2, "imencode", patch)
        rng = np.random.default_rng(0)
        for _ in range(DRAWS):
            gend(picture(), rng)
    return calls


def spans(values: list[float], low: float, high: float) -> bool:
    """Whether draws stay in a range and reach both of its ends."""
    margin = (high - low) / 20
    return low <= min(values) <= low + margin and high - margin <= max(values) <= high


def test_half_the_crops_are_flipped(drawn: dict[str, list[Any]]) -> None:
    assert len(drawn["horizontal_flip"]) / DRAWS == pytest.approx(0.5, abs=0.05)


def test_each_crop_is_turned_moved_and_scaled_once_within_the_ranges(
    drawn: dict[str, list[Any]],
) -> None:
    options = [kwargs for _, kwargs in drawn["affine"]]
    assert len(options) == DRAWS
    assert spans([o["angle"] for o in options], -10, 10)
    assert spans([o["scale"] for o in options], 0.9, 1.1)
    assert {o["translate"][0] for o in options} == set(range(-2, 3))  # 10 % of 20 px
    assert {o["translate"][1] for o in options} == set(range(-2, 3))  # 10 % of 24 px
    assert all(o["interpolation"] is InterpolationMode.NEAREST for o in options)
    assert all(o["fill"] == [0.0] and o["shear"] == [0.0, 0.0] for o in options)


def test_one_crop_in_ten_is_blurred(drawn: dict[str, list[Any]]) -> None:
    blurs = [args for args, _ in drawn["GaussianBlur"]]
    assert len(blurs) / DRAWS == pytest.approx(0.1, abs=0.03)
    assert {size for size, _ in blurs} == {(7, 7)}
    assert spans([sigma for _, sigma in blurs], 0.1, 2.0)


def test_brightness_and_contrast_change_by_up_to_a_tenth(drawn: dict[str, list[Any]]) -> None:
    for name in ("adjust_brightness", "adjust_contrast"):
        factors = [args[0] for args, _ in drawn[name]]
        assert len(factors) == DRAWS
        assert spans(factors, 0.9, 1.1)


def test_every_crop_is_compressed_with_a_quality_of_40_to_100(
    drawn: dict[str, list[Any]],
) -> None:
    qualities = [args[1][1] for args, _ in drawn["imencode"]]
    assert len(qualities) == DRAWS
    assert set(qualities) == set(range(40, 101))


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
