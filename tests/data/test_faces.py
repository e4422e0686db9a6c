from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gendkit.data.faces import TEMPLATE, align_face, largest_face, native_size, overlapping_face
from gendkit.errors import InvalidImage
from gendkit.plugin.protocols import Face

POINTS = np.asarray(TEMPLATE, dtype=np.float32)


def _face(left: float, top: float, right: float, bottom: float, confidence: float = 0.9) -> Face:
    return Face(box=(left, top, right, bottom), landmarks=POINTS * 10, confidence=confidence)


def _noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def test_crops_are_those_of_the_reference(shared: Path) -> None:
    with np.load(shared / "golden" / "align.npz") as golden:
        cases = sorted({key.partition("_")[0] for key in golden.files})
        assert len(cases) == 5
        for case in cases:
            side = int(golden[f"{case}_target_size"][0])
            crop = align_face(
                np.ascontiguousarray(golden[f"{case}_image_bgr"][..., ::-1]),
                golden[f"{case}_landmarks"],
                scale=float(golden[f"{case}_scale"]),
                size=None if side < 0 else side,
            )
            expected = golden[f"{case}_crop_bgr"][..., ::-1]
            assert crop.shape == expected.shape, case
            assert np.abs(crop.astype(float) - expected).mean() < 0.01, case


def test_landmarks_on_the_template_leave_the_pixels_as_they_are() -> None:
    image = _noise(100, 100, 3)
    assert np.array_equal(align_face(image, POINTS * 100, scale=1.0), image)


def test_a_larger_scale_adds_a_black_margin_outside_the_image() -> None:
    image = np.full((100, 100, 3), 200, dtype=np.uint8)
    crop = align_face(image, POINTS * 100, scale=1.5)
    assert crop.shape == (150, 150, 3)
    assert (crop[30:120, 30:120] == 200).all()
    assert (crop[:24] == 0).all()
    assert (crop[:, -24:] == 0).all()


def test_a_turned_face_is_turned_back() -> None:
    image = _noise(101, 101, 3)
    upright = align_face(image, POINTS * 60 + 20, scale=1.3, size=64)
    turned = np.ascontiguousarray(np.rot90(image))
    x, y = (POINTS * 60 + 20).T
    points = np.stack([y, 100 - x], axis=1)
    crop = align_face(turned, points, scale=1.3, size=64)
    assert np.abs(crop.astype(float) - upright).mean() < 1


def test_one_wrong_landmark_does_not_move_the_crop() -> None:
    image = _noise(100, 100, 3)
    points = POINTS * 100
    points[2] += 40
    assert np.abs(align_face(image, points, scale=1.0, size=100).astype(float) - image).mean() < 1


def test_the_native_size_grows_with_the_face_and_the_scale() -> None:
    assert native_size(POINTS * 100, scale=1.0) == 100
    assert native_size(POINTS * 200, scale=1.3) == 260
    assert align_face(_noise(50, 50, 3), POINTS * 31, scale=1.0).shape == (31, 31, 3)


def test_aligning_leaves_the_image_and_the_landmarks_alone() -> None:
    image, points = _noise(60, 60, 3), POINTS * 50
    kept = image.copy(), points.copy()
    image.flags.writeable = points.flags.writeable = False
    first, second = align_face(image, points), align_face(image, points)
    assert np.array_equal(first, second)
    assert np.array_equal(image, kept[0])
    assert np.array_equal(points, kept[1])


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((5, 5), np.uint8),
        np.zeros((5, 5, 4), np.uint8),
        np.zeros((0, 5, 3), np.uint8),
        np.zeros((5, 5, 3), np.float32),
        "picture.png",
    ],
)
def test_what_is_no_rgb_image_is_refused(image: np.ndarray) -> None:
    with pytest.raises(InvalidImage, match="RGB uint8"):
        align_face(image, POINTS)


@pytest.mark.parametrize(
    "points",
    [np.zeros((4, 2)), np.zeros((5, 2)), np.full((5, 2), np.nan), np.full((5, 2), np.inf)],
)
def test_impossible_landmarks_are_refused(points: np.ndarray) -> None:
    with pytest.raises(InvalidImage, match="landmarks"):
        align_face(_noise(9, 9, 3), points)


@pytest.mark.parametrize("options", [{"scale": 0}, {"scale": np.nan}, {"size": 0}, {"size": 9999}])
def test_impossible_sizes_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(InvalidImage, match=r"scale|8192"):
        align_face(_noise(9, 9, 3), POINTS * 9, **options)  # type: ignore[arg-type]


def test_a_face_far_larger_than_any_picture_is_refused() -> None:
    with pytest.raises(InvalidImage, match="8192"):
        align_face(_noise(9, 9, 3), POINTS * 1e6)


def test_the_largest_face_is_that_of_the_largest_box() -> None:
    small, large = _face(0, 0, 9, 9, confidence=0.99), _face(0, 0, 10, 10, confidence=0.6)
    assert largest_face([small, large]) is large
    assert largest_face([large, _face(5, 5, 15, 15)]) is large
    assert largest_face([]) is None


def test_the_face_under_the_mask_wins_over_a_larger_one() -> None:
    large, small = _face(0, 0, 50, 50), _face(60, 60, 80, 80)
    mask = np.zeros((100, 100), dtype=np.uint8)
    mask[45:80, 45:80] = 1
    assert overlapping_face([large, small], mask) is small
    assert overlapping_face([large, small], np.repeat(mask[..., None], 3, axis=2)) is small


def test_no_face_is_chosen_for_an_empty_mask_or_one_beside_all_faces() -> None:
    faces = [_face(0, 0, 50, 50), _face(-20, -20, -5, -5)]
    mask = np.zeros((100, 100), dtype=bool)
    assert overlapping_face(faces, mask) is None
    mask[80:] = True
    assert overlapping_face(faces, mask) is None
    assert overlapping_face([], mask) is None


def test_a_mask_that_is_no_picture_is_refused() -> None:
    with pytest.raises(InvalidImage, match="mask"):
        overlapping_face([], np.zeros(5))
