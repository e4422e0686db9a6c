from __future__ import annotations

import cv2
import numpy as np
import pytest

from gendkit.data.controls import DEGRADATIONS, degrade
from gendkit.data.drawn import draw_face
from gendkit.errors import InvalidImage, UnknownPart

NAMES = [d.name for d in DEGRADATIONS]


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    return draw_face(identity=7, clip=0, size=201).image


def mean_change(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a.astype(float) - b).mean())


def sharpness(image: np.ndarray) -> float:
    return float(cv2.Laplacian(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.CV_64F).var())


@pytest.mark.parametrize("kind", DEGRADATIONS, ids=NAMES)
def test_each_degradation_changes_the_picture_but_not_its_size(kind, image):
    weak = degrade(image, kind.name, seed=1, strength=kind.weakest)
    strong = degrade(image, kind.name, seed=1, strength=kind.strongest)
    for changed in (weak, strong):
        assert changed.shape == image.shape
        assert changed.dtype == np.uint8
        assert changed.flags.c_contiguous
    assert 0.3 < mean_change(weak, image) < mean_change(strong, image) < 40


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_gives_the_same_picture(name, image):
    np.testing.assert_array_equal(degrade(image, name, seed=4), degrade(image, name, seed=4))


@pytest.mark.parametrize("name", NAMES)
def test_a_seed_draws_a_strength(name, image):
    assert any((degrade(image, name, seed=4) != degrade(image, name, seed=s)).any() for s in (5, 6))


@pytest.mark.parametrize("name", NAMES)
def test_the_input_is_not_changed(name, image):
    before = image.copy()
    degrade(image, name, seed=0)
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize("name", ["blur", "smooth", "resize"])
def test_what_removes_detail_makes_the_picture_less_sharp(name, image):
    assert sharpness(degrade(image, name, seed=2)) < 0.95 * sharpness(image)


def test_sharpening_makes_the_picture_sharper(image):
    assert sharpness(degrade(image, "sharpen", seed=2)) > 1.2 * sharpness(image)


def test_a_smaller_crf_loses_less(image):
    fine = degrade(image, "h264", seed=0, strength=23)
    coarse = degrade(image, "h264", seed=0, strength=35)
    assert mean_change(fine, image) < 0.8 * mean_change(coarse, image)


def test_crop_jitter_moves_the_picture_without_black_borders(image):
    white = np.full_like(image, 255)
    assert degrade(white, "crop-jitter", seed=3, strength=0.04).min() == 255
    assert mean_change(degrade(image, "crop-jitter", seed=3), image) > 1


def test_unknown_names_strengths_and_pictures_are_refused(image):
    with pytest.raises(UnknownPart, match="there is jpeg, blur"):
        degrade(image, "gif", seed=0)
    with pytest.raises(ValueError, match=r"jpeg takes 35 to 75 \(quality\), got 100"):
        degrade(image, "jpeg", seed=0, strength=100)
    with pytest.raises(InvalidImage, match="RGB uint8"):
        degrade(image[..., 0], "jpeg", seed=0)
    with pytest.raises(InvalidImage, match="16 px or more"):
        degrade(image[:8], "jpeg", seed=0)
