"""Quality: size, sharpness and brightness of a face's picture."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from gendkit.data.quality import Quality, eye_distance, quality_of, typical

POINTS = [[10.0, 10], [40, 50], [25, 60], [12, 80], [38, 80]]


def _noise(side: int = 224, *, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 200, (side, side, 3), dtype=np.uint8)


def test_a_blurred_face_is_less_sharp_and_a_dark_one_less_bright() -> None:
    crop = _noise()
    plain = quality_of(crop, POINTS)
    blurred = quality_of(cv2.GaussianBlur(crop, (0, 0), 3), POINTS)
    dark = quality_of(crop // 4, POINTS)
    assert blurred.sharpness < plain.sharpness - 1
    assert dark.brightness == pytest.approx(plain.brightness / 4, abs=1)
    assert plain.brightness == pytest.approx(99.5, abs=2)


def test_a_small_face_is_less_sharp_at_the_side_that_an_encoder_sees() -> None:
    crop = _noise()
    small = cv2.resize(crop, (56, 56), interpolation=cv2.INTER_AREA)
    assert quality_of(small, None).sharpness < quality_of(crop, None).sharpness - 1


def test_the_eyes_are_the_first_two_points() -> None:
    assert eye_distance(POINTS) == 50
    assert eye_distance(np.ravel(POINTS)) == 50
    assert eye_distance(None) is None
    assert eye_distance([]) is None
    assert eye_distance(np.full(10, np.nan)) is None
    assert quality_of(_noise(8), None).eyes is None


def test_of_several_crops_the_middle_counts() -> None:
    each = [Quality(eyes=e, sharpness=s, brightness=1.0) for e, s in ((1.0, 5.0), (9.0, 7.0))]
    each.append(Quality(eyes=None, sharpness=6.5, brightness=4.0))
    assert typical(each) == Quality(eyes=5.0, sharpness=6.5, brightness=1.0)
    assert typical(each[2:]).eyes is None
